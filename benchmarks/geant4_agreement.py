r"""Compare showers with reference showers of the same incident energies, in slices of energy.

    caloforge simulate geant4 par04-lowgran --like reference.h5 -n 600 --physics em-standard --seed
    1 ours.h5 python benchmarks/geant4_agreement.py reference.h5 ours.h5 --detector par04-lowgran

Row i of both files belongs to the same incident energy, so both showers of a pair would be equal in
law if the simulations agreed, and each pair could be swapped. That gives the standard error of each
difference and the floor of each distance without any assumption: they are what remains when every
pair is swapped by a coin, many times.

Deviations are differences, ours minus the reference's, of means and of standard deviations, in
standard errors. The distance is Wasserstein's first, its floor the mean over the swaps, and p how
often a swapped distance is as large. Of profiles, the share of the incident energy in each layer,
and in rings around the beam, the line gives the largest deviation, how many of the means are off by
more than 3 standard errors, and p for the largest.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from caloforge.detector import load_detector
from caloforge.geometry import Calorimeter
from caloforge.io import CaloChallengeFile
from caloforge.metrics import wasserstein
from caloforge.units import GeV, parse_energy

Values = dict[str, np.ndarray]


def observables(deposits: np.ndarray, energies: np.ndarray) -> Values:
    """Numbers of each shower."""
    return {
        "E_sum / E": deposits.sum(1) / energies,
        "E_max / E": deposits.max(1) / energies,
        "N_hit": (deposits > 0).sum(1).astype(float),
    }


def profiles(
    deposits: np.ndarray, energies: np.ndarray, calorimeter: Calorimeter, rings: int
) -> Values:
    """Shares of the incident energy of each shower, with shape (showers, layers or rings)."""
    layers = calorimeter.layer_of_cell.numpy()
    r = calorimeter.centres[:, :2].double().norm(dim=1).numpy().round(6)
    radii = np.unique(r)
    edges = radii if len(radii) <= rings else np.quantile(r, np.linspace(0, 1, rings + 1)[:-1])
    ring = np.searchsorted(edges, r, side="right") - 1
    return {
        f"{name} profile": np.stack(
            [deposits[:, which == k].sum(1) / energies for k in range(which.max() + 1)], 1
        )
        for name, which in (("layer", layers), ("radial", ring))
    }


def deviations(reference: np.ndarray, ours: np.ndarray, coins: np.ndarray) -> tuple[float, float]:
    """Those of the mean and of the standard deviation, in standard errors."""
    difference = ours - reference
    mean = difference.mean() / (np.sqrt((difference**2).sum()) / len(difference))
    swapped = [
        np.where(coin, reference, ours).std() - np.where(coin, ours, reference).std()
        for coin in coins
    ]
    return float(mean), float((ours.std() - reference.std()) / np.std(swapped))


def distance(
    reference: np.ndarray, ours: np.ndarray, coins: np.ndarray
) -> tuple[float, float, float]:
    """The distance, its floor, and p."""
    found = wasserstein(reference, ours)
    swapped = np.array(
        [
            wasserstein(np.where(coin, ours, reference), np.where(coin, reference, ours))
            for coin in coins
        ]
    )
    return found, float(swapped.mean()), float((1 + (swapped >= found).sum()) / (1 + len(swapped)))


def largest(
    reference: np.ndarray, ours: np.ndarray, coins: np.ndarray
) -> tuple[float, int, int, float]:
    """The largest deviation of a mean, how many are beyond 3 standard errors, of how many,
    and p.
    """
    difference = ours - reference
    difference = difference[:, (difference != 0).any(0)]
    error = np.sqrt((difference**2).sum(0))
    found = np.abs(difference.sum(0) / error)
    swapped = np.abs((2.0 * coins - 1) @ difference / error).max(1)
    return (
        float(found.max()),
        int((found > 3).sum()),
        len(found),
        float((1 + (swapped >= found.max()).sum()) / (1 + len(coins))),
    )


def showers(path: Path, number: int | None, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The first deposits, those below the threshold set to 0, and incident energies of a file."""
    with CaloChallengeFile(path) as file:
        some = file[:number]
    deposits = some.deposits.double().numpy()
    return np.where(deposits >= threshold, deposits, 0.0), some.energies.double().numpy()


def main() -> None:
    """Print one table a slice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", type=Path)
    parser.add_argument("ours", type=Path)
    parser.add_argument(
        "--detector",
        required=True,
        help="what both are showers of: a detector's name, or a YAML file",
    )
    parser.add_argument(
        "--slices",
        type=parse_energy,
        nargs="+",
        default=[1 * GeV, 10 * GeV, 30 * GeV, 100 * GeV],
        metavar="E",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.0,
        metavar="MEV",
        help="set smaller deposits to 0 in both",
    )
    parser.add_argument(
        "--rings",
        type=int,
        default=20,
        help="at most so many rings in radial profiles (default 20)",
    )
    parser.add_argument(
        "--swaps", type=int, default=500, help="how often all pairs are swapped (default 500)"
    )
    options = parser.parse_args()
    ours, energies = showers(options.ours, None, options.threshold)
    reference, expected = showers(options.reference, len(ours), options.threshold)
    if not np.allclose(energies, expected, rtol=1e-5):
        parser.error(
            f"the incident energies of {options.ours} are not the first of {options.reference}: "
            "simulate with --like"
        )
    calorimeter = load_detector(options.detector).calorimeter
    for low, high in zip(options.slices[:-1], options.slices[1:], strict=True):
        rows = (energies >= low) & (energies < high)
        coins = (
            torch.rand(
                options.swaps, int(rows.sum()), generator=torch.Generator().manual_seed(1)
            ).numpy()
            < 0.5
        )
        print(f"\n{low / GeV:g} to {high / GeV:g} GeV, {rows.sum()} showers")
        print(
            f"{'':<16}{'mean':>10}{'reference':>11}{'off':>6}{'width':>10}{'reference':>11}{'off':>6}",
            end="",
        )
        print(f"{'distance':>10}{'floor':>9}{'p':>7}")
        pairs = zip(
            *(observables(some[rows], energies[rows]).items() for some in (reference, ours)),
            strict=True,
        )
        for (name, one), (_, other) in pairs:
            (mean, width), (found, floor, p) = (
                deviations(one, other, coins),
                distance(one, other, coins),
            )
            print(f"{name:<16}{other.mean():>10.5g}{one.mean():>11.5g}{mean:>6.1f}", end="")
            print(
                f"{other.std():>10.4g}{one.std():>11.4g}{width:>6.1f}{found:>10.3g}{floor:>9.3g}{p:>7.3f}"
            )
        shapes = (
            profiles(some[rows], energies[rows], calorimeter, options.rings)
            for some in (reference, ours)
        )
        for (name, one), (_, other) in zip(*(shape.items() for shape in shapes), strict=True):
            most, beyond, of, p = largest(one, other, coins)
            print(f"{name:<16}largest deviation {most:.1f}, {beyond} of {of} beyond 3, p {p:.3f}")


if __name__ == "__main__":
    main()
