"""Lists of cells come back from each format as they went, and impossible ones are refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from caloforge.errors import FileFormatError, GeometryError
from caloforge.geometry import Calorimeter, CellTable, calochallenge_2, pbwo4_crystals
from caloforge.hits import Hits
from caloforge.io import HitWriter, open_showers, read_cells, write_cells
from caloforge.particles import Particles
from tests.catalogue import GRIDS, PATTERNED, TABLES, name_of

HEADER = "layer,x,y,size_x,size_y"
KINDS = [".csv", ".h5", pytest.param(".parquet", marks=pytest.mark.filterwarnings("ignore"))]


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("calorimeter", [*TABLES, *PATTERNED, GRIDS[0]], ids=name_of)
def test_cells_come_back_as_they_went(
    suffix: str, calorimeter: Calorimeter, tmp_path: Path
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"cells{suffix}"
    write_cells(path, calorimeter)
    found = read_cells(path)
    assert found.name == "cells"
    assert torch.equal(found.layer_of_cell, calorimeter.layer_of_cell)
    torch.testing.assert_close(found.transverse, calorimeter.transverse, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.areas, calorimeter.areas, rtol=1e-8, atol=1e-8)
    if calorimeter.has_depth:
        assert found.thicknesses == calorimeter.thicknesses


def test_rings_are_no_list_of_cells(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="its cells are rings"):
        write_cells(tmp_path / "rings.csv", calochallenge_2())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer,x,y,size_x\n0,0,0,1\n", r"column 'size_y' is missing, found 'layer, x, y, size_x'"),
        (
            f"{HEADER}\n0.5,0,0,1,1\n",
            r"'layer': 1 numbers are not whole, the first in row 0",
        ),
        (f"{HEADER}\n0,0,0,1,1\n2,0,0,1,1\n", r"its cells lie in layers \[0, 2\]"),
        (f"{HEADER}\n0,0,0,1,1\n0,0.5,0,1,1\n", "cells 0 and 1 of layer 0 overlap"),
        (f"{HEADER}\n0,0,0,1,zero\n", "not readable as a list of cells"),
        (f"{HEADER}\n", "not readable as a list of cells|at least one cell"),
        (f"{HEADER},thickness\n0,0,0,1,1,2\n0,3,0,1,1,3\n", "of layer 0 differ in thickness"),
        (f"{HEADER},sides\n0,0,0,1,1,5\n", "a number of sides is neither 4 nor 6"),
    ],
)
def test_impossible_lists_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_cells(path)
    assert str(path) in str(caught.value)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"suffix '.txt' of a list of cells, expected one of"):
        write_cells(tmp_path / "cells.txt", pbwo4_crystals())


def large(n: int = 25_000) -> CellTable:
    k = torch.arange(n)
    xy = torch.stack([k % 200, k // 200], dim=1) * 1.1
    return CellTable.of("large", torch.zeros(n, dtype=torch.int64), xy, torch.ones(n, 2), (5.0,))


def test_a_file_of_showers_holds_a_large_table_as_datasets(tmp_path: Path) -> None:
    path, table = tmp_path / "hits.h5", large()
    cells = torch.tensor([0, 24_999, 7], dtype=torch.int32)
    hits = Hits(torch.tensor([0, 2, 3]), cells, torch.ones(3), Particles(torch.ones(2)), table)
    with HitWriter(path, table) as writer:
        writer.append(hits)
        writer.append(hits)
    with h5py.File(path) as file:
        assert len(file.attrs["calorimeter"]) < 200
        assert np.array_equal(file["calorimeter/layers"], np.zeros(25_000))
    found = open_showers(path)
    assert found.calorimeter == table
    assert found.columns == ("incident_energies",)
    assert torch.equal(found.sparse(slice(2, 4)).cells, cells)
