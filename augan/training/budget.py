"""Where the time of a run goes."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from augan.training.loop import Allowance


class Clock:
    """Seconds spent in each part of a run, by the monotonic clock.

    Parameters
    ----------
    started : float or None
        `time.monotonic()` at which the whole began, so that start-up counts too.
    """

    def __init__(self, started: float | None = None) -> None:
        now = time.monotonic()
        self.started = now if started is None else started
        self.seconds: dict[str, float] = {"start-up": now - self.started}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the block to the part called `name`."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun


# Part -> (its steps for each step of the GAN, its share of the time).
SHARES = {
    "gan": (1.0, 0.66),
    "autoencoder": (1.0, 0.66),
    "encoder": (0.5, 0.26),
    "classifier": (0.25, 0.08),
    "rotation": (0.25, 0.08),
}
AFTER_TRAINING = 0.05  # share of the minutes kept for fitting the detector and saving
AFTER_FOLD = 3.0  # seconds kept for the detector of each of several folds, where that is more


def deadline_of(minutes: float | None, started: float, folds: int = 0) -> float | None:
    """Return when networks must be trained so that all is over `minutes` after `started`.

    Both moments are on the monotonic clock; without minutes there is none.
    """
    if minutes is None:
        return None
    after = max(AFTER_TRAINING * minutes * 60, AFTER_FOLD * folds)
    return started + minutes * 60 - min(after, minutes * 60 / 4)


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

    Raises
    ------
    ValueError
        There are neither steps nor a deadline: nothing would end the training.
    """

    parts: tuple[str, ...]
    steps: int | None
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.deadline is None:
            raise ValueError("a plan has neither steps nor a deadline, so it would never end")

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
