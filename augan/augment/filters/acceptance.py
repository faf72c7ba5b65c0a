"""Acceptance rate of the candidates of a class, and warnings about a generator of low quality."""

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from augan.augment.filters.criteria import (
    ACCEPTED,
    DUPLICATE,
    IMPLAUSIBLE,
    LABEL_MISMATCH,
    MEMORIZED,
    REJECTION_REASONS,
    UNCHECKED,
)
from augan.bundle import Bundle
from augan.choices import DETECTION_METHODS
from augan.data.dataset import plural
from augan.exceptions import RefusedError

MIN_ACCEPTANCE_RATE = 0.05  # of the last candidates; below this rate, the class is refused
# The classifier must agree with this many times as many candidates as by chance. A generator that
# ignores the class produces the right class now and then, and the classifier errs more often.
MIN_AGREEMENT_OVER_CHANCE = 1.5
WINDOW_SIZE = 1_024  # number of last candidates that count for the rates
# Largest kernel distance of a generator that has learned, as a fraction of the distance before
# training. A generator that learns at all is soon far below.
MAX_KERNEL_DISTANCE_RATIO = 0.25

_SENTENCES = {
    LABEL_MISMATCH: "the classifier{trust} assigns {} to another class",
    IMPLAUSIBLE: "the discriminator finds {} less real than 99 % of the real {samples}",
    MEMORIZED: "{} are near copies of training {samples}",
    DUPLICATE: "{} are duplicates of others",
}
_ADVICE = {
    LABEL_MISMATCH: "train longer, or add training {samples} of this class",
    IMPLAUSIBLE: "train longer, or add training {samples} of this class",
    MEMORIZED: "add training {samples} of this class, or train for fewer steps",
    DUPLICATE: "request fewer, or train longer",
}


