"""The samples that models are trained on.

Those of a surrogate may be larger than the memory: deposits of more than a gigabyte lie in a
temporary file that is mapped into memory, of which the system keeps what it has room for. A
training draws showers a batch at a time, so that it needs no more. Sparse showers stay sparse until
a stage asks for dense ones.
"""

__all__ = ["FullShowers", "TrainingShowers", "require_mesh"]

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from caloforge.detector import Detector, Matter
from caloforge.errors import GeometryMismatchError, TrainingError
from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers, Hits, HitSource, part_of
from caloforge.learn.conditions import ENERGY_ALONE, Beam
from caloforge.metrics import ks_probability
from caloforge.particles import Particles, name_of
from caloforge.showers import Showers, ShowerSource, common_threshold, joined_weights, spans
from caloforge.units import deg, format_energy

_FEWEST = 100
_LEAST_RANGE = 1.1
_LEAST_PROBABILITY = 1e-4

_IN_MEMORY = 2**28
"""Deposits that are held in memory, at most: a gigabyte of them."""

_AT_A_TIME = 256
_GB = 1e9


@dataclass(frozen=True)
class TrainingShowers:
    """Full and fast showers of the same calorimeter, of like incident energies.

    Arguments:
        full: Showers of the full simulation.
        fast: Showers of the fast simulation.
    """

    full: Showers
    fast: Showers

    def check(self, beam: Beam = ENERGY_ALONE, *, one_energy: bool = False) -> None:
        """Check that the two sides can teach.

        Arguments:
            beam: In what their particles may differ beside their energy.
            one_energy: Whether all showers may have one energy.

        Raises:
            GeometryMismatchError: The calorimeters differ.
            TrainingError: There are fewer than 100 showers on a side, the showers of a side are
                not of the kind that is learned (see `FullShowers.check`), the sides are of
                different species, or their energies do not overlap or, unless they may, span less
                than a tenth.
        """
        if beam.detector:
            msg = (
                "the recipe says 'beam: {detector: true}': a refiner learns showers of one "
                "detector, train one for each"
            )
            raise TrainingError(msg)
        self.full.calorimeter.require(self.fast.calorimeter, "the fast sample")
        for name, showers in (("full", self.full), ("fast", self.fast)):
            _check_side(name, showers, beam)
        self._check_species()
        if beam != ENERGY_ALONE:
            self._check_particles()
        low, high = self._common_energies()
        if low > high:
            msg = (
                "the energies of the full and the fast sample do not overlap: simulate the fast "
                "sample --like the full one"
            )
            raise TrainingError(msg)
        if high < _LEAST_RANGE * low and not one_energy:
            msg = (
                f"all incident energies lie near {format_energy(low)}: train on showers over a "
                "range of energies"
            )
            raise TrainingError(msg)

    def require_alike(self) -> None:
        """Check that the particles of both sides may be of one distribution.

        Raises:
            TrainingError: Their incident energies are of two.
        """
        full, fast = (side.energies.double().cpu().numpy() for side in (self.full, self.fast))
        p = ks_probability(full, fast, np.ones(len(full)), np.ones(len(fast)))
        if p < _LEAST_PROBABILITY:
            msg = (
                "the incident energies of the full and of the fast sample are distributed "
                f"differently (Kolmogorov-Smirnov p = {p:.2g}), and would be taken for a "
                "difference of the showers: simulate the fast sample --like the full one"
            )
            raise TrainingError(msg)

    def require_pairs(self) -> None:
        """Check that row i of both sides is of the same particle.

        Raises:
            TrainingError: It is not.
        """
        self._check_particles()

    def _check_species(self) -> None:
        full, fast = (side.particles.species for side in (self.full, self.fast))
        if full and fast and full != fast:
            names = (", ".join(map(name_of, species)) for species in (full, fast))
            msg = (
                "the full sample is of {}, the fast one of {}: simulate the fast sample --like the "
                "full one"
            )
            raise TrainingError(msg.format(*names))

    def _check_particles(self) -> None:
        if self.full.particles != self.fast.particles:
            msg = (
                "full and fast sample are of different particles, expected the same row by row "
                "for a regression, and where species, direction or place differ: simulate the fast "
                "sample --like the full one"
            )
            raise TrainingError(msg)

    def _common_energies(self) -> tuple[float, float]:
        low = max(float(s.energies.min()) for s in (self.full, self.fast))
        high = min(float(s.energies.max()) for s in (self.full, self.fast))
        return low, high

    @property
    def energy_range(self) -> tuple[float, float]:
        """The incident energies that both sides cover, in MeV, rounded outwards to two digits."""
        low, high = self._common_energies()
        return _rounded(low, math.floor), _rounded(high, math.ceil)

    @property
    def largest_angle(self) -> float:
        """The largest polar angle to the axis, in radians, rounded up to a degree."""
        return _largest_angle(self.full)

    @property
    def largest_offset(self) -> float:
        """The largest distance of a place from the centre, in mm, rounded up to two digits."""
        return _largest_offset(self.full)

    def split(self, held_out: int, seed: int) -> tuple["TrainingShowers", "TrainingShowers"]:
        """Set showers of both sides apart at random.

        Arguments:
            held_out: How many to hold out, at most a third of either side.
            seed: The seed of the choice.

        Returns:
            The showers to train on, and those held out.
        """
        (full, full_validation), (fast, fast_validation) = (
            _split(s, min(held_out, len(s) // 3), seed) for s in (self.full, self.fast)
        )
        return TrainingShowers(full, fast), TrainingShowers(full_validation, fast_validation)

    def by_energy(self) -> "TrainingShowers":
        """Both sides in the order of incident energy."""
        full, fast = (s[s.energies.argsort(stable=True)] for s in (self.full, self.fast))
        return TrainingShowers(full, fast)

    def to(self, device: torch.device | str) -> "TrainingShowers":
        """Both sides on another device."""
        return TrainingShowers(self.full.to(device), self.fast.to(device))


@dataclass(frozen=True)
class FullShowers:
    """Showers of the full simulation, that a surrogate is trained on.

    Arguments:
        full: The showers, dense or as hits; of several detectors, their particles say what they
            enter.
        detectors: The detectors, where there may be several.
    """

    full: AnyShowers
    detectors: tuple[Detector, ...] = ()

    @classmethod
    def read(cls, source: ShowerSource) -> "FullShowers":
        """The showers of a file, of any size: hits where it holds hits.

        Raises:
            TrainingError: They are many, and the disk of temporary files has no room for them.
        """
        if isinstance(source, HitSource):
            return cls(source.sparse(slice(None)))
        return cls(_together([source]))

    @classmethod
    def of_detectors(cls, samples: Sequence[tuple[ShowerSource, Detector]]) -> "FullShowers":
        """The showers of several detectors that are read in the same mesh, as those of the first.

        Arguments:
            samples: Each sample with its detector, at least one.

        Raises:
            GeometryMismatchError: The meshes differ, or a sample is not of its detector.
            TrainingError: Two detectors have one name, or as of `read`.
        """
        named: dict[str, Detector] = {}
        for source, detector in samples:
            require_mesh(samples[0][0].calorimeter, source.calorimeter)
            if named.setdefault(detector.name, detector) != detector:
                msg = f"two detectors have the name '{detector.name}': name each as none other"
                raise TrainingError(msg)
            source.calorimeter.require(detector.calorimeter, f"detector '{detector.name}'")
        full = _together([source for source, _ in samples])
        matter = [
            torch.tensor(Matter.of(detector).numbers).expand(len(source), -1)
            for source, detector in samples
        ]
        entered = replace(full.particles, matter=torch.cat(matter))
        return cls(replace(full, particles=entered), tuple(named.values()))

    def held_as(self, kind: type[AnyShowers]) -> AnyShowers:
        """The showers, dense or as hits: at most one a cell, all with energy.

        Raises:
            TrainingError: Dense ones are many, and the disk of temporary files has no room for
                them.
        """
        if kind is Showers:
            return self.full if isinstance(self.full, Showers) else _together([self.full])
        if isinstance(self.full, Hits):
            return self.full.merged().above(0.0)
        return Hits.cat([Hits.of(batch) for batch in self.full.batches(_AT_A_TIME)])

    def check(self, beam: Beam = ENERGY_ALONE) -> None:
        """Check that the showers can teach.

        Arguments:
            beam: In what their particles may differ beside their energy.

        Raises:
            TrainingError: There are fewer than 100, one deposits nothing or what is no number, one
                enters at an angle, off the centre, or with a species that the beam does not have,
                they have weights, or their detectors are not known and the beam has several.
        """
        _check_side("full", self.full, beam)
        if beam.detector and self.full.particles.matter is None:
            msg = (
                "the detectors of the training showers are not known, and the recipe says 'beam: "
                "{detector: true}': say which, as with --detector par04-siw"
            )
            raise TrainingError(msg)

    @property
    def largest_angle(self) -> float:
        """The largest polar angle to the axis, in radians, rounded up to a degree."""
        return _largest_angle(self.full)

    @property
    def largest_offset(self) -> float:
        """The largest distance of a place from the centre, in mm, rounded up to two digits."""
        return _largest_offset(self.full)

    @property
    def energy_range(self) -> tuple[float, float]:
        """The range of incident energies, in MeV, rounded outwards to two digits."""
        energies = self.full.energies
        return _rounded(float(energies.min()), math.floor), _rounded(
            float(energies.max()), math.ceil
        )

    def split(self, held_out: int, seed: int) -> tuple["FullShowers", "FullShowers"]:
        """Set showers apart at random: those to train on, and at most a third held out."""
        train, validation = _split(self.full, min(held_out, len(self.full) // 3), seed)
        return replace(self, full=train), replace(self, full=validation)

    def to(self, device: torch.device | str) -> "FullShowers":
        """The showers on another device."""
        return replace(self, full=self.full.to(device))


def require_mesh(first: Calorimeter, other: Calorimeter) -> None:
    """Check that two calorimeters have the same mesh: as many layers, each cut alike, in cells of
    any size, that may move with the particle or not.

    Raises:
        GeometryMismatchError: They have not.
    """
    if _mesh(first) != _mesh(other):
        msg = (
            f"calorimeter '{other.name}' has another mesh than '{first.name}' ({_cut(other)}, not "
            f"{_cut(first)}): a model of several detectors takes as many layers of each, all cut "
            "alike"
        )
        raise GeometryMismatchError(msg)


def _mesh(calorimeter: Calorimeter) -> object:
    cut = tuple((division.polar, division.number) for division in calorimeter.divisions)
    if not cut:
        return calorimeter
    return cut, calorimeter.along_particle, calorimeter.layer_order.tolist()


def _cut(calorimeter: Calorimeter) -> str:
    cells = f"{calorimeter.n_layers} layers of {calorimeter.n_cells} cells"
    return f"{cells} along the particle" if calorimeter.along_particle else cells


def _together(sources: Sequence[ShowerSource]) -> Showers:
    """All showers of samples of one mesh, in the cells of the first."""
    number, calorimeter = sum(map(len, sources)), sources[0].calorimeter
    if number * calorimeter.n_cells <= _IN_MEMORY:
        return Showers.cat([replace(source[:], calorimeter=calorimeter) for source in sources])
    deposits, particles, thresholds = _on_disk(number, calorimeter.n_cells), [], set()
    begin = 0
    for part in (part for source in sources for part in source.batches(_AT_A_TIME)):
        deposits[begin : begin + len(part)] = part.deposits
        particles.append(part.particles)
        thresholds.add(part.threshold)
        begin += len(part)
    joined, weights = Particles.cat(particles), joined_weights(sources)
    return Showers(deposits, joined, calorimeter, weights, common_threshold(thresholds))


def _check_side(name: str, showers: AnyShowers, beam: Beam = ENERGY_ALONE) -> None:
    """A model that is told nothing but the energy learns showers of one species along the axis at
    the centre, each of which counts once; see `Model.validity`.
    """
    _check_number(name, showers)
    particles, total = showers.particles, _total(showers)
    bad = ~((total > 0) & total.isfinite())
    _refuse(bad, f"of the {name} sample have no energy, or one that is not finite", "remove them")
    if particles.theta is not None and not beam.direction:
        _refuse(particles.theta != 0, "enter at an angle", _unknown("direction"))
    if particles.place is not None and not beam.place:
        _refuse((particles.place != 0).any(dim=1), "enter off the centre", _unknown("place"))
    _check_species(name, particles, beam)
    if showers.weights is not None:
        msg = (
            "the training showers have weights, expected each to count once: draw a sample "
            "according to the weights first"
        )
        raise TrainingError(msg)


def _total(showers: AnyShowers) -> Float[Tensor, " showers"]:
    if not isinstance(showers, Hits):
        return showers.deposits.sum(dim=1)
    none = showers.hit_energies.new_zeros(len(showers))
    return none.index_add_(0, showers.shower_of_hit, showers.hit_energies)


def _unknown(what: str) -> str:
    return f"a model learns them where its recipe says 'beam: {{{what}: true}}'"


def _check_species(name: str, particles: Particles, beam: Beam) -> None:
    found, asked = set(particles.species), set(beam.species)
    fits = found <= asked if asked else len(found) <= 1
    if fits and (found or not beam.n_species):
        return
    names = ", ".join(map(name_of, sorted(found))) or "unknown species"
    known = ", ".join(map(name_of, sorted(found))) or "e-, gamma"
    expected = " and ".join(map(name_of, beam.species)) or "one species"
    msg = (
        f"the {name} sample is of {names}, expected {expected}: train a model for each, or a "
        f"model whose recipe says 'beam: {{species: [{known}]}}'"
    )
    raise TrainingError(msg)


def _check_number(name: str, showers: AnyShowers) -> None:
    if len(showers) < _FEWEST:
        msg = (
            f"the {name} sample has {len(showers)} showers, expected at least {_FEWEST} to train on"
        )
        raise TrainingError(msg)


def _refuse(bad: Tensor, what: str, remedy: str) -> None:
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        msg = (
            f"{int(bad.sum())} of {len(bad)} training showers {what}, the first at index {first}: "
            f"{remedy}"
        )
        raise TrainingError(msg)


_Some = TypeVar("_Some", bound=AnyShowers)


def _split(showers: _Some, number: int, seed: int) -> tuple[_Some, _Some]:
    order = torch.randperm(len(showers), generator=torch.Generator().manual_seed(seed)).to(
        showers.energies.device
    )
    return _chosen(showers, order[number:]), _chosen(showers, order[:number])


def _chosen(showers: _Some, rows: Int64[Tensor, " rows"]) -> _Some:
    """These showers, on disk if they are dense, many and not on a device of their own."""
    cells = showers.calorimeter.n_cells
    few = len(rows) * cells <= _IN_MEMORY or showers.energies.device.type != "cpu"
    if few or isinstance(showers, Hits):
        return part_of(showers, rows)
    deposits = _on_disk(len(rows), cells)
    for span in spans(len(rows), _AT_A_TIME):
        deposits[span] = showers.deposits[rows[span]]
    weights = None if showers.weights is None else showers.weights[rows]
    particles = showers.particles[rows]
    return cast("_Some", replace(showers, deposits=deposits, particles=particles, weights=weights))


def _on_disk(showers: int, cells: int) -> Float[Tensor, "showers cells"]:
    """Deposits in a temporary file that goes when they do."""
    folder, size = tempfile.gettempdir(), 4 * showers * cells
    free = shutil.disk_usage(folder).free
    if free < size:
        msg = (
            f"{showers} training showers need {size / _GB:.1f} GB in {folder}, which has "
            f"{free / _GB:.1f} GB left:"
            " set TMPDIR to a folder of a larger disk"
        )
        raise TrainingError(msg)
    with tempfile.NamedTemporaryFile(prefix="caloforge-") as file:
        return torch.from_file(
            file.name, shared=True, size=showers * cells, dtype=torch.float32
        ).view(showers, cells)


def _largest_angle(showers: AnyShowers) -> float:
    theta = showers.particles.theta
    return 0.0 if theta is None else math.ceil(float(theta.abs().max()) / deg) * deg


def _largest_offset(showers: AnyShowers) -> float:
    place = showers.particles.place
    largest = 0.0 if place is None else float(place.norm(dim=1).max())
    return _rounded(largest, math.ceil) if largest else 0.0


def _rounded(energy: float, towards: Callable[[float], int]) -> float:
    unit = 10.0 ** (math.floor(math.log10(energy)) - 1)
    return towards(energy / unit) * unit
