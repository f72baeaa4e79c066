r"""LEMURS HDF5 (arXiv:2509.05108): showers in a mesh along the particle, one record a shower.

The records of the dataset ``events`` hold ``incident_energy`` in MeV, ``incident_theta`` and
``incident_phi`` in rad, and ``showers`` in MeV, with the axes (r, alpha, z). The particles come
from the centre of a barrel, and :math:`\theta_b = \pi/2` is normal incidence. The barrel's axis is
our :math:`y`, the normal our :math:`z`, so

.. math:: \theta = |\pi/2 - \theta_b|, \qquad
          \phi = \pm\pi/2 \text{ for } \theta_b \lessgtr \pi/2.

The azimuth in the barrel turns particle and mesh together: no shower depends on it. It is kept as
a column, ``barrel_phi``. The mesh's :math:`x` lies along increasing :math:`\theta_b`, its :math:`y`
along increasing :math:`\phi_b`, which are our :math:`-y` and :math:`x`: bins in alpha are shifted
by a quarter turn.
"""

__all__ = [
    "BARREL_PHI",
    "LemursFile",
    "is_lemurs",
    "require_writable_mesh",
    "write_lemurs",
]

import json
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from caloforge.documents import quoted
from caloforge.errors import FileFormatError, OutputError
from caloforge.geometry import Calorimeter
from caloforge.io.cell_tables import calorimeter_of
from caloforge.io.columns import PDG, PHI, THETA, species_of
from caloforge.io.input import (
    ShowerFile,
    checked_batches,
    require_angles,
    require_deposits,
    require_energies,
)
from caloforge.io.output import NewFile, NewHdf5, held_back
from caloforge.io.stored import opened, reading, stored
from caloforge.particles import Particles
from caloforge.showers import Showers, ShowerSource

_EVENTS, _ENERGY, _SHOWERS = "events", "incident_energy", "showers"
_FIELDS = (_ENERGY, THETA, PHI, _SHOWERS)

BARREL_PHI = "barrel_phi"
"""The column of the azimuth in the barrel, in rad."""

_QUARTER = 4
_NEAR = 1e-5
_BLOCK_ROWS = 32
_DEFLATE = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


