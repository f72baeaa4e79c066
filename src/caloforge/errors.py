"""What can go wrong, by name. Each message says what was given, what was expected, and how to mend
it.

The library raises these and never prints or exits; the command line turns any `CaloforgeError` into
one line on standard error and exit code 2.
"""

__all__ = [
    "CaloforgeError",
    "DesignError",
    "DiskFullError",
    "DiskSpaceWarning",
    "EnergyRangeError",
    "EnergyRangeWarning",
    "ExportError",
    "FileFormatError",
    "Geant4Error",
    "GeometryError",
    "GeometryMismatchError",
    "ModelError",
    "NotFiniteError",
    "OutputError",
    "OutputExistsError",
    "PackageError",
    "PausedError",
    "PointsOutsideWarning",
    "RecipeError",
    "RepresentationWarning",
    "RowError",
    "ShowerValueError",
    "TrainingError",
    "UnitError",
    "near",
    "printable",
    "quoted",
    "words_of",
]


from collections.abc import Iterable, Mapping

MOST_QUOTED = 80
"""So many characters of a value are shown in a message at most."""


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


class DiskSpaceWarning(UserWarning):
    """Issued when a disk has less room than what a run will write needs."""


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


class PointsOutsideWarning(UserWarning):
    """Issued when points lie in no cell of the calorimeter that is to read them."""


class ModelError(CaloforgeError):
    """Raised when a model is unknown, incomplete, damaged, or unfit for what was asked."""


class NotFiniteError(ModelError):
    """Raised when a model makes deposits that are no numbers."""


class ExportError(CaloforgeError):
    """Raised when a model does not fit a host, or what was exported makes other showers."""


class RecipeError(CaloforgeError):
    """Raised when a recipe is unknown, holds an unknown key, or a value of the wrong type."""


class DesignError(CaloforgeError):
    """Raised when a plan of a design cannot be carried out: an unknown key, an impossible range, a
    start from which no optimum is found.
    """


class PausedError(CaloforgeError):
    """Raised when a training ends before its last step because it was asked to; what is done is
    kept, and resumed from there.
    """


class TrainingError(CaloforgeError):
    """Raised when training cannot start or go on: too few showers, a loss that is not finite."""


def quoted(value: object) -> str:
    """A value as a message shows it: in one line, at most `MOST_QUOTED` characters of it.

    Example:
        >>> len(quoted("a" * 1000))
        82
    """
    text = value if isinstance(value, str) else _short(value)
    cut = text if len(text) <= MOST_QUOTED else text[: MOST_QUOTED - 3] + "..."
    return repr(cut) if isinstance(value, str) else cut


def printable(text: str) -> str:
    """A text that is printed as it stands: with a replacement for each character that steers a
    terminal or is none at all, such as a byte of a file name that is not UTF-8.
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def words_of(error: BaseException) -> str:
    """What an error says: one of ours whole, one of Python or of a library in one line of at most
    `MOST_QUOTED` characters.
    """
    if isinstance(error, CaloforgeError):
        return str(error)
    return printable(" ".join(str(error).split())[:MOST_QUOTED])


def _short(value: object) -> str:
    """The value's text, without the text of what is too large to be shown anyway."""
    if isinstance(value, Mapping | list | tuple | set):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 4 * MOST_QUOTED:
        return f"a whole number of {value.bit_length()} bits"
    return repr(value)


def near(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is nearest, or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""
