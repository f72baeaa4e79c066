"""The observables that a calorimeter allows, from the whole shower to the details."""

__all__ = ["SQUIRELS", "catalogue"]

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers
from caloforge.observables.cells import (
    BRIGHTEST,
    LOG_SPECTRUM,
    MAX_ENERGY,
    MAX_FRACTION,
    N_HITS,
    OCCUPANCY,
    SPARSITY,
    SPECTRUM,
    THRESHOLD,
    n_hits,
    occupancy,
    sparsity,
)
from caloforge.observables.energies import (
    ENERGY_SUM,
    LAYER_ENERGY,
    LAYER_FRACTION,
    LAYERS,
    RESPONSE,
    U_RATIOS,
)
from caloforge.observables.profiles import DEPTH_ALPHA, DEPTH_R, PROFILE_R, PROFILE_X, PROFILE_Y
from caloforge.observables.records import Observable
from caloforge.observables.shapes import (
    CENTRE_X,
    CENTRE_Y,
    CENTRE_Z,
    LAYER_CENTRE_R,
    LAYER_CENTRE_X,
    LAYER_CENTRE_Y,
    LAYER_WIDTH_R,
    LAYER_WIDTH_X,
    LAYER_WIDTH_Y,
    RADIUS_MEAN,
    RADIUS_RMS,
    WIDTH_X,
    WIDTH_Y,
    WIDTH_Z,
)
from caloforge.units import format_energy

_Allows = Callable[[Calorimeter], bool]

SQUIRELS: tuple[Observable, ...] = (
    ENERGY_SUM,
    RESPONSE,
    SPECTRUM,
    LOG_SPECTRUM,
    N_HITS,
    MAX_ENERGY,
    MAX_FRACTION,
    PROFILE_X,
    PROFILE_Y,
)
"""The observables of arXiv:2308.12339, figures 1 to 5, and two shares of the incident energy beside
them.
"""


def catalogue(calorimeter: Calorimeter, threshold: float = THRESHOLD) -> tuple[Observable, ...]:
    """The observables that a calorimeter allows, `SQUIRELS` first, from the whole shower to the
    details.

    Arguments:
        calorimeter: Where the cells are. What it cannot tell is left out: depth in one layer or
            where the thickness of a layer is unknown, x and y where there are no bins in alpha, and
            so on.
        threshold: The energy above which a cell counts, for hits, occupancy, sparsity and the
            logarithmic cell spectrum, in MeV; with the standard one, `THRESHOLD`, the spectrum goes
            on down to 1 keV.
    """
    allowed = tuple(o for o, allows in _CATALOGUE.items() if allows(calorimeter))
    return allowed if threshold == THRESHOLD else tuple(_above(o, threshold) for o in allowed)


@dataclass(frozen=True)
class _Above:
    """A function of showers and a threshold at one threshold; two are equal when both are, unlike
    functools.partial.
    """

    function: Callable[[AnyShowers, float], Tensor]
    threshold: float

    def __call__(self, showers: AnyShowers) -> Tensor:
        return self.function(showers, self.threshold)


def _above(observable: Observable, threshold: float) -> Observable:
    energy = format_energy(float(f"{threshold:.4g}"))
    if observable == LOG_SPECTRUM:
        return replace(
            observable, title=f"Cell energies above {energy}, log10", threshold=threshold
        )
    if observable not in _THRESHOLDED:
        return observable
    title = observable.title.replace("1 MeV", energy)
    return replace(observable, title=title, function=_Above(_THRESHOLDED[observable], threshold))


def _all(observables: tuple[Observable, ...], allows: _Allows) -> dict[Observable, _Allows]:
    return dict.fromkeys(observables, allows)


def _any(calorimeter: Calorimeter) -> bool:
    return calorimeter.n_cells > 0


def _has_layers(calorimeter: Calorimeter) -> bool:
    return calorimeter.n_layers > 1


def _has_depth(calorimeter: Calorimeter) -> bool:
    return _has_layers(calorimeter) and calorimeter.has_depth


def _has_columns(calorimeter: Calorimeter) -> bool:
    return calorimeter.columns() is not None


def _has_rows(calorimeter: Calorimeter) -> bool:
    return calorimeter.rows() is not None


def _tells_x(calorimeter: Calorimeter) -> bool:
    xy = calorimeter.transverse
    return len(calorimeter.azimuthal_layers) > 0 and bool((xy != xy[0]).any())


def _tells_x_by_layer(calorimeter: Calorimeter) -> bool:
    return _has_layers(calorimeter) and _tells_x(calorimeter)


def _tells_r(calorimeter: Calorimeter) -> bool:
    r = calorimeter.transverse.norm(dim=1)
    return bool(((r - r[0]).abs() > 1e-9 * r.max()).any())


def _tells_r_by_layer(calorimeter: Calorimeter) -> bool:
    return _has_layers(calorimeter) and _tells_r(calorimeter)


def _has_rings(calorimeter: Calorimeter) -> bool:
    return calorimeter.rings().number > 1


def _has_deep_rings(calorimeter: Calorimeter) -> bool:
    return _has_layers(calorimeter) and _has_rings(calorimeter)


def _has_deep_sectors(calorimeter: Calorimeter) -> bool:
    return len(calorimeter.azimuthal_layers) > 1 and calorimeter.sectors() is not None


_CATALOGUE: dict[Observable, _Allows] = (
    _all(SQUIRELS[:-2], _any)
    | {PROFILE_X: _has_columns, PROFILE_Y: _has_rows}
    | {LAYERS: _has_layers, PROFILE_R: _has_rings, OCCUPANCY: _any}
    | _all((CENTRE_X, CENTRE_Y, WIDTH_X, WIDTH_Y), _tells_x)
    | _all((CENTRE_Z, WIDTH_Z), _has_depth)
    | _all((RADIUS_MEAN, RADIUS_RMS), _tells_r)
    | {BRIGHTEST: _any}
    | _all((LAYER_ENERGY, LAYER_FRACTION, U_RATIOS, SPARSITY), _has_layers)
    | _all((LAYER_CENTRE_X, LAYER_CENTRE_Y), _tells_x_by_layer)
    | {LAYER_CENTRE_R: _tells_r_by_layer}
    | _all((LAYER_WIDTH_X, LAYER_WIDTH_Y), _tells_x_by_layer)
    | {LAYER_WIDTH_R: _tells_r_by_layer, DEPTH_R: _has_deep_rings, DEPTH_ALPHA: _has_deep_sectors}
)

_THRESHOLDED: dict[Observable, Callable[[AnyShowers, float], Tensor]] = {
    N_HITS: n_hits,
    OCCUPANCY: occupancy,
    SPARSITY: sparsity,
}
