"""What classifiers see, cell by cell, against slow and obvious loops."""

import math
from dataclasses import replace

import pytest
import torch

from caloforge.classifiers import (
    CLASSIFIERS,
    DepositImage,
    EveryCell,
    HighLevel,
    Inputs,
    LayerWise,
    NormalisedVoxels,
    ShowerLevel,
    VoxelImage,
    Voxels,
    WithSpectrum,
    classifiers_for,
)
from caloforge.classifiers.inputs import image_of
from caloforge.errors import GeometryError
from caloforge.geometry import (
    Calorimeter,
    CylinderGrid,
    RegularGrid,
    calochallenge_1_photons,
    calochallenge_2,
)
from caloforge.observables import feature_names, high_level_features
from caloforge.particles import Particles
from caloforge.showers import Showers
from tests.catalogue import CALORIMETERS, name_of

CUT = 0.3
ALL: list[Inputs] = [
    kind(CUT)
    for kind in (
        *(HighLevel, WithSpectrum, LayerWise, ShowerLevel),
        *(Voxels, NormalisedVoxels, VoxelImage, EveryCell),
    )
]
SMALL = [c for c in CALORIMETERS if c.n_cells < 5000]
ALIKE = [
    c
    for c in SMALL
    if isinstance(c, CylinderGrid) and len({(la.n_alpha, la.n_r) for la in c.cylinder_layers}) == 1
]
IMAGES = [*(c for c in SMALL if isinstance(c, RegularGrid)), *ALIKE]


def showers(calorimeter: Calorimeter, n: int = 4) -> Showers:
    generator = torch.Generator().manual_seed(0)
    deposits = torch.rand(n, calorimeter.n_cells, generator=generator)
    deposits[1] = 0
    return Showers(deposits, Particles(torch.tensor([1e3, 2e3, 5e4, 7e4])[:n]), calorimeter)


@pytest.mark.parametrize("calorimeter", SMALL, ids=name_of)
@pytest.mark.parametrize("inputs", ALL, ids=lambda i: type(i).__name__)
def test_a_showers_inputs_are_finite_and_its_own(inputs: Inputs, calorimeter: Calorimeter) -> None:
    given = showers(calorimeter)
    if isinstance(inputs, ShowerLevel) and not calorimeter.has_depth:
        with pytest.raises(GeometryError, match="thickness of layer"):
            inputs(given)
        return
    before = given.deposits.clone()
    seen = inputs(given)
    assert seen.isfinite().all()
    assert torch.equal(given.deposits, before)
    alone = torch.cat([inputs(given[k : k + 1]) for k in range(4)])
    assert torch.allclose(seen, alone, rtol=1e-6)


@pytest.mark.parametrize(
    "inputs",
    [i for i in ALL if not isinstance(i, NormalisedVoxels | EveryCell)],
    ids=lambda i: type(i).__name__,
)
def test_deposits_below_the_threshold_are_not_seen(inputs: Inputs) -> None:
    given = showers(calochallenge_2())
    cut = replace(given, deposits=torch.where(given.deposits < CUT, 0.0, given.deposits))
    assert torch.equal(inputs(given), inputs(cut))
    assert not torch.equal(inputs.above(0.0)(given), inputs(given))
    assert torch.equal(inputs.above(0.0)(cut)[:, :40], inputs(cut)[:, :40])


@pytest.mark.parametrize("calorimeter", SMALL, ids=name_of)
def test_voxels_are_shares_of_the_incident_energy_or_of_the_layer(calorimeter: Calorimeter) -> None:
    given, layers = showers(calorimeter), calorimeter.layer_of_cell.tolist()
    plain, normalised = (kind()(given).tolist() for kind in (Voxels, NormalisedVoxels))
    for i, deposits in enumerate(given.deposits.double().tolist()):
        energy = given.energies[i].item()
        sums = [
            sum(e for e, k in zip(deposits, layers, strict=True) if k == layer)
            for layer in range(calorimeter.n_layers)
        ]
        expected = [math.log10(energy), *(e / energy for e in deposits)]
        assert plain[i] == pytest.approx(expected, rel=1e-5)
        shares = [e / sums[k] if sums[k] else 0.0 for e, k in zip(deposits, layers, strict=True)]
        expected = [math.log10(energy), *shares, *(math.log10(s + 1e-8) for s in sums)]
        assert normalised[i] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("calorimeter", IMAGES, ids=name_of)
