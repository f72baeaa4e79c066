"""Geant4's data sets from its site, when they are asked for.

Geant4 publishes a data set as an archive, ``NAME.VERSION.tar.gz``, of one folder. Here it goes
through three states: a hidden file, ``.NAME.VERSION.tar.gz.part``, which grows as the download
proceeds and stays there if that is interrupted, so that the next attempt goes on from its end; a
hidden folder, into which it is unpacked once its checksum has been found right; and, by renaming
that, the data set. So a folder with the name of a data set is always whole.

Checksums are SHA-256, as Homebrew's recipes for Geant4 record them, and Spack's for some; Geant4
itself publishes MD5 sums.
"""

__all__ = ["ARCHIVES", "MIRROR", "Archive", "Progress", "download", "part_of", "plan", "unpack"]

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener
from urllib.response import addinfourl

from caloforge.errors import Geant4Error, OutputError, quoted
from caloforge.simulators.geant4.datasets import DATA_SETS, folder_of, present_data
from caloforge.simulators.geant4.physics import Physics

MIRROR = "https://cern.ch/geant4-data/datasets"
"""Where Geant4 publishes its data sets."""

Progress = Callable[[int], object]
"""Told how many bytes have been dealt with since the last time; less than none where a download
begins again.
"""

_CHUNK = 1 << 20
_TIMEOUT = 30.0
"""A server that says nothing for so long, in seconds, is given up."""

_MOST = 2
"""An answer of more than so many times the size of the archive is not the archive."""

_ROOM = 3
"""An archive and what is in it take so many times the size of the archive."""


@dataclass(frozen=True)
class Archive:
    """A data set as Geant4 publishes it.

    Arguments:
        data_set: The name of the data set.
        stem: The name of the file, without version.
        sha256: The checksum of the file.
        size: The size of the file in bytes, about.
    """

    data_set: str
    stem: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        """The name of the file."""
        return f"{self.stem}.{DATA_SETS[self.data_set][0]}.tar.gz"

    @property
    def folder(self) -> str:
        """The name of the folder that it holds."""
        return folder_of(self.data_set)


ARCHIVES: Mapping[str, Archive] = {
    archive.data_set: archive
    for archive in (
        Archive(
            "G4EMLOW",
            "G4EMLOW",
            "b60cfd63176f5d16107e2a25b35b235155032d1735d749670ca50fede12624cf",
            350_393_595,
        ),
        Archive(
            "G4ENSDFSTATE",
            "G4ENSDFSTATE",
            "4bdc3bd40b31d43485bf4f87f055705e540a6557d64ed85c689c59c9a4eba7d6",
            320_010,
        ),
        Archive(
            "G4PARTICLEXS",
            "G4PARTICLEXS",
            "c52bbf86aaa589b78aba80b16ab0adf1041ea300de5395865b97fcee6eb55851",
            9_800_000,
        ),
        Archive(
            "PhotonEvaporation",
            "G4PhotonEvaporation",
            "02149c0ab91d88ee24e78532558777e39a068b9fcdd199136101ff58e635e742",
            11_200_000,
        ),
        Archive(
            "G4SAIDDATA",
            "G4SAIDDATA",
            "1d26a8e79baa71e44d5759b9f55a67e8b7ede31751316a9e9037d80090c72e91",
            38_502,
        ),
    )
}
"""The archives of the data sets that some list of physics reads."""


def part_of(archive: Archive, folder: Path) -> Path:
    """The file in which an archive is kept until it has been unpacked."""
    return folder / f".{archive.file}.part"


