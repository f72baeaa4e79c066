"""A chain whose showers are looked at before they are written."""

__all__ = ["Guarded"]

from collections import Counter
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from caloforge.chain import Chain
from caloforge.errors import NotFiniteError, ShowerValueError
from caloforge.hits import AnyShowers, Hits, dense, joined
from caloforge.particles import Particles
from caloforge.production.plan import Action, Guards
from caloforge.showers import Showers
from caloforge.simulators.protocols import Progress, silent


class Guarded(Chain):
    """A chain whose showers are numbered from ``first``, counted and guarded.

    Arguments:
        chain: The chain.
        first: The number of the first shower.
        guards: What showers have to be.
    """

    def __init__(self, chain: Chain, first: int, guards: Guards) -> None:
        super().__init__(chain)
        self.first, self.guards = first, guards
        self.counts: Counter[str] = Counter()

    def simulate(
        self,
        particles: Particles,
        *,
        seed: int,
        first_index: int = 0,
        progress: Progress = silent,
    ) -> AnyShowers:
        """Make showers, count those outside of the guards, and do with them what the plan says.

        Raises:
            ShowerValueError: One is outside, and the plan refuses it.
        """
        first = self.first + first_index
        outside = self.validity.outside(particles.energies)
        if outside is not None:
            self.counts["energy outside the validity"] += outside[0]
        made = self._made(particles, seed, first)
        progress(len(particles))
        if isinstance(made, Hits):
            return made
        bad = self._bad(made)
        if not bad.any() or self.guards.action is Action.KEEP:
            return made
        if self.guards.action is Action.REFUSE:
            row = first + int(bad.nonzero()[0, 0])
            msg = (
                f"{int(bad.sum())} showers do not pass the guards, the first of them shower {row}: "
                "set guards.action to keep or replace, or guards.most higher"
            )
            raise ShowerValueError(msg)
        return self._replaced(made, bad, seed, first)

    def _made(self, particles: Particles, seed: int, first: int) -> AnyShowers:
        """The showers; one that a model refuses to give, as it holds no numbers, is all NaN."""
        try:
            return super().simulate(particles, seed=seed, first_index=first)
        except NotFiniteError:
            if len(particles) == 1:
                none = torch.full((1, self.calorimeter.n_cells), torch.nan)
                return Showers(none, particles, self.calorimeter)
        half = len(particles) // 2
        parts = (
            self._made(particles[:half], seed, first),
            self._made(particles[half:], seed, first + half),
        )
        return joined(parts)

    def _bad(self, showers: Showers) -> Bool[Tensor, " showers"]:
        deposits = showers.deposits
        found = {
            "not finite": ~deposits.isfinite().all(dim=1),
            "negative": (deposits < 0).any(dim=1),
            "beyond the incident energy": deposits.sum(dim=1)
            > self.guards.most * showers.energies.to(deposits),
        }
        for name, rows in found.items():
            if rows.any():
                self.counts[name] += int(rows.sum())
        return torch.stack(list(found.values())).any(dim=0)

    def _replaced(
        self, showers: Showers, bad: Bool[Tensor, " showers"], seed: int, first: int
    ) -> Showers:
        """Those of the simulator, of the same numbers, in place of the bad ones."""
        deposits = showers.deposits.clone()
        for row in bad.nonzero()[:, 0].tolist():
            alone = showers.particles[row : row + 1]
            made = dense(self.simulator.simulate(alone, seed=seed, first_index=first + row))
            deposits[row] = made.deposits[0]
        self.counts["replaced"] += int(bad.sum())
        return replace(showers, deposits=deposits)
