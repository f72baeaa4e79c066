r"""Points read out by cells, so that each layer has the hits and the energy that it shall have.

There are more candidate points than hits, K for each, so that a cell c with :math:`N_c` of them
should be hit with probability :math:`\pi_c = \min(1, N_c / K)`. As many cells of a layer as it has
hits are drawn so, by Pareto sampling (Rosén, J. Stat. Plann. Inference 62 (1997) 159): those with
the least

.. math:: \frac{u_c}{1 - u_c} \Big/ \frac{\pi_c}{1 - \pi_c}, \qquad u_c \sim U(0, 1) .

A cell with K candidates is hit for sure, where one candidate a hit would leave it to chance. Where
candidates of a layer lie in fewer cells than shall be hit, as many of those that lie beside all
cells, or in a cell with others, move to the nearest free cell (`settled`).

With m hits in a layer, hit h has the energy :math:`\tau + g_h (E_l - m \tau)`, with :math:`\tau`
the threshold of the readout and g the ratios of the points, made to sum up to 1.
"""

__all__ = ["Candidates", "Wanted", "read_out", "settled"]

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.learn.conditions import Condition
from caloforge.ragged import offsets_of


@dataclass(frozen=True)
class Candidates:
    """Points that may become hits, shower by shower and layer by layer.

    Arguments:
        cells: The cell of each, -1 beside all.
        log_ratios: The log of the ratio of its energy.
        choice: A random number in ]0, 1[.
    """

    cells: Int64[Tensor, " points"]
    log_ratios: Float[Tensor, " points"]
    choice: Float[Tensor, " points"]


@dataclass(frozen=True)
class Wanted:
    """What the layers of showers shall have.

    Arguments:
        condition: The energies and the numbers of hits.
        candidates: Candidate points for each hit, K.
        threshold: The threshold of the readout, in MeV.
    """

    condition: Condition
    candidates: int
    threshold: Float[Tensor, ""]

    @property
    def group_of_point(self) -> Int64[Tensor, " points"]:
        """The shower and the layer of each candidate as one number, ascending."""
        numbers = self.condition.hit_numbers.flatten() * self.candidates
        return torch.repeat_interleave(torch.arange(len(numbers), device=numbers.device), numbers)


def settled(
    cells: Int64[Tensor, " points"],
    places: Float[Tensor, "points 2"],
    wanted: Wanted,
    calorimeter: Calorimeter,
) -> Int64[Tensor, " points"]:
    """The cells of candidates, so many of which have moved that each layer has candidates in as
    many cells as it shall have hits, or in all of its cells.

    Arguments:
        cells: The cell of each, -1 beside all.
        places: Its place (x, y), in mm.
        wanted: What the layers shall have.
        calorimeter: Where the cells are.
    """
    group, numbers = wanted.group_of_point, wanted.condition.hit_numbers.flatten()
    order = (group * (calorimeter.n_cells + 1) + cells).argsort(stable=True)
    first = torch.zeros_like(group, dtype=torch.bool)
    first[order[_runs(cells[order], group[order])[0]]] = True
    first &= cells >= 0
    missing = numbers - group[first].bincount(minlength=len(numbers))
    spare = (~first).nonzero()[:, 0]
    movers = spare[_ranks(group[spare]) < missing[group[spare]]]
    if not len(movers):
        return cells
    cells, layers = cells.clone(), wanted.condition.hit_numbers.shape[1]
    shower = group.div(layers, rounding_mode="floor")
    each = torch.unique_consecutive(shower[movers], return_counts=True)[1]
    for own in torch.split(movers, each.tolist()):
        known = first & (shower == shower[own[0]])
        taken = group[known] % layers, calorimeter.place_of_cell.to(cells.device)[cells[known]]
        cells[own] = _nearest_free(places[own], group[own] % layers, taken, calorimeter)
    return cells


