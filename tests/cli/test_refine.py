"""`caloforge refine`: a shower comes out the same whatever the batch size; energies out of range
are told.
"""

from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch

from caloforge import zoo
from caloforge.io import convert, open_showers
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.cli.samples import Caloforge, random_showers, write


@pytest.fixture
def low_file(tmp_path: Path) -> Path:
    """Ten showers, the fourth of 1 GeV."""
    showers = random_showers(10)
    energies = showers.energies.clone()
    energies[3] = 1000.0
    return write(
        tmp_path / "low.h5", Showers(showers.deposits, Particles(energies), showers.calorimeter)
    )


def deposits(path: Path) -> torch.Tensor:
    return open_showers(path)[:].deposits


def test_refined_showers_keep_their_particles(
    caloforge: Caloforge, model: Path, shower_file: Path, tmp_path: Path
) -> None:
    outcome = caloforge("refine", model, shower_file, tmp_path / "out.h5")
    assert outcome.code == 0, outcome.err
    given, refined = open_showers(shower_file)[:], open_showers(tmp_path / "out.h5")[:]
    assert torch.equal(refined.energies, given.energies)
    assert not torch.equal(refined.deposits, given.deposits)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["model"] == "short"
        assert file.attrs["seed"] == "0"


def test_refined_showers_keep_their_weights(
    caloforge: Caloforge, model: Path, tmp_path: Path
) -> None:
    weights = torch.rand(30)
    source = write(tmp_path / "weighted.h5", replace(random_showers(30), weights=weights))
    assert caloforge("refine", model, source, tmp_path / "out.h5", "--batch-size", 7).code == 0
    found = open_showers(tmp_path / "out.h5").weights
    assert found is not None
    assert torch.equal(found, weights)


@pytest.mark.parametrize("direction", [(), ("--reverse",)])
def test_batch_size_and_threads_do_not_matter(
    caloforge: Caloforge, model: Path, shower_file: Path, tmp_path: Path, direction: tuple[str, ...]
) -> None:
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    assert caloforge("refine", model, shower_file, whole, *direction).code == 0
    assert caloforge("refine", model, shower_file, parts, "--batch-size", 7, *direction).code == 0
    assert torch.equal(deposits(whole), deposits(parts))


def test_seed_and_direction_and_steps_matter(
    caloforge: Caloforge, model: Path, shower_file: Path, tmp_path: Path
) -> None:
    variants = {
        "plain": (),
        "seed": ("--seed", 1),
        "reverse": ("--reverse",),
        "steps": ("--steps", 1),
    }
    for name, words in variants.items():
        assert caloforge("refine", model, shower_file, tmp_path / f"{name}.h5", *words).code == 0
    results = [deposits(tmp_path / f"{name}.h5") for name in variants]
    assert not any(torch.equal(a, b) for i, a in enumerate(results) for b in results[:i])


def test_an_energy_out_of_range_is_a_warning_that_names_the_range(
    caloforge: Caloforge, model: Path, low_file: Path, tmp_path: Path
) -> None:
    outcome = caloforge("refine", model, low_file, tmp_path / "out.h5")
    assert outcome.code == 0
    [line] = [line for line in outcome.err.splitlines() if "range" in line]
    assert line.startswith("caloforge: warning: 1 of 10 incident energies")
    assert "GeV to " in line
    assert (tmp_path / "out.h5").exists()


def test_strict_makes_it_an_error(
    caloforge: Caloforge, model: Path, low_file: Path, tmp_path: Path
) -> None:
    outcome = caloforge("refine", model, low_file, tmp_path / "out.h5", "--strict")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("caloforge: error: 1 of 10 incident energies")
    assert [path.name for path in tmp_path.iterdir()] == ["low.h5"]


def test_a_flood_of_warnings_is_cut_short(
    caloforge: Caloforge, model: Path, tmp_path: Path
) -> None:
    showers = random_showers(10)
    low = write(
        tmp_path / "low.h5",
        Showers(showers.deposits, Particles(showers.energies / 100), showers.calorimeter),
    )
    outcome = caloforge("refine", model, low, tmp_path / "out.h5", "--batch-size", 1)
    lines = [line for line in outcome.err.splitlines() if "range" in line.lower()]
    assert len(lines) == 4
    assert lines[-1] == "caloforge: warning: 7 more of this kind (EnergyRangeWarning)"


def test_an_unknown_model_names_what_there_is(
    caloforge: Caloforge, shower_file: Path, tmp_path: Path
) -> None:
    outcome = caloforge("refine", "no-such-model", shower_file, tmp_path / "out.h5")
    assert outcome.code == 2
    assert "no-such-model" in outcome.err
    assert not (tmp_path / "out.h5").exists()


def test_an_output_may_replace_its_input_if_asked(
    caloforge: Caloforge, model: Path, shower_file: Path
) -> None:
    before = deposits(shower_file)
    assert caloforge("refine", model, shower_file, shower_file).code == 2
    assert torch.equal(deposits(shower_file), before)
    assert caloforge("refine", model, shower_file, shower_file, "--overwrite").code == 0
    assert not torch.equal(deposits(shower_file), before)


def test_weights_that_leave_next_to_nothing_are_refused_unless_asked_for(
    caloforge: Caloforge, tmp_path: Path
) -> None:
    full, fast = (tmp_path / f"{name}.h5" for name in ("full", "fast"))
    for path, name in ((full, "pbwo4-geant4"), (fast, "pbwo4-gflash")):
        convert(zoo.bundled_showers(name)[:400], path)
    model, out = tmp_path / "weights", tmp_path / "weighted.h5"
    sides = ("--full", full, "--fast", fast, "--set", "epochs=8", "--set", "validation=100")
    trained = caloforge("train", "reweighting", "--out", model, *sides)
    assert "on held-out showers: AUC" in trained.out
    refused = caloforge("refine", model, fast, out, "--least-effective", 0.9)
    assert refused.code == 2
    assert "expected at least 90.00% in effective size and in mean weight" in refused.err
    assert not out.exists()
    wanted = caloforge("refine", model, fast, out, "--least-effective", 0, "--resume")
    assert wanted.code == 0
    assert "weights: effective size" in wanted.out
    assert "means by weight" in caloforge("show", out).out
    kept = caloforge("unweight", out, tmp_path / "kept.h5", "--largest", 0.001)
    assert "weigh more than 0.001 and count once" in kept.out
    steps = caloforge("refine", model, fast, tmp_path / "more.h5", "--steps", 2)
    assert "is no bridge" in steps.err
