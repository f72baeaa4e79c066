r"""The rational-quadratic spline with an inverse that is exact in float32.

In a bin :math:`[x_0, x_1] \to [y_0, y_1]` of mean slope :math:`s` and slopes :math:`d_0, d_1` at
its ends the spline of Durkan et al. (arXiv:1906.04032, section 3.1) takes
:math:`z = (x - x_0) / (x_1 - x_0)` to

.. math:: \eta = \frac{y - y_0}{y_1 - y_0} = \frac{s z^2 + d_0 z (1 - z)}{s + (d_0 + d_1 - 2 s) z
          (1 - z)} .

With :math:`\bar\eta = (y_1 - y) / (y_1 - y_0)` the discriminant of the inverse (eqs. 6 to 8) is,
up to the factor :math:`s^2 (y_1 - y_0)^2`, a sum of numbers of one sign, and nothing cancels:

.. math:: D = r^2 + 4 \eta \bar\eta, \qquad r = (\bar\eta d_0 - \eta d_1) / s, \qquad
          z = \frac{2 \eta}{2 \eta + w}, \qquad w = r + \sqrt D .
"""

__all__ = ["RationalQuadraticSpline"]

import torch
from torch import Tensor
from zuko.transforms import MonotonicRQSTransform


class RationalQuadraticSpline(MonotonicRQSTransform):  # type: ignore[misc]
    r"""A monotonic rational-quadratic spline on [-B, B], the identity elsewhere; see
    `zuko.transforms.MonotonicRQSTransform`.

    The paper states the discriminant as :math:`b^2 - 4 a c`: in float32 that may come out negative,
    or of the size of its rounding. Where :math:`r < 0`, :math:`w` would cancel too, and is taken as
    :math:`4 \eta \bar\eta / (\sqrt D - r)`.
    """

    def bin(self, k: Tensor) -> tuple[Tensor, ...]:
        """Whether points lie in bin k, its corners and the slopes there; as zuko's, for numbers of
        the points' own shape, without the broadcasting that costs a small batch more than the
        spline.
        """
        mask, low = (k >= 0) & (k < self.bins), (k % self.bins)[..., None]
        ends = torch.cat([low, low + 1], dim=-1)
        knots = (self.horizontal, self.vertical, self.derivatives)
        (x0, x1), (y0, y1), (d0, d1) = (values.gather(-1, ends).unbind(-1) for values in knots)
        return mask, x0, x1, y0, y1, d0, d1, (y1 - y0) / (x1 - x0)

    def _inverse(self, y: Tensor) -> Tensor:
        mask, x0, x1, y0, y1, d0, d1, s = self.bin(self.searchsorted(self.vertical, y) - 1)
        inside = torch.where(mask, y, y0)
        low, high = (inside - y0) / (y1 - y0), (y1 - inside) / (y1 - y0)
        r, product = (high * d0 - low * d1) / s, 4 * low * high
        root = (r.square() + product).sqrt()
        w = torch.where(r < 0, product / (root + r.abs()), r + root)
        return torch.where(mask, x0 + (x1 - x0) * (2 * low / (2 * low + w)), y)
