r"""Invertible maps of images of one calorimeter layer: the steps of a convolutional flow.

A *step* carries data :math:`x` of shape (batch, channels, alpha, r), under a condition image
:math:`c` on the same grid of :math:`n` positions, to :math:`z` of the same shape, with
:math:`\log |\det \partial z / \partial x|` of each image. Activation norm and invertible 1x1
convolution (Glow, arXiv:1807.03039, sections 3.1 and 3.2) are linear in the channels :math:`k`,

.. math:: z &= e^{s} x + t, \qquad & \log |\det| &= n \sum_k s_k, \\
          z &= L U P x + b, \qquad & \log |\det| &= n \sum_k \log U_{kk} .

The coupling (Neural Spline Flows, arXiv:1906.04032, section 3) leaves the second half of the
channels as they are. A U-Net sees them beside :math:`c`, and gives the widths, heights and slopes
of a monotone rational-quadratic spline on :math:`[-B, B]`, the identity elsewhere, for each
position of the first half.
"""

__all__ = [
    "ActNorm",
    "FixedConvolution",
    "InvertibleConvolution",
    "SplineCoupling",
    "Squeeze",
    "Step",
]

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from caloforge.learn.networks.spline import RationalQuadraticSpline
from caloforge.learn.networks.unet import UNet, UNetDesign

Image = Float[Tensor, "batch channels alpha r"]
Condition = Float[Tensor, "batch condition alpha r"]

_SMALLEST = 1e-3
"""The smallest deviation of a channel that activation norm brings to 1."""


