"""What stands for torch's functions in a graph gives what they give."""

import pytest
import torch
from scipy import special

from caloforge.export.substitutes import Substitutes, ndtr, ndtri

X = torch.linspace(-8, 8, 41, dtype=torch.float64).reshape(1, 41)


def test_the_normal_distribution_has_its_tails() -> None:
    found = ndtr(X)
    torch.testing.assert_close(found, torch.from_numpy(special.ndtr(X.numpy())), rtol=1e-13, atol=0)


def test_its_inverse_inverts_it_everywhere() -> None:
    low = torch.logspace(-14, -0.31, 99, dtype=torch.float64)
    p = torch.cat([low, 1 - low])
    torch.testing.assert_close(ndtri(p), torch.special.ndtri(p), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: torch.searchsorted(x[0, :9], x[0], right=True),
        lambda x: torch.searchsorted(x[0, :9], x[0]),
        lambda x: x.sigmoid().cumprod(1),
        lambda x: torch.logit(x.sigmoid(), eps=1e-3),
        lambda x: (-x).argsort(dim=1, descending=True, stable=True),
        lambda x: x.new_zeros(3, 2).index_add(0, torch.tensor([1, 1, 2]), x[0, :6].view(3, 2)),
        lambda x: x[0, :40].view(2, 4, 5).flatten(1),
        lambda x: x[0, :40].view(4, 10).unflatten(-1, (2, 5)),
        lambda x: x.tensor_split([3, 7], dim=-1)[1],
        lambda x: x.relu(),
        lambda x: x.mT,
        lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:]),
    ],
)
def test_substitutes_agree_with_torch(ask: object) -> None:
    with Substitutes():
        found = ask(X)  # type: ignore[operator]
    torch.testing.assert_close(found, ask(X))  # type: ignore[operator]
