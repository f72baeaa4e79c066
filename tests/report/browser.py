"""A real browser without a window, spoken to over its own debugging protocol."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from websockets.sync.client import ClientConnection, connect

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (path := shutil.which(name))
    ),
    None,
)
"""The browser; None where none is installed."""

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--remote-debugging-port=0",
)
_PATIENCE = 120.0


class Page:
    """A tab of the browser, and all that it was heard to say.

    `requests` are the addresses that it asked for, `complaints` its errors and warnings.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._last = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **options: Any) -> dict[str, Any]:
        """Send a command, and wait for its answer."""
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": options}))
        while True:
            message = json.loads(self._connection.recv(timeout=_PATIENCE))
            if message.get("id") == self._last:
                assert "error" not in message, message
                return message["result"]
            self._hear(message.get("method", ""), message.get("params", {}))

    def _hear(self, event: str, what: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(what["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(what["args"]))
        elif event == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(what["entry"]["text"])

    def see(
        self,
        path: Path,
        *,
        width: int = 1280,
        height: int = 800,
        dark: bool = False,
        scripts: bool = True,
    ) -> None:
        """Open a file, and wait until it is loaded."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.darken(dark)
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.command("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def darken(self, dark: bool) -> None:
        """Have the reader choose dark, or light."""
        chosen = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[chosen])

    def ask(self, script: str) -> Any:
        """The value of an expression in the page, a promise's when it is kept."""
        found = self.command(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression in the page holds."""
        deadline = time.monotonic() + _PATIENCE
        while not self.ask(condition):
            assert time.monotonic() < deadline, f"never came true: {condition}"
            time.sleep(0.05)

    def picture(self, **clip: float) -> bytes:
        """What is seen, or the part of the page with ``x``, ``y``, ``width`` and ``height``, as
        PNG.
        """
        part = {"clip": {**clip, "scale": 1}, "captureBeyondViewport": True} if clip else {}
        return base64.b64decode(self.command("Page.captureScreenshot", **part)["data"])


@contextmanager
def browsing() -> Iterator[Page]:
    """A browser with one empty tab."""
    assert BROWSER is not None
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [BROWSER, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            with connect(_address(Path(folder)), max_size=None, proxy=None) as connection:
                yield Page(connection)
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _address(folder: Path) -> str:
    """Where the first tab listens."""
    from urllib.request import ProxyHandler, build_opener

    port_file, deadline = folder / "DevToolsActivePort", time.monotonic() + _PATIENCE
    while not (port_file.is_file() and port_file.read_text().count("\n")):
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.05)
    port = port_file.read_text().split()[0]
    with build_opener(ProxyHandler({})).open(
        f"http://127.0.0.1:{port}/json/list", timeout=_PATIENCE
    ) as answer:
        tabs = json.load(answer)
    return next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
