"""The time in which commands answer: CPU seconds of the whole process, the median of ten.

Beside them stands what `import torch` takes alone, which every command needs that computes::

    python benchmarks/start.py --repeats 10
"""

import argparse
import resource
import statistics
import subprocess
import sys

from caloforge.bundled import SAMPLES

CLI = ("-c", "from caloforge.cli import main; main()")
SAMPLE = str(SAMPLES.find("pbwo4-geant4"))
CASES = {
    "import caloforge": ("-c", "import caloforge"),
    "import torch": ("-c", "import torch"),
    "caloforge --version": (*CLI, "--version"),
    "caloforge --help": (*CLI, "--help"),
    "caloforge refine --help": (*CLI, "refine", "--help"),
    "a file that is not there": (*CLI, "show", "absent.h5"),
    "a model that is not there": (*CLI, "refine", "absent", SAMPLE, "out.h5"),
    "an energy without its unit": (*CLI, "bench", "gflash", "--energy", "50"),
    "caloforge show": (*CLI, "show", SAMPLE),
}


def seconds(words: tuple[str, ...]) -> float:
    """The CPU time of a process of Python."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    repeats = parser.parse_args().repeats
    for name, words in CASES.items():
        times = [seconds(words) for _ in range(repeats)]
        print(f"{name:30} {statistics.median(times):6.2f} s")


if __name__ == "__main__":
    main()
