"""Trainer of the networks of one run, and the data and results that the stages share."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from augan.bundle import (
    GanMetrics,
    GeneratorFidelity,
    Network,
    NetworkSpec,
    PseudoLabelCounts,
    TrainingFailure,
    read_weights,
)
from augan.config import Config, require_resolved
from augan.data.modalities.base import Preprocessing
from augan.data.sequences import ConcatRows, SlidingWindows
from augan.gan import keras
from augan.gan.networks.build import build_network
from augan.seeding import child_seed
from augan.training.batches import Batches, one_hot
from augan.training.budget import StageBudget, TrainingBudget
from augan.training.callbacks import Callback
from augan.training.loop import StepBatches, TrainingSession, TrainStep, run_loop
from augan.training.monitor import GanMonitor
from augan.training.network_specs import NetworkSpecs
from augan.training.stages.base import STAGES, order_stages


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
    preprocessing : Preprocessing
        Normalizes prepared samples to the range of the networks.
    train : ndarray of int, or None
        Indices of the training split; None: all samples.
    val : ndarray of int, or None
        Indices of the validation split, which the monitor evaluates on.
    unlabeled : ndarray of int
        Indices of the unlabeled samples. Generator and encoder train on them too.
    new : TrainingData or None
        Samples of the new camera, with their own preprocessing, for the translation stage. The
        class indices of both cameras are positions in one list of `num_classes` names.
    """

    samples: np.ndarray | ConcatRows | SlidingWindows
    classes: np.ndarray | None
    num_classes: int
    preprocessing: Preprocessing
    train: np.ndarray | None = None
    val: np.ndarray | None = None
    unlabeled: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    new: "TrainingData | None" = None

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
        Keras models by name, and the specs that rebuild them.
    steps : dict of int
        Number of steps of each stage.
    gan_metrics : list of GanMetrics
        Evaluations of the GAN, oldest first.
    failure : TrainingFailure or None
        The failure that ended the GAN stage.
    fidelity : GeneratorFidelity or None
        Fidelity of the generator.
    pseudo_labels : PseudoLabelCounts or None
        Use of the unlabeled samples.
    """

    models: dict[str, keras.Model] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    gan_metrics: list[GanMetrics] = field(default_factory=list)
    failure: TrainingFailure | None = None
    fidelity: GeneratorFidelity | None = None
    pseudo_labels: PseudoLabelCounts | None = None

    def on_one_device(self) -> "TrainedNetworks":
        """Return a copy with models on one device, for use outside a distribution strategy."""
        models = {role: build_network(self.specs[role]) for role in self.models}
        for role, model in models.items():
            model.set_weights(self.models[role].get_weights())
        return replace(self, models=models)

    def for_bundle(self) -> dict[str, Network]:
        """Return every network as spec and weights, by role, in the form that a bundle stores."""
        return {
            role: Network(NetworkSpec(**self.specs[role]), read_weights(model))
            for role, model in self.models.items()
        }


@dataclass
class Trainer:
    """State of a training: builds networks from the settings, trains and keeps them.

    A stage (`augan.training.stages`) calls `build` and `run`, and finds the networks of earlier
    stages in `networks`.

    Attributes
    ----------
    config, data, budget, session
        As in `train_stages`.
    stages : tuple of str
        Names of all stages of the training, in order.
    stage : str
        Name of the running stage.
    networks : TrainedNetworks
        Networks and metrics so far.
    """

    config: Config
    data: TrainingData
    stages: tuple[str, ...]
    budget: TrainingBudget
    session: TrainingSession
    stage: str = ""
    networks: TrainedNetworks = field(default_factory=TrainedNetworks)

    @cached_property
    def _specs(self) -> NetworkSpecs:
        """Specs of the networks for the settings and the data of this training."""
        data = self.data
        return NetworkSpecs(
            self.config, data.samples.shape[1:], data.num_classes, data.preprocessing
        )

    def build(self, name: str, *, role: str | None = None, **changes: Any) -> keras.Model:
        """Build a network, such as "generator", and keep the network with its spec.

        Parameters
        ----------
        name : str
            Name of the network in the training and in the bundle, and in the seed of its weights.
        role : str or None
            Role of the network, if that is not its name; see `NetworkSpecs.spec`.
        **changes
            Arguments that replace those of the settings, such as `num_classes=0`.
        """
        return self._keep(name, self._specs.spec(name, role=role, **changes))

    def build_head(self, role: str, discriminator: keras.Model) -> keras.Model:
        """Build an auxiliary head on the discriminator's blocks, and keep the head with its spec.

        `role` is "transformation_head" or "localization_head".
        """
        return self._keep(role, self._specs.head_spec(role, discriminator))

    def _keep(self, name: str, spec: dict[str, Any]) -> keras.Model:
        """Build a network from its spec and keep both under a name."""
        self.networks.specs[name] = spec
        self.networks.models[name] = build_network(spec)
        return self.networks.models[name]

    def run(
        self,
        train_step: TrainStep,
        *,
        indices: np.ndarray,
        classes: np.ndarray | None = None,
        callbacks: Sequence[Callback] = (),
        monitor: GanMonitor | None = None,
        batches_per_step: int = 1,
    ) -> None:
        """Train the running stage until its budget is used or the monitor ends the stage.

        Parameters
        ----------
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
        batches = Batches(
            self.data.samples,
            self.data.classes if classes is None else classes,
            num_classes=self.data.num_classes,
            batch_size=require_resolved(self.config.training.batch_size) * batches_per_step,
            normalize=self.data.preprocessing.normalize,
            seed=child_seed(self.config.seed, self.stage, "batches"),
            indices=indices,
        )
        self.run_batches(train_step, batches, callbacks=callbacks, monitor=monitor)

    def run_batches(
        self,
        train_step: TrainStep,
        batches: StepBatches,
        *,
        callbacks: Sequence[Callback] = (),
        monitor: GanMonitor | None = None,
    ) -> None:
        """Train the running stage as `run` does, on batches that the stage has made."""
        evaluation = (monitor,) if monitor and self.session.workers.is_chief else ()
        everyone = (*self.session.callbacks, *evaluation, *callbacks)
        self.networks.steps[self.stage] = run_loop(
            self.stage,
            train_step,
            batches,
            self._stage_budget(),
            replace(self.session, callbacks=everyone),
            more_state=monitor.state if monitor else (),
            finished=monitor.finished if monitor else lambda: False,
        )

    def _stage_budget(self) -> StageBudget:
        """Return the budget of the running stage, from the shares of all remaining stages."""
        share, *later = [
            STAGES.get(name).share for name in self.stages[self.stages.index(self.stage) :]
        ]
        return self.budget.stage_budget(share, later)


