"""Conditions made by hand."""

import torch
from torch import Tensor

from caloforge.learn.conditions import Condition
from caloforge.particles import Particles


def known(
    *,
    incident: Tensor | None = None,
    layers: Tensor | None = None,
    threshold: float | None = None,
    n: int = 1,
) -> Condition:
    """A condition of these incident energies, or of n that do not matter, and layer energies."""
    count = len(layers) if layers is not None else n
    energies = torch.ones(count) if incident is None else incident
    return Condition(Particles(energies), layers, threshold)
