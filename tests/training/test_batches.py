"""Tests of `augan.training.batches`."""

import math

import numpy as np
import pytest

from augan.training.batches import Batches, one_hot


def as_float(pixels):
    return pixels.astype(np.float32) / 255


def make_batches(n, batch_size, *, classes=0, seed=0):
    """Return batches of images whose pixels hold the index of the image."""
    images = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, 2, 2, 1))
    labels = np.arange(n) % classes if classes else None
    return Batches(
        images,
        labels,
        num_classes=classes,
        batch_size=batch_size,
        normalize=lambda prepared: prepared * 2,
        seed=seed,
    )


@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (10, 4), (7, 5), (3, 8), (1, 4)])
def test_each_epoch_contains_each_row_once(n, batch_size):
    batches = make_batches(n, batch_size)
    steps = math.ceil(5 * n / batch_size)
    rows = np.concatenate([batches.batch_indices(step) for step in range(steps)])
    assert len(rows) == steps * batch_size
    for epoch in range(5):
        assert sorted(rows[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_each_epoch_and_seed_has_another_order():
    one, other = make_batches(50, 50), make_batches(50, 50, seed=1)
    orders = [tuple(b.batch_indices(step)) for b in (one, other) for step in range(4)]
    assert len(set(orders)) == 8


def test_batches_are_a_pure_function_of_the_step():
    batches, fresh = make_batches(20, 6), make_batches(20, 6)
    forward = [batches.batch_indices(step) for step in range(12)]
    for step in reversed(range(12)):
        np.testing.assert_array_equal(batches.batch_indices(step), forward[step])
    np.testing.assert_array_equal(fresh.batch_indices(7), forward[7])


def test_chunk_equals_its_steps_in_order():
    batches = make_batches(20, 6, classes=3)
    images, classes = batches.chunk(2, 5)
    assert images.shape == (5, 6, 2, 2, 1)
    assert classes.shape == (5, 6, 3)
    assert images.dtype == classes.dtype == np.float32
    for position in range(5):
        rows = batches.batch_indices(2 + position)
        # `normalize` doubles the index that each image holds.
        np.testing.assert_array_equal(images[position, :, 0, 0, 0], 2 * rows)
        np.testing.assert_array_equal(images[position, :, 1, 1, 0], 2 * rows)
        np.testing.assert_array_equal(classes[position], np.eye(3)[rows % 3])
    again = batches.chunk(2, 5)
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(batches.chunk(4, 1)[0][0], images[2])


@pytest.mark.parametrize("labels", [None, np.zeros(5, int)])
def test_without_classes_the_one_hot_is_empty(labels):
    batches = Batches(
        np.zeros((5, 2, 2, 1), np.uint8),
        labels,
        num_classes=0,
        batch_size=4,
        normalize=as_float,
        seed=0,
    )
    images, classes = batches.chunk(0, 3)
    assert images.shape == (3, 4, 2, 2, 1)
    assert classes.shape == (3, 4, 0)


def test_only_the_rows_of_a_batch_are_read(tmp_path):
    class Watched(np.ndarray):
        asked: list = []  # noqa: RUF012

        def __getitem__(self, key):
            Watched.asked.append(np.size(key))
            return np.asarray(self)[key]

    images = np.zeros((1000, 2, 2, 1), np.uint8).view(Watched)
    batches = Batches(images, None, num_classes=0, batch_size=4, normalize=as_float, seed=0)
    batches.chunk(0, 2)
    assert Watched.asked == [8]


def test_one_hot_of_unknown_classes_and_of_weights():
    classes = np.array([1, -1, 0])
    rows = np.array([2, 1, 0])
    np.testing.assert_array_equal(one_hot(classes, rows, 2), [[1, 0], [0, 0], [0, 1]])
    weights = np.array([[0.25, 0.75], [1, 0], [0.5, 0.5]], np.float32)
    np.testing.assert_array_equal(one_hot(weights, rows, 2), weights[rows])
