"""Where stages and systems are known by name.

A stage or a system registers itself with a decorator in its own file, under the name that recipes
and cards give it, together with the type of its recipe::

    @STAGES.register("transfusion", TransfusionRecipe)
    class TransfusionStage(EnergyStage): ...

Those of the package lie in `caloforge.systems`, and are imported when a name is first asked for.
Those of others are known once their module is imported, or by themselves where their package names
the module as an entry point of the group ``caloforge.systems``.
"""

__all__ = ["GROUP", "STAGES", "SYSTEMS", "Registered", "Registry"]

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from caloforge.errors import ModelError

if TYPE_CHECKING:
    from caloforge.models.model import Model
    from caloforge.models.stages import Stage

GROUP = "caloforge.systems"
"""The package of the systems, and the group of entry points of those of others."""

T = TypeVar("T")


@dataclass(frozen=True)
class Registered(Generic[T]):
    """A class that is known by name.

    Arguments:
        kind: The class.
        recipe: The type of its recipe, a dataclass.
    """

    kind: type[T]
    recipe: type[Any]


class Registry(Generic[T]):
    """Classes by name.

    Arguments:
        noun: What they are, for error messages.
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._known: dict[str, Registered[T]] = {}
        self._aliases: dict[str, str] = {}

    def register(
        self, name: str, recipe: type[Any], *, aliases: tuple[str, ...] = ()
    ) -> Callable[[type[T]], type[T]]:
        """Make a class known, as a decorator.

        Arguments:
            name: The name that recipes give it.
            recipe: The type of its recipe, a dataclass.
            aliases: The names that it had in earlier versions.

        Raises:
            ModelError: Another class has the name already.
        """

        def registered(kind: type[T]) -> type[T]:
            known = self._known.get(name)
            if known is not None and _place(known.kind) != _place(kind):
                msg = (
                    f"two {self._noun}s are called '{name}', {_place(known.kind)} and "
                    f"{_place(kind)}: rename one"
                )
                raise ModelError(msg)
            self._known[name] = Registered(kind, recipe)
            self._aliases |= dict.fromkeys(aliases, name)
            return kind

        return registered

    def names(self) -> tuple[str, ...]:
        """The names, those of earlier versions left out."""
        _find_all()
        return tuple(sorted(self._known))

    def of_kind(self, kind: type[Any]) -> dict[str, Registered[T]]:
        """The subclasses of a class, under all their names."""
        _find_all()
        names = {name: name for name in self._known} | self._aliases
        found = {name: self._known[target] for name, target in names.items()}
        return {name: entry for name, entry in found.items() if issubclass(entry.kind, kind)}

    def __contains__(self, name: object) -> bool:
        _find_all()
        return name in self._known or name in self._aliases

    def __getitem__(self, name: str) -> Registered[T]:
        """The class of a name.

        Raises:
            ModelError: No class has it.
        """
        if name not in self:
            msg = f"{self._noun} is '{name}', expected one of {', '.join(self.names())}"
            raise ModelError(msg)
        return self._known[self._aliases.get(name, name)]


def _place(kind: type[Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@cache
def _find_all() -> None:
    """Import the systems of the package, and those that other packages name."""
    folder = import_module(GROUP).__path__
    for module in pkgutil.iter_modules(folder, f"{GROUP}."):
        import_module(module.name)
    for point in entry_points(group=GROUP):
        point.load()


STAGES: "Registry[Stage[Any]]" = Registry("stage")
"""The stages of surrogates."""

SYSTEMS: "Registry[Model]" = Registry("system")
"""The systems: kinds of models, each with a recipe of its own."""
