"""Methods side by side: plans of how showers are made for the same particles, and their making.

A plan is YAML: ``full``, a file of held-out showers of the full simulation, and ``methods``, each
by a name of its own. A method begins with ``showers`` (a file), ``surrogate`` (a model) or
``gflash`` (a detector), of which the latter two are given the particles of ``full``; ``refiners``
then refine them, one after the other. ``training``, a file of the full showers that the methods
learned from, asks what their showers are worth. The time of a method is all that a shower took:
what the file of its beginning says (``cpu_time_ms``), and what was measured here.
"""

__all__ = ["Made", "Method", "MethodPlan", "concordance_of_hits", "make_all"]

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from caloforge import zoo
from caloforge.chain import Weighing
from caloforge.detector import load_detector
from caloforge.documents import checked, quoted, read_yaml
from caloforge.errors import FileFormatError
from caloforge.evaluation.findings import Sample, shares_energies
from caloforge.gun import like
from caloforge.io import ShowerFile, open_showers
from caloforge.metrics import concordance
from caloforge.observables import N_HITS
from caloforge.particles import Particles
from caloforge.production import produce
from caloforge.simulators import Simulator, gflash_of

Told = Callable[[str], None]
"""Called with each step, in words."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Method:
    """How showers are made.

    Arguments:
        showers: A file of showers of a fast simulation, of the particles of the full one.
        surrogate: A model that makes showers, in place of a file.
        gflash: A detector in which GFlash makes showers, in place of a file.
        refiners: The models that refine them, in order.
        training: What the training took, in words.
    """

    showers: str | None = None
    surrogate: str | None = None
    gflash: str | None = None
    refiners: tuple[str, ...] = ()
    training: str = ""


@dataclass(frozen=True)
class MethodPlan:
    """Methods to compare.

    Arguments:
        full: The file of held-out showers of the full simulation.
        methods: The methods by name, the baseline first.
        training: The file of full showers that the methods were trained on; None if nobody asks.
        seed: The seed of all that is drawn.
    """

    full: str
    methods: Mapping[str, Method] = field(default_factory=dict)
    training: str | None = None
    seed: int = 0

    @staticmethod
    def read(path: Path) -> "MethodPlan":
        """Read a plan.

        Raises:
            FileFormatError: It is none: a key is unknown, there is no method, its name cannot be
                one of a file, or a method has not exactly one beginning.
        """
        what = f"plan {path.name}"
        plan = checked(MethodPlan, read_yaml(path, what, FileFormatError), what, FileFormatError)
        if not plan.methods:
            msg = f"{what}: no methods, expected at least one"
            raise FileFormatError(msg)
        for name, method in plan.methods.items():
            given = [method.showers, method.surrogate, method.gflash]
            if sum(one is not None for one in given) != 1:
                msg = f"{what}: methods.{name}: expected one of showers, surrogate and gflash"
                raise FileFormatError(msg)
            if not _NAME.fullmatch(name):
                msg = f"{what}: method {quoted(name)}: expected letters, digits and . _ + - alone"
                raise FileFormatError(msg)
        return plan


@dataclass(frozen=True)
class Made:
    """The showers of a method.

    Arguments:
        file: The showers.
        milliseconds: What one of them took, all that stands before included; None where the file
            of its beginning does not say.
        training: What the training took, in words.
    """

    file: ShowerFile
    milliseconds: float | None
    training: str


def make_all(
    plan: MethodPlan, folder: Path, *, overwrite: bool = False, progress: Told
) -> dict[str, Made]:
    """Make the showers of all methods, as files NAME.h5 of a folder.

    Arguments:
        plan: The plan.
        folder: The folder, which is there.
        overwrite: Whether files that are there may be replaced.
        progress: Told in words what is made next.

    Raises:
        CaloforgeError: A file or a model is missing or of another calorimeter.
    """
    full = open_showers(plan.full)
    makers = {name: _makers(method, full) for name, method in plan.methods.items()}
    made = {}
    for name, (beginning, refiners) in makers.items():
        progress(f"making {name}")
        how = _How(like(full), folder, name, plan.seed, overwrite)
        file, time = how.begun(beginning, last=not refiners)
        for number, refiner in enumerate(refiners, 1):
            file, more = how.refined(file, refiner, last=number == len(refiners), number=number)
            time += more
        known = None if math.isnan(time) else time
        made[name] = Made(file, known, plan.methods[name].training)
    return made


@dataclass(frozen=True)
class _How:
    """For which particles, to which files and with which seed a method works."""

    particles: Particles
    folder: Path
    name: str
    seed: int
    overwrite: bool

    def begun(self, beginning: ShowerFile | Simulator, *, last: bool) -> tuple[ShowerFile, float]:
        """The showers that a method begins with, and what one of them took, in ms."""
        if isinstance(beginning, ShowerFile):
            return beginning, _time_of(beginning)
        path = self._path(0, last=last)
        done = produce(self.particles, beginning, path, seed=self.seed, overwrite=self.overwrite)
        return open_showers(path), done.milliseconds

    def refined(
        self, file: ShowerFile, refiner: Weighing, *, last: bool, number: int
    ) -> tuple[ShowerFile, float]:
        """Its refined showers, and what one of them took, in ms."""
        path = self._path(number, last=last)
        done = produce(file, refiner, path, seed=self.seed, overwrite=self.overwrite)
        return open_showers(path), done.milliseconds

    def _path(self, number: int, *, last: bool) -> Path:
        return self.folder / (f"{self.name}.h5" if last else f"{self.name}.stage-{number}.h5")


def _makers(method: Method, full: ShowerFile) -> tuple[ShowerFile | Simulator, list[Weighing]]:
    """What a method begins with, and what refines that, all of the calorimeter of the full one."""
    beginning = _beginning(method)
    refiners = [Weighing(zoo.load_refiner(name), least=0.0) for name in method.refiners]
    for part in (beginning, *refiners):
        full.calorimeter.require(part.calorimeter, "a part of a method")
    return beginning, refiners


def _beginning(method: Method) -> ShowerFile | Simulator:
    if method.surrogate is not None:
        return zoo.load_surrogate(method.surrogate)
    if method.gflash is not None:
        return gflash_of(load_detector(method.gflash))
    return open_showers(str(method.showers))


def _time_of(file: ShowerFile) -> float:
    """The mean time of a shower, in ms, where the file says it."""
    times = file.extra(slice(None)).get("cpu_time_ms")
    return math.nan if times is None or not len(times) else float(times.double().mean())


def concordance_of_hits(full: Sample, sample: Sample) -> float | None:
    """The concordance of the numbers of hits of two samples; None where their showers are no pairs
    of one particle, or do not count once each.

    Arguments:
        full: The full simulation.
        sample: The showers of a method.
    """
    values = [one.values.get(N_HITS.name) for one in (full, sample)]
    if sample.weighted or not shares_energies(full, sample) or any(v is None for v in values):
        return None
    x, y = (v.astype(float) for v in values if v is not None)
    return concordance(x, y)