@dataclass
class AcceptanceStats:
    """Counts of the accepted and rejected candidates of one class, and the check of their rate.

    Attributes
    ----------
    class_name : str
    requested : int
        Samples that the user requested.
    num_classes : int
        Number of classes that the classifier distinguishes.
    sample_type : {"image", "row"}
        Noun for messages.
    classifier_accuracy : float or None
        The classifier's accuracy on held-out real samples, 0 to 1; None if unknown.
    generated : int
        Candidates that were evaluated until enough were accepted.
    accepted : int
        Candidates with the decision "accepted" or "unchecked".
    rejected : Counter of str
        Rejection reason -> number of candidates.
    thresholds : dict of str to float
        The thresholds of the filter for this class.
    """

    class_name: str
    requested: int
    num_classes: int
    sample_type: str = "image"
    classifier_accuracy: float | None = None
    generated: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    thresholds: dict[str, float] = field(default_factory=dict)
    _recent: deque[Counter[str]] = field(default_factory=deque)

    def update(self, decisions: Sequence[str]) -> None:
        """Add decisions about candidates to the counts.

        Parameters
        ----------
        decisions : sequence of str
            "accepted", "unchecked" or a rejection reason, one for each candidate.
        """
        counts = Counter(decisions)
        accepted = counts.pop(ACCEPTED, 0) + counts.pop(UNCHECKED, 0)
        self.generated += len(decisions)
        self.accepted += accepted
        self.rejected += counts

    def check_rates(self, decisions: Sequence[str]) -> None:
        """Refuse the class if too few of its last candidates pass the filter.

        Parameters
        ----------
        decisions : sequence of str
            Decisions about all candidates of the newest chunk. The last 1,024 candidates count, the
            newest chunk included.

        Raises
        ------
        RefusedError
            Fewer than 5 % of the last candidates were accepted, or the classifier agreed with fewer
            than 1.5 times as many as by chance.
        """
        self._recent.append(Counter(decisions))
        while sum(chunk.total() for chunk in self._recent) > WINDOW_SIZE:
            self._recent.popleft()
        recent = sum(self._recent, Counter())
        total, accepted = recent.total(), recent[ACCEPTED] + recent[UNCHECKED]
        num_agreed = total - recent[LABEL_MISMATCH]
        min_agreed = math.ceil(MIN_AGREEMENT_OVER_CHANCE * total / self.num_classes)
        if accepted >= MIN_ACCEPTANCE_RATE * total and num_agreed >= min_agreed:
            return
        chance = f" (at least {min_agreed:,} must be right to exceed chance clearly)"
        raise RefusedError(self._refusal(recent, accepted, chance * (num_agreed < min_agreed)))

    def _refusal(self, recent: Counter[str], accepted: int, chance: str) -> str:
        """Return the sentence that says why a class is refused, and what to do.

        Parameters
        ----------
        recent : Counter of str
            Decisions about the last candidates.
        accepted : int
            Number of accepted candidates among the last.
        chance : str
            Explanation that the classifier agrees hardly more than by chance, or "".
        """
        reasons = [(recent[reason], reason) for reason in REJECTION_REASONS if recent[reason]]
        accuracy = self.classifier_accuracy
        trust = (
            "" if accuracy is None else f", right on {100 * accuracy:.0f} % of held-out samples,"
        )
        explanation = ", ".join(
            _SENTENCES[reason].format(f"{n:,}", samples=plural(self.sample_type), trust=trust)
            for n, reason in reasons
        )
        earlier = f" {self.accepted:,} of {self.requested:,} were accepted before."
        advice = _ADVICE[max(reasons)[1]].format(samples=plural(self.sample_type))
        return (
            f"class '{self.class_name}' cannot be generated credibly: {accepted:,} of "
            f"{recent.total():,} candidates pass the filters; {explanation}{chance}."
            f"{earlier if self.accepted else ''} Nothing was written. To fix it, {advice}; "
            "`filtered=False` writes candidates without checks"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and thresholds as JSON-able values, for `summary.json`."""
        return {
            "class": self.class_name,
            "requested": self.requested,
            "generated": self.generated,
            "accepted": self.accepted,
            "rejected": {reason: self.rejected[reason] for reason in REJECTION_REASONS},
            "thresholds": self.thresholds,
        }


def generator_is_used(bundle: Bundle) -> bool:
    """Whether a bundle's generator makes samples, or scores them in a detection method."""
    if bundle.config.task in ("generate", "both"):
        return True
    methods = () if bundle.detector is None else bundle.detector.method_names
    known = [DETECTION_METHODS.get(name) for name in methods if name in DETECTION_METHODS]
    return any("generator" in method.required_networks for method in known)


def generator_warnings(bundle: Bundle, *, always: bool = False) -> tuple[str, ...]:
    """Return sentences that warn of a generator whose quality is low or was never measured.

    The quality is the kernel distance between generated and held-out samples. It is low if training
    has not reduced the distance to a quarter. An empty tuple means no warning, which includes a
    bundle without training steps in its metrics, and unless `always` one whose generator is not
    used, see `generator_is_used`.
    """
    if not always and not generator_is_used(bundle):
        return ()
    steps = bundle.metrics.steps.get("gan")
    if steps is None:  # trained in memory by `GANOverSampler`, which computes no metrics
        return ()
    samples = plural(bundle.preprocessing.sample_type)
    fidelity = bundle.metrics.fidelity
    if fidelity is None:
        return (
            f"the quality of the generator after {steps:,} steps was never measured, because too "
            f"few {samples} were held out or the monitor was off; look at some {samples} before "
            "you use them",
        )
    distance, untrained = fidelity.kernel_distance, fidelity.untrained_kernel_distance
    if distance <= MAX_KERNEL_DISTANCE_RATIO * untrained:
        return ()
    return (
        f"the generator has learned little in {steps:,} steps: the kernel distance between "
        f"generated and held-out {samples} is {distance:.3g}, and {untrained:.3g} before training; "
        f"train longer, or look at some {samples} before you use them",
    )
