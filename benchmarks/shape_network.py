"""Times of the shape network on one core, beside a plain implementation of the paper's, and its
training throughput.

    python benchmarks/shape_network.py [--repeats 5] [--compile]

The plain implementation holds separate query, key and value layers, an explicit softmax over
explicit scores, one modulation layer a block and residuals written out; it shares the weights of
ours, and the two agree. All are timed in turn, in processor time; the best of each is printed. For
the small network, a training step is the forward and backward of a squared error on 64 showers.
`--compile` times ours also under torch.compile, which is not counted in the ratio.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from caloforge.learn.networks import VisionTransformer
from caloforge.learn.networks.vision import FASTEST

_CONDITION = 46


@dataclass(frozen=True)
class Size:
    """A network and the batch it is timed on."""

    shape: tuple[int, int, int]
    patch: tuple[int, int, int]
    dim: int
    heads: int
    hidden: int
    blocks: int
    batch: int

    def network(self, *, exact_gelu: bool = False) -> VisionTransformer:
        """A network whose blocks and end are not at rest."""
        network = VisionTransformer(
            self.shape,
            self.patch,
            dim=self.dim,
            heads=self.heads,
            hidden=self.hidden,
            blocks=self.blocks,
            condition=_CONDITION,
            exact_gelu=exact_gelu,
        )
        for layer in (network.transformer.modulation, network.transformer.final):
            nn.init.normal_(layer.weight, std=0.02)
        return network

    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """A field, times and conditions."""
        return (
            torch.randn(self.batch, 1, *self.shape),
            torch.rand(self.batch),
            torch.rand(self.batch, _CONDITION),
        )


SIZES = {
    "dataset 2": Size((45, 16, 9), (3, 16, 1), 480, 6, 1920, 6, batch=16),
    "dataset 3": Size((45, 50, 18), (3, 5, 2), 240, 6, 720, 6, batch=4),
    "small": Size((45, 16, 9), (3, 16, 1), 128, 4, 512, 4, batch=64),
}


def _rows(layer: nn.Linear, start: int, stop: int) -> nn.Linear:
    """One of several layers that were stacked in one."""
    piece = nn.Linear(layer.in_features, stop - start)
    piece.weight = nn.Parameter(layer.weight[start:stop].detach().clone())
    piece.bias = nn.Parameter(layer.bias[start:stop].detach().clone())
    return piece


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class PlainBlock(nn.Module):
    """A block of the paper's network as its eq. 11 reads."""

    def __init__(self, block: nn.Module, modulation: nn.Linear, dim: int) -> None:
        super().__init__()
        self.heads = block.heads
        self.query, self.key, self.value = (
            _rows(block.query_key_value, k * dim, k * dim + dim) for k in range(3)
        )
        self.mix = block.mix
        self.dense = nn.Sequential(block.widen, nn.GELU(approximate="tanh"), block.narrow)
        self.modulation = nn.Sequential(nn.SiLU(), modulation)
        self.norm_1 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.norm_2 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """Attention, then the dense network."""
        shift, scale, gate, dense_shift, dense_scale, dense_gate = self.modulation(embedded).chunk(
            6, dim=1
        )
        x = x + gate.unsqueeze(1) * self.attend(_modulate(self.norm_1(x), shift, scale))
        return x + dense_gate.unsqueeze(1) * self.dense(
            _modulate(self.norm_2(x), dense_shift, dense_scale)
        )

    def attend(self, x: Tensor) -> Tensor:
        """Self-attention with scores and softmax written out."""
        batch, patches, dim = x.shape
        split = (batch, patches, self.heads, dim // self.heads)
        query, key, value = (
            layer(x).reshape(split).permute(0, 2, 1, 3)
            for layer in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(split[-1]), dim=-1)
        return self.mix((weights @ value).permute(0, 2, 1, 3).reshape(batch, patches, dim))


class PlainTransformer(nn.Module):
    """The paper's shape network, plainly, with the weights of ours."""

    def __init__(self, network: VisionTransformer) -> None:
        super().__init__()
        dim = network.transformer.embedding.out_features
        self.shape, self.patch = network.shape, network.patch
        self.embedding, self.time, self.condition, self.final = (
            network.transformer.embedding,
            network.time,
            network.condition,
            network.transformer.final,
        )
        self.positions = network.transformer.positions
        modulation, blocks = network.transformer.modulation, network.transformer.blocks
        pieces = [_rows(modulation, 6 * k * dim, 6 * (k + 1) * dim) for k in range(len(blocks))]
        self.blocks = nn.ModuleList(
            [PlainBlock(b, m, dim) for b, m in zip(blocks, pieces, strict=True)]
        )
        rows = modulation.out_features
        self.end = nn.Sequential(nn.SiLU(), _rows(modulation, rows - 2 * dim, rows))
        self.norm = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """The velocity."""
        batch, channels = x.shape[:2]
        layers, alpha, r = (n // p for n, p in zip(self.shape, self.patch, strict=True))
        p, q, s = self.patch
        tokens = x.reshape(batch, channels, layers, p, alpha, q, r, s).permute(
            0, 2, 4, 6, 3, 5, 7, 1
        )
        tokens = self.embedding(tokens.reshape(batch, layers * alpha * r, -1)) + self.positions()
        frequencies = torch.exp(-math.log(1e4) * torch.arange(128) / 127)
        phase = FASTEST * time[:, None] * frequencies
        embedded = self.time(torch.cat([phase.sin(), phase.cos()], dim=1)) + self.condition(
            condition
        )
        for block in self.blocks:
            tokens = block(tokens, embedded)
        shift, scale = self.end(embedded).chunk(2, dim=1)
        out = self.final(_modulate(self.norm(tokens), shift, scale))
        out = out.reshape(batch, layers, alpha, r, p, q, s, channels).permute(
            0, 7, 1, 4, 2, 5, 3, 6
        )
        return out.reshape(batch, channels, *self.shape)


def seconds(work: Callable[[], object]) -> float:
    """The processor time of one run."""
    start = time.process_time()
    work()
    return time.process_time() - start


def best(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The best time of each, taken in turn, after one run of each that is not timed."""
    runs = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats + 1)][1:]
    return {name: min(run[name] for run in runs) for name in works}


def training_step(network: nn.Module, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    """Forward and backward."""
    network.zero_grad(set_to_none=True)
    (network(*inputs) - inputs[0]).square().mean().backward()


def report(name: str, size: Size, *, repeats: int, compiled: bool) -> None:
    """Time one size and print it."""
    ours, inputs = size.network(), size.inputs()
    plain, exact = PlainTransformer(ours), size.network(exact_gelu=True)
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(*inputs),
        "exact": lambda: exact(*inputs),
        "plain": lambda: plain(*inputs),
    }
    with torch.inference_mode():
        torch.testing.assert_close(ours(*inputs), plain(*inputs), rtol=1e-3, atol=1e-4)
        times = best(works, repeats)
        print(
            f"{name:10s} batch {size.batch:3d}: ours {1e3 * times['ours']:8.1f} ms a forward, "
            "with the exact GELU "
            f"{1e3 * times['exact']:8.1f} ms, plain {1e3 * times['plain']:8.1f} ms; plain / ours "
            f"{times['plain'] / times['ours']:.2f}, {times['plain'] / times['exact']:.2f}"
        )
    if compiled:
        fused = torch.compile(ours)
        with torch.inference_mode():
            fast = best({"ours": lambda: fused(*inputs)}, repeats)["ours"]
        print(f"{name:10s} batch {size.batch:3d}: ours, compiled {1e3 * fast:8.1f} ms")


def report_training(name: str, size: Size, repeats: int) -> None:
    """Time training steps of one size and print it."""
    inputs = size.inputs()
    networks = {
        "ours": size.network(),
        "exact": size.network(exact_gelu=True),
        "plain": PlainTransformer(size.network()),
    }
    works = {
        key: lambda network=network: training_step(network, inputs)
        for key, network in networks.items()
    }
    rates = {key: size.batch / value for key, value in best(works, repeats).items()}
    print(
        f"{name:10s} batch {size.batch:3d}: training ours {rates['ours']:.0f} showers/s, with the "
        "exact GELU "
        f"{rates['exact']:.0f} showers/s, plain {rates['plain']:.0f} showers/s"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name, size in SIZES.items():
        report(name, size, repeats=options.repeats, compiled=options.compile)
    report_training("small", SIZES["small"], options.repeats)


if __name__ == "__main__":
    main()
