"""Contestants of the training speed benchmark in augan.

Contestants
-----------
augan
    `augan.training.trainer.train_stages` as in a run: batches from the cache, checkpoints,
    and the average of the generator.
augan-bfloat16
    The same with `training.dtype=bfloat16`.
augan-step
    The update alone, on one batch in memory.
input
    The batches alone.
"""

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from augan.config import Config
from augan.data.cache import load_prepared
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.io.images import write_png
from augan.training.batches import Batches
from benchmarks.common.interleaved_timing import send

CONTESTANTS = ("augan", "augan-bfloat16", "augan-step", "input")
NUM_FILES = 2048
BATCH = 64
MAX_STEPS = 10**9  # more updates than all turns take


def prepare_images(folder: Path, size: int, channels: int) -> tuple[np.ndarray, ImagePreprocessing]:
    """Return generated images, decoded once and mapped from the cache as in a training."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    enlarge = np.ones((size // 8, size // 8, 1), np.uint8)
    for number in range(NUM_FILES):
        coarse = np.kron(rng.integers(0, 240, (8, 8, channels), np.uint8), enlarge)
        grain = rng.integers(0, 16, (size, size, channels), np.uint8)
        write_png(folder / "images" / f"{number:04}.png", coarse + grain)
    dataset = load_dataset(folder / "images")
    preprocessing = ImagePreprocessing.fit(dataset, size)
    return load_prepared(dataset, preprocessing, folder / "cache").pixels, preprocessing


def batches_of(pixels: np.ndarray, preprocessing: ImagePreprocessing) -> Batches:
    """Return the batches of the training loop."""
    normalize = preprocessing.normalize
    return Batches(pixels, None, num_classes=0, batch_size=BATCH, normalize=normalize, seed=0)


def settings(size: int, width: int, norm: str, contestant: str) -> Config:
    """Return the settings of a DCGAN: as published, or with spectral norm and hinge loss."""
    loss, rate = ("nonsaturating", 2e-4) if norm == "batch" else ("hinge", 4e-4)
    changes: dict[str, Any] = {"gan__loss": loss, "discriminator__norm": norm}
    changes |= {f"{network}__width": width for network in ("generator", "discriminator")}
    changes |= {f"{network}__learning_rate": rate for network in ("generator", "discriminator")}
    if contestant == "augan-bfloat16":
        changes["training__dtype"] = "bfloat16"
    return Config().replace(
        task="generate",
        data__size=size,
        gan__architecture="dcgan",
        gan__latent_dim=64,
        gan__betas=(0.5, 0.999),
        gan__diffaug=[],
        gan__negative_augmentations=[],
        gan__self_supervision=False,
        gan__localization_head=False,
        gan__generator_interval=1,
        gan__regularizer="none",
        training__batch_size=BATCH,
        training__steps=MAX_STEPS,
        evaluation__interval=500,
        **changes,
    )


class Pacer:
    """Callback that pauses the training loop between turns."""

    def __init__(self, steps: int, about: Callable[[], dict[str, Any]]) -> None:
        self.steps, self._about = steps, about
        self._begun = 0.0

    def on_progress(self, part: str, step: int, budget: Any, losses: dict[str, float]) -> None:
        """Answer at the end of a turn; the first turn, which builds the graph, is not timed."""
        now = time.perf_counter()
        if step % self.steps:
            return
        send({"seconds": now - self._begun} if self._begun else self._about())
        self._begun = time.perf_counter()


def train(
    config: Config, pixels: np.ndarray, preprocessing: ImagePreprocessing, steps: int, folder: Path
) -> None:
    """Run the training loop until the pipe is closed."""
    from augan.training.budget import TrainingBudget
    from augan.training.checkpoints import Checkpoints
    from augan.training.loop import TrainingSession
    from augan.training.trainer import TrainingData, train_stages

    data = TrainingData(pixels, None, 0, preprocessing)
    pacer = Pacer(steps, lambda: describe_networks(config, preprocessing))
    session = TrainingSession((pacer,), checkpoints=Checkpoints(folder))
    train_stages(config, data, ["gan"], TrainingBudget(MAX_STEPS), session)


def make_graph_updates(config: Config, batch: np.ndarray, shape: list[int], steps: int) -> Callable:
    """Return a function that takes `steps` updates in one call of the graph."""
    from augan.gan import tf
    from augan.gan.model import GAN

    generator, discriminator, average = build_networks(config, shape)
    gan = GAN(generator, discriminator, average, config)

    @tf.function
    def several(images: Any) -> None:
        for _ in tf.range(steps):
            gan.train_step((images, tf.zeros((BATCH, 0))))

    images = tf.constant(batch)
    return lambda: several(images)


def build_networks(config: Config, shape: list[int]) -> list[Any]:
    """Return a generator, a discriminator, and a generator for the average."""
    from augan.gan.networks.build import build_network, network_spec

    common = {"image_shape": shape, "num_classes": 0, "seed": 0}
    width, norm = config.generator.width, config.discriminator.norm
    generator = network_spec("dcgan", "generator", latent_dim=64, width=width, **common)
    discriminator = network_spec("dcgan", "discriminator", norm=norm, width=width, **common)
    return [build_network(spec) for spec in (generator, discriminator, generator)]


def describe_networks(config: Config, preprocessing: ImagePreprocessing) -> dict[str, Any]:
    """Return the parameters and the operations of a forward pass of both networks."""
    both = build_networks(config, list(preprocessing.sample_shape))[:2]
    sizes = [sum(math.prod(v.shape) for v in n.trainable_variables) for n in both]
    return {"parameters": sizes, "flops": [sum(map(_flops, n.layers)) for n in both]}


def _flops(layer: Any) -> int:
    """Return the multiplications and additions of a layer with a kernel, for one image."""
    if not hasattr(layer, "kernel"):
        return 0
    # A transposed convolution applies its kernel at each position of its input.
    positions = layer.input if "Transpose" in type(layer).__name__ else layer.output
    return int(2 * math.prod(layer.kernel.shape) * math.prod(positions.shape[1:-1]))


def make_products(size: int, times: int) -> Callable[[], object]:
    """Return a function that multiplies two square matrices `times` times."""
    from augan.gan import tf

    rng = np.random.default_rng(0)
    one, other = (tf.constant(rng.random((size, size), np.float32)) for _ in range(2))

    @tf.function
    def work() -> Any:
        total = tf.zeros(())
        for _ in tf.range(times):
            total += tf.matmul(one, other)[0, 0]
        return total

    return lambda: work().numpy()


def temporary() -> tempfile.TemporaryDirectory:
    """Return a folder for pictures and cache, which goes with the process."""
    return tempfile.TemporaryDirectory(prefix="augan-training-speed-")
