"""Callbacks of a training: the protocols, sample grids and the TensorBoard log."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from augan.data.modalities.images import ImagePreprocessing
from augan.exceptions import ConfigError
from augan.io.images import image_grid, write_png
from augan.seeding import child_rng
from augan.training.budget import StageBudget

if TYPE_CHECKING:
    from augan.gan import keras
    from augan.training.monitor import GanMetrics

GRID_COLUMNS = 10
TENSORBOARD_METRICS = ("kernel_distance", "diversity", "coverage", "r_t", "r_v")


class Callback(Protocol):
    """Object that is notified of the progress of a training."""

    def on_progress(
        self, stage: str, step: int, budget: StageBudget, losses: dict[str, float]
    ) -> None:
        """Called after some steps of a stage.

        Parameters
        ----------
        stage : str
            Name of the stage.
        step : int
            Number of steps of the stage so far.
        budget : StageBudget
            Budget of the stage.
        losses : dict of float
            Means of the losses since the last call.
        """


@runtime_checkable
class EvaluationCallback(Protocol):
    """Callback that is also notified of every evaluation of the GAN."""

    def on_evaluation(self, stage: str, metrics: "GanMetrics") -> None:
        """Called after each evaluation in a stage, with its metrics."""


class SampleGrid:
    """Callback that generates images of fixed latent codes during the GAN stage.

    Parameters
    ----------
    generator : keras.Model
        The averaged generator.
    folder : Path
        Folder of the files `step_*.png`, one row per class; created with the first file.
    interval : int
        Steps of the GAN between two grids.
    start : int
        Steps before this call, in a resumed run.
    latent_prior : {"normal", "uniform"}
        Distribution of the noise, as in the training of the generator.
    """

    def __init__(
        self,
        generator: "keras.Model",
        preprocessing: ImagePreprocessing,
        folder: Path,
        *,
        num_classes: int,
        interval: int,
        start: int,
        seed: int,
        latent_prior: str = "normal",
    ) -> None:
        from augan.gan.inference import BatchInference, latent_noise

        self.preprocessing, self.folder, self.interval = preprocessing, folder, interval
        count = (num_classes or GRID_COLUMNS) * GRID_COLUMNS
        latent_dim, rng = generator.inputs[0].shape[-1], child_rng(seed, "sample grid")
        self._inputs = [latent_noise(rng, count, latent_dim, latent_prior)]
        if num_classes:
            one_hot = np.eye(num_classes, dtype=np.float32)
            self._inputs.append(np.repeat(one_hot, GRID_COLUMNS, axis=0))
        self._generate = BatchInference.from_model(generator)
        self._last_step = start

    def on_progress(
        self, stage: str, step: int, budget: StageBudget, losses: dict[str, float]
    ) -> None:
        """Write a grid after each `interval` of steps of the GAN."""
        if stage == "gan" and step // self.interval > self._last_step // self.interval:
            self.write(step)

    def write(self, step: int) -> Path:
        """Write the grid of `step` and return its path."""
        self._last_step = step
        (images,) = self._generate(*self._inputs)
        pixels = self.preprocessing.to_original_size(self.preprocessing.denormalize(images))
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step_{step:06d}.png"
        write_png(path, image_grid(self.preprocessing.to_uint8(pixels), GRID_COLUMNS))
        return path


def require_tensorboard() -> None:
    """Raise ConfigError, with the command that installs it, if TensorBoard is missing."""
    if find_spec("tensorboard") is None:
        raise ConfigError(
            "--tensorboard requires the package tensorboard, which is not installed: python -m "
            "pip install 'augan[tensorboard]'; or leave --tensorboard out: metrics.jsonl has the "
            "losses anyway"
        )


class TensorBoardLog:
    """Callback that writes the losses of each stage and the metrics of the GAN.

    Parameters
    ----------
    folder : path
        Folder of the event files; each instance writes a new file.
    """

    def __init__(self, folder: str | Path) -> None:
        from tensorboard.summary import Writer

        self._writer = Writer(str(folder))

    def on_progress(
        self, stage: str, step: int, budget: StageBudget, losses: dict[str, float]
    ) -> None:
        """Write one point of each loss."""
        for name, value in losses.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)

    def on_evaluation(self, stage: str, metrics: "GanMetrics") -> None:
        """Write one point of each metric and flush the file, so that TensorBoard shows it."""
        for name in TENSORBOARD_METRICS:
            self._writer.add_scalar(f"{stage} metrics/{name}", getattr(metrics, name), metrics.step)
        self._writer.flush()

    def close(self) -> None:
        """Write the remaining points and close the file."""
        self._writer.close()
