import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from caloforge.detector import Detector, detector_names, load_detector
from caloforge.detector.materials import (
    AIR,
    BGO,
    LEAD,
    LEAD_TUNGSTATE,
    LIQUID_ARGON,
    SILICON,
    TUNGSTEN,
)
from caloforge.errors import EnergyRangeError, GeometryError, ShowerValueError
from caloforge.geometry import (
    Calorimeter,
    CylinderGrid,
    CylinderLayer,
    GridLayer,
    LayeredGrid,
    RegularGrid,
)
from caloforge.particles import Particles
from caloforge.simulators import (
    GFlash,
    Homogeneous,
    Sampling,
    Stack,
    Tuning,
    Upstream,
    gflash_of,
    pbwo4_gflash,
)
from caloforge.simulators.gflash import longitudinal, parametrisation
from caloforge.simulators.gflash import simulator as module
from caloforge.simulators.gflash.media import Part
from caloforge.simulators.gflash.reference import reference_shower, reference_steps

THIN, THICK = (
    Sampling(TUNGSTEN, SILICON, 2.0 * k, 0.5, passive=AIR, passive_thickness=1.0) for k in (1, 3)
)
INNER, OUTER = (
    CylinderLayer((0.0, 3.0, 8.0, 20.0), 4, 14.0),
    CylinderLayer((2.0, 5.0, 9.0, 15.0, 40.0), 3, 21.0),
)
COARSE, NARROW = GridLayer((6, 3), (7.0, 12.0), 7.0), GridLayer((5, 4), (9.0, 8.0), 13.0)
SIMULATORS = {
    "benchmark": pbwo4_gflash(),
    "scattered": replace(pbwo4_gflash(), upstream=Upstream(AIR, 3000.0)),
    "layers": GFlash(
        RegularGrid("layers", (5, 4, 7), (20.0, 30.0, 35.0)),
        Homogeneous(BGO),
        upstream=Upstream(AIR, 3000.0),
    ),
    "sampling": GFlash(
        RegularGrid("pads", (6, 6, 30), (8.0, 8.0, 7.0), order="xzy"),
        Sampling(LEAD, LIQUID_ARGON, 2.0, 4.0),
    ),
    "stack": GFlash(
        RegularGrid("stack", (6, 6, 20), (6.0, 6.0, 5.0)),
        Stack((Part(12, 3.5, THIN), Part(8, 7.5, THICK))),
        response=0.02,
        visible=(1.2,) * 12 + (0.5,) * 8,
    ),
    "rings": GFlash(
        CylinderGrid("rings", (INNER,) * 5 + (OUTER,) * 6),
        THIN,
        upstream=Upstream(AIR, 3000.0),
        threshold=0.5,
    ),
    "boxes": GFlash(
        LayeredGrid("boxes", (COARSE,) * 6 + (NARROW,) * 9),
        Stack((Part(6, 7.0, THIN), Part(9, 13.0, Homogeneous(BGO)))),
        upstream=Upstream(AIR, 3000.0),
    ),
}
NAMED = pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS)


def electrons(energy: float, count: int = 1) -> Particles:
    return Particles(torch.full((count,), float(energy), dtype=torch.float64))


def mixed_particles(count: int = 60) -> Particles:
    return Particles(torch.logspace(2.5, 5, count, dtype=torch.float64)[torch.randperm(count)])


@NAMED
@pytest.mark.parametrize("size", [1, 7, 60])
def test_a_shower_has_the_same_bits_in_any_batch(simulator: GFlash, size: int) -> None:
    particles = mixed_particles()
    together = simulator.simulate(particles, seed=4, first_index=10)
    parts = [
        simulator.simulate(particles[i : i + size], seed=4, first_index=10 + i).deposits
        for i in range(0, len(particles), size)
    ]
    assert torch.equal(torch.cat(parts), together.deposits)


@NAMED
def test_the_pieces_of_a_simulation_do_not_show(
    simulator: GFlash, monkeypatch: pytest.MonkeyPatch
) -> None:
    particles = mixed_particles()
    whole = simulator.simulate(particles, seed=4).deposits
    for bound in ("_SHOWERS_AT_ONCE", "_SPOTS_AT_ONCE", "_CELLS_AT_ONCE"):
        with monkeypatch.context() as patch:
            patch.setattr(module, bound, 13)
            assert torch.equal(simulator.simulate(particles, seed=4).deposits, whole)


