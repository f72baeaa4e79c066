r"""Where a hadron begins to shower, and what minimum-ionising tracks leave, in units of the MIP.

The *MIP* is the most probable energy that a minimum-ionising particle leaves in a cell. With the
energy :math:`E_l` of layer :math:`l` in MIP, its hits :math:`N_l` above half a MIP and the mean
:math:`M_l` of the energies of six layers up to :math:`l`, a shower of incident energy :math:`E`
starts in the first layer with

.. math:: M_{l-1} + M_l > 6 + 0.1\, E / \mathrm{GeV}, \quad
          N_{l-1} + N_l > \lfloor 3.77 + 1.44 \ln(E / \mathrm{GeV}) + 1/2 \rfloor .

The numbers are those of public analysis code for test beams of an analogue hadron calorimeter (for
the kind of analysis, see CALICE, arXiv:1412.2653), without its last step, which chooses between the
two layers. In front of the calorimeter lie layers with one hit of 1.4 MIP each.
"""

__all__ = ["hadronic", "mip_energy", "mip_share", "shower_start"]

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.hits import AnyShowers, Hits
from caloforge.observables._hit_sums import lit, sums
from caloforge.observables.records import Observable
from caloforge.units import GeV

_WINDOW = 6
_TRACK = 1.4
"""The mean energy of a track in a layer, in MIP."""

_HIT = 0.5
_SINGLE = 1.5
"""A hit exceeds the first number of MIPs, a single track does not exceed the second."""


def shower_start(showers: AnyShowers, mip: float) -> Int[Tensor, " showers"]:
    """The layer in which a hadron's shower starts, counted from 0; the number of layers where it
    starts in none.

    Arguments:
        showers: The showers, with N layers or more.
        mip: The energy of a MIP in a cell, in MeV.
    """
    energies = sums(showers).energies / mip
    before = energies.new_full((len(energies), _WINDOW), _TRACK)
    means = torch.cat([before, energies], dim=1).unfold(1, _WINDOW, 1).mean(-1)
    hits = lit(showers, _HIT * mip)
    hits = torch.cat([torch.ones_like(hits[:, :1]), hits], dim=1)
    incident = showers.energies.double()[:, None] / GeV
    least = (3.77 + 1.44 * incident.log() + 0.5).trunc()
    dense = means[:, :-1] + means[:, 1:] > 6 + 0.1 * incident
    started = dense & (hits[:, :-1] + hits[:, 1:] > least)
    return (started.int().cumsum(dim=1) == 0).sum(dim=1)


def mip_share(showers: AnyShowers, mip: float) -> Float[Tensor, " showers"]:
    """The share of a single track's hits, of half a MIP to one and a half, in all hits above half a
    MIP, in [0, 1]; 0 without any.

    Arguments:
        showers: The showers.
        mip: The energy of a MIP in a cell, in MeV.
    """
    hits, more = (lit(showers, part * mip).sum(dim=1).double() for part in (_HIT, _SINGLE))
    return (hits - more) / hits.clamp(min=1)


def mip_energy(muons: Hits) -> float:
    r"""The MIP of a calorimeter, in MeV: the most probable energy of a muon's hits on a logarithmic
    scale, by the half-sample mode (Bickel and Frühwirth, Comput. Stat. Data Anal. 50 (2006) 3500).

    On that scale hits of secondaries far below the peak do not count for more than they are.

    Raises:
        ShowerValueError: No hit has energy.
    """
    energies = muons.merged().hit_energies.double()
    logs = energies[energies > 0].log().sort().values
    if not len(logs):
        msg = f"none of the {muons.n_hits} hits has energy, expected those of muons"
        raise ShowerValueError(msg)
    while len(logs) > 2:
        half = (len(logs) + 1) // 2
        first = int((logs[half - 1 :] - logs[: len(logs) - half + 1]).argmin())
        logs = logs[first : first + half]
    return float(logs.mean().exp())


def hadronic(mip: float) -> tuple[Observable, ...]:
    """The observables of hadrons, in a calorimeter with this energy of a MIP in a cell, in MeV.

    Raises:
        ShowerValueError: The energy is not positive.
    """
    if not mip > 0:
        msg = f"a MIP of {mip:g} MeV: expected a positive energy"
        raise ShowerValueError(msg)
    start, share = (_InMip(function, mip) for function in (shower_start, mip_share))
    return (
        Observable("shower_start", "Start of the shower", r"l_\mathrm{start}", "layers", start),
        Observable("mip_share", "Share of hits of one MIP", r"N_\mathrm{MIP}/N", "", share),
    )


@dataclass(frozen=True)
class _InMip:
    """A function of showers at one energy of the MIP; two are equal when both are."""

    function: Callable[[AnyShowers, float], Tensor]
    mip: float

    def __call__(self, showers: AnyShowers) -> Tensor:
        return self.function(showers, self.mip)
