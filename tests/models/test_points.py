"""Surrogates of points: sparse showers in, sparse showers out, with the hits and the energies that
the first stage asks for.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caloforge import streams
from caloforge.errors import ModelError, PausedError
from caloforge.geometry import Calorimeter
from caloforge.hits import Hits, HitSource
from caloforge.io import open_showers
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition
from caloforge.learn.noise import by_address
from caloforge.models import FullShowers, Surrogate, load, train
from caloforge.models.point_stage import PointStage, tracks
from caloforge.models.read_out import Candidates, Wanted, read_out, settled
from caloforge.models.recipes import recipe_of as recipe_from_card
from caloforge.observables import layer_energies
from caloforge.particles import Particles
from caloforge.production import produce
from tests.catalogue import CALORIMETERS as CATALOGUE
from tests.catalogue import name_of
from tests.models.stages import (
    CLOUDS,
    CYLINDER,
    ENERGY,
    GRID,
    NUMBERS,
    VISION,
    recipe_of,
    showers_of,
)

IRREGULAR = next(one for one in CATALOGUE if one.name == "silicon-and-tiles")
CASES = [("layered", CYLINDER), ("free", GRID), ("attending", GRID), ("attending", IRREGULAR)]
over_clouds = pytest.mark.parametrize("name", CLOUDS)

Trained = tuple[Path, Surrogate]


def particles(n: int) -> Particles:
    return Particles(torch.linspace(1e3, 9e4, n))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1].name}")
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    name, calorimeter = request.param
    out = tmp_path_factory.mktemp("clouds") / "model"
    data = FullShowers(Hits.of(showers_of(calorimeter)))
    return out, train(recipe_of(CLOUDS[name], NUMBERS), out, data, description="made up")


def fitted(name: str, calorimeter: Calorimeter = CYLINDER) -> tuple[PointStage, Hits]:
    torch.manual_seed(0)
    stage, hits = CLOUDS[name].build(calorimeter), Hits.of(showers_of(calorimeter))
    stage.prepare(hits)
    return stage, hits


def candidates_at(places: torch.Tensor, wanted: Wanted, random: torch.Generator) -> Candidates:
    """Candidates at places in the layers of GRID, of energies and choices at random."""
    cells = GRID.cell_at(wanted.group_of_point % 6, *places.unbind(dim=1))
    draws = torch.rand(2, len(cells), generator=random)
    return Candidates(cells, draws[0].double(), draws[1])


def test_showers_are_sparse_and_none_is_dense_on_the_way(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hits, "to_showers", lambda _: pytest.fail("dense showers were made"))
    made = trained[1].simulate(particles(40), seed=3)
    assert isinstance(made, Hits)
    assert made.calorimeter == trained[1].calorimeter
    assert torch.equal(made.energies, particles(40).energies)
    assert len(trained[1].simulate(particles(2)[:0], seed=0)) == 0


@pytest.mark.parametrize("size", [1, 7, 19])
def test_a_shower_does_not_depend_on_its_batch(trained: Trained, size: int) -> None:
    whole = trained[1].simulate(particles(38), seed=3)
    for first in range(0, 38, size):
        some = particles(38)[first : first + size]
        part = trained[1].simulate(some, seed=3, first_index=first)
        expected = whole.sparse(slice(first, first + size))
        assert torch.equal(part.cells, expected.cells)
        assert torch.equal(part.hit_energies, expected.hit_energies)


def test_read_again_it_gives_the_same_bits(trained: Trained) -> None:
    out, model = trained
    made, again = (one.simulate(particles(20), seed=4) for one in (model, load(out)))
    assert torch.equal(made.cells, again.cells)
    assert torch.equal(made.hit_energies, again.hit_energies)
    other = model.simulate(particles(20), seed=5)
    assert made.n_hits != other.n_hits or not torch.equal(made.cells, other.cells)


def test_its_showers_are_written_as_hits(trained: Trained, tmp_path: Path) -> None:
    produce(particles(3), trained[1], tmp_path / "made.h5", seed=3)
    kept, made = open_showers(tmp_path / "made.h5"), trained[1].simulate(particles(3), seed=3)
    assert isinstance(kept, HitSource)
    assert torch.equal(kept.sparse(slice(3)).cells, made.cells)


def test_a_training_pauses_while_points_are_calibrated(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed, it ends in the same weights."""
    asked = []

    def finish(self: PointStage, showers: Hits, pause: training.Pause) -> None:
        asked.append(True)
        original(self, showers, pause)

    original = PointStage.finish
    monkeypatch.setattr(PointStage, "finish", finish)
    model = trained[1]
    recipe, data = recipe_from_card(model.card), FullShowers(Hits.of(showers_of(model.calorimeter)))
    execution = training.Execution(stop=lambda: bool(asked))
    with pytest.raises(PausedError, match="after all steps"):
        train(recipe, tmp_path / "model", data, description="made up", execution=execution)
    assert asked
    train(recipe, tmp_path / "model", data, description="made up", resume=True)
    first, other = (out / "weights.safetensors" for out in (trained[0], tmp_path / "model"))
    assert first.read_bytes() == other.read_bytes()


