"""`caloforge show`: the summary states what the file holds, the drawing is the shower."""

import math
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch
from rich.console import Console

from caloforge.cli._drawing import PLAIN_SHADES, draw
from caloforge.geometry import (
    Calorimeter,
    CellLayer,
    CylinderGrid,
    CylinderLayer,
    Hexagons,
    LayeredCells,
    RegularGrid,
    pbwo4_crystals,
)
from caloforge.io import convert
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.cli.samples import Caloforge, random_showers, write
from tests.io.samples import sample

RINGS = CylinderLayer((0.0, 5.0, 10.0), n_alpha=4)
GRIDS: list[Calorimeter] = [
    pbwo4_crystals(),
    RegularGrid("box", shape=(3, 4, 5), cell_size=(1.0, 1.0, 1.0)),
    CylinderGrid("cylinder", (RINGS, RINGS, RINGS)),
]


def one(calorimeter: Calorimeter, deposits: torch.Tensor) -> Showers:
    return Showers(deposits[None].float(), Particles(torch.tensor([50_000.0])), calorimeter)


def drawn(shower: Showers) -> list[str]:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(draw(shower, plain=True))
    return capture.get().splitlines()


def test_irregular_cells_are_drawn_where_they_lie() -> None:
    """Two hexagons, 40 mm apart along x and 20 along y, the brighter one below on the right."""
    calorimeter = LayeredCells("hexagons", (CellLayer(Hexagons(4.0, 20), 1.0),))
    deposits = torch.zeros(calorimeter.n_cells)
    x, y = torch.tensor([-20.0, 20.0]), torch.tensor([12.0, -8.0])
    deposits[calorimeter.cell_at(torch.zeros(2, dtype=torch.int64), x, y)] = torch.tensor(
        [1.0, 1e3]
    )
    title, *rows = drawn(one(calorimeter, deposits))
    assert "x to the right, y upward, in squares of 3.72 mm" in title
    assert rows[0].find(PLAIN_SHADES[3]) == 2
    assert rows[6].find(PLAIN_SHADES[5]) == 24
    dark, *_ = drawn(one(calorimeter, torch.zeros(calorimeter.n_cells)))
    assert dark == "seen along the beam"


def test_summary_states_what_the_file_holds(caloforge: Caloforge, tmp_path: Path) -> None:
    calorimeter = pbwo4_crystals()
    deposits = torch.zeros(2, 100)
    deposits[0, 44], deposits[1, 45], deposits[1, 0] = 40_000.0, 30_000.0, 10.0
    path = write(
        tmp_path / "two.h5",
        Showers(deposits, Particles(torch.tensor([50_000.0, 50_000.0])), calorimeter),
    )
    outcome = caloforge("show", path)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    for expected in (
        "two.h5",
        "pbwo4-10x10 (100 cells",
        "50 GeV",
        "0.7001 in the mean, 0.0999 standard deviation",
        "1.5 in the mean",
        "35 GeV in the mean, 40 GeV at most",
    ):
        assert expected in outcome.out


def test_summary_is_the_same_for_every_batch_size(caloforge: Caloforge, shower_file: Path) -> None:
    assert (
        len({caloforge("show", shower_file, "--batch-size", size).out for size in (1, 7, 1000)})
        == 1
    )


def test_the_chosen_shower_is_drawn(caloforge: Caloforge, shower_file: Path) -> None:
    first, other = (caloforge("show", shower_file, "--index", i).out for i in (0, 29))
    assert "shower 29" in other
    assert first.split("shower 0")[1] != other.split("shower 29")[1]


def test_an_index_past_the_end_names_the_last(caloforge: Caloforge, shower_file: Path) -> None:
    outcome = caloforge("show", shower_file, "--index", 30)
    assert outcome.code == 2
    assert "0 to 29" in outcome.err


def test_an_empty_file_is_shown(caloforge: Caloforge, tmp_path: Path) -> None:
    outcome = caloforge("show", write(tmp_path / "none.h5", random_showers(0)))
    assert outcome.code == 0, outcome.err
    assert "showers" in outcome.out


def test_beam_view_has_x_to_the_right_and_y_upward() -> None:
    grid = pbwo4_crystals()
    x, y, _ = grid.centres.unbind(-1)
    deposits = ((x == x.max()) & (y == y.max())).double()
    rows = drawn(one(grid, deposits))
    assert rows[1].endswith(PLAIN_SHADES[-1] * 2)
    assert rows[1].strip() == PLAIN_SHADES[-1] * 2
    assert not any(row.strip() for row in rows[2:11])


def test_more_energy_is_never_drawn_fainter() -> None:
    row = RegularGrid("row", shape=(30, 1, 1), cell_size=(1.0, 1.0, 1.0))
    marks = drawn(one(row, torch.logspace(-1, 5, 30)))[1][2:]
    shades = [PLAIN_SHADES.index(mark) for mark in marks]
    assert shades == sorted(shades)
    assert set(shades) == set(range(1, len(PLAIN_SHADES)))


def test_the_brightest_layer_of_a_cylinder_is_drawn() -> None:
    cylinder = CylinderGrid("cylinder", (RINGS, RINGS, RINGS))
    title, *rows = drawn(one(cylinder, (torch.arange(24) == 8 + 5).float()))
    assert title.startswith("layer 1,")
    assert [bool(row.strip()) for row in rows[:4]] == [False, False, True, False]
    assert rows[2].strip() == PLAIN_SHADES[-1] * 2


@pytest.mark.parametrize("calorimeter", GRIDS, ids=lambda c: c.name)
def test_a_shower_without_energy_is_drawn(calorimeter: Calorimeter) -> None:
    assert any(
        "no energy" in row for row in drawn(one(calorimeter, torch.zeros(calorimeter.n_cells)))
    )


def test_depth_names_the_layer_with_most_energy() -> None:
    grid = RegularGrid("box", shape=(2, 2, 5), cell_size=(1.0, 1.0, 1.0))
    assert "most in layer 3" in drawn(one(grid, (grid.layer_of_cell == 3).double()))[-1]


def test_energies_of_different_units_are_doubted(caloforge: Caloforge, tmp_path: Path) -> None:
    showers = sample(4)
    with h5py.File(tmp_path / "mixed.h5", "w") as file:
        file["incident_energies"], file["showers"] = showers.energies / 1e3, showers.deposits
    convert(showers, tmp_path / "right.h5")
    outcome = caloforge("show", tmp_path / "mixed.h5")
    assert "are deposits and incident energies in the same unit?" in " ".join(outcome.out.split())
    assert "same unit" not in caloforge("show", tmp_path / "right.h5").out


def test_species_angles_and_places_are_shown(caloforge: Caloforge, tmp_path: Path) -> None:
    some = sample(2)
    place = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    angles = torch.tensor([0.0, math.pi / 6])
    given = Particles(some.energies, torch.tensor([11, 22]), angles, None, place)
    convert(replace(some, particles=given), tmp_path / "beam.h5")
    expected = "e-, gamma, 0 to 30 deg to the axis, up to 5 mm off the centre"
    assert expected in caloforge("show", tmp_path / "beam.h5").out
    convert(replace(some, particles=Particles(some.energies, None)), tmp_path / "unknown.h5")
    assert "of unknown species" in caloforge("show", tmp_path / "unknown.h5").out
