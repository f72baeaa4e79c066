r"""The exponential moving average of the weights, in torch's `AveragedModel`.

With :math:`\theta_t` the weights after step :math:`t = 1, 2, \dots` and :math:`\bar\theta_0 =
\theta_0`,

.. math:: \bar\theta_t = d_t \bar\theta_{t-1} + (1 - d_t) \theta_t, \qquad
          d_t = \min\left(d, \frac{1 + t}{10 + t}\right) ,

so that the average forgets the beginning at once. Buffers are those of the network.
"""

__all__ = ["moving_average"]

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """An average that has seen the initial weights; `AveragedModel.update_parameters` adds a step.

    Arguments:
        network: The network.
        decay: The decay d, in [0, 1).
    """

    def follow(
        averaged: tuple[Tensor, ...] | list[Tensor],
        current: tuple[Tensor, ...] | list[Tensor],
        number: Tensor | int,
    ) -> None:
        t = int(number)
        torch._foreach_lerp_(list(averaged), list(current), 1 - min(decay, (1 + t) / (10 + t)))

    average = AveragedModel(network, multi_avg_fn=follow)
    average.update_parameters(network)
    return average
