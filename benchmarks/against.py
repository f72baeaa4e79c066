"""Is this version as fast as another one? Both do the same work in turns, on one core.

``python benchmarks/against.py OTHER/src`` runs each job by this checkout and by the package in the
other folder, one after the other and again, so that what else the machine does falls on both. For
each job it prints the least CPU time of either and their ratio, this version's over the other's.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

OURS = Path(__file__).resolve().parents[1] / "src"

WORKER = """
import json, sys, tempfile, time, warnings
import torch
from pathlib import Path
from caloforge import zoo
from caloforge.cli import main
from caloforge.detector import load_detector
from caloforge.io import convert
from caloforge.simulators import gflash_of, pbwo4_gflash

warnings.simplefilter("ignore")
torch.set_num_threads(1)
folder = Path(tempfile.mkdtemp())
crystals = zoo.bundled_showers("pbwo4-geant4")[:1000].particles
par04 = zoo.bundled_showers("par04-geant4")[:100].particles
gflash, layered = pbwo4_gflash(), gflash_of(load_detector("par04-lowgran"))
fast = gflash.simulate(crystals, seed=1)


def command(*words):
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        if end.code:
            raise


def model(name, load):
    if name not in models:
        models[name] = load(name)
    return models[name]


models = {}
full, made = folder / "full.h5", folder / "fast.h5"


def files():
    if not made.exists():
        convert(zoo.bundled_showers("pbwo4-geant4")[:1000], full)
        command("simulate", "gflash", "--like", full, "--seed", 1, made, "--threads", 1)


def train(recipe, *words):
    out = folder / f"trained-{len(list(folder.iterdir()))}"
    command("train", recipe, "--out", out, "--threads", 1, *words)


def train_bridge():
    files()
    train("squirels-fast", "--full", full, "--fast", made, "--set", "steps=60")


def train_surrogate():
    data = Path(zoo.__file__).parent / "showers" / "par04-geant4.h5"
    keys = "energy.schedule", "shape.flow.schedule", "shape.autoencoder_schedule"
    few = [word for key in keys for word in ("--set", f"{key}.epochs=0.3")]
    train("calodream-ds2-laptop", "--data", data, *few)


def evaluate(*words):
    files()
    command("evaluate", full, made, "--out", folder / "report", "--overwrite", *words)


def refine():
    files()
    out = folder / "refined.h5"
    command("refine", "squirels-fast", made, out, "--overwrite", "--threads", 1, "--seed", 1)


JOBS = {
    "GFlash, crystals, 1,000": lambda: gflash.simulate(crystals, seed=1),
    "GFlash, par04, 100": lambda: layered.simulate(par04, seed=1),
    "GFlash, mean, 100": lambda: gflash.mean(crystals[:100]),
    "refine squirels-fast, 1,000": lambda: model("squirels-fast", zoo.load).refine(fast, seed=1),
    "refine squirels-fast, 1": lambda: model("squirels-fast", zoo.load).refine(fast[:1], seed=1),
    "refine squirels-laptop, 100": lambda: model("squirels-laptop", zoo.load).refine(
        fast[:100], seed=1
    ),
    **{
        f"generate {name}, 100": lambda name=name: model(name, zoo.load_surrogate).simulate(
            par04, seed=1
        )
        for name in ("calodream-ds2-laptop", "l2lflows-ds2-laptop", "caloflow-laptop")
    },
    "caloforge refine, 1,000": refine,
    "caloforge evaluate --no-classifier, 1,000": lambda: evaluate("--no-classifier"),
    "caloforge evaluate, 1,000": evaluate,
    "caloforge train squirels-fast, 60 steps": train_bridge,
    "caloforge train calodream-ds2-laptop, 0.3 epochs": train_surrogate,
}

answers = sys.stdout
sys.stdout = sys.stderr
print(json.dumps(list(JOBS)), file=answers, flush=True)
for line in sys.stdin:
    start = time.process_time()
    JOBS[line.strip()]()
    print(time.process_time() - start, file=answers, flush=True)
"""


class Worker:
    """A process that does jobs with the package of a folder."""

    def __init__(self, source: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.jobs: list[str] = json.loads(self._answer())

    def seconds(self, job: str) -> float:
        """Do a job; its time."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{job}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            message = "a worker has died: run its job by hand"
            raise SystemExit(message)
        return answer


def main() -> None:
    """Run the jobs and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="the folder that holds the other package")
    parser.add_argument("--repeats", type=int, default=5, help="how often each does each job")
    parser.add_argument("--only", default="", help="the jobs whose name begins so")
    options = parser.parse_args()
    ours, others = Worker(OURS), Worker(options.other.resolve())
    print(f"{'job':48}{'other [ms]':>12}{'this [ms]':>12}{'ratio':>8}")
    for job in ours.jobs:
        if job.startswith(options.only):
            times = [(others.seconds(job), ours.seconds(job)) for _ in range(options.repeats + 1)]
            other, this = (min(side[1:]) for side in zip(*times, strict=True))
            print(f"{job:48}{1000 * other:12.1f}{1000 * this:12.1f}{this / other:8.3f}", flush=True)


if __name__ == "__main__":
    main()
