"""Who makes the shards of a production: processes of this machine, or the workers of Dask.

The order in which they are finished changes no byte. Where a process is killed, processes of this
machine end with one line, and what is finished is kept; Dask gives its shards to other workers.
"""

__all__ = ["by_dask", "by_processes"]

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from caloforge.errors import OutputError
from caloforge.packages import optional_package
from caloforge.production.campaign import Campaign, Record, make_shard
from caloforge.production.plan import Shard

_ATTEMPTS = 3


def by_processes(campaign: Campaign, shards: Sequence[Shard], workers: int = 1) -> Iterator[Record]:
    """Make shards by processes of this machine; one worker is this process.

    Arguments:
        campaign: The production.
        shards: The shards to make.
        workers: How many processes.

    Raises:
        OutputError: A process was killed, as by a lack of memory.
    """
    if workers == 1 or len(shards) < 2:
        for shard in shards:
            yield campaign.make(shard)
        return
    asked = campaign.plan, str(campaign.folder.resolve())
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(make_shard, *asked, shard.number) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            msg = (
                f"{campaign.folder}: a worker was killed: what is finished is kept; produce again "
                "to go on, with fewer workers if memory was short"
            )
            raise OutputError(msg) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def by_dask(
    campaign: Campaign, shards: Sequence[Shard], cluster: str, workers: int = 1
) -> Iterator[Record]:
    """Make shards by the workers of a Dask cluster, which see the same folder.

    Arguments:
        campaign: The production.
        shards: The shards to make.
        cluster: The address of its scheduler, or ``local`` for one on this machine.
        workers: How many workers a local one has.

    Raises:
        PackageError: The packages of the extra ``dask`` are not installed.
    """
    dask = optional_package("distributed", "dask")
    asked = campaign.plan, str(campaign.folder.resolve())
    with _client(dask, cluster, workers) as client:
        futures = [
            client.submit(make_shard, *asked, shard.number, pure=False, retries=_ATTEMPTS)
            for shard in shards
        ]
        for future in dask.as_completed(futures):
            yield future.result()


def _client(dask: Any, cluster: str, workers: int) -> Any:
    if cluster != "local":
        return dask.Client(cluster)
    return dask.Client(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    )
