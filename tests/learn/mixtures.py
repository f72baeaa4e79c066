"""A Gaussian mixture in the plane, whose flow from the standard normal law is known on
every path.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from caloforge.learn.processes import Path, Velocity

MEANS = torch.tensor([[0.8, 0.3], [-0.5, 0.7], [0.1, -0.8]], dtype=torch.float64)
WIDTHS = torch.tensor([0.6, 0.7, 0.8], dtype=torch.float64)
SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def sample(n: int) -> Tensor:
    component = torch.multinomial(SHARES, n, replacement=True)
    return MEANS[component] + WIDTHS[component, None] * torch.randn(n, 2, dtype=torch.float64)


@dataclass(frozen=True)
class MixtureFlow:
    r"""The velocity of the mixture on a path from the standard normal law.

    With x_0 standard normal and x_1 of component k, x_t is normal with mean b m_k and variance a^2
    + b^2 s_k^2, and the mean of da x_0 + db x_1 given x_t is linear in x_t. The velocity is its
    mean over the components given x_t.
    """

    path: Path

    def _components(self, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The log of share times density, the distance to the mean, the speed of the mean, and the
        slope of each component.
        """
        a, b, da, db = (w[:, :, None] for w in self.path.weights(time[:, None]))
        widths = WIDTHS[:, None]
        distance = x[:, None, :] - b * MEANS
        variance = a**2 + (b * widths) ** 2
        log_density = (
            -distance.square().sum(2) / (2 * variance[..., 0])
            - (2 * torch.pi * variance[..., 0]).log()
        )
        return (
            SHARES.log() + log_density,
            distance,
            db * MEANS,
            (a * da + b * db * widths**2) / variance,
        )

    def __call__(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        del condition
        log_share, distance, speed, slope = self._components(x, time)
        return (log_share.softmax(1)[..., None] * (speed + slope * distance)).sum(1)

    def log_density(self, x: Tensor, time: float) -> Tensor:
        """Of x_t."""
        return self._components(x, torch.full((len(x),), time, dtype=x.dtype))[0].logsumexp(1)

    @property
    def velocity(self) -> Velocity:
        return lambda x, t: self(x, torch.full((len(x),), t, dtype=x.dtype), x)
