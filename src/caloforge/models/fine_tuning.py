r"""A training that starts from a trained model: few showers of another calorimeter, or of other
particles, are enough.

The representations are fitted to the new showers, and the weights begin as those of the model.
Which of them may change is a `Tuning`: all; biases alone (BitFit, arXiv:2106.10199); the layers
that end the networks; or, with all weights :math:`W_0` held, additions of low rank,

.. math:: W = W_0 + B A, \qquad A \in \mathbb R^{r \times n}, \quad B \in \mathbb R^{m \times r},

which are zero at first, and added to the weights in the end (LoRA, arXiv:2106.09685). So are the
transfers to new calorimeters of CaloTransfer (arXiv:2512.00187).

A model that knows the energy alone is a start for one that knows more of its particles: the
weights of what is new begin at zero.
"""

__all__ = ["Start", "Tuning"]

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import (
    is_parametrized,
    register_parametrization,
    remove_parametrizations,
)

from caloforge.errors import ModelError, RecipeError
from caloforge.learn.conditions import ENERGY_ALONE
from caloforge.learn.processes import BespokeSolver
from caloforge.models.model import Model
from caloforge.models.recipes import recipe_of

RANK = 8
"""The rank of what is added to a weight, unless asked otherwise."""

_WEIGHT, _DRAWN = "weight", (".frequencies", ".order", ".permutation")
"""The names of what is added to, and of random numbers that belong to a network."""


class Tuning(Enum):
    """Which numbers of a trained model a further training changes."""

    ALL = "all"
    BIAS = "bias"
    LORA = "lora"
    HEAD = "head"


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Arguments:
        model: The trained model.
        tuning: What may change of it.
        rank: The rank r of the additions, for `Tuning.LORA`.

    Raises:
        RecipeError: The rank is less than 1.
    """

    model: Model
    tuning: Tuning = Tuning.ALL
    rank: int = RANK

    def __post_init__(self) -> None:
        if self.rank < 1:
            msg = f"rank {self.rank}: expected at least 1"
            raise RecipeError(msg)

    @property
    def title(self) -> str:
        """The model, for a card: its name, and the checksum of its weights."""
        return f"{self.model.card.name} ({self.model.card.sha256[:12]}), {self.tuning.value}"

    def begin(self, model: Model) -> None:
        """Give a model, whose representations are fitted, the weights; let some of them learn.

        Raises:
            ModelError: The networks are of other sizes, or do not say which layer ends them.
        """
        unfit = give(self.model, model, _more_known(self.model, model))
        if unfit:
            msg = (
                f"model '{self.model.card.name}' does not fit the recipe and calorimeter "
                f"'{model.calorimeter.name}': {unfit}: start from a model with as many layers and "
                "cells, by the same recipe"
            )
            raise ModelError(msg)
        if self.tuning is Tuning.ALL:
            return
        model.requires_grad_(requires_grad=False)
        for part in self._learning(model):
            part.requires_grad_(True)

    def finish(self, model: Model) -> None:
        """Make the model one like any other: additions become part of the weights."""
        for module in list(model.modules()):
            if is_parametrized(module):
                remove_parametrizations(module, _WEIGHT)
        model.requires_grad_(requires_grad=True)

    def _learning(self, model: Model) -> Iterator[Tensor | nn.Module]:
        yield from (module for module in model.modules() if isinstance(module, BespokeSolver))
        if self.tuning is Tuning.BIAS:
            yield from (parameter for parameter in model.parameters() if parameter.ndim < 2)
        elif self.tuning is Tuning.HEAD:
            yield from _outputs(model)
        else:
            yield from _additions(model, self.rank)


@torch.no_grad()
def give(start: nn.Module, model: nn.Module, more: int = 0) -> str:
    """Give a model the weights of a start, with columns of zeros, which come last, for what the
    start did not know; nothing where one does not fit.

    Arguments:
        start: Where the weights come from.
        model: Takes them.
        more: How many numbers the model knows of a particle that the start did not.

    Returns:
        The weight that does not fit, in words; empty where all do.
    """
    there, given = dict(start.named_parameters()), dict[str, Tensor]()
    own = _of_solvers(model)
    for name, parameter in model.named_parameters():
        if name not in there and name in own:
            continue
        fitting = _widened(there[name], parameter.shape, more) if name in there else None
        if fitting is None:
            shape = tuple(there[name].shape) if name in there else "missing"
            return f"'{name}' is {shape} there, expected {tuple(parameter.shape)}"
        given[name] = fitting
    given |= {name: one for name, one in start.named_buffers() if name.endswith(_DRAWN)}
    model.load_state_dict(given, strict=False)
    return ""


def _widened(given: Tensor, shape: torch.Size, more: int) -> Tensor | None:
    if given.shape == shape:
        return given
    if given.ndim < 2 or (len(given), given.shape[1] + more, *given.shape[2:]) != tuple(shape):
        return None
    return torch.cat([given, given.new_zeros(len(given), more, *given.shape[2:])], dim=1)


def _of_solvers(model: nn.Module) -> set[str]:
    """The numbers of bespoke solvers, which are made anew for every flow."""
    return {
        f"{name}.{own}"
        for name, module in model.named_modules()
        if isinstance(module, BespokeSolver)
        for own, _ in module.named_parameters()
    }


def _more_known(start: Model, model: Model) -> int:
    """How many numbers a model knows of a particle where its start knew the energy alone."""
    before, after = (getattr(recipe_of(one.card), "beam", ENERGY_ALONE) for one in (start, model))
    return after.width - before.width if before.width == 1 else 0


@runtime_checkable
class _Ending(Protocol):
    """A network that says which layer ends it."""

    @property
    def output(self) -> nn.Module: ...


def _outputs(model: Model) -> list[nn.Module]:
    found = [module.output for module in model.modules() if isinstance(module, _Ending)]
    if not found:
        msg = (
            f"the networks of model '{model.card.name}' do not say which layer ends them, by a "
            "property 'output': tune all, bias or lora"
        )
        raise ModelError(msg)
    return found


class _LowRank(nn.Module):
    """A weight and an addition of low rank, zero at first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        rank = min(rank, rows, columns)
        a = torch.randn(rank, columns) / math.sqrt(columns)
        self.a = nn.Parameter(a.to(weight))
        self.b = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.b @ self.a).view_as(weight)


def _additions(model: Model, rank: int) -> Sequence[nn.Module]:
    """Give each weight an addition."""
    weights = [
        (module, weight)
        for module in model.modules()
        for name, weight in module.named_parameters(recurse=False)
        if name == _WEIGHT and weight.ndim > 1
    ]
    additions = [_LowRank(weight, rank) for _, weight in weights]
    for (module, _), addition in zip(weights, additions, strict=True):
        register_parametrization(module, _WEIGHT, addition)
    return additions
