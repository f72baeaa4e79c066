r"""Points read out by cells, so that each layer has the hits and the energy that it shall have.

There may be more candidate points than hits, K for each. Each is kept with probability :math:`1/K`:
every K-th of a layer, in the order of their cells, from a random one on. A cell in which many
candidates lie is so hit for sure, where K alone would leave it to chance. A cell counts once; what
is then missing are the candidates of other cells, in their order.

With m hits in a layer, hit h has the energy :math:`\tau + g_h (E_l - m \tau)`, with :math:`\tau`
the threshold of the readout and g the ratios of the points, made to sum up to 1.
"""

__all__ = ["Wanted", "read_out"]

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.learn.conditions import Condition
from caloforge.ragged import offsets_of


@dataclass(frozen=True)
class Wanted:
    """What the layers of showers shall have.

    Arguments:
        condition: The energies and the numbers of hits.
        candidates: Candidate points for each hit, K.
        choice: Where the choice begins, in ]0, 1[, with shape (showers, layers).
        threshold: The threshold of the readout, in MeV.
    """

    condition: Condition
    candidates: int
    choice: Float[Tensor, "showers layers"]
    threshold: Float[Tensor, ""]

    @property
    def group_of_point(self) -> Int64[Tensor, " points"]:
        """The shower and the layer of each candidate as one number, ascending."""
        numbers = self.condition.hit_numbers.flatten() * self.candidates
        return torch.repeat_interleave(torch.arange(len(numbers), device=numbers.device), numbers)


def read_out(
    places: Float[Tensor, "points 2"],
    log_ratios: Float[Tensor, " points"],
    wanted: Wanted,
    calorimeter: Calorimeter,
) -> Hits:
    """The hits of candidate points; fewer than wanted in a layer whose points lie in too few cells.

    Arguments:
        places: The places (x, y), in mm, shower by shower and layer by layer.
        log_ratios: The logs of the ratios of their energies.
        wanted: What the layers shall have.
        calorimeter: Where the cells are.
    """
    group = wanted.group_of_point
    cells = calorimeter.cell_at(group % calorimeter.n_layers, *places.unbind(dim=1))
    kept = _kept(cells, group, wanted)
    group, cells = group[kept], cells[kept]
    layers = wanted.condition.hit_numbers
    hits = group.div(layers.shape[1], rounding_mode="floor").bincount(minlength=len(layers))
    return Hits(
        offsets_of(hits),
        cells.int(),
        _energies(log_ratios[kept], group, wanted).float(),
        wanted.condition.particles,
        calorimeter,
    )


def _kept(
    cells: Int64[Tensor, " points"], group: Int64[Tensor, " points"], wanted: Wanted
) -> Int64[Tensor, " hits"]:
    """The candidates that become hits, group by group in the order of their cells."""
    numbers, k = wanted.condition.hit_numbers.flatten(), wanted.candidates
    most = int(cells.max()) + 2 if len(cells) else 1
    order = (group * most + cells + 1).argsort(stable=True)
    cell, first = cells[order], (wanted.choice.flatten() * k).long()
    taken = (_ranks(group) + first[group]) % k == 0
    one = _one_a_cell(cell, group, taken) & (cell >= 0)
    order, group, late = order[one], group[one], (~taken[one]).long()
    by_turn = ((group * 2 + late) * len(cells) + order).argsort()
    enough = torch.empty_like(late, dtype=torch.bool)
    enough[by_turn] = _ranks(group) < numbers[group]
    return order[enough]


def _ranks(group: Int64[Tensor, " rows"]) -> Int64[Tensor, " rows"]:
    """The place of each row in its group, of rows in the order of groups."""
    number = group.bincount()
    return torch.arange(len(group), device=group.device) - (number.cumsum(0) - number)[group]


def _one_a_cell(
    cells: Int64[Tensor, " points"], group: Int64[Tensor, " points"], taken: Bool[Tensor, " points"]
) -> Bool[Tensor, " points"]:
    """One candidate of each cell and group, in whose order they are: the first that is taken, or
    else the first.
    """
    n = len(cells)
    new = torch.ones_like(taken)
    new[1:] = (cells[1:] != cells[:-1]) | (group[1:] != group[:-1])
    run, place = new.cumsum(0) - 1, torch.arange(n, device=cells.device)
    turn = place + n * (~taken).long()
    best = turn.new_full((int(new.sum()),), 2 * n).scatter_reduce_(0, run, turn, "amin")
    return best[run] == turn


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
