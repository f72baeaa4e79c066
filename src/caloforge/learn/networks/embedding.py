"""A scalar as a vector that a network can resolve."""

__all__ = ["sinusoids"]

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sinusoids(
    x: Float[Tensor, " batch"], dim: int, longest: float = 1e4
) -> Float[Tensor, "batch dim"]:
    r"""Sines and cosines of geometrically spaced frequencies (Vaswani et al., arXiv:1706.03762,
    section 3.5).

    Arguments:
        x: The scalar, in units in which neighbours differ by about 1.
        dim: The even number of components.
        longest: The ratio of the longest to the shortest wavelength.

    Returns:
        :math:`\sin(x \omega_j), \cos(x \omega_j)` with :math:`\omega_j` from 1 down to 1 /
        ``longest``.
    """
    half = dim // 2
    frequencies = torch.exp(
        torch.arange(half, device=x.device) * (-math.log(longest) / max(half - 1, 1))
    )
    phase = x[:, None] * frequencies
    return torch.cat([phase.sin(), phase.cos()], dim=1)
