"""The command line: parse, call, print; one file a command.

Results go to standard output, everything else to standard error. Exit codes: 0 all went well, 2
something given was wrong (one line says what, where, and how to mend it), 130 interrupted from the
keyboard, 143 and 129 ended by SIGTERM and SIGHUP. An output appears whole or not at all.
"""

__all__ = ["main"]

import os
from collections.abc import Sequence

from caloforge.cli._ending import ending


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process.

    Threads that wait fall asleep after some ten microseconds, unless the environment says
    otherwise: those that spin for long, OpenMP's default, make everything slower by a factor of ten
    and more as soon as another program uses one of the cores; those that sleep at once make many
    short steps, such as those of a comparison of neighbours, slower by half.

    Arguments:
        arguments: The words after ``caloforge``; those of the process if None.

    Raises:
        SystemExit: Always, with the exit code.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    with ending():
        from caloforge.cli._app import run

        run(arguments)
