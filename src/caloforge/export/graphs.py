r"""A model as one function of named tensors, from condition and noise to deposits.

A graph does all that `caloforge.models` does to make a shower: it encodes the condition, follows
the unrolled solver, asks the networks, and inverts the representation with its threshold. What is
drawn at random goes in, so that the same numbers make the same shower in any host; those that
`Graph.examples` gives for a seed make the showers that the model makes for that seed.
"""

__all__ = ["Graph", "Port", "RefinerGraph", "SurrogateGraph", "graph_of"]

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from caloforge import streams
from caloforge.detector.matter import N_MATTER
from caloforge.errors import ModelError
from caloforge.learn.conditions import ENERGY_ALONE, Beam, Condition
from caloforge.learn.noise import Noise, Numbers, by_address
from caloforge.models import Bridge, Model, Surrogate
from caloforge.models.card import Card
from caloforge.models.recipes import recipe_of
from caloforge.particles import Particles
from caloforge.showers import Showers
from caloforge.streams import Stream

_ENERGY, _SHOWERS = "incident_energy", "showers"


@dataclass(frozen=True)
class Port:
    """An input of a graph.

    Arguments:
        name: Its name.
        dtype: Its type.
        shape: Its shape behind the number of showers.
        kind: What a host draws for it: ``normal`` or ``uniform`` numbers; or else ``given``.
        meaning: What it is, with its unit.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    kind: str
    meaning: str

    def __str__(self) -> str:
        sizes = ", ".join(("showers", *map(str, self.shape)))
        return f"{self.name} {str(self.dtype).removeprefix('torch.')} ({sizes}): {self.meaning}"


class Graph(nn.Module, ABC):
    """A function of tensors, one an input, each with the showers along the first axis.

    Arguments:
        model: The model; it learns no more.
    """

    output = _SHOWERS
    meaning = "deposits, in MeV"

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(requires_grad=False)

    @property
    def card(self) -> Card:
        """What the model is."""
        return self.model.card

    @property
    @abstractmethod
    def inputs(self) -> tuple[Port, ...]:
        """Its inputs, in order."""

    @abstractmethod
    def forward(self, *tensors: Tensor) -> Float[Tensor, "showers cells"]:
        """The deposits, in MeV, in single precision."""

    @abstractmethod
    def examples(self, source: Particles | Showers, seed: int) -> tuple[Tensor, ...]:
        """Inputs that make the showers which the model makes of a source for a seed.

        Arguments:
            source: Particles for a surrogate, showers for a refiner.
            seed: The seed of the run.
        """


class SurrogateGraph(Graph):
    """Showers from particles.

    Arguments:
        surrogate: The model.

    Raises:
        ModelError: It makes points, of which no output of fixed shape can hold any number.
    """

    def __init__(self, surrogate: Surrogate) -> None:
        super().__init__(surrogate)
        if surrogate.makes_hits:
            msg = (
                f"model '{surrogate.card.name}' makes points, any number a shower, which no output "
                "of fixed shape holds: use it from Python, or DDML's embedded Python"
            )
            raise ModelError(msg)
        self.surrogate = surrogate
        self.beam: Beam = getattr(recipe_of(surrogate.card), "beam", ENERGY_ALONE)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The particle, then the noise of both stages."""
        noise = [
            _noise_port(f"noise_{stage}_{name}", one)
            for stage, numbers in self._noise.items()
            for name, one in numbers.items()
        ]
        return (*_particle_ports(self.beam), *noise)

    @property
    def _noise(self) -> Mapping[str, Mapping[str, Noise]]:
        return {"layers": self.surrogate.energy.noise(), "shape": self.surrogate.shape.noise()}

    def forward(self, *tensors: Tensor) -> Float[Tensor, "showers cells"]:
        """Layer energies first, shape second."""
        given = {port.name: tensor for port, tensor in zip(self.inputs, tensors, strict=True)}
        layers, shape = (
            {name: given[f"noise_{stage}_{name}"] for name in numbers}
            for stage, numbers in self._noise.items()
        )
        condition = Condition(_particles(given, self.card))
        condition = self.surrogate.energy.given(condition, layers)
        return self.surrogate.shape.sample(condition, shape)

    def examples(self, source: Particles | Showers, seed: int) -> tuple[Tensor, ...]:
        """Those of particles."""
        particles = source.particles if isinstance(source, Showers) else source
        index = torch.arange(len(particles))
        drawn: list[Tensor] = []
        for stream, numbers in zip(
            (Stream.LAYER_ENERGIES, Stream.SHAPE), self._noise.values(), strict=True
        ):
            drawn += by_address(numbers, streams.keys(seed, index, stream)).values()
        return (*_particle_tensors(particles, self.beam), *drawn)