def test_the_number_of_threads_does_not_show() -> None:
    simulator, particles = pbwo4_gflash(), mixed_particles(100)
    threads = torch.get_num_threads()
    try:
        found = []
        for n in (1, 3):
            torch.set_num_threads(n)
            found.append(simulator.simulate(particles, seed=4).deposits)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


@NAMED
def test_seed_and_index_make_other_showers(simulator: GFlash) -> None:
    particles = electrons(2000, 3)
    deposits = simulator.simulate(particles, seed=4).deposits
    assert not torch.equal(deposits[0], deposits[1])
    assert not torch.equal(simulator.simulate(particles, seed=5).deposits, deposits)
    assert torch.equal(
        simulator.simulate(particles[:2], seed=4, first_index=1).deposits, deposits[1:]
    )


@NAMED
def test_energies_of_single_precision_count_by_their_value(simulator: GFlash) -> None:
    single = Particles(torch.tensor([1234.5, 3e4]))
    double = Particles(single.energies.double())
    assert torch.equal(
        simulator.simulate(single, seed=1).deposits, simulator.simulate(double, seed=1).deposits
    )


@NAMED
@pytest.mark.parametrize("z", [(0.0, 0.0), (1.4, -0.8), (-2.5, 1.0)])
@pytest.mark.parametrize("energy", [300.0, 5e3, 7e4])
def test_steps_agree_with_the_reference(
    simulator: GFlash, energy: float, z: tuple[float, float]
) -> None:
    constants, tuning = simulator.medium.constants, simulator.medium.tuning
    energies = torch.tensor([[energy]], dtype=torch.float64)
    walk = longitudinal.walk(simulator.depths, 0.1, torch.device("cpu"))
    shower = parametrisation.profile(
        constants, tuning, energies, torch.tensor([z], dtype=torch.float64)
    )
    steps = longitudinal.steps(shower, energies, walk.edges, simulator.energy_limit)
    shape = parametrisation.radial(
        constants, tuning, energies, parametrisation.relative_depth(shower, walk.middles)
    )
    reference = reference_steps(simulator, energy, *z)
    n = len(reference)
    assert not steps.spots[0, n:].any()
    pairs = [
        (walk.edges[1 : n + 1], [s.end for s in reference]),
        (steps.energies[0, :n] / energy, [s.energy / energy for s in reference]),
        (steps.spots[0, :n], [s.spots for s in reference]),
        (shape.core[0, :n], [s.core**2 for s in reference]),
        (shape.tail[0, :n], [s.tail**2 for s in reference]),
        (shape.weight[0, :n], [s.weight for s in reference]),
    ]
    for fast, slow in pairs:
        np.testing.assert_allclose(fast.numpy(), slow, rtol=1e-10, atol=1e-10)


