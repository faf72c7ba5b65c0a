"""How much each part of a run may train: steps in proportion to the GAN's, time by its share."""

import math
import time
from dataclasses import dataclass

from augan.training.loop import Allowance

# Part -> (its steps for each step of the GAN, its share of the time).
SHARES = {
    "gan": (1.0, 0.66),
    "autoencoder": (1.0, 0.66),
    "encoder": (0.5, 0.26),
    "classifier": (0.25, 0.08),
    "rotation": (0.25, 0.08),
}


@dataclass(frozen=True)
class Plan:
    """The parts that will train, in order, and when everything must be over.

    Parameters
    ----------
    parts : tuple of str
        Keys of `SHARES`.
    steps : int or None
        Updates of the GAN.
    deadline : float or None
        Moment on the monotonic clock at which the last part must end.
    """

    parts: tuple[str, ...]
    steps: int | None
    deadline: float | None = None

    def allowance(self, part: str) -> Allowance:
        """Return what `part`, which begins now, may use; time left over passes to later parts."""
        per_step, share = SHARES[part]
        steps = None if self.steps is None else math.ceil(self.steps * per_step)
        now = time.monotonic()
        if self.deadline is None:
            return Allowance(steps, now, None)
        later = self.parts[self.parts.index(part) :]
        fraction = share / sum(SHARES[name][1] for name in later)
        return Allowance(steps, now, now + max(0.0, self.deadline - now) * fraction)
