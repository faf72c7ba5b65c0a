"""Budget of a training in steps and time, and the measurement of where the time goes."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

# Fraction of the minutes that is kept for fitting the detector and saving the bundle.
AFTER_TRAINING = 0.05
AFTER_FOLD = 3.0  # seconds kept for the detector of each fold, if that is more


class Stopwatch:
    """Seconds spent in each stage of a run, on the monotonic clock.

    Parameters
    ----------
    started : float or None
        `time.monotonic()` at the start of the run, to include the start-up; None: now.
    """

    def __init__(self, started: float | None = None) -> None:
        now = time.monotonic()
        self.started = now if started is None else started
        self.seconds: dict[str, float] = {"start-up": now - self.started}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of the block to `stage`."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - start


@dataclass(frozen=True)
class StageBudget:
    """Limits of one stage: a number of steps, a deadline on the monotonic clock, or both."""

    steps: int | None
    started: float
    deadline: float | None

    def progress(self, step: int) -> float:
        """Return the fraction of the budget that is used after `step` steps, 0 to 1."""
        fractions = [0.0]
        if self.steps is not None:
            fractions.append(step / self.steps)
        if self.deadline is not None:
            span = max(1e-9, self.deadline - self.started)
            fractions.append((time.monotonic() - self.started) / span)
        return min(1.0, max(fractions))


class BudgetShare(NamedTuple):
    """Share of a stage in the budget of a training.

    Attributes
    ----------
    steps : float
        Steps of the stage for each step of the GAN.
    time : float
        Weight of the stage when the remaining time is divided among the remaining stages.
    """

    steps: float
    time: float


@dataclass(frozen=True)
class TrainingBudget:
    """Limits of a whole training.

    Parameters
    ----------
    steps : int or None
        Steps of the GAN.
    deadline : float or None
        Moment on the monotonic clock at which the last stage must end.

    Raises
    ------
    ValueError
        Both limits are missing: nothing would end the training.
    """

    steps: int | None
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.deadline is None:
            raise ValueError("a training budget requires steps or a deadline, got neither")

    def stage_budget(self, share: BudgetShare, later: Sequence[BudgetShare] = ()) -> StageBudget:
        """Return the budget of a stage that starts now.

        Time that earlier stages did not use goes to the remaining stages.

        Parameters
        ----------
        share : BudgetShare
            Share of the stage.
        later : sequence of BudgetShare
            Shares of the stages that follow.
        """
        steps = None if self.steps is None else math.ceil(self.steps * share.steps)
        now = time.monotonic()
        if self.deadline is None:
            return StageBudget(steps, now, None)
        fraction = share.time / sum(one.time for one in (share, *later))
        return StageBudget(steps, now, now + max(0.0, self.deadline - now) * fraction)


def compute_deadline(minutes: float | None, started: float, folds: int = 0) -> float | None:
    """Return the deadline of the networks, so that the run ends `minutes` after `started`.

    Both moments are on the monotonic clock. Without minutes there is no deadline.
    """
    if minutes is None:
        return None
    after = max(AFTER_TRAINING * minutes * 60, AFTER_FOLD * folds)
    return started + minutes * 60 - min(after, minutes * 60 / 4)
