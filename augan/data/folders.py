"""Image files in folders: which there are, and what their places say about them."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from augan.data.dataset import Dataset, ImageFiles, check_skipped
from augan.exceptions import DataError
from augan.io.images import IMAGE_SUFFIXES, ImageHeader, UnreadableImage, read_header
from augan.io.layout import RESULT_MARKERS

UNLABELED_FOLDERS = ("unlabeled", "unlabelled")  # both spellings are accepted
TRAINS, TESTS = ("train", "training"), ("test", "testing")  # what the two parts may be called
# What augan writes beside pictures of its own: below, a folder that holds one is not searched.
# What may lie beside the part that is trained on; else "train" may be a class beside others.
BESIDE = (
    *TRAINS,
    *TESTS,
    *UNLABELED_FOLDERS,
    "val",
    "valid",
    "validation",
    "ground_truth",
    "masks",
)


def find_images(folder: str | Path) -> list[str]:
    """Return the image files below a folder, sorted, as relative POSIX paths.

    Hidden files and folders are left out, and so are runs and results of augan that lie below.
    Links to files count; links to folders are not followed, so that no circle of links can trap
    the search.

    Raises
    ------
    DataError
        The folder, or one below it, cannot be searched.
    """
    folder = Path(folder)
    found: list[str] = []
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=False):
        if place != str(folder) and not RESULT_MARKERS.isdisjoint(files):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(place, name)
            if not name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES:
                found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def _refuse(error: OSError) -> None:
    # Silence, the default, would train on whatever happens to be accessible.
    raise DataError(
        f"cannot search the folder {error.filename}: {error.strerror}; make it readable, or move "
        "it elsewhere"
    ) from error


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Sort key by which "10" follows "9"."""
    # The pattern captures, so text and numbers alternate and like always meets like.
    pieces = re.split(r"(\d+)", name.casefold())
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)], name


def folder_dataset(folder: Path, part: Literal["train", "test"]) -> Dataset:
    """Return the dataset in a folder: flat, of class folders, or divided into train and test.

    Names are relative to `folder`. Files that are empty or have no readable header are left
    out and recorded. A folder called `unlabeled` or `unlabeled`, beside the class folders or
    beside `train`, is never a class.

    Raises
    ------
    DataError
        The folder is unclear about its classes, lacks the part, or holds no readable image.
    """
    base = _part_folder(folder, part)
    prefix = base.relative_to(folder)
    found = [name for name in find_images(base) if not _is_unlabeled(name)]
    unnamed, warnings = _unlabeled(folder, base) if part == "train" else ([], [])
    if not found and unnamed:
        warnings.append(
            f"{folder} has no class folders: its {len(unnamed)} unlabeled images are trained on "
            "as they are, without classes, and a detector takes all of them for normal"
        )
        return replace(_files_dataset(folder, unnamed), warnings=tuple(warnings))
    if not found:
        raise DataError(
            f"{base} holds no images; expected files ending in {' '.join(sorted(IMAGE_SUFFIXES))}"
            ", in the folder itself or in one subfolder per class"
        )
    classes = _class_names(base, found)
    warnings += [*unused(_idle(base, found)), *deeper(base, found)]
    dataset = _files_dataset(folder, [(prefix / name).as_posix() for name in found])
    warnings += mixed_bits(dataset)
    # Relative to the classes' folder again, to see which class folder each lies in.
    readable = [Path(name).relative_to(prefix).as_posix() for name in dataset.names]
    return replace(
        dataset,
        labels=_labels(base, readable, classes) if classes else None,
        class_names=classes,
        unlabeled=_files_dataset(folder, unnamed) if unnamed else None,
        warnings=tuple(warnings),
    )


def _is_unlabeled(name: str) -> bool:
    return "/" in name and name.split("/")[0].casefold() in UNLABELED_FOLDERS


def _unlabeled(folder: Path, base: Path) -> tuple[list[str], list[str]]:
    """Return the unlabeled images, relative to `folder`, and a warning for each empty place.

    They lie beside the class folders or, where `base` is the folder `train`, also beside that.
    """
    found, warnings = [], []
    for place in dict.fromkeys((folder, base)):
        for home in sorted(
            path for path in place.iterdir() if path.name.casefold() in UNLABELED_FOLDERS
        ):
            if not home.is_dir():
                continue
            here = home.relative_to(folder)
            images = [(here / name).as_posix() for name in find_images(home)]
            found += images
            if not images:
                warnings.append(f"the folder {home} holds no images; it is ignored")
    return found, warnings


def _files_dataset(folder: Path, found: list[str]) -> Dataset:
    """Return the image files among `found` that have a readable header, without labels."""
    readable, skipped = _readable(folder, found)
    names = tuple(readable)
    return Dataset(
        name=folder.resolve().name,
        source=str(folder),
        images=ImageFiles(folder, names, list(readable.values())),
        names=names,
        skipped=tuple(skipped),
    )


