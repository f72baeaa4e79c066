"""To show is not to measure: what a report and a metric may import."""

import pytest

from tests.house import ROOT, imports, where


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
