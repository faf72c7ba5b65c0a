"""Train all networks of a run on arrays: the one entry to this room."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Network, read_weights
from augan.config import Config
from augan.data.preprocessing import Preprocessing
from augan.gan import keras
from augan.gan.model import GAN
from augan.gan.networks import build_network, network_spec
from augan.seeding import child_seed
from augan.training.batches import Batches
from augan.training.checkpoints import Checkpoints
from augan.training.classifier import ClassifierUpdate
from augan.training.clock import Clock
from augan.training.encoder import EncoderUpdate
from augan.training.interrupt import Stop
from augan.training.loop import Observer, Trainable, run_loop
from augan.training.plan import Plan
from augan.training.samples import SampleGrid


@dataclass(frozen=True)
class TrainingData:
    """What networks are trained on.

    Parameters
    ----------
    pixels : ndarray [N, S, S, C]
        Stored squares of the fit split.
    classes : ndarray [N] of int, or None
        Indices below `num_classes`.
    num_classes : int
        0 for a generator without classes.
    preprocessing : Preprocessing
        What turns stored squares into the networks' range.
    """

    pixels: np.ndarray
    classes: np.ndarray | None
    num_classes: int
    preprocessing: Preprocessing


@dataclass
class TrainedNetworks:
    """Keras models by name, the specs that rebuild them, and the steps each part took."""

    models: dict[str, keras.Model] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

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
        Returns the name of a signal when training is to stop, see `augan.training.interrupt`.
    """
    clock = clock or Clock()
    trainer = _Trainer(
        config, data, plan, tuple(observers), samples, Checkpoints(checkpoints), stop
    )
    for part in plan.parts:
        with clock.part(part):
            PARTS[part](trainer)
    return trainer.networks


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
    networks: TrainedNetworks = field(default_factory=TrainedNetworks)

    def build(self, role: str, **arguments: Any) -> keras.Model:
        """Build the network of `role` and keep it with its spec."""
        architecture = "cnn" if role == "classifier" else self.config.gan.architecture
        spec = network_spec(
            architecture,
            role,
            image_shape=list(self.data.pixels.shape[1:]),
            num_classes=self.data.num_classes,
            seed=child_seed(self.config.seed, role),
            **arguments,
        )
        self.networks.specs[role] = spec
        self.networks.models[role] = build_network(spec)
        return self.networks.models[role]

    def run(self, part: str, trainable: Trainable, *more: Observer) -> None:
        """Train one part until its allowance is used up."""
        parts = self.config.discriminator.steps if part == "gan" else 1
        batches = Batches(
            self.data.pixels,
            self.data.classes,
            num_classes=self.data.num_classes,
            batch_size=self.config.training.batch_size * parts,
            scale=self.data.preprocessing.scale,
            seed=child_seed(self.config.seed, part, "batches"),
        )
        self.networks.steps[part] = run_loop(
            part,
            trainable,
            batches,
            self.plan.allowance(part),
            observers=(*self.observers, *more),
            checkpoints=self.checkpoints,
            stop=self.stop,
        )

    def gan(self) -> None:
        config = self.config
        average = self.build(
            "generator",
            latent_dim=config.gan.latent_dim,
            width=config.generator.width,
            conditioning=config.generator.conditioning,
        )
        discriminator = self.build(
            "discriminator",
            width=config.discriminator.width,
            norm=config.discriminator.norm,
            dropout=config.discriminator.dropout,
        )
        spare = build_network(self.networks.specs["generator"])
        gan = GAN(spare, discriminator, average, config)
        grid = self._sample_grid(average)
        self.run("gan", gan, *grid)
        for pictures in grid:
            pictures.draw(self.networks.steps["gan"])

    def _sample_grid(self, generator: keras.Model) -> tuple[SampleGrid, ...]:
        if self.samples is None:
            return ()
        grid = SampleGrid(
            generator,
            self.data.preprocessing,
            self.samples,
            num_classes=self.data.num_classes,
            every=self.config.training.sample_every,
            seed=self.config.seed,
        )
        return (grid,)

    def encoder(self) -> None:
        config = self.config
        encoder = self.build(
            "encoder", latent_dim=config.gan.latent_dim, width=config.encoder.width
        )
        update = EncoderUpdate(
            encoder,
            self.networks.models["generator"],
            self.networks.models["discriminator"],
            feature_weight=config.encoder.feature_weight,
            learning_rate=config.encoder.learning_rate,
        )
        self.run("encoder", update)

    def classifier(self) -> None:
        settings = self.config.classifier
        update = ClassifierUpdate(
            self.build("classifier", width=settings.width),
            learning_rate=settings.learning_rate,
            seed=self.config.seed,
        )
        self.run("classifier", update)


PARTS: dict[str, Callable[[_Trainer], None]] = {
    "gan": _Trainer.gan,
    "encoder": _Trainer.encoder,
    "classifier": _Trainer.classifier,
}
