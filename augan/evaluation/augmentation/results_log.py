"""Log of finished arms: predicted classes of the test images, written arm by arm.

An evaluation takes hours and can be continued after a stop. Each line of `predictions.jsonl` is on
the disk before the next arm begins. The first line holds the settings of the evaluation.
"""

import base64
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from augan.exceptions import ConfigError, DataError
from augan.io.atomic import try_lock
from augan.io.layout import PREDICTIONS_FILE


class PredictionLog:
    """Log of the predictions of finished arms in a folder, locked while the log is open.

    `len` is the number of finished arms, over all repeats.

    Parameters
    ----------
    folder : path
        A new folder, an empty folder, or the folder of an evaluation with the same settings, which
        is continued.
    identity : dict
        JSON-able settings that the predictions depend on. The key `data` is the hash of the images.

    Raises
    ------
    DataError
        The folder holds other files, is in use, cannot be written, holds a damaged log, or holds an
        evaluation of other data.
    ConfigError
        The folder holds an evaluation with other settings.
    """

    def __init__(self, folder: str | Path, identity: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self._rows: dict[tuple[int, str], dict[str, Any]] = {}
        path = self.folder / PREDICTIONS_FILE
        if self.folder.exists() and not path.exists():
            if not self.folder.is_dir():
                raise DataError(f"{self.folder} is a file; name a folder with `out`")
            if any(self.folder.iterdir()):
                raise DataError(f"{self.folder} holds other files; name a new folder with `out`")
        with report_write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a+b")  # noqa: SIM115
        try:
            self._open(identity)
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._rows)

    def close(self) -> None:
        """Close the log file, which releases the lock of the folder."""
        self._file.close()

    def get(self, repeat: int, arm: str) -> np.ndarray | None:
        """Return the predicted classes, int64 `[m]`, of an arm in a repeat.

        None: the arm is not finished.
        """
        row = self._rows.get((repeat, arm))
        if row is None:
            return None
        content = zlib.decompress(base64.b64decode(row["predicted"]))
        return np.frombuffer(content, "<u2").astype(np.int64)

    def metadata(self, repeat: int, arm: str) -> dict[str, Any]:
        """Return the metadata of a finished arm in a repeat: the metrics that `add` stored.

        With a selection, also the selected GAN arm and its fraction of synthetic images.

        Raises
        ------
        KeyError
            The arm is not finished.
        """
        return dict(self._rows[repeat, arm]["metadata"])

    def add(self, repeat: int, arm: str, predicted: np.ndarray, metadata: dict[str, Any]) -> None:
        """Append the result of a finished arm. The entry is on the disk when this method returns.

        Parameters
        ----------
        repeat : int
            Number of the repeat from 0.
        arm : str
        predicted : ndarray of int [m]
            Predicted class of each test image, at most 65535.
        metadata : dict
            JSON-able values without NaN, such as the metrics.

        Raises
        ------
        DataError
            The log cannot be written.
        """
        packed = zlib.compress(predicted.astype("<u2").tobytes())
        row = {"repeat": repeat, "arm": arm, "metadata": metadata}
        row["predicted"] = base64.b64encode(packed).decode("ascii")
        self._write(row)
        self._rows[repeat, arm] = row

    def _open(self, identity: dict[str, Any]) -> None:
        """Lock the log file and read its entries, or write the settings into a new file.

        An incomplete last line, which a crash left, is deleted. Errors are those of the class.
        """
        if try_lock(self._file) is False:
            raise DataError(
                f"another evaluation is writing {self.folder}; wait for it to end, or name a new "
                "folder with `out`"
            )
        self._file.seek(0)
        content = self._file.read()
        complete = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(complete))  # remove a line that a crash cut off
        if not complete:
            self._write({"identity": identity})
            return
        try:
            first, *rows = [json.loads(line) for line in complete.splitlines()]
            former = dict(first["identity"])
            self._rows = {(row["repeat"], row["arm"]): row for row in rows}
            for repeat, arm in self._rows:
                self.get(repeat, arm), self.metadata(repeat, arm)
        except (ValueError, LookupError, TypeError, RecursionError, zlib.error) as error:
            raise DataError(
                f"{self.folder / PREDICTIONS_FILE} is damaged ({error}); name a new folder with "
                "`out`"
            ) from error
        self._check_identity(former, json.loads(json.dumps(identity)))

    def _check_identity(self, former: dict[str, Any], identity: dict[str, Any]) -> None:
        """Compare the settings of the earlier evaluation with the requested settings.

        Raises
        ------
        DataError
            Only the data differs.
        ConfigError
            Other settings differ.
        """
        changed = [k for k in sorted({*former, *identity}) if former.get(k) != identity.get(k)]
        if changed == ["data"]:
            raise DataError(
                f"the data has changed since the evaluation in {self.folder} began; name a new "
                "folder with `out`"
            )
        if changed:
            values = ", ".join(f"{k}: {former.get(k)} then, {identity.get(k)} now" for k in changed)
            raise ConfigError(
                f"{self.folder} holds an evaluation with other settings ({values}); repeat the "
                "earlier command to continue that evaluation, or name a new folder with `out`"
            )

    def _write(self, row: dict[str, Any]) -> None:
        """Append a line of JSON and wait until it is on the disk; DataError if this fails."""
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        with report_write_errors(self.folder):
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())


@contextmanager
def report_write_errors(path: Path) -> Iterator[None]:
    """Convert an OSError in the block to a DataError that names the path and a remedy."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {path} ({error.strerror or error}); free some space and check the "
            "permissions, then repeat the command, which continues where it stopped, or name "
            "another folder with `out`"
        ) from error
