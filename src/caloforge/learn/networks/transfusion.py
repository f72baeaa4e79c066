r"""Transfusion: the velocity of each number of a sequence given the numbers before it (CaloDREAM,
arXiv:2405.09629, section 3.1).

Let :math:`u_0, \dots, u_{L-1}` be the sequence and :math:`E` the condition. A transformer embeds
what is known before each number, and one dense network, shared by all, gives the velocity of the
number on its way:

.. math:: c_i = c(u_0, \dots, u_{i-1}, E) \quad (9), \qquad v_i = v(u_{i,t}, t, c_i) \quad (10)

The encoder sees one token, :math:`(E, 1, 0, \dots)`, with what else is known in place of the
first zeros; the decoder sees the tokens
:math:`(u_{i-1}, p_i)` with :math:`u_{-1} = 0` and a fixed code of the position :math:`p_i`. Blocks
are those of Vaswani et al., arXiv:1706.03762, figure 1: normalised after each residual sum, ReLU.
"""

__all__ = ["DecoderState", "HeadSizes", "Transfusion"]

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import ModelError
from caloforge.learn.graph_loops import GraphLoop
from caloforge.learn.networks.dense import dense
from caloforge.learn.networks.embedding import sinusoids


@dataclass(frozen=True)
class DecoderState:
    """What `Transfusion.advance` remembers. A state is used once: the caches are written in place.

    Arguments:
        position: The position to embed next.
        caches: For each block the keys and the values of the positions passed, with shape (2,
            batch, heads, length, width).
        crosses: For each block what its attention to the encoder gives, with shape (batch, 1, dim).
    """

    position: int
    caches: tuple[Tensor, ...]
    crosses: tuple[Tensor, ...]


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        """Of each token to itself and those before it."""
        query, key, value = self._heads(x)
        return self._join(
            functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        )

    def following(
        self,
        x: Float[Tensor, "batch 1 dim"],
        cache: Float[Tensor, "2 batch heads length width"],
        position: int,
    ) -> Float[Tensor, "batch 1 dim"]:
        """Of one more token to itself and those in the cache, which it joins."""
        parts = self.project(x).view(x.shape[0], 3, self.heads, -1).transpose(0, 1)
        cache[:, :, :, position] = parts[1:]
        key, value = cache[:, :, :, : position + 1]
        query = parts[0][:, :, None]
        return self._join(functional.scaled_dot_product_attention(query, key, value))

    def appending(
        self, x: Float[Tensor, "batch 1 dim"], cache: Float[Tensor, "2 batch heads length width"]
    ) -> tuple[Float[Tensor, "batch 1 dim"], Float[Tensor, "2 batch heads longer width"]]:
        """The same as `following` with a cache of the tokens passed alone; and the longer cache."""
        parts = self.project(x).view(x.shape[0], 3, self.heads, -1).transpose(0, 1)
        cache = torch.cat([cache, parts[1:, :, :, None]], dim=3)
        attended = functional.scaled_dot_product_attention(parts[0][:, :, None], cache[0], cache[1])
        return self._join(attended), cache

    def alone(self, x: Float[Tensor, "batch 1 dim"]) -> Float[Tensor, "batch 1 dim"]:
        """Of anything to the one token x: its value."""
        dim = x.shape[-1]
        value = functional.linear(x, self.project.weight[2 * dim :], self.project.bias[2 * dim :])
        return self.out(value)  # type: ignore[no-any-return]

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (
            self.project(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        return query, key, value

    def _join(
        self, x: Float[Tensor, "batch heads length width"]
    ) -> Float[Tensor, "batch length dim"]:
        return self.out(x.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class _EncoderBlock(nn.Module):
    def __init__(self, dim: int, heads: int, width: int) -> None:
        super().__init__()
        self.attention, self.feed_forward = (
            _Attention(dim, heads),
            dense((dim, width, dim), nn.ReLU),
        )
        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(2)])

    def forward(self, x: Float[Tensor, "batch 1 dim"]) -> Float[Tensor, "batch 1 dim"]:
        x = self.norms[0](x + self.attention.alone(x))
        return self.norms[1](x + self.feed_forward(x))  # type: ignore[no-any-return]


class _DecoderBlock(nn.Module):
    def __init__(self, dim: int, heads: int, width: int) -> None:
        super().__init__()
        self.attention, self.cross, self.feed_forward = (
            _Attention(dim, heads),
            _Attention(dim, heads),
            dense((dim, width, dim), nn.ReLU),
        )
        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(3)])

    def forward(
        self,
        x: Float[Tensor, "batch length dim"],
        attended: Float[Tensor, "batch length dim"],
        cross: Float[Tensor, "batch 1 dim"],
    ) -> Float[Tensor, "batch length dim"]:
        """The block, given what its two attentions gave."""
        x = self.norms[1](self.norms[0](x + attended) + cross)
        return self.norms[2](x + self.feed_forward(x))  # type: ignore[no-any-return]


