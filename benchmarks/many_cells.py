"""Time and memory of a calorimeter of millions of cells, and of showers mapped onto it.

Makes 47 layers of hexagons, some six million, as HGCAL has: as a pattern, or as a list of cells
from a file. Then maps hits of a coarser calorimeter onto them, by points anywhere in the cells, and
back, three times each. Prints the least seconds on one processor and the largest memory the process
has had so far, for each step::

    python benchmarks/many_cells.py --showers 1000 --hits 1000
    python benchmarks/many_cells.py --write cells.h5
    python benchmarks/many_cells.py --cells cells.h5
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from caloforge.errors import PointsOutsideWarning
from caloforge.geometry import Calorimeter, CellLayer, Hexagons, LayeredCells
from caloforge.hits import Hits
from caloforge.io import read_cells, write_cells
from caloforge.particles import Particles
from caloforge.points import Points
from caloforge.timing import peak_memory

LAYERS = 47
Made = TypeVar("Made")


def timed(what: str, make: Callable[[], Made], repeats: int = 1) -> Made:
    """Make something, and print what it cost."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        made = make()
        spent.append(time.process_time() - start)
    print(f"{what:30} {min(spent):6.2f} s CPU, memory so far {peak_memory() / 1e9:5.2f} GB")
    return made


def hexagons(pitch: float, rings: int) -> Calorimeter:
    """Layers of equal hexagons."""
    return indexed(LayeredCells("hexagons", (CellLayer(Hexagons(pitch, rings), 10.0),) * LAYERS))


def table(path: Path) -> Calorimeter:
    """The cells of a list."""
    return indexed(read_cells(path))


def indexed(calorimeter: Calorimeter) -> Calorimeter:
    """The same once it can find the cell of a point."""
    calorimeter.cell_at(torch.zeros(1, dtype=torch.int64), torch.zeros(1), torch.zeros(1))
    return calorimeter


def hits_of(calorimeter: Calorimeter, showers: int, hits: int) -> Hits:
    """Made-up hits: log-normal energies in cells near the beam."""
    random = torch.Generator().manual_seed(1)
    layers = torch.randint(LAYERS, (showers * hits,), generator=random)
    x, y = torch.randn(2, showers * hits, generator=random) * 100
    return Hits(
        torch.arange(showers + 1) * hits,
        calorimeter.cell_at(layers, x, y).int(),
        torch.randn(showers * hits, generator=random).exp(),
        Particles(torch.full((showers,), 1e5)),
        calorimeter,
    )


def mapped(hits: Hits, to: Calorimeter) -> Hits:
    """The same energy in the cells of another calorimeter."""
    within = torch.rand(hits.n_hits, 2, generator=torch.Generator().manual_seed(2))
    return Points.of(hits, within.clamp(1e-6, 1 - 1e-6)).in_cells(to)


def main() -> None:
    """Print a line for each step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--showers", type=int, default=1000)
    parser.add_argument("--hits", type=int, default=1000)
    parser.add_argument("--write", type=Path, help="write the list of cells, and no more")
    parser.add_argument("--cells", type=Path, help="a list of cells, in place of the pattern")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("error", PointsOutsideWarning)
    if asked.write is not None:
        timed("a list of cells written", lambda: write_cells(asked.write, hexagons(7.0, 206)))
        return
    fine = timed(
        "the cells", lambda: hexagons(7.0, 206) if asked.cells is None else table(asked.cells)
    )
    print(f"{fine.n_cells:,} cells")
    coarse = hexagons(12.0, 116)
    hits = hits_of(coarse, asked.showers, asked.hits)
    there = timed(f"{hits.n_hits:,} hits onto them", lambda: mapped(hits, fine), 3)
    back = timed(f"{there.n_hits:,} hits back", lambda: mapped(there, coarse), 3)
    for name, found in (("there", there), ("back", back)):
        change = float(found.hit_energies.double().sum() / hits.hit_energies.double().sum()) - 1
        print(f"energy {name}: {change:+.1e}")


if __name__ == "__main__":
    main()
