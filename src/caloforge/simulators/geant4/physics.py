"""Geant4's lists of physics by name, and the data files that each of them reads.

Electromagnetic lists suffice for electrons, positrons, photons and muons. Geant4's reference lists,
such as FTFP_BERT, add hadronic physics to one of them, which the last letters choose: none for the
standard one, EMV for option 1, EMX for 2, EMY for 3, EMZ for 4. Options 1 and 2 take coarse steps
at boundaries: fast, good for homogeneous crystals, wrong for thin active layers.
"""

__all__ = ["PHYSICS", "Need", "Physics", "physics_of"]

from collections.abc import Mapping
from dataclasses import dataclass

from caloforge.errors import Geant4Error

_LIGHT = (11, -11, 22, 13, -13)
"""Electron, positron, photon, muons."""


@dataclass(frozen=True)
class Need:
    """Something that must be there: a data set, or a folder or file within it."""

    data_set: str
    within: str = ""


@dataclass(frozen=True)
class Physics:
    """A list of physics.

    Arguments:
        name: The name.
        needs: The data that it reads.
        constructors: Geant4's classes of which it is made.
        species: The PDG numbers of the particles that it can start with; None for all.
    """

    name: str
    needs: tuple[Need, ...]
    constructors: tuple[str, ...]
    species: tuple[int, ...] | None = None


_STANDARD = (
    *(
        Need("G4EMLOW", "brem_SB"),
        Need("G4EMLOW", "epics2017/phot"),
        Need("G4EMLOW", "epics2017/rayl"),
    ),
    *(Need("G4ENSDFSTATE"), Need("G4PARTICLEXS"), Need("PhotonEvaporation")),
)
_ATOMIC = (Need("G4EMLOW", "fluor"), Need("G4EMLOW", "auger"))
_LIVERMORE = (*_STANDARD, *_ATOMIC, Need("G4EMLOW", "livermore"), Need("G4EMLOW", "msc_GS"))
_PENELOPE = (*_STANDARD, *_ATOMIC, Need("G4EMLOW", "penelope"), Need("G4EMLOW", "msc_GS"))
_OPTION_4 = (*_LIVERMORE, Need("G4EMLOW", "penelope"))
_HADRONIC = (
    *(
        Need("G4ENSDFSTATE", "ENSDFSTATE.dat"),
        Need("G4PARTICLEXS", "neutron"),
        Need("G4PARTICLEXS", "gamma"),
    ),
    *(Need("G4SAIDDATA"),),
)
_REFERENCE = {
    "FTFP_BERT": "G4HadronPhysicsFTFP_BERT",
    "FTFP_BERT_ATL": "G4HadronPhysicsFTFP_BERT_ATL",
    "QGSP_BERT": "G4HadronPhysicsQGSP_BERT",
}
_AROUND = (
    "G4EmExtraPhysics",
    "G4DecayPhysics",
    "G4HadronElasticPhysics",
    "G4StoppingPhysics",
    "G4IonPhysics",
    "G4NeutronTrackingCut",
)
"""What Geant4's reference lists are made of besides electromagnetic and inelastic
hadronic physics.
"""

_ELECTROMAGNETIC = {
    "em-standard": ("G4EmStandardPhysics", _STANDARD),
    "em-option1": ("G4EmStandardPhysics_option1", _STANDARD),
    "em-option2": ("G4EmStandardPhysics_option2", _STANDARD),
    "em-option3": ("G4EmStandardPhysics_option3", (*_STANDARD, *_ATOMIC)),
    "em-option4": ("G4EmStandardPhysics_option4", _OPTION_4),
    "em-livermore": ("G4EmLivermorePhysics", _LIVERMORE),
    "em-penelope": ("G4EmPenelopePhysics", _PENELOPE),
}
_VARIANTS = {
    "": "em-standard",
    "_EMV": "em-option1",
    "_EMX": "em-option2",
    "_EMY": "em-option3",
    "_EMZ": "em-option4",
}


def _reference(name: str, electromagnetic: str) -> Physics:
    constructor, needs = _ELECTROMAGNETIC[_VARIANTS[electromagnetic]]
    return Physics(
        name + electromagnetic, (*needs, *_HADRONIC), (constructor, *_AROUND, _REFERENCE[name])
    )


PHYSICS: Mapping[str, Physics] = {
    **{
        name: Physics(name, needs, (constructor,), _LIGHT)
        for name, (constructor, needs) in _ELECTROMAGNETIC.items()
    },
    **{name + variant: _reference(name, variant) for name in _REFERENCE for variant in _VARIANTS},
}
"""The lists of physics, by name."""


def physics_of(name: str) -> Physics:
    """The list of physics of that name.

    Raises:
        Geant4Error: There is none.
    """
    if name not in PHYSICS:
        references = ", ".join(
            f"{reference}[{'|'.join(v for v in _VARIANTS if v)}]" for reference in _REFERENCE
        )
        msg = (
            f"no physics '{name}', expected one of {', '.join(_ELECTROMAGNETIC)} "
            f"(electromagnetic) or {references}"
        )
        raise Geant4Error(msg)
    return PHYSICS[name]
