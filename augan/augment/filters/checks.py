"""The judge of candidates: a bundle's networks and its training images behind the filters."""

from dataclasses import dataclass, replace

import numpy as np

from augan.augment.filters import rules
from augan.augment.filters.reference import Reference
from augan.augment.filters.rules import Memory, Neighbours
from augan.bundle import Bundle, restore_network
from augan.data.duplicates import is_fine
from augan.data.modalities.registry import AnyPreprocessing, restore_preprocessing
from augan.data.splits import evenly
from augan.exceptions import BundleError
from augan.gan.inference import Inference

MAX_ROWS = 10_000  # of a table that are looked at to see whether equal rows are chance


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found of some candidates, one entry each; None where it could not be looked at.

    Attributes
    ----------
    verdicts
        "kept", "unchecked", or the reason of the rejection, see `augan.augment.filters.rules`.
    score
        The discriminator's logit for the class, higher = more like a real one.
    agreement
        The classifier's probability of the class.
    distance, nearest
        Root mean square difference to the nearest training sample in the network's range (-1 to
        1), and the name of that sample.
    """

    verdicts: list[str]
    score: np.ndarray | None = None
    agreement: np.ndarray | None = None
    distance: np.ndarray | None = None
    nearest: list[str] | None = None


class Unfiltered:
    """Lets every candidate pass."""

    compares = False

    def begin(self, index: int) -> None:
        """All classes are the same."""

    def judge(self, stored: np.ndarray) -> Judged:
        """Return that nothing was checked."""
        return Judged([rules.UNCHECKED] * len(stored))

    def without_repeats(self, judged: Judged, stored: np.ndarray) -> Judged:
        """Let repetitions pass, too."""
        return judged

    def remember(self, stored: np.ndarray) -> None:
        """Nothing is compared."""

    def limits(self) -> dict[str, float]:
        """Return no limit."""
        return {}


class Checker:
    """Judges the candidates of one class after another.

    Without the training images only the classifier is asked, and what passes is "unchecked".

    Parameters
    ----------
    bundle : Bundle
        One with classes and a classifier.
    reference : Reference or None
        The images that it was trained on.

    Attributes
    ----------
    compares : bool
        Whether candidates are compared with training samples and with each other.
    """

    def __init__(self, bundle: Bundle, reference: Reference | None) -> None:
        self.preprocessing: AnyPreprocessing = restore_preprocessing(bundle.preprocessing)
        self.num_classes = len(bundle.data["class_names"])
        self.reference = reference
        self._classify = _inference(bundle, "classifier", self.num_classes)
        self._lowest, self.compares = -np.inf, False
        if reference is not None:
            self._discriminate = _inference(bundle, "discriminator")
            samples, labels = reference.unseen()
            if len(samples):
                self._lowest = rules.lowest(self._scores(self._scaled(samples), labels))
            self.compares = self.preprocessing.noun == "images" or is_fine(
                reference.pixels[evenly(reference.fit, MAX_ROWS)]
            )

    def begin(self, index: int) -> None:
        """Turn to a class."""
        self._index, self._limit = index, 0.0
        if self.reference is not None and self.compares:
            seen, self._names = self.reference.seen(index)
            self._neighbours = Neighbours(rules.comparable(self._scaled(seen)))
            self._limit = self._neighbours.limit()
        self._memory = Memory(rules.NEARER * self._limit)

    def judge(self, stored: np.ndarray) -> Judged:
        """Judge candidates `[N, ...]`, as stored, each by itself: they may repeat each other."""
        scaled = self._scaled(stored)
        verdicts = np.full(len(stored), rules.UNCHECKED, object)
        score = distance = nearest = None
        (logits,) = self._classify(scaled)
        agreement = rules.agreement(logits, self._index)
        _reject(verdicts, rules.disagrees(logits, self._index), rules.DISAGREES)
        if self.reference is not None:
            score = self._scores(scaled, np.full(len(scaled), self._index))
            _reject(verdicts, score < self._lowest, rules.IMPLAUSIBLE)
            if self.compares:
                vectors = rules.comparable(scaled)
                distance, place = self._neighbours.nearest(vectors)
                nearest = [self._names[p] for p in place]
                _reject(verdicts, distance <= self._limit, rules.COPY)
            verdicts[verdicts == rules.UNCHECKED] = rules.KEPT
        return Judged(verdicts.tolist(), score, agreement, distance, nearest)

    def without_repeats(self, judged: Judged, stored: np.ndarray) -> Judged:
        """Return what was judged, but for those that repeat one before them, or a kept one."""
        if not self.compares:
            return judged
        verdicts = np.array(judged.verdicts, object)
        passed = verdicts == rules.KEPT
        repeats = self._memory.repeats(rules.comparable(self._scaled(stored)), passed)
        verdicts[repeats] = rules.REPEATS
        return replace(judged, verdicts=verdicts.tolist())

    def remember(self, stored: np.ndarray) -> None:
        """Count these, of the class in hand, as kept: what comes later must not repeat them."""
        if len(stored) and self.compares:
            self._memory.remember(rules.comparable(self._scaled(stored)))

    def limits(self) -> dict[str, float]:
        """Return the limits of the class in hand."""
        found = {"lowest_score": self._lowest, "least_distance": self._limit}
        return {name: value for name, value in found.items() if np.isfinite(value) and value}

    def _scaled(self, stored: np.ndarray) -> np.ndarray:
        return self.preprocessing.scale(stored)

    def _scores(self, scaled: np.ndarray, classes: np.ndarray) -> np.ndarray:
        (logits,) = self._discriminate(scaled, np.eye(self.num_classes, dtype=np.float32)[classes])
        return logits[:, 0]


def _reject(verdicts: np.ndarray, wrong: np.ndarray, reason: str) -> None:
    verdicts[(verdicts == rules.UNCHECKED) & wrong] = reason


def _inference(bundle: Bundle, role: str, outputs: int = 1) -> Inference:
    model = restore_network(bundle, role)
    if model.output_shape != (None, outputs):
        raise BundleError(
            f"the {role} of {bundle.path or 'this bundle'} gives {model.output_shape[1:]} numbers, "
            f"{outputs} were expected; train again"
        )
    return Inference.of(model)