def plan(physics: Iterable[Physics], folder: Path) -> tuple[Archive, ...]:
    """What must be downloaded into a folder for some lists of physics.

    Raises:
        Geant4Error: A data set is there, but not as a whole.
        OutputError: There is not enough room.
    """
    present = present_data(folder)
    needed = dict.fromkeys(name for one in physics for name in present.missing(one))
    incomplete = [str(present.folders[name]) for name in needed if name in present.folders]
    if incomplete:
        msg = f"incomplete: {', '.join(incomplete)}: remove what is there, or give another folder"
        raise Geant4Error(msg)
    archives = tuple(ARCHIVES[name] for name in needed)
    _require_room(archives, folder)
    return archives


def _require_room(archives: Iterable[Archive], folder: Path) -> None:
    parts = (part_of(archive, folder) for archive in archives)
    needed = _ROOM * sum(archive.size for archive in archives) - sum(
        part.stat().st_size for part in parts if part.exists()
    )
    with _writing(folder):
        disk = next(
            place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()
        )
        free = shutil.disk_usage(disk).free
    if free < needed:
        msg = (
            f"{folder}: {free / 1e6:,.0f} MB are free, {needed / 1e6:,.0f} MB are needed: make "
            "room, or give another folder"
        )
        raise OutputError(msg)


def download(
    archive: Archive, folder: Path, *, mirror: str = MIRROR, progress: Progress = lambda _: None
) -> Path:
    """Download an archive, or the rest of it, and compare its checksum.

    Arguments:
        archive: The archive.
        folder: Where it is kept; made if it is not there.
        mirror: The address, without the name of the file, from which it is had: ``http``, ``https``
            or ``file``.
        progress: Told the bytes, those of an earlier attempt among them.

    Returns:
        The file, see `part_of`.

    Raises:
        Geant4Error: It cannot be had from there, not as a whole, or its checksum is wrong, in which
            case the file is removed.
        OutputError: It cannot be written.
    """
    url, path = f"{mirror.rstrip('/')}/{archive.file}", part_of(archive, folder)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _kept(path) as file:
            part = _Part(file, progress)
            if part.checksum() != archive.sha256:
                _append_rest(url, part, _MOST * archive.size)
        if part.checksum() != archive.sha256:
            path.unlink()
            msg = (
                f"{url}: the checksum (SHA-256) of what came is {part.checksum()}, expected "
                f"{archive.sha256}: it was removed; "
                f"try again, or another mirror"
            )
            raise Geant4Error(msg)
    return path


def unpack(archive: Archive, folder: Path, *, progress: Progress = lambda _: None) -> Path:
    """Unpack an archive that has been downloaded into a folder, and remove it.

    Arguments:
        archive: The archive.
        folder: Where it is.
        progress: Told the bytes of the archive.

    Returns:
        The folder of the data set.

    Raises:
        Geant4Error: It is not what an archive of the data set should be; it is removed.
        OutputError: It cannot be written.
    """
    path, hidden, final = (
        part_of(archive, folder),
        folder / f".{archive.folder}.unpacking",
        folder / archive.folder,
    )
    with _writing(folder):
        shutil.rmtree(hidden, ignore_errors=True)
        try:
            _extract(path, hidden, archive.folder, progress)
            (hidden / archive.folder).rename(final)
        except tarfile.TarError as error:
            path.unlink()
            msg = f"{archive.file} is no good archive and was removed: {error}"
            raise Geant4Error(msg) from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
        path.unlink()
    return final


def _extract(path: Path, folder: Path, wanted: str, progress: Progress) -> None:
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        members = _members(archive, file, progress)
        archive.extractall(folder, members if archive.extraction_filter else map(_plain, members))
    if not (folder / wanted).is_dir():
        msg = f"it holds no folder {wanted}"
        raise tarfile.TarError(msg)


def _members(
    archive: tarfile.TarFile, file: BinaryIO, progress: Progress
) -> Iterator[tarfile.TarInfo]:
    last = 0
    for member in archive:
        progress(file.tell() - last)
        last = file.tell()
        yield member


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Refuse what could reach outside, for Pythons that are older than tarfile's own filter."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
        msg = f"'{member.name}' is neither a file nor a folder within it"
        raise tarfile.TarError(msg)
    return member


