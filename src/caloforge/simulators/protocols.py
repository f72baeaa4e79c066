r"""What makes showers, and what makes better ones of them: two signatures that all share.

A `Simulator` makes a shower of each particle: GFlash, Geant4, every surrogate and every chain. A
`Refiner` makes a shower of each shower, with the same particles: other deposits, or other weights.
Shower i depends on the maker, the seed, i and what it is made from alone: not on the batch, so that
``first_index`` cuts a run in pieces.

Either says in its `Validity` for which particles it was made. Outside it, a simulation raises, and
a learned model warns or raises (`EnergyRangeWarning`), since there its showers are guesses.
"""

__all__ = ["Progress", "Refiner", "Simulator", "Validity", "silent"]

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import Protocol, runtime_checkable

from caloforge.errors import ShowerValueError
from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers
from caloforge.particles import Particles, name_of
from caloforge.showers import Showers
from caloforge.units import deg

Progress = Callable[[int], None]
"""Is given the number of showers that have just been finished."""


def silent(finished: int) -> None:
    """The progress that nobody watches."""
    del finished


@dataclass(frozen=True)
class Validity:
    r"""For which particles a simulator or a refiner was made.

    Arguments:
        lowest: The lowest incident energy, in MeV.
        highest: The highest incident energy, in MeV.
        species: The PDG numbers; empty for any.
        largest_angle: The largest polar angle :math:`\theta`, in radians.
        largest_offset: The largest distance of the place from the centre, in mm.
    """

    lowest: float = 0.0
    highest: float = math.inf
    species: tuple[int, ...] = ()
    largest_angle: float = math.pi
    largest_offset: float = math.inf

    def __and__(self, other: "Validity") -> "Validity":
        """What both are made for.

        Raises:
            ShowerValueError: They have no species in common.
        """
        given = [set(species) for species in (self.species, other.species) if species]
        species = tuple(sorted(set.intersection(*given))) if given else ()
        if given and not species:
            msg = f"no species is both in {self.species} and in {other.species}"
            raise ShowerValueError(msg)
        return Validity(
            max(self.lowest, other.lowest),
            min(self.highest, other.highest),
            species,
            min(self.largest_angle, other.largest_angle),
            min(self.largest_offset, other.largest_offset),
        )

    def outside(self, energies: Tensor) -> tuple[int, int] | None:
        """How many incident energies, in MeV, are out of range, and the row of the first; None if
        there are none.
        """
        bad = (energies < self.lowest) | (energies > self.highest)
        return (int(bad.sum()), int(bad.nonzero()[0, 0])) if bad.any() else None

    def require(self, particles: Particles, maker: str, *, first_index: int = 0) -> None:
        """Check species, direction and place; who makes showers checks the energies itself.

        Arguments:
            particles: The particles; those of unknown species pass.
            maker: What is to make their showers, for the message.
            first_index: The number, in the run, of the first particle.

        Raises:
            ShowerValueError: A particle is another than the showers are made for.
        """
        for bad, found, expected in self._departures(particles):
            if bad.any():
                first = int(bad.nonzero()[0, 0])
                msg = (
                    f"{maker}: {int(bad.sum())} of {len(bad)} particles {found(first)}, the first "
                    f"that of shower {first_index + first}; expected {expected()}"
                )
                raise ShowerValueError(msg)

    def _departures(
        self, particles: Particles
    ) -> Iterator[tuple[Tensor, Callable[[int], str], Callable[[], str]]]:
        """Which particles depart in which respect, what one of them is, and what is expected.

        Words are made for an error alone: names of species take the table of all particles.
        """
        theta, place = particles.theta, particles.place
        if self.species and not set(particles.species) <= set(self.species):
            each = torch.as_tensor(particles.pdg).expand(len(particles))
            yield (
                ~torch.isin(each, torch.tensor(self.species, device=each.device)),
                lambda first: f"have PDG number {int(each[first])}",
                lambda: " or ".join(f"{name_of(one)} ({one})" for one in self.species),
            )
        if theta is not None:
            angles = theta
            yield (
                angles.abs() > self.largest_angle,
                lambda first: f"enter at an angle of {float(angles[first]) / deg:.4g} deg",
                lambda: (
                    f"at most {self.largest_angle / deg:.4g} deg to the axis"
                    if self.largest_angle
                    else "particles along the axis"
                ),
            )
        if place is not None:
            offset = place.norm(dim=1)
            yield (
                offset > self.largest_offset,
                lambda first: f"enter {float(offset[first]):g} mm off the centre",
                lambda: (
                    f"at most {self.largest_offset:g} mm" if self.largest_offset else "the centre"
                ),
            )


@runtime_checkable
class Simulator(Protocol):
    """Makes showers from particles."""

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""

    @property
    def validity(self) -> Validity:
        """For which particles it is made."""

    def simulate(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> AnyShowers:
        """Make one shower of each particle, dense or as hits.

        Arguments:
            particles: The particles.
            seed: The seed of the run.
            first_index: The number, in the run, of the first shower.
            progress: Given the number of showers just finished, again and again.
        """


@runtime_checkable
class Refiner(Protocol):
    """Makes better showers from showers: other deposits, or other weights."""

    @property
    def calorimeter(self) -> Calorimeter:
        """Where the cells are."""

    @property
    def validity(self) -> Validity:
        """For which particles it is made."""

    def refine(
        self,
        showers: Showers,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> Showers:
        """Make one shower of each shower, of the same particles.

        Arguments:
            showers: The showers.
            seed: The seed of the run.
            first_index: The number, in the run, of the first shower.
            progress: Given the number of showers just finished, again and again.
        """
