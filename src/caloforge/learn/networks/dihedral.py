r"""A residual network with the symmetry of the square built in.

The eight symmetries :math:`g` of the square form the dihedral group :math:`D_4`. A *field* is a
tensor :math:`f(g, b, c)`, group element x batch x channel, on which a symmetry acts by translation,
:math:`f'(g) = f(h g)`. Every linear map between fields that commutes with all translations is
block-diagonal after the Fourier transform over the group,

.. math:: \hat f(\rho)_{ij} = \sqrt{d_\rho / 8}\, \sum_g \rho(g)_{ij}\, f(g),

with one block for each irreducible representation :math:`\rho`: four of dimension
:math:`d_\rho = 1`, which mix the :math:`C` channels, and one of dimension 2 (the rotations
themselves), which mixes channels and column index :math:`j` and acts alike on both rows :math:`i`.
So a layer between 8 C and 8 C numbers costs :math:`12 C^2` multiplications instead of
:math:`64 C^2`, and what the network learns of one shower it knows of its seven images.
Nonlinearities act on each group element alone and commute with translations too.
"""

__all__ = ["DihedralLinear", "DihedralNetwork"]

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from caloforge.learn.networks.embedding import sinusoids
from caloforge.learn.symmetry import Orbits


def fourier_matrix(rotations: Float[Tensor, "8 2 2"]) -> Float[Tensor, "8 8"]:
    """The orthogonal Fourier matrix of the group, rows ordered (1-D blocks, then column 0 and
    column 1 of the 2-D block).

    Arguments:
        rotations: The plane rotation or reflection of each group element.
    """
    parity = torch.linalg.det(rotations)
    axes = rotations[:, 0, 0].abs() - rotations[:, 0, 1].abs()
    one_dimensional = torch.stack([torch.ones_like(parity), parity, axes, axes * parity])
    two_dimensional = math.sqrt(2) * rotations.permute(2, 1, 0).reshape(4, 8)
    return torch.cat([one_dimensional, two_dimensional]) / math.sqrt(8)


