"""`caloforge produce`: many showers, in shards, on one machine or many."""

__all__ = ["produce"]

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._console import say, tell
from caloforge.cli._options import OptionError, Overwrite, existing_argument
from caloforge.cli._progress import bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caloforge.production import Campaign, Record


def produce(
    plan: Annotated[Path, existing_argument("PLAN.yaml", "What to produce.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the shards go.")],
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes on this machine.")
    ] = 1,
    shard: Annotated[
        str, typer.Option(metavar="K/N", help="The K-th of N jobs of a batch system, from 1.")
    ] = "1/1",
    dask: Annotated[
        str | None,
        typer.Option(metavar="local|ADDRESS", help="By the workers of a Dask cluster."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check all shards, and make damaged ones again.")
    ] = False,
    merge: Annotated[
        Path | None, typer.Option(metavar="OUT.h5", help="Join the shards when all are made.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Produce the showers of a plan, in shards, with a manifest.

    Shower i depends on the chain, the seed and i alone: neither workers nor batches, machines or
    interruptions change a byte of it. Run the same command again to go on.

    \b
    Examples:
      caloforge produce plan.yaml production --workers 2
      caloforge produce plan.yaml production --shard 3/100
      caloforge produce plan.yaml production --dask tcp://scheduler:8786
      caloforge produce plan.yaml production --verify --merge showers.h5
    """
    from caloforge.production import Campaign, Plan, by_dask, by_processes

    part = _part(shard)
    campaign = Campaign(Plan.read(plan), folder)
    if verify:
        for damaged in campaign.verify():
            tell(f"{folder / damaged.name}: damaged, and made again")
    asked = campaign.missing(part)
    made = (
        by_processes(campaign, asked, workers)
        if dask is None
        else by_dask(campaign, asked, dask, workers)
    )
    _watch(made, sum(one.stop - one.start for one in asked))
    if campaign.missing():
        say(f"{folder}: {len(asked)} shards made, {len(campaign.missing())} are left to others")
        return
    _finish(campaign, merge, overwrite=overwrite)


def _part(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    k, n = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= k <= n:
        msg = f"--shard {text}: expected K/N with K from 1 to N, such as 3/100"
        raise OptionError(msg)
    return k, n


def _watch(made: "Iterator[Record]", showers: int) -> None:
    with bar("producing", showers) as advance:
        for record in made:
            advance(record.stop - record.start)


def _finish(campaign: "Campaign", merge: Path | None, *, overwrite: bool) -> None:
    from caloforge.production.campaign import spread, total

    records = campaign.finish()
    say(
        f"{campaign.folder}: {campaign.plan.number:,} showers in {len(records)} shards, "
        f"{spread(records):.3g} ms each"
    )
    for guard, number in total(records).items():
        say(f"  {number:,} showers: {guard}")
    if merge is not None:
        say(f"{merge}: sha256 {campaign.merge(merge, overwrite=overwrite)}")
