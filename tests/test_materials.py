import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caloforge.detector.materials import (
    AIR,
    COPPER,
    IRON,
    LEAD,
    LEAD_TUNGSTATE,
    LIQUID_ARGON,
    POLYSTYRENE,
    SILICON,
    TUNGSTEN,
    Material,
    nist,
)
from caloforge.errors import GeometryError
from tests.geant4 import needs_geant4


def test_lead_tungstate_has_the_constants_that_geant4_prints() -> None:
    material = LEAD_TUNGSTATE.like_geant4()
    found = (
        material.z,
        material.a,
        material.radiation_length,
        material.moliere_radius,
        material.critical_energy,
    )
    assert found == pytest.approx((68.3609, 170.881, 8.92453, 17.5417, 10.7858), rel=1e-5)


@pytest.mark.parametrize(
    ("material", "grams"),
    [
        (LEAD, 6.37),
        (TUNGSTEN, 6.76),
        (COPPER, 12.86),
        (IRON, 13.84),
        (SILICON, 21.82),
        (LIQUID_ARGON, 19.55),
        (POLYSTYRENE, 43.79),
        (AIR, 36.62),
    ],
)
def test_radiation_lengths_are_those_of_the_particle_data_group(
    material: Material, grams: float
) -> None:
    assert material.radiation_length / 10 * material.density == pytest.approx(grams, rel=3e-3)


@pytest.mark.parametrize(
    ("material", "energy"),
    [(LEAD, 7.43), (TUNGSTEN, 7.97), (COPPER, 19.42), (IRON, 21.68), (LIQUID_ARGON, 32.84)],
)
def test_critical_energies_are_near_those_of_the_particle_data_group(
    material: Material, energy: float
) -> None:
    assert material.critical_energy == pytest.approx(energy, rel=0.12)


def test_density_scales_lengths_alone() -> None:
    dense = Material.mixture("dense lead", 2 * 11.35, {"Pb": 1.0})
    assert dense.radiation_length == pytest.approx(LEAD.radiation_length / 2)
    assert dense.critical_energy == LEAD.critical_energy


def test_a_compound_is_the_mixture_of_its_masses_in_any_scale() -> None:
    water = Material.compound("water", 1.0, {"H": 2, "O": 1})
    mixture = Material.mixture("water", 1.0, {"H": 2 * 1.00794 * 7, "O": 15.9994 * 7})
    assert (water.z, water.a, water.radiation_length) == pytest.approx(
        (mixture.z, mixture.a, mixture.radiation_length)
    )
    assert water.radiation_length == pytest.approx(360.8, rel=3e-3)


@pytest.mark.parametrize("fractions", [{}, {"Pb": 0.0}, {"Pb": -1.0}, {"Adamantium": 1.0}])
def test_impossible_mixtures_are_named(fractions: dict[str, float]) -> None:
    with pytest.raises(GeometryError, match="material 'x': fractions are"):
        Material.mixture("x", 1.0, fractions)


def test_an_unknown_element_of_a_compound_is_named() -> None:
    with pytest.raises(GeometryError, match="Adamantium"):
        Material.compound("x", 1.0, {"Adamantium": 1})


def test_a_material_needs_positive_constants() -> None:
    with pytest.raises(GeometryError, match="density is 0"):
        Material("x", 1.0, 1.0, 1.0, 0.0, 1.0)


def test_materials_of_the_tables_are_known_by_the_names_of_geant4() -> None:
    assert nist("G4_W") == TUNGSTEN
    assert nist("G4_lAr") == LIQUID_ARGON
    assert nist("G4_Galactic").radiation_length > 1e20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "G4_Tungsten",
            (
                r"no material 'G4_Tungsten' in the NIST tables: .* describe it among the mixtures "
                r"of the detector"
            ),
        ),
        ("G4_PLEXIGLAS", "did you mean G4_PLEXIGLASS"),
    ],
)
def test_materials_that_are_not_in_the_tables_are_named(name: str, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        nist(name)


def test_slabs_of_one_material_are_that_material() -> None:
    layered = Material.layered("G4_Pb", [(LEAD, 2.0), (LEAD, 5.0)])
    for what in ("z", "a", "radiation_length", "density", "critical_energy"):
        assert getattr(layered, what) == pytest.approx(getattr(LEAD, what))


@given(
    st.lists(
        st.tuples(st.sampled_from([LEAD, SILICON, AIR, POLYSTYRENE]), st.floats(0.01, 100)),
        min_size=1,
        max_size=5,
    )
)
def test_slabs_keep_their_mass_and_their_depth(slabs: list[tuple[Material, float]]) -> None:
    layered = Material.layered("slabs", slabs)
    depth = sum(d for _, d in slabs)
    assert depth * layered.density == pytest.approx(sum(d * m.density for m, d in slabs))
    assert depth / layered.radiation_length == pytest.approx(
        sum(d / m.radiation_length for m, d in slabs)
    )
    assert min(m.moliere_radius for m, _ in slabs) <= layered.moliere_radius * (1 + 1e-9)
    assert layered.moliere_radius <= max(m.moliere_radius for m, _ in slabs) * (1 + 1e-9)


NAMES = """
import geant4_pybind as g4
manager = g4.G4NistManager.Instance()
for name in manager.GetNistMaterialNames():
    material = manager.FindOrBuildMaterial(name)
    print(name, material.GetRadlen(), material.GetDensity() * g4.cm3 / g4.g)
"""


@needs_geant4
def test_radiation_lengths_and_densities_are_those_of_geant4() -> None:
    environment = {**os.environ, "GEANT4_DATA_DIR": os.environ.get("GEANT4_DATA_DIR", ".")}
    printed = subprocess.run(
        [sys.executable, "-c", NAMES], env=environment, capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in printed.splitlines() if line.startswith("G4_")]
    assert len(rows) > 300
    for name, length, density in rows:
        material = nist(name)
        assert material.radiation_length == pytest.approx(float(length), rel=3e-5), name
        assert material.density == pytest.approx(float(density), rel=1e-6), name
