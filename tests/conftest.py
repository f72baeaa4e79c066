"""What holds for every test: a fixed seed, and torch's global state left as it was found."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "reproducible",
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault of the code
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=50,
)
settings.load_profile("reproducible")


def pytest_configure() -> None:
    """Find Geant4's data in a folder beside the repository, such as ``../data/geant4``, where the
    environment names none.
    """
    for found in sorted(Path(__file__).parents[2].glob("*/geant4/G4EMLOW*")):
        os.environ.setdefault("GEANT4_DATA_DIR", str(found.parent))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, as they share what they made, unless their marks say
    otherwise.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(20230823)
    np.random.seed(20230823)  # noqa: NPY002 (the global generator is what other libraries draw from)
    torch.manual_seed(20230823)


def _global_state() -> dict[str, object]:
    return {
        "default dtype": torch.get_default_dtype(),
        "number of threads": torch.get_num_threads(),
        "gradient mode": torch.is_grad_enabled(),
    }


@pytest.fixture(autouse=True)
def _torch_left_as_found() -> Iterator[None]:
    before = _global_state()
    yield
    after = _global_state()
    torch.set_default_dtype(before["default dtype"])
    torch.set_num_threads(before["number of threads"])
    torch.set_grad_enabled(before["gradient mode"])
    changed = [
        f"{name}: {before[name]} became {after[name]}"
        for name in before
        if before[name] != after[name]
    ]
    if changed:
        pytest.fail(f"the test changed torch's global state: {', '.join(changed)}", pytrace=False)
