"""Files of a tuned GFlash: which detector, which constants, and to what they were fitted.

YAML with the keys ``format`` and ``version``, ``detector`` (as `Detector.describe` gives it),
``response``, ``tuning`` (by name, the constants that differ from those of the detector's medium),
and ``origin``, which is for the reader alone.
"""

__all__ = ["load_gflash", "write_gflash"]

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from caloforge.detector import Detector
from caloforge.errors import FileFormatError, GeometryError, GeometryMismatchError
from caloforge.io.output import NewFile
from caloforge.simulators.gflash.parametrisation import Tuning
from caloforge.simulators.gflash.simulator import GFlash, gflash_of

FORMAT, VERSION = "caloforge-gflash", 1

_KEYS = ("format", "version", "detector", "tuning", "response", "origin")
_NAMES = tuple(field.name for field in fields(Tuning))


def write_gflash(
    path: Path | str,
    simulator: GFlash,
    detector: Detector,
    *,
    origin: Mapping[str, str | int | float] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a tuned GFlash, to be read again by `load_gflash`; the file appears whole or not at
    all.

    Arguments:
        path: The file.
        simulator: `gflash_of` the detector, but for its constants and response.
        detector: The detector.
        origin: What the constants were fitted to.
        overwrite: Whether the file may take the place of another.

    Raises:
        GeometryMismatchError: The simulator is not that of the detector.
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there.
    """
    start = gflash_of(detector)
    if replace(start, tuning=simulator.tuning, response=simulator.response) != simulator:
        msg = (
            f"GFlash to write: it is not that of detector '{detector.name}' with other constants, "
            "begin with gflash_of(detector)"
        )
        raise GeometryMismatchError(msg)
    contents = {
        "format": FORMAT,
        "version": VERSION,
        "detector": detector.describe(),
        "response": float(simulator.response),
        "tuning": _differences(simulator.used_tuning, start.medium.tuning),
        "origin": dict(origin or {}),
    }
    with NewFile(path, overwrite=overwrite) as partial:
        partial.write_text(yaml.safe_dump(contents, sort_keys=False, allow_unicode=True))


def _differences(tuning: Tuning, default: Tuning) -> dict[str, float]:
    each = {name: (float(getattr(tuning, name)), float(getattr(default, name))) for name in _NAMES}
    return {name: value for name, (value, usual) in each.items() if value != usual}


def load_gflash(path: Path | str) -> GFlash:
    """Read a tuned GFlash: a simulator like any other.

    Arguments:
        path: The file, as `write_gflash` or `caloforge tune gflash` writes it.

    Raises:
        FileFormatError: There is no such file, or it is not such a file.
    """
    values = _read(Path(path))
    try:
        start = gflash_of(Detector.from_description(values["detector"], "its detector"))
        tuning = replace(start.medium.tuning, **_numbers(values["tuning"]))
        return replace(
            start, tuning=tuning, response=_numbers({"response": values["response"]})["response"]
        )
    except (GeometryError, FileFormatError) as error:
        msg = f"{path}: {error}"
        raise FileFormatError(msg) from error


def _read(path: Path) -> dict[str, Any]:
    """The contents, with all keys there."""
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        msg = (
            f"{path}: cannot be read ({error.strerror}), expected a file that 'caloforge tune "
            "gflash' has written"
        )
        raise FileFormatError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = (
            f"{path}: not YAML ({' '.join(str(error).split())}), expected a file that 'caloforge "
            "tune gflash' has written"
        )
        raise FileFormatError(msg) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        msg = (
            f"{path}: no key 'format: {FORMAT}', expected a file that 'caloforge tune gflash' has "
            "written"
        )
        raise FileFormatError(msg)
    if values.get("version") != VERSION:
        msg = (
            f"{path}: version {values.get('version')!r} of the format, expected {VERSION}: use "
            "the caloforge that wrote the file"
        )
        raise FileFormatError(msg)
    if set(values) != set(_KEYS):
        odd = sorted(map(str, set(values) ^ set(_KEYS)))
        msg = f"{path}: key '{odd[0]}' is missing or unknown, expected {', '.join(_KEYS)}"
        raise FileFormatError(msg)
    return values


def _numbers(values: Any) -> dict[str, float]:
    """The values, as finite numbers by known names."""
    if not isinstance(values, dict):
        msg = f"tuning is {values!r}, expected constants by name"
        raise FileFormatError(msg)
    for name, value in values.items():
        if name not in (*_NAMES, "response"):
            msg = f"no constant '{name}', expected some of {', '.join(_NAMES)}"
            raise FileFormatError(msg)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            msg = f"{name} is {value!r}, expected a finite number"
            raise FileFormatError(msg)
    return {name: float(value) for name, value in values.items()}
