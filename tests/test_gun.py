"""The particle gun: what is drawn, how it is written, and that nothing else has a say."""

import math
from dataclasses import replace

import pytest
import torch

from caloforge.errors import GeometryError, ShowerValueError, UnitError
from caloforge.geometry import RegularGrid, named_calorimeters
from caloforge.gun import (
    Area,
    Fixed,
    Gun,
    Interval,
    LogUniform,
    Mixture,
    ParticleSource,
    Spectrum,
    Uniform,
    cell_of,
    filling,
    like,
    read_angle,
    read_area,
    read_range,
    read_species,
    read_spectrum,
)
from caloforge.particles import Particles
from tests.makers import fast_showers

SPECTRA: dict[str, Spectrum] = {
    "50GeV": Fixed(50_000.0),
    "1GeV:100GeV": Uniform(1000.0, 100_000.0),
    "1GeV:100GeV:log": LogUniform(1000.0, 100_000.0),
}


@pytest.mark.parametrize(("text", "spectrum"), SPECTRA.items())
def test_what_is_written_is_read_again(text: str, spectrum: Spectrum) -> None:
    assert read_spectrum(text) == spectrum
    assert str(spectrum) == text


@pytest.mark.parametrize(
    "text", ["1GeV:log", "1GeV:2GeV:3GeV", "1GeV:2GeV:lin", "1GeV:2GeV:log:log"]
)
def test_other_words_are_answered_with_the_forms(text: str) -> None:
    with pytest.raises(UnitError, match=r"expected an energy E, a range LOW:HIGH, or LOW:HIGH:log"):
        read_spectrum(text)


@pytest.mark.parametrize("read", [read_spectrum, read_range])
def test_a_range_runs_upward(read: object) -> None:
    assert callable(read)
    with pytest.raises(UnitError, match="'2GeV:1GeV' runs downward: write LOW:HIGH"):
        read("2GeV:1GeV")


def test_more_than_a_decade_is_filled_evenly_in_the_logarithm() -> None:
    assert filling(10_000.0, 100_000.0) == Uniform(10_000.0, 100_000.0)
    assert filling(1000.0, 100_000.0) == LogUniform(1000.0, 100_000.0)
    assert filling(1000.0, 1000.0) == Fixed(1000.0)
    assert filling(1000.0, 100_000.0).title == "1 GeV to 100 GeV, log-uniform"
    assert filling(1000.0, 1000.0).title == "1 GeV"


def test_energies_keep_their_bits() -> None:
    """Files written by earlier versions are written again."""
    expected = [82591.953125, 38355.203125, 76194.890625]
    assert Gun(3, Uniform(10_000.0, 100_000.0), seed=1)[:].energies.tolist() == expected


def test_log_uniform_energies_are_the_uniform_ones_in_the_logarithm() -> None:
    number, low, high = 20_000, 1000.0, 1e6
    energies = Gun(number, LogUniform(low, high), 5)[:].energies
    parts = Gun(number, Uniform(1.0, 2.0), 5)[:].energies.double() - 1
    torch.testing.assert_close(
        energies.double().log(), math.log(low) + math.log(high / low) * parts, rtol=1e-6, atol=0
    )
    assert energies.min() >= low
    assert energies.max() <= high
    counts = energies.log10().histc(3, 3, 6)
    assert (counts / number - 1 / 3).abs().max() < 5 * math.sqrt(2 / 9 / number)


@pytest.mark.parametrize("spectrum", [Uniform(1000.0, 1e5), LogUniform(1000.0, 1e5)])
def test_a_particle_is_a_function_of_seed_and_number(spectrum: Spectrum) -> None:
    whole = Gun(100, spectrum, 3)[:].energies
    assert torch.equal(Gun(100, spectrum, 3)[40:60].energies, whole[40:60])
    assert torch.equal(Gun(100, spectrum, 3)[1:70:3].energies, whole[1:70:3])
    assert torch.equal(Gun(10, spectrum, 3)[:].energies, whole[:10])
    assert not torch.isclose(Gun(100, spectrum, 4)[:].energies, whole).any()


@pytest.mark.parametrize(
    "spectrum", [Fixed(15.15), *(kind(15.15, 15.15) for kind in (Uniform, LogUniform))]
)
def test_energies_stay_in_a_range_that_single_precision_cannot_write(spectrum: Spectrum) -> None:
    assert (Gun(50, spectrum, 1)[:].energies == torch.tensor(15.15)).all()


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (2.0, 1.0), (1.0, math.inf), (-1.0, 1.0)])
def test_impossible_ranges_are_refused(low: float, high: float) -> None:
    for kind in (Uniform, LogUniform):
        with pytest.raises(ShowerValueError, match="expected 0 < lowest <= highest"):
            kind(low, high)


def test_species_and_direction_are_those_asked_for() -> None:
    found = Gun(4, Fixed(1e4), 1, pdg=22, theta=0.1, phi=2.0)[1:3]
    assert found.pdg == 22
    assert found.theta is not None
    assert found.phi is not None
    assert found.theta.tolist() == pytest.approx([0.1, 0.1])
    assert found.phi.tolist() == pytest.approx([2.0, 2.0])
    assert isinstance(Gun(4, Fixed(1e4), 1), ParticleSource)


