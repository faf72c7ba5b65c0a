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
    from augan.bundle import GanMetrics
    from augan.gan import keras

GRID_COLUMNS = 10
TENSORBOARD_METRICS = ("kernel_distance", "diversity", "coverage", "r_t", "r_v")


class Callback(Protocol):
    """Object that is notified of the progress of a training, such as a progress bar or a log."""

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
    """Training callback that is also notified of every evaluation of the GAN."""

    def on_evaluation(self, stage: str, metrics: "GanMetrics") -> None:
        """Called after each evaluation in a stage, with the metrics of the evaluation."""


class SampleGrid:
    """Callback that saves images of fixed latent codes, to show the progress of the generator.

    Parameters
    ----------
    generator : keras.Model
        The averaged generator.
    preprocessing : ImagePreprocessing
        Converts generated images to the size and type of the training images.
    folder : Path
        Folder of the files `step_*.png`, one row per class; created with the first file.
    num_classes : int
        Number of classes; 0: ten rows of images without a class.
    interval : int
        Steps of the GAN between two grids.
    start : int
        Step at which the run resumes; 0 in a new run.
    seed : int
        Seed of the latent codes.
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
        """Write a sample grid if the GAN has passed a multiple of `interval` steps."""
        if step // self.interval > self._last_step // self.interval:
            self.write(step)

    def write(self, step: int) -> Path:
        """Write the sample grid of the generator's present weights as `step_<step>.png`.

        Returns the path of the file.
        """
        self._last_step = step
        (images,) = self._generate(*self._inputs)
        pixels = self.preprocessing.to_original_size(self.preprocessing.denormalize(images))
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step_{step:06d}.png"
        write_png(path, image_grid(self.preprocessing.to_uint8(pixels), GRID_COLUMNS))
        return path


def require_tensorboard() -> None:
    """Raise ConfigError with the installing command if the package TensorBoard is missing."""
    if find_spec("tensorboard") is None:
        raise ConfigError(
            "--tensorboard requires the package tensorboard, which is not installed: python -m "
            "pip install 'augan[tensorboard]'; or leave --tensorboard out: metrics.jsonl has the "
            "losses anyway"
        )


class TensorBoardLog:
    """Callback that logs the losses of each stage and the metrics of the GAN for TensorBoard.

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
        """Log the mean losses of the last steps as scalars named `<stage>/<loss>`."""
        for name, value in losses.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)

    def on_evaluation(self, stage: str, metrics: "GanMetrics") -> None:
        """Log the metrics of an evaluation, and flush the file so that TensorBoard shows them."""
        for name in TENSORBOARD_METRICS:
            self._writer.add_scalar(f"{stage} metrics/{name}", getattr(metrics, name), metrics.step)
        self._writer.flush()

    def close(self) -> None:
        """Write the remaining scalars and close the event file."""
        self._writer.close()
