"""The arguments and options that several commands share, and how their texts become values."""

__all__ = [
    "MOST_SHOWERS",
    "MOST_THREADS",
    "BatchSize",
    "CalorimeterOption",
    "DetectorArgument",
    "DeviceOption",
    "Input",
    "Machine",
    "ModelArgument",
    "NewShowers",
    "OptionError",
    "Overwrite",
    "ParticleOption",
    "Reading",
    "Seed",
    "Strict",
    "Threads",
    "asked",
    "existing",
    "existing_argument",
    "given",
    "grouped",
    "read_calorimeter",
    "use_device",
    "use_threads",
]

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeGuard

import typer
from typer.core import TyperOption

from caloforge.bundled import DETECTORS, MODELS
from caloforge.cli._console import tell
from caloforge.errors import CaloforgeError, GeometryError, ShowerValueError, UnitError, quoted
from caloforge.paths import is_hdf5, require_files

if TYPE_CHECKING:
    import torch

    from caloforge.geometry import Calorimeter
    from caloforge.io import ShowerFile
    from caloforge.io.mending import Mending


class OptionError(CaloforgeError):
    """Raised when an option's value, or a combination of options, cannot be."""


def given(check: Callable[[Any], object]) -> Callable[[Any], Any]:
    """Check an argument, or each of several, before the command begins and imports what it needs;
    returns what typer calls for that.
    """

    def checked(value: Any) -> Any:
        for one in value if isinstance(value, list) else () if value is None else (value,):
            check(one)
        return value

    return checked


def asked(check: Callable[[Any], object]) -> Callable[[TyperOption, Any], Any]:
    """As `given`, for an option, which the message names."""

    def checked(param: TyperOption, value: Any) -> Any:
        try:
            return given(check)(value)
        except (UnitError, ShowerValueError) as error:
            msg = f"{param.opts[0]} {error}"
            raise OptionError(msg) from error

    return checked


MOST_THREADS = 1024
"""OpenMP ends the process where the system refuses it a thread."""

MOST_SHOWERS = 10**12
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size",
        min=1,
        metavar="B",
        help="Showers at a time: sets memory and speed, never the result.",
    ),
]
CalorimeterOption = Annotated[
    str | None,
    typer.Option(
        "--calorimeter",
        metavar="NAME|FILE|GRID",
        help="Where the cells are, for a file that does not say: a name, a detector's YAML, a "
        "description, a list of cells, a binning XML[:PARTICLE], or 8x5x7:zyx:10mm,10mm,5mm.",
    ),
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name from 'caloforge models', or a trained directory.",
        callback=given(MODELS.find),
    ),
]


def existing(metavar: str, words: str, **more: Any) -> Any:
    """An option for a file that must be there."""
    return typer.Option(metavar=metavar, help=words, callback=given(require_files), **more)


def existing_argument(metavar: str, words: str) -> Any:
    """An argument for a file, or files, that must be there."""
    return typer.Argument(metavar=metavar, help=words, callback=given(require_files))


