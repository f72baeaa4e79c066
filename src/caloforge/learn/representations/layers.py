r"""The energies of the layers as ratios (CaloDREAM, arXiv:2405.09629, eq. 2; `caloforge.observables.energy_ratios`).

With :math:`E_l` the energy in layer :math:`l`, front to back, :math:`E` the incident energy and :math:`f` a scale, they are

.. math:: u_0 = \frac{1}{f E} \sum_j E_j, \qquad u_i = E_{i-1} \Big/ \sum_{j \ge i-1} E_j, \quad i = 1, \dots, L - 1:

as many as layers, all in [0, 1] if no shower deposits more than :math:`f E`. Inverted they give :math:`\sum_l E_l = f E u_0`,
whatever the other ratios are: the total energy is conserved by construction.
"""

__all__ = ["LayerRatios", "layer_energies_of"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.learn.representations.transforms import Standardisation, inverse_logit, logit
from caloforge.observables import energy_ratios

_ALPHA = 1e-6


def layer_energies_of(
    ratios: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"], scale: float
) -> Float[Tensor, "showers layers"]:
    """The energies of the layers, in MeV.

    Arguments:
        ratios: The ratios (eq. 2); all but the first are brought into [0, 1], the first to at least 0.
        incident: The incident energies, in MeV.
        scale: The scale f.
    """
    total = ratios[:, :1].clamp_min(0) * scale * incident.double()[:, None]
    shares = ratios[:, 1:].clamp(0, 1)
    left = total * torch.cat([torch.ones_like(total), (1 - shares).cumprod(1)], dim=1)
    return torch.cat([left[:, :-1] * shares, left[:, -1:]], dim=1)


class LayerRatios(nn.Module):
    """The energies of the layers as standardised logits of their ratios (systems table D3).

    Arguments:
        n_layers: The number of layers.
        scale: The scale f of the first ratio.
    """

    def __init__(self, n_layers: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.standardisation = Standardisation(n_layers)

    def fit(self, energies: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]) -> "LayerRatios":
        """Take the moments from training showers: the energies of their layers and their incident energies, in MeV."""
        self.standardisation.fit(self._logits(energies, incident))
        return self

    def _logits(
        self, energies: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        return logit(energy_ratios(energies, incident, self.scale).clamp(0, 1), _ALPHA)

    def forward(
        self, energies: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        """Standardised logits."""
        values: Tensor = self.standardisation(self._logits(energies, incident))
        return values

    def inverse(
        self, values: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        """The energies of the layers, in MeV, in double precision."""
        return layer_energies_of(inverse_logit(self.standardisation.inverse(values), _ALPHA), incident, self.scale)