class Squeeze:
    """Stacks the pixels of small tiles in channels (RealNVP, arXiv:1605.08803, section 3.6).

    Arguments:
        factors: Positions of a tile in alpha and r.
    """

    def __init__(self, factors: tuple[int, int]) -> None:
        self.factors = factors

    def __call__(
        self, x: Float[Tensor, "batch channels alpha r"]
    ) -> Float[Tensor, "batch more alpha2 r2"]:
        """Images on the coarse grid of tiles, with a channel for each place in a tile.

        Arguments:
            x: Images whose axes the factors divide.
        """
        a, b = self.factors
        batch, channels, alpha, r = x.shape
        tiles = x.reshape(batch, channels, alpha // a, a, r // b, b)
        return tiles.permute(0, 1, 3, 5, 2, 4).reshape(batch, channels * a * b, alpha // a, r // b)

    def inverse(
        self, z: Float[Tensor, "batch more alpha2 r2"]
    ) -> Float[Tensor, "batch channels alpha r"]:
        """Images on the fine grid.

        Arguments:
            z: Images on the coarse grid of tiles.
        """
        a, b = self.factors
        batch, channels, alpha, r = z.shape
        places = z.reshape(batch, channels // (a * b), a, b, alpha, r)
        return places.permute(0, 1, 4, 2, 5, 3).reshape(
            batch, channels // (a * b), alpha * a, r * b
        )


class ActNorm(nn.Module):
    r"""A scale :math:`e^s` and a shift :math:`t` for each channel.

    `initialise` sets them so that one batch comes out with mean 0 and variance 1. Nothing in the
    forward pass depends on whether it was called: :math:`s` and :math:`t` are parameters like
    others, which a checkpoint restores, so that training resumed goes on to the same bits, and an
    average of weights starts from them.

    Arguments:
        channels: How many channels there are.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    @torch.no_grad()
    def initialise(self, x: Image) -> None:
        """Set scale and shift so that these images come out with mean 0 and variance 1 in each
        channel.

        Arguments:
            x: A batch of training data.
        """
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0, keepdim=True)
        self.log_scale.copy_(-variance[0].sqrt().clamp(min=_SMALLEST).log())
        self.shift.copy_(-mean[0] * self.log_scale.exp())

    def forward(self, x: Image, condition: Condition) -> tuple[Image, Float[Tensor, " batch"]]:
        """The scaled images and the logarithm of the determinant.

        Arguments:
            x: The images.
            condition: Not used.
        """
        return x * self.log_scale.exp() + self.shift, (_positions(x) * self.log_scale.sum()).expand(
            len(x)
        )

    def inverse(self, z: Image, condition: Condition) -> Image:
        """The images that come out as z.

        Arguments:
            z: Scaled images.
            condition: Not used.
        """
        return (z - self.shift) * (-self.log_scale).exp()


class FixedConvolution(nn.Module):
    """An invertible 1x1 convolution of a given matrix, for inference.

    Arguments:
        matrix: The matrix :math:`W`.
        inverse_matrix: Its inverse.
        bias: What is added.
        log_det: :math:`\\log |\\det W|`.
    """

    matrix: Tensor
    inverse_matrix: Tensor
    bias: Tensor
    log_det: Tensor

    def __init__(
        self,
        matrix: Float[Tensor, "channels channels"],
        inverse_matrix: Float[Tensor, "channels channels"],
        bias: Float[Tensor, "channels 1 1"],
        log_det: Float[Tensor, ""],
    ) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.register_buffer("inverse_matrix", inverse_matrix)
        self.register_buffer("bias", bias)
        self.register_buffer("log_det", log_det)

    def forward(self, x: Image, condition: Condition) -> tuple[Image, Float[Tensor, " batch"]]:
        """The mixed images and the logarithm of the determinant.

        Arguments:
            x: The images.
            condition: Not used.
        """
        return _mix(self.matrix, x) + self.bias, (_positions(x) * self.log_det).expand(len(x))

    def inverse(self, z: Image, condition: Condition) -> Image:
        """The images that come out as z.

        Arguments:
            z: Mixed images.
            condition: Not used.
        """
        return _mix(self.inverse_matrix, z - self.bias)


class InvertibleConvolution(nn.Module):
    r"""A 1x1 convolution with a matrix :math:`L U P`; a permutation at first.

    :math:`L` is lower triangular with ones on its diagonal, :math:`U` upper triangular with the
    parameters :math:`\log U_{kk}`, and :math:`P` a fixed permutation; :math:`L = U = 1` and
    :math:`b = 0` at first.

    Arguments:
        permutation: The channel of x that each channel of z starts as.
    """

    permutation: Tensor

    def __init__(self, permutation: Int64[Tensor, " channels"]) -> None:
        super().__init__()
        channels = len(permutation)
        self.lower = nn.Parameter(torch.zeros(channels * (channels - 1) // 2))
        self.upper = nn.Parameter(torch.zeros(channels * (channels - 1) // 2))
        self.log_diagonal = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("permutation", permutation)

    def forward(self, x: Image, condition: Condition) -> tuple[Image, Float[Tensor, " batch"]]:
        """The mixed images and the logarithm of the determinant.

        Arguments:
            x: The images.
            condition: Not used.
        """
        lower, upper = self._factors()
        mixed = _mix((lower @ upper).to(x.dtype), x[:, self.permutation]) + self.bias
        return mixed, (_positions(x) * self.log_diagonal.sum()).expand(len(x))

    def inverse(self, z: Image, condition: Condition) -> Image:
        """The images that come out as z.

        Arguments:
            z: Mixed images.
            condition: Not used.
        """
        return _mix(self._inverse_matrix().to(z.dtype), z - self.bias)

    def folded(self) -> FixedConvolution:
        """The same map with its matrix and inverse computed once."""
        lower, upper = self._factors()
        matrix = (lower @ upper)[:, self.permutation.argsort()]
        numbers = matrix, self._inverse_matrix(), self.bias, self.log_diagonal.sum()
        return FixedConvolution(
            *(number.detach().to(self.bias.dtype, copy=True) for number in numbers)
        )

    def _factors(
        self,
    ) -> tuple[Float[Tensor, "channels channels"], Float[Tensor, "channels channels"]]:
        """L and U, in double precision: they are small, and rounding their product would make
        inverse and map differ.
        """
        diagonal = torch.diag(self.log_diagonal.double().exp())
        below = torch.ones_like(diagonal, dtype=torch.bool).tril(-1)
        lower = torch.eye(
            len(diagonal), dtype=diagonal.dtype, device=diagonal.device
        ).masked_scatter(below, self.lower.double())
        upper = diagonal.masked_scatter(below.T, self.upper.double())
        return lower, upper

    def _inverse_matrix(self) -> Float[Tensor, "channels channels"]:
        lower, upper = self._factors()
        eye = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
        columns = torch.linalg.solve_triangular(lower, eye, upper=False, unitriangular=True)
        rows: Tensor = torch.linalg.solve_triangular(upper, columns, upper=True)
        return rows[self.permutation.argsort()]


class SplineCoupling(nn.Module):
    """A spline at each position of the first half of the channels, made from the second half and
    the condition; the identity at first, as the U-Net is zero.

    Arguments:
        channels: Channels of the data, at least two.
        condition: Channels of the condition.
        design: The U-Net.
        bins: Bins of a spline.
        bound: The splines are on [-bound, bound].
    """

    def __init__(
        self, channels: int, condition: int, design: UNetDesign, *, bins: int, bound: float
    ) -> None:
        super().__init__()
        self.bound, self.sizes = bound, [bins, bins, bins - 1]
        self.halves = [channels // 2, channels - channels // 2]
        self.network = UNet(self.halves[1] + condition, self.halves[0] * sum(self.sizes), design)

    def forward(self, x: Image, condition: Condition) -> tuple[Image, Float[Tensor, " batch"]]:
        """The images after the splines and the logarithm of the determinant.

        Arguments:
            x: The images.
            condition: The condition image.
        """
        moved, still = torch.split(x, self.halves, dim=1)
        z, log_slope = self._spline(still, condition).call_and_ladj(moved)
        return torch.cat([z, still], dim=1), log_slope.flatten(1).sum(dim=1)

    def inverse(self, z: Image, condition: Condition) -> Image:
        """The images that come out as z.

        Arguments:
            z: Images after the splines.
            condition: The condition image.
        """
        moved, still = torch.split(z, self.halves, dim=1)
        return torch.cat([self._spline(still, condition).inv(moved), still], dim=1)

    def _spline(self, still: Image, condition: Condition) -> RationalQuadraticSpline:
        numbers: Tensor = self.network(torch.cat([still, condition], dim=1))
        batch, _, alpha, r = numbers.shape
        numbers = (
            numbers.to(still.dtype)
            .view(batch, self.halves[0], sum(self.sizes), alpha, r)
            .movedim(2, -1)
        )
        return RationalQuadraticSpline(*torch.split(numbers, self.sizes, dim=-1), bound=self.bound)


Step = ActNorm | FixedConvolution | InvertibleConvolution | SplineCoupling
"""What a convolutional flow is a chain of."""


def _positions(x: Image) -> int:
    return x.shape[2] * x.shape[3]


def _mix(matrix: Float[Tensor, "channels channels"], x: Image) -> Image:
    """The matrix applied at each position, in full precision even in mixed-precision training:
    densities need it.
    """
    with torch.autocast(x.device.type, enabled=False):
        return (matrix @ x.flatten(2)).view_as(x)
