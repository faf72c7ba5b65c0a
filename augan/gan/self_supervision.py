"""Transformations that the discriminator learns to recognise, a task that needs no labels.

A quarter turn, a shift down, a shift across and a stretch, each told by a head of its own
(Hendrycks et al. 2019, "Using Self-Supervised Learning Can Improve Model Robustness and
Uncertainty"; for the discriminator, Chen et al. 2019, "Self-Supervised GANs via Auxiliary Rotation
Loss"). How badly the heads do on an image also says how unlike the training images it is.
"""

from itertools import product
from typing import Any

import tensorflow as tf

Tensor = Any

TURNS = 4
SHIFT = 0.125  # of the side; what leaves on one side is mirrored in on the other
STRETCH = 1.25  # times as high or as wide; what sticks out is cut off
# Quarter turns; stays, up or down; stays, left or right; as it is, higher or wider.
HEADS = (TURNS, 3, 3, 3)
# Each turn meets each shift in either direction, and each pair of these each stretch equally often.
KINDS = tuple(
    (*kind, (kind[0] + 2 * kind[2]) % 3) for kind in product(range(4), range(3), range(3))
)
# A third of them, in which each turn meets each shift in either direction equally often: judging
# an image by these costs a third and told normal from other images as well.
PROBES = tuple(kind for kind in KINDS if sum(kind[:3]) % 3 == 0)

_DIRECTION = (0, -1, 1)


def transform(images: Tensor, kind: tuple[int, int, int, int]) -> Tensor:
    """Return images `[N, S, S, C]` stretched, turned and shifted by one of `KINDS`."""
    turns, down, across, stretch = kind
    stretched = _stretched(images, stretch) if stretch else images
    turned = _turned(stretched, turns) if turns else stretched
    if not (down or across):
        return turned
    side = images.shape[1]
    reach = max(1, round(side * SHIFT))
    wide = tf.pad(turned, [[0, 0], [reach, reach], [reach, reach], [0, 0]], mode="REFLECT")
    top, left = (reach + reach * _DIRECTION[i] for i in (down, across))
    return wide[:, top : top + side, left : left + side]


def _turned(images: Tensor, turns: int) -> Tensor:
    """Return images turned by quarters: what `tf.image.rot90` does, without its branches."""
    if turns == 2:
        return tf.reverse(images, (1, 2))
    if turns == 1:
        return tf.transpose(tf.reverse(images, (2,)), (0, 2, 1, 3))
    return tf.reverse(tf.transpose(images, (0, 2, 1, 3)), (2,))


def _stretched(images: Tensor, way: int) -> Tensor:
    """Return images made higher (1) or wider (2), the middle of them."""
    side = images.shape[1]
    longer = round(side * STRETCH)
    start = (longer - side) // 2
    if way == 1:
        return tf.image.resize(images, (longer, side))[:, start : start + side]
    return tf.image.resize(images, (side, longer))[:, :, start : start + side]


def transformed_batch(images: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images `[N, S, S, C]` of a batch, each transformed, and the kinds `[N, 4]`.

    The kinds are dealt in turn, to other images at each step. Batches of fewer than 36 leave kinds
    out, those that no detector asks for first; images come in random order already. N is known
    beforehand.
    """
    shares = _shares(images.shape[0])
    dealt = tf.roll(images, tf.cast(step, tf.int32), axis=0)
    parts = tf.split(dealt, shares)
    moved = [transform(part, kind) for part, kind, n in zip(parts, KINDS, shares) if n]
    return tf.concat(moved, axis=0), dealt_kinds(images.shape[0])


def dealt_kinds(count: int) -> Tensor:
    """Return the kinds `[count, 4]` of a transformed batch, which are the same at each step."""
    labels = [kind for kind, n in zip(KINDS, _shares(count)) for _ in range(n)]
    return tf.constant(labels, tf.int32)


def _shares(count: int) -> list[int]:
    """How many images of a batch are of each kind: in a small one, none but the first asked for."""
    if count < len(KINDS):
        first = [*PROBES, *(kind for kind in KINDS if kind not in PROBES)][:count]
        return [int(kind in first) for kind in KINDS]
    return [count * (i + 1) // len(KINDS) - count * i // len(KINDS) for i in range(len(KINDS))]


def surprise(logits: Tensor, kinds: Tensor) -> Tensor:
    """Return minus the log-likelihood of the true kinds, summed over heads, `[N]`.

    `logits` are `[N, 13]`, the heads side by side; `kinds` `[N, 4]`.
    """
    heads = tf.split(logits, HEADS, axis=1)
    return tf.add_n(
        [
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=kinds[:, i], logits=head)
            for i, head in enumerate(heads)
        ]
    )
