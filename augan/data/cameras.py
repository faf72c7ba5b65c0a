"""Datasets of two cameras: classes that both have, checks, and a table of class names.

A translation of images has an old and a new camera, each with a dataset of its own. Classes are the
same if they have the same name.
"""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from augan.data.cache import PreparedDataset
from augan.data.dataset import Dataset
from augan.exceptions import DataError
from augan.io.csv_safety import read_csv_rows, unescape_formula
from augan.io.hashing import array_digest

MIN_CAMERA_IMAGES = 10  # of each camera, labeled or not
FEW_CAMERA_IMAGES = 50  # fewer images of the new camera give a warning
MAX_COUNT_RATIO = 20  # images of the old camera for each image of the new one, without a warning
MAX_EQUAL_FRACTION = 0.5  # of the images of the new camera that equal an image of the old one
_NUM_SHOWN = 5  # classes in a message


def joint_class_names(old: Dataset, new: Dataset) -> tuple[str, ...]:
    """Return the classes of the old camera in order, then those that only the new camera has."""
    known = set(old.class_names)
    return (*old.class_names, *(name for name in new.class_names if name not in known))


def common_class_names(old: Dataset, new: Dataset) -> tuple[str, ...]:
    """Return the classes that both cameras have, in the order of the old camera."""
    known = set(new.class_names)
    return tuple(name for name in old.class_names if name in known)


def rename_classes(dataset: Dataset, names: Mapping[str, str]) -> Dataset:
    """Return a dataset with other names of classes; classes that get one name become one class.

    Parameters
    ----------
    dataset : Dataset
        Labeled samples.
    names : mapping of str to str
        Class of the dataset -> new name. Other classes keep their name.

    Examples
    --------
    >>> from augan.data.dataset import from_arrays
    >>> images = np.zeros((3, 8, 8), np.uint8)
    >>> dataset = from_arrays(images, ["kratzer", "ok", "riss"])
    >>> renamed = rename_classes(dataset, {"kratzer": "scratch", "riss": "scratch"})
    >>> renamed.class_names, renamed.labels.tolist()
    (('scratch', 'ok'), [0, 1, 0])
    """
    if dataset.labels is None:
        return dataset
    renamed = [names.get(name, name) for name in dataset.class_names]
    class_names = tuple(dict.fromkeys(renamed))
    positions = np.array([class_names.index(name) for name in renamed], np.int64)
    return replace(dataset, class_names=class_names, labels=positions[dataset.labels])


def apply_class_map(path: str | Path, old: Dataset, new: Dataset) -> Dataset:
    """Return the dataset of the new camera with the class names of the old camera, from a table.

    Parameters and errors are those of `read_class_map`.
    """
    return rename_classes(new, read_class_map(path, old, new))


def read_class_map(path: str | Path, old: Dataset, new: Dataset) -> dict[str, str]:
    """Return the name on the old camera of each class of the new camera that a table lists.

    Parameters
    ----------
    path : path-like
        A CSV file with the columns `old` and `new`: a class of the old camera, and the name that
        the new camera has for it. Several names of the new camera may mean one class. Classes that
        are not listed keep their name.
    old, new : Dataset
        Labeled images of each camera.

    Raises
    ------
    DataError
        The table cannot be read, names a class that its camera does not have, gives a class two
        meanings, or a camera has no classes.
    """
    path = Path(path)
    for dataset in (old, new):
        if dataset.labels is None:
            raise DataError(
                f"{path} is about classes, but {dataset.name} has no labels; leave out "
                "`class_map`, or sort the images into one folder for each class"
            )
    names: dict[str, str] = {}
    rows = read_csv_rows(
        path,
        ("old", "new"),
        content="table of classes",
        first_line="old,new",
        remedy="give a UTF-8 file of comma-separated values",
    )
    for where, row in rows:
        old_name = _known_class(row["old"], old, "old", where)
        new_name = _known_class(row["new"], new, "new", where)
        former = names.setdefault(new_name, old_name)
        if former != old_name:
            raise DataError(
                f"{where}: the class {new_name} of the new camera is {old_name}, but an earlier "
                f"row says {former}; keep one of the two"
            )
    return names


