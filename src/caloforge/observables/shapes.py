r"""Shapes of a shower: where its energy is centred and how wide it is, in all and layer by layer.

With the centre :math:`(x_c, y_c, z_c)` of cell :math:`c`, in mm,
:math:`r_c = (x_c^2 + y_c^2)^{1/2}`, and
:math:`\langle q \rangle = \sum_c q_c e_{ic} / (\sum_c e_{ic} + 10^{-16}\,\mathrm{MeV})` over the
cells of the shower or a layer:

- centre of energy :math:`\langle q \rangle` and width
  :math:`(\max(\langle q^2 \rangle - \langle q \rangle^2, 0))^{1/2}` for q = x, y, z, r;
- mean radius :math:`\langle r \rangle` and :math:`\langle r^2 \rangle^{1/2}` of the whole shower.

Those of layers are the CaloChallenge's (its eta is x, its phi is y; CaloDREAM, arXiv:2405.09629,
eq. 18), those of the whole shower L2LFlows' (arXiv:2405.20407, section 4.1). Without energy all are
0, as in the challenge. On a cylinder, x and y need layers with more than one bin in alpha.
"""

__all__ = [
    "CENTRE_X",
    "CENTRE_Y",
    "CENTRE_Z",
    "LAYER_CENTRE_R",
    "LAYER_CENTRE_X",
    "LAYER_CENTRE_Y",
    "LAYER_WIDTH_R",
    "LAYER_WIDTH_X",
    "LAYER_WIDTH_Y",
    "RADIUS_MEAN",
    "RADIUS_RMS",
    "WIDTH_X",
    "WIDTH_Y",
    "WIDTH_Z",
    "centre_x",
    "centre_y",
    "centre_z",
    "layer_centre_r",
    "layer_centre_x",
    "layer_centre_y",
    "layer_width_r",
    "layer_width_x",
    "layer_width_y",
    "radius_mean",
    "radius_rms",
    "width_x",
    "width_y",
    "width_z",
]

from collections.abc import Callable, Mapping

from jaxtyping import Float
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers
from caloforge.observables._hit_sums import sums
from caloforge.observables._sums import remembered
from caloforge.observables.energies import EMPTY, layer_labels
from caloforge.observables.records import Entry, Observable

Moments = Mapping[str, Tensor]


def centre_x(showers: AnyShowers) -> Float[Tensor, " showers"]:
    """Mean x of the energy, in mm, with shape (N)."""
    return _mean(_whole(_transverse(showers)), "x")


def centre_y(showers: AnyShowers) -> Float[Tensor, " showers"]:
    """Mean y of the energy, in mm, with shape (N)."""
    return _mean(_whole(_transverse(showers)), "y")


def centre_z(showers: AnyShowers) -> Float[Tensor, " showers"]:
    """Mean depth of the energy, from the front face to the middles of the cells, in mm, with shape
    (N).

    Raises:
        GeometryError: The thickness of a layer is unknown.
    """
    return _depth_mean(showers, 1)


def width_x(showers: AnyShowers) -> Float[Tensor, " showers"]:
    """Standard deviation of the energy in x, in mm, with shape (N)."""
    return _width(_whole(_transverse(showers)), "x")


def width_y(showers: AnyShowers) -> Float[Tensor, " showers"]:
    """Standard deviation of the energy in y, in mm, with shape (N)."""
    return _width(_whole(_transverse(showers)), "y")


def width_z(showers: AnyShowers) -> Float[Tensor, " showers"]:
    """Standard deviation of the energy in depth, in mm, with shape (N).

    Raises:
        GeometryError: The thickness of a layer is unknown.
    """
    return _deviation(_depth_mean(showers, 1), _depth_mean(showers, 2))


def radius_mean(showers: AnyShowers) -> Float[Tensor, " showers"]:
    r"""Mean distance of the energy from the axis, :math:`\langle r \rangle`, in mm, with
    shape (N).
    """
    return _mean(_whole(sums(showers).moments), "r")


def radius_rms(showers: AnyShowers) -> Float[Tensor, " showers"]:
    r"""Root of the mean square of that distance, :math:`\langle r^2 \rangle^{1/2}`, in mm, with
    shape (N).
    """
    return _mean(_whole(sums(showers).moments), "r2").sqrt()


def layer_centre_x(showers: AnyShowers) -> Float[Tensor, "showers layers"]:
    """Mean x of the energy in each layer that tells x, in mm, with shape (N, layers)."""
    return _mean(_transverse(showers), "x")


def layer_centre_y(showers: AnyShowers) -> Float[Tensor, "showers layers"]:
    """Mean y of the energy in each layer that tells y, in mm, with shape (N, layers)."""
    return _mean(_transverse(showers), "y")


