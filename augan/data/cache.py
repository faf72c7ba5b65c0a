"""Prepared samples of a dataset, decoded in memory or kept in a disk cache."""

import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL

from augan.data.cache_file import CacheFile, open_cache_file, write_cache_file
from augan.data.dataset import Dataset, Skipped, check_skipped
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.images import ImagePreprocessing
from augan.data.sequences import ImageFiles
from augan.exceptions import DataError
from augan.io.atomic import try_lock
from augan.io.hashing import sha256_array, sha256_json
from augan.io.images import UnreadableImage

_GIB = 2**30
MAX_CACHE_BYTES = 20 * _GIB
MAX_DISK_FRACTION = 0.25  # of the disk space that would be free without the cache
# Decoding this much takes seconds and little memory, so the cache would not pay. The demo and most
# tests then leave no files, and a read-only home folder does not matter.
MAX_IN_MEMORY_BYTES = 64 * 2**20

_FORMAT = 1  # raise it whenever equal files would become other pixels
_CACHE_FILE = re.compile(r"[0-9a-f]{64}\.npy")
_PART_FILE = re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]{16}\.part")
_ABANDONED_SECONDS = 60.0  # without a write, after which an unlocked part file may be removed


@dataclass(frozen=True, eq=False)
class PreparedDataset:
    """A dataset and its preprocessed samples, before the networks' normalization to -1..1.

    Attributes
    ----------
    dataset : Dataset
        The samples that could be decoded, with names and labels; unreadable files are in `skipped`.
    pixels : ndarray
        Images: `[N, S, S, channels]` in `preprocessing.prepared_dtype`, perhaps a read-only memory
        map of a cache file. Rows of a table: float64 `[N, F]`. Row i belongs to `dataset.names[i]`.
    cached_sha256 : str or None
        SHA-256 of the bytes of `pixels` if the cache file states the digest, else None (default).
    """

    dataset: Dataset
    pixels: np.ndarray
    cached_sha256: str | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes of `pixels`; computed from all pixels if the cache file lacks it."""
        return self.cached_sha256 or sha256_array(self.pixels)


def load_prepared(
    dataset: Dataset, preprocessing: Preprocessing, folder: str | Path | None = None
) -> PreparedDataset:
    """Convert a dataset to prepared samples, with a disk cache for large sets of image files.

    Only image files are cached, and only for preprocessing with integer pixels. Image files whose
    files and pixels take less than 64 MiB each are decoded into memory; larger sets are decoded
    once into a cache file, which later calls map into memory. The cache keeps at most 20 GiB, and
    at most a quarter of the disk space that is free without the cache; the least recently used
    files are removed first. A single new file may exceed this limit.

    Parameters
    ----------
    dataset : Dataset
        The result of `load_dataset`.
    preprocessing : Preprocessing
        The preprocessing that was fitted on the training samples.
    folder : path-like or None
        Folder of the cache; small sets of files are then cached too. None (default):
        `cache_folder()`, for large sets only.

    Returns
    -------
    PreparedDataset
        The prepared samples; image files that could not be read are left out and listed in
        `dataset.skipped`.

    Raises
    ------
    DataError
        More than a tenth of all files cannot be read, a sample does not fit the preprocessing, the
        cache cannot be written, or files change while they are read.
    """
    images = dataset.images
    preprocessing.check_samples(images)
    if not preprocessing.has_files:
        return PreparedDataset(dataset, preprocessing.prepare_all(images))
    of_images = preprocessing.require_images()
    if not isinstance(images, ImageFiles) or of_images.dtype == "float32":
        return PreparedDataset(*decode_all(dataset, of_images))
    key, file_bytes = _cache_key(images, of_images)
    num_values = len(dataset) * of_images.size**2 * of_images.channels
    pixel_bytes = num_values * np.dtype(of_images.prepared_dtype).itemsize
    if folder is None and max(file_bytes, pixel_bytes) < MAX_IN_MEMORY_BYTES:
        return PreparedDataset(*decode_all(dataset, of_images))
    path = Path(cache_folder() if folder is None else folder) / f"{key}.npy"
    cached = open_cache_file(path) or _build(path, dataset, images, of_images, pixel_bytes)
    return PreparedDataset(drop_failed(dataset, cached.failures), cached.pixels, cached.sha256)


def cache_folder() -> Path:
    """Return the default folder of cache files: `$AUGAN_CACHE`, or `augan` in the user's cache.

    The user's cache is `~/Library/Caches` on macOS, elsewhere `$XDG_CACHE_HOME` or `~/.cache`. The
    folder may not exist yet.

    Raises
    ------
    DataError
        The user has no home folder, or `$AUGAN_CACHE` begins with a home folder that does not
        exist.
    """
    if chosen := os.environ.get("AUGAN_CACHE"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError as error:
            raise DataError(
                f"AUGAN_CACHE is {chosen}, but there is no home folder {Path(chosen).parts[0]}; "
                "set it to the full path of a folder"
            ) from error
    variable, default = {
        "darwin": ("", "~/Library/Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    base = Path(os.environ.get(variable, ""))
    try:
        return (base if base.is_absolute() else Path(default).expanduser()) / "augan"
    except RuntimeError as error:
        raise DataError(
            "there is no home folder to keep decoded images in; set AUGAN_CACHE to a folder"
        ) from error


def decode_all(dataset: Dataset, preprocessing: ImagePreprocessing) -> tuple[Dataset, np.ndarray]:
    """Decode and prepare every image of a dataset in memory, without the disk cache.

    Parameters
    ----------
    dataset : Dataset
        Images as an array or as files, not a table.
    preprocessing : ImagePreprocessing
        The fitted preprocessing.

    Returns
    -------
    dataset : Dataset
        The images that could be decoded; the others are added to `skipped`.
    pixels : ndarray
        `[N, S, S, channels]` in `preprocessing.prepared_dtype`, in the order of the returned
        dataset.

    Raises
    ------
    DataError
        More than a tenth of all files cannot be read, or an image does not fit the preprocessing.
    """
    if isinstance(dataset.images, np.ndarray):
        return dataset, preprocessing.prepare_all(dataset.images)
    side, n = preprocessing.size, len(dataset)
    pixels = np.empty((n, side, side, preprocessing.channels), preprocessing.prepared_dtype)
    failures: dict[int, str] = {}
    count = 0
    for image in _decode_each(dataset, preprocessing, failures):
        pixels[count] = image
        count += 1
    return drop_failed(dataset, failures), pixels[:count]


def drop_failed(dataset: Dataset, failures: Mapping[int, str]) -> Dataset:
    """Return a dataset without the images that could not be read, which are listed in `skipped`.

    Parameters
    ----------
    dataset : Dataset
        The dataset, with readable and unreadable images.
    failures : mapping of int to str
        Row of each unreadable image in `dataset` -> the reason, for messages.

    Raises
    ------
    DataError
        More than a tenth of all files, with those skipped earlier, cannot be read.
    """
    skipped = _checked_skipped(dataset, failures)
    if not failures:
        return dataset
    kept = [row for row in range(len(dataset)) if row not in failures]
    return replace(dataset.subset(kept), skipped=skipped)


def _checked_skipped(dataset: Dataset, failures: Mapping[int, str]) -> Skipped:
    """Return the files that were skipped earlier or failed; DataError if these are too many."""
    failed = ((dataset.names[row], reason) for row, reason in failures.items())
    skipped = (*dataset.skipped, *failed)
    check_skipped(skipped, len(dataset) + len(dataset.skipped))
    return skipped


def _decode_each(
    dataset: Dataset, preprocessing: ImagePreprocessing, failures: dict[int, str]
) -> Iterator[np.ndarray]:
    """Yield every readable image of a dataset, prepared and in the order of the dataset.

    Rows that cannot be decoded yield nothing; they are added to `failures` as row -> reason.

    Raises
    ------
    DataError
        An image is readable but does not fit the preprocessing; the message names the image. After
        the last image: more than a tenth of all files cannot be read.
    """
    for row, name in enumerate(dataset.names):
        try:
            image = preprocessing.prepare(dataset.require_images()[row])
        except UnreadableImage as error:
            failures[row] = error.reason
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        else:
            yield image
    _checked_skipped(dataset, failures)


def _cache_key(images: ImageFiles, preprocessing: ImagePreprocessing) -> tuple[str, int]:
    """Return the name of the cache file for image files in their present state.

    Returns
    -------
    key : str
        SHA-256 of the preprocessing, the version of Pillow, and path, size and times of every file.
    total : int
        Size of all files in bytes; unreadable files count as 0.
    """
    # Another version of Pillow may decode a JPEG file to slightly other pixels.
    settings = {"format": _FORMAT, "pillow": PIL.__version__, **preprocessing.to_dict()}
    digest = hashlib.sha256(sha256_json(settings).encode())
    root, total = images.root.resolve(), 0
    for name in images.names:
        path = os.path.join(root, name)
        try:
            stat = os.stat(path)
        except OSError:
            state, size = (0, 0, 0, 0), 0  # unreadable, as decoding will find
        else:
            size = stat.st_size
            # An archive or a copy may give a new file the size and the time of the old file.
            state = (size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        digest.update(b"%s\0%d\0%d\0%d\0%d\0" % (os.fsencode(path), *state))
        total += size
    return digest.hexdigest(), total


def _build(
    path: Path,
    dataset: Dataset,
    images: ImageFiles,
    preprocessing: ImagePreprocessing,
    pixel_bytes: int,
) -> CacheFile:
    """Decode all image files of a dataset into the new cache file `path`, and return its content.

    A temporary file is renamed to `path` when it is complete. `pixel_bytes` is the expected size of
    the pixels, for which older cache files are removed.

    Raises
    ------
    DataError
        The folder cannot be written or lacks space, image files changed while they were read, or
        images cannot be decoded, as for `decode_all`.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part")
    try:
        # Closed to other users, because the file will hold the user's own images.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _free_space(path.parent, pixel_bytes)
        with open(part, "x+b") as file:
            try_lock(file)  # the lock ends with the process, however the process ends
            failures: dict[int, str] = {}
            decoded = _decode_each(dataset, preprocessing, failures)
            side, dtype = preprocessing.size, preprocessing.prepared_dtype
            shape = (len(dataset), side, side, preprocessing.channels)
            cached = write_cache_file(file, decoded, dtype, shape, failures)
            if _cache_key(images, preprocessing)[0] != path.stem:
                raise DataError(
                    f"image files of {dataset.name} changed while they were read; wait until all "
                    "are complete, then start again"
                )
            with suppress(FileNotFoundError):  # the folder was deleted; the map outlives it
                os.replace(part, path)
    except OSError as error:
        raise DataError(
            f"cannot keep the decoded images of {dataset.name} in {path.parent} "
            f"({error.strerror or error}); make {-(-pixel_bytes // 2**20)} MiB free and writable "
            "there, or set AUGAN_CACHE to another folder"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return cached


def _free_space(folder: Path, needed: int) -> None:
    """Remove the least recently used cache files until `needed` more bytes are within the limits.

    Abandoned temporary files are removed too. An `OSError` (ENOSPC) says that the disk is too small
    even without the cache.
    """
    files: list[tuple[float, int, Path]] = []
    used = 0
    for path in folder.iterdir():
        with suppress(OSError):  # another run may remove the file at this moment
            stat = path.stat()
            if _PART_FILE.fullmatch(path.name) and _is_abandoned(path, stat.st_mtime):
                path.unlink()
            elif _PART_FILE.fullmatch(path.name):
                used += stat.st_size
            elif _CACHE_FILE.fullmatch(path.name):
                used += stat.st_size
                files.append((stat.st_mtime, stat.st_size, path))
    space = shutil.disk_usage(folder).free + used
    if needed > space:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    limit = min(MAX_CACHE_BYTES, int(MAX_DISK_FRACTION * space))
    for _, size, path in sorted(files):
        if used + needed <= limit:
            break
        path.unlink(missing_ok=True)
        used -= size


def _is_abandoned(part: Path, changed: float) -> bool:
    """Whether no process writes a temporary file any more: it is unlocked and a minute old.

    `changed` is the time of the last write, in seconds since 1970.
    """
    if time.time() - changed < _ABANDONED_SECONDS:
        return False
    with open(part, "rb") as file:
        return try_lock(file) is True
