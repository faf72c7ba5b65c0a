"""Checkpoints: all that a part needs to go on as if it had never stopped.

Batches and noise are functions of the step, so a checkpoint is a step and the values of variables:
weights, averages, optimisers. Each part of a run has one file, replaced whole. Its metadata hold a
SHA-256 over the values, because a bit that flipped in a weight would go unnoticed for ever.
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

EVERY_STEPS = 100
EVERY_SECONDS = 60.0


@dataclass
class Checkpoints:
    """The checkpoints of one run.

    Parameters
    ----------
    folder : Path or None
        Where they live; None keeps none (a training in memory).
    """

    folder: Path | None
    _saved: dict[str, tuple[int, float]] = field(default_factory=dict)

    def restore(self, part: str, variables: Sequence[Any]) -> tuple[int, bool]:
        """Give `variables` the values of the last checkpoint of `part`.

        Returns
        -------
        step : int
            Steps that the values stand for; 0 without a checkpoint.
        done : bool
            Whether the part had ended.

        Raises
        ------
        DataError
            If the file is damaged or belongs to other networks.
        """
        if self.folder is None or not self._file(part).exists():
            return 0, False
        try:
            with safe_open(self._file(part), framework="numpy") as file:
                about = _about(file)
                values = [file.get_tensor(_key(i)) for i in range(len(file.keys()))]
            if _sha256(about, values) != about["sha256"]:
                raise ValueError("its content was changed: the SHA-256 differs")
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the checkpoint {self._file(part)} is damaged ({error}); delete it to begin this "
                "part again"
            ) from error
        shapes = [tuple(value.shape) for value in values]
        if shapes != [tuple(variable.shape) for variable in variables]:
            raise DataError(
                f"the checkpoint {self._file(part)} belongs to other networks; train into a new run"
            )
        for variable, value in zip(variables, values):
            variable.assign(value)
        self._saved[part] = (about["step"], time.monotonic())
        return about["step"], about["done"]

    def steps(self) -> dict[str, int]:
        """Return part -> steps for every checkpoint there is."""
        found = {}
        for path in sorted(self.folder.glob("*.safetensors")) if self.folder else ():
            try:
                with safe_open(path, framework="numpy") as file:
                    found[path.stem] = _about(file)["step"]
            except (SafetensorError, OSError, KeyError, TypeError, ValueError):
                continue  # `restore` will say what is wrong with it
        return found

    def due(self, part: str, step: int) -> bool:
        """Return whether enough has happened since the last checkpoint of `part`."""
        last_step, last_time = self._saved.setdefault(part, (0, time.monotonic()))
        return step - last_step >= EVERY_STEPS or time.monotonic() - last_time >= EVERY_SECONDS

    def save(self, part: str, step: int, variables: Sequence[Any], *, done: bool = False) -> None:
        """Write the values of `variables` after `step` steps, whole or not at all.

        Raises
        ------
        DataError
            If they cannot be written; the checkpoint before is still there.
        """
        if self.folder is None:
            return
        values = [np.asarray(variable, order="C") for variable in variables]
        about: dict[str, Any] = {"step": step, "done": done}
        about["sha256"] = _sha256(about, values)
        content = save(
            {_key(i): value for i, value in enumerate(values)}, {"augan": json.dumps(about)}
        )
        partial = self.folder / f".{part}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Not by safetensors' own writer, whose errors do not say what the system said.
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self._file(part))
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise DataError(
                f"cannot write the checkpoint {self._file(part)} after step {step} "
                f"({error.strerror or error}); free some space, then the same command with "
                "--resume goes on from the last one that is whole"
            ) from error
        self._saved[part] = (step, time.monotonic())

    def _file(self, part: str) -> Path:
        return Path(self.folder or ".") / f"{part}.safetensors"


def _about(file: Any) -> dict[str, Any]:
    """What the file says of itself; ValueError or KeyError if it is not one of ours."""
    about = json.loads((file.metadata() or {})["augan"])
    if not isinstance(about, dict) or type(about.get("step")) is not int or about["step"] < 0:
        raise ValueError("it names no step")
    return {"step": about["step"], "done": bool(about["done"]), "sha256": str(about["sha256"])}


def _sha256(about: Mapping[str, Any], values: Sequence[np.ndarray]) -> str:
    """Return the digest of a checkpoint: its step, and of each value the type, shape and bytes."""
    parts = [json.dumps([about["step"], about["done"]]).encode()]
    for value in values:
        parts += [json.dumps([str(value.dtype), value.shape]).encode(), value.tobytes()]
    return sha256_parts(parts)


def _key(index: int) -> str:
    return f"{index:05d}"