def test_dense_and_sparse_training_showers_teach_the_same(tmp_path: Path) -> None:
    showers = showers_of(CYLINDER)
    for out, full in (("dense", showers), ("hits", Hits.of(showers))):
        train(
            recipe_of(CLOUDS["layered"], NUMBERS), tmp_path / out, FullShowers(full), description=""
        )
    dense, sparse = (
        (tmp_path / out / "weights.safetensors").read_bytes() for out in ("dense", "hits")
    )
    assert dense == sparse


@over_clouds
def test_layers_have_the_hits_and_the_energies_that_they_shall_have(name: str) -> None:
    stage, hits = fitted(name)
    condition = Condition.counted(hits)
    keys = streams.keys(1, torch.arange(len(hits)), 65)
    with torch.no_grad():
        made = stage.showers(condition, keys, len(hits))
    assert isinstance(made, Hits)
    assert torch.equal(made.numbers, condition.hit_numbers)
    torch.testing.assert_close(layer_energies(made), layer_energies(hits), rtol=1e-5, atol=1e-5)
    assert made.hit_energies.min() >= 0.999 * float(stage.threshold)
    assert made.n_hits == made.merged().n_hits


def test_a_flow_that_ends_well_gives_as_many_hits_as_asked_for() -> None:
    """Points anywhere in the layer suffice where there are many of them."""
    calorimeter, n = GRID, torch.tensor([[8, 3, 0, 1, 5, 2]])
    energies = n.double() * 2
    condition = Condition(Particles(torch.tensor([1e3])), energies, numbers=n)
    wanted = Wanted(condition, 40, torch.tensor(0.5))
    random = torch.Generator().manual_seed(1)
    points = len(wanted.group_of_point)
    made = candidates_at(4 * torch.rand(points, 2, generator=random) - 2, wanted, random)
    hits = read_out(made, wanted, calorimeter)
    assert torch.equal(hits.numbers, n)
    torch.testing.assert_close(layer_energies(hits), energies, rtol=1e-6, atol=0)


@pytest.mark.parametrize("calorimeter", CATALOGUE, ids=name_of)
def test_points_without_a_cell_of_their_own_move_to_the_nearest_free_one(
    calorimeter: Calorimeter,
) -> None:
    """All points of a layer at one place: the cells nearest to it are hit."""
    layers = calorimeter.n_layers
    numbers = calorimeter.layer_of_cell.bincount(minlength=layers).clamp_max(5)[None]
    condition = Condition(Particles(torch.ones(1)), numbers.double(), numbers=numbers)
    wanted = Wanted(condition, 1, torch.tensor(0.1))
    layer = wanted.group_of_point
    target = calorimeter.transverse.mean(dim=0) + torch.tensor([0.13, 0.07], dtype=torch.float64)
    places = target.expand(len(layer), 2)
    cells = settled(calorimeter.cell_at(layer, *places.unbind(1)), places, wanted, calorimeter)
    apart = (calorimeter.transverse - target).norm(dim=1)
    for one in range(layers):
        own = cells[layer == one]
        assert (calorimeter.layer_of_cell[own] == one).all()
        assert len(own.unique()) == numbers[0, one]
        least = apart[calorimeter.layer_of_cell == one].sort().values[: len(own)]
        torch.testing.assert_close(apart[own].sort().values[:-1], least[: len(own) - 1])


def test_points_in_cells_of_their_own_stay_there() -> None:
    numbers = torch.tensor([[4, 0, 3, 0, 0, 1], [0, 0, 0, 0, 0, 0]])
    wanted = Wanted(
        Condition(Particles(torch.ones(2)), None, numbers=numbers), 2, torch.tensor(0.1)
    )
    layer = wanted.group_of_point % 6
    random = torch.Generator().manual_seed(4)
    places = 4 * torch.rand(len(layer), 2, generator=random).double() - 2
    cells = GRID.cell_at(layer, *places.unbind(1))
    assert torch.equal(settled(cells, places, wanted, GRID), cells)
    crowded = torch.zeros_like(places)
    few = settled(GRID.cell_at(layer, *crowded.unbind(1)), crowded, wanted, GRID)
    assert [len(few[layer == k].unique()) for k in (0, 2, 5)] == [4, 3, 1]


