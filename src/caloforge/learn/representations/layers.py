r"""The energies of the layers as numbers to learn.

With :math:`E_l` the energy in layer :math:`l`, front to back, :math:`E` the incident energy and
:math:`f` a scale, the ratios of CaloDREAM (arXiv:2405.09629, eq. 2;
`caloforge.observables.energy_ratios`) are

.. math:: u_0 = \frac{1}{f E} \sum_j E_j, \qquad
          u_i = E_{i-1} \Big/ \sum_{j \ge i-1} E_j, \quad i = 1, \dots, L - 1:

as many as layers, all in [0, 1] if no shower deposits more than :math:`f E`. Inverted they give
:math:`\sum_l E_l = f E u_0`, whatever the other ratios are: the total energy is conserved by
construction. They put a layer without energy, and the end of a shower, far from the others, and a
flow between normal numbers and these follows such outliers badly. `SoftRatios` conserve the energy
without outliers; `LayerEnergies`, the energies as they are, conserve nothing.
"""

__all__ = [
    "EnergyRepresentation",
    "LayerEnergies",
    "LayerRatios",
    "SoftRatios",
    "layer_energies_of",
]

from abc import abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Noise, Numbers, by_generator
from caloforge.learn.representations.representation import (
    NO_NOISE,
    Representation,
    fitting_generator,
)
from caloforge.learn.transforms import Standardisation, inverse_logit, logit
from caloforge.observables import energy_ratios
from caloforge.units import keV

_ALPHA = 1e-6
_SPREAD = 0.2
_DEPTH = 0.4
_FAINT = 0.02
"""The share of the layers with energy that are fainter than a faint one."""

_ROUNDING = 1e-4


def layer_energies_of(
    ratios: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"], scale: float
) -> Float[Tensor, "showers layers"]:
    """The energies of the layers, in MeV.

    Arguments:
        ratios: The ratios (eq. 2); all but the first are brought into [0, 1], the first to at least
            0.
        incident: The incident energies, in MeV.
        scale: The scale f.
    """
    total = ratios[:, :1].clamp_min(0) * scale * incident.double()[:, None]
    shares = ratios[:, 1:].clamp(0, 1)
    left = total * torch.cat([torch.ones_like(total), (1 - shares).cumprod(1)], dim=1)
    return torch.cat([left[:, :-1] * shares, left[:, -1:]], dim=1)


class EnergyRepresentation(Representation[Tensor]):
    """A representation of the energies of the layers by as many numbers."""

    @abstractmethod
    def log_stretch(
        self, x: Float[Tensor, "showers layers"], condition: Condition
    ) -> Float[Tensor, " showers"]:
        r"""How the map stretches: :math:`\ln |\det \partial z / \partial x|` as a function of the
        condition, up to what depends on x alone; minus infinity where no shower is x.

        Arguments:
            x: The energies of the layers, in MeV.
            condition: What is known of the particles.
        """


