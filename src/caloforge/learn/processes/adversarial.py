r"""Two networks against each other: a generator makes, a critic tells the made from the true.

With C the critic, x true and :math:`\tilde x` made, and :math:`\hat x` uniform on the line between
the two, `Wasserstein` has the critic minimise

.. math:: \langle C(\tilde x) \rangle - \langle C(x) \rangle
          + \lambda \bigl\langle (\lVert \nabla C(\hat x) \rVert - 1)^2 \bigr\rangle

(Gulrajani et al., arXiv:1704.00028, eq. 3), and the generator :math:`-\langle C(\tilde x)\rangle`.
`CrossEntropy` has the critic, a logit, minimise the cross entropy, and the generator that of its
own showers taken for true (Goodfellow et al., arXiv:1406.2661). Each says how far apart the critic
finds the two: Wasserstein's distance, or Jensen's and Shannon's in bits, 0 where it finds nothing.
"""

__all__ = ["CrossEntropy", "Game", "Score", "Wasserstein"]

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from caloforge.errors import ModelError

Score = Callable[[Tensor, Tensor], Tensor]
"""A critic: a number for each of (points, condition)."""


@runtime_checkable
class Game(Protocol):
    """The contract: where the critic finds no difference, the generator has the distribution."""

    def critic_loss(
        self, critic: Score, true: Tensor, made: Tensor, condition: Tensor, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """What the critic minimises.

        Arguments:
            critic: The critic.
            true: Some of the sample.
            made: As many from the generator, under the same conditions.
            condition: What is known of each.
            random: Where the random numbers of the loss come from.
        """

    def generator_loss(self, critic: Score, made: Tensor, condition: Tensor) -> Float[Tensor, ""]:
        """What the generator minimises."""

    def distance(
        self, critic: Score, true: Tensor, made: Tensor, condition: Tensor
    ) -> Float[Tensor, ""]:
        """How far apart the critic finds the two; 0 for nothing."""


@dataclass(frozen=True)
class Wasserstein:
    r"""A Wasserstein GAN with gradient penalty.

    Arguments:
        penalty: The weight :math:`\lambda \ge 0` of the penalty.

    Raises:
        ModelError: It is negative or not finite.
    """

    penalty: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.penalty) and self.penalty >= 0):
            msg = f"gradient penalty: weight {self.penalty}, expected a finite one of at least 0"
            raise ModelError(msg)

    def distance(
        self, critic: Score, true: Tensor, made: Tensor, condition: Tensor
    ) -> Float[Tensor, ""]:
        """The critic's estimate of Wasserstein's distance."""
        return critic(true, condition).mean() - critic(made, condition).mean()

    def critic_loss(
        self, critic: Score, true: Tensor, made: Tensor, condition: Tensor, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """Minus the distance, and the penalty."""
        slope = self.slope_penalty(critic, true, made, condition, random)
        return self.penalty * slope - self.distance(critic, true, made, condition)

    def slope_penalty(
        self, critic: Score, true: Tensor, made: Tensor, condition: Tensor, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """The mean square of what the norms of the critic's gradients are off 1."""
        shape = (len(true), *(1 for _ in true.shape[1:]))
        place = torch.rand(shape, generator=random, device=true.device)
        between = true.lerp(made, place).detach().requires_grad_()
        score = critic(between, condition).sum()
        [slope] = torch.autograd.grad(score, between, create_graph=True)
        off: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1
        return off.square().mean()

    def generator_loss(self, critic: Score, made: Tensor, condition: Tensor) -> Float[Tensor, ""]:
        """Minus the critic's score."""
        loss: Tensor = -critic(made, condition).mean()
        return loss


@dataclass(frozen=True)
class CrossEntropy:
    """A GAN whose critic is the logit of a classifier."""

    def critic_loss(
        self, critic: Score, true: Tensor, made: Tensor, condition: Tensor, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """The mean cross entropy of both samples, in nats."""
        del random
        of_true = functional.softplus(-critic(true, condition)).mean()
        return (of_true + functional.softplus(critic(made, condition)).mean()) / 2

    def generator_loss(self, critic: Score, made: Tensor, condition: Tensor) -> Float[Tensor, ""]:
        """The cross entropy of what is made, taken for true."""
        return functional.softplus(-critic(made, condition)).mean()

    def distance(
        self, critic: Score, true: Tensor, made: Tensor, condition: Tensor
    ) -> Float[Tensor, ""]:
        """A lower bound of Jensen's and Shannon's divergence, in bits."""
        nothing = torch.Generator(true.device)
        return 1 - self.critic_loss(critic, true, made, condition, nothing) / math.log(2)
