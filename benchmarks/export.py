"""How fast the bundled models are as ONNX, beside torch, on one core.

For each model and batch the milliseconds a shower, the best of several repeats: torch as it is
(``graph_of``, the same function without drawing its random numbers), TorchScript, and ONNX Runtime.

    python benchmarks/export.py --batches 1 100
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from caloforge import zoo
from caloforge.export import OnnxRunner, compared, export

REPEATS, SHORTEST = 5, 0.5


def milliseconds(make: Callable[..., Tensor], inputs: Sequence[Tensor]) -> float:
    """The time a shower, the best of several repeats of at least half a second."""
    make(*inputs)
    best = float("inf")
    for _ in range(REPEATS):
        start, rounds = time.perf_counter(), 0
        while time.perf_counter() - start < SHORTEST or not rounds:
            make(*inputs)
            rounds += 1
        best = min(best, (time.perf_counter() - start) / rounds)
    return 1000 * best / len(inputs[0])


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--models", nargs="+", default=list(zoo.names()))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| model | batch | torch | TorchScript | ONNX Runtime | difference | MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            rows(name, options.batches, Path(folder))


def rows(name: str, batches: Sequence[int], folder: Path) -> None:
    """The rows of a model."""
    source = compared(zoo.load_model(name), max(100, *batches))
    script = export(zoo.load_model(name), "torchscript", folder / "m.pt", source=source)
    made = export(zoo.load_model(name), "onnx", folder / "m.onnx", source=source)
    size = made.files[0].stat().st_size / 1e6
    runs = made.graph, torch.jit.load(str(script.files[0])), OnnxRunner(made.files[0])
    for batch in batches:
        inputs = made.graph.examples(source[:batch], seed=1)
        with torch.no_grad():
            times = " | ".join(f"{milliseconds(run, inputs):.3g}" for run in runs)
        print(
            f"| `{name}` | {batch} | {times} | {made.parity.difference:.0e} | {size:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
