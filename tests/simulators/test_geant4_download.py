"""The download of Geant4's data sets: whole and right, or not there at all."""

import errno
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request

import pytest

from caloforge.errors import CaloforgeError, Geant4Error, OutputError
from caloforge.simulators.geant4 import DATA_SETS, PHYSICS, find_data, physics_of
from caloforge.simulators.geant4.datasets import present_data
from caloforge.simulators.geant4.download import (
    ARCHIVES,
    Archive,
    _Secure,
    download,
    part_of,
    plan,
    unpack,
)
from tests.mirror import CHUNK, Mirror, contents, mirror, put, tarball

__all__ = ["mirror"]

NAME = "G4EMLOW"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def fetch(archive: Archive, folder: Path, mirror: Mirror) -> Path:
    download(archive, folder, mirror=mirror.url)
    return unpack(archive, folder)


def begin(archive: Archive, folder: Path, content: bytes) -> Path:
    """Leave behind what an interrupted download would have."""
    folder.mkdir()
    part = part_of(archive, folder)
    part.write_bytes(content)
    return part


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_data_set_arrives_as_it_was_packed_and_leaves_nothing_beside_it(
    mirror: Mirror, folder: Path, name: str
) -> None:
    archive = ARCHIVES[name]
    assert fetch(archive, folder, mirror) == folder / archive.folder
    assert tree(folder) == contents(archive)
    assert mirror.asked == [(archive.file, "")]


def test_with_what_the_plan_names_every_physics_works(mirror: Mirror, folder: Path) -> None:
    for archive in plan(PHYSICS.values(), folder):
        fetch(archive, folder, mirror)
    found = find_data(folder)
    assert [name for name, physics in PHYSICS.items() if found.lacks(physics)] == []
    assert plan(PHYSICS.values(), folder) == ()


def test_a_plan_holds_what_is_lacking_alone(mirror: Mirror, folder: Path) -> None:
    fetch(ARCHIVES["G4EMLOW"], folder, mirror)
    names = [
        archive.data_set
        for archive in plan([physics_of("em-standard"), physics_of("FTFP_BERT")], folder)
    ]
    assert names == ["G4ENSDFSTATE", "G4PARTICLEXS", "PhotonEvaporation", "G4SAIDDATA"]
    shutil.rmtree(folder / "G4EMLOW8.8" / "fluor")
    assert len(plan([physics_of("em-standard")], folder)) == 3
    with pytest.raises(Geant4Error, match=r"incomplete: .*G4EMLOW8\.8: remove"):
        plan([physics_of("em-option3")], folder)


def test_all_that_physics_reads_can_be_downloaded() -> None:
    assert {need.data_set for physics in PHYSICS.values() for need in physics.needs} == set(
        ARCHIVES
    )
    assert set(ARCHIVES) <= set(DATA_SETS)
    assert {len(bytes.fromhex(archive.sha256)) for archive in ARCHIVES.values()} == {32}
    assert ARCHIVES["PhotonEvaporation"].file == "G4PhotonEvaporation.6.1.2.tar.gz"


def test_progress_adds_up_to_the_archive(mirror: Mirror, folder: Path) -> None:
    archive, told = ARCHIVES[NAME], list[int]()
    download(archive, folder, mirror=mirror.url, progress=told.append)
    assert len(told) > 2
    assert sum(told) == archive.size
    told.clear()
    unpack(archive, folder, progress=told.append)
    assert 0 < sum(told) <= archive.size


