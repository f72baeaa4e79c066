"""Documents are read as they are meant, or refused in one short line, in little time and memory."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caloforge.documents import MOST_QUOTED, checked, quoted, read_json, read_yaml
from caloforge.errors import RecipeError

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(10 * [f'*{old}'])}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

YAML = {
    "tab": ("a: 1\n\tb: 2\n", r"not YAML \(.*line 2"),
    "twice": ("a: 1\nb: 2\na: 3\n", r"key 'a' stands twice in the group that begins in line 1"),
    "twice below": ("g:\n  a: 1\n  a: 3\n", r"key 'a' stands twice .* line 2"),
    "laughs": (LAUGHS, "unfold"),
    "deep": ("a: " + 1000 * "[" + 1000 * "]", "nested more than 40 deep"),
    "deep keys": ("\n".join(" " * i + f"k{i}:" for i in range(60)) + " 1", "nested more than"),
    "empty": ("", "found nothing"),
    "list": ("- a\n- b\n", "found a list"),
    "text": ("hello", "found a str"),
    "infinite": ("a:\n  - 1\n  - .inf\n", r"a\.1 is inf, expected a finite number"),
    "nan": ("a: .nan", "a is nan"),
    "code": ("a: !!python/object/apply:os.system ['true']", "not YAML"),
    "digits": ("a: " + 5000 * "1", "not YAML"),
    "many digits": ("a: " + 500 * "1", r"a is a whole number of \d+ bits, expected at most 320"),
    "NUL": ('a: ["x\\0"]', r"a\.0 has a character that is none: 'x.'"),
    "NUL in a key": ('"x\\0": 1', "has a character that is none: 'x.'"),
    "two documents": ("a: 1\n---\nb: 2\n", "not YAML"),
    "unclosed": ("a: [1", "not YAML"),
}
JSON = {
    "deep": (100_000 * "[", "not JSON"),
    "cut": ('{"a": ', "not JSON"),
    "twice": ('{"a": 1, "a": 2}', "stands twice"),
    "nan": ('{"a": NaN}', "a is nan"),
    "huge": ('{"a": [1e400]}', r"a\.0 is inf"),
    "digits": ('{"a": ' + 5000 * "1" + "}", "not JSON"),
    "number": ("5", "found a int"),
    "half of a pair": (r'{"a": "\ud800"}', "a has a character that is none"),
}


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("case", YAML)
def test_yaml_that_cannot_be_is_refused(case: str, tmp_path: Path) -> None:
    text, message = YAML[case]
    with pytest.raises(RecipeError, match=f"^recipe r: .*{message}") as refusal:
        read_yaml(written(tmp_path / "r.yaml", text), "recipe r", RecipeError)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("case", JSON)
def test_json_that_cannot_be_is_refused(case: str, tmp_path: Path) -> None:
    text, message = JSON[case]
    with pytest.raises(RecipeError, match=f"^card: .*{message}") as refusal:
        read_json(written(tmp_path / "c.json", text), "card", RecipeError)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_aliases_that_unfold_to_little_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "r.yaml", "a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n  y: 2\n")
    assert read_yaml(path, "r", RecipeError) == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 1, "y": 2},
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf8_is_read_with_and_without_its_mark(encoding: str, tmp_path: Path) -> None:
    path = written(tmp_path / "r.yaml", "name: Molière".encode(encoding))
    assert read_yaml(path, "r", RecipeError) == {"name": "Molière"}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_named(encoding: str, tmp_path: Path) -> None:
    path = written(tmp_path / "r.yaml", "name: Molière".encode(encoding))
    with pytest.raises(RecipeError, match="is not UTF-8: save it"):
        read_yaml(path, "r", RecipeError)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(RecipeError, match="is no regular file"):
            read_yaml(path, "r", RecipeError)
    with pytest.raises(RecipeError, match="cannot be read"):
        read_yaml(tmp_path / "absent", "r", RecipeError)


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "r.yaml").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RecipeError, match="1048576 MiB, at most 4 are read"):
        read_yaml(tmp_path / "r.yaml", "r", RecipeError)


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(), st.lists))
def test_a_quotation_is_short_and_in_one_line(value: object) -> None:
    assert len(quoted(value)) <= 10 * MOST_QUOTED
    assert "\n" not in quoted(value)


@dataclass(frozen=True)
class Schedule:
    """A group of keys."""

    epochs: int


@dataclass(frozen=True)
class Recipe:
    """Some keys."""

    seed: int
    schedule: Schedule


def test_values_become_a_record() -> None:
    values = {"seed": 1, "schedule": {"epochs": 2}}
    assert checked(Recipe, values, "recipe r", RecipeError) == Recipe(1, Schedule(2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 1, "schedule": {}}, r"^recipe r: schedule\.epochs: is missing$"),
        ({"seed": 1, "schedule": 5}, "schedule: expected keys and values, found 5$"),
        (
            {"seed": "x" * 10**6, "schedule": {"epochs": 2}},
            r"seed: expected a whole number, found 'xxx.*\.\.\.'$",
        ),
        ({"seed": 1, "schedule": {"epochs": 2, "epoch": 3}}, "did you mean 'epochs'"),
        ({"seed": 1, "sheduel": {}}, "unknown key 'sheduel'; did you mean 'schedule'|schedule: is"),
    ],
)
def test_a_record_that_cannot_be_names_its_key(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        checked(Recipe, values, "recipe r", RecipeError)


@dataclass(frozen=True)
class Pause:
    """Another group of keys."""

    seconds: float


@dataclass(frozen=True)
class Course:
    """Keys of one of several types."""

    parts: tuple[Schedule | Pause, ...] = ()
    pdg: int | tuple[int, ...] | None = None


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({"pdg": "e-"}, "pdg"),
        ({"pdg": [11, "e-"]}, "pdg"),
        ({"parts": [{"epochs": "many"}]}, r"parts\.0\.epochs"),
        ({"parts": [{"epochs": 1}, 5]}, r"parts\.1"),
        ({"parts": [{"seconds": 1, 5: None}]}, r"parts\.0\.(5|epochs)"),
    ],
)
def test_the_key_of_a_value_of_several_types_is_that_of_the_file(
    values: dict[str, object], keys: str
) -> None:
    with pytest.raises(RecipeError, match=f"^recipe r: {keys}: "):
        checked(Course, values, "recipe r", RecipeError)
