"""Bundle in memory, and its conversion to and from the members of the file."""

import importlib.metadata
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from augan.bundle import serialization
from augan.bundle.archive import REPLACE_HINT
from augan.bundle.schema import validate_documents
from augan.bundle.sections import DatasetInfo, DetectorInfo, TrainingMetrics
from augan.exceptions import AuganError, BundleError
from augan.io.hashing import sha256_bytes, sha256_json

FORMAT = "augan-bundle"
FORMAT_VERSION = 2
DOCUMENTS = ("config", "data", "preprocessing", "metrics")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MEMBER = re.compile(
    rf"(?:{'|'.join(DOCUMENTS)}|detector)\.json"
    rf"|networks/(?P<network>{_NAME.pattern})\.(?:json|safetensors)"
    rf"|tables/(?P<table>{_NAME.pattern})\.npz"
)
# Part -> its name in messages, and what to do if it is missing.
_PARTS = {
    "generator": ("generator", "train one with --task both"),
    "classes": (
        "classes to choose from",
        "train with --task both on images sorted into one folder for each class",
    ),
    "detector": ("anomaly detector", "train with --task both or --task detect"),
    "encoder": ("encoder", "train with --task both, or with --set detect.method=fanogan"),
    "classifier": (
        "classifier",
        "train with --task both on images sorted into one folder for each class",
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


@dataclass(eq=False)
class Network:
    """A saved network: the spec that builds the network, and the values of its variables.

    Parameters
    ----------
    spec : dict
        `architecture`, `role` and `arguments` of `augan.gan.networks.registry`, JSON-able.
    weights : dict of str to ndarray
        Variable path -> value; sorted by path.
    """

    spec: dict[str, Any]
    weights: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        self.weights = {key: self.weights[key] for key in sorted(self.weights)}

    @property
    def parameters(self) -> int:
        """Number of values in all variables of the network."""
        return sum(int(np.size(value)) for value in self.weights.values())


@dataclass(eq=False)
class Bundle:
    """The result of a training: networks, preprocessing, detector and metrics.

    `augan.bundle` describes the file. All dicts must be JSON-able: the file sorts their keys and
    stores tuples as lists.

    Parameters
    ----------
    config : dict
        The resolved configuration, see `Config.to_dict`.
    data : DatasetInfo
        Name, source, class names, counts and fingerprint of the training data.
    preprocessing : dict
        The fitted preprocessing, see `restore_preprocessing`.
    networks : dict of str to Network
        "generator", "discriminator", "encoder", "classifier", ...; with folds "fold1-discriminator"
        and so on.
    detector : DetectorInfo or None
        Method, score components and calibration of the detector; None (default): no detector.
    tables : dict of str to dict of str to ndarray
        Named groups of numeric arrays: "split", "latents", "calibration", "detector", ...
    metrics : TrainingMetrics
        Metrics of the training; a number that is not finite is saved as null.
    path : Path or None
        The file that the bundle was loaded from or saved to; None (default): never saved.
    created : str
        ISO 8601 time of creation, which is not part of `sha256`; default: now.
    versions : dict of str to str
        Versions of augan, Python, NumPy, TensorFlow and Keras; default: `current_versions()`.

    Examples
    --------
    >>> bundle = Bundle(config={"seed": 0}, data={"class_names": []})
    >>> bundle.has("detector")
    False
    """

    config: dict[str, Any]
    data: DatasetInfo
    preprocessing: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    detector: DetectorInfo | None = None
    tables: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    metrics: TrainingMetrics = field(default_factory=TrainingMetrics)
    path: Path | None = None
    created: str = field(default_factory=_now)
    versions: dict[str, str] = field(default_factory=current_versions)

    def __repr__(self) -> str:
        """Return one line with networks and detector instead of thousands of arrays."""
        detector = (self.detector or {}).get("method")
        return (
            f"<Bundle of {self.data.get('name')}: {', '.join(self.networks) or 'no networks'}"
            f"{f'; detector {detector}' if detector else ''}; {self.path or 'not saved'}>"
        )

    @property
    def sha256(self) -> str:
        """SHA-256 of everything except `created` and `path`; equal trainings have equal digests.

        The digest is computed at every access, from all weights.
        """
        return content_hash(member_hashes(encode_members(self)), self.versions)

    @property
    def bundle_id(self) -> str:
        """The first 12 hexadecimal digits of `sha256`, which name the bundle in reports."""
        return self.sha256[:12]

    def has(self, part: str) -> bool:
        """Whether the bundle holds what a command needs.

        Parameters
        ----------
        part : {"generator", "classes", "detector", "encoder", "classifier", "latents"}
            "classes" is a generator with a class input together with the names of the classes;
            "latents" are the latent codes of the training images.

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
            return "latents" in self.tables
        if part == "classes":
            if "generator" not in self.networks or not self.data.get("class_names"):
                return False
            arguments = self.networks["generator"].spec.get("arguments")
            return isinstance(arguments, dict) and bool(arguments.get("num_classes"))
        return part in self.networks

    def require(self, part: str) -> None:
        """Raise BundleError with the name of a missing part and the remedy, unless `has(part)`."""
        if not self.has(part):
            name, remedy = _PARTS[part]
            raise BundleError(f"{self.path or 'this bundle'} has no {name}; {remedy}")

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


def encode_members(bundle: Bundle) -> dict[str, bytes]:
    """Convert a bundle to the members of its file, except the manifest.

    Returns
    -------
    dict of str to bytes
        Name of each member -> content; equal bundles give equal bytes.

    Raises
    ------
    BundleError
        A value cannot be stored, or a network or table has an invalid name.
    """
    members = {}
    for name in DOCUMENTS:
        value = getattr(bundle, name)
        members[f"{name}.json"] = serialization.encode_json(
            value, name, null_for_nan=name == "metrics"
        )
    if bundle.detector is not None:
        members["detector.json"] = serialization.encode_json(bundle.detector, "detector")
    for name, network in bundle.networks.items():
        stem = f"networks/{_check_name(name)}"
        members[f"{stem}.json"] = serialization.encode_json(network.spec, f"{stem}.spec")
        members[f"{stem}.safetensors"] = serialization.encode_weights(network.weights, stem)
    for name, table in bundle.tables.items():
        members[f"tables/{_check_name(name)}.npz"] = serialization.encode_table(
            table, f"tables/{name}"
        )
    return members


def _check_name(name: str) -> str:
    """Return the name of a network or table; BundleError unless it may be part of a member name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BundleError(
            f"{name!r} cannot name a network or table: expected up to 64 letters, digits, '_', '-'"
        )
    return name


def check_members(names: Iterable[str], where: str) -> None:
    """Raise BundleError unless member names are those of one complete bundle.

    Parameters
    ----------
    names : iterable of str
        Names of all members except the manifest.
    where : str
        Name of the bundle in error messages.

    Raises
    ------
    BundleError
        A name is unknown, or a required member is missing.
    """
    present = set(names)
    for name in sorted(present):
        if not _MEMBER.fullmatch(name):
            raise BundleError(f"{where} has the unknown member {name!r}; {REPLACE_HINT}")
    needed = {f"{name}.json" for name in DOCUMENTS}
    for network in _names_of("network", present):
        needed |= {f"networks/{network}.json", f"networks/{network}.safetensors"}
    if missing := sorted(needed - present):
        raise BundleError(f"{where} lacks the member {missing[0]}; {REPLACE_HINT}")


def _names_of(kind: str, members: Iterable[str]) -> list[str]:
    """Return the sorted names of all networks, or all tables, among the names of members.

    `kind` is "network" or "table".
    """
    matches = (_MEMBER.fullmatch(member) for member in members)
    return sorted({match[kind] for match in matches if match and match[kind]})


def decode_members(names: Iterable[str], read: Callable[[str], bytes], where: str) -> Bundle:
    """Build a bundle from the members of its file; no network is built.

    Parameters
    ----------
    names : iterable of str
        Names of all members except the manifest, already checked by `check_members`.
    read : callable
        Returns the verified bytes of the member with a name.
    where : str
        Name of the bundle in error messages.

    Raises
    ------
    BundleError
        A member is damaged, or a value does not fit the schema.
    """
    present = set(names)

    def document(name: str) -> dict[str, Any]:
        return serialization.decode_json(read(f"{name}.json"), f"{where}: member {name}.json")

    networks = {}
    for name in _names_of("network", present):
        member = f"networks/{name}.safetensors"
        weights = serialization.decode_weights(read(member), f"{where}: member {member}")
        networks[name] = Network(document(f"networks/{name}"), weights)
    tables = {}
    for name in _names_of("table", present):
        member = f"tables/{name}.npz"
        tables[name] = serialization.decode_table(read(member), f"{where}: member {member}")
    documents = {name: document(name) for name in DOCUMENTS}
    detector = document("detector") if "detector.json" in present else None
    validate_documents({**documents, "detector": detector}, where)
    return Bundle(
        documents["config"],
        cast(DatasetInfo, documents["data"]),
        documents["preprocessing"],
        networks,
        cast("DetectorInfo | None", detector),
        tables,
        cast(TrainingMetrics, documents["metrics"]),
    )


def member_hashes(members: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of every member of a bundle file, by name."""
    return {name: sha256_bytes(raw) for name, raw in members.items()}


def content_hash(hashes: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """Return the SHA-256 that identifies the content of a bundle.

    Parameters
    ----------
    hashes : mapping of str to str
        Member name -> SHA-256 of its bytes, as by `member_hashes`.
    versions : mapping of str to str
        Package -> version, as by `current_versions`.

    Returns
    -------
    str
        A hash of both and of the version of the format. Neither the date nor the path of the
        bundle changes it.
    """
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "members": dict(hashes),
        "versions": dict(versions),
    }
    return sha256_json(content)


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
    >>> with bundle_errors(Bundle(config={}, data={}), "list of classes"):
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
