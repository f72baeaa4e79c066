"""`caloforge train`: settings reach the recipe, mistakes leave nothing, a resumed training is the
same.
"""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge.cli.train import Samples
from caloforge.io import open_showers
from caloforge.systems.calodream import VisionStage
from tests.cli.samples import (
    TINY_SURROGATE,
    Caloforge,
    Outcome,
    random_cylinder_showers,
    settings,
    write,
)

Pair = tuple[Path, Path]


def test_settings_reach_the_card(model: Path) -> None:
    card = json.loads((model / "card.json").read_text())
    assert card["recipe"]["steps"] == 3
    assert card["recipe"]["channels"] == 8
    assert "300 showers" in card["data"]


def test_a_training_is_told_where_nobody_watches(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path
) -> None:
    full, fast = full_and_fast
    words = (
        "--set",
        "steps=2",
        "--set",
        "validation=50",
        "--set",
        "channels=8",
        "--set",
        "batch_size=32",
    )
    outcome = caloforge(
        "train", "squirels-fast", "--out", tmp_path / "m", "--full", full, "--fast", fast, *words
    )
    assert outcome.code == 0, outcome.err
    assert "2 of 2 steps, loss" in outcome.err
    assert f"caloforge refine {tmp_path / 'm'}" in outcome.out


