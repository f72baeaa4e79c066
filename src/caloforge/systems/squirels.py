r"""SQuIRELS: two diffusion Schroedinger bridges from fast to full simulation (Diefenbacher, Mikuni,
Nachman, arXiv:2308.12339).

SQuIRELS-E carries the response, standardised, given the incident energy; SQuIRELS carries the
standardised shares of the cells, given incident energy, fast response and refined response. The two
are trained apart by iterative proportional fitting, one after the other, and run one after the
other: the shape's shares are scaled to the energy that SQuIRELS-E gave. Either direction samples.

In each bridge ``refine`` carries fast to full (the published code's net ``b``) and ``coarsen``
carries full to fast (``f``); the first half-bridge teaches ``refine`` by Ornstein-Uhlenbeck chains
from full showers. Where the published code departs from the paper or from itself, this keeps to the
method: the same step numbers in training and in sampling, resolved by the sinusoids; averaged
networks teach; the same standardised conditions in training and in sampling; statistics of training
showers alone; chains drawn anew at each step of the optimiser instead of cached.
"""

__all__ = ["BridgeSchedule", "Squirels", "SquirelsRecipe"]

import copy
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge import streams
from caloforge.errors import GeometryError, ModelError
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.networks import SquirelsEnergyNetwork, SquirelsShapeNetwork
from caloforge.learn.processes import Displacement, SchroedingerBridge
from caloforge.learn.representations import StandardisedShape, StandardisedSum
from caloforge.models import SYSTEMS, Bridge, Card, Plan, Recipe, TrainingShowers, recipe_of
from caloforge.showers import Showers
from caloforge.streams import Stream
from caloforge.units import GeV

_ENERGY_UNIT = 10 * GeV
"""The condition is the incident energy in this unit (systems table S5)."""


@dataclass(frozen=True)
class BridgeSchedule:
    """How long one of the bridges is trained. An epoch is one chain from every training shower.

    Arguments:
        first_epochs: Epochs of the first half-bridge.
        epochs: Epochs of every further half-bridge.
        iterations: Iterations after the first half-bridge, each teaching both directions.
        batch_size: Points of chains in a step of the optimiser.
        learning_rate: The learning rate of Adam.
    """

    first_epochs: float
    epochs: float
    iterations: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True)
class SquirelsRecipe(Recipe):
    """Settings of a `Squirels`.

    Arguments:
        gamma: Half the variance of a step.
        bridge_steps: Steps of the chains.
        energy: The schedule of SQuIRELS-E.
        shape: The schedule of SQuIRELS.
        average: Decay of the moving averages of the weights.
    """

    gamma: float
    bridge_steps: int
    energy: BridgeSchedule
    shape: BridgeSchedule
    average: float


