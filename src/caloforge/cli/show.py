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


_MEASURED = (
    *("E_sum / E", "hits above 1 MeV", "brightest cell [MeV]"),
    *("mean layer, from 1", "mean radius [mm]"),
)
_FEWEST = 2
_LEAST = 1e-9
"""In MeV: a shower without energy has the mean layer 0."""


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
    if showers.weights is not None and len(showers) > 0:
        say(_by_weight(measured, showers.weights))
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
        for label, text in _lines(*measured[:4]):
            table.add_row(label, text)
    return table


def _by_weight(measured: "Tensor", weights: "Tensor") -> "Table":
    """The means of showers that weigh little, much, and in between: what the fast simulation makes
    too often, and too rarely.
    """
    from rich.table import Table

    from caloforge.metrics import Dilution
    from caloforge.metrics.dilution import FAINT, HEAVY

    faint, heavy = weights < FAINT, weights > HEAVY
    groups = {
        f"w < {FAINT:g}": faint,
        f"{FAINT:g} to {HEAVY:g}": ~faint & ~heavy,
        f"w > {HEAVY:g}": heavy,
    }
    title = f"\nweights: {Dilution.of(weights.numpy())}"
    table = Table("means by weight", *groups, title=title, title_justify="left", box=None)
    table.add_row("showers", *(f"{int(chosen.sum()):,}" for chosen in groups.values()))
    for label, values in zip(_MEASURED, measured[1:], strict=True):
        table.add_row(label, *(_mean(values[chosen]) for chosen in groups.values()))
    return table


def _mean(values: "Tensor") -> str:
    """The mean with its error; a dash where there are too few."""
    if len(values) < _FEWEST:
        return "-"
    return f"{values.mean():.4g} +- {values.std() / len(values) ** 0.5:.1g}"


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
    """Energy, response, hits, brightest cell, mean layer and mean radius of each shower, with shape
    (6, N).

    One tensor for all: small ones kept from each batch would lie between the batches and keep their
    memory from being used again.
    """
    import torch

    from caloforge.observables import (
        layer_energies,
        max_energy,
        n_hits,
        radius_mean,
        response,
        total_energy,
    )
    from caloforge.showers import spans

    layers = torch.arange(1.0, 1 + showers.calorimeter.n_layers, dtype=torch.float64)
    measured = torch.empty(6, len(showers), dtype=torch.float64)
    with bar("reading", len(showers)) as advance:
        for span in spans(len(showers), batch_size):
            batch = showers[span]
            total = total_energy(batch).clamp_min(_LEAST)
            depth = (layer_energies(batch) * layers).sum(1) / total
            sums = (batch.energies, response(batch), n_hits(batch), max_energy(batch))
            for row, values in enumerate((*sums, depth, radius_mean(batch))):
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
