import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammainc
from torch import Tensor

from caloforge.detector.materials import LEAD_TUNGSTATE
from caloforge.simulators.gflash.longitudinal import expected_energies, increments, steps, walk
from caloforge.simulators.gflash.parametrisation import Homogeneous, Profile, profile

CPU = torch.device("cpu")


def shower(energy: float, z: tuple[float, float] = (0.0, 0.0)) -> tuple[Profile, Tensor]:
    medium = Homogeneous(LEAD_TUNGSTATE)
    energies = torch.tensor([[energy]], dtype=torch.float64)
    return profile(
        medium.constants, medium.tuning, energies, torch.tensor([z], dtype=torch.float64)
    ), energies


@pytest.mark.parametrize("step", [0.02, 0.1, 0.5])
def test_increments_are_differences_of_the_incomplete_gamma_function(step: float) -> None:
    alpha, maximum = np.array([[1.1], [2.3], [4.0], [9.5]]), np.array([[1.0], [3.0], [7.5], [14.0]])
    edges = walk((26.9,), step, CPU).edges
    found = increments(torch.tensor(alpha), torch.tensor(maximum), edges)
    expected = np.diff(gammainc(alpha, (alpha - 1) / maximum * edges.numpy()))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-10 if step <= 0.1 else 1e-8)


@given(
    depths=st.lists(st.floats(0.03, 30), min_size=1, max_size=40),
    step=st.sampled_from([0.1, 0.3, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_segments_divide_steps_and_layers(depths: list[float], step: float) -> None:
    w = walk(tuple(depths), step, CPU)
    lengths = w.edges.diff()
    assert (lengths > 0).all()
    assert lengths.max() <= step * (1 + 1e-9)
    parts = w.end - w.start
    assert (parts > 0).all()
    whole = torch.zeros_like(lengths).index_add_(0, w.step, parts)
    torch.testing.assert_close(whole, torch.ones_like(whole))
    found = torch.zeros(len(depths), dtype=torch.float64).index_add_(
        0, w.layer, parts * lengths[w.step]
    )
    torch.testing.assert_close(found, torch.tensor(depths, dtype=torch.float64))


def test_layers_without_matter_have_no_segments() -> None:
    w = walk((0.4, 1e-27, 0.3, 1e-27), 0.1, CPU)
    assert sorted(set(w.layer.tolist())) == [0, 2]


@pytest.mark.parametrize("energy", [150.0, 2e3, 50e3, 5e6])
@pytest.mark.parametrize("limit", [0.0, 100.0])
def test_deposits_and_leakage_make_the_incident_energy(energy: float, limit: float) -> None:
    (mean, energies), edges = shower(energy), walk((40.0,), 0.1, CPU).edges
    leaked = energy * (
        1 - gammainc(float(mean.alpha), float((mean.alpha - 1) / mean.maximum * edges[-1]))
    )
    expected = energy if leaked < limit else energy - leaked
    assert float(steps(mean, energies, edges, limit).energies.sum()) == pytest.approx(
        expected, rel=1e-10
    )
    assert float(expected_energies(mean, energies, edges, limit).sum()) == pytest.approx(
        expected, rel=1e-10
    )


def test_a_shower_ends_with_the_step_after_the_limit_is_reached() -> None:
    (mean, energies), edges = shower(2e3), walk((40.0,), 0.1, CPU).edges
    found = steps(mean, energies, edges, 100.0)
    last = int(found.energies[0].nonzero().max())
    left = 2e3 - found.energies[0].cumsum(0)
    assert left[last - 2] > 100 >= left[last - 1] > 0
    assert (found.spots[0, : last + 1] >= 1).all()
    assert not found.spots[0, last + 1 :].any()
    assert found.energies[0, last] > found.energies[0, last - 1]


def test_expected_energies_are_continuous_where_the_end_of_the_shower_jumps() -> None:
    edges = walk((40.0,), 0.1, CPU).edges
    grid = torch.linspace(2000, 2100, 2001, dtype=torch.float64)[:, None]
    medium = Homogeneous(LEAD_TUNGSTATE)
    mean = profile(
        medium.constants, medium.tuning, grid, torch.zeros(len(grid), 2, dtype=torch.float64)
    )
    jumps = [
        f.diff(dim=0).abs().max()
        for f in (
            steps(mean, grid, edges, 100.0).energies,
            expected_energies(mean, grid, edges, 100.0),
        )
    ]
    assert jumps[0] > 50
    assert jumps[1] < 1
