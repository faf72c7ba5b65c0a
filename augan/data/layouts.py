"""Layouts of public data sets of anomaly detection: MVTec AD, BTAD and VisA.

A category of MVTec AD is `train/good`, `test/<type>` and `ground_truth/<type>`, of BTAD
`train/ok`, `test/ok`, `test/ko` and `ground_truth/ko`, and of VisA `Data/Images/Normal`,
`Data/Images/Anomaly` and `Data/Masks`, with the split of all categories in
`split_csv/1cls.csv` next to them. Without the layout, defects and masks would be trained on.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from augan.data.files import MASK_FOLDERS, find_images, is_result_folder
from augan.exceptions import DataError

GOOD_FOLDERS = ("good", "ok", "normal")
TRAIN_FOLDERS, TEST_FOLDERS = ("train", "training"), ("test", "testing")
VISA_IMAGES = Path("Data", "Images")
VISA_SPLIT = Path("split_csv", "1cls.csv")  # next to the categories
_NORMAL, _ANOMALY = "Normal", "Anomaly"


@dataclass(frozen=True)
class Category:
    """The folder of one category of a data set, or an ordinary folder.

    Attributes
    ----------
    root : Path
        The folder that is divided into training and test images.
    kind : {"", "MVTec AD", "VisA"}
        The layout; "MVTec AD" also means BTAD, and "" an ordinary folder.
    notes : tuple of str
        Sentences that say what was recognized.
    """

    root: Path
    kind: Literal["", "MVTec AD", "VisA"] = ""
    notes: tuple[str, ...] = ()


def find_category(folder: Path) -> Category:
    """Recognize the layout of a folder, or of the only category in it.

    Raises
    ------
    DataError
        The folder holds several categories, or one next to other images: then it is unclear what
        is meant, and test images could become training images.
    """
    category = _category(folder)
    if category is not None:
        return category
    if find_subfolder(folder, TRAIN_FOLDERS) is not None:
        return Category(folder)
    subfolders = [path for path in visible_folders(folder) if not is_result_folder(path)]
    divided = [path for path in subfolders if _is_divided(path)]
    if not divided:
        return Category(folder)
    others = [path for path in subfolders if path not in divided and find_images(path)]
    if len(divided) > 1 or others:
        shown = ", ".join(path.name for path in divided[:5])
        verb = "is" if len(divided) == 1 else "are each"
        raise DataError(
            f"{folder} holds {shown}{', ...' if len(divided) > 5 else ''}, which {verb} divided "
            "into training and test images, so that test images would become training images; "
            f"name one of them, such as {divided[0]}"
        )
    only = divided[0]
    note = f"{folder} holds only {only.name}, which is divided into training and test images: read"
    category = _category(only)
    if category is None:
        return Category(only, notes=(f"{note} as {only}",))
    return Category(category.root, category.kind, (f"{note} as {only}", *category.notes))


def visible_folders(folder: Path) -> list[Path]:
    """Return the visible folders in `folder`, sorted; none if it cannot be read."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    return [path for path in paths if path.is_dir()]


