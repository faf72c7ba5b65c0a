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
        """Add the seconds that the block takes to the entry `stage` of `seconds`."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - start


@dataclass(frozen=True)
class StageBudget:
    """Limits of one training stage; the stage ends at the first limit that is reached.

    Attributes
    ----------
    steps : int or None
        Number of training steps; None: no limit.
    started : float
        Start of the stage on the monotonic clock, in seconds.
    deadline : float or None
        Latest end of the stage on the monotonic clock, in seconds; None: no limit.
    """

    steps: int | None
    started: float
    deadline: float | None

    def progress(self, step: int) -> float:
        """Return the used fraction of a stage's budget, 0 to 1.

        With two limits, the result is the larger fraction. `step` is the number of steps so far.
        """
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
    """Limits of a whole training, which the stages divide among themselves.

    Parameters
    ----------
    steps : int or None
        Steps of the GAN; other stages take a multiple, see `BudgetShare`. None: no limit.
    deadline : float or None
        Moment on the monotonic clock at which the last stage must end; None: no limit.

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
    """Return the moment at which the training of the networks must end, or None without a limit.

    Time is kept for fitting the detectors and saving the bundle, so that the whole run takes
    `minutes`.

    Parameters
    ----------
    minutes : float or None
        Time limit of the run; None: no limit.
    started : float
        Start of the run on the monotonic clock, in seconds, as for the result.
    folds : int
        Number of detectors to fit in a cross-conformal training; 0 for a plain training.
    """
    if minutes is None:
        return None
    after = max(AFTER_TRAINING * minutes * 60, AFTER_FOLD * folds)
    return started + minutes * 60 - min(after, minutes * 60 / 4)
