"""Trainer of the networks of one run, and the data and results that the stages share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Network, read_weights
from augan.config import Config
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.sequences import ConcatRows, SlidingWindows
from augan.gan import keras
from augan.gan.networks.registry import build_network
from augan.seeding import child_seed
from augan.training.batches import Batches, one_hot
from augan.training.budget import BudgetShare, StageBudget, TrainingBudget
from augan.training.callbacks import Callback
from augan.training.checkpoints import Checkpoints
from augan.training.distributed.workers import Workers
from augan.training.loop import TrainStep, run_loop
from augan.training.monitor import GanMetrics, GanMonitor, TrainingFailure
from augan.training.network_specs import NetworkSpecs
from augan.training.signals import StopSignal


@dataclass(frozen=True)
class TrainingData:
    """Samples, classes and splits that the stages of a training use.

    Parameters
    ----------
    samples : ndarray [N, S, S, C] or [N, F], ConcatRows or SlidingWindows
        Prepared images (perhaps a memory map), tiles of large images, or prepared rows.
    classes : ndarray [N] of int, or None
        Class indices below `num_classes`, -1 for unlabeled samples.
    num_classes : int
        0 for a generator without classes.
    preprocessing : ImagePreprocessing or TabularPreprocessing
        Normalizes prepared samples to the range of the networks.
    train : ndarray of int, or None
        Indices of the training split; None: all samples.
    val : ndarray of int, or None
        Indices of the validation split, which the monitor evaluates on.
    unlabeled : ndarray of int
        Indices of the unlabeled samples. Generator and encoder train on them too.
    """

    samples: np.ndarray | ConcatRows | SlidingWindows
    classes: np.ndarray | None
    num_classes: int
    preprocessing: AnyPreprocessing
    train: np.ndarray | None = None
    val: np.ndarray | None = None
    unlabeled: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def train_indices(self) -> np.ndarray:
        """Return the indices of the training split, int64; without a split, of all samples."""
        return np.arange(len(self.samples)) if self.train is None else self.train

    def train_and_unlabeled_indices(self) -> np.ndarray:
        """Return the indices of the training split, followed by those of the unlabeled samples."""
        return np.concatenate([self.train_indices(), self.unlabeled])

    def normalized(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return some samples as the networks receive them, and their one-hot classes.

        Samples are float32 in [-1, 1], `[len(indices), ...]`; classes are `[len(indices),
        num_classes]`, all 0 if unknown.
        """
        classes = one_hot(self.classes, indices, self.num_classes)
        return self.preprocessing.normalize(self.samples[indices]), classes


@dataclass
class TrainedNetworks:
    """Networks and metrics that a training produces.

    Attributes
    ----------
    models, specs : dict
        Keras models by role, and the specs that rebuild them.
    steps : dict of int
        Number of steps of each stage.
    gan_metrics : list of GanMetrics
        Evaluations of the GAN, oldest first.
    failure : TrainingFailure or None
        The failure that ended the GAN stage.
    fidelity, pseudo_labels : dict or None
        Fidelity of the generator, and counts of the pseudo-labels, JSON-able.
    """

    models: dict[str, keras.Model] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    gan_metrics: list[GanMetrics] = field(default_factory=list)
    failure: TrainingFailure | None = None
    fidelity: dict[str, Any] | None = None
    pseudo_labels: dict[str, Any] | None = None

    def on_one_device(self) -> "TrainedNetworks":
        """Return a copy with models on one device, for use outside a distribution strategy."""
        models = {role: build_network(self.specs[role]) for role in self.models}
        for role, model in models.items():
            model.set_weights(self.models[role].get_weights())
        return replace(self, models=models)

    def for_bundle(self) -> dict[str, Network]:
        """Return every network as spec and weights, by role, in the form that a bundle stores."""
        return {
            role: Network(self.specs[role], read_weights(model))
            for role, model in self.models.items()
        }


