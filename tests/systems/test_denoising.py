"""Regression: the published size, what a mean is, and the laws of refiners."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge import zoo
from caloforge.errors import TrainingError
from caloforge.geometry import RegularGrid
from caloforge.learn.networks import DenoisingNetwork
from caloforge.metrics import concordance
from caloforge.models import TrainingShowers, load, load_recipe, train
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.systems.denoising import Denoising

GRID = RegularGrid("image", (4, 4, 2), (10.0, 10.0, 10.0))
TINY = {
    "features": "6",
    "convolutions": "3",
    "epochs": "15",
    "validation": "100",
    "learning_rate": "0.01",
}


def pairs(n: int = 600) -> TrainingShowers:
    """Full showers that know nothing of the fast ones, and have four times as much energy."""
    random = torch.Generator().manual_seed(1)
    fast, full = (1 + torch.rand(n, GRID.n_cells, generator=random) for _ in range(2))
    particles = Particles(torch.full((n,), 1000.0), 11)
    return TrainingShowers(*(Showers(deposits, particles, GRID) for deposits in (4 * full, fast)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Denoising:
    out = tmp_path_factory.mktemp("denoising") / "model"
    made = train(load_recipe("denoising-laptop", TINY), out, pairs(), description="made up")
    assert isinstance(made, Denoising)
    return made


def test_the_published_network_has_its_size() -> None:
    """Nine convolutions of 3 x 3 and 100 features, without bias (arXiv:2202.05320)."""
    network = DenoisingNetwork(1, 100, 9, ring=False)
    assert sum(p.numel() for p in network.parameters()) == 9 * (100 + 7 * 100**2 + 100)
    recipe = load_recipe("denoising")
    assert (recipe.features, recipe.convolutions, recipe.batch_size) == (100, 9, 50)


@pytest.mark.parametrize("ring", [False, True])
def test_the_network_commutes_with_turns_of_a_ring_alone(ring: bool) -> None:
    torch.manual_seed(1)
    network, x = DenoisingNetwork(2, 4, 3, ring=ring), torch.rand(2, 2, 6, 5)
    turned = network(x.roll(1, dims=2))
    assert torch.allclose(turned, network(x).roll(1, dims=2), atol=1e-6) == ring


def test_the_median_of_mostly_empty_cells_is_0(tmp_path: Path) -> None:
    data = pairs()
    lit = torch.rand(600, GRID.n_cells, generator=torch.Generator().manual_seed(2)) < 0.3
    deposits = data.full.deposits * lit
    deposits[:, 0] = 0.01
    sparse = TrainingShowers(replace(data.full, deposits=deposits), data.fast)
    settings = TINY | {"power": "1", "transform": "sqrt"}
    for power, share in (("1", 0.1), ("2", 0.7)):
        out, own = tmp_path / power, settings if power == "1" else TINY
        model = train(load_recipe("denoising-laptop", own), out, sparse, description="made up")
        assert isinstance(model, Denoising)
        refined = model.refine(data.fast, seed=1).deposits
        found = float(refined.mean() / sparse.full.deposits.mean())
        assert (found < share) == (power == "1")


def test_it_returns_the_middle_and_no_fluctuations(model: Denoising) -> None:
    """Of showers that have nothing in common, a regression makes their mean."""
    data = pairs()
    refined = model.refine(data.fast, seed=1).deposits
    full = data.full.deposits
    inner = GRID.image()[:, 1:3, 1:3].flatten()
    assert refined[:, inner].mean() == pytest.approx(float(full.mean()), rel=0.1)
    assert refined[:, inner].std(dim=0).mean() < 0.6 * full.std()


def test_a_refined_shower_depends_on_itself_alone(model: Denoising) -> None:
    fast = pairs().fast[:80]
    whole = model.refine(fast, seed=1)
    parts = [model.refine(fast[k : k + 7], seed=9, first_index=k) for k in range(0, 80, 7)]
    assert torch.equal(torch.cat([part.deposits for part in parts]), whole.deposits)
    assert whole.particles == fast.particles


def test_read_again_it_gives_the_same_bits(model: Denoising) -> None:
    assert model.directory is not None
    again, fast = load(model.directory), pairs().fast[:20]
    assert isinstance(again, Denoising)
    assert torch.equal(again.refine(fast, seed=1).deposits, model.refine(fast, seed=1).deposits)


def test_samples_that_are_no_pairs_are_refused(tmp_path: Path) -> None:
    data = pairs(300)
    energies = torch.linspace(1000, 2000, 300)
    spread = [
        replace(side, particles=Particles(e, 11))
        for side, e in ((data.full, energies), (data.fast, energies.flip(0)))
    ]
    for sides in (spread, [data.full, data.fast[:200]]):
        with pytest.raises(TrainingError, match=r"of different particles.*regression.*--like"):
            train(
                load_recipe("denoising-laptop", TINY),
                tmp_path / "out",
                TrainingShowers(*sides),
                description="",
            )
    assert not (tmp_path / "out").exists()


def test_rings_are_refined(tmp_path: Path) -> None:
    showers = zoo.bundled_showers("par04-geant4")[:120]
    recipe = load_recipe("denoising-laptop", TINY | {"epochs": "0.5", "validation": "20"})
    model = train(recipe, tmp_path / "model", TrainingShowers(showers, showers), description="one")
    assert isinstance(model, Denoising)
    refined = model.refine(showers[:5], seed=1).deposits
    least = showers.deposits[showers.deposits > 0].min()
    assert (refined[refined > 0] >= least * (1 - 1e-6)).all()


def test_concordance_in_closed_form() -> None:
    x = np.random.default_rng(1).normal(size=20_000)
    assert concordance(x, x) == pytest.approx(1.0)
    assert concordance(x, -x) == pytest.approx(-1.0, abs=0.01)
    assert concordance(x, x + 1) == pytest.approx(2 / 3, abs=0.01)
    assert concordance(x, np.full_like(x, x.mean())) == pytest.approx(0.0, abs=1e-12)
    assert concordance(np.ones(3), np.ones(3)) == 0.0
