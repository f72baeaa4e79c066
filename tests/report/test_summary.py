"""A summary has room for a dozen lines, and its numbers are those of the table."""

from dataclasses import replace

from caloforge.report import summary
from caloforge.report.tables import Row, rows
from tests.evaluation.samples import compared, complete


def _heads(row: Row, line: str) -> bool:
    return line.startswith(f"{row.observable}  ")


def test_a_summary_is_at_most_fourteen_lines_of_numbers_from_the_table() -> None:
    evaluation = complete()
    lines = summary(evaluation)
    assert len(lines) <= 14
    table = [(row, line) for row in rows(evaluation) for line in lines if _heads(row, line)]
    assert len({row.observable for row, _ in table}) >= 7
    for row, line in table:
        auc = evaluation.classifiers[row.candidate]["low-level"].auc
        expected = f"{auc.value:.3f}" if line.startswith("AUC") else row.distance
        assert expected in line
        assert row.candidate in lines[1]
    assert "ms a shower: Full 180, fast 0.25: 720 x faster" in lines
    assert [line.split(":")[0] for line in lines[-3:-1]] == ["fast", "refined"]
    assert "remarks" in lines[-1]


def test_columns_are_aligned_and_the_floor_comes_last() -> None:
    lines = summary(compared(500))
    heading, *table = lines[1:7]
    assert heading.split()[-1] == "floor"
    assert {len(line) for line in table} == {len(heading)}


def test_what_was_not_compared_is_left_out() -> None:
    evaluation = compared(60)
    nothing = replace(evaluation, comparisons={name: {} for name in evaluation.comparisons})
    lines = summary(nothing)
    assert "wide: nothing could be compared." in lines
