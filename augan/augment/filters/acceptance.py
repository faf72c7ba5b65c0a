"""How many candidates of a class were kept, why others were not, and when to give up."""

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
from augan.data.dataset import plural
from augan.data.modalities.registry import sample_type_of
from augan.exceptions import RefusedError

MIN_ACCEPTANCE_RATE = 0.05  # share of candidates that must pass, or the class is not drawn credibly
# How many times as often as by chance the classifier must agree: what a generator that ignores the
# class is asked for comes out right now and then, and the classifier errs more often than that.
MIN_AGREEMENT_OVER_CHANCE = 1.5
WINDOW_SIZE = 1_024  # last candidates that are looked at
_SENTENCES = {
    LABEL_MISMATCH: "the classifier{trust} takes {} for another class",
    IMPLAUSIBLE: "{} look less real to the discriminator than 99 % of real ones",
    MEMORIZED: "{} are near copies of training {samples}",
    DUPLICATE: "{} repeat others",
}
_ADVICE = {
    LABEL_MISMATCH: "train longer, or add training {samples} of this class",
    IMPLAUSIBLE: "train longer, or add training {samples} of this class",
    MEMORIZED: "add training {samples} of this class, or train for fewer steps",
    DUPLICATE: "ask for fewer, or train longer",
}


@dataclass
class AcceptanceStats:
    """What became of the candidates of one class.

    Attributes
    ----------
    name, num_classes
        The class, and how many there are.
    accuracy
        Share of held-out real samples that the classifier is right on, where it is known.
    asked, generated, kept
        How many were wanted, looked at until there were so many, and kept.
    rejected
        Reason -> how many.
    limits
        What the filters went by.
    """

    class_name: str
    requested: int
    num_classes: int
    sample_type: str = "image"
    accuracy: float | None = None
    generated: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    thresholds: dict[str, float] = field(default_factory=dict)
    _recent: deque[Counter[str]] = field(default_factory=deque)

    def count(self, decisions: Sequence[str]) -> None:
        """Add the verdicts of candidates that were looked at."""
        found = Counter(decisions)
        kept = found.pop(ACCEPTED, 0) + found.pop(UNCHECKED, 0)
        self.generated += len(decisions)
        self.accepted += kept
        self.rejected += found

    def check(self, decisions: Sequence[str]) -> None:
        """Look at a whole chunk of verdicts, however many of its candidates are still wanted.

        Raises
        ------
        RefusedError
            Too few of the last candidates passed, or the classifier agreed with hardly more of them
            than with those of a generator that ignores the class.
        """
        self._recent.append(Counter(decisions))
        while sum(chunk.total() for chunk in self._recent) > WINDOW_SIZE:
            self._recent.popleft()
        recent = sum(self._recent, Counter())
        total, passed = recent.total(), recent[ACCEPTED] + recent[UNCHECKED]
        agreed = total - recent[LABEL_MISMATCH]
        least = math.ceil(MIN_AGREEMENT_OVER_CHANCE * total / self.num_classes)
        if passed < MIN_ACCEPTANCE_RATE * total or agreed < least:
            needed = f", where {least:,} must be right to beat chance clearly" * (agreed < least)
            raise RefusedError(self._refusal(recent, total, passed, needed))

    def _refusal(self, recent: Counter[str], total: int, passed: int, needed: str) -> str:
        reasons = [(recent[reason], reason) for reason in REJECTION_REASONS if recent[reason]]
        most = max(reasons)[1]
        right = self.accuracy
        trust = "" if right is None else f", right on {right:.0%} of held-out real ones,"
        trust = trust.replace("%", " %")
        said = ", ".join(
            _SENTENCES[reason].format(f"{n:,}", samples=plural(self.sample_type), trust=trust)
            for n, reason in reasons
        )
        so_far = (
            f" {self.accepted:,} of {self.requested:,} were found before." if self.accepted else ""
        )
        advice = _ADVICE[most].format(samples=plural(self.sample_type))
        return (
            f"class '{self.class_name}' cannot be generated credibly, {passed:,} of {total:,} "
            f"candidates pass: {said}{needed}.{so_far} Nothing was written; {advice}; "
            "--no-filter writes them unchecked"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able figures."""
        return {
            "class": self.class_name,
            "requested": self.requested,
            "generated": self.generated,
            "accepted": self.accepted,
            "rejected": {reason: self.rejected[reason] for reason in REJECTION_REASONS},
            "thresholds": self.thresholds,
        }


MAX_KERNEL_DISTANCE_RATIO = (
    0.25  # of the kernel distance before training; what learns at all is soon far below
)


def generator_warnings(bundle: Bundle) -> tuple[str, ...]:
    """Return what the user should know before using what a bundle's generator draws."""
    steps = bundle.metrics.get("steps", {}).get("gan")
    if steps is None:  # trained in memory, by a sampler, which measures nothing
        return ()
    samples, found = plural(sample_type_of(bundle.preprocessing)), bundle.metrics.get("fidelity")
    if not found:
        return (
            f"what the generator draws after its {steps:,} updates was never measured, because too "
            f"few {samples} were held out or the monitor was off: look at some before you use them",
        )
    distance, untrained = found["kernel_distance"], found["untrained_kernel_distance"]
    if distance <= MAX_KERNEL_DISTANCE_RATIO * untrained:
        return ()
    return (
        f"the generator has learned little in its {steps:,} updates: the kernel distance of its "
        f"{samples} to held-out real ones is {distance:.3g}, where an untrained one has "
        f"{untrained:.3g}; train longer, or look at some before you use them",
    )
