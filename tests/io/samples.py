"""Small samples of showers for the tests of files."""

from pathlib import Path

import torch
from hypothesis import strategies as st
from torch import Tensor

from caloforge.geometry import Calorimeter, RegularGrid, pbwo4_crystals
from caloforge.particles import ELECTRON, Particles, Species
from caloforge.showers import Showers

TOWER = RegularGrid("tower", (1, 1, 5), (1.0, 1.0, 4.0))


def sample(
    n: int,
    calorimeter: Calorimeter | None = None,
    *,
    pdg: Species = ELECTRON,
    angles: bool = False,
    weighted: bool = False,
) -> Showers:
    """Showers with random deposits, of which half are zero."""
    calorimeter = pbwo4_crystals() if calorimeter is None else calorimeter
    deposits = torch.rand(n, calorimeter.n_cells)
    theta, phi = (torch.rand(n), torch.rand(n) * 6) if angles else (None, None)
    particles = Particles(torch.rand(n) * 1e4 + 1, pdg, theta, phi)
    weights = torch.rand(n) * 2 if weighted else None
    return Showers(torch.where(deposits > 0.5, deposits * 100, 0), particles, calorimeter, weights)


def spoilt(
    n: int, shower: int, deposit: float | None = None, energy: float | None = None
) -> Showers:
    """Showers of which one has a bad deposit in cell 42 or was given a bad energy after it was
    made.
    """
    showers = sample(n)
    if deposit is not None:
        showers.deposits[shower, 42] = deposit
    if energy is not None:
        showers.energies[shower] = energy
    return showers


def assert_same(a: Showers, b: Showers) -> None:
    """The same showers, bit for bit."""
    assert a.calorimeter == b.calorimeter
    assert torch.equal(a.deposits, b.deposits)
    assert_same_particles(a.particles, b.particles)
    assert (a.weights is None) == (b.weights is None)
    assert a.weights is None or torch.equal(a.weights, b.weights)


def assert_same_particles(a: Particles, b: Particles) -> None:
    """The same particles, bit for bit, and the same of them left out."""
    for name in ("pdg", "theta", "phi", "place"):
        x, y = getattr(a, name), getattr(b, name)
        assert isinstance(x, Tensor) == isinstance(y, Tensor)
        assert (x is None) == (y is None)
    assert a == b


def names_in(folder: Path) -> list[str]:
    """All files of a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers that float32 holds."""
    return st.floats(low, high, width=32)


@st.composite
def showers_of(draw: st.DrawFn, calorimeter: Calorimeter, *, plain: bool = False) -> Showers:
    """Any showers of a calorimeter, with any deposits that float32 holds; plain ones are of
    electrons along the axis.
    """
    n = draw(st.integers(0, 6))
    values = st.one_of(st.just(0.0), numbers(0, 2.0**127), numbers(0, 1))
    rows = draw(st.lists(st.lists(values, min_size=5, max_size=5), min_size=n, max_size=n))
    deposits = (
        torch.tensor(rows, dtype=torch.float32)
        .reshape(n, 5)
        .repeat(1, -(-calorimeter.n_cells // 5))[:, : calorimeter.n_cells]
    )
    energies = torch.tensor(
        draw(st.lists(numbers(2.0**-149, 2.0**100), min_size=n, max_size=n)), dtype=torch.float32
    )
    if plain:
        return Showers(deposits, Particles(energies), calorimeter)
    species = st.sampled_from([11, -11, 22, 211])
    each = st.lists(species, min_size=n, max_size=n).map(
        lambda numbers: torch.tensor(numbers, dtype=torch.int64)
    )
    pdg = draw(st.none() | species | each)
    angles = [torch.rand(n) if draw(st.booleans()) else None for _ in range(2)]
    place = torch.randn(n, 2) if draw(st.booleans()) else None
    weights = (
        torch.tensor(draw(st.lists(values, min_size=n, max_size=n)), dtype=torch.float32)
        if draw(st.booleans())
        else None
    )
    return Showers(deposits, Particles(energies, pdg, *angles, place), calorimeter, weights)
