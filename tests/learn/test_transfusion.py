"""Transfusion: published size, causality, the incremental pass beside the parallel one."""

from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge.errors import ModelError
from caloforge.learn.networks import HeadSizes, Transfusion

SMALL = {"blocks": (2, 2), "feed_forward": 24}
HEAD = HeadSizes(width=24, layers=4, time_dim=8, time_scale=1.0)
SHAPES = {
    "one-hot": (9, 16, 1),
    "sinusoids": (9, 8, 1),
    "three conditions": (5, 8, 3),
    "one number": (1, 4, 1),
}


def network(name: str) -> Transfusion:
    length, dim, condition = SHAPES[name]
    return Transfusion(length, dim=dim, heads=2, condition=condition, head=HEAD, **SMALL).double()


def sequence(name: str, batch: int = 4) -> tuple[Tensor, Tensor]:
    length, _, condition = SHAPES[name]
    return torch.randn(batch, length, dtype=torch.float64), torch.rand(
        batch, condition, dtype=torch.float64
    )


def step_by_step(transfusion: Transfusion, values: Tensor, condition: Tensor) -> Tensor:
    state, embeddings = transfusion.begin(condition), []
    for i in range(values.shape[1]):
        embedding, state = transfusion.advance(state, values[:, i - 1] if i else None)
        embeddings.append(embedding)
    return torch.stack(embeddings, dim=1)


def test_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in Transfusion(45).parameters()) == 2_384_705


@pytest.mark.parametrize("name", SHAPES)
def test_an_embedding_sees_the_condition_and_the_numbers_before_it(name: str) -> None:
    transfusion, (values, condition) = network(name), sequence(name, batch=1)
    embedding = transfusion.embed(values.requires_grad_(), condition.requires_grad_())
    for i, row in enumerate(embedding[0] @ torch.randn(embedding.shape[2], dtype=torch.float64)):
        seen, energy = torch.autograd.grad(
            row, (values, condition), retain_graph=True, materialize_grads=True
        )
        assert torch.equal(seen[0] != 0, torch.arange(values.shape[1]) < i)
        assert (energy != 0).all()


@pytest.mark.parametrize("name", SHAPES)
def test_the_incremental_pass_gives_the_embeddings_of_the_parallel_one(name: str) -> None:
    transfusion, (values, condition) = network(name), sequence(name)
    with torch.no_grad():
        torch.testing.assert_close(
            step_by_step(transfusion, values, condition),
            transfusion.embed(values, condition),
            rtol=0,
            atol=1e-12,
        )


def test_the_incremental_pass_at_the_published_size_in_single_precision() -> None:
    transfusion, values, condition = Transfusion(45), torch.randn(3, 45), torch.rand(3, 1)
    with torch.no_grad():
        torch.testing.assert_close(
            step_by_step(transfusion, values, condition),
            transfusion.embed(values, condition),
            rtol=0,
            atol=5e-6,
        )


def test_a_number_later_in_the_sequence_changes_nothing_before_it() -> None:
    transfusion, (values, condition) = network("one-hot"), sequence("one-hot")
    changed = values.clone()
    changed[:, 4] += 1
    first, second = transfusion.embed(values, condition), transfusion.embed(changed, condition)
    assert torch.equal(first[:, :5], second[:, :5])
    assert (first[:, 5:] - second[:, 5:]).abs().amax(dim=2).min() > 1e-6