def find_subfolder(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the subfolder with one of the names, compared without case, or None."""
    paths = [path for path in visible_folders(folder) if path.name.casefold() in names]
    exact = [path for path in paths if path.name == names[0]]
    return next(iter(exact + paths), None)


def _has_visa_images(folder: Path) -> bool:
    """Whether a folder has normal images as VisA does; False if it cannot be searched."""
    # Path.is_dir raises PermissionError, but the search for images names the folder and the fix.
    return os.path.isdir(folder / VISA_IMAGES / _NORMAL)


def _category(folder: Path) -> Category | None:
    """Return the folder as a category of MVTec AD, BTAD or VisA; None if it is none."""
    if _has_visa_images(folder):
        has_split = (folder.parent / VISA_SPLIT).is_file()
        source = f"the rows of {folder.parent / VISA_SPLIT}" if has_split else "no file of a split"
        note = (
            f"{folder} is laid out like VisA: normal images in {VISA_IMAGES / _NORMAL}, split by "
            f"{source}; anomalies and masks are not trained on"
        )
        return Category(folder, "VisA", (note,))
    train, test = (find_subfolder(folder, names) for names in (TRAIN_FOLDERS, TEST_FOLDERS))
    if train is None or test is None:
        return None
    classes, tested = visible_folders(train), visible_folders(test)
    is_good = len(classes) == 1 and classes[0].name.casefold() in GOOD_FOLDERS
    if not is_good or not tested:
        return None
    types = [path.name for path in tested if path.name.casefold() not in GOOD_FOLDERS]
    note = (
        f"{folder} is laid out like MVTec AD: trained on {train.name}/{classes[0].name}; the test "
        f"images ({', '.join(types[:3]) or 'good'}{', ...' if len(types) > 3 else ''}) and masks "
        "are not trained on"
    )
    return Category(folder, "MVTec AD", (note,))


def _is_divided(folder: Path) -> bool:
    """Whether a folder is divided into training and test images."""
    if _has_visa_images(folder):
        return True
    if find_subfolder(folder, TRAIN_FOLDERS) is None:
        return False
    has_masks = any(path.name.casefold() in MASK_FOLDERS for path in visible_folders(folder))
    return has_masks or find_subfolder(folder, TEST_FOLDERS) is not None


def visa_names(root: Path, names: list[str], subset: Literal["train", "test"]) -> list[str]:
    """Return the images of one subset of a category of VisA.

    Parameters
    ----------
    root : Path
        The category.
    names : list of str
        All images, relative to `root / VISA_IMAGES`.
    subset : {"train", "test"}
        Without a file of the split, all normal images are training images.

    Raises
    ------
    DataError
        There is no file of the split to tell the test subset, or it cannot be read.
    """
    path = root.parent / VISA_SPLIT
    if not path.is_file():
        if subset == "test":
            raise DataError(
                f"{root} has no test subset, because there is no {path}; evaluate on a folder of "
                "images that were not trained on"
            )
        return [name for name in names if name.split("/")[0] == _NORMAL]
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            chosen = {
                Path(root.parent, row["image"].replace("\\", "/"))
                for row in csv.DictReader(stream)
                if row["object"] == root.name and row["split"] == subset
            }
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise DataError(
            f"cannot read the split in {path}: {error!r}; it needs the columns object, split and "
            "image"
        ) from error
    return [name for name in names if root / VISA_IMAGES / name in chosen]


@dataclass(frozen=True)
class LabeledTestImages:
    """The labeled test images of a category.

    Attributes
    ----------
    root : Path
        The folder that holds them, with one subfolder for each label.
    names : list of str or None
        Images relative to `root`; None: all.
    masks : Path or None
        The folder of masks of the defects; None: there is none.
    notes : tuple of str
        Sentences that say what was recognized.
    """

    root: Path
    names: list[str] | None = None
    masks: Path | None = None
    notes: tuple[str, ...] = ()


def find_test_images(folder: Path) -> LabeledTestImages:
    """Return the test images of a category, or all images of an ordinary folder.

    Raises
    ------
    DataError
        As for `find_category` and `visa_names`.
    """
    if not folder.is_dir():
        return LabeledTestImages(folder)
    category = _category(folder)
    if category is None:
        return LabeledTestImages(folder)
    if category.kind == "VisA":
        root = category.root / VISA_IMAGES
        note = f"{folder} is laid out like VisA: evaluated on the test images of its split"
        names = visa_names(category.root, find_images(root), "test")
        return LabeledTestImages(root, names, _existing(category.root / "Data" / "Masks"), (note,))
    test = find_subfolder(category.root, TEST_FOLDERS) or category.root
    note = f"{folder} is laid out like MVTec AD: evaluated on {test.name}"
    folders = visible_folders(category.root)
    masks = [path for path in folders if path.name.casefold() in MASK_FOLDERS]
    return LabeledTestImages(test, None, next(iter(masks), None), (note,))


def _existing(path: Path) -> Path | None:
    """Return the path of a folder if there is one."""
    return path if path.is_dir() else None
