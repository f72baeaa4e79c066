r"""Deposits with the empty cells filled: numbers without point masses, as a density needs them.

L2LFlows, arXiv:2405.20407, section 3.3 and eq. B.5. Let :math:`\tau` be the threshold of the
readout, :math:`x_c` the deposit in a cell of layer :math:`l`, :math:`f` the *fill* and :math:`w`
the width of the *noise*, both a fixed share of :math:`\tau`. With :math:`n \sim N(0, 1)` and
:math:`u \sim U(0, 1)` for each cell,

.. math:: y_c = u w + \begin{cases} x_c & x_c \ge \tau \\ \min(10^{0.2 n} f,\ \tau - w) &
          \mathrm{else,} \end{cases} \qquad
          v_c = \mathrm{logit}_{10^{-2}} \left(1 - \frac{\lg(\delta_l + y_c / N_l)}{\lg
          \delta_l}\right), \qquad \delta_l = \frac{f}{10\, S_l} .

The norm is :math:`N_l = S_l + f`, :math:`S_l` the largest deposit of the layer in the training
showers; or, *relative*, :math:`N_l = E_l + n_l f`, :math:`E_l` the energy of the layer in this
shower, :math:`n_l` its number of cells, and :math:`S_l` the largest :math:`N_l` in training.
"""

__all__ = ["FILL", "FilledLayers", "renormalised"]

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.representations.representation import (
    NO_NOISE,
    Representation,
    fitting_generator,
)
from caloforge.learn.transforms import Standardisation, inverse_logit, logit

FILL = 1 / 15.15
"""Median of what fills empty cells, and width of the noise, over the threshold: 1 keV over 15.15
keV.
"""

_ALPHA = 1e-2
_DECADES = 0.2
_LN_10 = math.log(10)
_FLOOR = 0.1
_LEAST = 1e-12
_ROUNDING = 1e-4
_AT_A_TIME = 512
_ENOUGH = 4096
"""Showers that the moments are taken from, at most; they are few numbers of many cells."""


def renormalised(
    deposits: Float[Tensor, "showers layers cells"],
    energies: Float[Tensor, "showers layers"],
    threshold: float | Tensor,
) -> Float[Tensor, "showers layers cells"]:
    """Deposits whose sum in each layer is its energy, none between 0 and the threshold, in the
    precision of the deposits.

    What is below the threshold becomes 0 first. Of the other cells of a layer as many of the
    brightest are kept as are not below the threshold once they are scaled to the energy. A layer
    with an energy of at least the threshold keeps its brightest cell, a fainter layer none.

    Arguments:
        deposits: The deposits, in MeV.
        energies: The energy of each layer, in MeV.
        threshold: The threshold of the readout, in MeV, at least 0.
    """
    x, order = deposits.double().clamp_min(0).sort(dim=2, descending=True, stable=True)
    energies = energies.double()[:, :, None]
    lit = (x > 0) & (x >= threshold) & (x * energies >= threshold * x.cumsum(dim=2))
    lit[:, :, 0] = True
    kept = torch.where(lit & (energies >= threshold), x.clamp_min(_LEAST), 0.0)
    scaled = kept * (energies / kept.sum(dim=2, keepdim=True).clamp_min(_LEAST))
    return torch.zeros_like(deposits).scatter_(2, order, scaled.to(deposits.dtype))


