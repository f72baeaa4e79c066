"""The one convention of units: energies in MeV, lengths in mm, angles in radians, times in ms.

Every number inside the package is in these units. Multiply to bring a value in, divide to take it
out::

    energy = 50 * GeV
    depth_in_cm = depth / cm

At the command line a value carries its unit (``--energy 50GeV``); `parse_energy` reads it.
"""

__all__ = ["GeV", "MeV", "TeV", "cm", "format_energy", "keV", "m", "mm", "parse_energy"]

import re

from caloforge.errors import UnitError

MeV = 1.0
keV = 1e-3  # noqa: N816 (the unit is written so)
GeV = 1e3
TeV = 1e6

mm = 1.0
cm = 10.0
m = 1e3

_ENERGIES = {"keV": keV, "MeV": MeV, "GeV": GeV, "TeV": TeV}
_PATTERN = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([kMGT]eV)\s*")


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
    match = _PATTERN.fullmatch(text)
    try:
        value = float(match[1]) * _ENERGIES[match[2]] if match else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"energy '{text}': expected a positive number with its unit, such as 50GeV or 300MeV"
        raise UnitError(msg)
    return value


def format_energy(energy: float) -> str:
    """Write an energy, in MeV, with the unit that reads best.

    Example:
        >>> format_energy(50000.0)
        '50 GeV'
    """
    fitting = [u for u, size in _ENERGIES.items() if energy >= size]
    unit = fitting[-1] if fitting else "keV"
    return f"{energy / _ENERGIES[unit]:.6g} {unit}"
