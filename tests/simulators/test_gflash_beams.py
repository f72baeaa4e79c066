"""GFlash of particles at angles, off centre, and of photons."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from caloforge.detector.materials import LEAD, LEAD_TUNGSTATE, LIQUID_ARGON, SILICON, TUNGSTEN
from caloforge.geometry import CylinderGrid, CylinderLayer, RegularGrid
from caloforge.particles import ELECTRON, PHOTON, Particles
from caloforge.simulators import GFlash, Homogeneous, Sampling
from caloforge.simulators.gflash import simulator as module
from caloforge.simulators.gflash.conversion import convert, mean_free_path
from caloforge.simulators.gflash.reference import ReferenceAxis, reference_shower
from tests.simulators.test_gflash import SIMULATORS as STANDING

RING = CylinderLayer((0.0, 3.0, 8.0, 20.0), 4, 14.0)
SIMULATORS = {
    **STANDING,
    "moving": GFlash(
        CylinderGrid("moving", (RING,) * 10, along_particle=True),
        Sampling(TUNGSTEN, SILICON, 2.0, 0.5),
    ),
}
NAMED = pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS)
QUICK = pytest.mark.parametrize("name", ["benchmark", "stack", "rings", "moving"])


def particles(count: int = 48) -> Particles:
    """Of all kinds, every fourth an electron along the axis."""
    random = torch.Generator().manual_seed(5)
    theta, phi, x, y = torch.rand(4, count, generator=random)
    pdg = torch.tensor([ELECTRON, PHOTON, -ELECTRON])[torch.randint(3, (count,), generator=random)]
    straight = torch.arange(count) % 4 == 0
    return Particles(
        10 ** (2.5 + 2 * torch.rand(count, generator=random)),
        torch.where(straight, ELECTRON, pdg),
        torch.where(straight, 0.0, theta),
        2 * math.pi * phi,
        torch.where(straight[:, None], 0.0, 8 * torch.stack([x, y], 1) - 4),
    )


@NAMED
@pytest.mark.parametrize("size", [1, 7])
def test_a_shower_has_the_same_bits_in_any_batch(simulator: GFlash, size: int) -> None:
    given = particles()
    together = simulator.simulate(given, seed=4, first_index=10)
    parts = [
        simulator.simulate(given[i : i + size], seed=4, first_index=10 + i).deposits
        for i in range(0, len(given), size)
    ]
    assert torch.equal(torch.cat(parts), together.deposits)
    assert together.particles == given


@NAMED
def test_the_pieces_of_a_simulation_do_not_show(
    simulator: GFlash, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = simulator.simulate(particles(), seed=4).deposits
    monkeypatch.setattr(module, "_SPOTS_AT_ONCE", 13)
    assert torch.equal(simulator.simulate(particles(), seed=4).deposits, whole)


@NAMED
def test_electrons_along_the_axis_do_not_depend_on_the_others(simulator: GFlash) -> None:
    given = particles()
    mixed, alone = (
        simulator.simulate(some, seed=4).deposits[::4]
        for some in (given, Particles(given.energies))
    )
    assert torch.equal(mixed, alone)


def alike(slow: np.ndarray, fast: np.ndarray) -> None:
    """Two samples of deposits are of one distribution."""
    for observe in (
        lambda d: d.sum(1),
        lambda d: d.max(1),
        lambda d: (d > 1).sum(1),
        lambda d: d[:, len(d[0]) // 2 :].sum(1),
    ):
        assert stats.ks_2samp(observe(slow).round(2), observe(fast).round(2)).pvalue > 1e-3
    bright = slow.mean(0) > 2e-3 * slow.sum(1).mean()
    error = np.sqrt(slow.var(0) / len(slow) + fast.var(0) / len(fast))
    difference = (slow.mean(0) - fast.mean(0))[bright] / error[bright]
    assert np.sqrt((difference**2).mean()) < 1.6


AXIS = ReferenceAxis(0.6, 0.9, (3.0, -2.0), 0.0)


@QUICK
def test_tilted_showers_follow_the_distribution_of_the_reference(name: str) -> None:
    simulator, energy, n = SIMULATORS[name], 300.0, 100
    generator = np.random.default_rng(2)
    slow = np.array([reference_shower(simulator, energy, generator, AXIS) for _ in range(n)])
    given = Particles(
        torch.full((6 * n,), energy),
        theta=torch.full((6 * n,), AXIS.theta),
        phi=torch.full((6 * n,), AXIS.phi),
        place=torch.tensor([AXIS.place]).expand(6 * n, 2),
    )
    fast = simulator.simulate(given, seed=1).deposits.double().numpy()
    alike(slow / float(simulator.response), fast / float(simulator.response))


@NAMED
def test_off_centre_by_nothing_is_the_centre(simulator: GFlash) -> None:
    """The two ways in which spots are drawn agree."""
    given = Particles(torch.full((1500,), 3e3))
    beside = replace(given, place=torch.full((1500, 2), 1e-6), theta=torch.full((1500,), 1e-9))
    each = (
        simulator.simulate(some, seed=seed).deposits.double().numpy() / float(simulator.response)
        for seed, some in enumerate((given, beside))
    )
    alike(*each)


BLOCK = GFlash(RegularGrid("block", (100, 100, 40), (20.0, 20.0, 7.5)), Homogeneous(LEAD_TUNGSTATE))
"""The axis of a shower stays within it."""


def centres(deposits: Tensor) -> Tensor:
    """The centre (x, y, z) of the energy of all showers."""
    return (deposits.double().sum(0) @ BLOCK.calorimeter.centres) / deposits.double().sum()


def test_a_shower_goes_where_its_particle_flies() -> None:
    n, theta, phi = 6, 0.5, 2.0
    given = Particles(
        torch.full((n,), 2e4),
        theta=torch.full((n,), theta),
        phi=torch.full((n,), phi),
        place=torch.tensor([[-40.0, 70.0]]).expand(n, 2),
    )
    x, y, z = centres(BLOCK.simulate(given, seed=1).deposits).tolist()
    assert x == pytest.approx(-40 + z * math.tan(theta) * math.cos(phi), abs=0.7)
    assert y == pytest.approx(70 + z * math.tan(theta) * math.sin(phi), abs=0.7)
    straight = centres(BLOCK.simulate(Particles(given.energies), seed=1).deposits)
    assert z == pytest.approx(float(straight[2]) * math.cos(theta), rel=0.02)


@QUICK
def test_a_turned_particle_leaves_the_turned_shower(name: str) -> None:
    """By each rotation the same bits, but for spots at the edges of cells."""
    simulator, given = SIMULATORS[name], particles(24)[torch.arange(24) % 4 > 0]
    calorimeter = simulator.calorimeter
    deposits = simulator.simulate(given, seed=2).deposits.double()
    for permutation, matrix in zip(
        calorimeter.symmetries, calorimeter.symmetry_matrices, strict=True
    ):
        if torch.linalg.det(matrix) > 0:
            turned = simulator.simulate(given.rotated(matrix), seed=2).deposits.double()
            moved = (turned[:, permutation] - deposits).abs().sum(1) / deposits.sum(1)
            assert float(moved.max()) < 2e-3


@QUICK
def test_a_mirrored_particle_leaves_the_mirrored_shower(name: str) -> None:
    simulator, given = SIMULATORS[name], particles(400)
    calorimeter = simulator.calorimeter
    given = replace(given, energies=torch.full((400,), 3e3), theta=torch.full((400,), 0.5))
    given = replace(given, phi=torch.full((400,), 0.4), place=torch.full((400, 2), 2.0))
    for permutation, matrix in zip(
        calorimeter.symmetries[1:], calorimeter.symmetry_matrices[1:], strict=True
    ):
        one, other = (
            simulator.simulate(some, seed=seed).deposits.double().numpy()
            for seed, some in ((1, given), (2, given.rotated(matrix)))
        )
        scale = float(simulator.response)
        alike(one / scale, other[:, permutation.numpy()] / scale)


def test_the_angle_does_not_show_in_cells_that_move_with_the_particle() -> None:
    """But by the sampling, which is coarser."""
    grid = CylinderGrid("moving", (RING,) * 10, along_particle=True)
    simulator, n = GFlash(grid, Homogeneous(LEAD)), 800
    straight = Particles(torch.full((n,), 3e3))
    tilted = replace(straight, theta=torch.full((n,), 0.9), place=torch.full((n, 2), 300.0))
    alike(
        simulator.simulate(straight, seed=1).deposits.double().numpy(),
        simulator.simulate(tilted, seed=2).deposits.double().numpy(),
    )


@pytest.mark.parametrize("energy", [200.0, 1e4])
def test_photons_convert_as_bethe_and_heitler_say(energy: float) -> None:
    random = torch.Generator().manual_seed(3)
    energies = torch.full((20000, 1), energy, dtype=torch.float64)
    uniforms = torch.rand(20000, 2, generator=random, dtype=torch.float64)
    made = convert(82.0, energies, uniforms)
    free = float(mean_free_path(82.0, energies[:1]))
    assert stats.kstest(made.depth[:, 0].numpy(), stats.expon(scale=free).cdf).pvalue > 1e-3
    assert float(made.share.min()) > 0
    assert float(made.share.max()) <= 0.5


def test_at_high_energy_screening_is_complete() -> None:
    r"""Then :math:`\lambda = \frac97 X_0` and 0.7 %, the density
    :math:`1 - \frac43 x (1 - x)` with as small a correction, and :math:`\langle x \rangle` of the
    lesser share 13/56.
    """
    energies = torch.tensor([[1e3], [1e7]], dtype=torch.float64)
    slow, free = mean_free_path(82.0, energies)[:, 0] * 7 / 9
    assert float(free) == pytest.approx(1.007, abs=5e-4)
    assert 1.04 < float(slow) < 1.07
    u = (torch.arange(4000, dtype=torch.float64)[:, None] + 0.5) / 4000
    share = convert(82.0, energies[1:].expand(4000, 1), torch.cat([u, u], 1)).share
    assert float(share.mean()) == pytest.approx(13 / 56, rel=3e-3)


DEEP = GFlash(
    RegularGrid("deep", (2, 2, 120), (1e6, 1e6, 6.0)), Sampling(LEAD, LIQUID_ARGON, 2.0, 4.0)
)
"""It keeps all the energy of a shower."""


def mean_depths(deposits: Tensor) -> Tensor:
    """The mean depth of the energy of each shower, in radiation lengths."""
    in_layers = DEEP.calorimeter.by_layer(deposits.double()).reshape(len(deposits), 120, 4).sum(2)
    depth = torch.tensor(DEEP.depths, dtype=torch.float64)
    return (in_layers @ (depth.cumsum(0) - depth / 2)) / in_layers.sum(1)


def test_photon_showers_lie_deeper_than_those_of_electrons() -> None:
    r"""By :math:`\lambda + \langle \sum x\,c(x E) \rangle - c(E)`, summed over the two electrons,
    where electron showers have the mean depth c: near :math:`\frac97 - \frac{10}{21}`, about 7/9.
    """
    energy, n = 1e4, 1500
    photons = Particles(torch.full((n,), energy), PHOTON)
    found = mean_depths(DEEP.simulate(photons, seed=1).deposits)
    u = (torch.arange(64, dtype=torch.float64)[:, None] + 0.5) / 64
    x = convert(82.0, torch.full_like(u, energy), torch.cat([u, u], 1)).share
    energies = torch.logspace(2, 4, 9, dtype=torch.float64)
    electrons = mean_depths(DEEP.mean(Particles(energies), nodes=3)).numpy()
    shares = torch.cat([x, 1 - x]).numpy()
    depths = np.interp(np.log(shares * energy), energies.log().numpy(), electrons)
    free = mean_free_path(DEEP.medium.constants.z, torch.tensor([[energy]], dtype=torch.float64))
    expected = float(free) + 2 * (shares * depths).mean() - electrons[-1]
    error = float(found.std()) / math.sqrt(n)
    assert expected == pytest.approx(7 / 9, abs=0.06)
    assert float(found.mean()) - electrons[-1] == pytest.approx(expected, abs=3 * error)
