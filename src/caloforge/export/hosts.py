r"""The signatures of hosts that know nothing of this package.

- *Par04*, an example of Geant4 (``Par04InferenceSetup``): one vector of latent numbers, which
  Geant4 draws from its own engine, then :math:`E / 1024` GeV, :math:`\theta / 90` degrees, and two
  numbers of its geometry. The output holds :math:`E_\mathrm{cell} / E` in the order rho, phi, z,
  with z the fastest.
- *FastCaloSim* (``TFCSMLCalorimeterSimulator``): :math:`10 |\eta|`, :math:`E`, and as many normal
  numbers as there are voxels and layers, by their names; the output is in MeV, in the order of the
  voxels.

Uniform numbers come from normal ones by :math:`\Phi`.
"""

__all__ = ["FastCaloSimGraph", "Par04Graph", "par04_macro"]

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from caloforge.errors import ExportError
from caloforge.export.graphs import Graph, Port, SurrogateGraph
from caloforge.export.substitutes import ndtr
from caloforge.geometry.divisions import Rings
from caloforge.models import Model, Surrogate
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.units import GeV

_LARGEST_ENERGY, _LARGEST_ANGLE = 1024 * GeV, torch.pi / 2
_CONDITION = 4
_SMALLEST = 1e-12


class _Hosted(Graph):
    """A surrogate behind another signature.

    Arguments:
        model: The model.
        host: Who asks it, for messages.

    Raises:
        ExportError: It does not fit the signature.
    """

    def __init__(self, model: Model, host: str) -> None:
        super().__init__(model)
        if not isinstance(model, Surrogate):
            msg = f"model '{model.card.name}' refines showers: {host} asks for particles alone"
            raise ExportError(msg)
        self.inner = SurrogateGraph(model)
        self.given = [port for port in self.inner.inputs if port.kind == "given"]
        self.drawn = [port for port in self.inner.inputs if port.kind != "given"]
        names = {port.name for port in self.given}
        more = sorted(names - {"incident_energy", "theta", "phi"})
        if more:
            msg = (
                f"model '{model.card.name}' asks for {', '.join(more)}, which {host} does not give"
            )
            raise ExportError(msg)

    def _noise(self, normals: Sequence[Tensor]) -> list[Tensor]:
        """The noise of the model, from normal numbers."""
        return [
            _uniform(values) if port.kind == "uniform" else values
            for port, values in zip(self.drawn, normals, strict=True)
        ]

    def _particle(self, energy: Tensor, theta: Tensor) -> list[Tensor]:
        known = {"incident_energy": energy, "theta": theta, "phi": torch.zeros_like(theta)}
        return [known[port.name] for port in self.given]


class Par04Graph(_Hosted):
    """A surrogate as Par04 asks it.

    Arguments:
        model: The model, of a mesh whose layers are divided alike in r and phi.

    Raises:
        ExportError: It is no surrogate, or its cells are no such mesh.
    """

    order: Tensor
    output = "energies"
    meaning = "parts of the incident energy, by rho, phi and z"

    def __init__(self, model: Model) -> None:
        super().__init__(model, "Par04")
        mesh = model.calorimeter
        if not mesh.polar or mesh.common_division is None or not mesh.has_depth:
            msg = (
                f"model '{model.card.name}': calorimeter '{mesh.name}' is not divided alike in r "
                "and phi in all layers, as the mesh of Par04 is: export it for onnx"
            )
            raise ExportError(msg)
        order = mesh.image().permute(2, 1, 0).flatten()
        self.register_buffer("order", order, persistent=False)

    @property
    def latent(self) -> int:
        """How many normal numbers it takes."""
        return sum(torch.Size(port.shape).numel() for port in self.drawn)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """One vector."""
        words = "normal numbers, E / 1024 GeV, theta / 90 degrees, 0, 1"
        return (Port("input", torch.float32, (self.latent + _CONDITION,), "given", words),)

    def forward(self, *tensors: Tensor) -> Float[Tensor, "showers cells"]:
        """Parts of the incident energy."""
        (vector,) = tensors
        sizes = [torch.Size(port.shape).numel() for port in self.drawn]
        edges = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
        normals = [
            vector[:, first : first + size].reshape(vector.shape[0], *port.shape)
            for first, size, port in zip(edges, sizes, self.drawn, strict=False)
        ]
        energy = vector[:, self.latent] * _LARGEST_ENERGY
        particle = self._particle(energy, vector[:, self.latent + 1] * _LARGEST_ANGLE)
        deposits: Tensor = self.inner(*particle, *self._noise(normals))
        return deposits[:, self.order] / energy[:, None]

    def examples(self, source: Particles | Showers, seed: int) -> tuple[Tensor, ...]:
        """One vector, of the same random numbers as those of the model."""
        particles = source.particles if isinstance(source, Showers) else source
        tensors = self.inner.examples(particles, seed)[len(self.given) :]
        normals = [
            _normal(port, one).flatten(1) for port, one in zip(self.drawn, tensors, strict=True)
        ]
        zero = torch.zeros_like(particles.energies, dtype=torch.float32)
        theta = zero if particles.theta is None else particles.theta.float()
        condition = [
            particles.energies.float() / _LARGEST_ENERGY,
            theta / _LARGEST_ANGLE,
            zero,
            zero + 1,
        ]
        return (torch.cat([*normals, torch.stack(condition, dim=1)], dim=1),)


