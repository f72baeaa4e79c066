"""`caloforge convert`: what goes in comes out."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from caloforge.io import open_showers
from caloforge.io.sparse import is_sparse
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


@pytest.mark.parametrize("name", ["out.rot", "out"])
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


def of_silent_species(path: Path) -> Path:
    showers = random_showers(5)
    with h5py.File(path, "w") as file:
        file["incident_energies"], file["showers"] = showers.energies[:, None], showers.deposits
        file["cpu_time_ms"], file["label"] = np.arange(5.0), np.array([b"x"] * 5)
        file["truth"] = np.ones((5, 3))
    return path


def test_a_species_is_stamped_only_where_it_is_known(caloforge: Caloforge, tmp_path: Path) -> None:
    source, out = of_silent_species(tmp_path / "in.h5"), tmp_path / "out.h5"
    assert caloforge("convert", source, out).code == 0
    assert open_showers(out).particles.species == ()
    assert caloforge("convert", source, out, "--overwrite", "--particle", "gamma").code == 0
    assert open_showers(out).particles.species == (22,)
    outcome = caloforge("convert", out, tmp_path / "b.h5", "--particle", "e-")
    assert outcome.code == 2
    assert "out.h5 says gamma itself: leave the option out" in " ".join(outcome.err.split())


@pytest.mark.parametrize("layout", ["--dense", "--sparse"])
def test_further_datasets_are_copied_as_they_are_stored(
    caloforge: Caloforge, tmp_path: Path, layout: str
) -> None:
    source, out = of_silent_species(tmp_path / "in.h5"), tmp_path / "out.h5"
    with h5py.File(source, "a") as file:
        file.create_dataset("names", data=["é"] * 5, dtype=h5py.string_dtype())
        file.create_dataset("bins", (3, 4), data=np.arange(12.0).reshape(3, 4), compression="lzf")
        file["bins"].attrs["unit"] = "cm"
        expected = {name: file[name][()] for name in ("label", "truth", "names", "bins")}
    outcome = caloforge("convert", layout, source, out)
    assert (outcome.code, outcome.err) == (0, "")
    assert caloforge("convert", "--dense", out, tmp_path / "again.h5").code == 0
    for path in (out, tmp_path / "again.h5"):
        assert open_showers(path).extra(slice(2)).keys() == {"cpu_time_ms"}
        with h5py.File(path) as file:
            for name, values in expected.items():
                assert file[name].dtype == values.dtype or name == "names"
                assert np.array_equal(file[name][()], values)
            assert file["bins"].attrs["unit"] == "cm"
            assert file["bins"].compression == "lzf"


def test_what_is_not_carried_along_is_said(caloforge: Caloforge, tmp_path: Path) -> None:
    source = of_silent_species(tmp_path / "in.h5")
    with h5py.File(source, "a") as file:
        file["runs/first"], file["gone"] = 1, h5py.SoftLink("/nowhere")
        file["self"] = np.array([file.ref], h5py.ref_dtype)
    outcome = caloforge("convert", source, tmp_path / "out.h5")
    assert "'gone, runs, self': not carried along" in " ".join(outcome.err.split())
    outcome = caloforge("convert", source, tmp_path / "out.h5", "--overwrite", "--drop", "empty")
    assert "'label, truth, gone, runs, self': not carried" in " ".join(outcome.err.split())
    outcome = caloforge("convert", source, tmp_path / "out.npy")
    assert "'label, truth, gone, runs, self, cpu_time_ms': not" in " ".join(outcome.err.split())


def test_what_is_mended_is_counted_and_said(caloforge: Caloforge, tmp_path: Path) -> None:
    source = of_silent_species(tmp_path / "in.h5")
    with h5py.File(source, "a") as file:
        file["showers"][0, :3], file["showers"][1] = -1e-6, 0.0
    outcome = caloforge("convert", source, tmp_path / "out.h5")
    assert outcome.code == 2
    assert "3 negative" in outcome.err
    assert "--negative zero" in " ".join(outcome.err.split())
    words = ("--negative", "zero", "--drop", "empty")
    outcome = caloforge("convert", source, tmp_path / "out.h5", *words)
    said = " ".join(outcome.err.split())
    assert "3 negative deposits set to 0; 1 of 5 showers without energy left out" in said
    assert len(open_showers(tmp_path / "out.h5")) == 4
    for wrong in (("--negative", "keep"), ("--drop", "all"), ("--threshold", "1")):
        assert caloforge("convert", source, tmp_path / "b.h5", *wrong).code == 2


BINNING = """<Bins><Bin pid="22" name="photon">
<Layer id="0" r_edges="0,5,10" n_bin_alpha="4" /></Bin></Bins>"""


def eight_cells(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["incident_energies"], file["showers"] = np.full((5, 1), 1e3), np.ones((5, 8))
    return path


@pytest.mark.parametrize(
    "name", ["b.xml", "B.XML", "a:b/x.xml", r"C:\data\b.xml", "x.xml:photon", "x:y.xml:photon"]
)
def test_a_binning_file_says_cells_and_species_however_it_is_called(
    caloforge: Caloforge, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name.removesuffix(":photon")
    path.parent.mkdir(exist_ok=True)
    path.write_text(BINNING)
    words = ("--calorimeter", tmp_path / name)
    outcome = caloforge("convert", eight_cells(tmp_path / "in.h5"), tmp_path / "out.h5", *words)
    assert outcome.code == 0, outcome.err
    assert open_showers(tmp_path / "out.h5").particles.species == (22,)


def test_a_species_that_a_binning_file_contradicts_is_said(
    caloforge: Caloforge, tmp_path: Path
) -> None:
    (tmp_path / "b.xml").write_text(BINNING)
    source = eight_cells(tmp_path / "in.h5")
    with h5py.File(source, "a") as file:
        file.attrs["pdg"] = 11
    words = ("--calorimeter", tmp_path / "b.xml")
    outcome = caloforge("convert", source, tmp_path / "out.h5", *words)
    assert "says e- itself, not gamma" in " ".join(outcome.err.split())
    assert open_showers(tmp_path / "out.h5").particles.species == (11,)


def test_several_files_become_one(caloforge: Caloforge, tmp_path: Path) -> None:
    files = [write(tmp_path / f"run_{k}.h5", random_showers(20, seed=k)) for k in range(3)]
    for given in (files, [tmp_path / "run_*.h5"]):
        outcome = caloforge("convert", *given, tmp_path / "all.h5", "--overwrite")
        assert outcome.code == 0, outcome.err
        found = open_showers(tmp_path / "all.h5")
        assert torch.equal(found[40:].deposits, random_showers(20, seed=2).deposits)
    assert caloforge("convert", tmp_path / "no_*.h5", tmp_path / "b.h5").code == 2
