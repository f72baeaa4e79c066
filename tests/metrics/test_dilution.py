"""What weights cost, against closed forms."""

import numpy as np
import pytest

from caloforge.metrics import Dilution, overlap


def test_equal_weights_dilute_nothing() -> None:
    dilution = Dilution.of(np.full(50, 3.0))
    assert (dilution.effective, dilution.share, dilution.covered) == (50.0, 1.0, 1.0)
    assert (dilution.faint, dilution.heavy) == (0, 50)


def test_half_of_the_showers_at_weight_0_count_not() -> None:
    dilution = Dilution.of(np.repeat([0.0, 1.0], 20))
    assert (dilution.effective, dilution.mean, dilution.faint) == (20.0, 0.5, 20)
    assert "effective size 20 of 40 (50.00%)" in str(dilution)


@pytest.mark.parametrize("weights", [np.zeros(4), np.zeros(0)])
def test_nothing_has_no_size(weights: np.ndarray) -> None:
    assert Dilution.of(weights).share == 0.0


def test_the_overlap_of_two_normal_distributions() -> None:
    """Of N(0, 1) and N(d, 1) it is 2 Phi(-d / 2)."""
    random, d = np.random.default_rng(1), 1.5
    full, fast = d + random.standard_normal(40_000), random.standard_normal(40_000)
    found = overlap(*(d * x - d**2 / 2 for x in (full, fast)))
    assert found == pytest.approx(0.4533, abs=0.01)
