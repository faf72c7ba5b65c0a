"""Types of the JSON sections of a bundle. Every key may be missing."""

from typing import Any, TypedDict


class DatasetInfo(TypedDict, total=False):
    """Description of the training data (`data.json`).

    Attributes
    ----------
    source : str or None
        Path or address of the data; None if the data was given as arrays.
    class_counts : list of int
        Number of labeled samples of each class in `class_names`.
    fingerprint : str
        SHA-256 of the prepared samples and their labels.
    """

    name: str
    source: str | None
    num_samples: int
    num_unlabeled: int
    class_names: list[str]
    class_counts: list[int]
    fingerprint: str


class DetectorInfo(TypedDict, total=False):
    """Description of the detectors (`detector.json`).

    Attributes
    ----------
    method, components
        Name and score components of the default method.
    other_methods : dict of str to list of str
        Score components of the further methods.
    trim_fraction : float
        Fraction of the samples that were left out of fitting and calibration.
    num_folds : int
        Number of folds of a cross-conformal detector.
    calibrated_on : dict
        The samples of a later calibration; missing if calibrated in the training.
    """

    method: str
    components: list[str]
    other_methods: dict[str, list[str]]
    trim_fraction: float
    num_folds: int
    calibrated_on: dict[str, Any]


class TrainingMetrics(TypedDict, total=False):
    """Metrics of a training (`metrics.json`).

    Attributes
    ----------
    steps : dict of str to int
        Steps of each training stage.
    failure : dict or None
        Why the training of the GAN was stopped.
    fidelity : dict or None
        Metrics of the selected generator.
    gan_metrics : list of dict
        Metrics of every evaluation of the GAN.
    folds : list of TrainingMetrics
        `steps` to `gan_metrics` of each fold, in place of these keys.
    classifier : dict or None
        Accuracy of the classifier on the validation split.
    pseudo_labels : dict
        Summary of the pseudo-labels of unlabeled images.
    """

    steps: dict[str, int]
    failure: dict[str, Any] | None
    fidelity: dict[str, Any] | None
    gan_metrics: list[dict[str, Any]]
    folds: "list[TrainingMetrics]"
    classifier: dict[str, Any] | None
    pseudo_labels: dict[str, Any]
    warnings: list[str]
