"""Augmentation job: a request together with everything that the bundle decides."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from augan.augment.generator import Sampler, open_sampler
from augan.augment.manifest import ManifestHeader
from augan.augment.methods.registry import AUTO, AugmentationMethod, resolve_method
from augan.augment.request import AugmentRequest
from augan.augment.transforms import check_transform
from augan.augment.worker import CandidateWorker
from augan.augment.writers import check_transform_of, resolve_format
from augan.bundle import Bundle
from augan.checks import check_path
from augan.data.dataset import as_class_names, plural, resolve_class
from augan.exceptions import ConfigError, DataError

MIN_FILTERED_CLASS_SIZE = 2  # training samples; else all candidates may be copies of one
_MAX_NAME_LENGTH = 60  # characters of class names in the name of a folder


@dataclass(frozen=True)
class AugmentJob:
    """Augmentation job, resolved once from a request and a bundle.

    Attributes
    ----------
    bundle : Bundle
        A bundle with a generator that was trained with classes, or with a translator.
    request : AugmentRequest
        What the user asked for.
    counts : dict of int to int
        Class index -> number of samples to write, at least 1.
    method : AugmentationMethod
        Declaration of the augmentation method.
    transform : str
        A key of `TRANSFORMS`.
    format : {"png", "npz", "csv"}
        File format of the samples.
    out : Path
        The folder to write.
    """

    bundle: Bundle
    request: AugmentRequest
    counts: dict[int, int]
    method: AugmentationMethod
    transform: str
    format: str
    out: Path

    @classmethod
    def resolve(
        cls, bundle: Bundle, request: AugmentRequest, out: str | Path | None = None
    ) -> Self:
        """Check a request against a bundle, and replace every default by its value.

        No network is built.

        Parameters
        ----------
        bundle : Bundle
        request : AugmentRequest
        out : path or None
            The folder to write. None: a folder next to the bundle, named after the request.

        Raises
        ------
        BundleError
            The bundle has no generator with classes or lacks a part that the method needs, or `out`
            is None and the bundle was never saved.
        ConfigError
            The method, the transform or the format does not fit the samples, or no class needs
            samples.
        DataError
            A class does not exist, or has too few samples.
        """
        sample_type = bundle.preprocessing.sample_type
        method = resolve_method(request.method, sample_type, bundle.has)
        if method.needs_generator:
            bundle.require("classes")
        for part in method.required_parts:
            bundle.require(part)
        counts = resolve_counts(bundle, request, _class_sizes(bundle, method))
        _check_class_sizes(bundle, counts, method, request.filtered)
        transform = request.transform
        if transform is None:
            transform = bundle.config.augment.transform
            check_transform(transform)
        check_transform_of(sample_type, transform)
        format = resolve_format(request.format, sample_type)
        class_names = [bundle.data.class_names[index] for index in counts]
        not_default = [] if request.method == AUTO else [method.name]
        not_default += [] if transform == "none" else [transform]
        not_default += [] if request.filtered else ["unfiltered"]
        not_default += [] if format == resolve_format(None, sample_type) else [format]
        name = folder_name(class_names, request, not_default)
        return cls(
            bundle, request, counts, method, transform, format, default_out(bundle, out, name)
        )

    @cached_property
    def sampler(self) -> Sampler:
        """Sampler with the generator or translator of the bundle, which is built on first use."""
        return open_sampler(self.bundle, self.method)

    @property
    def header(self) -> ManifestHeader:
        """Values of the manifest that are the same for all samples."""
        return ManifestHeader.from_bundle(
            self.bundle, self.request.seed, self.method.name, self.transform
        )

    def create_worker(self) -> CandidateWorker:
        """Load the training data and build the networks of the job in this process.

        Raises
        ------
        BundleError, DataError
            For the reasons that `CandidateWorker.create` lists.
        """
        request = self.request
        return CandidateWorker.create(
            self.sampler, self.method.name, request.filtered, request.training_data
        )

    def identity(self) -> dict[str, Any]:
        """Return the JSON-able values that decide whether an interrupted call may be resumed.

        All samples depend on these values: seed, method, transform, hashes, counts, format and
        filtering.
        """
        return {
            **asdict(self.header),
            "bundle": self.bundle.sha256,
            "counts": [list(pair) for pair in self.counts.items()],
            "format": self.format,
            "filtered": self.request.filtered,
        }


def _class_sizes(bundle: Bundle, method: AugmentationMethod) -> tuple[int, ...]:
    """Return the number of real samples of each class that a method adds samples to.

    A translation adds images to those of the new camera.
    """
    if method.needs_generator:
        return bundle.data.class_counts
    of_new = bundle.require_translation().data
    sizes = dict(zip(of_new.class_names, of_new.class_counts))
    return tuple(sizes.get(name, 0) for name in bundle.data.class_names)


def resolve_counts(bundle: Bundle, request: AugmentRequest, sizes: Sequence[int]) -> dict[int, int]:
    """Return the number of samples to generate for each requested class.

    Parameters
    ----------
    bundle : Bundle
        The names of the classes come from the bundle.
    request : AugmentRequest
    sizes : sequence of int
        Number of real samples of each class, for `balance`.

    Returns
    -------
    dict of int to int
        Class index -> number of samples, at least 1. Classes that need none are left out.

    Raises
    ------
    ConfigError
        No class needs samples.
    DataError
        A class does not exist.
    """
    class_names = bundle.data.class_names
    names = as_class_names(request.classes)
    indices = list(dict.fromkeys(resolve_class(name, class_names) for name in names))
    if request.n is not None:
        return dict.fromkeys(indices, request.n)
    target = max(sizes) if request.balance_to is None else request.balance_to
    missing = {index: target - sizes[index] for index in indices or range(len(sizes))}
    counts = {index: number for index, number in missing.items() if number > 0}
    if not counts:
        samples = plural(bundle.preprocessing.sample_type)
        raise ConfigError(
            f"there is nothing to balance, because each of these classes has {target} real "
            f"{samples} or more; give a larger number with `balance_to`"
        )
    return counts


def _check_class_sizes(
    bundle: Bundle, counts: dict[int, int], method: AugmentationMethod, filtered: bool
) -> None:
    """Refuse classes that are too small for the method or the filter.

    The generator of a class of one sample can only learn to copy the sample.

    Raises
    ------
    DataError
        A requested class has too few samples. Sizes that the bundle lacks are not checked.
    """
    sizes, names = bundle.data.class_counts, bundle.data.class_names
    for index in counts:
        size = sizes[index] if index < len(sizes) else None
        if size is None:
            continue
        has = f"class '{names[index]}' has {size} real sample{'s' * (size != 1)}"
        if size < method.min_class_size:
            raise DataError(
                f"{has}, but the method {method.name} needs at least {method.min_class_size}; add "
                "more, leave out the class, or choose another `method`"
            )
        if filtered and method.needs_generator and size < MIN_FILTERED_CLASS_SIZE:
            raise DataError(
                f"{has}, and at least {MIN_FILTERED_CLASS_SIZE} are needed, because generated "
                "samples cannot be told from copies; add more, leave out the class, or write "
                "unfiltered samples with `filtered=False`"
            )


def class_folder(class_name: str) -> str:
    """Return the folder name of a class; two different classes never share a folder.

    Characters with a meaning in paths are percent-encoded: "a/b" becomes "a%2Fb". The empty name
    becomes "%".
    """
    core = class_name.strip(" .")
    before, _, after = class_name.partition(core) if core else (class_name, "", "")
    plain = "".join(
        c if c.isalnum() or c in " -_.+()" else quote(c, safe="", errors="surrogatepass")
        for c in core
    )
    edges = ["".join(f"%{ord(c):02X}" for c in text) for text in (before, after)]
    return plain.join(edges) or "%"


def folder_name(
    class_names: Sequence[str], request: AugmentRequest, not_default: Sequence[str]
) -> str:
    """Return the default folder name of a job, such as `augment-cat-n500-seed0`.

    Parameters
    ----------
    class_names : sequence of str
        Names of the classes that get samples. Names of more than 60 characters together become a
        number, such as `12-classes`.
    request : AugmentRequest
        The request, for the number of samples and the seed.
    not_default : sequence of str
        Other options that differ from the default, so that each combination has its own folder.
    """
    names = "+".join(class_folder(name) for name in class_names)
    if len(names) > _MAX_NAME_LENGTH:
        names = f"{len(class_names)}-classes"
    size = "" if request.balance_to is None else request.balance_to
    amount = f"balance{size}" if request.n is None else f"n{request.n}"
    return "-".join(["augment", names, amount, f"seed{request.seed}", *not_default])


def default_out(bundle: Bundle, out: str | Path | None, name: str) -> Path:
    """Return the folder to write: `out` if given, otherwise the folder `name` next to the bundle.

    Raises
    ------
    BundleError
        `out` is None, and the bundle was never saved.
    DataError
        `out` is no path.
    """
    return bundle.saved_path().parent / name if out is None else Path(check_path("out", out))
