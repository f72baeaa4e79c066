"""`caloforge reconstruct`: the energies of particles from their showers."""

__all__ = ["reconstruct"]

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from caloforge.cli._console import say
from caloforge.cli._options import (
    BatchSize,
    Input,
    Machine,
    ModelArgument,
    OptionError,
    Overwrite,
    asked,
    existing,
    grouped,
)
from caloforge.cli._progress import bar
from caloforge.paths import require_writable
from caloforge.spectra import Fixed, LogUniform, Uniform, read_spectrum

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from caloforge.models import Surrogate
    from caloforge.reconstruction import EnergyPosterior
    from caloforge.showers import ShowerSource

_LEVELS = (0.68, 0.95)
_BINS, _FEWEST = 4, 100
"""Bins of the true energy, and showers that each has at least."""

_HEADINGS = ("up to", "showers", "bias", "resolution", "in 68 %", "in 95 %")
_COLUMNS = (
    *("incident_energy_MeV", "energy_MeV"),
    *("low_68_MeV", "high_68_MeV", "low_95_MeV", "high_95_MeV"),
)


@dataclass(frozen=True)
class Inference:
    """What is known before a shower is looked at."""

    prior: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH[:log]",
            show_default="log-uniform over the model's range",
            help="The distribution of the energies.",
            callback=asked(read_spectrum),
        ),
    ] = None
    calibrate: Annotated[
        Path | None,
        existing(
            "HELD_OUT.h5", "Showers of known energy, of no training, to set the widths right with."
        ),
    ] = None
    batch_size: BatchSize = 1000

    def spectrum(self, model: "Surrogate") -> Uniform | LogUniform:
        """The prior."""
        if self.prior is None:
            return LogUniform(*model.card.energy_range)
        spectrum = read_spectrum(self.prior)
        if isinstance(spectrum, Fixed):
            msg = f"--prior {self.prior}: expected a range, such as 10GeV:100GeV"
            raise OptionError(msg)
        return cast("Uniform | LogUniform", spectrum)


@grouped
def reconstruct(
    model: ModelArgument,
    source: Input,
    output: Annotated[Path, typer.Argument(metavar="OUT.csv", help="The table to write.")],
    inference: Inference,
    machine: Machine,
    overwrite: Overwrite = False,
) -> None:
    """Find the incident energy of each shower by the likelihood of a flow, with intervals.

    The model is a surrogate that makes the energies of the layers by a normalizing flow, whose
    density is exact. Energies that the file states are compared, and not used.

    \b
    Examples:
      caloforge reconstruct caloflow-laptop showers.h5 energies.csv
      caloforge reconstruct my-model showers.h5 energies.csv --prior 10GeV:100GeV
      caloforge reconstruct my-model test.h5 energies.csv --calibrate held-out.h5
    """
    if output.suffix != ".csv":
        msg = f"{output}: expected a name that ends in .csv"
        raise OptionError(msg)
    require_writable(output, overwrite=overwrite)
    import numpy as np

    from caloforge import zoo
    from caloforge.io import NewFile, open_showers

    surrogate = zoo.load_surrogate(model).to(machine.start())
    showers = open_showers(source, surrogate.calorimeter)
    sharpness = 1.0
    if inference.calibrate is not None:
        held = open_showers(inference.calibrate, surrogate.calorimeter)
        sharpness = _calibration(surrogate, held, inference)
    found = np.concatenate([*_rows(surrogate, showers, inference, sharpness), np.zeros((0, 5))])
    true = showers.energies.double().numpy()
    with NewFile(output, overwrite=overwrite) as partial:
        table = np.column_stack([true, found])
        np.savetxt(partial, table, "%.7g", ",", header=",".join(_COLUMNS), comments="")
    if len(true) > 0:
        say(_summary(true, found))
    say(f"{output}: {len(true):,} energies by {surrogate.card.name}")


def _posteriors(
    model: "Surrogate", showers: "ShowerSource", inference: Inference, sharpness: float, doing: str
) -> "Iterator[EnergyPosterior]":
    from caloforge.reconstruction import posteriors

    with bar(doing, len(showers)) as advance:
        yield from posteriors(
            model,
            showers,
            inference.spectrum(model),
            batch_size=inference.batch_size,
            sharpness=sharpness,
            progress=advance,
        )


def _calibration(model: "Surrogate", held: "ShowerSource", inference: Inference) -> float:
    """The power of the likelihood that suits held-out showers, said."""
    from caloforge.reconstruction import EnergyPosterior

    if len(held) < _FEWEST:
        msg = (
            f"--calibrate {inference.calibrate}: {len(held)} showers, expected at least {_FEWEST} "
            "to calibrate with"
        )
        raise OptionError(msg)
    found = EnergyPosterior.cat([*_posteriors(model, held, inference, 1.0, "calibrating")])
    sharpness = found.sharpness_for(held.energies.to(found.energies.device))
    say(f"calibration: likelihoods to the power {sharpness:.3f}")
    return sharpness


def _rows(
    model: "Surrogate", showers: "ShowerSource", inference: Inference, sharpness: float
) -> "Iterator[np.ndarray]":
    """Median and ends of the intervals, a batch at a time."""
    import torch

    for found in _posteriors(model, showers, inference, sharpness, "reconstructing"):
        ends = [end for level in _LEVELS for end in found.interval(level)]
        yield torch.stack([found.median, *ends], dim=1).cpu().numpy()


def _summary(true: "np.ndarray", found: "np.ndarray") -> "Table":
    """Bias, resolution and coverage in bins of the true energy that hold equally many showers."""
    import numpy as np
    from rich.table import Table

    from caloforge.reconstruction import resolution
    from caloforge.units import format_energy

    table = Table(*_HEADINGS, box=None)
    bins = min(_BINS, len(true) // _FEWEST) if true.min() < true.max() else 1
    order = np.argsort(true, kind="stable")
    parts = np.array_split(order, bins) if bins > 1 else []
    for rows in [*parts, order]:
        median, *ends = found[rows].T
        intervals = dict(zip(_LEVELS, (tuple(ends[:2]), tuple(ends[2:])), strict=True))
        said = resolution(median, true[rows], intervals)
        top = float(f"{true[rows].max():.3g}")
        table.add_row(
            "all" if rows is order else format_energy(top),
            f"{said.showers:,}",
            f"{said.bias:+.2%}",
            f"{said.width:.2%} +- {said.width_error:.2%}",
            *(f"{in_:.1%} +- {said.coverage_error(p):.1%}" for p, in_ in said.coverage.items()),
        )
    return table
