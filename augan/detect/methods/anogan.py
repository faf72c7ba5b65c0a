"""AnoGAN (Schlegl et al. 2017): search the code whose image comes closest, and see what remains.

All images of a batch are searched for at once, each with an optimiser state of its own, from the
same start; the networks stay as they are. The paper's score, (1 - lambda) times the residual plus
lambda times the feature matching loss, both sums of absolute differences, is kept as it is, but for
one thing: a code counts with its neighbourhood. Every generator has places where it leaps from one
kind of sample to another, and a search finds them: there it would draw what the generator almost
never does, such as the middle of a ring. So codes are shaken a little at every step, and the score
is the mean over several such codes, as if each were known only to within `SHAKE` of its prior.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.gan import keras, tf
from augan.gan.inference import BatchInference
from augan.gan.networks.registry import feature_blocks

Tensor = Any

STEPS = 500
LAMBDA = 0.1
RATE = 1e-3  # Adam's, so that no code ends further than half its prior's spread from its start
STARTS = 256  # codes of the prior, the same for every image, of which the closest is gone on from
SHAKE = 0.2  # standard deviation of the noise on a code, of which the prior has 1
SHAKEN = 16  # noisy codes that a score is the mean of
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class AnoGAN:
    """Scores images by what the best code cannot reproduce.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "generator" and "discriminator"; they are read, never changed.
    steps : int
        Of Adam, for each image.
    """

    name = "anogan"
    input_types: tuple[str, ...] = ("images", "rows")
    required_networks: tuple[str, ...] = ("generator", "discriminator")
    optional_networks: tuple[str, ...] = ()
    is_iterative: bool = True
    components: tuple[str, ...] = ("residual", "feature_matching")

    def __init__(self, models: Mapping[str, keras.Model], steps: int = STEPS) -> None:
        self.steps = steps
        self._generator = models["generator"]
        self._features = feature_blocks(models["discriminator"])
        self._sizes = [shape[1] for shape in (x.shape for x in self._generator.inputs)]
        self._search = BatchInference(
            self._searched, self._generator.output_shape[1:], autograph=True
        )

    def fit(self, reference: np.ndarray, val: np.ndarray) -> Self:
        """Learn nothing: the paper's score has no parameters."""
        return self

    def score_components(self, images: np.ndarray) -> np.ndarray:
        """Return both parts of the score, float64 `[N, 2]`, higher = more anomalous."""
        return self._search(images)[1].astype(np.float64)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return what the best codes draw, float32 `[N, S, S, C]` in [-1, 1]."""
        return self._search(images)[0]

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return |x - G(z)|, the mean over channels, float32 `[N, S, S, 1]`."""
        return np.abs(images - self.reconstruct(images)).mean(axis=-1, keepdims=True)

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what to keep in the bundle."""
        return {"steps": np.array(self.steps)}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned."""
        self.steps = int(state["steps"])
        return self

    def _generate(self, codes: list[Tensor]) -> Tensor:
        # A mixture of classes is a legal input, so the class is searched for like the noise.
        inputs = [codes[0], *(tf.nn.softmax(logits) for logits in codes[1:])]
        return self._generator(inputs if len(inputs) > 1 else inputs[0], training=False)

    def _start(self, images: Tensor, deep: Tensor) -> list[Tensor]:
        """For each image, the one of the same few codes of the prior that draws it best.

        From one code alone the search would have to cross what lies between normal images.
        """
        choices = [
            tf.random.stateless_normal((STARTS, size), tf.constant([i, 0]))
            for i, size in enumerate(self._sizes)
        ]
        drawn = self._generate(choices)
        seen = self._features(drawn, training=False)[-1]
        pairs = ((images, drawn, 1 - LAMBDA), (deep, seen, LAMBDA))
        losses = tf.add_n([weight * _distances(x, y) for x, y, weight in pairs])
        best = tf.argmin(losses, axis=1)
        return [tf.gather(codes, best) for codes in choices]

    def _parts(self, images: Tensor, deep: Tensor, codes: list[Tensor]) -> tuple[Tensor, Tensor]:
        again = self._generate(codes)
        residual = _absolute(images - again)
        matching = _absolute(deep - self._features(again, training=False)[-1])
        return again, tf.stack([(1 - LAMBDA) * residual, LAMBDA * matching], axis=1)

    def _searched(self, images: Tensor) -> tuple[Tensor, Tensor]:
        deep = self._features(images, training=False)[-1]
        codes = self._start(images, deep)
        means, squares = [[tf.zeros_like(code) for code in codes] for _ in range(2)]
        for step in tf.range(1, self.steps + 1):
            with tf.GradientTape() as tape:
                tape.watch(codes)
                loss = tf.reduce_sum(self._parts(images, deep, _shaken(codes, step))[1])
            gradients = tape.gradient(loss, codes)
            codes, means, squares = _adam(
                codes, gradients, means, squares, tf.cast(step, tf.float32)
            )
        parts = [self._parts(images, deep, _shaken(codes, -i))[1] for i in range(SHAKEN)]
        return self._generate(codes), tf.add_n(parts) / SHAKEN


def _shaken(codes: list[Tensor], turn: Tensor | int) -> list[Tensor]:
    """Codes with some noise, the same for every image."""
    noises = [
        tf.random.stateless_normal(code.shape[1:], tf.stack([1 + i, turn]), stddev=SHAKE)
        for i, code in enumerate(codes)
    ]
    return [code + noise for code, noise in zip(codes, noises)]


def _adam(
    codes: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    step: Tensor,
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """One step of Adam (Kingma and Ba 2015) without variables: each row goes its own way."""
    first, second = _BETAS
    means = [first * m + (1 - first) * g for m, g in zip(means, gradients)]
    squares = [second * v + (1 - second) * g * g for v, g in zip(squares, gradients)]
    codes = [
        code - RATE * (m / (1 - first**step)) / (tf.sqrt(v / (1 - second**step)) + _EPSILON)
        for code, m, v in zip(codes, means, squares)
    ]
    return codes, means, squares


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Sums of absolute differences between each of x `[B, ...]` and each of y `[M, ...]`."""
    flat = tf.reshape(y, (y.shape[0], -1))
    rows = tf.reshape(x, (x.shape[0], -1))
    return tf.map_fn(lambda row: tf.reduce_sum(tf.abs(flat - row), axis=1), rows)


def _absolute(difference: Tensor) -> Tensor:
    return tf.reduce_sum(tf.abs(difference), axis=range(1, len(difference.shape)))
