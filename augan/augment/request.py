"""What a call asks for, checked before anything is read or made."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class AugmentRequest:
    """Samples to make.

    Attributes
    ----------
    wanted
        Class number -> how many, at least 1.
    method, format, filtered, target
        How, in which form, whether only those that pass, and where.
    about
        What the manifest says of all of them.
    """

    bundle: Bundle
    sampler: GeneratorSampler
    wanted: dict[int, int]
    method: str
    format: str
    filtered: bool
    target: Path
    about: ManifestHeader

    def job(self) -> dict[str, Any]:
        """Return all that the samples depend on, JSON-able."""
        return {
            **asdict(self.about),
            "bundle": self.bundle.sha256,
            "wanted": [list(pair) for pair in self.wanted.items()],
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
    policy: str | None,
    format: str | None,
    filtered: bool,
    balance: bool,
    to: int | None,
) -> AugmentRequest:
    """Return what is to be made; for the parameters and errors see `augment_folder`."""
    bundle.require("classes")  # and no network is built before all that was asked for is possible
    wanted = resolve_counts(bundle, as_class_names(classes), n, balance, to)
    unusual = [] if method == "auto" else [method]
    method = resolve_method(method)
    if filtered or method == "interpolate":
        _check_counts(bundle, wanted)
    if policy is None:
        policy = str(bundle.config.get("augment", {}).get("policy", "none"))
    get_seeded_transform(policy)  # refuses an unknown one
    sample_type = restore_preprocessing(bundle.preprocessing).sample_type
    format = resolve_format(format, sample_type)
    unusual += [] if policy == "none" else [policy]
    unusual += [] if filtered else ["unfiltered"]
    unusual += [] if format == resolve_format(None, sample_type) else [format]
    chosen = [bundle.data["class_names"][index] for index in wanted]
    return AugmentRequest(
        bundle,
        GeneratorSampler(bundle),
        wanted,
        method,
        format,
        filtered,
        default_out(bundle, out, folder_name(chosen, n, to, seed, unusual)),
        ManifestHeader.of(bundle, seed, method, policy),
    )


def resolve_counts(
    bundle: Bundle,
    classes: Sequence[str],
    n: int | None,
    balance: bool,
    to: int | None,
) -> dict[int, int]:
    """Return class number -> how many samples to make, at least 1 each.

    Parameters are those of `augment_folder`.

    Raises
    ------
    ConfigError
        The arguments do not go together, a number is below 1, or nothing is to be made.
    DataError
        There is no such class.
    """
    known = bundle.data["class_names"]
    chosen = list(dict.fromkeys(resolve_class(name, known) for name in classes))
    if not balance:
        if to is not None:
            raise ConfigError("--balance-to requires --balance; give both")
        if n is None or not chosen:
            raise ConfigError("name a class with --class and a number with --n, or give --balance")
        return dict.fromkeys(chosen, check_positive(n))
    if n is not None:
        raise ConfigError("--balance decides the number of samples; replace --n with --balance-to")
    counts = [int(count) for count in bundle.data["class_counts"]]
    goal = max(counts) if to is None else check_positive(to)
    wanted = {index: goal - counts[index] for index in chosen or range(len(counts))}
    wanted = {index: number for index, number in wanted.items() if number > 0}
    if not wanted:
        samples = plural(restore_preprocessing(bundle.preprocessing).sample_type)
        raise ConfigError(
            f"each of these classes has {goal} real {samples} or more, so there is nothing to "
            "balance; give a larger number with --balance-to"
        )
    return wanted


def check_positive(n: int) -> int:
    """Return `n`; ConfigError if it is below 1."""
    if n < 1:
        raise ConfigError(f"the number of samples must be at least 1, got {n}")
    return n


def _check_counts(bundle: Bundle, wanted: dict[int, int]) -> None:
    """Refuse a class of one image: all that can be drawn of it is that image."""
    counts, names = bundle.data.get("class_counts", []), bundle.data["class_names"]
    for index in wanted:
        if index < len(counts) and counts[index] < 2:
            raise DataError(
                f"class '{names[index]}' has {counts[index]} real sample, and what is made of it "
                "cannot be told from a copy; add more, or leave the class out (--no-filter writes "
                "what the generator draws)"
            )


MAX_NAMES = 60  # characters of class names in the name of a folder


def class_folder(class_name: str) -> str:
    """Return a class name as that of a folder; two classes never share one.

    What a path would read as structure is written as in addresses: "a/b" becomes "a%2Fb".
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
    classes: Sequence[str], n: int | None, to: int | None, seed: int, unusual: Sequence[str] = ()
) -> str:
    """Return the name of the folder for what `augment_folder` is asked for.

    Parameters
    ----------
    n, to
        How many of each class; None and how many to balance to, None for the largest class.
    unusual
        What is asked for beside that, so that it does not take the place of the usual images.
    """
    names = "+".join(class_folder(name) for name in classes)
    if len(names) > MAX_NAMES:
        names = f"{len(classes)}-classes"
    amount = f"n{n}" if n is not None else f"balance{'' if to is None else to}"
    return "-".join(["augment", names, amount, f"seed{seed}", *unusual])


def default_out(bundle: Bundle, out: str | Path | None, name: str) -> Path:
    """Return `out`, or the folder `name` beside the bundle.

    Raises
    ------
    BundleError
        Neither is known.
    """
    return bundle.saved_path().parent / name if out is None else Path(out)
