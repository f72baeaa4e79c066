r"""Which cells of a layer are hit, how many, and how they share its energy.

Let :math:`\tau` be the threshold of the readout, :math:`E_l` the energy in layer :math:`l` and
:math:`n_l` the number of its *hits*, the cells with a deposit :math:`x_c \ge \tau`. What is above
threshold is shared,

.. math:: g_c = \frac{x_c - \tau}{E_l - n_l \tau}, \qquad \sum_{c\ \mathrm{hit}} g_c = 1,

so that any hits with any shares conserve :math:`E_l`, and none falls below the threshold. Of a
share, the number to learn is its centred log ratio
:math:`\sqrt{n_l / (n_l - 1)}\, (\ln g_c - \langle \ln g \rangle_l)`, with the mean over the hits of
the layer; of a number of hits, :math:`\ln(n_l + 1 - u) - m_l(q)` with :math:`u \sim U(0, 1)`,
:math:`q = \ln E_l` and :math:`m_l` quadratic. `QuantileTables` make both nearly standard normal
*scores* at each :math:`q`. The share of showers in which a cell is hit is its *occupancy*
:math:`p_c(q)`.
"""

__all__ = ["HitPattern", "Hits"]

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Numbers
from caloforge.learn.quantiles import QuantileTables
from caloforge.learn.representations.representation import (
    NO_NOISE,
    Representation,
    fitting_generator,
)

_NODES = 20
_KNOTS = 33
_LEAST_SHARE = 1e-6
_ROUNDING = 1e-6
_RIDGE = 1e-12
_SEEN = 0.05, 1.0
"""Hits and cells that each orbit is taken to have seen beforehand, near each node."""


@dataclass(frozen=True, eq=False)
class Hits:
    """Showers as hits.

    Arguments:
        hit: Which cells are hit.
        scores: The score of each hit's share; 0 elsewhere.
        numbers: The number of hits in each layer.
        energies: The energy in each layer, in MeV.
    """

    hit: Bool[Tensor, "showers layers cells"]
    scores: Float[Tensor, "showers layers cells"]
    numbers: Float[Tensor, "showers layers"]
    energies: Float[Tensor, "showers layers"]


