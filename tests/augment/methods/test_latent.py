"""Samplers of latent codes."""

import numpy as np
import pytest

from augan.augment.methods import interpolation as interpolation_module
from augan.augment.methods.interpolation import NUM_NEIGHBORS, LatentInterpolation
from augan.augment.methods.latent import TRANSFER_FRACTION, LatentCodes, LatentTransfer
from augan.exceptions import DataError


class TestLatentSMOTE:
    latents = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    labels = np.arange(40) % 3

    def test_sample_lies_between_two_near_codes_of_the_class(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interpolation_module, "NOISE_STD", 0.0)
        interpolation = LatentInterpolation(
            LatentCodes(self.latents, self.labels, [str(i) for i in range(40)])
        )
        batch = interpolation.sample(1, 200, seed=5, chunk_index=0)
        of_class = np.flatnonzero(self.labels == 1)
        partners = set()
        for code, (a, b) in zip(batch.latents, batch.sources):
            first, second = self.latents[int(a)], self.latents[int(b)]
            assert {int(a), int(b)} <= set(of_class.tolist())
            gaps = np.linalg.norm(self.latents[of_class] - first, axis=1)
            near = of_class[np.argsort(gaps)[1 : NUM_NEIGHBORS + 1]]
            assert int(b) in near
            fraction = np.dot(code - first, second - first) / np.dot(second - first, second - first)
            assert 0 <= fraction <= 1
            np.testing.assert_allclose(code, first + fraction * (second - first), atol=1e-5)
            partners.add((a, b))
        assert len(partners) > 40

    def test_sample_adds_noise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        interpolation = LatentInterpolation(LatentCodes(self.latents, self.labels, [""] * 40))
        with_noise = interpolation.sample(1, 500, seed=5, chunk_index=0).latents
        monkeypatch.setattr(interpolation_module, "NOISE_STD", 0.0)
        noise = with_noise - interpolation.sample(1, 500, seed=5, chunk_index=0).latents
        assert noise.std() == pytest.approx(0.6, rel=0.05)

    def test_sample_depends_on_class_seed_and_chunk(self) -> None:
        interpolation = LatentInterpolation(LatentCodes(self.latents, self.labels, [""] * 40))
        first = interpolation.sample(1, 8, seed=5, chunk_index=0).latents
        np.testing.assert_array_equal(
            interpolation.sample(1, 8, seed=5, chunk_index=0).latents, first
        )
        for index, seed, number in ((2, 5, 0), (1, 6, 0), (1, 5, 1)):
            assert not np.array_equal(interpolation.sample(index, 8, seed, number).latents, first)

    def test_sample_refuses_a_class_of_one_sample(self) -> None:
        interpolation = LatentInterpolation(LatentCodes(self.latents[:1], np.array([0]), ["a"]))
        with pytest.raises(DataError, match="at least 2"):
            interpolation.sample(0, 8, seed=0, chunk_index=0)


LABELS = np.repeat([0, 1, 2, 3], [20, 20, 3, 12])


@pytest.fixture
def codes():
    latents = np.random.default_rng(0).normal(size=(len(LABELS), 5)).astype(np.float32)
    return LatentCodes(latents, LABELS, [str(row) for row in range(len(LABELS))])


class TestLatentTransfer:
    def test_sample_moves_a_code_by_a_difference_within_another_class(self, codes):
        batch = LatentTransfer(codes).sample(2, 300, seed=1, chunk_index=0)
        donors = set()
        for code, names in zip(batch.latents, batch.sources):
            base, one, other = map(int, names)
            assert LABELS[base] == 2
            assert LABELS[one] == LABELS[other] != 2
            donors.add(int(LABELS[one]))
            moved = codes.latents[base] + TRANSFER_FRACTION * (
                codes.latents[one] - codes.latents[other]
            )
            np.testing.assert_allclose(code, moved, rtol=1e-5, atol=1e-6)
        assert donors == {0, 1, 3}
        assert len({names[0] for names in batch.sources}) == 3

    def test_sample_takes_differences_from_other_large_classes(self, codes):
        batch = LatentTransfer(codes).sample(0, 300, seed=1, chunk_index=0)
        assert {int(LABELS[int(names[1])]) for names in batch.sources} == {1, 3}

    def test_sample_depends_on_class_seed_and_chunk(self, codes):
        transfer = LatentTransfer(codes)
        first = transfer.sample(1, 8, seed=5, chunk_index=0).latents
        np.testing.assert_array_equal(transfer.sample(1, 8, seed=5, chunk_index=0).latents, first)
        for index, seed, number in ((2, 5, 0), (1, 6, 0), (1, 5, 1)):
            assert not np.array_equal(transfer.sample(index, 8, seed, number).latents, first)

    @pytest.mark.parametrize(("rows", "index"), [(slice(0, 20), 0), (slice(0, 40), 2)])
    def test_sample_refuses_a_class_without_samples_or_donors(self, codes, rows, index):
        transfer = LatentTransfer(LatentCodes(codes.latents[rows], LABELS[rows], codes.names[rows]))
        with pytest.raises(DataError, match="class number"):
            transfer.sample(index, 4, seed=0, chunk_index=0)
