"""Time and memory of converting showers between the file formats.

Makes showers of 100 cells, writes them as CaloChallenge HDF5, converts that to the SQuIRELS .npy
and back, and prints for each step the time a shower, the size of the file and the largest memory
the process has had so far::

    python benchmarks/io_memory.py --showers 1000000
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from caloforge.geometry import RegularGrid, pbwo4_crystals
from caloforge.io import convert, open_showers
from caloforge.particles import Particles
from caloforge.showers import Showers, spans
from caloforge.streams import keys, normals, uniforms
from caloforge.timing import peak_memory
from caloforge.units import GeV


@dataclass(frozen=True)
class MadeUpShowers:
    """Showers that exist only while they are looked at: log-normal deposits that fall off from the
    centre, the faint ones 0.
    """

    n: int
    calorimeter: RegularGrid

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: slice) -> Showers:
        """Make a slice."""
        shower = torch.arange(self.n)[index]
        energies = self._energies(shower)
        depth = -self.calorimeter.centres[:, :2].norm(dim=1) / 15 + normals(
            keys(0, shower, 1), self.calorimeter.n_cells
        )
        deposits = energies[:, None] * depth.exp() / 10
        deposits = torch.where(deposits > 1e-3, deposits, 0)
        return Showers(deposits.float(), Particles(energies), self.calorimeter)

    @property
    def particles(self) -> Particles:
        """The incident electrons."""
        return Particles(self.energies)

    @property
    def energies(self) -> Tensor:
        """The incident energies, in MeV."""
        return self._energies(torch.arange(self.n))

    @property
    def weights(self) -> None:
        """None: each counts once."""

    def _energies(self, shower: Tensor) -> Tensor:
        return ((10 + 90 * uniforms(keys(0, shower, 0), 1)[:, 0]) * GeV).float()

    def batches(self, size: int) -> Iterator[Showers]:
        """The showers in order."""
        return (self[span] for span in spans(self.n, size))


def convert_there_and_back(n: int, batch_size: int, folder: Path) -> list[dict[str, float | str]]:
    """Write, convert and convert back n showers."""
    steps = [("made up", "a.h5"), ("a.h5", "b.npy"), ("b.npy", "c.h5")]
    results: list[dict[str, float | str]] = []
    for source, target in steps:
        showers = (
            MadeUpShowers(n, pbwo4_crystals())
            if source == "made up"
            else open_showers(folder / source)
        )
        start = time.perf_counter()
        convert(showers, folder / target, batch_size=batch_size, overwrite=True)
        seconds = time.perf_counter() - start
        size = (folder / target).stat().st_size / 1e6
        results.append(
            {
                "step": f"{source} -> {target}",
                "us_per_shower": 1e6 * seconds / n,
                "file_mb": size,
                "peak_memory_mb": peak_memory() / 1e6,
            }
        )
    return results


def main() -> None:
    """Parse, run, print one JSON object a step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--showers", type=int, default=1_000_000)
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument(
        "--warm-up",
        type=int,
        default=5000,
        help="showers converted first, to see by what memory grows then",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for n in (arguments.warm_up, arguments.showers):
        with tempfile.TemporaryDirectory() as folder:
            for result in convert_there_and_back(n, arguments.batch_size, Path(folder)):
                print(json.dumps({"showers": n} | result))


if __name__ == "__main__":
    main()
