"""Tests of the pseudo-label benchmark."""

import numpy as np

from benchmarks.gan import pseudo_labels


def test_remove_labels_keeps_ten_labels_of_each_class():
    training, test = pseudo_labels.split_digits()
    assert not set(training.names) & set(test.names)
    dataset, images, truth = pseudo_labels.remove_labels(training, seed=1)
    assert np.bincount(dataset.labels).tolist() == [10] * 10
    assert len(dataset) + dataset.num_unlabeled == len(training)
    np.testing.assert_array_equal(dataset.unlabeled.images, images)
    # Kept and lost labels still belong to their images.
    known = {np.asarray(i).tobytes(): int(y) for i, y in zip(training.images, training.labels)}
    assert [known[i.tobytes()] for i in dataset.images] == dataset.labels.tolist()
    assert [known[i.tobytes()] for i in images] == truth.tolist()
    other, _, _ = pseudo_labels.remove_labels(training, seed=2)
    assert not np.array_equal(other.images, dataset.images)
