"""The house stands as CONTRIBUTING promises; ``python -m tests.house`` prints the counts."""

from collections.abc import Callable, Sized

import pytest

from tests import house

NONE: dict[str, Callable[[], Sized]] = {
    "imports upward": house.upward_imports,
    "rooms without a floor": house.rooms_without_a_floor,
    "isinstance of a geometry outside geometry/": house.geometry_checks,
    "files of one name": house.shared_file_names,
    "functions of more than 60 lines": house.long_functions,
    "functions of more than 9 arguments": house.many_arguments,
    "lines of more than 100 columns": house.long_lines,
    "module heads of more than 15 lines": house.long_heads,
}
ONE: dict[str, Callable[[], Sized]] = {
    "training loops": house.training_loops,
    "signatures of fit": house.fit_signatures,
}


@pytest.mark.parametrize("what", NONE)
def test_there_is_none(what: str) -> None:
    found = NONE[what]()
    assert not found, found


@pytest.mark.parametrize("what", ONE)
def test_there_is_one(what: str) -> None:
    found = ONE[what]()
    assert len(found) == 1, found


@pytest.mark.parametrize(("part", "most"), [(0.5, 6), (0.9, 30), (1.0, 60)])
def test_functions_are_short(part: float, most: int) -> None:
    assert house.quantile(part) <= most
