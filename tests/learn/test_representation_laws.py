"""The laws of representations, over a catalogue of all of them: a new one joins it by one line."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import isabstract
from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge.geometry import RegularGrid
from caloforge.hits import Hits
from caloforge.learn import representations
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import by_generator
from caloforge.learn.representations import (
    BySpecies,
    CellScores,
    FilledLayers,
    Gaussianised,
    HitPattern,
    LayerEnergies,
    LayerNumbers,
    LayerRatios,
    LayerShares,
    Representation,
    SoftRatios,
    StandardisedShape,
    StandardisedSum,
    shower_sums,
)
from caloforge.learn.symmetry import Orbits
from caloforge.particles import ELECTRON
from caloforge.showers import Showers
from tests.models.stages import CYLINDER, showers_of

pytestmark = pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")

PLATE = RegularGrid("plate", (4, 4, 1), (1.0, 1.0, 1.0))
CELLS = CYLINDER.n_cells // CYLINDER.n_layers
ORBIT = Orbits(CYLINDER.symmetries).orbit[CYLINDER.image()].flatten(1)
SCALE = 1 / 0.35

Samples = tuple[Tensor, Condition]


def of_layers(seed: int) -> Samples:
    condition = Condition.to_fit(showers_of(CYLINDER, seed=seed))
    return condition.layer_energies, condition


def of_numbers(seed: int) -> Samples:
    condition = Condition.to_fit(Hits.of(showers_of(CYLINDER, seed=seed)))
    return torch.stack([condition.layer_energies, condition.hit_numbers.double()], 1), condition


def of_cells(seed: int) -> Samples:
    showers = showers_of(CYLINDER, seed=seed)
    return showers.deposits, Condition.to_fit(showers)


def of_cells_by_layer(seed: int) -> Samples:
    deposits, condition = of_cells(seed)
    grid = CYLINDER.image().flatten()
    return deposits[:, grid].reshape(len(deposits), CYLINDER.n_layers, CELLS), condition


def plates(seed: int) -> Showers:
    """Showers in one layer that leave a quarter of their energy."""
    showers = showers_of(PLATE, seed=seed)
    share = showers.deposits / showers.deposits.sum(dim=1, keepdim=True)
    return Showers(0.75 * share * showers.energies[:, None], showers.particles, PLATE)


def of_a_plate(seed: int) -> Samples:
    showers = plates(seed)
    return showers.deposits, Condition.to_fit(showers)


def of_two_species(seed: int) -> Samples:
    """Photons, and electrons half as bright."""
    showers = plates(seed)
    photon = torch.arange(len(showers)) % 3 == 0
    particles = replace(showers.particles, pdg=torch.where(photon, 22, ELECTRON))
    deposits = torch.where(photon[:, None], showers.deposits, showers.deposits / 2)
    return deposits, Condition(particles)


def of_sums(seed: int) -> Samples:
    showers = plates(seed)
    return shower_sums(showers.deposits), Condition.of(showers)


@dataclass(frozen=True)
class Case:
    """A representation, showers for it, and how near they come back: relative, and in MeV."""

    new: Callable[[], Representation[Any]]
    samples: Callable[[int], Samples]
    near: tuple[float, float]
    keeps_layers: bool = False


CATALOGUE = {
    "LayerRatios": Case(lambda: LayerRatios(6, SCALE), of_layers, (1e-3, 0.1)),
    "SoftRatios": Case(lambda: SoftRatios(6, SCALE), of_layers, (1e-3, 0.1)),
    "LayerEnergies": Case(lambda: LayerEnergies(6), of_layers, (1e-3, 0.01)),
    "LayerNumbers": Case(lambda: LayerNumbers(CYLINDER, SCALE), of_numbers, (1e-3, 0.1)),
    "LayerShares": Case(lambda: LayerShares(CYLINDER, 1e-7), of_cells, (1e-3, 1e-3)),
    "CellScores": Case(lambda: CellScores(ORBIT), of_cells_by_layer, (0.02, 0.05), True),
    "HitPattern": Case(lambda: HitPattern(ORBIT), of_cells_by_layer, (1e-2, 1e-2), True),
    "FilledLayers": Case(
        lambda: FilledLayers(torch.ones(6, CELLS, dtype=torch.bool)),
        of_cells_by_layer,
        (0.08, 1e-3),
        True,
    ),
    "Gaussianised": Case(lambda: Gaussianised(PLATE), of_a_plate, (0.02, 0.01)),
    "BySpecies": Case(
        lambda: BySpecies((ELECTRON, 22), lambda: Gaussianised(PLATE)), of_two_species, (0.02, 0.01)
    ),
    "StandardisedShape": Case(lambda: StandardisedShape(16), of_a_plate, (1e-3, 0.1)),
    "StandardisedSum": Case(StandardisedSum, of_sums, (1e-5, 1e-3)),
}

over_all = pytest.mark.parametrize("name", CATALOGUE)


def fitted(name: str, seed: int = 1) -> Representation[Any]:
    return CATALOGUE[name].new().fit(*CATALOGUE[name].samples(seed))


def seen(representation: Representation[Any], samples: Samples, seed: int = 5) -> Any:
    random = torch.Generator().manual_seed(seed)
    return representation.encode(
        *samples, by_generator(representation.noise(), len(samples[0]), random)
    )


def tensors(z: Any) -> list[Tensor]:
    return [z.hit, z.scores, z.numbers] if isinstance(z, representations.Hits) else [z]


def state(representation: Representation[Any]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in representation.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_catalogue_is_complete() -> None:
    public = [getattr(representations, name) for name in representations.__all__]
    kinds = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Representation)}
    assert {kind.__name__ for kind in kinds if not isabstract(kind)} == set(CATALOGUE)


@over_all
def test_decoding_undoes_encoding(name: str) -> None:
    """Showers that were not fitted come back, layers keep their energy."""
    case, representation = CATALOGUE[name], fitted(name)
    x, condition = case.samples(2)
    back = representation.decode(seen(representation, (x, condition)), condition).to(x)
    relative, absolute = case.near
    near = ((back - x).abs() <= relative * x + absolute).double().mean()
    assert near > 0.99
    torch.testing.assert_close(back.sum(), x.sum(), rtol=relative, atol=0)
    if case.keeps_layers:
        torch.testing.assert_close(
            back.double().sum(dim=2), condition.layer_energies.double(), rtol=1e-5, atol=1e-5
        )


@over_all
def test_fitting_sees_the_training_showers_and_nothing_else(name: str) -> None:
    """Fitted to others it differs; what is encoded and decoded later changes nothing."""
    representation = fitted(name)
    before = state(representation)
    assert same(before, state(fitted(name)))
    assert not same(before, state(fitted(name, seed=2)))
    held_out = CATALOGUE[name].samples(3)
    representation.decode(seen(representation, held_out), held_out[1])
    assert same(before, state(representation))


@over_all
def test_a_second_fit_forgets_the_first(name: str) -> None:
    representation = fitted(name, seed=2).fit(*CATALOGUE[name].samples(1))
    assert same(state(representation), state(fitted(name)))


@over_all
def test_the_state_is_all_there_is(name: str) -> None:
    """A new one with the state of a fitted one does the same to the last bit."""
    representation, copy = fitted(name), CATALOGUE[name].new()
    samples = CATALOGUE[name].samples(2)
    fresh = [value.clone() for value in tensors(seen(copy, samples))]
    copy.load_state_dict(representation.state_dict())
    there, again = seen(representation, samples), seen(copy, samples)
    pairs = list(zip(tensors(there), tensors(again), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(tensors(there), fresh, strict=True))
    assert torch.equal(representation.decode(there, samples[1]), copy.decode(again, samples[1]))


@over_all
def test_inputs_stay_untouched(name: str) -> None:
    samples = CATALOGUE[name].samples(1)
    kept = samples[0].clone()
    representation = CATALOGUE[name].new().fit(*samples)
    z = seen(representation, samples)
    before = [value.clone() for value in tensors(z)]
    representation.decode(z, samples[1])
    assert torch.equal(samples[0], kept)
    assert all(torch.equal(a, b) for a, b in zip(tensors(z), before, strict=True))


@over_all
def test_global_random_numbers_are_not_touched(name: str) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    representation = fitted(name)
    seen(representation, CATALOGUE[name].samples(2))
    assert torch.equal(torch.random.get_rng_state(), before)
