"""Where incident energies come from: the laws that the words say, drawn number by number."""

import math

import pytest
import torch

from caloforge.cli._energies import EnergyLaw, LogUniformEnergies, UniformEnergies, energy_law
from caloforge.cli._options import OptionError

LAWS = {
    "50GeV": EnergyLaw(50_000.0, 50_000.0),
    "1GeV:100GeV": EnergyLaw(1000.0, 100_000.0),
    "1GeV:100GeV:log": EnergyLaw(1000.0, 100_000.0, log=True),
}


@pytest.mark.parametrize(("text", "law"), LAWS.items())
def test_words_and_laws_are_inverse(text: str, law: EnergyLaw) -> None:
    assert energy_law(text) == law
    assert law.option() == text


@pytest.mark.parametrize(
    "text", ["1GeV:log", "1GeV:2GeV:3GeV", "1GeV:2GeV:lin", "1GeV:2GeV:log:log"]
)
def test_other_words_are_answered_with_the_forms(text: str) -> None:
    with pytest.raises(
        OptionError, match=r"expected an energy E, a range LOW:HIGH, or LOW:HIGH:log"
    ):
        energy_law(text)


def test_more_than_a_decade_is_filled_evenly_in_the_logarithm() -> None:
    assert not EnergyLaw.over(10_000.0, 100_000.0).log
    assert EnergyLaw.over(1000.0, 100_000.0).log
    assert EnergyLaw.over(1000.0, 100_000.0).words() == "1 GeV to 100 GeV, log-uniform"
    assert EnergyLaw.over(1000.0, 1000.0).words() == "1 GeV"


def test_uniform_energies_keep_their_bits() -> None:
    """Files written by earlier versions are written again."""
    assert UniformEnergies(3, 10_000.0, 100_000.0, 1)[:].tolist() == [
        82591.953125,
        38355.203125,
        76194.890625,
    ]


def test_log_uniform_energies_are_the_uniform_ones_in_the_logarithm() -> None:
    number, low, high = 20_000, 1000.0, 1e6
    energies = LogUniformEnergies(number, low, high, 5)[:]
    parts = UniformEnergies(number, 0.0, 1.0, 5)[:].double()
    torch.testing.assert_close(
        energies.double().log(), math.log(low) + math.log(high / low) * parts, rtol=1e-6, atol=0
    )
    assert energies.min() >= low
    assert energies.max() <= high
    counts = energies.log10().histc(3, 3, 6)
    assert (counts / number - 1 / 3).abs().max() < 5 * math.sqrt(2 / 9 / number)


@pytest.mark.parametrize("kind", [UniformEnergies, LogUniformEnergies])
def test_an_energy_is_a_function_of_seed_and_number(
    kind: type[UniformEnergies] | type[LogUniformEnergies],
) -> None:
    whole = kind(100, 1000.0, 1e5, 3)[:]
    assert torch.equal(kind(100, 1000.0, 1e5, 3)[40:60], whole[40:60])
    assert torch.equal(kind(10, 1000.0, 1e5, 3)[:], whole[:10])
    assert not torch.isclose(kind(100, 1000.0, 1e5, 4)[:], whole).any()


def test_energies_stay_in_a_range_that_single_precision_cannot_write() -> None:
    low = high = 15.15
    assert (LogUniformEnergies(50, low, high, 1)[:] == torch.tensor(15.15)).all()
