"""Showers as the arrays and tables of other packages: numpy, awkward, pandas.

Columns are named as in a CaloChallenge file, and what is not known is left out. Hits are the cells
with energy: as lists of a record for each shower (awkward), or as one row each (pandas).
"""

__all__ = ["as_arrays", "as_awkward", "as_frame"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.hits import AnyShowers, Hits
from caloforge.packages import optional_package
from caloforge.showers import Showers


def as_arrays(showers: AnyShowers) -> dict[str, np.ndarray]:
    """The deposits, in MeV, with shape (N, cells), and one column a fact of the particles."""
    dense = showers.to_showers() if isinstance(showers, Hits) else showers
    return {"showers": dense.deposits.numpy(force=True)} | _columns(showers)


def as_awkward(showers: AnyShowers) -> Any:
    """One record a shower, with the lists `cell`, `layer` and `energy` of its hits.

    Raises:
        PackageError: The package awkward is not installed.
    """
    awkward = optional_package("awkward", "notebook")
    hits = _hits(showers)
    numbers = hits.offsets.diff().numpy(force=True)
    lists = {
        name: awkward.unflatten(values, numbers) for name, values in _hit_columns(hits).items()
    }
    return awkward.zip(_columns(showers) | lists, depth_limit=1)


def as_frame(showers: AnyShowers) -> Any:
    """One row a hit: the number of its shower, cell, layer, place in mm and energy in MeV.

    Raises:
        PackageError: The package pandas is not installed.
    """
    pandas = optional_package("pandas", "notebook")
    hits = _hits(showers)
    columns = {"shower": hits.shower_of_hit.numpy(force=True)} | _hit_columns(hits)
    return pandas.DataFrame(columns)


def _hits(showers: AnyShowers) -> Hits:
    return Hits.of(showers) if isinstance(showers, Showers) else showers


def _hit_columns(hits: Hits) -> dict[str, np.ndarray]:
    cells, calorimeter = hits.cells.long().cpu(), hits.calorimeter
    layers = calorimeter.layer_of_cell[cells]
    columns = {
        "cell": cells,
        "layer": layers,
        **dict(zip("xy", calorimeter.transverse[cells].T, strict=True)),
        "z": calorimeter.depths[calorimeter.layer_of_cell[cells]]
        if calorimeter.has_depth
        else None,
        "energy": hits.hit_energies,
        "time": hits.times,
    }
    return _known(columns)


def _columns(showers: AnyShowers) -> dict[str, np.ndarray]:
    particles = showers.particles
    pdg = None if particles.pdg is None else torch.as_tensor(particles.pdg).expand(len(particles))
    x, y = (None, None) if particles.place is None else particles.place.unbind(dim=1)
    columns = {
        "incident_energies": particles.energies,
        "pdg": pdg,
        "incident_theta": particles.theta,
        "incident_phi": particles.phi,
        "incident_x": x,
        "incident_y": y,
        "weights": showers.weights,
    }
    return _known(columns)


def _known(columns: Mapping[str, Tensor | None]) -> dict[str, np.ndarray]:
    return {name: v.numpy(force=True) for name, v in columns.items() if v is not None}
