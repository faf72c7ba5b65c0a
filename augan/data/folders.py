"""Image folders: the layout of class, train and test folders."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from augan.data.dataset import Dataset, check_skipped
from augan.data.files import (
    ImageSearch,
    expected_formats,
    find_images,
    raise_unsearchable,
    search_images,
)
from augan.data.labels import (
    LabelFile,
    LabelSource,
    SampleFinder,
    assign_labels,
    find_label_file,
    is_image_path,
    read_label_file,
)
from augan.data.layouts import (
    TEST_FOLDERS,
    TRAIN_FOLDERS,
    VISA_IMAGES,
    find_category,
    visa_names,
)
from augan.data.sequences import ImageFiles
from augan.data.validation import check_labels
from augan.exceptions import DataError
from augan.io.csv_safety import unescape_formula
from augan.io.formats import inspect_file
from augan.io.images import ImageHeader, UnreadableImage, list_pages, read_header
from augan.io.unicode_forms import compose, unify

UNLABELED_FOLDERS = ("unlabeled", "unlabelled")  # both spellings are accepted
# Folders that may lie next to `train`. With any other folder next to it, `train` may be a class.
RESERVED_FOLDERS = (
    *(*TRAIN_FOLDERS, *TEST_FOLDERS, *UNLABELED_FOLDERS),
    *("val", "valid", "validation", "ground_truth", "masks"),
)


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Return the sort key that orders class names naturally, so that "10" follows "9".

    Upper and lower case are equal, unless two names differ in case only.
    """
    # The pattern captures, so texts and numbers alternate, and each is compared with its own type.
    pieces = re.split(r"(\d+)", name.casefold())
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)], name


def folder_dataset(
    folder: Path,
    subset: Literal["train", "test"],
    source: LabelSource | None = None,
    *,
    follow_links: bool = False,
) -> Dataset:
    """Return the dataset in an image folder: flat, with class folders, or with train and test.

    Files that are empty or have no readable header are left out and recorded in `skipped`. A folder
    called `unlabeled` or `unlabelled`, next to the class folders or next to `train`, is never a
    class. In the training subset, its images become `unlabeled`, or the images of the dataset if
    there are no others.

    Parameters
    ----------
    folder : Path
        The folder that the user named.
    subset : {"train", "test"}
        The subset to read from a folder that is divided; an undivided folder has no test subset.
    source : LabelSource or None
        Labels that the user names. None (default): the folders, or an obvious file of labels.
    follow_links : bool
        Whether links to folders are searched too. Default: False.

    Returns
    -------
    Dataset
        Images that are decoded at each access, with names relative to `folder`; labels if the
        images lie in class folders.

    Raises
    ------
    DataError
        The classes of the folder are ambiguous, the subset is missing, there is no image, no image
        of a class is readable, or more than a tenth of all files cannot be read.
    """
    category = find_category(folder)
    is_visa = category.kind == "VisA"
    base = category.root / VISA_IMAGES if is_visa else _subset_folder(category.root, subset)
    prefix = base.relative_to(folder)
    found = search_images(base, follow_links=follow_links)
    names = [name for name in found.names if not _is_unlabeled(name)]
    if is_visa:
        names = visa_names(category.root, names, subset)
    warnings = [*(category.notes if subset == "train" else ()), *found.warnings]
    unlabeled: list[str] = []
    if subset == "train":
        unlabeled, empty = _find_unlabeled(folder, base, follow_links)
        warnings += empty
    left_out = _left_out(folder, base, found)
    if not names and unlabeled:
        warnings.append(
            f"{folder} has no class folders: its {len(unlabeled)} unlabeled images are trained on "
            "as they are, without classes, and a detector takes all of them for normal"
        )
        dataset = _files_dataset(folder, unlabeled)
        return replace(dataset, not_looked_at=left_out, warnings=tuple(warnings))
    if not names:
        raise DataError(
            f"{base} holds no images{_describe_links(base)}; expected {expected_formats()}, in the "
            f"folder itself or in one subfolder per class{found.describe_nothing()}"
        )
    source = source or LabelSource()
    source.check_columns()
    file = None if source.file is None else read_label_file(source)
    if source.labels is None and not is_visa and _is_one_folder(names):
        paths = [(prefix / name).as_posix() for name in names]
        file = find_label_file((folder, base, base.parent), paths, folder)
        if file is not None:
            warnings.append(
                f"the labels are those in {file.path} (columns {' and '.join(file.columns)}); "
                "--labels folders (labels='folders' in Python) takes the folders instead"
            )
    if file is not None:
        paths = [(prefix / name).as_posix() for name in names]
        left_out = tuple(
            (name, reason)
            for name, reason in left_out
            if not file.path.exists() or not file.path.samefile(folder / name)
        )
        dataset = replace(_labeled_dataset(folder, paths, file, base), not_looked_at=left_out)
        if subset == "test":
            dataset = replace(dataset, unlabeled=None)
        warnings += [*dataset.warnings, *warn_mixed_bit_depth(dataset), *warn_synthetic(dataset)]
        return replace(dataset, warnings=tuple(warnings))
    classes = _class_names(base, names)
    warnings += warn_empty_class_folders(_folders_without_images(base, found.names))
    warnings += warn_nested_classes(base, names)
    dataset = _files_dataset(folder, [(prefix / name).as_posix() for name in names])
    warnings += [*warn_mixed_bit_depth(dataset), *warn_synthetic(dataset)]
    # Relative to `base` again, because the first folder below `base` is the class.
    readable = [Path(name).relative_to(prefix).as_posix() for name in dataset.names]
    return replace(
        dataset,
        labels=_labels(base, readable, classes) if classes else None,
        class_names=classes,
        not_looked_at=left_out,
        unlabeled=_files_dataset(folder, unlabeled) if unlabeled else None,
        warnings=tuple(warnings),
    )


