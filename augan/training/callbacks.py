"""Pictures of what the generator makes while it trains: a fixed grid, one row a class."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from augan.data.modalities.images import ImagePreprocessing
from augan.exceptions import ConfigError
from augan.gan import keras
from augan.gan.inference import BatchInference, latent_noise
from augan.io.images import image_grid, write_png
from augan.seeding import child_rng
from augan.training.loop import Allowance
from augan.training.monitor import Health

COLUMNS = 10


class SampleGrid:
    """Observer that draws the same codes again every `every` steps of the GAN.

    Parameters
    ----------
    generator : keras.Model
        The averaged generator.
    folder : Path
        Where `step_*.png` go; made when the first is written.
    begun : int
        Steps already done, in a run that is resumed.
    noise : {"normal", "uniform"}
        As the generator was trained with.
    """

    def __init__(
        self,
        generator: keras.Model,
        preprocessing: ImagePreprocessing,
        folder: Path,
        *,
        num_classes: int,
        every: int,
        begun: int,
        seed: int,
        noise: str = "normal",
    ) -> None:
        self.preprocessing, self.folder, self.every = preprocessing, folder, every
        count, latent_dim = (num_classes or COLUMNS) * COLUMNS, generator.inputs[0].shape[-1]
        self._inputs = [latent_noise(child_rng(seed, "sample grid"), count, latent_dim, noise)]
        if num_classes:
            one_hot = np.eye(num_classes, dtype=np.float32)
            self._inputs.append(np.repeat(one_hot, COLUMNS, axis=0))
        self._generate = BatchInference.from_model(generator)
        self._drawn = begun

    def on_steps(
        self, part: str, step: int, allowance: Allowance, losses: dict[str, float]
    ) -> None:
        """Draw the grid when another `every` steps of the GAN are done."""
        if part == "gan" and step // self.every > self._drawn // self.every:
            self.draw(step)

    def draw(self, step: int) -> Path:
        """Write the grid of `step` and return its path."""
        self._drawn = step
        (images,) = self._generate(*self._inputs)
        pixels = self.preprocessing.to_original_size(self.preprocessing.denormalize(images))
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step_{step:06d}.png"
        write_png(path, image_grid(self.preprocessing.to_uint8(pixels), COLUMNS))
        return path


FIGURES = ("kernel_distance", "diversity", "coverage", "r_t", "r_v")


def require_tensorboard() -> None:
    """Raise ConfigError, which says what to install, unless the package is there."""
    if find_spec("tensorboard") is None:
        raise ConfigError(
            "curves for TensorBoard need its package: python -m pip install 'augan[tensorboard]', "
            "or leave --tensorboard out; metrics.jsonl has the losses anyway"
        )


class TensorBoardLog:
    """Observer that writes the losses of each part and the health of the GAN.

    Parameters
    ----------
    folder : path
        Where the event files go, a new one for each call.
    """

    def __init__(self, folder: str | Path) -> None:
        from tensorboard.summary import Writer

        self._writer = Writer(str(folder))

    def on_steps(
        self, part: str, step: int, allowance: Allowance, losses: dict[str, float]
    ) -> None:
        """Write a point of each loss."""
        for name, value in losses.items():
            self._writer.add_scalar(f"{part}/{name}", value, step)

    def on_health(self, part: str, health: Health) -> None:
        """Write a point of each figure, so that all until then can be looked at."""
        for name in FIGURES:
            self._writer.add_scalar(f"{part} health/{name}", getattr(health, name), health.step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