def test_an_interrupted_download_goes_on_from_where_it_was(mirror: Mirror, folder: Path) -> None:
    archive = ARCHIVES[NAME]

    def interrupt(size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(archive, folder, mirror=mirror.url, progress=interrupt)
    assert part_of(archive, folder).stat().st_size == CHUNK
    assert present_data(folder).folders == {}
    told = list[int]()
    download(archive, folder, mirror=mirror.url, progress=told.append)
    assert sum(told) == archive.size
    assert mirror.asked == [(archive.file, ""), (archive.file, f"bytes={CHUNK}-")]
    assert tree(unpack(archive, folder).parent) == contents(archive)


def test_a_server_that_cannot_go_on_begins_again(mirror: Mirror, folder: Path) -> None:
    archive, told = ARCHIVES[NAME], list[int]()
    begin(archive, folder, mirror.files[archive.file][:CHUNK])
    mirror.resumes = False
    download(archive, folder, mirror=mirror.url, progress=told.append)
    assert sum(told) == archive.size
    assert told[1] == -CHUNK
    assert tree(unpack(archive, folder).parent) == contents(archive)


@pytest.mark.parametrize("more", [0, 1, 5000])
def test_a_file_as_long_as_the_archive_but_wrong_is_downloaded_anew(
    mirror: Mirror, folder: Path, more: int
) -> None:
    archive = ARCHIVES[NAME]
    begin(archive, folder, bytes(archive.size + more))
    fetch(archive, folder, mirror)
    assert tree(folder) == contents(archive)


def test_what_has_come_as_a_whole_is_not_asked_for_again(mirror: Mirror, folder: Path) -> None:
    archive = ARCHIVES[NAME]
    begin(archive, folder, mirror.files[archive.file])
    fetch(archive, folder, mirror)
    assert mirror.asked == []
    assert tree(folder) == contents(archive)


def test_a_server_that_points_elsewhere_is_followed_in_the_middle_too(
    mirror: Mirror, folder: Path
) -> None:
    archive = ARCHIVES[NAME]
    begin(archive, folder, mirror.files[archive.file][:CHUNK])
    download(archive, folder, mirror=mirror.url.replace("datasets", "moved"))
    assert mirror.asked == [(archive.file, f"bytes={CHUNK}-")]
    assert tree(unpack(archive, folder).parent) == contents(archive)


def test_the_way_is_through_a_proxy_where_there_is_one(
    mirror: Mirror, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", mirror.url.removesuffix("/datasets"))
    download(ARCHIVES[NAME], folder, mirror="http://nowhere.invalid/datasets/")
    assert mirror.asked == [(ARCHIVES[NAME].file, "")]


def test_an_archive_on_a_disk_will_do(mirror: Mirror, folder: Path, tmp_path: Path) -> None:
    archive = ARCHIVES[NAME]
    (tmp_path / archive.file).write_bytes(mirror.files[archive.file])
    begin(archive, folder, b"begun")
    download(archive, folder, mirror=tmp_path.as_uri())
    assert tree(unpack(archive, folder).parent) == contents(archive)


def corrupt(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(mirror.files[ARCHIVES[NAME].file])
    content[len(content) // 2] ^= 1
    mirror.files[ARCHIVES[NAME].file] = bytes(content)


def truncate(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.files[ARCHIVES[NAME].file] = mirror.files[ARCHIVES[NAME].file][:-1]


def break_off(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.sends = CHUNK + 7


def forget(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.files.clear()


def babble(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.promises = "many"


def owe(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.promises = "-7"


def flood(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.promises = ""
    mirror.files[ARCHIVES[NAME].file] *= 3


def fail(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.status = 503


def be_silent(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.speaks.clear()
    monkeypatch.setattr("caloforge.simulators.geant4.download._TIMEOUT", 0.1)


def be_gone(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.url = "http://127.0.0.1:1"


def be_nothing(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.url = "cern"


def fill_the_disk(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(part: object, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("caloforge.simulators.geant4.download._Part.append", refuse)


MISHAPS: dict[
    Callable[[Mirror, pytest.MonkeyPatch], None], tuple[type[CaloforgeError], str, int]
] = {
    corrupt: (Geant4Error, r"checksum .* expected .* removed", 0),
    truncate: (Geant4Error, r"checksum .* expected .* removed", 0),
    break_off: (Geant4Error, r"ended after 1,007 of .* bytes", CHUNK + 7),
    forget: (Geant4Error, r"G4EMLOW\.8\.8\.tar\.gz: the server answers 404 Not Found", 0),
    fail: (Geant4Error, "the server answers 503", 0),
    babble: (Geant4Error, "Content-Length is 'many', expected bytes", 0),
    owe: (Geant4Error, "Content-Length is '-7', expected bytes", 0),
    flood: (Geant4Error, "more than .* bytes come, twice the archive", 0),
    be_silent: (Geant4Error, "timed out", 0),
    be_gone: (Geant4Error, "Connection refused", 0),
    be_nothing: (Geant4Error, "cern/G4EMLOW", 0),
    fill_the_disk: (OutputError, "data: .*No space left", 0),
}
"""What can happen, and then: which error, saying what, and how much is kept."""


@pytest.mark.parametrize("happen", MISHAPS, ids=lambda happen: happen.__name__)
def test_a_mishap_is_one_clear_line_and_nothing_is_found(
    mirror: Mirror,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    happen: Callable[[Mirror, pytest.MonkeyPatch], None],
) -> None:
    happen(mirror, monkeypatch)
    kind, words, kept = MISHAPS[happen]
    with pytest.raises(kind, match=words) as error:
        fetch(ARCHIVES[NAME], folder, mirror)
    assert len(str(error.value).splitlines()) == 1
    assert present_data(folder).folders == {}
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == (
        {part_of(ARCHIVES[NAME], folder).name: kept} if kept else {}
    )


@pytest.mark.parametrize(
    ("old", "new", "followed"),
    [("https", "http", False), ("https", "https", True), ("http", "http", True)],
)
def test_a_redirection_stays_as_safe_as_it_was(old: str, new: str, followed: bool) -> None:
    request = Request(f"{old}://here/x")
    redirection = (request, None, 302, "Found", {}, f"{new}://there/x")
    if followed:
        assert _Secure().redirect_request(*redirection)
    else:
        with pytest.raises(URLError, match="redirects from https to 'http://there/x'"):
            _Secure().redirect_request(*redirection)


OLD = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="every Python of this version has the filter"
)


@pytest.fixture(params=["tarfile's filter", pytest.param("ours", marks=OLD)])
def any_filter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the filter of newer Pythons, where it is there, and without it."""
    if request.param == "ours":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    "content",
    [
        tarball({"G4EMLOW8.8/x": b"1", "../outside": b"2"}),
        tarball({"G4EMLOW8.8/x": b"1", "G4EMLOW8.8/../../outside": b"2"}),
        tarball({"G4EMLOW8.8/x": b"1"}, link("G4EMLOW8.8/y", "../../outside")),
        tarball({"G4EMLOW8.9/x": b"1"}),
        tarball({"G4EMLOW8.8": b"1"}),
        tarball({"G4EMLOW8.8/x": b"1"})[:40],
        b"no archive",
    ],
    ids=[
        "beside",
        "beside, from within",
        "link",
        "another folder",
        "no folder",
        "cut",
        "no archive",
    ],
)
@pytest.mark.usefixtures("any_filter")
def test_an_archive_that_is_not_what_it_should_be_is_refused(
    mirror: Mirror, folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    archive = put(mirror, ARCHIVES[NAME], content, monkeypatch)
    with pytest.raises(
        Geant4Error, match=r"G4EMLOW\.8\.8\.tar\.gz is no good archive and was removed"
    ):
        fetch(archive, folder, mirror)
    assert list(folder.iterdir()) == []
    assert list(folder.parent.glob("outside*")) == []


@pytest.mark.usefixtures("any_filter")
def test_what_lies_beside_the_folder_in_an_archive_is_left_out(
    mirror: Mirror, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = put(
        mirror, ARCHIVES[NAME], tarball({"./G4EMLOW8.8/x": b"1", "._G4EMLOW8.8": b"2"}), monkeypatch
    )
    fetch(archive, folder, mirror)
    assert tree(folder) == {"G4EMLOW8.8/x": b"1"}


def test_an_interrupted_unpacking_leaves_the_archive_alone(mirror: Mirror, folder: Path) -> None:
    archive = ARCHIVES[NAME]
    path = download(archive, folder, mirror=mirror.url)

    def interrupt(size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, folder, progress=interrupt)
    assert list(folder.iterdir()) == [path]
    assert present_data(folder).folders == {}
    (folder / f".{archive.folder}.unpacking" / archive.folder).mkdir(parents=True)
    (folder / f".{archive.folder}.unpacking" / archive.folder / "from a crash").write_text(
        "half a file"
    )
    assert tree(unpack(archive, folder).parent) == contents(archive)


def test_too_little_room_is_said_before_anything_is_downloaded(
    mirror: Mirror, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 3 * sum(archive.size for archive in ARCHIVES.values())
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - free, free)
    )
    assert len(plan(PHYSICS.values(), folder)) == len(ARCHIVES)
    free -= 1
    with pytest.raises(OutputError, match=r"MB are free, .* MB are needed"):
        plan(PHYSICS.values(), folder)
    begin(ARCHIVES[NAME], folder, b"x")
    assert len(plan(PHYSICS.values(), folder)) == len(ARCHIVES)


def test_a_folder_that_cannot_be_made_is_one_clear_line(mirror: Mirror, folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(OutputError, match="data/below: cannot be written to: Not a directory"):
        fetch(ARCHIVES[NAME], folder / "below", mirror)
    assert mirror.asked == []
