"""AnoGAN (Schlegl et al. 2017): optimization of the latent code that reproduces an image.

All images of a batch are optimized together, each with its own optimizer state and the same initial
latents; the networks are frozen. The score is that of the paper, (1 - lambda) times the residual
loss plus lambda times the feature matching loss, both sums of absolute differences, with one
change: latents are evaluated with noise. Generators have regions of the latent space where small
changes switch between kinds of samples, and an optimizer finds them; there the generator produces
images that it almost never generates, such as the middle of a ring. Therefore noise is added to the
latents at every step, and the score is the mean over several noisy latents, as if the latent code
were known only up to `LATENT_NOISE_STD`.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np

from augan.choices import DETECTION_METHODS, DetectionMethod
from augan.detect.methods.base import TensorScorer
from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.residuals import DeepestFeatures, residual_map, sum_absolute
from augan.gan import Tensor, keras, tf
from augan.gan.inference import BatchInference

_DEFAULT_STEPS = 500
LAMBDA = 0.1
_LEARNING_RATE = 1e-3  # Adam; no latent code moves more than half the prior's standard deviation
NUM_INITIAL_LATENTS = 256  # samples of the prior; each image starts from the best one
LATENT_NOISE_STD = 0.2  # the prior has a standard deviation of 1
NUM_NOISY_LATENTS = 16  # a score is the mean over this many noisy latents
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


@DETECTION_METHODS.register(
    DetectionMethod(
        "anogan",
        description="error of the best reproduction of the sample by the generator; slow",
        modalities=("images", "rows"),
        required_networks=("generator", "discriminator"),
        is_iterative=True,
        paper="Schlegl et al. 2017",
    )
)
class AnoGAN(TensorScorer):
    """Detection method AnoGAN: residual and feature matching loss of the best latent code.

    Scoring is slow: every sample takes `steps` steps of gradient descent. The anomaly maps of
    images are |x - G(z)| with the best latent code z, the mean over the channels.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "generator" and "discriminator"; their weights are not changed.
    steps : int
        Adam steps for each sample.
    """

    components = (
        ScoreComponent(
            "residual", "difference between the sample and its best reproduction by the generator"
        ),
        ScoreComponent(
            "feature_matching",
            "difference between the two in the features of the discriminator",
        ),
    )

    def __init__(self, models: Mapping[str, keras.Model], steps: int = _DEFAULT_STEPS) -> None:
        super().__init__(models)
        self.steps = steps
        self._generator = models["generator"]
        self._features = DeepestFeatures(models["discriminator"])
        self._latent_sizes = [shape[1] for shape in (x.shape for x in self._generator.inputs)]

    def _fit(self, train: np.ndarray, val: np.ndarray) -> None:
        """Fit nothing: the score of the paper has no fitted parameters."""

    def call(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weighted residual and feature matching loss, and the maps."""
        reconstructions, losses = self._optimized(samples)
        return tf.cast(losses, tf.float64), residual_map(samples, reconstructions)

    def reconstruct(self, samples: np.ndarray) -> np.ndarray:
        """Return the generator's best reproductions of samples, float32, in the samples' shape."""

        def reproduce(samples: Tensor) -> Tensor:
            return self._optimized(samples)[0]

        return BatchInference(reproduce, self.sample_shape)(self._checked(samples))[0]

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the number of Adam steps as an array, for the bundle."""
        return {"steps": np.array(self.steps)}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the number of Adam steps from the arrays of `get_state`, and return self."""
        self.steps = int(state["steps"])
        return super().set_state({})

    def _generate(self, latents: list[Tensor]) -> Tensor:
        """Return the generator's samples for latent codes and, if conditional, class logits."""
        # A mixture of classes is a valid input, so the class is optimized like the noise.
        inputs = [latents[0], *(tf.nn.softmax(logits) for logits in latents[1:])]
        return self._generator(inputs if len(inputs) > 1 else inputs[0], training=False)

    def _initial_latents(self, images: Tensor, deepest: Tensor) -> list[Tensor]:
        """Return the latent codes from which the optimization of each sample starts.

        For each sample, the best of the same `NUM_INITIAL_LATENTS` samples of the prior is chosen.
        From a single sample of the prior, the optimizer would have to cross the gaps between normal
        images.

        Parameters
        ----------
        images : Tensor [B, ...]
        deepest : Tensor [B, ...]
            Deepest discriminator features of the images.

        Returns
        -------
        list of Tensor [B, Z_i]
            One tensor for each input of the generator.
        """
        candidates = [
            tf.random.stateless_normal((NUM_INITIAL_LATENTS, size), tf.constant([i, 0]))
            for i, size in enumerate(self._latent_sizes)
        ]
        generated = self._generate(candidates)
        features = self._features(generated)
        pairs = ((images, generated, 1 - LAMBDA), (deepest, features, LAMBDA))
        losses = tf.add_n([weight * _pairwise_l1(x, y) for x, y, weight in pairs])
        best = tf.argmin(losses, axis=1)
        return [tf.gather(latents, best) for latents in candidates]

    def _losses(
        self, images: Tensor, deepest: Tensor, latents: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return reproductions `[B, ...]` by the generator and both weighted losses `[B, 2]`.

        Parameters
        ----------
        images : Tensor [B, ...]
        deepest : Tensor [B, ...]
            Deepest discriminator features of the images.
        latents : list of Tensor [B, Z_i]
            One tensor for each input of the generator.
        """
        reconstruction = self._generate(latents)
        residual = sum_absolute(images - reconstruction)
        matching = sum_absolute(deepest - self._features(reconstruction))
        losses = tf.stack([(1 - LAMBDA) * residual, LAMBDA * matching], axis=1)
        return reconstruction, losses

    def _optimized(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Optimize latent codes of samples `[B, ...]`; return reproductions and losses `[B, 2]`.

        The losses are means over `NUM_NOISY_LATENTS` noisy copies of the latent codes.
        """
        deepest = self._features(images)
        latents = self._initial_latents(images, deepest)
        zeros = [tf.zeros_like(latent) for latent in latents]

        def improve(step: Tensor, *state: list[Tensor]) -> tuple[Tensor, *tuple[list[Tensor], ...]]:
            latents, means, squares = state
            with tf.GradientTape() as tape:
                tape.watch(latents)
                loss = tf.reduce_sum(self._losses(images, deepest, _add_noise(latents, step))[1])
            gradients = tape.gradient(loss, latents)
            number = tf.cast(step, tf.float32)
            return step + 1, *_adam_step(latents, gradients, means, squares, number)

        _, latents, _, _ = tf.while_loop(
            lambda step, *state: step <= self.steps,
            improve,
            (tf.constant(1), latents, zeros, zeros),
        )
        losses = [
            self._losses(images, deepest, _add_noise(latents, -i))[1]
            for i in range(NUM_NOISY_LATENTS)
        ]
        return self._generate(latents), tf.add_n(losses) / NUM_NOISY_LATENTS


def _add_noise(latents: list[Tensor], seed: Tensor | int) -> list[Tensor]:
    """Return latent codes plus Gaussian noise, the same noise for every sample of the batch.

    `seed` determines the noise: the optimizer's step, or minus the number of a noisy copy.
    """
    noises = [
        tf.random.stateless_normal(
            latent.shape[1:], tf.stack([1 + i, seed]), stddev=LATENT_NOISE_STD
        )
        for i, latent in enumerate(latents)
    ]
    return [latent + noise for latent, noise in zip(latents, noises)]


def _adam_step(
    latents: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    step: Tensor,
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return latent codes and moments after one step of Adam (Kingma and Ba 2015).

    Each sample of the batch is optimized independently, as if it had its own optimizer.

    Parameters
    ----------
    latents, gradients, means, squares : list of Tensor [B, Z_i]
        Latent codes, gradients of the loss, and Adam's first and second moments.
    step : Tensor of float32
        Number of the step, counted from 1.
    """
    first, second = _BETAS
    means = [first * m + (1 - first) * g for m, g in zip(means, gradients)]
    squares = [second * v + (1 - second) * g * g for v, g in zip(squares, gradients)]
    latents = [
        latent
        - _LEARNING_RATE * (m / (1 - first**step)) / (tf.sqrt(v / (1 - second**step)) + _EPSILON)
        for latent, m, v in zip(latents, means, squares)
    ]
    return latents, means, squares


def _pairwise_l1(x: Tensor, y: Tensor) -> Tensor:
    """Return the L1 distances between all x `[B, ...]` and all y `[M, ...]`, `[B, M]`."""
    flat = tf.reshape(y, (y.shape[0], -1))
    rows = tf.reshape(x, (x.shape[0], -1))
    return tf.map_fn(lambda row: tf.reduce_sum(tf.abs(flat - row), axis=1), rows)
