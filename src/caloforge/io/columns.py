"""What files say of the particles and weights of their showers: one number a shower, by name.

- ``incident_energies``: the incident energies, in MeV;
- ``pdg``: the species, as PDG numbers;
- ``incident_theta``, ``incident_phi``: polar angle to the beam axis and azimuth, in radians;
- ``incident_x``, ``incident_y``: the place on the front face, in mm;
- ``weights``: how often a shower counts.

All but the first may be missing: along the axis, at the centre, of a species that is not known,
once each.
"""

__all__ = [
    *(
        "CELLS",
        "DEPOSITS",
        "HIT_DATASETS",
        "HIT_ENERGIES",
        "OFFSETS",
        "TIMES",
        "THRESHOLD",
        "UNITS",
    ),
    *("ENERGIES", "GEOMETRY", "PDG", "PHI", "PLACE", "RESERVED", "THETA", "WEIGHTS"),
    *("are_whole", "columns_of", "species_of"),
]

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import ShowerValueError
from caloforge.particles import Particles, pdg_of

ENERGIES, PDG, WEIGHTS = "incident_energies", "pdg", "weights"
THETA, PHI = "incident_theta", "incident_phi"
PLACE = ("incident_x", "incident_y")
GEOMETRY = (THETA, PHI, *PLACE)
RESERVED = (ENERGIES, PDG, *GEOMETRY, WEIGHTS)

DEPOSITS = "showers"
"""The dataset of dense showers."""

OFFSETS, CELLS, HIT_ENERGIES, TIMES = "hit_offsets", "hit_cells", "hit_energies", "hit_times"
HIT_DATASETS = (OFFSETS, CELLS, HIT_ENERGIES, TIMES)
"""The datasets of sparse showers, see `caloforge.io.sparse`."""

_BEYOND = 2.0**63

UNITS = "units"
"""The attribute, of the file or of a dataset, that states the unit of energies; MeV without it."""

THRESHOLD = "threshold"
"""The attribute that states the threshold of the readout, in MeV."""


def columns_of(particles: Particles, weights: Tensor | None) -> dict[str, Tensor]:
    """The columns of a sample, by name: float32, but for the species, int64; one species of all is
    no column.
    """
    place = (None, None) if particles.place is None else particles.place.unbind(1)
    given = {
        ENERGIES: particles.energies,
        THETA: particles.theta,
        PHI: particles.phi,
        **dict(zip(PLACE, place, strict=True)),
        WEIGHTS: weights,
    }
    columns = {k: v.to(torch.float32) for k, v in given.items() if v is not None}
    return columns | ({PDG: particles.pdg} if isinstance(particles.pdg, Tensor) else {})


def species_of(value: Any) -> int:
    """The PDG number that an attribute says: a number, a name, or an array of one of them.

    Raises:
        ShowerValueError: It says none.
    """
    values = np.ravel(value)
    if len(values) != 1:
        msg = f"{len(values)} values, expected one PDG number or the name of one species"
        raise ShowerValueError(msg)
    one = values[0]
    if isinstance(one, bytes):
        one = one.decode(errors="replace")
    whole = isinstance(one, np.number) and np.isreal(one) and bool(are_whole(one))
    return pdg_of(int(one) if whole else str(one))


def are_whole(values: Any) -> Any:
    """Which of some numbers are whole and held by 64 bits."""
    given = np.asarray(values)
    if given.dtype.kind in "bi":
        return np.ones(given.shape, bool)
    return (np.abs(given.astype(np.float64)) < _BEYOND) & (given == np.round(given))
