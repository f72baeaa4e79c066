r"""Linear correlations between the layers of a shower: does a candidate share its energy among them
as the full simulation does?

Of a sample of showers with values :math:`v_{il}` (the energy of layer l in shower i, say) and
weights :math:`w_i`, the matrix of Pearson's coefficients is

.. math:: C_{lm} = \frac{\sum_i w_i (v_{il} - \bar v_l)(v_{im} - \bar v_m)}
          {\sqrt{\sum_i w_i (v_{il} - \bar v_l)^2 \sum_i w_i (v_{im} - \bar v_m)^2}} ,

with weighted means :math:`\bar v`. A layer that does not vary, an empty one for instance, has no
correlation: its coefficients are set to 0, and to 1 with itself. Two samples are
:math:`\frac{2}{L (L - 1)} \sum_{l<m} |C_{lm} - C'_{lm}|` apart, the mean difference over the pairs
of L layers. For equal distributions it falls as the root of the inverse sample size: order 1/2.

`concordance` compares two numbers pair by pair.
"""

__all__ = ["concordance", "correlation_distance", "layer_correlation"]

import numpy as np
from jaxtyping import Float

from caloforge.errors import ShowerValueError
from caloforge.metrics.frechet import require_rows
from caloforge.metrics.resampling import Resampling
from caloforge.metrics.scores import Score

CONSTANT = 1e-12
"""A standard deviation below this part of the largest absolute value is rounding."""

Values = Float[np.ndarray, "showers layers"]


def layer_correlation(
    values: Values, weights: Float[np.ndarray, " showers"]
) -> Float[np.ndarray, "layers layers"]:
    """The matrix of weighted correlations C of the module's head, with shape (L, L), in [-1, 1].

    Arguments:
        values: The values of the layers, finite, with shape (N, L).
        weights: The weights of the showers, at least 0, with a positive sum, with shape (N).
    """
    share = weights / weights.sum()
    centred = (values - share @ values) * np.sqrt(share)[:, None]
    deviation = np.linalg.norm(centred, axis=0)
    varies = deviation > CONSTANT * np.abs(values).max(axis=0)
    unit = centred * np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
    matrix = np.asarray(np.clip(unit.T @ unit, -1.0, 1.0))
    np.fill_diagonal(matrix, 1.0)
    return matrix


def concordance(full: Float[np.ndarray, " n"], candidate: Float[np.ndarray, " n"]) -> float:
    r"""Lin's concordance correlation of pairs (Biometrics 45 (1989) 255), in [-1, 1],

    .. math:: 2\,\mathrm{cov}(x, y)
              / (\mathrm{var}(x) + \mathrm{var}(y) + (\bar x - \bar y)^2) ,

    1 where all pairs are equal; 0 for independent ones, and where nothing varies.

    Arguments:
        full: The numbers x of the full simulation, with shape (n).
        candidate: The numbers y of the candidate, of the same particles in the same order.
    """
    x, y = full - full.mean(), candidate - candidate.mean()
    spread = (x**2).mean() + (y**2).mean() + (full.mean() - candidate.mean()) ** 2
    return float(2 * (x * y).mean() / spread) if spread > 0 else 0.0


def correlation_distance(
    full: Float[np.ndarray, "n layers"],
    candidate: Float[np.ndarray, "m layers"],
    resampling: Resampling,
) -> Score:
    """The mean absolute difference of the correlations between two layers, of order 1/2, in [0, 2].

    Arguments:
        full: The values of the layers in the full simulation, finite, with shape (N, L), L at least
            2.
        candidate: Those in the candidate, with shape (M, L).
        resampling: The weights of both samples.

    Raises:
        ShowerValueError: There are fewer than two layers, a value is not finite, or a sample has
            not as many rows as the resampling has showers.
    """
    require_rows(full, candidate, resampling)
    _check(full, candidate)
    return resampling.score(
        lambda a, b: _distances(_upper(full, a), _upper(candidate, b)),
        lambda a, b: _distances(_upper(full, a), _upper(full, b)),
        order=0.5,
    )


def _check(full: Float[np.ndarray, "n layers"], candidate: Float[np.ndarray, "m layers"]) -> None:
    if full.shape[1] < 2:
        msg = "values of a single layer: expected at least 2 layers to correlate"
        raise ShowerValueError(msg)
    if not (np.isfinite(full).all() and np.isfinite(candidate).all()):
        msg = "the value of a layer is not finite in some shower: expected finite numbers"
        raise ShowerValueError(msg)


def _upper(
    values: Values, weights: Float[np.ndarray, "times showers"]
) -> Float[np.ndarray, "times pairs"]:
    """The coefficients of the pairs l < m, for each set of weights."""
    pairs = np.triu_indices(values.shape[1], 1)
    return np.stack([layer_correlation(values, w)[pairs] for w in weights])


def _distances(
    a: Float[np.ndarray, "times pairs"], b: Float[np.ndarray, "times pairs"]
) -> Float[np.ndarray, " times"]:
    return np.asarray(np.abs(a - b).mean(axis=1))
