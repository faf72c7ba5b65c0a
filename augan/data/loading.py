"""Loading of datasets from folders, files, arrays and built-in names."""

import difflib
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np

from augan.data.dataset import Dataset, from_arrays
from augan.data.datasets import digits, fashion_mnist, is_idx_folder, read_idx_folder
from augan.data.folders import are_paths, folder_dataset, listed_dataset, paths_dataset
from augan.data.groups import group_by_name, read_groups
from augan.data.labels import LABEL_COLUMNS, LabelSource, lists_images
from augan.data.modalities.tables import is_frame, is_table_file, read_table, split_target
from augan.data.sequences import ImageFiles
from augan.exceptions import DataError
from augan.io.arrays import read_npz
from augan.io.images import IMAGE_SUFFIXES

UNLABELED_KEYS = ("x_unlabeled", "x_unlabelled")  # both spellings are accepted

Subset = Literal["train", "test"]


class LabelColumns(TypedDict, total=False):
    """Columns of a file of labels, see `load_dataset`."""

    label_column: str | None
    path_column: str | None


def load_dataset(
    data: Any,
    *,
    subset: Subset = "train",
    groups: str | Path | None = None,
    target: str | None = None,
    group_by: str | int | None = None,
    labels: str | Path | None = None,
    follow_links: bool = False,
    **columns: Unpack[LabelColumns],
) -> Dataset:
    """Load the training or the test subset of a dataset from a path, a built-in name or arrays.

    Parameters
    ----------
    data : str, Path, tuple, list of paths, or DataFrame
        One of

        - a built-in name, `digits` or `fashion-mnist` (downloaded unless it is installed); for a
          file or folder of that name, write a path separator (`./digits`) or give a `Path`;
        - a folder of images: flat, or with one subfolder per class. If it holds a folder `train`,
          that is the training subset, and the folder `test` next to it is the test subset. A folder
          `unlabeled` or `unlabelled` is not a class: it holds training images without labels;
        - a folder of IDX files with the names of MNIST;
        - an `.npz` file with the array `x` and optionally `y`, `class_names`, `x_unlabeled`,
          `x_test`, `y_test`;
        - a table: a `.csv`, `.tsv` or `.parquet` file with a row of column names. A table with a
          column of paths of images is a list of labeled images;
        - a tuple `(x,)` or `(x, y)` of arrays, or of a list of paths and labels;
        - a list of paths of images, or a DataFrame with a column of paths.

        Folders that are laid out like MVTec AD, BTAD or VisA are recognized; test images and masks
        are never trained on.
    subset : {"train", "test"}
        The subset to load, "train" by default; training never reads the test subset.
    groups : path-like or None
        A CSV file with the columns `path` and `group` for the images of a folder; None (default):
        no groups.
    target : str or None
        The column of a table with the class of each row; None (default): no classes.
    group_by : str, int or None
        Groups by the names of image files, in place of `groups`: a regular expression, whose match
        (or whose parenthesized parts) in the path names the group; or a number N of consecutive
        images in the natural order of their names, for frames of a video. None (default): no
        groups.
    labels : path-like, "folders" or None
        Labels of the images of a folder: a CSV, TSV or Parquet file with a path and a label in each
        row, or a COCO file. Images that are not listed become `unlabeled`. "folders": the first
        folder of an image is its label. None (default): the folders; or if these are no classes,
        the only file in the folder or next to it that names its columns and lists the images.
    follow_links : bool
        Whether links to folders below a folder of images are searched too. Default: False.
    **columns : str
        `label_column` and `path_column`, the columns of `labels`, or of a table or DataFrame of
        paths. Default: found by their names, such as `label` and `path`.

    Returns
    -------
    Dataset
        Images in folders are decoded at each access. Labels refer to the class names of this
        subset, so match the classes of two subsets by name.

    Raises
    ------
    DataError
        The data does not exist, is damaged or of an unknown type, or lacks the subset, the groups
        or the target.
    """
    if subset not in ("train", "test"):
        raise DataError(f"there is no subset {subset!r}; choose train or test")
    source = LabelSource(None if labels is None else str(labels), **columns)
    dataset = _load_labeled(data, subset, target, source, follow_links)
    if group_by is not None:
        if groups is not None or not isinstance(dataset.images, ImageFiles):
            raise DataError(
                "`group_by` is for image files, and replaces `groups`; give one of them"
            )
        unlabeled = dataset.unlabeled
        if unlabeled is not None:
            names = group_by_name(unlabeled.names, group_by)
            unlabeled = replace(unlabeled, groups=names)
        return replace(dataset, groups=group_by_name(dataset.names, group_by), unlabeled=unlabeled)
    if groups is None:
        return dataset
    if not isinstance(dataset.images, ImageFiles):
        raise DataError(
            f"a table of groups is about image files, but {dataset.name} has none; leave out "
            "`groups`; in Python give groups of arrays with from_arrays(x, y, groups=...)"
        )
    return _add_groups(dataset, dataset.images.root, groups)


