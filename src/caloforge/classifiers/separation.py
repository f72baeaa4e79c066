r"""A classifier at work: train it several times, each time anew, and have it score showers that it
never saw.

The inputs of all showers are held as one matrix, filled in batches, up to the size of 20,000
showers of 6,480 cells; larger ones are made anew from the deposits, batch by batch. In what the
particles differ beside their energy (`Beam.of`) stands before the inputs. Showers of weight 0 are
left out.
"""

__all__ = ["LEAST_SHOWERS", "separate", "separate_features"]

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import logit
from torch import Tensor

from caloforge.classifiers.architectures import Image
from caloforge.classifiers.calibration import (
    Calibration,
    area,
    area_error,
    calibration,
    curve,
    mid_ranks,
    roc,
)
from caloforge.classifiers.classifier import FOLDS, Classifier
from caloforge.classifiers.fitting import Examples, fitted
from caloforge.classifiers.inputs import Inputs
from caloforge.classifiers.protocol import random_numbers
from caloforge.classifiers.results import (
    FALSE_POSITIVE,
    Repeated,
    Roc,
    Separation,
    ShowerWeights,
)
from caloforge.errors import ShowerValueError
from caloforge.learn.conditions import Beam, BeamFeatures, Condition
from caloforge.metrics.scores import Score
from caloforge.showers import Showers, spans

LEAST_SHOWERS = 50
"""The fewest showers of a sample, of those with a positive weight."""
_BATCH = 1000
_MOST_HELD = 20_000 * 6_500
"""The largest matrix of inputs that is held."""
_HALVES = 2**32
"""The stream of random numbers that cuts the full simulation for the floor; trainings have the
streams from 0 on.
"""

Array = NDArray[np.float64]
Progress = Callable[[str], None]
"""Called with each step, in words."""
Take = Callable[[Tensor], Tensor]


def silent(what: str) -> None:
    """Say nothing."""


