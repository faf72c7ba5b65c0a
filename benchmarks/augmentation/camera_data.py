"""Images of the translation benchmark: two cameras, test images, and a pool without labels.

Every experiment draws its images from a seed. The labeled images of both cameras, the pool and the
test images share no image, and no object where one object has several images.
"""

import csv
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.sparse.csgraph import connected_components

from augan.data.datasets import digits
from augan.data.loading import load_dataset
from augan.evaluation.translation.camera_shift import CameraShift
from augan.exceptions import DataError
from augan.io.hashing import sha256_array
from augan.io.images import read_image
from augan.seeding import child_rng, child_seed
from benchmarks.augmentation.random_cameras import RandomCamera
from benchmarks.common.harness import digest

MISSING = (2, 4, 8)  # pullovers, coats and bags of Fashion-MNIST
LABELS_PER_CLASS = 300  # of each camera
POOL_PER_CLASS = 200
TEST_PER_CLASS = 500
UNLABELED_PER_CLASS = 500
GARMENT_SIZE = 32
DIGIT_SIZE = 16
TILE_SIZE = 32
WINDOW = 96  # side of the part of a tile that becomes an image, in pixels of the photograph
OLD_EXPOSURES, NEW_EXPOSURES = ("exp1", "exp2"), ("exp5", "exp6")
WINDOWS_PER_NORMAL, WINDOWS_PER_DEFECT = 4, 12
TILE_CLASSES = ("normal", "crack", "fray")


@dataclass(frozen=True, eq=False)
class CameraExperiment:
    """Images of one experiment and one repeat.

    Attributes
    ----------
    shift : CameraShift
        The images that arms may use.
    test_images : ndarray of uint8 [T, S, S, C]
        Images of the new camera, of all classes.
    test_labels : ndarray of int64 [T]
    pool : ndarray of uint8 [P, S, S, C]
        Images of the new camera without labels, for the statistics of AdaBN; none is a test image.
    """

    shift: CameraShift
    test_images: np.ndarray
    test_labels: np.ndarray
    pool: np.ndarray

    @property
    def sha256(self) -> str:
        """Digest of all images and labels."""
        shift = self.shift
        arrays = [
            *(shift.old_images, shift.old_labels, shift.new_images, shift.new_labels),
            *(self.test_images, self.test_labels, self.pool),
        ]
        if shift.unlabeled is not None:
            arrays.append(shift.unlabeled)
        return digest([sha256_array(np.ascontiguousarray(array)) for array in arrays])


@functools.cache
def load_garments(folder: Path, subset: str) -> tuple[np.ndarray, np.ndarray]:
    """Return gray images `[N, 32, 32]` with a black margin of two pixels, and their classes."""
    dataset = load_dataset(folder, subset=subset)
    if dataset.labels is None:
        raise DataError(f"{dataset.name} has no classes; give a folder with Fashion-MNIST")
    images = np.asarray(dataset.images)
    margin = (GARMENT_SIZE - images.shape[1]) // 2
    return np.pad(images[..., 0], ((0, 0), *2 * ((margin, margin),))), dataset.labels


@functools.cache
def load_photographs(folder: Path, subset: str) -> np.ndarray:
    """Return color photographs of 32 x 32 pixels, uint8 `[N, 32, 32, 3]`."""
    paths = sorted((folder / subset).glob("*/*"))
    if not paths:
        raise DataError(f"{folder / subset} has no folders of images; give a folder like rgb32")
    return np.stack([read_image(path) for path in paths])


def split_by_class(
    labels: np.ndarray, counts: Sequence[int], rng: np.random.Generator
) -> list[np.ndarray]:
    """Return disjoint random rows: `counts[i]` of each class in the part i, classes mixed."""
    parts: list[list[np.ndarray]] = [[] for _ in counts]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) < sum(counts):
            raise DataError(
                f"class {label} has {len(rows)} images, but {sum(counts)} are needed for both "
                "cameras, the pool and the test"
            )
        for part, chunk in zip(parts, np.split(rows, np.cumsum(counts))):
            part.append(chunk)
    return [rng.permutation(np.concatenate(part)) for part in parts]


