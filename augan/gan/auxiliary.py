"""What the discriminator learns beside the game: spoilt images, spoilt places, transformations.

A detector looks through the discriminator's eyes, and these lessons open them: what was spoilt is
no real image, where it was spoilt, and how an image was turned and shifted.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from augan.gan import distribution
from augan.gan.corruptions import spoil, spoilt_places
from augan.gan.losses import AdversarialLoss
from augan.gan.networks.heads import joined
from augan.gan.self_supervision import dealt_kinds, surprise, transformed_batch

Tensor = Any

SPOILT, MOVED = "spoilt", "moved"


class Seen(NamedTuple):
    """Logits `[N, 1]`, and the activations of the blocks that a head needs."""

    logits: Tensor
    blocks: tuple[Tensor, ...]


class Lessons:
    """Makes the images of the lessons, and says how badly they were learned.

    Parameters
    ----------
    negatives : sequence of str
        How images are spoilt, names of `augan.gan.corruptions.NEGATIVES`; none: no such lesson.
    heads, places : keras.Model or None
        Readers of the discriminator's blocks, see `augan.gan.model.GAN`; None: no such lesson.
    """

    def __init__(
        self, negatives: Sequence[str], heads: keras.Model | None, places: keras.Model | None
    ) -> None:
        self._negatives, self._heads, self._places = negatives, heads, places

    @property
    def num_blocks(self) -> int:
        """How many of the discriminator's last blocks are read, where any are; 0: all."""
        return 1 if self._places is None else 0

    def images(self, real: Tensor, step: Tensor, seed: Tensor) -> dict[str, Tensor]:
        """Return what the whole batch of real images is made into; of that this replica's rows."""
        made = {}
        if self._negatives:
            made[SPOILT] = spoil(real, self._negatives, seed)
        if self._heads is not None:
            made[MOVED] = transformed_batch(real, step)[0]
        return {name: distribution.share(images) for name, images in made.items()}

    def loss(
        self,
        adversarial: AdversarialLoss,
        real: Tensor,
        made: Mapping[str, Tensor],
        seen: Mapping[str, Seen],
    ) -> Tensor:
        """Return how badly spoilt images are told from real ones, and moved ones named.

        Parameters
        ----------
        adversarial : AdversarialLoss
            Of the game.
        real, made : Tensor, mapping of str to Tensor
            This replica's real images, and what `images` returned.
        seen : mapping of str to Seen
            What the discriminator saw in both; the real ones are called "real".
        """
        loss = 0.0
        if self._negatives:
            loss += tf.reduce_mean(adversarial.fake(seen[SPOILT].logits))
        if self._places is not None:
            blocks = seen["real"].blocks, seen[SPOILT].blocks
            loss += _place_loss(self._places, real, made[SPOILT], *blocks)
        if self._heads is not None:
            loss += _transformation_loss(self._heads, real, seen[MOVED].blocks[-1])
        return loss


def _place_loss(
    places: keras.Model,
    real: Tensor,
    spoilt: Tensor,
    blocks: Sequence[Tensor],
    broken_blocks: Sequence[Tensor],
) -> Tensor:
    """How badly the head of places tells where real images were spoilt.

    What is spoilt has half of the weight, however little it is, and in it each image the root of
    its share: a large defect is not everything, nor is a single place.
    """
    whole, broken = (places(joined(seen), training=True) for seen in (blocks, broken_blocks))
    stride = real.shape[1] // whole.shape[1]
    wrong = spoilt_places(real, spoilt, stride)
    right = tf.reduce_sum(tf.nn.softplus(-whole))
    right += tf.reduce_sum(tf.nn.softplus(-broken) * (1 - wrong))
    right /= distribution.mean(tf.reduce_sum(1 - wrong)) + tf.cast(tf.size(whole), tf.float32)
    weights = wrong / tf.sqrt(tf.maximum(tf.reduce_sum(wrong, (1, 2), keepdims=True), 1.0))
    found = tf.reduce_sum(tf.nn.softplus(broken) * weights)
    # Of the whole batch, whose weights may all lie in the rows of one replica.
    least = 1.0 / distribution.count()
    return right + found / tf.maximum(distribution.mean(tf.reduce_sum(weights)), least)


def _transformation_loss(heads: keras.Model, real: Tensor, deep: Tensor) -> Tensor:
    """How badly the heads tell by what real images were turned and shifted."""
    kinds = distribution.share(dealt_kinds(real.shape[0] * distribution.count()))
    logits = heads(tf.reshape(deep, (deep.shape[0], -1)), training=True)
    return tf.reduce_mean(surprise(logits, kinds))
