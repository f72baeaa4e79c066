r"""Random variates of exact distributions, each a function of its address alone: a key of
`caloforge.streams` and a counter.

- Binomial numbers by inversion: the terms :math:`P_j = P_{j-1} \frac{n - j + 1}{j} \frac{q}{1 - q}`
  are summed until they pass one uniform number. Where :math:`(1 - q)^n` would vanish in floating
  point, the trials are drawn in several lots.
- Fair coins by counting the ones in random bits, 64 at a time.
- Gamma numbers by the rejection of Marsaglia and Tsang (ACM TOMS 26 (2000) 363).

An address owns the :math:`2^{32}` counters from its own on; give addresses that many apart.
"""

__all__ = ["SPACING", "binomial", "gamma", "popcount", "unit"]

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge import streams

SPACING = 1 << 32
"""Distance between the counters of two variates."""

_LARGEST_EXPONENT = 700.0
r"""Least :math:`-\ln P_0` of a lot of trials: :math:`e^{-708}` is the least normal number."""


def unit(words: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Uniform numbers in the open interval ]0, 1[ from the upper 52 of 64 random bits."""
    return (words >> 12).double().add_(0.5).mul_(2.0**-52).add_(0.5)


def popcount(words: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """The number of ones among the 64 bits of each word."""
    pairs = words - ((words >> 1) & 0x5555555555555555)
    nibbles = (pairs & 0x3333333333333333) + ((pairs >> 2) & 0x3333333333333333)
    octets = (nibbles + (nibbles >> 4)).bitwise_and_(0x0F0F0F0F0F0F0F0F)
    return octets.mul_(0x0101010101010101) >> 56


def binomial(
    n: Float[Tensor, "*shape"],
    q: Float[Tensor, "*shape"],
    key: Int[Tensor, "*#shape"],
    counter: Int[Tensor, "*#shape"],
) -> Float[Tensor, "*shape"]:
    """How many of ``n`` independent trials succeed.

    Arguments:
        n: The numbers of trials, whole, at least 0.
        q: The probability of success of each trial, in [0, 1].
        key: The key of each draw.
        counter: The counter of each draw.
    """
    flip = q > 0.5
    if flip.any():
        rarer = binomial(n, torch.where(flip, 1 - q, q), key, counter)
        return torch.where(flip, n - rarer, rarer)
    log_failure = torch.log1p(-q)
    if (n * log_failure).min() >= -_LARGEST_EXPONENT:
        return _inverted(n, q, log_failure, unit(streams.words(key, counter)))
    lot = torch.minimum(n, (-_LARGEST_EXPONENT / log_failure).floor())
    first = _inverted(lot, q, log_failure, unit(streams.words(key, counter)))
    return first + binomial(n - lot, q, key, counter + 1)


def _inverted(
    n: Float[Tensor, "*shape"],
    q: Float[Tensor, "*shape"],
    log_failure: Float[Tensor, "*shape"],
    u: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """The quantile ``u`` of the binomial distribution."""
    minus_odds = q / (q - 1)
    slope, term = minus_odds * -(n + 1), (n * log_failure).exp()
    rest, successes = u - term, torch.zeros_like(n)
    ratio, beyond = torch.empty_like(n), torch.empty_like(n)
    for j in range(1, int(n.max()) + 1):
        if rest.max() <= 0:
            break
        successes += torch.gt(rest, 0, out=beyond)
        term *= torch.add(minus_odds, slope, alpha=1 / j, out=ratio)
        rest -= term
    return torch.minimum(successes, n)


def gamma(
    shape: Float[Tensor, " draws"], key: Int[Tensor, " draws"], counter: Int[Tensor, " draws"]
) -> Float[Tensor, " draws"]:
    """Numbers of the gamma distribution with unit scale.

    Arguments:
        shape: The shape of each distribution, positive; numbers of a shape below 1 come from that
            plus 1.
        key: The key of each draw.
        counter: The counter of each draw.
    """
    small = shape < 1
    d = torch.where(small, shape + 1, shape) - 1 / 3
    value = torch.zeros_like(shape)
    left = torch.arange(len(shape), device=shape.device)
    lot = 0
    while len(left):
        candidate, accepted = _proposed(d[left], key[left], counter[left] + 4 * lot)
        value[left[accepted]] = candidate[accepted]
        left, lot = left[~accepted], lot + 1
    boost = unit(streams.words(key, counter + 3)).log() / shape
    return torch.where(small, value * boost.exp(), value)


def _proposed(
    d: Float[Tensor, " draws"], key: Int[Tensor, " draws"], counter: Int[Tensor, " draws"]
) -> tuple[Float[Tensor, " draws"], Tensor]:
    """One proposal each, and whether it is accepted."""
    radius, angle, u = (unit(streams.words(key, counter + j)) for j in range(3))
    x = (-2 * radius.log()).sqrt() * (2 * math.pi * angle).cos()
    v = (1 + x / (9 * d).sqrt()).clamp(min=0) ** 3
    accepted = (v > 0) & (u.log() < 0.5 * x.square() + d - d * v + d * v.clamp(min=1e-300).log())
    return d * v, accepted
