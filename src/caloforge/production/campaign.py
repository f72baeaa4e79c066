"""The folder of a production: its shards, each with a record, and the manifest of all.

A shard takes its name when it is whole, then its record does; a shard without one is made again. So
nothing finished is lost, whatever ends a process, and any number of processes may fill one folder:
what two of them make of one shard is the same. ``manifest.json`` is written when all are there.
"""

__all__ = ["Campaign", "Record", "make_shard"]

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from caloforge.chain import Chain
from caloforge.documents import read_json
from caloforge.errors import OutputError
from caloforge.io import NewFile, convert, is_hdf5
from caloforge.io.input import checksum
from caloforge.io.joining import Joined, join_files
from caloforge.paths import require_folder, require_writable
from caloforge.production.guarded import Guarded
from caloforge.production.plan import Plan, Shard
from caloforge.production.producing import produce

_JOB, _MANIFEST = "plan.json", "manifest.json"


@dataclass(frozen=True)
class Record:
    """What is known of a finished shard.

    Arguments:
        number: Its number.
        start: The number of its first shower.
        stop: That of the one after its last.
        sha256: The checksum of its file.
        milliseconds: The time a shower took.
        guards: How many showers each guard did not pass.
    """

    number: int
    start: int
    stop: int
    sha256: str
    milliseconds: float
    guards: dict[str, int]


class Campaign:
    """A production in a folder.

    Arguments:
        plan: What is produced.
        folder: Where; it is made where it is missing.
        chain: What makes the showers; None to load it by the plan.

    Raises:
        OutputError: The folder cannot be made or written, or holds another production.
        CaloforgeError: A model or a detector of the plan is missing.
    """

    def __init__(self, plan: Plan, folder: Path | str, chain: Chain | None = None) -> None:
        self.plan, self.folder = plan, Path(folder)
        self.chain = plan.chain() if chain is None else chain
        self.job = plan.job(self.chain)
        require_folder(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_up()

    def _take_up(self) -> None:
        path = self.folder / _JOB
        if not path.exists():
            _write(path, self.job)
            return
        there = read_json(path, str(path), OutputError)
        if there.get("job") != self.job["job"]:
            keys = sorted(
                k for k in {*there, *self.job} - {"job"} if there.get(k) != self.job.get(k)
            )
            msg = (
                f"{self.folder}: holds a production of another {' and another '.join(keys)}: give "
                "the same plan and versions, or another folder"
            )
            raise OutputError(msg)

    def record(self, shard: Shard) -> Record | None:
        """That of a finished shard; None of one that is to be made."""
        path = self._record(shard)
        if not path.exists() or not (self.folder / shard.name).exists():
            return None
        return Record(**read_json(path, str(path), OutputError))

    def _record(self, shard: Shard) -> Path:
        return self.folder / f"{shard.name}.json"

    def missing(self, part: tuple[int, int] = (1, 1)) -> list[Shard]:
        """The shards that are to be made.

        Arguments:
            part: The k-th of n jobs of a batch system, from 1: every n-th shard.
        """
        k, n = part
        return [s for s in self.plan.shards[k - 1 :: n] if self.record(s) is None]

    def make(self, shard: Shard) -> Record:
        """Make a shard and its record, as if nothing of it were there."""
        guarded, path = Guarded(self.chain, shard.start, self.plan.guards), self.folder / shard.name
        made = produce(
            self.plan.gun[shard.start : shard.stop],
            guarded,
            path,
            seed=self.plan.seed,
            batch_size=self.plan.batch_size,
            overwrite=True,
        )
        counts = dict(sorted(guarded.counts.items()))
        bounds = shard.number, shard.start, shard.stop
        record = Record(*bounds, checksum(path), round(made.milliseconds, 4), counts)
        _write(self._record(shard), asdict(record))
        return record

    def finish(self) -> list[Record]:
        """The records of all shards, and the manifest.

        Raises:
            OutputError: A shard is missing.
        """
        records = [self.record(shard) for shard in self.plan.shards]
        found = [record for record in records if record is not None]
        if len(found) < len(records):
            msg = (
                f"{self.folder}: {len(records) - len(found)} of {len(records)} shards are not made "
                "yet: produce them first"
            )
            raise OutputError(msg)
        _write(self.folder / _MANIFEST, {**self.job, "shards": [asdict(one) for one in found]})
        return found

    def verify(self) -> list[Shard]:
        """The shards whose files are damaged; their records are removed, so that they are made
        again.
        """
        damaged = []
        for shard in self.plan.shards:
            record = self.record(shard)
            if record is not None and checksum(self.folder / shard.name) != record.sha256:
                self._record(shard).unlink()
                damaged.append(shard)
        return damaged

    def merge(self, path: Path | str, *, overwrite: bool = False) -> str:
        """Join all shards to one file, and check each on the way; the checksum of the file.

        Arguments:
            path: The file; its suffix says the format.
            overwrite: Whether it may take the place of another.

        Raises:
            OutputError: A shard is missing or damaged, or the file cannot be written.
        """
        path = Path(path)
        require_writable(path, overwrite=overwrite)
        self.finish()
        damaged = self.verify()
        if damaged:
            msg = (
                f"{self.folder / damaged[0].name}: damaged, as {len(damaged)} of the shards are: "
                "produce them again"
            )
            raise OutputError(msg)
        files = [self.folder / shard.name for shard in self.plan.shards]
        with NewFile(path, overwrite=overwrite) as partial:
            partial.unlink()
            if is_hdf5(path):
                join_files(files, partial)
            else:
                whole = partial.with_name(f"{partial.name}{path.suffix}")
                convert(Joined(files), whole)
                whole.replace(partial)
        return checksum(path)


def make_shard(plan: Plan, folder: str, number: int) -> Record:
    """Make a shard in a process of one's own: what workers are asked."""
    return _loaded(plan, folder).make(plan.shards[number])


@cache
def _loaded(plan: Plan, folder: str) -> Campaign:
    """Once in a process: a worker loads each model once, and takes one thread."""
    torch.set_num_threads(1)
    return Campaign(plan, folder)


def _write(path: Path, values: Any) -> None:
    with NewFile(path, overwrite=True) as partial:
        partial.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")


def total(records: Iterable[Record]) -> dict[str, int]:
    """How many showers each guard did not pass, in all shards."""
    counts: dict[str, int] = {}
    for record in records:
        for name, number in record.guards.items():
            counts[name] = counts.get(name, 0) + number
    return counts


def spread(records: Sequence[Record]) -> float:
    """The mean time a shower took, in ms."""
    showers = sum(one.stop - one.start for one in records)
    return sum(one.milliseconds * (one.stop - one.start) for one in records) / max(showers, 1)
