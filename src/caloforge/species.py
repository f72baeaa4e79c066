"""Species of particles: the numbers of the Particle Data Group and their names."""

__all__ = ["ELECTRON", "PHOTON", "name_of", "pdg_of"]

from contextlib import suppress
from functools import lru_cache

from caloforge.errors import MOST_QUOTED, ShowerValueError, quoted

ELECTRON = 11
"""PDG number of the electron."""
PHOTON = 22
"""PDG number of the photon."""

_WORDS = {
    "electron": 11,
    "positron": -11,
    "muon": 13,
    "photon": 22,
    "pion": 211,
    "neutron": 2112,
    "proton": 2212,
}
"""The words that binning files of the CaloChallenge use, beside the names of the PDG."""

_COMMON = {
    **{"e-": 11, "e+": -11, "mu-": 13, "mu+": -13, "gamma": 22, "pi0": 111, "pi+": 211},
    **{"pi-": -211, "K(L)0": 130, "K(S)0": 310, "K+": 321, "K-": -321, "n": 2112, "p": 2212},
}
"""The names of the PDG that one meets: the whole table takes a second to read."""
_COMMON_NAMES = {pdg: name for name, pdg in _COMMON.items()}

_BEYOND = 2**63
"""PDG numbers are stored in 64 bits."""

_NEAR = 3


def pdg_of(species: str | int) -> int:
    """The PDG number of a species.

    Arguments:
        species: A number, as such or in digits, a name of the PDG or of EvtGen such as 'e-',
            'gamma', 'pi+' or 'p+', or one of the words 'electron', 'positron', 'muon', 'photon',
            'pion', 'neutron', 'proton'.

    Raises:
        ShowerValueError: There is no such species; the message suggests names that are near.

    Example:
        >>> pdg_of("e-"), pdg_of("22"), pdg_of(211)
        (11, 22, 211)
    """
    with suppress(ValueError):
        if abs(number := int(species)) < _BEYOND:
            return number
    text = str(species).strip()[:MOST_QUOTED]
    common = _WORDS | _COMMON
    known = common if text in common else common | _numbers()
    if text not in known:
        from difflib import get_close_matches

        near = get_close_matches(text, known, n=_NEAR, cutoff=0.5)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        msg = (
            f"species {quoted(text)}: expected a name such as e-, gamma, pi+ or a PDG number{meant}"
        )
        raise ShowerValueError(msg)
    return known[text]


def name_of(pdg: int) -> str:
    """The PDG's name of a species, such as 'e-'; 'PDG 9999' for a number without a name.

    Example:
        >>> name_of(11)
        'e-'
    """
    return _COMMON_NAMES.get(pdg) or _names().get(pdg, f"PDG {pdg}")


@lru_cache(maxsize=1)
def _names() -> dict[int, str]:
    from particle import Particle

    return {int(found.pdgid): found.name for found in Particle.all()}


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    """The numbers by the names of EvtGen, and by those of the PDG, which come first; p and n are
    the nucleons, not nuclei of one.
    """
    from particle import Particle
    from particle.exceptions import MatchingIDNotFound

    numbers = {}
    for found in Particle.all():
        try:
            numbers[found.evtgen_name] = int(found.pdgid)
        except MatchingIDNotFound:
            continue
    names = sorted(_names().items(), key=lambda item: abs(item[0]), reverse=True)
    return numbers | {name: pdg for pdg, name in names}
