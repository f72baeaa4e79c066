"""Mended files: what is set to 0 and left out is counted, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from caloforge.errors import ShowerValueError
from caloforge.geometry import pbwo4_crystals
from caloforge.io import CaloChallengeFile, ShowerFile, SquirelsFile, convert, open_showers
from caloforge.io.mending import MENDED, Mended, Mending
from caloforge.io.sparse import HitFile

N = 2300
ENERGIES = np.linspace(1e4, 9e4, N, dtype=np.float32)
EVERY = Mending(positive=True, threshold=0.5, drop=("empty", "nan"))


def noisy(*, nan: bool = True) -> np.ndarray:
    """Deposits with noise around 0, showers without energy and, on request, some with NaN."""
    rng = np.random.default_rng(1)
    deposits = rng.normal(0.2, 0.3, (N, 100)).astype(np.float32)
    deposits[::10] = -1e-6
    deposits[5, 7] = 100.0
    if nan:
        deposits[1203, 3] = np.nan
    return deposits


def dense(path: Path, deposits: np.ndarray) -> ShowerFile:
    with h5py.File(path, "w") as file:
        file["incident_energies"], file["showers"] = ENERGIES[:, None], deposits
        file["tag"] = np.arange(N, dtype=np.float64)
    return CaloChallengeFile(path, pbwo4_crystals())


def sparse(path: Path, deposits: np.ndarray) -> ShowerFile:
    with h5py.File(path, "w") as file:
        file["incident_energies"], file["hit_energies"] = ENERGIES[:, None], deposits.ravel()
        file["hit_offsets"] = np.arange(N + 1) * 100
        file["hit_cells"] = np.tile(np.arange(100, dtype=np.int32), N)
        file["tag"] = np.arange(N, dtype=np.float64)
    return HitFile(path, pbwo4_crystals())


def crystals(path: Path, deposits: np.ndarray) -> ShowerFile:
    table = np.zeros((N, 201))
    table[:, :100], table[:, 200] = deposits / 1e3, ENERGIES
    np.save(path.with_suffix(".npy"), table)
    return SquirelsFile(path.with_suffix(".npy"))


Make = Callable[[Path, np.ndarray], ShowerFile]
FORMATS = pytest.mark.parametrize("make", [dense, sparse, crystals])


@FORMATS
def test_what_is_no_energy_is_refused_unless_mended(make: Make, tmp_path: Path) -> None:
    file = make(tmp_path / "noisy.h5", noisy())
    with pytest.raises(ShowerValueError, match="negative"):
        file[:10]
    with pytest.raises(ShowerValueError, match="NaN"):
        Mended(file, Mending(positive=True))[:]
    with pytest.raises(ShowerValueError, match="negative"):
        Mended(file, Mending(threshold=0.5, drop=("nan",)))[:]


@FORMATS
def test_a_mended_file_is_what_numpy_makes_of_it(make: Make, tmp_path: Path) -> None:
    deposits = noisy()
    kept = np.ones(N, bool)
    kept[1203] = False
    cleaned = np.where(deposits < 0.5, 0, deposits)
    kept &= (cleaned != 0).any(axis=1)
    file = Mended(make(tmp_path / "noisy.h5", deposits), EVERY)
    rows = np.flatnonzero(kept)
    assert len(file) == len(rows)
    for span in (slice(None), slice(990, 1010), slice(3, 2000, 7), slice(5, 5)):
        found = file[span]
        np.testing.assert_allclose(found.deposits.numpy(), cleaned[rows[span]], rtol=1e-6)
        np.testing.assert_allclose(found.energies.numpy(), ENERGIES[rows[span]])
        assert found.threshold == 0.5 or len(found) == 0
    np.testing.assert_allclose(file.energies.numpy(), ENERGIES[rows])
    below = int(((deposits > 0) & (deposits < 0.5)).sum())
    empty = N - 1 - len(rows)
    assert file.report == (
        f"{int((deposits < 0).sum()):,} negative deposits set to 0; "
        f"{below:,} deposits below 500 keV set to 0; "
        f"{empty:,} of 2,300 showers without energy left out; "
        "1 of 2,300 showers with a deposit that is NaN left out"
    )


def test_a_copy_keeps_the_columns_of_its_showers_and_says_what_was_done(tmp_path: Path) -> None:
    file = Mended(dense(tmp_path / "noisy.h5", noisy()), EVERY)
    convert(file, tmp_path / "clean.h5", batch_size=400)
    copy = open_showers(tmp_path / "clean.h5")
    assert torch.equal(copy[:].deposits, file[:].deposits)
    assert torch.equal(copy.extra(slice(None))["tag"], file._rows.double())
    assert copy.provenance[MENDED] == file.report
    assert copy[:1].threshold == 0.5
