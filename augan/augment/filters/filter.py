"""Filter of candidates, and the training data that it compares them with."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
from augan.training.training_data import TrainingDataNotFound, load_training_data

if TYPE_CHECKING:
    from augan.gan.inference import BatchInference

MAX_CLASS_SAMPLES = 20_000  # evenly spaced; keeps the search for neighbors to seconds
MAX_HELD_OUT_SAMPLES = 2_000
MAX_TABLE_ROWS = 10_000  # rows of a table that show whether equal rows are chance


@dataclass(frozen=True, eq=False)
class TrainingReference:
    """Training data of a bundle.

    Attributes
    ----------
    samples
        Prepared images `[N, S, S, C]`, perhaps a memory map, or prepared rows `[N, F]`.
    labels
        Class indices `[N]`.
    names
        Names of the samples.
    train_rows, held_out_rows
        Indices of samples that the networks were trained on, and of samples that they never saw.
    unlabeled, unlabeled_names
        Samples without a class that the GAN was trained on too, or None.
    """

    samples: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    train_rows: np.ndarray
    held_out_rows: np.ndarray
    unlabeled: np.ndarray | None = None
    unlabeled_names: tuple[str, ...] = ()

    def training_samples(self, class_index: int) -> tuple[np.ndarray, list[str]]:
        """Return what the GAN was trained on for a class, `[M, ...]`, and the names.

        Unlabeled samples may be of any class, so they are part of every class.
        """
        of_class = self.train_rows[self.labels[self.train_rows] == class_index]
        rows = evenly_spaced(of_class, MAX_CLASS_SAMPLES)
        names = [self.names[row] for row in rows]
        if self.unlabeled is None:
            return self.samples[rows], names
        unlabeled_rows = evenly_spaced(np.arange(len(self.unlabeled)), MAX_CLASS_SAMPLES)
        names += [self.unlabeled_names[row] for row in unlabeled_rows]
        return np.concatenate([self.samples[rows], self.unlabeled[unlabeled_rows]]), names

    def held_out_samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return samples that no network was trained on, and their class indices."""
        rows = evenly_spaced(self.held_out_rows, MAX_HELD_OUT_SAMPLES)
        return self.samples[rows], self.labels[rows]


def load_training_reference(
    bundle: Bundle, preprocessing: AnyPreprocessing, training_data: str | Path | None
) -> tuple[TrainingReference | None, str | None]:
    """Return the training data of a bundle, or None and a sentence that says why.

    Parameters
    ----------
    training_data : path, str or None
        Location of the data; None: the location that the bundle has recorded.

    Raises
    ------
    DataError
        The data is not the data that the bundle was trained on, or `training_data` does not exist.
    """
    try:
        found = load_training_data(bundle, preprocessing, training_data)
    except TrainingDataNotFound as gone:
        return None, str(gone)
    dataset, more, split = found.samples.dataset, found.unlabeled, bundle.tables["split"]
    labels = np.asarray(dataset.labels)
    with bundle_errors(bundle, "split"):
        train, held_out = split["train"], np.union1d(split["val"], split["calibration"])
        labels[train], labels[held_out]  # IndexError if the split is of other data
    unlabeled = None if more is None else more.pixels
    unlabeled_names = () if more is None else more.dataset.names
    reference = TrainingReference(
        found.samples.pixels, labels, dataset.names, train, held_out, unlabeled, unlabeled_names
    )
    return reference, None


@dataclass(frozen=True, eq=False)
class FilterResult:
    """Decisions about some candidates and the values behind them, one entry a candidate.

    A value is None where it was not computed.

    Attributes
    ----------
    decisions
        "accepted", "unchecked", or the reason for the rejection, a constant of
        `augan.augment.filters.criteria`.
    realness
        The discriminator's logit for the class; higher = more like a real sample.
    class_probability
        The classifier's probability of the class.
    distance, nearest
        Root mean square difference to the nearest training sample, in the range of the networks (-1
        to 1), and the name of that sample.
    """

    decisions: list[str]
    realness: np.ndarray | None = None
    class_probability: np.ndarray | None = None
    distance: np.ndarray | None = None
    nearest: list[str] | None = None


