"""`caloforge train`: a model from showers."""

__all__ = ["train"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import phases, say
from caloforge.cli._options import Machine, OptionError, grouped

if TYPE_CHECKING:
    import torch

    from caloforge.systems import TrainingShowers


@grouped
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="squirels-fast, squirels-laptop, squirels, or a YAML file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model's directory.")],
    full: Annotated[Path, typer.Option(metavar="FILE.h5", help="Showers of the full simulation.")],
    fast: Annotated[Path, typer.Option(metavar="FILE.h5", help="Showers of the fast simulation, of like energies.")],
    machine: Machine,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in DIR.")] = False,
) -> None:
    """Train a model that refines fast showers into full ones.

    An interrupted training, resumed, comes to the same weights.

    \b
    Examples:
      caloforge train squirels-fast --out my-model --full geant4.h5 --fast fast.h5
      caloforge train squirels --out sq --full geant4.h5 --fast fast.h5 --resume
      caloforge train my.yaml --out m --full g4.h5 --fast f.h5 --set steps=500
    """
    from caloforge.systems import load_recipe
    from caloforge.systems import train as run

    device = machine.start()
    chosen = load_recipe(recipe, _overrides(settings or []))
    data = _read(full, fast, device)
    description = f"{full.name} ({len(data.full):,} showers) and {fast.name} ({len(data.fast):,} showers)"
    with phases() as progress:
        run(chosen, out, data, description=description, resume=resume, progress=progress)
    say(f"{out}: trained; refine with: caloforge refine {out} IN.h5 OUT.h5")


def _overrides(settings: list[str]) -> dict[str, str]:
    pairs = {key: value for key, _, value in (text.partition("=") for text in settings)}
    for text in settings:
        if "=" not in text:
            msg = f"--set '{text}' is not KEY=VALUE, such as steps=1000"
            raise OptionError(msg)
    return pairs


def _read(full: Path, fast: Path, device: "torch.device") -> "TrainingShowers":
    from caloforge.io import open_showers
    from caloforge.systems import TrainingShowers

    full_showers, fast_showers = (open_showers(path) for path in (full, fast))
    return TrainingShowers(full_showers[:].to(device), fast_showers[:].to(device))
