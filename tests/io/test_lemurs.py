"""LEMURS files: records as published, their conventions, and the way there and back."""

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from caloforge.detector import load_detector
from caloforge.errors import CaloforgeError, FileFormatError, OutputError, ShowerValueError
from caloforge.geometry import calochallenge_2
from caloforge.io import LemursFile, convert, open_showers
from caloforge.particles import Particles
from caloforge.production import copy, produce
from caloforge.showers import Showers
from caloforge.simulators import gflash_of
from caloforge.units import GeV

N, SHAPE = 7, (9, 16, 45)
KIND = np.dtype(
    [
        ("incident_energy", "<f4"),
        ("incident_theta", "<f4"),
        ("incident_phi", "<f4"),
        ("showers", "<f4", SHAPE),
    ]
)


def made_records(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    records = np.zeros(N, KIND)
    records["incident_energy"] = rng.uniform(1e3, 1e6, N)
    records["incident_theta"] = rng.uniform(0.87, 2.27, N)
    records["incident_phi"] = rng.uniform(-math.pi, math.pi, N)
    records["showers"] = rng.exponential(size=(N, *SHAPE))
    return records


def written(path: Path, records: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("events", data=records, chunks=(2,), compression="gzip")
    return path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return written(tmp_path / "LEMURS_Par04SiW_gamma_part1.h5", made_records())


def test_an_impossible_calorimeter_in_a_file_names_the_file(published: Path) -> None:
    with h5py.File(published, "r+") as file:
        file.attrs["calorimeter"] = "{}"
    with pytest.raises(
        FileFormatError, match=r"part1.h5: attribute 'calorimeter': .* kind is None"
    ):
        open_showers(published)


def test_a_published_file_is_known_by_its_content(published: Path) -> None:
    records = made_records()
    with open_showers(published) as file:
        assert isinstance(file, LemursFile)
        assert file.calorimeter == load_detector("par04-siw").calorimeter
        assert file.particles.pdg == 22
        assert torch.equal(file.energies, torch.from_numpy(records["incident_energy"]))
        parts = Showers.cat(list(file.batches(3)))
        assert torch.equal(parts.deposits, file[:].deposits)
    assert np.allclose(parts.deposits.sum(1), records["showers"].sum((1, 2, 3)), rtol=1e-5)
    layers = parts.deposits.reshape(N, 45, 16, 9).sum((2, 3))
    assert np.allclose(layers, records["showers"].sum((1, 2)), rtol=1e-5)


def test_directions_are_those_of_a_barrel_whose_axis_is_y(tmp_path: Path) -> None:
    records = made_records()
    records["incident_theta"] = np.linspace(0.87, 2.27, N)
    file = open_showers(written(tmp_path / "par04siw.h5", records))
    theta, phi = file.particles.theta, file.particles.phi
    assert theta is not None
    assert phi is not None
    assert np.allclose(theta.cos(), np.sin(records["incident_theta"]), atol=1e-6)
    assert np.allclose(theta.sin() * phi.sin(), np.cos(records["incident_theta"]), atol=1e-6)


def test_its_mesh_is_turned_by_a_quarter(tmp_path: Path) -> None:
    """A deposit towards growing theta of the barrel, alpha = 0 there, lies at our -y; one towards
    growing phi, alpha = pi / 2 there, at our +x.
    """
    records = made_records()
    records["showers"] = 0
    records["showers"][0, 8, 8, 3] = 1.0
    records["showers"][1, 8, 12, 3] = 1.0
    file = open_showers(written(tmp_path / "par04siw.h5", records))
    x, y = (file[:].deposits.double()[:2] @ file.calorimeter.transverse).T
    assert y[0] < -30
    assert abs(x[0]) < 10
    assert x[1] > 30
    assert abs(y[1]) < 10


def test_there_and_back_nothing_is_lost(published: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "mesh.h5", tmp_path / "again.lemurs.h5"
    convert(open_showers(published), there)
    convert(open_showers(there), back, batch_size=3)
    with h5py.File(back) as file:
        found = file["events"][:]
    for name in KIND.names or ():
        assert np.allclose(found[name], made_records()[name], rtol=1e-6, atol=1e-7), name
    with open_showers(back) as again, open_showers(published) as first:
        assert again.calorimeter == first.calorimeter
        assert torch.equal(again[:].deposits, first[:].deposits)
        assert again.particles.pdg == 22


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("incident_theta", 90.0, "are they in degrees"),
        ("incident_theta", -0.5, "are they in degrees"),
        ("incident_phi", 180.0, "are they in degrees"),
        ("incident_theta", math.nan, "not finite"),
        ("incident_energy", -1.0, "not positive"),
        ("showers", -1.0, "negative"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, field: str, value: float, told: str) -> None:
    records = made_records()
    records[field][3] = value
    with pytest.raises(ShowerValueError, match=told):
        open_showers(written(tmp_path / "par04siw.h5", records))[:]


def test_a_file_of_an_unknown_mesh_asks_for_it(tmp_path: Path) -> None:
    path = written(tmp_path / "LEMURS_ODD_gamma.h5", made_records())
    with pytest.raises(FileFormatError, match="--calorimeter"):
        open_showers(path)
    mesh = load_detector("par04-siw").calorimeter
    assert open_showers(path, mesh).calorimeter == mesh
    with pytest.raises(FileFormatError, match="a mesh along the particle"):
        open_showers(path, calochallenge_2())


def test_other_records_are_refused(tmp_path: Path) -> None:
    for number, kind in enumerate(
        (
            KIND["showers"].base,
            np.dtype([("incident_energy", "<f4")]),
            [*KIND.descr[1:], ("x", "S2")],
        )
    ):
        path = written(tmp_path / f"par04siw-{number}.h5", np.zeros(3, kind))
        with pytest.raises(FileFormatError, match="expected N records of incident_energy"):
            open_showers(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"phi": [0.3, 0.0], "theta": [0.5, 0.0]}, "directions aside"),
        ({"place": [[1.0, 0.0], [0.0, 0.0]]}, "places"),
        ({"pdg": [11, 22]}, "several species"),
    ],
)
def test_what_it_cannot_hold_is_refused(
    tmp_path: Path, changes: dict[str, list[float]], told: str
) -> None:
    mesh = load_detector("par04-siw").calorimeter
    showers = Showers(torch.rand(2, mesh.n_cells), Particles([GeV, GeV], **changes), mesh)
    with pytest.raises(OutputError, match=told):
        convert(showers, tmp_path / "out.lemurs.h5")


