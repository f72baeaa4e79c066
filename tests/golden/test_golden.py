"""The showers of bundled models and simulators are those of the version that wrote the golden
files.
"""

import numpy as np
import pytest
import torch

from tests.golden.runs import FOLDER, RUNS, made_on

pytestmark = pytest.mark.filterwarnings("ignore::caloforge.errors.RepresentationWarning")

SHARE_OF_ENERGY = 1e-3
"""Another processor rounds otherwise: so much of a shower's energy may then lie in other cells."""


@pytest.mark.parametrize("name", RUNS)
def test_the_same_showers_as_before(name: str) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        deposits = RUNS[name]().detach().numpy()
    finally:
        torch.set_num_threads(threads)
    with np.load(FOLDER / f"{name}.npz") as golden:
        expected, here = golden["deposits"], str(golden["made_on"]) == made_on()
    assert deposits.dtype == expected.dtype
    if here:
        np.testing.assert_array_equal(deposits, expected)
    moved = np.abs(deposits.astype(np.float64) - expected).sum(axis=1) / expected.sum(axis=1)
    assert moved.max() < SHARE_OF_ENERGY
