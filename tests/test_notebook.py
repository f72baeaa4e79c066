"""What a notebook needs: short representations, single showers, tables of other packages."""

from typing import Any

import numpy as np
import pytest
import torch

from caloforge import zoo
from caloforge.errors import PackageError, RowError, ShowerValueError
from caloforge.evaluation import Settings, evaluate
from caloforge.geometry import Calorimeter
from caloforge.hits import Hits
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.shown import Shown
from tests.catalogue import CALORIMETERS, name_of


def sample(n: int = 20) -> Showers:
    return zoo.bundled_showers("par04-geant4")[:n]


def shown() -> dict[str, Shown]:
    showers = sample()
    file = zoo.bundled_showers("par04-geant4")
    settings = Settings(classifiers=())
    return {
        "showers": showers,
        "hits": Hits.of(showers),
        "particles": showers.particles,
        "file": file,
        "model": zoo.load_model("squirels-fast"),
        "evaluation": evaluate(file[:100], {"<b>mine</b>": file[100:200]}, settings=settings),
    }


@pytest.mark.parametrize("calorimeter", CALORIMETERS, ids=name_of)
def test_a_calorimeter_is_shown_in_a_line(calorimeter: Calorimeter) -> None:
    assert calorimeter.name in repr(calorimeter)
    assert len(repr(calorimeter)) < 100


def test_what_a_notebook_holds_is_shown_in_a_line_and_in_a_table() -> None:
    for name, thing in shown().items():
        assert len(repr(thing)) < 200, name
        assert "\n" not in repr(thing), name
        html = thing._repr_html_()
        assert html.startswith("<table>"), name
        assert "<b>mine" not in html, name


def test_one_shower_is_a_sample_of_one() -> None:
    showers = sample(3)
    for kind in (showers, Hits.of(showers)):
        assert len(kind[1]) == 1
        assert torch.equal(kind[-1].deposits, showers.deposits[2:])
        assert [float(one.energies) for one in kind] == showers.energies.tolist()
        with pytest.raises(RowError, match="0 to 2"):
            kind[3]
    assert [len(one) for one in showers.particles] == [1, 1, 1]


@pytest.mark.parametrize(
    "index", [[2, 0], np.array([2, 0]), [True, False, True], np.array([True, False, True]), []]
)
def test_lists_and_arrays_choose_as_tensors_do(index: Any) -> None:
    showers = sample(3)
    chosen = torch.as_tensor(index, dtype=None if len(index) else torch.int64)
    assert torch.equal(showers[index].deposits, showers.deposits[chosen])
    assert torch.equal(Hits.of(showers)[index].deposits, showers.deposits[chosen])


def test_lists_and_arrays_are_numbers() -> None:
    showers = sample(3)
    swapped = showers.deposits.numpy().astype(">f8")
    particles = Particles(showers.energies.tolist(), [11, 22, -11], theta=np.zeros(3))
    again = Showers(swapped, particles, showers.calorimeter, weights=[1, 2, 3])
    assert torch.equal(again.deposits, showers.deposits)
    assert torch.equal(again.energies, showers.energies)
    assert particles.species == (-11, 11, 22)
    with pytest.raises(ShowerValueError, match="deposits: expected numbers"):
        Showers([[1.0], [1.0, 2.0]], particles, showers.calorimeter)


def test_arrays_hold_what_the_showers_hold() -> None:
    showers = sample(3)
    for kind in (showers, Hits.of(showers)):
        arrays = kind.to_numpy()
        assert np.array_equal(arrays["showers"], showers.deposits.numpy())
        assert arrays["incident_energies"].tolist() == showers.energies.tolist()
        assert arrays["pdg"].tolist() == [11, 11, 11]


def test_a_table_has_one_row_a_hit() -> None:
    pytest.importorskip("pandas")
    showers = sample(3)
    table = showers.to_dataframe()
    assert len(table) == int((showers.deposits > 0).sum())
    sums = table.groupby("shower")["energy"].sum().to_numpy()
    assert sums == pytest.approx(showers.deposits.sum(dim=1).numpy(), rel=1e-5)


def test_records_have_the_hits_of_their_showers() -> None:
    awkward = pytest.importorskip("awkward")
    showers = sample(3)
    records = Hits.of(showers).to_awkward()
    assert awkward.num(records["cell"]).tolist() == (showers.deposits > 0).sum(dim=1).tolist()
    assert records["pdg"].tolist() == [11, 11, 11]
    assert awkward.sum(records["energy"], axis=1).tolist() == pytest.approx(
        showers.deposits.sum(dim=1).tolist(), rel=1e-5
    )


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("caloforge.packages.import_module", absent)
    for convert in (sample(3).to_awkward, sample(3).to_dataframe):
        with pytest.raises(PackageError, match="pip install"):
            convert()
