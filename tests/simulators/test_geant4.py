"""Geant4: what a shower may depend on, where its energy goes, and what becomes of a worker that
dies.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from caloforge.detector import (
    Boxes,
    Detector,
    EqualRings,
    Layers,
    Mixture,
    Role,
    Slab,
    load_detector,
)
from caloforge.detector.readout import Readout
from caloforge.errors import (
    EnergyRangeError,
    Geant4Error,
    GeometryError,
    ShowerValueError,
)
from caloforge.particles import ELECTRON, Particles
from caloforge.points import Points
from caloforge.showers import Showers
from caloforge.simulators import Geant4, Record, TimedShowers
from caloforge.simulators.geant4.engine import _seeds
from tests.geant4 import IRREGULAR, LAST_WORDS, actor, needs_geant4

__all__ = ["actor"]

CRYSTALS = load_detector("pbwo4-10x10")
PAR04 = load_detector("par04-lowgran")
SIMULATOR = Geant4(CRYSTALS, "em-option1")
PHOTON, PION, MUON = 22, 211, 13
C_LIGHT = 299.792458


def beam(n: int, energy: float = 100.0, pdg: int = ELECTRON) -> Particles:
    return Particles(torch.full((n,), energy), pdg)


def mixed(n: int) -> Particles:
    """Electrons, photons and positrons at several angles and places."""
    species = torch.tensor([ELECTRON, PHOTON, -ELECTRON])[torch.arange(n) % 3]
    place = torch.stack([torch.arange(n) - 2.0, torch.full((n,), 3.0)], dim=1)
    angles = 0.1 * torch.arange(n), torch.arange(n) * 1.0
    return Particles(torch.full((n,), 100.0), species, *angles, place)


@needs_geant4
@pytest.mark.parametrize(
    "detector",
    [CRYSTALS, replace(PAR04, inner_radius=None), PAR04, IRREGULAR],
    ids=["boxes", "rings", "cylinder", "irregular"],
)
def test_a_shower_is_the_same_for_any_number_of_workers_and_any_batch(detector: Detector) -> None:
    one, two = Geant4(detector, "em-option1"), Geant4(detector, "em-option1", workers=2)
    whole = one.simulate(mixed(6), seed=3)
    parts = two.stream(mixed(6), seed=3, size=4)
    assert torch.equal(Showers.cat([part.showers for part in parts]).deposits, whole.deposits)
    last = one.simulate(mixed(6)[4:6], seed=3, first_index=4)
    assert torch.equal(last.deposits, whole.deposits[4:])
    assert not torch.equal(one.simulate(mixed(6), seed=4).deposits, whole.deposits)
    assert len(whole.deposits.unique(dim=0)) == 6


@needs_geant4
@pytest.mark.parametrize("pdg", [ELECTRON, -ELECTRON, PHOTON])
def test_a_block_holds_the_energy_and_no_more(pdg: int) -> None:
    [(showers, times)] = SIMULATOR.stream(beam(4, 500.0, pdg), seed=1)
    deposits = showers.deposits.double()
    assert (deposits >= 0).all()
    mass = 2 * 0.511 if pdg == -ELECTRON else 0.0
    assert (deposits.sum(1) <= (500.0 + mass) * (1 + 1e-6)).all()
    assert deposits.sum(1).mean() > 0.8 * 500.0
    assert (times > 0).all()


@needs_geant4
@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("pbwo4-10x10", (13, 55, 97)),
        ("ild-ecal-30", (105, 450, 800)),
        ("calogan-3layer", (10, 150, 280)),
        ("par04-lowgran", (23, 80, 130)),
        ("hgcal-si", (3, 234, 466)),
    ],
)
def test_a_muon_is_seen_in_the_cell_that_it_meets(name: str, cells: tuple[int, ...]) -> None:
    """The numbers of Geant4's volumes are those of the calorimeter: this fails where an axis is
    turned or swapped.
    """
    detector = load_detector(name)
    calorimeter = detector.calorimeter
    impact = calorimeter.centres[list(cells), :2].float()
    showers = Geant4(detector, "em-standard").simulate(
        replace(beam(len(cells), 100_000.0, MUON), place=impact), seed=1
    )
    first = calorimeter.layer_of_cell == 0
    assert calorimeter.layer_of_cell[list(cells)].eq(0).all()
    assert (showers.deposits * first).argmax(1).tolist() == list(cells)
    brightest = torch.stack(
        [
            (showers.deposits * (calorimeter.layer_of_cell == k)).argmax(1)
            for k in range(calorimeter.n_layers)
        ],
        1,
    )
    hit = showers.deposits.gather(1, brightest) > 0
    places = calorimeter.centres[brightest][..., :2]
    near = (places - impact[:, None]).abs() <= _largest_cell(detector)
    assert hit.double().mean() > 0.9
    assert near[hit].double().mean() > 0.85


def block(material: str, cells: Readout) -> Detector:
    return Detector(
        "block", (Layers(2, (Slab(material, 100.0, Role.ACTIVE),), cells),), (2000.0, 2000.0)
    )


@needs_geant4
@pytest.mark.parametrize(("material", "lost"), [("G4_PbWO4", 1e-5), ("G4_Si", 1e-3)])
def test_rings_hold_the_energy_of_undivided_slabs(material: str, lost: float) -> None:
    """Cells that are not in the geometry see all steps once: boxes as large as the slabs, that
    change no step, hold the same.
    """
    boxes, rings = (
        block(material, cells)
        for cells in (Boxes((1, 1), (2000.0, 2000.0)), EqualRings(50, 20.0, 8))
    )
    whole, divided = (
        Geant4(detector, "em-standard").simulate(beam(8), seed=1) for detector in (boxes, rings)
    )
    by_layer = divided.deposits.reshape(8, 2, -1).sum(2)
    assert torch.allclose(by_layer, whole.deposits, rtol=lost, atol=lost)


@needs_geant4
def test_a_wide_cylinder_is_as_good_as_flat() -> None:
    slabs = (Slab("G4_W", 1.4, Role.ABSORBER), Slab("G4_Si", 0.3, Role.ACTIVE))
    flat = Detector("flat", (Layers(30, slabs, EqualRings(5, 8.0, 4)),), (200.0, 200.0))
    means, errors = [], []
    for detector in (flat, replace(flat, inner_radius=20_000.0)):
        deposits = (
            Geant4(detector, "em-standard").simulate(beam(100, 500.0), seed=1).deposits.double()
        )
        parts = torch.cat(
            [deposits.reshape(100, 6, -1).sum(2), deposits.reshape(100, -1, 5).sum(1)], 1
        )
        means.append(parts.mean(0))
        errors.append(parts.std(0) / 10)
    assert ((means[0] - means[1]).abs() < 4 * errors[0].hypot(errors[1])).all()


@needs_geant4
def test_a_cylinder_is_hollow_and_closed() -> None:
    """Muons that start to the side of the axis meet each shell where the circle is, and see the
    shells in order.
    """
    slabs = (Slab("G4_W", 5.0, Role.ABSORBER), Slab("G4_Si", 1.0, Role.ACTIVE))
    layers = Layers(20, slabs, EqualRings(100, 1.0, 1))
    detector = Detector("round", (layers,), (400.0, 200.0), inner_radius=100.0)
    impact = torch.tensor([[0.0, 0.0], [50.5, 0.0], [0.0, 70.5], [-80.0, 30.0]])
    showers = Geant4(detector, "em-standard").simulate(
        replace(beam(4, 100_000.0, MUON), place=impact), seed=1
    )
    profile = showers.deposits.reshape(4, 20, 100)
    assert (profile.sum(2) > 0).all()
    assert profile.sum(1).argmax(1).tolist() == [0, 50, 70, 85]


def _largest_cell(detector: Detector) -> Tensor:
    sizes = [
        layers.cells.size if isinstance(layers.cells, Boxes) else (5.0, 5.0)
        for layers in detector.layers
    ]
    return torch.tensor(sizes).amax(0).double()


@needs_geant4
def test_a_particle_at_an_angle_walks_aside() -> None:
    cells = Boxes((20, 1), (10.0, 200.0))
    plates = tuple(Slab("G4_Al", 10.0, Role.ACTIVE) for _ in range(1))
    detector = Detector("slanted", (Layers(10, plates, cells),), (200.0, 200.0), distance=50.0)
    slope = torch.tensor([0.0, 0.5, 0.5])
    particles = Particles(
        torch.full((3,), 100_000.0), MUON, slope.atan(), torch.tensor([0.0, 0.0, torch.pi])
    )
    showers = Geant4(detector, "em-standard").simulate(
        replace(particles, place=torch.tensor([[5.0, 0.0]]).expand(3, 2)), seed=1
    )
    x = showers.deposits.reshape(3, 10, 20).argmax(2)[:, [0, 9]] * 10 - 95.0
    walked = torch.tensor([[5.0, 5.0], [7.5, 52.5], [2.5, -42.5]])
    assert (x - walked).abs().max() <= 10.0


@needs_geant4
def test_deposits_are_divided_and_cut() -> None:
    def made(**how: float) -> Tensor:
        slabs = (Slab("G4_Pb", 5.0, Role.ABSORBER), Slab("scintillator", 5.0, Role.ACTIVE))
        plastic = {"scintillator": Mixture(1.03, mass_fractions={"C": 0.915, "H": 0.085})}
        layers = Layers(10, slabs, Boxes((4, 4), (20.0, 20.0)))
        return (
            Geant4(Detector("own", (layers,), (80.0, 80.0), mixtures=plastic, **how), "em-standard")
            .simulate(beam(2, 300.0), seed=1)
            .deposits
        )

    raw, divided = made(), made(sampling_fraction=0.5, threshold=0.4)
    assert torch.equal(divided, torch.where(2 * raw >= 0.4, 2 * raw, 0.0))
    assert (divided != 2 * raw).any()


@needs_geant4
@pytest.mark.filterwarnings("ignore::caloforge.errors.PointsOutsideWarning")
def test_points_are_read_as_the_hits() -> None:
    """Points hold what lies beside all cells, too; sub-cells of any size change no hit."""
    one = Geant4(replace(IRREGULAR, threshold=0.0), "em-option1")
    place = torch.tensor([[0.0, 3.0], [2.0, -5.0], [46.0, 46.0], [-9.0, 0.0]])
    given = replace(mixed(4), energies=torch.full((4,), 1000.0), place=place)
    hits, points = one.hits(given, seed=3), one.points(given, seed=3)
    assert points.n_points > 1.3 * hits.n_hits
    assert points.point_energies.sum() > 1.001 * hits.hit_energies.sum()
    for made in (points, replace(one, merge=7.0).points(given, seed=3)):
        read = made.in_cells(one.calorimeter)
        assert torch.equal(read.cells, hits.cells)
        assert read.times is not None
        assert hits.times is not None
        assert torch.equal(read.times, hits.times)
        torch.testing.assert_close(read.hit_energies, hits.hit_energies)
    two = replace(one, workers=2)
    again = Points.cat([two.points(given[k : k + 2], seed=3, first_index=k) for k in (0, 2)])
    assert torch.equal(again.places, points.places)
    assert torch.equal(again.point_energies, points.point_energies)


@needs_geant4
def test_cells_that_are_no_volumes_are_the_same_however_they_are_read() -> None:
    found = [
        Geant4(PAR04, "em-option1", record=record).simulate(mixed(4), seed=3)
        for record in (Record.CELLS, Record.HITS)
    ]
    torch.testing.assert_close(found[0].deposits, found[1].deposits)


@needs_geant4
def test_times_are_those_of_light_or_later() -> None:
    """A layer is as far as light travels from the front face at least."""
    particles = beam(3, 500.0)
    hits = Geant4(IRREGULAR, "em-option1").hits(particles, seed=1)
    assert hits.times is not None
    depth = IRREGULAR.calorimeter.depths[hits.calorimeter.layer_of_cell[hits.cells.long()]]
    assert (hits.times * C_LIGHT > depth - 3.0).all()
    assert float(hits.times.median()) < 0.3


@needs_geant4
def test_pions_shower_in_tiles() -> None:
    """Not one shower is as another, and much is seen in scintillator behind steel."""
    detector = load_detector("ahcal-48")
    hits = Geant4(detector, "FTFP_BERT").hits(beam(3, 5000.0, PION), seed=1)
    energies = hits.to_showers().deposits.sum(1)
    assert (energies > 20).all()
    assert (energies < 500).all()
    assert len(energies.unique()) == 3


@needs_geant4
def test_an_unknown_material_is_said() -> None:
    layers = Layers(1, (Slab("G4_PbWO5", 5.0, Role.ACTIVE),), Boxes((1, 1), (20.0, 20.0)))
    with pytest.raises(GeometryError, match=r"G4_PbWO5.*G4_PbWO4"):
        Geant4(Detector("own", (layers,), (80.0, 80.0)), "em-standard").simulate(beam(2), seed=1)


def test_seeds_differ_and_are_never_zero() -> None:
    seeds = np.array(_seeds(1, torch.arange(20_000)))
    assert seeds.min() > 0
    assert seeds.max() < 2**32
    assert len(np.unique(seeds, axis=0)) == 20_000
    assert not set(_seeds(2, torch.arange(100))) & set(_seeds(1, torch.arange(100)))
    assert _seeds(1, torch.arange(5, 9)) == _seeds(1, torch.arange(20))[5:9]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_showers_come_in_order_whoever_makes_them(actor: None, workers: int, size: int) -> None:
    simulator = Geant4(CRYSTALS, "em-option1", workers=workers)
    particles = Particles(torch.arange(1, 81) * 10.0)
    told: list[int] = []
    parts = list(simulator.stream(particles, seed=5, size=size, progress=told.append))
    assert [len(part.showers) for part in parts] == [size] * (80 // size) + [80 % size] * bool(
        80 % size
    )
    showers = Showers.cat([part.showers for part in parts])
    assert torch.equal(showers.energies, particles.energies)
    assert torch.equal(showers.deposits.amax(1), particles.energies / 8)
    assert torch.equal(
        showers.deposits, Geant4(CRYSTALS, "em-option1").simulate(particles, seed=5).deposits
    )
    assert told == [1] * 80


def test_a_death_costs_no_finished_shower(actor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTOR_DIES_AT", "7")
    monkeypatch.setenv("ACTOR_LAST_WORDS", LAST_WORDS)
    made: list[TimedShowers] = []
    with pytest.raises(
        Geant4Error, match=r"em0003 in G4Model::ReadData\(\) file <brem_SB/br82> is not opened!$"
    ):
        made.extend(SIMULATOR.stream(beam(20), seed=1, size=5))
    assert [len(part.showers) for part in made] == [5, 2]


@pytest.mark.parametrize(
    ("words", "expected"), [("", "SIGABRT"), ("Traceback\nOSError: no space", "OSError: no space")]
)
def test_a_death_without_a_word_of_geant4_is_told(
    actor: None, monkeypatch: pytest.MonkeyPatch, words: str, expected: str
) -> None:
    monkeypatch.setenv("ACTOR_DIES_AT", "0")
    monkeypatch.setenv("ACTOR_LAST_WORDS", words)
    with pytest.raises(Geant4Error, match=expected):
        SIMULATOR.simulate(beam(3), seed=1)


def test_no_particles_make_no_showers(actor: None) -> None:
    assert len(SIMULATOR.simulate(beam(0), seed=1)) == 0


@pytest.mark.parametrize(
    ("particles", "error", "expected"),
    [
        (beam(2, pdg=PION), Geant4Error, "electromagnetic alone"),
        (Particles(torch.tensor([50.0, 2e8])), EnergyRangeError, "index 1"),
        (
            replace(beam(2), place=torch.tensor([[0.0, 0.0], [0.0, 151.0]])),
            ShowerValueError,
            "index 1",
        ),
        (
            Particles(torch.full((1,), 1e3), ELECTRON, torch.tensor([1.0]), torch.tensor([0.0])),
            ShowerValueError,
            "45 degrees",
        ),
    ],
)
def test_what_cannot_be_is_said_before_a_worker_starts(
    particles: Particles, error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        SIMULATOR.simulate(particles, seed=1)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"physics": "em-option7"}, "em-option1"),
        ({"cut": 0.0}, "cut 0"),
        ({"region_cuts": {Role.ACTIVE: -1.0}}, "cut 0.7, -1 mm"),
        ({"workers": 0}, "0 workers"),
        ({"merge": 0.0}, "at least 0.001 mm"),
    ],
)
def test_a_simulator_that_cannot_be_is_refused(how: dict[str, object], expected: str) -> None:
    with pytest.raises(Geant4Error, match=expected):
        Geant4(CRYSTALS, **how)  # type: ignore[arg-type]


@needs_geant4
def test_a_cut_of_every_role_is_the_cut() -> None:
    detector, everywhere = load_detector("ild-ecal-30"), dict.fromkeys(Role, 0.1)
    fine = Geant4(detector, "em-standard", cut=0.1).simulate(beam(4), seed=1)
    roles = Geant4(detector, "em-standard", cut=10.0, region_cuts=everywhere)
    assert torch.equal(roles.simulate(beam(4), seed=1).deposits, fine.deposits)
    active = Geant4(detector, "em-standard", cut=10.0, region_cuts={Role.ACTIVE: 0.1})
    assert not torch.equal(active.simulate(beam(4), seed=1).deposits, fine.deposits)


def test_without_the_wheel_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caloforge.simulators.geant4.engine.find_spec", lambda _: None)
    with pytest.raises(Geant4Error, match=r"pip install 'caloforge\[geant4\]'"):
        SIMULATOR.simulate(beam(1), seed=1)