def _is_one_folder(names: list[str]) -> bool:
    """Whether all images lie in one folder, which therefore cannot be one of several classes."""
    return len({name.split("/")[0] if "/" in name else "" for name in names}) == 1


def _labeled_dataset(folder: Path, names: list[str], file: LabelFile, base: Path) -> Dataset:
    """Return a dataset of image files with the labels of a file.

    Images that the file does not list become unlabeled images.

    Parameters
    ----------
    folder : Path
    names : list of str
        Images relative to `folder`.
    file : LabelFile
    base : Path
        A folder that paths in the file may be relative to.
    """
    folders = dict.fromkeys((file.path.parent, base, folder))
    assigned = assign_labels(file, SampleFinder(names, folder, folders))
    if not assigned.labels:
        raise DataError(
            f"{file.path} holds no label of the {len(names)} images in {folder}, such as "
            f"{names[0]}; its paths, such as {file.rows[0].path if file.rows else 'none'}, must be "
            f"absolute, or relative to {folder} or to the folder of the file"
        )
    warnings = list(file.notes)
    if missing := assigned.missing:
        warnings.append(
            f"{len(missing)} rows of {file.path} name files that do not exist, such as {missing[0]}"
        )
    listed = [name for name in names if name in assigned.labels]
    others = [name for name in names if name not in assigned.labels]
    if others:
        warnings.append(
            f"{len(others)} of {len(names)} images have no label in {file.path}, such as "
            f"{others[0]}: they are used without labels"
        )
    dataset = _files_dataset(folder, listed)
    texts = [assigned.labels[name] for name in dataset.names]
    classes = tuple(sorted(set(texts), key=natural_key))
    position = {name: index for index, name in enumerate(classes)}
    return replace(
        dataset,
        labels=np.array([position[text] for text in texts], np.int64),
        class_names=classes,
        groups=_groups_of(dataset.names, assigned.groups),
        unlabeled=_files_dataset(folder, others) if others else None,
        warnings=tuple(warnings),
    )


def _groups_of(names: Sequence[str], groups: dict[str, str] | None) -> np.ndarray | None:
    """Return the group of each image, text `[N]`; an image without one is a group of its own.

    `groups` maps images or files of several pages to groups; None if there are none.
    """
    if groups is None:
        return None
    found = (groups.get(name) or groups.get(name.rpartition("#")[0]) or name for name in names)
    return np.array(list(found), np.str_)


def are_paths(values: Any) -> bool:
    """Whether a list holds paths of existing image files; the first values are looked at."""
    if not len(values):
        return False
    texts = [str(value) if isinstance(value, str | Path) else "" for value in values[:20]]
    return all(is_image_path(text, Path()) for text in texts)


