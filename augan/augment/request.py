"""Request of `augan augment`: all options, checked and resolved before anything is generated."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from augan.augment.manifest import ManifestHeader
from augan.augment.methods.prior import GeneratorSampler
from augan.augment.methods.registry import resolve_method
from augan.augment.transforms import get_seeded_transform
from augan.augment.writers import resolve_format
from augan.bundle import Bundle
from augan.data.dataset import Classes, as_class_names, plural, resolve_class
from augan.data.modalities.registry import restore_preprocessing
from augan.exceptions import ConfigError, DataError

_MAX_NAME_LENGTH = 60  # characters of class names in the name of a folder


@dataclass(frozen=True)
class AugmentRequest:
    """Checked request for generated samples, with every default replaced by its value.

    Attributes
    ----------
    bundle : Bundle
        A bundle with a generator that was trained with classes.
    counts : dict of int to int
        Class index -> number of samples to write, at least 1.
    method : str
        A key of `AUGMENTATION_METHODS`, never "auto".
    format : {"png", "npz", "csv"}
        File format of the samples.
    filtered : bool
        Whether the user wants candidates to be filtered.
    out : Path
        The folder to write.
    header : ManifestHeader
        Values of the manifest that are the same for all samples.
    """

    bundle: Bundle
    counts: dict[int, int]
    method: str
    format: str
    filtered: bool
    out: Path
    header: ManifestHeader

    @cached_property
    def sampler(self) -> GeneratorSampler:
        """Sampler with the generator of the bundle. The network is built on first use."""
        return GeneratorSampler(self.bundle)

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
            "filtered": self.filtered,
        }


def parse_request(
    bundle: Bundle,
    classes: Classes,
    n: int | None,
    out: str | Path | None,
    *,
    seed: int,
    method: str,
    transform: str | None,
    format: str | None,
    filtered: bool,
    balance: bool,
    balance_to: int | None,
) -> AugmentRequest:
    """Check the options of `augment_folder` and return the request with all defaults resolved.

    No network is built. Parameters are those of `augment_folder`.

    Raises
    ------
    BundleError
        The bundle has no generator with classes, or `out` is None and the bundle was never saved.
    ConfigError
        An option is invalid, or options exclude each other.
    DataError
        A class does not exist, or has one sample but is filtered or interpolated.
    """
    bundle.require("classes")  # all options are checked before a network is built
    counts = resolve_counts(bundle, as_class_names(classes), n, balance, balance_to)
    not_default = [] if method == "auto" else [method]
    method = resolve_method(method)
    if filtered or method == "interpolate":
        _check_class_sizes(bundle, counts)
    if transform is None:
        transform = str(bundle.config.get("augment", {}).get("transform", "none"))
    get_seeded_transform(transform)  # refuses an unknown name
    sample_type = restore_preprocessing(bundle.preprocessing).sample_type
    format = resolve_format(format, sample_type)
    not_default += [] if transform == "none" else [transform]
    not_default += [] if filtered else ["unfiltered"]
    not_default += [] if format == resolve_format(None, sample_type) else [format]
    class_names = [bundle.data["class_names"][index] for index in counts]
    return AugmentRequest(
        bundle,
        counts,
        method,
        format,
        filtered,
        default_out(bundle, out, folder_name(class_names, n, balance_to, seed, not_default)),
        ManifestHeader.from_bundle(bundle, seed, method, transform),
    )


def resolve_counts(
    bundle: Bundle,
    classes: Sequence[str],
    n: int | None,
    balance: bool,
    balance_to: int | None,
) -> dict[int, int]:
    """Return the number of samples to generate for each requested class.

    Parameters
    ----------
    bundle : Bundle
        The names and sizes of the classes come from the bundle.
    classes : sequence of str
        Names or indices of classes. Empty with `balance`: all classes.
    n : int or None
        Number of samples of each class; None with `balance`.
    balance : bool
        Whether to fill up each class to the size of the largest class, or to `balance_to`.
    balance_to : int or None
        Size of each class with `balance`, training samples included. None: that of the largest
        class.

    Returns
    -------
    dict of int to int
        Class index -> number of samples, at least 1. Classes that need none are left out.

    Raises
    ------
    ConfigError
        The arguments exclude each other, a number is below 1, or no class needs samples.
    DataError
        A class does not exist.
    """
    class_names = bundle.data["class_names"]
    indices = list(dict.fromkeys(resolve_class(name, class_names) for name in classes))
    if not balance:
        if balance_to is not None:
            raise ConfigError("--balance-to requires --balance; add --balance")
        if n is None or not indices:
            raise ConfigError("--class and --n are required, or --balance; give both, or --balance")
        return dict.fromkeys(indices, check_positive(n))
    if n is not None:
        raise ConfigError(
            "--balance computes the number of samples itself, so --n does not go with it; leave "
            "out --n, or give --balance-to"
        )
    sizes = [int(size) for size in bundle.data["class_counts"]]
    target = max(sizes) if balance_to is None else check_positive(balance_to)
    missing = {index: target - sizes[index] for index in indices or range(len(sizes))}
    counts = {index: number for index, number in missing.items() if number > 0}
    if not counts:
        samples = plural(restore_preprocessing(bundle.preprocessing).sample_type)
        raise ConfigError(
            f"there is nothing to balance, because each of these classes has {target} real "
            f"{samples} or more; give a larger number with --balance-to"
        )
    return counts


def check_positive(n: int) -> int:
    """Return a requested number of samples unchanged; ConfigError if the number is below 1."""
    if n < 1:
        raise ConfigError(f"the number of samples must be at least 1, but is {n}")
    return n


def _check_class_sizes(bundle: Bundle, counts: dict[int, int]) -> None:
    """Refuse classes of fewer than two training samples.

    The generator of such a class can only learn to copy the sample.

    Raises
    ------
    DataError
        A requested class has fewer than two samples. Sizes that the bundle lacks are not checked.
    """
    sizes, names = bundle.data.get("class_counts", []), bundle.data["class_names"]
    for index in counts:
        if index < len(sizes) and sizes[index] < 2:
            raise DataError(
                f"class '{names[index]}' has {sizes[index]} real sample, and at least 2 are "
                "needed, because generated samples cannot be told from copies; add more, leave "
                "out the class, or write unfiltered samples with --no-filter"
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
    classes: Sequence[str],
    n: int | None,
    balance_to: int | None,
    seed: int,
    not_default: Sequence[str] = (),
) -> str:
    """Return the default folder name of a request, such as `augment-cat-n500-seed0`.

    Parameters
    ----------
    classes : sequence of str
        Names of the requested classes. Names of more than 60 characters together become a number,
        such as `12-classes`.
    n : int or None
        Number of samples of each class; None with balancing.
    balance_to : int or None
        Size of each class with balancing; None: the size of the largest class.
    seed : int
    not_default : sequence of str
        Other options that differ from the default, so that each combination has its own folder.
    """
    names = "+".join(class_folder(name) for name in classes)
    if len(names) > _MAX_NAME_LENGTH:
        names = f"{len(classes)}-classes"
    amount = f"n{n}" if n is not None else f"balance{'' if balance_to is None else balance_to}"
    return "-".join(["augment", names, amount, f"seed{seed}", *not_default])


def default_out(bundle: Bundle, out: str | Path | None, name: str) -> Path:
    """Return the folder to write: `out` if given, otherwise the folder `name` next to the bundle.

    Raises
    ------
    BundleError
        `out` is None, and the bundle was never saved.
    """
    return bundle.saved_path().parent / name if out is None else Path(out)
