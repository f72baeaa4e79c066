"""Files of showers that are no physical ones as they stand, made so where someone asks for it.

Generators leave a deposit of -1e-6 MeV in empty cells, readouts noise around 0, jobs showers
without energy. Nothing of this is read in silence; a `Mending` says what shall be done with it, and
`Mended` does it, and counts what it has done:

- negative deposits, and those below a threshold, are set to 0;
- showers without energy in any cell, or with a deposit that is NaN, are left out.

The deposits are read once more for it, when the file is opened.
"""

__all__ = ["DROPS", "MENDED", "Mended", "Mending"]

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.io.chosen import Chosen
from caloforge.io.input import ShowerFile, require_deposits
from caloforge.showers import Showers, spans
from caloforge.units import format_energy

EMPTY, NAN = "empty", "nan"
DROPS = (EMPTY, NAN)
"""What showers may be left out for."""

MENDED = "mended"
"""The attribute of a copy that says what was done."""

_ROWS = 1000


@dataclass(frozen=True)
class Mending:
    """What is done with deposits as they are read.

    Arguments:
        positive: Whether negative deposits are set to 0.
        threshold: Deposits below it, in MeV, are set to 0.
        drop: The showers that are left out, of `DROPS`; those without energy are looked for when
            the rest is done.
    """

    positive: bool = False
    threshold: float = 0.0
    drop: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Mending()

    def clean(self, deposits: Float[Tensor, "showers cells"]) -> Float[Tensor, "showers cells"]:
        """The deposits without what is set to 0."""
        below = (deposits < self.threshold) & ((deposits >= 0) | self.positive)
        return deposits.masked_fill(below, 0.0)

    def dropped(self, cleaned: Float[Tensor, "showers cells"]) -> dict[str, Tensor]:
        """Which showers are left out, by reason, each with shape (N)."""
        nan = cleaned.isnan().any(dim=1)
        found = {NAN: nan, EMPTY: ~nan & ~cleaned.any(dim=1)}
        return {reason: showers for reason, showers in found.items() if reason in self.drop}


class Mended(Chosen):
    """The showers of a file as a mending leaves them.

    Arguments:
        file: The file.
        mending: What is done.

    Raises:
        FileFormatError: The file is damaged.
    """

    NAME = MENDED

    def __init__(self, file: ShowerFile, mending: Mending) -> None:
        super().__init__(file)
        self._mending = mending
        self._negative = self._below = 0
        self._left = dict.fromkeys(mending.drop, 0)
        self._rows = torch.cat([torch.empty(0, dtype=torch.int64), *self._looked_at()])

    @property
    def report(self) -> str:
        """What was done, with its numbers."""
        of, low = f"of {len(self.file):,} showers", format_energy(self._mending.threshold)
        parts = [f"{self._negative:,} negative deposits set to 0"] if self._mending.positive else []
        if self._mending.threshold:
            parts.append(f"{self._below:,} deposits below {low} set to 0")
        titles = {EMPTY: "without energy", NAN: "with a deposit that is NaN"}
        parts += [f"{n:,} {of} {titles[why]} left out" for why, n in self._left.items()]
        return "; ".join(parts)

    def _read(self, rows: range) -> Showers:
        numbers = self._rows[rows.start : rows.stop : rows.step]
        span, chosen = self._span(numbers)
        raw = self.file.unchecked(span)[chosen]
        deposits = self._mending.clean(raw.deposits)
        if len(numbers):
            every = range(int(numbers[0]), int(numbers[-1]) + 1)
            require_deposits(deposits, f"{self.path}: deposits", every)
        threshold = max(raw.threshold or 0.0, self._mending.threshold) or raw.threshold
        return Showers(deposits, raw.particles, raw.calorimeter, raw.weights, threshold)

    def _looked_at(self) -> Iterator[Int[Tensor, " kept"]]:
        """The rows that are kept, batch by batch, while what is done is counted."""
        for span in spans(len(self.file), _ROWS):
            raw = self.file.unchecked(span).deposits
            cleaned = self._mending.clean(raw)
            self._negative += int((raw < 0).sum())
            self._below += int(((raw > 0) & (raw < self._mending.threshold)).sum())
            left = torch.zeros(len(raw), dtype=torch.bool)
            for reason, showers in self._mending.dropped(cleaned).items():
                self._left[reason] += int(showers.sum())
                left |= showers
            yield span.start + (~left).nonzero()[:, 0]