class _Head(nn.Module):
    """The dense network of eq. 10: SiLU, its inner layers normalised; the time by random Fourier
    features.
    """

    frequencies: Tensor

    def __init__(self, dim: int, width: int, layers: int, time_dim: int, time_scale: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * time_scale * torch.randn(time_dim // 2))
        self.time = nn.Linear(time_dim, time_dim)
        self.enter = nn.Linear(1 + time_dim + dim, width)
        inner: list[nn.Module] = []
        for _ in range(layers - 2):
            inner += [nn.Linear(width, width), nn.LayerNorm(width), nn.SiLU()]
        self.inner = nn.Sequential(*inner)
        self.leave = nn.Linear(width, 1)

    def clock(self, time: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch width"]:
        """What the time gives to the first layer, with its bias."""
        phase = time[..., None] * self.frequencies
        features = self.time(torch.cat([phase.sin(), phase.cos()], dim=-1))
        return functional.linear(
            features, self.enter.weight[:, 1 : 1 + features.shape[-1]], self.enter.bias
        )

    def known(self, embedding: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch width"]:
        """What the embedding gives to the first layer."""
        return functional.linear(embedding, self.enter.weight[:, -embedding.shape[-1] :])

    def forward(
        self, x: Float[Tensor, "*batch 1"], rest: Float[Tensor, "*batch width"]
    ) -> Float[Tensor, "*batch 1"]:
        """The velocity at x, given the sum of what time and embedding give."""
        hidden = torch.addcmul(rest, x, self.enter.weight[:, 0])
        return self.leave(self.inner(functional.silu(hidden)))  # type: ignore[no-any-return]

    def lean(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The same function of x and rest, for many evaluations of few rows: there, calls of
        modules take most of the time.
        """
        point, leave = self.enter.weight[:, 0], (self.leave.weight, self.leave.bias)
        dense = [(m.weight, m.bias) for m in self.inner if isinstance(m, nn.Linear)]
        norms = [
            (m.normalized_shape, m.weight, m.bias, m.eps)
            for m in self.inner
            if isinstance(m, nn.LayerNorm)
        ]
        layers = list(zip(dense, norms, strict=True))

        def velocity(x: Tensor, rest: Tensor) -> Tensor:
            hidden = functional.silu(torch.addcmul(rest, x, point), inplace=True)
            for linear, norm in layers:
                hidden = functional.silu(
                    torch.layer_norm(functional.linear(hidden, *linear), *norm), inplace=True
                )
            return functional.linear(hidden, *leave)

        return velocity


@dataclass(frozen=True)
class HeadSizes:
    """The sizes of the dense flow network that all numbers share.

    Arguments:
        width: Its width.
        layers: Its layers, at least 2.
        time_dim: The even number of Fourier features of the time.
        time_scale: Standard deviation of their frequencies, in periods a unit of time.
    """

    width: int = 512
    layers: int = 8
    time_dim: int = 64
    time_scale: float = 30.0


class Transfusion(nn.Module):
    """The network; with a length of 45 and all else by default the published one, of 2,384,705
    parameters.

    Attention to a single token is its value, whatever the query: the encoder's attention and the
    decoder's to the encoder are linear maps, the latter the same for all positions. Their queries
    and keys, 2 d (d + 1) numbers an attention of width d, are kept, since the published number of
    parameters counts them, but have no effect and no gradient.

    All numbers of a known sequence are embedded in one causal pass. When the sequence is drawn
    number by number, `begin` and `advance` keep the keys and values of the positions passed, so
    that each position costs one token.

    Arguments:
        length: Numbers in the sequence, L.
        dim: Width of the embeddings, an even multiple of ``heads``.
        heads: Heads of the attention.
        blocks: Blocks of the encoder, and of the decoder.
        feed_forward: Width of the blocks' dense part.
        head: The sizes of the dense network that all numbers share.
        condition: Numbers in the condition, fewer than ``dim``.

    Raises:
        ModelError: The sizes do not fit each other.
    """

    positions: Tensor

    def __init__(
        self,
        length: int,
        *,
        dim: int = 64,
        heads: int = 4,
        blocks: tuple[int, int] = (4, 4),
        feed_forward: int = 512,
        head: HeadSizes = HeadSizes(),
        condition: int = 1,
    ) -> None:
        super().__init__()
        _check_sizes(dim, heads, head.layers, head.time_dim, condition)
        self.length, self.dim, self.heads = length, dim, heads
        self.register_buffer("positions", _position_codes(length, dim - 1), persistent=False)
        self.encoder = nn.ModuleList(
            [_EncoderBlock(dim, heads, feed_forward) for _ in range(blocks[0])]
        )
        self.decoder = nn.ModuleList(
            [_DecoderBlock(dim, heads, feed_forward) for _ in range(blocks[1])]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(2)])
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        self.head = _Head(dim, head.width, head.layers, head.time_dim, head.time_scale)

    def forward(
        self,
        x: Float[Tensor, "batch length"],
        time: Float[Tensor, "#batch #length"],
        values: Float[Tensor, "batch length"],
        condition: Float[Tensor, "batch condition"],
    ) -> Float[Tensor, "batch length"]:
        """The velocities at x of all numbers, each given the ``values`` before it: `velocity` after
        `embed`.
        """
        return self.velocity(x, time, self.embed(values, condition))

    @property
    def output(self) -> nn.Module:
        """The layer that ends it."""
        return self.head.leave

    def embed(
        self, values: Float[Tensor, "batch length"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch length dim"]:
        """The embeddings of all positions (eq. 9), in parallel.

        Arguments:
            values: The sequence; the embedding of position i sees its first i numbers.
            condition: The condition, of order 1.
        """
        x = self._tokens(functional.pad(values[:, :-1], (1, 0)), self.positions)
        for block, cross in zip(self._blocks(), self._crosses(condition), strict=True):
            x = block(x, block.attention(x), cross)
        return self.norms[1](x)  # type: ignore[no-any-return]

    def velocity(
        self,
        x: Float[Tensor, "*batch"],
        time: Float[Tensor, "*#batch"],
        embedding: Float[Tensor, "*batch dim"],
    ) -> Float[Tensor, "*batch"]:
        """The velocity of numbers on their way (eq. 10).

        Arguments:
            x: Where they are.
            time: The time in [0, 1], of each or shared.
            embedding: What `embed` or `advance` gave for their positions.
        """
        return self.head(x[..., None], self.head.known(embedding) + self.head.clock(time))[..., 0]  # type: ignore[no-any-return]

    def field(
        self, embedding: Float[Tensor, "batch dim"], clocks: dict[float, Tensor]
    ) -> Callable[[Float[Tensor, "batch 1"], float], Float[Tensor, "batch 1"]]:
        """The same velocity for one position, as a function of numbers and of a time that all
        share.

        Arguments:
            embedding: What `advance` gave.
            clocks: What times give to the network, by time: empty at first, and kept from position
                to position.
        """
        known, head = self.head.known(embedding), self.head.lean()

        def velocity(x: Tensor, time: float) -> Tensor:
            if time not in clocks:
                clocks[time] = self.head.clock(x.new_tensor([time]))
            return head(x, known + clocks[time])

        return velocity

    def begin(self, condition: Float[Tensor, "batch condition"]) -> DecoderState:
        """The state before the first position."""
        shape = (2, condition.shape[0], self.heads, self.length, self.dim // self.heads)
        caches = tuple(condition.new_empty(shape) for _ in self.decoder)
        return DecoderState(0, caches, self._crosses(condition))

    def advance(
        self, state: DecoderState, previous: Float[Tensor, " batch"] | None
    ) -> tuple[Float[Tensor, "batch dim"], DecoderState]:
        """The embedding of the next position, as `embed` gives it, without a gradient.

        Arguments:
            state: The state before it, which must not be used again.
            previous: The number before it; None at the first position.

        Returns:
            The embedding, and the state after it.
        """
        i, batch = state.position, state.crosses[0].shape[0]
        value = self.positions.new_zeros(batch) if previous is None else previous
        x = self._tokens(value[:, None], self.positions[i : i + 1])
        for block, cache, cross in zip(self._blocks(), state.caches, state.crosses, strict=True):
            x = block(x, block.attention.following(x, cache, i), cross)
        return self.norms[1](x)[:, 0], replace(state, position=i + 1)

    def repeated(
        self,
        loop: GraphLoop,
        starts: Float[Tensor, "batch length"],
        condition: Float[Tensor, "batch condition"],
        carry: Callable[[Callable[[Tensor, float], Tensor], Tensor], Tensor],
    ) -> Float[Tensor, "batch length"]:
        """The sequence, position by position, in a loop of a graph; keys and values are appended.

        Arguments:
            loop: The loop.
            starts: Where each number starts.
            condition: The condition.
            carry: Carries a number from its start along a velocity.
        """
        blocks = len(self.decoder)

        def body(values: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
            caches, (start, position), crosses = (
                others[:blocks],
                others[blocks : blocks + 2],
                others[blocks + 2 :],
            )
            x = torch.cat([values[:, None, -1:], position[:, None]], dim=-1)
            new = []
            for block, cache, cross in zip(self._blocks(), caches, crosses, strict=True):
                attended, appended = block.attention.appending(x, cache)
                x = block(x, attended, cross)
                new.append(appended)
            velocity = self.field(self.norms[1](x)[:, 0], {})
            made = carry(velocity, start[:, None])
            return (torch.cat([values, made], dim=1), *new)

        first = torch.zeros_like(starts[:, :1])
        cache = first[:, :, None, None].expand(-1, -1, self.heads, self.dim // self.heads)
        cache = cache.permute(1, 0, 2, 3)[:, :, :, None][:, :, :, :0].expand(2, -1, -1, -1, -1)
        positions = self.positions.expand(starts.shape[0], -1, -1)
        carried = (first, *[cache] * blocks)
        values, *_ = loop(body, carried, [starts, positions], self._crosses(condition))
        return values[:, 1:]

    def _crosses(self, condition: Tensor) -> tuple[Tensor, ...]:
        """What each block's attention to the encoder gives."""
        energy, beside = condition[:, :1], condition[:, 1:]
        token = torch.cat([energy, torch.ones_like(energy), beside], dim=1)
        x = functional.pad(token, (0, self.dim - token.shape[1]))[:, None]
        for block in self.encoder:
            x = block(x)
        memory = self.norms[0](x)
        return tuple(block.cross.alone(memory) for block in self._blocks())

    def _blocks(self) -> list[_DecoderBlock]:
        return cast("list[_DecoderBlock]", list(self.decoder))

    def _tokens(self, values: Tensor, positions: Tensor) -> Tensor:
        return torch.cat([values[..., None], positions.expand(values.shape[0], -1, -1)], dim=-1)


def _check_sizes(dim: int, heads: int, head_layers: int, time_dim: int, condition: int) -> None:
    """Raise if the sizes do not fit each other."""
    if dim % heads or dim % 2 or time_dim % 2 or head_layers < 2 or not 0 < condition < dim:
        msg = (
            f"dim {dim}, heads {heads}, head_layers {head_layers}, time_dim {time_dim}, condition "
            f"{condition}: "
            "a Transfusion needs even dim and time_dim, dim a multiple of heads, "
            "at least 2 head_layers, and a condition of 1 to dim - 1 numbers"
        )
        raise ModelError(msg)


def _position_codes(length: int, dim: int) -> Float[Tensor, "length dim"]:
    """One-hot and zero-padded where the positions fit, else sinusoids from one radian a position to
    one radian in all.
    """
    if length <= dim:
        return torch.eye(length, dim)
    return sinusoids(torch.arange(float(length)), dim + 1, float(length))[:, :dim]
