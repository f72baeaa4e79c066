"""Geant4 showers into a file, in such a way that no finished shower is ever lost.

Showers take long, so each is kept as soon as it is finished: in a journal beside the output,
hidden, to which whole records are appended, each with its own checksum. Whatever ends the process,
the records before its end are good. When all showers are there they are written as HDF5, and the
journal is removed. To resume is to read the journal up to the last good record, and to go on from
there; as shower i depends on the seed and i alone, the file is the same as without the
interruption.
"""

__all__ = ["Recording", "journal", "record"]

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from caloforge.errors import OutputError, OutputExistsError
from caloforge.io import CaloChallengeWriter, NewFile
from caloforge.particles import Particles
from caloforge.showers import spans
from caloforge.simulators.geant4.engine import Finished, Geant4
from caloforge.simulators.protocols import Progress, silent

_HEAD, _CHECKSUM = struct.Struct("<qdI"), struct.Struct("<I")
"""Number of the shower, its time in ms, how many cells were hit; then the checksum of these and of
what follows.
"""

_CELLS, _DEPOSITS = np.dtype("<i4"), np.dtype("<f4")
_AT_A_TIME = 500


def journal(path: Path) -> Path:
    """Where the finished showers of a run are kept, beside its output, until it is there."""
    return path.with_name(f".{path.name}.unfinished")


class Recording:
    """The journal of a run, as a context manager; empty, it is removed when it is closed.

    Arguments:
        path: The output beside which it stands.
        job: What is simulated, as plain values: a journal of another job is not gone on with.
        resume: Go on with the journal that is there, if there is one.

    Raises:
        OutputExistsError: There is a journal, and to resume was not asked for.
        OutputError: The journal is of another job, or it is no journal.
    """

    def __init__(self, path: Path, job: dict[str, Any], *, resume: bool = False) -> None:
        self.path = journal(path)
        self._output, self._header = path, json.dumps(job, sort_keys=True).encode() + b"\n"
        self._job, self._resume = job, resume
        if self.path.exists() and not resume:
            msg = (
                f"{path}: an unfinished run of it is there ({self.path.name}): resume it, or "
                "overwrite it to begin anew"
            )
            raise OutputExistsError(msg)

    def __enter__(self) -> "Recording":
        self._file: BinaryIO = self.path.open("r+b" if self.path.exists() else "w+b")
        if self._is_cut_short(self._file.read(len(self._header))):
            self._file.seek(0)
            self._file.write(self._header)
        self._require_same_job()
        self.number = sum(1 for _ in self._records())
        self._file.truncate()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self.number == 0:
            self.path.unlink()

    def append(self, one: Finished) -> None:
        """Keep a finished shower: it is handed to the system before this returns."""
        head = _HEAD.pack(one.number, one.milliseconds, len(one.cells))
        body = one.cells.astype(_CELLS).tobytes() + one.deposits.astype(_DEPOSITS).tobytes()
        self._file.write(head + _CHECKSUM.pack(zlib.crc32(head + body)) + body)
        self._file.flush()
        self.number += 1

    def showers(self) -> Iterator[Finished]:
        """All finished showers, in order, read one by one."""
        return self._records()

    def remove(self) -> None:
        """Remove the journal when it is closed: its showers are elsewhere."""
        self.number = 0

    def _records(self) -> Iterator[Finished]:
        """The good records; afterwards the file stands at the end of the last of them."""
        self._file.seek(len(self._header))
        end = self._file.tell()
        while len(head := self._file.read(_HEAD.size)) == _HEAD.size:
            index, milliseconds, hits = _HEAD.unpack(head)
            checksum = self._file.read(_CHECKSUM.size)
            body = self._file.read(hits * (_CELLS.itemsize + _DEPOSITS.itemsize))
            if checksum != _CHECKSUM.pack(zlib.crc32(head + body)):
                break
            end = self._file.tell()
            cut = hits * _CELLS.itemsize
            yield Finished(
                index,
                np.frombuffer(body[:cut], _CELLS),
                np.frombuffer(body[cut:], _DEPOSITS),
                milliseconds,
            )
        self._file.seek(end)

    def _is_cut_short(self, found: bytes) -> bool:
        """Whether the run ended before its first line was written."""
        return len(found) < len(self._header) and self._header.startswith(found)

    def _require_same_job(self) -> None:
        self._file.seek(0)
        found = self._file.readline()
        if found == self._header:
            return
        try:
            other = json.loads(found)
        except ValueError:
            other = None
        differs = (
            [key for key in self._job if other.get(key) != self._job[key]]
            if isinstance(other, dict)
            else []
        )
        what = f"another {' and '.join(differs)}" if differs else "no journal that can be read"
        self._file.close()
        where = f"{self._output}: the unfinished run beside it ({self.path.name})"
        msg = f"{where} has {what}: give the same options, or overwrite it"
        raise OutputError(msg)


def record(
    simulator: Geant4,
    particles: Particles,
    path: Path | str,
    *,
    seed: int,
    impact: Tensor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> int:
    """Simulate showers into a CaloChallenge file with the column ``cpu_time_ms``, in bounded
    memory, so that it can be resumed.

    Arguments:
        simulator: What makes the showers.
        particles: The particles.
        path: The file; the finished showers of an interrupted run are kept beside it.
        seed: The seed of the run.
        impact: Where each particle meets the front face, (x, y) in mm, with shape (N, 2); None for
            x = y = 0.
        resume: Go on with an interrupted run, if there is one.
        overwrite: Whether the file may take the place of another, and the run that of an
            interrupted one.
        progress: Given 1 for each shower, those of the interrupted run included.

    Returns:
        How many showers were there from before.

    Raises:
        OutputExistsError: The file or an interrupted run is there, and neither may be replaced nor
            resumed.
        OutputError: The file cannot be written there, or the interrupted run is of another job.
        CaloforgeError: Whatever `Geant4.simulate` raises.
    """
    path = Path(path)
    NewFile(path, overwrite=overwrite)
    job = _job(simulator, particles, impact, seed)
    if overwrite and not resume:
        journal(path).unlink(missing_ok=True)
    with Recording(path, job, resume=resume) as recording:
        before = recording.number
        progress(before)
        rest = particles[before:]
        for one in simulator.each(
            rest, seed=seed, first_index=before, impact=None if impact is None else impact[before:]
        ):
            recording.append(one)
            progress(1)
        _write(simulator, particles, recording, path, seed, overwrite)
        recording.remove()
    return before


def _job(
    simulator: Geant4, particles: Particles, impact: Tensor | None, seed: int
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for values in (particles.energies, particles.theta, particles.phi, impact):
        digest.update(b"none" if values is None else values.detach().cpu().numpy().tobytes())
    given = {
        "particles": digest.hexdigest(),
        "pdg": particles.one_species(),
        "number of showers": len(particles),
        "seed": seed,
    }
    described = simulator.detector.describe()
    return {**simulator.provenance, "detector": described, **given}


def _write(
    simulator: Geant4,
    particles: Particles,
    recording: Recording,
    path: Path,
    seed: int,
    overwrite: bool,
) -> None:
    attributes = {
        **simulator.provenance,
        "description": json.dumps(simulator.detector.describe()),
        "seed": str(seed),
    }
    finished = recording.showers()
    with CaloChallengeWriter(
        path, simulator.calorimeter, overwrite=overwrite, attributes=attributes
    ) as writer:
        for span in spans(len(particles), _AT_A_TIME):
            made = [next(finished) for _ in range(span.stop - span.start)]
            showers, times = simulator.gather(made, particles[span])
            writer.append(showers, {"cpu_time_ms": times})
