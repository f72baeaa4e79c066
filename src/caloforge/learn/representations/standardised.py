r"""Shares and responses, standardised (SQuIRELS, arXiv:2308.12339, section IV).

With :math:`E` the incident energy, :math:`x_c` the deposit in cell :math:`c` and
:math:`S = \sum_c x_c`, these are :math:`(x_c / S - \mu_c) / \sigma_c` and
:math:`(S / E - \mu) / \sigma`.
"""

__all__ = ["StandardisedShape", "StandardisedSum", "shower_sums"]

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.learn.conditions import Condition
from caloforge.learn.noise import Numbers
from caloforge.learn.representations.representation import NO_NOISE, Representation


def shower_sums(
    deposits: Float[Tensor, "showers cells"], first_index: int = 0
) -> Float[Tensor, " showers"]:
    """The sum of the deposits of each shower, in MeV, in double precision.

    Arguments:
        deposits: The deposits, in MeV.
        first_index: The number, in the sample, of the first of them.

    Raises:
        ShowerValueError: A shower has no energy.
    """
    total = deposits.double().sum(dim=1)
    if not (total > 0).all():
        dark = (~(total > 0)).nonzero()[:, 0]
        msg = (
            f"{len(dark)} of {len(deposits)} showers have no energy in any cell, the first at "
            f"index {first_index + int(dark[0])}: remove them"
        )
        raise ShowerValueError(msg)
    return total


class StandardisedShape(Representation[Tensor]):
    """Each cell's share of the shower's energy, standardised (systems table S19).

    Arguments:
        n_cells: The number of cells.
    """

    mean: Tensor
    width: Tensor

    def __init__(self, n_cells: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_cells, dtype=torch.float64))
        self.register_buffer("width", torch.ones(n_cells, dtype=torch.float64))

    def fit(self, x: Float[Tensor, "showers cells"], condition: Condition) -> "StandardisedShape":
        """Take mean and standard deviation of each cell; 1 for a cell whose share never varies."""
        del condition
        share = x.double() / shower_sums(x)[:, None]
        self.mean.copy_(share.mean(dim=0))
        self.width.copy_(_width(share))
        return self

    def encode(
        self, x: Float[Tensor, "showers cells"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers cells"]:
        """Standardise."""
        del condition, noise
        share = x.double() / shower_sums(x)[:, None]
        return ((share - self.mean) / self.width).float()

    def decode(
        self, z: Float[Tensor, "showers cells"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, "showers cells"]:
        """Deposits, in MeV, with the energy of all layers of the condition; negative shares become
        0 before scaling (as the published code does).
        """
        del noise
        share = (z.double() * self.width + self.mean).clamp_min(0)
        total = condition.layer_energies.sum(dim=1, keepdim=True)
        return (share / share.sum(dim=1, keepdim=True) * total).float()


class StandardisedSum(Representation[Tensor]):
    """The response, sum of the deposits over incident energy, standardised (systems table S17);
    what is represented is the sum.
    """

    mean: Tensor
    width: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("width", torch.ones((), dtype=torch.float64))

    def fit(self, x: Float[Tensor, " showers"], condition: Condition) -> "StandardisedSum":
        """Take mean and standard deviation; 1 where the response never varies."""
        response = x / condition.particles.energies
        self.mean.copy_(response.mean())
        self.width.copy_(_width(response))
        return self

    def encode(
        self, x: Float[Tensor, " showers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, " showers"]:
        """Standardise."""
        del noise
        return ((x / condition.particles.energies - self.mean) / self.width).float()

    def decode(
        self, z: Float[Tensor, " showers"], condition: Condition, noise: Numbers = NO_NOISE
    ) -> Float[Tensor, " showers"]:
        """The sum of the deposits, in MeV; a response below 0 becomes 0."""
        del noise
        return (z.double() * self.width + self.mean).clamp_min(0) * condition.particles.energies


def _width(x: Float[Tensor, "showers ..."]) -> Float[Tensor, "..."]:
    """The standard deviation, or 1 where there is none, as in a cell that is never hit."""
    width = x.std(dim=0)
    return torch.where(width > 0, width, 1.0)
