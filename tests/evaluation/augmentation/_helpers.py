"""Samplers and a preprocessing for the tests of the evaluation of augmentation."""

import numpy as np

from augan.evaluation.augmentation.synthetic import GanArm


def scale(images):
    """Scale 8-bit images to [-1, 1]."""
    return images.astype(np.float32) / 127.5 - 1


class CopySampler:
    """Appends copies of the given images; `change` modifies the result."""

    def __init__(self, times=2, change=lambda X, y: (X, y)):
        self.times, self.change = times, change

    def fit_resample(self, X, y):
        copies = np.repeat(X, self.times, axis=0), np.repeat(y, self.times)
        return self.change(np.concatenate([X, copies[0]]), np.concatenate([y, copies[1]]))


def gan_arm_of(sampler):
    """Return a GAN arm with a sampler."""
    return GanArm("test", lambda subset: sampler)
