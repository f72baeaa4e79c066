"""What share of a cell lies in which cell of another calorimeter."""

__all__ = ["shares"]

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from caloforge.errors import GeometryError
from caloforge.geometry.divisions import overlaps

if TYPE_CHECKING:
    from caloforge.geometry.calorimeter import Calorimeter

_POINTS = 16
"""Where no overlap is known in closed form, a cell is spread as so many points along each axis."""


def shares(source: "Calorimeter", target: "Calorimeter") -> Tensor:
    """See `Calorimeter.mapping`."""
    _require_frame(source, target)
    layers = _layer_shares(source, target)
    exact = bool(source.divisions and target.divisions) and source.polar == target.polar
    part = _exact if exact else _counted
    found = [part(source, k, target, j) for j, k in layers.nonzero().tolist()]
    weights = layers[layers > 0].tolist()
    places = torch.cat([cells for cells, _ in found])
    values = torch.cat([share * w for (_, share), w in zip(found, weights, strict=True)])
    shape = (target.n_cells, source.n_cells)
    return torch.sparse_coo_tensor(places.T, values, shape, check_invariants=True).coalesce()


def _require_frame(source: "Calorimeter", target: "Calorimeter") -> None:
    if source.along_particle != target.along_particle:
        moving, still = (source, target) if source.along_particle else (target, source)
        msg = (
            f"the cells of calorimeter '{moving.name}' lie along the particle's direction, "
            f"those of '{still.name}' along the axis: no cell of one lies in the same cell of "
            "the other for all particles, choose two calorimeters of one kind"
        )
        raise GeometryError(msg)


def _layer_shares(source: "Calorimeter", target: "Calorimeter") -> Tensor:
    """The share of each layer that lies in each of the other's, with shape (other's layers,
    layers).
    """
    if source.n_layers == target.n_layers:
        return torch.eye(source.n_layers, dtype=torch.float64)
    depths, others = (
        torch.tensor(calorimeter.known_thicknesses, dtype=torch.float64)
        for calorimeter in (source, target)
    )
    ends, other_ends = depths.cumsum(0), others.cumsum(0)
    low = torch.maximum((other_ends - others)[:, None], ends - depths)
    high = torch.minimum(other_ends[:, None], ends)
    found = (high - low).clamp(min=0) / depths
    return torch.where(found > 1e-12, found, 0.0)


def _exact(source: "Calorimeter", k: int, target: "Calorimeter", j: int) -> tuple[Tensor, Tensor]:
    """Pairs of cells, the target's first, of two layers, and the share of each."""
    places, found = overlaps(source.divisions[k], target.divisions[j])
    pairs = target.cells_of(j)[places[:, 0]], source.cells_of(k)[places[:, 1]]
    return torch.stack(pairs, dim=1), found


def _counted(source: "Calorimeter", k: int, target: "Calorimeter", j: int) -> tuple[Tensor, Tensor]:
    """As `_exact`, by points in each cell."""
    cells = source.cells_of(k)
    x, y = source.spread(k, _POINTS).flatten(0, 1).unbind(-1)
    found = target.cell_at(torch.full((len(x),), j), x, y).view(len(cells), -1)
    pairs = torch.stack([found, cells[:, None].expand_as(found)], dim=-1).flatten(0, 1)
    pairs, counts = torch.unique(pairs[pairs[:, 0] >= 0], dim=0, return_counts=True)
    return pairs, counts.double() / _POINTS**2
