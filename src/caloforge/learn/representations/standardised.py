r"""Shares and responses, standardised (SQuIRELS, arXiv:2308.12339, section IV).

With :math:`E` the incident energy, :math:`x_c` the deposit in cell :math:`c` and
:math:`S = \sum_c x_c`, these are :math:`(x_c / S - \mu_c) / \sigma_c` and
:math:`(S / E - \mu) / \sigma`.
"""

__all__ = ["StandardisedShape", "StandardisedSum", "shower_sums"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge.errors import ShowerValueError
from caloforge.showers import Showers


def shower_sums(showers: Showers) -> Float[Tensor, " showers"]:
    """The sum of the deposits of each shower, in MeV, in double precision.

    Raises:
        ShowerValueError: A shower has no energy.
    """
    total = showers.deposits.double().sum(dim=1)
    if not (total > 0).all():
        dark = (~(total > 0)).nonzero()[:, 0]
        msg = (
            f"{len(dark)} of {len(showers)} showers have no energy in any cell, the first at "
            f"index {int(dark[0])}: remove them"
        )
        raise ShowerValueError(msg)
    return total


class StandardisedShape(nn.Module):
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

    def fit(self, showers: Showers) -> "StandardisedShape":
        """Take mean and standard deviation of each cell from training showers."""
        share = showers.deposits.double() / shower_sums(showers)[:, None]
        self.mean.copy_(share.mean(dim=0))
        self.width.copy_(share.std(dim=0))
        return self

    def forward(self, showers: Showers) -> Float[Tensor, "showers cells"]:
        """Standardise."""
        share = showers.deposits.double() / shower_sums(showers)[:, None]
        return ((share - self.mean) / self.width).float()

    def inverse(
        self, values: Float[Tensor, "showers cells"], total: Float[Tensor, " showers"]
    ) -> Float[Tensor, "showers cells"]:
        """Deposits, in MeV, that add up to ``total``; negative shares become 0 before scaling (as
        the published code does).
        """
        share = (values.double() * self.width + self.mean).clamp_min(0)
        return (share / share.sum(dim=1, keepdim=True) * total[:, None]).float()


class StandardisedSum(nn.Module):
    """The response, sum of the deposits over incident energy, standardised (systems table S17)."""

    mean: Tensor
    width: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("width", torch.ones((), dtype=torch.float64))

    def fit(self, showers: Showers) -> "StandardisedSum":
        """Take mean and standard deviation from training showers."""
        response = shower_sums(showers) / showers.energies
        self.mean.copy_(response.mean())
        self.width.copy_(response.std())
        return self

    def forward(self, showers: Showers) -> Float[Tensor, " showers"]:
        """Standardise."""
        return ((shower_sums(showers) / showers.energies - self.mean) / self.width).float()

    def inverse(
        self, values: Float[Tensor, " showers"], energies: Float[Tensor, " showers"]
    ) -> Float[Tensor, " showers"]:
        """The sum of the deposits, in MeV; a response below 0 becomes 0."""
        return (values.double() * self.width + self.mean).clamp_min(0) * energies
