r"""The energies of the layers and the numbers of their hits, together.

No hit is below the threshold :math:`\tau` of the readout: a layer with :math:`n_l` hits has
:math:`E_l \ge n_l \tau`. The numbers to learn are, with :math:`u_l \sim U(0, 1)`, which spreads
whole numbers (PointCountFM, arXiv:2601.11716, has :math:`u = 0`),

.. math:: v = \mathrm{logit}_{10^{-6}} \frac{\sum E_l}{f E}, \qquad a_l = \ln(n_l + u_l + 1/2),
          \qquad b_l = \ln \frac{E_l - n_l \tau}{n_l} .

Where there is no hit, :math:`b_l` is a normal number with the mean and the spread that it has
elsewhere. A Gaussian copula, by the incident energy, makes all of them nearly independent normal
numbers. From these follow :math:`n_l` and :math:`E_l = n_l (\tau + s\, e^{b_l})`, with s such that
the energies add up to their sum; where the threshold alone asks for more than that, s is 0.
"""

__all__ = ["LayerNumbers"]

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import Condition
from caloforge.learn.copula import GaussianCopula
from caloforge.learn.noise import Noise, Numbers, by_generator
from caloforge.learn.representations.representation import (
    NO_NOISE,
    Representation,
    fitting_generator,
)
from caloforge.learn.transforms import inverse_logit, logit

_ROUNDING = 1e-6
_ALPHA = 1e-6
_LEAST = 1e-3
"""The least energy of a hit above the threshold, in thresholds."""


class LayerNumbers(Representation[Tensor]):
    """The map between energies with numbers of hits, the two rows of a shower, and what a flow sees
    of them.

    Arguments:
        calorimeter: Where the cells are.
        scale: No shower deposits more than so many times its incident energy.
    """

    threshold: Tensor
    cells: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, calorimeter: Calorimeter, scale: float) -> None:
        super().__init__()
        layers = calorimeter.n_layers
        self.scale, self.width = scale, 2 * layers + 1
        self.copula = GaussianCopula(self.width)
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(layers, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(layers, dtype=torch.float64))
        cells = calorimeter.layer_of_cell.bincount(minlength=layers)
        self.register_buffer("cells", cells, persistent=False)

    def noise(self) -> Mapping[str, Noise]:
        """What stands in layers without a hit, and what spreads the whole numbers."""
        layers = (len(self.cells),)
        return {"empty": Noise("normal", layers), "spread": Noise("uniform", layers, (0,))}

    def fit(self, x: Float[Tensor, "showers 2 layers"], condition: Condition) -> "LayerNumbers":
        """Take the threshold, the moments and the copula."""
        self.threshold.fill_(condition.readout_threshold * (1 - _ROUNDING))
        self._fit_moments(*self._excesses(x))
        noise = by_generator(self.noise(), len(x), fitting_generator(x))
        self.copula.adapt(self._separate(x, condition, noise), condition.incident_energies.log())
        return self

    def _fit_moments(
        self, logs: Float[Tensor, "showers layers"], lit: Bool[Tensor, "showers layers"]
    ) -> None:
        """Mean and spread where there are hits; 0 and 1 in a layer that has none at all."""
        number = lit.sum(dim=0).clamp_min(1)
        self.mean.copy_(torch.where(lit, logs, 0.0).sum(dim=0) / number)
        square = torch.where(lit, logs - self.mean, 0.0).square().sum(dim=0) / number
        self.spread.copy_(torch.where(square > 0, square.sqrt(), 1.0))

    def _excesses(
        self, x: Float[Tensor, "showers 2 layers"]
    ) -> tuple[Float[Tensor, "showers layers"], Bool[Tensor, "showers layers"]]:
        """The log of the mean energy of a hit above the threshold, and where there are hits."""
        energies, numbers = x.double().unbind(dim=1)
        excess = (energies - numbers * self.threshold) / numbers.clamp_min(1)
        return excess.clamp_min(_LEAST * self.threshold).log(), numbers > 0

    def encode(
        self, x: Float[Tensor, "showers 2 layers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers numbers"]:
        """What a flow sees: a number, and two a layer."""
        separate = self._separate(x, condition, noise)
        seen: Tensor = self.copula(separate, condition.incident_energies.log()).float()
        return seen

    def _separate(
        self, x: Float[Tensor, "showers 2 layers"], condition: Condition, noise: Numbers
    ) -> Float[Tensor, "showers numbers"]:
        energies, numbers = x.double().unbind(dim=1)
        total = energies.sum(dim=1, keepdim=True) / condition.incident_energies[:, None]
        excesses, lit = self._excesses(x)
        excesses = torch.where(lit, excesses, self.mean + self.spread * noise["empty"])
        logs = (numbers + noise["spread"] + 0.5).log()
        return torch.cat([logit((total / self.scale).clamp(0, 1), _ALPHA), logs, excesses], dim=1)

    def decode(
        self, z: Float[Tensor, "showers numbers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers 2 layers"]:
        """Energies in MeV and numbers of hits, in double precision."""
        del noise
        incident = condition.incident_energies
        separate = self.copula.inverse(z, incident.log())
        total, logs, excesses = torch.split(separate, [1, len(self.cells), len(self.cells)], dim=1)
        numbers = (logs.exp() - 0.5).floor().clamp_min(0).minimum(self.cells.double())
        least, shares = numbers * self.threshold, numbers * excesses.exp()
        total = inverse_logit(total, _ALPHA) * self.scale * incident[:, None]
        above = (total - least.sum(dim=1, keepdim=True)).clamp_min(0)
        factor = above / shares.sum(dim=1, keepdim=True).clamp_min(1e-300)
        return torch.stack([least + factor * shares, numbers], dim=1)
