"""Data that needs no download: scikit-learn's handwritten digits, and pictures to try them on."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augan.data.dataset import Dataset, from_arrays
from augan.exceptions import DataError
from augan.io.atomic import output_folder
from augan.io.images import write_png

FOREIGN_LETTERS = "AKMRWXZH"

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
    with output_folder(folder) as partial:
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
