"""Sixteen showers of each bundled model and simulator, at a fixed seed: what a change of the code
must leave as it is.

``python -m tests.golden.runs`` writes them anew, into ``tests/golden/*.npz``; only a change that is
meant to change showers may.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from caloforge import zoo
from caloforge.detector import load_detector
from caloforge.hits import dense
from caloforge.particles import Particles
from caloforge.simulators import gflash_of, pbwo4_gflash

FOLDER = Path(__file__).parent
SEED, FIRST = 20260, 1000


def particles(low: float, high: float) -> Particles:
    """Sixteen electrons with equidistant logarithms of their energies, in MeV."""
    return Particles(torch.logspace(np.log10(low), np.log10(high), 16))


def _crystals() -> Particles:
    return particles(12_000.0, 95_000.0)


def _par04() -> Particles:
    return particles(1_500.0, 95_000.0)


def _refined(name: str, *, reverse: bool = False) -> torch.Tensor:
    fast = pbwo4_gflash().simulate(_crystals(), seed=SEED)
    return zoo.load(name).refine(fast, seed=SEED, first_index=FIRST, reverse=reverse).deposits


def _at_angles() -> Particles:
    theta = torch.linspace(0, 0.7, 16)
    species = torch.tensor([11, 22]).repeat(8)
    return replace(_par04(), pdg=species, theta=theta, phi=torch.full_like(theta, torch.pi / 2))


def _generated(name: str, particles: Callable[[], Particles] = _par04) -> torch.Tensor:
    made = zoo.load_surrogate(name).simulate(particles(), seed=SEED, first_index=FIRST)
    return dense(made).deposits


RUNS: dict[str, Callable[[], torch.Tensor]] = {
    "gflash": lambda: pbwo4_gflash().simulate(_crystals(), seed=SEED, first_index=FIRST).deposits,
    "gflash-mean": lambda: pbwo4_gflash().mean(_crystals()),
    "gflash-par04": lambda: (
        gflash_of(load_detector("par04-lowgran")).simulate(_par04(), seed=SEED).deposits
    ),
    "gflash-par04-mean": lambda: gflash_of(load_detector("par04-lowgran")).mean(_par04()),
    "gflash-calogan": lambda: (
        gflash_of(load_detector("calogan-3layer")).simulate(_par04(), seed=SEED).deposits
    ),
    "squirels-fast": lambda: _refined("squirels-fast"),
    "squirels-fast-reverse": lambda: _refined("squirels-fast", reverse=True),
    "squirels-laptop": lambda: _refined("squirels-laptop"),
    "calodream-ds2-laptop": lambda: _generated("calodream-ds2-laptop"),
    "calodream-mesh-laptop": lambda: _generated("calodream-mesh-laptop", _at_angles),
    "l2lflows-ds2-laptop": lambda: _generated("l2lflows-ds2-laptop"),
    "caloflow-laptop": lambda: _generated("caloflow-laptop"),
    "caloclouds-laptop": lambda: _generated("caloclouds-laptop"),
}
"""The deposits of each run, in MeV, with shape (16, cells)."""


def made_on() -> str:
    """What decides the last bits of floating-point numbers: torch, and the instructions that it
    uses on this processor.
    """
    return f"torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()} {_processor()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )


def write() -> None:
    """Write the file of each run."""
    torch.set_num_threads(1)
    for name, run in RUNS.items():
        deposits = run().detach().cpu().numpy()
        np.savez_compressed(FOLDER / f"{name}.npz", deposits=deposits, made_on=np.array(made_on()))


if __name__ == "__main__":
    write()
