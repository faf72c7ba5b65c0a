"""Built-in datasets: handwritten digits, Fashion-MNIST, and IDX folders like those of MNIST."""

import http.client
import logging
import os
import re
import shutil
import urllib.request
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augan.data.dataset import Dataset, from_arrays
from augan.data.validation import check_images
from augan.exceptions import DataError
from augan.io.arrays import read_idx
from augan.io.atomic import atomic_folder
from augan.io.images import write_png

OUTLIER_LETTERS = "AKMRWXZH"

_IDX_FILE = re.compile(
    r"(?P<subset>train|t10k|test)[-_.](?P<kind>images|labels)[-_.]idx\d(-ubyte)?(\.gz)?", re.ASCII
)

# Left edge, top edge and side of squares with some structure in scikit-learn's two photographs.
_CROPS = (
    ("china.jpg", (0, 150, 200)),
    ("china.jpg", (100, 0, 400)),
    ("china.jpg", (400, 200, 200)),
    ("flower.jpg", (170, 60, 240)),
)


@dataclass(frozen=True)
class ExampleImages:
    """The numbers of images that `write_example_images` wrote.

    Attributes
    ----------
    count_normal : int
        Held-out digits.
    count_anomalous : int
        Letters and parts of photographs.
    """

    count_normal: int
    count_anomalous: int

    def to_dict(self) -> dict[str, int]:
        """Return both counts as a dict, ready for JSON."""
        return asdict(self)


def digits(subset: Literal["train", "test"] = "train") -> Dataset:
    """Return scikit-learn's handwritten digits, gray `[N, 8, 8, 1]` uint8, with labels 0 to 9.

    Parameters
    ----------
    subset : {"train", "test"}
        Every fifth image belongs to the test subset (359 images), all others to the training subset
        (1438 images, default).

    Returns
    -------
    Dataset
        Pixels 0 to 255; names are the row numbers of the images in scikit-learn.
    """
    # Imported here, because importing scikit-learn takes a second and most users have own data.
    from sklearn.datasets import load_digits

    table = load_digits()
    # scikit-learn counts inked pixels in blocks of 4 x 4: 0..16.
    pixels = np.rint(table.images * (255 / 16)).astype(np.uint8)
    dataset = from_arrays(pixels, table.target, name="digits")
    held_out = np.arange(len(dataset)) % 5 == 4
    selected = dataset.subset(held_out if subset == "test" else ~held_out)
    return replace(selected, source="sklearn.datasets.load_digits")


def write_example_images(folder: str | Path) -> ExampleImages:
    """Write a folder of held-out digits and other images, to try a detector of digits on.

    60 digits of the test subset, six of each class, are named `digit-<class>-<row>.png`; eight
    letters and four parts of photographs are named `outlier-*.png`. All images are 8 x 8 pixels,
    gray, uint8, and equal on every run.

    Parameters
    ----------
    folder : path-like
        A folder that does not exist; it appears when all files are written.

    Raises
    ------
    DataError
        The folder exists already, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise DataError(f"{folder} exists already; name a new folder for the example images")
    normal, anomalous = _example_digits(), _outlier_images()
    with atomic_folder(folder) as partial:
        for name, image in {**normal, **anomalous}.items():
            write_png(partial / name, image)
    return ExampleImages(count_normal=len(normal), count_anomalous=len(anomalous))


def _example_digits(per_class: int = 6) -> dict[str, np.ndarray]:
    """Return the first `per_class` test digits of each class: file name -> image `[8, 8, 1]`."""
    test = digits("test")
    labels = np.asarray(test.labels)
    chosen = [i for c in range(test.num_classes) for i in np.flatnonzero(labels == c)[:per_class]]
    images = test.require_images()
    return {f"digit-{labels[i]}-{int(test.names[i]):04d}.png": images[i] for i in chosen}


def _outlier_images() -> dict[str, np.ndarray]:
    """Return the letters and the parts of photographs: file name -> image `[8, 8, 1]` uint8."""
    from sklearn.datasets import load_sample_image

    images = {f"outlier-letter-{c}.png": _letter(c) for c in OUTLIER_LETTERS}
    for number, (photograph, (left, top, side)) in enumerate(_CROPS, 1):
        gray = Image.fromarray(load_sample_image(photograph)).convert("L")
        crop = gray.crop((left, top, left + side, top + side))
        small = crop.resize((8, 8), Image.Resampling.BOX)
        images[f"outlier-photo-{number}.png"] = np.asarray(small)[..., None]
    return images


def _letter(letter: str) -> np.ndarray:
    """Render a letter as uint8 `[8, 8, 1]`, bright on dark and 8 pixels high, like a digit."""
    canvas = Image.new("L", (128, 128))
    font = ImageFont.load_default(64)
    ImageDraw.Draw(canvas).text((32, 32), letter, fill=255, font=font, stroke_width=1)
    # Letters of three vertical strokes need the full width to stay legible.
    width = 8 if letter in "MW" else 6
    letter_image = canvas.crop(canvas.getbbox()).resize((width, 8), Image.Resampling.BOX)
    tile = Image.new("L", (8, 8))
    tile.paste(letter_image, ((8 - width) // 2, 0))
    return np.asarray(tile)[..., None]


DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
BASE_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"  # as keras.datasets
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
_TIMEOUT = 30.0  # seconds without an answer, after which a download fails

_log = logging.getLogger(__name__)


def fashion_mnist(subset: Literal["train", "test"] = "train") -> Dataset:
    """Return Fashion-MNIST, images of clothes in ten classes, gray `[N, 28, 28, 1]` uint8.

    The files are read from the folder of Debian's package `dataset-fashion-mnist`, or else from the
    folder of `keras.datasets.fashion_mnist`. Files that are in neither folder are downloaded to the
    Keras folder, after a line on standard error.

    Parameters
    ----------
    subset : {"train", "test"}
        60,000 training images (default), or 10,000 test images.

    Raises
    ------
    DataError
        The files are missing and cannot be downloaded, or a file is damaged.
    """
    folder = DEBIAN_FOLDER
    if not DEBIAN_FOLDER.is_dir():
        folder = _keras_folder()
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            _download(missing, folder)
    images, labels = read_idx_folder(folder, subset)
    names = None if labels is None else CLASSES
    dataset = from_arrays(images, labels, name="fashion-mnist", class_names=names)
    return replace(dataset, source=str(folder))


def _keras_folder() -> Path:
    """Return the folder in which Keras keeps Fashion-MNIST: `$KERAS_HOME` or `~/.keras`."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return Path(home, "datasets", "fashion-mnist")


