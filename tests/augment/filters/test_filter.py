"""The training data that candidates are compared with."""

import numpy as np

from augan.augment.training_reference import TrainingReference


class TestTrainingReference:
    def test_training_samples_include_unlabeled_samples(self) -> None:
        pixels = np.arange(6)[:, None, None, None] * np.ones((6, 8, 8, 1), np.uint8)
        names, train, held_out = tuple("abcdef"), np.array([0, 1, 2, 3]), np.array([4, 5])
        labels = np.array([0, 1, 0, 1, 0, 1])
        labeled = TrainingReference(pixels, labels, names, train, held_out)
        samples, found_names = labeled.training_samples(1)
        assert (samples[:, 0, 0, 0].tolist(), found_names) == ([1, 3], ["b", "d"])
        with_unlabeled = TrainingReference(
            pixels, labels, names, train, held_out, pixels[:2] + 100, ("x", "y")
        )
        samples, found_names = with_unlabeled.training_samples(1)
        assert (samples[:, 0, 0, 0].tolist(), found_names) == (
            [1, 3, 100, 101],
            ["b", "d", "x", "y"],
        )
        samples, classes = with_unlabeled.held_out_samples()
        assert (samples[:, 0, 0, 0].tolist(), classes.tolist()) == ([4, 5], [0, 1])
