"""What says that it is differentiable has the gradients of finite differences, in double precision;
what says it in words bears the mark, and each mark has a case here.
"""

import ast
from collections.abc import Callable
from dataclasses import fields, replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from caloforge.design.responses import GFlashResponse, Network, Polynomial
from caloforge.design.space import Parameter, Prices, Space
from caloforge.detector import Role, load_detector
from caloforge.detector.materials import LEAD_TUNGSTATE
from caloforge.gradients import marked
from caloforge.learn.networks import MaskedFlow
from caloforge.learn.processes import NormalizingFlow, Variational
from caloforge.learn.processes.bespoke import (
    BespokeSolver,
    global_truncation,
    gram,
    local_truncation,
)
from caloforge.learn.processes.flow import Linear
from caloforge.learn.processes.solvers import RK4, hermite_weights, trace
from caloforge.particles import Particles
from caloforge.simulators import Homogeneous, Tuning, gflash_of, pbwo4_gflash
from caloforge.simulators.gflash.energy_moments import energy_moments, sections_of
from caloforge.simulators.gflash.longitudinal import expected_energies, increments, walk
from caloforge.simulators.gflash.meanfield import expected_deposits
from caloforge.simulators.gflash.parametrisation import Profile, Radial, profile
from tests import house
from tests.learn.mixtures import MixtureFlow


class Case(NamedTuple):
    """A function of tensors, and a place at which its gradients are compared."""

    function: Callable[..., Tensor | tuple[Tensor, ...]]
    at: tuple[Tensor, ...]


def number(*values: float) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)


ENERGIES = number(3e3, 4e4)
CRYSTALS = Homogeneous(LEAD_TUNGSTATE)
SHOWER = profile(CRYSTALS.constants, CRYSTALS.tuning, ENERGIES[:, None], torch.zeros(2, 2).double())
WALK = walk((5.0,), 0.5, torch.device("cpu"))
SPACE = Space(
    load_detector("ild-ecal-30"),
    {
        "front": Parameter(Role.ABSORBER, 1.0, 5.0, 2.0, (1,)),
        "silicon": Parameter(Role.ACTIVE, 0.2, 1.0, 0.5),
    },
    Prices({"G4_W": 2.0, "G4_Si": 50.0}, layer=300.0),
)
PLACE = number(2.3, 0.45)


def mean_of_gflash() -> Case:
    """In every constant but those of spots, which the mean does not see, and in the response."""
    simulator = replace(pbwo4_gflash(), step=1.0)
    names = [field.name for field in fields(Tuning) if not field.name.startswith("spot")]
    probe = torch.linspace(-1, 1, simulator.calorimeter.n_cells, dtype=torch.float64)

    def function(response: Tensor, *constants: Tensor) -> Tensor:
        tuning = replace(simulator.medium.tuning, **dict(zip(names, constants, strict=True)))
        tuned = replace(simulator, tuning=tuning, response=response)
        return tuned.mean(Particles(ENERGIES), nodes=2) @ probe / 1e3

    start = (number(getattr(simulator.medium.tuning, name)) for name in names)
    return Case(function, (number(0.9), *start))


def deposits() -> Case:
    cells = load_detector("par04-siw").calorimeter
    simulator = gflash_of(load_detector("par04-siw"))
    walked = walk(simulator.depths, 4.0, torch.device("cpu"))
    steps = len(walked.middles)
    probe = torch.linspace(-1, 1, cells.n_cells, dtype=torch.float64)

    def function(energies: Tensor, core: Tensor, tail: Tensor, weight: Tensor) -> Tensor:
        return expected_deposits(cells, walked, energies, Radial(core, tail, weight)) @ probe

    sizes = (10.0, 20.0, 200.0, 0.4)
    return Case(function, tuple(number(size).expand(1, steps).clone() for size in sizes))


def solver() -> tuple[BespokeSolver, tuple[Tensor, ...]]:
    made = BespokeSolver(3).double()
    random = torch.Generator().manual_seed(2)
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    return made, tuple(parameter.detach() for parameter in made.parameters())


def with_parameters(module: nn.Module, function: Callable[[], Tensor]) -> Callable[..., Tensor]:
    """The function as one of the module's parameters."""
    names = [name for name, _ in module.named_parameters()]

    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self) -> Tensor:
            return function()

    called = Called()
    return lambda *values: torch.func.functional_call(
        called, {f"inner.{name}": value for name, value in zip(names, values, strict=True)}, ()
    )


MIXTURE = MixtureFlow(Linear())
POINTS = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)


def bespoke(error: Callable[[BespokeSolver], Tensor]) -> Case:
    made, start = solver()
    return Case(with_parameters(made, lambda: error(made)), start)


