r"""Statistical amplification: do many generated showers know more than the few real ones that the
generator was trained on? (Butter et al., arXiv:2008.06545.)

T independent showers of the full simulation lie in q bins with contents :math:`t_j`, n showers of a
sample have the contents :math:`m_j`. With

.. math:: D = \sum_j \frac{(m_j - t_j)^2}{t_j} - \frac{q - 1}{T}, \qquad
          D(n) = D(M) + \frac{1}{M - 1} \Big(\frac Mn - 1\Big) \sum_j \frac{m_j (1 - m_j)}{t_j} ,

a sample is worth :math:`N_\mathrm{eq} = (q - 1) / D` real showers; the *amplification factor* is
:math:`N_\mathrm{eq} / N_\mathrm{train}`, its *plateau* that of :math:`n \to \infty`. Errors are
standard deviations over replicas drawn from :math:`t_j` and :math:`t_j + s (m_j - t_j)`, where
:math:`s^2` is the share of D(M) that is not noise. Derivation and limits: docs/theory/distances.md.
"""

__all__ = ["Amplification", "amplification"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Real

from caloforge.errors import ShowerValueError
from caloforge.metrics.resampling import effective_size

SIGMAS = 2.0
"""A generator's own error is told from 0 if it exceeds so many standard deviations."""

_SIZES = 10


@dataclass(frozen=True, eq=False)
class Amplification:
    """What generated showers are worth, in real ones, for one observable.

    Arguments:
        quantiles: The number q of bins; fewer than asked for where values repeat.
        sizes: The numbers n of generated showers, with shape (K); the last is that of all.
        distance: D(n), the noise of the truth subtracted, with shape (K).
        distance_error: Its standard deviation.
        equivalent: The number of real showers at that distance, with shape (K); a lower bound where
            ``bounded``.
        equivalent_error: Its standard deviation; 0 where it is a bound.
        bounded: Whether D(n) is less than its error, so that the truth is too small to tell more
            than a bound, with shape (K).
        training_size: The effective number of training showers.
        training_distance: D of the training sample.
        training_distance_error: Its standard deviation, that of one sample of so many real showers.
        plateau: The factor of infinitely many generated showers; None if the generator's own error
            cannot be told from 0.
        plateau_error: Its standard deviation; None with it.
    """

    quantiles: int
    sizes: Int[np.ndarray, " sizes"]
    distance: Float[np.ndarray, " sizes"]
    distance_error: Float[np.ndarray, " sizes"]
    equivalent: Float[np.ndarray, " sizes"]
    equivalent_error: Float[np.ndarray, " sizes"]
    bounded: np.ndarray
    training_size: float
    training_distance: float
    training_distance_error: float
    plateau: float | None
    plateau_error: float | None

    @property
    def factors(self) -> Float[np.ndarray, " sizes"]:
        """The amplification factor for each number of generated showers."""
        return self.equivalent / self.training_size

    @property
    def factor_errors(self) -> Float[np.ndarray, " sizes"]:
        """The standard deviations of the factors."""
        return self.equivalent_error / self.training_size

    @property
    def factor(self) -> float:
        """The amplification factor of all generated showers."""
        return float(self.factors[-1])

    @property
    def factor_error(self) -> float:
        """Its standard deviation."""
        return float(self.factor_errors[-1])


@dataclass(frozen=True, eq=False)
class _Binned:
    """A sample in bins.

    Arguments:
        contents: The share of the weights in each bin.
        n: The number of showers.
        effective: The effective number of showers.
    """

    contents: Float[np.ndarray, " bins"]
    n: int
    effective: float


def amplification(
    truth: Real[np.ndarray, " truth"],
    training: Real[np.ndarray, " training"],
    generated: Real[np.ndarray, " generated"],
    *,
    weights: tuple[Sequence[float] | np.ndarray | None, ...] = (None, None, None),
    quantiles: int = 20,
    sizes: Sequence[int] | None = None,
    replicas: int = 50,
    seed: int = 0,
) -> Amplification:
    """Compare generated showers with real ones by one observable.

    Arguments:
        truth: The values of a large sample of the full simulation that the training did not see,
            with shape (T).
        training: The values of the training sample, with shape (N).
        generated: The values of the generated showers, with shape (M).
        weights: The weights of truth, training and generated showers, at least 0; None for 1 each.
        quantiles: The number q of bins, at least 2.
        sizes: Numbers n of generated showers, from 1 to M; None for ten from a tenth of the
            training sample. M itself is always added.
        replicas: The number of replicas for the errors, at least 2.
        seed: The seed; the same seed gives the same errors.

    Raises:
        ShowerValueError: A sample has fewer than 2 values or one that is not finite, the truth is
            one value only or smaller than the number of bins, weights do not fit or sum to 0, or a
            number is out of range.
    """
    samples = {"truth": truth, "training": training, "generated": generated}
    weighted = {
        name: _weights(name, values, given)
        for (name, values), given in zip(samples.items(), weights, strict=True)
    }
    _check(samples, quantiles, replicas)
    edges = _edges(truth, weighted["truth"], quantiles)
    real, known, made = (_binned(values, weighted[name], edges) for name, values in samples.items())
    rng = np.random.default_rng(seed % 2**64)
    return _compared(real, known, made, _sizes(sizes, known.n, made.n), rng, replicas)


def _compared(
    truth: _Binned,
    training: _Binned,
    made: _Binned,
    sizes: np.ndarray,
    rng: np.random.Generator,
    replicas: int,
) -> Amplification:
    distance, error = _distances(truth, made, np.append(sizes, np.inf), rng, replicas)
    own, own_error = _distances(truth, training, np.array([float(training.n)]), rng, replicas)
    equivalent, equivalent_error, bounded = _equivalent(distance, error, len(truth.contents))
    plateau = distance[-1] > SIGMAS * error[-1]
    return Amplification(
        quantiles=len(truth.contents),
        sizes=sizes,
        distance=distance[:-1],
        distance_error=error[:-1],
        equivalent=equivalent[:-1],
        equivalent_error=equivalent_error[:-1],
        bounded=bounded[:-1],
        training_size=training.effective,
        training_distance=float(own[0]),
        training_distance_error=float(own_error[0]),
        plateau=float(equivalent[-1] / training.effective) if plateau else None,
        plateau_error=float(equivalent_error[-1] / training.effective) if plateau else None,
    )


def _weights(
    name: str, values: np.ndarray, given: Sequence[float] | np.ndarray | None
) -> Float[np.ndarray, " n"]:
    if given is None:
        return np.ones(len(values))
    weights = np.asarray(given, dtype=np.float64)
    if weights.shape != values.shape or not (
        np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0
    ):
        msg = (
            f"amplification: the weights of the {name} sample have shape {weights.shape}: "
            f"expected {values.shape} finite numbers "
            f"of at least 0 with a positive sum"
        )
        raise ShowerValueError(msg)
    return weights


def _check(samples: dict[str, np.ndarray], quantiles: int, replicas: int) -> None:
    for name, values in samples.items():
        bad = int((~np.isfinite(values)).sum())
        if len(values) < 2 or bad:
            msg = (
                f"amplification: {len(values)} values of the {name} sample, {bad} not finite: "
                "expected at least 2, all finite"
            )
            raise ShowerValueError(msg)
    if not 2 <= quantiles <= len(samples["truth"]) or replicas < 2:
        msg = (
            f"amplification: {quantiles} quantiles and {replicas} replicas for "
            f"{len(samples['truth'])} showers of the truth: "
            f"expected at least 2 of each, and no more quantiles than showers"
        )
        raise ShowerValueError(msg)


def _edges(truth: np.ndarray, weights: Float[np.ndarray, " truth"], quantiles: int) -> np.ndarray:
    """The upper edges of all bins but the last: values of the truth below its largest."""
    order = np.argsort(truth, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    wanted = np.arange(1, quantiles) / quantiles
    edges: np.ndarray = np.unique(truth[order][np.searchsorted(share, wanted * (1 - 1e-12))])
    edges = edges[edges < truth[weights > 0].max()]
    if len(edges) == 0:
        msg = (
            f"amplification: all {len(truth)} values of the truth fall into one bin: expected an "
            "observable that varies"
        )
        raise ShowerValueError(msg)
    return edges


def _binned(values: np.ndarray, weights: Float[np.ndarray, " n"], edges: np.ndarray) -> _Binned:
    inside = np.searchsorted(edges, values, side="left")
    contents = np.bincount(inside, weights, minlength=len(edges) + 1) / weights.sum()
    return _Binned(contents, len(values), effective_size(weights))


def _sizes(asked: Sequence[int] | None, training: int, generated: int) -> Int[np.ndarray, " sizes"]:
    if asked is None:
        asked = (
            np.geomspace(max(1, min(training, generated) // 10), generated, _SIZES)
            .round()
            .astype(int)
            .tolist()
        )
    if min(asked, default=1) < 1 or max(asked, default=1) > generated:
        msg = (
            f"amplification: sizes from {min(asked)} to {max(asked)}, expected from 1 to the "
            f"{generated} generated showers"
        )
        raise ShowerValueError(msg)
    return np.unique([*asked, generated])


def _distances(
    truth: _Binned,
    sample: _Binned,
    sizes: Float[np.ndarray, " sizes"],
    rng: np.random.Generator,
    replicas: int,
) -> tuple[Float[np.ndarray, " sizes"], Float[np.ndarray, " sizes"]]:
    """D(n) for each n, infinity included, and its standard deviation."""
    t, m, noise = truth.contents, sample.contents, (len(truth.contents) - 1) / truth.effective
    scale = (np.concatenate([sizes, [sample.n, np.inf]]) ** -1 * sample.n - 1) / max(
        sample.effective - 1, 1.0
    )
    found = _curve(m[None], t[None], t, scale)[0] - noise
    whole, own = found[-2] + noise, found[-1]
    share = np.clip(own / whole, 0, 1) if whole > 0 else 0.0
    replica = (
        _drawn(rng, t + np.sqrt(share) * (m - t), sample, replicas),
        _drawn(rng, t, truth, replicas),
    )
    return found[:-2], np.std(_curve(*replica, t, scale[:-2]), axis=0, ddof=1)


def _curve(
    m: Float[np.ndarray, "times bins"],
    truth: Float[np.ndarray, "times bins"],
    t: Float[np.ndarray, " bins"],
    scale: Float[np.ndarray, " sizes"],
) -> Float[np.ndarray, "times sizes"]:
    """The sum of squares at each size, the noise of the truth left in."""
    squares: np.ndarray = np.square(m - truth) / t
    noise: np.ndarray = m * (1 - m) / t
    found: np.ndarray = squares.sum(axis=1)[:, None] + scale * noise.sum(axis=1)[:, None]
    return found


def _drawn(
    rng: np.random.Generator, contents: Float[np.ndarray, " bins"], sample: _Binned, replicas: int
) -> Float[np.ndarray, "replicas bins"]:
    """Contents of samples of the same effective size, drawn from a distribution with these."""
    n = max(1, round(sample.effective))
    counts: np.ndarray = rng.multinomial(n, contents / contents.sum(), size=replicas)
    return counts / n


def _equivalent(
    distance: Float[np.ndarray, " sizes"], error: Float[np.ndarray, " sizes"], bins: int
) -> tuple[Float[np.ndarray, " sizes"], Float[np.ndarray, " sizes"], np.ndarray]:
    """The number of real showers, its standard deviation, and whether it is only a bound."""
    bounded = distance <= error
    worth = (bins - 1) / np.where(bounded, np.clip(distance, 0, None) + error, distance)
    return worth, np.where(bounded, 0.0, worth**2 * error / (bins - 1)), bounded
