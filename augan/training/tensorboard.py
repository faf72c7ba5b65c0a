"""Curves of a training for TensorBoard, in `tensorboard/` of the run folder.

The package is an extra, and imported only here. It writes what `metrics.jsonl` has, and the figures
of the monitor; nothing that is trained depends on it. A resumed run repeats the steps after its
checkpoint, with the same values.
"""

from importlib.util import find_spec
from pathlib import Path

from augan.exceptions import ConfigError
from augan.gan.monitor import Health
from augan.training.loop import Allowance

FOLDER = "tensorboard"
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
