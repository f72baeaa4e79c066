"""The hurdle model: its likelihood against torch's own laws, its bound, and its autoencoder."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from caloforge.errors import ModelError
from caloforge.learn.networks import HitAutoencoder
from caloforge.learn.processes import Hurdle, HurdleAutoencoder
from caloforge.learn.processes.hurdle import CellDensities

LAYERS, CELLS = 6, 4


def network(code: int = 3) -> HitAutoencoder:
    torch.manual_seed(3)
    made = HitAutoencoder(
        LAYERS, CELLS, layer_group=2, code=code, dim=12, heads=2, hidden=16, blocks=1, condition=5
    )
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    return made


def batch(n: int = 16) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    hit = (torch.rand(n, LAYERS, CELLS, generator=generator) < 0.4).float()
    scores = hit * torch.randn(n, LAYERS, CELLS, generator=generator)
    known = torch.randn(n, LAYERS, CELLS, generator=generator)
    return (
        torch.stack([hit, scores], dim=1),
        known,
        torch.randn(n, 5, generator=generator),
        torch.randn(n, 3, LAYERS // 2, generator=generator),
    )


def test_the_loss_is_the_bound_of_torchs_laws() -> None:
    autoencoder, (x, known, condition, _) = network(), batch()
    mean, log_variance = autoencoder.encode(x, condition)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(7))
    posterior = Normal(mean, (log_variance / 2).exp())
    logit, centre, log_width = autoencoder.decode(
        posterior.mean + posterior.stddev * noise, condition
    )
    hit, scores = x.unbind(1)
    constant = 0.5 * torch.log(torch.tensor(2 * torch.pi))
    missed = -Bernoulli(logits=logit + known).log_prob(hit)
    numbers = -hit * (Normal(centre, log_width.exp()).log_prob(scores) + constant)
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    for beta in (1.0, 0.3):
        bound = (missed + numbers).sum() + beta * kl_divergence(posterior, prior).sum()
        random = torch.Generator().manual_seed(7)
        found = Hurdle(beta).loss(autoencoder, (x, known), condition, random)
        torch.testing.assert_close(found, bound / hit.numel())


def test_the_true_law_surprises_least() -> None:
    """A cell hit with probability 0.3, numbers of mean 1 and width 2."""
    generator = torch.Generator().manual_seed(1)
    hit = (torch.rand(20_000, 1, 1, generator=generator) < 0.3).float()
    numbers = hit * (1 + 2 * torch.randn(hit.shape, generator=generator))

    def surprise(p: float, mean: float, width: float) -> float:
        values = (
            torch.full_like(hit, v)
            for v in (torch.logit(torch.tensor(p)), mean, torch.tensor(width).log())
        )
        return float(Hurdle.surprise(CellDensities(*values), hit, numbers).mean())

    least = surprise(0.3, 1.0, 2.0)
    assert all(
        surprise(*law) > least
        for law in (
            (0.2, 1.0, 2.0),
            (0.4, 1.0, 2.0),
            (0.3, 0.5, 2.0),
            (0.3, 1.0, 2.5),
            (0.3, 1, 1.5),
        )
    )


def test_without_knowing_the_number_cells_are_hit_as_their_logits_say() -> None:
    logit = torch.tensor([-2.0, 0.0, 1.5]).expand(40_000, 1, 3)
    u = torch.rand(logit.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    hit = Hurdle.priority(logit, u) > 0
    torch.testing.assert_close(hit.float().mean(0), logit[0].sigmoid(), atol=0.01, rtol=0)


def test_a_new_decoder_knows_what_it_was_told_and_no_more() -> None:
    autoencoder = HitAutoencoder(
        LAYERS, CELLS, layer_group=3, code=2, dim=12, heads=2, hidden=16, blocks=2, condition=5
    )
    laws = autoencoder.decode(torch.randn(4, 2, 2), torch.randn(4, 5))
    assert all(torch.equal(law, torch.zeros(4, LAYERS, CELLS)) for law in laws)
    assert isinstance(autoencoder, HurdleAutoencoder)


def test_every_parameter_learns() -> None:
    autoencoder = network()
    x, known, condition, _ = batch()
    Hurdle().loss(autoencoder, (x, known), condition, torch.Generator()).backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for parameter in autoencoder.parameters()
    )


def test_cells_stay_where_they_are() -> None:
    """A decoder with an identity at its end gives each group its layers, in order."""
    autoencoder = HitAutoencoder(
        4, 2, layer_group=2, code=1, dim=12, heads=2, hidden=8, blocks=0, condition=1
    )
    nn.init.zeros_(autoencoder.decoder.embedding.weight)
    with torch.no_grad():
        autoencoder.decoder.final.bias.copy_(torch.arange(12) / 100)
    logit, mean, log_width = autoencoder.decode(torch.zeros(1, 1, 2), torch.zeros(1, 1))
    for law, first in ((logit, 0), (mean, 4), (log_width, 8)):
        expected = (torch.arange(4).reshape(2, 2) + first) / 100
        torch.testing.assert_close(law[0], torch.cat([expected, expected]))


def test_a_shower_does_not_depend_on_its_batch() -> None:
    autoencoder, (x, _, condition, noise) = network(), batch(48)
    whole = autoencoder.decode(noise, condition)[0], autoencoder.encode(x, condition)[0]
    part = (
        autoencoder.decode(noise[16:32], condition[16:32])[0],
        autoencoder.encode(x[16:32], condition[16:32])[0],
    )
    assert all(torch.equal(a[16:32], b) for a, b in zip(whole, part, strict=True))


def test_groups_divide_the_layers() -> None:
    with pytest.raises(
        ModelError, match="groups of 4 layers do not divide 6 layers: give one of 1, 2, 3, 6"
    ):
        HitAutoencoder(
            6, CELLS, layer_group=4, code=1, dim=12, heads=2, hidden=8, blocks=1, condition=1
        )
