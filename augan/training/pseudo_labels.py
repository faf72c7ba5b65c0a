"""Pseudo-labels: predicted classes of unlabeled images, for training a conditional GAN.

Pseudo-labels (Lee 2013) come from the classifier, which is trained on labeled images only. They are
assigned once, before the GAN trains, as in S2GAN (Lucic et al. 2019, "High-Fidelity Image
Generation With Fewer Labels"). They are a function of the classifier's weights, so a resumed run
assigns the same pseudo-labels.
"""

from dataclasses import dataclass

import numpy as np

from augan.bundle import PseudoLabelCounts
from augan.data.modalities.base import Preprocessing
from augan.data.sequences import ConcatRows, SlidingWindows
from augan.gan import keras
from augan.gan.inference import BatchInference

MIN_PROBABILITY = 0.9  # smallest probability of a pseudo-label in the mode "thresholded"
_CHUNK_SIZE = 1024  # samples that are float32 at once


@dataclass(frozen=True)
class PseudoLabels:
    """Samples and classes that a GAN trains on.

    Attributes
    ----------
    indices : ndarray of int
        The samples to train on.
    classes : ndarray [N] of int, ndarray [N, K] of float32, or None
        Known class index of every sample, or its class probabilities, known or predicted.
    """

    indices: np.ndarray
    classes: np.ndarray | None

    def describe(self, unlabeled: np.ndarray) -> PseudoLabelCounts:
        """Return how many unlabeled samples the GAN trains on, in all and of each class.

        Parameters
        ----------
        unlabeled : ndarray of int
            Indices of all unlabeled samples.
        """
        used, classes = np.intersect1d(unlabeled, self.indices), np.asarray(self.classes)
        if classes.ndim == 2:
            counts = classes[used].sum(axis=0, dtype=np.float64)
        else:
            counts = np.bincount(classes[used], minlength=classes.max() + 1)
        rounded = tuple(round(float(count), 3) for count in counts)
        return PseudoLabelCounts(len(unlabeled), len(used), rounded)


def assign_pseudo_labels(
    classifier: keras.Model,
    samples: np.ndarray | ConcatRows | SlidingWindows,
    classes: np.ndarray,
    preprocessing: Preprocessing,
    *,
    labeled: np.ndarray,
    unlabeled: np.ndarray,
    mode: str,
) -> PseudoLabels:
    """Predict a class for every unlabeled sample, for the training of a conditional GAN.

    Parameters
    ----------
    classifier : keras.Model
        Samples -> logits `[N, K]`.
    samples : ndarray [N, S, S, C], ConcatRows or SlidingWindows
        Prepared samples.
    classes : ndarray [N] of int
        Known classes; those of unlabeled samples are not read.
    preprocessing : Preprocessing
        Normalizes prepared samples for the classifier.
    labeled, unlabeled : ndarray of int
        Indices of the samples to train on.
    mode : {"hard", "thresholded", "soft"}
        "hard" takes the most probable class. "thresholded" does the same, and leaves out samples
        whose most probable class has less than `MIN_PROBABILITY`. "soft" takes the probabilities,
        as a mixture of classes.
    """
    probabilities = _probabilities(classifier, samples, preprocessing, unlabeled)
    if mode == "soft":
        weights = np.zeros((len(classes), probabilities.shape[1]), np.float32)
        weights[labeled, classes[labeled]] = 1.0
        weights[unlabeled] = probabilities
        return PseudoLabels(np.concatenate([labeled, unlabeled]), weights)
    predicted = classes.copy()
    predicted[unlabeled] = probabilities.argmax(axis=1)
    threshold = MIN_PROBABILITY if mode == "thresholded" else 0.0
    is_used = probabilities.max(axis=1) >= threshold
    return PseudoLabels(np.concatenate([labeled, unlabeled[is_used]]), predicted)


def _probabilities(
    classifier: keras.Model,
    samples: np.ndarray | ConcatRows | SlidingWindows,
    preprocessing: Preprocessing,
    indices: np.ndarray,
) -> np.ndarray:
    """Return the classifier's class probabilities `[len(indices), K]` of some samples, float64."""
    classify = BatchInference.from_model(classifier)
    chunks = [
        classify(preprocessing.normalize(samples[indices[start : start + _CHUNK_SIZE]]))[0]
        for start in range(0, len(indices), _CHUNK_SIZE)
    ]
    logits = np.concatenate(chunks).astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