def _known_class(text: str, dataset: Dataset, camera: str, where: str) -> str:
    """Return a class in a table of classes; DataError unless the camera has it.

    The table may hold a name as it is, or escaped as augan writes it.
    """
    for name in (text, unescape_formula(text)):
        if name in dataset.class_names:
            return name
    close = difflib.get_close_matches(text, dataset.class_names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise DataError(
        f"{where}: the {camera} camera ({dataset.name}) has no class {text!r}; its classes are "
        f"{_shown(dataset.class_names)}{hint}"
    )


def check_cameras(old: Dataset, new: Dataset) -> list[str]:
    """Check whether a translation from one camera to another can be trained; decode no image.

    Parameters
    ----------
    old, new : Dataset
        Images of each camera. One or both may be without labels.

    Returns
    -------
    list of str
        Warnings for the user, in full sentences.

    Raises
    ------
    DataError
        A dataset is a table or has too few images, both are the same folder, or both have labels
        and no class in common.
    """
    for camera, dataset in (("old", old), ("new", new)):
        dataset.require_images(
            f"a translation to a new camera needs images, but the {camera} camera "
            f"({dataset.name}) is a table; give folders of images"
        )
        count = len(dataset) + dataset.num_unlabeled
        if count < MIN_CAMERA_IMAGES:
            raise DataError(
                f"the {camera} camera ({dataset.name}) has {count} "
                f"{'image' if count == 1 else 'images'}, but at least {MIN_CAMERA_IMAGES} are "
                "needed, and some hundred to learn a look; add images"
            )
    if _is_same_source(old, new):
        raise DataError(
            f"the old and the new camera are the same data, {old.source}; give the images of the "
            "new camera with `translate_to`"
        )
    common = common_class_names(old, new)
    if old.class_names and new.class_names and not common:
        raise DataError(
            f"the cameras have no class in common: the old camera has "
            f"{_shown(old.class_names)}, the new camera {_shown(new.class_names)}; name equal "
            "classes alike, or give a table with the columns old and new as `class_map`"
        )
    return [*_class_warnings(old, new, common), *_count_warnings(old, new)]


def _shown(names: tuple[str, ...]) -> str:
    """Return the first names of classes as text."""
    more = f" and {len(names) - _NUM_SHOWN} more" if len(names) > _NUM_SHOWN else ""
    return f"{', '.join(names[:_NUM_SHOWN])}{more}"


def _is_same_source(old: Dataset, new: Dataset) -> bool:
    """Return whether two datasets were read from one folder, file or built-in name."""
    if old.source is None or new.source is None:
        return False
    return Path(old.source).resolve() == Path(new.source).resolve()


def _class_warnings(old: Dataset, new: Dataset, common: tuple[str, ...]) -> list[str]:
    """Return a warning if nothing ties the classes of both cameras, or names differ in case only.

    A discriminator without classes lets the translator change the class of an image (Cohen et al.
    2018, "Distribution matching losses can hallucinate features in medical image translation").
    """
    if not common:
        which = " and ".join(
            f"the {camera} camera ({dataset.name})"
            for camera, dataset in (("old", old), ("new", new))
            if not dataset.class_names
        )
        return [
            f"{which} has no labels, so nothing but the shape of an image ties its class: the "
            "translation may change classes; label some images of the common classes if you can"
        ]
    folded = {name.casefold(): name for name in old.class_names if name not in common}
    return [
        f"the class {name} of the new camera counts as another class than {folded[key]} of the "
        "old camera; if they are the same, give a table of classes with --class-map"
        for name in new.class_names
        if name not in common and (key := name.casefold()) in folded
    ]


def _count_warnings(old: Dataset, new: Dataset) -> list[str]:
    """Return a warning if there are few images of the new camera, or far fewer than of the old."""
    num_old, num_new = (len(data) + data.num_unlabeled for data in (old, new))
    if num_new >= FEW_CAMERA_IMAGES and num_new * MAX_COUNT_RATIO >= num_old:
        return []
    return [
        f"the new camera has only {num_new} images, and the old camera {num_old}: the "
        "discriminator soon knows few images by heart, and translated images then repeat them; "
        "add images of the new camera, labeled or not"
    ]


def check_different_images(old: PreparedDataset, new: PreparedDataset) -> list[str]:
    """Check that the images of two cameras are not the same images under other names.

    Parameters
    ----------
    old, new : PreparedDataset
        Prepared images of each camera.

    Returns
    -------
    list of str
        A warning if some images of the new camera equal images of the old camera.

    Raises
    ------
    DataError
        At least half of the images of the new camera are equal to images of the old camera.
    """
    if old.pixels.dtype != new.pixels.dtype or old.pixels.shape[1:] != new.pixels.shape[1:]:
        return []
    known = {array_digest(image) for image in old.pixels}
    equal = np.array([array_digest(image) in known for image in new.pixels], bool)
    count, total = int(equal.sum()), len(equal)
    if not count:
        return []
    example = new.dataset.names[int(np.flatnonzero(equal)[0])]
    text = (
        f"{count} of {total} images of the new camera ({new.dataset.name}) are equal to images of "
        f"the old camera ({old.dataset.name}), for example {example}"
    )
    if count >= MAX_EQUAL_FRACTION * total:
        raise DataError(f"{text}; give images that the new camera took with `translate_to`")
    return [f"{text}; remove them from one of the two, unless both cameras took them"]