def paths_dataset(paths: list[str], labels: Any = None, *, root: Path | None = None) -> Dataset:
    """Return a dataset of image files that are named one by one.

    Parameters
    ----------
    paths : list of str
        Paths, absolute or relative to `root`.
    labels : array-like or None
        One label per path, a text or a number. None (default): no labels.
    root : Path or None
        None (default): the current folder.

    Raises
    ------
    DataError
        The labels do not fit, or more than a tenth of the files cannot be read.
    """
    root = root or Path()
    names = [name for path in paths for name in _pages(root, path)]
    dataset = replace(_files_dataset(root, names), name="images", source=None)
    warnings = [*warn_mixed_bit_depth(dataset), *warn_synthetic(dataset)]
    if labels is None:
        return replace(dataset, warnings=tuple(warnings))
    values, classes = check_labels(labels, len(paths), None)
    label_of = {
        name: int(value) for path, value in zip(paths, values) for name in _pages(root, path)
    }
    kept = np.array([label_of[name] for name in dataset.names], np.int64)
    return replace(dataset, labels=kept, class_names=classes, warnings=tuple(warnings))


def _pages(root: Path, path: str) -> list[str]:
    """Return the images in a file, by their paths relative to `root`: the file, or its pages."""
    numbers = list_pages(root / path).numbers
    return [f"{path}#{number}" for number in numbers] or [path]


def listed_dataset(path: Path, source: LabelSource) -> Dataset:
    """Return the dataset of a table with a column of paths of images, relative to its folder.

    Without a column of labels, there are no labels.
    """
    try:
        file = read_label_file(replace(source, labels=str(path)))
    except DataError as error:
        raise DataError(
            f"{path} lists images, but it is unclear which column holds their labels: {error}"
        ) from error
    cells = [unescape_formula(row.path).replace("\\", "/") for row in file.rows]
    labels = [row.label for row in file.rows]
    if not all(labels):
        raise DataError(
            f"{file.rows[labels.index('')].where}: the label is empty; give every row a label"
        )
    dataset = paths_dataset(list(dict.fromkeys(cells)), _one_label(file, cells), root=path.parent)
    note = (
        f"{path} is read as a list of {len(dataset)} images (column {file.columns[0]}) with labels "
        f"(column {file.columns[1]})"
    )
    groups = {cell: row.group for cell, row in zip(cells, file.rows)} if file.has_groups else None
    return replace(
        dataset,
        name=path.stem,
        source=str(path),
        groups=_groups_of(dataset.names, groups),
        warnings=(note, *dataset.warnings),
    )


def _one_label(file: LabelFile, cells: list[str]) -> list[str]:
    """Return the label of each different path; DataError if two rows contradict each other."""
    labels: dict[str, str] = {}
    for cell, row in zip(cells, file.rows):
        if labels.setdefault(cell, row.label) != row.label:
            raise DataError(
                f"{row.where}: {cell} is labeled {row.label}, but an earlier row says "
                f"{labels[cell]}; keep one of the two rows"
            )
    return list(labels.values())


def _left_out(folder: Path, base: Path, found: ImageSearch) -> tuple[tuple[str, str], ...]:
    """Return the files that are no part of the dataset, with names relative to `folder`.

    Links directly in `base` are left to `warn_empty_class_folders`, which names them. Images that
    lie next to the folder of the subset are files that are not looked at, too.
    """
    prefix = base.relative_to(folder)
    left_out = [
        ((prefix / name).as_posix() + name[len(name.rstrip("/")) :], reason)
        for name, reason in found.not_looked_at
        if not (name.endswith("/") and name.count("/") == 1)
    ]
    if base != folder:
        loose = (path for path in _entries(base.parent) if path.is_file())
        left_out += [
            (path.relative_to(folder).as_posix(), f"it lies next to the folder {base.name}")
            for path in loose
            if inspect_file(path).format is not None
        ]
    return tuple(left_out)


def _describe_links(base: Path) -> str:
    """Return that all folders in `base` are links, as part of a message; "" if they are not."""
    folders = [path for path in _entries(base) if path.is_dir()]
    if not folders or not all(path.is_symlink() for path in folders):
        return ""
    shown = ", ".join(path.name for path in folders[:3])
    return (
        f": its folders ({shown}{', ...' if len(folders) > 3 else ''}) are links, which are not "
        "followed; `follow_links` follows them"
    )