def test_like_keeps_all_that_is_known_of_the_particles() -> None:
    given = Particles(torch.full((5,), 2e4), -11, torch.rand(5), torch.rand(5))
    found = like(replace(fast_showers(5), particles=given), 3)
    assert found.pdg == -11
    assert found.theta is not None
    assert found.phi is not None
    assert given.theta is not None
    assert given.phi is not None
    assert torch.equal(found.theta, given.theta[:3])
    assert torch.equal(found.phi, given.phi[:3])
    with pytest.raises(ShowerValueError, match="6 particles asked of a source that holds 5"):
        like(replace(fast_showers(5), particles=given), 6)


ANYWHERE = Gun(
    20_000,
    Fixed(1e4),
    seed=1,
    pdg=Mixture(((11, 2.0), (22, 1.0), (211, 1.0))),
    theta=Interval(0.0, 0.5),
    phi=Interval(-math.pi, math.pi),
    area=Area(Interval(-2.0, 3.0), Interval(1.0, 1.0)),
)


def test_species_come_in_the_proportions_of_the_mixture() -> None:
    pdg = ANYWHERE[:].pdg
    assert isinstance(pdg, torch.Tensor)
    for species, share in ((11, 0.5), (22, 0.25), (211, 0.25)):
        spread = math.sqrt(share * (1 - share) / len(ANYWHERE))
        assert abs(float((pdg == species).double().mean()) - share) < 5 * spread


def test_angles_and_places_fill_their_intervals_evenly_and_independently() -> None:
    found = ANYWHERE[:]
    assert found.theta is not None
    assert found.phi is not None
    assert found.place is not None
    assert (found.place[:, 1] == 1).all()
    drawn = torch.stack([found.theta, found.phi, found.place[:, 0], found.pdg == 11]).double()
    scaled = (drawn[:3] - torch.tensor([[0.0], [-math.pi], [-2.0]])) / torch.tensor(
        [[0.5], [2 * math.pi], [5.0]]
    )
    n = len(found)
    assert (scaled.sort(dim=1).values - torch.arange(n) / n).abs().max() < 2 / math.sqrt(n)
    others = drawn.corrcoef() - torch.eye(4)
    assert others.abs().max() < 5 / math.sqrt(n)


def test_every_particle_is_a_function_of_seed_and_number() -> None:
    whole = ANYWHERE[:]
    assert ANYWHERE[100:200] == whole[100:200]
    assert replace(ANYWHERE, number=50)[:] == whole[:50]
    assert replace(ANYWHERE, seed=2)[:50] != whole[:50]
    assert torch.equal(Gun(50, Fixed(1e4), 1)[:].energies, whole[:50].energies)


def test_species_angles_and_places_are_read() -> None:
    assert read_species("gamma") == 22
    assert read_species("e-:2,gamma:1, -11") == Mixture(((11, 2.0), (22, 1.0), (-11, 1.0)))
    assert str(read_species("e-:2,gamma")) == "e-:2,gamma:1"
    assert read_angle("90deg").high == pytest.approx(math.pi / 2)
    assert read_angle("-0.5rad:0.5rad") == Interval(-0.5, 0.5)
    assert read_area("1mm,-2cm") == Area(Interval(1.0, 1.0), Interval(-20.0, -20.0))
    assert read_area("-5mm:5mm,0mm") == Area(Interval(-5.0, 5.0), Interval(0.0, 0.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("e-:0,gamma:1", "each with a positive share"),
        ("e-:-1,gamma:1", "each with a positive share"),
        ("e-:nan", "each with a positive share"),
        ("e-:1,11:2", "mixture 'e-:1,e-:2': a species stands twice, add up its shares"),
        ("e-:two", "share 'two', expected a positive number, as in e-:2,gamma:1"),
        ("elektron:1,gamma", "species 'elektron': expected a name .* did you mean electron"),
        ("", "species ''"),
    ],
)
def test_what_is_no_species_is_refused(text: str, message: str) -> None:
    with pytest.raises(ShowerValueError, match=message):
        read_species(text)


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_angle, "30", "angle '30': expected a number with its unit, such as 30deg"),
        (read_angle, "45deg:0deg", "runs downward"),
        (read_angle, "infdeg", "expected a number with its unit"),
        (read_area, "5mm", "expected a place X,Y such as 1mm,-2mm"),
        (read_area, "1mm,2", "length '2': expected a number with its unit"),
        (read_area, "1mm,2mm:1mm", "runs downward"),
    ],
)
def test_what_is_no_angle_or_place_is_refused(read: object, text: str, message: str) -> None:
    assert callable(read)
    with pytest.raises(UnitError, match=message):
        read(text)


def test_an_interval_has_finite_ends_in_order() -> None:
    for low, high in ((1.0, 0.0), (math.nan, 1.0), (0.0, math.inf)):
        with pytest.raises(ShowerValueError, match="expected lowest <= highest, both finite"):
            Interval(low, high)


def test_a_cell_is_one_of_the_first_layer() -> None:
    assert cell_of(RegularGrid("tower", (4, 4, 3), (5.0, 8.0, 2.0))) == Area(
        Interval(-2.5, 2.5), Interval(-4.0, 4.0)
    )
    with pytest.raises(GeometryError, match="the cells of its first layer are no boxes"):
        cell_of(named_calorimeters()["calochallenge-2"])
