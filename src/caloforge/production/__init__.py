"""Production: any source through any simulator, refiner or chain into any file, in bounded memory;
what is finished when a run is interrupted is kept, and the run goes on from there to the same
bytes. A `Plan` is produced in shards, by any number of processes and machines.
"""

__all__ = [
    "Action",
    "Campaign",
    "Guarded",
    "Guards",
    "Journal",
    "Moved",
    "Plan",
    "Produced",
    "Record",
    "Shard",
    "by_dask",
    "by_processes",
    "copy",
    "journal_of",
    "make_shard",
    "produce",
]

from caloforge.production.campaign import Campaign, Record, make_shard
from caloforge.production.engines import by_dask, by_processes
from caloforge.production.guarded import Guarded
from caloforge.production.journal import Journal, journal_of
from caloforge.production.plan import Action, Guards, Plan, Shard
from caloforge.production.producing import Moved, Produced, copy, produce
