"""`caloforge show`: what a file holds, and one shower drawn."""

__all__ = ["show"]

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import say
from caloforge.cli._options import (
    BatchSize,
    CalorimeterOption,
    Input,
    OptionError,
    read_calorimeter,
)
from caloforge.cli._progress import bar

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from caloforge.particles import Particles
    from caloforge.showers import ShowerSource


def show(
    path: Input,
    index: Annotated[
        int,
        typer.Option("--index", "-i", min=0, metavar="I", help="Which shower to draw, from 0 on."),
    ] = 0,
    calorimeter: CalorimeterOption = None,
    batch_size: BatchSize = 1000,
) -> None:
    """Summarise a file of showers and draw one of them in the terminal.

    \b
    Examples:
      caloforge show fast.h5
      caloforge show fast.h5 --index 17
    """
    from caloforge.cli._drawing import draw
    from caloforge.io import open_showers
    from caloforge.units import doubt_of_scale, format_energy

    showers = open_showers(path, read_calorimeter(calorimeter))
    if index >= max(len(showers), 1):
        msg = f"--index {index} is not in {path}, which has showers 0 to {len(showers) - 1}"
        raise OptionError(msg)
    measured = _measured(showers, batch_size)
    say(_summary(showers, measured, title=path.name))
    if len(showers) > 0:
        doubt = doubt_of_scale(float(measured[1].mean()))
        if doubt:
            say(f"\n{doubt}.")
        chosen = showers[index : index + 1]
        say(f"\nshower {index}, incident energy {format_energy(float(chosen.energies[0]))}")
        say(draw(chosen, plain=not (sys.stdout.encoding or "ascii").lower().startswith("utf")))


def _summary(showers: "ShowerSource", measured: "Tensor", title: str) -> "Table":
    from rich.table import Table

    calorimeter = showers.calorimeter
    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=False, box=None
    )
    table.add_row("showers", f"{len(showers):,}")
    table.add_row(
        "calorimeter",
        f"{calorimeter.name} ({calorimeter.n_cells} cells, {calorimeter.n_layers} layer(s))"
        + (", along the particle" if calorimeter.along_particle else ""),
    )
    if not calorimeter.has_depth:
        table.add_row("depth", "in layers: their thickness in mm is unknown")
    if len(showers) > 0:
        table.add_row("particles", _arriving(showers.particles))
        for label, text in _lines(*measured):
            table.add_row(label, text)
    return table


def _arriving(particles: "Particles") -> str:
    """Species, angles and places in words."""
    from caloforge.particles import name_of
    from caloforge.units import deg, mm

    words = [", ".join(name_of(pdg) for pdg in particles.species) or "of unknown species"]
    if particles.theta is not None:
        low, high = (float(angle) / deg for angle in particles.theta.aminmax())
        words.append(f"{low:.4g} to {high:.4g} deg to the axis")
    if particles.place is not None:
        words.append(f"up to {float(particles.place.norm(dim=1).max()) / mm:.4g} mm off the centre")
    return ", ".join(words)


def _measured(showers: "ShowerSource", batch_size: int) -> "Tensor":
    """Energy, response, hits and brightest cell of each shower, with shape (4, N).

    One tensor for all: small ones kept from each batch would lie between the batches and keep their
    memory from being used again.
    """
    import torch

    from caloforge.observables import max_energy, n_hits, response
    from caloforge.showers import spans

    measured = torch.empty(4, len(showers), dtype=torch.float64)
    with bar("reading", len(showers)) as advance:
        for span in spans(len(showers), batch_size):
            batch = showers[span]
            for row, values in enumerate(
                (batch.energies, response(batch), n_hits(batch), max_energy(batch))
            ):
                measured[row, span] = values.double()
            advance(len(batch))
    return measured


def _lines(
    energy: "Tensor", response: "Tensor", hits: "Tensor", brightest: "Tensor"
) -> list[tuple[str, str]]:
    from caloforge.units import format_energy

    values = (*energy.aminmax(), energy.mean(), brightest.mean(), brightest.max())
    low, high, mean, shining, most = (format_energy(float(value)) for value in values)
    return [
        ("incident energy", low if low == high else f"{low} to {high}, mean {mean}"),
        ("E_sum / E", _spread(response, ".4f")),
        ("hits above 1 MeV", _spread(hits, ".1f")),
        ("brightest cell", f"{shining} in the mean, {most} at most"),
    ]


def _spread(values: "Tensor", form: str) -> str:
    return (
        f"{values.mean():{form}} in the mean, {values.std(correction=0):{form}} standard deviation"
    )