def _nearest_free(
    places: Float[Tensor, "points 2"],
    layers: Int64[Tensor, " points"],
    taken: tuple[Int64[Tensor, " hits"], Int64[Tensor, " hits"]],
    calorimeter: Calorimeter,
) -> Int64[Tensor, " points"]:
    """The nearest cells that no other point has, of points of one shower; the first of those that
    want the same gets it. A point keeps -1 in a layer without a free cell.

    Arguments:
        places: Their places, in mm.
        layers: Their layers.
        taken: Layer and place in it of the cells that are taken.
        calorimeter: Where the cells are.
    """
    table = calorimeter.layer_table.to(places.device)
    free = table >= 0
    free[taken] = False
    found, left = torch.full_like(layers, -1), torch.arange(len(layers), device=layers.device)
    centres = calorimeter.transverse.to(places.device)[table[layers]]
    apart = (centres - places[:, None]).square().sum(dim=2)
    while len(left):
        own = layers[left]
        nearest = torch.where(free[own], apart[left], torch.inf).min(dim=1)
        left, own, at = (part[nearest.values.isfinite()] for part in (left, own, nearest.indices))
        wish = own * table.shape[1] + at
        order = wish.argsort(stable=True)
        gets = order[_runs(at[order], own[order])[0]]
        found[left[gets]] = table[own[gets], at[gets]]
        free[own[gets], at[gets]] = False
        left = left[found[left] < 0]
    return found


def read_out(made: Candidates, wanted: Wanted, calorimeter: Calorimeter) -> Hits:
    """The hits of candidate points; fewer than wanted in a layer whose points lie in too few cells.

    Arguments:
        made: The candidates.
        wanted: What the layers shall have.
        calorimeter: Where the cells are.
    """
    group = wanted.group_of_point
    kept = _kept(made, group, wanted)
    group = group[kept]
    layers = wanted.condition.hit_numbers
    hits = group.div(layers.shape[1], rounding_mode="floor").bincount(minlength=len(layers))
    return Hits(
        offsets_of(hits),
        made.cells[kept].int(),
        _energies(made.log_ratios[kept], group, wanted).float(),
        wanted.condition.particles,
        calorimeter,
    )


def _kept(
    made: Candidates, group: Int64[Tensor, " points"], wanted: Wanted
) -> Int64[Tensor, " hits"]:
    """The candidates that become hits, one a cell, group by group in the order of their cells."""
    inside = (made.cells >= 0).nonzero()[:, 0]
    cells, group = made.cells[inside], group[inside]
    order = (group * (int(cells.max()) + 1 if len(cells) else 1) + cells).argsort(stable=True)
    first, number = _runs(cells[order], group[order])
    one = order[first]
    group = group[one]
    share = (number.double() / wanted.candidates).clamp_max(1)
    u = made.choice[inside[one]].double()
    turn = (u / (1 - u)) * (1 - share) / share
    by_turn = turn.argsort(stable=True)
    by_turn = by_turn[group[by_turn].argsort(stable=True)]
    enough = torch.empty_like(one, dtype=torch.bool)
    enough[by_turn] = _ranks(group) < wanted.condition.hit_numbers.flatten()[group]
    return inside[one[enough]]


def _runs(
    cells: Int64[Tensor, " points"], group: Int64[Tensor, " points"]
) -> tuple[Int64[Tensor, " runs"], Int64[Tensor, " runs"]]:
    """Where each run of one cell and group begins, and how long it is."""
    new = torch.ones_like(cells, dtype=torch.bool)
    new[1:] = (cells[1:] != cells[:-1]) | (group[1:] != group[:-1])
    first = new.nonzero()[:, 0]
    return first, torch.cat([first, first.new_tensor([len(cells)])]).diff()


def _ranks(group: Int64[Tensor, " rows"]) -> Int64[Tensor, " rows"]:
    """The place of each row in its group, of rows in the order of groups."""
    number = group.bincount()
    return torch.arange(len(group), device=group.device) - (number.cumsum(0) - number)[group]


def _energies(
    log_ratios: Float[Tensor, " hits"], group: Int64[Tensor, " hits"], wanted: Wanted
) -> Float[Tensor, " hits"]:
    """Their energies, in MeV: those of the layers, shared by the ratios above threshold."""
    energies = wanted.condition.layer_energies.flatten()
    largest = log_ratios.new_full((len(energies),), -torch.inf)
    largest.scatter_reduce_(0, group, log_ratios, "amax")
    ratios = (log_ratios - largest[group]).exp()
    total = torch.zeros_like(energies).index_add_(0, group, ratios)
    number = group.bincount(minlength=len(energies))
    above = (energies - number * wanted.threshold).clamp_min(0)
    return wanted.threshold + ratios / total[group] * above[group]
