"""Guessed classes for unlabeled images, so that a conditional GAN can learn from them too.

Pseudo-labels (Lee 2013), by the agreement classifier, which is fitted on labeled images alone.
They are guessed once, before the GAN trains, as in S2GAN (Lucic et al. 2019, "High-Fidelity Image
Generation With Fewer Labels"), and are a function of the classifier's weights: a resumed run
guesses the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from augan.data.modalities.registry import AnyPreprocessing
from augan.data.sequences import ConcatRows, SlidingWindows
from augan.gan import keras
from augan.gan.inference import BatchInference

CONFIDENT = 0.9  # probability from which "thresholded" believes the classifier
_CHUNK = 1024  # images that are float32 at once


@dataclass(frozen=True)
class Guessed:
    """What a GAN trains on.

    Attributes
    ----------
    rows : ndarray of int
        Which images.
    classes : ndarray [N] of int, ndarray [N, K] of float32, or None
        Index or weights of every image's class, known or guessed.
    """

    rows: np.ndarray
    classes: np.ndarray | None

    def describe(self, unlabeled: np.ndarray) -> dict[str, Any]:
        """Return how many unlabeled images are used, and how many of them each class got."""
        used, classes = np.intersect1d(unlabeled, self.rows), np.asarray(self.classes)
        if classes.ndim == 2:
            counts = classes[used].sum(axis=0, dtype=np.float64)
        else:
            counts = np.bincount(classes[used], minlength=classes.max() + 1)
        shown = [round(float(count), 3) for count in counts]
        return {"n": len(unlabeled), "used": len(used), "class_counts": shown}


def guess_classes(
    classifier: keras.Model,
    pixels: np.ndarray | ConcatRows | SlidingWindows,
    classes: np.ndarray,
    preprocessing: AnyPreprocessing,
    *,
    labeled: np.ndarray,
    unlabeled: np.ndarray,
    how: str,
) -> Guessed:
    """Give every unlabeled image a class.

    Parameters
    ----------
    classifier : keras.Model
        Images -> logits `[N, K]`.
    pixels : ndarray [N, S, S, C], or ConcatRows
        Stored squares.
    classes : ndarray [N] of int
        Those of the rows `unlabeled` are not read.
    labeled, unlabeled : ndarray of int
        Rows to train on.
    how : {"hard", "thresholded", "soft"}
        The likeliest class; the same, but only where its probability is at least `CONFIDENT`; or
        the probabilities themselves, as a mixture of classes.
    """
    shares = _probabilities(classifier, pixels, preprocessing, unlabeled)
    if how == "soft":
        weights = np.zeros((len(classes), shares.shape[1]), np.float32)
        weights[labeled, classes[labeled]] = 1.0
        weights[unlabeled] = shares
        return Guessed(np.concatenate([labeled, unlabeled]), weights)
    guessed = classes.copy()
    guessed[unlabeled] = shares.argmax(axis=1)
    sure = shares.max(axis=1) >= (CONFIDENT if how == "thresholded" else 0.0)
    return Guessed(np.concatenate([labeled, unlabeled[sure]]), guessed)


def _probabilities(
    classifier: keras.Model,
    pixels: np.ndarray | ConcatRows | SlidingWindows,
    preprocessing: AnyPreprocessing,
    rows: np.ndarray,
) -> np.ndarray:
    classify = BatchInference.from_model(classifier)
    parts = [
        classify(preprocessing.normalize(pixels[rows[start : start + _CHUNK]]))[0]
        for start in range(0, len(rows), _CHUNK)
    ]
    logits = np.concatenate(parts).astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
