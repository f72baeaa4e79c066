"""Files of points: hits in the layouts of others come back as they were, and foreign points go into
the cells of a calorimeter.
"""

import math
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from caloforge.errors import (
    FileFormatError,
    GeometryMismatchError,
    OutputError,
    PackageError,
    PointsOutsideWarning,
    ShowerValueError,
)
from caloforge.geometry import Calorimeter, CellTable, RegularGrid
from caloforge.hits import Hits, HitSource
from caloforge.io import PointFile, convert, open_showers
from caloforge.io.columnar import opened_table
from caloforge.io.mending import Mended, Mending
from caloforge.io.primaries import mass_of
from caloforge.particles import Particles
from caloforge.paths import Layout
from caloforge.production import copy
from tests.catalogue import CALORIMETERS, name_of
from tests.io.samples import TOWER, sample
from tests.test_hits import assert_same_hits, loose

_NAMES = ("oblong", "uneven", "along", "strips-and-pads", "staggered", "hexagons-and-tiles")
OF_EACH_KIND = [c for c in CALORIMETERS if c.name in (*_NAMES, "silicon-and-tiles")]
PLATE = RegularGrid("plate", (4, 4, 2), (10.0, 10.0, 5.0))


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


_OF = {"parquet": "pyarrow", "root": "uproot", "h5": "h5py"}
LAYOUTS = [
    pytest.param(layout, id=layout.value, marks=needs(_OF[layout.value.rpartition(".")[2]]))
    for layout in Layout
    if layout not in (Layout.LEMURS, Layout.CALOCHALLENGE, Layout.SQUIRELS)
]


def written(hits: Any, path: Path, **options: Any) -> PointFile:
    convert(hits, path, **options)
    file = open_showers(path)
    assert isinstance(file, PointFile)
    assert isinstance(file, HitSource)
    return file


def assert_same_sample(found: Hits, given: Hits) -> None:
    """The same hits and particles; azimuths up to full turns, and directions to rounding."""
    assert_same_hits(replace(found, particles=given.particles), given)
    assert torch.equal(found.energies, given.energies)
    assert found.particles.species in (given.particles.species, ())
    assert len(found) == 0 or found.particles.species == given.particles.species
    assert found.threshold == given.threshold
    for name in ("theta", "phi", "place"):
        a, b = getattr(found.particles, name), getattr(given.particles, name)
        if b is not None and b.any():
            turned = (a - b + math.pi) % (2 * math.pi) - math.pi if name == "phi" else a - b
            assert turned.abs().max() < 2e-6


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("calorimeter", OF_EACH_KIND, ids=name_of)
def test_what_is_written_is_read(calorimeter: Calorimeter, layout: Layout, tmp_path: Path) -> None:
    hits = Hits.of(sample(5, calorimeter, angles=True, weighted=True))
    path = tmp_path / f"a{layout.value}"
    deep = layout not in (Layout.PARQUET, Layout.ROOT, Layout.SHOWERDATA)
    local = calorimeter.along_particle and layout not in (Layout.PARQUET, Layout.ROOT)
    if local or (deep and not calorimeter.has_depth):
        with pytest.raises(OutputError, match="cannot hold the showers, the"):
            convert(hits, path)
        assert not path.exists()
    else:
        assert_same_sample(written(hits, path, batch_size=2).sparse(slice(None)), hits)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_times_species_places_and_threshold_are_kept(layout: Layout, tmp_path: Path) -> None:
    particles = Particles(
        torch.rand(5) * 1e4 + 1,
        torch.tensor([11, 211, 22, 211, 2112]),
        torch.rand(5),
        torch.rand(5),
        torch.rand(5, 2),
    )
    hits = replace(loose(), particles=particles, threshold=0.25)
    found = written(hits, tmp_path / f"a{layout.value}", batch_size=2).sparse(slice(None))
    numbered = layout is not Layout.SHOWERDATA
    assert_same_sample(found, hits if numbered else hits.merged())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_slice_of_the_file_is_the_slice_of_its_hits(layout: Layout, tmp_path: Path) -> None:
    hits = Hits.of(sample(700, TOWER, weighted=True))
    file = written(hits, tmp_path / f"a{layout.value}", batch_size=301)
    for index in (slice(0, 0), slice(690, 800), slice(3, 650, 7), slice(5, 9), slice(9, 400)):
        assert_same_sample(file.sparse(index), hits.sparse(index))
    joined = Hits.cat([file.sparse(slice(k, k + 100)) for k in range(0, 700, 100)])
    assert_same_sample(joined, hits)
    assert torch.equal(file[[5, 2, 600]].deposits, hits[[5, 2, 600]].deposits)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sample_without_showers_is_a_file(layout: Layout, tmp_path: Path) -> None:
    file = written(Hits.of(sample(0, TOWER)), tmp_path / f"a{layout.value}")
    assert len(file) == 0
    assert file.sparse(slice(None)).n_hits == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_goes_to_every_other(layout: Layout, tmp_path: Path) -> None:
    hits = Hits.of(sample(5, PLATE))
    source = written(hits, tmp_path / f"a{layout.value}")
    for suffix in (".h5", ".showerdata.h5", layout.value):
        copy(source, tmp_path / f"b{suffix}", batch_size=2, overwrite=True)
        found = open_showers(tmp_path / f"b{suffix}")
        assert torch.equal(found[:].deposits, hits.to_showers().deposits)
        assert found.particles.species == (11,)


