r"""Each cell of a layer as one nearly standard normal number, whatever the energy of the layer.

With :math:`p_c(q)` the occupancy of cell :math:`c` at :math:`q = \ln E_l` and :math:`s_c` the score
of a hit's share (both from `HitPattern`), a hit and a cell without one become

.. math:: y_c = \Phi^{-1}\bigl(1 - p_c + p_c\, \Phi(s_c)\bigr), \qquad
          y_c = \Phi^{-1}\bigl((1 - p_c)\, u\bigr),
          \quad u \sim U(0, 1),

so that :math:`y_c` is nearly normal given :math:`E_l`, and what is left to learn is how the cells
hang together. The inverse reads the hits from :math:`\Phi(y_c) > 1 - p_c` and lets them share the
energy of the layer, which is conserved whatever the numbers are; where there are more hits than the
energy suffices for, the least certain ones are dropped, and where there is none the most likely
cell is hit.
"""

__all__ = ["CellScores"]

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.representations.hit_pattern import HitPattern
from caloforge.learn.representations.representation import NO_NOISE, Representation

_LEAST = 1e-12
"""Probabilities lie at least so far from 0 and 1."""

_SMALLEST = 1e-9
"""Uniform numbers are at least so large."""

_MARGIN = 1e-5
"""A hit lies at least so far above the boundary to no hit, in parts of the occupancy: single
precision keeps it a hit.
"""


class CellScores(Representation[Tensor]):
    """The map between deposits and scores of all cells.

    Arguments:
        orbit: The orbit of each cell under the symmetries of the calorimeter, with shape (layers,
            cells a layer).
    """

    def __init__(self, orbit: Int64[Tensor, "layers cells"]) -> None:
        super().__init__()
        self.pattern = HitPattern(orbit)

    def noise(self) -> Mapping[str, Noise]:
        """What stands for the cells without a hit."""
        return {"empty": Noise("uniform", tuple(self.pattern.orbit.shape))}

    def fit(self, x: Float[Tensor, "showers layers cells"], condition: Condition) -> "CellScores":
        """Take threshold, occupancies and tables."""
        self.pattern.fit(x, condition)
        return self

    def encode(
        self,
        x: Float[Tensor, "showers layers cells"],
        condition: Condition,
        noise: Numbers = NO_NOISE,
    ) -> Float[Tensor, "showers layers cells"]:
        """The scores, of deposits in MeV."""
        del condition
        return self.scores_of(x, noise["empty"])

    def scores_of(
        self, x: Float[Tensor, "showers layers cells"], u: Float[Tensor, "showers layers cells"]
    ) -> Float[Tensor, "showers layers cells"]:
        """The scores of deposits in MeV, given the uniform numbers of cells without a hit."""
        hits, u = self.pattern.hits(x), u.double().clamp_min(_SMALLEST)
        empty = self._empty(hits.energies)
        filled = empty + (1 - empty) * torch.special.ndtr(hits.scores.double()).clamp_min(_MARGIN)
        return _ndtri(torch.where(hits.hit, filled, empty * u)).float()

    def decode(
        self,
        z: Float[Tensor, "showers layers cells"],
        condition: Condition,
        noise: Numbers = NO_NOISE,
    ) -> Float[Tensor, "showers layers cells"]:
        """Deposits, in MeV, in single precision."""
        del noise
        energies = condition.layer_energies
        empty = self._empty(energies)
        above = (torch.special.ndtr(z.double()) - empty) / (1 - empty)
        hit, most = above > 0, (energies / self.pattern.threshold).floor()
        numbers = torch.minimum(hit.sum(dim=2).clamp_min(1), most)
        wrong = hit.sum(dim=2) != numbers
        hit[wrong] = _greatest(above[wrong], numbers[wrong])
        shares = torch.zeros_like(z)
        shares[hit] = _ndtri(above[hit]).float()
        return self.pattern.deposits(hit, shares, energies)

    def _empty(
        self, energies: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers layers cells"]:
        """The probability of each cell to be empty."""
        return torch.sigmoid(-self.pattern.occupancy_logits(energies).double())


def _ndtri(p: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    normal: Tensor = torch.special.ndtri(p.clamp(_LEAST, 1 - _LEAST))
    return normal


def _greatest(
    x: Float[Tensor, "rows cells"], numbers: Float[Tensor, " rows"]
) -> Bool[Tensor, "rows cells"]:
    """Where the greatest so many numbers of each row are."""
    first = torch.arange(x.shape[1], device=x.device) < numbers[:, None]
    return torch.zeros_like(first).scatter_(
        1, x.argsort(dim=1, descending=True, stable=True), first
    )
