r"""The shape of a shower as shares of its layers (CaloDREAM, arXiv:2405.09629, section 2; systems
table D4).

With :math:`x_c` the deposit in cell :math:`c` and :math:`E_l` the energy in its layer, the *share*
:math:`s_c = x_c / E_l` lies in [0, 1], and the shares of a layer add up to 1. Too small ones are
0. What a network sees is :math:`(\mathrm{logit}_\alpha(s_c) - \mu_c) / \sigma_c`, with the
moments of the training showers, the same for cells that a symmetry of the calorimeter carries into
each other. The inverse makes the shares of each layer add up to 1 again, multiplies them by the
energy of the layer, and sets to 0 what is below the *threshold* of the readout, which is the least
deposit of the training showers up to rounding: the energy of a layer is conserved up to what falls
below it. Where no share of a layer is large enough, the largest takes all of its energy.
"""

__all__ = ["LayerShares", "layer_sums", "shares_of"]

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Numbers
from caloforge.learn.representations.representation import NO_NOISE, Representation
from caloforge.learn.transforms import Standardisation, inverse_logit, logit

_ALPHA = 1e-6
_LEAST = 1e-12
_ROUNDING = 1e-4
_AT_A_TIME = 1024


def layer_sums(
    values: Float[Tensor, "showers cells"], layers: Int[Tensor, " cells"], n: int
) -> Float[Tensor, "showers n"]:
    """The sum in each of n layers, in double precision; ``layers`` holds the layer of each cell, in
    [0, n).
    """
    return values.new_zeros(len(values), n, dtype=torch.float64).index_add_(
        1, layers, values.double()
    )


def shares_of(
    deposits: Float[Tensor, "showers cells"], layers: Int[Tensor, " cells"], n: int
) -> Float[Tensor, "showers cells"]:
    """Each cell's share in the energy of its layer, in double precision; 0 in layers without
    energy.

    Arguments:
        deposits: The energy, or anything not negative, in each cell.
        layers: The layer of each cell, in [0, n).
        n: The number of layers.
    """
    return deposits.double() / layer_sums(deposits, layers, n).clamp_min(_LEAST)[:, layers]


class LayerShares(Representation[Tensor]):
    """Shares of the layers, as standardised logits.

    Arguments:
        calorimeter: Where the cells are.
        min_share: Smaller shares are 0, in [0, 1[.
    """

    layers: Tensor
    symmetries: Tensor
    threshold: Tensor

    def __init__(self, calorimeter: Calorimeter, min_share: float) -> None:
        super().__init__()
        self.n_layers, self.min_share = calorimeter.n_layers, min_share
        self.symmetries = calorimeter.symmetries
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.register_buffer("layers", calorimeter.layer_of_cell, persistent=False)
        self.standardisation = Standardisation(calorimeter.n_cells)

    def fit(self, x: Float[Tensor, "showers cells"], condition: Condition) -> "LayerShares":
        """Take threshold and moments of the showers, seen from all sides."""
        self.threshold.fill_(condition.readout_threshold * (1 - _ROUNDING))
        logits = (logit(self.shares(part), _ALPHA) for part in torch.split(x, _AT_A_TIME))
        self.standardisation.adapt_parts(logits, self.symmetries)
        return self

    def shares(self, x: Float[Tensor, "showers cells"]) -> Float[Tensor, "showers cells"]:
        """The shares, in [0, 1], in double precision, of deposits in MeV."""
        shares = shares_of(x, self.layers, self.n_layers)
        return torch.where(shares >= self.min_share, shares, 0.0)

    def encode(
        self, x: Float[Tensor, "showers cells"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers cells"]:
        """Standardised logits of the shares."""
        del condition, noise
        values: Tensor = self.standardisation(logit(self.shares(x), _ALPHA))
        return values

    def decode(
        self, z: Float[Tensor, "showers cells"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers cells"]:
        """Deposits, in MeV, in single precision."""
        del noise
        logits = self.standardisation.inverse(z)
        return self._filled(inverse_logit(logits, _ALPHA), logits, condition.layer_energies)

    def deposits(
        self, shares: Float[Tensor, "showers cells"], energies: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers cells"]:
        """Deposits, in MeV, of shares that need not add up to 1."""
        return self._filled(shares, shares, energies)

    def _filled(
        self,
        shares: Float[Tensor, "showers cells"],
        rank: Float[Tensor, "showers cells"],
        energies: Float[Tensor, "showers layers"],
    ) -> Float[Tensor, "showers cells"]:
        """Deposits of the shares that are large enough; in a layer where none is, of the cell that
        ranks first.
        """
        kept = torch.where(shares >= self.min_share, shares, 0.0)
        bare = (layer_sums(kept, self.layers, self.n_layers) == 0)[:, self.layers]
        kept = torch.where(bare & (rank == self._highest(rank)), 1.0, kept)
        deposits = shares_of(kept, self.layers, self.n_layers) * energies[:, self.layers]
        return torch.where(deposits >= self.threshold, deposits, 0.0).float()

    def _highest(self, rank: Float[Tensor, "showers cells"]) -> Float[Tensor, "showers cells"]:
        """The highest number in each cell's layer."""
        highest = rank.new_full((len(rank), self.n_layers), -math.inf)
        return highest.scatter_reduce(1, self.layers.expand_as(rank), rank, "amax")[:, self.layers]
