"""Ways to the best design: each finds the known optimum, with an error that says how far off it is;
what cannot be is refused.
"""

import json
from pathlib import Path

import pytest
import torch
import yaml

from caloforge.design import (
    Choice,
    DesignPlan,
    Goal,
    Limits,
    Parameter,
    Prices,
    Problem,
    Space,
    Way,
    Workbench,
    design,
    search,
)
from caloforge.design.design_figure import draw_design
from caloforge.design.measured import read_whole
from caloforge.design.responses import Data, GFlashResponse, Polynomial
from caloforge.design.space import spaces
from caloforge.detector import Role, load_detector
from caloforge.errors import CaloforgeError, DesignError
from tests.design.references import MeanField, truth

ILD = load_detector("ild-ecal-30")
TUNGSTEN = Parameter(Role.ABSORBER, 1.2, 4.2, 3.0)
ONE = Space(ILD, {"tungsten": TUNGSTEN})
TWO = Space(
    ILD,
    {
        "front": Parameter(Role.ABSORBER, 1.0, 4.0, 2.5, (1,)),
        "rear": Parameter(Role.ABSORBER, 1.0, 6.0, 4.0, (2,)),
    },
)
PLAN = {
    "detector": "ild-ecal-30",
    "energies": ["10GeV", "30GeV"],
    "showers": [400, 400],
    "parameters": {"tungsten": {"role": "absorber", "low": 1.2, "high": 4.2, "start": 3.0}},
}


def bench(problem: Problem, showers: int = 400, folder: Path | None = None) -> Workbench:
    counts = (showers,) * len(problem.energies)
    return Workbench(MeanField(), problem.energies, counts, 11, problem.catches, 1, folder)


@pytest.mark.parametrize(
    ("way", "space"),
    [*((way, ONE) for way in Way), (Way.GFLASH, TWO), (Way.LOCAL, TWO)],
    ids=lambda each: getattr(each, "value", None) or f"{len(each.parameters)} parameters",
)
def test_each_way_finds_the_known_optimum(way: Way, space: Space) -> None:
    """Within four of its errors, and hardly worse than the best."""
    problem = Problem((1e4, 3e4))
    found, best = search(way, problem, space, bench(problem), 1), truth(problem, space)
    assert ((found.values - best).abs() < 4 * found.errors + 0.02).all()
    seen = GFlashResponse(space, problem.energies, 1.3)
    reached, least = (float(problem.objective(space, seen, v)) for v in (found.values, best))
    assert least <= reached < 1.03 * least
    assert found.spent.showers == sum(one.showers for one in found.spent.measured) > 0


def test_more_showers_make_the_error_smaller() -> None:
    problem = Problem((1e4,))
    few, many = (search(Way.LOCAL, problem, ONE, bench(problem, n), 1) for n in (100, 3000))
    assert many.errors < few.errors / 2


def test_limits_hold_and_what_no_design_can_meet_is_an_error() -> None:
    problem = Problem((1e4,), limits=Limits(depth=150.0))
    found = search(Way.GFLASH, problem, ONE, bench(problem), 1)
    assert float(ONE.depth(found.values)) == pytest.approx(150.0, rel=1e-3)
    tight = Problem((1e4,), limits=Limits(depth=100.0))
    with pytest.raises(DesignError, match="no design within the limits"):
        search(Way.GFLASH, tight, ONE, bench(tight), 1)


@pytest.mark.parametrize("way", [Way.GFLASH, Way.LOCAL])
def test_a_limit_of_leakage_is_met(way: Way) -> None:
    problem = Problem((1e4,), limits=Limits(leakage=0.004))
    found = search(way, problem, ONE, bench(problem, 1500), 1)
    seen = GFlashResponse(ONE, problem.energies, 1.3)(found.values)[1]
    assert float(seen) == pytest.approx(0.004, rel=0.25)


def test_cost_moves_the_optimum_to_less_matter() -> None:
    prices = Prices({"G4_W": 1.0}, layer=100.0)
    dear = Space(ILD, {"tungsten": TUNGSTEN}, prices)
    values = torch.tensor([2.0], dtype=torch.float64)
    assert float(dear.cost(values)) == pytest.approx(30 * 100 + 30 * 2.0 * 1000)
    problem = Problem((1e4,), Goal(resolution=1.0, cost=1e-5))
    assert truth(problem, dear) < truth(Problem((1e4,)), ONE) - 0.1


def test_a_space_gives_the_detector_and_its_depth() -> None:
    detector = TWO.detector_at([1.5, 3.25])
    assert [each.slabs[0].thickness for each in detector.layers] == [1.5, 3.25]
    assert [each.cells for each in detector.layers] == [each.cells for each in ILD.layers]
    assert float(TWO.depth(torch.tensor([1.5, 3.25]).double())) == pytest.approx(detector.depth)
    whole = read_whole(detector, catches=True)
    assert (whole.calorimeter.n_cells, whole.n_layers) == (31, 31)


def test_choices_multiply_and_each_is_a_space() -> None:
    choices = {
        "absorber": Choice(material=("G4_W", "G4_Pb")),
        "layers": Choice(number=(10, 20), groups=(2,)),
    }
    made = [*spaces(ILD, {"tungsten": TUNGSTEN}, choices, Prices())]
    assert [tuple(one.chosen.values()) for one in made] == [
        ("G4_W", 10),
        ("G4_W", 20),
        ("G4_Pb", 10),
        ("G4_Pb", 20),
    ]
    last = made[-1].detector
    assert {slab.material for slab in last.slabs if slab.role is Role.ABSORBER} == {"G4_Pb"}
    assert (last.n_layers, made[0].detector) == (40, ILD_BY_SLABS)


