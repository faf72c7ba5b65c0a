"""Draw images from a bundle's generator.

The same seed and index give the same image, however many are asked for.
"""

from collections.abc import Iterator

import numpy as np

from augan.bundle import Bundle, bundle_errors, restore_network
from augan.data.modalities.registry import restore_preprocessing
from augan.gan.inference import BatchInference, latent_noise
from augan.seeding import child_rng

NOISE_BLOCK_SIZE = 512  # images whose codes come from one child seed


class GeneratorSampler:
    """Generates images of a bundle's classes.

    Parameters
    ----------
    bundle : Bundle
        One with a generator.
    """

    def __init__(self, bundle: Bundle) -> None:
        bundle.require("generator")
        self.bundle = bundle
        self.preprocessing = restore_preprocessing(bundle.preprocessing)
        self.class_names: list[str] = bundle.data.get("class_names", [])
        self._counts = np.asarray(bundle.data.get("class_counts", []), np.float64)
        generator = restore_network(bundle, "generator")
        self.conditional = len(generator.inputs) > 1
        self.latent_dim = generator.inputs[0].shape[-1]
        self.noise_kind = str(bundle.config.get("gan", {}).get("latent_prior", "normal"))
        self._generate = BatchInference.from_model(generator)

    def decode(self, noise: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return what the generator makes of codes, as stored: squares `[N, S, S, C]`, or rows.

        Parameters
        ----------
        noise : ndarray [N, Z]
        classes : ndarray of int [N]
            Not looked at by a generator without classes.
        """
        with bundle_errors(self.bundle, "generator"):
            codes = [noise]
            if self.conditional:
                codes.append(np.eye(len(self.class_names), dtype=np.float32)[classes])
            (samples,) = self._generate(*codes)
            return self.preprocessing.denormalize(samples)

    def noise_of_class(self, index: int, block: int, seed: int) -> np.ndarray:
        """Return the noise `[NOISE_BLOCK_SIZE, Z]` of block number `block` of class `index`.

        All of a block is drawn, however much is used, so that no image depends on their number.
        """
        return self._noise(child_rng(seed, "class", index, "block", block))

    def in_proportion(self, n: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield blocks of images and their class numbers, classes as often as in training.

        Without classes the numbers are all 0.
        """
        for start in range(0, n, NOISE_BLOCK_SIZE):
            rng = child_rng(seed, "any", "block", start // NOISE_BLOCK_SIZE)
            classes = np.zeros(NOISE_BLOCK_SIZE, np.int64)
            if self.conditional:
                with bundle_errors(self.bundle, "list of classes"):
                    shares = self._counts / max(self._counts.sum(), 1)
                    classes = rng.choice(len(shares), size=NOISE_BLOCK_SIZE, p=shares)
            noise, classes = self._noise(rng)[: n - start], classes[: n - start]
            samples = self.decode(noise, classes)
            with bundle_errors(self.bundle, "preprocessing"):
                native = self.preprocessing.to_original_size(samples)
            yield native, classes

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        return latent_noise(rng, NOISE_BLOCK_SIZE, self.latent_dim, self.noise_kind)
