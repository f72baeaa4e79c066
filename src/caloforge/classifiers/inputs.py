r"""What a classifier is shown of a shower, one list of numbers each.

The symbols are the deposits :math:`e_c` in the cells, the incident energy E and the layer energies
:math:`E_\ell = \sum_{c \in \ell} e_c`, in MeV. `HighLevel`, `LayerWise` and `ShowerLevel` show
observables; `Voxels`, `NormalisedVoxels` and `EveryCell` show all cells; `VoxelImage` and
`DepositImage` show them as an image, for a convolution, which needs a calorimeter whose layers are
all divided alike. Deposits below the threshold count as 0.
"""

__all__ = [
    "DepositImage",
    "EveryCell",
    "HighLevel",
    "Inputs",
    "LayerWise",
    "NormalisedVoxels",
    "ShowerLevel",
    "VoxelImage",
    "Voxels",
    "WithSpectrum",
    "image_of",
]

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.classifiers.architectures import Image
from caloforge.errors import GeometryError
from caloforge.geometry import Calorimeter
from caloforge.observables import (
    brightest_fractions,
    high_level_features,
    layer_energies,
    response,
    shower_level_features,
)
from caloforge.showers import Showers
from caloforge.units import GeV, keV

_BINS = 32
_FAINT = 1e-8
"""Added to layer energies, in MeV, before their logarithm, as the CaloChallenge does."""
_NOTHING = 1e-16
"""Added to layer energies, in MeV, before dividing by them, as the CaloChallenge does."""


@dataclass(frozen=True)
class Inputs(ABC):
    """From showers to the numbers that a classifier is shown.

    Arguments:
        threshold: Deposits below it count as 0, in MeV, at least 0.
    """

    threshold: float = 0.0

    @abstractmethod
    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """The inputs of each shower, with shape (N, features)."""

    def image(self, calorimeter: Calorimeter) -> Image | None:
        """The shape of the image that follows the first number; None for features without order.

        Raises:
            GeometryError: The inputs are images, and this calorimeter has none.
        """
        return None

    def require(self, calorimeter: Calorimeter) -> None:
        """Check that showers of a calorimeter have these inputs.

        Raises:
            GeometryError: The inputs are images, or depths in mm, and this calorimeter has none.
        """
        self.image(calorimeter)

    def above(self, threshold: float) -> "Inputs":
        """The same inputs with another threshold."""
        return replace(self, threshold=threshold)

    def _cut(self, showers: Showers) -> Tensor:
        deposits = showers.deposits
        return (
            torch.where(deposits < self.threshold, 0.0, deposits)
            if self.threshold > 0
            else deposits
        )

    def _kept(self, showers: Showers) -> Showers:
        return replace(showers, deposits=self._cut(showers))


@dataclass(frozen=True)
class HighLevel(Inputs):
    """The CaloChallenge's high-level features, 362 for dataset 2: energies, centres, widths and
    sparsity of the layers; see `caloforge.observables.high_level_features`.
    """

    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """The features, with shape (N, 2 + 4 layers + 4 layers cut in alpha)."""
        return high_level_features(self._kept(showers), self.threshold)


@dataclass(frozen=True)
class WithSpectrum(HighLevel):
    """The high-level features, and what they leave out: the logarithm of the number of cells in
    each quarter of a decade of energy from 1 keV to 100 GeV, and the shares of the brightest cells.
    """

    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """The features, with shape (N, features)."""
        kept = self._kept(showers)
        edges = torch.linspace(-3, 5, 1 + _BINS, device=kept.deposits.device)
        places = torch.bucketize(kept.deposits.clamp_min(1e-30).log10(), edges)
        counts = kept.deposits.new_zeros(len(kept), _BINS + 2)
        counts.scatter_add_(1, places, torch.ones_like(kept.deposits))
        bright = brightest_fractions(kept)
        return torch.cat([super().__call__(showers), counts[:, 1:].double().log1p(), bright], dim=1)


@dataclass(frozen=True)
class LayerWise(Inputs):
    """The high-level features that the challenge had in 2024, and CaloDREAM used, 226 for dataset
    2: E, energies of the layers, centres and widths along x and y; no total energy, sparsity, nor
    radial ones.
    """

    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """The features, with shape (N, 1 + layers + 4 layers cut in alpha)."""
        features = high_level_features(self._kept(showers), self.threshold)
        return features[:, : features.shape[1] - 3 * showers.calorimeter.n_layers - 1]


