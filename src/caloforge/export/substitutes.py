r"""Functions for which ONNX has no operator, made of those for which it has one.

While a graph is traced within `Substitutes`, torch's own are replaced. In double precision they
agree with torch's to some 1e-14:

- :math:`\Phi(x) = \frac12 e^{-x^2/2}\, \mathrm{erfcx}(-x / \sqrt 2)` for :math:`x < 0`, with
  :math:`(1 + 2z)\, \mathrm{erfcx}(z)` a Chebyshev series in :math:`(z - 3.75) / (z + 3.75)`
  (Shepherd and Laframboise, Math. Comp. 36 (1981) 249);
- :math:`\Phi^{-1}` by the rational functions of Wichura (AS 241, Appl. Stat. 37 (1988) 477);
- the place in a sorted list by counting, products by multiplying, an order by the largest.
"""

__all__ = ["Substitutes", "ndtr", "ndtri"]

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.special import erfcx
from torch import Tensor
from torch.overrides import TorchFunctionMode

_MIDDLE, _DEGREE = 3.75, 30
_CENTRAL, _FAR = 0.425, 5.0
_LEAST = 1e-300

_RATIONAL = {
    "central": (
        (
            *(3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3),
            *(1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4),
            *(3.3430575583588128105e4, 2.5090809287301226727e3),
        ),
        (
            *(1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3),
            *(2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4),
            5.2264952788528545610e3,
        ),
    ),
    "tail": (
        (
            *(1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0),
            *(3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1),
            *(2.27238449892691845833e-2, 7.74545014278341407640e-4),
        ),
        (
            *(1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1),
            *(1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4),
            1.05075007164441684324e-9,
        ),
    ),
    "far": (
        (
            *(6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0),
            *(2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3),
            *(2.71155556874348757815e-5, 2.01033439929228813265e-7),
        ),
        (
            *(1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2),
            *(7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7),
            2.04426310338993978564e-15,
        ),
    ),
}
"""Numerator and denominator of Wichura's three rational functions, from the constant on."""


def ndtr(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The standard normal distribution function, in double precision: relative error 1e-14."""
    x = x.double()
    z = x.abs() / math.sqrt(2)
    series = _horner(_erfcx_series(), (z - _MIDDLE) / (z + _MIDDLE))
    tail = (-z * z).exp() * series / (1 + 2 * z) / 2
    return torch.where(x < 0, tail, 1 - tail)


@cache
def _erfcx_series() -> tuple[float, ...]:
    """Coefficients of powers of t in (1 + 2z) erfcx(z), from the constant on."""

    def scaled(t: Any) -> Any:
        z = _MIDDLE * (1 + t) / np.maximum(1 - t, 1e-12)
        return (1 + 2 * z) * erfcx(z)

    series = np.polynomial.chebyshev.chebinterpolate(scaled, _DEGREE)
    return tuple(np.polynomial.chebyshev.cheb2poly(series))


def ndtri(p: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The inverse of `ndtr`, for p in ]0, 1[."""
    p = p.double()
    q = p - 0.5
    r = _CENTRAL**2 - q * q
    central = q * _ratio("central", r)
    depth = (-torch.minimum(p, 1 - p).clamp_min(_LEAST).log()).sqrt()
    tail = torch.where(depth <= _FAR, _ratio("tail", depth - 1.6), _ratio("far", depth - _FAR))
    return torch.where(q.abs() <= _CENTRAL, central, torch.where(q < 0, -tail, tail))


def _ratio(region: str, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    above, below = _RATIONAL[region]
    return _horner(above, x) / _horner(below, x)


def _horner(coefficients: Sequence[float], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    *others, last = coefficients
    value = torch.full_like(x, last)
    for coefficient in reversed(others):
        value = value * x + coefficient
    return value


def _searchsorted(
    nodes: Float[Tensor, "*rows nodes"],
    values: Float[Tensor, "*shape"],
    *,
    right: bool = False,
) -> Int64[Tensor, "*shape"]:
    below = nodes <= values[..., None] if right else nodes < values[..., None]
    return below.long().sum(dim=-1)


def _cumprod(x: Float[Tensor, "*shape"], dim: int) -> Float[Tensor, "*shape"]:
    return torch.stack(list(accumulate(x.unbind(dim), torch.mul)), dim=dim)


def _logit(x: Float[Tensor, "*shape"], eps: float | None = None) -> Float[Tensor, "*shape"]:
    inside = x if eps is None else x.clamp(eps, 1 - eps)
    return (inside / (1 - inside)).log()


def _argsort(
    x: Tensor,
    dim: int = -1,
    descending: bool = False,
    stable: bool = False,
) -> Int64[Tensor, "*shape"]:
    del stable  # the operator of ONNX is
    return x.topk(x.shape[dim], dim=dim, largest=descending).indices


def _tensor_split(x: Tensor, bounds: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    edges = [0, *bounds, int(x.shape[dim])]
    return tuple(x.narrow(dim, a, b - a) for a, b in pairwise(edges))


def _conv2d(x: Tensor, *others: Any, **options: Any) -> Tensor:
    """Of a shape that is known within a loop, too, but for the number of showers."""
    y = torch.conv2d(x, *others, **options)
    return y.to(y.dtype).reshape(y.shape[0], *(int(n) for n in y.shape[1:]))


def _layer_norm(x: Tensor, shape: Sequence[Any], *others: Any, **options: Any) -> Tensor:
    return torch.layer_norm(x, tuple(int(n) for n in shape), *others, **options)


def _index_add(x: Tensor, dim: int, index: Int64[Tensor, " rows"], source: Tensor) -> Tensor:
    """Along the first axis, by a matrix of zeros and ones: operators that add lose what comes twice
    to one place.
    """
    del dim
    places = torch.arange(x.shape[0], device=index.device)[:, None]
    return x + (places == index).to(source) @ source


def _relu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Torch's operator asks for the type of x, which the exporter does not know within a loop."""
    return torch.where(x > 0, x, torch.zeros_like(x))


def _flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    last = end_dim % x.ndim
    return x.reshape(*x.shape[:start_dim], -1, *x.shape[last + 1 :])


def _unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    place = dim % x.ndim
    return x.reshape(*x.shape[:place], *sizes, *x.shape[place + 1 :])


_REPLACED: Mapping[Any, Callable[..., Any]] = {
    torch.special.ndtr: ndtr,
    torch.special.ndtri: ndtri,
    torch.searchsorted: _searchsorted,
    torch.Tensor.cumprod: _cumprod,
    torch.logit: _logit,
    torch.Tensor.argsort: _argsort,
    torch.Tensor.index_add: _index_add,
    torch.Tensor.tensor_split: _tensor_split,
    torch.Tensor.flatten: _flatten,
    torch.Tensor.relu: _relu,
    torch.Tensor.unflatten: _unflatten,
    torch.nn.functional.conv2d: _conv2d,
    torch.nn.functional.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    torch.Tensor.mT.__get__: lambda x: x.transpose(-1, -2),  # type: ignore[attr-defined]
}


class Substitutes(TorchFunctionMode):
    """While it is entered, torch's functions without an operator of ONNX are replaced."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the substitute, or else the function itself."""
        del types
        return _REPLACED.get(func, func)(*args, **(kwargs or {}))