class DihedralLinear(nn.Module):
    """The general linear map between fields that commutes with the symmetries of the square, plus a
    bias.

    Arguments:
        fourier: The Fourier matrix of the group, as `fourier_matrix` gives it.
        channels_in: Channels of the input field.
        channels_out: Channels of the output field.
        zero: Start from the zero map.
    """

    fourier: Tensor

    def __init__(
        self,
        fourier: Float[Tensor, "8 8"],
        channels_in: int,
        channels_out: int,
        *,
        zero: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("fourier", fourier.float(), persistent=False)
        scale = 0.0 if zero else channels_in**-0.5
        self.scalar = nn.Parameter(scale * torch.randn(4, channels_in, channels_out))
        self.vector = nn.Parameter(
            scale * 0.5**0.5 * torch.randn(2 * channels_in, 2 * channels_out)
        )
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(
        self, field: Float[Tensor, "8 batch channels_in"]
    ) -> Float[Tensor, "8 batch channels_out"]:
        """Transform, mix each block, transform back."""
        batch = field.shape[1]
        hat = (self.fourier @ field.flatten(1)).view(8, batch, -1)
        scalars = torch.bmm(hat[:4], self.scalar)
        vectors = torch.cat([hat[4:6], hat[6:]], dim=-1) @ self.vector
        hat = torch.cat([scalars, *vectors.chunk(2, dim=-1)])
        mixed: Tensor = (self.fourier.t() @ hat.flatten(1)).view(8, batch, -1)
        return mixed + self.bias


class _Block(nn.Module):
    """A residual block whose normalised input is scaled and shifted by the condition."""

    def __init__(self, fourier: Float[Tensor, "8 8"], channels: int, condition: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(condition, 2 * channels)
        self.first = DihedralLinear(fourier, channels, channels)
        self.second = DihedralLinear(fourier, channels, channels, zero=True)

    def forward(
        self,
        field: Float[Tensor, "8 batch channels"],
        condition: Float[Tensor, "*group batch condition"],
    ) -> Float[Tensor, "8 batch channels"]:
        scale, shift = self.modulation(condition).chunk(2, dim=-1)
        normal = torch.addcmul(shift, functional.layer_norm(field, field.shape[-1:]), 1 + scale)
        change: Tensor = self.second(functional.silu(self.first(normal)))
        return field + change


class DihedralNetwork(nn.Module):
    """A vector field on numbers of cells of a square grid and on scalars, which commutes with the
    square's symmetries.

    Arguments:
        symmetries: The eight permutations of the cells, with shape (8, cells).
        rotations: The plane rotation or reflection of each, with shape (8, 2, 2).
        scalars: How many invariant numbers follow those of the cells.
        channels: Channels of the fields, an eighth of the width of the layers.
        blocks: Residual blocks.
        condition: Width of the embedding of time and condition.
        invariants: How many numbers of the condition beside the first stay when a shower is turned.
        vectors: How many pairs of numbers of the condition turn with it.
    """

    rotations: Tensor

    def __init__(
        self,
        symmetries: Int[Tensor, "8 cells"],
        rotations: Float[Tensor, "8 2 2"],
        *,
        scalars: int,
        channels: int,
        blocks: int,
        condition: int,
        invariants: int = 0,
        vectors: int = 0,
    ) -> None:
        super().__init__()
        fourier = fourier_matrix(rotations)
        self.invariants, self.vectors = invariants, vectors
        self.register_buffer("rotations", rotations.float(), persistent=False)
        self.orbits, self.cells, self.frequencies = Orbits(symmetries), symmetries.shape[1], 8
        ends = self.orbits.n_orbits + scalars
        self.embedding = nn.Sequential(
            nn.Linear(2 * self.frequencies + invariants + 2 * vectors, condition),
            nn.SiLU(),
            nn.Linear(condition, condition),
            nn.SiLU(),
        )
        self.lift = DihedralLinear(fourier, ends, channels)
        self.blocks = nn.ModuleList([_Block(fourier, channels, condition) for _ in range(blocks)])
        self.lower = DihedralLinear(fourier, channels, ends, zero=True)

    @property
    def output(self) -> nn.Module:
        """The layer that ends it."""
        return self.lower

    def forward(
        self,
        x: Float[Tensor, "batch dim"],
        time: Float[Tensor, " batch"],
        condition: Float[Tensor, "batch ..."],
    ) -> Float[Tensor, "batch dim"]:
        """The field at x.

        Arguments:
            x: Numbers of the cells, then the scalars.
            time: The time, in [0, 1].
            condition: A scalar condition of order 1, where there are others followed by the
                invariants and the pairs, with shape (batch, 1 + invariants + 2 vectors).
        """
        embedded = self._embedded(time, condition)
        cells, scalars = x[:, : self.cells], x[:, self.cells :]
        field = self.lift(torch.cat([self.orbits.lift(cells), scalars.expand(8, -1, -1)], dim=-1))
        for block in self.blocks:
            field = block(field, embedded)
        lowered, n_orbits = self.lower(functional.silu(field)), self.orbits.n_orbits
        return torch.cat(
            [self.orbits.lower(lowered[..., :n_orbits]), lowered[..., n_orbits:].mean(dim=0)], dim=1
        )

    def _embedded(
        self, time: Float[Tensor, " batch"], condition: Float[Tensor, "batch ..."]
    ) -> Float[Tensor, "*group batch condition"]:
        """Time and condition embedded: a field if the condition turns with the shower."""
        first = condition.reshape(time.shape[0], -1)[:, 0]
        known = torch.cat([sinusoids(4 * s, self.frequencies, 20.0) for s in (time, first)], dim=1)
        if self.invariants:
            known = torch.cat([known, condition[:, 1 : 1 + self.invariants]], dim=1)
        if self.vectors:
            pairs = condition[:, 1 + self.invariants :].reshape(-1, self.vectors, 2)
            turned = torch.einsum("gji,bvj->gbvi", self.rotations, pairs).flatten(2)
            known = torch.cat([known.expand(turned.shape[0], -1, -1), turned], dim=-1)
        embedded: Tensor = self.embedding(known)
        return embedded