def _load_labeled(
    data: Any, subset: Subset, target: str | None, source: LabelSource, follow_links: bool
) -> Dataset:
    """Load a dataset with the labels that the user names, or with those that are obvious."""
    if is_frame(data):
        data = _paths_of_frame(data, source, target)
        target = None if isinstance(data[0], list) else target or source.label_column
        source = LabelSource(source.labels)
    is_path = isinstance(data, Path) or (isinstance(data, str) and data and data not in DATASETS)
    path = _expand_home(data) if is_path else None
    is_list = path is not None and path.is_file() and lists_images(path, source.path_column)
    if path is not None and is_list and source.labels is None:
        if target is not None:
            source = replace(source, label_column=target)
        if subset == "test":
            raise DataError(f"the list {path} has no test subset; load the test list by itself")
        dataset = listed_dataset(path, source)
    elif path is not None and path.is_dir() and not is_idx_folder(path) and target is None:
        dataset = folder_dataset(path, subset, source, follow_links=follow_links)
    else:
        if source != LabelSource():
            raise DataError(
                "`labels`, `label_column` and `path_column` are for image files, but "
                f"{data if path else 'the data'} is no folder and no list of images; leave them out"
            )
        return _load(data, subset) if target is None else _with_target(data, subset, target)
    options = {**asdict(source), "follow_links": follow_links}
    return replace(dataset, loading={name: value for name, value in options.items() if value})


def _paths_of_frame(frame: Any, source: LabelSource, target: str | None) -> Any:
    """Return a DataFrame of paths as a tuple (paths,) or (paths, labels), another one as (x,)."""
    columns = {str(name): name for name in frame.columns}
    wanted = source.path_column
    if wanted is not None and wanted not in columns:
        raise DataError(
            f"the table has no column {wanted!r}; its columns are {', '.join(columns)}; name one "
            "of them with `path_column`"
        )
    named = [wanted] if wanted else list(columns)
    found = [name for name in named if are_paths(frame[columns[name]].tolist())]
    if not found:
        if wanted is not None:
            raise DataError(f"the column {wanted!r} of the table holds no paths of image files")
        return (frame,)
    paths = [str(path) for path in frame[columns[found[0]]]]
    label = source.label_column or target
    if label is None:
        known = {name.casefold(): name for name in reversed(list(columns))}
        label = next((known[name] for name in LABEL_COLUMNS if name in known), None)
    elif label not in columns:
        raise DataError(
            f"the table has no column {label!r}; its columns are {', '.join(columns)}; name one of "
            "them with `label_column`"
        )
    return (paths,) if label is None else (paths, frame[columns[label]].to_numpy())


def _add_groups(dataset: Dataset, root: Path, table: str | Path) -> Dataset:
    """Return an image dataset with the groups of a CSV file.

    An unlabeled image that the file does not list gets the group "". `root` is the folder that the
    names of images are relative to.
    """
    unlabeled = dataset.unlabeled
    if unlabeled is not None:
        groups = read_groups(table, root, unlabeled.names, require_all=False)
        unlabeled = replace(unlabeled, groups=groups)
    groups = read_groups(table, root, dataset.names)
    return replace(dataset, groups=groups, unlabeled=unlabeled)


def _load(data: Any, subset: Subset) -> Dataset:
    """Load one subset from a path, a built-in name or a tuple, without target and groups."""
    if isinstance(data, tuple):
        return _tuple_dataset(data, subset)
    if isinstance(data, list) and data and are_paths(data):
        return _tuple_dataset((data,), subset)
    if not isinstance(data, (str, Path)):
        raise DataError(
            f"data must be a name, a path or a tuple of arrays, but is a {type(data).__name__}; "
            "give images and labels as (x, y)"
        )
    if data == "":
        raise DataError(f"the name of the data is empty; give a path, or {' or '.join(DATASETS)}")
    if isinstance(data, str) and data in DATASETS:
        return DATASETS[data](subset)
    path = _expand_home(data)
    if path.is_dir():
        if is_idx_folder(path):
            return _idx_dataset(path, subset)
        return folder_dataset(path, subset)
    if path.is_file():
        return _file_dataset(path, subset)
    raise DataError(_not_found(str(data), path))


def _expand_home(data: str | Path) -> Path:
    """Replace a leading `~` or `~user` of a path by the home folder; DataError if there is none."""
    path = Path(data)
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise DataError(
            f"there is no home folder {path.parts[0]}, with which {data} begins; write the full "
            "path, from / on"
        ) from error


