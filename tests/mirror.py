"""A server on this machine that has Geant4's archives in small: the folders are the official ones,
what is in them is not.
"""

import hashlib
import io
import random
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from caloforge.simulators.geant4 import DATA_SETS, PHYSICS
from caloforge.simulators.geant4.download import ARCHIVES, Archive

CHUNK = 1000
"""So much is read at once where these archives are downloaded."""


def tarball(files: dict[str, bytes], *links: tarfile.TarInfo) -> bytes:
    """An archive of files, and of other members."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            for link in links:
                archive.addfile(link)
        return buffer.getvalue()


def contents(archive: Archive) -> dict[str, bytes]:
    """What the lists of physics need of a data set, each with some bytes that cannot
    be compressed.
    """
    needs = {
        need.within
        for physics in PHYSICS.values()
        for need in physics.needs
        if need.data_set == archive.data_set
    }
    source = random.Random(archive.data_set)
    return {
        f"{archive.folder}/{within or 'x'}/0".replace(".dat/0", ".dat"): source.randbytes(1500)
        for within in needs
    }


@dataclass
class Mirror:
    """The server: its files, how it behaves, and what it was asked for.

    Arguments:
        files: What it has, by name.
        resumes: Whether it can go on in the middle of a file.
        sends: So many bytes of an answer are sent, though more are promised; all if None.
        status: How it answers, if not well.
        promises: What it says of the length of an answer; the truth if None.
        speaks: Set once it may answer.
        asked: The ranges that it was asked for, by name of the file; empty for all of it.
        url: Its address.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    resumes: bool = True
    sends: int | None = None
    status: int | None = None
    promises: str | None = None
    speaks: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request as a server of files does; those in ``/moved`` it has elsewhere."""
        folder, _, name = request.path.rpartition("/")
        if folder == "/moved":
            request.send_response(302)
            request.send_header("Location", f"{self.url}/{name}")
            request.end_headers()
            return
        wanted = request.headers.get("Range", "")
        self.asked.append((name, wanted))
        self.speaks.wait(10)
        if self.status or name not in self.files:
            request.send_error(self.status or 404)
            return
        whole = self.files[name]
        start = (
            int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.resumes else 0
        )
        if start and start >= len(whole):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if self.promises != "":
            request.send_header("Content-Length", self.promises or str(len(whole) - start))
        request.end_headers()
        request.wfile.write(whole[start:][: self.sends])


@contextmanager
def served(mirror: Mirror) -> Iterator[Mirror]:
    """The mirror, while it is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):
                mirror.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        mirror.url = f"http://127.0.0.1:{server.server_port}/datasets"
        try:
            yield mirror
        finally:
            mirror.speaks.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    """The server, with all archives, whose checksums are those expected meanwhile; nothing is set,
    and nothing is at home.
    """
    variables = ("GEANT4_DATA_DIR", *(variable for _, variable in DATA_SETS.values()))
    for name in (
        *variables,
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("caloforge.simulators.geant4.download._CHUNK", CHUNK)
    made = Mirror()
    made.speaks.set()
    for archive in ARCHIVES.values():
        put(made, archive, tarball(contents(archive)), monkeypatch)
    with served(made):
        yield made


def put(
    mirror: Mirror, archive: Archive, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> Archive:
    """Let the server have, and everyone expect, this archive of a data set."""
    mirror.files[archive.file] = content
    expected = replace(archive, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    monkeypatch.setitem(ARCHIVES, archive.data_set, expected)  # type: ignore[arg-type]
    return expected
