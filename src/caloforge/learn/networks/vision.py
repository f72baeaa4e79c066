r"""A vision transformer for fields on a grid of three axes: the shape network of CaloDREAM
(arXiv:2405.09629, section 3.2).

The field is cut into *patches* of equal shape that do not overlap. A linear layer makes each a
vector of :math:`D` numbers, to which its position is added. A block attends between the patches and
applies a dense network to each (eq. 11; Peebles and Xie, arXiv:2212.09748),

.. math:: h &\leftarrow h + \gamma_1 \odot \mathrm{attention}\bigl((1 + \alpha_1) \odot
          \mathrm{norm}(h) + \beta_1\bigr), \\ h &\leftarrow h + \gamma_2 \odot
          \mathrm{dense}\bigl((1 + \alpha_2) \odot \mathrm{norm}(h) + \beta_2\bigr),

where the *modulation* :math:`\beta, \alpha, \gamma` is linear in :math:`\mathrm{silu}(c)`, with
:math:`c` the sum of the embedded time and the embedded condition. The end modulates once more and
maps each vector back to its patch. Modulation and end start from zero: new blocks are identities.
"""

__all__ = [
    *("FASTEST", "ModulatedTransformer", "PatchTransformer", "VisionTransformer"),
    *("embedder", "initialise"),
]

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import ModelError
from caloforge.learn.networks.dense import dense
from caloforge.learn.networks.embedding import sinusoids

FASTEST = 100.0
"""The highest angular frequency in the embedding of the time, from 0 to 1.

The published code goes up to 1, which hardly tells one time from another.
"""

_SINUSOIDS = 256
_EPSILON = 1e-6

Grid = tuple[int, int, int]