def _part_folder(folder: Path, part: Literal["train", "test"]) -> Path:
    """Return the folder of a part, the folder itself where it is not divided.

    It is where there is a folder `train`, or one called like it beside one called like `test`.
    """
    below = [path for path in _entries(folder) if path.is_dir()]
    train, test = (_called(below, names) for names in (TRAINS, TESTS))
    if train is None or (train.name != TRAINS[0] and test is None):
        if part == "test":
            raise DataError(
                f"{folder} has no test part; put its images into the folders train and test"
            )
        return folder
    others = [
        path.name
        for path in below
        if test is None and path.name.casefold() not in BESIDE and find_images(path)
    ]
    if others:
        raise DataError(
            f"{folder} holds a folder {train.name} beside {', '.join(others[:3])}, which is either "
            "the part to train on or a class of its own; move it, or rename it if it is a class"
        )
    found = train if part == "train" else test
    if found is None:
        raise DataError(f"{folder} has no test part; expected a folder {folder / part}")
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        _refuse(error)
        raise


def _called(folders: list[Path], names: tuple[str, ...]) -> Path | None:
    """Return the folder of these that has one of the names, the exact one first."""
    exact = [path for path in folders if path.name == names[0]]
    alike = [path for path in folders if path.name.casefold() in names]
    return next(iter(exact + alike), None)


def _idle(base: Path, found: list[str]) -> list[Path]:
    """Return the folders directly in `base` that no image was found in."""
    used = {name.split("/")[0].casefold() for name in found} | set(UNLABELED_FOLDERS)
    return [p for p in _entries(base) if p.is_dir() and p.name.casefold() not in used]


def _class_names(base: Path, found: list[str]) -> tuple[str, ...]:
    """Return the class folders in natural order, none for a flat folder."""
    loose = [name for name in found if "/" not in name]
    classes = sorted({name.split("/")[0] for name in found if "/" in name}, key=natural_key)
    if loose and classes:
        raise DataError(
            f"{base} holds {len(loose)} loose images ({', '.join(loose[:3])}) beside the class "
            f"folders {', '.join(classes[:3])}; move them into a class folder, or remove them"
        )
    return tuple(classes)


def _readable(
    folder: Path, found: list[str]
) -> tuple[dict[str, ImageHeader], list[tuple[str, str]]]:
    readable: dict[str, ImageHeader] = {}
    skipped: list[tuple[str, str]] = []
    distinct: dict[ImageHeader, ImageHeader] = {}  # most files are alike: a million share a few
    for name in found:
        try:
            header = read_header(folder / name)
        except UnreadableImage as error:
            skipped.append((name, error.reason))
        else:
            readable[name] = distinct.setdefault(header, header)
    check_skipped(tuple(skipped), len(found))
    return readable, skipped


def _labels(base: Path, names: list[str], classes: tuple[str, ...]) -> np.ndarray:
    position = {name: index for index, name in enumerate(classes)}
    labels = np.array([position[name.split("/")[0]] for name in names], dtype=np.int64)
    empty = sorted(set(range(len(classes))) - set(labels.tolist()))
    if empty:
        raise DataError(
            f"no image of the class {classes[empty[0]]} in {base} can be read; repair its files "
            "or remove its folder"
        )
    return labels


def unused(folders: list[Path]) -> list[str]:
    """Warn of folders among the class folders that gave no image; empty ones need no word."""
    warnings = []
    for folder in folders:
        if folder.is_symlink():
            warnings.append(f"the folder {folder} is a link, which is not followed; it is ignored")
            continue
        suffixes = sorted({path.suffix for path in folder.rglob("*") if path.is_file()})
        shown = " ".join(suffix or "files without an ending" for suffix in suffixes[:3])
        if suffixes:
            warnings.append(f"the folder {folder} holds no images, but {shown}; it is ignored")
    return warnings


def deeper(base: Path, found: list[str]) -> list[str]:
    """Warn where the folders of a second level recur in several of the first: those may be classes.

    `found` are images relative to `base`.
    """
    within: dict[str, set[str]] = {}
    for name in found:
        first, *rest = name.split("/")
        if len(rest) > 1:
            within.setdefault(rest[0], set()).add(first)
    shared = sorted(name for name, classes in within.items() if len(classes) > 1)
    if len(shared) < 2:
        return []
    return [
        f"the classes are the folders directly in {base}, though several of these hold folders "
        f"called {', '.join(shared[:3])}; if those are the classes, name one of the others"
    ]


def mixed_bits(dataset: Dataset) -> list[str]:
    """Warn of images of 16 bits among others: all are taken for such."""
    if not isinstance(dataset.images, ImageFiles):
        return []
    names = zip(dataset.names, dataset.images.headers())
    deep = [name for name, header in names if header.dtype == "uint16"]
    if not 0 < len(deep) < len(dataset.names):
        return []
    return [
        f"{len(deep)} of {len(dataset.names)} images have 16 bits, for example {deep[0]}, and the "
        "others 8: all are brought to 16; if it is an oversight, convert or remove them"
    ]