def garments(
    camera: RandomCamera, repeat: int, folders: tuple[Path, Path], *, rare_labels: int = 0
) -> CameraExperiment:
    """Return garments of Fashion-MNIST before a random camera, without labels of three classes.

    Parameters
    ----------
    camera : RandomCamera
        A development camera takes its test images from the training images of Fashion-MNIST, and
        only a test camera takes them from the test images.
    repeat : int
        Seed of the images.
    folders : tuple of two paths
        Fashion-MNIST, and photographs as in rgb32.
    rare_labels : int
        Labels of each missing class on the new camera.
    """
    counts = [LABELS_PER_CLASS, LABELS_PER_CLASS, POOL_PER_CLASS]
    old, new, pool, test = _draw_garments(camera, repeat, folders, counts)
    is_rare = np.isin(new[1], MISSING)
    kept = ~is_rare
    for label in MISSING:
        kept[np.flatnonzero(new[1] == label)[:rare_labels]] = True
    view = _View(camera, repeat, folders[1])
    pool_images = view.render(pool[0], "pool")
    shift = CameraShift(
        old_images=np.repeat(old[0][..., None], 3, axis=-1),
        old_labels=old[1],
        new_images=view.render(new[0], "new")[kept],
        new_labels=new[1][kept],
        num_classes=10,
        missing=MISSING,
        unlabeled=pool_images,
        seed=repeat,
    )
    return CameraExperiment(shift, view.render(test[0], "test"), test[1], pool_images)


def unlabeled_garments(
    camera: RandomCamera, repeat: int, folders: tuple[Path, Path]
) -> CameraExperiment:
    """Return garments where the new camera has 5,000 images and no label; arguments as above."""
    counts = [LABELS_PER_CLASS, UNLABELED_PER_CLASS]
    old, unlabeled, test = _draw_garments(camera, repeat, folders, counts)
    view = _View(camera, repeat, folders[1])
    images = view.render(unlabeled[0], "pool")
    shift = CameraShift(
        old_images=np.repeat(old[0][..., None], 3, axis=-1),
        old_labels=old[1],
        new_images=images[:0],
        new_labels=old[1][:0],
        num_classes=10,
        missing=tuple(range(10)),
        unlabeled=images,
        seed=repeat,
    )
    return CameraExperiment(shift, view.render(test[0], "test"), test[1], images)


@dataclass(frozen=True)
class _View:
    """A random camera with its photographs, which differ between training and test images."""

    camera: RandomCamera
    repeat: int
    photographs: Path

    def render(self, gray: np.ndarray, part: str) -> np.ndarray:
        """Return the images of a part: "new", "pool" or "test"."""
        backgrounds = load_photographs(self.photographs, "test" if part == "test" else "train")
        return self.camera.render(gray, child_seed(self.repeat, "view", part), backgrounds)


def _draw_garments(
    camera: RandomCamera, repeat: int, folders: tuple[Path, Path], counts: Sequence[int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return gray images and classes of the parts of `counts`, and of the test."""
    images, labels = load_garments(folders[0], "train")
    rng = child_rng(repeat, "camera-data", camera.name)
    parts = split_by_class(labels, [*counts, TEST_PER_CLASS], rng)
    drawn = [(images[part], labels[part]) for part in parts]
    if camera.name.startswith("test"):
        images, labels = load_garments(folders[0], "test")
        (part,) = split_by_class(labels, [TEST_PER_CLASS], rng)
        drawn[-1] = (images[part], labels[part])
    return drawn


def rendered_digits(folder: Path, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return digits drawn in random fonts, sizes, slants and places.

    Parameters
    ----------
    folder : path
        Folder of TrueType fonts; also its subfolders.
    count : int
        Images of each digit.
    seed : int

    Returns
    -------
    images : ndarray of uint8 [10 * count, 16, 16, 1]
        White on black.
    labels : ndarray of int64 [10 * count]
    """
    fonts = sorted(folder.rglob("*.ttf"))
    if not fonts:
        raise DataError(f"{folder} has no TrueType fonts (*.ttf)")
    labels = np.repeat(np.arange(10), count)
    images = [
        _draw_digit(str(label), fonts, child_rng(seed, "digit", index))
        for index, label in enumerate(labels)
    ]
    return np.stack(images)[..., None], labels


def _draw_digit(text: str, fonts: Sequence[Path], rng: np.random.Generator) -> np.ndarray:
    scale = 8  # drawn large, then averaged
    side = scale * DIGIT_SIZE
    size = int(side * rng.uniform(0.85, 1.15))
    font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), size)
    canvas = Image.new("L", (side, side), 0)
    place = tuple(side / 2 + rng.uniform(-0.06, 0.06, 2) * side)
    ImageDraw.Draw(canvas).text(place, text, fill=255, font=font, anchor="mm")
    slant = rng.uniform(-0.25, 0.25)
    shear = (1, slant, -slant * side / 2, 0, 1, 0)
    canvas = canvas.transform(canvas.size, Image.Transform.AFFINE, shear)
    canvas = canvas.rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR)
    return np.asarray(canvas.resize((DIGIT_SIZE, DIGIT_SIZE), Image.Resampling.BOX))