def _is_unlabeled(name: str) -> bool:
    """Whether the first folder of a relative path is `unlabeled` or `unlabelled`, in any case."""
    return "/" in name and name.split("/")[0].casefold() in UNLABELED_FOLDERS


def _find_unlabeled(folder: Path, base: Path, follow_links: bool) -> tuple[list[str], list[str]]:
    """Find the training images without labels of an image folder.

    Their folders lie in `base` and, if `base` is the folder `train`, also in `folder`.

    Returns
    -------
    names : list of str
        POSIX paths relative to `folder`.
    warnings : list of str
        One warning for each such folder that holds no images.
    """
    names, warnings = [], []
    for parent in dict.fromkeys((folder, base)):
        paths = (path for path in parent.iterdir() if path.name.casefold() in UNLABELED_FOLDERS)
        for path in sorted(paths):
            if not path.is_dir():
                continue
            prefix = path.relative_to(folder)
            images = [
                (prefix / name).as_posix() for name in find_images(path, follow_links=follow_links)
            ]
            names += images
            if not images:
                warnings.append(f"the folder {path} holds no images; it is ignored")
    return names, warnings


def _files_dataset(folder: Path, files: list[str]) -> Dataset:
    """Return a dataset without labels of image files; files without a readable header are skipped.

    `files` are paths relative to `folder`.
    """
    readable, skipped = _read_headers(folder, files)
    names = tuple(readable)
    return Dataset(
        name=folder.resolve().name,
        source=str(folder),
        images=ImageFiles(folder, names, list(readable.values())),
        names=names,
        skipped=tuple(skipped),
    )


def _subset_folder(folder: Path, subset: Literal["train", "test"]) -> Path:
    """Return the folder of one subset, or `folder` itself if it is not divided into train and test.

    The folder is divided if it has a folder `train`, or a folder with a similar name and a test
    folder.

    Raises
    ------
    DataError
        The subset is missing, or `train` may be a class because class folders lie next to it.
    """
    subfolders = [path for path in _entries(folder) if path.is_dir()]
    train, test = (_find_folder(subfolders, names) for names in (TRAIN_FOLDERS, TEST_FOLDERS))
    if train is None or (train.name != TRAIN_FOLDERS[0] and test is None):
        if subset == "test":
            raise DataError(
                f"{folder} has no test subset; put its images into the folders train and test"
            )
        return folder
    others = [
        path.name
        for path in subfolders
        if test is None and path.name.casefold() not in RESERVED_FOLDERS and find_images(path)
    ]
    if others:
        raise DataError(
            f"{folder} holds a folder {train.name} next to {', '.join(others[:3])}, which is "
            "either the training subset or a class; move it, or rename it if it is a class"
        )
    path = train if subset == "train" else test
    if path is None:
        raise DataError(f"{folder} has no test subset; expected a folder {folder / subset}")
    return path