@dataclass
class Trainer:
    """State of a training: builds networks from the settings, trains and keeps them.

    A stage (`augan.training.stages`) calls `build` and `run`, and finds the networks of earlier
    stages in `networks`. The attributes are the parameters of
    `augan.training.stage_registry.train_stages`.
    """

    config: Config
    data: TrainingData
    stages: "tuple[Stage, ...]"
    budget: TrainingBudget
    callbacks: tuple[Callback, ...]
    samples: Path | None
    checkpoints: Checkpoints
    stop: StopSignal
    workers: Workers
    networks: TrainedNetworks = field(default_factory=TrainedNetworks)

    @cached_property
    def _specs(self) -> NetworkSpecs:
        """Specs of the networks for the settings and the data of this training."""
        data = self.data
        return NetworkSpecs(
            self.config, data.samples.shape[1:], data.num_classes, data.preprocessing
        )

    def build(self, role: str, **changes: Any) -> keras.Model:
        """Build the network of a role, such as "generator", and keep the network with its spec.

        `changes` replace arguments of the spec, see `NetworkSpecs.spec`.
        """
        return self._keep(role, self._specs.spec(role, **changes))

    def build_head(self, role: str, discriminator: keras.Model) -> keras.Model:
        """Build an auxiliary head on the discriminator's blocks, and keep the head with its spec.

        `role` is "transformation_head" or "localization_head".
        """
        return self._keep(role, self._specs.head_spec(role, discriminator))

    def _keep(self, role: str, spec: dict[str, Any]) -> keras.Model:
        """Build a network from its spec and keep both under its role."""
        self.networks.specs[role] = spec
        self.networks.models[role] = build_network(spec)
        return self.networks.models[role]

    def run(
        self,
        stage: str,
        train_step: TrainStep,
        *,
        indices: np.ndarray,
        classes: np.ndarray | None = None,
        callbacks: Sequence[Callback] = (),
        monitor: GanMonitor | None = None,
        batches_per_step: int = 1,
    ) -> None:
        """Train one stage until its budget is used or the monitor ends the stage.

        Parameters
        ----------
        stage : str
            Name of the stage.
        train_step : TrainStep
            Networks of the stage, with their training step.
        indices : ndarray of int
            The samples to train on.
        classes : ndarray or None
            Classes of all samples, if they differ from those of the data.
        callbacks : sequence of Callback
            Callbacks of this stage only.
        monitor : GanMonitor or None
            Evaluates the networks, and may end the stage.
        batches_per_step : int
            Number of batches that one training step takes.
        """
        evaluation = (monitor,) if monitor and self.workers.is_chief else ()
        batches = Batches(
            self.data.samples,
            self.data.classes if classes is None else classes,
            num_classes=self.data.num_classes,
            batch_size=self.config.training.batch_size * batches_per_step,
            normalize=self.data.preprocessing.normalize,
            seed=child_seed(self.config.seed, stage, "batches"),
            indices=indices,
        )
        self.networks.steps[stage] = run_loop(
            stage,
            train_step,
            batches,
            self._stage_budget(stage),
            callbacks=(*self.callbacks, *evaluation, *callbacks),
            checkpoints=self.checkpoints,
            more_state=monitor.state if monitor else (),
            finished=monitor.finished if monitor else lambda: False,
            stop=self.stop,
            workers=self.workers,
        )

    def _stage_budget(self, name: str) -> StageBudget:
        """Return the budget of a stage that starts now, from the shares of all remaining stages."""
        names = [stage.name for stage in self.stages]
        index = names.index(name)
        later = [stage.share for stage in self.stages[index + 1 :]]
        return self.budget.stage_budget(self.stages[index].share, later)


@dataclass(frozen=True)
class Stage:
    """Entry in the registry of training stages, `augan.training.stage_registry.STAGES`.

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
    train: Callable[[Trainer], None]
