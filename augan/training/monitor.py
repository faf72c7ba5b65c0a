"""The health of a GAN in numbers, and when to raise the alarm. Pure functions; nothing is trained.

The thresholds were set on digits: healthy runs keep well clear of them, and runs made to fail cross
them (`docs/benchmarks/gan-failure-alarms.md`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from augan.features.classifier import FeatureExtractor, RowValues
from augan.gan import keras
from augan.gan.inference import BatchInference, latent_noise
from augan.gan.model import GAN
from augan.metrics.fidelity import diversity, fidelity, floor, kernel_distance
from augan.metrics.precision_recall import density_coverage
from augan.seeding import child_rng
from augan.training.loop import Allowance

WARM_UP = 0.3  # share of the allowance before which poor variety is no alarm
MIN_DIVERSITY = 0.25  # of the real images' mean pairwise distance within a class
MIN_COVERAGE = 0.05  # share of real images with a generated neighbour
MAX_OVERFITTING = 0.8  # r_v: how far held-out images are judged like generated ones
MAX_SIGN = 0.9  # r_t: share of training images judged real, minus those judged fake
PATIENCE = 2  # evaluations in a row
# Healthy logits give no such loss: cross entropy is sure beyond 20, least squares aims at 0 or 1,
# and two colour images of 64 pixels differ by at most 222 for a 1-Lipschitz critic.
MAX_LOSS = 1e4


@dataclass(frozen=True)
class Health:
    """One evaluation of the averaged generator and the discriminator.

    Parameters
    ----------
    step : int
        Updates done.
    done : float
        Share of the allowance that is used up.
    kernel_distance : float
        Between features of held-out real and of generated images.
    diversity : float
        Mean pairwise feature distance of generated images within a class, divided by that of real.
    coverage : float
        Share of held-out images with a generated image in their neighbourhood.
    r_t : float
        Mean sign of the discriminator's logits of training images, counted from the loss's border
        between real and fake (Karras et al. 2020, eq. 1).
    r_v : float
        (train - held out) / (train - generated), of mean logits (ibid.).
    """

    step: int
    done: float
    kernel_distance: float
    diversity: float
    coverage: float
    r_t: float
    r_v: float

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, JSON-able."""
        return asdict(self)


@dataclass(frozen=True)
class Alarm:
    """What went wrong, in a word and in a sentence that says what to try."""

    kind: str
    step: int
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the alarm, JSON-able."""
        return asdict(self)


def magnitude(losses: Iterable[float]) -> float:
    """Return the largest absolute value; what is not a finite number counts as infinite."""
    return max((abs(loss) if math.isfinite(loss) else math.inf for loss in losses), default=0.0)


def diverged(step: int, loss: float, *, evaluated: bool) -> Alarm:
    """Return the alarm for a loss of magnitude above `MAX_LOSS`.

    Parameters
    ----------
    loss : float
        As of `magnitude`.
    evaluated : bool
        Whether there was an evaluation before, so that there are weights worth keeping.
    """
    grew = f"had grown to {loss:.1e}" if math.isfinite(loss) else "was no longer finite"
    kept = (
        "the best weights so far were kept"
        if evaluated
        else "no weights had been measured yet, so those from before training were kept"
    )
    return Alarm(
        "divergence",
        step,
        f"a loss {grew} at step {step}; {kept}: try a lower generator.learning_rate and "
        "discriminator.learning_rate",
    )


def judge(history: Sequence[Health]) -> Alarm | None:
    """Return the alarm that the last evaluations call for, if any."""
    last = [health for health in history[-PATIENCE:] if health.done >= WARM_UP]
    if len(last) < PATIENCE:
        return None
    step = last[-1].step
    if all(h.diversity < MIN_DIVERSITY or h.coverage < MIN_COVERAGE for h in last):
        return Alarm(
            "collapse",
            step,
            f"generated images of a class were nearly alike at step {step} (diversity "
            f"{last[-1].diversity:.2f} of the real images', coverage {last[-1].coverage:.2f}); the "
            "best weights so far were kept: try generator.conditioning=norm, a lower "
            "discriminator.learning_rate, or more images",
        )
    if all(h.r_t > MAX_SIGN and h.r_v > MAX_OVERFITTING for h in last):
        return Alarm(
            "overfitting",
            step,
            f"the discriminator knew the training images by heart at step {step} (r_t "
            f"{last[-1].r_t:.2f}, r_v {last[-1].r_v:.2f}); the best weights so far were kept: try "
            "gan.diffaug=[translation,color], discriminator.dropout=0.3, or more images",
        )
    return None


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
        Images in [-1, 1] that the GAN trains on, and that it does not see (the validation
        split), with their classes, one-hot; K is 0 without classes.
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
        self._watched = gan.networks
        self.train, self.held_out = (tuple(x[:MOST] for x in part) for part in (train, held_out))
        self.real_features = features(self.held_out[0])
        self.real_diversity = _diversity_by_class(self.real_features, self.held_out[1])
        rng = child_rng(seed, "monitor")
        count = max(len(self.held_out[0]), FEWEST_GENERATED)
        self.noise = latent_noise(rng, count, gan.latent_dim, gan.settings.latent_prior)
        # Drawn, not copied from the held-out images: equal class counts on both sides would make
        # the unbiased kernel distance too small.
        self.classes = self.train[1][rng.integers(0, len(self.train[1]), count)]
        self._numbers = keras.Variable(np.full((KEPT, len(FIELDS)), np.nan), dtype="float64")
        self._count = keras.Variable(0, dtype="int64")
        self._diverged = keras.Variable(np.zeros(2), dtype="float64")  # step and loss
        self.seed = seed
        self._generate, self._logits = map(
            BatchInference.from_model, (gan.ema_generator, gan.discriminator)
        )
        made = BatchInference.from_model(best[0])(
            self.noise, *([self.classes] if gan.conditional else [])
        )[0]
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
        middle = float(self.gan.adversarial_loss.boundary_logit(trained, made))
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
