"""Declarations of training stages, their registry, and the stages that a training needs.

A new stage is one file in this package: a train step, and a function `(trainer) -> None` that is
registered with a `Stage`. This module needs no TensorFlow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from augan.config import Config
from augan.data.modalities.base import Preprocessing
from augan.exceptions import ConfigError
from augan.registry import Registry
from augan.training.budget import BudgetShare

if TYPE_CHECKING:
    from augan.training.trainer import Trainer


@dataclass(frozen=True)
class TrainingPlan:
    """Properties of a training that decide which stages it has.

    Attributes
    ----------
    config : Config
        Resolved settings.
    num_classes : int
        Number of classes of the generator; 0 without classes.
    preprocessing : Preprocessing
        Preprocessing of the samples, which answers what their modality supports.
    required_networks : frozenset of str
        Networks that the configured detection methods need; empty without a detector.
    """

    config: Config
    num_classes: int
    preprocessing: Preprocessing
    required_networks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Stage:
    """Declaration of a training stage; implementation: a function that runs it with a `Trainer`.

    The function builds the networks of the stage with `Trainer.build`, and trains them with
    `Trainer.run`.

    Attributes
    ----------
    name : str
        Name in the log, in the progress, of the checkpoint and in the seed of the batches.
    description : str
        Phrase for the report of a training.
    makes : tuple of str
        Networks that the stage adds to the training.
    share : BudgetShare
        Share of the stage in the budget of the training.
    applies : callable
        `TrainingPlan` -> whether the stage is part of `augan train`. By default it is not; then
        only a call of `train_stages` runs the stage.
    needs : tuple of str
        Networks of earlier stages without which the stage cannot run.
    uses : tuple of str
        Networks of earlier stages that the stage uses if there are any.
    section : str or None
        Section of the configuration with settings of the stage.
    """

    name: str
    description: str
    makes: tuple[str, ...]
    share: BudgetShare
    applies: Callable[[TrainingPlan], bool] = lambda plan: False
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    section: str | None = None


STAGES: "Registry[Stage, Callable[[Trainer], None]]" = Registry(
    "stage", Stage, "augan.training.stages", BudgetShare
)


def planned_stages(plan: TrainingPlan) -> tuple[str, ...]:
    """Return the names of the stages of a training, in the order of their execution."""
    return order_stages(stage.name for stage in STAGES if stage.applies(plan))


def order_stages(names: Iterable[str]) -> tuple[str, ...]:
    """Return stages in an order in which each follows the stages whose networks it needs or uses.

    Raises
    ------
    ConfigError
        A stage is unknown, a needed network is made by none of the stages, or stages need each
        other.
    """
    remaining = [STAGES.get(name) for name in names]
    makers = {network: stage for stage in remaining for network in stage.makes}
    for stage in remaining:
        missing = [network for network in stage.needs if network not in makers]
        if missing:
            raise ConfigError(
                f"the stage {stage.name} needs the network {missing[0]}, which no other stage of "
                f"the training makes; add one of {', '.join(_makers_of(missing[0]))}"
            )
    order: list[str] = []
    while remaining:
        waiting = {network for stage in remaining for network in stage.makes}
        ready = [
            stage
            for stage in remaining
            if waiting.isdisjoint({*stage.needs, *stage.uses} - {*stage.makes})
        ]
        if not ready:
            cycle = ", ".join(stage.name for stage in remaining)
            raise ConfigError(f"the stages {cycle} need networks of each other")
        order += [stage.name for stage in ready]
        remaining = [stage for stage in remaining if stage not in ready]
    return tuple(order)


def _makers_of(network: str) -> list[str]:
    """Return the names of all registered stages that make a network."""
    return [stage.name for stage in STAGES if network in stage.makes] or ["a stage that makes it"]
