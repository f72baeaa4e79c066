import pytest

from caloforge.errors import GeometryError
from caloforge.materials import (
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
)


def test_lead_tungstate_has_the_constants_that_geant4_prints() -> None:
    material = LEAD_TUNGSTATE.like_geant4()
    found = material.z, material.a, material.radiation_length, material.moliere_radius, material.critical_energy
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
def test_radiation_lengths_are_those_of_the_particle_data_group(material: Material, grams: float) -> None:
    assert material.radiation_length / 10 * material.density == pytest.approx(grams, rel=3e-3)


@pytest.mark.parametrize(
    ("material", "energy"), [(LEAD, 7.43), (TUNGSTEN, 7.97), (COPPER, 19.42), (IRON, 21.68), (LIQUID_ARGON, 32.84)]
)
def test_critical_energies_are_near_those_of_the_particle_data_group(material: Material, energy: float) -> None:
    assert material.critical_energy == pytest.approx(energy, rel=0.12)


def test_density_scales_lengths_alone() -> None:
    dense = Material.mixture("dense lead", 2 * 11.35, {"Pb": 1.0})
    assert dense.radiation_length == pytest.approx(LEAD.radiation_length / 2)
    assert dense.critical_energy == LEAD.critical_energy


def test_a_compound_is_the_mixture_of_its_masses_in_any_scale() -> None:
    water = Material.compound("water", 1.0, {"H": 2, "O": 1})
    mixture = Material.mixture("water", 1.0, {"H": 2 * 1.00794 * 7, "O": 15.9994 * 7})
    assert (water.z, water.a, water.radiation_length) == pytest.approx((mixture.z, mixture.a, mixture.radiation_length))
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
