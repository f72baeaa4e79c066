"""Small stages, small calorimeters and showers for them."""

from dataclasses import replace
from typing import Any

import torch

from caloforge.geometry import Calorimeter, CylinderGrid, CylinderLayer, RegularGrid
from caloforge.models.fast_samplers import BespokeRecipe, StudentRecipe
from caloforge.models.flow_stage import FlowRecipe, TransformerSizes
from caloforge.models.flowing import FlowSettings
from caloforge.models.layer_groups import FilledRecipe, ScoredRecipe
from caloforge.models.masked_energies import MaskedSizes
from caloforge.models.number_flow import LayerNumbersRecipe
from caloforge.models.share_flow import ImageFlowRecipe
from caloforge.models.stages import Schedule
from caloforge.models.surrogate import SurrogateRecipe
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.systems.allshowers import AttendingPointsRecipe, AttentionSizes
from caloforge.systems.caloclouds import IndependentPointsRecipe
from caloforge.systems.calodream import CellVisionRecipe, LatentRecipe, TransfusionRecipe
from caloforge.systems.caloflow import MaskedShapeRecipe, RatiosRecipe
from caloforge.systems.hit_autoencoder import HitAutoencoderRecipe
from caloforge.systems.l2lflows import ConvolutionalRecipe, EnergiesRecipe

CYLINDER = CylinderGrid(
    "small-cylinder", tuple(CylinderLayer((0, 1, 3, 6), 4, 2.0, k) for k in range(6))
)
GRID = RegularGrid("small-grid", (4, 2, 6), (1.0, 2.0, 3.0), order="xzy")
CALORIMETERS = [CYLINDER, GRID]

ShapeRecipe = ImageFlowRecipe | CellVisionRecipe | LatentRecipe | HitAutoencoderRecipe

SCHEDULE = Schedule(epochs=0.5, batch_size=20, learning_rate=1e-3)

ENERGY = TransfusionRecipe(
    stage="transfusion",
    scale=1 / 0.35,
    dim=16,
    heads=2,
    blocks=1,
    feed_forward=16,
    head_width=16,
    head_layers=2,
    time_scale=1.0,
    path="linear",
    solver="midpoint",
    solver_steps=2,
    schedule=SCHEDULE,
)

SIZES = TransformerSizes(dim=12, heads=2, hidden=16, blocks=1)
FLOW = FlowRecipe(
    scale=1 / 0.35, path="linear", solver="midpoint", solver_steps=2, schedule=SCHEDULE
)

VISION = ImageFlowRecipe(
    stage="vision",
    min_share=1e-7,
    patch=(3, 2, 1),
    network=SIZES,
    flow=FLOW,
)

CELLS = CellVisionRecipe(stage="cell-vision", min_share=1e-7, patch=3, network=SIZES, flow=FLOW)

LATENT = LatentRecipe(
    stage="latent",
    min_share=1e-7,
    channels=(4, 4, 2),
    kernels=((3, 2, 1), (1, 1, 1)),
    strides=((3, 2, 1), (1, 1, 1)),
    pads=((0, 0, 0), (0, 0, 0)),
    beta=1e-5,
    patch=(1, 1, 1),
    network=SIZES,
    autoencoder_schedule=SCHEDULE,
    flow=FLOW,
)

HITS = HitAutoencoderRecipe(
    stage="hit-autoencoder",
    layer_group=3,
    code=3,
    autoencoder=SIZES,
    beta=1.0,
    network=SIZES,
    autoencoder_schedule=SCHEDULE,
    flow=replace(FLOW, path="trigonometric"),
)

SHAPES = {"vision": VISION, "cell-vision": CELLS, "latent": LATENT, "hit-autoencoder": HITS}

MASKED = MaskedSizes(blocks=2, hidden=(16,), bins=4)

MASKED_ENERGIES = EnergiesRecipe(stage="masked-energies", network=MASKED, schedule=SCHEDULE)
MASKED_RATIOS = RatiosRecipe(
    stage="masked-ratios", scale=1 / 0.35, network=MASKED, schedule=SCHEDULE
)

ENERGIES = {
    "transfusion": ENERGY,
    "masked-energies": MASKED_ENERGIES,
    "masked-ratios": MASKED_RATIOS,
}