@dataclass(frozen=True)
class ShowerLevel(Inputs):
    """The nine observables of L2LFlows: energy ratio, occupancy, centre and width in x, y, z, and
    E; see `caloforge.observables.shower_level_features`.
    """

    def require(self, calorimeter: Calorimeter) -> None:
        """Check that the depth of each layer is known."""
        _ = calorimeter.known_thicknesses

    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """The observables, with shape (N, 9)."""
        return shower_level_features(self._kept(showers), self.threshold)


@dataclass(frozen=True)
class Voxels(Inputs):
    r"""All cells, in units of the incident energy: :math:`\log_{10} E`, :math:`e_c / E`."""

    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """With shape (N, 1 + cells)."""
        energies = showers.energies[:, None]
        return torch.cat([energies.log10(), self._cut(showers) / energies], dim=1)


@dataclass(frozen=True)
class NormalisedVoxels(Inputs):
    r"""All cells, in units of their layer's energy, and the layers' energies: :math:`\log_{10} E`,
    :math:`e_c / E_\ell`, :math:`\log_{10}(E_\ell + 10^{-8})`; the threshold is not used, as in the
    challenge.
    """

    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """With shape (N, 1 + cells + layers)."""
        layers = layer_energies(showers).to(showers.deposits.dtype)
        shares = (
            showers.deposits
            / (layers + _NOTHING)[:, showers.calorimeter.layer_of_cell.to(layers.device)]
        )
        return torch.cat(
            [showers.energies[:, None].log10(), shares, (layers + _FAINT).log10()], dim=1
        )


@dataclass(frozen=True)
class VoxelImage(Inputs):
    """As `Voxels`, with the cells as an image in the order layer, alpha (y), r (x)."""

    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """With shape (N, 1 + cells)."""
        energies = showers.energies[:, None]
        cells = showers.calorimeter.by_layer(self._cut(showers))
        return torch.cat([energies.log10(), cells / energies], dim=1)

    def image(self, calorimeter: Calorimeter) -> Image:
        """See `Inputs.image`."""
        return image_of(calorimeter)


@dataclass(frozen=True)
class DepositImage(Inputs):
    """All cells, in MeV, as an image, after the incident energy in GeV.

    Arguments:
        threshold: Deposits below it count as 0, in MeV, at least 0.
        ring: Whether the image closes in alpha, and so needs a calorimeter of rings; else it needs
            one of boxes.
    """

    ring: bool = False

    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """With shape (N, 1 + cells)."""
        cells = showers.calorimeter.by_layer(self._cut(showers))
        return torch.cat([showers.energies[:, None] / GeV, cells], dim=1)

    def image(self, calorimeter: Calorimeter) -> Image:
        """See `Inputs.image`."""
        if calorimeter.polar != self.ring:
            wanted = "rings in alpha" if self.ring else "boxes"
            msg = (
                f"calorimeter '{calorimeter.name}' is of kind {calorimeter.kind}, this classifier "
                f"expects {wanted}"
            )
            raise GeometryError(msg)
        return image_of(calorimeter)


@dataclass(frozen=True)
class EveryCell(Inputs):
    r"""The faint cells, the bright cells and the energy scale:
    :math:`\log_{10} \max(e_c, 1\,\mathrm{keV})`, :math:`e_c / E`, :math:`E_\mathrm{sum} / E`,
    :math:`\ln E`; the threshold is not used.
    """

    def __call__(self, showers: Showers) -> Float[Tensor, "showers features"]:
        """With shape (N, 2 cells + 2)."""
        deposits, energies = showers.deposits.float(), showers.energies.float()[:, None]
        total = response(showers).float()[:, None]
        return torch.cat(
            [deposits.clamp(min=1 * keV).log10(), deposits / energies, total, energies.log()], dim=1
        )


def image_of(calorimeter: Calorimeter) -> Image:
    """The numbers of layers, of bins in alpha (or y) and of bins in r (or x), where all layers are
    divided alike.

    Raises:
        GeometryError: The layers differ, or cells are neither boxes nor rings.
    """
    layers, alpha, r = calorimeter.image().shape
    return layers, alpha, r