def test_candidates_make_a_certain_hit_certain() -> None:
    """A cell with half of all points of a layer of two hits: with one candidate for each it is hit
    in three of four showers, with many in nearly all.
    """
    showers = 400
    numbers = torch.zeros(showers, 6, dtype=torch.int64)
    numbers[:, 2] = 2
    lit = {}
    for candidates in (1, 16):
        condition = Condition(
            Particles(torch.full((showers,), 1e3)), numbers.double() * 3, numbers=numbers
        )
        random = torch.Generator().manual_seed(2)
        wanted = Wanted(condition, candidates, torch.tensor(0.1))
        n = len(wanted.group_of_point)
        core = torch.rand(n, generator=random) < 0.5
        places = torch.stack([4 * torch.rand(n, generator=random) - 2, torch.ones(n)], dim=1)
        places = torch.where(core[:, None], torch.tensor([[0.5, -1.0]]), places)
        hits = read_out(candidates_at(places, wanted, random), wanted, GRID)
        cell = int(GRID.cell_at(torch.tensor([2]), torch.tensor([0.5]), torch.tensor([-1.0])))
        lit[candidates] = int((hits.cells == cell).sum()) / showers
    assert lit[1] == pytest.approx(0.75, abs=0.07)
    assert lit[16] > 0.9


@over_clouds
def test_the_loss_is_a_function_of_hits_and_random_numbers(name: str) -> None:
    stage, hits = fitted(name)
    first, again, other = (stage.loss(hits, training.generator(1, 2, step)) for step in (3, 3, 4))
    assert first == again != other
    first.backward()
    assert all(parameter.grad is not None for parameter in stage.network.parameters())