def _download(names: list[str], folder: Path) -> None:
    """Download the files `names` from `BASE_URL` into `folder`; each appears when it is complete.

    Raises
    ------
    DataError
        A file cannot be downloaded or written, or is damaged.
    """
    # A logging warning reaches standard error unless the program configures logging differently.
    _log.warning("fashion-mnist: downloading %d files from %s to %s", len(names), BASE_URL, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            _fetch(BASE_URL + name, folder / name)
    except (OSError, http.client.HTTPException, DataError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise DataError(
            f"fashion-mnist is neither in {DEBIAN_FOLDER} nor in {folder}, and cannot be "
            f"downloaded from {BASE_URL} ({reason}); run apt-get install dataset-fashion-mnist, "
            "or give the folder of its four IDX files"
        ) from error


def _fetch(url: str, target: Path) -> None:
    """Download one IDX file to `target`, after a check that the content is complete."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT) as response,
            open(partial, "wb") as file,
        ):
            shutil.copyfileobj(response, file)
        read_idx(partial)  # a broken connection leaves a shorter file without an error
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def is_idx_folder(folder: Path) -> bool:
    """Whether a folder directly holds images in IDX files with the names of MNIST."""
    return any(kind == "images" for _, kind in _find_idx_files(folder))


def read_idx_folder(
    folder: Path, subset: Literal["train", "test"]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images and labels of one subset from a folder of IDX files with the names of MNIST.

    Parameters
    ----------
    folder : Path
        The folder; a plain file is preferred to its gzip-compressed copy.
    subset : {"train", "test"}
        "test" reads the files that begin with `t10k` or `test`.

    Returns
    -------
    images : ndarray
        `[N, H, W, C]`, see `check_images`.
    labels : ndarray or None
        As in the file, not checked; None if there is no file of labels.

    Raises
    ------
    DataError
        The subset is missing, or a file is damaged or holds no images.
    """
    files = _find_idx_files(folder)
    if (subset, "images") not in files:
        raise DataError(
            f"{folder} has no {subset} images in IDX format; expected a file such as "
            f"{'train' if subset == 'train' else 't10k'}-images-idx3-ubyte.gz"
        )
    images = check_images(read_idx(files[subset, "images"]))
    if (subset, "labels") not in files:
        return images, None
    return images, read_idx(files[subset, "labels"])


def _find_idx_files(folder: Path) -> dict[tuple[str, str], Path]:
    """Return the IDX files in a folder: (subset, "images" or "labels") -> path."""
    files: dict[tuple[str, str], Path] = {}
    # In reverse order, so that the plain copy replaces the compressed copy of a file.
    for path in sorted(folder.iterdir(), reverse=True):
        match = _IDX_FILE.fullmatch(path.name)
        if match and path.is_file():
            subset = "train" if match["subset"] == "train" else "test"
            files[subset, match["kind"]] = path
    return files
