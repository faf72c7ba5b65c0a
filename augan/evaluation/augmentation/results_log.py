"""What classifiers said of the test images, kept on the disk arm by arm.

An evaluation takes hours. One that was stopped goes on where it was: each line of
`predictions.jsonl` is on the disk before the next arm begins, and the first says what was asked.
"""

import base64
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from augan.exceptions import ConfigError, DataError
from augan.io.atomic import try_lock

PREDICTIONS = "predictions.jsonl"


class PredictionLog:
    """Rows of finished arms in a folder, which is locked while the object is open.

    Parameters
    ----------
    folder : path
        New, empty, or that of an evaluation of the same identity, which is continued.
    identity : dict
        Everything that the rows depend on, JSON-able.

    Raises
    ------
    DataError
        The folder holds something else, is in use, or cannot be written.
    ConfigError
        It holds an evaluation of other settings or data.
    """

    def __init__(self, folder: str | Path, identity: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self._rows: dict[tuple[int, str], dict[str, Any]] = {}
        path = self.folder / PREDICTIONS
        if self.folder.exists() and not path.exists():
            if not self.folder.is_dir():
                raise DataError(f"{self.folder} is a file; name a folder with --out")
            if any(self.folder.iterdir()):
                raise DataError(f"{self.folder} holds other files; name a new folder with --out")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a+b")  # noqa: SIM115
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._begin(identity)
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._rows)

    def close(self) -> None:
        """Give the folder free."""
        self._file.close()

    def get(self, draw: int, arm: str) -> np.ndarray | None:
        """Return the predicted classes `[m]` of a finished arm, else None."""
        row = self._rows.get((draw, arm))
        if row is None:
            return None
        content = zlib.decompress(base64.b64decode(row["predicted"]))
        return np.frombuffer(content, "<u2").astype(np.int64)

    def about(self, draw: int, arm: str) -> dict[str, Any]:
        """Return what was noted of a finished arm beside its predictions."""
        return dict(self._rows[draw, arm]["about"])

    def add(self, draw: int, arm: str, predicted: np.ndarray, about: dict[str, Any]) -> None:
        """Keep an arm; it is on the disk when this returns."""
        packed = zlib.compress(predicted.astype("<u2").tobytes())
        row = {"draw": draw, "arm": arm, "about": about}
        row["predicted"] = base64.b64encode(packed).decode("ascii")
        self._write(row)
        self._rows[draw, arm] = row

    def _begin(self, identity: dict[str, Any]) -> None:
        if try_lock(self._file) is False:
            raise DataError(
                f"another evaluation is writing {self.folder}; wait for it, or name a new folder "
                "with --out"
            )
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))  # a line that was cut off by a crash is made again
        if not whole:
            self._write({"identity": identity})
            return
        try:
            first, *rows = [json.loads(line) for line in whole.splitlines()]
            former = dict(first["identity"])
            self._rows = {(row["draw"], row["arm"]): row for row in rows}
            for draw, arm in self._rows:
                self.get(draw, arm), self.about(draw, arm)
        except (ValueError, LookupError, TypeError, RecursionError, zlib.error) as error:
            raise DataError(
                f"{self.folder / PREDICTIONS} is damaged ({error}); name a new folder with --out"
            ) from error
        identity = json.loads(json.dumps(identity))
        changed = [k for k in sorted({*former, *identity}) if former.get(k) != identity.get(k)]
        if changed == ["data"]:
            raise DataError(
                f"the data has changed since {self.folder} was begun; name a new folder with --out"
            )
        if changed:
            shown = ", ".join(f"{k}: {former.get(k)} then, {identity.get(k)} now" for k in changed)
            raise ConfigError(
                f"{self.folder} holds an evaluation of other settings ({shown}); repeat that "
                "command to continue it, or name a new folder with --out"
            )

    def _write(self, row: dict[str, Any]) -> None:
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> DataError:
        return DataError(
            f"cannot write {self.folder} ({error.strerror or error}); free some space and check "
            "the permissions there, then repeat the command, or name another folder with --out"
        )