def layer_centre_r(showers: AnyShowers) -> Float[Tensor, "showers layers"]:
    """Mean distance of the energy in each layer from the axis, in mm, with shape (N, layers)."""
    return _mean(sums(showers).moments, "r")


def layer_width_x(showers: AnyShowers) -> Float[Tensor, "showers layers"]:
    """Standard deviation of the energy in x in each layer that tells x, in mm, with shape (N,
    layers).
    """
    return _width(_transverse(showers), "x")


def layer_width_y(showers: AnyShowers) -> Float[Tensor, "showers layers"]:
    """Standard deviation of the energy in y in each layer that tells y, in mm, with shape (N,
    layers).
    """
    return _width(_transverse(showers), "y")


def layer_width_r(showers: AnyShowers) -> Float[Tensor, "showers layers"]:
    """Standard deviation of the distance from the axis in each layer, in mm, with shape (N,
    layers).
    """
    return _width(sums(showers).moments, "r")


@remembered
def _transverse(showers: AnyShowers) -> Moments:
    layers = showers.calorimeter.azimuthal_layers
    every = len(layers) == showers.calorimeter.n_layers
    moments = sums(showers).moments
    return moments if every else {name: values[:, list(layers)] for name, values in moments.items()}


def _whole(layers: Moments) -> Moments:
    return {name: values.sum(dim=1) for name, values in layers.items()}


def _mean(moments: Moments, of: str) -> Float[Tensor, "*any"]:
    return moments[of] / (moments["1"] + EMPTY)


def _width(moments: Moments, of: str) -> Float[Tensor, "*any"]:
    return _deviation(_mean(moments, of), _mean(moments, f"{of}2"))


def _deviation(
    mean: Float[Tensor, "*any"], mean_square: Float[Tensor, "*any"]
) -> Float[Tensor, "*any"]:
    return (mean_square - mean.square()).clamp(min=0).sqrt()


def _depth_mean(showers: AnyShowers, power: int) -> Float[Tensor, " showers"]:
    energies = sums(showers).energies
    z = showers.calorimeter.depths.to(energies.device) ** power
    return (energies * z).sum(dim=1) / (energies.sum(dim=1) + EMPTY)


def _azimuthal_labels(calorimeter: Calorimeter) -> tuple[str, ...]:
    labels = layer_labels(calorimeter)
    return tuple(labels[k] for k in calorimeter.azimuthal_layers)


def _by_layer(
    name: str, title: str, symbol: str, function: Callable[[AnyShowers], Tensor]
) -> Observable:
    labels = layer_labels if name.endswith("r") else _azimuthal_labels
    return Observable(name, title, symbol, "mm", function, Entry.SERIES, labels=labels)


CENTRE_X = Observable("centre_x", "Centre in x", r"\langle x\rangle", "mm", centre_x)
CENTRE_Y = Observable("centre_y", "Centre in y", r"\langle y\rangle", "mm", centre_y)
CENTRE_Z = Observable("centre_z", "Centre in depth", r"\langle z\rangle", "mm", centre_z)
WIDTH_X = Observable("width_x", "Width in x", r"\sigma_x", "mm", width_x)
WIDTH_Y = Observable("width_y", "Width in y", r"\sigma_y", "mm", width_y)
WIDTH_Z = Observable("width_z", "Width in depth", r"\sigma_z", "mm", width_z)
RADIUS_MEAN = Observable("radius_mean", "Mean radius", r"\langle r\rangle", "mm", radius_mean)
RADIUS_RMS = Observable(
    "radius_rms", "Root mean square radius", r"\langle r^2\rangle^{1/2}", "mm", radius_rms
)
LAYER_CENTRE_X = _by_layer(
    "layer_centre_x",
    "Centre of a layer in x (CaloChallenge: eta)",
    r"\langle x\rangle_l",
    layer_centre_x,
)
LAYER_CENTRE_Y = _by_layer(
    "layer_centre_y",
    "Centre of a layer in y (CaloChallenge: phi)",
    r"\langle y\rangle_l",
    layer_centre_y,
)
LAYER_CENTRE_R = _by_layer(
    "layer_centre_r", "Mean radius of a layer", r"\langle r\rangle_l", layer_centre_r
)
LAYER_WIDTH_X = _by_layer(
    "layer_width_x", "Width of a layer in x (CaloChallenge: eta)", r"\sigma_{x,l}", layer_width_x
)
LAYER_WIDTH_Y = _by_layer(
    "layer_width_y", "Width of a layer in y (CaloChallenge: phi)", r"\sigma_{y,l}", layer_width_y
)
LAYER_WIDTH_R = _by_layer("layer_width_r", "Width of a layer in r", r"\sigma_{r,l}", layer_width_r)
