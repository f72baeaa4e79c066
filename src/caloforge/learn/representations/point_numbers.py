r"""What a network sees of a point.

Its place beside the particle's track, drawn nearer to it the farther it lies off: with
:math:`r = |(x, y)|` and :math:`r_0` as far as the nearest tenth of all points,

.. math:: (x, y) \to \frac{\ln(1 + r / r_0)}{r}\,(x, y) ,

over its root mean square, so that a turned point is seen turned. Its energy above the threshold
:math:`\tau`, as the log of its ratio to the mean of its layer, :math:`n_l` points with :math:`E_l`,

.. math:: y = \ln \frac{e - \tau}{(E_l - n_l \tau) / n_l} ,

standardised. Where points make their layers themselves, the layer :math:`l + u`, :math:`u` uniform
in ]0, 1[, standardised, too.
"""

__all__ = ["PointNumbers"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.learn.transforms import Standardisation

_CORE = 0.1
_LEAST_EXCESS = 1e-6
_MOST = 12.0
"""Scaled radii count up to this: what a network makes beyond is as far as that."""


class PointNumbers(nn.Module):
    """The map between points and what a network sees of them.

    Arguments:
        depth: Whether the layer is one of the numbers.
    """

    core: Tensor
    spread: Tensor

    def __init__(self, *, depth: bool) -> None:
        super().__init__()
        self.depth = depth
        self.register_buffer("core", torch.ones((), dtype=torch.float64))
        self.register_buffer("spread", torch.ones((), dtype=torch.float64))
        self.rest = Standardisation(2 if depth else 1)

    @property
    def width(self) -> int:
        """How many numbers stand for a point."""
        return 4 if self.depth else 3

    def adapt(
        self, places: Float[Tensor, "points 2"], rest: Float[Tensor, "points rest"]
    ) -> "PointNumbers":
        """Take the scales.

        Arguments:
            places: (x, y), in mm.
            rest: The log ratio of the energy, and the layer where it is one of the numbers.
        """
        r = places.double().norm(dim=1)
        self.core.copy_(r.kthvalue(1 + int(_CORE * (len(r) - 1))).values.clamp_min(1e-6))
        self.spread.copy_(self._drawn(places).square().mean().sqrt().clamp_min(1e-6))
        self.rest.adapt(rest)
        return self

    def _drawn(self, places: Float[Tensor, "points 2"]) -> Float[Tensor, "points 2"]:
        r = places.double().norm(dim=1, keepdim=True)
        drawn: Tensor = places * ((r / self.core).log1p() / r.clamp_min(1e-12))
        return drawn

    def encode(
        self, places: Float[Tensor, "points 2"], rest: Float[Tensor, "points rest"]
    ) -> Float[Tensor, "points numbers"]:
        """What a network sees; the arguments are those of `adapt`."""
        return torch.cat([(self._drawn(places) / self.spread).float(), self.rest(rest)], dim=1)

    def decode(
        self, z: Float[Tensor, "points numbers"]
    ) -> tuple[Float[Tensor, "points 2"], Float[Tensor, "points rest"]]:
        """The places and the rest, of any finite numbers, in double precision."""
        drawn = z[:, :2].double() * self.spread
        rho = drawn.norm(dim=1, keepdim=True)
        r = rho.clamp_max(_MOST).expm1() * self.core
        return drawn * (r / rho.clamp_min(1e-12)), self.rest.inverse(z[:, 2:])

    @staticmethod
    def log_ratios(
        energies: Float[Tensor, " points"],
        means: Float[Tensor, " points"],
        threshold: Float[Tensor, ""],
    ) -> Float[Tensor, " points"]:
        """The logs of the energies above threshold over the mean of each point's layer, in MeV."""
        least = (_LEAST_EXCESS * threshold).clamp_min(1e-12)
        excess = (energies.double() - threshold).clamp_min(least)
        return (excess / means.clamp_min(least)).log()