def train_stages(
    config: Config,
    data: TrainingData,
    stages: Sequence[str],
    budget: TrainingBudget,
    session: TrainingSession | None = None,
) -> TrainedNetworks:
    """Train networks in stages, such as GAN, encoder and classifier, and return the networks.

    Parameters
    ----------
    config : Config
        Resolved settings.
    data : TrainingData
        Samples, classes and splits.
    stages : sequence of str
        Names in `augan.training.stages.base.STAGES`. A stage runs after the stages whose networks
        it needs.
    budget : TrainingBudget
        Limits of all stages together.
    session : TrainingSession or None
        Callbacks, files, stop signal and workers; None: a training in memory by this process.

    Raises
    ------
    ConfigError
        A stage is unknown, or needs a network that no other stage makes.
    RunInterruptedError
        `session.stop` returned a signal, or a worker stopped answering; checkpoints allow to
        continue.
    TrainingDivergedError
        The losses of a stage are no longer finite.
    """
    trainer = Trainer(config, data, order_stages(stages), budget, session or TrainingSession())
    workers = trainer.session.workers
    with workers.report_lost_worker(), workers.scope():
        for name in trainer.stages:
            trainer.stage = name
            with trainer.session.stopwatch.measure(name):
                STAGES.load(name)(trainer)
    return trainer.networks if workers.strategy is None else trainer.networks.on_one_device()
