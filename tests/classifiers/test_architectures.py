"""The networks have the published sizes, take any image, and learn with every parameter."""

import math

import pytest
import torch

from caloforge.classifiers import (
    Architecture,
    Convolutional,
    Dense,
    ResNet3d,
    RingConvolutional,
)
from caloforge.errors import GeometryError

DATASET_2 = (45, 16, 9)
DATASET_3 = (45, 50, 18)
ALL: list[Architecture] = [
    Dense((8, 4)),
    ResNet3d((4, 4, 4, 8)),
    Convolutional(4, (8, 8, 8)),
    RingConvolutional(4, (8, 8, 8)),
]


def n_parameters(
    architecture: Architecture, n_features: int, image: tuple[int, int, int] | None
) -> int:
    """Of a network that sees so many numbers, an image not counted."""
    n_features += math.prod(image) if image else 0
    with torch.device("meta") if image is None else torch.device("cpu"):
        return sum(p.numel() for p in architecture.build(n_features, image).parameters())


@pytest.mark.parametrize(
    ("cells", "millions"),
    [(368, 9.15), (533, 9.49), (6480, 21.7), (40500, 91.3)],
    ids=["1-photons", "1-pions", "2", "3"],
)
def test_the_dense_network_has_the_parameters_of_the_challenge(cells: int, millions: float) -> None:
    n = n_parameters(Dense((2048, 2048, 2048)), cells + 1, None)
    assert n == (cells + 2) * 2048 + 2 * 2049 * 2048 + 2049
    assert n / 1e6 == pytest.approx(millions, rel=3e-3)


def test_the_resnet_has_the_parameters_of_the_challenge() -> None:
    sizes = {n_parameters(ResNet3d(), 1, image) for image in (DATASET_2, DATASET_3)}
    assert len(sizes) == 1
    assert sizes.pop() / 1e6 == pytest.approx(2.52, abs=0.005)


def test_the_convolutional_networks_come_down_to_the_published_sizes() -> None:
    linear = (129 * 64 + 65 * 32 + 33, 16 * 27 * 16 + 16)
    assert (
        n_parameters(Convolutional(), 1, (30, 30, 30))
        == 16 * 126 + 3 * linear[1] + (2 * 2 * 2 * 16 + 2) * 128 + linear[0]
    )
    ring = 16 * 126 + 2 * linear[1] + (16 * 125 * 16 + 16) + (3 * 2 * 2 * 16 + 2) * 128 + linear[0]
    assert n_parameters(RingConvolutional(), 1, DATASET_3) == ring


@pytest.mark.parametrize("architecture", ALL, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize(
    "image", [DATASET_2, (30, 30, 30), (1, 10, 10), (5, 1, 1), (3, 2, 7)], ids=str
)
def test_a_network_gives_one_logit_a_shower_and_learns_with_every_parameter(
    architecture: Architecture, image: tuple[int, int, int]
) -> None:
    n = 1 + image[0] * image[1] * image[2]
    network = architecture.build(n, image)
    logits = network(torch.rand(6, n))
    assert logits.shape == (6,)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("architecture", ALL[1:], ids=lambda a: type(a).__name__)
def test_a_network_for_images_needs_one(architecture: Architecture) -> None:
    with pytest.raises(GeometryError, match="needs an image"):
        architecture.build(10, None)


def test_the_ring_is_closed() -> None:
    """Turning a shower by as much as pooling takes together changes nothing but the place, which
    the sum forgets.
    """
    network = RingConvolutional(4, (8, 8, 8)).build(1 + 45 * 15 * 9, (45, 15, 9))
    convolutions = network.convolutions
    image = torch.rand(1, 1, 45, 15, 9)
    turned = image.roll(5, dims=3)
    sums = [convolutions[:-1](x).sum(dim=-1) for x in (image, turned)]
    assert torch.allclose(sums[0], sums[1], atol=1e-6)


def test_the_resnet_starts_with_kaimings_weights() -> None:
    first = next(
        m
        for m in ResNet3d().build(1 + math.prod(DATASET_2), DATASET_2).modules()
        if isinstance(m, torch.nn.Conv3d)
    )
    assert first.weight.std().item() == pytest.approx((2 / (32 * 7**3)) ** 0.5, rel=0.05)
