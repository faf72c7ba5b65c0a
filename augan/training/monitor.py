"""Monitor of the GAN: metrics during training, the best weights, and detection of failures.

The thresholds were set on digits: healthy trainings stay well below them, and trainings that were
made to fail cross them (`docs/benchmarks/gan-failure-alarms.md`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from augan.bundle import FidelityMetrics, GanMetrics, GeneratorFidelity, TrainingFailure
from augan.features.classifier import FeatureExtractor, StandardizedRows
from augan.gan import keras
from augan.gan.inference import BatchInference, latent_noise
from augan.gan.model import GAN
from augan.metrics.fidelity import diversity, fidelity, kernel_distance, real_vs_real
from augan.metrics.precision_recall import density_coverage
from augan.seeding import child_rng
from augan.training.budget import StageBudget

WARM_UP = 0.3  # fraction of the budget before which poor diversity is not a failure
PATIENCE = 2  # number of consecutive evaluations that must agree on a failure
MIN_DIVERSITY = 0.25  # of the real images' mean pairwise distance within a class
MIN_COVERAGE = 0.05  # fraction of real images with a generated neighbor
MAX_R_V = 0.8  # r_v: how far the logits of held-out images are like those of generated ones
MAX_R_T = 0.9  # r_t: fraction of training images with logits "real", minus those with "fake"
# Healthy logits never give such a loss: cross-entropy saturates beyond 20, least squares aims at 0
# or 1, and two color images of 64 pixels differ by at most 222 for a 1-Lipschitz critic.
MAX_LOSS = 1e4

MAX_IMAGES = 1000  # real images of each split in one evaluation
MIN_GENERATED = 500  # generated images in one evaluation
MAX_HISTORY = 256  # evaluations that are kept


_FIELDS = tuple(field.name for field in fields(GanMetrics))


def max_magnitude(losses: Iterable[float]) -> float:
    """Return the largest absolute loss: 0 without losses, infinity if a loss is not finite."""
    return max((abs(loss) if math.isfinite(loss) else math.inf for loss in losses), default=0.0)


def divergence(step: int, loss: float, *, evaluated: bool) -> TrainingFailure:
    """Return the failure "divergence", with a message, for a loss above `MAX_LOSS`.

    Parameters
    ----------
    step : int
        Training step of the loss.
    loss : float
        As returned by `max_magnitude`.
    evaluated : bool
        Whether there was an evaluation before, so that the bundle holds measured weights.
    """
    grew = f"had grown to {loss:.1e}" if math.isfinite(loss) else "was no longer finite"
    kept = (
        "the best weights so far were kept"
        if evaluated
        else "no weights had been measured yet, so those from before training were kept"
    )
    return TrainingFailure(
        "divergence",
        step,
        f"a loss {grew} at step {step}; {kept}: try a lower generator.learning_rate and "
        "discriminator.learning_rate",
    )


def check_failures(history: Sequence[GanMetrics]) -> TrainingFailure | None:
    """Return the failure on which the last `PATIENCE` evaluations agree, or None.

    `history` are all evaluations, oldest first. Mode collapse and overfitting of the discriminator
    are detected, after the fraction `WARM_UP` of the budget.
    """
    last = [metrics for metrics in history[-PATIENCE:] if metrics.progress >= WARM_UP]
    if len(last) < PATIENCE:
        return None
    step = last[-1].step
    if all(m.diversity < MIN_DIVERSITY or m.coverage < MIN_COVERAGE for m in last):
        return TrainingFailure(
            "collapse",
            step,
            f"generated images of a class were nearly alike at step {step} (diversity "
            f"{last[-1].diversity:.2f} of the real images', coverage {last[-1].coverage:.2f}); the "
            "best weights so far were kept: try generator.conditioning=norm, a lower "
            "discriminator.learning_rate, or more images",
        )
    if all(m.r_t > MAX_R_T and m.r_v > MAX_R_V for m in last):
        return TrainingFailure(
            "overfitting",
            step,
            f"the discriminator had memorized the training images at step {step} (r_t "
            f"{last[-1].r_t:.2f}, r_v {last[-1].r_v:.2f}); the best weights so far were kept: try "
            "gan.diffaug=[translation,color], discriminator.dropout=0.3, or more images",
        )
    return None


class GanMonitor:
    """Callback that evaluates the GAN during training, keeps its best weights and detects failures.

    Parameters
    ----------
    gan : GAN
        Its averaged generator and its discriminator are evaluated.
    features : FeatureExtractor or StandardizedRows
        Features fitted to real samples.
    best_networks : sequence of keras.Model
        Networks like `gan.networks`. They receive the weights of `gan.networks` whenever the kernel
        distance is the smallest so far.
    train, held_out : (ndarray [N, S, S, C] or [N, F], ndarray [N, K])
        Samples in [-1, 1] of the training split and of the validation split, which the GAN does not
        see, with their classes, one-hot; K is 0 without classes.
    interval : int
        Steps between evaluations.
    seed : int
        Seed of the latent codes and classes of generated samples.
    callback : callable
        Called with the metrics of each evaluation.
    """

    def __init__(
        self,
        gan: GAN,
        features: FeatureExtractor | StandardizedRows,
        best_networks: Sequence[keras.Model],
        *,
        train: tuple[np.ndarray, np.ndarray],
        held_out: tuple[np.ndarray, np.ndarray],
        interval: int,
        seed: int,
        callback: Callable[[GanMetrics], None] = lambda metrics: None,
    ) -> None:
        self.gan, self.features, self.interval = gan, features, interval
        self.best_networks, self._callback = best_networks, callback
        self.train, self.held_out = (
            tuple(values[:MAX_IMAGES] for values in split) for split in (train, held_out)
        )
        self.real_features = features(self.held_out[0])
        self.real_diversity = _diversity_by_class(self.real_features, self.held_out[1])
        rng = child_rng(seed, "monitor")
        count = max(len(self.held_out[0]), MIN_GENERATED)
        self.noise = latent_noise(rng, count, gan.latent_dim, gan.settings.latent_prior)
        # The classes are sampled and not copied from the held-out images: equal class counts on
        # both sides would bias the kernel distance downwards.
        self.classes = self.train[1][rng.integers(0, len(self.train[1]), count)]
        self._table = keras.Variable(np.full((MAX_HISTORY, len(_FIELDS)), np.nan), dtype="float64")
        self._count = keras.Variable(0, dtype="int64")
        self._divergence = keras.Variable(np.zeros(2), dtype="float64")  # step and loss
        self.seed = seed
        self._generate = BatchInference.from_model(gan.ema_generator)
        self._discriminate = BatchInference.from_model(gan.discriminator)
        # At this point `best_networks` have their initial weights.
        classes = [self.classes] if gan.conditional else []
        (untrained,) = BatchInference.from_model(best_networks[0])(self.noise, *classes)
        self.untrained_features = features(untrained)

    @property
    def state(self) -> list[Any]:
        """Variables that a checkpoint must hold: best weights, history and divergence."""
        weights = [variable for network in self.best_networks for variable in network.variables]
        return [self._table, self._count, self._divergence, *weights]

    @property
    def history(self) -> list[GanMetrics]:
        """Metrics of the evaluations so far, oldest first; at most `MAX_HISTORY` are kept."""
        rows = self._table.numpy()[: int(self._count.numpy())]
        return [GanMetrics(int(row[0]), *(float(value) for value in row[1:])) for row in rows]

    @property
    def failure(self) -> TrainingFailure | None:
        """The failure of the training at present, or None.

        The failure is a function of `state`, so a resumed run has the same failure.
        """
        step, loss = self._divergence.numpy()
        if step:
            return divergence(int(step), float(loss), evaluated=bool(self._count.numpy()))
        return check_failures(self.history)

    def finished(self) -> bool:
        """Return whether a failure ends the training of the GAN."""
        return self.failure is not None

    def on_progress(
        self, stage: str, step: int, budget: StageBudget, losses: dict[str, float]
    ) -> None:
        """Check the losses, and evaluate the GAN after each `interval` of steps and at the end.

        A loss above `MAX_LOSS` is recorded as a divergence, without an evaluation.
        """
        loss = max_magnitude(losses.values())
        if loss > MAX_LOSS:
            self._divergence.assign([step, loss])
            return
        progress = budget.progress(step)
        history = self.history
        last = history[-1].step if history else 0
        if step // self.interval > last // self.interval or progress >= 1.0:
            self.evaluate(step, progress)

    def evaluate(self, step: int, progress: float) -> None:
        """Compute the metrics of the GAN, record them, and keep the weights if they are the best.

        Weights that give infinite or undefined results are recorded as a divergence instead.

        Parameters
        ----------
        step : int
            Number of training steps.
        progress : float
            Fraction of the budget that is used.
        """
        images = self._generated_images()
        features = self.features(images)
        train, held_out = (self._logits(*split) for split in (self.train, self.held_out))
        if not all(np.isfinite(values).all() for values in (features, train, held_out)):
            # The last step broke the weights after its losses had been computed.
            self._divergence.assign([step, math.inf])
            return
        generated = self._logits(images, self.classes)
        gap = train.mean() - generated.mean()
        boundary = float(self.gan.adversarial_loss.boundary_logit(train, generated))
        metrics = GanMetrics(
            step=step,
            progress=progress,
            kernel_distance=kernel_distance(real=self.real_features, generated=features),
            diversity=self._relative_diversity(features),
            coverage=density_coverage(real=self.real_features, generated=features).coverage,
            r_t=float(np.sign(train - boundary).mean()),
            r_v=_ratio(train.mean() - held_out.mean(), gap),
        )
        # A negative unbiased distance is noise around 0: such evaluations tie, and the last wins.
        previous = [max(0.0, m.kernel_distance) for m in self.history]
        if not previous or max(0.0, metrics.kernel_distance) <= min(previous):
            self._keep_weights()
        self._append(metrics)
        self._callback(metrics)

    def _keep_weights(self) -> None:
        """Copy the present weights of the GAN to `best_networks`."""
        for best, network in zip(self.best_networks, self.gan.networks):
            best.set_weights(network.get_weights())

    def restore_best(self) -> None:
        """Set the networks of the GAN to the weights of the best evaluation.

        Without any evaluation, the initial weights are restored, and only after a divergence.
        """
        if self.history or self.failure:
            for best, network in zip(self.best_networks, self.gan.networks):
                network.set_weights(best.get_weights())

    def fidelity(self) -> GeneratorFidelity:
        """Return the fidelity of the averaged generator, compared with two references."""
        real, rng = self.real_features, child_rng(self.seed, "floor")
        generated = self.features(self._generated_images())
        return GeneratorFidelity(
            **asdict(fidelity(real=real, generated=generated, extractor=self.features.id)),
            floor=FidelityMetrics(**asdict(real_vs_real(real, self.features.id, rng))),
            untrained_kernel_distance=kernel_distance(real=real, generated=self.untrained_features),
        )

    def _append(self, metrics: GanMetrics) -> None:
        """Add metrics to the history; a full history drops its oldest entry but the best."""
        rows, count = self._table.numpy(), int(self._count.numpy())
        if count == MAX_HISTORY:  # drop the oldest row, or the second one if the oldest is the best
            distances = np.maximum(0.0, rows[:, _FIELDS.index("kernel_distance")])
            dropped = int(distances[0] < distances[1:].min())
            rows[dropped:-1] = rows[dropped + 1 :]
            count -= 1
        rows[count] = [getattr(metrics, name) for name in _FIELDS]
        self._table.assign(rows)
        self._count.assign(count + 1)

    def _generated_images(self) -> np.ndarray:
        """Return the samples that the averaged generator makes of the fixed latent codes."""
        classes = [self.classes] if self.gan.conditional else []
        return self._generate(self.noise, *classes)[0]

    def _logits(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the discriminator's logits `[N, 1]` of samples of given classes."""
        return self._discriminate(images, *([classes] if self.gan.conditional else []))[0]

    def _relative_diversity(self, features: np.ndarray) -> float:
        """Return generated diversity divided by real diversity, averaged over the classes.

        The result is 1 if no class can be compared.
        """
        generated, real = _diversity_by_class(features, self.classes), self.real_diversity
        ratios = [
            value / real[label] for label, value in generated.items() if real.get(label, 0.0) > 0
        ]
        return float(np.mean(ratios)) if ratios else 1.0


def _ratio(numerator: float, denominator: float) -> float:
    """Return a ratio, or 0 if the denominator is not positive or the ratio is not finite."""
    ratio = float(numerator / denominator) if denominator > 0 else 0.0
    return ratio if math.isfinite(ratio) else 0.0


def _diversity_by_class(features: np.ndarray, classes: np.ndarray) -> dict[int, float]:
    """Return the mean pairwise feature distance in each class with at least two images."""
    labels = classes.argmax(axis=1) if classes.shape[1] else np.zeros(len(features), int)
    return {
        int(label): diversity(features[labels == label])
        for label in np.unique(labels)
        if (labels == label).sum() > 1
    }
