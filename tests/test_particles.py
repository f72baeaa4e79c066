"""Laws of particles: slicing, joining, equality, turning; names of species."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from caloforge import species
from caloforge.errors import ShowerValueError
from caloforge.particles import ELECTRON, Particles, Species, name_of, pdg_of

SPECIES = {"one": ELECTRON, "unknown": None, "each": torch.tensor([11, 22, 211, 11, -11, 22])}


def particles(n: int = 6, pdg: Species = ELECTRON, *, directed: bool = True) -> Particles:
    if not directed:
        return Particles(torch.rand(n) + 1, pdg)
    phi = (torch.rand(n, dtype=torch.float64) * 2 - 1) * math.pi
    place = torch.randn(n, 2, dtype=torch.float64)
    return Particles(torch.rand(n) + 1, pdg, torch.rand(n) * 0.4, phi, place)


def rotation(angle: float, *, mirrored: bool) -> Tensor:
    sign = -1.0 if mirrored else 1.0
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -sign * s], [s, sign * c]], dtype=torch.float64)


def directions(some: Particles) -> Tensor:
    assert some.phi is not None
    return torch.stack([some.phi.cos(), some.phi.sin()], dim=1)


@pytest.mark.parametrize("pdg", SPECIES.values(), ids=SPECIES)
@pytest.mark.parametrize("directed", [True, False])
def test_parts_join_to_the_whole(pdg: Species, directed: bool) -> None:
    whole = particles(pdg=pdg, directed=directed)
    for split in range(len(whole) + 1):
        assert Particles.cat([whole[:split], whole[split:]]) == whole
    assert whole[torch.tensor([4, 1])] == Particles.cat([whole[4:5], whole[1:2]])
    assert whole.to("cpu") == whole


def test_samples_of_different_species_join_to_one_with_a_species_each() -> None:
    electrons, photons = particles(2, directed=False), particles(3, 22)
    joined = Particles.cat([electrons, photons, particles(1, torch.tensor([211]))])
    assert isinstance(joined.pdg, Tensor)
    assert joined.pdg.tolist() == [11, 11, 22, 22, 22, 211]
    assert joined.species == (11, 22, 211)
    assert (joined[:2], joined[2:5]) == (electrons, photons)
    assert joined.theta is not None
    assert joined.theta[:2].tolist() == [0, 0]


def test_a_species_that_is_not_known_joins_with_no_other() -> None:
    assert Particles.cat([particles(1, None), particles(2, None)]).pdg is None
    with pytest.raises(ShowerValueError, match="species of some particles to join is known"):
        Particles.cat([particles(1, None), particles(1)])


def test_equal_particles_may_be_written_out_or_not() -> None:
    short = particles(directed=False)
    zeros = torch.zeros(6)
    long = Particles(short.energies, torch.full((6,), ELECTRON), zeros, zeros, torch.zeros(6, 2))
    assert short == long
    assert short != Particles(short.energies, 22)
    assert short != Particles(short.energies, None)
    assert short != Particles(short.energies, ELECTRON, zeros + 0.1)
    assert short != Particles(short.energies + 1)
    assert short != short[:5]
    assert short != "particles"


def test_one_species_is_asked_for_by_those_who_need_one() -> None:
    assert particles().one_species() == ELECTRON
    assert particles(2, torch.tensor([22, 22])).one_species() == 22
    assert particles(2, None).one_species() is None
    assert particles(2, None).species == ()
    with pytest.raises(ShowerValueError, match=r"of 2 species, e-, gamma: expected one"):
        particles(2, torch.tensor([22, 11])).one_species()


@given(angle=st.floats(-7, 7), mirrored=st.booleans())
def test_directions_and_places_turn_with_the_matrix(angle: float, mirrored: bool) -> None:
    before, matrix = particles(), rotation(angle, mirrored=mirrored)
    after = before.rotated(matrix)
    assert before.place is not None
    assert after.place is not None
    assert after.phi is not None
    assert bool((after.phi.abs() <= math.pi + 1e-12).all())
    torch.testing.assert_close(after.place, before.place @ matrix.T)
    torch.testing.assert_close(directions(after), directions(before) @ matrix.T)
    back = after.rotated(matrix.T)
    torch.testing.assert_close(directions(back), directions(before))
    assert back[:0] == before[:0]


def test_each_particle_may_turn_by_a_matrix_of_its_own() -> None:
    before = particles(4)
    matrices = [rotation(0.3 * k, mirrored=k % 2 == 1) for k in range(4)]
    after = before.rotated(torch.stack(matrices))
    assert after == Particles.cat([before[k : k + 1].rotated(m) for k, m in enumerate(matrices)])


def test_the_identity_changes_no_bit() -> None:
    before = particles()
    assert before.rotated(torch.eye(2)) == before


def test_what_is_left_out_stays_so_where_turning_changes_nothing() -> None:
    matrix = rotation(math.pi / 2, mirrored=False)
    along = particles(directed=False)
    assert along.rotated(matrix).phi is None
    tilted = Particles(along.energies, theta=torch.full((6,), 0.1)).rotated(matrix)
    assert tilted.phi is not None
    torch.testing.assert_close(tilted.phi, torch.full((6,), math.pi / 2))


@pytest.mark.parametrize(
    ("species", "pdg"),
    [
        *(("e-", 11), ("e+", -11), ("gamma", 22), ("mu-", 13), ("pi+", 211), ("pi-", -211)),
        *(("pi0", 111), ("proton", 2212), ("p", 2212), ("p+", 2212), ("K(L)0", 130)),
        *(("K_L0", 130), ("n", 2112), ("electron", 11), ("photon", 22), ("22", 22), (" e- ", 11)),
        *((11, 11), ("-211", -211), (1000020040, 1000020040)),
    ],
)
def test_names_and_numbers_of_species(species: str | int, pdg: int) -> None:
    assert pdg_of(species) == pdg


@pytest.mark.parametrize(
    ("species", "near"), [("electorn", "electron"), ("gama", "gamma"), ("pi", "pi")]
)
def test_an_unknown_species_meets_names_that_are_near(species: str, near: str) -> None:
    with pytest.raises(ShowerValueError, match=f"species '{species}': expected .* mean .*{near}"):
        pdg_of(species)


def test_a_species_like_no_other_meets_no_suggestion() -> None:
    with pytest.raises(ShowerValueError, match=r"such as e-, gamma, pi\+ or a PDG number$"):
        pdg_of("????????")


def test_a_number_has_its_name_where_there_is_one() -> None:
    assert [name_of(pdg) for pdg in (11, -11, 22, 211, 2212)] == ["e-", "e+", "gamma", "pi+", "p"]
    assert name_of(424242) == "PDG 424242"


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_unphysical_energies_are_counted_and_the_first_is_shown(bad: float) -> None:
    energies = torch.tensor([1.0, 2.0, bad, 3.0, bad])
    with pytest.raises(
        ShowerValueError,
        match=r"2 of 5 incident energies are not positive and finite, the first at index 2 \(",
    ):
        Particles(energies)


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ({"phi": torch.zeros(3)}, r"phi has shape \(3,\), expected \(2,\)"),
        ({"theta": torch.zeros(2, 1)}, r"theta has shape \(2, 1\), expected \(2,\)"),
        ({"place": torch.zeros(2)}, r"place has shape \(2,\), expected \(2, 2\)"),
        ({"pdg": torch.tensor([11])}, r"pdg has shape \(1,\) and type torch.int64, expected"),
        ({"theta": torch.tensor([0.0, math.nan])}, "1 of 2 numbers of theta are not finite"),
        ({"place": torch.full((2, 2), math.inf)}, "4 of 4 numbers of place are not finite"),
    ],
)
def test_every_particle_has_its_numbers(given_values: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ShowerValueError, match=message):
        Particles(torch.ones(2), **given_values)


def test_energies_have_one_axis() -> None:
    with pytest.raises(ShowerValueError, match=r"shape \(2, 1\), expected \(N,\)"):
        Particles(torch.ones(2, 1))


def test_the_names_that_one_meets_are_those_of_the_whole_table() -> None:
    """They are kept apart, as the table takes a second to read."""
    for name, pdg in species._COMMON.items():
        assert (species._names()[pdg], species._numbers()[name]) == (name, pdg)


def test_a_direction_is_that_of_the_angles() -> None:
    """Of unit length, along the axis without angles, and at the azimuth 0 without one."""
    theta, phi = torch.tensor([0.3, 0.7]), torch.tensor([1.0, -2.0])
    energies = torch.ones(2)
    both = Particles(energies, theta=theta, phi=phi).directions
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(both[:, 2].acos(), theta.double())
    torch.testing.assert_close(torch.atan2(both[:, 1], both[:, 0]), phi.double())
    assert Particles(energies).directions.tolist() == [[0.0, 0.0, 1.0]] * 2
    plane = Particles(energies, theta=theta).directions
    torch.testing.assert_close(plane[:, 0].asin(), theta.double())
