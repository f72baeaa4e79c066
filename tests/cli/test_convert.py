"""`caloforge convert`: what goes in comes out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge.io import is_sparse, open_showers
from tests.cli.samples import Caloforge, random_showers, write


def test_there_and_back_again(caloforge: Caloforge, shower_file: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there.npy", tmp_path / "back.h5"
    assert caloforge("convert", shower_file, there).code == 0
    assert caloforge("convert", there, back, "--batch-size", 7).code == 0
    given, found = random_showers(30), open_showers(back)[:]
    torch.testing.assert_close(found.deposits, given.deposits)
    torch.testing.assert_close(found.energies, given.energies)
    assert found.calorimeter == given.calorimeter


def test_weights_are_carried_along_or_refused(caloforge: Caloforge, tmp_path: Path) -> None:
    weights = torch.rand(30)
    source = write(tmp_path / "weighted.h5", replace(random_showers(30), weights=weights))
    assert caloforge("convert", source, tmp_path / "out.h5", "--batch-size", 7).code == 0
    found = open_showers(tmp_path / "out.h5").weights
    assert found is not None
    assert torch.equal(found, weights)
    outcome = caloforge("convert", source, tmp_path / "out.npy")
    assert outcome.code == 2
    assert outcome.err.endswith("cannot hold the weights of showers: write a .h5 file\n")


@pytest.mark.parametrize("name", ["out.root", "out"])
def test_an_unknown_suffix_is_refused(
    caloforge: Caloforge, shower_file: Path, tmp_path: Path, name: str
) -> None:
    outcome = caloforge("convert", shower_file, tmp_path / name)
    assert outcome.code == 2
    assert ".npy" in outcome.err
    assert not (tmp_path / name).exists()


def test_bad_values_are_found_on_the_way(caloforge: Caloforge, tmp_path: Path) -> None:
    values = np.ones((5, 201))
    values[3, 17] = np.nan
    np.save(tmp_path / "bad.npy", values)
    outcome = caloforge("convert", tmp_path / "bad.npy", tmp_path / "out.h5")
    assert outcome.code == 2
    assert "shower 3" in outcome.err
    assert not (tmp_path / "out.h5").exists()


def test_hits_alone_and_back(caloforge: Caloforge, shower_file: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "hits.h5", tmp_path / "back.h5"
    assert caloforge("convert", "--sparse", shower_file, there).code == 0
    assert is_sparse(there)
    assert caloforge("convert", "--dense", there, back).code == 0
    assert not is_sparse(back)
    assert torch.equal(open_showers(back)[:].deposits, random_showers(30).deposits)


def test_hits_alone_are_written_to_hdf5(
    caloforge: Caloforge, shower_file: Path, tmp_path: Path
) -> None:
    outcome = caloforge("convert", "--sparse", shower_file, tmp_path / "hits.npy")
    assert outcome.code == 2
    assert "hits.npy: hits alone are written to HDF5" in outcome.err
