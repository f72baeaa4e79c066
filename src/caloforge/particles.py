r"""Particles enter a calorimeter, one a shower: species, energy, direction and place.

A direction is the polar angle :math:`\theta` to the beam axis and the azimuth :math:`\phi`, both in
radians: :math:`(\sin\theta \cos\phi, \sin\theta \sin\phi, \cos\theta)`. The place is the point
:math:`(x, y)` of the front face :math:`z = 0`, in mm, at which the particle would arrive. Without
angles all particles fly along the axis, without places they arrive at the centre.

A species is a number of the Particle Data Group, 11 for the electron. Where nobody has said it, it
is None: such particles fit every model, and what cannot work without the species asks for it.
`pdg_of` and `name_of` translate between numbers and names.
"""

__all__ = [
    "ELECTRON",
    "PHOTON",
    "Index",
    "Numbers",
    "Particles",
    "Rows",
    "Species",
    "name_of",
    "pdg_of",
    "rows_of",
    "tensor_of",
]

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.errors import RowError, ShowerValueError, quoted
from caloforge.shown import Shown, counted
from caloforge.species import ELECTRON, PHOTON, name_of, pdg_of
from caloforge.units import format_energy

Rows = slice | Tensor
"""Rows of a sample: a slice, an int64 tensor of numbers, or a mask."""

Index = int | np.integer | Rows | Sequence[int] | np.ndarray
"""What chooses showers: the number of one, rows, or these as a list or an array."""

Numbers = Tensor | np.ndarray | Sequence[float] | Sequence[Sequence[float]]
"""Numbers as they are given: a tensor is taken as it is, all else becomes one."""

Species = int | Tensor | None
"""PDG numbers: one for all particles, one each (int64, with shape (N)), or None where they are not
known."""

