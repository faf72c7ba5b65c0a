"""Translation stage: learns to translate images of the old camera to the look of the new camera."""

import math
from typing import Any

import numpy as np

from augan.config import require_resolved
from augan.exceptions import ConfigError
from augan.gan.networks.build import build_network
from augan.gan.translation import NOISE_CHANNELS, TranslationModel, TranslationNetworks
from augan.seeding import child_seed
from augan.training.batches import Batches, JointBatches, balanced_indices
from augan.training.budget import BudgetShare
from augan.training.stages.base import STAGES, Stage
from augan.training.trainer import Trainer, TrainingData

MAX_UNLABELED_SHARE = 0.5  # of a batch, if there are images with a class that both cameras label


@STAGES.register(
    Stage(
        "translation",
        description="translates images of the old camera to the look of the new camera",
        makes=(
            "translator",
            "back_translator",
            "patch_discriminator",
            "old_patch_discriminator",
        ),
        share=BudgetShare(steps=1.0, time=0.66),
        applies=lambda plan: plan.config.task == "translate",
        uses=("classifier",),
        section="translation",
    )
)
def train_translation(trainer: Trainer) -> None:
    """Run the translation stage: train `translator`, `patch_discriminator` and those of the cycle.

    The cycle adds `back_translator`, and `old_patch_discriminator` if it is two-sided. The kept
    translators are the moving averages.

    Raises
    ------
    ConfigError
        The data has no images of a new camera.
    """
    config, new = trainer.config, trainer.data.new
    if new is None:
        raise ConfigError(
            "the stage translation requires images of a new camera, got those of one camera; "
            "set TrainingData.new, or use --translate-to NEW"
        )
    arguments = _network_arguments(config.translation.cycle, trainer.data, new)
    kept = TranslationNetworks(
        **{name: trainer.build(name, **values) for name, values in arguments.items()}
    )
    dtype = require_resolved(config.training.dtype)
    # The trained networks compute in the configured type; the kept networks are float32.
    trained = TranslationNetworks(
        **{name: build_network(trainer.networks.specs[name], dtype) for name in arguments}
    )
    model = TranslationModel(
        trained,
        kept.translators,
        config.translation,
        size=new.samples.shape[1],
        steps=trainer.budget.steps,
        seed=config.seed,
        classifier=trainer.networks.models.get("classifier"),
    )
    batches = joint_batches(
        trainer.data,
        new,
        batch_size=require_resolved(config.training.batch_size),
        seed=child_seed(config.seed, trainer.stage, "batches"),
    )
    trainer.run_batches(model, batches)
    for network, other in zip(kept.discriminators, trained.discriminators):
        network.set_weights(other.get_weights())


def _network_arguments(
    cycle: str, old: TrainingData, new: TrainingData
) -> dict[str, dict[str, Any]]:
    """Return the arguments of `Trainer.build` of each network, by name."""
    old_shape, new_shape = (list(data.samples.shape[1:]) for data in (old, new))
    arguments: dict[str, dict[str, Any]] = {
        "translator": {"out_channels": new_shape[2], "noise_channels": NOISE_CHANNELS},
        "patch_discriminator": {"image_shape": new_shape},
    }
    if cycle != "none":
        arguments["back_translator"] = {
            "role": "translator",
            "image_shape": new_shape,
            "out_channels": old_shape[2],
            "noise_channels": 0,
        }
    if cycle == "two-sided":
        arguments["old_patch_discriminator"] = {
            "role": "patch_discriminator",
            "image_shape": old_shape,
        }
    return arguments


def common_classes(old: TrainingData, new: TrainingData) -> np.ndarray:
    """Return the indices of the classes that both cameras label, int64, in order."""
    old_labels, new_labels = (_labels(data)[data.train_indices()] for data in (old, new))
    common = np.intersect1d(old_labels, new_labels)
    return common[common >= 0]


def joint_batches(
    old: TrainingData, new: TrainingData, *, batch_size: int, seed: int
) -> JointBatches:
    """Return the batches of both cameras for the translation.

    The conditional part of a batch has the images of the classes that both cameras label, all
    classes equally often, so that the cameras have equal shares of the classes. If a camera has
    unlabeled images, or if no class is common, the unconditional part has images of all kinds,
    without their class. Its share is the larger share of unlabeled images of the two cameras, at
    most half. Images of a class that only one camera labels are in the unconditional part alone:
    against the other classes of the new camera they would lose their class.

    Parameters
    ----------
    old, new : TrainingData
        Images of each camera; their training splits and unlabeled images are used.
    batch_size : int
        Images of each camera in a step.
    seed : int
        Seed of the order of the images.
    """
    common = common_classes(old, new)
    unconditional = batch_size
    if len(common):
        share = max(_unlabeled_share(data) for data in (old, new))
        unconditional = math.ceil(min(MAX_UNLABELED_SHARE, share) * batch_size)
    cameras = []
    for name, data in (("old", old), ("new", new)):
        labels, pool = _labels(data), data.train_and_unlabeled_indices()
        parts: list[tuple[str, np.ndarray | None, int, np.ndarray]] = []
        if unconditional < batch_size:
            labeled = pool[np.isin(labels[pool], common)]
            size = batch_size - unconditional
            parts.append(("labeled", labels, size, balanced_indices(labels, labeled)))
        if unconditional:
            parts.append(("unlabeled", None, unconditional, pool))
        cameras.append(
            [
                Batches(
                    data.samples,
                    classes,
                    num_classes=old.num_classes,
                    batch_size=size,
                    normalize=data.preprocessing.normalize,
                    seed=child_seed(seed, name, part),
                    indices=indices,
                )
                for part, classes, size, indices in parts
            ]
        )
    return JointBatches(*cameras)


def _labels(data: TrainingData) -> np.ndarray:
    """Return the class index of each image, -1 without a class."""
    if data.classes is None or not data.num_classes:
        return np.full(len(data.samples), -1)
    return np.asarray(data.classes)


def _unlabeled_share(data: TrainingData) -> float:
    """Return the fraction of images without a class."""
    return float(np.mean(_labels(data)[data.train_and_unlabeled_indices()] < 0))
