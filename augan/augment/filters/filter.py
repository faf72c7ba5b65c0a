"""Filter of generated candidates, and the training data that candidates are compared with."""

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
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.registry import restore_preprocessing
from augan.data.splits import evenly_spaced
from augan.exceptions import BundleError, DataError
from augan.training.training_data import TrainingDataNotFound, load_training_data

if TYPE_CHECKING:
    from augan.gan.inference import BatchInference

MAX_CLASS_SAMPLES = 20_000  # training samples of a class; keeps the search to seconds
MAX_HELD_OUT_SAMPLES = 2_000  # real samples that set the threshold of the discriminator
MAX_TABLE_ROWS = 10_000  # rows of a table that show whether equal rows are chance


@dataclass(frozen=True, eq=False)
class TrainingReference:
    """Training data of a bundle, as the filter and the augmentation methods use it.

    Attributes
    ----------
    samples : ndarray
        Prepared images `[N, S, S, C]`, perhaps a memory map, or prepared rows `[N, F]`.
    labels : ndarray of int [N]
        Class indices.
    names : tuple of str
        Names of the samples.
    train_rows : ndarray of int
        Indices of samples that the networks were trained on.
    held_out_rows : ndarray of int
        Indices of samples that no network was trained on.
    unlabeled : ndarray [U, ...] or None
        Prepared samples without a class that the GAN was trained on too.
    unlabeled_names : tuple of str
        Names of the unlabeled samples; empty without unlabeled samples.
    """

    samples: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    train_rows: np.ndarray
    held_out_rows: np.ndarray
    unlabeled: np.ndarray | None = None
    unlabeled_names: tuple[str, ...] = ()

    def training_samples(self, class_index: int) -> tuple[np.ndarray, list[str]]:
        """Return the training samples that a generator of one class could have memorized.

        Unlabeled samples may be of any class, so they are part of every class. At most 20,000
        labeled and 20,000 unlabeled samples are returned, evenly spaced.

        Returns
        -------
        samples : ndarray [M, ...]
            Prepared training samples of the class, followed by the unlabeled samples.
        names : list of str
            Names of the M samples.
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
        """Return up to 2,000 samples that no network was trained on, and their class indices."""
        rows = evenly_spaced(self.held_out_rows, MAX_HELD_OUT_SAMPLES)
        return self.samples[rows], self.labels[rows]


def load_training_reference(
    bundle: Bundle, preprocessing: Preprocessing, training_data: str | Path | None
) -> tuple[TrainingReference | None, str | None]:
    """Load the training data of a bundle, or return why the data is missing.

    Parameters
    ----------
    bundle : Bundle
    preprocessing : Preprocessing
        Preprocessing of the bundle.
    training_data : path, str or None
        Location of the data. None: the location that the bundle records.

    Returns
    -------
    reference : TrainingReference or None
        None: the data is not at its recorded location.
    reason : str or None
        Sentence that says why the data is missing; None if the data was loaded.

    Raises
    ------
    BundleError
        The split in the bundle does not fit the data.
    DataError
        The data is not the data that the bundle was trained on, or cannot be read.
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
    """Decisions about a chunk of candidates and the scores behind the decisions.

    Each attribute has one entry for each of N candidates, or is None where no value was computed.

    Attributes
    ----------
    decisions : list of str
        "accepted", "unchecked", or the reason for the rejection, a constant of
        `augan.augment.filters.criteria`.
    realness : ndarray [N] or None
        The discriminator's logit for the class; higher = more like a real sample.
    class_probability : ndarray [N] or None
        The classifier's probability of the class, 0 to 1.
    distance : ndarray [N] or None
        Root mean square difference to the nearest training sample, in the range of the networks (-1
        to 1).
    nearest : list of str or None
        Name of the nearest training sample.
    """

    decisions: list[str]
    realness: np.ndarray | None = None
    class_probability: np.ndarray | None = None
    distance: np.ndarray | None = None
    nearest: list[str] | None = None


class NoFilter:
    """Filter that leaves every candidate unchecked; has the methods of `CandidateFilter`."""

    compares_samples = False

    def set_class(self, class_index: int) -> None:
        """Do nothing, because no criterion depends on the class."""

    def evaluate(self, candidates: np.ndarray) -> FilterResult:
        """Return the decision "unchecked" for each candidate, without scores."""
        return FilterResult([criteria.UNCHECKED] * len(candidates))

    def reject_duplicates(self, result: FilterResult, candidates: np.ndarray) -> FilterResult:
        """Return `result` unchanged, because candidates are not compared with each other."""
        return result

    def add_accepted(self, candidates: np.ndarray) -> None:
        """Do nothing, because candidates are not compared with each other."""

    def thresholds(self) -> dict[str, float]:
        """Return an empty dictionary, because no criterion has a threshold."""
        return {}


