"""Dense networks: linear layers with a nonlinearity between them."""

__all__ = ["dense"]

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def dense(
    widths: Sequence[int], activation: type[nn.Module] = nn.LeakyReLU, dropout: float = 0.0
) -> nn.Sequential:
    """Linear layers; each but the last is followed by the nonlinearity, and by dropout if any.

    Arguments:
        widths: The number of inputs, the widths of the hidden layers, the number of outputs.
        activation: The class of the nonlinearity; torch's leaky ReLU has slope 0.01.
        dropout: The probability that a hidden unit is left out in training, in [0, 1[.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers[: -2 if dropout else -1])
