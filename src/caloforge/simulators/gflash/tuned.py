"""Files of a tuned GFlash: which detector, which constants, and to what they were fitted.

YAML with the keys ``format`` and ``version``, ``detector`` (as `Detector.describe` gives it),
``response``, ``tuning`` (by name, the constants that differ from those of the detector's medium),
and ``origin``, which is for the reader alone.
"""

__all__ = ["describe_gflash", "gflash_from", "load_gflash", "write_gflash"]

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from caloforge.detector import Detector
from caloforge.documents import near, read_yaml
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
    contents = {
        "format": FORMAT,
        "version": VERSION,
        **describe_gflash(replace(simulator, detector=detector)),
        "origin": dict(origin or {}),
    }
    with NewFile(path, overwrite=overwrite) as partial:
        partial.write_text(yaml.safe_dump(contents, sort_keys=False, allow_unicode=True))


def describe_gflash(simulator: GFlash) -> dict[str, Any]:
    """The GFlash of a detector as plain values: ``detector``, ``response``, and in ``tuning`` the
    constants that are not those of its medium.

    Raises:
        GeometryMismatchError: It is not that of a detector with other constants.
    """
    detector = simulator.detector
    start = None if detector is None else gflash_of(detector)
    if (
        detector is None
        or start is None
        or replace(start, tuning=simulator.tuning, response=simulator.response) != simulator
    ):
        named = "a detector" if detector is None else f"detector '{detector.name}'"
        msg = (
            f"GFlash to write: it is not that of {named} with other constants, begin with "
            "gflash_of(detector)"
        )
        raise GeometryMismatchError(msg)
    return {
        "detector": detector.describe(),
        "response": float(simulator.response),
        "tuning": _differences(simulator.used_tuning, start.medium.tuning),
    }


def gflash_from(description: Mapping[str, Any]) -> GFlash:
    """The GFlash that `describe_gflash` describes.

    Raises:
        FileFormatError: A constant is unknown, or no finite number.
        GeometryError: The detector cannot be.
    """
    start = gflash_of(Detector.from_description(description["detector"], "its detector"))
    response = _numbers({"response": description["response"]})["response"]
    given = _numbers(description["tuning"])
    tuning = replace(start.medium.tuning, **given) if given else None
    return replace(start, tuning=tuning, response=response)


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
        return gflash_from(values)
    except (GeometryError, FileFormatError) as error:
        msg = f"{path}: {error}"
        raise FileFormatError(msg) from error


def _read(path: Path) -> dict[str, Any]:
    """The contents, with all keys there."""
    what = f"{path}: expected a file that 'caloforge tune gflash' has written"
    values = read_yaml(path, what, FileFormatError)
    if values.get("format") != FORMAT:
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
        odd = sorted(map(str, set(values) - set(_KEYS))) or sorted(set(_KEYS) - set(values))
        msg = (
            f"{path}: key '{odd[0]}' is missing or unknown, expected {', '.join(_KEYS)}"
            f"{'' if odd[0] in _KEYS else near(odd[0], _KEYS)}"
        )
        raise FileFormatError(msg)
    return values


def _numbers(values: Any) -> dict[str, float]:
    """The values, as finite numbers by known names."""
    if not isinstance(values, dict):
        msg = f"tuning is {values!r}, expected constants by name"
        raise FileFormatError(msg)
    for name, value in values.items():
        if name not in (*_NAMES, "response"):
            msg = f"no constant '{name}', expected some of {', '.join(_NAMES)}{near(name, _NAMES)}"
            raise FileFormatError(msg)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            msg = f"{name} is {value!r}, expected a finite number"
            raise FileFormatError(msg)
    return {name: float(value) for name, value in values.items()}
