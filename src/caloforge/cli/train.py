"""`caloforge train`: a model from showers."""

__all__ = ["train"]

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.bundled import MODELS, RECIPES
from caloforge.cli._console import say, tell
from caloforge.cli._ending import Postponed
from caloforge.cli._options import (
    Machine,
    OptionError,
    asked,
    existing,
    given,
    grouped,
    seed_option,
)
from caloforge.cli._progress import objectives
from caloforge.errors import PausedError, quoted
from caloforge.paths import require_folder
from caloforge.units import parse_duration

if TYPE_CHECKING:
    import torch

    from caloforge.detector import Detector
    from caloforge.learn.training import Execution
    from caloforge.models import FullShowers, Model, Recipe, Start, TrainingShowers
    from caloforge.showers import ShowerSource

_WAIT = "ends after this step, with its state saved; interrupt once more to end at once"


@dataclass(frozen=True)
class Samples:
    """Which showers to learn from."""

    data: Annotated[
        list[Path] | None,
        existing("FILE.h5", "For a surrogate: the showers to learn; again for more of them."),
    ] = None
    detector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE.yaml",
            show_default="what the file says",
            help="For a surrogate of several detectors: that of each --data, in order.",
        ),
    ] = None
    full: Annotated[
        Path | None,
        existing(
            "FILE.h5",
            "For a refiner: the full simulation.",
            show_default="the bundled Geant4 showers",
        ),
    ] = None
    fast: Annotated[
        Path | None,
        existing(
            "FILE.h5",
            "For a refiner: the fast simulation.",
            show_default="GFlash's, of the same energies",
        ),
    ] = None

    def read(
        self, recipe: "Recipe", name: str, device: "torch.device"
    ) -> "tuple[FullShowers | TrainingShowers, str]":
        """The showers that a recipe learns from, and where they come from in words."""
        from caloforge.models import SYSTEMS, FullShowers, SurrogateRecipe

        if SYSTEMS[recipe.system].kind.learns_from is not FullShowers:
            return self.for_refiner(name, device)
        several = isinstance(recipe, SurrogateRecipe) and recipe.beam.detector
        return self.for_surrogate(name, device, several=several)

    def for_surrogate(
        self, recipe: str, device: "torch.device", *, several: bool
    ) -> "tuple[FullShowers, str]":
        """The showers, of one detector or of several, and where they come from in words."""
        from caloforge.models import FullShowers

        if not self.data or self.full is not None or self.fast is not None:
            msg = (
                f"recipe {recipe} trains a surrogate: give its showers by --data FILE.h5, without "
                "--full and --fast"
            )
            raise OptionError(msg)
        if several:
            showers = FullShowers.of_detectors(self._of_detectors(self.data))
        elif self.detector:
            msg = (
                f"recipe {recipe} trains a model of one detector: leave out --detector, or say "
                "--set beam.detector=true"
            )
            raise OptionError(msg)
        else:
            showers = FullShowers.read(self._of_one())
        names = ", ".join(path.name for path in self.data)
        return showers.to(device), f"{names} ({len(showers.full):,} showers)"

    def _of_one(self) -> "ShowerSource":
        from caloforge.errors import GeometryMismatchError
        from caloforge.io import open_showers

        try:
            return open_showers(self.data or [])
        except GeometryMismatchError as error:
            msg = f"{error}; for a model of several detectors say --set beam.detector=true"
            raise GeometryMismatchError(msg) from error

    def _of_detectors(self, data: list[Path]) -> "list[tuple[ShowerSource, Detector]]":
        from caloforge.detector import load_detector
        from caloforge.io import detector_of, open_showers

        files = [open_showers(path) for path in data]
        if self.detector and len(self.detector) != len(files):
            msg = (
                f"{len(self.detector)} times --detector and {len(files)} times --data: give one "
                "detector for each file, or none where the files say it"
            )
            raise OptionError(msg)
        found: list[Detector | None] = [load_detector(name) for name in self.detector or ()]
        found = found or [detector_of(file.provenance) for file in files]
        pairs: list[tuple[ShowerSource, Detector]] = []
        for file, detector in zip(files, found, strict=True):
            if detector is None:
                msg = (
                    f"{file.path}: does not say in which detector its showers were simulated: "
                    "give --detector NAME|FILE.yaml for each --data"
                )
                raise OptionError(msg)
            pairs.append((file, detector))
        return pairs

    def for_refiner(self, recipe: str, device: "torch.device") -> "tuple[TrainingShowers, str]":
        """The showers, and where they come from in words."""
        if self.data or self.detector:
            msg = (
                f"recipe {recipe} trains a refiner, from two samples: give them by --full and "
                "--fast, without --data and --detector"
            )
            raise OptionError(msg)
        showers = _read(self.full, self.fast, device)
        names = (
            "bundled Geant4 showers" if self.full is None else self.full.name,
            "GFlash of the same energies" if self.fast is None else self.fast.name,
        )
        sizes = len(showers.full), len(showers.fast)
        return showers, " and ".join(
            f"{name} ({size:,} showers)" for name, size in zip(names, sizes, strict=True)
        )


