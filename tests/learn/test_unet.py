"""The U-Net: shapes, a slow reference, the circle, independence of the batch, folding, gradients,
named errors.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import ModelError
from caloforge.learn.networks import UNet, UNetDesign, group_norm
from caloforge.learn.networks.unet import Convolution
from tests.learn.shaken import shaken, turned

NORMALISATIONS = [nn.BatchNorm2d, group_norm, nn.Identity]
ALPHA, R = 12, 3


def small(cyclic: bool = True, normalisation: type[nn.Module] = nn.BatchNorm2d) -> UNet:
    return UNet(5, 7, UNetDesign(8, ((3, 1), (2, 3)), cyclic=cyclic, normalisation=normalisation))


def images(batch: int = 16, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(batch, 5, ALPHA, R, dtype=dtype)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("cyclic", [False, True])
def test_an_image_keeps_its_shape_and_is_zero_at_first(
    cyclic: bool, normalisation: type[nn.Module]
) -> None:
    out = small(cyclic, normalisation)(images())
    assert out.shape == (16, 7, ALPHA, R)
    assert not out.any()


def wrapped(x: Tensor, cyclic: bool) -> Tensor:
    alpha = (
        torch.cat([x[:, :, -1:], x, x[:, :, :1]], dim=2)
        if cyclic
        else functional.pad(x, (0, 0, 1, 1))
    )
    return functional.pad(alpha, (1, 1))


@pytest.mark.parametrize("cyclic", [False, True])
def test_the_convolution_is_the_sum_over_neighbours(cyclic: bool) -> None:
    convolution = shaken(Convolution(5, 2, cyclic=cyclic).double())
    x = images(2, torch.float64)
    padded = wrapped(x, cyclic)
    expected = convolution.bias[:, None, None].expand(2, 2, ALPHA, R)
    for i in range(3):
        for j in range(3):
            seen = padded[:, :, i : i + ALPHA, j : j + R]
            expected = expected + torch.einsum(
                "oc,bcar->boar", convolution.weight[:, :, i, j], seen
            )
    torch.testing.assert_close(convolution(x), expected)


def test_the_u_net_is_its_levels() -> None:
    network, x = shaken(small().double()), images(dtype=torch.float64)
    fine = network.encode[0](x)
    middle = network.encode[1](network.coarsen[0](fine))
    coarse = functional.leaky_relu(network.coarsen[1](middle), 0.01)
    middle = network.decode[1](torch.cat([network.refine[1](coarse), middle], dim=1))
    expected = network.decode[0](torch.cat([network.refine[0](middle), fine], dim=1))
    assert coarse.shape == (16, 32, 2, 1)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_turning_by_the_product_of_the_strides_commutes(normalisation: type[nn.Module]) -> None:
    network, x = shaken(small(True, normalisation).double()), images(dtype=torch.float64)
    torch.testing.assert_close(network(turned(x, 6)), turned(network(x), 6))


def test_without_a_circle_the_ends_of_alpha_do_not_meet() -> None:
    network, x = shaken(small(False).double()), images(dtype=torch.float64)
    assert (network(turned(x, 6)) - turned(network(x), 6)).abs().max() > 1e-3


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_an_image_does_not_depend_on_its_batch(normalisation: type[nn.Module]) -> None:
    network, x = shaken(small(True, normalisation)), images(48)
    assert torch.equal(network(x)[16:32], network(x[16:32]))


def test_group_norm_does_not_depend_on_the_batch_in_training_either() -> None:
    network, x = shaken(small(True, group_norm)).train(), images(48)
    assert torch.equal(network(x)[16:32], network(x[16:32]))


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (3, 1), (8, 2), (12, 1), (16, 4), (24, 2), (32, 8), (64, 8)]
)
def test_a_group_has_at_least_four_channels_where_there_are_as_many(
    channels: int, groups: int
) -> None:
    assert group_norm(channels).num_groups == groups


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_folded_network_is_the_same_map_without_batch_normalisation(
    normalisation: type[nn.Module],
) -> None:
    network, x = shaken(small(True, normalisation).double()), images(dtype=torch.float64)
    folded = network.folded()
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    torch.testing.assert_close(folded(x), network(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_every_parameter_gets_a_gradient(normalisation: type[nn.Module]) -> None:
    network = shaken(small(True, normalisation))
    network(images()).square().sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in network.parameters()
    )


def test_the_reduction_is_the_product_of_the_strides() -> None:
    assert UNetDesign(32, ((3, 5), (5, 1))).reduction == (15, 5)


@pytest.mark.parametrize(("hidden", "downsamples"), [(0, ((1, 1),)), (8, ()), (8, ((2, 0),))])
def test_a_design_that_is_none_is_named(
    hidden: int, downsamples: tuple[tuple[int, int], ...]
) -> None:
    with pytest.raises(ModelError, match="expected positive numbers, and at least one downsample"):
        UNetDesign(hidden, downsamples)
