"""What one call knows of real samples: those to compare with, who judges, and what is lacking."""

from dataclasses import dataclass
from pathlib import Path

from augan.augment.filters.checks import Checker, Unfiltered
from augan.augment.filters.reference import Reference, find_reference
from augan.augment.methods.sampling import Sampler
from augan.bundle import in_use
from augan.exceptions import DataError


@dataclass(frozen=True)
class Real:
    """The knowledge of real samples.

    Attributes
    ----------
    reference
        The training data, or None where it is not needed or gone.
    checker
        The judge of candidates.
    accuracy
        Share of held-out real samples that the classifier is right on, or None.
    warnings
        What could not be looked at, and why.
    """

    reference: Reference | None
    checker: Checker | Unfiltered
    accuracy: float | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, sampler: Sampler, method: str, filtered: bool, data: str | Path | None) -> "Real":
        """Find what candidates need; for the parameters and errors see `augment_folder`."""
        if not filtered and method == "sample" and data is None:
            return cls(None, Unfiltered())
        bundle, noun = sampler.bundle, sampler.preprocessing.noun
        try:
            reference, gone = find_reference(bundle, sampler.preprocessing, data)
        except DataError as error:
            advice = f"; --no-filter takes the {noun} as they come" if filtered else ""
            raise DataError(f"{error}{advice}") from error
        if not filtered:
            drawn = f"{gone}; in place of changed real images, the generator draws changed codes"
            is_less = gone is not None and method == "transfer" and noun == "images"
            return cls(reference, Unfiltered(), warnings=(drawn,) if is_less else ())
        if not bundle.has("classifier"):
            lacking = f"the bundle has no classifier, so the {noun} are not filtered"
            return cls(reference, Unfiltered(), warnings=(lacking,))
        lacking = (
            f"{gone}; only the classifier was asked, and the {noun} were not compared with "
            f"training {noun}: their verdict is 'unchecked'"
        )
        accuracy = (bundle.metrics.get("classifier") or {}).get("accuracy")
        with in_use(bundle, "classifier or discriminator"):
            checker = Checker(bundle, reference)
        return cls(reference, checker, accuracy, () if gone is None else (lacking,))
