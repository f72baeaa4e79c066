"""What tests of Geant4 need: the real one where it is, and a worker that plays its part where it is
not.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest

from caloforge.detector import Boxes, Detector, Hexagons, Layers, Role, Slab, Staggered
from caloforge.errors import Geant4Error
from caloforge.simulators.geant4 import PHYSICS, find_data


def _absent() -> str:
    if find_spec("geant4_pybind") is None:
        return "geant4-pybind is not installed"
    try:
        find_data().require(PHYSICS["em-option1"])
    except Geant4Error as error:
        return str(error)
    return ""


needs_geant4 = pytest.mark.skipif(bool(_absent()), reason=_absent())
"""Marks a test that runs Geant4: it is skipped, with the reason, where that cannot be."""

ACTOR = """
import os, sys, time
from multiprocessing.connection import Connection
import numpy as np

connection = Connection(int(sys.argv[1]))
steps = connection.recv()["steps"]
while True:
    try:
        number, seeds, _, energy, *_ = connection.recv()
    except EOFError:
        break
    if number == int(os.environ.get("ACTOR_DIES_AT", -1)):
        print(os.environ["ACTOR_LAST_WORDS"], file=sys.stderr, flush=True)
        os.abort()
    time.sleep(0.001 * (seeds[0] % 7))
    cells = np.array(sorted({seed % 100 for seed in seeds}), dtype=np.int32)
    if steps:
        cells = np.stack([cells % 4, cells / 10 - 5, cells % 7 - 3, cells], axis=1)
    connection.send(("done", (number, cells, np.full(len(cells), energy / 8), 1.5)))
os._exit(0)
"""
"""A worker that knows the protocol and no physics: four crystals, chosen by the seeds, get an
eighth of the energy each, or as many steps, anywhere in the first layers.
"""

_SAMPLING = (Slab("G4_W", 2.0, Role.ABSORBER), Slab("G4_Si", 0.5, Role.ACTIVE))

IRREGULAR = Detector(
    "silicon-and-tiles",
    (
        Layers(4, _SAMPLING, Hexagons(6.0, 6, core_pitch=4.0, core_rings=2)),
        Layers(1, _SAMPLING, Staggered((20, 20), (4.0, 4.0), (1.0, 0.0), (5, 5), 0.5)),
        Layers(2, (*_SAMPLING, *_SAMPLING), Boxes((10, 10), (10.0, 10.0))),
    ),
    (100.0, 100.0),
    sampling_fraction=0.5,
    threshold=0.05,
)
"""Layers of hexagons, of staggered boxes, and of tiles, each tile with two plates of silicon."""

LAST_WORDS = """
-------- EEEE ------- G4Exception-START -------- EEEE -------
*** G4Exception : em0003
      issued by : G4Model::ReadData()
file <brem_SB/br82> is not opened!
*** Fatal Exception *** core dump ***
"""


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the actor take the part of Geant4's workers, with data sets that suffice for the
    electromagnetic lists.
    """
    program, data = tmp_path / "actor.py", tmp_path / "data"
    program.write_text(ACTOR)
    standard_data(data)
    monkeypatch.setenv("GEANT4_DATA_DIR", str(data))
    monkeypatch.setattr("caloforge.simulators.geant4.workers._PROGRAM", program)
    monkeypatch.setattr("caloforge.simulators.geant4.engine._require_installed", lambda: None)
    monkeypatch.setattr("caloforge.simulators.geant4.engine._installed_version", lambda: "0")


def standard_data(folder: Path) -> None:
    """Make the folders, empty, that the electromagnetic lists need."""
    for name in ("G4EMLOW8.8/brem_SB", "G4EMLOW8.8/epics2017/phot", "G4EMLOW8.8/epics2017/rayl"):
        (folder / name).mkdir(parents=True)
    for name in ("G4ENSDFSTATE3.0", "G4PARTICLEXS4.2", "PhotonEvaporation6.1.2"):
        (folder / name).mkdir()
