"""Where Geant4's data sets are.

They are looked for in the folder given; without one, in ``GEANT4_DATA_DIR``; then where the
variables of Geant4 point, ``G4LEDATA`` and the like; then in ``~/.geant4_pybind``. The first of
these that is set, or there, is the one that counts.
"""

__all__ = ["DATA_SETS", "DataSets", "find_data", "folder_of", "own_folder", "present_data"]

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from caloforge.errors import Geant4Error
from caloforge.simulators.geant4.physics import PHYSICS, Need, Physics

DATA_SETS: Mapping[str, tuple[str, str]] = {
    "G4NDL": ("4.7.1", "G4NEUTRONHPDATA"),
    "G4EMLOW": ("8.8", "G4LEDATA"),
    "PhotonEvaporation": ("6.1.2", "G4LEVELGAMMADATA"),
    "RadioactiveDecay": ("6.1.2", "G4RADIOACTIVEDATA"),
    "G4PARTICLEXS": ("4.2", "G4PARTICLEXSDATA"),
    "G4PII": ("1.3", "G4PIIDATA"),
    "RealSurface": ("2.2", "G4REALSURFACEDATA"),
    "G4SAIDDATA": ("2.0", "G4SAIDXSDATA"),
    "G4ABLA": ("3.3", "G4ABLADATA"),
    "G4INCL": ("1.3", "G4INCLDATA"),
    "G4ENSDFSTATE": ("3.0", "G4ENSDFSTATEDATA"),
    "G4CHANNELING": ("2.0", "G4CHANNELINGDATA"),
}
"""Each data set of Geant4 11.4: its version, and the variable that points to it."""

_FOLDER = "GEANT4_DATA_DIR"


@dataclass(frozen=True)
class DataSets:
    """The data sets that are there.

    Arguments:
        place: Where they were looked for, in words.
        folders: Their folders, by name.
        given: The folder in which they were to be looked for; None for the usual places.
    """

    place: str
    folders: Mapping[str, Path]
    given: Path | None = None

    def lacks(self, physics: Physics) -> tuple[str, ...]:
        """What a list of physics needs and is not there: folders, or what is missing in them."""
        absent = (need for need in physics.needs if not self._has(need))
        return tuple(
            dict.fromkeys(_words(need, whole=need.data_set not in self.folders) for need in absent)
        )

    def missing(self, physics: Physics) -> tuple[str, ...]:
        """The data sets that a list of physics needs and that are not there, or not as a whole."""
        return tuple(dict.fromkeys(need.data_set for need in physics.needs if not self._has(need)))

    def require(self, physics: Physics) -> None:
        """Check that a list of physics has what it needs.

        Raises:
            Geant4Error: Something is missing; the message names it, the command that downloads it,
                and the physics that would work without.
        """
        missing = self.lacks(physics)
        if missing:
            fitting = [name for name, other in PHYSICS.items() if not self.lacks(other)]
            works = (
                f"physics that works with what is there: {', '.join(fitting)}"
                if fitting
                else "no physics works with what is there"
            )
            msg = (
                f"physics '{physics.name}' lacks data of Geant4: no {', '.join(missing)} in "
                f"{self.place}; {works}: "
                f"download what is missing by `{self.command(physics)}`, point {_FOLDER} to a "
                "folder that holds Geant4's "
                f"data sets, or choose another physics"
            )
            raise Geant4Error(msg)

    def command(self, physics: Physics | None = None) -> str:
        """The command that downloads what a list of physics needs, or the usual one."""
        where = () if self.given is None else (str(self.given),)
        which = () if physics is None else ("--physics", physics.name)
        return shlex.join(("caloforge", "data", "geant4", *where, "--fetch", *which))

    def environment(self) -> dict[str, str]:
        """The variables of a process in which Geant4 finds these data sets, and these alone, and
        asks nobody.
        """
        ours = {_FOLDER, *(variable for _, variable in DATA_SETS.values())}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        found = {DATA_SETS[name][1]: str(folder) for name, folder in self.folders.items()}
        return kept | found | {_FOLDER: str(next(iter(self.folders.values())).parent)}

    def _has(self, need: Need) -> bool:
        return (
            need.data_set in self.folders and (self.folders[need.data_set] / need.within).exists()
        )


def folder_of(data_set: str) -> str:
    """The official name of a data set's folder."""
    return data_set + DATA_SETS[data_set][0]


def _words(need: Need, *, whole: bool) -> str:
    folder = folder_of(need.data_set)
    return f"{folder}/{need.within}" if need.within and not whole else folder


def find_data(folder: Path | None = None) -> DataSets:
    """Look for Geant4's data sets.

    Arguments:
        folder: The folder that holds them; None to look in the usual places.

    Raises:
        Geant4Error: There are none.
    """
    found = present_data(folder)
    if not found.folders:
        msg = (
            f"no data sets of Geant4 in {found.place}: download them by `{found.command()}`, or "
            f"point {_FOLDER} to a folder "
            f"that holds them under their official names ({folder_of('G4EMLOW')} and so on)"
        )
        raise Geant4Error(msg)
    return found


def present_data(folder: Path | None = None) -> DataSets:
    """The data sets that are in a folder, or in the usual places; perhaps none."""
    if folder is not None:
        return DataSets(str(folder), _within(folder), folder)
    if os.environ.get(_FOLDER):
        return DataSets(f"{own_folder()} ({_FOLDER})", _within(own_folder()))
    variables = {
        name: Path(os.environ[variable])
        for name, (_, variable) in DATA_SETS.items()
        if os.environ.get(variable)
    }
    if variables:
        return DataSets(
            "the folders of G4LEDATA and the like",
            {n: path.absolute() for n, path in variables.items() if path.is_dir()},
        )
    return DataSets(
        f"{own_folder()} ({_FOLDER}, G4LEDATA and the like are not set)", _within(own_folder())
    )


def own_folder() -> Path:
    """Where data sets are put if no folder is given: ``GEANT4_DATA_DIR``, or ``~/.geant4_pybind``
    if that is not set.
    """
    return Path(os.environ.get(_FOLDER) or Path.home() / ".geant4_pybind")


def _within(folder: Path) -> dict[str, Path]:
    paths = {name: (folder / folder_of(name)).absolute() for name in DATA_SETS}
    return {name: path for name, path in paths.items() if path.is_dir()}
