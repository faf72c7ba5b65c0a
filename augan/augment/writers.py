"""The forms in which generated samples are written, and the manifest that all of them share."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from augan.augment.classic import classic_policy
from augan.data.columns import Columns
from augan.data.images import write_png
from augan.data.prepared import AnyPreprocessing
from augan.data.preprocessing import Preprocessing
from augan.exceptions import ConfigError

MANIFEST = "manifest.csv"
COLUMNS = ("file", "class", "seed", "index", "method", "policy", "bundle", "sha256")
GALLERY = 40
FORMATS = {"images": ("png", "npz"), "rows": ("csv",)}  # of each kind of sample, the default first


def choose_format(name: str | None, noun: str) -> str:
    """Return the format to write, by default the usual one.

    Raises
    ------
    ConfigError
        Samples of this kind, "images" or "rows", cannot be written so.
    """
    if name is None:
        return FORMATS[noun][0]
    if name not in FORMATS[noun]:
        raise ConfigError(
            f"{noun} cannot be written as {name!r}; choose --format {' or '.join(FORMATS[noun])}"
        )
    return name


class SampleWriter(Protocol):
    """Takes generated samples a block at a time.

    Attributes
    ----------
    files
        One a sample so far: the file that holds it, relative to the folder.
    """

    files: list[str]

    def add(self, samples: np.ndarray, classes: np.ndarray, below: str) -> None:
        """Take samples of stored type and their class numbers; files go into the folder `below`."""

    def close(self) -> None:
        """Write what is not written yet."""

    def gallery(self) -> np.ndarray | None:
        """Return the first images as uint8 `[n, H, W, C]`, or None."""


class _Images:
    """What writers of images share: the pixels as written, the first kept for a picture."""

    def __init__(self, folder: Path, preprocessing: Preprocessing, policy: str, seed: int) -> None:
        self.folder, self.preprocessing = folder, preprocessing
        self.files: list[str] = []
        self._transform = classic_policy(policy, seed)
        self._first: list[np.ndarray] = []

    def shown(self, images: np.ndarray) -> np.ndarray:
        if images.dtype == np.float32 or (images.dtype == np.uint16 and images.shape[-1] == 3):
            images = self.preprocessing.displayable(images)  # PNG knows no such pixels
        images = self._transform(images)
        self._first.extend(images[: GALLERY - len(self._first)])
        return images

    def gallery(self) -> np.ndarray:
        images = np.stack(self._first)
        return self.preprocessing.displayable(images) if images.dtype != np.uint8 else images


class PngWriter(_Images):
    """One PNG file an image."""

    def add(self, images: np.ndarray, classes: np.ndarray, below: str) -> None:
        """Write each image to a file of its own."""
        for image in self.shown(images):
            path = Path(below, f"{len(self.files):06d}.png")
            write_png(self.folder / path, image, text={"synthetic": "true"})
            self.files.append(path.as_posix())

    def close(self) -> None:
        """All files are written already."""


class NpzWriter(_Images):
    """One file `synthetic.npz` with `x` and, where there are classes, `y` and `class_names`.

    The pixels are those that the PNG files would have. `y` counts in `class_names`, and
    `augan.load_dataset` reads the file.
    """

    def __init__(
        self,
        folder: Path,
        preprocessing: Preprocessing,
        policy: str,
        seed: int,
        class_names: Sequence[str],
    ) -> None:
        super().__init__(folder, preprocessing, policy, seed)
        self.class_names = class_names
        self._x: list[np.ndarray] = []
        self._y: list[np.ndarray] = []

    def add(self, images: np.ndarray, classes: np.ndarray, below: str) -> None:
        """Keep the images until all are there."""
        self._x.append(self.shown(images))
        self._y.append(classes)
        self.files += ["synthetic.npz"] * len(images)

    def close(self) -> None:
        """Write the file."""
        arrays: dict[str, Any] = {"x": np.concatenate(self._x)}
        if self.class_names:
            arrays["y"] = np.concatenate(self._y).astype(np.int64)
            arrays["class_names"] = np.array(self.class_names)
        np.savez_compressed(self.folder / "synthetic.npz", **arrays)


class CsvWriter:
    """One file `synthetic.csv`: the training table's columns, in their order and types."""

    def __init__(self, folder: Path, preprocessing: Columns, class_names: Sequence[str]) -> None:
        self.path, self.preprocessing = folder / "synthetic.csv", preprocessing
        self.class_names = class_names
        self.files: list[str] = []

    def add(self, rows: np.ndarray, classes: np.ndarray, below: str) -> None:
        """Append rows to the file."""
        names = [self.class_names[c] for c in classes] if self.class_names else None
        frame = self.preprocessing.to_frame(rows, names)
        frame.to_csv(self.path, mode="a", header=not self.files, index=False, lineterminator="\n")
        self.files += [self.path.name] * len(rows)

    def close(self) -> None:
        """All rows are written already."""

    def gallery(self) -> None:
        """There is no picture of a table."""


def open_writer(
    format: str,
    folder: Path,
    preprocessing: AnyPreprocessing,
    *,
    class_names: Sequence[str],
    policy: str = "none",
    seed: int = 0,
) -> SampleWriter:
    """Return the writer of a format that `choose_format` chose.

    Parameters
    ----------
    class_names : sequence of str
        What class numbers mean; empty without classes.
    policy : str
        Classic augmentation of images, see `augan.augment.classic`.
    """
    if isinstance(preprocessing, Columns):
        if policy != "none":
            raise ConfigError(f"the policy '{policy}' changes images; rows have none: leave it out")
        return CsvWriter(folder, preprocessing, class_names)
    if format == "npz":
        return NpzWriter(folder, preprocessing, policy, seed, class_names)
    return PngWriter(folder, preprocessing, policy, seed)


def write_manifest(
    folder: Path, files: Sequence[str], classes: Sequence[str], about: dict[str, Any]
) -> None:
    """Write `manifest.csv`: a line a sample, in order, with the SHA-256 of its file.

    Parameters
    ----------
    about : dict
        `seed`, `policy` and `bundle`, the same for all.
    """
    digests = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in set(files)}
    with open(folder / MANIFEST, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for index, (file, name) in enumerate(zip(files, classes)):
            fixed = (about["seed"], index, "sample", about["policy"], about["bundle"])
            writer.writerow((file, name, *fixed, digests[file]))
