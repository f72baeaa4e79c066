"""The one convention of units: energies in MeV, lengths in mm, angles in radians, times in ms.

Every number inside the package is in these units. Multiply to bring a value in, divide to take it
out::

    energy = 50 * GeV
    depth_in_cm = depth / cm

At the command line a value carries its unit (``--energy 50GeV``, ``--theta 30deg``);
`parse_energy`, `parse_angle` and `parse_length` read it. How long the work may take is in seconds
(`parse_duration`).
"""

__all__ = [
    *("ENERGY_UNITS", "GeV", "MeV", "TeV", "cm", "deg", "keV", "m", "mm", "rad"),
    *("doubt_of_scale", "energy_unit", "format_energy", "parse_angle", "parse_duration"),
    *("parse_energy", "parse_length"),
]

import math
import re
from collections.abc import Mapping

from caloforge.errors import UnitError

MeV = 1.0
keV = 1e-3  # noqa: N816 (the unit is written so)
GeV = 1e3
TeV = 1e6

mm = 1.0
cm = 10.0
m = 1e3

rad = 1.0
deg = math.pi / 180

ENERGY_UNITS = {"keV": keV, "MeV": MeV, "GeV": GeV, "TeV": TeV}
_LENGTHS = {"mm": mm, "cm": cm, "m": m}
_ANGLES = {"rad": rad, "deg": deg}
_DURATIONS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_IMPLAUSIBLE = 3e-3
"""Sampling calorimeters that are not calibrated read some percent of the energy."""

_PATTERN = re.compile(r"\s*([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]+)\s*")


def energy_unit(name: str) -> float | None:
    """The unit of energy of a name in small or large letters, in MeV; None if it is none.

    Example:
        >>> energy_unit("gev")
        1000.0
    """
    return {known.lower(): unit for known, unit in ENERGY_UNITS.items()}.get(name.lower())


def parse_energy(text: str) -> float:
    """Read an energy with its unit.

    Arguments:
        text: A positive number followed by keV, MeV, GeV or TeV, such as ``"50GeV"``.

    Returns:
        The energy, in MeV.

    Raises:
        UnitError: The text is not of that form, or the energy is not positive and finite.

    Example:
        >>> parse_energy("50GeV")
        50000.0
    """
    return _read(text, ENERGY_UNITS, "energy", "50GeV or 300MeV", above=0)


def parse_angle(text: str) -> float:
    """Read an angle with its unit, deg or rad; its value in radians.

    Raises:
        UnitError: The text is not of that form, or the angle is not finite.

    Example:
        >>> parse_angle("0.5rad")
        0.5
    """
    return _read(text, _ANGLES, "angle", "30deg or 0.5rad")


def parse_length(text: str) -> float:
    """Read a length with its unit, mm, cm or m; its value in mm.

    Raises:
        UnitError: The text is not of that form, or the length is not finite.

    Example:
        >>> parse_length("2.5cm")
        25.0
    """
    return _read(text, _LENGTHS, "length", "0.7mm or 2cm")


def parse_duration(text: str) -> float:
    """Read how long the work may take, with its unit, s, min, h or d; its value in seconds.

    Raises:
        UnitError: The text is not of that form, or the time is not positive and finite.

    Example:
        >>> parse_duration("1.5h")
        5400.0
    """
    return _read(text, _DURATIONS, "time", "90min or 2h", above=0)


def _read(
    text: str, units: Mapping[str, float], name: str, examples: str, *, above: float = -math.inf
) -> float:
    """The value of a number with its unit, finite and above a bound."""
    match = _PATTERN.fullmatch(text)
    try:
        value = float(match[1]) * units[match[2]] if match else math.nan
    except (ValueError, KeyError):
        value = math.nan
    if not above < value < math.inf:
        number = "a positive number" if above == 0 else "a number"
        msg = f"{name} '{text}': expected {number} with its unit, such as {examples}"
        raise UnitError(msg)
    return value


def format_energy(energy: float) -> str:
    """Write an energy, in MeV, with the unit that reads best.

    Example:
        >>> format_energy(50000.0)
        '50 GeV'
    """
    fitting = [u for u, size in ENERGY_UNITS.items() if energy >= size]
    unit = fitting[-1] if fitting else "keV"
    return f"{energy / ENERGY_UNITS[unit]:.6g} {unit}"


def doubt_of_scale(response: float) -> str | None:
    """What to ask where the typical E_sum / E is a factor of a thousand from what can be; None
    where it can be.

    Example:
        >>> doubt_of_scale(0.85) is None
        True
    """
    if not _IMPLAUSIBLE < response < 1 / _IMPLAUSIBLE:
        return (
            f"E_sum / E is {response:.3g}, typically: are deposits and incident energies in the "
            "same unit? State it by the attribute 'units' of each dataset"
        )
    return None