class CandidateFilter:
    """Filter of generated candidates, for one class after another.

    A candidate is rejected if the classifier assigns another class, the discriminator finds it less
    real than real samples, it nearly copies a training sample, or it duplicates an accepted
    candidate. Without the training data only the classifier decides, and a candidate that passes is
    "unchecked".

    Parameters
    ----------
    bundle : Bundle
        A bundle with classes, a classifier and, with a reference, a discriminator.
    reference : TrainingReference or None
        The training data of the bundle.

    Attributes
    ----------
    compares_samples : bool
        Whether candidates are compared with training samples and with each other. False without
        training data, and for tables in which equal rows may be coincidence.

    Raises
    ------
    BundleError
        A network is missing, or has the wrong number of outputs.
    """

    def __init__(self, bundle: Bundle, reference: TrainingReference | None) -> None:
        self.preprocessing: Preprocessing = restore_preprocessing(bundle.preprocessing)
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
            self.compares_samples = self.preprocessing.has_pixels or has_near_unique_column(
                reference.samples[evenly_spaced(reference.train_rows, MAX_TABLE_ROWS)]
            )

    def set_class(self, class_index: int) -> None:
        """Set the class that candidates must be of, and forget all accepted candidates."""
        self._class_index, self._min_distance = class_index, 0.0
        if self.reference is not None and self.compares_samples:
            real, self._real_names = self.reference.training_samples(class_index)
            self._real_index = NearestRealIndex(self._vectors(real))
            self._min_distance = self._real_index.memorization_threshold()
        self._accepted = AcceptedIndex(criteria.DUPLICATE_DISTANCE_RATIO * self._min_distance)

    def evaluate(self, candidates: np.ndarray) -> FilterResult:
        """Decide about each candidate alone, without comparing candidates with each other.

        Call `set_class` before, and `reject_duplicates` after.

        Parameters
        ----------
        candidates : ndarray [N, ...]
            Prepared images or rows.

        Returns
        -------
        FilterResult
        """
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
        """Reject accepted candidates that duplicate an earlier accepted candidate.

        Parameters
        ----------
        result : FilterResult
            Result of `evaluate`.
        candidates : ndarray [N, ...]
            The same prepared candidates.

        Returns
        -------
        FilterResult
            The result with the decision "duplicate" where it applies.
        """
        if not self.compares_samples:
            return result
        decisions = np.array(result.decisions, object)
        is_accepted = decisions == criteria.ACCEPTED
        duplicates = self._accepted.find_duplicates(self._vectors(candidates), is_accepted)
        decisions[duplicates] = criteria.DUPLICATE
        return replace(result, decisions=decisions.tolist())

    def add_accepted(self, candidates: np.ndarray) -> None:
        """Add accepted candidates `[N, ...]`, so that later duplicates of them are rejected."""
        if len(candidates) and self.compares_samples:
            self._accepted.add(self._vectors(candidates))

    def thresholds(self) -> dict[str, float]:
        """Return the thresholds for the current class that can reject a candidate.

        Returns
        -------
        dict of str to float
            `min_realness`: a candidate with a lower logit of the discriminator is implausible;
            missing if there were too few held-out samples. `min_distance`: a candidate up to this
            root mean square difference from a training sample is memorized; missing if 0.
        """
        values = {"min_realness": self._min_realness, "min_distance": self._min_distance}
        return {name: value for name, value in values.items() if np.isfinite(value) and value}

    def _vectors(self, prepared: np.ndarray) -> np.ndarray:
        """Return prepared samples as feature vectors `[N, F]` for distances."""
        return criteria.to_feature_vectors(self.preprocessing.normalize(prepared))

    def _realness(self, scaled: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the discriminator's logits `[N]` of scaled samples for class indices `[N]`."""
        (logits,) = self._discriminate(scaled, np.eye(self.num_classes, dtype=np.float32)[classes])
        return logits[:, 0]


def _reject(decisions: np.ndarray, is_rejected: np.ndarray, reason: str) -> None:
    """Write `reason` for rejected candidates that have no other reason yet, in place."""
    decisions[(decisions == criteria.UNCHECKED) & is_rejected] = reason


def _load_network(bundle: Bundle, role: str, num_outputs: int = 1) -> "BatchInference":
    """Load a network of a bundle for inference.

    Parameters
    ----------
    bundle : Bundle
    role : str
        Name of the network, "classifier" or "discriminator".
    num_outputs : int
        Number of outputs that the network must have.

    Raises
    ------
    BundleError
        The network is missing, or has another number of outputs.
    """
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
    """Filter for a request, with the training data and the warnings that belong to it.

    Attributes
    ----------
    reference : TrainingReference or None
        The training data; None where it is not needed or no longer exists.
    candidate_filter : CandidateFilter or NoFilter
    classifier_accuracy : float or None
        The classifier's accuracy on held-out real samples, 0 to 1; None if unknown.
    warnings : tuple of str
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
        """Load the training data and the filter that a request needs.

        Parameters
        ----------
        sampler : GeneratorSampler
            The generator of the bundle.
        method : str
            A key of `AUGMENTATION_METHODS`.
        filtered : bool
            Whether the user wants candidates to be filtered. A bundle without a classifier gives
            `NoFilter` and a warning.
        training_data : path, str or None
            Location of the training data. None: the location that the bundle records; if the data
            is not there, a warning says so.

        Raises
        ------
        BundleError
            A network or the split in the bundle cannot be used.
        DataError
            The data is not the data that the bundle was trained on, or `training_data` cannot be
            read.
        """
        if not filtered and method == "sample" and training_data is None:
            return cls(None, NoFilter())
        bundle, edits = sampler.bundle, sampler.preprocessing.supports_residuals
        samples = plural(sampler.preprocessing.sample_type)
        try:
            reference, missing = load_training_reference(
                bundle, sampler.preprocessing, training_data
            )
        except DataError as error:
            advice = f"; `filtered=False` writes {samples} without this data" if filtered else ""
            raise DataError(f"{error}{advice}") from error
        if not filtered:
            fallback = (
                f"{missing}; the {samples} are decoded from latent codes, not edited real {samples}"
            )
            falls_back = missing is not None and method == "transfer" and edits
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
