"""Fast calorimeter showers: simulate them, refine them, and prove them right.

A `Calorimeter` says where the cells are. `Showers` are the energies in them, with the particles
that made them. A *simulator* makes showers from particles. A *refiner* makes better showers from
showers. A *report* says how far two samples of showers are apart.
"""

from importlib import import_module

__version__: str


def __getattr__(name: str) -> object:
    """A room, such as `caloforge.io`, is imported when it is first named."""
    if name == "__version__":
        return import_module("importlib.metadata").version("caloforge")
    try:
        if not name.startswith("_"):
            return import_module(f"caloforge.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"caloforge.{name}":
            raise
    msg = f"module 'caloforge' has no attribute '{name}'"
    raise AttributeError(msg)
