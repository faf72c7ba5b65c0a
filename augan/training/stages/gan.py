"""GAN stage: adversarial training of the generator and the discriminator, with its monitor."""

import numpy as np

from augan.bundle import GanMetrics
from augan.config import require_resolved
from augan.data.splits import evenly_spaced
from augan.features.classifier import FeatureExtractor, StandardizedRows
from augan.gan import keras
from augan.gan.model import GAN
from augan.gan.networks.build import build_network
from augan.training.budget import BudgetShare
from augan.training.callbacks import EvaluationCallback, SampleGrid
from augan.training.monitor import MAX_IMAGES, GanMonitor
from augan.training.pseudo_labels import PseudoLabels, assign_pseudo_labels
from augan.training.stages.base import STAGES, Stage
from augan.training.trainer import Trainer

MIN_HELD_OUT = 20  # number of held-out images below which the metrics would be noise


@STAGES.register(
    Stage(
        "gan",
        description="generator and discriminator",
        # in the order of `GAN.networks`
        makes=("generator", "discriminator", "transformation_head", "localization_head"),
        share=BudgetShare(steps=1.0, time=0.66),
        applies=lambda plan: plan.config.task != "translate",
        uses=("classifier", "rotation"),
        section="gan",
    )
)
def train_gan(trainer: Trainer) -> None:
    """Run the GAN stage: train `generator`, `discriminator` and the configured heads.

    The heads are `transformation_head` and `localization_head`. The kept generator is the moving
    average. With a monitor, all kept networks have the weights of the best evaluation.
    """
    config, networks = trainer.config, trainer.networks
    ema_generator, discriminator = trainer.build("generator"), trainer.build("discriminator")
    wanted = {
        "transformation_head": config.gan.self_supervision,
        "localization_head": config.gan.localization_head,
    }
    heads = {role: trainer.build_head(role, discriminator) for role in wanted if wanted[role]}
    # The trained networks compute in the configured type; the kept networks are float32.
    dtype = require_resolved(config.training.dtype)
    trained_generator = build_network(networks.specs["generator"], dtype)
    trained_discriminator = discriminator
    if dtype != "float32":
        trained_discriminator = build_network(networks.specs["discriminator"], dtype)
    gan = GAN(trained_generator, trained_discriminator, ema_generator, config, **heads)
    grid, monitor = _sample_grid(trainer, ema_generator), _monitor(trainer, gan)
    labels = _training_labels(trainer)
    trainer.run(
        gan,
        callbacks=[grid] if grid else [],
        indices=labels.indices,
        classes=labels.classes,
        monitor=monitor,
        batches_per_step=config.discriminator.steps,
    )
    if monitor is not None:
        monitor.restore_best()
        networks.gan_metrics, networks.failure = monitor.history, monitor.failure
        networks.fidelity = monitor.fidelity()
    if trained_discriminator is not discriminator:
        discriminator.set_weights(trained_discriminator.get_weights())
    if grid:
        grid.write(networks.steps[trainer.stage])


def _training_labels(trainer: Trainer) -> PseudoLabels:
    """Return the samples that the GAN trains on, and their classes.

    A conditional GAN needs a class for every sample, so unlabeled samples get pseudo-labels.
    """
    data = trainer.data
    if not len(data.unlabeled) or not data.num_classes:
        return PseudoLabels(data.train_and_unlabeled_indices(), data.classes)
    labels = assign_pseudo_labels(
        trainer.networks.models["classifier"],
        data.samples,
        np.asarray(data.classes),
        data.preprocessing,
        labeled=data.train_indices(),
        unlabeled=data.unlabeled,
        mode=trainer.config.gan.pseudo_labels,
    )
    trainer.networks.pseudo_labels = labels.describe(data.unlabeled)
    return labels


def _monitor(trainer: Trainer, gan: GAN) -> GanMonitor | None:
    """Return the monitor of the GAN; None without features or with too few held-out samples."""
    data, specs = trainer.data, trainer.networks.specs
    if data.val is None or len(data.val) < MIN_HELD_OUT:
        return None
    train = data.normalized(evenly_spaced(data.train_indices(), MAX_IMAGES))
    features = _features(trainer, train[0])
    if features is None:
        return None

    def notify(metrics: GanMetrics) -> None:
        for callback in trainer.session.callbacks:
            if isinstance(callback, EvaluationCallback):
                callback.on_evaluation(trainer.stage, metrics)

    return GanMonitor(
        gan,
        features,
        [build_network(specs[role]) for role in STAGES.get("gan").makes if role in specs],
        train=train,
        held_out=data.normalized(evenly_spaced(data.val, MAX_IMAGES)),
        interval=require_resolved(trainer.config.evaluation.interval),
        seed=trainer.config.seed,
        callback=notify,
    )


def _features(trainer: Trainer, real: np.ndarray) -> FeatureExtractor | StandardizedRows | None:
    """Return the features that measure fidelity, fitted to real samples `[N, ...]` in [-1, 1].

    The result is None for images without a trained classifier or rotation classifier.
    """
    if not trainer.data.preprocessing.training_defaults.needs_learned_features:
        return StandardizedRows(real)
    models = trainer.networks.models
    kind = next((name for name in STAGES.get("gan").uses if name in models), None)
    return FeatureExtractor(kind, models[kind], real) if kind else None


def _sample_grid(trainer: Trainer, generator: keras.Model) -> SampleGrid | None:
    """Return the callback that saves sample grids; None for tables and without a folder."""
    preprocessing = trainer.data.preprocessing
    samples = trainer.session.samples
    if samples is None or not preprocessing.has_pixels:
        return None
    return SampleGrid(
        generator,
        preprocessing.require_images(),
        samples,
        num_classes=trainer.data.num_classes,
        interval=trainer.config.training.sample_interval,
        start=trainer.session.checkpoints.steps().get(trainer.stage, 0),
        seed=trainer.config.seed,
        latent_prior=trainer.config.gan.latent_prior,
    )