class _Tuning(str, Enum):
    """The names of `caloforge.models.Tuning`, without an import of it."""

    ALL = "all"
    BIAS = "bias"
    LORA = "lora"
    HEAD = "head"


def _show(recipe: str | None) -> None:
    """Print a recipe, and end."""
    if recipe is not None:
        from caloforge.models import explained, load_recipe

        say(explained(load_recipe(recipe)))
        raise typer.Exit


@dataclass(frozen=True)
class Beginning:
    """What a training starts from."""

    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Train a model on, from its weights, by its own recipe or by RECIPE.",
            callback=given(MODELS.find),
        ),
    ] = None
    tune: Annotated[
        _Tuning | None,
        typer.Option(
            show_default="all",
            help="What to train of --from: all, biases, additions of low rank, or the last layers.",
        ),
    ] = None
    rank: Annotated[
        int | None,
        typer.Option(min=1, metavar="R", show_default="8", help="The rank, for --tune lora."),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training in DIR that paused.")
    ] = False
    show: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Print a recipe, with the meaning of each setting, and end.",
            callback=_show,
            is_eager=True,
        ),
    ] = None

    def require(self, recipe: str | None) -> None:
        """Check, before anything is imported, that these options go together."""
        if recipe is None and self.start is None:
            msg = "give a RECIPE, or --from MODEL to train a model on, or both"
            raise OptionError(msg)
        for option, value in (("--tune", self.tune), ("--rank", self.rank)):
            if self.start is None and value is not None:
                msg = f"{option} goes with --from MODEL: a recipe trains all from random weights"
                raise OptionError(msg)

    def chosen(
        self, recipe: str | None, overrides: dict[str, str]
    ) -> "tuple[Recipe, Start | None]":
        """The recipe, and the model to start from."""
        from caloforge import zoo
        from caloforge.models import Start, Tuning, load_recipe, recipe_from
        from caloforge.models.fine_tuning import RANK

        known = None if recipe is None else load_recipe(recipe, overrides)
        if known is not None and self.start is None:
            return known, None
        model = zoo.load_model(str(self.start))
        tuning = Tuning(_Tuning.ALL.value if self.tune is None else self.tune.value)
        start = Start(model, tuning, RANK if self.rank is None else self.rank)
        return recipe_from(model.card, overrides) if known is None else known, start


@dataclass(frozen=True)
class Moves:
    """How steps are computed."""

    half: Annotated[bool, typer.Option("--half", help="Mixed precision (bfloat16), for a GPU.")] = (
        False
    )
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the networks with torch.compile.")
    ] = False
    accumulate: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="K",
            help="Average the gradients of K batches in a step, and take 1/K of the steps.",
        ),
    ] = 1

    max_time: Annotated[
        str | None,
        typer.Option(
            "--max-time",
            metavar="TIME",
            help="Pause after so long, such as 90min or 2h; --resume goes on.",
            callback=asked(parse_duration),
        ),
    ] = None

    def execution(self, interrupted: Callable[[], bool]) -> "Execution":
        """As the training takes it: it pauses where it is interrupted, or the time is over."""
        from caloforge.learn.training import Execution

        allowed = math.inf if self.max_time is None else parse_duration(self.max_time)
        end = time.monotonic() + allowed

        def over() -> bool:
            return interrupted() or time.monotonic() > end

        return Execution(self.half, self.compiled, self.accumulate, over)