ILD_BY_SLABS = Choice(material=("G4_W",)).made(ILD, "G4_W")


def test_a_polynomial_is_fitted_exactly_and_its_misfit_is_chi_squared() -> None:
    low, high = torch.zeros(2).double(), torch.ones(2).double()
    random = torch.Generator().manual_seed(1)
    points = torch.rand(400, 2, generator=random, dtype=torch.float64)
    true = Polynomial(low + 0.5, high / 2, 2, torch.randn(6, 2, dtype=torch.float64))
    values = torch.stack([true(point).flatten() for point in points])
    data = Data(points, values, torch.full_like(values, 0.1))
    found = Polynomial.fitted(data, low, high)
    torch.testing.assert_close(found.coefficients, true.coefficients)
    shaken = Polynomial.fitted(data.shaken(random), low, high)
    assert shaken.misfit / shaken.freedom == pytest.approx(1.0, abs=0.2)


def test_showers_are_kept_and_the_result_is_the_same_again(tmp_path: Path) -> None:
    said: list[str] = []
    plan = DesignPlan.read(written(tmp_path, check={"spacing": {"tungsten": 0.3}}, ways=["gflash"]))
    first = design(plan, tmp_path, reference=MeanField(), tell=said.append)
    made = len(said)
    again = design(plan, tmp_path, reference=MeanField(), tell=said.append)
    assert made > 5
    assert len(said) == made
    for one, other in zip(first.optima, again.optima, strict=True):
        torch.testing.assert_close(one.values, other.values, rtol=0, atol=1e-4)
        assert one.spent.showers == other.spent.showers
    assert json.loads(json.dumps(again.summary()))["optima"][0]["way"] == "gflash"
    grid = first.grids[0]
    assert abs(grid.values - truth(plan.problem, ONE)) < 4 * grid.errors
    assert len(grid.spent.points) == 7
    assert all(abs(first.regret(one) or 0.0) < 0.05 for one in first.optima)
    draw_design(first, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize("left", [0, 100])
def test_damaged_showers_are_refused_by_name(left: int, tmp_path: Path) -> None:
    made = bench(Problem((1e4,)), 20, tmp_path)
    made.measure(ILD)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:left])
    with pytest.raises(DesignError, match=f"{kept.name}: damaged .* delete it"):
        made.measure(ILD)


def test_the_best_of_the_choices_is_taken(tmp_path: Path) -> None:
    plan = DesignPlan.read(
        written(tmp_path, choices={"layers": {"number": [15, 20], "groups": [1]}}, ways=["gflash"])
    )
    designed = design(plan, tmp_path, reference=MeanField())
    assert designed.best.space.chosen == {"layers": 20}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **changes}))
    return path


MOVED = PLAN["parameters"]["tungsten"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"way": ["gflash"]}, "unknown key 'way'; did you mean 'ways'"),
        ({"ways": ["gflahs"]}, "ways.0: expected 'gflash', 'local' or 'network'"),
        ({"ways": []}, "ways: there are none"),
        ({"energies": ["10"]}, "10"),
        (
            {"showers": [400]},
            r"showers are \[400\], expected a number of at least 20 for each of 2",
        ),
        ({"showers": [400, 3]}, "at least 20"),
        ({"particle": "gamma"}, "gflash knows the mean showers of electrons, not of gamma"),
        ({"detector": "pbwo4-10x10"}, "has no absorber slab there"),
        ({"parameters": {}}, "parameters: there are none"),
        ({"parameters": {"w": {**MOVED, "low": 5.0}}}, "parameters.w: .*expected low < high"),
        ({"parameters": {"w": {**MOVED, "groups": [3]}}}, "w: group 3, but .* has 2 groups"),
        ({"parameters": {"a": MOVED, "b": MOVED}}, "b: .* of group 1 is moved by 'a' too"),
        ({"choices": {"c": {}}}, "choices.c: expected either number or material"),
        ({"choices": {"c": {"material": ["G4_Wu"]}}}, "G4_Wu"),
        ({"check": {"spacing": {}}}, "check.spacing: is of nothing, expected one for each"),
        ({"check": {"spacing": {"tungsten": 0.3}, "points": 2}}, "check: points is 2"),
        ({"check": {"spacing": {"tungsten": 2.0}}}, "check.spacing.tungsten: is 2 mm, too much"),
        ({"objective": {"resolution": 0}}, "objective: all weights are 0"),
        ({"limits": {"depth": -1}}, "limits.depth: expected a number above 0"),
    ],
)
def test_what_cannot_be_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CaloforgeError, match=message):
        DesignPlan.read(written(tmp_path, **changes))


def test_a_start_that_leaks_says_so() -> None:
    problem = Problem((1e5,))
    thin = Space(ILD, {"tungsten": Parameter(Role.ABSORBER, 0.3, 4.2, 0.3)})
    sure = Workbench(MeanField(0.01), problem.energies, (50,), 11, False, 1)
    with pytest.raises(DesignError, match="leakage alone is as wide"):
        search(Way.GFLASH, problem, thin, sure, 1)
