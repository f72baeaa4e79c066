"""Hybrid runs: Geant4's events, in which a surrogate makes some of the showers."""

from dataclasses import replace

import pytest
import torch

from caloforge.detector import Boxes, Detector, Layers, Role, Slab, load_detector
from caloforge.errors import GeometryError, GeometryMismatchError, ShowerValueError
from caloforge.gun import Gun, Uniform
from caloforge.hits import AnyShowers, dense
from caloforge.hybrid import Events, EventSource, Hybrid
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.simulators import Geant4, GFlash, gflash_of
from tests.geant4 import actor, needs_geant4

__all__ = ["actor"]

CRYSTALS = load_detector("pbwo4-10x10")
AT_THE_FACE = replace(CRYSTALS, distance=0.0)
ANYTHING = Particles([300.0, 2000.0, 500.0, 900.0, 4000.0, 700.0], [11, 22, 11, -11, 11, 22])


def gflash() -> GFlash:
    return gflash_of(AT_THE_FACE)


def hybrid(detector: Detector = AT_THE_FACE, **more: object) -> Hybrid:
    full = Geant4(detector, "em-option1")
    return Hybrid(full, gflash(), **more)  # type: ignore[arg-type]


def deposits(showers: AnyShowers) -> torch.Tensor:
    return dense(showers).deposits


def test_events_add_up_to_one_particle_each() -> None:
    events = Events(ANYTHING, 3)
    assert torch.equal(events.energies, torch.tensor([2800.0, 5600.0]))
    assert (len(events), events.species) == (2, ())
    assert torch.equal(events[1:].members.energies, ANYTHING.energies[3:])
    assert Events(ANYTHING, 1) == ANYTHING
    with pytest.raises(ShowerValueError, match="6 particles are no events of 4 each"):
        Events(ANYTHING, 4)


def test_events_of_a_gun_are_had_by_slices() -> None:
    gun = Gun(20, Uniform(1e3, 2e3), seed=1)
    events = EventSource(gun, 5)
    assert len(events) == 4
    assert torch.equal(events[1:3].members.energies, gun[5:15].energies)


def test_where_all_are_replaced_events_are_the_surrogates() -> None:
    """And Geant4 is not even started: it has no data here."""
    full = hybrid()
    assert torch.equal(
        deposits(full.simulate(ANYTHING, seed=3, first_index=7)),
        deposits(gflash().simulate(ANYTHING, seed=3, first_index=7)),
    )
    assert full.counts == {"events": 6, "replaced": 6}


def test_the_showers_of_an_event_add_up() -> None:
    both = deposits(hybrid().simulate(Events(ANYTHING, 2), seed=3, first_index=5))
    each = [
        deposits(gflash().simulate(ANYTHING[rank::2], seed=3, first_index=5 + (rank << 32)))
        for rank in (0, 1)
    ]
    assert torch.equal(both, (each[0].double() + each[1].double()).float())


def test_an_event_does_not_depend_on_the_others(actor: None) -> None:
    """The actor plays Geant4, for what is left below 800 MeV."""
    maker, events = hybrid(above=800.0), Events(ANYTHING, 2)
    whole = deposits(maker.simulate(events, seed=1))
    assert maker.counts["replaced"] == 3
    parts = [deposits(maker.simulate(events[k : k + 1], seed=1, first_index=k)) for k in range(3)]
    assert torch.equal(whole, torch.cat(parts))
    two = replace(maker, geant4=replace(maker.geant4, workers=2))
    assert torch.equal(whole, deposits(two.simulate(events, seed=1)))


def test_gaps_between_events_are_left_out(actor: None) -> None:
    """Runs with gaps are made at once, with showers that nobody gets."""
    some = Particles([900.0, *[300.0] * 3, 900.0, *[300.0] * 20, 900.0])
    maker = hybrid(above=800.0)
    found = deposits(maker.simulate(some, seed=1))
    alone = deposits(gflash().simulate(some, seed=1))
    rows = torch.tensor([0, 4, 25])
    assert torch.equal(found[rows], alone[rows])
    assert not torch.equal(found[1:4], alone[1:4])


def test_the_threshold_is_asked_of_the_sum() -> None:
    low, high = (replace(AT_THE_FACE, threshold=t) for t in (0.0, 5.0))
    pair = Particles(torch.full((2,), 500.0))
    summed, cut = (
        Hybrid(Geant4(d, "em-option1"), replace(gflash(), threshold=0.0)).simulate(
            Events(pair, 2), seed=1
        )
        for d in (low, high)
    )
    kept = deposits(summed) >= 5.0
    assert kept.any()
    assert torch.equal(deposits(cut), deposits(summed) * kept)
    assert dense(cut).threshold == 5.0