_PLACE, _MATTER = "place", "matter"
_FURTHER = ("theta", "phi", _PLACE, _MATTER)
"""What may be known of each beside energy and species."""


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Particles(Shown):
    """The particles that enter the calorimeter, one a shower.

    Two samples are equal when species, energies, directions and places are, whether zeros and the
    one species of all are written out or not.

    Arguments:
        energies: The incident energies, in MeV, positive, with shape (N).
        pdg: The species, as PDG number: one for all, an int64 tensor with shape (N), or None where
            it is not known.
        theta: The polar angles to the beam axis, in radians, with shape (N); None for along the
            axis.
        phi: The azimuthal angles, in radians, with shape (N); None for 0.
        place: The points (x, y) on the front face, in mm, with shape (N, 2); None for the centre.
        matter: What each enters, as the numbers of `caloforge.detector.Matter`, with shape
            (N, numbers); None where a model need not know.

    Raises:
        ShowerValueError: Energies are not positive and finite, an angle or a place is not finite,
            shapes differ, or the species are not whole numbers.
    """

    energies: Tensor
    pdg: Species = ELECTRON
    theta: Tensor | None = None
    phi: Tensor | None = None
    place: Tensor | None = None
    matter: Tensor | None = None

    def __init__(
        self,
        energies: Numbers,
        pdg: Species | np.ndarray | Sequence[int] = ELECTRON,
        theta: Numbers | None = None,
        phi: Numbers | None = None,
        place: Numbers | None = None,
        matter: Numbers | None = None,
    ) -> None:
        species = pdg if pdg is None or isinstance(pdg, int) else tensor_of(pdg, "pdg")
        object.__setattr__(self, "energies", tensor_of(energies, "energies"))
        object.__setattr__(self, "pdg", species)
        for name, values in zip(_FURTHER, (theta, phi, place, matter), strict=True):
            given = None if values is None else tensor_of(values, name)
            object.__setattr__(self, name, given)
        self._check()

    def _check(self) -> None:
        if self.energies.ndim != 1:
            msg = f"incident energies have shape {tuple(self.energies.shape)}, expected (N,)"
            raise ShowerValueError(msg)
        _require_energies(self.energies)
        n = len(self.energies)
        for name, values in zip(_FURTHER, self._further, strict=True):
            if values is not None:
                _require_finite(name, values, n)
        if isinstance(self.pdg, Tensor):
            _require_species(self.pdg, n)

    def __len__(self) -> int:
        return len(self.energies)

    def __getitem__(self, index: Index) -> "Particles":
        rows = rows_of(index, len(self))
        return Particles(
            self.energies[rows],
            self.pdg[rows] if isinstance(self.pdg, Tensor) else self.pdg,
            *(None if values is None else values[rows] for values in self._further),
        )

    def __iter__(self) -> Iterator["Particles"]:
        return (self[row] for row in range(len(self)))

    def facts(self) -> dict[str, str]:
        """What a prompt and a notebook show."""
        ends = dict.fromkeys(map(format_energy, self.energies.tolist()[:1]))
        if len(self) > 1:
            ends = dict.fromkeys(format_energy(float(end)) for end in self.energies.aminmax())
        return {
            "particles": counted(len(self), "particle"),
            "species": ", ".join(map(name_of, self.species)) or "of unknown species",
            "incident energies": " to ".join(ends),
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Particles) or len(self) != len(other):
            return False
        pairs = zip(self._further, other._further, strict=True)
        return (
            torch.equal(self.energies, other.energies)
            and _same_species(self.pdg, other.pdg)
            and all(_same_or_zero(a, b) for a, b in pairs)
        )

    @property
    def _further(self) -> tuple[Tensor | None, ...]:
        return self.theta, self.phi, self.place, self.matter

    @property
    def directions(self) -> Float[Tensor, "showers 3"]:
        """The unit vectors of the momenta, float64, with shape (N, 3)."""
        none = torch.zeros_like(self.energies)
        theta, phi = (
            (none if angle is None else angle).double() for angle in (self.theta, self.phi)
        )
        across = torch.stack([phi.cos(), phi.sin()], dim=1) * theta.sin()[:, None]
        return torch.cat([across, theta.cos()[:, None]], dim=1)

    @property
    def species(self) -> tuple[int, ...]:
        """The distinct PDG numbers of the sample, ascending; empty where they are not known."""
        if isinstance(self.pdg, Tensor):
            return tuple(torch.unique(self.pdg).tolist())
        return () if self.pdg is None else (self.pdg,)

    def one_species(self) -> int | None:
        """The PDG number that all particles have; None where it is not known.

        Raises:
            ShowerValueError: There are several.
        """
        species = self.species
        if len(species) > 1:
            names = ", ".join(name_of(pdg) for pdg in species)
            msg = f"particles of {len(species)} species, {names}: expected one species at a time"
            raise ShowerValueError(msg)
        return species[0] if species else None

    @staticmethod
    def cat(parts: Sequence["Particles"]) -> "Particles":
        """Join samples, in order.

        Samples of different species join to one with a species a shower; where some have angles or
        places, the others get zeros. What they enter is kept where it is known of all.

        Raises:
            ShowerValueError: The species of some is known and that of others is not.
        """
        rows = [len(p) for p in parts]
        return Particles(
            torch.cat([p.energies for p in parts]),
            _joined_species(parts),
            _joined([p.theta for p in parts], rows),
            _joined([p.phi for p in parts], rows),
            _joined([p.place for p in parts], rows),
            _joined_matter(parts),
        )

    def to(self, device: torch.device | str) -> "Particles":
        """The same particles on another device."""
        return Particles(
            self.energies.to(device),
            self.pdg.to(device) if isinstance(self.pdg, Tensor) else self.pdg,
            *(None if values is None else values.to(device) for values in self._further),
        )

    def rotated(self, matrix: Float[Tensor, "*showers 2 2"]) -> "Particles":
        r"""The same particles with directions and places turned about the beam axis, or mirrored.

        Arguments:
            matrix: Orthogonal matrices M, one for all, with shape (2, 2), or one each, with shape
                (N, 2, 2): :math:`(x, y) \to M (x, y)`.

        Returns:
            The particles; azimuths that were turned lie in :math:`[-\pi, \pi]`.
        """
        place = self.place
        if place is not None:
            turned = matrix.to(place.dtype) @ place[..., None]
            place = turned.squeeze(-1)
        return replace(self, phi=self._rotated_phi(matrix.double()), place=place)

    def _rotated_phi(self, matrix: Float[Tensor, "*showers 2 2"]) -> Tensor | None:
        """M is the rotation by a of what it leaves of phi: phi itself, or -phi for a mirror."""
        given = self.theta if self.phi is None else self.phi
        if given is None:
            return None
        phi = torch.zeros_like(given) if self.phi is None else given
        turn = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
        angle = turn + torch.linalg.det(matrix).round() * phi.double()
        full = 2 * math.pi
        turned: Tensor = (angle - full * (angle / full).round()).to(phi.dtype)
        return turned


