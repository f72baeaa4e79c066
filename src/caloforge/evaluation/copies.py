r"""Showers that two samples hold in common, bit for bit.

Errors and floors are those of independent samples. A candidate that holds showers of the full
simulation, or of the training sample, is nearer to it than any simulation could be, and one that
repeats its own knows less than its size says. Such showers are found by a *fingerprint* of the
deposits, a sum modulo :math:`2^{64}`

.. math:: h = \sum_c b_c r_c ,

with :math:`b_c` the bits of the energy of cell c in single precision, 0 for an empty cell, and
:math:`r_c` odd random numbers, the same always. Showers of fewer than three cells with energy may
be equal by chance, and have none.
"""

__all__ = ["FEWEST_CELLS", "copies", "fingerprints"]

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from caloforge.evaluation.findings import Copies, Sample
from caloforge.hits import AnyShowers, Hits

FEWEST_CELLS = 3
"""The fewest cells with energy of a shower that is not equal to another by chance."""


def fingerprints(showers: AnyShowers) -> Int[Tensor, " showers"]:
    """The fingerprint of each shower, the same for dense and for sparse ones, with shape (N); 0
    for showers that have none.
    """
    multipliers = np.random.default_rng(0).integers(2**63, size=showers.calorimeter.n_cells) | 1
    sums, lit = (
        _of_hits(showers, multipliers)
        if isinstance(showers, Hits)
        else _of_cells(showers.deposits, multipliers)
    )
    return torch.from_numpy(np.where(lit >= FEWEST_CELLS, sums, 0))


Sums = tuple[Int[np.ndarray, " showers"], Int[np.ndarray, " showers"]]


def _bits(energies: Tensor) -> Int[np.ndarray, "..."]:
    """The bits of energies, which are at least 0: of both zeros those of the positive one."""
    magnitudes: np.ndarray = np.abs(energies.float().cpu().numpy())
    return magnitudes.view(np.int32)


def _of_cells(deposits: Tensor, multipliers: Int[np.ndarray, " cells"]) -> Sums:
    bits = _bits(deposits)
    return np.einsum("sc,c->s", bits, multipliers), np.count_nonzero(bits, axis=1)


def _of_hits(hits: Hits, multipliers: Int[np.ndarray, " cells"]) -> Sums:
    bits, of = _bits(hits.hit_energies), hits.shower_of_hit.cpu().numpy()
    sums, lit = (np.zeros(len(hits), np.int64) for _ in range(2))
    np.add.at(sums, of, bits * multipliers[hits.cells.cpu().numpy()])
    np.add.at(lit, of, bits > 0)
    return sums, lit


def copies(
    full: Sample, candidates: Sequence[Sample], training: Sample | None
) -> tuple[Copies, ...]:
    """Which samples hold showers of the full simulation or of the training sample, and which repeat
    their own.
    """
    known = [full] if training is None else [full, training]
    pairs = [(candidate, one) for candidate in candidates for one in known]
    pairs += [(a, b) for a, b in combinations(known, 2)]
    found = [_held(sample, of) for sample, of in pairs]
    found += [_repeated(sample) for sample in (*known, *candidates)]
    return tuple(one for one in found if one.showers)


def _held(sample: Sample, of: Sample) -> Copies:
    own = sample.fingerprints
    shared = np.isin(own, of.fingerprints) & (own != 0)
    return Copies(sample.name, of.name, int(shared.sum()), len(sample))


def _repeated(sample: Sample) -> Copies:
    own = sample.fingerprints[sample.fingerprints != 0]
    return Copies(sample.name, sample.name, len(own) - len(np.unique(own)), len(sample))
