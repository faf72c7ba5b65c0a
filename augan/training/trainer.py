"""Train all networks of a run on arrays: the one entry to this room."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Network, read_weights
from augan.config import Config, require_resolved
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.sequences import ConcatRows, SlidingWindows
from augan.data.splits import evenly_spaced
from augan.features.classifier import FeatureExtractor, RowValues
from augan.gan import keras
from augan.gan.model import GAN
from augan.gan.networks.registry import build_network
from augan.seeding import child_seed
from augan.training.batches import Batches, one_hot
from augan.training.budget import Clock, Plan
from augan.training.callbacks import SampleGrid
from augan.training.checkpoints import Checkpoints
from augan.training.distributed.workers import Workers
from augan.training.loop import Observer, Trainable, run_loop
from augan.training.monitor import MOST, Alarm, Health, HealthObserver, Monitor
from augan.training.network_specs import EXTRACTORS, Blueprint
from augan.training.pseudo_labels import Guessed, guess_classes
from augan.training.signals import Stop
from augan.training.stages.autoencoder import AutoencoderUpdate
from augan.training.stages.classifier import ClassifierUpdate, RotationUpdate
from augan.training.stages.encoder import EncoderUpdate

MIN_HELD_OUT = 20  # images below which the monitor's figures would be noise


@dataclass(frozen=True)
class TrainingData:
    """What networks are trained on.

    Parameters
    ----------
    pixels : ndarray [N, S, S, C] or [N, F], ConcatRows or SlidingWindows
        Stored squares, perhaps a memory map, windows on large images, or stored rows.
    classes : ndarray [N] of int, or None
        Indices below `num_classes`, -1 for those of `unlabeled`.
    num_classes : int
        0 for a generator without classes.
    preprocessing : ImagePreprocessing or TabularPreprocessing
        What turns stored samples into the networks' range.
    rows : ndarray of int, or None
        Which images are the training split; None: all.
    held_out : ndarray of int, or None
        Which images are the validation split, which the monitor measures on.
    unlabeled : ndarray of int
        Which images have no known class; generator and encoder train on them too.
    """

    pixels: np.ndarray | ConcatRows | SlidingWindows
    classes: np.ndarray | None
    num_classes: int
    preprocessing: AnyPreprocessing
    rows: np.ndarray | None = None
    held_out: np.ndarray | None = None
    unlabeled: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def all_rows(self) -> np.ndarray:
        """Return the rows of the training split and the unlabeled ones."""
        return np.concatenate([self.fit_rows(), self.unlabeled])

    def fit_rows(self) -> np.ndarray:
        """Return the rows of the training split."""
        return np.arange(len(self.pixels)) if self.rows is None else self.rows

    def scaled(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images of `rows` in [-1, 1] and their one-hot classes `[N, num_classes]`."""
        classes = one_hot(self.classes, rows, self.num_classes)
        return self.preprocessing.normalize(self.pixels[rows]), classes


@dataclass
class TrainedNetworks:
    """Keras models by name, the specs that rebuild them, and the steps each part took."""

    models: dict[str, keras.Model] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    health: list[Health] = field(default_factory=list)
    alarm: Alarm | None = None
    fidelity: dict[str, Any] | None = None
    unlabeled: dict[str, Any] | None = None

    def on_one_device(self) -> "TrainedNetworks":
        """Return the same with models of their own, which know nothing of other devices."""
        models = {name: build_network(self.specs[name]) for name in self.models}
        for name, model in models.items():
            model.set_weights(self.models[name].get_weights())
        return replace(self, models=models)

    def for_bundle(self) -> dict[str, Network]:
        """Return every network as a bundle keeps it."""
        return {
            name: Network(self.specs[name], read_weights(model))
            for name, model in self.models.items()
        }


