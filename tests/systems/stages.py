"""Small stages, small calorimeters and showers for them."""

from dataclasses import replace

import torch

from caloforge.calorimeter import Calorimeter, CylinderGrid, CylinderLayer, RegularGrid
from caloforge.showers import Particles, Showers
from caloforge.systems.calodream import LatentRecipe, TransfusionRecipe, VisionRecipe
from caloforge.systems.flows import BespokeRecipe
from caloforge.systems.hurdle import HurdleRecipe
from caloforge.systems.stages import Schedule
from caloforge.systems.surrogate import SurrogateRecipe

CYLINDER = CylinderGrid("small-cylinder", tuple(CylinderLayer((0, 1, 3, 6), 4, 2.0, k) for k in range(6)))
GRID = RegularGrid("small-grid", (4, 2, 6), (1.0, 2.0, 3.0), order="xzy")
CALORIMETERS = [CYLINDER, GRID]

SCHEDULE = Schedule(epochs=0.5, batch_size=20, learning_rate=1e-3)

ENERGY = TransfusionRecipe(
    stage="transfusion",
    scale=1 / 0.35,
    dim=12,
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

VISION = VisionRecipe(
    stage="vision",
    scale=1 / 0.35,
    cut=1e-7,
    patch=(3, 2, 1),
    dim=12,
    heads=2,
    hidden=16,
    blocks=1,
    path="linear",
    solver="midpoint",
    solver_steps=2,
    schedule=SCHEDULE,
)

LATENT = LatentRecipe(
    stage="latent",
    scale=1 / 0.35,
    cut=1e-7,
    channels=(4, 4, 2),
    kernels=((3, 2, 1), (1, 1, 1)),
    strides=((3, 2, 1), (1, 1, 1)),
    pads=((0, 0, 0), (0, 0, 0)),
    beta=1e-5,
    patch=(1, 1, 1),
    dim=12,
    heads=2,
    hidden=16,
    blocks=1,
    path="linear",
    solver="midpoint",
    solver_steps=2,
    autoencoder_schedule=SCHEDULE,
    schedule=SCHEDULE,
)

HURDLE = HurdleRecipe(
    stage="hurdle",
    scale=1 / 0.35,
    slab=3,
    code=3,
    code_dim=12,
    code_heads=2,
    code_hidden=16,
    code_blocks=1,
    beta=1.0,
    dim=12,
    heads=2,
    hidden=16,
    blocks=1,
    path="trigonometric",
    solver="midpoint",
    solver_steps=2,
    code_schedule=SCHEDULE,
    schedule=SCHEDULE,
)

SHAPES = {"vision": VISION, "latent": LATENT, "hurdle": HURDLE}

LOCAL = BespokeRecipe(evaluations=4, local=True, showers=32, batch_size=16, steps=5, learning_rate=0.01)
SOLVERS = {"local": LOCAL, "global": replace(LOCAL, local=False)}


def recipe_of(
    shape: VisionRecipe | LatentRecipe | HurdleRecipe = VISION, energy: TransfusionRecipe = ENERGY, seed: int = 1
) -> SurrogateRecipe:
    return SurrogateRecipe(system="surrogate", summary="A small one.", seed=seed, validation=40, energy=energy, shape=shape)


def showers_of(calorimeter: Calorimeter, n: int = 240, seed: int = 0) -> Showers:
    """Showers from 1 to 100 GeV that rise and fall in depth, with empty cells and empty layers, above 0.015 MeV."""
    random = torch.Generator().manual_seed(seed)
    energies = 10 ** (3 + 2 * torch.rand(n, generator=random))
    depth = torch.arange(calorimeter.n_layers) / calorimeter.n_layers
    profile = (depth * (-6 * depth).exp() + 0.01)[calorimeter.layers]
    deposits = energies[:, None] * profile * torch.empty(n, calorimeter.n_cells).exponential_(generator=random) / 100
    filled = torch.rand(deposits.shape, generator=random) < 0.7
    lit = torch.rand(n, calorimeter.n_layers, generator=random)[:, calorimeter.layers] < 0.95
    deposits = torch.where(filled & lit & (deposits > 0.015), deposits, 0.0)
    deposits[:, calorimeter.n_cells // 2] += 0.02
    return Showers(deposits, Particles(energies), calorimeter)
