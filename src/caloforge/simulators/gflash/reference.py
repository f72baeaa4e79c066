r"""GFlash, slow and obvious: one shower, one step, one spot at a time, in plain numbers.

This is what `caloforge.simulators.gflash` must agree with: the same formulas (hep-ex/0001020,
appendix A; symbols as in `parametrisation`) written as they are printed, and the walk of Geant4's
GFlashShowerModel. It takes milliseconds a shower and a generator of random numbers that goes on
from shower to shower.
"""

__all__ = ["ReferenceAxis", "ReferenceStep", "reference_shower", "reference_steps"]

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammainc

from caloforge.geometry import Boxes, Calorimeter, Rings
from caloforge.simulators.gflash.parametrisation import Constants
from caloforge.simulators.gflash.simulator import GFlash


class ReferenceStep(NamedTuple):
    """A step of a shower."""

    start: float
    """Where it starts, in radiation lengths."""
    end: float
    """Where it ends, in radiation lengths."""
    energy: float
    """The energy deposited, in MeV."""
    spots: int
    """The number of spots."""
    core: float
    """:math:`R_C`, in mm."""
    tail: float
    """:math:`R_T`, in mm."""
    weight: float
    """:math:`p`."""


@dataclass(frozen=True)
class ReferenceAxis:
    """The axis of a shower, see `caloforge.simulators.gflash.tilted`.

    Arguments:
        theta: The polar angle, in radians.
        phi: The azimuthal angle, in radians.
        place: Where it meets the front face, in mm.
        start: The depth along it at which the shower begins, in radiation lengths.
    """

    theta: float = 0.0
    phi: float = 0.0
    place: tuple[float, float] = (0.0, 0.0)
    start: float = 0.0

    def reach(self, simulator: GFlash) -> float:
        """How far the shower goes, in radiation lengths: whole steps, unless along the beam."""
        depth = sum(simulator.depths)
        if self == ReferenceAxis():
            return depth
        medium = simulator.medium.constants
        behind = depth + 2 * medium.moliere_radius / medium.radiation_length * math.sin(self.theta)
        steps = (behind / math.cos(self.theta) - self.start) / simulator.step
        return max(0, math.ceil(steps)) * simulator.step

    def point(self, simulator: GFlash, t: float, u: float, v: float) -> tuple[float, ...]:
        """Where a spot is, in mm, from its depth along the axis and its place across it."""
        cosine, sine = math.cos(self.theta), math.sin(self.theta)
        thicknesses = simulator.medium.thicknesses(simulator.calorimeter.known_thicknesses)
        depths = simulator.depths
        k = _layer(depths, (self.start + t) * cosine)
        inside = ((self.start + t) * cosine - sum(depths[:k])) / depths[k]
        z = sum(thicknesses[:k]) + inside * thicknesses[k]
        moving = simulator.calorimeter.along_particle
        along = u if moving else z * sine / cosine + u * cosine
        x = along * math.cos(self.phi) - v * math.sin(self.phi)
        y = along * math.sin(self.phi) + v * math.cos(self.phi)
        if moving:
            return x, y, z / cosine
        return self.place[0] + x, self.place[1] + y, z - u * sine


def reference_steps(
    simulator: GFlash, energy: float, z_1: float, z_2: float, depth: float | None = None
) -> list[ReferenceStep]:
    """The steps of a shower, before the fluctuation of sampling.

    Arguments:
        simulator: The simulator to imitate.
        energy: The incident energy, in MeV.
        z_1: A standard normal number.
        z_2: Another.
        depth: Where the walk ends, in radiation lengths; None for at the rear face.
    """
    m = simulator.medium.constants
    u = SimpleNamespace(**{name: float(x) for name, x in vars(simulator.used_tuning).items()})
    log_y = math.log(energy / m.critical_energy)
    mean_maximum = log_y + u.maximum_1 + u.maximum_2 * m.period + u.maximum_3 * m.mismatch
    mean_alpha = max(1.1, u.alpha_1 + (u.alpha_2 + u.alpha_3 / m.z) * log_y + u.alpha_4 * m.period)
    sigma_maximum = 1 / max(2.0, u.sigma_maximum_1 + u.sigma_maximum_2 * log_y)
    sigma_alpha = 1 / max(2.0, u.sigma_alpha_1 + u.sigma_alpha_2 * log_y)
    rho = u.correlation_1 + u.correlation_2 * log_y
    plus, minus = math.sqrt((1 + rho) / 2), math.sqrt((1 - rho) / 2)
    maximum = max(1.0, mean_maximum * math.exp(sigma_maximum * (plus * z_1 + minus * z_2)))
    alpha = max(1.1, mean_alpha * math.exp(sigma_alpha * (plus * z_1 - minus * z_2)))
    spot_maximum = max(0.5, maximum * (u.spot_maximum_1 + u.spot_maximum_2 * m.z))
    spot_alpha = max(1.1, alpha * (u.spot_alpha_1 + u.spot_alpha_2 * m.z))
    total_spots = u.spots_1 * m.spot_factor * (energy / 1000) ** u.spots_2

    depth, length = sum(simulator.depths) if depth is None else depth, simulator.step
    steps: list[ReferenceStep] = []
    start, left, gone, gone_spots = 0.0, energy, 0.0, 0.0
    while depth - start > 1e-9 * length and left > 0:
        end = min(start + length, depth)
        if left > simulator.energy_limit:
            share = gammainc(alpha, (alpha - 1) / maximum * end)
            spot_share = gammainc(spot_alpha, (spot_alpha - 1) / spot_maximum * end)
            deposit, spots = (
                energy * (share - gone),
                max(1, int(total_spots * (spot_share - gone_spots))),
            )
            gone, gone_spots = share, spot_share
        else:
            deposit, spots = left, max(1, int(total_spots * (1 - gone_spots)))
        left = left - deposit if deposit < left else 0.0
        middle = (start + end) / 2
        tau = middle / maximum * (alpha - 1) / alpha * mean_alpha / (mean_alpha - 1)
        steps.append(
            ReferenceStep(
                start, end, float(deposit), spots, *_radii(m, u, math.log(energy / 1000), tau)
            )
        )
        start = end
    return steps


