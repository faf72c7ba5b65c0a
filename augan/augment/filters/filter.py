"""Filter of generated candidates: the decision about each, with the scores behind it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augan.augment.filters import criteria
from augan.augment.filters.criteria import AcceptedIndex, NearestRealIndex
from augan.augment.generator import Sampler, TranslatorSampler
from augan.augment.methods.registry import AugmentationMethod
from augan.augment.training_reference import TrainingReference, load_training_reference
from augan.bundle import Bundle, bundle_errors, restore_network
from augan.data.dataset import plural
from augan.data.duplicates import has_near_unique_column
from augan.data.modalities.base import Preprocessing
from augan.data.splits import evenly_spaced
from augan.exceptions import BundleError, DataError

if TYPE_CHECKING:
    from augan.gan.inference import BatchInference

MAX_TABLE_ROWS = 10_000  # rows of a table that show whether equal rows are chance


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
        self.preprocessing: Preprocessing = bundle.preprocessing
        self.num_classes = len(bundle.data.class_names)
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


class TranslationFilter(NoFilter):
    """Filter of images that were translated to a new camera, for one class after another.

    A candidate is translated back to the old camera, and rejected if the classifier of the old
    camera assigns another class: the translation has flipped the label. There is no discriminator
    of the new camera's missing classes, and no image of them to compare with.

    Parameters
    ----------
    sampler : TranslatorSampler
        Sampler of a bundle with a classifier and a translator back to the old camera.
    """

    def __init__(self, sampler: TranslatorSampler) -> None:
        bundle, translation = sampler.bundle, sampler.bundle.require_translation()
        self._classify = _load_network(bundle, "classifier", len(translation.class_names))
        self._translator = sampler.translator

    def set_class(self, class_index: int) -> None:
        """Set the class that candidates must be of."""
        self._class_index = class_index

    def evaluate(self, candidates: np.ndarray) -> FilterResult:
        """Decide about each candidate alone; prepared images `[N, S, S, C]` of the new camera."""
        back = self._translator.translate_prepared(
            candidates, range(len(candidates)), direction="new-to-old"
        )
        (logits,) = self._classify(self._translator.old.normalize(back))
        decisions = np.full(len(candidates), criteria.ACCEPTED, object)
        decisions[criteria.label_mismatch(logits, self._class_index)] = criteria.LABEL_MISMATCH
        return FilterResult(
            decisions.tolist(),
            class_probability=criteria.class_probability(logits, self._class_index),
        )


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
        sampler: Sampler,
        method: AugmentationMethod,
        filtered: bool,
        training_data: str | Path | None,
    ) -> "FilterContext":
        """Load the training data and the filter that a request needs.

        Parameters
        ----------
        sampler : Sampler
            The generator or the translator of the bundle.
        method : AugmentationMethod
            Declaration of the method.
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
            The data is not the data that the bundle was trained on, `training_data` cannot be
            read, or the data is missing and the method requires it.
        """
        if not (filtered or method.uses_training_data or training_data is not None):
            return cls(None, NoFilter())
        bundle, sample_type = sampler.bundle, sampler.preprocessing.sample_type
        samples = plural(sample_type)
        try:
            reference, missing = load_training_reference(
                bundle, bundle.preprocessing, training_data
            )
        except DataError as error:
            is_optional = filtered and not method.requires_training_data
            advice = f"; `filtered=False` writes {samples} without this data" if is_optional else ""
            raise DataError(f"{error}{advice}") from error
        if missing and method.requires_training_data:
            raise DataError(
                f"{missing}; the method {method.name} needs these {samples}: give their place with "
                "`training_data`"
            )
        if not filtered:
            fallback = method.fallback.get(sample_type)
            warnings = (f"{missing}; {fallback}",) if missing and fallback else ()
            return cls(reference, NoFilter(), warnings=warnings)
        if not bundle.has("classifier"):
            warning = f"the bundle has no classifier, so the {samples} are not filtered"
            return cls(reference, NoFilter(), warnings=(warning,))
        classifier = bundle.metrics.classifier
        accuracy = None if classifier is None else classifier.accuracy
        if isinstance(sampler, TranslatorSampler):
            return _translation_context(sampler, reference, accuracy)
        warning = (
            f"{missing}; the {samples} were checked by the classifier only and not compared with "
            f"training {samples}: their decision is 'unchecked'"
        )
        with bundle_errors(bundle, "classifier or discriminator"):
            candidate_filter = CandidateFilter(bundle, reference)
        return cls(reference, candidate_filter, accuracy, () if missing is None else (warning,))


def _translation_context(
    sampler: TranslatorSampler, reference: TrainingReference | None, accuracy: float | None
) -> FilterContext:
    """Return the filter of translated images, for a bundle that has a classifier."""
    if not sampler.bundle.has("back_translator"):
        warning = "the bundle has no translator back to the old camera, so the images are not "
        return FilterContext(reference, NoFilter(), warnings=(f"{warning}filtered",))
    with bundle_errors(sampler.bundle, "classifier or translator"):
        return FilterContext(reference, TranslationFilter(sampler), accuracy)
