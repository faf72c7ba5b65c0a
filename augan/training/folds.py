"""Folds of a cross-conformal training, each of which is trained like a separate run."""

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
    from augan.training.monitor import GanMetrics


@dataclass(frozen=True)
class Fold:
    """One of `count` folds, counted from 1; a single fold is a plain training without a name."""

    number: int = 1
    count: int = 1

    @classmethod
    def all(cls, count: int) -> list["Fold"]:
        """Return all folds in order."""
        return [cls(number, count) for number in range(1, count + 1)]

    @property
    def name(self) -> str:
        """Name of the folders of the fold."""
        return f"fold{self.number}" if self.count > 1 else ""

    @property
    def title(self) -> str:
        """Name of the fold in messages."""
        return f"fold {self.number} of {self.count}" if self.count > 1 else ""

    def stage_name(self, stage: str) -> str:
        """Return the name of a stage in the log and in the progress."""
        return f"{self.title} {stage}".strip()

    def seed(self, seed: int) -> int:
        """Return the seed of the training of the fold."""
        return child_seed(seed, "fold", self.number) if self.count > 1 else seed

    def deadline(self, deadline: float | None) -> float | None:
        """Return the deadline of this fold, which starts now.

        The remaining time is divided equally among the remaining folds.
        """
        if deadline is None:
            return None
        now = time.monotonic()
        return now + max(0.0, deadline - now) / (self.count - self.number + 1)

    def callbacks(self, callbacks: Sequence[Callback]) -> list[Callback]:
        """Return callbacks that pass on the name of the fold with that of the stage."""
        return [_FoldCallback(self, callback) for callback in callbacks]

    def stop(self, stop: StopSignal) -> StopSignal:
        """Return a stop function that adds the name of the fold to the signal."""

        def stop_in_fold() -> str | None:
            signal = stop()
            return f"{signal} in {self.title}" if signal and self.title else signal

        return stop_in_fold

    def steps(self, checkpoints: Path) -> dict[str, int]:
        """Return the step of each checkpoint, by the name of its stage in the log."""
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
        self.callback.on_progress(self.fold.stage_name(stage), step, budget, losses)

    def on_evaluation(self, stage: str, metrics: "GanMetrics") -> None:
        if isinstance(self.callback, EvaluationCallback):
            self.callback.on_evaluation(self.fold.stage_name(stage), metrics)
