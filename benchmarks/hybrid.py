"""A hybrid run beside full Geant4 on the same events: time, energies, profiles, hits.

The events have so many electrons each, along the axis. Row i of both is the same event, so each
pair could be swapped if both were alike: that gives errors and floors, see `geant4_agreement`.
Times are those of the processors, of this process and of Geant4's.

    python benchmarks/hybrid.py par04-lowgran calodream-ds2-laptop --events 40 --energy 5GeV:20GeV:log
    python benchmarks/hybrid.py pbwo4-10x10 gflash+squirels-fast --events 40 --energy 10GeV:50GeV:log
"""  # noqa: E501

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from geant4_agreement import deviations, distance, largest, observables, profiles

from caloforge import zoo
from caloforge.chain import Chain
from caloforge.detector import Detector, load_detector
from caloforge.gun import Gun, read_spectrum
from caloforge.hits import dense
from caloforge.hybrid import EventSource, Hybrid
from caloforge.showers import Showers
from caloforge.simulators import Geant4, Simulator, gflash_of
from caloforge.units import parse_angle, parse_energy

_SWAPS, _RINGS = 400, 15


def main() -> None:
    """Parse, simulate twice, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector")
    parser.add_argument("surrogate", help="a surrogate, or gflash; refiners behind it after a +")
    parser.add_argument("--events", type=int, default=40)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--energy", default="5GeV:20GeV:log")
    parser.add_argument("--above", default="1GeV")
    parser.add_argument("--physics", default="em-standard")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector = load_detector(options.detector)
    full = Geant4(detector, options.physics)
    surrogate = made_by(options.surrogate, detector)
    above = parse_energy(options.above)
    hybrid = Hybrid(full, surrogate, (11,), above, parse_angle("1deg"), 2.0)
    gun = Gun(options.events * options.each, read_spectrum(options.energy), options.seed)
    events = EventSource(gun, options.each)[:]
    surrogate.simulate(events.members[:64], seed=0)
    ours, fast = timed(lambda: dense(hybrid.simulate(events, seed=options.seed)))
    reference, slow = timed(lambda: dense(Hybrid(full).simulate(events, seed=options.seed)))
    each = 1000 / options.events
    print(f"{options.detector}, {options.events} events of {options.each}, {options.surrogate}")
    print(f"replaced: {hybrid.counts['replaced']:,} of {len(events.members):,} particles")
    print(
        f"Geant4 {each * slow:.4g} ms an event, hybrid {each * fast:.4g}: {slow / fast:.3g} times"
    )
    table(reference, ours)


def made_by(name: str, detector: Detector) -> Simulator:
    """A chain of its name."""
    first, *refiners = name.split("+")
    bare = replace(detector, distance=0.0)
    source = gflash_of(bare) if first == "gflash" else zoo.load_surrogate(first)
    return Chain(source, *map(zoo.load_refiner, refiners)) if refiners else source


def timed(make: Callable[[], Showers]) -> tuple[Showers, float]:
    """What is made, and the time of the processors, in seconds."""
    before = time.process_time() + of_children()
    made = make()
    return made, time.process_time() + of_children() - before


def of_children() -> float:
    """The time of the processors that finished processes took, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(reference: Showers, ours: Showers) -> None:
    """Observables and profiles of both."""
    full, found = (one.deposits.double().numpy() for one in (reference, ours))
    energies = ours.energies.double().numpy()
    coins = np.random.default_rng(0).integers(0, 2, (_SWAPS, len(energies))).astype(bool)
    print(
        f"{'':<14}{'Geant4':>10}{'hybrid':>10}{'off':>6}{'distance':>10}{'floor':>9}{'floors':>8}"
    )
    ones = observables(full, energies), observables(found, energies)
    for name, a in ones[0].items():
        b = ones[1][name]
        off, _ = deviations(a, b, coins)
        far, floor, _ = distance(a, b, coins)
        print(
            f"{name:<14}{a.mean():>10.5g}{b.mean():>10.5g}{off:>6.1f}{far:>10.3g}{floor:>9.3g}"
            f"{far / floor:>8.2f}"
        )
    parts = [profiles(one, energies, ours.calorimeter, _RINGS) for one in (full, found)]
    for name, a in parts[0].items():
        most, beyond, of, p = largest(a, parts[1][name], coins)
        print(f"{name:<15} largest deviation {most:.1f}, {beyond} of {of} beyond 3, p {p:.3f}")


if __name__ == "__main__":
    main()