class NoFilter:
    """Filter that leaves all candidates unchecked; see `CandidateFilter`."""

    compares_samples = False

    def set_class(self, class_index: int) -> None:
        """Do nothing."""

    def evaluate(self, candidates: np.ndarray) -> FilterResult:
        """Return that no candidate was checked."""
        return FilterResult([criteria.UNCHECKED] * len(candidates))

    def reject_duplicates(self, result: FilterResult, candidates: np.ndarray) -> FilterResult:
        """Return `result`."""
        return result

    def add_accepted(self, candidates: np.ndarray) -> None:
        """Do nothing."""

    def thresholds(self) -> dict[str, float]:
        """Return no threshold."""
        return {}


class CandidateFilter:
    """Filter of candidates, of one class after another.

    Without the training data only the classifier is used, and what it agrees with is "unchecked".

    Parameters
    ----------
    bundle : Bundle
        A bundle with classes and a classifier.
    reference : TrainingReference or None
        The training data of the bundle.

    Attributes
    ----------
    compares_samples : bool
        Whether candidates are compared with training samples and with each other.
    """

    def __init__(self, bundle: Bundle, reference: TrainingReference | None) -> None:
        self.preprocessing: AnyPreprocessing = restore_preprocessing(bundle.preprocessing)
        self.num_classes = len(bundle.data["class_names"])
        self.reference = reference
        self._classify = _load_network(bundle, "classifier", self.num_classes)
        self._min_realness, self.compares_samples = -np.inf, False
        if reference is not None:
            self._discriminate = _load_network(bundle, "discriminator")
            held_out, labels = reference.held_out_samples()
            if len(held_out):
                realness = self._realness(self.preprocessing.normalize(held_out), labels)
                self._min_realness = criteria.min_realness(realness)
            # Equal rows of a table without a near-unique column may be chance.
            self.compares_samples = (
                self.preprocessing.sample_type == "image"
                or has_near_unique_column(
                    reference.samples[evenly_spaced(reference.train_rows, MAX_TABLE_ROWS)]
                )
            )

    def set_class(self, class_index: int) -> None:
        """Set the class that candidates must be of, and forget accepted candidates."""
        self._class_index, self._min_distance = class_index, 0.0
        if self.reference is not None and self.compares_samples:
            real, self._real_names = self.reference.training_samples(class_index)
            self._real_index = NearestRealIndex(self._vectors(real))
            self._min_distance = self._real_index.memorization_threshold()
        self._accepted = AcceptedIndex(criteria.DUPLICATE_DISTANCE_RATIO * self._min_distance)

    def evaluate(self, candidates: np.ndarray) -> FilterResult:
        """Evaluate prepared candidates `[N, ...]`, each by itself: duplicates are not rejected."""
        scaled, class_index = self.preprocessing.normalize(candidates), self._class_index
        decisions = np.full(len(candidates), criteria.UNCHECKED, object)
        realness = distance = nearest = None
        (logits,) = self._classify(scaled)
        class_probability = criteria.class_probability(logits, class_index)
        _reject(decisions, criteria.label_mismatch(logits, class_index), criteria.LABEL_MISMATCH)
        if self.reference is not None:
            realness = self._realness(scaled, np.full(len(scaled), class_index))
            _reject(decisions, realness < self._min_realness, criteria.IMPLAUSIBLE)
            if self.compares_samples:
                distance, rows = self._real_index.query(criteria.to_feature_vectors(scaled))
                nearest = [self._real_names[row] for row in rows]
                _reject(decisions, distance <= self._min_distance, criteria.MEMORIZED)
            decisions[decisions == criteria.UNCHECKED] = criteria.ACCEPTED
        return FilterResult(decisions.tolist(), realness, class_probability, distance, nearest)

    def reject_duplicates(self, result: FilterResult, candidates: np.ndarray) -> FilterResult:
        """Return `result` with duplicates rejected, of accepted or of earlier candidates."""
        if not self.compares_samples:
            return result
        decisions = np.array(result.decisions, object)
        is_accepted = decisions == criteria.ACCEPTED
        duplicates = self._accepted.find_duplicates(self._vectors(candidates), is_accepted)
        decisions[duplicates] = criteria.DUPLICATE
        return replace(result, decisions=decisions.tolist())

    def add_accepted(self, candidates: np.ndarray) -> None:
        """Add accepted candidates of the current class: later ones must not duplicate them."""
        if len(candidates) and self.compares_samples:
            self._accepted.add(self._vectors(candidates))

    def thresholds(self) -> dict[str, float]:
        """Return the thresholds for the current class."""
        values = {"min_realness": self._min_realness, "min_distance": self._min_distance}
        return {name: value for name, value in values.items() if np.isfinite(value) and value}

    def _vectors(self, prepared: np.ndarray) -> np.ndarray:
        return criteria.to_feature_vectors(self.preprocessing.normalize(prepared))

    def _realness(self, scaled: np.ndarray, classes: np.ndarray) -> np.ndarray:
        (logits,) = self._discriminate(scaled, np.eye(self.num_classes, dtype=np.float32)[classes])
        return logits[:, 0]


