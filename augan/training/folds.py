"""Folds of a cross-conformal training, each trained like a separate run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from augan.seeding import child_seed
from augan.training.budget import StageBudget
from augan.training.callbacks import Callback, EvaluationCallback
from augan.training.checkpoints import Checkpoints
from augan.training.signals import StopSignal

if TYPE_CHECKING:
    from augan.bundle import GanMetrics


@dataclass(frozen=True)
class Fold:
    """One of the trainings of a cross-conformal run.

    Attributes
    ----------
    number : int
        Number of the fold, counted from 1.
    count : int
        Number of folds; 1: a plain training, whose only fold has no name.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def all(cls, count: int) -> list["Fold"]:
        """Return the folds 1 to `count` in order."""
        return [cls(number, count) for number in range(1, count + 1)]

    @property
    def name(self) -> str:
        """Name of the fold in the paths of a run, such as "fold2"; empty for a plain training."""
        return f"fold{self.number}" if self.count > 1 else ""

    @property
    def title(self) -> str:
        """Name of the fold in messages, such as "fold 2 of 5"; empty for a plain training."""
        return f"fold {self.number} of {self.count}" if self.count > 1 else ""

    def stage_name(self, stage: str) -> str:
        """Return the name of a stage in the log and the progress, such as "fold 2 of 5 gan"."""
        return f"{self.title} {stage}".strip()

    def seed(self, seed: int) -> int:
        """Return the seed of the fold's training, derived from the seed of the run.

        A plain training has the seed of the run.
        """
        return child_seed(seed, "fold", self.number) if self.count > 1 else seed

    def deadline(self, deadline: float | None) -> float | None:
        """Return the deadline of the fold's training, which starts now.

        The time until the `deadline` of all folds is divided equally among the remaining folds.
        Both moments are on the monotonic clock, in seconds; None: no deadline.
        """
        if deadline is None:
            return None
        now = time.monotonic()
        return now + max(0.0, deadline - now) / (self.count - self.number + 1)

    def callbacks(self, callbacks: Sequence[Callback]) -> list[Callback]:
        """Wrap callbacks so that they receive stage names with the name of the fold."""
        return [_FoldCallback(self, callback) for callback in callbacks]

    def stop(self, stop: StopSignal) -> StopSignal:
        """Wrap a stop function so that the name of a signal is followed by the name of the fold."""

        def stop_in_fold() -> str | None:
            signal = stop()
            return f"{signal} in {self.title}" if signal and self.title else signal

        return stop_in_fold

    def steps(self, checkpoints: Path) -> dict[str, int]:
        """Return the number of steps in each checkpoint of the fold, by the stage name in the log.

        `checkpoints` is the folder of all checkpoints of the run.
        """
        steps = Checkpoints(checkpoints / self.name).steps()
        return {self.stage_name(stage): step for stage, step in steps.items()}


@dataclass(frozen=True)
class _FoldCallback:
    """Callback that adds the name of the fold to the name of the stage."""

    fold: Fold
    callback: Callback

    def on_progress(
        self, stage: str, step: int, budget: StageBudget, losses: dict[str, float]
    ) -> None:
        """Notify the wrapped callback of progress, with the fold in the stage name."""
        self.callback.on_progress(self.fold.stage_name(stage), step, budget, losses)

    def on_evaluation(self, stage: str, metrics: "GanMetrics") -> None:
        """Notify the wrapped callback of an evaluation, if it takes evaluations."""
        if isinstance(self.callback, EvaluationCallback):
            self.callback.on_evaluation(self.fold.stage_name(stage), metrics)