def _with_target(data: str | Path | tuple[Any, ...], subset: Subset, target: str) -> Dataset:
    """Load a table and split the column `target` off as the labels of its rows.

    Raises
    ------
    DataError
        The data is not a table, already has labels, or has no usable column `target`.
    """
    dataset = _load(data, subset)
    whole = dataset.require_table(
        f"a target is a column of a table, and {dataset.name} is not a table; the classes of "
        "images are their folders, or y in an .npz file"
    )
    if dataset.labels is not None:
        raise DataError(f"{dataset.name} has labels already; leave out the target '{target}'")
    table, labels, class_names = split_target(whole.frame, target)
    return replace(dataset, images=table, labels=labels, class_names=class_names)


def _tuple_dataset(data: tuple[Any, ...], subset: Subset) -> Dataset:
    """Return the dataset of arrays `(x,)` or `(x, y)`, which is always a training subset."""
    if len(data) not in (1, 2):
        raise DataError(f"a tuple of arrays must be (x,) or (x, y), but has {len(data)} entries")
    if subset == "test":
        raise DataError("a tuple of arrays has no test subset; load the test arrays by themselves")
    if isinstance(data[0], list | tuple | np.ndarray) and are_paths(data[0]):
        return paths_dataset([str(path) for path in data[0]], *data[1:])
    return from_arrays(*data)


def _idx_dataset(folder: Path, subset: Subset) -> Dataset:
    """Return one subset of a folder of IDX files; the dataset has the name of the folder."""
    images, labels = read_idx_folder(folder, subset)
    dataset = from_arrays(images, labels, name=folder.resolve().name)
    return replace(dataset, source=str(folder))


DATASETS: dict[str, Callable[[Subset], Dataset]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
}


def _file_dataset(path: Path, subset: Subset) -> Dataset:
    """Return the dataset in an `.npz` file or a table; DataError for every other type of file."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _npz_dataset(path, subset)
    if is_table_file(path):
        if subset == "test":
            raise DataError(f"the table {path} has no test subset; load the test table by itself")
        return replace(from_arrays(read_table(path), name=path.stem), source=str(path))
    advice = (
        "give a folder of images, a folder of IDX files, an .npz file with x and y, or a table "
        "(.csv, .tsv, .parquet)"
    )
    if suffix in IMAGE_SUFFIXES:
        advice = "one image is not a dataset; give the folder that it lies in"
    elif suffix == ".npy":
        advice = "save the array as x of an .npz file; in Python numpy.savez(file, x=...)"
    raise DataError(f"{path} is of a type that augan does not read ({suffix or 'none'}); {advice}")


def _npz_dataset(path: Path, subset: Subset) -> Dataset:
    """Return one subset of an `.npz` file: `x` and `y`, or `x_test` and `y_test` for "test".

    Unlabeled images are read for the training subset only.
    """
    x_key, y_key = ("x", "y") if subset == "train" else ("x_test", "y_test")
    unlabeled_keys = UNLABELED_KEYS if subset == "train" else ()
    arrays, names = read_npz(path, (x_key, y_key, "class_names", *unlabeled_keys))
    if x_key not in arrays:
        raise DataError(
            f"{path} holds {', '.join(names[:20]) or 'nothing'}; the images of the {subset} subset "
            f"must be called {x_key}"
        )
    unlabeled = next((arrays[key] for key in UNLABELED_KEYS if key in arrays), None)
    y = arrays.get(y_key)
    classes = None
    if y is not None and "class_names" in arrays:
        names_array = np.atleast_1d(arrays["class_names"])
        if names_array.ndim > 1 or names_array.dtype.kind not in "Uiu":
            raise DataError(
                f"class_names in {path} is {names_array.dtype} {list(names_array.shape)}, expected "
                "texts [C]"
            )
        classes = names_array.tolist()
    dataset = from_arrays(
        arrays[x_key], y, name=path.stem, class_names=classes, unlabeled=unlabeled
    )
    return replace(dataset, source=str(path))


def _not_found(data: str, path: Path) -> str:
    """Return the message for data that does not exist, with the most similar existing name."""
    if path.is_symlink():
        return f"{data} is a link to {os.readlink(path)}, which leads nowhere; mend the link"
    folder = path.parent
    near = [(name, name) for name in DATASETS]
    if folder.is_dir():
        near += [(name, str(folder / name)) for name in sorted(os.listdir(folder))]
    close = difflib.get_close_matches(path.name, [name for name, _ in near], n=1)
    hint = next((f"; did you mean {shown}?" for name, shown in near if name in close), "")
    return (
        f"there is no file or folder {data}, and the built-in names are {', '.join(DATASETS)}{hint}"
    )