DetectorArgument = Annotated[
    str,
    typer.Argument(
        metavar="DETECTOR",
        help="A detector of the package, or a YAML file.",
        callback=given(DETECTORS.find),
    ),
]
Input = Annotated[Path, existing_argument("FILE.h5", "The showers.")]
NewShowers = Annotated[
    Path,
    typer.Argument(
        metavar="OUT.h5",
        help="The file to write, of CaloChallenge layout; other suffixes say others.",
        callback=given(is_hdf5),
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")]


ParticleOption = Annotated[
    str | None,
    typer.Option(
        "--particle",
        metavar="NAME|PDG",
        help="The species, e-, gamma, pi+ or a PDG number, for a file that does not say.",
    ),
]


@dataclass(frozen=True)
class Reading:
    """How files are read: where the cells are, of which species the particles, and what is done
    with deposits that are none.
    """

    calorimeter: CalorimeterOption = None
    particle: ParticleOption = None
    negative: Annotated[
        str,
        typer.Option(metavar="refuse|zero", help="Refuse negative deposits, or set them to 0."),
    ] = "refuse"
    threshold: Annotated[
        str | None,
        typer.Option(metavar="ENERGY", help="Set deposits below it to 0, such as 1MeV."),
    ] = None
    drop: Annotated[
        str | None,
        typer.Option(
            metavar="empty|nan|empty,nan",
            help="Leave out showers without energy, or with a deposit that is NaN.",
        ),
    ] = None

    def mending(self) -> "Mending":
        """The same for the reader."""
        from caloforge.io.mending import DROPS, Mending
        from caloforge.units import parse_energy

        if self.negative not in ("refuse", "zero"):
            why = "noise below 0 has no logarithm, centre or width: " * (self.negative == "keep")
            msg = f"--negative {quoted(self.negative)}: {why}expected refuse or zero"
            raise OptionError(msg)
        drop = () if self.drop is None else tuple(self.drop.split(","))
        if not set(drop) <= set(DROPS):
            msg = f"--drop {quoted(self.drop)}: expected {', '.join(DROPS)} or both"
            raise OptionError(msg)
        threshold = 0.0 if self.threshold is None else parse_energy(self.threshold)
        return Mending(self.negative == "zero", threshold, drop)

    def opened(
        self,
        paths: Sequence[Path],
        *,
        calorimeter: "Calorimeter | None" = None,
        first: int | None = None,
    ) -> "ShowerFile":
        """Files as one sample, with what the options say of it, and mended as they ask for.

        Arguments:
            paths: The files, or patterns.
            calorimeter: Where the cells are, in place of the option.
            first: So many showers of the sample, from the first on; None for all.
        """
        from caloforge.io import open_showers
        from caloforge.io.several import several

        where = calorimeter or read_calorimeter(self.calorimeter)
        asked = self._species()
        file = open_showers(paths, where, pdg=asked)
        if asked is not None:
            self._require_species(file, asked)
        return self.of(several([file], first))

    def _species(self) -> int | None:
        """The species that an option says: the one that is named, else the binning file's."""
        from caloforge.io.binning import named_binning, species_of_binning
        from caloforge.particles import pdg_of

        if self.particle is not None:
            return pdg_of(self.particle)
        binning = None if self.calorimeter is None else named_binning(self.calorimeter)
        return None if binning is None else species_of_binning(*binning)

    def _require_species(self, file: "ShowerFile", asked: int) -> None:
        """Refuse a species that a file contradicts; what a binning file says is not asked for."""
        from caloforge.particles import name_of

        species = file.particles.species
        if species in ((), (asked,)):
            return
        said = ", ".join(map(name_of, species))
        if self.particle is not None:
            msg = (
                f"--particle {self.particle}: {file.path} says {said} itself: leave the option out"
            )
            raise OptionError(msg)
        tell(f"{file.path}: says {said} itself, not {name_of(asked)} as the binning file does")

    def of(self, file: "ShowerFile") -> "ShowerFile":
        """The showers of a file as they shall be read; what is done is said with its numbers."""
        from caloforge.io.mending import Mended

        mending = self.mending()
        if not mending:
            return file
        mended = Mended(file, mending)
        tell(f"{file.path}: {mended.report}")
        return mended


def seed_option(words: str, **more: Any) -> Any:
    """An option for a seed, of which every number is one that torch takes."""
    return typer.Option("--seed", min=-(2**63), max=2**64 - 1, metavar="S", help=words, **more)


Seed = Annotated[int, seed_option("The same seed gives the same showers, whatever the batch size.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse energies outside the model's range, not just warn.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=MOST_THREADS,
        metavar="T",
        show_default="all cores",
        help="How many cores to use.",
    ),
]


_DEVICES = re.compile(r"(cpu|cuda|mps|xpu)(:[0-9]+)?")


def _require_device(name: str) -> None:
    if not _DEVICES.fullmatch(name):
        msg = (
            f"--device {quoted(name)} cannot be used here: expected cpu, or cuda, cuda:1 or mps "
            "where there is one"
        )
        raise OptionError(msg)


DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Where to compute: cpu, cuda, cuda:1, mps.",
        callback=given(_require_device),
    ),
]


@dataclass(frozen=True)
class Machine:
    """With what to compute."""

    threads: Threads = None
    device: DeviceOption = "cpu"

    def start(self) -> "torch.device":
        """Use so many cores from now on, and try the device."""
        use_threads(self.threads)
        return use_device(self.device)


def use_device(name: str) -> "torch.device":
    """The device of that name, on which a number has been computed."""
    import torch

    try:
        ones = torch.ones(1, device=name)
        ones.sum().item()
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        msg = f"--device '{name}' cannot be used here: expected {' or '.join(_devices())}"
        raise OptionError(msg) from error
    return ones.device


def _devices() -> list[str]:
    """The devices of this machine, as torch finds them."""
    import torch

    others = (("mps", torch.backends.mps.is_available()), ("xpu", torch.xpu.is_available()))
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["cpu", *cuda, *(name for name, there in others if there)]


def use_threads(threads: int | None) -> None:
    """Use so many cores from now on; None leaves the choice to torch."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Offer the fields of each parameter that is a dataclass as options of their own, since typer
    knows flat parameters alone.
    """
    parameters = signature(command).parameters.values()
    groups = {p.name: p.annotation for p in parameters if _is_group(p.annotation)}

    @wraps(command)
    def flat(**given: object) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    options = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in _flattened(parameters)]
    flat.__signature__ = Signature(options)  # type: ignore[attr-defined]
    flat.__annotations__ = {p.name: p.annotation for p in options}
    return flat


def _is_group(annotation: object) -> TypeGuard[type[Any]]:
    return isinstance(annotation, type) and is_dataclass(annotation)


def _flattened(parameters: Iterable[Parameter]) -> Iterable[Parameter]:
    for parameter in parameters:
        if _is_group(parameter.annotation):
            yield from signature(parameter.annotation).parameters.values()
        else:
            yield parameter


def read_calorimeter(text: str | None) -> "Calorimeter | None":
    """The calorimeter that a text names or describes; None for None."""
    from caloforge.io import find_calorimeter

    try:
        return None if text is None else find_calorimeter(text)
    except GeometryError as error:
        msg = f"--{error}"
        raise OptionError(msg) from error
