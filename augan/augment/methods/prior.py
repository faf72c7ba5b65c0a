"""Prior sampling: random noise through the generator of a bundle."""

from collections.abc import Iterator

import numpy as np

from augan.augment.methods.base import CHUNK_SIZE, Candidates
from augan.bundle import Bundle, bundle_errors, restore_network
from augan.data.modalities.registry import restore_preprocessing
from augan.seeding import child_rng

NOISE_BLOCK_SIZE = 512  # latent codes of one child seed; a multiple of CHUNK_SIZE


class GeneratorSampler:
    """Generator of a bundle, with its classes and preprocessing.

    The same seed and index give the same sample, however many samples are requested.

    Parameters
    ----------
    bundle : Bundle
        A bundle with a generator.
    """

    def __init__(self, bundle: Bundle) -> None:
        from augan.gan.inference import BatchInference

        bundle.require("generator")
        self.bundle = bundle
        self.preprocessing = restore_preprocessing(bundle.preprocessing)
        self.class_names: list[str] = bundle.data.get("class_names", [])
        self._class_counts = np.asarray(bundle.data.get("class_counts", []), np.float64)
        generator = restore_network(bundle, "generator")
        self.conditional = len(generator.inputs) > 1
        self.latent_dim = generator.inputs[0].shape[-1]
        self.latent_prior = str(bundle.config.get("gan", {}).get("latent_prior", "normal"))
        self._generate = BatchInference.from_model(generator)

    def decode(self, latents: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the generator's output as prepared images `[N, S, S, C]` or rows `[N, F]`.

        Parameters
        ----------
        latents : ndarray [N, Z]
        classes : ndarray of int [N]
            Class indices; a generator without classes ignores them.
        """
        with bundle_errors(self.bundle, "generator"):
            inputs = [latents]
            if self.conditional:
                inputs.append(np.eye(len(self.class_names), dtype=np.float32)[classes])
            (samples,) = self._generate(*inputs)
            return self.preprocessing.denormalize(samples)

    def class_latents(self, class_index: int, block: int, seed: int) -> np.ndarray:
        """Return the latent codes `[NOISE_BLOCK_SIZE, Z]` of one block of a class.

        A block is always sampled completely, so that no code depends on the number requested.
        """
        return self._sample_prior(child_rng(seed, "class", class_index, "block", block))

    def sample_by_frequency(self, n: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield blocks of samples and their class indices, classes as frequent as in training.

        Images have their original size. Without classes all indices are 0.
        """
        for start in range(0, n, NOISE_BLOCK_SIZE):
            rng = child_rng(seed, "any", "block", start // NOISE_BLOCK_SIZE)
            classes = np.zeros(NOISE_BLOCK_SIZE, np.int64)
            if self.conditional:
                with bundle_errors(self.bundle, "list of classes"):
                    frequencies = self._class_counts / max(self._class_counts.sum(), 1)
                    classes = rng.choice(len(frequencies), size=NOISE_BLOCK_SIZE, p=frequencies)
            latents, classes = self._sample_prior(rng)[: n - start], classes[: n - start]
            samples = self.decode(latents, classes)
            with bundle_errors(self.bundle, "preprocessing"):
                native = self.preprocessing.to_original_size(samples)
            yield native, classes

    def _sample_prior(self, rng: np.random.Generator) -> np.ndarray:
        from augan.gan.inference import latent_noise

        return latent_noise(rng, NOISE_BLOCK_SIZE, self.latent_dim, self.latent_prior)


class PriorSampling:
    """Method "sample": random noise through the generator."""

    def __init__(self, sampler: GeneratorSampler) -> None:
        self.sampler = sampler

    def generate(self, class_index: int, chunk_index: int, seed: int) -> Candidates:
        """Return candidates; see `AugmentationMethod`."""
        block, position = divmod(chunk_index, NOISE_BLOCK_SIZE // CHUNK_SIZE)
        latents = self.sampler.class_latents(class_index, block, seed)
        latents = latents[position * CHUNK_SIZE :][:CHUNK_SIZE]
        return Candidates(self.sampler.decode(latents, np.full(CHUNK_SIZE, class_index)))
