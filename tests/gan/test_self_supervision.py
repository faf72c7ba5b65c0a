"""The kinds are what they say, are dealt fairly, and doubt is the likelihood's."""

import numpy as np
import pytest
from scipy.special import log_softmax

from augan.gan import tf
from augan.gan.self_supervision import (
    EVAL_TRANSFORMS,
    HEAD_SIZES,
    TRANSFORMS,
    assigned_transforms,
    negative_log_likelihood,
    transform,
    transformed_batch,
)


def pictures(n, side=8, channels=1):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (n, side, side, channels)).astype(np.float32)


def expected(image, kind):
    """One image `[S, S, C]`, stretched, turned and then moved; what enters is mirrored."""
    turns, down, across, way = kind
    reach, size = max(1, round(len(image) * 0.125)), len(image)
    longer = round(size * 1.25)
    shape = {0: (size, size), 1: (longer, size), 2: (size, longer)}[way]
    start = [(length - size) // 2 for length in shape]
    stretched = tf.image.resize(image, shape).numpy()
    stretched = stretched[start[0] : start[0] + size, start[1] : start[1] + size]
    wide = np.pad(np.rot90(stretched, turns), ((reach, reach), (reach, reach), (0, 0)), "reflect")
    top, left = (reach + reach * (0, -1, 1)[i] for i in (down, across))
    return wide[top : top + size, left : left + size]


def test_there_are_36_kinds_and_the_probes_are_a_fair_third():
    assert len(set(TRANSFORMS)) == len(TRANSFORMS) == 36
    for pair in ((0, 3), (1, 3), (2, 3)):  # no head could be told by another
        met = {(kind[pair[0]], kind[pair[1]]) for kind in TRANSFORMS}
        assert len(met) == HEAD_SIZES[pair[0]] * HEAD_SIZES[pair[1]]
    assert len(EVAL_TRANSFORMS) == 12
    for head, size in enumerate(HEAD_SIZES):
        counts = np.bincount([kind[head] for kind in EVAL_TRANSFORMS], minlength=size)
        assert set(counts) == {12 // size}


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_a_kind_turns_and_shifts(kind):
    images = pictures(2, side=16, channels=3)
    moved = transform(tf.constant(images), kind).numpy()
    np.testing.assert_allclose(moved, [expected(image, kind) for image in images], atol=1e-6)


@pytest.mark.parametrize("n", [5, 36, 64])
def test_a_batch_is_dealt_all_kinds_in_turn(n):
    images, step = pictures(n), 3
    moved, kinds = transformed_batch(tf.constant(images), tf.constant(step, tf.int64))
    dealt = np.roll(images, step, axis=0)
    by_hand = [expected(image, kind) for image, kind in zip(dealt, kinds.numpy())]
    np.testing.assert_allclose(moved.numpy(), by_hand, atol=1e-6)
    counts = [int((kinds.numpy() == kind).all(axis=1).sum()) for kind in TRANSFORMS]
    assert sum(counts) == n
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("n", [12, 16, 32])
def test_a_small_batch_teaches_what_a_detector_asks(n):
    kinds = [tuple(kind) for kind in assigned_transforms(n).numpy().tolist()]
    assert set(EVAL_TRANSFORMS) <= set(kinds)
    assert len(set(kinds)) == len(kinds) == n


def test_surprise_is_minus_the_log_likelihood_of_all_heads():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, sum(HEAD_SIZES)))
    kinds = np.array([[0, 0, 0, 1], [3, 2, 1, 2], [1, 1, 2, 0], [2, 0, 1, 1]])
    heads, rows = np.split(logits, np.cumsum(HEAD_SIZES)[:-1], axis=1), np.arange(4)
    by_hand = -sum(log_softmax(head, axis=1)[rows, kinds[:, i]] for i, head in enumerate(heads))
    given = negative_log_likelihood(tf.constant(logits, tf.float32), tf.constant(kinds, tf.int32))
    np.testing.assert_allclose(given, by_hand, rtol=1e-5)
