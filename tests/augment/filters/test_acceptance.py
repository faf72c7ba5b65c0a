"""Acceptance statistics, the refusal of classes, and warnings about the generator."""

from dataclasses import replace

import pytest

from augan.augment.filters.acceptance import (
    MIN_ACCEPTANCE_RATE,
    WINDOW_SIZE,
    AcceptanceStats,
    generator_warnings,
)
from augan.augment.filters.criteria import (
    ACCEPTED,
    DUPLICATE,
    LABEL_MISMATCH,
    MEMORIZED,
    UNCHECKED,
)
from augan.bundle import Bundle, BundleMetrics, FidelityMetrics, GeneratorFidelity
from augan.exceptions import RefusedError


def test_generator_warnings_if_the_generator_learned_little_or_was_not_measured(
    digits_bundle: Bundle,
) -> None:
    values = dict.fromkeys(("frechet_distance", "precision", "recall", "density", "coverage"), 0.5)
    floor = FidelityMetrics(8, 8, "values", kernel_distance=0.1, is_small_sample=True, **values)

    def warnings(kernel_distance: float | None) -> tuple[str, ...]:
        fidelity = None
        if kernel_distance is not None:
            measured = {**vars(floor), "kernel_distance": kernel_distance}
            fidelity = GeneratorFidelity(**measured, floor=floor, untrained_kernel_distance=5.0)
        metrics = BundleMetrics(steps={"gan": 1340}, fidelity=fidelity)
        return generator_warnings(replace(digits_bundle, metrics=metrics))

    assert warnings(1.0) == ()
    (learned_little,) = warnings(3.0)
    assert "learned little in 1,340 steps" in learned_little
    assert "is 3, and 5 before training" in learned_little
    (not_measured,) = warnings(None)
    assert "1,340 steps was never measured" in not_measured
    assert generator_warnings(replace(digits_bundle, metrics=BundleMetrics())) == ()


class TestAcceptanceStats:
    def test_update_counts_accepted_and_rejected(self) -> None:
        stats = AcceptanceStats("shirt", 3, 10)
        stats.update([ACCEPTED, LABEL_MISMATCH, MEMORIZED, ACCEPTED, MEMORIZED, ACCEPTED])
        assert (stats.generated, stats.accepted) == (6, 3)
        assert {reason: n for reason, n in stats.rejected.items() if n} == {
            LABEL_MISMATCH: 1,
            MEMORIZED: 2,
        }
        assert stats.to_dict()["rejected"][DUPLICATE] == 0

    def test_update_counts_unchecked_as_accepted(self) -> None:
        stats = AcceptanceStats("shirt", 3, 10)
        stats.update([UNCHECKED] * 3)
        stats.check_rates([UNCHECKED] * 3)
        assert stats.accepted == 3

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            (LABEL_MISMATCH, "another class"),
            (MEMORIZED, "fewer steps"),
            (DUPLICATE, "request fewer"),
        ],
    )
    def test_check_rates_refuses_a_low_acceptance_rate_with_reason_and_remedy(
        self, reason: str, words: str
    ) -> None:
        num_accepted = int(MIN_ACCEPTANCE_RATE * 1000)
        AcceptanceStats("shirt", 9, 100).check_rates(
            [ACCEPTED] * num_accepted + [reason] * (1000 - num_accepted)
        )
        with pytest.raises(
            RefusedError, match=rf"'shirt'.*{num_accepted - 1} of 1,000.*{words}.*filtered=False"
        ):
            AcceptanceStats("shirt", 9, 100).check_rates(
                [ACCEPTED] * (num_accepted - 1) + [reason] * (1001 - num_accepted)
            )

    @pytest.mark.parametrize(
        ("num_classes", "min_agreed", "words"),
        [
            (2, 750, r"another class \(at least 750 must be right to exceed chance clearly\)\."),
            (10, 150, r"another class \(at least 150 must be right to exceed chance clearly\)\."),
            (1000, 50, r"another class\."),
        ],
    )
    def test_check_rates_refuses_agreement_by_chance(
        self, num_classes: int, min_agreed: int, words: str
    ) -> None:
        def chunk(right: int) -> list[str]:
            return [ACCEPTED] * right + [LABEL_MISMATCH] * (1000 - right)

        AcceptanceStats("shirt", 9, num_classes).check_rates(chunk(min_agreed))
        with pytest.raises(RefusedError, match=words):
            AcceptanceStats("shirt", 9, num_classes).check_rates(chunk(min_agreed - 1))

    def test_check_rates_names_the_accuracy_of_the_classifier(self) -> None:
        with pytest.raises(
            RefusedError, match=r"the classifier, right on 93 % of held-out samples, assigns 256"
        ):
            AcceptanceStats("shirt", 9, 10, classifier_accuracy=0.93).check_rates(
                [LABEL_MISMATCH] * 256
            )

    def test_check_rates_refuses_a_class_without_new_candidates(self) -> None:
        stats = AcceptanceStats("shirt", 9000, 100)
        for _ in range(50):
            stats.check_rates([ACCEPTED] * 256)
        for _ in range(WINDOW_SIZE // 256 - 1):
            stats.check_rates([DUPLICATE] * 256)
        with pytest.raises(RefusedError, match="duplicates of others"):
            stats.check_rates([DUPLICATE] * 256)
