"""The media of a detector hold as much of each material as its slabs do."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammainc

from caloforge.detector import (
    Boxes,
    Detector,
    Layers,
    Mixture,
    Repeated,
    Role,
    Slab,
    detector_names,
    load_detector,
)
from caloforge.detector.materials import AIR, LEAD, LIQUID_ARGON, SILICON, TUNGSTEN, nist
from caloforge.errors import GeometryError
from caloforge.simulators import Homogeneous, Sampling, Stack, gflash_of
from caloforge.simulators.gflash.media import Part, medium_of, visible_shares

CELLS = Boxes((4, 4), (10.0, 10.0))
LEAD_SLAB, ARGON_SLAB = Slab("G4_Pb", 2.0, Role.ABSORBER), Slab("G4_lAr", 4.0, Role.ACTIVE)


def detector(*layers: Iterable[Slab | Repeated], number: int = 3, **others: object) -> Detector:
    return Detector(
        "test",
        tuple(Layers(number, tuple(slabs), CELLS) for slabs in layers),
        (40.0, 40.0),
        **others,
    )


def test_an_absorber_and_an_active_slab_are_a_sampling_medium() -> None:
    assert medium_of(detector([LEAD_SLAB, ARGON_SLAB])) == Sampling(LEAD, LIQUID_ARGON, 2.0, 4.0)


@pytest.mark.parametrize(
    "slabs",
    [
        [Repeated(5, (LEAD_SLAB, ARGON_SLAB))],
        [ARGON_SLAB, LEAD_SLAB],
        [replace(LEAD_SLAB, thickness=1.0), replace(LEAD_SLAB, thickness=1.0), ARGON_SLAB],
        [Repeated(7, (replace(LEAD_SLAB, role=Role.ACTIVE), ARGON_SLAB))],
    ],
    ids=["five periods", "active first", "in two plates", "absorber read too"],
)
def test_one_period_says_all(slabs: list[Slab | Repeated]) -> None:
    assert medium_of(detector(slabs)) == Sampling(LEAD, LIQUID_ARGON, 2.0, 4.0)


def test_passive_matter_counts_in_depth_and_not_in_the_mismatch() -> None:
    plain, filled = (
        medium_of(detector([LEAD_SLAB, ARGON_SLAB, *more])).constants
        for more in ([], [Slab("G4_AIR", 30.0)])
    )
    assert filled.mismatch == plain.mismatch
    assert filled.period == pytest.approx(plain.period + 30 / AIR.radiation_length)
    assert filled.radiation_length * filled.period == pytest.approx(36)
    assert filled.critical_energy == pytest.approx(plain.critical_energy, rel=3e-3)
    assert filled.moliere_radius == pytest.approx(6 * plain.moliere_radius, rel=1e-2)


@pytest.mark.parametrize("name", detector_names())
def test_the_depth_of_a_detector_is_that_of_its_slabs(name: str) -> None:
    known = load_detector(name)
    slabs = sum(
        slab.thickness / known.material(slab.material).radiation_length for slab in known.slabs
    )
    assert math.fsum(gflash_of(known).depths) == pytest.approx(slabs, rel=1e-9)


def test_without_an_absorber_a_medium_is_homogeneous() -> None:
    assert medium_of(detector([Slab("G4_BGO", 20.0, Role.ACTIVE)])) == Homogeneous(nist("G4_BGO"))
    wrapped = medium_of(detector([Slab("G4_BGO", 20.0, Role.ACTIVE), Slab("G4_Galactic", 10.0)]))
    assert isinstance(wrapped, Homogeneous)
    assert wrapped.material.radiation_length == pytest.approx(1.5 * nist("G4_BGO").radiation_length)


def test_lead_tungstate_has_the_critical_energy_of_the_benchmark() -> None:
    assert medium_of(load_detector("pbwo4-10x10")).constants.critical_energy == pytest.approx(
        10.7858, rel=1e-5
    )


def test_a_mixture_of_the_detector_is_a_material() -> None:
    lead = Mixture(11.35, atoms={"Pb": 1})
    mixed = detector([Slab("plumbum", 2.0, Role.ABSORBER), ARGON_SLAB], mixtures={"plumbum": lead})
    assert medium_of(mixed).constants == Sampling(LEAD, LIQUID_ARGON, 2.0, 4.0).constants
    air = Mixture(
        1.20479e-3, mass_fractions={"C": 0.000124, "N": 0.755268, "O": 0.231781, "Ar": 0.012827}
    )
    around = detector(
        [LEAD_SLAB, ARGON_SLAB], mixtures={"sky": air}, surroundings="sky", distance=5.0
    )
    upstream = gflash_of(around).upstream
    assert upstream is not None
    assert upstream.material == replace(AIR, name="sky")


def test_a_material_that_is_in_no_table_is_named() -> None:
    unknown = detector([Slab("G4_Plumb", 2.0, Role.ABSORBER), ARGON_SLAB])
    with pytest.raises(
        GeometryError, match="detector 'test': no material 'G4_Plumb' in the NIST tables"
    ):
        gflash_of(unknown)


def test_a_stack_of_equal_media_is_one_of_them() -> None:
    medium = Sampling(TUNGSTEN, SILICON, 2.0, 0.5)
    stack = Stack((Part(4, 2.5, medium), Part(7, 2.5, medium)))
    assert stack.constants == pytest.approx(medium.constants)
    assert stack.tuning == medium.tuning
    assert stack.depths((2.5,) * 11) == medium.depths((2.5,) * 11)


def test_the_media_of_a_stack_count_by_the_energy_in_them() -> None:
    stack = medium_of(load_detector("ild-ecal-30"))
    assert isinstance(stack, Stack)
    assert sum(stack.weights) == pytest.approx(1)
    ends = np.cumsum(
        [
            0,
            *(
                part.number * part.thickness / part.medium.constants.radiation_length
                for part in stack.parts
            ),
        ]
    )
    gone = gammainc(4, ends / 2)
    assert stack.weights == pytest.approx(np.diff(gone) / gone[-1])
    inner, outer = (part.medium.constants.period for part in stack.parts)
    assert inner < stack.constants.period < 0.7 * inner + 0.3 * outer


def test_visible_shares_are_those_of_the_silicon() -> None:
    shares = visible_shares(load_detector("ild-ecal-30"))
    assert len(shares) == 30
    assert shares[0] == pytest.approx(0.025, rel=0.1)
    assert shares[19] / shares[20] == pytest.approx(1.9, abs=0.1)


@pytest.mark.parametrize("name", ["par04-lowgran", "calogan-3layer", "pbwo4-10x10"])
def test_what_is_calibrated_or_read_whole_is_all_visible(name: str) -> None:
    assert visible_shares(load_detector(name)) == ()
