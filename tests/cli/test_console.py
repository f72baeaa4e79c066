"""How the commands speak: one line a message, words as they are."""

import warnings

import pytest
from rich.table import Table

from caloforge.cli import _app, _progress
from caloforge.cli._console import fail, say, tell, warnings_as_lines
from caloforge.errors import EnergyRangeWarning
from caloforge.learn.training import Report
from tests.cli.samples import Caloforge


def test_an_error_is_one_line_whatever_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        fail(ValueError("first line\n  second line"))
    assert end.value.code == 2
    assert capsys.readouterr().err == "caloforge: error: first line second line\n"


def test_a_warning_is_one_line_whatever_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_as_lines():
        warnings.warn("first line\n  second line", EnergyRangeWarning, stacklevel=1)
    assert capsys.readouterr().err == "caloforge: warning: first line second line\n"


def test_warnings_are_told_as_before_afterwards() -> None:
    with warnings_as_lines():
        pass
    with pytest.warns(EnergyRangeWarning):
        warnings.warn("as before", EnergyRangeWarning, stacklevel=1)


@pytest.mark.parametrize("words", ["run[red].h5", ":smile: [/bold]", "long " * 60])
def test_words_are_printed_as_they_are(capsys: pytest.CaptureFixture[str], words: str) -> None:
    say(words)
    assert capsys.readouterr().out == f"{words}\n"


STEERING = "run\x1b[31m\x1b]0;title\x07\r.h5"


def test_what_steers_a_terminal_is_shown_and_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None, show_header=False)
    table.add_row(STEERING)
    for shown in (STEERING, f"first\n{STEERING}", table):
        say(shown)
    tell(STEERING)
    with pytest.raises(SystemExit):
        fail(STEERING)
    captured = capsys.readouterr()
    for line in (captured.out + captured.err).splitlines():
        assert line.rstrip().isprintable()
        assert line == "first" or "\ufffd[31m\ufffd]0;title" in line


@pytest.mark.parametrize(
    "words",
    [
        (STEERING,),
        ("show", STEERING),
        ("show", "a.h5", STEERING),
        ("show", f"--{STEERING}", "a.h5"),
        ("bench", "gflash", "--threads", STEERING),
        ("bench", "gflash", "--energy", STEERING),
        ("bench", "gflash", "--device", STEERING),
        ("train", "squirels-fast", "--out", "m", "--tune", STEERING),
        ("train", "squirels-fast", "--out", "m", "--set", STEERING),
        ("simulate", STEERING, "out.h5"),
        ("data", STEERING),
        ("models", STEERING),
    ],
    ids=" ".join,
)
def test_a_word_that_is_refused_steers_no_terminal(
    caloforge: Caloforge, words: tuple[str, ...]
) -> None:
    outcome = caloforge(*words)
    assert outcome.code == 2
    assert all(line.isprintable() for line in (outcome.out + outcome.err).split("\n"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "not enough memory: take smaller"),
        (MemoryError("Unable to allocate 7.28 TiB for"), "for 8e+03 GB at once"),
        (
            RuntimeError("DefaultCPUAllocator: tried to allocate 96 bytes."),
            "for 9.6e-08 GB at once",
        ),
    ],
)
def test_memory_that_is_not_there_is_one_line(
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def greedy(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(_app, "app", greedy)
    with pytest.raises(SystemExit) as end:
        _app.run(())
    assert end.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("every", "lines"), [(0.0, 3), (3600.0, 0)])
def test_a_log_has_a_line_now_and_then(
    every: float, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "EVERY", every)
    with _progress.bar("making", 1000) as advance, _progress.steps() as say_step:
        advance(250)
        advance(250)
        say_step("reading\x1b[2J")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    for line, start in zip(
        said, ("making: 250 of 1,000 showers, ", "making: 500 of ", "reading"), strict=False
    ):
        assert line.startswith(f"caloforge: note: {start}")
        assert "\x1b" not in line


def test_a_training_speaks_at_once_and_at_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "EVERY", 3600.0)
    with _progress.objectives() as see, _progress.objectives(quiet=True) as silent:
        for step in (1, 2, 3):
            for listen in (see, silent):
                listen(Report("shape", step, 3, {"": 0.5}, rate=2.0))
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" steps")[0] for line in said] == [
        "caloforge: note: shape: 1 of 3",
        "caloforge: note: shape: 3 of 3",
    ]
