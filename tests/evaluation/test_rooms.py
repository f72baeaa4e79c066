"""To show is not to measure: what a report and a metric may import."""

import pytest

from tests.house import ROOT, functions, imports, where


@pytest.mark.parametrize(
    ("home", "forbidden"),
    [
        ("report", {"metrics", "classifiers", "learn", "models", "systems"}),
        ("metrics", {"learn", "classifiers", "models", "systems"}),
    ],
)
def test_a_report_shows_records_alone_and_a_metric_learns_nothing(
    home: str, forbidden: set[str]
) -> None:
    found = [
        f"{where(path, node)} imports {room}"
        for path, node, room in imports()
        if path.relative_to(ROOT).parts[0] == home and room in forbidden
    ]
    assert found == []


THREADED = {"full", "candidate", "resampling", "drawn", "mode", "preset", "settings", "plan"}
"""What belongs to a pair of samples."""


def test_what_belongs_to_a_pair_of_samples_travels_with_it() -> None:
    """A measurement takes a `Pair`: only what makes one takes its parts one by one."""
    found = {
        function.name: {a.arg for a in (*function.args.args, *function.args.kwonlyargs)} & THREADED
        for path, function, _ in functions()
        if path.relative_to(ROOT).parts[0] == "evaluation"
    }
    makers = {"evaluate", "_drawn", "_references"}
    assert {name for name, given in found.items() if len(given) > 2} == makers
