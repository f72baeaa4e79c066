r"""The designs among which one chooses: a detector in which some thicknesses are free.

A `Parameter` is the thickness, in mm, of all slabs of one role in some groups of layers. A `Space`
turns values of its parameters into a `Detector` for a full simulation and, with gradients, into the
sections of `energy_moments`, the depth, and the cost of a square metre of its face. A `Choice` is
discrete, a material or a number of layers: each combination of choices is a space of its own.
"""

__all__ = ["Choice", "Parameter", "Prices", "Space", "spaces"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge.detector import Detector, Layers, Role, Slab
from caloforge.errors import DesignError
from caloforge.gradients import differentiable
from caloforge.simulators.gflash.energy_moments import Section, sections_of

_DECIMALS = 4
"""Thicknesses are rounded to so many decimals of a mm, so that a design is found again."""

_CM3_PER_MM_OF_M2 = 1000.0


@dataclass(frozen=True)
class Parameter:
    """A thickness that is free.

    Arguments:
        role: Of which slabs.
        low: The least thickness, in mm.
        high: The largest.
        start: Where the search begins.
        groups: In which groups of layers, counted from 1 at the front; () for all.
    """

    role: Role
    low: PositiveFloat
    high: PositiveFloat
    start: PositiveFloat
    groups: tuple[PositiveInt, ...] = ()

    def __post_init__(self) -> None:
        if not self.low < self.high or not self.low <= self.start <= self.high:
            msg = (
                f"from {self.low:g} to {self.high:g} mm, start {self.start:g} mm, expected low < "
                "high and a start between them"
            )
            raise ValueError(msg)

    def moves(self, group: int, role: Role) -> bool:
        """Whether it is the thickness of slabs of this role in this group, counted from 1."""
        return role is self.role and (not self.groups or group in self.groups)


@dataclass(frozen=True)
class Choice:
    """What is chosen from a few.

    Arguments:
        number: Numbers of layers of each group.
        material: Materials of the slabs.
        role: Of which slabs, for materials.
        groups: In which groups of layers, counted from 1 at the front; () for all.
    """

    number: tuple[PositiveInt, ...] = ()
    material: tuple[str, ...] = ()
    role: Role = Role.ABSORBER
    groups: tuple[PositiveInt, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.number) == bool(self.material):
            msg = "expected either number or material, a list to choose from"
            raise ValueError(msg)

    @property
    def options(self) -> tuple[int | str, ...]:
        """What can be chosen."""
        return self.number or self.material

    def made(self, detector: Detector, option: int | str) -> Detector:
        """The detector with an option."""
        layers = [
            self._made(each, option) if not self.groups or group in self.groups else each
            for group, each in enumerate(detector.layers, 1)
        ]
        return replace(detector, layers=tuple(layers))

    def _made(self, layers: Layers, option: int | str) -> Layers:
        if isinstance(option, int):
            return replace(layers, number=option)
        slabs = (
            replace(slab, material=option) if slab.role is self.role else slab
            for slab in layers.each_slab
        )
        return replace(layers, slabs=tuple(slabs))


@dataclass(frozen=True)
class Prices:
    """What matter costs, in any one unit.

    Arguments:
        materials: A cm^3 of each material; what is not named is free.
        layer: A square metre of readout in a layer.
    """

    materials: Mapping[str, NonNegativeFloat] = field(default_factory=dict)
    layer: NonNegativeFloat = 0.0


@dataclass(frozen=True)
class Space:
    """The designs of one combination of choices.

    Arguments:
        detector: The detector, with what is chosen.
        parameters: What is free, by name.
        prices: What matter costs.
        chosen: The options, by the name of the choice.
    """

    detector: Detector
    parameters: Mapping[str, Parameter]
    prices: Prices = field(default_factory=Prices)
    chosen: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def low(self) -> Tensor:
        """The least values, float64, with shape (parameters)."""
        return _tensor(each.low for each in self.parameters.values())

    @property
    def high(self) -> Tensor:
        """The largest values."""
        return _tensor(each.high for each in self.parameters.values())

    @property
    def start(self) -> Tensor:
        """Where the search begins."""
        return _tensor(each.start for each in self.parameters.values())

    def detector_at(self, values: Sequence[float]) -> Detector:
        """The detector with these values, rounded to 0.1 micrometre.

        Raises:
            GeometryError: It is impossible.
        """
        layers = [
            replace(each, slabs=tuple(self._slab(slab, group, values) for slab in each.each_slab))
            for group, each in enumerate(self.detector.layers, 1)
        ]
        return replace(self.detector, layers=tuple(layers))

    def _slab(self, slab: Slab, group: int, values: Sequence[float]) -> Slab:
        for value, parameter in zip(values, self.parameters.values(), strict=True):
            if parameter.moves(group, slab.role):
                return replace(slab, thickness=round(float(value), _DECIMALS))
        return slab

    def sections_at(self, values: Float[Tensor, " parameters"]) -> tuple[Section, ...]:
        """The layers with these values, with gradients."""
        return tuple(
            replace(section, thicknesses=self._thicknesses(section, group, values))
            for group, section in enumerate(self._sections, 1)
        )

    @cached_property
    def _sections(self) -> tuple[Section, ...]:
        return sections_of(self.detector)

    def _thicknesses(self, section: Section, group: int, values: Tensor) -> Tensor:
        each = list(section.thicknesses.unbind())
        for k, (_, role) in enumerate(section.slabs):
            for value, parameter in zip(values.unbind(), self.parameters.values(), strict=True):
                if parameter.moves(group, role):
                    each[k] = value
        return torch.stack(each)

    @differentiable
    def depth(self, values: Float[Tensor, " parameters"]) -> Tensor:
        """The depth of all layers, in mm, differentiable in the values."""
        each = [one.number * one.thicknesses.sum() for one in self.sections_at(values)]
        return torch.stack(each).sum()

    @differentiable
    def cost(self, values: Float[Tensor, " parameters"]) -> Tensor:
        """The cost of a square metre of face, differentiable in the values."""
        total = values.new_tensor(self.prices.layer * self.detector.n_layers)
        for layers, section in zip(self.detector.layers, self.sections_at(values), strict=True):
            price = [self.prices.materials.get(slab.material, 0.0) for slab in layers.each_slab]
            each = section.thicknesses @ values.new_tensor(price)
            total = total + section.number * each * _CM3_PER_MM_OF_M2
        return total


def spaces(
    detector: Detector,
    parameters: Mapping[str, Parameter],
    choices: Mapping[str, Choice],
    prices: Prices,
) -> Iterator[Space]:
    """A space for each combination of choices.

    Raises:
        DesignError: A parameter or a choice is of no slab or no group of the detector.
        GeometryError: A choice makes an impossible detector.
    """
    asked = {name: each.groups for name, each in parameters.items()}
    asked |= {name: each.groups for name, each in choices.items()}
    for name, groups in asked.items():
        _require_groups(name, groups, detector)
    for options in product(*(choice.options for choice in choices.values())):
        made = detector
        for choice, option in zip(choices.values(), options, strict=True):
            made = choice.made(made, option)
        _require_slabs(made, parameters)
        yield Space(made, parameters, prices, dict(zip(choices, options, strict=True)))


def _require_groups(name: str, groups: tuple[int, ...], detector: Detector) -> None:
    if max(groups, default=0) > len(detector.layers):
        msg = (
            f"{name}: group {max(groups)}, but detector '{detector.name}' has "
            f"{len(detector.layers)} groups of layers: count them from 1 at the front"
        )
        raise DesignError(msg)


def _require_slabs(detector: Detector, parameters: Mapping[str, Parameter]) -> None:
    """Each parameter moves some slab, and no slab is moved by two."""
    moved: dict[tuple[int, Role], str] = {}
    for name, parameter in parameters.items():
        places = {
            (group, slab.role)
            for group, layers in enumerate(detector.layers, 1)
            for slab in layers.each_slab
            if parameter.moves(group, slab.role)
        }
        if not places:
            msg = (
                f"{name}: detector '{detector.name}' has no {parameter.role.value} slab there: "
                "name another role or other groups"
            )
            raise DesignError(msg)
        if shared := places & moved.keys():
            group, role = min(shared, key=lambda place: place[0])
            msg = (
                f"{name}: the {role.value} of group {group} is moved by '{moved[group, role]}' "
                "too: give each slab one parameter"
            )
            raise DesignError(msg)
        moved.update(dict.fromkeys(places, name))


def _tensor(values: Iterator[float]) -> Tensor:
    return torch.tensor([*values], dtype=torch.float64)
