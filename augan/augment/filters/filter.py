"""The real images that synthetic ones are compared with."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from augan.augment.filters import criteria
from augan.augment.filters.criteria import AcceptedIndex, NearestRealIndex
from augan.augment.methods.prior import GeneratorSampler
from augan.bundle import Bundle, bundle_errors, restore_network
from augan.data.dataset import plural
from augan.data.duplicates import has_near_unique_column
from augan.data.modalities.registry import AnyPreprocessing, restore_preprocessing
from augan.data.splits import evenly_spaced
from augan.exceptions import BundleError, DataError
from augan.gan.inference import BatchInference
from augan.training.training_data import DataGone, recorded_data

MAX_OF_CLASS = 20_000  # evenly spaced ones of more, so that neighbours are found in seconds
MAX_HELD_OUT = 2_000


@dataclass(frozen=True, eq=False)
class TrainingReference:
    """The data that a bundle was trained on.

    Attributes
    ----------
    pixels
        `[N, S, S, C]` as stored, perhaps a memory map, or rows `[N, F]`.
    labels
        `[N]`.
    names
        One each.
    fit, held_out
        Rows that the networks were trained on, and rows that they never saw.
    unlabeled, unlabeled_names
        Images without a class that the GAN was trained on too, or None.
    """

    pixels: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    fit: np.ndarray
    held_out: np.ndarray
    unlabeled: np.ndarray | None = None
    unlabeled_names: tuple[str, ...] = ()

    def seen(self, index: int) -> tuple[np.ndarray, list[str]]:
        """Return what the GAN saw of a class, `[M, ...]`, and names: unlabeled images count."""
        rows = evenly_spaced(self.fit[self.labels[self.fit] == index], MAX_OF_CLASS)
        names = [self.names[row] for row in rows]
        if self.unlabeled is None:
            return self.pixels[rows], names
        more = evenly_spaced(np.arange(len(self.unlabeled)), MAX_OF_CLASS)
        names += [self.unlabeled_names[row] for row in more]
        return np.concatenate([self.pixels[rows], self.unlabeled[more]]), names

    def unseen(self) -> tuple[np.ndarray, np.ndarray]:
        """Return images that no network was trained on, and their classes."""
        rows = evenly_spaced(self.held_out, MAX_HELD_OUT)
        return self.pixels[rows], self.labels[rows]


def find_training_reference(
    bundle: Bundle, preprocessing: AnyPreprocessing, data: str | Path | None
) -> tuple[TrainingReference | None, str | None]:
    """Return the training data of a bundle, or None and in one sentence why there is none.

    Parameters
    ----------
    data : path, str or None
        Where it is; None: where the bundle remembers it.

    Raises
    ------
    DataError
        There is data, but other data than the bundle was trained on; or none at `data`.
    """
    try:
        found = recorded_data(bundle, preprocessing, data)
    except DataGone as gone:
        return None, str(gone)
    dataset, more, split = found.squares.dataset, found.unlabeled, bundle.tables["split"]
    labels = np.asarray(dataset.labels)
    with bundle_errors(bundle, "split"):
        fit, held_out = split["train"], np.union1d(split["val"], split["calibration"])
        labels[fit], labels[held_out]  # an IndexError if there are no such rows
    pixels = None if more is None else more.pixels
    names = () if more is None else more.dataset.names
    return TrainingReference(
        found.squares.pixels, labels, dataset.names, fit, held_out, pixels, names
    ), None


MAX_ROWS = 10_000  # of a table that are looked at to see whether equal rows are chance


@dataclass(frozen=True, eq=False)
class FilterResult:
    """What was found of some candidates, one entry each; None where it could not be looked at.

    Attributes
    ----------
    decisions
        "accepted", "unchecked", or the reason of the rejection, a constant of
        `augan.augment.filters.criteria`.
    realness
        The discriminator's logit for the class, higher = more like a real one.
    agreement
        The classifier's probability of the class.
    distance, nearest
        Root mean square difference to the nearest training sample in the network's range (-1 to
        1), and the name of that sample.
    """

    decisions: list[str]
    realness: np.ndarray | None = None
    class_probability: np.ndarray | None = None
    distance: np.ndarray | None = None
    nearest: list[str] | None = None


class NoFilter:
    """Lets every candidate pass."""

    compares = False

    def begin(self, index: int) -> None:
        """All classes are the same."""

    def judge(self, stored: np.ndarray) -> FilterResult:
        """Return that nothing was checked."""
        return FilterResult([criteria.UNCHECKED] * len(stored))

    def without_repeats(self, filter_result: FilterResult, stored: np.ndarray) -> FilterResult:
        """Let repetitions pass, too."""
        return filter_result

    def remember(self, stored: np.ndarray) -> None:
        """Nothing is compared."""

    def limits(self) -> dict[str, float]:
        """Return no limit."""
        return {}


class CandidateFilter:
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

    def __init__(self, bundle: Bundle, reference: TrainingReference | None) -> None:
        self.preprocessing: AnyPreprocessing = restore_preprocessing(bundle.preprocessing)
        self.num_classes = len(bundle.data["class_names"])
        self.reference = reference
        self._classify = _inference(bundle, "classifier", self.num_classes)
        self._lowest, self.compares = -np.inf, False
        if reference is not None:
            self._discriminate = _inference(bundle, "discriminator")
            samples, labels = reference.unseen()
            if len(samples):
                self._lowest = criteria.min_realness(self._scores(self._scaled(samples), labels))
            self.compares = self.preprocessing.sample_type == "image" or has_near_unique_column(
                reference.pixels[evenly_spaced(reference.fit, MAX_ROWS)]
            )

    def begin(self, index: int) -> None:
        """Turn to a class."""
        self._index, self._limit = index, 0.0
        if self.reference is not None and self.compares:
            seen, self._names = self.reference.seen(index)
            self._neighbours = NearestRealIndex(criteria.to_feature_vectors(self._scaled(seen)))
            self._limit = self._neighbours.limit()
        self._memory = AcceptedIndex(criteria.DUPLICATE_DISTANCE_RATIO * self._limit)

    def judge(self, stored: np.ndarray) -> FilterResult:
        """Judge candidates `[N, ...]`, as stored, each by itself: they may repeat each other."""
        scaled = self._scaled(stored)
        decisions = np.full(len(stored), criteria.UNCHECKED, object)
        realness = distance = nearest = None
        (logits,) = self._classify(scaled)
        class_probability = criteria.class_probability(logits, self._index)
        _reject(decisions, criteria.label_mismatch(logits, self._index), criteria.LABEL_MISMATCH)
        if self.reference is not None:
            realness = self._scores(scaled, np.full(len(scaled), self._index))
            _reject(decisions, realness < self._lowest, criteria.IMPLAUSIBLE)
            if self.compares:
                vectors = criteria.to_feature_vectors(scaled)
                distance, place = self._neighbours.nearest(vectors)
                nearest = [self._names[p] for p in place]
                _reject(decisions, distance <= self._limit, criteria.MEMORIZED)
            decisions[decisions == criteria.UNCHECKED] = criteria.ACCEPTED
        return FilterResult(decisions.tolist(), realness, class_probability, distance, nearest)

    def without_repeats(self, filter_result: FilterResult, stored: np.ndarray) -> FilterResult:
        """Return what was judged, but for those that repeat one before them, or a kept one."""
        if not self.compares:
            return filter_result
        decisions = np.array(filter_result.decisions, object)
        passed = decisions == criteria.ACCEPTED
        repeats = self._memory.repeats(criteria.to_feature_vectors(self._scaled(stored)), passed)
        decisions[repeats] = criteria.DUPLICATE
        return replace(filter_result, decisions=decisions.tolist())

    def remember(self, stored: np.ndarray) -> None:
        """Count these, of the class in hand, as kept: what comes later must not repeat them."""
        if len(stored) and self.compares:
            self._memory.remember(criteria.to_feature_vectors(self._scaled(stored)))

    def limits(self) -> dict[str, float]:
        """Return the limits of the class in hand."""
        found = {"min_realness": self._lowest, "min_distance": self._limit}
        return {name: value for name, value in found.items() if np.isfinite(value) and value}

    def _scaled(self, stored: np.ndarray) -> np.ndarray:
        return self.preprocessing.normalize(stored)

    def _scores(self, scaled: np.ndarray, classes: np.ndarray) -> np.ndarray:
        (logits,) = self._discriminate(scaled, np.eye(self.num_classes, dtype=np.float32)[classes])
        return logits[:, 0]


def _reject(decisions: np.ndarray, wrong: np.ndarray, reason: str) -> None:
    decisions[(decisions == criteria.UNCHECKED) & wrong] = reason


def _inference(bundle: Bundle, role: str, outputs: int = 1) -> BatchInference:
    model = restore_network(bundle, role)
    if model.output_shape != (None, outputs):
        raise BundleError(
            f"the {role} of {bundle.path or 'this bundle'} gives {model.output_shape[1:]} numbers, "
            f"{outputs} were expected; train again"
        )
    return BatchInference.from_model(model)


@dataclass(frozen=True)
class FilterContext:
    """The knowledge of real samples.

    Attributes
    ----------
    reference
        The training data, or None where it is not needed or gone.
    checker
        The judge of candidates.
    accuracy
        Share of held-out real samples that the classifier is right on, or None.
    warnings
        What could not be looked at, and why.
    """

    reference: TrainingReference | None
    checker: CandidateFilter | NoFilter
    accuracy: float | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, sampler: GeneratorSampler, method: str, filtered: bool, data: str | Path | None
    ) -> "FilterContext":
        """Find what candidates need; for the parameters and errors see `augment_folder`."""
        if not filtered and method == "sample" and data is None:
            return cls(None, NoFilter())
        bundle, sample_type = sampler.bundle, sampler.preprocessing.sample_type
        samples = plural(sample_type)
        try:
            reference, gone = find_training_reference(bundle, sampler.preprocessing, data)
        except DataError as error:
            advice = f"; --no-filter takes the {samples} as they come" if filtered else ""
            raise DataError(f"{error}{advice}") from error
        if not filtered:
            drawn = f"{gone}; in place of changed real images, the generator draws changed codes"
            is_less = gone is not None and method == "transfer" and sample_type == "image"
            return cls(reference, NoFilter(), warnings=(drawn,) if is_less else ())
        if not bundle.has("classifier"):
            lacking = f"the bundle has no classifier, so the {samples} are not filtered"
            return cls(reference, NoFilter(), warnings=(lacking,))
        lacking = (
            f"{gone}; only the classifier was asked, and the {samples} were not compared with "
            f"training {samples}: their verdict is 'unchecked'"
        )
        accuracy = (bundle.metrics.get("classifier") or {}).get("accuracy")
        with bundle_errors(bundle, "classifier or discriminator"):
            checker = CandidateFilter(bundle, reference)
        return cls(reference, checker, accuracy, () if gone is None else (lacking,))