class _Part:
    """A file that grows, and its checksum.

    Arguments:
        file: The file, open for reading and appending; what it holds is taken into account.
        progress: Told the bytes.
    """

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file, self._progress = file, progress
        self._sum, self.size = hashlib.sha256(), 0
        file.seek(0)
        while chunk := file.read(_CHUNK):
            self._count(chunk)

    def append(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._count(chunk)

    def clear(self) -> None:
        self._file.truncate(0)
        self._progress(-self.size)
        self._sum, self.size = hashlib.sha256(), 0

    def checksum(self) -> str:
        return self._sum.hexdigest()

    def _count(self, chunk: bytes) -> None:
        self._sum.update(chunk)
        self.size += len(chunk)
        self._progress(len(chunk))


def _append_rest(url: str, part: _Part, most: int) -> None:
    with _answer(url, part.size) as answer:
        if part.size and answer.status != HTTPStatus.PARTIAL_CONTENT:
            part.clear()
        expected = part.size + _length(url, answer)
        for chunk in _chunks(url, answer):
            _require_sensible(url, part, most, part.size + len(chunk))
            part.append(chunk)
    if part.size < expected:
        msg = f"{url}: the connection ended after {part.size:,} of {expected:,} bytes: try again"
        raise Geant4Error(msg)


def _length(url: str, answer: HTTPResponse | addinfourl) -> int:
    """How many bytes the server promises; 0 where it promises none."""
    promised = answer.headers.get("Content-Length", "0").strip()
    if not (promised.isascii() and promised.isdigit()):
        msg = f"{url}: Content-Length is {quoted(promised)}, expected bytes: try another mirror"
        raise Geant4Error(msg)
    return int(promised)


def _require_sensible(url: str, part: _Part, most: int, size: int) -> None:
    if size > most:
        part.clear()
        msg = f"{url}: more than {most:,} bytes come, twice the archive: try another mirror"
        raise Geant4Error(msg)


class _Secure(HTTPRedirectHandler):
    """Follows a server that points elsewhere, but not from https to what anyone can change."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """The request to make instead."""
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            reason = f"it redirects from https to {quoted(newurl)}: give another mirror"
            raise URLError(reason)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _answer(url: str, start: int) -> HTTPResponse | addinfourl:
    """The server's answer to a request of what follows so many bytes; of everything, if that is
    nothing.
    """
    headers = {"User-Agent": "caloforge", **({"Range": f"bytes={start}-"} if start else {})}
    with _talking(url):
        try:
            answer: HTTPResponse | addinfourl = build_opener(_Secure).open(
                Request(url, headers=headers), timeout=_TIMEOUT
            )
        except HTTPError as error:
            if not start or error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            error.close()
            return _answer(url, 0)
        return answer


def _chunks(url: str, answer: HTTPResponse | addinfourl) -> Iterator[bytes]:
    with _talking(url):
        while chunk := answer.read(_CHUNK):
            yield chunk


@contextmanager
def _talking(url: str) -> Iterator[None]:
    """Say in one line what the network or the server has against it."""
    try:
        yield
    except HTTPError as error:
        with error:
            msg = f"{url}: the server answers {error.code} {error.reason}"
        raise Geant4Error(msg) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        msg = f"{url}: no connection, or it broke: {reason}"
        raise Geant4Error(msg) from error


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say in one line what the disk has against it."""
    try:
        yield
    except OSError as error:
        msg = f"{folder}: cannot be written to: {error.strerror or error}"
        raise OutputError(msg) from error


@contextmanager
def _kept(path: Path) -> Iterator[BinaryIO]:
    """A file to read from and append to, which stays whatever happens, unless there is nothing in
    it.
    """
    try:
        with path.open("a+b") as file:
            yield file
    finally:
        if path.exists() and not path.stat().st_size:
            path.unlink()
