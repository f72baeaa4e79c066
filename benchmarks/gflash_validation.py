"""Compare the mean profiles of GFlash with those of full showers, along the axis and across it.

    python benchmarks/gflash_validation.py par04-lowgran par04.h5 --energies 2 10 50 --figure
    par04.png python benchmarks/gflash_validation.py ild-ecal-30 ild-5gev.h5 ild-20gev.h5
    ild-80gev.h5 --energies 5 20 80 --figure ild.png

The files hold full showers of the detector in the CaloChallenge layout. At each energy, in GeV, the
showers within 20 % of it are taken, and GFlash simulates several showers for each of them at the
energy it has. GFlash's response is first fitted: the energy sum of the full showers over that of
GFlash's, averaged over the energies. Departures are those of GFlash from the full showers.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure

from caloforge.detector import Detector, load_detector
from caloforge.geometry import Calorimeter
from caloforge.io import open_showers
from caloforge.observables import PROFILE_R, layer_energies, n_hits, profile_r, total_energy
from caloforge.particles import Particles
from caloforge.report.drawing import STYLE, band, colour, over, settle, steps
from caloforge.showers import Showers
from caloforge.simulators import GFlash, gflash_of
from caloforge.units import GeV, format_energy

LEAST_SHARE = 0.01
"""Departures are told where at least this share of the energy is."""

REPEATS = 4
"""GFlash showers for each full one."""


@dataclass(frozen=True)
class Slice:
    """Showers of about one energy, full and by GFlash; in single cells, layers and rings."""

    energy: float
    full: Showers
    fast: Showers

    def means(self, showers: Showers, across: bool) -> tuple[np.ndarray, np.ndarray]:
        """The mean share of the incident energy in each layer, or ring, and its uncertainty."""
        deposits = (
            profile_r(showers) if across else layer_energies(showers)
        ).double() / showers.energies.double()[:, None]
        return deposits.mean(0).numpy(), (deposits.std(0) / len(showers) ** 0.5).numpy()


def read(paths: list[Path], calorimeter: Calorimeter) -> Showers:
    """All showers of the files, as of the detector's calorimeter."""
    parts = [open_showers(path, calorimeter)[:] for path in paths]
    return Showers.cat(parts)


def sliced(simulator: GFlash, full: Showers, energies: list[float]) -> tuple[GFlash, list[Slice]]:
    """The simulator with its fitted response, and the showers at each energy."""
    chosen = [(full.energies > 0.8 * e * GeV) & (full.energies < 1.2 * e * GeV) for e in energies]
    parts = [full[which.nonzero()[:, 0]] for which in chosen]
    sums = [
        (float(total_energy(part).sum()), float(total_energy(simulated(simulator, part, 1)).sum()))
        for part in parts
    ]
    simulator = replace(simulator, response=sum(a / b for a, b in sums) / len(sums))
    return simulator, [
        Slice(e, part, simulated(simulator, part, REPEATS))
        for e, part in zip(energies, parts, strict=True)
    ]


def simulated(simulator: GFlash, full: Showers, repeats: int) -> Showers:
    """GFlash showers of the energies of full ones."""
    return simulator.simulate(Particles(full.energies.double().repeat(repeats)), seed=1)