class HitPattern(Representation[Hits]):
    r"""The map between deposits and `Hits`.

    Cells that a symmetry carries into each other have one group of tables, each number of hits its
    own. The root in the log ratio makes good for the mean taken out: independent numbers, made
    shares by a softmax, keep their variance. :math:`\ln g_c` itself would lose it, as a large share
    makes all others small. A single hit has the share 1 and the score 0. The trend :math:`m_l` is
    fitted by least squares; the occupancy is known at the nodes of the tables.

    Arguments:
        orbit: The orbit of each cell under the symmetries of the calorimeter, with shape (layers,
            cells a layer).
    """

    orbit: Tensor
    layer_of_orbit: Tensor
    threshold: Tensor
    trend: Tensor
    occupancy: Tensor

    def __init__(self, orbit: Int64[Tensor, "layers cells"]) -> None:
        super().__init__()
        layers, orbits = len(orbit), int(orbit.max()) + 1
        layer_of_orbit = torch.empty(orbits, dtype=torch.int64)
        layer_of_orbit[orbit.flatten()] = torch.arange(layers).repeat_interleave(orbit.shape[1])
        self.register_buffer("orbit", orbit, persistent=False)
        self.register_buffer("layer_of_orbit", layer_of_orbit, persistent=False)
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.register_buffer("trend", torch.zeros(layers, 3, dtype=torch.float64))
        self.register_buffer("occupancy", torch.full((_NODES, orbits), 0.5, dtype=torch.float64))
        self.shares = QuantileTables(orbits, _NODES, _KNOTS)
        self.numbers = QuantileTables(layers, _NODES, _KNOTS)

    def fit(self, x: Float[Tensor, "showers layers cells"], condition: Condition) -> "HitPattern":
        """Take threshold, trends and tables."""
        self.threshold.fill_(condition.readout_threshold * (1 - _ROUNDING))
        energies, numbers, random = (
            x.double().sum(dim=2),
            (x > 0).sum(dim=2),
            fitting_generator(x),
        )
        q = self._condition(energies)
        for tables in (self.shares, self.numbers):
            tables.spread_nodes(q[numbers > 0])
        for layer in range(len(self.trend)):
            lit = numbers[:, layer] > 0
            self._fit_layer(layer, x[lit, layer].double(), q[lit, layer], random)
        return self

    def _fit_layer(
        self,
        layer: int,
        deposits: Float[Tensor, "showers cells"],
        q: Float[Tensor, " showers"],
        random: torch.Generator,
    ) -> None:
        numbers = (deposits > 0).sum(dim=1).double()
        self.trend[layer] = _trend(q, (numbers + 0.5).log())
        u = torch.rand(len(q), generator=random, dtype=torch.float64, device=q.device)
        self.numbers.fit_group(layer, q, self._number_feature(numbers, u, q, self.trend[layer]))
        feature = self._share_feature(deposits, deposits > 0)
        nearness, several = self.shares.nearness(q), numbers > 1
        for orbit in torch.unique(self.orbit[layer]).tolist():
            cells = self.orbit[layer] == orbit
            hit = deposits[:, cells] > 0
            seen = nearness.sum(dim=1) * hit.shape[1]
            self.occupancy[:, orbit] = (nearness @ hit.sum(dim=1).double() + _SEEN[0]) / (
                seen + _SEEN[1]
            )
            taught = hit & several[:, None]
            self.shares.fit_group(
                orbit, q[:, None].expand(hit.shape)[taught], feature[:, cells][taught]
            )

    def _condition(self, energies: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return energies.double().clamp_min(self.threshold).log()

    def _share_feature(
        self, deposits: Float[Tensor, "*layers cells"], hit: Bool[Tensor, "*layers cells"]
    ) -> Float[Tensor, "*layers cells"]:
        """The centred log ratios of the hits; what stands in other cells means nothing."""
        logs = (deposits.double() - self.threshold).clamp_min(_LEAST_SHARE * self.threshold).log()
        numbers = hit.sum(dim=-1, keepdim=True)
        mean = (logs * hit).sum(dim=-1, keepdim=True) / numbers.clamp_min(1)
        return (logs - mean) * _gain(numbers)

    @staticmethod
    def _number_feature(
        numbers: Float[Tensor, "*shape"],
        u: Float[Tensor, "*shape"],
        q: Float[Tensor, "*shape"],
        trend: Float[Tensor, "*layers 3"],
    ) -> Float[Tensor, "*shape"]:
        return (numbers + 1 - u).log() - (_basis(q) * trend).sum(dim=-1)

    def encode(
        self,
        x: Float[Tensor, "showers layers cells"],
        condition: Condition,
        noise: Numbers = NO_NOISE,
    ) -> Hits:
        """The hits of showers."""
        del condition, noise
        return self.hits(x)

    def hits(self, x: Float[Tensor, "showers layers cells"]) -> Hits:
        """The hits of deposits in MeV; those below the threshold are none."""
        hit = x >= self.threshold
        energies, numbers = (x * hit).double().sum(dim=2), hit.sum(dim=2).double()
        shower, layer, cell = (hit & (numbers > 1)[:, :, None]).nonzero(as_tuple=True)
        feature, q = (
            self._share_feature(x, hit)[shower, layer, cell],
            self._condition(energies)[shower, layer],
        )
        scores = torch.zeros_like(x, dtype=torch.float32)
        scores[shower, layer, cell] = self.shares(feature, q, self.orbit[layer, cell]).float()
        return Hits(hit, scores, numbers.float(), energies)

    def number_scores(
        self, hits: Hits, u: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers layers"]:
        """Nearly standard normal scores of the numbers of hits.

        Arguments:
            hits: The hits.
            u: Uniform numbers in ]0, 1[: they spread each whole number, and stand for layers
                without energy.
        """
        q, layers = self._condition(hits.energies), torch.arange(len(self.trend), device=u.device)
        u = u.double()
        scores = self.numbers(
            self._number_feature(hits.numbers.double(), u, q, self.trend), q, layers
        )
        return torch.where(hits.numbers > 0, scores, torch.special.ndtri(u)).float()

    def numbers_of(
        self, scores: Float[Tensor, "showers layers"], energies: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers layers"]:
        """The numbers of hits with these scores: as many as the energy suffices for, and none in a
        layer below threshold.
        """
        q, layers = self._condition(energies), torch.arange(len(self.trend), device=scores.device)
        spread = (
            self.numbers.inverse(scores.double(), q, layers) + (_basis(q) * self.trend).sum(dim=-1)
        ).exp()
        most = (energies / self.threshold).floor().clamp_max(self.orbit.shape[1])
        return torch.minimum(spread.floor().clamp_min(1), most).float()

    def occupancy_logits(
        self, energies: Float[Tensor, "showers layers"]
    ) -> Float[Tensor, "showers layers cells"]:
        """The logits of the occupancies, between the nodes interpolated."""
        q = self._condition(energies)[:, self.layer_of_orbit]
        occupancy = self.shares.between(self.occupancy, q)
        return torch.logit(occupancy, eps=_LEAST_SHARE).float()[:, self.orbit]

    def decode(
        self, z: Hits, condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers layers cells"]:
        """Deposits, in MeV, in single precision: of the hits alone, whose shares follow from the
        scores.
        """
        del noise
        return self.deposits(z.hit, z.scores, condition.layer_energies)

    def placed(
        self,
        priority: Float[Tensor, "showers layers cells"],
        scores: Float[Tensor, "showers layers cells"],
        numbers: Float[Tensor, "showers layers"],
        energies: Float[Tensor, "showers layers"],
    ) -> Float[Tensor, "showers layers cells"]:
        """Deposits, in MeV, in single precision.

        Arguments:
            priority: The cells of a layer are hit in falling order of it.
            scores: The score of each cell's share, used if it is hit.
            numbers: The number of hits in each layer, at most E / threshold.
            energies: The energy in each layer, in MeV.
        """
        order = priority.argsort(dim=2, descending=True, stable=True)
        first = torch.arange(priority.shape[2], device=priority.device) < numbers[:, :, None]
        return self.deposits(torch.zeros_like(first).scatter_(2, order, first), scores, energies)

    def deposits(
        self,
        hit: Bool[Tensor, "showers layers cells"],
        scores: Float[Tensor, "showers layers cells"],
        energies: Float[Tensor, "showers layers"],
    ) -> Float[Tensor, "showers layers cells"]:
        """Deposits, in MeV, in single precision.

        Arguments:
            hit: The cells that are hit, at most E / threshold in a layer.
            scores: The score of each hit's share.
            energies: The energy in each layer, in MeV.
        """
        shower, layer, cell = hit.nonzero(as_tuple=True)
        feature = torch.full_like(scores, -torch.inf, dtype=torch.float64)
        feature[shower, layer, cell] = self.shares.inverse(
            scores[shower, layer, cell].double(),
            self._condition(energies)[shower, layer],
            self.orbit[layer, cell],
        )
        numbers = hit.sum(dim=2, keepdim=True)
        shares = (feature / _gain(numbers)).softmax(dim=2).nan_to_num(nan=0.0)
        above = (energies[:, :, None] - numbers * self.threshold).clamp_min(0)
        return torch.where(hit, self.threshold + shares * above, 0.0).float()


def _gain(numbers: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """What the mean of so many numbers, taken out of them, takes from their width, made good; 1 for
    a single one.
    """
    return (numbers / (numbers - 1)).sqrt().clamp_max(2.0).double()


def _basis(q: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape 3"]:
    """Powers of the condition, for a quadratic trend."""
    return torch.stack([torch.ones_like(q), q, q * q], dim=-1)


def _trend(q: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Float[Tensor, "3"]:
    """Coefficients of a quadratic trend, by least squares; from sums, since the bits of matrix
    products depend on addresses.
    """
    basis = _basis(q)
    gram = (basis[:, :, None] * basis[:, None, :]).sum(dim=0)
    ridge = _RIDGE * (1 + gram.trace()) * torch.eye(3).to(gram)
    solution: Tensor = torch.linalg.solve(gram + ridge, (basis * y[:, None]).sum(dim=0))
    return solution