def patched(
    x: Float[Tensor, "batch channels layers alpha r"], patch: Grid
) -> Float[Tensor, "batch patches voxels"]:
    """Cut a field into patches, ordered as they lie along the axes; in each, channels come first.

    Arguments:
        x: The field.
        patch: The shape of a patch, which divides that of the field.
    """
    (batch, channels), (p, q, s) = x.shape[:2], patch
    layers, alpha, r = (n // m for n, m in zip(x.shape[2:], patch, strict=True))
    cut = x.reshape(batch, channels, layers, p, alpha, q, r, s)
    return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(
        batch, layers * alpha * r, channels * p * q * s
    )


def unpatched(
    patches: Float[Tensor, "batch patches voxels"], shape: Grid, patch: Grid
) -> Float[Tensor, "batch channels layers alpha r"]:
    """Put the patches together: the inverse of `patched`.

    Arguments:
        patches: The patches.
        shape: The shape of the field.
        patch: The shape of a patch.
    """
    batch, (p, q, s) = patches.shape[0], patch
    layers, alpha, r = (n // m for n, m in zip(shape, patch, strict=True))
    cut = patches.reshape(batch, layers, alpha, r, -1, p, q, s)
    return cut.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(batch, -1, *shape)


class _Positions(nn.Module):
    r"""The positions of the patches, by sines and cosines of learnable frequencies.

    Patch :math:`n` is embedded as

    .. math:: h_n = W x_n + b + \bigl(\sin 2\pi f_k y_{nk},\, \cos 2\pi f_k y_{nk}\bigr)_{k = 1
              \dots D / 2},

    with a third of the frequencies :math:`f_k` for each axis, and :math:`y_{nk} \in (0, 1)` the
    centre of the patch along the axis of :math:`f_k`.
    """

    centres: Tensor

    def __init__(self, centres: Float[Tensor, "patches axes"], dim: int) -> None:
        super().__init__()
        axis = torch.arange(dim // 2) * centres.shape[1] // (dim // 2)
        self.register_buffer("centres", centres[:, axis], persistent=False)
        self.frequencies = nn.Parameter(torch.randn(dim // 2))

    def forward(self) -> Float[Tensor, "patches dim"]:
        phase = self.centres * (2 * math.pi * self.frequencies)
        return torch.cat([phase.sin(), phase.cos()], dim=1)


def _lattice(numbers: Sequence[int]) -> Float[Tensor, "patches axes"]:
    """The centres of patches side by side."""
    axes = [(torch.arange(n) + 0.5) / n for n in numbers]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(axes))


def _modulated(
    x: Float[Tensor, "batch patches dim"],
    shift: Float[Tensor, "batch 1 dim"],
    scale: Float[Tensor, "batch 1 dim"],
) -> Float[Tensor, "batch patches dim"]:
    """The layer norm of x, scaled and shifted."""
    return torch.addcmul(shift, functional.layer_norm(x, x.shape[-1:], eps=_EPSILON), scale)


class _Block(nn.Module):
    """Attention between the patches, then a dense network on each, both modulated (eq. 11)."""

    def __init__(self, dim: int, heads: int, hidden: int, activation: nn.Module) -> None:
        super().__init__()
        self.heads, self.activation = heads, activation
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.mix = nn.Linear(dim, dim)
        self.widen = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)

    def forward(
        self, x: Float[Tensor, "batch patches dim"], modulation: Sequence[Tensor]
    ) -> Float[Tensor, "batch patches dim"]:
        shift, scale, gate, dense_shift, dense_scale, dense_gate = modulation
        x = torch.addcmul(x, gate, self.attend(_modulated(x, shift, scale)))
        dense = self.narrow(self.activation(self.widen(_modulated(x, dense_shift, dense_scale))))
        return torch.addcmul(x, dense_gate, dense)

    def attend(self, x: Float[Tensor, "batch patches dim"]) -> Float[Tensor, "batch patches dim"]:
        """Multi-head self-attention."""
        query, key, value = (
            self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        mixed: Tensor = self.mix(
            functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        )
        return mixed


class ModulatedTransformer(nn.Module):
    """Attention between tokens on a grid, each block and the end modulated by an embedded
    condition. The modulations of all blocks are one matrix product.

    Arguments:
        grid: The numbers of tokens along the axes, or the centre of each token along them, in
            (0, 1), with shape (tokens, axes).
        inputs: Numbers in a token.
        outputs: Numbers that come out of a token; zeros at first.
        dim: Width of a token's vector, even, at least 6 and a multiple of heads.
        heads: Heads of the attention.
        hidden: Width inside the dense networks.
        blocks: Blocks.
        exact_gelu: Take the GELU of the dense networks itself, not the approximation by tanh of the
            published code. They are within 5e-4 of each other, and on a processor the exact one
            costs a third.

    Raises:
        ModelError: The width does not fit.
    """

    def __init__(
        self,
        grid: Sequence[int] | Tensor,
        inputs: int,
        outputs: int,
        *,
        dim: int,
        heads: int,
        hidden: int,
        blocks: int,
        exact_gelu: bool = False,
    ) -> None:
        super().__init__()
        _require_width(dim, heads)
        self.embedding = nn.Linear(inputs, dim)
        centres = grid if isinstance(grid, Tensor) else _lattice(grid)
        self.positions = _Positions(centres, dim)
        self.modulation = nn.Linear(dim, (6 * blocks + 2) * dim)
        gelu = nn.GELU(approximate="none" if exact_gelu else "tanh")
        self.blocks = nn.ModuleList([_Block(dim, heads, hidden, gelu) for _ in range(blocks)])
        self.final = nn.Linear(dim, outputs)
        initialise(self)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.final.weight)

    @property
    def output(self) -> nn.Module:
        """The layer that ends it."""
        return self.final

    def forward(
        self, tokens: Float[Tensor, "batch tokens inputs"], embedded: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch tokens outputs"]:
        """What comes out of the tokens, under an embedded condition."""
        *modulations, shift, scale = self._modulations(embedded)
        x = self.embedding(tokens) + self.positions()
        for k, block in enumerate(self.blocks):
            x = block(x, modulations[6 * k : 6 * k + 6])
        return self.final(_modulated(x, shift, scale))  # type: ignore[no-any-return]

    def _modulations(self, embedded: Float[Tensor, "batch dim"]) -> tuple[Tensor, ...]:
        """Shift, 1 + scale and gate of both halves of each block, then shift and 1 + scale of the
        end.
        """
        parts = (
            self.modulation(functional.silu(embedded))
            .unflatten(-1, (-1, 1, embedded.shape[-1]))
            .unbind(1)
        )
        return tuple(part + 1 if k % 3 == 1 else part for k, part in enumerate(parts))


def embedder(inputs: int, dim: int) -> nn.Sequential:
    """A small dense network that embeds a condition."""
    return dense((inputs, dim, dim), nn.SiLU)


def initialise(network: nn.Module) -> None:
    """Give all linear layers of a network weights of unit gain and no bias."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


class PatchTransformer(nn.Module):
    """A velocity of the numbers in patches: tokens attend to each other under an embedded time and
    condition.

    Arguments:
        grid: As of `ModulatedTransformer`.
        width: Numbers in a patch.
        condition: Width of the condition.
        dim: As of `ModulatedTransformer`, and so on.
        heads: Heads of the attention.
        hidden: Width inside the dense networks.
        blocks: Blocks.
        exact_gelu: See `ModulatedTransformer`.
    """

    def __init__(
        self,
        grid: Sequence[int] | Tensor,
        width: int,
        condition: int,
        *,
        dim: int,
        heads: int,
        hidden: int,
        blocks: int,
        exact_gelu: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"dim": dim, "heads": heads, "hidden": hidden, "blocks": blocks}
        self.transformer = ModulatedTransformer(grid, width, width, **sizes, exact_gelu=exact_gelu)
        self.time, self.condition = embedder(_SINUSOIDS, dim), embedder(condition, dim)
        initialise(self.time)
        initialise(self.condition)

    def moved(
        self,
        tokens: Float[Tensor, "batch patches width"],
        time: Float[Tensor, " batch"],
        condition: Float[Tensor, "batch condition"],
    ) -> Float[Tensor, "batch patches width"]:
        """The velocity of the numbers in the patches."""
        embedded = self.time(sinusoids(FASTEST * time, _SINUSOIDS)) + self.condition(condition)
        velocity: Tensor = self.transformer(tokens, embedded)
        return velocity


class VisionTransformer(PatchTransformer):
    """A velocity on fields of a given shape, by attention between patches.

    With shape (45, 16, 9), patch (3, 16, 1), dim 480, heads 6, hidden 1920, blocks 6 and condition
    46 it is the shape network of CaloDREAM for dataset 2, with 26,042,688 parameters; with (45, 50,
    18), (3, 5, 2), 240, 6, 720, 6 and 46 that for dataset 3, with 5,868,870.

    Arguments:
        shape: Layers, angular and radial bins of the field.
        patch: The shape of a patch; each number divides that of the shape.
        channels: Channels of the field.
        dim: Width of a patch's vector, even, at least 6 and a multiple of heads.
        heads: Heads of the attention.
        hidden: Width inside the dense networks.
        blocks: Blocks.
        condition: Width of the condition.
        exact_gelu: Take the GELU of the dense networks itself, not the approximation by tanh of the
            published code. They are within 5e-4 of each other, and on a processor the exact one
            costs a third.

    Raises:
        ModelError: The patch does not divide the shape, or dim does not fit.
    """

    def __init__(
        self,
        shape: Grid,
        patch: Grid,
        *,
        channels: int = 1,
        dim: int,
        heads: int,
        hidden: int,
        blocks: int,
        condition: int,
        exact_gelu: bool = False,
    ) -> None:
        _require_division(shape, patch)
        grid = [n // p for n, p in zip(shape, patch, strict=True)]
        sizes = {"dim": dim, "heads": heads, "hidden": hidden, "blocks": blocks}
        voxels = channels * math.prod(patch)
        super().__init__(grid, voxels, condition, **sizes, exact_gelu=exact_gelu)
        self.shape, self.patch = shape, patch

    def forward(
        self,
        x: Float[Tensor, "batch channels layers alpha r"],
        time: Float[Tensor, " batch"],
        condition: Float[Tensor, "batch condition"],
    ) -> Float[Tensor, "batch channels layers alpha r"]:
        """The velocity at x.

        Arguments:
            x: The field.
            time: The time, in [0, 1].
            condition: Numbers of order 1.
        """
        velocity = self.moved(patched(x, self.patch), time, condition)
        return unpatched(velocity, self.shape, self.patch)


def _require_division(shape: Grid, patch: Grid) -> None:
    for axis, (n, p) in enumerate(zip(shape, patch, strict=True)):
        if p < 1 or n % p:
            divisors = ", ".join(str(d) for d in range(1, n + 1) if n % d == 0)
            msg = (
                f"patch {patch} does not divide shape {shape}: along axis {axis}, {n} is not a "
                f"multiple of {p}; "
                f"give a patch whose axis {axis} is one of {divisors}"
            )
            raise ModelError(msg)


def _require_width(dim: int, heads: int) -> None:
    if dim < 6 or dim % 2 or heads < 1 or dim % heads:
        msg = (
            f"dim {dim} with {heads} heads: give an even dim of at least 6 that is a multiple of "
            "heads"
        )
        raise ModelError(msg)
