"""What the commands that make showers share: how a run is divided, watched, and gone on with."""

__all__ = ["Run", "kept", "made", "produced"]

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caloforge.cli._console import say, tell
from caloforge.cli._options import BatchSize, Overwrite
from caloforge.cli._progress import bar
from caloforge.errors import CaloforgeError, DiskFullError, OutputError
from caloforge.paths import require_writable

if TYPE_CHECKING:
    from caloforge.production import Produced
    from caloforge.simulators import Refiner, Simulator


@dataclass(frozen=True)
class Run:
    """How a file is made."""

    batch_size: BatchSize = 1000
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, to the same file.")
    ] = False
    overwrite: Overwrite = False

    def require(self, output: Path) -> None:
        """Check, before anything is imported, that the output can be written."""
        if not self.resume:
            require_writable(output, overwrite=self.overwrite)


@contextmanager
def kept(output: Path) -> Iterator[None]:
    """Where a run within does not come to its end, say that what is finished is kept."""
    from caloforge.production import journal_of

    try:
        yield
    except (KeyboardInterrupt, CaloforgeError, OSError) as error:
        refused = isinstance(error, OutputError) and not isinstance(error, DiskFullError)
        if not refused and journal_of(output).exists():
            tell(
                f"{output}: the finished showers are kept in {journal_of(output).name}; --resume "
                "goes on with them"
            )
        raise


def produced(
    source: Any,
    maker: "Simulator | Refiner",
    output: Path,
    run: Run,
    *,
    seed: int,
    strict: bool = False,
    doing: str,
) -> "Produced":
    """Make showers into a file, with a progress bar where a person watches."""
    from caloforge.production import produce

    with kept(output), bar(doing, len(source)) as advance:
        return produce(
            source, maker, output, seed=seed, strict=strict, progress=advance, **asdict(run)
        )


def made(produced: "Produced", what: str) -> None:
    """Say what has been made."""
    from_before = f", {produced.resumed:,} of them from before" if produced.resumed else ""
    dark = f"; {produced.dark:,} of them have no energy in any cell" if produced.dark else ""
    if produced.dark == produced.showers > 0:
        dark = "; none of them has energy in any cell: are the energies, or what made them, wrong?"
    say(f"{produced.path}: {produced.showers:,} {what}{from_before}{dark}")
