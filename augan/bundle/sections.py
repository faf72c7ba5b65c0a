"""Types of the JSON sections of a bundle, in which every key may be missing."""

from typing import Any, TypedDict


class DatasetInfo(TypedDict, total=False):
    """Description of the training data (`data.json`).

    Attributes
    ----------
    name : str
        Name of the dataset in reports.
    source : str or None
        Path or address of the data; None if the data was given as arrays.
    num_samples : int
        Number of training samples, without unlabeled samples.
    num_unlabeled : int
        Number of training samples without labels next to labeled samples.
    class_names : list of str
        Names of the classes; empty without labels.
    class_counts : list of int
        Number of labeled samples of each class in `class_names`.
    fingerprint : str
        SHA-256 of the prepared samples and their labels, see `dataset_fingerprint`.
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
    method : str
        Name of the default detection method.
    components : list of str
        Score components of the default method.
    other_methods : dict of str to list of str
        Further method -> its score components.
    trim_fraction : float
        Fraction of the samples that were left out of fitting and calibration because their scores
        were the highest, 0 to 0.5.
    num_folds : int
        Number of folds of a cross-conformal detector; missing without folds.
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
        Training stage -> number of steps.
    failure : dict or None
        Why the training of the GAN was stopped; None: it was not.
    fidelity : dict or None
        Fidelity metrics of the selected generator; None if not computed.
    gan_metrics : list of dict
        Metrics of every evaluation of the GAN.
    folds : list of TrainingMetrics
        `steps` to `gan_metrics` of each fold, in place of these keys.
    classifier : dict or None
        Accuracy of the classifier on the validation split; None without a classifier.
    pseudo_labels : dict
        Summary of the pseudo-labels of unlabeled images.
    warnings : list of str
        Warnings for the user, in full sentences.
    """

    steps: dict[str, int]
    failure: dict[str, Any] | None
    fidelity: dict[str, Any] | None
    gan_metrics: list[dict[str, Any]]
    folds: "list[TrainingMetrics]"
    classifier: dict[str, Any] | None
    pseudo_labels: dict[str, Any]
    warnings: list[str]