def _entries(folder: Path) -> list[Path]:
    """Return the visible files and folders in `folder`, sorted; DataError if it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise_unsearchable(error)
        raise


def _find_folder(folders: list[Path], names: tuple[str, ...]) -> Path | None:
    """Return the folder that has one of the names, preferably exactly the first name, or None.

    The other names are compared without case.
    """
    exact = [path for path in folders if path.name == names[0]]
    similar = [path for path in folders if path.name.casefold() in names]
    return next(iter(exact + similar), None)


def _folders_without_images(base: Path, names: list[str]) -> list[Path]:
    """Return the folders directly in `base` that contain none of the images `names`."""
    used = {name.split("/")[0].casefold() for name in names} | set(UNLABELED_FOLDERS)
    return [p for p in _entries(base) if p.is_dir() and p.name.casefold() not in used]


def _class_names(base: Path, names: list[str]) -> tuple[str, ...]:
    """Return the names of the class folders below `base` in natural order; empty for a flat folder.

    `names` are paths of images relative to `base`. DataError if only some images are in class
    folders.
    """
    loose = [name for name in names if "/" not in name]
    forms = unify(sorted({name.split("/")[0] for name in names if "/" in name}))
    classes = sorted(set(forms.values()), key=natural_key)
    if loose and classes:
        raise DataError(
            f"{base} holds {len(loose)} loose images ({', '.join(loose[:3])}) next to the "
            f"class folders {', '.join(classes[:3])}; move them into a class folder, or remove them"
        )
    return tuple(classes)


def _read_headers(
    folder: Path, names: list[str]
) -> tuple[dict[str, ImageHeader], list[tuple[str, str]]]:
    """Read the headers of image files: name -> header, and (name, reason) of the unreadable files.

    `names` are relative to `folder`. DataError if more than a tenth of the files are unreadable.
    """
    readable: dict[str, ImageHeader] = {}
    skipped: list[tuple[str, str]] = []
    distinct: dict[ImageHeader, ImageHeader] = {}  # shared by files, to save memory
    for name in names:
        try:
            header = read_header(folder / name)
        except UnreadableImage as error:
            skipped.append((name, error.reason))
        else:
            readable[name] = distinct.setdefault(header, header)
    check_skipped(tuple(skipped), len(names))
    return readable, skipped


def _labels(base: Path, names: list[str], classes: tuple[str, ...]) -> np.ndarray:
    """Return the label of each image from the first folder of its path, int64 `[N]`.

    Raises
    ------
    DataError
        A class has no image in `names`, because none of its files can be read.
    """
    position = {compose(name): index for index, name in enumerate(classes)}
    labels = np.array([position[compose(name.split("/")[0])] for name in names], dtype=np.int64)
    empty = sorted(set(range(len(classes))) - set(labels.tolist()))
    if empty:
        raise DataError(
            f"no image of the class {classes[empty[0]]} in {base} can be read; repair its files "
            "or remove its folder"
        )
    return labels


def warn_empty_class_folders(folders: list[Path]) -> list[str]:
    """Return a warning for each folder that holds other files than images, or that is a link.

    Folders without any file give no warning.
    """
    warnings = []
    for folder in folders:
        if folder.is_symlink():
            warnings.append(
                f"the folder {folder} is a link, which is not followed; it is ignored "
                "(--follow-links, or follow_links=True in Python, follows it)"
            )
            continue
        suffixes = sorted({path.suffix for path in folder.rglob("*") if path.is_file()})
        shown = " ".join(suffix or "files without an ending" for suffix in suffixes[:3])
        if suffixes:
            warnings.append(f"the folder {folder} holds no images, but {shown}; it is ignored")
    return warnings


def warn_nested_classes(base: Path, names: list[str]) -> list[str]:
    """Warn if several class folders share names of subfolders, which may be the real classes.

    Parameters
    ----------
    base : Path
        The folder of the class folders.
    names : list of str
        Paths of images relative to `base`.

    Returns
    -------
    list of str
        One warning, or none; two shared names of subfolders are needed.
    """
    parents: dict[str, set[str]] = {}
    for name in names:
        first, *rest = name.split("/")
        if len(rest) > 1:
            parents.setdefault(rest[0], set()).add(first)
    shared = sorted(name for name, classes in parents.items() if len(classes) > 1)
    if len(shared) < 2:
        return []
    return [
        f"the classes are the folders directly in {base}, but several of them hold folders called "
        f"{', '.join(shared[:3])}; if those are the classes, name one of the folders above them"
    ]


def warn_synthetic(dataset: Dataset) -> list[str]:
    """Warn if PNG files say that augan generated or translated them.

    Returns
    -------
    list of str
        One warning, or none; always none for images that are not files.
    """
    if not isinstance(dataset.images, ImageFiles):
        return []
    names = zip(dataset.names, dataset.images.headers())
    synthetic = [name for name, header in names if header.is_synthetic]
    if not synthetic:
        return []
    return [
        f"{len(synthetic)} of {len(dataset.names)} images were generated or translated by augan, "
        f"for example {synthetic[0]}: figures measured on them say nothing about real images; if "
        "this is unintended, remove them"
    ]


def warn_mixed_bit_depth(dataset: Dataset) -> list[str]:
    """Warn if only some image files have 16 bits, because all images are then converted to 16 bits.

    Returns
    -------
    list of str
        One warning, or none; always none for images that are not files.
    """
    if not isinstance(dataset.images, ImageFiles):
        return []
    names = zip(dataset.names, dataset.images.headers())
    deep = [name for name, header in names if header.dtype == "uint16"]
    if not 0 < len(deep) < len(dataset.names):
        return []
    return [
        f"{len(deep)} of {len(dataset.names)} images have 16 bits, for example {deep[0]}, and the "
        "others 8: all are converted to 16; if this is unintended, convert or remove them"
    ]
