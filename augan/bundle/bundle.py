"""Bundle in memory: its sections and networks, and the checks that concern several of them."""

import importlib.metadata
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path

from pydantic.dataclasses import dataclass

from augan.bundle.archive import REPLACE_HINT
from augan.bundle.metrics import BundleMetrics
from augan.bundle.section import VALIDATION, Text, has_equal_content
from augan.bundle.sections import (
    DatasetInfo,
    DetectorSection,
    Latents,
    Network,
    Splits,
    TranslationSection,
    check_splits,
)
from augan.choices import DETECTION_METHODS
from augan.config import Config
from augan.data.modalities.base import Preprocessing
from augan.exceptions import AuganError, BundleError

NETWORK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# Part -> its name in messages, and what to do if it is missing.
_PARTS = {
    "generator": ("generator", "train one with --task both"),
    "classes": (
        "classes to choose from",
        "train with --task both on images sorted into one folder for each class",
    ),
    "detector": ("anomaly detector", "train with --task both or --task detect"),
    "encoder": ("encoder", "train with --task both, or with --set detect.method={methods}"),
    "classifier": (
        "classifier",
        "train with --task both on images sorted into one folder for each class",
    ),
    "translator": ("translator", "train one with --translate-to FOLDER"),
    "back_translator": (
        "translator back to the old camera",
        "train one with --translate-to FOLDER, and without --set translation.cycle=none",
    ),
    "latents": (
        "latent codes of the training images",
        "train with --task both, and without --no-store-latents",
    ),
}


