"""The map of the spectrum: increasing, the identity where nothing is to do, and it undoes a
distortion.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.learn.representations import NODES, SpectrumMap

THRESHOLD = 0.015


def made_up(n: int, seed: int = 1) -> Tensor:
    """Showers of three layers of 40 cells, a third of them hit."""
    random = torch.Generator().manual_seed(seed)
    shape = (n, 3, 40)
    deposits = (
        THRESHOLD
        * (
            1.5 * torch.randn(shape, generator=random).abs()
            + 0.5 * torch.rand(shape, generator=random)
        ).exp()
    )
    return torch.where(torch.rand(shape, generator=random) < 1 / 3, deposits, 0.0)


def distorted(deposits: Tensor, factor: float, power: float) -> Tensor:
    """The map x -> factor (x / threshold)^power threshold, cut at the threshold."""
    bent = factor * THRESHOLD * (deposits / THRESHOLD) ** power
    return torch.where((deposits > 0) & (bent >= THRESHOLD), bent, 0.0)


@pytest.fixture(scope="module")
def bent() -> SpectrumMap:
    return SpectrumMap().match(distorted(made_up(1000), 1.2, 0.8), made_up(1000, 2))


def test_it_is_the_identity_until_matched() -> None:
    deposits = made_up(20)
    spectrum = SpectrumMap()
    assert torch.equal(spectrum(deposits), deposits)
    torch.testing.assert_close(spectrum.corrected(deposits), deposits, rtol=1e-6, atol=0)


def test_the_same_spectrum_is_left_alone() -> None:
    """To its bits up to rounding if it is the same sample, to the chance of the samples if not."""
    deposits = made_up(2000)
    torch.testing.assert_close(
        SpectrumMap().match(deposits, deposits)(deposits), deposits, rtol=1e-5, atol=0
    )
    change = (
        SpectrumMap().match(made_up(2000, 2), deposits)(deposits)[deposits > 0]
        / deposits[deposits > 0]
    )
    assert change.log().abs().quantile(0.99) < 0.05
    assert change.log().square().mean().sqrt() < 0.02


@pytest.mark.parametrize(("factor", "power"), [(1.0, 1.3), (1.1, 1.0), (1.5, 0.7)])
def test_a_distortion_is_undone(factor: float, power: float) -> None:
    """Made up of other showers than those it is judged by. Only hits that the distortion leaves
    above the threshold come back.
    """
    generated, truth = distorted(made_up(3000, 3), factor, power), made_up(3000, 4)
    mapped = SpectrumMap().match(generated, truth)(distorted(truth, factor, power))
    levels = torch.linspace(0.02, 0.99, 20)
    torch.testing.assert_close(
        mapped[mapped > 0].quantile(levels), truth[truth > 0].quantile(levels), rtol=0.04, atol=0
    )
    hit = mapped > 0
    assert (mapped[hit] / truth[hit]).log().abs().quantile(0.95) < 0.05


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**31),
    factor=st.floats(1, 3),
    power=st.floats(0.5, 2),
    n=st.sampled_from([20, 200]),
    nodes=st.sampled_from([1, 4, NODES]),
)
def test_it_is_increasing_and_keeps_to_the_threshold(
    seed: int, factor: float, power: float, n: int, nodes: int
) -> None:
    spectrum = SpectrumMap(nodes).match(
        distorted(made_up(n, seed), factor, power), made_up(n, seed + 1)
    )
    ends = (spectrum.threshold / 2).log10(), (spectrum.threshold * 1e6).log10()
    grid = torch.logspace(float(ends[0]), float(ends[1]), 5000, dtype=torch.float64)
    mapped = spectrum(grid)
    assert mapped.isfinite().all()
    assert (mapped.diff() >= -1e-12 * mapped[1:]).all()
    below = grid < spectrum.threshold
    assert torch.equal(mapped[below], grid[below])
    assert (mapped[~below] >= spectrum.threshold * (1 - 1e-12)).all()


def test_beyond_the_last_bin_the_factor_stays(bent: SpectrumMap) -> None:
    far = torch.tensor([1e3, 1e4, 1e6], dtype=torch.float64)
    factors = bent(far) / far
    torch.testing.assert_close(factors, factors[:1].expand(3), rtol=1e-9, atol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_layers_keep_their_energy(bent: SpectrumMap, dtype: torch.dtype, tolerance: float) -> None:
    deposits = distorted(made_up(100, 5), 1.2, 0.8).to(dtype)
    deposits[0] = 0
    deposits[1, :, 1:] = 0
    back = bent.corrected(deposits)
    energies = deposits.double().sum(2)
    expected = torch.where(energies >= bent.threshold, energies, 0.0)
    torch.testing.assert_close(back.double().sum(2), expected, rtol=tolerance, atol=0)
    assert (back[back != 0] >= bent.threshold * (1 - 1e-6)).all()


def test_a_shower_does_not_depend_on_its_batch(bent: SpectrumMap) -> None:
    deposits = made_up(64, 6)
    assert torch.equal(bent.corrected(deposits)[16:32], bent.corrected(deposits[16:32]))


def test_nothing_changes_its_input_and_only_fit_the_state() -> None:
    generated, training = made_up(200, 7), made_up(200, 8)
    kept = generated.clone(), training.clone()
    spectrum = SpectrumMap().match(generated, training)
    state = {name: value.clone() for name, value in spectrum.state_dict().items()}
    spectrum.corrected(generated)
    assert torch.equal(generated, kept[0])
    assert torch.equal(training, kept[1])
    assert all(torch.equal(value, state[name]) for name, value in spectrum.state_dict().items())


def test_the_state_is_all_there_is(bent: SpectrumMap) -> None:
    copy = SpectrumMap()
    copy.load_state_dict(bent.state_dict())
    assert torch.equal(copy.corrected(made_up(50)), bent.corrected(made_up(50)))


def test_a_second_match_forgets_the_first() -> None:
    fresh = SpectrumMap().match(made_up(100, 1), made_up(100, 2))
    again = (
        SpectrumMap()
        .match(distorted(made_up(1000), 1.2, 0.8), made_up(1000))
        .match(made_up(100, 1), made_up(100, 2))
    )
    for value, expected in zip(
        again.state_dict().values(), fresh.state_dict().values(), strict=True
    ):
        assert torch.equal(value, expected)


@pytest.mark.parametrize("generated", [torch.zeros(1, 3, 40), torch.full((1, 3, 1), THRESHOLD)])
def test_too_few_deposits_are_an_error(generated: Tensor) -> None:
    with pytest.raises(ShowerValueError, match=f"too few for a map of {NODES} nodes"):
        SpectrumMap().match(generated, made_up(100))
    with pytest.raises(ShowerValueError, match="0 training deposits"):
        SpectrumMap().match(made_up(100), torch.zeros(5, 3, 40))


def test_deposits_that_lie_on_the_threshold() -> None:
    """As what was renormalised may: the map begins there all the same."""
    training = made_up(200).double()
    flat = SpectrumMap().match(training, training).threshold.expand(200, 3, 1)
    assert torch.equal(SpectrumMap().match(flat, training)(flat), flat)
    generated = torch.cat([training, flat], dim=2)
    mapped = SpectrumMap().match(generated, training)(generated)
    assert mapped.isfinite().all()
    assert ((mapped > 0) == (generated > 0)).all()
