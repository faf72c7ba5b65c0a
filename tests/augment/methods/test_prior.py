"""Prior sampling: samples depend on the seed, the class and the index only."""

from dataclasses import replace

import numpy as np
import pytest

from augan.augment.generator import NOISE_BLOCK_SIZE, GeneratorSampler
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.methods.prior import PriorSampling
from augan.bundle import Bundle
from augan.exceptions import BundleError
from tests._helpers import make_bundle, with_data


@pytest.fixture(scope="module")
def sampler(digits_bundle: Bundle) -> GeneratorSampler:
    return GeneratorSampler(digits_bundle)


def generate(sampler: GeneratorSampler, n: int, seed: int = 0, index: int = 3) -> np.ndarray:
    chunks = range(-(-n // CHUNK_SIZE))
    samples = [PriorSampling(sampler).generate(index, number, seed).samples for number in chunks]
    return sampler.preprocessing.to_original_size(np.concatenate(samples)[:n])


class TestGeneratorSampler:
    def test_generate_returns_images_like_the_training_images(
        self, sampler: GeneratorSampler
    ) -> None:
        images = generate(sampler, 5)
        assert images.shape == (5, 8, 8, 1)
        assert images.dtype == np.uint8
        assert len({image.tobytes() for image in images}) == 5

    def test_generate_depends_on_seed_and_index_only(self, sampler: GeneratorSampler) -> None:
        many = generate(sampler, 700)
        assert NOISE_BLOCK_SIZE < 700  # so that there is a second block
        np.testing.assert_array_equal(generate(sampler, 3), many[:3])
        np.testing.assert_array_equal(
            generate(sampler, NOISE_BLOCK_SIZE + 1), many[: NOISE_BLOCK_SIZE + 1]
        )
        assert len(many) == 700

    def test_generate_differs_between_blocks(self, sampler: GeneratorSampler) -> None:
        many = generate(sampler, 2 * NOISE_BLOCK_SIZE)
        assert not np.array_equal(many[:NOISE_BLOCK_SIZE], many[NOISE_BLOCK_SIZE:])

    def test_generate_differs_between_seeds(self, sampler: GeneratorSampler) -> None:
        first, second = generate(sampler, 20, seed=0), generate(sampler, 20, seed=1)
        assert not (first == second).all(axis=(1, 2, 3)).any()

    def test_generate_differs_between_classes(self, sampler: GeneratorSampler) -> None:
        assert not np.array_equal(generate(sampler, 20, index=1), generate(sampler, 20, index=2))

    def test_sample_by_frequency_has_the_class_frequencies_of_training(
        self, digits_bundle: Bundle
    ) -> None:
        counts = [700, 0, 200, 100, 0, 0, 0, 0, 0, 0]
        skewed = GeneratorSampler(with_data(digits_bundle, class_counts=counts))
        parts = list(skewed.sample_by_frequency(2000, seed=0))
        classes = np.concatenate([part[1] for part in parts])
        assert sum(len(part[0]) for part in parts) == len(classes) == 2000
        frequencies = np.bincount(classes, minlength=10) / 2000
        np.testing.assert_allclose(frequencies, np.array(counts) / 1000, atol=0.045)
        assert (frequencies[[1, 4, 5, 6, 7, 8, 9]] == 0).all()

    def test_sample_by_frequency_does_not_depend_on_n(self, sampler: GeneratorSampler) -> None:
        many = [np.concatenate(parts) for parts in zip(*sampler.sample_by_frequency(600, 4))]
        few = [np.concatenate(parts) for parts in zip(*sampler.sample_by_frequency(7, 4))]
        np.testing.assert_array_equal(few[0], many[0][:7])
        np.testing.assert_array_equal(few[1], many[1][:7])

    def test_generate_changes_neither_weights_nor_global_random_state(
        self, digits_bundle: Bundle
    ) -> None:
        before = digits_bundle.sha256
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        generate(GeneratorSampler(digits_bundle), 10)
        assert digits_bundle.sha256 == before
        np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002

    def test_class_latents_follow_the_prior_of_training(self, digits_bundle: Bundle) -> None:
        config = digits_bundle.config.replace(gan__latent_prior="uniform")
        noise = GeneratorSampler(replace(digits_bundle, config=config)).class_latents(3, 0, 0)
        assert 0.99 < np.abs(noise).max() <= 1
        assert np.abs(GeneratorSampler(digits_bundle).class_latents(3, 0, 0)).max() > 2

    def test_init_refuses_a_bundle_without_generator(self) -> None:
        with pytest.raises(BundleError, match="generator"):
            GeneratorSampler(make_bundle())
