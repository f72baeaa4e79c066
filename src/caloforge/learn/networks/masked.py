r"""Masked autoregressive flows (MAF, Papamakarios et al., arXiv:1705.07057) and their inverse (IAF,
Kingma et al., arXiv:1606.04934).

A flow of :math:`B` blocks carries data :math:`x^0` to latent :math:`x^B`. In block :math:`b` each
feature :math:`i`, in an order of the block's own, is transformed by a monotone function :math:`g`
with numbers :math:`\theta_i` that a masked network (MADE, Germain et al., arXiv:1502.03509) makes
of the features before it and of the condition :math:`c`,

.. math:: x^b_i = g(x^{b-1}_i; \theta_i), \qquad
          \theta_i = \theta_i(x^{b-1}_{<i}, c) \ \text{(MAF)}, \qquad
          \theta_i = \theta_i(x^b_{<i}, c) \ \text{(IAF)} .

:math:`g` is a rational-quadratic spline on an interval, the identity elsewhere, or an affine map. A
MAF maps data to latent in one pass, an IAF latent to data; the other way takes a step a feature.
With the same orders both can be the same map, with the same :math:`x^b` and :math:`\theta^b`.
"""

__all__ = ["MaskedFlow", "MaskedNetwork", "OnePass"]

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Transform
from torch.nn.functional import linear, pad
from zuko.nn import MaskedLinear
from zuko.transforms import MonotonicAffineTransform

from caloforge.errors import ModelError
from caloforge.learn.graph_loops import GraphLoop, graph_loop
from caloforge.learn.networks.spline import RationalQuadraticSpline

_FEWEST_OUTPUTS = 16
"""A matrix product of fewer outputs may give a row other bits in another place of its batch."""


class OnePass(Enum):
    """What takes one pass of the networks: the density of given data (MAF), or samples (IAF)."""

    DENSITY = "density"
    SAMPLES = "samples"


@dataclass(frozen=True)
class _Step:
    """Features that depend on the same units: from ``first`` to before ``last``, the units of each
    layer that steps before have made, and those that this one sees.
    """

    first: int
    last: int
    made: tuple[int, ...]
    units: tuple[int, ...]


def _steps(features: int, degrees: Sequence[Sequence[int]]) -> list[_Step]:
    edges = sorted({degree for layer in degrees for degree in layer} | {features})
    units = [tuple(sum(degree <= edge for degree in layer) for layer in degrees) for edge in edges]
    made = [(0,) * len(degrees), *units]
    return [
        _Step(a, b, before, after)
        for (a, b), before, after in zip(pairwise(edges), made, units, strict=False)
    ]


@dataclass(frozen=True)
class _Rows:
    """So many outputs of a layer, of all the inputs that they see; its weights are padded, so that
    a row has the same bits in any batch.
    """

    weight: Tensor
    bias: Tensor
    number: int

    @classmethod
    def cut(cls, layer: nn.Linear, seen: int, first: int, last: int) -> "_Rows":
        """The outputs from the first to before the last, of so many inputs."""
        missing = max(0, _FEWEST_OUTPUTS - (last - first))
        weight = pad(layer.weight[first:last, :seen], (0, 0, 0, missing))
        return cls(weight, pad(layer.bias[first:last], (0, missing)), last - first)

    def __call__(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self.weight, self.bias)[:, : self.number]


def _masked(before: Sequence[int], after: Sequence[int], *, strict: bool) -> MaskedLinear:
    """A layer whose outputs see inputs of degrees up to their own; the mask follows from the sizes,
    and is not stored.
    """
    inputs, outputs = torch.tensor(before), torch.tensor(after)[:, None]
    layer = MaskedLinear(outputs > inputs if strict else outputs >= inputs)
    layer.register_buffer("mask", layer.mask, persistent=False)
    return layer


