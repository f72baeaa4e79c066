"""The training of a Schroedinger bridge: half-bridge after half-bridge, each teaching the next."""

__all__ = ["BothWays", "BridgeSchedule", "Side", "half_bridges", "one_layer_image"]

import copy
from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from caloforge.errors import GeometryError
from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.processes import Displacement, SchroedingerBridge
from caloforge.models.recipes import Batch, Epochs


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

    first_epochs: Epochs
    epochs: Epochs
    iterations: Annotated[int, Field(ge=0, le=1_000)]
    batch_size: Batch
    learning_rate: PositiveFloat


class BothWays(nn.Module):
    """The networks of the two directions of a bridge: ``refine`` carries fast to full, ``coarsen``
    carries full to fast.

    Arguments:
        network: One of them, new; the other begins as its copy.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.refine, self.coarsen = network, copy.deepcopy(network)


class Side(NamedTuple):
    """The showers of one simulator, from which chains start: points, and their conditions."""

    points: Tensor
    condition: Tensor


def one_layer_image(calorimeter: Calorimeter) -> tuple[int, int]:
    """Rows and columns of the cells in their order.

    Raises:
        GeometryError: The calorimeter is no image of one layer in depth.
    """
    image = calorimeter.image()
    if len(image) != 1:
        msg = (
            f"calorimeter '{calorimeter.name}' has {len(image)} layers, expected an image of one "
            "layer in depth"
        )
        raise GeometryError(msg)
    in_order = torch.equal(image.flatten(), torch.arange(image.numel()))
    rows, columns = (image[0] if in_order else image[0].t()).shape
    return rows, columns


def half_bridges(
    name: str,
    networks: BothWays,
    sides: tuple[Side, Side],
    process: SchroedingerBridge,
    schedule: BridgeSchedule,
    average: float,
    seed: tuple[int, int],
) -> list[training.Objective]:
    """What trains a bridge: the reference process teaches ``refine`` by chains from full showers;
    then ``refine`` teaches ``coarsen`` and the reverse, in turn.

    Arguments:
        name: The name of the bridge, for the log.
        networks: Both directions.
        sides: The fast showers, and the full ones.
        process: The bridge.
        schedule: How long it is trained.
        average: Decay of the moving averages of the weights.
        seed: The seed of the training, and the number of the first objective.
    """
    (fast, full), refine, coarsen = sides, networks.refine, networks.coarsen
    turns: list[tuple[nn.Module, Displacement | None, Side]] = [(refine, None, full)]
    turns += [(coarsen, refine, fast), (refine, coarsen, full)] * schedule.iterations
    chains = max(1, schedule.batch_size // process.steps)
    objectives = []
    for number, (pupil, teacher, side) in enumerate(turns):
        epochs = schedule.epochs if number else schedule.first_epochs
        half = replace(process, teacher=teacher)
        loss = _HalfBridge(half, pupil, side, chains, (seed[0], seed[1] + number))
        objectives.append(
            training.minimise(
                f"{name} {number}: {'refine' if pupil is refine else 'coarsen'}",
                pupil,
                loss,
                steps=max(1, round(epochs * len(side.points) / chains)),
                adam=training.Adam(schedule.learning_rate),
                average=average,
            )
        )
    return objectives


@dataclass(frozen=True)
class _HalfBridge:
    """The loss of a step of a half-bridge, a function of its number and of the teacher."""

    process: SchroedingerBridge
    pupil: nn.Module
    side: Side
    chains: int
    seed: tuple[int, int]

    def __call__(self, step: int) -> Float[Tensor, ""]:
        points, condition = self.side
        random = training.generator(*self.seed, step, points.device)
        chosen = torch.randint(len(points), (self.chains,), generator=random, device=points.device)
        return self.process.loss(self.pupil, points[chosen], condition[chosen], random)
