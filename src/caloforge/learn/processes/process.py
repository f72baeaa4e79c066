"""A process is how a distribution is learned by a network, and sampled with it."""

__all__ = ["Process"]

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Process(Protocol):
    """The contract: trained to its least loss on a sample, a network samples its distribution."""

    def loss(
        self, network: Any, z: Any, condition: Any, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """The loss to minimise.

        Arguments:
            network: What learns.
            z: Some of the sample.
            condition: What is known of each of them.
            random: Where the random numbers of the loss come from.
        """

    def sample(self, network: Any, noise: Any, condition: Any) -> Any:
        """Some of the distribution that the network has learned.

        Arguments:
            network: What has learned.
            noise: Random numbers, or points of another sample.
            condition: What is known of each.
        """