class MaskedNetwork(nn.Module):
    r"""Numbers for each feature that depend on the features before it and on the condition; zero at
    first.

    The network is that of nflows, which CaloFlow (arXiv:2106.05285) and Convolutional L2LFlows
    (arXiv:2405.20407) use: the condition has a layer of its own, rectified and added to the first
    layer's output. One *hidden layer* in their counts is one after the first, ``hidden=(64, 64)``
    here. A unit of *degree* :math:`d` sees the features before the :math:`d`-th. In nflows the
    degrees run from 1 to :math:`D - 1` or to the number of units, :math:`D` the number of features;
    here they are spread evenly over 0 to :math:`D - 1`, so that the first feature sees the
    condition, and narrow layers see all features.

    Arguments:
        features: Features.
        condition: Numbers in the condition.
        hidden: Widths of the hidden layers.
        numbers: Numbers for a feature.
    """

    def __init__(
        self, features: int, condition: int, *, hidden: Sequence[int], numbers: int
    ) -> None:
        super().__init__()
        degrees = [[k * features // width for k in range(width)] for width in hidden]
        ends = [feature for feature in range(features) for _ in range(numbers)]
        self.numbers = numbers
        self.steps = _steps(features, degrees)
        self.condition = nn.Linear(condition, hidden[0])
        first = _masked(range(features), degrees[0], strict=True)
        inner = [
            _masked(before, after, strict=False) for before, after in pairwise([*degrees, ends])
        ]
        self.layers = nn.ModuleList([first, *inner])
        self._cuts: dict[_Step, tuple[_Rows, ...]] = {}
        nn.init.zeros_(inner[-1].weight)
        nn.init.zeros_(inner[-1].bias)

    @property
    def output(self) -> nn.Module:
        """The layer that ends it."""
        return self.layers[-1]

    def forward(
        self, x: Float[Tensor, "batch features"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch features numbers"]:
        """The numbers of all features.

        Arguments:
            x: All features.
            condition: The condition, of order 1.
        """
        x = (self.layers[0](x) + self.embed(condition)).relu()
        for layer in self.layers[1:-1]:
            x = layer(x).relu()
        return self.layers[-1](x).view(x.shape[0], -1, self.numbers)  # type: ignore[no-any-return]

    def embed(self, condition: Float[Tensor, "batch condition"]) -> Float[Tensor, "batch width"]:
        """What the condition adds to the first layer."""
        return self.condition(condition).relu()  # type: ignore[no-any-return]

    def begin(self, condition: Float[Tensor, "batch condition"]) -> list[Tensor]:
        """The units of each hidden layer before the first step: none."""
        return [condition.new_zeros(condition.shape[0], 0) for _ in self.layers[:-1]]

    def advance(
        self,
        step: _Step,
        units: list[Tensor],
        known: Float[Tensor, "batch known"],
        embedding: Float[Tensor, "batch width"],
    ) -> tuple[Float[Tensor, "batch group numbers"], list[Tensor]]:
        """The numbers of the features of a step.

        Arguments:
            step: The step.
            units: The units of each hidden layer that steps before it made.
            known: The features before the step.
            embedding: What the condition adds to the first layer.

        Returns:
            The numbers, and the units with those of this step.
        """
        inputs, states = known, []
        *inner, last = self._cuts.get(step) or self._cut(step)
        for k, (rows, state, end) in enumerate(zip(inner, units, step.units, strict=True)):
            new = rows(inputs)
            new = new + embedding[:, state.shape[1] : end] if k == 0 else new
            inputs = torch.cat([state, new.relu()], dim=1)
            states.append(inputs)
        return last(inputs).view(known.shape[0], -1, self.numbers), states

    def folded(self) -> "MaskedNetwork":
        """A copy for inference, its masks multiplied in and the rows of each step cut once."""
        network = copy.deepcopy(self).eval().requires_grad_(False)
        network.layers = nn.ModuleList(
            [_unmasked(cast(MaskedLinear, layer)) for layer in network.layers]
        )
        network._cuts = {step: network._cut(step) for step in network.steps}
        return network

    def _cut(self, step: _Step) -> tuple[_Rows, ...]:
        """The rows of each layer that a step makes; what they see holds no mask."""
        layers, seen = cast(list[nn.Linear], list(self.layers)), (step.first, *step.units)
        firsts = (*step.made, step.first * self.numbers)
        lasts = (*step.units, step.last * self.numbers)
        return tuple(map(_Rows.cut, layers, seen, firsts, lasts))


def _unmasked(layer: MaskedLinear) -> nn.Linear:
    """A layer of the same map, its mask multiplied in."""
    plain = nn.Linear(layer.in_features, layer.out_features, device="meta")
    plain = plain.to_empty(device=layer.weight.device).to(layer.weight).requires_grad_(False)
    plain.weight.copy_(layer.weight * layer.mask)
    plain.bias.copy_(layer.bias)
    return plain


@dataclass(frozen=True)
class _Affine:
    slope: float
    numbers: int = 2

    def __call__(self, numbers: Tensor) -> Transform:
        shift, scale = numbers.unbind(-1)
        return MonotonicAffineTransform(shift, scale, slope=self.slope)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Spline:
    bins: int
    bound: float
    slope: float

    @property
    def numbers(self) -> int:
        return 3 * self.bins - 1

    def __call__(self, numbers: Tensor) -> Transform:
        widths, heights, derivatives = numbers.tensor_split([self.bins, 2 * self.bins], dim=-1)
        return RationalQuadraticSpline(
            widths, heights, derivatives, bound=self.bound, slope=self.slope
        )


class _Block(nn.Module):
    order: Tensor

    def __init__(
        self,
        features: int,
        condition: int,
        *,
        hidden: Sequence[int],
        univariate: _Affine | _Spline,
        one_pass: OnePass,
    ) -> None:
        super().__init__()
        self.univariate, self.one_pass = univariate, one_pass
        self.network = MaskedNetwork(features, condition, hidden=hidden, numbers=univariate.numbers)
        self.register_buffer("order", torch.randperm(features))

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The point after the block, the log of the determinant, and the numbers."""
        x = x[:, self.order]
        if self.one_pass is OnePass.DENSITY:
            numbers = self.network(x, condition)
        else:
            _, numbers = self._unroll(x, condition, Transform.__call__)
        z, log_det = self.univariate(numbers).call_and_ladj(x)  # type: ignore[attr-defined]
        return z[:, self.order.argsort()], log_det.sum(1), numbers

    def inverse(self, z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """The point before the block, and the numbers."""
        z, loop = z[:, self.order], graph_loop()
        if self.one_pass is OnePass.SAMPLES:
            numbers = self.network(z, condition)
            x = _inverse(self.univariate(numbers), z)
        elif loop is not None:
            x, numbers = self._repeated(z, condition, loop)
        else:
            x, numbers = self._unroll(z, condition, _inverse)
        return x[:, self.order.argsort()], numbers

    def _repeated(self, z: Tensor, condition: Tensor, loop: GraphLoop) -> tuple[Tensor, Tensor]:
        """The inverse by a whole pass a step: slower, and a graph of one pass."""
        steps = self.network.steps
        step = torch.tensor([k for k, one in enumerate(steps) for _ in range(one.last - one.first)])

        def body(
            x: Tensor, numbers: Tensor, now: Tensor, z: Tensor, condition: Tensor
        ) -> tuple[Tensor, Tensor]:
            turn = step == now[:, None]
            numbers = torch.where(turn[..., None], self.network(x, condition), numbers)
            return torch.where(turn, _inverse(self.univariate(numbers), z), x), numbers

        start = torch.zeros_like(z), self.network(torch.zeros_like(z), condition)
        rounds = torch.arange(len(steps)).expand(z.shape[0], -1)
        x, numbers = loop(body, start, [rounds], [z, condition])
        return x, numbers.flatten(1)

    def _unroll(
        self, given: Tensor, condition: Tensor, apply: Callable[[Transform, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Step by step, from features given on the side that the network does not see: those it
        sees, and its numbers.
        """
        known, embedding = given[:, :0], self.network.embed(condition)
        units, parts = self.network.begin(condition), []
        for step in self.network.steps:
            numbers, units = self.network.advance(step, units, known, embedding)
            known = torch.cat(
                [known, apply(self.univariate(numbers), given[:, step.first : step.last])], dim=1
            )
            parts.append(numbers)
        return known, torch.cat(parts, dim=1)


def _inverse(transform: Transform, z: Tensor) -> Tensor:
    x: Tensor = transform.inv(z)
    return x


class MaskedFlow(nn.Module):
    """A bijection of masked autoregressive blocks; the identity before it is trained.

    In steps, a unit is evaluated once, when the last feature that it sees is known. All steps
    together cost one pass, where the usual inverse makes a pass a feature. Features between which
    no degree lies depend on the same units, and take one step.

    The order of the features in each block is drawn from torch's generator, and stored with the
    weights.

    Arguments:
        features: Features.
        condition: Numbers in the condition.
        blocks: Blocks.
        hidden: Widths of the hidden layers of a block's network.
        one_pass: Which way takes one pass.
        bins: Bins of the spline, or None for an affine map.
        bound: The spline's interval is [-bound, bound].
        slope: The least slope, and the least ratio of two bins; the greatest is its inverse. Below
            1e-4 float32 may not resolve the bins.

    Raises:
        ModelError: A size is not positive.
    """

    def __init__(
        self,
        features: int,
        condition: int,
        *,
        blocks: int,
        hidden: Sequence[int],
        one_pass: OnePass = OnePass.DENSITY,
        bins: int | None = 8,
        bound: float = 5.0,
        slope: float = 1e-3,
    ) -> None:
        super().__init__()
        _check_sizes(
            features=features,
            condition=condition,
            blocks=blocks,
            hidden=min(hidden, default=0),
            bins=bins or 1,
        )
        self.features, self.condition, self.hidden, self.one_pass = (
            features,
            condition,
            tuple(hidden),
            one_pass,
        )
        self.bins, self.bound, self.slope = bins, bound, slope
        univariate = _Affine(slope) if bins is None else _Spline(bins, bound, slope)
        block = partial(
            _Block, features, condition, hidden=hidden, univariate=univariate, one_pass=one_pass
        )
        self.blocks = nn.ModuleList([block() for _ in range(blocks)])

    def forward(
        self, x: Float[Tensor, "batch features"], condition: Float[Tensor, "batch condition"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        """The latent of data, and the log of the Jacobian's determinant.

        Arguments:
            x: The data.
            condition: The condition, of order 1.
        """
        total = x.new_zeros(len(x))
        for block in self._blocks():
            x, log_det, _ = block.forward(x, condition)
            total = total + log_det
        return x, total

    def inverse(
        self, z: Float[Tensor, "batch features"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch features"]:
        """The data of a latent.

        Arguments:
            z: The latent.
            condition: The condition, of order 1.
        """
        for block in reversed(self._blocks()):
            z, _ = block.inverse(z, condition)
        return z

    def walk(
        self, x: Float[Tensor, "batch features"], condition: Float[Tensor, "batch condition"]
    ) -> tuple[
        Float[Tensor, "batch points features"], Float[Tensor, "batch blocks features numbers"]
    ]:
        r"""The points :math:`x^0, \dots, x^B` and the numbers :math:`\theta^1, \dots, \theta^B` on
        the way from data to latent.

        Arguments:
            x: The data.
            condition: The condition, of order 1.
        """
        points, parts = [x], []
        for block in self._blocks():
            x, _, numbers = block.forward(x, condition)
            points.append(x)
            parts.append(numbers)
        return torch.stack(points, dim=1), torch.stack(parts, dim=1)

    def walk_back(
        self, z: Float[Tensor, "batch features"], condition: Float[Tensor, "batch condition"]
    ) -> tuple[
        Float[Tensor, "batch points features"], Float[Tensor, "batch blocks features numbers"]
    ]:
        """The same on the way from latent to data, and in the same order: the data first.

        Arguments:
            z: The latent.
            condition: The condition, of order 1.
        """
        points, parts = [z], []
        for block in reversed(self._blocks()):
            z, numbers = block.inverse(z, condition)
            points.append(z)
            parts.append(numbers)
        return torch.stack(points[::-1], dim=1), torch.stack(parts[::-1], dim=1)

    def folded(self) -> "MaskedFlow":
        """The same flow for inference: no mask is multiplied, and no weights are cut, twice.

        It gives the same bits, and cannot be trained.
        """
        flow = copy.deepcopy(self).eval().requires_grad_(False)
        for block in flow._blocks():
            block.network = block.network.folded()
        return flow

    def student(self, hidden: Sequence[int] | None = None) -> "MaskedFlow":
        """A flow of the same blocks, orders and functions that takes one pass the other way; the
        identity as yet.

        Arguments:
            hidden: Widths of the hidden layers of a block's network; this flow's by default.
        """
        flow = MaskedFlow(
            self.features,
            self.condition,
            blocks=len(self.blocks),
            hidden=hidden or self.hidden,
            one_pass=OnePass.SAMPLES if self.one_pass is OnePass.DENSITY else OnePass.DENSITY,
            bins=self.bins,
            bound=self.bound,
            slope=self.slope,
        )
        for mine, its in zip(self._blocks(), flow._blocks(), strict=True):
            its.order.copy_(mine.order)
        return flow.to(next(self.parameters()))

    def _blocks(self) -> list[_Block]:
        return cast(list[_Block], list(self.blocks))


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            msg = f"a masked flow was given {name} = {size}; expected a positive number"
            raise ModelError(msg)
