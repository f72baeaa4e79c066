r"""The numbers of a shower in one layer of cells, made standard normal *at every incident energy*.

Let :math:`E` be the incident energy, :math:`x_c` the deposit in cell :math:`c`,
:math:`S = \sum_c x_c`. The orbit of the brightest cells (the four crystals around the beam) is the
*core* :math:`K`, the rest the *halo*. Features :math:`f` are the leakage :math:`\ln(1 - S/E)`; the
halo fraction :math:`\ln(\sum_{c \notin K} x_c / S)`; in the core
:math:`\ln x_c - \langle \ln x \rangle_K`; in the halo :math:`\ln x_c`, or *empty*. A group of like
features (one an orbit, by symmetry) has a mean :math:`m(q)`, a width :math:`s(q)` and a probability
:math:`p(q)` to be empty, :math:`q` the scaled :math:`\ln E`, and the distribution :math:`F` of
:math:`z = (f - m) / s`. It becomes

.. math:: y = \Phi^{-1}\bigl(p + (1 - p) F(z)\bigr) \ \text{(filled)}, \qquad
          y = \Phi^{-1}(p\,u), \quad u \sim U(0, 1) \ \text{(empty)} .

What is left to learn is how the numbers depend on each other.
"""

__all__ = ["EMPTY", "REACH", "Gaussianised"]

import math
import warnings
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from caloforge.errors import RepresentationWarning, TrainingError
from caloforge.geometry import Calorimeter
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.quantiles import QuantileTables
from caloforge.learn.representations.representation import NO_NOISE, Representation
from caloforge.learn.representations.standardised import shower_sums
from caloforge.learn.symmetry import Orbits
from caloforge.units import GeV, keV

EMPTY = 1 * keV
"""Deposits below this are an empty cell, in MeV."""

REACH = 6.0
"""Standard deviations that a number may lie from 0."""

_LEAST_LEAKAGE = 1e-6
_LEAST_FILLED = 1e-300
_FEWEST_EMPTY = 10
_NEWTON_STEPS = 30


