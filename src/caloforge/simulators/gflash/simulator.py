r"""GFlash: electromagnetic showers from a parametrisation, spot by spot (Grindhammer and Peters,
hep-ex/0001020). The model is that of Geant4's GFlash (GFlashShowerModel with its defaults).

A shower is drawn in stages:

1. its longitudinal profile, a gamma density whose :math:`T` and :math:`\alpha` fluctuate
   (`parametrisation`);
2. the energy :math:`dE` and the number of spots in each step of :math:`0.1\,X_0` (`longitudinal`),
   in sampling media with the fluctuation of sampling, :math:`dE \to \mathrm{Gamma}(dE / c, c)`;
3. the place of each spot in the radial profile of its step (`spots`, `tilted`);
4. the sum of the spots in each cell.

A photon is two electrons (`conversion`). In layers of different matter depth is counted in
radiation lengths (`media`). `GFlash.mean` is differentiable in the constants.
"""

__all__ = ["LARGEST_ENERGY", "LEAST_ENERGY", "GFlash", "Upstream", "gflash_of", "pbwo4_gflash"]

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from caloforge import streams
from caloforge.detector import Detector, load_detector
from caloforge.detector.materials import SCATTERING_ENERGY, Material
from caloforge.errors import EnergyRangeError, GeometryError
from caloforge.geometry import Calorimeter
from caloforge.gradients import differentiable
from caloforge.particles import ELECTRON, PHOTON, Particles
from caloforge.showers import Showers, spans
from caloforge.simulators.gflash import longitudinal, variates
from caloforge.simulators.gflash.conversion import convert
from caloforge.simulators.gflash.longitudinal import Steps, Walk
from caloforge.simulators.gflash.meanfield import expected_deposits
from caloforge.simulators.gflash.media import medium_of, visible_shares
from caloforge.simulators.gflash.parametrisation import (
    Medium,
    Tuning,
    profile,
    radial,
    relative_depth,
)
from caloforge.simulators.gflash.spots import Address, scatter
from caloforge.simulators.gflash.tilted import Course, Layout, reach, scatter_about
from caloforge.simulators.protocols import Progress, Validity, silent
from caloforge.streams import Stream
from caloforge.units import MeV, TeV, deg, format_energy

LEAST_ENERGY, LARGEST_ENERGY = 100 * MeV, 10 * TeV
"""The range in which Geant4's GFlash replaces the full simulation."""

_LARGEST_ANGLE = 60 * deg
_ELECTRONS = (-ELECTRON, ELECTRON)
_SPECIES = (*_ELECTRONS, PHOTON)

_VACUUM = "G4_Galactic"

_SHOWERS_AT_ONCE, _SHOWERS_AT_ONCE_ON_DEVICE = 256, 8192
_MEANS_AT_ONCE = 32
_DECADES_OF_SPOTS = 8
"""A shower has fewer than 10^8 spots, and more than 10^-8."""

_SPOTS_AT_ONCE = 8_000_000
_CELLS_AT_ONCE = 8_000_000
_MEMORY_OF_TILTED = 8
"""Bounds of the memory that a simulation takes: some hundred megabytes at any number of showers and
any energy. A spot about a tilted axis takes so many times that of another.
"""


@dataclass(frozen=True)
class Upstream:
    r"""A layer of matter before the calorimeter, in which electrons are scattered.

    An electron of energy E is displaced at its end, in x and in y each, by a normal number of the
    width :math:`\frac{E_s}{\sqrt 2 E} \sqrt{\frac{L}{X_0}} \frac{L}{\sqrt 3}` (Rossi and Greisen,
    Rev. Mod. Phys. 13 (1941) 240).

    Arguments:
        material: The material.
        length: :math:`L`, in mm.
    """

    material: Material
    length: float

    @property
    def scattering(self) -> float:
        """The width of the displacement times the energy, in mm MeV."""
        angle = (
            SCATTERING_ENERGY
            / math.sqrt(2)
            * math.sqrt(self.length / self.material.radiation_length)
        )
        return angle * self.length / math.sqrt(3)