class LemursFile(ShowerFile):
    """A LEMURS file; its header is checked when it is opened, its values when they are read.

    Arguments:
        path: The file.
        calorimeter: The mesh, for a file that does not say it itself.
        pdg: The species of the particles, for a file that does not say it itself; None where it is
            not known.

    Raises:
        FileFormatError: The file is missing, truncated, not HDF5 or not such records, or no mesh is
            known, or has other numbers of cells.
        GeometryMismatchError: The file says another mesh than the one given.
    """

    def __init__(
        self, path: Path | str, calorimeter: Calorimeter | None = None, *, pdg: int | None = None
    ) -> None:
        super().__init__(path)
        with ExitStack() as on_error:
            self._file = on_error.enter_context(opened(self.path))
            self._events = self._found()
            self._calorimeter = self._find_calorimeter(calorimeter)
            self._pdg = self._stated_species(pdg)
            on_error.pop_all()

    @property
    def calorimeter(self) -> Calorimeter:
        """The mesh."""
        return self._calorimeter

    @property
    def particles(self) -> Particles:
        """The incident particles of all showers, read and checked without the deposits."""
        return self._particles(range(len(self)))

    @property
    def energies(self) -> Tensor:
        """The incident energies of all showers, in MeV, with shape (N)."""
        return self._energies(range(len(self)))

    @property
    def weights(self) -> None:
        """None: the showers of such a file count once each."""

    def __len__(self) -> int:
        return int(self._events.shape[0])

    def extra(self, index: slice) -> dict[str, Tensor]:
        """The azimuth in the barrel, in rad."""
        return {BARREL_PHI: self._angle(PHI, range(len(self))[index])}

    def close(self) -> None:
        """Close the file; nothing can be read from it afterwards."""
        self._file.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.path, self._calorimeter, pdg=self._pdg), ()

    def __enter__(self) -> "LemursFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self, rows: range) -> Showers:
        showers = self._unchecked(rows)
        require_deposits(showers.deposits, self._where(_SHOWERS), rows)
        return showers

    def _unchecked(self, rows: range) -> Showers:
        deposits = _flat(self._field(_SHOWERS, rows))
        return Showers(deposits, self._particles(rows), self._calorimeter)

    def _particles(self, rows: range) -> Particles:
        tilt = math.pi / 2 - self._angle(THETA, rows).double()
        self._angle(PHI, rows)
        phi = torch.copysign(torch.full_like(tilt, math.pi / 2), tilt)
        return Particles(self._energies(rows), self._pdg, tilt.abs().float(), phi.float())

    def _energies(self, rows: range) -> Tensor:
        energies = self._field(_ENERGY, rows)
        require_energies(energies, self._where(_ENERGY), rows)
        return energies

    def _angle(self, name: str, rows: range) -> Tensor:
        angles = self._field(name, rows)
        least, most = (0.0, math.pi) if name == THETA else (-2 * math.pi, 2 * math.pi)
        require_angles(angles, self._where(name), rows, least, most)
        return angles

    def _field(self, name: str, rows: range) -> Tensor:
        with reading(self.path, _EVENTS), np.errstate(over="ignore"):
            values = self._events.fields(name)[rows.start : rows.stop : rows.step]
            return torch.from_numpy(np.asarray(values).astype(np.float32)).reshape(
                len(rows), *self._events.dtype[name].shape
            )

    def _where(self, name: str) -> str:
        return f"{self.path}: field '{name}' of '{_EVENTS}'"

    def _found(self) -> h5py.Dataset:
        events = stored(self._file, _EVENTS, self.path)
        if not isinstance(events, h5py.Dataset) or not _are_records(events):
            found = events.dtype if isinstance(events, h5py.Dataset) else type(events).__name__
            msg = (
                f"{self.path}: '{_EVENTS}' is {quoted(found)}, expected N records of "
                f"{', '.join(_FIELDS)}, the last with the axes (r, alpha, z), as in LEMURS: write "
                "the file again"
            )
            raise FileFormatError(msg)
        return events

    def _find_calorimeter(self, given: Calorimeter | None) -> Calorimeter:
        text = self._file.attrs.get("calorimeter")
        what = f"{self.path}: attribute 'calorimeter'"
        said = None if text is None else calorimeter_of(str(text), what, {})
        if given is not None and said is not None:
            given.require(said, f"file {self.path}")
        mesh = said or given or self._by_name()
        shape = tuple(self._events.dtype[_SHOWERS].shape)
        if _mesh_shape(mesh) != shape:
            msg = (
                f"{self.path}: showers have {shape} bins in r, alpha and z, expected those of a "
                f"mesh along the particle; '{mesh.name}' has {_mesh_shape(mesh) or 'other cells'}: "
                "give the calorimeter of the showers"
            )
            raise FileFormatError(msg)
        return mesh

    def _by_name(self) -> Calorimeter:
        """LEMURS names its files by the detector, and does not say the size of its cells."""
        from caloforge.detector import load_detector

        if "par04siw" in self.path.name.lower():
            return load_detector("par04-siw").calorimeter
        msg = (
            f"{self.path}: the file does not say the size of its cells, and only files named "
            "Par04SiW are known: give the calorimeter, by --calorimeter"
        )
        raise FileFormatError(msg)

    def _stated_species(self, given: int | None) -> int | None:
        said = self._file.attrs.get(PDG)
        if said is not None:
            return species_of(said)
        named = "gamma" in self.path.stem.lower().split("_")
        return species_of("gamma") if given is None and named else given


def _are_records(events: h5py.Dataset) -> bool:
    kinds = [events.dtype[name] for name in _FIELDS if name in (events.dtype.names or ())]
    numbers = all(kind.base.kind in "fiu" for kind in kinds)
    shapes = [len(kind.shape) for kind in kinds]
    return events.ndim == 1 and numbers and shapes[:-1] in ([0] * 3, [1] * 3) and shapes[-1] == 3


def is_lemurs(names: Collection[str]) -> bool:
    """Whether the names in a file of HDF5 are those of the records of LEMURS."""
    return _EVENTS in names and _SHOWERS not in names


def require_writable_mesh(
    path: Path | str,
    calorimeter: Calorimeter,
    particles: Particles | None = None,
    weights: Tensor | None = None,
) -> None:
    r"""Check that the layout of LEMURS can hold showers.

    Arguments:
        path: The file, for the message.
        calorimeter: Where their cells are.
        particles: Their particles; None where nobody asks.
        weights: Their weights; None for once each.

    Raises:
        OutputError: The cells are no mesh along the particle, alike in all layers and with whole
            quarters of the turn, or there are weights, several species, places, or directions that
            do not lie in the plane of the barrel's axis, :math:`\phi = \pm\pi/2`.
    """
    shape = _mesh_shape(calorimeter)
    why = None
    if shape is None or shape[1] % _QUARTER:
        why = f"cells of '{calorimeter.name}': write a mesh along the particle, of equal layers"
    elif weights is not None:
        why = "the weights of showers"
    elif particles is not None:
        why = _unfit(particles)
    if why is not None:
        msg = f"{path}: the layout of LEMURS cannot hold {why}; or write another .h5 file"
        raise OutputError(msg)


