"""Particles enter a calorimeter, one a shower: species, energy, direction."""

__all__ = ["ELECTRON", "Index", "Particles"]

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from caloforge.errors import ShowerValueError

ELECTRON = 11
"""PDG number of the electron."""

Index = slice | Tensor


@dataclass(frozen=True, eq=False)
class Particles:
    """The particles that enter the calorimeter, one a shower.

    Arguments:
        energies: The incident energies, in MeV, positive, with shape (N).
        pdg: The species, as PDG number, one for all.
        theta: The polar angles to the beam axis, in radians, with shape (N); None for along the
            axis.
        phi: The azimuthal angles, in radians, with shape (N); None for along the axis.

    Raises:
        ShowerValueError: Energies are not positive and finite, or lengths differ.
    """

    energies: Tensor
    pdg: int = ELECTRON
    theta: Tensor | None = None
    phi: Tensor | None = None

    def __post_init__(self) -> None:
        if self.energies.ndim != 1:
            msg = f"incident energies have shape {tuple(self.energies.shape)}, expected (N,)"
            raise ShowerValueError(msg)
        bad = ~(self.energies > 0) | self.energies.isinf()
        if bad.any():
            first = int(bad.nonzero()[0, 0])
            msg = (
                f"{int(bad.sum())} of {len(bad)} incident energies are not positive and finite, "
                f"the first at index {first} ({self.energies[first]:g} MeV)"
            )
            raise ShowerValueError(msg)
        for name, angle in (("theta", self.theta), ("phi", self.phi)):
            if angle is not None and angle.shape != self.energies.shape:
                msg = (
                    f"{name} has shape {tuple(angle.shape)}, expected "
                    f"{tuple(self.energies.shape)} as the energies"
                )
                raise ShowerValueError(msg)

    def __len__(self) -> int:
        return len(self.energies)

    def __getitem__(self, index: Index) -> "Particles":
        theta = None if self.theta is None else self.theta[index]
        phi = None if self.phi is None else self.phi[index]
        return replace(self, energies=self.energies[index], theta=theta, phi=phi)

    @staticmethod
    def cat(parts: Sequence["Particles"]) -> "Particles":
        """Join samples of one species, in order.

        Raises:
            ShowerValueError: The species differ, or some parts have angles and others have none.
        """
        if len({(p.pdg, p.theta is None, p.phi is None) for p in parts}) != 1:
            msg = (
                "particles to join differ in species or in having angles: join samples of one kind"
            )
            raise ShowerValueError(msg)
        return replace(
            parts[0],
            energies=torch.cat([p.energies for p in parts]),
            theta=_cat([p.theta for p in parts]),
            phi=_cat([p.phi for p in parts]),
        )

    def to(self, device: torch.device | str) -> "Particles":
        """The same particles on another device."""
        move = [None if a is None else a.to(device) for a in (self.theta, self.phi)]
        return replace(self, energies=self.energies.to(device), theta=move[0], phi=move[1])


def _cat(parts: Sequence[Tensor | None]) -> Tensor | None:
    present = [p for p in parts if p is not None]
    return torch.cat(present) if present else None