@needs("pyarrow")
def test_columns_and_origin_are_carried_through_tables(tmp_path: Path) -> None:
    convert(sample(5, PLATE), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["cpu_time_ms"] = np.arange(5.0)
        file.attrs["generator"] = "dice"
    table = written(open_showers(tmp_path / "a.h5"), tmp_path / "a.parquet", batch_size=2)
    assert table.extra(slice(1, 3))["cpu_time_ms"].tolist() == [1.0, 2.0]
    assert table.provenance["generator"] == "dice"


@needs("showerdata")
def test_showerdata_reads_ours_and_we_read_theirs(tmp_path: Path) -> None:
    import showerdata

    hits = replace(loose(), particles=Particles(torch.rand(5) * 1e4 + 1, 22))
    convert(hits, tmp_path / "ours.showerdata.h5", batch_size=2)
    theirs = showerdata.load(tmp_path / "ours.showerdata.h5")
    assert np.allclose(theirs.energies[:, 0] * 1000, hits.energies.numpy())
    assert np.allclose(theirs.points[:, :, 3].sum(1), hits.to_showers().deposits.sum(1).numpy())
    assert theirs.points.shape == (5, 7, 5)
    theirs.save(tmp_path / "theirs.h5")
    with pytest.raises(FileFormatError, match=r"does not say in which cells: .*--calorimeter"):
        open_showers(tmp_path / "theirs.h5")
    found = open_showers(tmp_path / "theirs.h5", TOWER)
    torch.testing.assert_close(found[:].deposits, hits.to_showers().deposits)
    torch.testing.assert_close(found.energies, hits.energies)
    assert found.particles.pdg == 22


@needs("showerdata")
def test_the_third_number_of_showerdata_is_a_layer_or_a_depth(tmp_path: Path) -> None:
    import showerdata

    for name, third in (("layers", [0.0, 1.0]), ("depths", [2.5, 7.5])):
        points = np.array([[[1.0, 1.0, z, 3.0] for z in third]])
        showerdata.Showers(points, [10.0], 11).save(tmp_path / f"{name}.h5")
        file = open_showers(tmp_path / f"{name}.h5", PLATE)
        layers = PLATE.layer_of_cell[file.sparse(slice(None)).cells.long()]  # type: ignore[attr-defined]
        assert layers.tolist() == [0, 1]


@needs("uproot")
def test_uproot_reads_our_trees(tmp_path: Path) -> None:
    import uproot

    hits = Hits.of(sample(5, PLATE))
    convert(hits, tmp_path / "a.root", batch_size=2)
    convert(hits, tmp_path / "a.edm4hep.root", batch_size=2)
    with uproot.open(tmp_path / "a.root") as file:
        energy = file["showers"]["energy"].array()
        assert file["showers"]["n_points"].array().tolist() == hits.offsets.diff().tolist()
    assert np.array_equal(np.concatenate(energy.tolist()), hits.hit_energies.double().numpy())
    with uproot.open(tmp_path / "a.edm4hep.root") as file:
        energy = file["events"]["SimCalorimeterHits.energy"].array()
    assert np.allclose(np.concatenate(energy.tolist()) * 1000, hits.hit_energies.numpy())


def steps(path: Path, **changed: np.ndarray) -> Path:
    """A file as step2point writes it: two electrons, and a pion without energy in any cell."""
    given = {
        "steps/event_id": np.array([7, 7, 9], np.int32),
        "steps/energy": np.array([0.002, 0.001, 0.004], np.float32),
        "steps/position": np.array([[1, 1, 1], [2, 2, 2], [-11, 1, 6]], np.float32),
        "steps/cell_id": np.array([2**63, 1, 2], np.uint64),
        "primary/event_id": np.array([7, 9, 12], np.int32),
        "primary/pdg": np.array([11, 11, 211], np.int32),
        "primary/momentum": np.array([[0, 0, 10], [0, 3, 4], [0, 0, 1]], np.float32),
        "primary/vertex": np.array([[0, 0, -100], [0, 0, -4], [0, 0, 0]], np.float32),
    }
    with h5py.File(path, "w") as file:
        for name, values in (given | changed).items():
            file.create_dataset(name, data=values)
    return path


def test_steps_of_step2point_go_into_cells(tmp_path: Path) -> None:
    file = open_showers(steps(tmp_path / "a.h5"), PLATE)
    hits = file.sparse(slice(None))  # type: ignore[attr-defined]
    assert hits.offsets.tolist() == [0, 1, 2, 2]
    torch.testing.assert_close(hits.hit_energies, torch.tensor([3.0, 4.0]))
    assert PLATE.centres[hits.cells.long()].tolist() == [[5.0, 5.0, 2.5], [-15.0, 5.0, 7.5]]
    kinetic = math.hypot(1e3, mass_of(211)) - mass_of(211)
    expected = torch.tensor([1e4 - mass_of(11), 5e3 - mass_of(11), kinetic])
    torch.testing.assert_close(file.energies, expected)
    assert file.particles.place is not None
    torch.testing.assert_close(file.particles.place, torch.tensor([[0.0, 0], [0, 3], [0, 0]]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps/event_id": np.array([9, 7, 9])}, r"'steps/event_id' does not ascend"),
        ({"steps/event_id": np.array([7, 8, 9])}, r"has event 8, which 'primary/event_id'"),
        ({"steps/energy": np.ones(2)}, r"dataset 'steps/energy' has shape \(2,\), expected \(3"),
        ({"primary/momentum": np.zeros((3, 3))}, r"3 of 3 vectors point nowhere"),
        ({"steps/energy": np.array([1.0, -1, np.nan])}, r"1 NaN, 1 negative of the 3 hits"),
        ({"steps/position": np.full((3, 3), np.nan)}, r"3 of 3 numbers 'x' of points are not"),
        ({"steps/position": np.full((3, 3), 999.0)}, r"all 3 points .* lie in no cell"),
    ],
)
def test_a_wrong_file_is_refused_by_name(
    changed: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    with pytest.raises((FileFormatError, ShowerValueError), match=rf"a\.h5.*{message}"):
        open_showers(steps(tmp_path / "a.h5", **changed), PLATE)[:]


def test_what_lies_outside_is_counted_until_it_is_known(tmp_path: Path) -> None:
    far = np.array([[1, 1, 1], [99, 1, 1], [1, 1, 6]], np.float32)
    file = open_showers(steps(tmp_path / "a.h5", **{"steps/position": far}), PLATE)
    said = r"a\.h5: 1 of 3 points of showers 0 to 2 lie in no cell .* with 14.29% of all energy"
    with pytest.warns(PointsOutsideWarning, match=said):
        assert file[:].deposits.sum() == pytest.approx(6.0)
    assert file[:].deposits.sum() == pytest.approx(6.0)


def test_noise_of_points_is_mended_as_that_of_cells(tmp_path: Path) -> None:
    energy = np.array([0.002, np.nan, -0.004], np.float32)
    file = open_showers(steps(tmp_path / "a.h5", **{"steps/energy": energy}), PLATE)
    mended = Mended(file, Mending(positive=True, drop=("nan", "empty")))
    assert len(mended) == 0
    assert mended.report.startswith("1 negative deposits set to 0; 1 of 3 showers with a deposit")


@needs("pyarrow")
def test_collections_of_edm4hep_are_read_together(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    hits = {
        "cellID": [[1, 2], []],
        "energy": [[0.001, 0.002], []],
        **{f"position.{axis}": [[1.0, 2.0], []] for axis in "xy"},
        "position.z": [[1.0, 6.0], []],
    }
    one = {f"Ecal.{name}": values for name, values in hits.items()}
    other = {f"Hcal.{name}": values[::-1] for name, values in hits.items()}
    particles = {
        "generatorStatus": [[0, 1], [1]],
        "PDG": [[11, 22], [211]],
        **{f"momentum.{a}": [[9.0, 5.0 * (a == "z")], [3.0 * (a == "z")]] for a in "xyz"},
        **{f"vertex.{a}": [[0.0, 0.0], [0.0]] for a in "xyz"},
    }
    columns = one | other | {f"MCParticles.{name}": values for name, values in particles.items()}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    file = open_showers(tmp_path / "a.parquet", PLATE)
    assert file[:].deposits.sum(dim=1).tolist() == pytest.approx([3.0, 3.0])
    assert file.particles.species == (22, 211)
    assert file.energies[0] == 5000


@needs("pyarrow")
def test_a_group_of_rows_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = 4000
    columns = {"cell": [list(range(k % 3)) for k in range(rows)], "number": np.arange(rows)}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    begun, begin = [], parquet.ParquetFile.iter_batches
    monkeypatch.setattr(
        parquet.ParquetFile,
        "iter_batches",
        lambda file, *given, **more: begun.append(given) or begin(file, *given, **more),
    )
    table = opened_table(tmp_path / "a.parquet")
    for k in range(0, rows, 2):
        found = table.columns(["cell"], range(k, k + 2))["cell"]
        assert found.counts is not None
        assert found.counts.tolist() == [k % 3, (k + 1) % 3]
        assert table.columns(["number"], range(k, k + 2))["number"].values.tolist() == [k, k + 1]
    assert len(begun) == 2
    assert table.columns(["number"], range(7, 9))["number"].values.tolist() == [7, 8]


@needs("pyarrow")
def test_a_hit_in_an_unknown_cell_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    columns = {"incident_energies": [1.0], "energy": [[1.0, 2.0]], "cell": [[0, 99]]}
    parquet.write_table(pa.table(columns), path)
    with pytest.raises(FileFormatError, match=r"a\.parquet: 1 of 2 points .* in cell 99: expected"):
        open_showers(path, TOWER)[:]
    columns["energy"] = [[1.0]]
    parquet.write_table(pa.table(columns), path)
    with pytest.raises(FileFormatError, match=r"are no lists of one length in each of showers 0"):
        open_showers(path, TOWER)[:]
    parquet.write_table(pa.table({"layer": [1], "x": [0.0]}), path)
    with pytest.raises(FileFormatError, match=r"column 'incident_energies' is missing, found"):
        open_showers(path, TOWER)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_damage_and_other_calorimeters_are_refused(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / f"a{layout.value}"
    convert(Hits.of(sample(50, PLATE)), path)
    with pytest.raises(GeometryMismatchError, match=r"'plate'"):
        open_showers(path, TOWER)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileFormatError, match=rf"{path.name}: not readable as"):
        open_showers(path, PLATE)[:]
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match=rf"{path.name}: is empty, expected"):
        open_showers(path, PLATE)


@pytest.mark.parametrize(("suffix", "package"), [(".parquet", "pyarrow"), (".root", "uproot")])
def test_a_missing_package_is_named_before_the_work(
    suffix: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PackageError, match=rf"{package} is not installed.*caloforge\[{suffix[1:]}"):
        convert(sample(1, PLATE), tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


@needs("pyarrow")
def test_a_large_table_of_cells_is_named_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caloforge.io.cell_tables._LISTED", 2)
    table = next(c for c in CALORIMETERS if isinstance(c, CellTable))
    hits = Hits.of(sample(3, table))
    convert(hits, tmp_path / "a.parquet")
    with pytest.raises(FileFormatError, match=rf"but its name, '{table.name}': give the"):
        open_showers(tmp_path / "a.parquet")
    found = open_showers(tmp_path / "a.parquet", table).sparse(slice(None))  # type: ignore[attr-defined]
    assert_same_sample(found, hits)
