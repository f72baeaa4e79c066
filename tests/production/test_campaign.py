"""A production makes the same bytes whatever makes it, and whatever happens meanwhile."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caloforge.chain import Chain
from caloforge.errors import NotFiniteError, OutputError, RecipeError, ShowerValueError, UnitError
from caloforge.geometry import Calorimeter
from caloforge.io import open_showers
from caloforge.io.input import checksum
from caloforge.particles import Particles
from caloforge.production import (
    Action,
    Campaign,
    Guarded,
    Guards,
    Plan,
    by_dask,
    by_processes,
)
from caloforge.showers import Showers
from caloforge.simulators import Validity, pbwo4_gflash
from caloforge.simulators.protocols import Progress, silent

PLAN = Plan("gflash", 350, "20GeV:80GeV", 3, "pbwo4-10x10", shard_size=50, batch_size=64)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return PLAN.chain()


@pytest.fixture(scope="module")
def whole(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checksum of the merged file of a run that nothing disturbed."""
    return run(Campaign(PLAN, tmp_path_factory.mktemp("whole") / "shards", chain))


def run(campaign: Campaign) -> str:
    list(by_processes(campaign, campaign.missing()))
    return campaign.merge(campaign.folder.parent / "merged.h5", overwrite=True)


@pytest.mark.parametrize(("shard_size", "batch_size"), [(350, 1000), (37, 15)])
def test_neither_shards_nor_batches_change_a_byte(
    chain: Chain, whole: str, tmp_path: Path, shard_size: int, batch_size: int
) -> None:
    plan = replace(PLAN, shard_size=shard_size, batch_size=batch_size)
    assert run(Campaign(plan, tmp_path / "shards", chain)) == whole


def test_jobs_of_an_array_fill_one_folder(chain: Chain, whole: str, tmp_path: Path) -> None:
    for k in (3, 1, 2):
        campaign = Campaign(PLAN, tmp_path / "shards", chain)
        with pytest.raises(OutputError, match="shards are not made yet"):
            campaign.finish()
        list(by_processes(campaign, campaign.missing((k, 3))))
    assert run(Campaign(PLAN, tmp_path / "shards", chain)) == whole


