"""High-level features: those of the CaloChallenge's own code, and how many there are."""

from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge.geometry import Calorimeter, calochallenge_2, named_calorimeters
from caloforge.observables import (
    CENTRE_X,
    SHOWER_LEVEL,
    centre_z,
    feature_names,
    high_level_features,
    layer_centre_r,
    layer_centre_x,
    layer_centre_y,
    layer_energies,
    layer_width_r,
    layer_width_x,
    layer_width_y,
    n_hits,
    response,
    shower_level_features,
    sparsity,
    total_energy,
)
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.units import keV
from tests.catalogue import CALORIMETERS, name_of
from tests.observables.samples import random_showers

EXCERPT = Path(__file__).parents[1] / "data" / "calochallenge_2_features.npz"
THRESHOLD = 0.5 * keV / 0.033


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(EXCERPT, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def showers(reference: dict[str, np.ndarray]) -> Showers:
    rows = np.repeat(np.arange(len(reference["counts"])), reference["counts"])
    deposits = np.zeros((len(reference["counts"]), 6480), dtype=np.float32)
    deposits[rows, reference["cells"]] = reference["deposits"]
    return Showers(
        torch.from_numpy(deposits),
        Particles(torch.from_numpy(reference["energies"])),
        calochallenge_2(),
    )


@pytest.mark.parametrize(
    ("key", "function"),
    [
        *(
            ("E_tot", total_energy),
            ("E_layers", layer_energies),
            ("sparsity", lambda s: sparsity(s, THRESHOLD)),
        ),
        *(("EC_eta", layer_centre_x), ("EC_phi", layer_centre_y), ("EC_r", layer_centre_r)),
        *(("width_eta", layer_width_x), ("width_phi", layer_width_y), ("width_r", layer_width_r)),
    ],
)
def test_each_feature_is_that_of_the_challenges_code(
    key: str,
    function,  # noqa: ANN001 (a fixture)
    reference,  # noqa: ANN001 (a fixture)
    showers: Showers,
) -> None:
    np.testing.assert_allclose(function(showers).numpy(), reference[key], rtol=1e-9, atol=1e-6)


def test_features_are_in_the_order_of_the_challenges_code(
    reference: dict[str, np.ndarray], showers: Showers
) -> None:
    z = reference
    lengths = [z[key] / 100 for key in ("EC_eta", "EC_phi", "width_eta", "width_phi")]
    columns = [np.log10(z["energies"])[:, None], np.log10(z["E_layers"] + 1e-8), *lengths]
    columns += [
        np.log10(z["E_tot"] + 1e-8)[:, None],
        z["sparsity"],
        z["EC_r"] / 100,
        z["width_r"] / 100,
    ]
    np.testing.assert_allclose(
        high_level_features(showers, THRESHOLD).numpy(),
        np.concatenate(columns, axis=1),
        rtol=1e-9,
        atol=1e-8,
    )


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("calochallenge-1-photons", 30),
        ("calochallenge-1-pions", 46),
        ("calochallenge-2", 362),
        ("calochallenge-3", 362),
    ],
)
def test_a_data_set_has_its_published_number_of_features(name: str, n: int) -> None:
    calorimeter = named_calorimeters()[name]
    assert len(feature_names(calorimeter)) == n
    assert high_level_features(random_showers(calorimeter, n=2), 1.0).shape == (2, n)


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_every_feature_is_finite_and_has_a_name_of_its_own(calorimeter: Calorimeter) -> None:
    names = feature_names(calorimeter)
    assert len(set(names)) == len(names)
    showers = random_showers(calorimeter, n=3)
    nothing = Showers(torch.zeros_like(showers.deposits), showers.particles, calorimeter)
    for sample in (showers, nothing):
        features = high_level_features(sample, 1.0)
        assert features.shape == (3, len(names))
        assert features.dtype == torch.float64
        assert torch.isfinite(features).all()


def test_features_go_by_their_names() -> None:
    calorimeter = named_calorimeters()["calochallenge-1-photons"]
    showers = random_showers(calorimeter, n=3)
    feature = dict(
        zip(feature_names(calorimeter), high_level_features(showers, 5.0).T, strict=True)
    )
    torch.testing.assert_close(feature["log10 E incident"], showers.energies.double().log10())
    torch.testing.assert_close(feature["log10 E, layer 12"], layer_energies(showers)[:, 4].log10())
    torch.testing.assert_close(
        feature["centre y / 100 mm, layer 2"], layer_centre_y(showers)[:, 1] / 100
    )
    torch.testing.assert_close(
        feature["width x / 100 mm, layer 1"], layer_width_x(showers)[:, 0] / 100
    )
    torch.testing.assert_close(feature["sparsity, layer 12"], sparsity(showers, 5.0)[:, 4])
    torch.testing.assert_close(
        feature["width r / 100 mm, layer 12"], layer_width_r(showers)[:, 4] / 100
    )


@pytest.mark.parametrize("calorimeter", [c for c in CALORIMETERS if c.has_depth], ids=name_of)
def test_shower_level_features_go_by_their_names(calorimeter: Calorimeter) -> None:
    showers = random_showers(calorimeter, n=3)
    feature = dict(zip(SHOWER_LEVEL, shower_level_features(showers, 5.0).T, strict=True))
    assert len(feature) == 9
    assert torch.equal(feature["E_sum / E"], response(showers))
    assert torch.equal(feature["occupancy"], n_hits(showers, 5.0).double() / calorimeter.n_cells)
    assert torch.equal(feature["centre x [mm]"], CENTRE_X.function(showers))
    assert torch.equal(feature["centre z [mm]"], centre_z(showers))
    assert torch.equal(feature["E [MeV]"], showers.energies.double())
