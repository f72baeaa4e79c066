r"""The energies of the layers and the numbers of their hits, together.

The energies :math:`E_l` are `SoftRatios`. Of a number of hits :math:`n_l` the number to learn is
:math:`\ln(n_l + u + 1/2)`, with :math:`u \sim U(0, 1)`, which spreads each whole number
(PointCountFM, arXiv:2601.11716, has :math:`u = 0`). A Gaussian copula, by the incident energy,
makes both nearly independent normal numbers. Hits do not fall below the threshold :math:`\tau` of
the readout: a layer has one hit at least where :math:`E_l \ge \tau`, at most :math:`E_l / \tau` and
as many as cells, and no energy otherwise.
"""

__all__ = ["LayerNumbers"]

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import Condition
from caloforge.learn.copula import GaussianCopula
from caloforge.learn.noise import Noise, Numbers, by_generator
from caloforge.learn.representations.layers import SoftRatios
from caloforge.learn.representations.representation import (
    NO_NOISE,
    Representation,
    fitting_generator,
)
from caloforge.learn.transforms import Standardisation

_ROUNDING = 1e-6


class LayerNumbers(Representation[Tensor]):
    """The map between energies with numbers of hits, the two rows of a shower, and what a flow sees
    of them.

    Arguments:
        calorimeter: Where the cells are.
        scale: No shower deposits more than so many times its incident energy.
    """

    threshold: Tensor
    cells: Tensor

    def __init__(self, calorimeter: Calorimeter, scale: float) -> None:
        super().__init__()
        layers = calorimeter.n_layers
        self.energies, self.numbers = SoftRatios(layers, scale), Standardisation(layers)
        self.copula = GaussianCopula(2 * layers)
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        cells = calorimeter.layer_of_cell.bincount(minlength=layers)
        self.register_buffer("cells", cells, persistent=False)

    def noise(self) -> Mapping[str, Noise]:
        """What stands in layers without energy, and what spreads the whole numbers."""
        return {**self.energies.noise(), "spread": Noise("uniform", (len(self.cells),), (0,))}

    def fit(self, x: Float[Tensor, "showers 2 layers"], condition: Condition) -> "LayerNumbers":
        """Take the threshold and the moments."""
        energies, numbers = x.unbind(dim=1)
        self.threshold.fill_(condition.readout_threshold * (1 - _ROUNDING))
        self.energies.fit(energies, condition)
        noise = by_generator(self.noise(), len(x), fitting_generator(x))
        self.numbers.adapt(self._logs(numbers, noise["spread"]))
        self.copula.adapt(self._separate(x, condition, noise), condition.incident_energies.log())
        return self

    @staticmethod
    def _logs(
        numbers: Float[Tensor, "showers layers"], u: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers layers"]:
        return (numbers + u + 0.5).log()

    def encode(
        self, x: Float[Tensor, "showers 2 layers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers numbers"]:
        """What a flow sees, twice as many numbers as layers."""
        separate = self._separate(x, condition, noise)
        seen: Tensor = self.copula(separate, condition.incident_energies.log()).float()
        return seen

    def _separate(
        self, x: Float[Tensor, "showers 2 layers"], condition: Condition, noise: Numbers
    ) -> Float[Tensor, "showers numbers"]:
        energies, numbers = x.unbind(dim=1)
        logs: Tensor = self.numbers(self._logs(numbers, noise["spread"]))
        return torch.cat([self.energies.encode(energies, condition, noise), logs], dim=1)

    def decode(
        self, z: Float[Tensor, "showers numbers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers 2 layers"]:
        """Energies in MeV and numbers of hits, in double precision."""
        del noise
        separate = self.copula.inverse(z, condition.incident_energies.log())
        ratios, logs = separate.chunk(2, dim=1)
        energies = self.energies.decode(ratios, condition)
        spread = (self.numbers.inverse(logs).exp() - 0.5).floor().clamp_min(1)
        most = torch.minimum((energies / self.threshold).floor(), self.cells.double())
        numbers = torch.minimum(spread, most)
        none = 0.0 * numbers  # what is not a number stays so
        return torch.stack([torch.where(numbers > 0, energies, none), numbers], dim=1)
