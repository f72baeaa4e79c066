"""Starts of showers, MIPs and times against closed forms."""

import math

import pytest
import torch

from caloforge.errors import ShowerValueError
from caloforge.geometry import RegularGrid
from caloforge.hits import Hits
from caloforge.observables import (
    TIMED,
    Observable,
    first_time,
    hadronic,
    mean_time,
    mip_energy,
    mip_share,
    shower_start,
    time_profile,
)
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.units import GeV

LAYERS, WIDE = 12, 10
CALORIMETER = RegularGrid("stack", (WIDE, 1, LAYERS), (10.0, 10.0, 20.0))
MIP = 0.5


def track(starts: list[int], energy: float = 10 * GeV) -> Showers:
    """One hit of 1.4 MIP a layer, and from the start on ten hits of 6 MIP."""
    deposits = torch.zeros(len(starts), LAYERS, WIDE)
    deposits[:, :, 0] = 1.4 * MIP
    for shower, start in enumerate(starts):
        deposits[shower, start:] = 6 * MIP
    layer = CALORIMETER.layer_of_cell
    flat = torch.zeros(len(starts), CALORIMETER.n_cells)
    for number in range(LAYERS):
        flat[:, layer == number] = deposits[:, number]
    return Showers(flat, Particles(torch.full((len(starts),), energy)), CALORIMETER)


def timed(showers: Showers) -> Hits:
    """Hits in the layer l at 2 l + 1 ns."""
    hits = Hits.of(showers)
    times = 2.0 * CALORIMETER.layer_of_cell[hits.cells.long()] + 1
    return Hits(
        hits.offsets,
        hits.cells,
        hits.hit_energies,
        hits.particles,
        CALORIMETER,
        times=times.float(),
    )


def test_a_shower_starts_where_the_energy_and_the_hits_rise() -> None:
    """Before: M + M' = 2.8 MIP < 7. The first layer of 60 MIP brings M' to (5 * 1.4 + 60) / 6."""
    starts = [0, 1, 5, LAYERS - 1, LAYERS]
    for showers in (track(starts), Hits.of(track(starts))):
        assert shower_start(showers, MIP).tolist() == starts


def test_energy_without_hits_is_no_start_and_many_hits_without_energy_none() -> None:
    """At 100 GeV the thresholds are 16 MIP and 10 hits. The layer of 60 MIP has a mean of 11.2 MIP,
    which with the 1.4 MIP before it is too little; the next has 21 MIP.
    """
    bright = track([LAYERS], 100 * GeV)
    deposits = bright.deposits.clone()
    deposits[:, CALORIMETER.layer_of_cell == 6] *= 100
    alone = Showers(deposits, bright.particles, CALORIMETER)
    assert shower_start(alone, MIP).tolist() == [LAYERS]
    many = track([4], 100 * GeV)
    faint = torch.where(many.deposits > 2 * MIP, 0.6 * MIP, many.deposits)
    assert shower_start(Showers(faint, many.particles, CALORIMETER), MIP).tolist() == [LAYERS]
    assert shower_start(many, MIP).tolist() == [5]


def test_a_track_has_hits_of_one_mip_alone() -> None:
    """A shower from layer 6 on has 6 hits of a track and 60 of 6 MIP."""
    for showers in (track([LAYERS, 6]), Hits.of(track([LAYERS, 6]))):
        torch.testing.assert_close(
            mip_share(showers, MIP), torch.tensor([1.0, 6 / 66], dtype=torch.float64)
        )
    empty = Showers(torch.zeros(1, CALORIMETER.n_cells), Particles(torch.ones(1)), CALORIMETER)
    assert mip_share(empty, MIP).tolist() == [0]


def test_the_mip_is_the_mode_of_log_energies() -> None:
    """Of a log-normal about 0.5 MeV, with a tail of soft hits."""
    random = torch.Generator().manual_seed(1)
    energies = 0.5 * (0.1 * torch.randn(20_000, generator=random)).exp()
    soft = 0.5 * torch.rand(4000, generator=random) ** 4
    both = torch.cat([energies, soft])
    calorimeter = RegularGrid("wide", (200, 120, 1), (10.0, 10.0, 20.0))
    muons = Hits(
        torch.tensor([0, len(both)]),
        torch.arange(len(both)).int(),
        both,
        Particles(torch.ones(1)),
        calorimeter,
    )
    assert mip_energy(muons) == pytest.approx(0.5, rel=0.1)
    with pytest.raises(ShowerValueError, match="none of the 0 hits has energy"):
        mip_energy(muons.above(math.inf))


def test_a_mip_is_positive() -> None:
    with pytest.raises(ShowerValueError, match="a MIP of 0 MeV"):
        hadronic(0.0)
    assert hadronic(0.5) == hadronic(0.5) != hadronic(0.6)


def test_times_of_a_track() -> None:
    """Equal energies at 1, 3, ..., 23 ns."""
    hits = timed(track([LAYERS]))
    assert first_time(hits).tolist() == [1]
    assert mean_time(hits).tolist() == pytest.approx([12.0])
    profile = time_profile(hits)[0]
    assert profile.nonzero()[:, 0].tolist() == list(range(1, 24, 2))
    assert float(profile.sum()) == pytest.approx(float(hits.hit_energies.double().sum()))


def test_late_energy_is_in_the_last_bin_and_no_hits_have_no_time() -> None:
    hits = timed(track([LAYERS]))
    late = Hits(
        *(getattr(hits, k) for k in ("offsets", "cells", "hit_energies", "particles")),
        CALORIMETER,
        times=hits.times + 1e4,
    )
    assert time_profile(late)[0].nonzero()[:, 0].tolist() == [49]
    assert time_profile(late).shape[1] == len(TIMED[2].positions_of(CALORIMETER))
    nothing = late.above(math.inf)
    assert first_time(nothing).tolist() == mean_time(nothing).tolist() == [0]


@pytest.mark.parametrize("observable", TIMED, ids=lambda one: one.name)
def test_showers_without_times_are_refused(observable: Observable) -> None:
    for showers in (track([3]), Hits.of(track([3]))):
        with pytest.raises(ShowerValueError, match="no times of hits"):
            observable.function(showers)