CONVOLUTIONAL = ConvolutionalRecipe(
    stage="convolutional",
    former=2,
    shared=False,
    numbers=FilledRecipe(kind="filled"),
    squeeze=(2, 1),
    blocks=2,
    hidden=4,
    downsamples=((1, 1),),
    batch_norm=True,
    embedding=3,
    bins=4,
    bound=15.0,
    schedule=SCHEDULE,
)

LAYER_BY_LAYER = MaskedShapeRecipe(
    stage="masked",
    layer_group=1,
    former=1,
    shared=True,
    numbers=ScoredRecipe(kind="scored"),
    network=MASKED,
    schedule=SCHEDULE,
    student=SCHEDULE,
)

CAUSAL = {
    "convolutional": CONVOLUTIONAL,
    "convolutional-shared": replace(
        CONVOLUTIONAL, shared=True, batch_norm=False, numbers=ScoredRecipe(kind="scored")
    ),
    "masked": LAYER_BY_LAYER,
    "masked-groups": replace(
        LAYER_BY_LAYER,
        layer_group=3,
        shared=False,
        numbers=FilledRecipe(kind="filled", relative=True),
        mapped=True,
    ),
    "masked-whole": replace(LAYER_BY_LAYER, layer_group=6, former=0, shared=False, student=None),
}
"""Shapes by normalizing flows: as in L2LFlows, inductive CaloFlow and CaloFlow."""

SETTINGS = FlowSettings(path="linear", solver="midpoint", solver_steps=2, schedule=SCHEDULE)
NUMBERS = LayerNumbersRecipe(stage="layer-numbers", scale=1 / 0.35, widths=(16,), flow=SETTINGS)
POINTS = IndependentPointsRecipe(
    stage="independent-points",
    widths=(16, 8),
    layered=True,
    candidates=3,
    points=8,
    flow=replace(SETTINGS, student=StudentRecipe(1, 32, 16, 5, 0.001)),
)
ATTENDING = AttendingPointsRecipe(
    stage="attending-points",
    levels=True,
    network=AttentionSizes(dim=16, heads=2, hidden=16, blocks=1, counts=16, reach=1),
    path="linear",
    solver="midpoint",
    solver_steps=2,
    schedule=SCHEDULE,
)
CLOUDS = {
    "attending": ATTENDING,
    "layered": POINTS,
    "free": replace(POINTS, layered=False, candidates=1, flow=SETTINGS),
}
"""Shapes of points; they go with `NUMBERS`."""

LOCAL = BespokeRecipe(
    evaluations=4, local=True, showers=32, batch_size=16, steps=5, learning_rate=0.01
)
STUDENT = StudentRecipe(evaluations=2, showers=32, batch_size=16, steps=5, learning_rate=0.001)
SOLVERS = {"local": LOCAL, "global": replace(LOCAL, local=False)}


def flowing(shape: ShapeRecipe, **changes: Any) -> ShapeRecipe:
    """The same stage with another flow."""
    return replace(shape, flow=replace(shape.flow, **changes))


def recipe_of(shape: Any = VISION, energy: Any = ENERGY, seed: int = 1) -> SurrogateRecipe:
    return SurrogateRecipe(
        system="surrogate",
        summary="A small one.",
        seed=seed,
        validation=40,
        energy=energy,
        shape=shape,
    )


def showers_of(calorimeter: Calorimeter, n: int = 240, seed: int = 0) -> Showers:
    """Showers from 1 to 100 GeV that rise and fall in depth, with empty cells and empty layers,
    above 0.015 MeV.
    """
    random = torch.Generator().manual_seed(seed)
    energies = 10 ** (3 + 2 * torch.rand(n, generator=random))
    depth = torch.arange(calorimeter.n_layers) / calorimeter.n_layers
    profile = (depth * (-6 * depth).exp() + 0.01)[calorimeter.layer_of_cell]
    deposits = (
        energies[:, None]
        * profile
        * torch.empty(n, calorimeter.n_cells).exponential_(generator=random)
        / 100
    )
    filled = torch.rand(deposits.shape, generator=random) < 0.7
    lit = torch.rand(n, calorimeter.n_layers, generator=random)[:, calorimeter.layer_of_cell] < 0.95
    deposits = torch.where(filled & lit & (deposits > 0.015), deposits, 0.0)
    deposits[:, calorimeter.n_cells // 2] += 0.02
    return Showers(deposits, Particles(energies), calorimeter)