def _now() -> str:
    """Return the present time in UTC as ISO 8601 text, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def current_versions() -> dict[str, str]:
    """Return the versions of Python, augan, NumPy, TensorFlow and Keras, without importing them.

    Returns
    -------
    dict of str to str
        Package -> version. Packages that are not installed are missing; TensorFlow is "tensorflow"
        or "tensorflow-cpu".
    """
    versions = {"python": platform.python_version()}
    for package in ("augan", "numpy", "tensorflow", "tensorflow-cpu", "keras"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # one of the two TensorFlow packages is installed, or none
    return versions


@dataclass(frozen=True, eq=False, config=VALIDATION)
class Bundle:
    """The result of a training: networks, preprocessing, detectors and metrics.

    `augan.bundle` describes the file. A bundle never changes; `dataclasses.replace` returns a
    changed copy. The sections check themselves, see `augan.bundle.sections`. The constructor checks
    that they fit each other.

    Parameters
    ----------
    config : Config
        The resolved configuration.
    data : DatasetInfo
        Name, source, class names, counts and fingerprint of the training data.
    preprocessing : Preprocessing
        The fitted preprocessing.
    networks : mapping of str to Network
        "generator", "discriminator", "encoder", "classifier", "translator", ...; with folds
        "fold1-discriminator" and so on.
    splits : Splits or None
        Training samples in each split; None (default): trained in memory by an estimator.
    latents : Latents or None
        Latent codes of the training samples; None (default): not stored.
    detector : DetectorSection or None
        Fitted detection methods with their calibrations; None (default): no detector.
    translation : TranslationSection or None
        Images of the new camera of a translation, and its metrics; None (default): no translation.
    metrics : BundleMetrics
        Metrics of the training; default: none.
    created : str
        ISO 8601 time of creation, which is not part of `sha256`; default: now.
    versions : mapping of str to str
        Versions of augan, Python, NumPy, TensorFlow and Keras; default: `current_versions()`.
    path : Path or None
        The file that the bundle was loaded from or saved to; None (default): never saved.
        `record_path` sets the path.

    Raises
    ------
    BundleError
        The sections do not fit each other, or a network has an invalid name.
    ValidationError
        pydantic's error: a part has another type.

    Examples
    --------
    >>> from augan.data.modalities.images import ImagePreprocessing
    >>> preprocessing = ImagePreprocessing(8, 1, "uint8", 0.0, 255.0)
    >>> bundle = Bundle(Config(), DatasetInfo("caps", 40), preprocessing)
    >>> bundle.has("detector")
    False
    """

    config: Config
    data: DatasetInfo
    preprocessing: Preprocessing
    networks: Mapping[Text, Network] = field(default_factory=dict)
    splits: Splits | None = None
    latents: Latents | None = None
    detector: DetectorSection | None = None
    translation: TranslationSection | None = None
    metrics: BundleMetrics = field(default_factory=BundleMetrics)
    created: Text = field(default_factory=_now)
    versions: Mapping[Text, Text] = field(default_factory=current_versions)
    path: Path | None = None

    def __post_init__(self) -> None:
        for name in self.networks:
            if not NETWORK_NAME.fullmatch(name):
                raise BundleError(
                    f"{name!r} cannot name a network: expected up to 64 letters, digits, '_', '-'"
                )
        num_samples, num_classes = self.data.num_samples, len(self.data.class_names)
        if self.splits is not None:
            try:
                check_splits(self.splits, num_samples)
            except ValueError as error:
                raise BundleError(str(error)) from None
        if self.latents is not None:
            latents = self.latents
            if latents.indices.max(initial=-1) >= num_samples:
                raise BundleError(f"latents.indices: one is not below the {num_samples} samples")
            if latents.labels is not None and latents.labels.max(initial=-1) >= num_classes:
                raise BundleError(f"latents.labels: one is not below the {num_classes} classes")
            probabilities = latents.class_probabilities
            if probabilities is not None and probabilities.shape[1] != num_classes:
                raise BundleError(
                    f"latents.class_probabilities has {probabilities.shape[1]} columns for "
                    f"{num_classes} classes"
                )

        if self.translation is not None:
            self._check_translation(self.translation)

    def _check_translation(self, translation: TranslationSection) -> None:
        """Raise BundleError unless the classes of both cameras fit each other."""
        old, new = self.data.class_names, translation.data.class_names
        joint = (*old, *(name for name in new if name not in old))
        if translation.class_names != joint:
            raise BundleError(
                "translation.class_names are not the classes of the old camera, followed by those "
                "that only the new camera has"
            )
        if translation.common_classes != tuple(name for name in old if name in new):
            raise BundleError("translation.common_classes are not the classes of both cameras")

    def __eq__(self, other: object) -> bool:
        """Whether two bundles have equal content, times and versions; paths may differ."""
        if not isinstance(other, Bundle):
            return NotImplemented
        return has_equal_content({**vars(self), "path": None}, {**vars(other), "path": None})

    def __repr__(self) -> str:
        """Return one line with networks and detector instead of thousands of arrays."""
        detector = f"; detector {self.detector.methods[0].name}" if self.detector else ""
        return (
            f"<Bundle of {self.data.name}: {', '.join(self.networks) or 'no networks'}{detector}; "
            f"{self.path or 'not saved'}>"
        )

    @property
    def sha256(self) -> str:
        """SHA-256 of everything except `created` and `path`; equal trainings have equal digests.

        The digest is computed at every access, from all weights.
        """
        from augan.bundle.members import content_hash, encode_members, member_hashes

        return content_hash(member_hashes(encode_members(self)), self.versions)

    @property
    def bundle_id(self) -> str:
        """The first 12 hexadecimal digits of `sha256`, which name the bundle in reports."""
        return self.sha256[:12]

    def record_path(self, path: Path) -> None:
        """Set the file of the bundle, after the bundle was saved or moved there."""
        object.__setattr__(self, "path", path)  # where a bundle is does not change what it is

    def has(self, part: str) -> bool:
        """Whether the bundle holds what a command needs.

        Parameters
        ----------
        part : str
            "generator", "classes", "detector", "encoder", "classifier", "latents", "translator" or
            "back_translator". "classes" is a generator with a class input together with the names
            of the classes; "latents" are the latent codes of the training images.

        Raises
        ------
        BundleError
            There is no such part in any bundle.
        """
        if part not in _PARTS:
            raise BundleError(f"there is no part {part!r} of a bundle; known: {list(_PARTS)}")
        if part == "detector":
            return self.detector is not None
        if part == "latents":
            return self.latents is not None
        if part in ("translator", "back_translator"):
            return part in self.networks and self.translation is not None
        if part == "classes":
            if "generator" not in self.networks or not self.data.class_names:
                return False
            return bool(self.networks["generator"].spec.arguments.get("num_classes"))
        return part in self.networks

    def require(self, part: str) -> None:
        """Raise BundleError with the name of a missing part and the remedy, unless `has(part)`."""
        if not self.has(part):
            raise self._lacks(part)

    def _lacks(self, part: str) -> BundleError:
        """Return the error for a missing part, with the remedy."""
        name, remedy = _PARTS[part]
        methods = [m.name for m in DETECTION_METHODS if part in m.required_networks]
        remedy = remedy.format(methods=" or ".join(methods))
        return BundleError(f"{self.path or 'this bundle'} has no {name}; {remedy}")

    def require_detector(self) -> DetectorSection:
        """Return the detector section; BundleError with the remedy if there is none."""
        if self.detector is None:
            raise self._lacks("detector")
        return self.detector

    def require_translation(self) -> TranslationSection:
        """Return the translation section; BundleError with the remedy without a translator."""
        if self.translation is None or not self.has("translator"):
            raise self._lacks("translator")
        return self.translation

    def require_latents(self) -> Latents:
        """Return the latent codes; BundleError with the remedy if there are none."""
        if self.latents is None:
            raise self._lacks("latents")
        return self.latents

    def saved_path(self) -> Path:
        """Return the file of the bundle, next to which results are written.

        Raises
        ------
        BundleError
            The bundle was never saved or loaded.
        """
        if self.path is None:
            raise BundleError(
                "this bundle was never saved, so it has no folder for results; save it first, or "
                "give a folder"
            )
        return self.path


_MAX_MESSAGE_LENGTH = 200  # characters of an error of another library


@contextmanager
def bundle_errors(bundle: Bundle, part: str) -> Iterator[None]:
    """Convert every error in the block to a BundleError that names the part of the bundle.

    Raises
    ------
    BundleError
        The part cannot be used.
    AuganError
        There is not enough memory.
    OSError
        A file cannot be read or written; not converted.

    Examples
    --------
    >>> from augan.data.modalities.images import ImagePreprocessing
    >>> preprocessing = ImagePreprocessing(8, 1, "uint8", 0.0, 255.0)
    >>> bundle = Bundle(Config(), DatasetInfo("caps", 40), preprocessing)
    >>> with bundle_errors(bundle, "list of classes"):
    ...     {}["class_names"]
    Traceback (most recent call last):
    augan.exceptions.BundleError: this bundle: its list of classes cannot be used (KeyError: \
'class_names'); copy it again from where it was made, or train again
    """
    try:
        yield
    except (AuganError, OSError):
        raise
    except Exception as error:  # TensorFlow's errors have no common base class
        message = " ".join(str(error).split())[:_MAX_MESSAGE_LENGTH]
        if _is_memory_error(error):
            raise AuganError(
                f"{bundle.path or 'this bundle'}: there is not enough memory to use its {part} "
                f"({type(error).__name__}: {message}); take smaller images or fewer at once, fewer "
                "workers, or a machine with more memory"
            ) from error
        raise BundleError(
            f"{bundle.path or 'this bundle'}: its {part} cannot be used ({type(error).__name__}: "
            f"{message}); {REPLACE_HINT}"
        ) from error


def _is_memory_error(error: Exception) -> bool:
    """Whether an error of Python, NumPy or TensorFlow means too little memory."""
    # Compared by name, so that TensorFlow is not imported.
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"MemoryError", "ResourceExhaustedError"})
