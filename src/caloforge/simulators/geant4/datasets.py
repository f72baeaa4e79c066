"""Where Geant4's data sets are.

They are looked for in the folder given; without one, in ``GEANT4_DATA_DIR``; then where the variables of Geant4 point,
``G4LEDATA`` and the like; then in ``~/.geant4_pybind``. The first of these that is set, or there, is the one that counts.
"""

__all__ = ["DATA_SETS", "DataSets", "find_data"]

import os
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
    """

    place: str
    folders: Mapping[str, Path]

    def lacks(self, physics: Physics) -> tuple[str, ...]:
        """What a list of physics needs and is not there."""
        return tuple(dict.fromkeys(_words(need) for need in physics.needs if not self._has(need)))

    def require(self, physics: Physics) -> None:
        """Check that a list of physics has what it needs.

        Raises:
            Geant4Error: Something is missing; the message names it and the physics that would work.
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
                f"physics '{physics.name}' lacks data of Geant4: no {', '.join(missing)} in {self.place}; {works}: "
                f"point {_FOLDER} to a folder that holds Geant4's data sets, or choose another physics"
            )
            raise Geant4Error(msg)

    def environment(self) -> dict[str, str]:
        """The variables of a process in which Geant4 finds these data sets, and these alone, and asks nobody."""
        ours = {_FOLDER, *(variable for _, variable in DATA_SETS.values())}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        found = {DATA_SETS[name][1]: str(folder) for name, folder in self.folders.items()}
        return kept | found | {_FOLDER: str(next(iter(self.folders.values())).parent)}

    def _has(self, need: Need) -> bool:
        return need.data_set in self.folders and (self.folders[need.data_set] / need.within).exists()


def _words(need: Need) -> str:
    folder = need.data_set + DATA_SETS[need.data_set][0]
    return f"{folder}/{need.within}" if need.within else folder


def find_data(folder: Path | None = None) -> DataSets:
    """Look for Geant4's data sets.

    Arguments:
        folder: The folder that holds them; None to look in the usual places.

    Raises:
        Geant4Error: There are none.
    """
    found = _found(folder)
    if not found.folders:
        names = ", ".join(name + version for name, (version, _) in DATA_SETS.items())
        msg = f"no data sets of Geant4 in {found.place}: point {_FOLDER} to a folder that holds them ({names})"
        raise Geant4Error(msg)
    return found


def _found(folder: Path | None) -> DataSets:
    if folder is not None:
        return DataSets(str(folder), _within(folder))
    if os.environ.get(_FOLDER):
        return DataSets(f"{os.environ[_FOLDER]} ({_FOLDER})", _within(Path(os.environ[_FOLDER])))
    variables = {name: Path(os.environ[variable]) for name, (_, variable) in DATA_SETS.items() if os.environ.get(variable)}
    if variables:
        return DataSets(
            "the folders of G4LEDATA and the like", {n: path.absolute() for n, path in variables.items() if path.is_dir()}
        )
    home = Path.home() / ".geant4_pybind"
    return DataSets(f"{home} ({_FOLDER}, G4LEDATA and the like are not set)", _within(home))


def _within(folder: Path) -> dict[str, Path]:
    paths = {name: (folder / (name + version)).absolute() for name, (version, _) in DATA_SETS.items()}
    return {name: path for name, path in paths.items() if path.is_dir()}
