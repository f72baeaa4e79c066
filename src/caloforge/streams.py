r"""Random numbers that belong to a shower: a function of (seed, index of the shower, purpose) and
nothing else, so that a shower does not depend on batches, workers or interruptions.

Every number is a hash of its address. With :math:`\mathrm{mix}` the 64-bit finaliser of SplitMix64
(Steele, Lea, Flood, OOPSLA 2014) and :math:`\gamma` its odd constant, number :math:`j` of stream
:math:`s` of shower :math:`i` is

.. math:: w = \mathrm{mix}(\kappa + (j + 1) \gamma), \qquad
          \kappa = \mathrm{mix}(\mathrm{mix}(\mathrm{mix}(\mathrm{seed} + \gamma) + i + \gamma) + s
          + \gamma),

all modulo :math:`2^{64}`. Any two purposes of one shower must use different streams. A shower's
first numbers stay the same when more of them are asked for, so a batch may draw as many for each
shower as its greediest shower needs. Words and uniform numbers are the same bits on each device.
"""

__all__ = ["Stream", "keys", "normals", "offspring", "uniforms", "words"]

import math
from enum import IntEnum, unique

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MULTIPLY_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MULTIPLY_2 = 0x94D049BB133111EB - (1 << 64)


@unique
class Stream(IntEnum):
    """Every purpose for which the package draws random numbers by address.

    The numbers are part of every shower that a seed makes: one that is in use never changes.
    """

    EMPTY_CELLS = 1
    """Numbers that stand for the empty cells of a shower to be refined."""
    SUM_BRIDGE = 2
    SHAPE_BRIDGE = 3
    INCIDENT_ENERGY = 14
    FAST_EMPTY_CELLS = 16
    """As `EMPTY_CELLS`, for the fast showers of a training."""
    FULL_EMPTY_CELLS = 17
    """As `EMPTY_CELLS`, for the full showers of a training."""
    INCIDENT_SPECIES = 18
    INCIDENT_DIRECTION = 19
    INCIDENT_PLACE = 20
    PROFILE = 32
    SAMPLING = 33
    OUTER_NUMBER = 34
    OUTER_PLACE = 35
    CANDIDATE_NUMBER = 36
    CANDIDATE_PLACE = 37
    SIDES = 38
    CONVERSION = 39
    LAYER_ENERGIES = 64
    SHAPE = 65
    SPECTRUM = 66
    """Showers of a trained shape stage from which its map of the spectrum is fitted."""
    POINTS = 67
    """Showers of trained points from which these are calibrated."""
    UNWEIGHTING = 80
    """Whether a weighted shower is kept."""
    RECONSTRUCTION = 81
    """What stands in empty layers where the density of their energies is asked for."""
    CHAIN = 96
    """Seeds of the refiners of a chain."""
    GEANT4 = 0x4734
    """Seeds of Geant4's own generator."""


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical shift to the right; torch's own keeps the sign."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)).mul_(_MULTIPLY_1)
    x = x.bitwise_xor_(_shift(x, 27)).mul_(_MULTIPLY_2)
    return x.bitwise_xor_(_shift(x, 31))


def keys(seed: int, index: Tensor, stream: int) -> Tensor:
    r"""The key :math:`\kappa` of each shower for one purpose.

    Arguments:
        seed: The seed of the run, any integer; it counts modulo :math:`2^{64}`.
        index: The number of each shower in the run, int64, with shape (N).
        stream: The purpose, one of `Stream`.

    Returns:
        The keys, int64, with shape (N).
    """
    signed = (seed + (1 << 63)) % (1 << 64) - (1 << 63)
    root = _mix(torch.tensor(signed, dtype=torch.int64, device=index.device) + _GAMMA)
    return _mix(_mix(root + index + _GAMMA) + stream + _GAMMA)


def words(key: Tensor, counter: Tensor) -> Tensor:
    """64 random bits for each key and counter (both int64, broadcast together)."""
    return _mix(key + (counter + 1) * _GAMMA)


def offspring(key: Tensor, number: int) -> Tensor:
    """Further keys, for parts of a purpose: hashes at addresses that no random number has.

    Arguments:
        key: One key a shower, with shape (N).
        number: Which of them, at least 0.
    """
    return words(key, key.new_tensor(-2 - number))


def uniforms(key: Tensor, n: int) -> Tensor:
    r"""Uniform numbers in the open interval :math:`]0, 1[`.

    Each is made of the upper 52 bits of a word, in some 10 ns on one core. They are the odd
    multiples of :math:`2^{-53}`: with one bit more, the largest would be rounded to 1.

    Arguments:
        key: One key a shower, with shape (N).
        n: How many numbers each shower gets.

    Returns:
        The numbers, float64, with shape (N, n).
    """
    bits = words(key[:, None], torch.arange(n, device=key.device))
    return _shift(bits, 12).double().add_(0.5).mul_(2.0**-52)


def normals(key: Tensor, n: int) -> Tensor:
    r"""Standard normal numbers, two from two uniform ones by the transformation of Box and Muller.
    Devices agree to the rounding of logarithm and cosine.

    Arguments:
        key: One key a shower, with shape (N).
        n: How many numbers each shower gets.

    Returns:
        The numbers, float64, with shape (N, n).
    """
    half = (n + 1) // 2
    u, v = uniforms(key, 2 * half).reshape(len(key), half, 2).unbind(-1)
    radius, angle = (-2 * u.log()).sqrt(), 2 * math.pi * v
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1).flatten(1)[:, :n]