@dataclass(frozen=True)
class GFlash:
    r"""Simulator of showers of electrons, positrons and photons.

    Matter is as wide as showers are, in flat layers: what an angle changes is the way through them.
    A photon is the two electrons, each with its own shower, into which it converts on its way.

    Of matter before the calorimeter only the multiple scattering of an `Upstream` layer is
    simulated. In the benchmark of SQuIRELS an electron crosses 880 mm of air, and Geant4 tracks the
    few photons that it radiates there. Such showers are a rare tail of Geant4's sample that is
    missing here: of 24,000 showers at 10-100 GeV, 5 have more than 0.28 of the energy in one
    crystal and one has 0.42; here the largest share is 0.27.

    Arguments:
        calorimeter: The cells; what falls beside them or behind them is lost.
        medium: What fills them.
        tuning: The constants of the parametrisation; None for those of the medium's kind.
        step: The length of a step, in radiation lengths.
        energy_limit: When no more than this energy is left, in MeV, the next step takes it all.
        upstream: Matter before the calorimeter; None for none.
        visible: The share of the energy in each layer that is read, front to back; () for all of
            it. GFlash itself deposits energy in all matter of a layer.
        response: A factor on what is read, a number or a tensor without dimensions: the mean energy
            sum of full showers over that of GFlash's with 1.
        threshold: What is read and below it is set to 0 in showers, but not in their mean, in MeV.
        detector: The detector that all this was taken from, where there is one, by which the
            simulator is described.

    Raises:
        GeometryError: The thickness of a layer is unknown, the layers are not those of the medium,
            or the step, a share, the response or the threshold is impossible.
    """

    calorimeter: Calorimeter
    medium: Medium
    tuning: Tuning | None = None
    step: float = 0.1
    energy_limit: float = 100 * MeV
    upstream: Upstream | None = None
    visible: tuple[float, ...] = ()
    response: float | Tensor = 1.0
    threshold: float = 0.0 * MeV
    detector: Detector | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.step < math.inf:
            msg = (
                f"GFlash: step is {self.step} radiation lengths, expected a positive number such "
                "as 0.1"
            )
            raise GeometryError(msg)
        response = float(torch.as_tensor(self.response).detach())
        if not 0 < response < math.inf:
            msg = f"GFlash: response is {response:g}, expected a positive number such as 0.95"
            raise GeometryError(msg)
        if not 0 <= self.threshold < math.inf:
            msg = f"GFlash: threshold is {self.threshold} MeV, expected a number of at least 0"
            raise GeometryError(msg)
        if self.visible and (
            len(self.visible) != self.calorimeter.n_layers
            or not all(0 < share < math.inf for share in self.visible)
        ):
            msg = (
                f"GFlash: visible is {self.visible}, expected a positive share for each of "
                f"{self.calorimeter.n_layers} layers"
            )
            raise GeometryError(msg)
        self._walk(torch.device("cpu"))

    @property
    def validity(self) -> Validity:
        """Electrons, positrons and photons in the range of Geant4's GFlash, at up to 60 degrees, on
        the front face.
        """
        return Validity(
            LEAST_ENERGY, LARGEST_ENERGY, _SPECIES, _LARGEST_ANGLE, self._largest_offset
        )

    @property
    def mean_validity(self) -> Validity:
        """The particles of which `mean` knows the expected deposits: electrons and positrons along
        the axis.
        """
        return replace(self.validity, species=_ELECTRONS, largest_angle=0.0, largest_offset=0.0)

    def simulate(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> Showers:
        """Simulate one shower a particle, in spot mode.

        Arguments:
            particles: Electrons, positrons or photons, from 100 MeV to 10 TeV, at angles and off
                centre if they say so; those of unknown species count as electrons.
            seed: The seed of the run.
            first_index: The number, in the run, of the first shower.
            progress: Given the number of showers just finished.

        Returns:
            The showers. Shower i has the same bits in whatever batches it and the others are
            simulated.

        Raises:
            EnergyRangeError: An energy is out of range.
            ShowerValueError: Particles are of another species, at a larger angle, or beside the
                front face.
        """
        self.require(particles, first_index)
        deposits = self._deposits(particles, seed, first_index, progress)
        return Showers(deposits, particles, self.calorimeter, threshold=self.threshold or None)

    @differentiable
    def mean(self, particles: Particles, *, nodes: int = 1) -> Float[Tensor, "showers cells"]:
        r"""The expected deposits, differentiable in every tensor among the constants of the
        parametrisation.

        With one node the expectation is over the spots (and over the fluctuation of sampling) of a
        shower that has the mean profile, :math:`\ln T` and :math:`\ln \alpha` at their means. With
        more, it is over their fluctuations too, by Gauss and Hermite's rule with that many nodes in
        each of two directions. Spots count as spread evenly in depth over their step, and particles
        as entering at :math:`x = y = 0`: the displacement in an `Upstream` layer changes no mean by
        more than some :math:`10^{-5}`.

        Arguments:
            particles: Electrons or positrons along the axis, see `mean_validity`.
            nodes: The number of nodes, at least 1.

        Returns:
            The expected deposits, in MeV, float64.

        Raises:
            EnergyRangeError: An energy is out of range.
            ShowerValueError: Particles are of another species, at an angle, or off centre.
        """
        self.require_mean(particles)
        points, weights = np.polynomial.hermite_e.hermegauss(nodes)
        weights = weights / weights.sum()
        energies = particles.energies.double()[:, None]
        normals = [energies.new_tensor([[z_1, z_2]]) for z_1 in points for z_2 in points]
        rule = list(zip(normals, np.outer(weights, weights).flat, strict=True))
        means = [
            torch.stack([self._expected(e, z.expand(len(e), 2)) * w for z, w in rule]).sum(dim=0)
            for e in (energies[span] for span in spans(len(energies), _MEANS_AT_ONCE))
        ]
        return self._read(torch.cat([energies.new_empty(0, self.calorimeter.n_cells), *means]))

    @property
    def depths(self) -> tuple[float, ...]:
        """How deep the layers are, in radiation lengths, front to back."""
        return self.medium.depths(self.calorimeter.known_thicknesses)

    @property
    def used_tuning(self) -> Tuning:
        """The constants of the parametrisation: its own, or those of the medium's kind."""
        return self.medium.tuning if self.tuning is None else self.tuning

    def _walk(self, device: torch.device) -> Walk:
        return longitudinal.walk(self.depths, self.step, device)

    def _read(self, deposits: Float[Tensor, "showers cells"]) -> Float[Tensor, "showers cells"]:
        """What is read of the energy in all matter of each cell."""
        if self.visible:
            deposits = (
                deposits
                * deposits.new_tensor(self.visible)[
                    self.calorimeter.layer_of_cell.to(deposits.device)
                ]
            )
        return deposits * self.response

    def require(self, particles: Particles, first_index: int = 0) -> None:
        """Check that the particles are such as can be simulated, see `validity`.

        Raises:
            EnergyRangeError: An energy is out of range.
            ShowerValueError: Particles are of another species, at a larger angle, or beside the
                front face.
        """
        self._require(particles, self.validity, "GFlash", first_index)

    def require_mean(self, particles: Particles, first_index: int = 0) -> None:
        """Check that the particles are such as `mean` is made for, see `mean_validity`.

        Raises:
            EnergyRangeError: An energy is out of range.
            ShowerValueError: Particles are of another species, at an angle, or off centre.
        """
        maker = "mean of GFlash (simulate showers instead)"
        self._require(particles, self.mean_validity, maker, first_index)

    def _require(
        self, particles: Particles, validity: Validity, maker: str, first_index: int
    ) -> None:
        validity.require(particles, maker, first_index=first_index)
        outside = validity.outside(particles.energies)
        if outside is not None:
            number, first = outside
            msg = (
                f"{maker}: {number} of {len(particles)} incident energies are out of "
                f"range, the first that of shower {first_index + first} "
                f"({format_energy(float(particles.energies[first]))}); expected "
                f"{format_energy(validity.lowest)} "
                f"to {format_energy(validity.highest)}"
            )
            raise EnergyRangeError(msg)

    @property
    def _largest_offset(self) -> float:
        """Where the outermost cells are; no bound for cells that move with the particle."""
        cells = self.calorimeter
        return math.inf if cells.along_particle else float(cells.transverse.norm(dim=1).max())

    @torch.no_grad()
    def _deposits(
        self, particles: Particles, seed: int, first_index: int, progress: Progress
    ) -> Tensor:
        """Simulate in pieces of bounded memory."""
        energies = particles.energies
        deposits = torch.empty(len(energies), self.calorimeter.n_cells, device=energies.device)
        index = first_index + torch.arange(len(energies), device=energies.device)
        straight = self._straight(particles)
        for span in spans(len(energies), self._showers_at_once(energies, bool(straight.all()))):
            deposits[span] = self._piece(
                particles[span], straight[span], Address(seed, index[span])
            )
            progress(span.stop - span.start)
        deposits = self._read(deposits)
        deposits *= deposits >= self.threshold
        return deposits

    def _straight(self, particles: Particles) -> Bool[Tensor, " showers"]:
        """Which showers begin on the front face and stay in the middle of the cells."""
        straight = torch.ones_like(particles.energies, dtype=torch.bool)
        if PHOTON in particles.species:
            straight &= torch.as_tensor(particles.pdg, device=straight.device) != PHOTON
        if particles.theta is not None:
            straight &= particles.theta == 0
        if particles.place is not None and not self.calorimeter.along_particle:
            straight &= ~particles.place.any(dim=1)
        return straight

    def _showers_at_once(self, energies: Tensor, straight: bool) -> int:
        if len(energies) == 0:
            return 1
        most = _SHOWERS_AT_ONCE if energies.device.type == "cpu" else _SHOWERS_AT_ONCE_ON_DEVICE
        spots = self._most_spots(torch.stack(energies.aminmax()).double()[:, None])
        spots_at_once = _SPOTS_AT_ONCE if straight else _SPOTS_AT_ONCE // _MEMORY_OF_TILTED
        return max(
            1, min(most, int(spots_at_once / spots), _CELLS_AT_ONCE // self.calorimeter.n_cells)
        )

    def _most_spots(self, ends: Float[Tensor, "2 1"]) -> float:
        """The largest number of spots between two energies; the constants give showers at both."""
        shower = profile(self.medium.constants, self.used_tuning, ends, ends.new_zeros(2, 2))
        spots = shower.spots
        if not (spots.log10().abs() < _DECADES_OF_SPOTS).all() or shower.maximum.isnan().any():
            msg = (
                "GFlash: its constants give no shower from "
                f"{' to '.join(format_energy(float(end)) for end in ends)}: "
                f"{' to '.join(f'{float(number):.3g}' for number in spots)} spots, maximum at "
                f"{' to '.join(f'{float(depth):.3g}' for depth in shower.maximum)} radiation "
                "lengths: check spots_1, spots_2 and the correlations, or tune it again"
            )
            raise GeometryError(msg)
        return float(spots.max())

    def _piece(
        self, particles: Particles, straight: Bool[Tensor, " showers"], address: Address
    ) -> Float[Tensor, "showers cells"]:
        if straight.all():
            return self._along_axis(particles, address)
        deposits = torch.empty(
            len(particles), self.calorimeter.n_cells, dtype=torch.float64, device=straight.device
        )
        for chosen, make in ((straight, self._along_axis), (~straight, self._tilted)):
            rows = chosen.nonzero()[:, 0]
            if len(rows):
                deposits[rows] = make(particles[rows], address[rows])
        return deposits

    def _along_axis(self, particles: Particles, address: Address) -> Float[Tensor, "showers cells"]:
        energies = particles.energies[:, None].double()
        constants, tuning, walk = (
            self.medium.constants,
            self.used_tuning,
            self._walk(energies.device),
        )
        normals = streams.normals(address.keys(Stream.PROFILE)[:, 0], 4)
        shower = profile(constants, tuning, energies, normals[:, :2])
        steps = longitudinal.steps(shower, energies, walk.edges, self.energy_limit)
        if constants.sampling_scale > 0:
            steps = _sampled(steps, constants.sampling_scale, address)
        scattering = 0.0 if self.upstream is None else self.upstream.scattering
        shape = radial(constants, tuning, energies, relative_depth(shower, walk.middles))
        return scatter(
            self.calorimeter, walk, steps, shape, normals[:, 2:] * (scattering / energies), address
        )

    def _tilted(self, particles: Particles, address: Address) -> Float[Tensor, "showers cells"]:
        """Showers about any axis: of electrons, and of the two electrons of each photon."""
        energies = particles.energies[:, None].double()
        pdg = -1 if particles.pdg is None else particles.pdg
        photon = (torch.as_tensor(pdg, device=energies.device) == PHOTON).expand(len(energies))
        course = Course.of(particles, torch.zeros_like(energies))
        if not photon.any():
            return self._about(course, energies, address)
        uniforms = streams.uniforms(address.keys(Stream.CONVERSION)[:, 0], 2)
        pair = convert(self.medium.constants.z, energies, uniforms)
        share = torch.where(photon[:, None], pair.share, 0.0)
        course = course._replace(start=torch.where(photon[:, None], pair.depth, 0.0))
        deposits = self._about(course, energies * (1 - share), address)
        rows = photon.nonzero()[:, 0]
        second = Course(*(values[rows] for values in course))
        deposits[rows] += self._about(
            second, (energies * share)[rows], replace(address[rows], second=True)
        )
        return deposits

    def _about(
        self, course: Course, energies: Float[Tensor, "showers 1"], address: Address
    ) -> Float[Tensor, "showers cells"]:
        """Showers of electrons, each about its own axis."""
        constants, tuning, layout = self.medium.constants, self.used_tuning, self._layout
        normals = streams.normals(address.keys(Stream.PROFILE)[:, 0], 4)
        known = energies.clamp(min=self.energy_limit)
        shower = profile(constants, tuning, known, normals[:, :2])
        way = reach(layout, course, constants.moliere_radius / constants.radiation_length)
        number = (way / self.step).ceil()
        n = max(1, int(number.max()))
        edges = torch.arange(n + 1, dtype=way.dtype, device=way.device) * self.step
        steps = longitudinal.steps(shower, energies, edges, self.energy_limit)
        gone = torch.arange(n, device=way.device) >= number
        steps = Steps(*(values.masked_fill(gone, 0.0) for values in steps))
        if constants.sampling_scale > 0:
            steps = _sampled(steps, constants.sampling_scale / course.theta.cos(), address)
        middles = (edges[1:] + edges[:-1]) / 2
        shape = radial(constants, tuning, known, relative_depth(shower, middles))
        scattering = 0.0 if self.upstream is None else self.upstream.scattering
        moved = normals[:, 2:] * (scattering * course.theta.cos() ** -1.5 / known)
        moved = moved * (course.start == 0)
        return scatter_about(layout, course, self.step, steps, shape, address, moved)

    @property
    def _layout(self) -> Layout:
        thicknesses = self.medium.thicknesses(self.calorimeter.known_thicknesses)
        return Layout(self.calorimeter, self.depths, thicknesses)

    def _expected(
        self, energies: Float[Tensor, "showers 1"], normals: Float[Tensor, "showers 2"]
    ) -> Float[Tensor, "showers cells"]:
        constants, tuning, walk = (
            self.medium.constants,
            self.used_tuning,
            self._walk(energies.device),
        )
        shower = profile(constants, tuning, energies, normals)
        in_steps = longitudinal.expected_energies(shower, energies, walk.edges, self.energy_limit)
        shape = radial(constants, tuning, energies, relative_depth(shower, walk.middles))
        return expected_deposits(self.calorimeter, walk, in_steps, shape)


def _sampled(steps: Steps, scale: float | Float[Tensor, "showers 1"], address: Address) -> Steps:
    """Let the energy of each step fluctuate as sampling makes it: a gamma number of the same mean
    and variance scale * mean.
    """
    counter = torch.arange(steps.energies.shape[1], device=steps.energies.device) * variates.SPACING
    key, counter = (t.expand_as(steps.energies) for t in (address.keys(Stream.SAMPLING), counter))
    held = steps.energies > 0
    if isinstance(scale, Tensor):
        scale = scale.expand_as(steps.energies)[held]
    energies = torch.zeros_like(steps.energies)
    energies[held] = variates.gamma(steps.energies[held] / scale, key[held], counter[held]) * scale
    return steps._replace(energies=energies)


def gflash_of(detector: Detector) -> GFlash:
    """GFlash of a detector: its cells, media of the same materials as Geant4 takes, what is before
    it, and its threshold.

    What is read of each layer is estimated (`media.visible_shares`); where the detector divides by
    its sampling fraction, all of it on the average. Either is to be corrected by a response fitted
    to full showers. In PbWO4 alone the critical energy is that of Geant4's GFlash, see
    `Material.like_geant4`.

    Arguments:
        detector: The detector, which particles enter along its axis.

    Raises:
        GeometryError: The NIST tables do not hold a material of the detector, or there is matter in
            front of it.
    """
    if detector.front:
        msg = (
            f"detector '{detector.name}': GFlash begins at its face and knows nothing of "
            f"{detector.front[0].material} in front: simulate by Geant4, or leave it out"
        )
        raise GeometryError(msg)
    before = detector.material(detector.surroundings)
    return GFlash(
        detector.calorimeter,
        medium_of(detector),
        upstream=Upstream(before, detector.distance)
        if detector.distance and before.name != _VACUUM
        else None,
        visible=visible_shares(detector),
        threshold=detector.threshold,
        detector=detector,
    )


def pbwo4_gflash() -> GFlash:
    """GFlash of the benchmark of SQuIRELS: PbWO4 crystals behind 880 mm of air, with Geant4's
    constants of the material.
    """
    return gflash_of(load_detector("pbwo4-10x10"))
