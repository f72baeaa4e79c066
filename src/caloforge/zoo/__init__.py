"""Models and real showers that come with the package.

Each model is a directory as `caloforge.models.train` leaves it; the card says where it comes from
and what was measured.
"""

__all__ = [
    "bundled_showers",
    "card",
    "copy_showers",
    "load",
    "load_model",
    "load_refiner",
    "load_surrogate",
    "name_of",
    "names",
    "shower_names",
]

import shutil
from collections.abc import Iterable
from pathlib import Path

from caloforge.bundled import MODELS, SAMPLES
from caloforge.errors import ModelError
from caloforge.geometry import Calorimeter
from caloforge.io import NewFile, ShowerFile, open_showers
from caloforge.models import Bridge, Card, LearnedRefiner, Model, Surrogate
from caloforge.models import load as load_directory
from caloforge.paths import require_folder


def names() -> tuple[str, ...]:
    """The names of the models, the default first."""
    return MODELS.names()


def card(model: str) -> Card:
    """The card of a model.

    Arguments:
        model: A name of `names`, or the path of a directory made by training.

    Raises:
        ModelError: There is no such model.
    """
    return Card.read(MODELS.find(model))


def name_of(directory: Path) -> str:
    """What a model is asked for by: a name of `names`, or its directory."""
    bundled = directory.name in names() and MODELS.find(directory.name).samefile(directory)
    return directory.name if bundled else str(directory.resolve())


def load_model(model: str) -> Model:
    """Load a model of any kind.

    Arguments:
        model: A name of `names`, or the path of a directory made by training.

    Raises:
        ModelError: There is no such model, or it is damaged.
    """
    return load_directory(MODELS.find(model))


def load(model: str) -> Bridge:
    """Load a bridge, a refiner that carries showers in steps.

    Arguments:
        model: A name of `names`, or the path of a directory made by training.

    Raises:
        ModelError: There is no such model, it is damaged, or it is another one.
    """
    loaded = load_refiner(model)
    if not isinstance(loaded, Bridge):
        msg = f"model '{model}' is a refiner, but no bridge: use zoo.load_refiner"
        raise ModelError(msg)
    return loaded


def load_refiner(model: str) -> LearnedRefiner:
    """Load a refiner of any kind.

    Arguments:
        model: A name of `names`, or the path of a directory made by training.

    Raises:
        ModelError: There is no such model, it is damaged, or it is a surrogate.
    """
    loaded = load_model(model)
    if not isinstance(loaded, LearnedRefiner):
        msg = (
            f"model '{model}' makes showers from particles, not from showers: use 'caloforge "
            "generate' or zoo.load_surrogate"
        )
        raise ModelError(msg)
    return loaded


def load_surrogate(model: str) -> Surrogate:
    """Load a surrogate.

    Arguments:
        model: A name of `names`, or the path of a directory made by training.

    Raises:
        ModelError: There is no such model, it is damaged, or it is a refiner.
    """
    loaded = load_model(model)
    if not isinstance(loaded, Surrogate):
        msg = (
            f"model '{model}' makes showers from showers, not from particles: use 'caloforge "
            "refine' or zoo.load"
        )
        raise ModelError(msg)
    return loaded


def shower_names() -> tuple[str, ...]:
    """The names of the bundled samples of real showers."""
    return SAMPLES.names()


def bundled_showers(name: str, calorimeter: Calorimeter | None = None) -> ShowerFile:
    """Open one of the bundled samples of real showers.

    Arguments:
        name: A name of `shower_names`.
        calorimeter: Where the cells are; None for what the file says.

    Raises:
        ModelError: There is no such sample.
    """
    return open_showers(SAMPLES.find(name), calorimeter)


def copy_showers(
    names: Iterable[str], folder: Path | str, *, overwrite: bool = False
) -> list[Path]:
    """Copy bundled samples of real showers, byte for byte, to files of the same names.

    Arguments:
        names: Names of `shower_names`.
        folder: Where to; it is made where it is missing.
        overwrite: Whether the files may take the place of files that are there.

    Returns:
        The paths of the copies.

    Raises:
        ModelError: There is no such sample.
        OutputExistsError: One of the files exists; then none is copied.
        OutputError: The folder cannot be made or written to.
    """
    sources = [SAMPLES.find(name) for name in names]
    require_folder(Path(folder))
    Path(folder).mkdir(parents=True, exist_ok=True)
    outputs = [NewFile(Path(folder) / path.name, overwrite=overwrite) for path in sources]
    for path, output in zip(sources, outputs, strict=True):
        with output as partial:
            shutil.copyfile(path, partial)
    return [output.path for output in outputs]