def test_an_image_has_its_cells_in_order(calorimeter: Calorimeter) -> None:
    """The inputs are made of each cell's place, which then must rise along each axis of
    the image.
    """
    shape = image_of(calorimeter)
    assert math.prod(shape) == calorimeter.n_cells
    z = calorimeter.layer_of_cell.float()
    slow, fast = (
        calorimeter.r_alpha.flip(-1).T
        if isinstance(calorimeter, CylinderGrid)
        else calorimeter.transverse.T[[1, 0]]
    )
    for axis, values in enumerate((z, slow.float(), fast.float())):
        values = values - values.min()
        given = Showers(values[None], Particles(torch.ones(1)), calorimeter)
        image = VoxelImage()(given)[0, 1:].reshape(shape)
        assert (image.diff(dim=axis) > 0).all()
        for other in {0, 1, 2} - {axis}:
            assert (image.diff(dim=other).abs() <= 1e-6 * values.max()).all()


@pytest.mark.parametrize(
    "inputs", [NormalisedVoxels(CUT), EveryCell(CUT)], ids=lambda i: type(i).__name__
)
def test_some_inputs_see_all_deposits(inputs: Inputs) -> None:
    given = showers(calochallenge_2())
    assert torch.equal(inputs(given), inputs.above(0.0)(given))


def test_layer_wise_features_are_the_first_high_level_ones() -> None:
    given = showers(calochallenge_2())
    names, seen = feature_names(given.calorimeter), LayerWise(CUT)(given)
    assert seen.shape == (4, 226)
    high = HighLevel(CUT)(given)
    assert high.shape == (4, 362)
    assert torch.equal(seen, high[:, :226])
    assert "E_sum" in names[226] or "sum" in names[226] or "tot" in names[226]
    cut = replace(given, deposits=torch.where(given.deposits < CUT, 0.0, given.deposits))
    assert torch.equal(high, high_level_features(cut, CUT))


def test_layer_wise_features_of_uneven_layers() -> None:
    given = showers(calochallenge_1_photons())
    assert HighLevel()(given).shape == (4, 30)
    assert LayerWise()(given).shape == (4, 14)


def test_a_deposit_image_has_the_units_of_its_paper() -> None:
    given = showers(calochallenge_2())
    seen = DepositImage(CUT, ring=True)(given)
    assert seen[:, 0].tolist() == pytest.approx([1.0, 2.0, 50.0, 70.0])
    assert torch.equal(seen[:, 1:], torch.where(given.deposits < CUT, 0.0, given.deposits))


def test_a_deposit_image_is_of_rings_or_of_boxes() -> None:
    boxes = RegularGrid("boxes", (2, 3, 4), (1.0, 1.0, 1.0))
    assert DepositImage(ring=False).image(boxes) == (4, 3, 2)
    with pytest.raises(
        GeometryError, match="'boxes' is of kind regular-grid, this classifier expects rings"
    ):
        DepositImage(ring=True).image(boxes)
    with pytest.raises(GeometryError, match="expects boxes"):
        DepositImage(ring=False).image(calochallenge_2())


def test_a_threshold_reaches_all_classifiers_of_a_preset() -> None:
    for preset in CLASSIFIERS:
        assert {
            one.inputs.threshold
            for one in classifiers_for(preset, calochallenge_2(), threshold=0.7)
        } == {0.7}
    thresholds = [
        one.inputs.threshold for one in classifiers_for("calochallenge", calochallenge_2())
    ]
    assert thresholds == pytest.approx([0.01515, 0.01515, 0.0, 0.01515], rel=1e-3)


def test_the_spectrum_counts_cells_by_quarters_of_a_decade() -> None:
    grid = RegularGrid("four", (2, 2, 1), (1.0, 1.0, 1.0))
    deposits = torch.tensor([[0.0, 1.1, 1.2, 50.0], [1e-4, 0.0, 1.1, 1e6]])
    given = Showers(deposits, Particles(torch.full((2,), 1e3)), grid)
    seen, own = WithSpectrum()(given), HighLevel()(given)
    assert torch.equal(seen[:, : own.shape[1]], own)
    counts = seen[:, own.shape[1] : own.shape[1] + 33].expm1()
    assert counts[0].nonzero()[:, 0].tolist() == [12, 18]
    assert counts[0, 12] == pytest.approx(2.0)
    assert counts[1].nonzero()[:, 0].tolist() == [12, 32]