class _Pair(nn.Module):
    """The two directions of a bridge."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.refine, self.coarsen = network, copy.deepcopy(network)


def _image(calorimeter: Calorimeter) -> tuple[int, int]:
    if calorimeter.columns() is None or calorimeter.n_layers != 1:
        msg = (
            f"calorimeter '{calorimeter.name}': SQuIRELS needs a regular grid of one layer in depth"
        )
        raise GeometryError(msg)
    shape = list(calorimeter.image_shape)
    shape.remove(1)
    rows, columns = shape
    return rows, columns


@SYSTEMS.register("squirels", SquirelsRecipe)
class Squirels(Bridge):
    """The refiner of this system."""

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        recipe = cast("SquirelsRecipe", recipe_of(card))
        self.process = SchroedingerBridge(recipe.gamma, recipe.bridge_steps)
        self.default_steps = self.process.steps
        self.energy, self.shape = (
            _Pair(SquirelsEnergyNetwork()),
            _Pair(SquirelsShapeNetwork(_image(self.calorimeter))),
        )
        self.fast_sum, self.full_sum = StandardisedSum(), StandardisedSum()
        n_cells = self.calorimeter.n_cells
        self.fast_shape, self.full_shape = StandardisedShape(n_cells), StandardisedShape(n_cells)

    @classmethod
    def plan(cls, recipe: SquirelsRecipe, card: Card, data: TrainingShowers) -> Plan:
        """One bridge after the other."""
        with training.isolated(seed=recipe.seed):
            model = cls(card).to(data.full.energies.device)
        data = data.by_energy()
        for representation, showers in (
            (model.fast_sum, data.fast),
            (model.full_sum, data.full),
            (model.fast_shape, data.fast),
            (model.full_shape, data.full),
        ):
            representation.fit(showers)
        phases: list[training.Objective] = []
        for stage in _stages(model, recipe, data):
            phases += _half_bridges(stage, model.process, recipe, first=len(phases))
        networks = {"energy": model.energy, "shape": model.shape}
        return Plan(model, phases, networks, checkpoint_every=100)

    def _checked_steps(self, steps: int | None) -> int:
        if steps not in (None, self.default_steps):
            msg = (
                f"{steps} steps asked of model '{self.card.name}': "
                f"a Schroedinger bridge takes the {self.default_steps} that it was trained with"
            )
            raise ModelError(msg)
        return self.default_steps

    def _transport(
        self, showers: Showers, *, seed: int, index: Tensor, steps: int, reverse: bool
    ) -> Tensor:
        del steps
        energy_key, shape_key = (
            streams.keys(seed, index, stream) for stream in (Stream.SUM_BRIDGE, Stream.SHAPE_BRIDGE)
        )
        sums, shapes = (self.fast_sum, self.full_sum), (self.fast_shape, self.full_shape)
        (source_sum, target_sum), (source_shape, target_shape) = (
            (sums[::-1], shapes[::-1]) if reverse else (sums, shapes)
        )
        energy_net, shape_net = (
            p.coarsen if reverse else p.refine for p in (self.energy, self.shape)
        )
        incident = _incident(showers)
        start = source_sum(showers)
        end = self.process.transport(energy_net, start[:, None], incident, energy_key)[:, 0]
        condition = _shape_condition(incident, *((end, start) if reverse else (start, end)))
        shape = self.process.transport(shape_net, source_shape(showers), condition, shape_key)
        return target_shape.inverse(shape, target_sum.inverse(end, showers.energies))


def _incident(showers: Showers) -> Float[Tensor, "showers 1"]:
    return (showers.energies / _ENERGY_UNIT)[:, None].float()


def _shape_condition(
    incident: Float[Tensor, "showers 1"],
    fast: Float[Tensor, " showers"],
    full: Float[Tensor, " showers"],
) -> Float[Tensor, "showers 3"]:
    """Incident energy, standardised fast response, standardised full response: one order in both
    directions.
    """
    return torch.cat([incident, fast[:, None], full[:, None]], dim=1)


@dataclass(frozen=True)
class _Stage:
    """One bridge in training: its networks and, for each side, the points and conditions to start
    chains from.
    """

    name: str
    pair: _Pair
    schedule: BridgeSchedule
    fast: tuple[Tensor, Tensor]
    full: tuple[Tensor, Tensor]


def _stages(
    model: Squirels, recipe: SquirelsRecipe, data: TrainingShowers
) -> tuple[_Stage, _Stage]:
    """The two bridges. Partners, for the conditions of the shape, are showers of the same rank in
    energy (systems table S6).
    """
    fast, full = data.fast, data.full
    count = min(len(fast), len(full))
    fast, full = fast[:count], full[:count]
    fast_sum, full_sum = model.fast_sum(fast), model.full_sum(full)
    energy = _Stage(
        "energy",
        model.energy,
        recipe.energy,
        (fast_sum[:, None], _incident(fast)),
        (full_sum[:, None], _incident(full)),
    )
    conditions = (_shape_condition(_incident(side), fast_sum, full_sum) for side in (fast, full))
    fast_side, full_side = (
        (r(s), c)
        for r, s, c in zip(
            (model.fast_shape, model.full_shape), (fast, full), conditions, strict=True
        )
    )
    return energy, _Stage("shape", model.shape, recipe.shape, fast_side, full_side)


def _half_bridges(
    stage: _Stage, process: SchroedingerBridge, recipe: SquirelsRecipe, first: int
) -> list[training.Objective]:
    """The phases of a stage: the reference teaches ``refine``; then ``refine`` teaches ``coarsen``
    and the reverse, in turn.
    """
    refine, coarsen, schedule = stage.pair.refine, stage.pair.coarsen, stage.schedule
    turns = [(coarsen, refine, stage.fast), (refine, coarsen, stage.full)] * schedule.iterations
    lessons: list[tuple[nn.Module, Displacement, tuple[Tensor, Tensor]]]
    lessons = [(refine, process.ornstein_uhlenbeck, stage.full), *turns]
    chains = max(1, schedule.batch_size // process.steps)
    phases = []
    for number, (pupil, teacher, (points, condition)) in enumerate(lessons):
        epochs = schedule.epochs if number else schedule.first_epochs
        phases.append(
            training.minimise(
                f"{stage.name} {number}: {'refine' if pupil is refine else 'coarsen'}",
                pupil,
                _HalfBridge(
                    process,
                    pupil,
                    teacher,
                    points,
                    condition,
                    chains,
                    (recipe.seed, first + number),
                ),
                steps=max(1, round(epochs * len(points) / chains)),
                adam=training.Adam(schedule.learning_rate),
                average=recipe.average,
            )
        )
    return phases


@dataclass(frozen=True)
class _HalfBridge:
    """The loss of a step of a half-bridge, a function of its number and of the teacher."""

    process: SchroedingerBridge
    pupil: nn.Module
    teacher: Displacement
    points: Tensor
    condition: Tensor
    chains: int
    seed: tuple[int, int]

    def __call__(self, step: int) -> Float[Tensor, ""]:
        device = self.points.device
        random = training.generator(*self.seed, step, device)
        chosen = torch.randint(len(self.points), (self.chains,), generator=random, device=device)
        start, condition = self.points[chosen], self.condition[chosen]
        noise = torch.randn(self.process.steps, *start.shape, generator=random, device=device)
        with torch.no_grad():
            lessons = self.process.teach(self.teacher, start, condition, noise)
        return self.process.loss(self.pupil, lessons, condition)