def killed(work: Callable[[], object], after: float) -> bool:
    """Do some work in a process that is killed meanwhile; whether it had ended by then."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_production_that_is_killed_goes_on(chain: Chain, whole: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    chances = random.Random(1)
    for _ in range(4):
        campaign = Campaign(PLAN, tmp_path / "shards", chain)
        killed(lambda c=campaign: list(by_processes(c, c.missing())), chances.uniform(0.02, 0.2))  # type: ignore[misc]
    assert run(Campaign(PLAN, tmp_path / "shards", chain)) == whole


def test_a_damaged_shard_is_found_and_made_again(chain: Chain, whole: str, tmp_path: Path) -> None:
    campaign = Campaign(PLAN, tmp_path / "shards", chain)
    run(campaign)
    shard = campaign.folder / campaign.plan.shards[2].name
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(OutputError, match=r"shard-000002\.h5: damaged"):
        campaign.merge(tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()
    assert [one.number for one in campaign.missing()] == [2]
    assert run(campaign) == whole


def test_the_manifest_says_what_was_made(chain: Chain, tmp_path: Path) -> None:
    campaign = Campaign(PLAN, tmp_path / "shards", chain)
    run(campaign)
    records = campaign.finish()
    assert (records[0].start, records[-1].stop) == (0, 350)
    assert all(
        one.sha256 == checksum(campaign.folder / f"shard-{one.number:06}.h5") for one in records
    )
    assert '"caloforge"' in (campaign.folder / "manifest.json").read_text()
    made = open_showers(tmp_path / "merged.h5")
    again = pbwo4_gflash().simulate(PLAN.gun[300:], seed=3, first_index=300)
    assert torch.equal(made[300:].deposits, again.deposits)  # type: ignore[union-attr]


def test_a_folder_of_another_plan_is_refused(chain: Chain, tmp_path: Path) -> None:
    Campaign(PLAN, tmp_path, chain)
    with pytest.raises(OutputError, match="holds a production of another plan"):
        Campaign(replace(PLAN, seed=4), tmp_path, chain)


def test_other_formats_are_made_of_the_shards(chain: Chain, tmp_path: Path) -> None:
    campaign = Campaign(replace(PLAN, number=20), tmp_path / "shards", chain)
    run(campaign)
    campaign.merge(tmp_path / "merged.npy")
    assert len(open_showers(tmp_path / "merged.npy")) == 20


def test_a_wrong_energy_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("simulator: caloflow-laptop\nnumber: 5\nenergy: 1Ge\nseed: 1")
    with pytest.raises(UnitError, match="expected a positive number with its unit"):
        Plan.read(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("simulator: gflash\nnumber: 5\nenergy: 1GeV\nseed: 1", "needs detector"),
        ("simulator: caloflow-laptop\ndetector: x\nnumber: 5\nenergy: 1GeV\nseed: 1", "takes no"),
        ("simulator: gflsh\nnumber: 5\nenergy: 1GeV\nseed: 1", "did you mean 'gflash'"),
        ("simulator: gflash\nnumbr: 5\nenergy: 1GeV\nseed: 1", "number"),
        (
            "simulator: gflash\ndetector: pbwo4-10x10\nnumber: 5\nenergy: 1GeV\nseed: 1\n"
            "guards: {action: replace}",
            "there are none",
        ),
    ],
)
def test_wrong_plans_are_refused_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words) as caught:
        Plan.read(path)
    assert "\n" not in str(caught.value)


class Spoiling:
    """A refiner that makes every tenth shower impossible, each kind in turn."""

    def __init__(self, calorimeter: Calorimeter) -> None:
        self.calorimeter, self.validity = calorimeter, Validity(3e4)

    def refine(
        self, showers: Showers, *, seed: int, first_index: int = 0, progress: Progress = silent
    ) -> Showers:
        del seed, progress
        deposits = showers.deposits.clone()
        for row in range(len(deposits)):
            kind, spoilt = divmod(first_index + row, 10)
            if spoilt == 0:
                deposits[row, 0] = (torch.nan, -1.0, 1e9)[kind % 3]
        return replace(showers, deposits=deposits)


def guarded(action: Action) -> tuple[Guarded, Showers]:
    gflash = pbwo4_gflash()
    maker = Guarded(Chain(gflash, Spoiling(gflash.calorimeter)), 0, Guards(2.0, action))
    made = maker.simulate(Particles(torch.full((60,), 2e4)), seed=1)
    assert isinstance(made, Showers)
    return maker, made


def test_guards_count_and_replace() -> None:
    maker, made = guarded(Action.REPLACE)
    kinds = {"not finite": 2, "negative": 2, "beyond the incident energy": 2}
    assert maker.counts == {**kinds, "replaced": 6, "energy outside the validity": 60}
    fast = pbwo4_gflash().simulate(Particles(torch.full((60,), 2e4)), seed=1)
    assert torch.equal(made.deposits[20], fast.deposits[20])


def test_guards_keep_or_refuse() -> None:
    assert guarded(Action.KEEP)[1].deposits[0].isnan().any()
    with pytest.raises(ShowerValueError, match="the first of them shower 0"):
        guarded(Action.REFUSE)


class Refusing(Spoiling):
    """As a model: it refuses to give a batch in which a deposit is no number."""

    def refine(
        self, showers: Showers, *, seed: int, first_index: int = 0, progress: Progress = silent
    ) -> Showers:
        made = super().refine(showers, seed=seed, first_index=first_index)
        if made.deposits.isnan().any():
            msg = "deposits that are not finite"
            raise NotFiniteError(msg)
        return made


def test_guards_see_showers_that_a_model_refuses_to_give() -> None:
    """The others of the batch are those that it makes alone."""
    gflash = pbwo4_gflash()
    particles = Particles(torch.full((40,), 4e4))
    chains = [Chain(gflash, kind(gflash.calorimeter)) for kind in (Spoiling, Refusing)]
    given, refused = (
        Guarded(chain, 0, Guards(2.0, Action.REPLACE)).simulate(particles, seed=1)
        for chain in chains
    )
    assert isinstance(given, Showers)
    assert isinstance(refused, Showers)
    assert torch.equal(given.deposits, refused.deposits)
    kept = Guarded(chains[1], 0, Guards(2.0, Action.KEEP))
    kept.simulate(particles, seed=1)
    assert kept.counts["not finite"] == 2


@pytest.mark.filterwarnings("ignore")
def test_dask_gives_the_shards_of_a_killed_worker_to_others(whole: str, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    campaign = Campaign(PLAN, tmp_path / "shards")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        made = by_dask(campaign, campaign.missing(), cluster.scheduler_address)
        next(made)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        list(made)
    assert campaign.merge(tmp_path / "merged.h5") == whole
