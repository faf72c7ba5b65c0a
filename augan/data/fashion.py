"""Fashion-MNIST by name: installed, downloaded before, or downloaded now.

It is the only data that augan ever fetches, and only when it is asked for by this name.
"""

import http.client
import logging
import os
import shutil
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Literal

from augan.data.dataset import Dataset, from_arrays
from augan.exceptions import DataError
from augan.io.arrays import read_idx, read_idx_folder

INSTALLED = Path("/usr/share/datasets/fashion-mnist")
ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"  # as keras.datasets
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_SECONDS = 30.0  # without an answer after which a download is given up

_log = logging.getLogger(__name__)


def fashion_mnist(part: Literal["train", "test"] = "train") -> Dataset:
    """Return Zalando's pictures of clothes, gray `[N, 28, 28, 1]` uint8, with their ten classes.

    They are read from the folder of Debian's package `dataset-fashion-mnist`, or else from where
    `keras.datasets.fashion_mnist` keeps them. If they are in neither, they are downloaded to the
    second, which a line on standard error says first.

    Raises
    ------
    DataError
        They are nowhere and cannot be downloaded, or a file is damaged.
    """
    folder = INSTALLED
    if not INSTALLED.is_dir():
        folder = _keras_folder()
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            _download(missing, folder)
    images, labels = read_idx_folder(folder, part)
    names = None if labels is None else CLASSES
    dataset = from_arrays(images, labels, name="fashion-mnist", class_names=names)
    return replace(dataset, source=str(folder))


def _keras_folder() -> Path:
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return Path(home, "datasets", "fashion-mnist")


def _download(names: list[str], folder: Path) -> None:
    """Fetch files into `folder`; each appears there only when it is whole."""
    # As a warning of logging, which reaches standard error unless the program says otherwise.
    _log.warning("fashion-mnist: downloading %d files from %s to %s", len(names), ADDRESS, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            _fetch(ADDRESS + name, folder / name)
    except (OSError, http.client.HTTPException, DataError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise DataError(
            f"fashion-mnist is neither in {INSTALLED} nor in {folder}, and cannot be downloaded "
            f"from {ADDRESS} ({reason}); run apt-get install dataset-fashion-mnist, or give the "
            "folder of its four IDX files"
        ) from error


def _fetch(address: str, target: Path) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with (
            urllib.request.urlopen(address, timeout=_SECONDS) as answer,
            open(partial, "wb") as file,
        ):
            shutil.copyfileobj(answer, file)
        read_idx(partial)  # a connection that broke leaves a shorter file, and no error
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