def test_commands_read_and_write_it(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.lemurs.h5"
    copy(open_showers(published), out, batch_size=2)
    assert isinstance(open_showers(out), LemursFile)
    copy(open_showers(out), tmp_path / "dense.h5")
    again = tmp_path / "again.lemurs.h5"
    copy(open_showers(tmp_path / "dense.h5"), again)
    with open_showers(published) as first, open_showers(again) as last:
        assert torch.equal(first[:].deposits, last[:].deposits)
        assert torch.equal(
            first.extra(slice(None))["barrel_phi"], last.extra(slice(None))["barrel_phi"]
        )


def test_simulated_showers_are_written_to_it(tmp_path: Path) -> None:
    simulator = gflash_of(load_detector("par04-siw"))
    produce(Particles([1 * GeV] * 5), simulator, tmp_path / "fast.lemurs.h5", seed=1)
    produce(Particles([1 * GeV] * 5), simulator, tmp_path / "fast.h5", seed=1)
    found = open_showers(tmp_path / "fast.lemurs.h5")
    assert isinstance(found, LemursFile)
    assert torch.equal(found[:].deposits, open_showers(tmp_path / "fast.h5")[:].deposits)


def test_cells_along_the_axis_are_refused(tmp_path: Path) -> None:
    cells = calochallenge_2()
    showers = Showers(torch.rand(1, cells.n_cells), Particles([GeV]), cells)
    with pytest.raises(CaloforgeError, match="mesh along the particle"):
        convert(showers, tmp_path / "out.lemurs.h5")
