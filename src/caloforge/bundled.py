"""What comes with the package, by name: models, showers, detectors, recipes."""

__all__ = ["DETECTORS", "MODELS", "RECIPES", "SAMPLES", "Shelf"]

from dataclasses import dataclass
from pathlib import Path

from caloforge.errors import (
    CaloforgeError,
    GeometryError,
    ModelError,
    RecipeError,
    near,
    quoted,
)

_PACKAGE = Path(__file__).parent
_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Shelf:
    """Files, or folders, of one kind that come with the package.

    Arguments:
        what: What one of them is, in words.
        folder: Where they are, within the package.
        pattern: Which they are: ``*.yaml``, or ``*/card.json`` for folders.
        refusal: The error where there is no such.
        own: What may be given in place of a name, in words; empty for nothing.
        first: The name that comes first.
    """

    what: str
    folder: str
    pattern: str
    refusal: type[CaloforgeError]
    own: str = ""
    first: str = ""

    def names(self) -> tuple[str, ...]:
        """The names of all, the default first."""
        return tuple(sorted(self._places(), key=lambda name: (name != self.first, name)))

    def find(self, name: str) -> Path:
        """The file or folder of a name, or the one whose path is given.

        Raises:
            CaloforgeError: An error of the kind of the shelf: there is none.
        """
        place = self._places().get(name, Path(name))
        if name in self._places() or (self.own and self._fits(place)):
            return place
        msg = (
            f"no {self.what} {quoted(name)}: expected one of {', '.join(self.names())}{self.own}"
            f"{near(name, self.names())}"
        )
        raise self.refusal(msg)

    def _places(self) -> dict[str, Path]:
        found = (_PACKAGE / self.folder).glob(self.pattern)
        places = (path.parent if "/" in self.pattern else path for path in found)
        return {path.stem: path for path in places}

    def _fits(self, given: Path) -> bool:
        """Whether a path that is given is of the kind."""
        return given.is_dir() if "/" in self.pattern else given.suffix in _YAML and given.exists()


_OR_YAML = ", or the path of a .yaml file"
DETECTORS = Shelf("detector", "detector/detectors", "*.yaml", GeometryError, _OR_YAML)
RECIPES = Shelf("recipe", "systems", "*.yaml", RecipeError, _OR_YAML)
SAMPLES = Shelf("bundled sample", "zoo/showers", "*.h5", ModelError)
MODELS = Shelf(
    "model",
    "zoo/models",
    "*/card.json",
    ModelError,
    ", or a directory made by 'caloforge train'",
    first="squirels-fast",
)