def test_numbers_of_hits_are_possible() -> None:
    """At least one where there is energy, at most as many as cells and as the energy allows."""
    torch.manual_seed(0)
    stage, hits = NUMBERS.build(CYLINDER), Hits.of(showers_of(CYLINDER))
    stage.prepare(hits)
    keys = streams.keys(1, torch.arange(len(hits)), 64)
    with torch.no_grad():
        made = stage.given(Condition(hits.particles), by_address(stage.noise(), keys))
    numbers, energies = made.hit_numbers, made.layer_energies
    assert torch.equal(numbers > 0, energies > 0)
    assert (numbers <= CYLINDER.n_cells // 6).all()
    assert (numbers * float(stage.layers.threshold) <= energies).all()


def test_numbers_that_are_not_known_are_asked_for(tmp_path: Path) -> None:
    data = FullShowers(showers_of(CYLINDER))
    model = train(recipe_of(CLOUDS["layered"], ENERGY), tmp_path / "m", data, description="")
    with pytest.raises(ModelError, match=r"no numbers of hits: .* 'layer-numbers'"):
        model.simulate(particles(3), seed=1)


def test_any_shape_goes_with_numbers_of_hits(tmp_path: Path) -> None:
    data = FullShowers(Hits.of(showers_of(CYLINDER)))
    model = train(recipe_of(VISION, NUMBERS), tmp_path / "m", data, description="")
    assert not isinstance(model.simulate(particles(3), seed=1), Hits)


def test_showers_of_a_species_learn_a_beam(tmp_path: Path) -> None:
    hits = Hits.of(showers_of(CYLINDER))
    some = replace(
        hits.particles,
        theta=torch.rand(len(hits)) * 0.3,
        phi=torch.rand(len(hits)) * 6 - 3,
    )
    recipe = replace(recipe_of(CLOUDS["free"], NUMBERS), beam=Beam(direction=True))
    data = FullShowers(replace(hits, particles=some))
    model = train(recipe, tmp_path / "m", data, description="")
    assert len(model.simulate(some[:3], seed=1)) == 3


def test_what_is_not_a_number_is_an_error(tmp_path: Path) -> None:
    data = FullShowers(showers_of(CYLINDER))
    model = train(recipe_of(CLOUDS["free"], NUMBERS), tmp_path / "m", data, description="")
    for stage in (model.shape, model.energy):
        torch.nn.init.constant_(stage.network.layers[-1].bias, torch.nan)
        with pytest.raises(ModelError, match="not finite, the first of them shower 7"):
            model.simulate(particles(3), seed=1, first_index=7)


@pytest.mark.parametrize("calorimeter", [CYLINDER, IRREGULAR], ids=name_of)
def test_points_are_seen_beside_the_track(calorimeter: Calorimeter) -> None:
    """Where a particle crosses the middle of a layer; nowhere else where cells move with it."""
    theta, phi = torch.tensor([0.0, 0.3]), torch.tensor([1.0, 2.0])
    place = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    crossed = tracks(Particles(torch.ones(2), None, theta, phi, place), calorimeter)
    assert torch.equal(crossed[0].float(), place[:1].expand(calorimeter.n_layers, 2))
    far = crossed[1] - place[1]
    torch.testing.assert_close(far.norm(dim=1), calorimeter.depths * theta[1].double().tan())
    torch.testing.assert_close(torch.atan2(far[:, 1], far[:, 0]), phi[1].double().expand(len(far)))
    moving = replace(CYLINDER, along_particle=True)
    assert not tracks(Particles(torch.ones(2), None, theta, phi, place), moving).any()


def test_a_track_without_azimuth_lies_in_the_plane_of_x() -> None:
    calorimeter = GRID
    theta = torch.tensor([0.2])
    crossed = tracks(Particles(torch.ones(1), theta=theta), calorimeter)
    torch.testing.assert_close(crossed[0, :, 0], calorimeter.depths * theta.double().tan())
    assert not crossed[0, :, 1].any()


def test_cells_are_hit_as_often_as_points_lie_there() -> None:
    """Of a layer's four hits a cell with K candidates has one in each shower, one with K / 4 of
    them in a quarter of all.
    """
    showers, k = 3000, 8
    numbers = torch.zeros(showers, 6, dtype=torch.int64)
    numbers[:, 1] = 4
    condition = Condition(
        Particles(torch.full((showers,), 1e3)), numbers.double() * 2, numbers=numbers
    )
    wanted = Wanted(condition, k, torch.tensor(0.1))
    shares = torch.tensor([8, 8, 6, 4, 2, 2, 1, 1])
    own = (GRID.layer_of_cell == 1).nonzero()[:, 0]
    cells = own.repeat_interleave(shares).repeat(showers)
    random = torch.Generator().manual_seed(3)
    draws = torch.rand(2, len(cells), generator=random)
    hits = read_out(Candidates(cells, draws[0].double(), draws[1]), wanted, GRID)
    frequency = hits.cells.bincount(minlength=GRID.n_cells)[own] / showers
    torch.testing.assert_close(frequency, shares / k, rtol=0, atol=0.04)
    assert (hits.numbers[:, 1] == 4).all()


def still(name: str) -> tuple[PointStage, Hits]:
    """A stage whose flow moves nothing."""
    stage, hits = fitted(name)
    last = stage.network.layers[-1]
    for parameter in (last.weight, last.bias, stage.network.shift.weight):
        torch.nn.init.zeros_(parameter)
    stage.student = None
    return stage, hits


def test_tables_alone_give_the_mean_shower() -> None:
    """Steps of density and energy at the edges of rings are in the tables, not in the network."""
    stage, hits = still("layered")
    keys = streams.keys(1, torch.arange(len(hits)), 65)
    with torch.no_grad():
        made = stage.showers(Condition.counted(hits), keys, len(hits))
    assert isinstance(made, Hits)
    ring = CYLINDER.rings().of_cell
    for one, other in ((hits, made), (hits.above(2.0), made.above(2.0))):
        rings = [some.cells.long().bincount(minlength=CYLINDER.n_cells) for some in (one, other)]
        here, there = (torch.zeros(3).index_add_(0, ring, r.float()) for r in rings)
        torch.testing.assert_close(there / there.sum(), here / here.sum(), rtol=0, atol=0.03)


def test_starts_are_uniform_and_spread_evenly() -> None:
    """Each of twenty points is normal; together they fill a half plane with less than half of
    the variance of independent ones.
    """
    stage, _ = fitted("layered")
    numbers = torch.full((2000, 6), 20)
    u = torch.rand(2000, 6, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    starts = stage._starts(numbers, u).view(-1, 20, 2)
    torch.testing.assert_close(starts.flatten(0, 1).std(dim=0), torch.ones(2), rtol=0, atol=0.02)
    above = (starts[..., 0] > 0).sum(dim=1).float()
    assert float(above.mean()) == pytest.approx(10, abs=0.1)
    assert float(above.var()) < 20 / 4 / 2