def test_without_files_it_trains_on_what_comes_with_the_package(
    caloforge: Caloforge, tmp_path: Path
) -> None:
    words = ("--set", "steps=1", "--set", "channels=8", "--set", "batch_size=32")
    outcome = caloforge("train", "squirels-fast", "--out", tmp_path / "m", *words)
    assert outcome.code == 0, outcome.err
    card = json.loads((tmp_path / "m/card.json").read_text())
    assert (
        card["data"]
        == "bundled Geant4 showers (4,000 showers) and GFlash of the same energies (4,000 showers)"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("squirels-fast", "--set", "steps"), "KEY=VALUE"),
        (("squirels-fast", "--set", "pace=3"), "pace"),
        (("squirels-fast", "--set", "steps=many"), "many"),
        (("squirrels",), "squirels-fast"),
        (("no-such-recipe.yaml",), "no-such-recipe.yaml"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    caloforge: Caloforge, full_and_fast: Pair, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    full, fast = full_and_fast
    outcome = caloforge("train", *words, "--out", tmp_path / "m", "--full", full, "--fast", fast)
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert line.startswith("caloforge: error: ")
    assert expected in line
    assert not (tmp_path / "m").exists()


def test_a_trained_directory_is_not_trained_over(
    caloforge: Caloforge, full_and_fast: Pair, model: Path
) -> None:
    full, fast = full_and_fast
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert (
        caloforge("train", "squirels-fast", "--out", model, "--full", full, "--fast", fast).code
        == 2
    )
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def surrogate_trained(
    caloforge: Caloforge, data: Path, out: Path, *words: object, **changes: object
) -> Outcome:
    """Double underscores in the names of settings stand for dots."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    return caloforge(
        "train",
        "calodream-ds2",
        "--data",
        data,
        "--out",
        out,
        *settings(TINY_SURROGATE | changed),
        *words,
    )


def one_error(outcome: Outcome) -> str:
    """The one error that is told."""
    assert outcome.code == 2
    [line] = [line for line in outcome.err.splitlines() if "caloforge: note: " not in line]
    assert line.startswith("caloforge: error: ")
    return line


def weights(directory: Path) -> bytes:
    return (directory / "weights.safetensors").read_bytes()


def test_a_surrogate_is_trained_from_one_sample_and_its_use_is_told(
    caloforge: Caloforge, cylinder_file: Path, surrogate: Path, tmp_path: Path
) -> None:
    outcome = surrogate_trained(caloforge, cylinder_file, tmp_path / "m")
    assert outcome.code == 0, outcome.err
    assert "shape: 4 of 4 steps, loss" in outcome.err
    advice = outcome.out.split("generate with: caloforge ")[1].split()
    assert advice[:2] == ["generate", str(tmp_path / "m")]
    assert advice[-3:] == ["--energy", "1GeV:100GeV:log", "OUT.h5"]
    assert caloforge(*advice[:-1], tmp_path / "out.h5").code == 0
    assert len(open_showers(tmp_path / "out.h5")) == 1000
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    assert (card["system"], card["data"]) == ("surrogate", "cylinder.h5 (300 showers)")
    assert weights(tmp_path / "m") == weights(surrogate)


def test_a_model_is_trained_on(
    caloforge: Caloforge, cylinder_file: Path, surrogate: Path, tmp_path: Path
) -> None:
    words = ("--data", cylinder_file, "--out", tmp_path / "m", "--tune", "lora", "--rank", "2")
    outcome = caloforge("train", "--from", surrogate, *words, "--seed", 9)
    assert outcome.code == 0, outcome.err
    card, before = (
        json.loads((path / "card.json").read_text()) for path in (tmp_path / "m", surrogate)
    )
    assert card["start"].startswith(before["name"])
    assert card["start"].endswith("lora")
    assert card["recipe"] == before["recipe"] | {"seed": 9}


def test_a_model_is_trained_on_by_another_recipe(
    caloforge: Caloforge, cylinder_file: Path, surrogate: Path, tmp_path: Path
) -> None:
    """Here by its own, but for species that it did not know."""
    recipe = json.loads((surrogate / "card.json").read_text())["recipe"]
    recipe["beam"] = {"species": ["e-", "gamma"]}
    path = tmp_path / "wider.yaml"
    path.write_text(json.dumps(recipe))
    words = ("--data", cylinder_file, "--out", tmp_path / "m", "--from", surrogate)
    outcome = caloforge("train", path, *words)
    assert outcome.code == 0, outcome.err
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    assert card["start"].startswith(surrogate.name)
    assert card["recipe"]["beam"]["species"] == [11, 22]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "give a RECIPE, or --from MODEL to train a model on, or both"),
        (("calodream-ds2", "--tune", "bias"), "--tune goes with --from MODEL"),
        (("--from", "SURROGATE", "--full", "DATA"), "recipe of SURROGATE trains a surrogate"),
        (("--from", "SURROGATE", "--data", "DATA", "--set", "sede=1"), "has no key 'sede'"),
    ],
)
def test_how_to_begin_is_said_once(
    caloforge: Caloforge,
    cylinder_file: Path,
    surrogate: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    expected: str,
) -> None:
    known = {"SURROGATE": str(surrogate), "DATA": str(cylinder_file)}
    given = [known.get(word, word) for word in words]
    outcome = caloforge("train", *given, "--out", tmp_path / "m")
    assert expected.replace("SURROGATE", str(surrogate)) in one_error(outcome)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("recipe", "given", "expected"),
    [
        (
            "calodream-ds2",
            (),
            "recipe calodream-ds2 trains a surrogate: give its showers by --data FILE.h5",
        ),
        (
            "calodream-ds2",
            ("--full",),
            "give its showers by --data FILE.h5, without --full and --fast",
        ),
        (
            "calodream-ds2",
            ("--data", "--fast"),
            "give its showers by --data FILE.h5, without --full and --fast",
        ),
        (
            "squirels-fast",
            ("--data",),
            (
                "recipe squirels-fast trains a refiner, from two samples: give them by --full and "
                "--fast"
            ),
        ),
        (
            "squirels-fast",
            ("--full", "--fast", "--data"),
            "give them by --full and --fast, without --data and --detector",
        ),
    ],
)
def test_a_recipe_says_which_samples_it_wants(
    caloforge: Caloforge,
    cylinder_file: Path,
    tmp_path: Path,
    recipe: str,
    given: tuple[str, ...],
    expected: str,
) -> None:
    words = [word for option in given for word in (option, cylinder_file)]
    assert expected in one_error(caloforge("train", recipe, "--out", tmp_path / "m", *words))
    assert list(tmp_path.iterdir()) == []


def test_a_surrogate_that_cannot_be_leaves_nothing(
    caloforge: Caloforge, cylinder_file: Path, tmp_path: Path
) -> None:
    few = write(tmp_path / "few.h5", random_cylinder_showers(99))
    dark = random_cylinder_showers(300)
    dark.deposits[7] = 0
    dark_file = write(tmp_path / "dark.h5", dark)
    mistakes = {
        "the full sample has 99 showers, expected at least 100": (few, {}),
        "1 of 300 training showers of the full sample have no energy": (dark_file, {}),
        "patch (1, 3, 1) does not divide shape (3, 4, 2): along axis 1": (
            cylinder_file,
            {"shape__patch": "[1,3,1]"},
        ),
        "dim 13": (cylinder_file, {"energy__dim": 13}),
        "has no key 'shape.patches'": (cylinder_file, {"shape__patches": 1}),
        "epochs: expected a number, found 'many'": (
            cylinder_file,
            {"energy__schedule__epochs": "many"},
        ),
    }
    for expected, (file, changes) in mistakes.items():
        assert expected in one_error(surrogate_trained(caloforge, file, tmp_path / "m", **changes))
        assert not (tmp_path / "m").exists()


def test_a_lost_training_keeps_the_last_good_state_and_goes_on_from_it(
    caloforge: Caloforge, cylinder_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    line = one_error(
        surrogate_trained(caloforge, cylinder_file, out, shape__flow__schedule__learning_rate=1e30)
    )
    assert "phase shape, step 1: the loss is nan; the last good state is in" in line
    assert {path.name for path in out.iterdir()} == {"checkpoint.safetensors", "history.csv"}
    line = one_error(
        surrogate_trained(caloforge, cylinder_file, out, "--resume", shape__network__dim=24)
    )
    assert "not a checkpoint of this training" in line
    assert "resume with the recipe and the settings that it began with" in line
    assert surrogate_trained(caloforge, cylinder_file, out, "--resume").code == 0


def test_a_training_lost_at_once_says_so(
    caloforge: Caloforge, cylinder_file: Path, tmp_path: Path
) -> None:
    line = one_error(
        surrogate_trained(
            caloforge, cylinder_file, tmp_path / "m", energy__schedule__learning_rate=1e30
        )
    )
    assert "phase layer energies, step 1: the loss is nan; nothing is kept yet" in line
    assert surrogate_trained(caloforge, cylinder_file, tmp_path / "m").code == 0


def test_an_interrupted_training_resumed_comes_to_the_same_weights(
    caloforge: Caloforge,
    cylinder_file: Path,
    surrogate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("caloforge.systems.calodream.VisionStage.points", interrupt)
        assert surrogate_trained(caloforge, cylinder_file, tmp_path / "m").code == 130
    assert (tmp_path / "m" / "checkpoint.safetensors").exists()
    assert "resume" in one_error(surrogate_trained(caloforge, cylinder_file, tmp_path / "m"))
    outcome = surrogate_trained(caloforge, cylinder_file, tmp_path / "m", "--resume")
    assert outcome.code == 0, outcome.err
    assert weights(tmp_path / "m") == weights(surrogate)


GOES_ON = "the same command with --resume goes on"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_waits_for_the_step_and_saves_it(
    caloforge: Caloforge,
    cylinder_file: Path,
    surrogate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    points = VisionStage.points
    sent: list[signal.Signals] = []

    def sending(*given: Any) -> Any:
        if not sent:
            sent.append(number)
            signal.raise_signal(number)
        return points(*given)

    monkeypatch.setattr(VisionStage, "points", sending)
    outcome = surrogate_trained(caloforge, cylinder_file, tmp_path / "m")
    assert outcome.code == code, outcome.err
    assert f"paused at step 1 of 4 of shape: {GOES_ON}" in outcome.err
    outcome = surrogate_trained(caloforge, cylinder_file, tmp_path / "m", "--resume")
    assert outcome.code == 0, outcome.err
    assert weights(tmp_path / "m") == weights(surrogate)


def test_a_training_ends_in_time_and_goes_on(
    caloforge: Caloforge, cylinder_file: Path, surrogate: Path, tmp_path: Path
) -> None:
    words, pauses = ("--resume", "--max-time", "1e-6s"), 0
    while not (tmp_path / "m" / "card.json").exists():
        outcome = surrogate_trained(caloforge, cylinder_file, tmp_path / "m", *words)
        assert outcome.code == 0, outcome.err
        pauses += GOES_ON in outcome.err
    assert pauses > 3
    assert weights(tmp_path / "m") == weights(surrogate)


def test_a_recipe_is_shown_with_the_meaning_of_each_setting(caloforge: Caloforge) -> None:
    outcome = caloforge("train", "--show", "squirels-fast")
    assert outcome.code == 0
    assert "# Its residual blocks.\nblocks: 4\n" in outcome.out


def interrupt(*_: object, **__: object) -> None:
    """What a person does at the keyboard."""
    raise KeyboardInterrupt


def test_a_pattern_is_one_sample_to_learn_from(tmp_path: Path) -> None:
    for k in range(2):
        write(tmp_path / f"part_{k}.h5", random_cylinder_showers(20, seed=k))
    samples = Samples(data=[tmp_path / "part_*.h5"])
    cpu = torch.device("cpu")
    showers, said = samples.for_surrogate("calodream-ds2", cpu, several=False)
    second = random_cylinder_showers(20, seed=1)
    assert torch.equal(showers.full[20:].deposits, second.deposits)
    assert said == "part_*.h5 (40 showers)"
