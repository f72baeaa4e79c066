"""A reference whose optimum is known: showers with exactly the moments of GFlash's mean field."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from caloforge.design import Made, Problem, Space
from caloforge.design.responses import GFlashResponse
from caloforge.detector import Detector
from caloforge.particles import Particles
from caloforge.simulators.gflash import energy_moments as module
from caloforge.simulators.gflash.longitudinal import increments
from caloforge.simulators.gflash.media import visible_shares
from caloforge.simulators.gflash.parametrisation import Tuning, profile


@dataclass(frozen=True)
class MeanField:
    """Profiles of GFlash and, in each layer, a gamma number with the variance of its crossings.

    Arguments:
        sampling: The true k.
    """

    sampling: float = 1.3

    def make(self, detector: Detector, particles: Particles, seed: int) -> Made:
        """Layers and, where there is one behind, what its block catches."""
        random = np.random.default_rng(seed)
        catches = len({layers.thickness for layers in detector.layers if layers.number == 1}) > 0
        sections = module.sections_of(detector)[: -1 if catches else None]
        energies = particles.energies.double()[:, None]
        z = torch.from_numpy(random.standard_normal((len(energies), 2)))
        shower = profile(module._constants(sections), Tuning.sampling(), energies, z)
        share = increments(shower.alpha, shower.maximum, module._edges(sections))
        deposits = (share * energies).numpy()
        loss = torch.cat([module._loss(one).expand(one.number) for one in sections]).numpy()
        drawn = random.gamma(deposits / (self.sampling * loss)) * self.sampling * loss
        shares = np.array(visible_shares(detector))[: deposits.shape[1]]
        if not catches:
            return Made(drawn * shares, 1e-3 * len(energies))
        behind = energies.numpy() - deposits.sum(1, keepdims=True)
        return Made(np.concatenate([drawn * shares, behind], axis=1), 1e-3 * len(energies))

    @property
    def said(self) -> dict[str, str | float]:
        """The true k."""
        return {"mean field": self.sampling}


def truth(problem: Problem, space: Space, sampling: float = 1.3) -> Tensor:
    """The best design of these showers."""
    response = GFlashResponse(space, problem.energies, sampling)
    return problem.least(space, response, space.low, space.high, space.start)
