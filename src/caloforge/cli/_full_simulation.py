"""How Geant4 shall work, for the commands that let it."""

__all__ = ["FullSimulation"]

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli._options import OptionError, asked, given
from caloforge.errors import quoted
from caloforge.units import parse_length

if TYPE_CHECKING:
    from caloforge.detector import Detector, Role
    from caloforge.simulators import Geant4

_ROLES = ("absorber", "active", "passive")


def _region_cut(text: str) -> tuple[str, float]:
    """The role and the cut, in mm, of a text such as active=0.1mm."""
    role, equals, cut = text.partition("=")
    if role not in _ROLES or not equals:
        msg = f"--cut-in {quoted(text)}: expected {'=, '.join(_ROLES)}= and a length, as 0.1mm"
        raise OptionError(msg)
    return role, parse_length(cut)


@dataclass(frozen=True)
class FullSimulation:
    """How Geant4 shall work."""

    physics: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="FTFP_BERT, FTFP_BERT_EMV, ..., or em-standard, em-option1, ... without hadrons.",
        ),
    ] = "FTFP_BERT"
    cut: Annotated[
        str,
        typer.Option(
            metavar="LENGTH",
            help="Secondaries with a shorter range are not made.",
            callback=asked(parse_length),
        ),
    ] = "0.7mm"
    cut_in: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=LENGTH",
            show_default="--cut",
            help="The cut in slabs of a role, such as active=0.1mm; again for another role.",
            callback=given(_region_cut),
        ),
    ] = None
    workers: Annotated[
        int,
        typer.Option(min=1, metavar="W", help="How many processes work; never changes the result."),
    ] = 1
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Geant4's data sets; without it, GEANT4_DATA_DIR and the usual places.",
        ),
    ] = None
    record: Annotated[
        str | None,
        typer.Option(
            metavar="cells|hits",
            show_default="cells, and hits of irregular cells",
            help="All cells, or hits alone, with times: of these no cell is a volume in Geant4.",
        ),
    ] = None

    def require(self) -> None:
        """Check, before anything is imported, that there is such a record."""
        if self.record not in (None, "cells", "hits"):
            msg = f"--record {quoted(self.record)}: expected cells or hits"
            raise OptionError(msg)

    def simulator(self, detector: "Detector") -> "Geant4":
        """Geant4 in a detector."""
        from caloforge.simulators import Geant4, Record

        return Geant4(
            detector,
            self.physics,
            parse_length(self.cut),
            self.workers,
            self.data,
            None if self.record is None else Record(self.record),
            region_cuts=self.region_cuts(),
        )

    def region_cuts(self) -> "dict[Role, float]":
        """The cuts of the slabs of some roles, in mm."""
        from caloforge.detector import Role

        return {Role(role): cut for role, cut in map(_region_cut, self.cut_in or ())}