class FilledLayers(Representation[Tensor]):
    r"""Layers of cells as numbers without point masses; see the head of the module.

    The inverse takes :math:`w / 2` off, sets to 0 what is below :math:`\tau` and gives each layer
    its energy back (`renormalised`). Published are the norm that is not relative,
    :math:`\tau` = 15.15 keV, :math:`f = w` = 1 keV and :math:`\delta` = 1e-7, that of
    :math:`S_l` = 1 GeV.

    Arguments:
        real: Which places of each layer have a cell, with shape (layers, cells of the largest).
        fill: The median of what fills empty cells, over the threshold, in ]0, 1/2].
        width: The width of the noise, over the threshold, in [0, 1/2].
        least: Smaller deposits, in MeV, are none.
        relative: Whether a layer is divided by its own energy, not by the largest deposit in the
            training showers.
        standardised: Whether the numbers are brought to mean 0 and variance 1, with the moments
            over all cells of the training showers.
    """

    threshold: Tensor
    largest: Tensor
    real: Tensor

    def __init__(
        self,
        real: Bool[Tensor, "layers cells"],
        *,
        fill: float = FILL,
        width: float = FILL,
        least: float = 0.0,
        relative: bool = False,
        standardised: bool = True,
    ) -> None:
        super().__init__()
        self.fill, self.width, self.least = fill, width, least
        self.relative, self.standardised = relative, standardised
        self.register_buffer("threshold", torch.ones((), dtype=torch.float64))
        self.register_buffer("largest", torch.ones(len(real), dtype=torch.float64))
        self.register_buffer("real", real, persistent=False)
        self.standardisation = Standardisation(1)

    def noise(self) -> Mapping[str, Noise]:
        """The fillings, and the noise on all cells."""
        shape = tuple(self.real.shape)
        return {"filling": Noise("normal", shape), "smear": Noise("uniform", shape)}

    def fit(self, x: Float[Tensor, "showers layers cells"], condition: Condition) -> "FilledLayers":
        """Take threshold, norms and moments.

        Raises:
            ShowerValueError: No cell has a deposit.
        """
        deposits, random = x, fitting_generator(x)
        self.threshold.fill_(max(condition.readout_threshold, self.least) * (1 - _ROUNDING))
        if not (deposits >= self.threshold).any():
            msg = (
                f"none of the {len(deposits)} training showers has a deposit of at least "
                f"{self.least:g} MeV: give brighter ones"
            )
            raise ShowerValueError(msg)
        norms = (
            self._own_norms(self.energies(deposits), 0)
            if self.relative
            else deposits.amax(dim=2).double()
        )
        self.largest.copy_(norms.amax(dim=0).clamp_min(self.threshold))
        if self.standardised:
            some = deposits[:: -(-len(deposits) // _ENOUGH)]
            parts = (some[start : start + _AT_A_TIME] for start in range(0, len(some), _AT_A_TIME))
            self.standardisation.adapt_parts(
                self._random_logits(part, random)[:, self.real].reshape(-1, 1) for part in parts
            )
        return self

    def energies(
        self, deposits: Float[Tensor, "showers layers cells"]
    ) -> Float[Tensor, "showers layers"]:
        """The energy of each layer above the threshold, in MeV, in double precision."""
        return torch.where(deposits >= self.threshold, deposits, 0.0).double().sum(dim=2)

    def _own_norms(
        self, energies: Float[Tensor, "showers layers"], first: int
    ) -> Float[Tensor, "showers layers"]:
        cells = self.real.sum(dim=1)[first : first + energies.shape[1]].double()
        return energies.double() + cells * self.fill * self.threshold

    def _scales(
        self, energies: Float[Tensor, "showers layers"], first: int = 0
    ) -> tuple[Float[Tensor, "showers layers 1"], Float[Tensor, "layers 1"]]:
        """The norm N of each layer of each shower, and the floor delta of each layer."""
        largest = self.largest[first : first + energies.shape[1]]
        fill = self.fill * self.threshold
        norms = (
            self._own_norms(energies, first)
            if self.relative
            else (largest + fill).expand(energies.shape)
        )
        return norms[:, :, None], (_FLOOR * fill / largest)[:, None]

    def _random_logits(
        self, deposits: Float[Tensor, "showers layers cells"], random: torch.Generator
    ) -> Float[Tensor, "showers layers cells"]:
        normals, uniforms = deposits.new_empty(2, *deposits.shape, dtype=torch.float64)
        normals.normal_(generator=random)
        uniforms.uniform_(generator=random)
        return self._logits(deposits, normals, uniforms)

    def _logits(
        self,
        deposits: Float[Tensor, "showers layers cells"],
        normals: Float[Tensor, "showers layers cells"],
        uniforms: Float[Tensor, "showers layers cells"],
        first: int = 0,
    ) -> Float[Tensor, "showers layers cells"]:
        norms, floor = self._scales(self.energies(deposits), first)
        width = self.width * self.threshold
        filling = (
            self.fill * self.threshold * (_DECADES * _LN_10 * normals.double()).exp()
        ).clamp_max(self.threshold - width)
        y = torch.where(deposits >= self.threshold, deposits.double(), filling) + uniforms * width
        return logit(
            (1 - ((y / norms).clamp(0, 1) + floor).log() / floor.log()).clamp(0, 1), _ALPHA
        )

    def encode(
        self,
        x: Float[Tensor, "showers layers cells"],
        condition: Condition,
        noise: Numbers = NO_NOISE,
    ) -> Float[Tensor, "showers layers cells"]:
        """The numbers v, in single precision."""
        del condition
        return self.encode_some(x, noise, 0)

    def encode_some(
        self, x: Float[Tensor, "showers some cells"], noise: Numbers, first: int
    ) -> Float[Tensor, "showers some cells"]:
        """The numbers of some layers in a row, the first of which has this number; the random
        numbers are those of these layers.
        """
        logits = self._logits(x, noise["filling"], noise["smear"], first)
        values: Tensor = self.standardisation(logits.reshape(-1, 1))
        return values.reshape(x.shape)

    def decode(
        self,
        z: Float[Tensor, "showers layers cells"],
        condition: Condition,
        noise: Numbers = NO_NOISE,
    ) -> Float[Tensor, "showers layers cells"]:
        """The deposits, in MeV, in the precision of the numbers."""
        del noise
        energies = condition.layer_energies
        norms, floor = self._scales(energies)
        logits = self.standardisation.inverse(z.reshape(-1, 1))
        places = inverse_logit(logits, _ALPHA).reshape(z.shape)
        y = (((1 - places) * floor.log()).exp() - floor) * norms
        seen = (y - self.width * self.threshold / 2).clamp_min(self.threshold)
        x = torch.where(y >= self.threshold, seen, y)
        return renormalised(x, energies, self.threshold).to(z.dtype)
