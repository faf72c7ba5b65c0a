"""Tests of `augan.gan.self_supervision`."""

import numpy as np
import pytest
from scipy.special import log_softmax

from augan.gan import tf
from augan.gan.self_supervision import (
    EVAL_TRANSFORMS,
    HEAD_SIZES,
    PRETEXT_TRANSFORMS,
    assigned_transforms,
    negative_log_likelihood,
    transform,
    transformed_batch,
)


def make_images(n, side=8, channels=1):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (n, side, side, channels)).astype(np.float32)


def expected(image, kind):
    """Return an image `[S, S, C]` stretched, rotated and shifted, with a reflected border."""
    turns, vertical, horizontal, stretch = kind
    reach, size = max(1, round(len(image) * 0.125)), len(image)
    longer = round(size * 1.25)
    shape = {0: (size, size), 1: (longer, size), 2: (size, longer)}[stretch]
    start = [(length - size) // 2 for length in shape]
    stretched = tf.image.resize(image, shape).numpy()
    stretched = stretched[start[0] : start[0] + size, start[1] : start[1] + size]
    wide = np.pad(np.rot90(stretched, turns), ((reach, reach), (reach, reach), (0, 0)), "reflect")
    top, left = (reach + reach * (0, -1, 1)[i] for i in (vertical, horizontal))
    return wide[top : top + size, left : left + size]


def test_eval_transforms_are_a_balanced_third_of_36_transforms():
    assert len(set(PRETEXT_TRANSFORMS)) == len(PRETEXT_TRANSFORMS) == 36
    for pair in ((0, 3), (1, 3), (2, 3)):  # the classes of two heads are independent
        pairs = {(kind[pair[0]], kind[pair[1]]) for kind in PRETEXT_TRANSFORMS}
        assert len(pairs) == HEAD_SIZES[pair[0]] * HEAD_SIZES[pair[1]]
    assert len(EVAL_TRANSFORMS) == 12
    for head, size in enumerate(HEAD_SIZES):
        counts = np.bincount([kind[head] for kind in EVAL_TRANSFORMS], minlength=size)
        assert set(counts) == {12 // size}


@pytest.mark.parametrize("kind", PRETEXT_TRANSFORMS)
def test_transform_stretches_rotates_and_shifts(kind):
    images = make_images(2, side=16, channels=3)
    transformed = transform(tf.constant(images), kind).numpy()
    np.testing.assert_allclose(transformed, [expected(image, kind) for image in images], atol=1e-6)


@pytest.mark.parametrize("n", [5, 36, 64])
def test_transformed_batch_assigns_all_transforms_equally(n):
    images, step = make_images(n), 3
    transformed, transforms = transformed_batch(tf.constant(images), tf.constant(step, tf.int64))
    rolled = np.roll(images, step, axis=0)
    expected_images = [expected(image, kind) for image, kind in zip(rolled, transforms.numpy())]
    np.testing.assert_allclose(transformed.numpy(), expected_images, atol=1e-6)
    counts = [int((transforms.numpy() == kind).all(axis=1).sum()) for kind in PRETEXT_TRANSFORMS]
    assert sum(counts) == n
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("n", [12, 16, 32])
def test_small_batches_contain_the_eval_transforms(n):
    transforms = [tuple(kind) for kind in assigned_transforms(n).numpy().tolist()]
    assert set(EVAL_TRANSFORMS) <= set(transforms)
    assert len(set(transforms)) == len(transforms) == n


def test_negative_log_likelihood_is_summed_over_heads():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, sum(HEAD_SIZES)))
    transforms = np.array([[0, 0, 0, 1], [3, 2, 1, 2], [1, 1, 2, 0], [2, 0, 1, 1]])
    heads, rows = np.split(logits, np.cumsum(HEAD_SIZES)[:-1], axis=1), np.arange(4)
    expected_images = -sum(
        log_softmax(head, axis=1)[rows, transforms[:, i]] for i, head in enumerate(heads)
    )
    actual = negative_log_likelihood(
        tf.constant(logits, tf.float32), tf.constant(transforms, tf.int32)
    )
    np.testing.assert_allclose(actual, expected_images, rtol=1e-5)
