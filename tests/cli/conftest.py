"""The command line as a person meets it: words in, exit code and two streams out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from caloforge.calorimeter import pbwo4_crystals
from caloforge.cli import main
from caloforge.io import CaloChallengeWriter
from caloforge.showers import Particles, Showers


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Caloforge = Callable[..., Outcome]


@pytest.fixture
def caloforge(capsys: pytest.CaptureFixture[str]) -> Caloforge:
    """Run the command line in this process."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        code = end.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), *capsys.readouterr())

    return run


def random_showers(n: int, seed: int = 1) -> Showers:
    """Showers of exponential deposits, half the cells empty, in the PbWO4 crystals."""
    calorimeter = pbwo4_crystals()
    random = torch.Generator().manual_seed(seed)
    energies = 20_000 + 60_000 * torch.rand(n, generator=random)
    deposits = -torch.rand(n, calorimeter.n_cells, generator=random).log() * energies[:, None] / calorimeter.n_cells
    return Showers(deposits * (torch.rand(deposits.shape, generator=random) < 0.5), Particles(energies), calorimeter)


def write(path: Path, showers: Showers) -> Path:
    with CaloChallengeWriter(path, showers.calorimeter) as writer:
        writer.append(showers)
    return path


@pytest.fixture
def shower_file(tmp_path: Path) -> Path:
    """A good file of 30 showers."""
    return write(tmp_path / "showers.h5", random_showers(30))
