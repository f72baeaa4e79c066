r"""A shape made by a flow, whatever the flow carries.

A stage says how it sees a shower as a point of the flow, and what deposits a point stands for. The
condition of the flow is the ratios of the energies of the layers and what is known of the particle
(CaloDREAM, arXiv:2405.09629, systems table D18). It is followed as `caloforge.models.flowing`
says.
"""

__all__ = ["FlowRecipe", "FlowStage", "TransformerSizes"]

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor, nn

from caloforge.geometry import Calorimeter
from caloforge.learn import training
from caloforge.learn.conditions import Beam, Condition, LogEnergy
from caloforge.learn.noise import Noise, Numbers
from caloforge.learn.representations import LayerRatios
from caloforge.models.flowing import Flowing, FlowSettings
from caloforge.models.recipes import Depth, Width
from caloforge.models.stages import Batches, ShapeStage
from caloforge.showers import Showers


@dataclass(frozen=True, kw_only=True)
class FlowRecipe(FlowSettings):
    """Settings of a flow of shapes, with those of `FlowSettings`.

    Arguments:
        scale: The scale f of the energy ratios in the condition.
    """

    scale: PositiveFloat


@dataclass(frozen=True)
class TransformerSizes:
    """The sizes of a transformer.

    Arguments:
        dim: Width of a token's vector.
        heads: Heads of the attention.
        hidden: Width of the dense parts.
        blocks: Blocks.
    """

    dim: Width
    heads: Width
    hidden: Width
    blocks: Depth


class FlowStage(Flowing, ShapeStage):
    """A shape made by a flow: what its ways of seeing a shower share.

    Arguments:
        calorimeter: Where the cells are.
        flow: The settings of the flow.
        network: Its network, a velocity on points of the shape of ``point_shape``.
        beam: In what the particles differ beside their energy.
        grid: The flat index of each cell in the field that the network sees, of any shape; None for
            the image of all layers.
    """

    grid: Tensor

    def __init__(
        self,
        calorimeter: Calorimeter,
        flow: FlowRecipe,
        network: nn.Module,
        beam: Beam,
        grid: Tensor | None = None,
    ) -> None:
        super().__init__(calorimeter)
        self.take_flow(flow, network)
        self.ratios = LayerRatios(calorimeter.n_layers, flow.scale)
        self.log_energy = LogEnergy(beam)
        field = calorimeter.image() if grid is None else grid
        self.register_buffer("grid", field, persistent=False)

    @abstractmethod
    def points(
        self, showers: Showers, features: Tensor, random: torch.Generator
    ) -> Float[Tensor, "showers ..."]:
        """Showers as the flow sees them, with shape ``(showers, *point_shape)``.

        Arguments:
            showers: The showers.
            features: The condition of the flow.
            random: Where the random numbers come from.
        """

    @abstractmethod
    def deposits(
        self,
        points: Float[Tensor, "showers ..."],
        condition: Condition,
        features: Float[Tensor, "showers features"],
        noise: Numbers,
    ) -> Float[Tensor, "showers cells"]:
        """The deposits, in MeV, of what the flow made.

        Arguments:
            points: Where the flow ended.
            condition: What is known of the showers.
            features: The condition of the flow.
            noise: The random numbers that `noise` asks for.
        """

    def prepare(self, showers: Showers) -> None:
        """Fit the condition of the flow."""
        condition = Condition.of(showers)
        self.ratios.fit(condition.layer_energies, condition)
        self.log_energy.adapt(condition)

    def features(self, condition: Condition) -> Float[Tensor, "showers features"]:
        """The condition of the flow: ratios of the layers, what is known of the particle."""
        ratios = self.ratios.encode(condition.layer_energies, condition)
        return torch.cat([ratios, self.log_energy(condition)], dim=1)

    def field(self, cells: Float[Tensor, "showers cells"]) -> Float[Tensor, "showers 1 *field"]:
        """Numbers of the cells, as the network sees them."""
        return cells[:, self.grid.flatten()].reshape(-1, 1, *self.grid.shape)

    def cells(self, field: Float[Tensor, "showers 1 *field"]) -> Float[Tensor, "showers cells"]:
        """The inverse of `field`."""
        cells = torch.empty_like(field.flatten(1))
        cells[:, self.grid.flatten()] = field.flatten(1)
        return cells

    def loss(self, showers: Showers, random: torch.Generator) -> Float[Tensor, ""]:
        """The flow matching loss."""
        features = self.features(Condition.of(showers))
        points = self.points(showers, features, random)
        return self.process.loss(self.network, points, features, random)

    def noise(self) -> Mapping[str, Noise]:
        """The start of the flow."""
        return {"start": Noise("normal", self.point_shape)}

    def sample(self, condition: Condition, noise: Numbers) -> Float[Tensor, "showers cells"]:
        """By the flow."""
        features = self.features(condition)
        return self.deposits(self.carried(noise["start"], features), condition, features, noise)

    def flow_objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """The network's objective, then those of solver and student if there are to be any;
        the arguments are those of `objectives`.
        """
        batches, held_out = Batches(train, seed, first), Batches(validation, seed, first)
        objectives = [
            self.flow.schedule.objective("shape", self.network, self.loss, batches, held_out)
        ]
        features = self.features(Condition.of(train))
        return [*objectives, *self.faster(features, seed, first + 1)]

    def objectives(
        self, train: Showers, validation: Showers, seed: int, first: int
    ) -> Sequence[training.Objective]:
        """Those of the flow."""
        return self.flow_objectives(train, validation, seed, first)
