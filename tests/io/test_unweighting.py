"""Rejection: what is kept, and what a file of it says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caloforge.errors import ShowerValueError
from caloforge.io import ShowerFile, convert, open_showers
from caloforge.io.unweighting import UNWEIGHTED, Unweighted
from caloforge.particles import Particles
from caloforge.production import copy
from caloforge.showers import Showers
from tests.catalogue import GRIDS

NUMBER = 2000


def weighted(folder: Path, weights: torch.Tensor | None) -> ShowerFile:
    grid = GRIDS[3]
    deposits = torch.rand(NUMBER, grid.n_cells, generator=torch.Generator().manual_seed(1))
    particles = Particles(torch.linspace(1e3, 2e3, NUMBER), 11)
    convert(Showers(deposits, particles, grid, weights), folder / "in.h5")
    return open_showers(folder / "in.h5")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> ShowerFile:
    return weighted(tmp_path_factory.mktemp("weighted"), torch.linspace(0, 4, NUMBER))


def test_as_many_are_kept_as_the_weights_say(file: ShowerFile) -> None:
    kept = Unweighted(file, seed=1)
    expected = NUMBER / 2
    assert abs(len(kept) - expected) < 4 * (NUMBER / 6) ** 0.5
    assert kept.efficiency == len(kept) / NUMBER
    assert kept.weights is None
    energies = kept.energies.double()
    assert float(energies.mean()) == pytest.approx(1000 * (1 + 2 / 3), rel=0.02)


def test_a_choice_depends_on_seed_number_and_weight_alone(file: ShowerFile, tmp_path: Path) -> None:
    kept, again = Unweighted(file, seed=1), Unweighted(file, seed=1)
    assert torch.equal(kept.energies, again.energies)
    assert not torch.equal(kept.energies[:100], Unweighted(file, seed=2).energies[:100])
    first = file[:500]
    convert(first, tmp_path / "first.h5")
    part = Unweighted(open_showers(tmp_path / "first.h5"), seed=1, largest=kept.largest)
    assert torch.equal(part.energies, kept.energies[: len(part)])


def test_heavier_showers_are_kept_for_sure_and_counted(file: ShowerFile) -> None:
    kept = Unweighted(file, seed=1, largest=3.0)
    assert kept.above == NUMBER // 4
    assert kept.lost == pytest.approx((1 / 4 * 1 / 2) / 2, rel=0.01)
    assert "500 weigh more than 3 and count once, which loses 6.2" in kept.report
    assert torch.equal(kept.energies[-kept.above :], file.energies[-kept.above :])


def test_a_copy_has_no_weights_and_says_what_was_done(file: ShowerFile, tmp_path: Path) -> None:
    kept = Unweighted(file, seed=1)
    copy(kept, tmp_path / "out.h5", batch_size=300)
    out = open_showers(tmp_path / "out.h5")
    assert out.weights is None
    assert torch.equal(out[:].deposits, file[:].deposits[torch.isin(file.energies, kept.energies)])
    assert out.provenance[UNWEIGHTED] == kept.report


def test_what_cannot_be_unweighted_is_refused(file: ShowerFile, tmp_path: Path) -> None:
    for name, weights, message in (
        ("none", None, "have no weights"),
        ("dark", torch.zeros(NUMBER), "all 2000"),
    ):
        (tmp_path / name).mkdir()
        with pytest.raises(ShowerValueError, match=message):
            Unweighted(weighted(tmp_path / name, weights), seed=1)
    with pytest.raises(ShowerValueError, match="expected a positive number"):
        Unweighted(file, seed=1, largest=0.0)


def test_nothing_kept_is_an_empty_file(file: ShowerFile) -> None:
    assert len(replace(file[:0])) == 0
    assert len(Unweighted(file, seed=1, largest=1e9)[:]) == 0
