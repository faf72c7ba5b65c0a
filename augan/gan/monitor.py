"""The health of a GAN in numbers, and when to raise the alarm. Pure functions; nothing is trained.

The thresholds were set on digits: healthy runs keep well clear of them, and runs made to fail cross
them (`benchmarks/NOTES.md`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
            "gan.diffaug=[translation,colour], discriminator.dropout=0.3, or more images",
        )
    return None
