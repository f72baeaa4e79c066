"""`caloforge export`: a model for a host that has no Python."""

__all__ = ["export"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caloforge.cli._console import say
from caloforge.cli._options import ModelArgument, Overwrite, Seed, existing

if TYPE_CHECKING:
    from caloforge.models import Model


def export(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="The file to write; the folder, where a host wants several."
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            metavar="HOST", help="For whom: onnx, torchscript, triton, par04, fastcalosim."
        ),
    ] = "onnx",
    like: Annotated[
        Path | None,
        existing(
            "FILE.h5",
            "Showers on which both are compared: fast ones for a refiner.",
        ),
    ] = None,
    number: Annotated[
        int, typer.Option("-n", "--number", min=1, metavar="N", help="How many are compared.")
    ] = 100,
    seed: Seed = 0,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write the inputs of these showers, and the showers, for a test of the host.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model for a host: all of it in one graph, from condition and noise to deposits.

    Random numbers are inputs of the graph: for the same ones it makes the showers of the model. It
    is compared with the model before it is written, and refused if a shower differs by more than
    1e-4 of its energy.

    \b
    Examples:
      caloforge export squirels-fast refiner.onnx
      caloforge export squirels-fast refiner.onnx -n 1000 --inputs inputs
      caloforge export squirels-fast refiner.pt --target torchscript
      caloforge export l2lflows-ds2-laptop par04 --target par04
      caloforge export my-refiner repository/my-refiner --target triton --like fast.h5
    """
    from caloforge import export as room
    from caloforge import zoo

    room.target_of(target)
    loaded = zoo.load_model(model)
    source = room.compared(loaded, number) if like is None else _read(loaded, like, number)
    done = room.export(loaded, target, output, source=source, seed=seed, overwrite=overwrite)
    say(f"{done.files[0]}: {loaded.card.name} for {target}, the model's showers to {done.parity}")
    for port in done.graph.inputs:
        say(f"  {port}")
    if inputs is not None:
        room.write_inputs(done, source, inputs, seed=seed, overwrite=overwrite)
        say(f"{inputs}: the inputs of {number} showers, and the showers")


def _read(model: "Model", path: Path, number: int) -> Any:
    """The first showers of a file."""
    from caloforge.hits import dense
    from caloforge.io import open_showers

    return dense(open_showers(path, model.calorimeter)[:number])