def _layer(depths: tuple[float, ...], t: float) -> int:
    """The layer at a depth."""
    end = 0.0
    for k, depth in enumerate(depths):
        end += depth
        if t < end:
            return k
    return len(depths) - 1


def _radii(
    m: Constants, u: SimpleNamespace, log_e: float, tau: float
) -> tuple[float, float, float]:
    """The radii, in mm, and the weight of the core."""
    core = u.core_1 + u.core_2 * log_e + (u.core_3 + u.core_4 * m.z) * tau
    core += u.core_5 * m.mismatch + u.core_6 * m.period * math.exp(-tau)
    tail = math.exp(u.tail_4 * (tau - u.tail_3)) + math.exp(
        (u.tail_5 + u.tail_6 * log_e) * (tau - u.tail_3)
    )
    tail = (
        (u.tail_1 + u.tail_2 * m.z) * tail
        + u.tail_7 * m.mismatch
        + u.tail_8 * m.period * math.exp(-tau)
    )
    x = (u.weight_3 + u.weight_4 * m.z - tau) / (u.weight_5 + u.weight_6 * log_e)
    weight = (u.weight_1 + u.weight_2 * m.z) * math.exp(x - math.exp(x))
    weight += m.mismatch * (u.weight_7 + u.weight_8 * m.period * math.exp(-((tau - 1) ** 2)))
    scale = m.moliere_radius
    return float(scale * core), float(scale * tail), float(min(max(weight, 0.0), 1.0))


def reference_shower(
    simulator: GFlash,
    energy: float,
    generator: np.random.Generator,
    axis: ReferenceAxis = ReferenceAxis(),
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Simulate the shower of one electron.

    Arguments:
        simulator: The simulator to imitate.
        energy: The incident energy, in MeV.
        generator: The source of random numbers.
        axis: The axis of the shower.

    Returns:
        The deposits, in MeV, with shape (cells).
    """
    cells, cosine = simulator.calorimeter, math.cos(axis.theta)
    scale = simulator.medium.constants.sampling_scale / cosine
    thicknesses = simulator.medium.thicknesses(cells.known_thicknesses)
    spread = 0.0 if simulator.upstream is None else simulator.upstream.scattering / energy
    spread *= cosine**-1.5 * (axis.start == 0)
    z_1, z_2, moved_u, moved_v = (
        float(z) for z in generator.normal(size=4) * (1.0, 1.0, spread, spread)
    )
    deposits: np.ndarray[Any, np.dtype[np.float64]] = np.zeros(cells.n_cells)
    for step in reference_steps(simulator, energy, z_1, z_2, axis.reach(simulator)):
        deposit = (
            generator.gamma(step.energy / scale) * scale
            if scale > 0 and step.energy > 0
            else step.energy
        )
        for i in range(step.spots):
            v = generator.random()
            r = (step.core if generator.random() < step.weight else step.tail) * math.sqrt(
                v / (1 - v)
            )
            psi = 2 * math.pi * generator.random()
            t = step.start + (i + 0.5) / step.spots * (step.end - step.start)
            across = moved_u + r * math.cos(psi), moved_v + r * math.sin(psi)
            x, y, z = axis.point(simulator, t, *across)
            inside = 0 <= z < sum(thicknesses)
            cell = _cell(cells, x, y, _layer(thicknesses, z)) if inside else None
            if cell is not None:
                deposits[cell] += deposit / step.spots
    read = deposits * float(simulator.response)
    if simulator.visible:
        read = read * np.array(simulator.visible)[cells.layer_of_cell.numpy()]
    return np.where(read < simulator.threshold, 0.0, read)


def _cell(cells: Calorimeter, x: float, y: float, layer: int) -> int | None:
    """The index of the cell of a layer at a point, if there is one."""
    match cells.divisions[layer]:
        case Boxes(number=(n_x, n_y), size=(d_x, d_y)):
            fast, n_fast = math.floor(x / d_x + n_x / 2), n_x
            slow, n_slow = math.floor(y / d_y + n_y / 2), n_y
        case Rings(r_edges=r_edges, n_alpha=n_slow):
            fast, n_fast = sum(math.hypot(x, y) >= r for r in r_edges) - 1, len(r_edges) - 1
            slow = math.floor((math.atan2(y, x) + math.pi) / (2 * math.pi) * n_slow)
    if not (0 <= fast < n_fast and 0 <= slow < n_slow):
        return None
    place = int((cells.layer_of_cell < layer).sum()) + slow * n_fast + fast
    return int(cells.layer_order[place])
