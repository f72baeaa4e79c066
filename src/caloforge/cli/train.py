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
    machine: Machine,
    full: Annotated[
        Path | None,
        typer.Option(metavar="FILE.h5", show_default="the bundled Geant4 showers", help="Showers of the full simulation."),
    ] = None,
    fast: Annotated[
        Path | None,
        typer.Option(metavar="FILE.h5", show_default="GFlash's, of the same energies", help="Showers of the fast simulation."),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in DIR.")] = False,
) -> None:
    """Train a model that refines fast showers into full ones.

    An interrupted training, resumed, comes to the same weights. Without files it trains on the showers that come with the
    package: enough to try, but the demo judges by the same showers, and the package's own models have seen six times as many.

    \b
    Examples:
      caloforge train squirels-fast --out my-model --full geant4.h5 --fast fast.h5
      caloforge train squirels-fast --out a-try --set steps=200
      caloforge train squirels --out sq --full geant4.h5 --fast fast.h5 --resume
      caloforge train my.yaml --out m --full g4.h5 --fast f.h5 --set steps=500
    """
    from caloforge.systems import load_recipe
    from caloforge.systems import train as run

    device = machine.start()
    chosen = load_recipe(recipe, _overrides(settings or []))
    data = _read(full, fast, device)
    names = (
        "bundled Geant4 showers" if full is None else full.name,
        "GFlash of the same energies" if fast is None else fast.name,
    )
    description = f"{names[0]} ({len(data.full):,} showers) and {names[1]} ({len(data.fast):,} showers)"
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


def _read(full: Path | None, fast: Path | None, device: "torch.device") -> "TrainingShowers":
    from caloforge import zoo
    from caloforge.io import open_showers
    from caloforge.simulators import pbwo4_gflash
    from caloforge.systems import TrainingShowers

    full_showers = (zoo.bundled_showers("pbwo4-geant4") if full is None else open_showers(full))[:].to(device)
    if fast is not None:
        return TrainingShowers(full_showers, open_showers(fast)[:].to(device))
    simulator = pbwo4_gflash()
    simulator.calorimeter.require(full_showers.calorimeter, "the full sample, for want of --fast,")
    return TrainingShowers(full_showers, simulator.simulate(full_showers.particles, seed=1))