def train_networks(
    config: Config,
    data: TrainingData,
    plan: Plan,
    *,
    observers: Sequence[Observer] = (),
    samples: Path | None = None,
    clock: Clock | None = None,
    checkpoints: Path | None = None,
    stop: Stop = lambda: None,
    workers: Workers | None = None,
) -> TrainedNetworks:
    """Train the networks that `plan` names, in its order.

    Parameters
    ----------
    config : Config
        Resolved settings.
    observers : sequence of Observer
        Told of the progress.
    samples : Path or None
        Folder for pictures of generated images.
    clock : Clock or None
        Told how long each part took.
    checkpoints : Path or None
        Folder to go on from and to save to; None saves nothing.
    stop : callable
        Returns the name of a signal when training is to stop, see `augan.training.signals`.
    workers : Workers or None
        Who trains together; None: this process alone.
    """
    clock, workers = clock or Clock(), workers or Workers()
    keeper = Checkpoints(checkpoints)
    trainer = _Trainer(config, data, plan, tuple(observers), samples, keeper, stop, workers)
    with workers.watched(), workers.scope():
        for part in plan.parts:
            with clock.part(part):
                PARTS[part](trainer)
    return trainer.networks if workers.strategy is None else trainer.networks.on_one_device()


@dataclass
class _Trainer:
    """Builds each network from the configuration and hands its update to the loop."""

    config: Config
    data: TrainingData
    plan: Plan
    observers: tuple[Observer, ...]
    samples: Path | None
    checkpoints: Checkpoints
    stop: Stop
    workers: Workers
    networks: TrainedNetworks = field(default_factory=TrainedNetworks)

    @cached_property
    def blueprint(self) -> Blueprint:
        """What each network is."""
        data = self.data
        return Blueprint(self.config, data.pixels.shape[1:], data.num_classes, data.preprocessing)

    def build(self, role: str, **changes: Any) -> keras.Model:
        """Build the network of `role` and keep it with its spec."""
        return self._keep(role, self.blueprint.spec(role, **changes))

    def _keep(self, role: str, spec: dict[str, Any]) -> keras.Model:
        self.networks.specs[role] = spec
        self.networks.models[role] = build_network(spec)
        return self.networks.models[role]

    def run(
        self,
        part: str,
        trainable: Trainable,
        *more: Observer,
        rows: np.ndarray,
        classes: np.ndarray | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        """Train one part on `rows` until its allowance is used up, or the monitor ends it.

        `classes` are those of all images where they differ from the data's.
        """
        parts = self.config.discriminator.steps if part == "gan" else 1
        measuring = (monitor,) if monitor and self.workers.is_chief else ()
        batches = Batches(
            self.data.pixels,
            self.data.classes if classes is None else classes,
            num_classes=self.data.num_classes,
            batch_size=self.config.training.batch_size * parts,
            scale=self.data.preprocessing.normalize,
            seed=child_seed(self.config.seed, part, "batches"),
            rows=rows,
        )
        self.networks.steps[part] = run_loop(
            part,
            trainable,
            batches,
            self.plan.allowance(part),
            observers=(*self.observers, *measuring, *more),
            checkpoints=self.checkpoints,
            more_state=monitor.state if monitor else (),
            finished=monitor.finished if monitor else lambda: False,
            stop=self.stop,
            workers=self.workers,
        )

    def gan(self) -> None:
        config = self.config
        average, discriminator = self.build("generator"), self.build("discriminator")
        readers = {"heads": config.gan.self_supervision, "places": config.gan.localization_head}
        heads, places = (
            self._keep(role, self.blueprint.reader(role, discriminator)) if wanted else None
            for role, wanted in readers.items()
        )
        # The players compute in what was asked for; what is kept, and scores, is float32.
        specs, dtype = self.networks.specs, config.training.dtype
        drawing = build_network(specs["generator"], dtype)
        judging = (
            discriminator if dtype == "float32" else build_network(specs["discriminator"], dtype)
        )
        gan = GAN(drawing, judging, average, config, heads, places)
        grid, monitor = self._sample_grid(average), self._monitor(gan)
        guessed = self._guessed()
        self.run("gan", gan, *grid, rows=guessed.rows, classes=guessed.classes, monitor=monitor)
        if monitor is not None:
            monitor.restore_best()
            self.networks.health, self.networks.alarm = monitor.history, monitor.alarm
            self.networks.fidelity = monitor.fidelity()
        if judging is not discriminator:
            discriminator.set_weights(judging.get_weights())
        for pictures in grid:
            pictures.draw(self.networks.steps["gan"])

    def _guessed(self) -> Guessed:
        """What the GAN trains on; where images have classes, each needs one, known or guessed."""
        if not len(self.data.unlabeled) or not self.data.num_classes:
            return Guessed(self.data.all_rows(), self.data.classes)
        guessed = guess_classes(
            self.networks.models["classifier"],
            self.data.pixels,
            np.asarray(self.data.classes),
            self.data.preprocessing,
            labeled=self.data.fit_rows(),
            unlabeled=self.data.unlabeled,
            how=self.config.gan.pseudo_labels,
        )
        self.networks.unlabeled = guessed.describe(self.data.unlabeled)
        return guessed

    def _monitor(self, gan: GAN) -> Monitor | None:
        """The monitor, if there are features and enough held-out images to measure with."""
        held_out = self.data.held_out
        if held_out is None or len(held_out) < MIN_HELD_OUT:
            return None
        known = ("generator", "discriminator", "heads", "places")
        roles = [role for role in known if role in self.networks.specs]
        train = self.data.scaled(evenly_spaced(self.data.fit_rows(), MOST))
        features = self._features(train[0])
        if features is None:
            return None
        return Monitor(
            gan,
            features,
            [build_network(self.networks.specs[role]) for role in roles],
            train=train,
            held_out=self.data.scaled(evenly_spaced(held_out, MOST)),
            every=require_resolved(self.config.evaluation.interval),
            seed=self.config.seed,
            tell=self._tell,
        )

    def _tell(self, health: Health) -> None:
        for observer in self.observers:
            if isinstance(observer, HealthObserver):
                observer.on_health("gan", health)

    def _features(self, real: np.ndarray) -> FeatureExtractor | RowValues | None:
        if self.data.preprocessing.sample_type == "row":
            return RowValues(real)
        kind = next((role for role in EXTRACTORS if role in self.networks.models), None)
        return FeatureExtractor(kind, self.networks.models[kind], real) if kind else None

    def _sample_grid(self, generator: keras.Model) -> tuple[SampleGrid, ...]:
        if self.samples is None or not isinstance(self.data.preprocessing, ImagePreprocessing):
            return ()
        grid = SampleGrid(
            generator,
            self.data.preprocessing,
            self.samples,
            num_classes=self.data.num_classes,
            every=self.config.training.sample_interval,
            begun=self.checkpoints.steps().get("gan", 0),
            seed=self.config.seed,
            noise=self.config.gan.latent_prior,
        )
        return (grid,)

    def encoder(self) -> None:
        config = self.config
        update = EncoderUpdate(
            self.build("encoder"),
            self.networks.models["generator"],
            self.networks.models["discriminator"],
            feature_weight=config.encoder.feature_weight,
            learning_rate=config.encoder.learning_rate,
        )
        self.run("encoder", update, rows=self.data.all_rows())

    def autoencoder(self) -> None:
        """Train an encoder and a generator together, all classes equally often."""
        update = AutoencoderUpdate(
            self.build("encoder", num_classes=0),
            self.build("generator", num_classes=0),
            self.build("discriminator", num_classes=0),
            learning_rate=require_resolved(self.config.discriminator.learning_rate),
            seed=self.config.seed,
        )
        self.run("autoencoder", update, rows=self._evenly(self.data.all_rows()))

    def _evenly(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows, those of rare classes as often as to make all about equally large."""
        if self.data.classes is None:
            return rows
        classes = np.asarray(self.data.classes)[rows]
        sizes = np.bincount(classes[classes >= 0], minlength=self.data.num_classes)
        times = np.ones(len(rows), np.int64)
        times[classes >= 0] = np.rint(sizes.max() / sizes[classes[classes >= 0]])
        return np.repeat(rows, times)

    def classifier(self) -> None:
        settings = self.config.classifier
        update = ClassifierUpdate(
            self.build("classifier"),
            learning_rate=settings.learning_rate,
            seed=self.config.seed,
        )
        self.run("classifier", update, rows=self.data.fit_rows())

    def rotation(self) -> None:
        settings = self.config.classifier
        update = RotationUpdate(
            self.build("rotation"),
            learning_rate=settings.learning_rate,
            seed=self.config.seed,
        )
        self.run("rotation", update, rows=self.data.all_rows())


PARTS: dict[str, Callable[[_Trainer], None]] = {
    "gan": _Trainer.gan,
    "autoencoder": _Trainer.autoencoder,
    "encoder": _Trainer.encoder,
    "classifier": _Trainer.classifier,
    "rotation": _Trainer.rotation,
}