@pytest.mark.parametrize("name", SHAPES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    transfusion, (values, condition) = network(name), sequence(name)
    transfusion(
        torch.randn_like(values), torch.rand_like(values), values, condition
    ).square().sum().backward()
    without = [
        key
        for key, p in transfusion.named_parameters()
        if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert without == []


def test_queries_and_keys_of_attention_to_one_token_have_no_effect() -> None:
    transfusion, (values, condition) = network("one-hot"), sequence("one-hot")
    before = transfusion.embed(values, condition)
    with torch.no_grad():
        for block in transfusion.encoder:
            block.attention.project.weight[:32] += 1.0
        for block in transfusion.decoder:
            block.cross.project.weight[:32] += 1.0
    assert torch.equal(transfusion.embed(values, condition), before)


def test_attention_to_one_token_is_its_value_whatever_the_query() -> None:
    """The slow way: softmax over the one key."""
    attention = network("one-hot").decoder[0].cross
    token, others = (
        torch.randn(4, 1, 16, dtype=torch.float64),
        torch.randn(4, 9, 16, dtype=torch.float64),
    )
    query, _, _ = attention._heads(others)
    _, key, value = attention._heads(token)
    slow = attention._join(torch.nn.functional.scaled_dot_product_attention(query, key, value))
    torch.testing.assert_close(slow, attention.alone(token).expand(-1, 9, -1))


def test_the_decoder_is_that_of_the_published_code() -> None:
    """The same weights in torch's own transformer, one-hot tokens of 46 positions included, give
    the same embeddings.
    """
    transfusion, values, condition = (
        Transfusion(45).double(),
        torch.randn(2, 45).double(),
        torch.rand(2, 1).double(),
    )
    for parameter in transfusion.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    reference = torch.nn.Transformer(64, 4, 4, 4, 512, 0.0, batch_first=True).double().eval()
    reference.load_state_dict(as_torch_names(transfusion))
    source = torch.nn.functional.pad(
        torch.cat([condition, torch.ones(2, 1).double()], dim=1), (0, 62)
    )[:, None]
    code = torch.eye(46, dtype=torch.float64)[:45].expand(2, -1, -1)
    target = torch.nn.functional.pad(
        torch.cat([torch.nn.functional.pad(values[:, :-1], (1, 0))[:, :, None], code], dim=2),
        (0, 17),
    )
    mask = torch.ones(45, 45, dtype=torch.bool).triu(1)
    torch.testing.assert_close(
        transfusion.embed(values, condition), reference(source, target, tgt_mask=mask)
    )


def as_torch_names(transfusion: Transfusion) -> dict[str, Tensor]:
    """The transformer's weights under the names of `torch.nn.Transformer`."""
    state = {}
    for key, value in transfusion.state_dict().items():
        part, *rest = key.split(".")
        if part == "norms":
            state[f"{('encoder', 'decoder')[int(rest[0])]}.norm.{rest[1]}"] = value
        if part in ("encoder", "decoder"):
            number, kind, *name = rest
            state[f"{part}.layers.{number}.{RENAMED[kind](name)}"] = value
    return state


RENAMED = {
    "attention": lambda name: "self_attn." + ATTENTION[name[0]] + name[1],
    "cross": lambda name: "multihead_attn." + ATTENTION[name[0]] + name[1],
    "feed_forward": lambda name: f"linear{1 + int(name[0]) // 2}.{name[1]}",
    "norms": lambda name: f"norm{1 + int(name[0])}.{name[1]}",
}
ATTENTION = {"project": "in_proj_", "out": "out_proj."}


def test_the_velocity_takes_any_leading_shape_and_shared_times() -> None:
    transfusion = network("one-hot")
    x, embedding = torch.randn(2, 3, 4).double(), torch.randn(2, 3, 4, 16).double()
    time = torch.rand(2, 1, 1).double()
    whole = transfusion.velocity(x, time, embedding)
    assert whole.shape == x.shape
    torch.testing.assert_close(transfusion.velocity(x, time.expand_as(x), embedding), whole)
    torch.testing.assert_close(
        transfusion.velocity(x[1, 2, 3], time[1, 0, 0], embedding[1, 2, 3]), whole[1, 2, 3]
    )


def test_the_head_is_a_dense_network_of_number_time_and_embedding() -> None:
    head = network("one-hot").head
    x, time, embedding = (
        torch.randn(5, 1).double(),
        torch.rand(5).double(),
        torch.randn(5, 16).double(),
    )
    phase = time[:, None] * head.frequencies
    features = head.time(torch.cat([phase.sin(), phase.cos()], dim=1))
    slow = head.leave(
        head.inner(torch.nn.functional.silu(head.enter(torch.cat([x, features, embedding], dim=1))))
    )
    torch.testing.assert_close(head(x, head.known(embedding) + head.clock(time)), slow)


def test_a_field_is_the_velocity_of_one_position() -> None:
    transfusion, clocks = network("one-hot"), {}
    for _ in range(2):
        embedding, x = torch.randn(4, 16).double(), torch.randn(4, 1).double()
        field = transfusion.field(embedding, clocks)
        for time in (0.25, 0.5, 0.25):
            expected = transfusion.velocity(x[:, 0], torch.tensor(time).double(), embedding)
            torch.testing.assert_close(field(x, time)[:, 0], expected)
    assert sorted(clocks) == [0.25, 0.5]


@pytest.mark.parametrize("name", SHAPES)
def test_positions_are_told_apart(name: str) -> None:
    length, _, _ = SHAPES[name]
    codes = network(name).positions
    assert torch.pdist(codes).min() > 0.1 if length > 1 else True


def test_mixed_precision_follows_full_precision() -> None:
    transfusion, (values, condition) = network("one-hot").float(), sequence("one-hot")
    values, condition = values.float(), condition.float()
    time = torch.rand(4, 9)
    full = transfusion(values, time, values, condition)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = transfusion(values, time, values, condition)
        embeddings = step_by_step(transfusion, values, condition)
    torch.testing.assert_close(mixed.float(), full, rtol=0, atol=0.1)
    torch.testing.assert_close(
        embeddings.float(), transfusion.embed(values, condition), rtol=0, atol=0.2
    )


@pytest.mark.parametrize(
    "sizes",
    [
        {"dim": 10, "heads": 4},
        {"dim": 9, "heads": 3},
        {"head": HeadSizes(time_dim=7)},
        {"head": HeadSizes(layers=1)},
        {"condition": 64},
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="a Transfusion needs"):
        Transfusion(5, **sizes)
