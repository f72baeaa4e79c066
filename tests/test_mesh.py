"""A mesh along the particle: what it keeps of the symmetries, and what moves with the particle."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caloforge.detector import Detector, load_detector
from caloforge.errors import GeometryError
from caloforge.geometry import Calorimeter, CylinderGrid
from caloforge.io import convert, open_showers, read_binning, write_binning
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators.geant4 import Geant4
from caloforge.units import GeV
from tests.geant4 import needs_geant4

FLAT = Detector.from_description(
    {
        "name": "flat",
        "layers": [
            {
                "number": 20,
                "slabs": [
                    {"material": "G4_W", "thickness": 2.0, "role": "absorber"},
                    {"material": "G4_Si", "thickness": 0.5, "role": "active"},
                ],
                "cells": {"n_r": 8, "width": 5.0, "n_alpha": 8},
            }
        ],
        "face": [1000.0, 1000.0],
    }
)


def _mesh() -> CylinderGrid:
    found = load_detector("par04-siw").calorimeter
    if not isinstance(found, CylinderGrid):
        pytest.fail("par04-siw is read in rings")
    return found


def test_its_symmetries_are_the_mirrors_that_slabs_and_shells_share() -> None:
    mesh = _mesh()
    signs = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    found = {tuple(m.flatten().tolist()) for m in mesh.symmetry_matrices}
    assert found == {tuple(torch.diag(sign).double().flatten().tolist()) for sign in signs}
    assert len(replace(mesh, along_particle=False).symmetries) == 32


def test_it_is_another_calorimeter_than_that_along_the_axis() -> None:
    mesh = _mesh()
    along_the_axis = replace(mesh, along_particle=False)
    assert mesh != along_the_axis
    assert "along_particle" not in along_the_axis.describe()
    assert Calorimeter.from_description(mesh.describe()) == mesh
    for one, other in ((mesh, along_the_axis), (along_the_axis, mesh)):
        with pytest.raises(GeometryError, match="lie along the particle's direction"):
            one.mapping(other)


def test_files_keep_it(tmp_path: Path) -> None:
    mesh = _mesh()
    particles = Particles([1 * GeV, 2 * GeV], theta=[0.0, 0.5], phi=[0.0, 1.0])
    showers = Showers(torch.rand(2, mesh.n_cells), particles, mesh)
    convert(showers, tmp_path / "mesh.h5")
    with open_showers(tmp_path / "mesh.h5") as file:
        assert file.calorimeter == mesh
        assert file.particles == particles
    write_binning(tmp_path / "mesh.xml", {"electron": mesh})
    assert read_binning(tmp_path / "mesh.xml", "electron") == mesh


def test_boxes_do_not_lie_along_a_particle() -> None:
    crystals = load_detector("pbwo4-10x10").describe()
    with pytest.raises(
        GeometryError, match="its cells are no rings and shall lie along the particle"
    ):
        Detector.from_description(crystals | {"along_particle": True})


def test_a_detector_says_it_only_where_it_is_so() -> None:
    moving = replace(FLAT, along_particle=True)
    assert "along_particle" not in FLAT.describe()
    assert Detector.from_description(moving.describe()) == moving


@needs_geant4
def test_along_the_axis_of_flat_slabs_both_meshes_are_one() -> None:
    particles = Particles([1 * GeV, 2 * GeV])
    still, moving = (
        Geant4(replace(FLAT, along_particle=along), physics="em-standard").simulate(
            particles, seed=3
        )
        for along in (False, True)
    )
    assert still.deposits.any()
    assert torch.equal(still.deposits, moving.deposits)


@needs_geant4
@pytest.mark.parametrize("phi", [0.0, 2.0])
def test_it_holds_showers_at_an_angle_around_its_axis(phi: float) -> None:
    """With the axis of the detector, the centre lies tens of mm beside at 40 degrees."""
    n, theta = 12, math.radians(40)
    particles = Particles([2 * GeV] * n, theta=[theta] * n, phi=[phi] * n, place=[[7.0, -9.0]] * n)
    moving = replace(FLAT, along_particle=True)
    showers = Geant4(moving, physics="em-standard").simulate(particles, seed=4)
    deposits = showers.deposits.double()
    centre = deposits @ showers.calorimeter.transverse / deposits.sum(1, keepdim=True)
    assert float(centre.mean(0).abs().max()) < 2.0
    straight = Geant4(moving, physics="em-standard").simulate(Particles([2 * GeV] * n), seed=4)
    assert 0.8 < float(deposits.sum() / straight.deposits.double().sum()) < 1.25