def _reject(decisions: np.ndarray, is_rejected: np.ndarray, reason: str) -> None:
    """Write `reason` for rejected candidates that have no other reason yet, in place."""
    decisions[(decisions == criteria.UNCHECKED) & is_rejected] = reason


def _load_network(bundle: Bundle, role: str, num_outputs: int = 1) -> "BatchInference":
    from augan.gan.inference import BatchInference

    model = restore_network(bundle, role)
    if model.output_shape != (None, num_outputs):
        raise BundleError(
            f"the {role} of {bundle.path or 'this bundle'} must have {num_outputs} outputs, but "
            f"its output shape is {model.output_shape[1:]}; train again"
        )
    return BatchInference.from_model(model)


@dataclass(frozen=True)
class FilterContext:
    """The filter for a request, and what was loaded for it.

    Attributes
    ----------
    reference
        The training data, or None where it is not needed or no longer exists.
    candidate_filter
        The filter of candidates.
    classifier_accuracy
        The classifier's accuracy on held-out real samples, or None if unknown.
    warnings
        Sentences about checks that are not possible.
    """

    reference: TrainingReference | None
    candidate_filter: CandidateFilter | NoFilter
    classifier_accuracy: float | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        sampler: GeneratorSampler,
        method: str,
        filtered: bool,
        training_data: str | Path | None,
    ) -> "FilterContext":
        """Load what a request needs; for the parameters and errors see `augment_folder`."""
        if not filtered and method == "sample" and training_data is None:
            return cls(None, NoFilter())
        bundle, sample_type = sampler.bundle, sampler.preprocessing.sample_type
        samples = plural(sample_type)
        try:
            reference, missing = load_training_reference(
                bundle, sampler.preprocessing, training_data
            )
        except DataError as error:
            advice = f"; --no-filter writes {samples} without this data" if filtered else ""
            raise DataError(f"{error}{advice}") from error
        if not filtered:
            fallback = (
                f"{missing}; the {samples} are decoded from latent codes, not edited real {samples}"
            )
            falls_back = missing is not None and method == "transfer" and sample_type == "image"
            return cls(reference, NoFilter(), warnings=(fallback,) if falls_back else ())
        if not bundle.has("classifier"):
            warning = f"the bundle has no classifier, so the {samples} are not filtered"
            return cls(reference, NoFilter(), warnings=(warning,))
        warning = (
            f"{missing}; the {samples} were checked by the classifier only and not compared with "
            f"training {samples}: their decision is 'unchecked'"
        )
        accuracy = (bundle.metrics.get("classifier") or {}).get("accuracy")
        with bundle_errors(bundle, "classifier or discriminator"):
            candidate_filter = CandidateFilter(bundle, reference)
        return cls(reference, candidate_filter, accuracy, () if missing is None else (warning,))
