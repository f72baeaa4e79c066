"""What a prompt and a notebook show of an object: one line, and a table of the same facts.

The facts are what a reader asks first: what it is, how many, which calorimeter, which energies.
They are had without reading a file or computing anything long.
"""

__all__ = ["Shown", "counted"]

from collections.abc import Mapping
from html import escape


class Shown:
    """Something with a short `repr`, which notebooks show as a table."""

    def facts(self) -> Mapping[str, str]:
        """What to say of it, each by its label, the most important first."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.facts().values())})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align: left">{escape(label)}</th>'
            f'<td style="text-align: left">{escape(text)}</td></tr>'
            for label, text in self.facts().items()
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"


def counted(number: int, noun: str) -> str:
    """So many of something.

    Example:
        >>> counted(4000, "shower")
        '4,000 showers'
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
