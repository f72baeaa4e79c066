"""Filled layers: deposits come back, empty cells stay empty, layers keep their energy whatever a
network says.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.learn.conditions import Condition
from caloforge.learn.representations import FilledLayers, renormalised
from tests.learn.conditions import known

LAYERS, CELLS, THRESHOLD = 4, 12, 0.01515

over_norms = pytest.mark.parametrize("relative", [False, True], ids=["largest", "relative"])
any_seed = given(seed=st.integers(0, 2**31))
few_examples = settings(max_examples=15)


def made_up(n: int, seed: int = 1) -> Tensor:
    """Showers over four decades of energy, with layers of no cell, of one cell, and of
    all cells.
    """
    random = torch.Generator().manual_seed(seed)
    deposits = THRESHOLD * 10 ** (
        4
        * torch.rand(n, LAYERS, 1, generator=random)
        * torch.rand(n, LAYERS, CELLS, generator=random)
    )
    deposits *= torch.rand(deposits.shape, generator=random) < 1.2 * torch.rand(
        n, LAYERS, 1, generator=random
    )
    deposits[: n // 4, 0] = 0
    deposits[: n // 4, 1, 1:] = 0
    deposits[0, 2, 0] = 2 * 10**4 * THRESHOLD
    deposits[1, 3, 0] = THRESHOLD
    return deposits


def noise(shape: tuple[int, ...], seed: int = 3) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=random), torch.rand(shape, generator=random)


def seen(filled: FilledLayers, deposits: Tensor, normals: Tensor, uniforms: Tensor) -> Tensor:
    return filled.encode(deposits, known(), {"filling": normals, "smear": uniforms})


def back_from(filled: FilledLayers, values: Tensor, energies: Tensor) -> Tensor:
    return filled.decode(values, known(layers=energies))


def to_fit(deposits: Tensor) -> Condition:
    lit = deposits[deposits > 0]
    return known(threshold=float(lit.min()) if len(lit) else 1e-9)


def fitted(relative: bool = False, standardised: bool = True) -> FilledLayers:
    module = FilledLayers(
        torch.ones(LAYERS, CELLS, dtype=torch.bool), relative=relative, standardised=standardised
    )
    return module.fit(made_up(2000), to_fit(made_up(2000)))


@pytest.fixture(scope="module", params=[False, True], ids=["largest", "relative"])
def filled(request: pytest.FixtureRequest) -> FilledLayers:
    return fitted(request.param)


@few_examples
@given(seed=st.integers(0, 2**31), spread=st.sampled_from([0.0, 1.0, 10.0]))
def test_showers_come_back(filled: FilledLayers, seed: int, spread: float) -> None:
    """Up to the noise; without it to single precision. What is empty stays so, with any fillings.

    Cells within the noise of the threshold are left out: they may fall below it as the layer is
    given its energy back.
    """
    deposits = made_up(30, seed).clamp_max(filled.largest[:, None].float())
    deposits[deposits < 1.2 * THRESHOLD] = 0
    normals, uniforms = noise(deposits.shape, seed)
    for u, tolerance in ((uniforms, filled.width), (torch.full_like(uniforms, 0.5), 1e-5)):
        back = back_from(
            filled, seen(filled, deposits, spread * normals, u), filled.energies(deposits)
        )
        torch.testing.assert_close(back, deposits, rtol=tolerance, atol=0)
        assert torch.equal(back == 0, deposits == 0)


def test_the_least_deposit_comes_back(filled: FilledLayers) -> None:
    """Whatever its noise, where it need not make room for others."""
    deposits = torch.zeros(1, LAYERS, CELLS)
    deposits[:, :, 3] = THRESHOLD
    for u in (0.0, 0.5, 1.0):
        values = seen(
            filled, deposits, torch.full(deposits.shape, 9.0), torch.full(deposits.shape, u)
        )
        torch.testing.assert_close(
            back_from(filled, values, filled.energies(deposits)), deposits, rtol=1e-6, atol=0
        )


@few_examples
@given(
    seed=st.integers(0, 2**31), spread=st.sampled_from([0.0, 0.3, 3.0, 1e4]), double=st.booleans()
)
def test_any_numbers_keep_the_energy_of_each_layer(
    filled: FilledLayers, seed: int, spread: float, double: bool
) -> None:
    dtype, tolerance = (torch.float64, 1e-12) if double else (torch.float32, 1e-5)
    random = torch.Generator().manual_seed(seed)
    values = spread * torch.randn(50, LAYERS, CELLS, generator=random, dtype=dtype)
    energies = THRESHOLD * 10 ** (
        8 * torch.rand(50, LAYERS, generator=random, dtype=torch.float64) - 2
    )
    energies[0] = 0
    deposits = back_from(filled, values, energies)
    lit = energies >= filled.threshold
    assert deposits.dtype == dtype
    torch.testing.assert_close(
        deposits.double().sum(2), torch.where(lit, energies, 0.0), rtol=tolerance, atol=0
    )
    assert (deposits[deposits != 0] >= filled.threshold * (1 - 1e-6)).all()
    assert (deposits.amax(dim=2) > 0).equal(lit)


@over_norms
def test_numbers_are_standardised_and_bounded(relative: bool) -> None:
    module, deposits = fitted(relative), made_up(2000)
    values = seen(module, deposits, *noise(deposits.shape))
    assert values.mean().item() == pytest.approx(0, abs=0.02)
    assert values.std().item() == pytest.approx(1, abs=0.02)
    plain = seen(fitted(relative, standardised=False), deposits, *noise(deposits.shape))
    assert plain.abs().max() <= math.log(99) + 1e-5


def test_numbers_by_hand() -> None:
    """Eq. B.5 with a threshold of 15.15 keV, a fill of 1 keV and a largest deposit of 1 GeV: all as
    published.
    """
    deposits = torch.tensor([1000.0, 0.01515, 0.0, 0.0]).reshape(1, 1, 4)
    normals = torch.tensor([0.0, 0.0, 0.0, 5.0]).reshape(1, 1, 4)
    uniforms = torch.tensor([1.0, 0.5, 0.0, 0.0]).reshape(1, 1, 4)
    module = FilledLayers(torch.ones(1, 4, dtype=torch.bool), standardised=False).fit(
        deposits, to_fit(deposits)
    )
    v = 1 + torch.log10(torch.tensor([1000.001, 0.01565, 0.001, 0.010]) / 1000.001 + 1e-7) / 7
    expected = torch.logit(0.01 + 0.98 * v)
    torch.testing.assert_close(
        seen(module, deposits, normals, uniforms).flatten(), expected, rtol=1e-4, atol=1e-4
    )


@over_norms
def test_some_layers_in_a_row_are_those_of_all(relative: bool) -> None:
    module, deposits = fitted(relative), made_up(40, 9)
    normals, uniforms = noise(deposits.shape)
    values = seen(module, deposits, normals, uniforms)
    some = slice(1, 3)
    part = {"filling": normals[:, some], "smear": uniforms[:, some]}
    assert torch.equal(module.encode_some(deposits[:, some], part, 1), values[:, some])


def test_a_shower_does_not_depend_on_its_batch(filled: FilledLayers) -> None:
    deposits = made_up(64, 4)
    normals, uniforms = noise(deposits.shape)
    values = seen(filled, deposits, normals, uniforms)
    energies = filled.energies(deposits)
    for rows in (slice(0, 16), slice(16, 48)):
        assert torch.equal(
            seen(filled, deposits[rows], normals[rows], uniforms[rows]), values[rows]
        )
        assert torch.equal(
            back_from(filled, values[rows], energies[rows]),
            back_from(filled, values, energies)[rows],
        )


def test_deposits_below_the_least_are_none() -> None:
    module = FilledLayers(torch.ones(LAYERS, CELLS, dtype=torch.bool), least=1.0).fit(
        made_up(200), to_fit(made_up(200))
    )
    deposits = made_up(50, 6)
    bright = torch.where(deposits >= 1, deposits, 0.0)
    assert 1 - 2e-4 < module.threshold < 1.1
    assert torch.equal(
        seen(module, deposits, *noise(deposits.shape)), seen(module, bright, *noise(deposits.shape))
    )
    torch.testing.assert_close(module.energies(deposits), bright.double().sum(2))


def test_saturated_cells_and_cells_beyond_the_largest(filled: FilledLayers) -> None:
    """Numbers stay finite; as all are clamped, only the energy of the layer comes back."""
    deposits = 1e6 * made_up(20, 8)
    values = seen(filled, deposits, *noise(deposits.shape))
    assert values.isfinite().all()
    back = back_from(filled, values, filled.energies(deposits))
    torch.testing.assert_close(back.double().sum(2), filled.energies(deposits), rtol=1e-5, atol=0)


def test_a_layer_that_never_had_energy() -> None:
    deposits = made_up(100)
    deposits[:, 2] = 0
    for relative in (False, True):
        module = FilledLayers(torch.ones(LAYERS, CELLS, dtype=torch.bool), relative=relative).fit(
            deposits, to_fit(deposits)
        )
        values = seen(module, deposits, *noise(deposits.shape))
        assert values.isfinite().all()
        assert (back_from(module, values, module.energies(deposits))[:, 2] == 0).all()


def test_showers_without_deposits_cannot_be_fitted() -> None:
    with pytest.raises(
        ShowerValueError, match="none of the 5 training showers has a deposit of at least 1e-09 MeV"
    ):
        FilledLayers(torch.ones(LAYERS, CELLS, dtype=torch.bool), least=1e-9).fit(
            torch.zeros(5, LAYERS, CELLS), known(threshold=1e-9)
        )


def kept_by_trying(deposits: list[float], energy: float, threshold: float) -> list[float]:
    """The law of `renormalised` for one layer, by trying how many of the brightest cells can be
    kept, from all down.
    """
    if energy < threshold:
        return [0.0] * len(deposits)
    order = sorted(range(len(deposits)), key=lambda cell: -deposits[cell])
    for n in range(len(deposits), 1, -1):
        kept = order[:n]
        total = sum(deposits[cell] for cell in kept)
        if all(
            deposits[cell] >= max(threshold, 1e-300)
            and deposits[cell] * energy >= threshold * total
            for cell in kept
        ):
            return [
                deposits[cell] * energy / total if cell in kept else 0.0
                for cell in range(len(deposits))
            ]
    return [energy if cell == order[0] else 0.0 for cell in range(len(deposits))]


@settings(max_examples=200)
@given(
    deposits=st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 10)), min_size=1, max_size=8),
    energy=st.floats(0, 50),
    threshold=st.floats(0, 2),
)
def test_renormalised_keeps_the_cells_that_it_says(
    deposits: list[float], energy: float, threshold: float
) -> None:
    x = torch.tensor(deposits, dtype=torch.float64)
    found = renormalised(x[None, None], torch.tensor([[energy]], dtype=torch.float64), threshold)[
        0, 0
    ]
    expected = torch.tensor(kept_by_trying(deposits, energy, threshold), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-300)


@few_examples
@any_seed
def test_renormalised_leaves_alone_what_is_right(seed: int) -> None:
    deposits = made_up(20, seed)
    back = renormalised(deposits, deposits.double().sum(dim=2), 0.99 * THRESHOLD)
    torch.testing.assert_close(back, deposits, rtol=1e-6, atol=0)
