"""What the commands that make showers share: batch by batch into a file, which appears whole or not
at all.
"""

__all__ = ["Sliced", "write_made"]

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from caloforge.cli._console import Stopwatch, bar

if TYPE_CHECKING:
    from caloforge.geometry import Calorimeter
    from caloforge.showers import Showers

Batch = TypeVar("Batch", covariant=True)


@runtime_checkable
class Sliced(Protocol[Batch]):
    """What showers are made from, had by slices."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice) -> Batch: ...


def write_made(
    output: Path,
    calorimeter: "Calorimeter",
    source: Sliced[Batch],
    make: "Callable[[Batch, int], Showers]",
    *,
    doing: str,
    made_by: Mapping[str, str],
    batch_size: int,
    overwrite: bool,
) -> float:
    """Make showers into a file, a batch at a time, in bounded memory.

    Arguments:
        output: The file.
        calorimeter: The calorimeter of the showers.
        source: What they are made from.
        make: Makes the showers of a batch, given the number of the first of them.
        doing: What is being done, for the progress bar.
        made_by: What the file says of its origin.
        batch_size: Showers at a time.
        overwrite: Whether the file may take the place of another.

    Returns:
        The time of the making, without reading and writing, in ms a shower.
    """
    from caloforge.io import CaloChallengeWriter
    from caloforge.showers import spans

    watch = Stopwatch()
    writer = CaloChallengeWriter(output, calorimeter, overwrite=overwrite, attributes=made_by)
    with writer, bar(doing, len(source)) as advance:
        for span in spans(len(source), batch_size):
            batch = source[span]
            with watch:
                made = make(batch, span.start)
            writer.append(made)
            advance(len(made))
    return watch.milliseconds / max(len(source), 1)
