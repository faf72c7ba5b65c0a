"""Watch a GAN while it trains: measure its health, keep its best weights, end it on an alarm."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from augan.gan import keras
from augan.gan.inference import Inference, latent_noise
from augan.gan.model import GAN
from augan.gan.monitor import MAX_LOSS, Alarm, Health, diverged, judge, magnitude
from augan.metrics.fidelity import diversity, fidelity, floor, kernel_distance
from augan.metrics.precision_recall import density_coverage
from augan.seeding import child_rng
from augan.training.extractor import FeatureExtractor, RowValues
from augan.training.loop import Allowance

MOST = 1000  # images a side in one evaluation
FEWEST_GENERATED = 500
KEPT = 256  # evaluations remembered
FIELDS = ("step", "done", "kernel_distance", "diversity", "coverage", "r_t", "r_v")


@runtime_checkable
class HealthObserver(Protocol):
    """An observer that is also told of every evaluation."""

    def on_health(self, part: str, health: Health) -> None:
        """`health` was measured while `part` trained."""


class Monitor:
    """Observer of the GAN's part.

    Parameters
    ----------
    gan : GAN
        Its average is measured, and its discriminator.
    features : FeatureExtractor or RowValues
        Learned from real samples.
    best : sequence of keras.Model
        A generator, a discriminator and, if the GAN has them, heads, that receive the weights of
        the average, the discriminator and the heads whenever the kernel distance is the smallest
        so far.
    train, held_out : (ndarray [N, S, S, C], ndarray [N, K])
        Images in [-1, 1] that the GAN trains on, and that it does not see (the tune split), with
        their classes, one-hot; K is 0 without classes.
    every : int
        Steps between evaluations.
    tell : callable
        Told of every evaluation.
    """

    def __init__(
        self,
        gan: GAN,
        features: FeatureExtractor | RowValues,
        best: Sequence[keras.Model],
        *,
        train: tuple[np.ndarray, np.ndarray],
        held_out: tuple[np.ndarray, np.ndarray],
        every: int,
        seed: int,
        tell: Callable[[Health], None] = lambda health: None,
    ) -> None:
        self._tell = tell
        self.gan, self.features, self.best, self.every = gan, features, best, every
        self._watched = [gan.average, gan.discriminator]
        self._watched += [more for more in (gan.heads, gan.places) if more is not None]
        self.train, self.held_out = (tuple(x[:MOST] for x in part) for part in (train, held_out))
        self.real_features = features(self.held_out[0])
        self.real_diversity = _diversity_by_class(self.real_features, self.held_out[1])
        rng = child_rng(seed, "monitor")
        count = max(len(self.held_out[0]), FEWEST_GENERATED)
        self.noise = latent_noise(rng, count, gan.latent_dim, gan.settings.noise)
        # Drawn, not copied from the held-out images: equal class counts on both sides would make
        # the unbiased kernel distance too small.
        self.classes = self.train[1][rng.integers(0, len(self.train[1]), count)]
        self._numbers = keras.Variable(np.full((KEPT, len(FIELDS)), np.nan), dtype="float64")
        self._count = keras.Variable(0, dtype="int64")
        self._diverged = keras.Variable(np.zeros(2), dtype="float64")  # step and loss
        self.seed = seed
        self._generate, self._logits = map(Inference.of, (gan.average, gan.discriminator))
        made = Inference.of(best[0])(self.noise, *([self.classes] if gan.conditional else []))[0]
        self.untrained = features(made)  # `best` still has its first weights

    @property
    def state(self) -> list[Any]:
        """What a resumed run needs: the best weights, all evaluations, and whether it diverged."""
        kept = [variable for network in self.best for variable in network.variables]
        return [self._numbers, self._count, self._diverged, *kept]

    @property
    def history(self) -> list[Health]:
        """All evaluations so far."""
        rows = self._numbers.numpy()[: int(self._count.numpy())]
        return [Health(int(row[0]), *(float(value) for value in row[1:])) for row in rows]

    @property
    def alarm(self) -> Alarm | None:
        """What is wrong now; a function of the state, so that a resumed run knows it too."""
        step, loss = self._diverged.numpy()
        if step:
            return diverged(int(step), float(loss), evaluated=bool(self._count.numpy()))
        return judge(self.history)

    def finished(self) -> bool:
        """Return whether an alarm calls for an end."""
        return self.alarm is not None

    def on_steps(
        self, part: str, step: int, allowance: Allowance, losses: dict[str, float]
    ) -> None:
        """Evaluate when another `every` steps are done, or the part ends."""
        loss = magnitude(losses.values())
        if loss > MAX_LOSS:
            self._diverged.assign([step, loss])
            return
        done = allowance.done(step)
        history = self.history
        last = history[-1].step if history else 0
        if step // self.every > last // self.every or done >= 1.0:
            self.evaluate(step, done)

    def evaluate(self, step: int, done: float) -> None:
        """Measure, remember, and keep the weights if they are the best so far."""
        fake = self._generated()
        features = self.features(fake)
        trained, unseen = (self._judge(*part) for part in (self.train, self.held_out))
        if not all(np.isfinite(values).all() for values in (features, trained, unseen)):
            # The last update broke the weights after its losses had been taken.
            self._diverged.assign([step, math.inf])
            return
        made = self._judge(fake, self.classes)
        gap = trained.mean() - made.mean()
        middle = float(self.gan.adversarial_loss.middle(trained, made))
        health = Health(
            step=step,
            done=done,
            kernel_distance=kernel_distance(real=self.real_features, generated=features),
            diversity=self._diversity(features),
            coverage=density_coverage(real=self.real_features, generated=features).coverage,
            r_t=float(np.sign(trained - middle).mean()),
            r_v=float((trained.mean() - unseen.mean()) / gap) if gap > 0 else 0.0,
        )
        # Below 0 the unbiased distance is noise around 0: such evaluations tie, and the later wins.
        former = [max(0.0, h.kernel_distance) for h in self.history]
        if not former or max(0.0, health.kernel_distance) <= min(former):
            self._keep()
        self._remember(health)
        self._tell(health)

    def _keep(self) -> None:
        for kept, network in zip(self.best, self._watched):
            kept.set_weights(network.get_weights())

    def restore_best(self) -> None:
        """Give the average, the discriminator and the heads their best weights back.

        Without any evaluation these are the untrained ones, and only a divergence calls for them.
        """
        if self.history or self.alarm:
            for kept, network in zip(self.best, self._watched):
                network.set_weights(kept.get_weights())

    def fidelity(self) -> dict[str, Any]:
        """Return the figures of the averaged generator beside their floor and the untrained one.

        The floor is real against real, two halves of the held-out images.
        """
        real, rng = self.real_features, child_rng(self.seed, "floor")
        made = self.features(self._generated())
        return {
            **fidelity(real=real, generated=made, extractor=self.features.id).to_dict(),
            "floor": floor(real, self.features.id, rng).to_dict(),
            "untrained_kernel_distance": kernel_distance(real=real, generated=self.untrained),
        }

    def _remember(self, health: Health) -> None:
        rows, count = self._numbers.numpy(), int(self._count.numpy())
        if count == KEPT:  # the oldest makes room, but for the best, which others are to beat
            distances = np.maximum(0.0, rows[:, FIELDS.index("kernel_distance")])
            oldest = int(distances[0] < distances[1:].min())
            rows[oldest:-1] = rows[oldest + 1 :]
            count -= 1
        rows[count] = [getattr(health, name) for name in FIELDS]
        self._numbers.assign(rows)
        self._count.assign(count + 1)

    def _generated(self) -> np.ndarray:
        classes = [self.classes] if self.gan.conditional else []
        return self._generate(self.noise, *classes)[0]

    def _judge(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return self._logits(images, *([classes] if self.gan.conditional else []))[0]

    def _diversity(self, features: np.ndarray) -> float:
        """Mean over classes of generated variety over real variety."""
        made = _diversity_by_class(features, self.classes)
        real = self.real_diversity
        ratios = [made[label] / real[label] for label in made if real.get(label, 0.0) > 0]
        return float(np.mean(ratios)) if ratios else 1.0


def _diversity_by_class(features: np.ndarray, classes: np.ndarray) -> dict[int, float]:
    """Mean pairwise feature distance in each class that has two images or more."""
    labels = classes.argmax(axis=1) if classes.shape[1] else np.zeros(len(features), int)
    return {
        int(label): diversity(features[labels == label])
        for label in np.unique(labels)
        if (labels == label).sum() > 1
    }
