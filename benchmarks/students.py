"""How fast a student samples beside its teacher, and how well it agrees with it (arXiv:2110.11377).

    python benchmarks/students.py caloflow-laptop --sample held-out.h5

prints for each batch size the time a shower of the teacher and of the student, on one thread, best
of several, and their ratio (the group in the middle stands for all); then how far the numbers of a
cell lie apart that both make of the same random numbers, as a root mean square and at most.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from caloforge import zoo
from caloforge.io import open_showers
from caloforge.learn.training import generator
from caloforge.showers import Showers
from caloforge.systems.caloflow import MaskedShapeStage

SEED = 41
COMPARED = 256


def best(make: Callable[[], Tensor], repeats: int) -> float:
    """The least time of several, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        make()
        times.append(time.perf_counter() - start)
    return min(times)


def middle(stage: MaskedShapeStage, showers: Showers) -> tuple[int, Tensor, Tensor]:
    """The number of the flow of the group in the middle, its condition in these showers, and
    standard normal numbers for it.
    """
    group, random = stage.groups // 2, generator(SEED, 0, 0)
    number = stage.number(group)
    numbers, window = stage.examples(number, showers, random)
    rows = slice(group, None, stage.groups) if len(numbers) > len(showers) else slice(None)
    condition = stage.condition(window)[rows]
    return number, condition, torch.randn(len(condition), numbers.shape[1], generator=random)


@torch.inference_mode()
def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model of the package, or a directory made by training")
    parser.add_argument(
        "--sample", required=True, type=Path, help="showers whose conditions are taken"
    )
    parser.add_argument("--batch-sizes", default="1,16,100,1000")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    stage = zoo.load_surrogate(options.model).shape
    if not isinstance(stage, MaskedShapeStage) or stage.students is None:
        msg = f"{options.model} has no student"
        raise SystemExit(msg)
    file = open_showers(options.sample, stage.calorimeter)
    for size in (int(text) for text in options.batch_sizes.split(",")):
        number, condition, noise = middle(stage, file[:size])
        teacher, student = (
            1e3
            * stage.groups
            / size
            * best(partial(flow.inverse, noise, condition), options.repeats)
            for flow in (stage.flows[number], stage.students[number])
        )
        print(
            (
                f"batches of {size}: teacher {teacher:.1f}, student {student:.2f} ms a shower, "
                f"{teacher / student:.1f} times"
            ),
            flush=True,
        )
    number, condition, noise = middle(stage, file[:COMPARED])
    taught, learned = (
        flow.inverse(noise, condition) for flow in (stage.flows[number], stage.students[number])
    )
    apart, width = learned - taught, float(taught.std())
    rms, most = float(apart.square().mean().sqrt()), float(apart.abs().max())
    print(f"a cell's numbers, of width {width:.3f}, lie {rms:.4f} (rms) apart, at most {most:.3f}")


if __name__ == "__main__":
    main()