class Gaussianised(Representation[Tensor]):
    r"""Cells, leakage and halo fraction as standard normal numbers at every incident energy; see
    the head of the module.

    :math:`m`, :math:`\ln s` and the logit of :math:`p` are quadratic in :math:`q` and fitted by
    maximum likelihood; :math:`F` is in `QuantileTables`. A cell of the halo is empty below `EMPTY`.
    The inverse rebuilds :math:`S`, the core's share by a softmax and the halo's by scaling: the
    energy is conserved by construction, and no cell can run away. Numbers beyond
    :math:`|y| =` `REACH` are brought back to it, and counted in a `RepresentationWarning`. A
    leakage below 1e-6, also that of a shower with more energy than its particle, counts as 1e-6.

    Arguments:
        calorimeter: Where the cells are; its symmetries are those of the physics.
    """

    core: Tensor
    centre_scale: Tensor
    mean: Tensor
    log_width: Tensor
    empty_logit: Tensor
    group: Tensor

    def __init__(self, calorimeter: Calorimeter) -> None:
        super().__init__()
        self.orbits = Orbits(calorimeter.symmetries)
        self.n_cells, n_groups = calorimeter.n_cells, self.orbits.n_orbits + 2
        scalars = torch.tensor([n_groups - 2, n_groups - 1])
        self.register_buffer("group", torch.cat([self.orbits.orbit, scalars]), persistent=False)
        self.register_buffer("core", torch.zeros(self.n_cells, dtype=torch.bool))
        self.register_buffer(
            "centre_scale", torch.tensor([math.log(30 * GeV), 1.0], dtype=torch.float64)
        )
        for name in ("mean", "log_width", "empty_logit"):
            self.register_buffer(name, torch.zeros(n_groups, 3, dtype=torch.float64))
        self.quantiles = QuantileTables(n_groups)

    @property
    def dim(self) -> int:
        """Numbers a shower: one a cell, then leakage and halo fraction."""
        return self.n_cells + 2

    def noise(self) -> Mapping[str, Noise]:
        """What stands for empty cells."""
        return {"empty": Noise("uniform", (self.dim,))}

    def fit(self, x: Float[Tensor, "showers cells"], condition: Condition) -> "Gaussianised":
        """Fit means, widths, probabilities and tables.

        Raises:
            TrainingError: A cell is empty in nearly all showers.
        """
        brightest = self.orbits.orbit[x.mean(dim=0).argmax()]
        self.core.copy_(self.orbits.orbit == brightest)
        incident = condition.particles.energies
        logs = incident.double().log()
        self.centre_scale.copy_(torch.stack([logs.mean(), logs.std().clamp_min(0.1)]))
        features, empty = self._features(x, incident)
        basis = self._basis(incident)[:, None].expand(-1, self.dim, -1)
        self.quantiles.fit_nodes(self._scaled(incident))
        for g in range(len(self.mean)):
            columns = self.group == g
            hidden = empty[:, columns].flatten()
            try:
                self._fit_group(
                    g, basis[:, columns].flatten(0, 1), features[:, columns].flatten(), hidden
                )
            except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
                msg = (
                    f"cell {int(columns.nonzero()[0, 0])} and those like it by symmetry have "
                    f"energy in {int((~hidden).sum())} of {len(hidden)} places of the training "
                    "showers, too few to learn from: train on more showers, or on a smaller "
                    "calorimeter without them"
                )
                raise TrainingError(msg) from error
        return self

    def _fit_group(
        self,
        g: int,
        basis: Float[Tensor, "n 3"],
        features: Float[Tensor, " n"],
        empty: Bool[Tensor, " n"],
    ) -> None:
        self.empty_logit[g] = _logistic(basis, empty.double())
        basis, features = basis[~empty], features[~empty]
        self.mean[g] = torch.linalg.solve(_gram(basis), _moments(basis, features))
        residual = features - basis @ self.mean[g]
        self.log_width[g] = _log_width(basis, residual)
        self.quantiles.fit_group(g, basis[:, 1], residual * (-basis @ self.log_width[g]).exp())

    def scaled_energy(self, condition: Condition) -> Float[Tensor, " showers"]:
        """The scaled log energy q, of order 1, float32."""
        return self._scaled(condition.particles.energies).float()

    def _scaled(self, energies: Float[Tensor, " showers"]) -> Float[Tensor, " showers"]:
        return (energies.double().log() - self.centre_scale[0]) / self.centre_scale[1]

    def _basis(self, energies: Float[Tensor, " showers"]) -> Float[Tensor, "showers 3"]:
        q = self._scaled(energies)
        return torch.stack([torch.ones_like(q), q, q * q], dim=-1)

    def _features(
        self, x: Float[Tensor, "showers cells"], incident: Float[Tensor, " showers"]
    ) -> tuple[Float[Tensor, "showers dim"], Bool[Tensor, "showers dim"]]:
        total, deposits = shower_sums(x), x.double()
        halo = (deposits * ~self.core).sum(dim=1).clamp_min(EMPTY) / total
        leakage = (1 - total / incident).clamp_min(_LEAST_LEAKAGE)
        logs = deposits.clamp_min(EMPTY).log()
        logs = torch.where(self.core, logs - logs[:, self.core].mean(dim=1, keepdim=True), logs)
        empty = (deposits < EMPTY) & ~self.core
        features = torch.cat([logs, leakage.log()[:, None], halo.log()[:, None]], dim=1)
        return features, torch.cat([empty, empty.new_zeros(empty.shape[0], 2)], dim=1)

    def _trends(
        self, energies: Float[Tensor, " showers"]
    ) -> tuple[
        Float[Tensor, "showers dim"], Float[Tensor, "showers dim"], Float[Tensor, "showers dim"]
    ]:
        basis = self._basis(energies)
        mean, log_width, logit = (
            basis @ c.t()
            for c in (self.mean, self.log_width, self.empty_logit.nan_to_num(neginf=-1e3))
        )
        return mean[:, self.group], log_width.exp()[:, self.group], logit.sigmoid()[:, self.group]

    def encode(
        self, x: Float[Tensor, "showers cells"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers dim"]:
        """Standard normal numbers of showers, each with some energy.

        Raises:
            ShowerValueError: A shower has no energy.
        """
        incident = condition.particles.energies
        features, empty = self._features(x, incident)
        mean, width, p = self._trends(incident)
        y = self.quantiles((features - mean) / width, self._scaled(incident)[:, None], self.group)
        y = _ndtri(p + (1 - p) * torch.special.ndtr(y))
        y = torch.where(empty & (p > 0), _ndtri(p * noise["empty"]), y)
        return _within_reach(y, "showers").float()

    def decode(
        self, z: Float[Tensor, "showers dim"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers cells"]:
        """Deposits, in MeV; each shower's sum is below its incident energy."""
        del noise
        energies = condition.particles.energies
        y = _within_reach(z.double(), "refined showers")
        mean, width, p = self._trends(energies)
        cdf = torch.special.ndtr(y)
        filled = (cdf - p).clamp_min(0) / (1 - p).clamp_min(_LEAST_FILLED)
        normal = self.quantiles.inverse(_ndtri(filled), self._scaled(energies)[:, None], self.group)
        return self._deposits(normal * width + mean, cdf < p, energies.double()).float()

    def _deposits(
        self,
        features: Float[Tensor, "showers dim"],
        empty: Bool[Tensor, "showers dim"],
        energies: Float[Tensor, " showers"],
    ) -> Float[Tensor, "showers cells"]:
        logs, leakage, halo = (
            features[:, : self.n_cells],
            features[:, -2].exp(),
            features[:, -1].exp(),
        )
        total, halo = energies * (1 - leakage.clamp_max(1)), halo.clamp_max(1)
        logs = logs.masked_fill(empty[:, : self.n_cells], -math.inf)
        core_share = logs.masked_fill(~self.core, -math.inf).softmax(dim=1)
        halo_share = logs.masked_fill(self.core, -math.inf).softmax(dim=1).nan_to_num(nan=0.0)
        return total[:, None] * ((1 - halo)[:, None] * core_share + halo[:, None] * halo_share)


def _ndtri(p: Tensor) -> Tensor:
    normal: Tensor = torch.special.ndtri(p.clamp(1e-15, 1 - 1e-15))
    return normal


def _within_reach(y: Float[Tensor, "showers dim"], what: str) -> Float[Tensor, "showers dim"]:
    beyond = (y.abs() > REACH) | y.isnan()
    if beyond.any():
        msg = (
            f"{int(beyond.sum())} of {beyond.numel()} numbers of {what} lie more than {REACH:g} "
            "standard deviations "
            "from the training showers and were brought back to there"
        )
        warnings.warn(msg, RepresentationWarning, stacklevel=3)
    return y.nan_to_num(nan=0.0).clamp(-REACH, REACH)


def _moments(basis: Float[Tensor, "n 3"], x: Float[Tensor, " n"]) -> Float[Tensor, "3"]:
    """Sums of products; not a matrix product, whose bits depend on where the numbers lie
    in memory.
    """
    return (basis * x[:, None]).sum(dim=0)


def _gram(
    basis: Float[Tensor, "n 3"], weights: Float[Tensor, " n"] | None = None
) -> Float[Tensor, "3 3"]:
    weighted = basis if weights is None else basis * weights[:, None]
    return torch.stack([_moments(weighted, column) for column in basis.unbind(dim=1)])


def _logistic(basis: Float[Tensor, "n 3"], outcome: Float[Tensor, " n"]) -> Float[Tensor, "3"]:
    """Coefficients of the logit of a probability, by Newton's method; minus infinity where the
    outcome is too rare to fit.
    """
    coefficients = basis.new_zeros(3)
    if outcome.sum() < _FEWEST_EMPTY:
        return torch.tensor([-math.inf, 0.0, 0.0]).to(basis)
    ridge = 1e-3 * torch.eye(3).to(basis)
    for _ in range(_NEWTON_STEPS):
        p = (basis @ coefficients).sigmoid()
        gradient = _moments(basis, outcome - p) - ridge @ coefficients
        curvature = _gram(basis, p * (1 - p)) + ridge
        coefficients = coefficients + torch.linalg.solve(curvature, gradient)
    return coefficients


def _log_width(basis: Float[Tensor, "n 3"], residual: Float[Tensor, " n"]) -> Float[Tensor, "3"]:
    """Coefficients of the log width of a normal distribution, by Fisher scoring; zeros where there
    is no width, as for the core of a grid whose middle is one cell.
    """
    if not residual.any():
        return basis.new_zeros(3)
    coefficients = torch.stack([residual.square().mean().log(), *basis.new_zeros(2)])
    for _ in range(_NEWTON_STEPS):
        score = _moments(basis, residual.square() * (-basis @ coefficients).exp() - 1)
        coefficients = coefficients + torch.linalg.solve(_gram(basis), score)
    return coefficients / 2
