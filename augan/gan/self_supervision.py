"""Self-supervised prediction of image transformations.

A rotation by quarter turns, a vertical shift, a horizontal shift and a stretch, each predicted by
a separate head (Hendrycks et al. 2019, "Using Self-Supervised Learning Can Improve Model Robustness
and Uncertainty"; for the discriminator, Chen et al. 2019, "Self-Supervised GANs via Auxiliary
Rotation Loss"). The negative log-likelihood of the true transformations of an image also measures
how far the image is from the training images.
"""

from itertools import product

import tensorflow as tf

from augan.gan.tensorflow import Tensor

PretextTransform = tuple[int, int, int, int]  # rotation, vertical shift, horizontal shift, stretch

NUM_ROTATIONS = 4
SHIFT = 0.125  # fraction of the side; the border is filled by reflection
STRETCH = 1.25  # factor of the height or the width; the image is cropped to its center
# Number of classes of each head: quarter turns; none, up or down; none, left or right; none, higher
# or wider.
HEAD_SIZES = (NUM_ROTATIONS, 3, 3, 3)
# Every rotation occurs with every pair of shifts, and every pair of a rotation and a shift occurs
# with each stretch equally often.
PRETEXT_TRANSFORMS: tuple[PretextTransform, ...] = tuple(
    (rotation, vertical, horizontal, (rotation + 2 * horizontal) % 3)
    for rotation, vertical, horizontal in product(range(4), range(3), range(3))
)
# A third of the transforms, in which every rotation occurs with every shift in either direction
# equally often. They separate normal from anomalous images as well as all transforms do, in a third
# of the time.
EVAL_TRANSFORMS = tuple(t for t in PRETEXT_TRANSFORMS if sum(t[:3]) % 3 == 0)

_DIRECTIONS = (0, -1, 1)


def transform(images: Tensor, kind: PretextTransform) -> Tensor:
    """Return images `[N, S, S, C]`, all transformed in the same way.

    `kind` is one of `PRETEXT_TRANSFORMS`: number of quarter turns (0 to 3), vertical shift,
    horizontal shift and stretch (0 to 2 each, 0 for none).
    """
    turns, vertical, horizontal, stretch = kind
    stretched = _stretched(images, stretch) if stretch else images
    rotated = _rotated(stretched, turns) if turns else stretched
    if not (vertical or horizontal):
        return rotated
    side = images.shape[1]
    distance = max(1, round(side * SHIFT))
    padding = [[0, 0], [distance, distance], [distance, distance], [0, 0]]
    padded = tf.pad(rotated, padding, mode="REFLECT")
    top, left = (distance + distance * _DIRECTIONS[i] for i in (vertical, horizontal))
    return padded[:, top : top + side, left : left + side]


def _rotated(images: Tensor, turns: int) -> Tensor:
    """Return images `[N, S, S, C]` rotated by 1 to 3 quarter turns, counterclockwise.

    The result is that of `tf.image.rot90`, without its branches in the graph.
    """
    if turns == 2:
        return tf.reverse(images, (1, 2))
    if turns == 1:
        return tf.transpose(tf.reverse(images, (2,)), (0, 2, 1, 3))
    return tf.reverse(tf.transpose(images, (0, 2, 1, 3)), (2,))


def _stretched(images: Tensor, stretch: int) -> Tensor:
    """Return the center crop of images that are stretched in height (1) or in width (2)."""
    side = images.shape[1]
    longer = round(side * STRETCH)
    start = (longer - side) // 2
    if stretch == 1:
        return tf.image.resize(images, (longer, side))[:, start : start + side]
    return tf.image.resize(images, (side, longer))[:, :, start : start + side]


def transformed_batch(images: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Transform each image of a batch; return the images and the labels for their prediction.

    The images of a batch are already in random order. The transforms are assigned in a fixed order
    to the images, which are rolled by the step. Batches of fewer than 36 images leave out
    transforms, first those that are not in `EVAL_TRANSFORMS`.

    Parameters
    ----------
    images : Tensor [N, S, S, C]
        N must be known when the graph is built.
    step : Tensor
        Number of the training step, a scalar integer.

    Returns
    -------
    images : Tensor [N, S, S, C]
        Transformed images.
    transforms : Tensor [N, 4]
        Int32 class of each head, see `HEAD_SIZES`.
    """
    counts = _transform_counts(images.shape[0])
    rolled = tf.roll(images, tf.cast(step, tf.int32), axis=0)
    parts = tf.split(rolled, counts)
    transformed = [transform(part, t) for part, t, n in zip(parts, PRETEXT_TRANSFORMS, counts) if n]
    return tf.concat(transformed, axis=0), assigned_transforms(images.shape[0])


def assigned_transforms(count: int) -> Tensor:
    """Return the labels of `transformed_batch` for a batch of `count` images, int32 `[count, 4]`.

    The labels are the same at each step.
    """
    labels = [t for t, n in zip(PRETEXT_TRANSFORMS, _transform_counts(count)) for _ in range(n)]
    return tf.constant(labels, tf.int32)


def _transform_counts(count: int) -> list[int]:
    """Return how many of `count` images each transform of `PRETEXT_TRANSFORMS` gets."""
    if count < len(PRETEXT_TRANSFORMS):
        others = (t for t in PRETEXT_TRANSFORMS if t not in EVAL_TRANSFORMS)
        included = [*EVAL_TRANSFORMS, *others][:count]
        return [int(t in included) for t in PRETEXT_TRANSFORMS]
    total = len(PRETEXT_TRANSFORMS)
    return [count * (i + 1) // total - count * i // total for i in range(total)]


def negative_log_likelihood(logits: Tensor, transforms: Tensor) -> Tensor:
    """Return how poorly a transformation head predicts the true transforms of each image, `[N]`.

    The result is the negative log-likelihood, summed over the four heads.

    Parameters
    ----------
    logits : Tensor [N, 13]
        Logits of the heads, side by side.
    transforms : Tensor [N, 4]
        True class of each head, int32.
    """
    heads = tf.split(logits, HEAD_SIZES, axis=1)
    return tf.add_n(
        [
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=transforms[:, i], logits=head)
            for i, head in enumerate(heads)
        ]
    )