def density() -> Case:
    torch.manual_seed(1)
    flow = MaskedFlow(2, 1, blocks=2, hidden=(8,)).double()
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=0.3)
    return Case(
        lambda x, condition: NormalizingFlow().log_likelihood(flow, x, condition),
        (POINTS, POINTS[:, :1].clone()),
    )


def moments() -> Case:
    """In the thickness of each slab of two groups of layers, at two energies."""
    sections = sections_of(load_detector("ild-ecal-30"))

    def function(*thicknesses: Tensor) -> tuple[Tensor, ...]:
        moved = (replace(s, thicknesses=t) for s, t in zip(sections, thicknesses, strict=True))
        return tuple(energy_moments(tuple(moved), ENERGIES, nodes=3))

    return Case(function, tuple(each.thicknesses for each in sections))


REFERENCE = gram(trace(MIXTURE.velocity, POINTS, solver=RK4, steps=8))
ENDS = (POINTS, trace(MIXTURE.velocity, POINTS, solver=RK4, steps=8).states[:, -1])

CASES: dict[str, Callable[[], Case]] = {
    "simulators.gflash.simulator.GFlash.mean": mean_of_gflash,
    "simulators.gflash.longitudinal.increments": lambda: Case(
        increments, (number(1.2, 4.5)[:, None], number(1.2, 4.5)[:, None], number(0, 0.4, 1.1, 2.0))
    ),
    "simulators.gflash.longitudinal.expected_energies": lambda: Case(
        lambda *shower: expected_energies(Profile(*shower), ENERGIES[:, None], WALK.edges, 100.0),
        tuple(SHOWER),
    ),
    "simulators.gflash.meanfield.expected_deposits": deposits,
    "simulators.gflash.energy_moments.energy_moments": moments,
    "learn.processes.solvers.hermite_weights": lambda: Case(
        lambda times: hermite_weights(times, 5), (number(0.1, 0.3, 0.9),)
    ),
    "learn.processes.bespoke.BespokeSolver.rollout": lambda: bespoke(
        lambda made: made.rollout(MIXTURE, POINTS, POINTS)
    ),
    "learn.processes.bespoke.local_truncation": lambda: bespoke(
        lambda made: local_truncation(made, REFERENCE)
    ),
    "learn.processes.bespoke.global_truncation": lambda: bespoke(
        lambda made: global_truncation(made, MIXTURE, ENDS, POINTS)
    ),
    "learn.processes.variational.Variational.latent": lambda: Case(
        lambda mean, spread: Variational(0.0).latent(mean, spread, POINTS[None]),
        (POINTS[None] / 2, POINTS[None] / 3),
    ),
    "learn.processes.normalizing.NormalizingFlow.log_likelihood": density,
    "design.space.Space.depth": lambda: Case(SPACE.depth, (PLACE,)),
    "design.space.Space.cost": lambda: Case(SPACE.cost, (PLACE,)),
    "design.responses.GFlashResponse.__call__": lambda: Case(
        GFlashResponse(SPACE, tuple(ENERGIES.tolist()), 1.1), (PLACE,)
    ),
    "design.responses.Polynomial.__call__": lambda: Case(
        Polynomial(PLACE, number(0.5, 0.2), 3, torch.randn(10, 4, dtype=torch.float64) / 9),
        (PLACE + 0.1,),
    ),
    "design.responses.Network.__call__": lambda: Case(
        Network.fresh(SPACE.low, SPACE.high, 2, torch.Generator().manual_seed(3)), (PLACE,)
    ),
}
"""A case for each mark, by the name of what is marked within the package."""


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    function, at = CASES[name]()
    at = tuple(value.detach().clone().requires_grad_() for value in at)
    assert torch.autograd.gradcheck(function, at, eps=1e-6, atol=1e-6, rtol=1e-4)


def test_each_mark_has_a_case_and_each_case_its_mark() -> None:
    assert {name.removeprefix("caloforge.") for name in marked()} == set(CASES)


def test_what_promises_gradients_bears_the_mark() -> None:
    """By the first paragraph of its docstring, over the whole package."""
    promised, bearing = set[str](), set[str]()
    for path, function, _ in house.functions():
        summary = (ast.get_docstring(function, clean=False) or "").partition("\n\n")[0]
        if "differentiable" in summary and path.name != "gradients.py":
            promised.add(house.where(path, function))
        if any("differentiable" in ast.unparse(mark) for mark in function.decorator_list):
            bearing.add(house.where(path, function))
    assert promised == bearing


def test_a_wrong_gradient_would_be_noticed() -> None:
    def wrong(x: Tensor) -> Tensor:
        return x * x.detach()

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(wrong, (number(1.0, 2.0).requires_grad_(),))
