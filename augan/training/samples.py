"""Pictures of what the generator makes while it trains: a fixed grid, one row a class."""

from pathlib import Path

import numpy as np

from augan.data.modalities.images import Preprocessing
from augan.gan import keras
from augan.gan.inference import Inference, latent_noise
from augan.io.images import image_grid, write_png
from augan.seeding import child_rng
from augan.training.loop import Allowance

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
        preprocessing: Preprocessing,
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
        self._generate = Inference.of(generator)
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
        pixels = self.preprocessing.to_native(self.preprocessing.unscale(images))
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step_{step:06d}.png"
        write_png(path, image_grid(self.preprocessing.displayable(pixels), COLUMNS))
        return path