class _TotalFirst(EnergyRepresentation):
    r"""One whose first number is that of :math:`\mathrm{logit}_\alpha u_0`, which alone depends on
    the incident energy.

    Arguments:
        scale: The scale f of the total energy.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def log_stretch(
        self, x: Float[Tensor, "showers layers"], condition: Condition
    ) -> Float[Tensor, " showers"]:
        """See `EnergyRepresentation.log_stretch`; that of the first number by the sum of x."""
        most = self.scale * condition.incident_energies
        u = _ALPHA + (1 - 2 * _ALPHA) * x.double().sum(dim=1) / most
        inside = u.clamp(_ALPHA, 1 - _ALPHA)
        stretch = -(inside * (1 - inside) * most).log()
        return torch.where(u <= 1 - _ALPHA, stretch, -torch.inf)


class LayerRatios(_TotalFirst):
    """The energies of the layers as standardised logits of their ratios (systems table D3).

    Arguments:
        n_layers: The number of layers.
        scale: The scale f of the first ratio.
    """

    def __init__(self, n_layers: int, scale: float) -> None:
        super().__init__(scale)
        self.standardisation = Standardisation(n_layers)

    def fit(self, x: Float[Tensor, "showers layers"], condition: Condition) -> "LayerRatios":
        """Take the moments."""
        self.standardisation.adapt(self._logits(x, condition.incident_energies))
        return self

    def _logits(
        self, energies: Float[Tensor, "showers layers"], incident: Float[Tensor, " showers"]
    ) -> Float[Tensor, "showers layers"]:
        return logit(energy_ratios(energies, incident, self.scale).clamp(0, 1), _ALPHA)

    def encode(
        self, x: Float[Tensor, "showers layers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers layers"]:
        """Standardised logits."""
        del noise
        values: Tensor = self.standardisation(self._logits(x, condition.incident_energies))
        return values

    def decode(
        self, z: Float[Tensor, "showers layers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers layers"]:
        """The energies of the layers, in MeV, in double precision."""
        del noise
        ratios = inverse_logit(self.standardisation.inverse(z), _ALPHA)
        return layer_energies_of(ratios, condition.incident_energies, self.scale)


class SoftRatios(_TotalFirst):
    r"""The energies of the layers as standardised logits of their ratios, softened where a layer is
    faint or has none.

    With :math:`c` the energy of a faint layer and normal numbers :math:`n`,

    .. math:: y_l = \begin{cases} E_l + c & \text{where } E_l > 0 \\ c\, e^{-w},\ w = e^{0.4 n} &
              \text{elsewhere,} \end{cases}
              \qquad v_0 = \mathrm{logit}_{10^{-6}} u_0, \qquad
              v_i = \ln \frac{y_{i-1}}{\sum_{j \ge i} y_j} .

    From these follow :math:`f E u_0` and the share :math:`p_l` of each layer in the sum :math:`S`
    of all :math:`y_l`. With :math:`P_k` the sum of the k largest shares,
    :math:`S = \min_k\, (f E u_0 + k c) / P_k`, and :math:`E_l = \max(p_l S - c, 0)`.

    Arguments:
        n_layers: The number of layers.
        scale: The scale f of the first ratio.
        softening: The energy c, in MeV; None for one of which few layers with energy have less in
            the training showers.
    """

    softening: Tensor

    def __init__(self, n_layers: int, scale: float, softening: float | None = None) -> None:
        super().__init__(scale)
        self._given = softening
        self.register_buffer("softening", torch.tensor(softening or 1.0, dtype=torch.float64))
        self.standardisation = Standardisation(n_layers)

    def noise(self) -> Mapping[str, Noise]:
        """What stands in layers without energy."""
        return {"empty": Noise("normal", (len(self.standardisation.mean),))}

    def fit(self, x: Float[Tensor, "showers layers"], condition: Condition) -> "SoftRatios":
        """Take the energy c if it was not given, and the moments.

        Raises:
            ShowerValueError: No layer has energy.
        """
        lit = _lit(x)
        if self._given is None:
            self.softening.copy_(lit.kthvalue(1 + int(_FAINT * len(lit))).values)
        empty = by_generator(self.noise(), len(x), fitting_generator(x))["empty"]
        self.standardisation.adapt(self._logits(x, condition.incident_energies, empty))
        return self

    def _logits(
        self,
        energies: Float[Tensor, "showers layers"],
        incident: Float[Tensor, " showers"],
        normals: Float[Tensor, "showers layers"],
    ) -> Float[Tensor, "showers layers"]:
        energies, incident = energies.double(), incident.double()
        hidden = self.softening * (-(_DEPTH * normals.double()).exp()).exp()
        soft = torch.where(energies > 0, energies + self.softening, hidden)
        after = soft[:, 1:].flip(1).cumsum(1).flip(1)
        total = (energies.sum(dim=1) / (self.scale * incident)).clamp(0, 1)
        return torch.cat([logit(total, _ALPHA)[:, None], (soft[:, :-1] / after).log()], dim=1)

    def encode(
        self, x: Float[Tensor, "showers layers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers layers"]:
        """Standardised logits."""
        logits = self._logits(x, condition.incident_energies, noise["empty"])
        values: Tensor = self.standardisation(logits)
        return values

    def decode(
        self, z: Float[Tensor, "showers layers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers layers"]:
        """The energies of the layers, in MeV, in double precision."""
        del noise
        logits = self.standardisation.inverse(z).double()
        incident = condition.incident_energies
        total = inverse_logit(logits[:, :1], _ALPHA) * self.scale * incident[:, None]
        here, after = logits[:, 1:].sigmoid(), (-logits[:, 1:]).sigmoid()
        ones = torch.ones_like(total)
        shares = torch.cat([ones, after.cumprod(1)], dim=1) * torch.cat([here, ones], dim=1)
        largest = shares.sort(dim=1, descending=True).values.cumsum(1)
        numbers = torch.arange(1, shares.shape[1] + 1, device=shares.device).to(shares)
        whole = ((total + numbers * self.softening) / largest).amin(dim=1, keepdim=True)
        return (shares * whole - self.softening).clamp_min(0)


def _lit(energies: Float[Tensor, "showers layers"]) -> Float[Tensor, " lit"]:
    """The energies that are not 0."""
    lit = energies[energies > 0]
    if not len(lit):
        msg = f"none of the {len(energies)} training showers has energy in any layer: give others"
        raise ShowerValueError(msg)
    return lit


class LayerEnergies(EnergyRepresentation):
    r"""The energies of the layers as logits of their ratio to the largest (systems tables L6, L7).

    L2LFlows, arXiv:2405.20407, eqs. B.2, B.3, B.6, B.7: noise :math:`n \sim N(0, 1)` smears the
    layers without energy,

    .. math:: x_l = \mathrm{logit}_{10^{-6}} \frac{E_l + m\,(1 + 0.2\, n)}{E_\mathrm{max}} .

    The energy is not conserved: samples may deposit more than a shower can.

    Arguments:
        n_layers: The number of layers.
        floor: The mean m of the noise, in MeV, below the energy of the faintest layer.
        scale: The energy E_max, in MeV; None for the largest of the training showers.
        standardised: Whether the logits are brought to mean 0 and variance 1, layer by layer.
    """

    scale: Tensor
    threshold: Tensor

    def __init__(
        self,
        n_layers: int,
        *,
        floor: float = 1 * keV,
        scale: float | None = None,
        standardised: bool = True,
    ) -> None:
        super().__init__()
        self.floor, self.standardised = floor, standardised
        self._given = scale
        self.register_buffer("scale", torch.tensor(scale or 1.0, dtype=torch.float64))
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.standardisation = Standardisation(n_layers)

    def noise(self) -> Mapping[str, Noise]:
        """The noise n."""
        return {"smear": Noise("normal", (len(self.standardisation.mean),))}

    def fit(self, x: Float[Tensor, "showers layers"], condition: Condition) -> "LayerEnergies":
        """Take the scale if it was not given, the energy of the faintest layer and the moments.

        Raises:
            ShowerValueError: No layer has energy.
        """
        del condition
        lit = _lit(x)
        self.threshold.copy_(lit.min().double() * (1 - _ROUNDING))
        if self._given is None:
            self.scale.copy_(lit.max())
        if self.standardised:
            smear = by_generator(self.noise(), len(x), fitting_generator(x))["smear"]
            self.standardisation.adapt(self._logits(x, smear))
        return self

    def _logits(
        self, energies: Float[Tensor, "showers layers"], normals: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers layers"]:
        noisy = energies.double() + self.floor * (1 + _SPREAD * normals.double())
        return logit((noisy / self.scale).clamp(0, 1), _ALPHA)

    def encode(
        self, x: Float[Tensor, "showers layers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers layers"]:
        """The logits, in single precision."""
        del condition
        values: Tensor = self.standardisation(self._logits(x, noise["smear"]))
        return values

    def decode(
        self, z: Float[Tensor, "showers layers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers layers"]:
        """The energies of the layers, in MeV, in double precision: 0 or not below the faintest of
        the training showers.
        """
        del condition, noise
        noisy = inverse_logit(self.standardisation.inverse(z), _ALPHA) * self.scale
        energies = noisy - self.floor
        return torch.where(energies >= self.threshold / 2, energies.clamp_min(self.threshold), 0.0)

    def log_stretch(
        self, x: Float[Tensor, "showers layers"], condition: Condition
    ) -> Float[Tensor, " showers"]:
        """See `EnergyRepresentation.log_stretch`; the condition has no part in the map."""
        del condition
        return x.new_zeros(len(x), dtype=torch.float64)