def write_lemurs(
    path: Path | str,
    source: ShowerSource,
    *,
    batch_size: int = 1000,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write showers in the layout of LEMURS.

    Arguments:
        path: The file.
        source: The showers, of a mesh along the particle.
        batch_size: How many showers are in memory at a time.
        overwrite: Whether the file may take the place of one that is there.
        progress: Called with the number of each batch that is written.

    Raises:
        OutputExistsError: The path exists and may not be overwritten.
        OutputError: The file cannot be written there, or the layout cannot hold the showers.
        ShowerValueError: A value is not physical.
    """
    particles = source.particles
    require_writable_mesh(path, source.calorimeter, particles, source.weights)
    with NewFile(path, overwrite=overwrite) as partial, NewHdf5(partial) as file:
        file.attrs["calorimeter"] = json.dumps(source.calorimeter.describe())
        if particles.species:
            file.attrs[PDG] = particles.species[0]
        kind = _record(source.calorimeter)
        chunk = min(_BLOCK_ROWS, max(1, len(source)))
        events = file.create_dataset(_EVENTS, (len(source),), kind, chunks=(chunk,), **_DEFLATE)
        for span, records in _records(source, kind, batch_size, f"{path}: not written"):
            with held_back():
                events[span] = records
            progress(len(records))


def _records(
    source: ShowerSource, kind: np.dtype[Any], batch_size: int, where: str
) -> Iterator[tuple[slice, np.ndarray]]:
    for span, batch in checked_batches(source, batch_size, where):
        extra = source.extra(span) if isinstance(source, ShowerFile) else {}
        records = np.zeros(len(batch), kind)
        records[_ENERGY] = batch.energies.numpy(force=True)
        records[THETA] = _barrel_theta(batch.particles)
        records[PHI] = extra[BARREL_PHI].numpy() if BARREL_PHI in extra else 0.0
        records[_SHOWERS] = _mesh(batch.deposits, source.calorimeter)
        yield span, records


def _record(calorimeter: Calorimeter) -> np.dtype[Any]:
    numbers = [(name, "<f4") for name in _FIELDS[:-1]]
    return np.dtype([*numbers, (_SHOWERS, "<f4", _mesh_shape(calorimeter))])


def _mesh_shape(calorimeter: Calorimeter) -> tuple[int, ...] | None:
    """The numbers of bins in r, alpha and z; None where the cells are no such mesh."""
    alike = calorimeter.common_division
    if alike is None or not calorimeter.along_particle:
        return None
    return (*alike.number, calorimeter.n_layers)


def _flat(mesh: Tensor) -> Tensor:
    turned = mesh.roll(-(mesh.shape[2] // _QUARTER), dims=2)
    return turned.permute(0, 3, 2, 1).flatten(1).contiguous()


def _mesh(deposits: Tensor, calorimeter: Calorimeter) -> np.ndarray:
    image = deposits.detach().cpu().reshape(-1, *calorimeter.image_shape).permute(0, 3, 2, 1)
    return image.roll(image.shape[2] // _QUARTER, dims=2).numpy()


def _barrel_theta(particles: Particles) -> np.ndarray:
    n = len(particles)
    zeros = torch.zeros(n, dtype=torch.float64)
    theta = zeros if particles.theta is None else particles.theta.double().cpu()
    phi = zeros if particles.phi is None else particles.phi.double().cpu()
    return (math.pi / 2 - theta * phi.sin()).numpy()


def _unfit(particles: Particles) -> str | None:
    """What of the particles the layout cannot hold."""
    theta, phi, place = particles.theta, particles.phi, particles.place
    if len(particles.species) > 1:
        return "several species: write one file for each"
    if place is not None and place.any():
        return "places on the front face"
    aside = None if theta is None else theta * (1.0 if phi is None else phi.cos())
    if aside is not None and bool((aside.abs() > _NEAR).any()):
        return "directions aside of the barrel's axis, with phi other than +-pi/2"
    return None
