"""What the filters say of candidates whose faults are known, and the yield that comes of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augan.augment.filters import criteria
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
    AcceptedIndex,
    NearestRealIndex,
)
from augan.augment.filters.filter import TrainingReference
from augan.augment.methods import latent
from augan.augment.methods.latent import NUM_NEIGHBORS, LatentCodes, LatentSMOTE
from augan.bundle import Bundle
from augan.exceptions import DataError, RefusedError


def points(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_a_generator_that_learned_little_is_doubted(digits_bundle: Bundle) -> None:
    figures = {"kernel_distance": 1.0, "untrained_kernel_distance": 5.0}

    def said(**metrics: object) -> tuple[str, ...]:
        return generator_warnings(
            replace(digits_bundle, metrics={"steps": {"gan": 1340}, **metrics})
        )

    assert said(fidelity=figures) == ()
    (little,) = said(fidelity={**figures, "kernel_distance": 3.0})
    assert "learned little in 1,340 updates" in little
    assert "is 3, and 5 before training" in little
    (unknown,) = said(fidelity=None)
    assert "1,340 updates was never measured" in unknown
    assert generator_warnings(replace(digits_bundle, metrics={})) == ()


class TestLimits:
    def test_agreement_is_the_probability_of_the_class(self) -> None:
        logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
        np.testing.assert_allclose(criteria.class_probability(logits, 1), [0.2, 0.3])
        assert criteria.label_mismatch(logits, 0).tolist() == [False, True]
        assert criteria.class_probability(np.array([[900.0, 0.0]]), 0).tolist() == [
            1.0
        ]  # no overflow

    def test_the_lowest_score_is_as_far_again_below_the_median_as_one_real_in_a_hundred(
        self,
    ) -> None:
        scores = np.random.default_rng(0).permutation(1001) / 1000
        assert criteria.min_realness(scores) == pytest.approx(0.5 - 2 * 0.49)
        assert criteria.min_realness(scores[:99]) == -np.inf  # too few to know the hundredth

    def test_large_squares_shrink_by_means(self) -> None:
        scaled = np.zeros((1, 64, 64, 1), np.float32)
        scaled[0, :2, :2, 0] = [[0, 1], [1, 0]]
        vector = criteria.to_feature_vectors(scaled)
        assert vector.shape == (1, 32 * 32)
        assert vector[0, 0] == 0.5
        assert vector[0, 1:].max() == 0
        assert criteria.to_feature_vectors(np.zeros((2, 8, 8, 3), np.float32)).shape == (2, 192)


class TestNeighbours:
    def test_the_nearest_and_its_distance(self) -> None:
        real = np.array([[0, 0], [3, 4], [-1, 0]], np.float32)
        distance, place = NearestRealIndex(real).query(np.array([[0.6, 0.8], [-1, 0]], np.float32))
        assert place.tolist() == [0, 2]
        np.testing.assert_allclose(distance, [np.sqrt(0.5), 0])

    def test_the_limit_is_the_first_percentile_of_real_distances(self) -> None:
        # Gaps of 1, 2, 3, ... between neighbours: the nearest of point i is i away.
        real = points(*np.cumsum(np.arange(61)))
        distances = np.r_[1, np.arange(1, 61)]
        assert NearestRealIndex(real).memorization_threshold() == pytest.approx(
            np.quantile(distances, 0.01)
        )

    def test_copies_in_the_training_set_do_not_lower_the_limit(self) -> None:
        real = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
        copied = NearestRealIndex(np.repeat(real, 3, axis=0)).memorization_threshold()
        assert copied > 0
        assert copied == pytest.approx(NearestRealIndex(real).memorization_threshold(), rel=1e-5)

    def test_a_lonely_image_has_no_limit(self) -> None:
        assert NearestRealIndex(points(1, 1, 1)).memorization_threshold() == 0

    def test_small_distances_far_from_the_origin_are_exact(self) -> None:
        rng = np.random.default_rng(0)
        real = (1 + rng.normal(size=(300, 500)) / 100).astype(np.float32)
        distance, place = NearestRealIndex(real).query(real[::7] + np.float32(1e-3))
        assert place.tolist() == list(range(0, 300, 7))
        np.testing.assert_allclose(distance, 1e-3, rtol=1e-3)


class TestReference:
    def test_unlabeled_images_were_seen_too(self) -> None:
        pixels = np.arange(6)[:, None, None, None] * np.ones((6, 8, 8, 1), np.uint8)
        names, fit, held_out = tuple("abcdef"), np.array([0, 1, 2, 3]), np.array([4, 5])
        labels = np.array([0, 1, 0, 1, 0, 1])
        alone = TrainingReference(pixels, labels, names, fit, held_out)
        seen, called = alone.training_samples(1)
        assert (seen[:, 0, 0, 0].tolist(), called) == ([1, 3], ["b", "d"])
        both = TrainingReference(pixels, labels, names, fit, held_out, pixels[:2] + 100, ("x", "y"))
        seen, called = both.training_samples(1)
        assert (seen[:, 0, 0, 0].tolist(), called) == ([1, 3, 100, 101], ["b", "d", "x", "y"])
        unseen, of = both.held_out_samples()
        assert (unseen[:, 0, 0, 0].tolist(), of.tolist()) == ([4, 5], [0, 1])


class TestMemory:
    def test_the_first_of_each_kind_is_kept(self) -> None:
        memory = AcceptedIndex(0.5)
        first = points(0.0, 0.4, 0.8, 5.0)
        # 0.8 is near 0.4 only, which is not kept itself.
        assert memory.find_duplicates(first, np.ones(4, bool)).tolist() == [
            False,
            True,
            False,
            False,
        ]
        memory.add(first[[0, 2, 3]])
        again = memory.find_duplicates(points(5.3, 7.0, -0.4), np.ones(3, bool))
        assert again.tolist() == [True, False, True]

    def test_what_failed_before_is_not_repeated(self) -> None:
        memory = AcceptedIndex(0.5)
        assert memory.find_duplicates(points(0, 0, 0), np.array([False, True, True])).tolist() == [
            False,
            False,
            True,
        ]

    @given(
        values=st.lists(st.integers(0, 60), min_size=1, max_size=60),
        cut=st.integers(0, 60),
    )
    def test_blocks_do_not_matter(self, values: list[int], cut: int) -> None:
        x = points(*values) / 10
        whole, parts = AcceptedIndex(0.25), AcceptedIndex(0.25)
        expected = whole.find_duplicates(x, np.ones(len(x), bool))
        found = []
        for part in (x[:cut], x[cut:]):
            repeated = parts.find_duplicates(part, np.ones(len(part), bool))
            parts.add(part[~repeated])
            found += repeated.tolist()
        assert found == expected.tolist()
        kept = np.sort(x[~expected, 0])
        assert (np.diff(kept) > 0.25).all()


class TestInterpolation:
    noise = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    labels = np.arange(40) % 3

    def test_each_code_lies_between_two_near_ones_of_the_class(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(latent, "NOISE_STD", 0.0)
        codes = LatentSMOTE(LatentCodes(self.noise, self.labels, [str(i) for i in range(40)]))
        drawn = codes.sample(1, 200, seed=5, chunk_index=0)
        of_class = np.flatnonzero(self.labels == 1)
        partners = set()
        for noise, (a, b) in zip(drawn.latents, drawn.sources):
            first, second = self.noise[int(a)], self.noise[int(b)]
            assert {int(a), int(b)} <= set(of_class.tolist())
            gaps = np.linalg.norm(self.noise[of_class] - first, axis=1)
            near = of_class[np.argsort(gaps)[1 : NUM_NEIGHBORS + 1]]
            assert int(b) in near
            share = np.dot(noise - first, second - first) / np.dot(second - first, second - first)
            assert 0 <= share <= 1
            np.testing.assert_allclose(noise, first + share * (second - first), atol=1e-5)
            partners.add((a, b))
        assert len(partners) > 40

    def test_codes_lie_a_little_beside_the_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        codes = LatentSMOTE(LatentCodes(self.noise, self.labels, [""] * 40))
        beside = codes.sample(1, 500, seed=5, chunk_index=0).latents
        monkeypatch.setattr(latent, "NOISE_STD", 0.0)
        apart = beside - codes.sample(1, 500, seed=5, chunk_index=0).latents
        assert apart.std() == pytest.approx(0.6, rel=0.05)

    def test_a_draw_depends_on_seed_class_and_number(self) -> None:
        codes = LatentSMOTE(LatentCodes(self.noise, self.labels, [""] * 40))
        first = codes.sample(1, 8, seed=5, chunk_index=0).latents
        np.testing.assert_array_equal(codes.sample(1, 8, seed=5, chunk_index=0).latents, first)
        for index, seed, number in ((2, 5, 0), (1, 6, 0), (1, 5, 1)):
            assert not np.array_equal(codes.sample(index, 8, seed, number).latents, first)

    def test_one_image_has_no_neighbour(self) -> None:
        codes = LatentSMOTE(LatentCodes(self.noise[:1], np.array([0]), ["a"]))
        with pytest.raises(DataError, match="at least 2"):
            codes.sample(0, 8, seed=0, chunk_index=0)


class TestYield:
    def test_what_became_of_each(self) -> None:
        found = AcceptanceStats("shirt", 3, 10)
        found.update([ACCEPTED, LABEL_MISMATCH, MEMORIZED, ACCEPTED, MEMORIZED, ACCEPTED])
        assert (found.generated, found.accepted) == (6, 3)
        assert {reason: n for reason, n in found.rejected.items() if n} == {
            LABEL_MISMATCH: 1,
            MEMORIZED: 2,
        }
        assert found.to_dict()["rejected"][DUPLICATE] == 0

    def test_unchecked_ones_are_kept(self) -> None:
        found = AcceptanceStats("shirt", 3, 10)
        found.update([UNCHECKED] * 3)
        found.check_rates([UNCHECKED] * 3)
        assert found.accepted == 3

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            (LABEL_MISMATCH, "another class"),
            (MEMORIZED, "fewer steps"),
            (DUPLICATE, "request fewer"),
        ],
    )
    def test_too_few_are_refused_with_the_reason_and_a_remedy(
        self, reason: str, words: str
    ) -> None:
        passed = int(MIN_ACCEPTANCE_RATE * 1000)
        AcceptanceStats("shirt", 9, 100).check_rates(
            [ACCEPTED] * passed + [reason] * (1000 - passed)
        )
        with pytest.raises(
            RefusedError, match=rf"'shirt'.*{passed - 1} of 1,000.*{words}.*no-filter"
        ):
            AcceptanceStats("shirt", 9, 100).check_rates(
                [ACCEPTED] * (passed - 1) + [reason] * (1001 - passed)
            )

    @pytest.mark.parametrize(
        ("num_classes", "least", "words"),
        [
            (2, 750, r"another class \(at least 750 must be right to exceed chance clearly\)\."),
            (10, 150, r"another class \(at least 150 must be right to exceed chance clearly\)\."),
            (1000, 50, r"another class\."),
        ],
    )
    def test_what_comes_out_right_by_chance_is_refused(
        self, num_classes: int, least: int, words: str
    ) -> None:
        def chunk(right: int) -> list[str]:
            return [ACCEPTED] * right + [LABEL_MISMATCH] * (1000 - right)

        AcceptanceStats("shirt", 9, num_classes).check_rates(chunk(least))
        with pytest.raises(RefusedError, match=words):
            AcceptanceStats("shirt", 9, num_classes).check_rates(chunk(least - 1))

    def test_the_refusal_says_how_good_the_classifier_is(self) -> None:
        with pytest.raises(
            RefusedError, match=r"the classifier, right on 93 % of held-out samples, assigns 256"
        ):
            AcceptanceStats("shirt", 9, 10, classifier_accuracy=0.93).check_rates(
                [LABEL_MISMATCH] * 256
            )

    def test_a_class_that_runs_dry_is_refused_after_a_while(self) -> None:
        found = AcceptanceStats("shirt", 9000, 100)
        for _ in range(50):
            found.check_rates([ACCEPTED] * 256)
        for _ in range(WINDOW_SIZE // 256 - 1):
            found.check_rates([DUPLICATE] * 256)
        with pytest.raises(RefusedError, match="duplicates of others"):
            found.check_rates([DUPLICATE] * 256)
