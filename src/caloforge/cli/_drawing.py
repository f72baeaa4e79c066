"""A shower drawn in the terminal: the energy of each cell by colour and by shade, on a logarithmic
scale of four decades.
"""

__all__ = ["draw"]

import math

import torch
from rich.console import Group, RenderableType
from rich.style import Style
from rich.text import Text
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.observables import layer_energies
from caloforge.showers import Showers
from caloforge.units import format_energy

DECADES = 4
SQUARES = 36
"""So many squares cover the lit part of a calorimeter of irregular cells."""

COLOURS = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725")
"""Eight colours of matplotlib's viridis, from the lowest energy to the highest."""
SHADES, BARS = " ·░▒▓█", " ▁▂▃▄▅▆▇█"
PLAIN_SHADES, PLAIN_BARS = " .:+#@", " ._-=+*#@"


def draw(shower: Showers, *, plain: bool = False) -> RenderableType:
    """Draw one shower.

    Arguments:
        shower: A sample of one.
        plain: Use letters of ASCII alone.
    """
    shades, bars = (PLAIN_SHADES, PLAIN_BARS) if plain else (SHADES, BARS)
    image, title = _image(shower.calorimeter, shower.deposits[0].double().cpu())
    top = float(image.max())
    parts = [
        Text(title, style="bold"),
        *(_row(row, top, shades) for row in image.tolist()),
        _legend(top, shades),
    ]
    if shower.calorimeter.n_layers > 1:
        parts.append(_depth(layer_energies(shower)[0], bars))
    return Group(*parts)


def _image(calorimeter: Calorimeter, deposits: Tensor) -> tuple[Tensor, str]:
    """The energies as rows to draw from top to bottom, and what they are."""
    columns, rows = calorimeter.columns(), calorimeter.rows()
    if columns is not None and rows is not None:
        image = torch.zeros(rows.number * columns.number, dtype=deposits.dtype)
        image.index_add_(
            0, (rows.number - 1 - rows.of_cell) * columns.number + columns.of_cell, deposits
        )
        return image.reshape(rows.number, -1), "seen along the beam: x to the right, y upward"
    if calorimeter.divisions:
        return _brightest_layer(calorimeter, deposits)
    return _in_squares(calorimeter, deposits)


def _in_squares(calorimeter: Calorimeter, deposits: Tensor) -> tuple[Tensor, str]:
    """Cells of any place and size, by their centres, where there is energy."""
    lit = deposits > 0
    if not lit.any():
        return torch.zeros(1, 1), "seen along the beam"
    at, areas = calorimeter.transverse[lit], calorimeter.areas[lit]
    low = at.amin(dim=0)
    side = max(float((at - low).max()) / (SQUARES - 1), float(areas.min().sqrt()))
    i_x, i_y = ((at - low) / side).round().long().unbind(dim=1)
    columns, rows = int(i_x.max()) + 1, int(i_y.max()) + 1
    image = torch.zeros(rows * columns, dtype=deposits.dtype)
    image.index_add_(0, (rows - 1 - i_y) * columns + i_x, deposits[lit])
    where = f"x to the right, y upward, in squares of {side:.3g} mm"
    return image.reshape(rows, columns), f"seen along the beam: {where}"


def _brightest_layer(calorimeter: Calorimeter, deposits: Tensor) -> tuple[Tensor, str]:
    energies = torch.zeros(calorimeter.n_layers, dtype=deposits.dtype).index_add_(
        0, calorimeter.layer_of_cell, deposits
    )
    brightest = int(energies.argmax())
    n_fast, n_slow = calorimeter.divisions[brightest].number
    in_layer = calorimeter.by_layer(calorimeter.layer_of_cell) == brightest
    image = calorimeter.by_layer(deposits)[in_layer].reshape(n_slow, n_fast)
    where = f"layer {brightest}, the brightest"
    if calorimeter.polar:
        return image, f"{where}: r to the right, alpha downward"
    return image.flip(0), f"{where}: x to the right, y upward"


def _row(energies: list[float], top: float, shades: str) -> Text:
    row = Text("  ", no_wrap=True, overflow="crop")
    for energy in energies:
        row.append(*_cell(energy, top, shades))
    return row


def _cell(energy: float, top: float, shades: str) -> tuple[str, Style]:
    if energy <= 0:
        return shades[0] * 2, Style()
    return _mark(1 + math.log10(energy / top) / DECADES, shades)


def _mark(level: float, shades: str) -> tuple[str, Style]:
    """The mark of a level: from 0 on four decades below the brightest cell to 1 in it; a dot for
    less.
    """
    shade = min(len(shades) - 1, 2 + math.floor(level * (len(shades) - 2))) if level >= 0 else 1
    colour = COLOURS[min(len(COLOURS) - 1, max(0, math.floor(level * len(COLOURS))))]
    return shades[shade] * 2, Style(color=colour)


def _legend(top: float, shades: str) -> Text:
    if top <= 0:
        return Text("  no energy in any cell")
    legend = Text("  ").append(*_mark(-1, shades)).append(" less, from  ")
    for decade in range(DECADES):
        legend.append(*_mark(decade / DECADES, shades)).append(
            f" {_rounded(top * 10.0 ** (decade - DECADES))}  "
        )
    return legend.append(f"to {_rounded(top)}")


def _rounded(energy: float) -> str:
    return format_energy(float(f"{energy:.2g}"))


def _depth(energies: Tensor, bars: str) -> Text:
    top = float(energies.max()) or 1.0
    heights = [bars[math.ceil(e / top * (len(bars) - 1))] for e in energies.tolist()]
    peak = int(energies.argmax())
    return Text(
        f"  depth |{''.join(heights)}| {len(heights)} layers, most in layer {peak}: "
        f"{_rounded(float(energies[peak]))}"
    )
