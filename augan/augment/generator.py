"""Samplers of a bundle: its generator, or its translator of images to a new camera."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from augan.bundle import Bundle, bundle_errors, restore_network
from augan.data.modalities.base import Preprocessing
from augan.exceptions import BundleError
from augan.seeding import child_rng

if TYPE_CHECKING:
    from augan.augment.methods.registry import AugmentationMethod
    from augan.translate.translator import Translator

NOISE_BLOCK_SIZE = 512  # latent codes of one child seed; a multiple of the size of a chunk


class GeneratorSampler:
    """Sampler that turns latent codes into images or table rows with the generator of a bundle.

    The same seed and index give the same sample, however many samples are requested.

    Parameters
    ----------
    bundle : Bundle
        A bundle with a generator.

    Attributes
    ----------
    preprocessing : Preprocessing
        Preprocessing of the bundle, which converts samples to their original form.
    class_names : tuple of str
        Names of the classes of the training data; may be empty.
    conditional : bool
        Whether the generator takes a class as input.
    latent_dim : int
        Length of a latent code.
    latent_prior : str
        Name of the prior distribution of latent codes, such as "normal".

    Raises
    ------
    BundleError
        The bundle has no generator, or the generator cannot be built.
    """

    def __init__(self, bundle: Bundle) -> None:
        from augan.gan.inference import BatchInference

        bundle.require("generator")
        self.bundle = bundle
        self.preprocessing = bundle.preprocessing
        self.class_names = bundle.data.class_names
        self._class_counts = np.asarray(bundle.data.class_counts, np.float64)
        generator = restore_network(bundle, "generator")
        self.conditional = len(generator.inputs) > 1
        self.latent_dim = generator.inputs[0].shape[-1]
        self.latent_prior = bundle.config.gan.latent_prior
        self._generate = BatchInference.from_model(generator)

    def decode(self, latents: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the generator's output as prepared images `[N, S, S, C]` or rows `[N, F]`.

        Parameters
        ----------
        latents : ndarray of float [N, Z]
            Latent codes.
        classes : ndarray of int [N]
            Class indices; a generator without classes ignores the indices.

        Raises
        ------
        BundleError
            The codes do not fit the generator.
        """
        with bundle_errors(self.bundle, "generator"):
            inputs = [latents]
            if self.conditional:
                inputs.append(np.eye(len(self.class_names), dtype=np.float32)[classes])
            (samples,) = self._generate(*inputs)
            return self.preprocessing.denormalize(samples)

    def class_latents(self, class_index: int, block: int, seed: int) -> np.ndarray:
        """Return one block of random latent codes `[NOISE_BLOCK_SIZE, Z]` for a class.

        A block is always sampled completely, so that no code depends on the number of requested
        samples.

        Parameters
        ----------
        class_index : int
        block : int
            Number of the block from 0.
        seed : int
        """
        return self._sample_prior(child_rng(seed, "class", class_index, "block", block))

    def sample_by_frequency(self, n: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield random samples, with classes as frequent as in the training data.

        Parameters
        ----------
        n : int
            Number of samples over all blocks.
        seed : int

        Yields
        ------
        samples : ndarray
            Up to NOISE_BLOCK_SIZE images in their original size `[B, H, W, C]`, or rows `[B, F]`.
        classes : ndarray of int [B]
            Class indices; all 0 for a generator without classes.

        Raises
        ------
        BundleError
            The class counts, the preprocessing or the generator of the bundle cannot be used.
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
        """Return random latent codes `[NOISE_BLOCK_SIZE, Z]` from the prior of the training."""
        from augan.gan.inference import latent_noise

        return latent_noise(rng, NOISE_BLOCK_SIZE, self.latent_dim, self.latent_prior)


class TranslatorSampler:
    """Sampler that translates images of the old camera with the translator of a bundle.

    Parameters
    ----------
    bundle : Bundle
        A bundle with a translator and labeled images of the old camera.

    Attributes
    ----------
    preprocessing : Preprocessing
        Preprocessing of the new camera, which converts samples to their original form.
    class_names : tuple of str
        Names of the classes of the old camera.
    conditional : bool
        True: samples are of a requested class.

    Raises
    ------
    BundleError
        The bundle has no translator, or the old camera no classes.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.preprocessing: Preprocessing = bundle.require_translation().preprocessing
        self.class_names = bundle.data.class_names
        self.conditional = True
        if not self.class_names:
            raise BundleError(
                f"{bundle.path or 'this bundle'} has no classes to choose from, because the images "
                "of the old camera are unlabeled; train on images sorted into one folder for each "
                "class, or translate images with augan translate"
            )

    @cached_property
    def translator(self) -> "Translator":
        """The translator of the bundle. The networks are built on first use."""
        from augan.translate.translator import Translator

        return Translator.from_bundle(self.bundle)


Sampler = GeneratorSampler | TranslatorSampler


def open_sampler(bundle: Bundle, method: "AugmentationMethod") -> Sampler:
    """Return the sampler that an augmentation method needs: a generator or a translator.

    Raises
    ------
    BundleError
        The bundle lacks the network, or the network cannot be built.
    """
    return GeneratorSampler(bundle) if method.needs_generator else TranslatorSampler(bundle)
