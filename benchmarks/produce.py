"""What production costs beside its chain: time in shards over time of the chain alone, and memory.

The chain makes the same showers in the same batches, once into shards with records and checksums,
joined and checked, and once into nothing; the times are of one process and of its processor.

    python benchmarks/produce.py --number 20000
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch

from caloforge.production import Campaign, Plan, by_processes


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=20_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = Plan("gflash", options.number, "10GeV:100GeV", 1, "pbwo4-10x10", ("squirels-fast",))
    chain = plan.chain()
    chain.simulate(plan.gun[:1000], seed=1)
    start = time.process_time()
    for first in range(0, plan.number, plan.batch_size):
        batch = plan.gun[first : first + plan.batch_size]
        chain.simulate(batch, seed=plan.seed, first_index=first)
    alone = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(plan, Path(folder) / "shards", chain)
        start = time.process_time()
        list(by_processes(campaign, campaign.missing()))
        shards = time.process_time() - start
        campaign.merge(Path(folder) / "merged.h5")
        merged = time.process_time() - start - shards
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    for words, seconds in (("chain", alone), ("in shards", shards), ("check and join", merged)):
        print(f"{words}: {1e3 * seconds / plan.number:.3f} ms a shower")
    print(f"production over the chain: {100 * ((shards + merged) / alone - 1):.1f} %")
    print(f"peak memory: {peak:.2f} GB")


if __name__ == "__main__":
    main()