@grouped
def train(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model's directory.")],
    samples: Samples,
    beginning: Beginning,
    machine: Machine,
    moves: Moves,
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="Such as calodream-ds2 or squirels-fast, or a YAML file.",
            show_default=False,
            callback=given(RECIPES.find),
        ),
    ] = None,
    seed: Annotated[
        int | None,
        seed_option("The same seed gives the same weights.", show_default="the recipe's"),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")
    ] = None,
) -> None:
    """Train a surrogate, which makes showers like those of --data, or a refiner, which makes full
    showers from fast ones; anew, or --from a trained model, for which few showers are enough.

    A training that Ctrl-C, a signal or --max-time ends saves its state; resumed, it comes to the
    same weights. Several GPUs train together under torchrun. Without files a refiner trains on the
    showers that come with the package: enough to try, but the demo evaluates with them, and the
    package's own models have seen six times as many.

    \b
    Examples:
      caloforge train calodream-ds2 --out my-model --data geant4.h5 --device cuda --half --compile
      caloforge train squirels-fast --out my-model --full geant4.h5 --fast fast.h5
      caloforge train squirels-fast --out a-try --set steps=200
      caloforge train --from calodream-ds2-laptop --tune lora --out mine --data few.h5
      caloforge train squirels --out sq --full geant4.h5 --fast fast.h5 --max-time 2h --resume
      caloforge train my.yaml --out both --data siw.h5 --data scipb.h5 --set beam.detector=true
      caloforge train --show calodream-ds2-laptop
      caloforge train my.yaml --out m --full g4.h5 --fast f.h5 --set steps=500
    """
    overrides = _overrides([*(settings or []), *([] if seed is None else [f"seed={seed}"])])
    require_folder(out)
    beginning.require(recipe)
    from caloforge.learn.training import process_group
    from caloforge.models import train as run

    chosen, start = beginning.chosen(recipe, overrides)
    with (
        Postponed(_WAIT) as interrupted,
        process_group(machine.start()) as (processes, device),
        objectives(quiet=not processes.is_rank_0) as progress,
    ):
        execution = moves.execution(interrupted)
        data, description = samples.read(chosen, recipe or f"of {beginning.start}", device)
        if processes.is_rank_0:
            tell(f"training on {description}")
        with _pausing(quiet=not processes.is_rank_0):
            model = run(
                chosen,
                out,
                data,
                description=description,
                start=start,
                resume=beginning.resume,
                progress=progress,
                execution=execution,
                processes=processes,
            )
            if processes.is_rank_0:
                say(f"{out}: trained; {_use(model, out)}")
                if model.remark:
                    say(model.remark)


@contextmanager
def _pausing(*, quiet: bool) -> Iterator[None]:
    """Within, a training may pause."""
    try:
        yield
    except PausedError as paused:
        if not quiet:
            tell(f"{paused}: the same command with --resume goes on")


def _use(model: "Model", out: Path) -> str:
    from caloforge.gun import filling
    from caloforge.models import Surrogate

    if isinstance(model, Surrogate):
        energy = filling(*model.energy_range)
        place = "".join(f" --detector {name}" for name in list(model.card.detectors)[:1])
        return f"generate with: caloforge generate {out} -n 1000 --energy {energy}{place} OUT.h5"
    return f"refine with: caloforge refine {out} IN.h5 OUT.h5"


def _overrides(settings: list[str]) -> dict[str, str]:
    pairs = {key: value for key, _, value in (text.partition("=") for text in settings)}
    for text in settings:
        if "=" not in text:
            msg = f"--set '{text}' is not KEY=VALUE, such as steps=1000"
            raise OptionError(msg)
    if len(pairs) < len(settings):
        msg = f"--set (or --seed): a key is given twice among {', '.join(map(quoted, settings))}"
        raise OptionError(msg)
    return pairs


def _read(full: Path | None, fast: Path | None, device: "torch.device") -> "TrainingShowers":
    from caloforge import zoo
    from caloforge.io import open_showers
    from caloforge.models import TrainingShowers
    from caloforge.simulators import pbwo4_gflash

    full_showers = (zoo.bundled_showers("pbwo4-geant4") if full is None else open_showers(full))[
        :
    ].to(device)
    if fast is not None:
        return TrainingShowers(full_showers, open_showers(fast)[:].to(device))
    simulator = pbwo4_gflash()
    simulator.calorimeter.require(full_showers.calorimeter, "the full sample, for want of --fast,")
    return TrainingShowers(full_showers, simulator.simulate(full_showers.particles, seed=1))
