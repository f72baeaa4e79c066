r"""Do two samples have particles of one distribution? Where not, distances compare other showers.

Incident energies, components of the direction and places are compared by Kolmogorov-Smirnov tests,
species by a chi2 test, k tests in all. They differ where the probability of one is below
:math:`10^{-6} / k`: of samples of one distribution at most one in a million is refused, and fewer
where both have the same particles row by row. Numbers within a millionth of each other are equal.
In a mesh along the particle the azimuth does not matter, and only the polar angle is compared.
"""

__all__ = ["differences", "require_alike"]

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.metrics.distances import chi2_probability, kolmogorov
from caloforge.metrics.resampling import effective_size
from caloforge.particles import Particles, name_of
from caloforge.units import deg, format_energy

_LEVEL = 1e-6
_EQUAL = 1e-6
"""Numbers within so much of each other, in units of their size, are equal."""

Values = Float[np.ndarray, " _"]
Side = tuple[Particles, Values]
"""Particles and their weights."""


def require_alike(
    full: Side, candidate: Side, names: tuple[str, str], *, along_particle: bool
) -> None:
    """Check that two samples have particles of one distribution.

    Arguments:
        full: The particles of the full simulation, and their weights.
        candidate: Those of the candidate.
        names: The names of both, for the message.
        along_particle: Whether the cells lie along the particle.

    Raises:
        ShowerValueError: They have not; the message says in what they differ, and what to do.
    """
    found = differences(full, candidate, along_particle=along_particle)
    if found:
        msg = (
            f"'{names[1]}' has other particles than '{names[0]}': {'; '.join(found)}: make it "
            f"--like '{names[0]}', or ask for the comparison by --other-particles"
        )
        raise ShowerValueError(msg)


def differences(full: Side, candidate: Side, *, along_particle: bool) -> list[str]:
    """In what the particles of two samples differ, in words; nothing where they do not, or where a
    species is not known.
    """
    full, candidate = _weighted(full), _weighted(candidate)
    a, b = full[0], candidate[0]
    compared = [
        (said, _probability(x, y, full[1], candidate[1]))
        for said, x, y in _numbers(a, b, along_particle=along_particle)
    ]
    if a.species and b.species:
        names = [", ".join(map(name_of, p.species)) for p in (a, b)]
        said = f"species {names[1]}, not {names[0]}"
        if names[0] == names[1]:
            said = "shares of the species"
        compared.append((said, _probability_of_species(full, candidate)))
    level = _LEVEL / max(1, len(compared))
    return list(dict.fromkeys(said for said, probability in compared if probability < level))


def _numbers(
    a: Particles, b: Particles, *, along_particle: bool
) -> Iterator[tuple[str, Values, Values]]:
    """What varies in either sample: in words, in both samples, of order 1."""
    energies = [p.energies.double() for p in (a, b)]
    said = _unlike("incident energies", _range(energies[0]), _range(energies[1]))
    yield said, energies[0].log().numpy(force=True), energies[1].log().numpy(force=True)
    if a.theta is not None or b.theta is not None:
        theta, other = (_angles(p.theta, len(p)) for p in (a, b))
        said = _unlike("polar angles", _degrees(theta), _degrees(other))
        yield said, theta.cos().numpy(), other.cos().numpy()
    if not along_particle and not (a.phi is None and b.phi is None):
        for x, y in zip(*(p.directions[:, :2].T.numpy(force=True) for p in (a, b)), strict=True):
            yield "azimuths", x, y
    if a.place is not None or b.place is not None:
        place, where = _places(a), _places(b)
        scale = max(1e-9, float(place.abs().max()), float(where.abs().max()))
        for k in range(2):
            yield "places", (place[:, k] / scale).numpy(), (where[:, k] / scale).numpy()


def _weighted(side: Side) -> Side:
    """What counts of a sample: the particles with a weight above 0."""
    particles, weights = side
    counts = weights > 0
    return particles[counts], weights[counts]


def _unlike(what: str, full: str, candidate: str) -> str:
    """In what a candidate differs, by the ranges of a number, unless these are the same."""
    if full == candidate:
        return f"another distribution of {what}"
    return f"{what} {candidate}, not {full}"


def _angles(angles: Tensor | None, n: int) -> Tensor:
    zeros = torch.zeros(n, dtype=torch.float64)
    return zeros if angles is None else angles.double().cpu()


def _places(particles: Particles) -> Tensor:
    place = particles.place
    zeros = torch.zeros(len(particles), 2, dtype=torch.float64)
    return zeros if place is None else place.double().cpu()


def _range(energies: Tensor) -> str:
    ends = (format_energy(float(f"{float(end):.3g}")) for end in energies.aminmax())
    return " to ".join(dict.fromkeys(ends))


def _degrees(theta: Tensor) -> str:
    ends = (f"{float(end) / deg:.3g}°" for end in theta.abs().aminmax())
    return " to ".join(dict.fromkeys(ends))


def _probability(x: Values, y: Values, v: Values, w: Values) -> float:
    distance = max(0.0, _excess(x, y, v, w), _excess(y, x, w, v))
    return kolmogorov(distance, effective_size(v), effective_size(w))


def _excess(x: Values, y: Values, v: Values, w: Values) -> float:
    """The largest excess of the distribution function of x over that of y, within what is equal."""
    order, others = np.argsort(x), np.argsort(y)
    of_x = np.cumsum(v[order]) / v.sum()
    of_y = np.concatenate([[0.0], np.cumsum(w[others])]) / w.sum()
    return float((of_x - of_y[np.searchsorted(y[others], x[order] + _EQUAL, "right")]).max())


def _probability_of_species(full: Side, candidate: Side) -> float:
    known = sorted({*full[0].species, *candidate[0].species})
    if len(known) == 1:
        return 1.0
    bins = [
        np.searchsorted(known, np.broadcast_to(np.asarray(p.pdg), len(p)))
        for p, _ in (full, candidate)
    ]
    return chi2_probability(bins[0], bins[1], full[1], candidate[1])
