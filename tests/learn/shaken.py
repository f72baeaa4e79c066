"""Networks as training leaves them: nothing at zero, nothing at its initial value."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def shaken(network: Network, strength: float = 0.3) -> Network:
    """The network, set to inference, with noise on each parameter and on the running statistics of
    batches.
    """
    with torch.no_grad():
        for parameter in network.parameters():
            inputs = max(1, parameter[0].numel())
            parameter += strength * torch.randn_like(parameter) / inputs**0.5
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.7, 1.4)
    return network.eval()


def turned(x: Tensor, by: int) -> Tensor:
    """Images turned by some positions of alpha."""
    return x.roll(by, dims=2)