def departures(part: Slice, across: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The shares of the full showers, the departures of GFlash's and their uncertainty, the last
    two in per cent.
    """
    (full, error), (fast, fast_error) = part.means(part.full, across), part.means(part.fast, across)
    return (
        full / full.sum(),
        100 * (over(fast, full) - 1),
        100 * np.hypot(over(error, full), over(fast_error, full)),
    )


def tell(simulator: GFlash, parts: list[Slice]) -> None:
    """Print the numbers."""
    print(f"response {float(simulator.response):.4f}")
    print(
        f"{'energy':>8} {'showers':>8} {'':>8} {'E_sum/E':>9} {'sigma':>9} {'mean depth':>11} "
        f"{'N_hit':>8}"
    )
    depths = torch.tensor(simulator.depths, dtype=torch.float64)
    middles = depths.cumsum(0) - depths / 2
    for part in parts:
        for name, showers in (("full", part.full), ("GFlash", part.fast)):
            ratio, layers = (
                total_energy(showers).double() / showers.energies,
                layer_energies(showers).double().mean(0),
            )
            depth, hits = (
                float((layers * middles).sum() / layers.sum()),
                float(n_hits(showers).double().mean()),
            )
            head = f"{format_energy(part.energy * GeV):>8} {len(showers):>8} {name:>8}"
            print(
                f"{head} {float(ratio.mean()):>9.5f} {float(ratio.std()):>9.5f} {depth:>8.2f} X0 "
                f"{hits:>8.1f}"
            )
    for across, what in ((False, "layers"), (True, "rings")):
        for part in parts:
            share, departure, error = departures(part, across)
            held = share >= LEAST_SHARE
            typical = (share[held] * np.abs(departure[held])).sum() / share[held].sum()
            print(
                f"\n{format_energy(part.energy * GeV)}, {what} with {LEAST_SHARE:.0%} of the "
                "energy: departures in per cent"
            )
            print(f"  mean size, weighed by energy: {typical:.1f}")
            rows = zip(np.flatnonzero(held), departure[held], error[held], strict=True)
            words = [f"{k}: {x:+.0f}±{s:.0f}" for k, x, s in rows]
            print(
                "  " + "\n  ".join("  ".join(words[i : i + 10]) for i in range(0, len(words), 10))
            )


def drawn(detector: Detector, calorimeter: Calorimeter, parts: list[Slice]) -> Figure:
    """Both profiles above their ratios to the full showers."""
    figure = Figure(figsize=(9.2, 4.6), layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=[2.2, 1], sharex="col")
    centres = PROFILE_R.positions(calorimeter).numpy()
    rings = 2 * centres[0] * np.arange(len(centres) + 1)
    for across, edges in ((False, np.arange(calorimeter.n_layers + 1.0)), (True, rings)):
        main, ratio = axes[:, int(across)]
        for k, part in enumerate(parts):
            (full, error), (fast, _) = part.means(part.full, across), part.means(part.fast, across)
            width = np.diff(edges)
            label = format_energy(part.energy * GeV)
            main.errorbar(
                (edges[1:] + edges[:-1]) / 2,
                full / width,
                error / width,
                fmt=".",
                color=colour(k),
                label=f"full, {label}",
            )
            steps(main, edges, fast / width, color=colour(k), label=f"GFlash, {label}")
            relative = over(error, full)
            band(ratio, edges, 1 - relative, 1 + relative, shade=colour(k), alpha=0.25)
            steps(ratio, edges, over(fast, full), color=colour(k))
        main.set(
            xlim=(edges[0], edges[-1]),
            ylabel="share of the energy per mm" if across else "share of the energy per layer",
        )
        ratio.set(ylim=(0.4, 1.6), ylabel="GFlash / full", xlabel="r [mm]" if across else "layer")
        ratio.axhline(1, color=STYLE["text.color"], lw=0.8)
        highest = max(
            float((part.means(part.full, across)[0] / np.diff(edges)).max()) for part in parts
        )
        main.set(yscale="log", ylim=(1e-4 * highest, 2 * highest)) if across else main.set(
            ylim=(0, 1.25 * highest)
        )
    axes[0, 0].legend()
    figure.suptitle(f"{detector.name}: electrons, GFlash and the full simulation", fontsize=10)
    return figure


def main() -> None:
    """Read, compare, tell, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector", help="a detector of the package, or a YAML file")
    parser.add_argument(
        "full", type=Path, nargs="+", metavar="FULL.h5", help="full showers of electrons in it"
    )
    parser.add_argument("--energies", type=float, nargs="+", default=[2, 10, 50], metavar="GEV")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="constants of the parametrisation, see Tuning",
    )
    parser.add_argument("--figure", type=Path, metavar="OUT.png", help="where to draw")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    detector = load_detector(arguments.detector)
    simulator = gflash_of(detector)
    changes = {name: float(value) for name, value in (words.split("=") for words in arguments.set)}
    simulator = replace(simulator, tuning=replace(simulator.medium.tuning, **changes))
    calorimeter = simulator.calorimeter
    simulator, parts = sliced(simulator, read(arguments.full, calorimeter), arguments.energies)
    tell(simulator, parts)
    if arguments.figure:
        with mpl.rc_context(STYLE):
            figure = drawn(detector, calorimeter, parts)
            settle(figure)
            figure.savefig(arguments.figure, dpi=120, facecolor="white")


if __name__ == "__main__":
    main()