def font_digits(fonts: Path, repeat: int) -> CameraExperiment:
    """Return digits of fonts as the old camera, scikit-learn's handwritten digits as the new one.

    60 handwritten images of each of seven digits are labeled, 30 of each digit are in the pool, and
    all others are test images. The repeats leave out other digits.
    """
    rng = child_rng(repeat, "font-digits")
    missing = tuple(sorted(int(digit) for digit in rng.permutation(10)[:3]))
    old_images, old_labels = rendered_digits(fonts, LABELS_PER_CLASS, repeat)
    parts = [digits(subset) for subset in ("train", "test")]
    small = np.concatenate([np.asarray(part.images)[..., 0] for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    images = np.stack(
        [
            np.asarray(Image.fromarray(image).resize(2 * (DIGIT_SIZE,), Image.Resampling.BILINEAR))
            for image in small
        ]
    )[..., None]
    new, pool = split_by_class(labels, [60, 30], rng)
    test = np.setdiff1d(np.arange(len(labels)), np.concatenate([new, pool]))
    new = new[~np.isin(labels[new], missing)]
    return CameraExperiment(
        CameraShift(old_images, old_labels, images[new], labels[new], 10, missing, seed=repeat),
        images[test],
        labels[test],
        images[pool],
    )


def tile_exposures(folder: Path, repeat: int) -> CameraExperiment:
    """Return magnetic tiles at a short exposure as the old camera, at a long one as the new one.

    The exposures differ by their gain alone. An image is a window of a photograph: around a place
    of the defect, or anywhere on a normal tile. Half of the tiles of each class are test tiles; of
    the other tiles, each camera has its own half, and cracks of the new camera have no label. The
    pool has windows of the new camera's tiles of all classes.
    """
    rng = child_rng(repeat, "tile-exposures")
    parts: dict[str, tuple[list[np.ndarray], list[int]]] = {
        part: ([], []) for part in ("old", "new", "test")
    }
    for label, name in enumerate(TILE_CLASSES):
        paths, groups = _tiles(folder, name)
        names = rng.permutation(np.unique(groups))
        test, old = names[: len(names) // 2], names[len(names) // 2 :: 2]
        for path, group in zip(paths, groups):
            part = "test" if group in test else "old" if group in old else "new"
            exposures = OLD_EXPOSURES if part == "old" else NEW_EXPOSURES
            if path.name.startswith(exposures):
                windows = _windows(path, folder, name, rng)
                parts[part][0].extend(windows)
                parts[part][1].extend([label] * len(windows))
    (old_images, old_labels), (new_images, new_labels), (test_images, test_labels) = (
        (np.stack(images)[..., None], np.array(labels)) for images, labels in parts.values()
    )
    missing = TILE_CLASSES.index("crack")
    labeled = new_labels != missing
    shift = CameraShift(
        old_images,
        old_labels,
        new_images[labeled],
        new_labels[labeled],
        len(TILE_CLASSES),
        (missing,),
        seed=repeat,
    )
    return CameraExperiment(shift, test_images, test_labels, new_images)


def _tiles(folder: Path, name: str) -> tuple[list[Path], np.ndarray]:
    """Return the photographs of a class, and the tile of each one.

    The tiles of defects are unknown; photographs whose thumbnails correlate above 0.8 are taken as
    one tile.
    """
    if name == "normal":
        with open(folder / "groups.csv", newline="", encoding="utf-8") as file:
            rows = [(row["path"], row["group"]) for row in csv.DictReader(file)]
        return [folder / path for path, _ in rows], np.array([group for _, group in rows])
    paths = sorted((folder / "test" / name).glob("*.jpg"))
    thumbnails = []
    for path in paths:
        with Image.open(path) as photograph:
            small = photograph.convert("L").resize((24, 24), Image.Resampling.BOX)
        thumbnail = np.asarray(small, float).ravel()
        thumbnails.append((thumbnail - thumbnail.mean()) / thumbnail.std())
    correlation = np.corrcoef(thumbnails)
    return paths, connected_components(correlation > 0.8)[1].astype(str)


def _windows(path: Path, folder: Path, name: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Return windows of a photograph, of `TILE_SIZE` pixels."""
    photograph = read_image(path)[..., 0]
    height, width = photograph.shape
    if name == "normal":
        places = rng.integers(0, (height, width), (WINDOWS_PER_NORMAL, 2))
    else:
        mask_path = next((folder / "masks" / name).glob(f"{path.stem}.*"))
        marked = np.argwhere(read_image(mask_path)[..., 0] > 127)
        places = marked[rng.integers(len(marked), size=WINDOWS_PER_DEFECT)]
        places = places + rng.integers(-WINDOW // 6, WINDOW // 6 + 1, places.shape)
    corners = np.clip(places - WINDOW // 2, 0, (height - WINDOW, width - WINDOW))
    return [
        np.asarray(
            Image.fromarray(photograph[top : top + WINDOW, left : left + WINDOW]).resize(
                2 * (TILE_SIZE,), Image.Resampling.BOX
            )
        )
        for top, left in corners
    ]