@NAMED
def test_showers_follow_the_law_of_the_reference(simulator: GFlash) -> None:
    energy, n = 400.0, 300
    generator = np.random.default_rng(2)
    slow = np.array([reference_shower(simulator, energy, generator) for _ in range(n)])
    fast = simulator.simulate(electrons(energy, 6 * n), seed=1).deposits.double().numpy()
    slow, fast = slow / simulator.response, fast / simulator.response
    for observe in (
        lambda d: d.sum(1),
        lambda d: d.max(1),
        lambda d: (d > 1).sum(1),
        lambda d: d[:, len(d[0]) // 2 :].sum(1),
    ):
        assert stats.ks_2samp(observe(slow).round(2), observe(fast).round(2)).pvalue > 1e-3
    bright = slow.mean(0) > 2e-3 * energy
    difference = (slow.mean(0) - fast.mean(0))[bright] / np.sqrt(
        slow.var(0) / n + fast.var(0) / (6 * n)
    )[bright]
    assert np.sqrt((difference**2).mean()) < 1.6
    assert np.abs(difference).max() < 4.5
    assert np.median(slow.std(0)[bright] / fast.std(0)[bright]) == pytest.approx(1, abs=0.08)


@NAMED
def test_the_mean_is_that_of_many_showers(simulator: GFlash) -> None:
    simulator = replace(simulator, upstream=None, threshold=0.0)
    energy, n = 2e4, 3000
    deposits = simulator.simulate(electrons(energy, n), seed=6).deposits.double()
    expected = simulator.mean(electrons(energy), nodes=7)[0]
    error = (deposits.mean(0) - expected) / (deposits.std(0) / math.sqrt(n) + 2e-3 * expected)
    bright = expected > 1e-3 * energy * simulator.response
    assert float(error[bright].square().mean().sqrt()) < 1.6
    assert float(expected.sum()) == pytest.approx(float(deposits.sum(1).mean()), rel=2e-3)


def test_displacement_before_the_calorimeter_leaves_the_mean_alone() -> None:
    simulator, particles = pbwo4_gflash(), electrons(2e4, 4000)
    displaced, straight = (
        s.simulate(particles, seed=1).deposits.double()
        for s in (simulator, replace(simulator, upstream=None))
    )
    torch.testing.assert_close(displaced.mean(0), straight.mean(0), rtol=0.05, atol=2.0)
    side = simulator.calorimeter.centres[:, 0].sign()
    spreads = [((d * side).sum(1) / d.sum(1)).std() for d in (displaced, straight)]
    assert spreads[0] > 1.08 * spreads[1]


@NAMED
def test_the_mean_has_the_symmetries_of_the_calorimeter(simulator: GFlash) -> None:
    mean = simulator.mean(electrons(1e4))
    for symmetry in simulator.calorimeter.symmetries:
        torch.testing.assert_close(mean[:, symmetry], mean, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "simulator", [SIMULATORS["benchmark"], SIMULATORS["sampling"]], ids=["homogeneous", "sampling"]
)
def test_the_mean_is_differentiable_in_every_constant(simulator: GFlash) -> None:
    names = [f.name for f in fields(Tuning) if not f.name.startswith("spot")]
    values = tuple(
        torch.tensor(getattr(simulator.medium.tuning, n), dtype=torch.float64, requires_grad=True)
        for n in names
    )
    coarse = replace(simulator, step=1.0)
    probe = torch.randn(simulator.calorimeter.n_cells, dtype=torch.float64)

    def response(*constants: Tensor) -> Tensor:
        tuned = replace(
            coarse,
            tuning=replace(simulator.medium.tuning, **dict(zip(names, constants, strict=True))),
        )
        return (
            tuned.mean(Particles(torch.tensor([3e3, 4e4], dtype=torch.float64)), nodes=2)
            @ probe
            / 1e3
        )

    assert torch.autograd.gradcheck(response, values, eps=1e-7, atol=1e-5, rtol=1e-4)
    gradients = torch.autograd.grad(response(*values).sum(), values, materialize_grads=True)
    blind = {n for n, g in zip(names, gradients, strict=True) if g == 0}
    only_sampling = {
        "maximum_2",
        "maximum_3",
        "alpha_4",
        "core_5",
        "core_6",
        "tail_7",
        "tail_8",
        "weight_7",
        "weight_8",
    }
    assert blind == (set() if simulator.medium.constants.period else only_sampling)


@pytest.mark.parametrize(
    "constants",
    [
        *({"spots_1": value} for value in (0.0, -1.0, 1e30)),
        *({name: value} for name in ("spots_2", "correlation_1") for value in (-1e3, 1e3)),
    ],
    ids=str,
)
def test_constants_that_give_no_shower_are_named(constants: dict[str, float]) -> None:
    simulator = replace(pbwo4_gflash(), tuning=replace(Tuning(), **constants))
    with pytest.raises(GeometryError, match=r"give no shower from 2 GeV to 50 GeV: .* spots"):
        simulator.simulate(Particles(torch.tensor([5e4, 2e3])), seed=1)


def test_sampling_fluctuates_with_the_stated_resolution() -> None:
    grid = RegularGrid("block", (2, 2, 1), (1e6, 1e6, 1500.0))
    simulator = GFlash(grid, Sampling(LEAD, LIQUID_ARGON, 2.0, 4.0, resolution=0.11))
    response = simulator.simulate(electrons(4e3, 2000), seed=3).deposits.double().sum(1) / 4e3
    assert float(response.mean()) == pytest.approx(1, abs=0.004)
    assert float(response.std()) == pytest.approx(0.11 / math.sqrt(4), rel=0.05)


WIDE = (
    RegularGrid("block", (2, 2, 1), (1e9, 1e9, 1000.0)),
    CylinderGrid("block", (CylinderLayer((0.0, 1.0, 1e9), 3, 300.0),) * 3),
    LayeredGrid(
        "block", (GridLayer((1, 2), (1e9, 1e9), 200.0), GridLayer((3, 1), (1e9, 1e9), 800.0))
    ),
)


@pytest.mark.parametrize("name", SIMULATORS)
def test_means_are_the_same_in_any_pieces(name: str) -> None:
    """And in none: no particles have no means."""
    simulator, particles = SIMULATORS[name], Particles(torch.linspace(1e3, 9e4, 70))
    parts = [simulator.mean(particles[some]) for some in (slice(0), slice(1), slice(1, 70))]
    torch.testing.assert_close(simulator.mean(particles), torch.cat(parts), rtol=1e-12, atol=0)


@pytest.mark.parametrize("cells", WIDE, ids=lambda cells: cells.kind)
def test_a_homogeneous_block_without_edges_keeps_the_energy(cells: Calorimeter) -> None:
    particles = mixed_particles()
    simulator = GFlash(cells, Homogeneous(LEAD_TUNGSTATE))
    torch.testing.assert_close(
        simulator.simulate(particles, seed=3).deposits.double().sum(1),
        particles.energies,
        rtol=1e-6,
        atol=0,
    )
    torch.testing.assert_close(
        simulator.mean(particles).sum(1), particles.energies, rtol=1e-6, atol=0
    )


@NAMED
def test_response_and_threshold_act_on_what_is_read(simulator: GFlash) -> None:
    particles = mixed_particles()
    plain, half = (replace(simulator, response=r, threshold=0.0) for r in (1.0, 0.5))
    deposits = plain.simulate(particles, seed=2).deposits
    assert torch.equal(half.simulate(particles, seed=2).deposits, deposits / 2)
    assert torch.equal(half.mean(particles), plain.mean(particles) / 2)
    read = replace(half, threshold=1.0).simulate(particles, seed=2)
    assert (read.threshold, half.simulate(particles, seed=2).threshold) == (1.0, None)
    cut = read.deposits
    assert torch.equal(cut, (deposits / 2) * (deposits >= 2))
    assert torch.equal(replace(half, threshold=1.0).mean(particles), half.mean(particles))


def test_the_mean_is_differentiable_in_the_response() -> None:
    response = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    replace(SIMULATORS["rings"], response=response).mean(electrons(1e4)).sum().backward()
    assert response.grad is not None
    assert float(response.grad) == pytest.approx(
        float(replace(SIMULATORS["rings"], response=1.0).mean(electrons(1e4)).sum())
    )


def test_no_particles_make_no_showers() -> None:
    showers = pbwo4_gflash().simulate(Particles(torch.empty(0)), seed=1)
    assert showers.deposits.shape == (0, 100)


def test_deposits_are_single_precision_and_not_negative() -> None:
    deposits = pbwo4_gflash().simulate(mixed_particles(), seed=1).deposits
    assert deposits.dtype == torch.float32
    assert (deposits >= 0).all()


@pytest.mark.parametrize(
    ("particles", "error", "message"),
    [
        (
            Particles(torch.tensor([5e4, 50.0])),
            EnergyRangeError,
            r"1 of 2 incident energies .* shower 1 \(50 MeV\); expected 100 MeV to 10 TeV",
        ),
        (Particles(torch.tensor([2e7])), EnergyRangeError, "20 TeV"),
        (
            Particles(torch.tensor([5e4]), pdg=211),
            ShowerValueError,
            "PDG number 211, .*expected e",
        ),
        (
            Particles(torch.tensor([5e4]), theta=torch.tensor([1.1])),
            ShowerValueError,
            "at an angle of 63",
        ),
        (
            Particles(torch.tensor([5e4]), place=torch.tensor([[200.0, 0.0]])),
            ShowerValueError,
            "enter 200 mm off the centre",
        ),
    ],
)
def test_particles_that_gflash_cannot_simulate_are_named(
    particles: Particles, error: type[Exception], message: str
) -> None:
    for attempt in (
        lambda: pbwo4_gflash().simulate(particles, seed=1),
        lambda: pbwo4_gflash().mean(particles),
    ):
        with pytest.raises(error, match=message):
            attempt()


@pytest.mark.parametrize(
    ("particles", "message"),
    [
        (Particles(torch.tensor([5e4]), pdg=22), r"number 22, .*expected e\+ \(-11\) or e- \(11\)"),
        (Particles(torch.tensor([5e4]), theta=torch.tensor([0.1])), "expected particles along"),
        (Particles(torch.tensor([5e4]), place=torch.tensor([[1.0, 0.0]])), "expected the centre"),
    ],
)
def test_the_mean_says_of_which_particles_it_is_known(particles: Particles, message: str) -> None:
    with pytest.raises(ShowerValueError, match=f"mean of GFlash .simulate showers.*{message}"):
        pbwo4_gflash().mean(particles)


def test_positrons_are_as_good_as_electrons() -> None:
    positrons = Particles(torch.tensor([5e4]), pdg=-11)
    assert torch.equal(
        pbwo4_gflash().simulate(positrons, seed=1).deposits,
        pbwo4_gflash().simulate(electrons(5e4), seed=1).deposits,
    )


def test_a_stack_needs_a_layer_of_cells_for_each_of_its_own() -> None:
    with pytest.raises(
        GeometryError,
        match="stack of media: it has 20 layers, and the calorimeter 7, expected as many",
    ):
        replace(
            SIMULATORS["stack"],
            visible=(),
            calorimeter=RegularGrid("seven", (6, 6, 7), (6.0, 6.0, 5.0)),
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 0.0}, "step is 0"),
        ({"step": math.inf}, "step is inf"),
        ({"response": 0.0}, "response is 0, expected a positive number"),
        ({"response": torch.tensor(math.nan)}, "response is nan"),
        ({"threshold": -1.0}, "threshold is -1.0 MeV"),
        (
            {"visible": (0.5, 0.5)},
            r"visible is \(0.5, 0.5\), expected a positive share for each of 1 layers",
        ),
        ({"visible": (-0.5,)}, "visible is"),
    ],
)
def test_impossible_numbers_are_named(changes: dict[str, float], message: str) -> None:
    with pytest.raises(GeometryError, match=f"GFlash: {message}"):
        replace(pbwo4_gflash(), **changes)


