"""Processes in which Geant4 works, and what becomes of them.

Geant4 ends its whole process where it meets a fatal error, and can be set up only once in each. So
each worker is a Python of its own that runs `_inside` by its path: started afresh, not forked, with
no more than Geant4 in memory. It never hears of an interruption from the keyboard; it ends when
this process closes the connection or is gone. Messages are tuples: a worker gets the job, then one
`Task` after another, and answers with one `Done` each, or with one line about what cannot be.
"""

__all__ = ["Done", "Job", "Task", "simulate"]

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from caloforge.errors import Geant4Error, GeometryError

_PROGRAM = Path(__file__).with_name("_inside.py")
_QUEUE = 2
"""So many tasks wait at each worker, that it need not wait for the next one."""

_AHEAD = 32
"""The workers run ahead of the slowest shower by at most so many showers each: that bounds the
memory.
"""

_LOG_END = 20_000
_PATIENCE = 5.0


class Task(NamedTuple):
    """One shower to be made.

    Arguments:
        number: Its number in the run.
        seeds: The seeds of its random numbers, positive 32-bit numbers.
        pdg: The species of the particle.
        energy: The incident energy, in MeV.
        impact: Where the particle meets the front face, (x, y) in mm.
        theta: The angle to the beam axis, in radians.
        phi: The angle around it, in radians.
        others: The other particles of its event: species, energy, place and angles of each.
    """

    number: int
    seeds: tuple[int, ...]
    pdg: int
    energy: float
    impact: tuple[float, float]
    theta: float
    phi: float
    others: tuple[tuple[Any, ...], ...] = ()


class Done(NamedTuple):
    """One shower made: its number, the scorer's numbers of the cells hit, or the layer, the place
    (x, y) in mm and the time in ns of each step, with shape (steps, 4), their energies in MeV, the
    CPU time in ms, and what the gate took, a row a particle.
    """

    number: int
    where: np.ndarray
    energies: np.ndarray
    milliseconds: float
    taken: np.ndarray = np.empty((0, 0))


@dataclass(frozen=True)
class Job:
    """What a worker needs to know before the first shower.

    Arguments:
        description: The detector, the physics, the cut and the species, as plain values for
            `_inside`.
        environment: The variables of its process.
    """

    description: Mapping[str, Any]
    environment: Mapping[str, str]


class _Worker:
    """One process, as a context manager that ends it."""

    def __init__(self, job: Job) -> None:
        here, there = socket.socketpair()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        words = [sys.executable, str(_PROGRAM), str(there.fileno())]
        with there:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(there.fileno(),),
                env=dict(job.environment),
                start_new_session=True,
            )
        self.connection = Connection(here.detach())
        self.pending = 0
        self._send(dict(job.description))

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()
        if kind is not None:
            self._process.kill()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def give(self, task: Task) -> None:
        """Ask for a shower."""
        self.pending += 1
        self._send(tuple(task))

    def take(self) -> Done:
        """The next shower that it has finished.

        Raises:
            GeometryError: Geant4 does not know a material.
            Geant4Error: The process has died, or does not know the particle.
        """
        try:
            kind, message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._death() from None
        if kind == "done":
            self.pending -= 1
            return Done(*message)
        raise (GeometryError if kind == "geometry" else Geant4Error)(message)

    def _send(self, message: object) -> None:
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            if not self.connection.poll():
                raise self._death() from None

    def _death(self) -> Geant4Error:
        code = self._process.wait()
        self._log.seek(0, 2)
        self._log.seek(max(0, self._log.tell() - _LOG_END))
        cause = _cause(self._log.read().decode(errors="replace"), code)
        return Geant4Error(f"a worker of Geant4 has died: {cause}")


def _cause(log: str, code: int) -> str:
    """Why a worker has died: Geant4's own last words, or Python's, or the signal."""
    exception = log.rpartition("*** G4Exception : ")[2] if "*** G4Exception : " in log else ""
    if exception:
        said = exception.partition("*** Fatal")[0].split("-------- ")[0]
        return " ".join(said.replace("issued by :", "in").split())
    if code == -signal.SIGKILL:
        return "the system ended it, most likely for want of memory"
    lines = [line for line in log.splitlines() if line.strip()]
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how}, last words: {lines[-1].strip()}" if lines else how


def simulate(
    job: Job, tasks: Iterable[Task], first: int, total: int, workers: int
) -> Iterator[Done]:
    """Make showers in several processes, and give them in order.

    Arguments:
        job: What each worker needs to know.
        tasks: The showers to be made, in order.
        first: The number of the first of them.
        total: How many there are.
        workers: The number of processes.

    Raises:
        GeometryError: Geant4 does not know a material.
        Geant4Error: A worker has died, or does not know the particle.
    """
    waiting: dict[int, Done] = {}
    given, source = first, iter(tasks)
    with ExitStack() as stack:
        crew = [stack.enter_context(_Worker(job)) for _ in range(min(workers, total))]
        for index in range(first, first + total):
            while index not in waiting:
                given = _feed(crew, source, given, index + _AHEAD * len(crew))
                for worker in _ready(crew):
                    done = worker.take()
                    waiting[done.number] = done
            yield waiting.pop(index)


def _feed(crew: list[_Worker], source: Iterator[Task], given: int, limit: int) -> int:
    """Give each worker something to do, but no shower from the limit on; the number of the next
    task.
    """
    for pending in range(_QUEUE):
        for worker in crew:
            if (
                worker.pending <= pending
                and given < limit
                and (task := next(source, None)) is not None
            ):
                worker.give(task)
                given = task.number + 1
    return given


def _ready(crew: list[_Worker]) -> list[_Worker]:
    """The workers that have something to say, when at least one has."""
    busy = {worker.connection: worker for worker in crew if worker.pending}
    return [
        busy[connection] for connection in wait(list(busy)) if isinstance(connection, Connection)
    ]