class AlongTheAxis:
    """A surrogate that knows the axis and the centre alone, and remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[Particles] = []
        self.calorimeter = CRYSTALS.calorimeter
        self.validity = replace(
            gflash().validity, largest_angle=0.0, largest_offset=0.0, species=(11,)
        )

    def simulate(self, particles: Particles, **_: object) -> Showers:
        self.given.append(particles)
        return Showers(torch.ones(len(particles), 100), particles, self.calorimeter)


def test_particles_off_the_axis_are_taken_within_what_is_allowed(actor: None) -> None:
    particles = Particles(
        torch.full((3,), 1000.0),
        theta=torch.tensor([0.0, 0.01, 0.1]),
        place=torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]),
    )
    strict, generous = AlongTheAxis(), AlongTheAxis()
    full = Geant4(AT_THE_FACE, "em-option1")
    Hybrid(full, strict).simulate(particles, seed=1)
    Hybrid(full, generous, angle=0.02, offset=2.0).simulate(particles, seed=1)
    assert [len(given) for given in (strict.given[0], generous.given[0])] == [1, 2]
    assert (generous.given[0].theta, generous.given[0].place) == (None, None)


def test_what_cannot_be_replaced_is_refused() -> None:
    full = Geant4(AT_THE_FACE, "em-option1")
    with pytest.raises(ShowerValueError, match="not made for gamma: expected some of e-"):
        Hybrid(full, AlongTheAxis(), (11, 22))
    with pytest.raises(ShowerValueError, match="made for at most 10 TeV"):
        hybrid(above=1e8)
    with pytest.raises(GeometryMismatchError):
        Hybrid(Geant4(load_detector("ild-ecal-30")), gflash())
    mesh = Hybrid(Geant4(load_detector("par04-siw")))
    with pytest.raises(ShowerValueError, match="lie along each particle"):
        mesh.simulate(Events(ANYTHING, 2), seed=1)


def test_matter_in_front_is_passive_and_has_room() -> None:
    metal = Slab("G4_Al", 20.0)
    detector = replace(CRYSTALS, front=(metal,))
    assert Detector.from_description(detector.describe()) == detector
    assert "front" not in CRYSTALS.describe()
    with pytest.raises(GeometryError, match="20 mm thick, and particles start 0 mm before"):
        replace(AT_THE_FACE, front=(metal,))
    with pytest.raises(GeometryError, match="not passive"):
        replace(CRYSTALS, front=(Slab("G4_Al", 20.0, Role.ACTIVE),))
    with pytest.raises(GeometryError, match="nothing of G4_Al in front"):
        gflash_of(detector)


@needs_geant4
def test_where_nothing_is_replaced_events_are_geant4s_bit_for_bit() -> None:
    """Also where the gate looks at all that enters, and takes nothing."""
    particles = Particles([300.0, 500.0], [11, 22])
    full = Geant4(CRYSTALS, "em-option1")
    alone = full.simulate(particles, seed=1)
    idle = Hybrid(full, gflash(), above=9e6)
    for maker in (Hybrid(full), idle):
        found = dense(maker.simulate(particles, seed=1))
        assert torch.equal(found.deposits, alone.deposits)
        assert (found.particles, found.threshold) == (alone.particles, alone.threshold)
    assert idle.counts["replaced"] == 0


@needs_geant4
def test_what_enters_behind_matter_is_taken_with_its_secondaries() -> None:
    """Two particles in an event leave all their energy but what the metal keeps."""
    behind = replace(CRYSTALS, front=(Slab("G4_Al", 40.0),))
    maker = Hybrid(Geant4(behind, "em-option1"), gflash(), above=100.0)
    found = deposits(maker.simulate(Events(Particles(torch.full((4,), 2000.0)), 2), seed=1))
    sums = found.sum(dim=1)
    assert maker.counts["replaced"] > 4
    assert bool(((sums > 3600) & (sums < 4000)).all())
    assert torch.equal(
        found[1:],
        deposits(
            maker.simulate(Events(Particles(torch.full((2,), 2000.0)), 2), seed=1, first_index=1)
        ),
    )


@needs_geant4
def test_two_particles_of_an_event_are_both_there() -> None:
    layers = (Layers(1, (Slab("G4_PbWO4", 240.0, Role.ACTIVE),), Boxes((2, 2), (150.0, 150.0))),)
    blocks = Detector("blocks", layers, (300.0, 300.0), order="zxy")
    place = torch.tensor([[75.0, 75.0], [-75.0, -75.0]])
    pair = Events(Particles([400.0, 800.0], place=place), 2)
    found = deposits(Hybrid(Geant4(blocks, "em-option1")).simulate(pair, seed=1))[0]
    lit = found.sort(descending=True).values
    assert bool((lit[:2] > torch.tensor([700.0, 300.0])).all())
    assert float(lit[2:].sum()) < 100.0