def rows_of(index: Index, n: int) -> Rows:
    """What chooses rows, as a slice or a tensor; the number of one row gives a slice of it.

    Arguments:
        index: What chooses; a negative number counts from the end.
        n: How many rows there are.

    Raises:
        RowError: There is no such row.
    """
    if isinstance(index, slice | Tensor):
        return index
    chosen = np.asarray(index)
    if chosen.size and chosen.dtype.kind not in "biu":
        msg = f"index {quoted(str(index))}: expected a number, a slice, a list or a mask"
        raise RowError(msg)
    if chosen.dtype != np.bool_:
        for row in chosen[(chosen < -n) | (chosen >= n)].reshape(-1)[:1]:
            msg = f"index {row}: expected one of {n} showers, 0 to {n - 1}"
            raise RowError(msg)
    if isinstance(index, int | np.integer):
        return slice(int(index) % n, int(index) % n + 1)
    return torch.from_numpy(chosen if chosen.size else chosen.astype(np.int64))


def tensor_of(values: Numbers, name: str) -> Tensor:
    """Numbers as a tensor: single precision for fractions, int64 for species.

    Arguments:
        values: The numbers; a tensor is taken as it is.
        name: What they are, for the message.

    Raises:
        ShowerValueError: They are not numbers, or the rows have different lengths.
    """
    if isinstance(values, Tensor):
        return values
    kind = np.int64 if name == "pdg" else np.float32
    try:
        return torch.from_numpy(np.array(values, dtype=kind))
    except (TypeError, ValueError) as error:
        msg = f"{name}: expected numbers, in rows of one length: {error}"
        raise ShowerValueError(msg) from error


def _require_energies(energies: Tensor) -> None:
    bad = ~(energies > 0) | energies.isinf()
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        msg = (
            f"{int(bad.sum())} of {len(bad)} incident energies are not positive and finite, "
            f"the first at index {first} ({energies[first]:g} MeV)"
        )
        raise ShowerValueError(msg)


def _require_finite(name: str, values: Tensor, n: int) -> None:
    shape = {_PLACE: (n, 2), _MATTER: (n, values.shape[-1])}.get(name, (n,))
    if tuple(values.shape) != shape:
        msg = f"{name} has shape {tuple(values.shape)}, expected {shape} as the energies"
        raise ShowerValueError(msg)
    bad = ~values.isfinite()
    if bad.any():
        msg = (
            f"{int(bad.sum())} of {bad.numel()} numbers of {name} are not finite, the first at "
            f"index {int(bad.nonzero()[0, 0])}"
        )
        raise ShowerValueError(msg)


def _require_species(pdg: Tensor, n: int) -> None:
    if tuple(pdg.shape) != (n,) or pdg.dtype != torch.int64:
        msg = (
            f"pdg has shape {tuple(pdg.shape)} and type {pdg.dtype}, expected ({n},) as the "
            "energies and torch.int64"
        )
        raise ShowerValueError(msg)


def _same_species(a: Species, b: Species) -> bool:
    if a is None or b is None:
        return a is b
    return bool(torch.as_tensor(a == b).all())


def _same_or_zero(a: Tensor | None, b: Tensor | None) -> bool:
    if a is not None and b is not None:
        return torch.equal(a, b)
    return all(values is None or not values.any() for values in (a, b))


def _joined_matter(parts: Sequence[Particles]) -> Tensor | None:
    given = [part.matter for part in parts if part.matter is not None]
    return torch.cat(given) if len(given) == len(parts) else None


def _joined(parts: Sequence[Tensor | None], rows: Sequence[int]) -> Tensor | None:
    present = [p for p in parts if p is not None]
    if not present:
        return None
    like = present[0]
    return torch.cat(
        [
            like.new_zeros(n, *like.shape[1:]) if part is None else part
            for part, n in zip(parts, rows, strict=True)
        ]
    )


def _joined_species(parts: Sequence[Particles]) -> Species:
    kinds = [part.pdg for part in parts]
    if len({part.pdg is None for part in parts}) > 1:
        msg = (
            "the species of some particles to join is known and that of others is not: say it for "
            "all of them"
        )
        raise ShowerValueError(msg)
    if all(not isinstance(kind, Tensor) and kind == kinds[0] for kind in kinds):
        return kinds[0]
    return torch.cat([_each(part) for part in parts])


def _each(particles: Particles) -> Tensor:
    return torch.as_tensor(particles.pdg, device=particles.energies.device).expand(len(particles))
