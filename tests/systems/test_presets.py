"""The recipes of surrogates: the published networks, and values that are checked however deep they
lie.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from caloforge.detector import load_detector
from caloforge.errors import RecipeError
from caloforge.geometry import calochallenge_2, calochallenge_3, ild_ecal
from caloforge.models import load_recipe, recipe_names
from caloforge.systems.l2lflows import convolutional_flow

CALORIMETERS = {
    "calodream-ds2": calochallenge_2(),
    "calodream-ds3": calochallenge_3(),
    "l2lflows-ds3": calochallenge_3(),
    "l2lflows-gettinghigh": ild_ecal(),
}

PUBLISHED = {"calodream-ds2": (2_384_705, 26_042_688), "calodream-ds3": (2_384_705, 5_868_870)}
"""The parameters of the network of the layer energies and of that of the shape, as submitted to the
CaloChallenge.
"""

FLOWS = {"l2lflows-ds3": 194_964_482, "l2lflows-gettinghigh": 163_403_252}
"""The parameters of flows that are published; the second paper's number counts otherwise, as the
recipe says.
"""

CALOCLOUDS_3 = 69_608
"""The parameters of the network of the points in the public code of CaloClouds3."""

ALL_SHOWERS = 263_491
"""The parameters of the transformer in the public code of AllShowers, for the 78 layers of ILD and
the twelve species there.
"""

LATENT = {"calodream-ds2": (2, 15, 9, 9), "calodream-ds3": (2, 9, 26, 16)}

CHANGES: list[tuple[str, Any, str]] = [
    ("warp", 9, "unknown key 'warp'"),
    ("energy.warp", 9, "unknown key 'energy.warp'"),
    ("energy.schedule.warp", 9, "unknown key 'energy.schedule.warp'"),
    ("shape.warp", 9, "unknown key 'shape.warp'"),
    ("shape.flow.schedule.warp", 9, "unknown key 'shape.flow.schedule.warp'"),
    ("shape.flow.bespoke.warp", 9, "unknown key 'shape.flow.bespoke.warp'"),
    (
        "shape.stage",
        "warp",
        "shape.stage: 'warp' is unknown, expected .*'vision', .*'latent'",
    ),
    ("shape.flow.path", "wild", r"shape.flow.path: expected 'linear', .*, found 'wild\'"),
    ("shape.patch", [3, 16], "shape.patch.2: is missing"),
    ("shape.patch", [3, 16, 1, 1], "shape.patch: expected at most 3 values, found list of 4"),
    ("shape.network.dim", 480.5, "shape.network.dim: expected a whole number, found 480.5"),
    (
        "shape.flow.schedule.epochs",
        "many",
        "shape.flow.schedule.epochs: expected a number, found 'many'",
    ),
    ("shape.flow.schedule.epochs", 0, "shape.flow.schedule.epochs: expected a number above 0"),
    (
        "shape.flow.schedule.batch_size",
        -3,
        "shape.flow.schedule.batch_size: expected a number above 0",
    ),
    (
        "shape.flow.schedule.average",
        1.0,
        "shape.flow.schedule.average: expected a number below 1",
    ),
    (
        "shape.flow.bespoke.evaluations",
        0,
        "shape.flow.bespoke.evaluations: expected a number above 0",
    ),
    ("shape.network.blocks", -1, "shape.network.blocks: expected a number above 0"),
    ("energy.schedule", 7, "energy.schedule: expected keys and values"),
]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks_have_the_published_number_of_parameters(name: str) -> None:
    """Of the two networks alone: the solver made for the flow has numbers of its own."""
    recipe, calorimeter = load_recipe(name), CALORIMETERS[name]
    networks = recipe.energy.build(calorimeter).network, recipe.shape.build(calorimeter).network
    assert tuple(parameters(network) for network in networks) == PUBLISHED[name]


@pytest.mark.parametrize("name", FLOWS)
def test_the_published_flows_have_the_published_number_of_parameters(name: str) -> None:
    recipe, calorimeter = load_recipe(name), CALORIMETERS[name]
    energy = recipe.energy.build(calorimeter).network
    with torch.device("meta"):
        flows = [
            convolutional_flow(
                calorimeter, recipe.shape, recipe.beam, 0, min(k, recipe.shape.former)
            )
            for k in range(calorimeter.n_layers)
        ]
    assert sum(parameters(network) for network in (energy, *flows)) == FLOWS[name]


def test_the_published_point_network_has_the_published_number_of_parameters() -> None:
    """On any calorimeter: points know the particle alone, and make their layers."""
    recipe = load_recipe("caloclouds3")
    for calorimeter in CALORIMETERS.values():
        assert parameters(recipe.shape.build(calorimeter, recipe.beam).network) == CALOCLOUDS_3


def test_the_published_transformer_has_the_published_number_of_parameters() -> None:
    recipe = load_recipe("allshowers")
    species = (11, -11, 22, 130, 211, -211, 310, 321, -321, 2112, 2212, -2212)
    calorimeter = load_detector("ild-ecal-hcal").calorimeter
    shape = recipe.shape.build(calorimeter, replace(recipe.beam, species=species))
    assert parameters(shape.network) == ALL_SHOWERS


@pytest.mark.parametrize("name", LATENT)
def test_the_autoencoders_have_the_published_latent_shape(name: str) -> None:
    shape = load_recipe(f"{name}-latent").shape.build(CALORIMETERS[name])
    assert shape.point_shape == LATENT[name]
    assert shape.network.shape == LATENT[name][1:]


@pytest.mark.parametrize("name", LATENT)
def test_the_energies_of_the_layers_are_made_alike(name: str) -> None:
    assert (
        load_recipe(f"{name}-latent").energy
        == load_recipe(name).energy
        == load_recipe("calodream-ds2").energy
    )


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_package_is_one(name: str) -> None:
    assert load_recipe(name).summary.endswith(".")


@pytest.mark.parametrize(("key", "value", "message"), CHANGES)
def test_values_are_checked_in_every_group(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path, changed = tmp_path / "mine.yaml", asdict(load_recipe("calodream-ds2"))
    group = changed
    *groups, last = key.split(".")
    for name in groups:
        group = group[name]
    group[last] = value
    path.write_text(yaml.safe_dump(changed))
    with pytest.raises(RecipeError, match=rf"recipe .*mine\.yaml: {message}"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    "key",
    [
        "shape.warp",
        "shape.network.dim.more",
        "shape.network.dim.more.yet",
        "shape.flow.bespoke.steps",
    ],
)
def test_overrides_name_keys_that_there_are(key: str) -> None:
    overrides = {"shape.flow.bespoke": "null", key: "3"}
    with pytest.raises(RecipeError, match=f"recipe calodream-ds2 has no key '{key}'"):
        load_recipe("calodream-ds2", overrides)


def test_a_stage_without_a_solver_of_its_own() -> None:
    recipe = load_recipe(
        "calodream-ds2", {"shape.flow.bespoke": "null", "shape.flow.solver": "midpoint"}
    )
    assert recipe.shape.flow.bespoke is None
    assert recipe.shape.flow.solver == "midpoint"
