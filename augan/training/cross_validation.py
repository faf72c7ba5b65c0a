"""Training the networks of one fold after another, each as if it were a run of its own."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augan.seeding import child_seed
from augan.training.checkpoints import Checkpoints
from augan.training.loop import Allowance, Observer
from augan.training.monitor import Health, HealthObserver
from augan.training.signals import Stop


@dataclass(frozen=True)
class Fold:
    """One of `count` folds, counted from 1; the only one is a plain training and goes unnamed."""

    number: int = 1
    count: int = 1

    @classmethod
    def all(cls, count: int) -> list["Fold"]:
        """Return all folds in order."""
        return [cls(number, count) for number in range(1, count + 1)]

    @property
    def name(self) -> str:
        """What its folders are called."""
        return f"fold{self.number}" if self.count > 1 else ""

    @property
    def title(self) -> str:
        """The same for a person."""
        return f"fold {self.number} of {self.count}" if self.count > 1 else ""

    def part(self, part: str) -> str:
        """Return what the log and the progress call a part of the training."""
        return f"{self.title} {part}".strip()

    def seed(self, seed: int) -> int:
        """Return the seed of its training."""
        return child_seed(seed, "fold", self.number) if self.count > 1 else seed

    def deadline(self, deadline: float | None) -> float | None:
        """Return when this fold, which begins now, must end; what it leaves goes to the others."""
        if deadline is None:
            return None
        now = time.monotonic()
        return now + max(0.0, deadline - now) / (self.count - self.number + 1)

    def observers(self, observers: Sequence[Observer]) -> list[Observer]:
        """Return observers that tell these which fold it is."""
        return [_Named(self, observer) for observer in observers]

    def stop(self, stop: Stop) -> Stop:
        """Return the same, which tells which fold it stopped."""

        def told() -> str | None:
            signal = stop()
            return f"{signal} in {self.title}" if signal and self.title else signal

        return told

    def steps(self, checkpoints: Path) -> dict[str, int]:
        """Return part, as the log calls it -> steps, for every checkpoint there is."""
        found = Checkpoints(checkpoints / self.name).steps()
        return {self.part(part): step for part, step in found.items()}


@dataclass(frozen=True)
class _Named:
    """Tells an observer the name of the fold with that of the part."""

    fold: Fold
    observer: Observer

    def on_steps(
        self, part: str, step: int, allowance: Allowance, losses: dict[str, float]
    ) -> None:
        self.observer.on_steps(self.fold.part(part), step, allowance, losses)

    def on_health(self, part: str, health: Health) -> None:
        if isinstance(self.observer, HealthObserver):
            self.observer.on_health(self.fold.part(part), health)
