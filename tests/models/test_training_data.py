"""Training showers larger than the memory: from disk they are the same."""

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from caloforge.errors import TrainingError
from caloforge.io import convert, open_showers
from caloforge.models import FullShowers
from caloforge.models import training_data as data
from caloforge.showers import Showers
from tests.models.stages import CYLINDER, showers_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "showers.h5"
    convert(showers_of(CYLINDER), path)
    return path


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(data, "_IN_MEMORY", 0)
    monkeypatch.setattr(data, "_AT_A_TIME", 7)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def assert_same(one: Showers, other: Showers) -> None:
    assert torch.equal(one.deposits, other.deposits)
    assert torch.equal(one.energies, other.energies)


def test_showers_on_disk_are_those_of_the_file(file: Path, little_memory: Path) -> None:
    read = FullShowers.read(open_showers(file, CYLINDER))
    assert_same(read.full, open_showers(file, CYLINDER)[:])
    assert list(little_memory.iterdir()) == [], "the file goes by itself"


def test_a_split_on_disk_is_that_in_memory(
    file: Path, monkeypatch: pytest.MonkeyPatch, little_memory: Path
) -> None:
    showers = FullShowers.read(open_showers(file, CYLINDER))
    on_disk = showers.split(50, 3)
    monkeypatch.setattr(data, "_IN_MEMORY", 10**9)
    for one, other in zip(on_disk, showers.split(50, 3), strict=True):
        assert_same(one.full, other.full)
    assert list(little_memory.iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_written(
    file: Path, monkeypatch: pytest.MonkeyPatch, little_memory: Path
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000))
    with pytest.raises(
        TrainingError, match=r"training showers need .* GB in .*temporary, .*: set TMPDIR"
    ):
        FullShowers.read(open_showers(file, CYLINDER))
    assert list(little_memory.iterdir()) == []
