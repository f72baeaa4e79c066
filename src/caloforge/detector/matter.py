r"""What a detector is to an electromagnetic shower, in a few numbers of its matter.

All slabs together are one material (`Material.layered`): its radiation length :math:`X_0` and its
Molière radius :math:`R_M` are the scales of a shower. The depth of a layer in :math:`X_0` and the
width of a cell in :math:`R_M` say how finely it is seen. The share of the energy loss that is
active (Rossi's :math:`E_c / X_0` per length) says how much it fluctuates, and with the calibration
how much energy is seen. A model of several detectors is conditioned on the logarithms of these.
"""

__all__ = ["N_MATTER", "Matter"]

from dataclasses import astuple, dataclass, fields

from caloforge.detector.description import Detector
from caloforge.detector.materials import Material
from caloforge.detector.slabs import Role


@dataclass(frozen=True)
class Matter:
    """The numbers of a detector's matter, all positive.

    Arguments:
        radiation_length: Of all slabs together, in mm.
        moliere_radius: Of all slabs together, in mm.
        layer_depth: The mean depth of a layer, in radiation lengths.
        cell_width: The square root of a cell's mean area, in Molière radii.
        sampling_fraction: The share of the energy loss that is in active slabs.
        response: This share over the sampling fraction by which deposits are divided.
    """

    radiation_length: float
    moliere_radius: float
    layer_depth: float
    cell_width: float
    sampling_fraction: float
    response: float

    @staticmethod
    def of(detector: Detector) -> "Matter":
        """That of a detector.

        Raises:
            GeometryError: The NIST tables do not hold a material.
        """
        slabs = [(detector.material(s.material), s.thickness, s.role) for s in detector.slabs]
        whole = Material.layered(detector.name, [(m, depth) for m, depth, _ in slabs])
        loss = [(m.critical_energy / m.radiation_length * depth, role) for m, depth, role in slabs]
        seen = sum(e for e, role in loss if role is Role.ACTIVE) / sum(e for e, _ in loss)
        width = float(detector.calorimeter.areas.mean().sqrt())
        return Matter(
            whole.radiation_length,
            whole.moliere_radius,
            detector.depth / detector.n_layers / whole.radiation_length,
            width / whole.moliere_radius,
            seen,
            seen / detector.sampling_fraction,
        )

    @property
    def numbers(self) -> tuple[float, ...]:
        """All of them, in order."""
        return astuple(self)


N_MATTER = len(fields(Matter))
"""How many numbers stand for a detector."""
