"""An autoencoder of hit patterns, layer by layer.

Layers are taken together in *groups*, each a token of two `ModulatedTransformer`: the encoder sees
which cells are hit and the scores of their shares, and gives mean and log variance of a code for
each group; the decoder gives for each cell the logit of being hit, relative to the one known
beforehand, the mean of its score and the log of its width. Both see the condition.
"""

__all__ = ["HitAutoencoder"]

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from caloforge.errors import ModelError
from caloforge.learn.networks.vision import ModulatedTransformer, embedder, initialise

_LOG_VARIANCE = -8.0, 2.0
_LOG_WIDTH = -3.0, 1.0


class HitAutoencoder(nn.Module):
    """Encoder and decoder.

    Arguments:
        layers: Layers.
        cells: Cells in each.
        layer_group: Layers in a group, a divisor of ``layers``.
        code: Numbers in the code of a group.
        dim: Width of a group's vector.
        heads: Heads of the attention.
        hidden: Width inside the dense networks.
        blocks: Blocks of the encoder, and of the decoder.
        condition: Numbers in the condition.

    Raises:
        ModelError: The group does not divide the layers.
    """

    def __init__(
        self,
        layers: int,
        cells: int,
        *,
        layer_group: int,
        code: int,
        dim: int,
        heads: int,
        hidden: int,
        blocks: int,
        condition: int,
    ) -> None:
        super().__init__()
        if layer_group < 1 or layers % layer_group:
            divisors = ", ".join(str(d) for d in range(1, layers + 1) if layers % d == 0)
            msg = (
                f"groups of {layer_group} layers do not divide {layers} layers: "
                f"give one of {divisors}"
            )
            raise ModelError(msg)
        self.n_groups, self.layer_group, self.code = layers // layer_group, layer_group, code
        transformer = partial(
            ModulatedTransformer,
            [self.n_groups],
            dim=dim,
            heads=heads,
            hidden=hidden,
            blocks=blocks,
            exact_gelu=True,
        )
        self.encoder = transformer(2 * layer_group * cells, 2 * code)
        self.decoder = transformer(code, 3 * layer_group * cells)
        self.encoder_condition, self.decoder_condition = (
            embedder(condition, dim),
            embedder(condition, dim),
        )
        initialise(self.encoder_condition)
        initialise(self.decoder_condition)

    def encode(
        self, x: Float[Tensor, "batch 2 layers cells"], condition: Float[Tensor, "batch condition"]
    ) -> tuple[Float[Tensor, "batch code groups"], Float[Tensor, "batch code groups"]]:
        """Mean and log variance of the code.

        Arguments:
            x: Which cells are hit, as 0 and 1, and the scores of their shares.
            condition: The condition, of order 1.
        """
        tokens = x.reshape(x.shape[0], 2, self.n_groups, -1).transpose(1, 2).flatten(2)
        mean, log_variance = self.encoder(tokens, self.encoder_condition(condition)).mT.chunk(
            2, dim=1
        )
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def decode(
        self, z: Float[Tensor, "batch code groups"], condition: Float[Tensor, "batch condition"]
    ) -> tuple[
        Float[Tensor, "batch layers cells"],
        Float[Tensor, "batch layers cells"],
        Float[Tensor, "batch layers cells"],
    ]:
        """The logit of each cell to be hit, relative to the one known beforehand; mean and log
        width of its score.
        """
        tokens = self.decoder(z.mT, self.decoder_condition(condition))
        logit, mean, log_width = (
            tokens.reshape(z.shape[0], self.n_groups, 3, self.layer_group, -1)
            .transpose(1, 2)
            .flatten(2, 3)
            .unbind(1)
        )
        return logit, mean, log_width.clamp(*_LOG_WIDTH)
