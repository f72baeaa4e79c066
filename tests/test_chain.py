"""Chains: members one behind the other, and descriptions that make them again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caloforge import zoo
from caloforge.chain import Chain, Crossing, describe, from_description, title_of
from caloforge.detector import Role, load_detector
from caloforge.errors import GeometryMismatchError, ModelError
from caloforge.simulators import Geant4, GFlash, Record, Refiner, Simulator, gflash_of, pbwo4_gflash
from tests.makers import ByEnergy, electrons, par04


def tuned() -> GFlash:
    """GFlash with a response and a constant of its own."""
    start = gflash_of(load_detector("par04-lowgran"))
    return replace(start, response=0.95, tuning=replace(start.used_tuning, maximum_1=-0.8))


DESCRIBED: dict[str, Simulator | Refiner] = {
    "gflash": pbwo4_gflash(),
    "gflash of a detector": par04(),
    "tuned gflash": tuned(),
    "geant4": Geant4(load_detector("pbwo4-10x10"), "em-option1", cut=0.5),
    "geant4-regions": Geant4(load_detector("ild-ecal-30"), region_cuts={Role.ACTIVE: 0.1}),
    "geant4-hits": Geant4(load_detector("hgcal-si"), record=Record.HITS),
    "surrogate": zoo.load_surrogate("caloflow-laptop"),
    "refiner": zoo.load("squirels-fast"),
    "bridge": Crossing(zoo.load("squirels-fast"), steps=2, reverse=True),
    "chain": Chain(
        pbwo4_gflash(),
        zoo.load("squirels-fast"),
        Crossing(zoo.load("squirels-laptop"), reverse=True),
    ),
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_description_goes_to_json_and_back(name: str) -> None:
    maker = DESCRIBED[name]
    told = json.loads(json.dumps(describe(maker)))
    again = from_description(told)
    assert describe(again) == describe(maker)
    assert title_of(again) == title_of(maker)
    assert again.calorimeter == maker.calorimeter
    assert again.validity == maker.validity


@pytest.mark.parametrize("name", ["gflash", "tuned gflash", "surrogate", "chain"])
def test_what_is_made_again_makes_the_same_showers(name: str) -> None:
    maker = DESCRIBED[name]
    again = from_description(json.loads(json.dumps(describe(maker))))
    assert isinstance(maker, Simulator)
    assert isinstance(again, Simulator)
    made = [m.simulate(electrons(5), seed=2, first_index=3).deposits for m in (maker, again)]
    assert torch.equal(*made)


def test_a_chain_gives_what_its_members_give_one_by_one() -> None:
    fast, bridge = pbwo4_gflash(), zoo.load("squirels-fast")
    chain = Chain(fast, bridge)
    by_hand = bridge.refine(
        fast.simulate(electrons(), seed=4, first_index=5), seed=4, first_index=5
    )
    made = chain.simulate(electrons(), seed=4, first_index=5)
    assert torch.equal(made.deposits, by_hand.deposits)
    assert isinstance(chain, Simulator)
    parts = [chain.simulate(electrons()[k : k + 4], seed=4, first_index=5 + k) for k in (0, 4)]
    assert torch.equal(torch.cat([p.deposits for p in parts]), made.deposits[:8])


def test_refiners_of_one_kind_draw_different_numbers() -> None:
    bridge = zoo.load("squirels-laptop")
    chain = Chain(pbwo4_gflash(), bridge, bridge, bridge)
    seeds = chain.seeds(4)
    assert seeds[:2] == (4, 4)
    assert len(set(seeds)) == 3
    assert seeds == chain.seeds(4)
    assert len(seeds) == len(chain.members)


def test_chains_of_chains_are_chains() -> None:
    bridge = zoo.load("squirels-fast")
    nested = Chain(Chain(pbwo4_gflash(), bridge), bridge)
    assert nested.describe() == Chain(pbwo4_gflash(), bridge, bridge).describe()


def test_weights_pass() -> None:
    weights = ByEnergy(pbwo4_gflash().calorimeter)
    for refiners in ((weights,), (zoo.load("squirels-fast"), weights)):
        made = Chain(pbwo4_gflash(), *refiners).simulate(electrons(), seed=1)
        assert made.weights is not None
        assert len(made.weights) == len(electrons())
    made = Chain(pbwo4_gflash(), weights, zoo.load("squirels-fast")).simulate(electrons(), seed=1)
    assert made.weights is not None


def test_members_are_of_one_calorimeter() -> None:
    with pytest.raises(GeometryMismatchError, match="the refiner of a chain"):
        Chain(par04(), zoo.load("squirels-fast"))


def test_the_progress_is_that_of_the_last_member() -> None:
    finished: list[int] = []
    Chain(pbwo4_gflash(), zoo.load("squirels-fast")).simulate(
        electrons(), seed=1, progress=finished.append
    )
    assert sum(finished) == len(electrons())


def test_a_model_that_was_trained_anew_is_another(tmp_path: Path) -> None:
    described = describe(zoo.load("squirels-fast"))
    with pytest.raises(ModelError, match=r"squirels-fast.*checksum.*trained anew"):
        from_description({**described, "sha256": "0" * 64})
    with pytest.raises(ModelError, match="no model 'gone'"):
        from_description({**described, "model": "gone"})


@pytest.mark.parametrize(
    "told",
    [None, 3, {}, {"kind": "toy"}, {"simulator": None, "refiners": []}],
    ids=str,
)
def test_other_values_are_no_description(told: object) -> None:
    with pytest.raises(ModelError, match="no description of a simulator or refiner"):
        from_description(told)


def test_a_refiner_is_no_simulator() -> None:
    refiner = describe(zoo.load("squirels-fast"))
    with pytest.raises(ModelError, match="a chain is a simulator and refiners behind it"):
        Chain.from_description({"simulator": refiner, "refiners": []})


def test_what_cannot_be_made_again_has_no_description(tmp_path: Path) -> None:
    model = zoo.load("squirels-fast")
    model.directory = None
    with pytest.raises(ModelError, match="not on disk"):
        describe(model)
    with pytest.raises(ModelError, match="has no description"):
        describe(ByEnergy(pbwo4_gflash().calorimeter))
    with pytest.raises(GeometryMismatchError):
        describe(replace(pbwo4_gflash(), step=0.2))
