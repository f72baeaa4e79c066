"""When a shower deposits its energy: hits carry the time of their first step, in ns."""

__all__ = [
    "FIRST_TIME",
    "MEAN_TIME",
    "TIMED",
    "TIME_PROFILE",
    "first_time",
    "mean_time",
    "time_profile",
]

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers, Hits
from caloforge.observables.energies import EMPTY
from caloforge.observables.records import Entry, Observable

_BINS = 50
"""The profile has so many bins of 1 ns; later energy is in the last."""


def first_time(showers: AnyShowers) -> Float[Tensor, " showers"]:
    """The time of the earliest hit, in ns, with shape (N); 0 without hits.

    Raises:
        ShowerValueError: The showers have no times.
    """
    hits, times = _timed(showers)
    first = times.new_full((len(hits),), torch.inf)
    first.scatter_reduce_(0, hits.shower_of_hit, times, "amin")
    return torch.where(first.isinf(), 0.0, first)


def mean_time(showers: AnyShowers) -> Float[Tensor, " showers"]:
    """The mean time of the energy, in ns, with shape (N); 0 without energy.

    Raises:
        ShowerValueError: The showers have no times.
    """
    hits, times = _timed(showers)
    energies = hits.hit_energies.double()
    total = energies.new_zeros(2, len(hits))
    total.index_add_(1, hits.shower_of_hit, torch.stack([energies * times, energies]))
    return total[0] / (total[1] + EMPTY)


def time_profile(showers: AnyShowers) -> Float[Tensor, "showers bins"]:
    """The energy in each ns from 0 on, in MeV, with shape (N, 50); earlier energy is in the first,
    later energy in the last.

    Raises:
        ShowerValueError: The showers have no times.
    """
    hits, times = _timed(showers)
    place = hits.shower_of_hit * _BINS + times.clamp(0, _BINS - 1).long()
    total = times.new_zeros(len(hits) * _BINS)
    return total.index_add_(0, place, hits.hit_energies.double()).view(len(hits), _BINS)


def _timed(showers: AnyShowers) -> tuple[Hits, Float[Tensor, " hits"]]:
    """The hits and their times, in double precision."""
    if not isinstance(showers, Hits) or showers.times is None:
        msg = "the showers have no times of hits: expected hits with times, as Geant4 records them"
        raise ShowerValueError(msg)
    return showers, showers.times.double()


def _middles(calorimeter: Calorimeter) -> Tensor:
    return torch.arange(_BINS, dtype=torch.float64) + 0.5


FIRST_TIME = Observable("first_time", "First time", r"t_\mathrm{min}", "ns", first_time)
MEAN_TIME = Observable("mean_time", "Mean time of the energy", r"\bar t", "ns", mean_time)
TIME_PROFILE = Observable(
    "time_profile", "Profile in time", "t", "ns", time_profile, Entry.POSITION, positions=_middles
)
TIMED = (FIRST_TIME, MEAN_TIME, TIME_PROFILE)
"""The observables of showers whose hits have times."""
