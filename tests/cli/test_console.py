"""How the commands speak: one line a message, words as they are."""

import warnings

import pytest

from caloforge.cli._console import fail, say, warnings_as_lines
from caloforge.errors import EnergyRangeWarning


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
