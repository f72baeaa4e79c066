"""What can go wrong, by name. Each message says what was given, what was expected, and how to mend
it.

The library raises these and never prints or exits; the command line turns any `CaloforgeError` into
one line on standard error and exit code 2.
"""

__all__ = [
    "CaloforgeError",
    "DiskFullError",
    "EnergyRangeError",
    "EnergyRangeWarning",
    "FileFormatError",
    "Geant4Error",
    "GeometryError",
    "GeometryMismatchError",
    "ModelError",
    "OutputError",
    "OutputExistsError",
    "PackageError",
    "RecipeError",
    "RepresentationWarning",
    "RowError",
    "ShowerValueError",
    "TrainingError",
    "UnitError",
]


class CaloforgeError(Exception):
    """Base of all errors that a user can cause and mend."""


class UnitError(CaloforgeError):
    """Raised when a value's unit is missing, unknown, or its number is out of range."""


class Geant4Error(CaloforgeError):
    """Raised when Geant4 cannot work: it or its data are missing, physics or particle are unfit, a
    worker has died.
    """


class GeometryError(CaloforgeError):
    """Raised when the description of a calorimeter is impossible or incomplete."""


class GeometryMismatchError(CaloforgeError):
    """Raised when showers or a model of one calorimeter meet those of another."""


class ShowerValueError(CaloforgeError):
    """Raised when deposits or energies are not finite, negative, or of the wrong shape."""


class PackageError(CaloforgeError):
    """Raised when an optional package that was asked for is not installed."""


class RowError(CaloforgeError, IndexError):
    """Raised when a sample has no shower of this number."""


class FileFormatError(CaloforgeError):
    """Raised when a file is not what its reader expects: truncated, a dataset missing, lengths that
    differ.
    """


class OutputError(CaloforgeError):
    """Raised when an output cannot be written where it was asked for: no such folder, no
    permission.
    """


class OutputExistsError(OutputError):
    """Raised when an output path exists already and overwriting was not asked for."""


class DiskFullError(OutputError):
    """Raised when a disk is full, or a quota used up, while an output is written."""


class EnergyRangeError(CaloforgeError):
    """Raised when an incident energy lies outside a model's validity range and strictness was asked
    for.
    """


class EnergyRangeWarning(UserWarning):
    """Issued when an incident energy lies outside a model's validity range."""


class RepresentationWarning(UserWarning):
    """Issued when showers, or what a network made of them, lie beyond what a representation can
    hold.
    """


class ModelError(CaloforgeError):
    """Raised when a model is unknown, incomplete, damaged, or unfit for what was asked."""


class RecipeError(CaloforgeError):
    """Raised when a recipe is unknown, holds an unknown key, or a value of the wrong type."""


class TrainingError(CaloforgeError):
    """Raised when training cannot start or go on: too few showers, a loss that is not finite."""
