"""Data that needs no download: scikit-learn's handwritten digits, and pictures to try them on."""

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
from augan.data.validation import as_images
from augan.exceptions import DataError
from augan.io.arrays import read_idx
from augan.io.atomic import atomic_folder
from augan.io.images import write_png

FOREIGN_LETTERS = "AKMRWXZH"

_IDX_FILE = re.compile(
    r"(?P<part>train|t10k|test)[-_.](?P<kind>images|labels)[-_.]idx\d(-ubyte)?(\.gz)?", re.ASCII
)

# Left and top edge and side of squares with some structure in scikit-learn's two photographs.
_CROPS = (
    ("china.jpg", (0, 150, 200)),
    ("china.jpg", (100, 0, 400)),
    ("china.jpg", (400, 200, 200)),
    ("flower.jpg", (170, 60, 240)),
)


@dataclass(frozen=True)
class ExampleImages:
    """How many pictures `write_example_images` wrote."""

    count_normal: int
    count_foreign: int

    def to_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def digits(part: Literal["train", "test"] = "train") -> Dataset:
    """Return scikit-learn's handwritten digits, gray `[N, 8, 8, 1]` uint8, with labels 0..9.

    Every fifth picture is the held-out test part (359), all others are for training (1438).
    Names are the row numbers in scikit-learn's table.
    """
    # Imported here, because scikit-learn takes a second and most data is the user's own.
    from sklearn.datasets import load_digits

    table = load_digits()
    # scikit-learn counts inked pixels in blocks of 4 x 4: 0..16.
    pixels = np.rint(table.images * (255 / 16)).astype(np.uint8)
    everything = from_arrays(pixels, table.target, name="digits")
    held_out = np.arange(len(everything)) % 5 == 4
    chosen = everything.subset(held_out if part == "test" else ~held_out)
    return replace(chosen, source="sklearn.datasets.load_digits")


def write_example_images(folder: str | Path) -> ExampleImages:
    """Write held-out digits and pictures that are no digits, to try a digit detector on.

    60 digits of the test part, six of each class, are named `digit-<class>-<row>.png`; eight
    letters and four scraps of photographs are named `foreign-*.png`. All are 8 x 8, gray, uint8,
    and the same on every run.

    Parameters
    ----------
    folder
        A folder that does not exist yet; it appears only when all files are written.

    Raises
    ------
    DataError
        The folder exists already, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise DataError(f"{folder} exists already; name a new folder for the example images")
    normal, foreign = _example_digits(), _foreign_pictures()
    with atomic_folder(folder) as partial:
        for name, image in {**normal, **foreign}.items():
            write_png(partial / name, image)
    return ExampleImages(count_normal=len(normal), count_foreign=len(foreign))


def _example_digits(per_class: int = 6) -> dict[str, np.ndarray]:
    test = digits("test")
    labels = np.asarray(test.labels)
    chosen = [i for c in range(test.num_classes) for i in np.flatnonzero(labels == c)[:per_class]]
    return {f"digit-{labels[i]}-{int(test.names[i]):04d}.png": test.pictures[i] for i in chosen}


def _foreign_pictures() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_sample_image

    pictures = {f"foreign-letter-{c}.png": _letter(c) for c in FOREIGN_LETTERS}
    for number, (photograph, (left, top, side)) in enumerate(_CROPS, 1):
        gray = Image.fromarray(load_sample_image(photograph)).convert("L")
        crop = gray.crop((left, top, left + side, top + side))
        small = crop.resize((8, 8), Image.Resampling.BOX)
        pictures[f"foreign-photo-{number}.png"] = np.asarray(small)[..., None]
    return pictures


def _letter(letter: str) -> np.ndarray:
    """Draw a letter `[8, 8, 1]`, bright on dark and as high as the square, like the digits."""
    canvas = Image.new("L", (128, 128))
    font = ImageFont.load_default(64)
    ImageDraw.Draw(canvas).text((32, 32), letter, fill=255, font=font, stroke_width=1)
    # Letters of three strokes side by side need the whole width to stay legible.
    width = 8 if letter in "MW" else 6
    drawn = canvas.crop(canvas.getbbox()).resize((width, 8), Image.Resampling.BOX)
    tile = Image.new("L", (8, 8))
    tile.paste(drawn, ((8 - width) // 2, 0))
    return np.asarray(tile)[..., None]


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


def is_idx_folder(folder: Path) -> bool:
    """Tell whether a folder holds images in IDX files named as those of MNIST."""
    return any(kind == "images" for _, kind in _find_idx_files(folder))


def read_idx_folder(
    folder: Path, part: Literal["train", "test"]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the images `[N, H, W, C]` and labels `[N]` (or None) of one part.

    Raises
    ------
    DataError
        The part is absent, a file is damaged, or a file does not hold what its name says.
    """
    files = _find_idx_files(folder)
    if (part, "images") not in files:
        raise DataError(
            f"{folder} has no {part} images in IDX format; expected a file such as "
            f"{'train' if part == 'train' else 't10k'}-images-idx3-ubyte.gz"
        )
    images = as_images(read_idx(files[part, "images"]))
    if (part, "labels") not in files:
        return images, None
    return images, read_idx(files[part, "labels"])


def _find_idx_files(folder: Path) -> dict[tuple[str, str], Path]:
    found: dict[tuple[str, str], Path] = {}
    # Sorted, so that of a plain and a compressed copy always the plain one is taken.
    for path in sorted(folder.iterdir(), reverse=True):
        match = _IDX_FILE.fullmatch(path.name)
        if match and path.is_file():
            part = "train" if match["part"] == "train" else "test"
            found[part, match["kind"]] = path
    return found
