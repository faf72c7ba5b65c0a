"""Auxiliary losses of the discriminator.

Detectors use the features of the discriminator. Three additional tasks improve them: to classify
corrupted images as fake, to locate the corruption, and to predict the transformation of an image.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from augan.gan import distribution
from augan.gan.corruptions import corrupt, corruption_mask
from augan.gan.losses import AdversarialLoss
from augan.gan.networks.heads import concat_blocks
from augan.gan.self_supervision import (
    assigned_transforms,
    negative_log_likelihood,
    transformed_batch,
)
from augan.gan.tensorflow import Tensor

CORRUPTED, TRANSFORMED = "corrupted", "transformed"


class DiscriminatorOutput(NamedTuple):
    """Output of the discriminator for one batch of images.

    Attributes
    ----------
    logits : Tensor [N, 1]
        Higher logits mean "real", see `augan.gan.losses`.
    blocks : tuple of Tensor
        Activations of the last blocks, first block first; empty if no auxiliary head reads them.
    """

    logits: Tensor
    blocks: tuple[Tensor, ...]


class AuxiliaryLosses:
    """Extra training tasks of the discriminator: the images of each task and the losses on them.

    Parameters
    ----------
    corruptions : sequence of str
        Names in `augan.choices.CORRUPTIONS`; empty: no corrupted images.
    transformation_head, localization_head : keras.Model or None
        Heads on the discriminator's blocks, see `augan.gan.model.GAN`; None: no such task.
    """

    def __init__(
        self,
        corruptions: Sequence[str],
        transformation_head: keras.Model | None,
        localization_head: keras.Model | None,
    ) -> None:
        self._corruptions = corruptions
        self._transformation_head = transformation_head
        self._localization_head = localization_head

    @property
    def num_blocks(self) -> int:
        """Number of the discriminator's last blocks that the heads need; 0 means all blocks."""
        return 1 if self._localization_head is None else 0

    def images(self, real: Tensor, step: Tensor, seed: Tensor) -> dict[str, Tensor]:
        """Return this replica's rows of the input images of each auxiliary task.

        The images are made from the whole batch, so that every number of replicas gives the same
        images.

        Parameters
        ----------
        real : Tensor [N, S, S, C]
            Real images of the whole batch, in [-1, 1].
        step : Tensor
            Number of the training step, which rotates the assignment of transformations.
        seed : Tensor [2]
            Int32 seed of the corruptions.

        Returns
        -------
        dict of str to Tensor [N / replicas, S, S, C]
            Keys: `CORRUPTED` with corruptions, `TRANSFORMED` with a transformation head.
        """
        images = {}
        if self._corruptions:
            images[CORRUPTED] = corrupt(real, self._corruptions, seed)
        if self._transformation_head is not None:
            images[TRANSFORMED] = transformed_batch(real, step)[0]
        return {name: distribution.local_rows(batch) for name, batch in images.items()}

    def loss(
        self,
        adversarial: AdversarialLoss,
        real: Tensor,
        images: Mapping[str, Tensor],
        outputs: Mapping[str, DiscriminatorOutput],
    ) -> Tensor:
        """Return the sum of the auxiliary losses, a scalar; 0 if there are no auxiliary tasks.

        Parameters
        ----------
        adversarial : AdversarialLoss
            Loss of the adversarial training; the corrupted images count as fake.
        real : Tensor
            This replica's real images.
        images : mapping of str to Tensor
            The result of `images`.
        outputs : mapping of str to DiscriminatorOutput
            Output of the discriminator for the real images, under the key "real", and for each
            batch of `images`, under its key.
        """
        loss = 0.0
        if self._corruptions:
            loss += tf.reduce_mean(adversarial.fake(outputs[CORRUPTED].logits))
        if self._localization_head is not None:
            blocks = outputs["real"].blocks, outputs[CORRUPTED].blocks
            loss += _localization_loss(self._localization_head, real, images[CORRUPTED], *blocks)
        if self._transformation_head is not None:
            last_block = outputs[TRANSFORMED].blocks[-1]
            loss += _transformation_loss(self._transformation_head, real, last_block)
        return loss


def _localization_loss(
    head: keras.Model,
    real: Tensor,
    corrupted: Tensor,
    real_blocks: Sequence[Tensor],
    corrupted_blocks: Sequence[Tensor],
) -> Tensor:
    """Return the loss of the localization head, which classifies locations as intact or corrupted.

    Corrupted and intact locations have half of the weight each, whatever their number. Among the
    corrupted locations, an image has the weight of the square root of their number in the image, so
    that neither a large corruption nor a single location dominates.

    Parameters
    ----------
    head : keras.Model
        See `augan.gan.networks.heads.localization_head`.
    real, corrupted : Tensor [N, S, S, C]
        This replica's real images, and the same images with corruptions.
    real_blocks, corrupted_blocks : sequence of Tensor
        The discriminator's blocks for these images.
    """
    real_logits, corrupted_logits = (
        head(concat_blocks(blocks), training=True) for blocks in (real_blocks, corrupted_blocks)
    )
    stride = real.shape[1] // real_logits.shape[1]
    mask = corruption_mask(real, corrupted, stride)
    intact = tf.reduce_sum(tf.nn.softplus(-real_logits))
    intact += tf.reduce_sum(tf.nn.softplus(-corrupted_logits) * (1 - mask))
    num_real = tf.cast(tf.size(real_logits), tf.float32)
    intact /= distribution.mean(tf.reduce_sum(1 - mask)) + num_real
    weights = mask / tf.sqrt(tf.maximum(tf.reduce_sum(mask, (1, 2), keepdims=True), 1.0))
    located = tf.reduce_sum(tf.nn.softplus(corrupted_logits) * weights)
    # The weights are those of the whole batch: all of them may be in the rows of one replica.
    min_weight = 1.0 / distribution.num_replicas()
    return intact + located / tf.maximum(distribution.mean(tf.reduce_sum(weights)), min_weight)


def _transformation_loss(head: keras.Model, real: Tensor, last_block: Tensor) -> Tensor:
    """Return the loss of the transformation head, the mean negative log-likelihood.

    `real` are this replica's real images, for the batch size; `last_block` is the discriminator's
    last block for the transformed images.
    """
    batch_size = real.shape[0] * distribution.num_replicas()
    transforms = distribution.local_rows(assigned_transforms(batch_size))
    logits = head(tf.reshape(last_block, (last_block.shape[0], -1)), training=True)
    return tf.reduce_mean(negative_log_likelihood(logits, transforms))
