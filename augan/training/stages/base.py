"""Protocol of a training stage and of the training step that it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from augan.training.budget import BudgetShare

if TYPE_CHECKING:
    from augan.training.trainer import Trainer


class TrainStep(Protocol):
    """One step of a training, which the loop repeats.

    Attributes
    ----------
    metric_names : tuple of str
        Names of the scalars that a step returns.
    """

    metric_names: tuple[str, ...]

    @property
    def state(self) -> list[Any]:
        """All variables that the next step depends on, in a fixed order."""

    def train_step(self, data: tuple[Any, Any]) -> dict[str, Any]:
        """Run one step on (samples, classes), on all replicas, and return scalars."""


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    Parameters
    ----------
    name : str
        Name in the log and of the checkpoint.
    share : BudgetShare
        Share of the stage in the budget of the training.
    train : callable
        Builds the networks of the stage with the trainer, and trains them with `Trainer.run`.
    """

    name: str
    share: BudgetShare
    train: Callable[["Trainer"], None]
