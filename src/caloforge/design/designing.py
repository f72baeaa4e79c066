"""A design from its plan: what is free, what is to be least, how it is searched and checked.

Full showers are kept beside the result, so that an interrupted search goes on where it was.
"""

__all__ = ["Check", "DesignPlan", "Designed", "FullSimulation", "design"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge.design.measured import Geant4Reference, Reference, Workbench
from caloforge.design.problem import Goal, Limits, Problem
from caloforge.design.space import Choice, Parameter, Prices, Space, spaces
from caloforge.design.ways import Grid, Optimum, Way, grid_about, search
from caloforge.detector import Detector, Role, load_detector
from caloforge.documents import checked, read_yaml
from caloforge.errors import DesignError
from caloforge.particles import ELECTRON, pdg_of
from caloforge.simulators.geant4.physics import physics_of
from caloforge.simulators.gflash.energy_moments import sections_of
from caloforge.simulators.gflash.simulator import LARGEST_ENERGY, LEAST_ENERGY
from caloforge.units import format_energy, parse_energy

_KEPT = "showers"
_LEAST_POINTS = 3
"""Of a grid, along each parameter."""


@dataclass(frozen=True)
class FullSimulation:
    """How Geant4 makes the showers by which designs are judged.

    Arguments:
        physics: The list of physics; options 1 and 2 are wrong for thin active layers.
        cut: The production cut, in mm.
        workers: Processes; they change no shower.
    """

    physics: str = "em-standard"
    cut: PositiveFloat = 0.7
    workers: PositiveInt = 1


@dataclass(frozen=True)
class Check:
    """The grid of full showers about the optimum.

    Arguments:
        spacing: The distance of two points, in mm, by parameter.
        points: Along each parameter, at least 3.
        times: So many times the usual showers at each.
    """

    spacing: Mapping[str, PositiveFloat]
    points: PositiveInt = 7
    times: PositiveInt = 5

    def __post_init__(self) -> None:
        if self.points < _LEAST_POINTS:
            msg = f"points is {self.points}, expected at least {_LEAST_POINTS} along each parameter"
            raise ValueError(msg)


@dataclass(frozen=True)
class DesignPlan:
    """What is designed.

    Arguments:
        detector: The detector with which it begins, of the package or a YAML file: flat slabs.
        energies: Incident energies, as in ``10GeV``.
        showers: How many of each measure a design.
        parameters: The thicknesses that are free, by name.
        objective: What is to be least.
        choices: What is chosen from a few, by name.
        limits: What a design may be at most.
        prices: What matter costs.
        ways: The ways to the gradient.
        particle: The species.
        geant4: How full showers are made.
        check: The grid about the optimum; None for none.
        seed: The seed of the showers and of all that is drawn.
    """

    detector: str
    energies: tuple[str, ...]
    showers: tuple[PositiveInt, ...]
    parameters: Mapping[str, Parameter]
    objective: Goal = field(default_factory=Goal)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    prices: Prices = field(default_factory=Prices)
    ways: tuple[Way, ...] = tuple(Way)
    particle: str = "e-"
    geant4: FullSimulation = field(default_factory=FullSimulation)
    check: Check | None = None
    seed: NonNegativeInt = 1

    @staticmethod
    def read(path: Path | str) -> "DesignPlan":
        """Read a plan from YAML.

        Raises:
            DesignError: It is no plan: a key is unknown or missing, a value is not of its type, or
                it asks for what cannot be.
            CaloforgeError: The detector or a choice of it is impossible.
        """
        what = f"plan {path}"
        plan = checked(DesignPlan, read_yaml(Path(path), what, DesignError), what, DesignError)
        try:
            plan._require()
        except DesignError as error:
            msg = f"{what}: {error}"
            raise DesignError(msg) from error
        return plan

    def _require(self) -> None:
        for key in ("energies", "parameters", "ways"):
            if not getattr(self, key):
                msg = f"{key}: there are none, expected one or more"
                raise DesignError(msg)
        self.bench(None, lambda line: None)
        physics_of(self.geant4.physics)
        self._require_gflash()
        self._require_check()
        for space in self.spaces():
            _require_sampling(space.detector)

    def _require_check(self) -> None:
        """A grid of some points along each parameter, if there is one."""
        if self.check is None:
            return
        if set(self.check.spacing) != set(self.parameters):
            msg = (
                f"check.spacing: is of {', '.join(self.check.spacing) or 'nothing'}, expected one "
                f"for each parameter: {', '.join(self.parameters)}"
            )
            raise DesignError(msg)
        for name, parameter in self.parameters.items():
            width, step = parameter.high - parameter.low, self.check.spacing[name]
            if width / step < _LEAST_POINTS - 1 - 1e-9:
                msg = (
                    f"check.spacing.{name}: is {step:g} mm, too much for {_LEAST_POINTS} points in "
                    f"a range of {width:g} mm: make it smaller"
                )
                raise DesignError(msg)

    def _require_gflash(self) -> None:
        """What GFlash knows, if it is a way."""
        if Way.GFLASH not in self.ways:
            return
        if abs(pdg_of(self.particle)) != ELECTRON:
            msg = (
                f"ways: gflash knows the mean showers of electrons, not of {self.particle}: leave "
                "it out"
            )
            raise DesignError(msg)
        for said, energy in zip(self.energies, self.problem.energies, strict=True):
            if not LEAST_ENERGY <= energy <= LARGEST_ENERGY:
                msg = (
                    f"energies: {said}, but the way gflash is made for "
                    f"{format_energy(LEAST_ENERGY)} to {format_energy(LARGEST_ENERGY)}: leave it "
                    "out, or take others"
                )
                raise DesignError(msg)

    def spaces(self) -> tuple[Space, ...]:
        """A space for each combination of choices."""
        detector = load_detector(self.detector)
        return tuple(spaces(detector, self.parameters, self.choices, self.prices))

    @property
    def problem(self) -> Problem:
        """What is to be least."""
        energies = tuple(parse_energy(energy) for energy in self.energies)
        return Problem(energies, self.objective, self.limits)

    def bench(self, folder: Path | None, tell: Callable[[str], None]) -> Workbench:
        """What measures designs by Geant4."""
        full, problem = self.geant4, self.problem
        return Workbench(
            Geant4Reference(full.physics, full.cut, full.workers),
            problem.energies,
            self.showers,
            pdg_of(self.particle),
            problem.catches,
            self.seed,
            folder,
            tell,
        )


def _require_sampling(detector: Detector) -> None:
    sections_of(detector)  # the tables hold each material
    roles = {slab.role for slab in detector.slabs}
    if detector.inner_radius is not None or not {Role.ABSORBER, Role.ACTIVE} <= roles:
        msg = (
            f"detector '{detector.name}' is no stack of flat absorbers and active slabs, expected "
            "a sampling calorimeter such as ild-ecal-30"
        )
        raise DesignError(msg)


@dataclass(frozen=True)
class Designed:
    """What came out.

    Arguments:
        problem: What was to be least.
        optima: The best design by each way.
        grids: The grid about the optima of each space that a way chose.
    """

    problem: Problem
    optima: tuple[Optimum, ...]
    grids: tuple[Grid, ...]

    def grid_of(self, optimum: Optimum) -> Grid | None:
        """The grid about an optimum, if there is one."""
        return next((grid for grid in self.grids if grid.space is optimum.space), None)

    def regret(self, optimum: Optimum) -> float | None:
        """By how much more than at its own optimum the grid sees the objective there, in parts."""
        grid = self.grid_of(optimum)
        if grid is None:
            return None
        at, least = (
            float(self.problem.objective(grid.space, grid.response, values))
            for values in (optimum.values, grid.values)
        )
        return at / least - 1

    @property
    def best(self) -> Optimum:
        """The optimum that the grids, or without them the ways themselves, see as the best."""

        def seen(optimum: Optimum) -> float:
            grid = self.grid_of(optimum)
            response = optimum.response if grid is None else grid.response
            return float(self.problem.objective(optimum.space, response, optimum.values))

        return min(self.optima, key=seen)

    def summary(self) -> dict[str, Any]:
        """All of it as plain values, fit for JSON."""
        return {
            "energies_MeV": list(self.problem.energies),
            "optima": [self._optimum(one) for one in self.optima],
            "grids": [self._grid(one) for one in self.grids],
        }

    def _optimum(self, one: Optimum) -> dict[str, Any]:
        return {
            "way": one.way.value,
            "chosen": dict(one.space.chosen),
            "values_mm": _named(one.space, one.values),
            "errors_mm": _named(one.space, one.errors),
            "objective": one.objective,
            "regret": self.regret(one),
            "designs": len(one.spent.points),
            "showers": one.spent.showers,
            "shower_cpu_s": one.spent.seconds,
            "other_cpu_s": one.seconds,
        }

    def _grid(self, one: Grid) -> dict[str, Any]:
        points = [
            {
                "values_mm": _named(one.space, values),
                "spread": measured.spread.tolist(),
                "log_error": measured.error.tolist(),
                "leakage": measured.leakage.tolist(),
            }
            for values, measured in zip(one.spent.points, one.spent.measured, strict=True)
        ]
        return {
            "chosen": dict(one.space.chosen),
            "values_mm": _named(one.space, one.values),
            "errors_mm": _named(one.space, one.errors),
            "chi_squared": one.response.misfit,
            "degrees_of_freedom": one.response.freedom,
            "showers": one.spent.showers,
            "shower_cpu_s": one.spent.seconds,
            "points": points,
        }


def _named(space: Space, values: Tensor) -> dict[str, float]:
    return dict(zip(space.parameters, values.tolist(), strict=True))


def design(
    plan: DesignPlan,
    folder: Path,
    *,
    reference: Reference | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Designed:
    """Carry out a plan.

    Arguments:
        plan: The plan.
        folder: Where full showers are kept, in ``showers``.
        reference: What makes the showers in Geant4's place.
        tell: Given a line before each step.

    Raises:
        DesignError: No design is within the limits, or no number of GFlash fits.
        CaloforgeError: Geant4 or its data are missing, or it cannot make a design.
    """
    problem, bench = plan.problem, plan.bench(folder / _KEPT, tell)
    if reference is not None:
        bench.reference = reference
    made, optima = plan.spaces(), []
    for way in plan.ways:
        bench.tell = lambda line, way=way: tell(f"{way.value}: {line}")  # type: ignore[misc]
        found = [search(way, problem, space, bench, plan.seed) for space in made]
        optima.append(min(found, key=lambda one: one.objective))
    bench.tell = lambda line: tell(f"check: {line}")
    return Designed(problem, tuple(optima), _grids(plan, optima, bench))


def _grids(plan: DesignPlan, optima: list[Optimum], bench: Workbench) -> tuple[Grid, ...]:
    check = plan.check
    if check is None:
        return ()
    chosen = {id(one.space): one.space for one in optima}
    return tuple(
        grid_about(
            [one.values for one in optima if one.space is space],
            plan.problem,
            space,
            bench,
            points=check.points,
            spacing=check.spacing,
            times=check.times,
        )
        for space in chosen.values()
    )
