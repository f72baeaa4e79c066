r"""The sums that observables are made of, from hits or from dense deposits.

With hit :math:`h` of energy :math:`e_h` in cell :math:`c(h)` of layer :math:`l` in shower
:math:`i`, each sum over cells is a sum over hits, :math:`\sum_{h: i, l} e_h\, q_{c(h)}`: one pass
over the hits, added up by shower and layer, and by shower and slice. Its cost does not depend on
the number of cells. `sums` and `lit` choose by the kind of showers; the dense pass of
`caloforge.observables._sums` is the reference.
"""

__all__ = ["brightest_hits", "largest_hit", "lit", "sums"]

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import AnyShowers, Hits
from caloforge.observables import _sums
from caloforge.observables._sums import MOMENTS, Family, Sums, remembered


def sums(showers: AnyShowers) -> Sums:
    """The sums over the cells of each shower."""
    return _hit_sums(showers) if isinstance(showers, Hits) else _sums.sums(showers)


def lit(showers: AnyShowers, threshold: float) -> Int[Tensor, "showers layers"]:
    """The number of cells of each layer with more energy than the threshold, in MeV."""
    if not isinstance(showers, Hits):
        return _sums.hits(showers, threshold)
    hits = _merged(showers)
    above = (hits.hit_energies > threshold).int()
    dark = threshold < 0
    found = _by_layer(hits, above[:, None]).squeeze(-1)
    if dark:
        cells = hits.calorimeter.layer_of_cell.bincount(minlength=hits.calorimeter.n_layers)
        return found + cells.to(found) - _by_layer(hits, torch.ones_like(above)[:, None])[..., 0]
    return found


def largest_hit(hits: Hits) -> Float[Tensor, " showers"]:
    """The energy of the brightest cell of each shower, in MeV; 0 without hits."""
    merged = _merged(hits)
    best = merged.hit_energies.new_zeros(len(merged))
    return best.scatter_reduce_(0, merged.shower_of_hit, merged.hit_energies, "amax")


def brightest_hits(hits: Hits, k: int) -> Float[Tensor, "showers k"]:
    """The k largest energies of cells of each shower, in falling order, then zeros."""
    merged = _merged(hits)
    falling = merged.hit_energies.argsort(descending=True, stable=True)
    order = falling[merged.shower_of_hit[falling].argsort(stable=True)]
    shower = merged.shower_of_hit
    rank = torch.arange(merged.n_hits, device=shower.device) - merged.offsets[:-1][shower]
    first = rank < k
    best = merged.hit_energies.new_zeros(len(merged), k)
    best[shower[first], rank[first]] = merged.hit_energies[order][first]
    return best


@remembered
def _merged(hits: Hits) -> Hits:
    return hits.merged()


@remembered
def _hit_sums(hits: Hits) -> Sums:
    calorimeter, device = hits.calorimeter, hits.cells.device
    powers, families = _cell_powers(calorimeter, device), _families(calorimeter, device)
    energies, cells = hits.hit_energies.double(), hits.cells.long()
    moments = _by_layer(hits, energies[:, None] * powers[cells])
    depth = torch.stack([energies, energies * calorimeter.layer_of_cell.to(device)[cells]], dim=1)
    slices = [_by_slice(hits, depth, index[cells], n) for index, n in families.values()]
    ends = torch.tensor([n for _, n in families.values()]).cumsum(0).tolist()
    return Sums(
        dict(zip(MOMENTS, moments.movedim(-1, 0).contiguous(), strict=True)),
        torch.cat(slices, dim=-1),
        {
            family: slice(end - n, end)
            for (family, (_, n)), end in zip(families.items(), ends, strict=True)
        },
    )


def _by_layer(
    hits: Hits, values: Int[Tensor, "hits k"] | Float[Tensor, "hits k"]
) -> Int[Tensor, "showers layers k"] | Float[Tensor, "showers layers k"]:
    """What the hits of each shower and layer sum up to."""
    layers, k = hits.calorimeter.n_layers, values.shape[1]
    layer = hits.calorimeter.layer_of_cell.to(hits.cells.device)[hits.cells.long()]
    total = values.new_zeros(len(hits) * layers, k)
    total.index_add_(0, hits.shower_of_hit * layers + layer, values)
    return total.view(len(hits), layers, k)


def _by_slice(
    hits: Hits, depth: Float[Tensor, "hits 2"], index: Int[Tensor, " hits"], n: int
) -> Float[Tensor, "showers 2 slices"]:
    """What the hits of each shower and slice sum up to; index -1 is in no slice."""
    inside = index >= 0
    total = depth.new_zeros(len(hits) * n, 2)
    total.index_add_(0, (hits.shower_of_hit * n + index)[inside], depth[inside])
    return total.view(len(hits), n, 2).movedim(-1, 1)


@lru_cache(maxsize=16)
def _cell_powers(calorimeter: Calorimeter, device: torch.device) -> Float[Tensor, "cells moments"]:
    """What each cell adds to `MOMENTS`, per MeV."""
    x, y = calorimeter.transverse.unbind(-1)
    r = torch.hypot(x, y)
    return torch.stack([torch.ones_like(r), x, y, x * x, y * y, r, r * r], dim=-1).to(device)


@lru_cache(maxsize=16)
def _families(
    calorimeter: Calorimeter, device: torch.device
) -> dict[Family, tuple[Int[Tensor, " cells"], int]]:
    """For each family of slices the slice of every cell, -1 for none, and their number."""
    groups = _sums.cell_groups(calorimeter)
    return {family: (slices.of_cell.to(device), slices.number) for family, slices in groups.items()}