def separate(
    full: Showers,
    candidate: Showers,
    classifier: Classifier,
    *,
    trainings: int = FOLDS,
    seed: int = 0,
    floor: bool = False,
    progress: Progress = silent,
) -> Separation:
    """Train a classifier on two samples, and have it score showers that it never saw.

    Arguments:
        full: Showers of the full simulation.
        candidate: Showers of the candidate; weights of either sample are honoured in the loss and
            in every number.
        classifier: The classifier.
        trainings: The number of trainings, at least 1; where five turns are taken, five score each
            shower once.
        seed: The seed of cuts and trainings; on one machine the same seed gives the same numbers.
        floor: Whether to find the floors by as many trainings between two halves of the full
            simulation.
        progress: Told in words what is done next.

    Raises:
        GeometryMismatchError: The calorimeters differ.
        GeometryError: The classifier sees images, and this calorimeter has none.
        ShowerValueError: A sample has fewer than 50 showers with a positive weight, or so has a
            half of the full simulation, if the floor is asked for; or fewer than one training is
            asked for.
    """
    found = _between(full, candidate, classifier, trainings, seed, progress)
    if not floor:
        return found
    order = torch.from_numpy(random_numbers(seed, _HALVES).permutation(len(full))).to(
        full.deposits.device
    )
    first, second = (full[half] for half in order[: len(full) // 2 * 2].chunk(2))
    return found.above(_between(first, second, classifier, trainings, seed, progress))


def separate_features(
    full: Float[Tensor, "n features"],
    candidate: Float[Tensor, "m features"],
    classifier: Classifier,
    *,
    trainings: int = FOLDS,
    seed: int = 0,
    weights: tuple[Float[Tensor, " n"] | None, Float[Tensor, " m"] | None] = (None, None),
) -> Separation:
    """As `separate`, for features without order in place of the classifier's own inputs.

    Arguments:
        full: Features of showers of the full simulation, with shape (n, features).
        candidate: Features of showers of the candidate, with shape (m, features).
        classifier: The classifier.
        trainings: The number of trainings, at least 1.
        seed: The seed of cuts and trainings.
        weights: The weights of both samples, at least 0, with shapes (n) and (m); None for 1 each.

    Raises:
        ShowerValueError: A sample has fewer than 50 showers with a positive weight, or fewer than
            one training is asked for.
        GeometryError: The classifier's network needs an image.
    """
    sides = (_Side.of(len(full), weights[0]), _Side.of(len(candidate), weights[1]))
    _require(sides, trainings)
    x = torch.cat(
        [
            values[side.on(values.device)]
            for side, values in zip(sides, (full, candidate), strict=True)
        ]
    )
    examples = _examples(sides, x.to(classifier.training.dtype).__getitem__, x.shape[1], x.device)
    return _separation(
        classifier,
        sides,
        [_trial(classifier, examples, sides, seed, turn) for turn in range(trainings)],
    )


def _between(
    full: Showers,
    candidate: Showers,
    classifier: Classifier,
    trainings: int,
    seed: int,
    progress: Progress,
) -> Separation:
    full.calorimeter.require(candidate.calorimeter, "the candidate")
    image = classifier.inputs.image(full.calorimeter)
    sides = (_Side.of(len(full), full.weights), _Side.of(len(candidate), candidate.weights))
    _require(sides, trainings)
    used = [
        s if side.whole else s[side.on(s.deposits.device)]
        for side, s in zip(sides, (full, candidate), strict=True)
    ]
    seen = _Seen.by(classifier, full, candidate)
    examples = _examples(sides, *_taken(seen, used), full.deposits.device, image)
    trials = []
    for turn in range(trainings):
        progress(f"{classifier.title}: training {turn + 1} of {trainings}")
        trials.append(_trial(classifier, examples, sides, seed, turn))
    return _separation(classifier, sides, trials)


@dataclass(frozen=True, eq=False)
class _Side:
    """The showers of one sample that count: how many were given, which of them, and how often each
    counts.
    """

    given: int
    rows: NDArray[np.int64]
    counts: Array

    @staticmethod
    def of(n: int, weights: Tensor | None) -> "_Side":
        counts = np.ones(n) if weights is None else weights.detach().double().cpu().numpy()
        rows = np.flatnonzero(counts > 0)
        return _Side(n, rows, counts[rows])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def whole(self) -> bool:
        return len(self) == self.given

    def on(self, device: torch.device) -> Tensor:
        return torch.from_numpy(self.rows).to(device)


Sides = tuple[_Side, _Side]


def _require(sides: Sides, trainings: int) -> None:
    if min(map(len, sides)) < LEAST_SHOWERS:
        given = " against ".join(f"{len(side)} showers" for side in sides)
        msg = (
            f"{given}, counting those with a positive weight: a classifier needs at least "
            f"{LEAST_SHOWERS} of each sample"
        )
        raise ShowerValueError(msg)
    if trainings < 1:
        msg = f"{trainings} trainings of a classifier, expected at least 1"
        raise ShowerValueError(msg)


def _examples(
    sides: Sides, take: Take, n_features: int, device: torch.device, image: Image | None = None
) -> Examples:
    """Labels, and weights of which those of either sample sum to half the number of showers."""
    total = sum(map(len, sides))
    weights = np.concatenate([side.counts * (total / 2 / side.counts.sum()) for side in sides])
    labels = np.repeat([1.0, 0.0], [len(side) for side in sides])
    labels_there, weights_there = (torch.from_numpy(x).to(device) for x in (labels, weights))
    return Examples(take, labels_there, weights_there, n_features, image)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a classifier sees of showers: in what the particles of both samples differ beside their
    energy, and its own inputs.
    """

    beam: BeamFeatures
    inputs: Inputs
    dtype: torch.dtype

    @staticmethod
    def by(classifier: Classifier, full: Showers, candidate: Showers) -> "_Seen":
        features = BeamFeatures(Beam.of(full.particles, candidate.particles))
        adapted = features.adapt(Condition(full.particles))
        return _Seen(adapted, classifier.inputs, classifier.training.dtype)

    def __call__(self, showers: Showers) -> Tensor:
        known = self.beam(Condition(showers.particles))
        return torch.cat([known.to(self.dtype), self.inputs(showers).to(self.dtype)], dim=1)


def _taken(seen: _Seen, used: list[Showers]) -> tuple[Take, int]:
    """How the inputs of showers are had, and how many they are."""
    width, total = seen(used[0][:1]).shape[1], sum(map(len, used))

    def made(rows: Tensor) -> Tensor:
        x = torch.empty(len(rows), width, dtype=seen.dtype, device=rows.device)
        first = rows < len(used[0])
        for showers, chosen, start in ((used[0], first, 0), (used[1], ~first, len(used[0]))):
            if chosen.any():
                x[chosen] = seen(showers[rows[chosen] - start])
        return x

    return (made if total * width > _MOST_HELD else _held(seen, used, width).__getitem__), width


def _held(seen: _Seen, used: list[Showers], width: int) -> Tensor:
    x = torch.empty(sum(map(len, used)), width, dtype=seen.dtype, device=used[0].deposits.device)
    for showers, start in zip(used, (0, len(used[0])), strict=True):
        for span in spans(len(showers), _BATCH):
            x[start + span.start : start + span.stop] = seen(showers[span])
    return x


@dataclass(frozen=True, eq=False)
class _Trial:
    """The scored showers of one training: numbers, labels, weights, probabilities without and with
    calibration.
    """

    rows: NDArray[np.int64]
    labels: Array
    weights: Array
    before: Array
    after: Array

    def parts(self, values: Array) -> tuple[Array, Array]:
        """Values of the full simulation's showers, and of the candidate's."""
        return values[self.labels > 0], values[self.labels == 0]

    @property
    def scores(self) -> tuple[Array, Array, Array, Array]:
        """Probabilities of both samples, and their weights."""
        return *self.parts(self.after), *self.parts(self.weights)

    def balanced(self, full: Array, candidate: Array) -> float:
        """The mean over a sample's showers of some values, averaged over the samples."""
        v, w = self.parts(self.weights)
        return float(np.average(full, weights=v) + np.average(candidate, weights=w)) / 2

    @property
    def accuracy(self) -> float:
        x, z = self.parts(self.after)
        return self.balanced((x > 0.5).astype(float), (z <= 0.5).astype(float))

    @property
    def cross_entropy(self) -> float:
        x, z = self.parts(self.after)
        return self.balanced(-np.log(x), -np.log1p(-z))

    @property
    def cross_entropy_error(self) -> float:
        loss = (
            np.where(self.labels > 0, -np.log(self.after), -np.log1p(-self.after))
            - self.cross_entropy
        )
        return float(np.sqrt(np.square(self.weights * loss).sum()) / self.weights.sum())


def _trial(
    classifier: Classifier, examples: Examples, sides: Sides, seed: int, turn: int
) -> _Trial:
    cuts = (classifier.training.split.rows(len(side), seed, turn) for side in sides)
    fit, select, score = (
        np.concatenate([a, b + len(sides[0])]) for a, b in zip(*cuts, strict=True)
    )
    device = examples.labels.device
    to_fit, to_select, to_score = (
        torch.from_numpy(rows).to(device) for rows in (fit, select, score)
    )
    logits = fitted(
        classifier.title,
        classifier.architecture,
        classifier.training,
        examples,
        (to_fit, to_select),
        seed=seed,
        turn=turn,
    )
    labels, weights = (x.cpu().numpy() for x in (examples.labels, examples.weights))
    known = logits(to_select).cpu().numpy() if len(select) else np.zeros(0)
    maps = (
        calibration(kind, known, labels[select], weights[select])
        for kind in (Calibration.NONE, classifier.training.calibration)
    )
    before, after = (probability(logits(to_score).cpu().numpy()) for probability in maps)
    return _Trial(score, labels[score], weights[score], before, after)


def _separation(classifier: Classifier, sides: Sides, trials: list[_Trial]) -> Separation:
    areas = Repeated(tuple(area(*trial.scores) for trial in trials))
    entropies = Repeated(tuple(trial.cross_entropy for trial in trials))
    divergences = Repeated(tuple(1 - entropy / math.log(2) for entropy in entropies.values))
    errors = (area_error(*trials[0].scores), trials[0].cross_entropy_error / math.log(2))
    full, candidate = _weighed(sides, trials)
    chances = _chances(sides, trials)
    labels, weights = (
        np.concatenate(x) for x in zip(*((t.labels, t.weights) for t in trials), strict=True)
    )
    before, after = (
        np.concatenate(x) for x in zip(*((t.before, t.after) for t in trials), strict=True)
    )
    return Separation(
        name=classifier.name,
        title=classifier.title,
        n_full=sides[0].given,
        n_candidate=sides[1].given,
        areas=areas,
        divergences=divergences,
        accuracies=Repeated(tuple(trial.accuracy for trial in trials)),
        cross_entropies=entropies,
        auc=_score(areas, errors[0], 0.5, chances[0]),
        jsd=_score(divergences, errors[1], 0.0, chances[1]),
        roc=_roc(trials),
        before=curve(before, labels, weights),
        after=curve(after, labels, weights),
        full=full,
        candidate=candidate,
    )


def _score(repeated: Repeated, single: float, floor: float, chance: float) -> Score:
    """The score; the error of a single training is that of its scored showers."""
    return Score(
        repeated.value, repeated.error if len(repeated.values) > 1 else single, floor, chance
    )


def _chances(sides: Sides, trials: list[_Trial]) -> tuple[float, float]:
    r"""How AUC and JSD of equal distributions would scatter about their floors, were the labels of
    the scored showers drawn anew:

    .. math:: \sqrt{\textstyle\sum_i p_i^2 (P_i - 1/2)^2} \quad \text{and} \quad
              \sqrt{\textstyle\sum_i p_i^2 \ln^2 w_i} / (4 \ln 2) ,

    with :math:`p_i` the share of shower i in its sample's weight, :math:`P_i` the rank of its score
    among all that were scored, from 0 to 1, and :math:`w = C / (1 - C)`. The former is
    :math:`\sqrt{(1/n + 1/m) / 12}` for n and m showers without weights. Showers scored several
    times count once.
    """
    weights = np.concatenate([side.counts / side.counts.sum() for side in sides])
    variances = []
    for values in (
        [(mid_ranks(t.after, weights[t.rows]) - 0.5) ** 2 for t in trials],
        [logit(t.after) ** 2 / 4 for t in trials],
    ):
        square, scored = _mean_by_row(len(weights), trials, values)
        parts = np.split(np.where(scored, weights, 0.0), [len(sides[0])])
        shares = np.concatenate([part / part.sum() for part in parts])
        variances.append(float((shares**2 * square).sum()))
    return math.sqrt(variances[0]), math.sqrt(variances[1]) / (2 * math.log(2))


def _mean_by_row(
    n: int, trials: list[_Trial], values: list[Array]
) -> tuple[Array, NDArray[np.bool_]]:
    """The mean of a shower's values over the trainings that scored it, 0 where none did, and
    whether one did.
    """
    rows = np.concatenate([trial.rows for trial in trials])
    times, sums = (
        np.bincount(rows, minlength=n),
        np.bincount(rows, np.concatenate(values), minlength=n),
    )
    return sums / np.maximum(times, 1), times > 0


def _roc(trials: list[_Trial]) -> Roc:
    curves = np.stack([roc(*trial.scores, FALSE_POSITIVE) for trial in trials])
    spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(len(FALSE_POSITIVE))
    return Roc(FALSE_POSITIVE, curves.mean(axis=0), spread)


def _weighed(sides: Sides, trials: list[_Trial]) -> tuple[ShowerWeights, ShowerWeights]:
    """For both samples the showers that were scored, with the mean of their log10 w over the
    trainings that did.
    """
    mean, scored = _mean_by_row(
        sum(map(len, sides)), trials, [logit(trial.after) / math.log(10) for trial in trials]
    )
    parts = zip(sides, *(np.split(x, [len(sides[0])]) for x in (mean, scored)), strict=True)
    full, candidate = (
        ShowerWeights(side.rows[known], x[known], side.counts[known]) for side, x, known in parts
    )
    return full, candidate
