"""Request of `augan augment`: what the user asks for, before any bundle is known."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from augan.augment.methods.registry import check_method
from augan.augment.transforms import check_transform
from augan.checks import (
    check_choice,
    check_flag,
    check_instance,
    check_path,
    check_seed_number,
    check_whole_number,
)
from augan.data.dataset import Classes, as_class_names
from augan.data.modalities.registry import PREPROCESSINGS
from augan.exceptions import ConfigError


@dataclass(frozen=True)
class AugmentRequest:
    """Request for generated samples of chosen classes.

    The constructor checks everything that needs no bundle. `augan.augment_folder` checks the rest
    and computes the defaults from the bundle.

    Attributes
    ----------
    classes : str, int, or sequence of them
        Classes by name or, if no class has the name, by index; the request keeps a tuple of texts.
        Empty with `balance`: all classes.
    n : int or None
        Images or rows to write of each class, at least 1; None with `balance`.
    seed : int
        Seed of all candidates, 0 to 2**31 - 1. The same seed and index give the same image or row,
        whatever `n`.
    method : str
        Augmentation method: "sample" (random noise through the generator), "interpolate" or
        "transfer" (new latent codes, computed from the codes of training samples), "translate"
        (images of the old camera in the look of the new camera), or "auto", which is "sample", or
        "translate" for a bundle without a generator; see `augan.augment.methods`.
    transform : str or None
        Classic transform that is applied to each image, a key of
        `augan.augment.transforms.TRANSFORMS`. None: the transform in the bundle's configuration.
    format : str or None
        "png" or "npz" for images, "csv" for table rows. None: "png" or "csv". "npz" and "csv" are
        one file for all samples.
    training_data : path, str or None
        The bundle's training data, which the filters compare candidates with. None: the location
        that the bundle records. If the data no longer exists there, only the classifier filters,
        and a warning says so.
    filtered : bool
        Whether to reject candidates that the classifier assigns to another class, that the
        discriminator finds implausible, that nearly copy a training sample, or that duplicate an
        accepted candidate.
    balance : bool
        Fill up each class to the size of the largest class, or to `balance_to`, instead of writing
        `n` samples of each class.
    balance_to : int or None
        With `balance`: number of real and generated samples of each class together. None: the size
        of the largest class.

    Raises
    ------
    ConfigError
        A value is invalid or has the wrong type, or values exclude each other.

    Examples
    --------
    >>> request = AugmentRequest(["cat", "dog"], n=500, method="interpolate")
    >>> request.classes, request.n, request.seed
    (('cat', 'dog'), 500, 0)
    >>> AugmentRequest(balance=True, balance_to=1000).classes
    ()
    """

    classes: Classes = ()
    n: int | None = None
    _: KW_ONLY
    seed: int = 0
    method: str = "auto"
    transform: str | None = None
    format: str | None = None
    training_data: str | Path | None = None
    filtered: bool = True
    balance: bool = False
    balance_to: int | None = None

    def __post_init__(self) -> None:
        self._set("classes", tuple(as_class_names(self.classes)))
        if self.training_data is not None:
            self._set("training_data", check_path("training_data", self.training_data))
        for name in ("filtered", "balance"):
            self._set(name, check_flag(name, getattr(self, name)))
        self._set("seed", check_seed_number(self.seed))
        check_method(self.method)
        if self.format is not None:
            _check_format(self.format)
        if self.transform is not None:
            check_transform(self.transform)
        if self.n is not None:
            self._set("n", check_count(self.n, "n"))
        if self.balance_to is not None:
            self._set("balance_to", check_count(self.balance_to, "balance_to"))
        self._check_amount()

    def _set(self, name: str, value: Any) -> None:
        """Replace an attribute by its normal form; only for the constructor."""
        object.__setattr__(self, name, value)

    def _check_amount(self) -> None:
        """Raise ConfigError unless either `n` or `balance` decides the number of samples."""
        if not self.balance:
            if self.balance_to is not None:
                raise ConfigError("`balance_to` requires `balance`; add `balance=True`")
            if self.n is None or not self.classes:
                raise ConfigError(
                    "`classes` and `n` are required, or `balance`; give both, or `balance`"
                )
        elif self.n is not None:
            raise ConfigError(
                "`balance` computes the number of samples itself, so `n` does not go with it; "
                "leave out `n`, or give `balance_to`"
            )


def check_count(number: int, name: str) -> int:
    """Return a requested number of samples as an int.

    Raises
    ------
    ConfigError
        The number is not whole, or below 1; the message calls the number `name`.
    """
    number = check_whole_number(name, number)
    if number < 1:
        raise ConfigError(f"the number of samples must be at least 1, but is {number}")
    return number


def _check_format(format: str) -> None:
    """Raise ConfigError unless samples of some type can be written in a file format."""
    formats = [name for kind in PREPROCESSINGS.values() for name in kind.file_formats]
    check_choice("format", format, dict.fromkeys(formats))


def check_augment_request(request: Any) -> AugmentRequest:
    """Return the argument `request` of a function; ConfigError if it is no `AugmentRequest`."""
    return check_instance("request", request, AugmentRequest, 'AugmentRequest("cat", n=500)')