def par04_macro(graph: Graph) -> str:
    """The macro that has Par04 use a graph, with the mesh of the model."""
    if not isinstance(graph, Par04Graph):
        msg = f"a {type(graph).__name__} is not asked by Par04"
        raise ExportError(msg)
    mesh = graph.model.calorimeter
    layers, phi, rho = mesh.image().shape
    division, depth = cast("Rings", mesh.divisions[0]), mesh.thicknesses[0]
    width = (division.r_edges[-1] - division.r_edges[0]) / rho
    return "\n".join(
        [
            f"# {graph.card.name} in Geant4's example Par04; run it beside model.onnx",
            "/control/execute common_settings_lowgran.mac",
            "/run/initialize",
            "/control/execute common_settings_postInit.mac",
            f"/Par04/inference/setSizeLatentVector {graph.latent}",
            f"/Par04/inference/setSizeConditionVector {_CONDITION}",
            "/Par04/inference/setModelPathName model.onnx",
            "/Par04/inference/setModelType VAE",
            "/Par04/inference/setProfileFlag 0",
            "/Par04/inference/setOptimizationFlag 0",
            "/Par04/inference/setInferenceLibrary ONNX",
            f"/Par04/inference/setSizeOfRhoCells {width:g} mm",
            f"/Par04/inference/setSizeOfZCells {depth:g} mm",
            f"/Par04/inference/setNbOfRhoCells {rho}",
            f"/Par04/inference/setNbOfPhiCells {phi}",
            f"/Par04/inference/setNbOfZCells {layers}",
            "/param/ActivateModel defineMesh",
            "/param/ActivateModel inferenceModel",
            "/run/beamOn 100",
            "",
        ]
    )


class FastCaloSimGraph(_Hosted):
    """A surrogate as FastCaloSim asks it.

    Arguments:
        model: The model, which takes as many normal numbers as it has voxels and layers, beside
            those of further attempts.

    Raises:
        ExportError: It is no surrogate, or takes other random numbers.
    """

    output = "voxels"

    def __init__(self, model: Model) -> None:
        super().__init__(model, "FastCaloSim")
        cells, layers = model.calorimeter.n_cells, model.calorimeter.n_layers
        sizes = {
            port.name: torch.Size(port.shape).numel() for port in self.drawn if not _again(port)
        }
        if sizes != {"noise_layers_start": layers, "noise_shape_start": cells}:
            msg = (
                f"model '{model.card.name}' takes other random numbers than the {cells} and "
                f"{layers} normal ones that FastCaloSim draws, one a voxel and one a layer: export "
                "a flow of layers, such as l2lflows or caloflow"
            )
            raise ExportError(msg)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """By the names of FastCaloSim."""
        cells, layers = self.model.calorimeter.n_cells, self.model.calorimeter.n_layers
        return (
            Port("inn_eta_in", torch.float32, (1,), "given", "10 |eta| of the particle; not used"),
            Port("inn_einc_in", torch.float32, (1,), "given", "incident energy, in MeV"),
            Port("cfm_z_shape", torch.float32, (cells,), "normal", "normal numbers of the shape"),
            Port("inn_z_energy", torch.float32, (layers,), "normal", "those of the layers"),
        )

    def forward(self, *tensors: Tensor) -> Float[Tensor, "showers cells"]:
        """Deposits, in MeV."""
        eta, energy, shape, layers = tensors
        energy = energy[:, 0] + 0 * eta[:, 0]
        given = {"noise_layers_start": layers, "noise_shape_start": shape}
        normals = [
            _turned(layers, port) if _again(port) else given[port.name].reshape(-1, *port.shape)
            for port in self.drawn
        ]
        deposits: Tensor = self.inner(
            *self._particle(energy, torch.zeros_like(energy)), *self._noise(normals)
        )
        return deposits

    def examples(self, source: Particles | Showers, seed: int) -> tuple[Tensor, ...]:
        """Those of particles."""
        particles = source.particles if isinstance(source, Showers) else source
        names = [port.name for port in self.inner.inputs]
        tensors = dict(zip(names, self.inner.examples(particles, seed), strict=True))
        energy = particles.energies.float()[:, None]
        shape, layers = tensors["noise_shape_start"].flatten(1), tensors["noise_layers_start"]
        return (torch.ones_like(energy), energy, shape, layers)


def _again(port: Port) -> bool:
    return port.name == "noise_layers_again"


def _turned(layers: Tensor, port: Port) -> Tensor:
    """For further attempts, which are rare, the same normal numbers in other layers."""
    return torch.stack([layers.roll(k + 1, dims=1) for k in range(port.shape[0])], dim=1)


def _uniform(normals: Tensor) -> Tensor:
    return ndtr(normals).clamp(_SMALLEST, 1 - _SMALLEST)


def _normal(port: Port, numbers: Tensor) -> Tensor:
    return torch.special.ndtri(numbers).float() if port.kind == "uniform" else numbers
