"""Checkpoints: files from which an interrupted training stage continues exactly.

Batches and noise are functions of the step. A checkpoint is therefore a step and the values of
variables: weights, averages and optimizer states. Each stage of a run has one file, which is
replaced atomically. Its metadata holds a SHA-256 of the values, because a flipped bit in a weight
would otherwise go unnoticed.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from augan.exceptions import DataError
from augan.io.hashing import sha256_parts

STEPS_BETWEEN = 100  # steps after which a new checkpoint is due
SECONDS_BETWEEN = 60.0  # seconds after which a new checkpoint is due
_DAMAGE = (SafetensorError, OSError, KeyError, TypeError, ValueError)  # errors of damaged files


@dataclass
class Checkpoints:
    """Checkpoint files of one run, one file per training stage.

    Parameters
    ----------
    folder : Path or None
        Folder of the checkpoints; None: nothing is saved (a training in memory).
    """

    folder: Path | None
    _saved: dict[str, tuple[int, float]] = field(default_factory=dict)

    def restore(self, stage: str, variables: Sequence[Any]) -> tuple[int, bool]:
        """Load the last checkpoint of a stage into the variables of a training.

        Without a checkpoint, the variables keep their values.

        Parameters
        ----------
        stage : str
            Name of the stage.
        variables : sequence of keras.Variable or tf.Variable
            In the order in which they were saved.

        Returns
        -------
        step : int
            Number of steps before the checkpoint; 0 without a checkpoint.
        done : bool
            Whether the stage had ended.

        Raises
        ------
        DataError
            The file is damaged or belongs to other networks.
        """
        if self.folder is None or not self._file(stage).exists():
            return 0, False
        try:
            with safe_open(self._file(stage), framework="numpy") as file:
                header = _header(file)
                values = [file.get_tensor(_key(i)) for i in range(len(file.keys()))]
            if _sha256(header, values) != header["sha256"]:
                raise ValueError("its content was changed: the SHA-256 differs")
        except _DAMAGE as error:
            raise DataError(
                f"the checkpoint {self._file(stage)} is damaged ({error}); delete it to begin this "
                "stage again"
            ) from error
        shapes = [tuple(value.shape) for value in values]
        if shapes != [tuple(variable.shape) for variable in variables]:
            raise DataError(
                f"the checkpoint {self._file(stage)} belongs to other networks; train into a new "
                "run"
            )
        for variable, value in zip(variables, values):
            variable.assign(value)
        self._saved[stage] = (header["step"], time.monotonic())
        return header["step"], header["done"]

    def steps(self) -> dict[str, int]:
        """Return the number of steps in the checkpoint of each stage, by stage name.

        Unreadable files are left out, because `restore` reports their damage.
        """
        steps = {}
        for path in sorted(self.folder.glob("*.safetensors")) if self.folder else ():
            try:
                with safe_open(path, framework="numpy") as file:
                    steps[path.stem] = _header(file)["step"]
            except _DAMAGE:
                continue  # `restore` reports the damage
        return steps

    def due(self, stage: str, step: int) -> bool:
        """Return whether a stage should save a checkpoint after `step` steps.

        A checkpoint is due 100 steps or 60 seconds after the previous one.
        """
        last_step, last_time = self._saved.setdefault(stage, (0, time.monotonic()))
        seconds = time.monotonic() - last_time
        return step - last_step >= STEPS_BETWEEN or seconds >= SECONDS_BETWEEN

    def save(self, stage: str, step: int, variables: Sequence[Any], *, done: bool = False) -> None:
        """Write the checkpoint of a stage atomically, in place of the previous one.

        Parameters
        ----------
        stage : str
            Name of the stage.
        step : int
            Number of steps so far.
        variables : sequence of keras.Variable or tf.Variable
            All variables that the next step depends on.
        done : bool
            Whether the stage has ended; a resumed run then skips the stage.

        Raises
        ------
        DataError
            The file cannot be written; the previous checkpoint is kept.
        """
        if self.folder is None:
            return
        values = [np.asarray(variable, order="C") for variable in variables]
        header: dict[str, Any] = {"step": step, "done": done}
        header["sha256"] = _sha256(header, values)
        content = save(
            {_key(i): value for i, value in enumerate(values)}, {"augan": json.dumps(header)}
        )
        temporary = self.folder / f".{stage}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The writer of safetensors is not used: its errors hide the message of the system.
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._file(stage))
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise DataError(
                f"cannot write the checkpoint {self._file(stage)} after step {step} "
                f"({error.strerror or error}); free some space, then the same command with "
                "--resume continues from the last complete checkpoint"
            ) from error
        self._saved[stage] = (step, time.monotonic())

    def _file(self, stage: str) -> Path:
        """Return the path of the checkpoint of a stage."""
        return Path(self.folder or ".") / f"{stage}.safetensors"


def _header(file: Any) -> dict[str, Any]:
    """Return the step, the end flag and the SHA-256 in the metadata of a checkpoint file.

    Raises ValueError, KeyError or TypeError for a file that augan did not write.
    """
    header = json.loads((file.metadata() or {})["augan"])
    if not isinstance(header, dict) or type(header.get("step")) is not int or header["step"] < 0:
        raise ValueError("its metadata has no step")
    return {"step": header["step"], "done": bool(header["done"]), "sha256": str(header["sha256"])}


def _sha256(header: Mapping[str, Any], values: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 of the step and of the type, shape and bytes of each value."""
    parts = [json.dumps([header["step"], header["done"]]).encode()]
    for value in values:
        parts += [json.dumps([str(value.dtype), value.shape]).encode(), value.tobytes()]
    return sha256_parts(parts)


def _key(index: int) -> str:
    """Return the name of a variable in the file, its index with five digits."""
    return f"{index:05d}"
