"""A model from its recipe: trained, saved, and read again."""

__all__ = ["load", "train"]

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from caloforge import __version__
from caloforge.errors import GeometryError, ModelError, OutputExistsError, TrainingError
from caloforge.io.output import require_folder
from caloforge.learn import training
from caloforge.models.card import Card, InCard
from caloforge.models.fine_tuning import Start
from caloforge.models.model import Model
from caloforge.models.recipes import Recipe, unfit
from caloforge.models.registry import SYSTEMS
from caloforge.models.training_data import FullShowers, TrainingShowers
from caloforge.paths import watch_disk


def train(
    recipe: Recipe,
    out: Path,
    data: FullShowers | TrainingShowers,
    *,
    description: str,
    start: Start | None = None,
    resume: bool = False,
    progress: training.Progress | None = None,
    execution: training.Execution = training.Execution(),  # noqa: B008 frozen
    processes: training.Processes = training.Processes(),  # noqa: B008 frozen
) -> Model:
    """Train a model and save it.

    Arguments:
        recipe: What to train.
        out: The model's directory; the checkpoint and the history of the training are kept there
            too.
        data: The training showers: `FullShowers` for a surrogate, `TrainingShowers` for a refiner.
        description: Where they come from, in words, for the card.
        start: The trained model that the training starts from, and what of it may change; None for
            random weights.
        resume: Go on from the checkpoint in ``out``.
        progress: Takes the reports.
        execution: How the moves are computed.
        processes: The processes that train together; each calls this with the same showers on its
            device.

    Returns:
        The model as saved, on the CPU.

    Raises:
        PausedError: ``execution`` says so; the checkpoint is in ``out``.
        GeometryError: The recipe is not for the calorimeter; the message says which would be.
        GeometryMismatchError: The two samples are of different calorimeters.
        ModelError: The networks of the model to start from are of other sizes.
        OutputExistsError: There is a training or a model in ``out``, and ``resume`` was not asked
            for.
        OutputError: ``out`` is a file, or its folder closed to writing.
        TrainingError: The loss is not finite, or the showers are not of the kind that the system
            learns from.
    """
    system = SYSTEMS[recipe.system].kind
    _require_data(system, recipe, data)
    require_folder(out)
    if out.exists() and any(out.iterdir()) and not resume:
        msg = (
            f"{out}: exists and is not empty: resume the training there (--resume), or choose "
            "another directory"
        )
        raise OutputExistsError(msg)
    processes.wait()
    card = _new_card(out.name, recipe, data, description)
    try:
        plan = system.plan(
            recipe, card if start is None else replace(card, start=start.title), data
        )
    except GeometryError as error:
        raise unfit(recipe, error) from error
    if start is not None:
        with training.isolated(seed=recipe.seed):
            start.begin(plan.model)
    watch_disk(out, _room(plan.networks))
    training.run(
        plan.objectives,
        plan.networks,
        out,
        resume=resume,
        checkpoint_every=plan.checkpoint_every,
        progress=progress,
        execution=execution,
        processes=processes,
        seed=recipe.seed,
    )
    if processes.is_rank_0:
        if start is not None:
            start.finish(plan.model)
        last = execution if processes.size == 1 else training.Execution()  # the others wait
        plan.finish(last.pause(f"{out}: paused after all steps, before the model is finished"))
        plan.model.card = replace(plan.model.card, kept=_kept(plan.objectives))
        plan.model.save(out)
    processes.wait()
    return load(out)


def _require_data(system: type[Model], recipe: Recipe, data: FullShowers | TrainingShowers) -> None:
    if not isinstance(data, system.learns_from):
        msg = (
            f"system '{recipe.system}' learns from {system.learns_from.__name__}, got "
            f"{type(data).__name__}"
        )
        raise TrainingError(msg)
    system.require_data(recipe, data)


def _new_card(
    name: str, recipe: Recipe, data: FullShowers | TrainingShowers, description: str
) -> Card:
    species = data.full.particles.species
    detectors = data.detectors if isinstance(data, FullShowers) else ()
    return Card(
        name=name,
        system=recipe.system,
        summary=recipe.summary,
        recipe=asdict(recipe),
        calorimeter=data.full.calorimeter.describe(),
        energy_range=data.energy_range,
        data=description,
        licence="BSD-3-Clause",
        version=__version__,
        pdg=species[0] if len(species) == 1 else species or None,
        largest_angle=data.largest_angle,
        largest_offset=data.largest_offset,
        detectors={one.name: InCard.of(one) for one in detectors},
    )


def _room(networks: Mapping[str, nn.Module]) -> float:
    """The bytes of two checkpoints, one in place of the other: weights, moments and averages."""
    parameters = (p for network in networks.values() for p in network.parameters())
    return 2 * 4 * sum(p.numel() * p.element_size() for p in parameters)


def _kept(objectives: Sequence[training.Objective]) -> str:
    """Which weights the objectives keep; by their names, where it is not the same of all."""
    names: dict[str, list[str]] = {}
    for one in objectives:
        names.setdefault(one.keeps, []).append(one.name)
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{', '.join(of)}: {kept}" for kept, of in names.items())


def load(directory: Path) -> Model:
    """Read a trained model: a `Bridge` or a `Surrogate`.

    Raises:
        ModelError: There is no model, it is damaged, or its system is unknown.
    """
    card = Card.read(directory)
    if card.system not in SYSTEMS:
        known = ", ".join(SYSTEMS.names())
        msg = (
            f"{directory}: system is '{card.system}', expected one of {known}: made by a newer "
            "caloforge, or by a system whose module is not imported?"
        )
        raise ModelError(msg)
    return SYSTEMS[card.system].kind.read(card, directory)
