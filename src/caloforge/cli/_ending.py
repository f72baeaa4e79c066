"""How the process ends: by itself, or by a signal.

An interruption from the keyboard, a batch system's SIGTERM and the SIGHUP of a closed terminal
unwind what is at work, so that partial files are removed and workers end; the exit code is 128 and
the signal's number. An interruption that arrives while an object of C dies is lost there; it is
sent again.
"""

__all__ = ["Postponed", "ending"]

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SOON = 0.01


@contextmanager
def ending() -> Iterator[None]:
    """Within, signals unwind; signals that are ignored, as under nohup, stay so.

    Raises:
        SystemExit: A signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    restore = _heed(came)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if not came:
            raise
    finally:
        restore()
    if came:
        _say(signal.Signals(came[0]))
        raise SystemExit(128 + came[0])


class Postponed:
    """Within, from the first time that it is called on, a signal is answered with words and waits
    for the end; the next one does not. A call says whether one came.

    Arguments:
        words: The answer.
    """

    def __init__(self, words: str) -> None:
        self._words, self._came, self._handlers = words, list[int](), dict[int, Any]()
        self._armed = threading.current_thread() is not threading.main_thread()

    def __enter__(self) -> "Postponed":
        return self

    def __call__(self) -> bool:
        if not self._armed:
            self._armed = True
            handlers = {number: signal.getsignal(number) for number in _HEEDED}
            self._handlers = {n: heeds for n, heeds in handlers.items() if callable(heeds)}
            for number in self._handlers:
                signal.signal(number, self._wait)
        return bool(self._came)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._restore()
        if self._came and kind is None:
            signal.raise_signal(self._came[0])

    def _wait(self, number: int, _: object) -> None:
        self._came.append(number)
        self._restore()
        with suppress(OSError):
            os.write(sys.stderr.fileno(), f"caloforge: note: {self._words}\n".encode())

    def _restore(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())


def _heed(came: list[int]) -> Callable[[], None]:
    """Heed the signals, and note which came; the way back."""

    def unwind(number: int, _: object) -> NoReturn:
        came.append(number)
        for other in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    def again(_: int, __: object) -> NoReturn:
        raise KeyboardInterrupt

    def lost(what: "sys.UnraisableHookArgs") -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        else:
            hook(what)

    hook, sys.unraisablehook = sys.unraisablehook, lost
    handlers = {n: signal.getsignal(n) for n in (*_HEEDED, signal.SIGALRM)}
    for number in _HEEDED:
        if handlers[number] != signal.SIG_IGN:
            signal.signal(number, unwind)
    signal.signal(signal.SIGALRM, again)

    def restore() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)

    return restore


def _say(number: signal.Signals) -> None:
    """Say which signal it was, where a person has not sent it by a key."""
    if number != signal.SIGINT:
        with suppress(OSError):
            sys.stderr.write(f"caloforge: ended by {number.name}\n")
