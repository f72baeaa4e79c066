r"""What is trained: objectives, and the networks that play them.

A *player* is a network with a loss of its own and the optimiser that takes it down that loss. One
player minimises; a critic and a generator are two. In each step the players move in the order of
the objective, each a number of times; while one moves, the others' weights stand still. A loss is a
function of the number of a batch: move m of a player sees batch m, and what the batch draws comes
from `generator(seed, objective, batch)`.

At its end, the moving averages of the players, or the weights that a `Selection` kept, replace the
weights. Networks of an objective are in training mode, all others in evaluation mode.
Neighbouring *independent* objectives, such as those of one network a layer, need nothing of each
other: several processes share them out.
"""

__all__ = ["Adam", "Loss", "Objective", "Player", "Selection", "duel", "minimise"]

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from caloforge.errors import TrainingError
from caloforge.learn.training.schedules import CONSTANT, Schedule

Loss = Callable[[int], Tensor]
"""The loss of a batch, a scalar, by the number of the batch."""


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba, arXiv:1412.6980), by default with decoupled weight decay (Loshchilov,
    Hutter, arXiv:1711.05101).

    Arguments:
        learning_rate: The peak learning rate, positive.
        weight_decay: The weight decay, at least 0.
        betas: Decays of the two moments, in [0, 1).
        decoupled: Whether the weight decay is decoupled from the gradient.
    """

    learning_rate: float
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    decoupled: bool = True

    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Torch's optimiser of some parameters."""
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        return kind(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
            fused=True,
        )


@dataclass(frozen=True)
class Player:
    """A network that moves down its loss.

    Arguments:
        network: The network.
        loss: The loss of a batch, by its number; any function of the networks.
        adam: The settings of the optimiser.
        schedule: The learning rate over the moves.
        moves: How often it moves in a step, at least 1.
        average: The decay of the moving average of the weights, in [0, 1); None for no average.
        clip: The largest norm of a gradient; None for no limit.
        name: A name, where there are several players.
    """

    network: nn.Module
    loss: Loss
    adam: Adam
    schedule: Schedule = CONSTANT
    moves: int = 1
    average: float | None = None
    clip: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Selection:
    """Watches a criterion at each validation, keeps the weights where it is least, and stops a
    training that gains no more.

    Arguments:
        criterion: The criterion, called right after the validation; None for the validation loss.
        patience: The number of validations without a lower criterion that end the objective; None
            for no end.
        enough: The objective ends where the criterion is this or lower.
        keep: Whether the weights of the least criterion are kept, or the last.
    """

    criterion: Callable[[], float] | None = None
    patience: int | None = None
    enough: float = -math.inf
    keep: bool = True


@dataclass(frozen=True)
class Objective:
    """What one or several players train for.

    Arguments:
        name: A name for the log.
        players: The players, in the order in which they move.
        steps: The number of steps.
        validation: The loss on a held-out validation set, or None; the networks are in evaluation
            mode, with their moving averages as weights.
        validate_every: Steps between validations; None for those between checkpoints.
        selection: What to do with the results of the validation; None for nothing.
        start: Called before the first step; not where the objective is resumed.
        independent: Whether it neither needs nor changes what neighbouring independent objectives
            train.

    Raises:
        TrainingError: There is no player, or something is selected without a validation.
    """

    name: str
    players: tuple[Player, ...]
    steps: int
    validation: Callable[[], float] | None = None
    validate_every: int | None = None
    selection: Selection | None = None
    start: Callable[[], object] | None = None
    independent: bool = False

    def __post_init__(self) -> None:
        if not self.players:
            msg = f"objective {self.name}: no player, expected at least one"
            raise TrainingError(msg)
        watches = self.selection is not None or any(p.schedule.validates for p in self.players)
        if self.validation is None and watches:
            msg = (
                f"objective {self.name}: selection and plateau need a validation loss: give one, "
                "or leave them out"
            )
            raise TrainingError(msg)

    @property
    def keeps(self) -> str:
        """Which weights it leaves, in words."""
        if self.selection is not None and self.selection.keep:
            return "weights of the best validation"
        averaged = any(player.average is not None for player in self.players)
        return "moving average at the last step" if averaged else "weights of the last step"


def minimise(
    name: str,
    network: nn.Module,
    loss: Loss,
    *,
    steps: int,
    adam: Adam,
    schedule: Schedule = CONSTANT,
    average: float | None = 0.95,
    clip: float | None = 1.0,
    validation: Callable[[], float] | None = None,
) -> Objective:
    """The objective of one network that minimises its loss.

    Arguments:
        name: A name for the log.
        network: The network to train; everything else stays as it is.
        loss: The loss of a batch, by its number.
        steps: The number of steps.
        adam: The settings of the optimiser.
        schedule: The learning rate over the steps.
        average: The decay of the moving average of the weights, in [0, 1); None for no average.
        clip: The largest norm of a gradient; None for no limit.
        validation: The loss on a held-out validation set, or None.
    """
    player = Player(network, loss, adam, schedule, average=average, clip=clip)
    return Objective(name, (player,), steps, validation)


def duel(
    name: str,
    critic: Player,
    generator: Player,
    *,
    steps: int,
    validation: Callable[[], float] | None = None,
) -> Objective:
    """The objective of a critic and a generator: in each step the critic moves first, as often as
    it shall. No batch is seen twice, or by both: what the two draw is independent.

    Arguments:
        name: A name for the log.
        critic: The critic.
        generator: The generator.
        steps: The number of steps.
        validation: How far apart the two samples are on a held-out validation set, or None.
    """
    players = (
        replace(critic, name="critic", loss=lambda move: critic.loss(2 * move)),
        replace(generator, name="generator", loss=lambda move: generator.loss(2 * move + 1)),
    )
    return Objective(name, players, steps, validation)