def test_the_crystals_of_the_benchmark_are_those_of_their_detector() -> None:
    assert gflash_of(load_detector("pbwo4-10x10")) == pbwo4_gflash()


@pytest.mark.parametrize("name", detector_names())
def test_every_detector_has_its_gflash(name: str) -> None:
    detector = load_detector(name)
    simulator = gflash_of(detector)
    assert simulator.calorimeter == detector.calorimeter
    assert simulator.threshold == detector.threshold
    particles = electrons(2e4, 40)
    deposits = simulator.simulate(particles, seed=1).deposits.double()
    assert torch.equal(
        simulator.simulate(particles[7:9], seed=1, first_index=7).deposits.double(), deposits[7:9]
    )
    shares = simulator.visible or (1.0,)
    assert 0.9 * min(shares) < float(deposits.sum(1).mean()) / 2e4 < 1.02 * max(shares)
    if not simulator.calorimeter.divisions:
        return
    expected = simulator.mean(electrons(2e4))[0]
    assert float(deposits.sum(1).mean()) == pytest.approx(float(expected.sum()), rel=0.02)
    assert 0.9 * min(shares) < float(expected.sum()) / 2e4 < 1.001 * max(shares)
    layer = simulator.calorimeter.layer_of_cell
    layers, found = (
        torch.zeros(int(layer.max()) + 1).double().index_add_(0, layer, d)
        for d in (expected, deposits.mean(0))
    )
    torch.testing.assert_close(found / found.sum(), layers / layers.sum(), rtol=0.1, atol=0.01)


def test_a_shower_goes_as_deep_in_thin_layers_as_in_thick_ones() -> None:
    """The number of a layer is worth as many radiation lengths as the layer is deep."""
    simulator = replace(gflash_of(load_detector("ild-ecal-30")), visible=())
    depths = torch.tensor(simulator.depths, dtype=torch.float64)
    assert float(depths[25] / depths[5]) == pytest.approx(1.98, abs=0.01)
    mean = simulator.mean(electrons(1e5))[0].reshape(30, -1).sum(1)
    density = mean / depths
    assert float(density[20] / density[19]) == pytest.approx(0.87, abs=0.05)
    assert float(mean[20] / mean[19]) > 1.6


def test_materials_of_a_detector_that_are_not_there_are_named() -> None:
    plain = load_detector("ild-ecal-30").describe()
    plain["surroundings"] = "G4_Tungstn"
    with pytest.raises(
        GeometryError,
        match=r"detector 'ild-ecal-30': no material 'G4_Tungstn' in the NIST tables: .*mixtures",
    ):
        gflash_of(Detector.from_description(plain))