class RefinerGraph(Graph):
    """Showers from showers.

    Arguments:
        bridge: The model.

    Raises:
        ModelError: It refines showers of several species, each by tables of its own.
    """

    output = "refined"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.bridge = bridge
        self.beam: Beam = getattr(recipe_of(bridge.card), "beam", ENERGY_ALONE)
        if self.beam.n_species:
            msg = (
                f"model '{bridge.card.name}' has a representation for each species, which a graph "
                "cannot choose row by row: train a refiner for one species, and export that"
            )
            raise ModelError(msg)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The showers, their particles, the noise."""
        cells = (self.bridge.calorimeter.n_cells,)
        showers = Port(_SHOWERS, torch.float32, cells, "given", "deposits of fast showers, in MeV")
        noise = [_noise_port(f"noise_{name}", one) for name, one in self.bridge.noise().items()]
        return (showers, *_particle_ports(self.beam), *noise)

    def forward(self, *tensors: Tensor) -> Float[Tensor, "showers cells"]:
        """By the model's own number of steps."""
        given = {port.name: tensor for port, tensor in zip(self.inputs, tensors, strict=True)}
        showers = Showers(given[_SHOWERS], _particles(given, self.card), self.bridge.calorimeter)
        noise = {name: given[f"noise_{name}"] for name in self.bridge.noise()}
        return self.bridge.transport(showers, noise, steps=self.bridge.default_steps, reverse=False)

    def examples(self, source: Particles | Showers, seed: int) -> tuple[Tensor, ...]:
        """Those of showers."""
        showers, index = cast("Showers", source), torch.arange(len(source))
        noise = [
            one.at(streams.keys(seed, index, self.bridge.streams[name]))
            for name, one in self.bridge.noise().items()
        ]
        return (showers.deposits, *_particle_tensors(showers.particles, self.beam), *noise)


def graph_of(model: Model) -> Graph:
    """The graph of a model.

    Raises:
        ModelError: It has none; the message says why.
    """
    match model:
        case Surrogate():
            return SurrogateGraph(model)
        case Bridge():
            return RefinerGraph(model)
    msg = (
        f"model '{model.card.name}': a {type(model).__name__} makes no deposits: nothing to export"
    )
    raise ModelError(msg)


def _noise_port(name: str, noise: Noise) -> Port:
    normal = noise.kind == "normal"
    words = "standard normal numbers" if normal else "uniform numbers in ]0, 1["
    return Port(name, torch.float32 if normal else torch.float64, noise.shape, noise.kind, words)


def _particle_ports(beam: Beam) -> tuple[Port, ...]:
    def port(name: str, shape: tuple[int, ...], meaning: str) -> Port:
        return Port(name, torch.float32, shape, "given", meaning)

    ports = [port(_ENERGY, (), "incident energy, in MeV")]
    if beam.n_species:
        ports.append(Port("pdg", torch.int64, (), "given", "PDG number of the particle"))
    if beam.direction:
        ports.append(port("theta", (), "polar angle to the axis, in rad"))
        ports.append(port("phi", (), "azimuth, in rad"))
    if beam.place:
        ports.append(port("place", (2,), "(x, y) on the front face, in mm"))
    if beam.detector:
        ports.append(port("matter", (N_MATTER,), "numbers of caloforge.detector.Matter"))
    return tuple(ports)


def _particle_tensors(particles: Particles, beam: Beam) -> tuple[Tensor, ...]:
    tensors = [particles.energies.float()]
    zeros = torch.zeros_like(tensors[0])
    if beam.n_species:
        tensors.append(torch.as_tensor(particles.pdg).expand(len(particles)))
    if beam.direction:
        tensors += [
            zeros if angle is None else angle.float() for angle in (particles.theta, particles.phi)
        ]
    if beam.place:
        none = particles.place is None
        tensors.append(zeros[:, None].expand(-1, 2) if none else particles.place.float())  # type: ignore[union-attr]
    if beam.detector and particles.matter is not None:
        tensors.append(particles.matter.float())
    return tuple(tensors)


def _particles(given: Numbers, card: Card) -> Particles:
    further = {name: given[name] for name in ("theta", "phi", "place", "matter") if name in given}
    return Particles(given[_ENERGY], given.get("pdg", card.one_species), **further)
