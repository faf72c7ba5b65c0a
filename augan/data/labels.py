"""Labels of images in a file: a table with a column of paths, or a COCO file of annotations."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from augan.data.modalities.tables import PARQUET_SUFFIXES, TABLE_SUFFIXES, is_table_file
from augan.exceptions import DataError
from augan.io.csv_safety import ListedFiles, read_csv_rows, unescape_formula
from augan.io.formats import inspect_file
from augan.io.images import IMAGE_SUFFIXES
from augan.io.layout import MANIFEST_FILE, SCORES_FILE
from augan.io.unicode_forms import unify

FOLDERS = "folders"  # value of --labels: the folder of an image is its label
NORMAL = "normal"  # label of images without annotations in a COCO file
PATH_COLUMNS = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path"),
    *("img", "img_path", "image_name", "image_file", "image_id", "id"),
)
LABEL_COLUMNS = (
    *("label", "labels", "class", "class_name", "category", "target", "diagnosis", "defect"),
    *("defect_type", "anomaly_type", "y"),
)
GROUP_COLUMN = "group"
_OTHER_COLUMNS = frozenset({GROUP_COLUMN, "mask", "mask_path", "split", "subset", "fold", ""})
_FIRST_LINE = (
    "path,label, or path,label,group; or name its columns with `path_column` and `label_column`"
)
NUM_PROBED_ROWS = 20
MIN_LISTED = 0.9  # of the images that a file lists, before it is taken for their labels unasked


@dataclass(frozen=True)
class LabelSource:
    """Where the labels of images come from, as the user says it.

    Attributes
    ----------
    labels : str or None
        File of labels, or "folders". None (default): the folders, or an obvious file.
    label_column, path_column : str or None
        Columns of the file. None (default): found by their names.
    """

    labels: str | None = None
    label_column: str | None = None
    path_column: str | None = None

    @property
    def file(self) -> Path | None:
        """The file of labels; None if there is none."""
        return None if self.labels in (None, FOLDERS) else Path(str(self.labels))

    def check_columns(self) -> None:
        """Raise DataError if columns are named, but no file that could have them."""
        for option in ("label_column", "path_column"):
            if getattr(self, option) is not None and self.file is None:
                raise DataError(
                    f"`{option}` is a column of a file of labels, but none is named; name it with "
                    "`labels`"
                )


@dataclass(frozen=True)
class LabelRow:
    """One row of a file of labels.

    Attributes
    ----------
    where : str
        Position in the file, for messages.
    path, label, group : str
        Cells; "" if empty.
    """

    where: str
    path: str
    label: str
    group: str = ""


@dataclass(frozen=True)
class LabelFile:
    """A file of labels that was read.

    Attributes
    ----------
    path : Path
        The file.
    rows : list of LabelRow
        Its rows, in order.
    columns : tuple (path, label)
        Names of the columns, for messages.
    has_groups : bool
        Whether there is a column of groups.
    notes : tuple of str
        Sentences on what was read in which way.
    """

    path: Path
    rows: list[LabelRow]
    columns: tuple[str, str]
    has_groups: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AssignedLabels:
    """Labels of the samples that a file lists.

    Attributes
    ----------
    labels : dict of str to str
        Name of a sample -> label; equal names in different Unicode forms are one label.
    groups : dict of str to str or None
        Name of a sample -> group; None without a column of groups.
    missing : list of str
        Paths in the file of which there is no file.
    """

    labels: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] | None = None
    missing: list[str] = field(default_factory=list)


class SampleFinder:
    """Find the samples that the paths of a table mean.

    A path may be absolute, relative to one of `folders`, or the end of a name if no other name ends
    so, with or without an ending such as `.png`. The path of a file means all of its pages.

    Parameters
    ----------
    names : iterable of str
        Names of the samples, relative to `root`.
    root : Path
        Folder of the samples.
    folders : iterable of Path
        Folders that a path may be relative to, the most likely first.
    """

    def __init__(self, names: Iterable[str], root: Path, folders: Iterable[Path]) -> None:
        names, folders = list(names), list(folders)
        self._folders = folders
        self._pages: dict[str, list[str]] = {}
        for name in names:
            self._pages.setdefault(_file_of(name), []).append(name)
        self._listed = ListedFiles(names, root, folders)
        self._files = ListedFiles(self._pages, root, folders)
        self._by_end: dict[str, list[str]] = {}
        for file in self._pages:
            base = file.rpartition("/")[2]
            for end in dict.fromkeys((base, os.path.splitext(base)[0])):
                self._by_end.setdefault(end, []).append(file)

    def find(self, cell: str) -> list[str]:
        """Return the names of the samples that a path means; empty if it means none."""
        name = self._listed.find(cell)
        if name is not None:
            return [name]
        file = self._files.find(cell) or self._find_by_end(unescape_formula(cell))
        return [] if file is None else self._pages[file]

    def exists(self, cell: str) -> bool:
        """Whether there is a file of this path, though it is not one of the samples."""
        text = unescape_formula(cell).replace("\\", "/")
        return any(os.path.exists(os.path.join(folder, text)) for folder in self._folders)

    def _find_by_end(self, cell: str) -> str | None:
        """Return the only file whose name ends in a path, or that a longer path ends in."""
        path = os.path.normpath(cell.replace("\\", "/"))
        found = []
        for file in self._by_end.get(path.rpartition("/")[2], ()):
            bare = os.path.splitext(file)[0]
            for name in (file, bare):
                if f"/{name}".endswith(f"/{path}") or f"/{path}".endswith(f"/{name}"):
                    found.append(file)
                    break
        return found[0] if len(found) == 1 else None


def _file_of(name: str) -> str:
    """Return the file of an image: `stack.tif` of its page `stack.tif#2`."""
    file, mark, page = name.rpartition("#")
    return file if mark and page.isdecimal() else name


def is_label_file(path: Path) -> bool:
    """Whether the ending of a file is that of a table or of COCO annotations."""
    return path.suffix.lower() in (*TABLE_SUFFIXES, ".json")


def read_label_file(source: LabelSource) -> LabelFile:
    """Read a file of labels: CSV, TSV, Parquet or COCO.

    An image of a COCO file has the category of most of its annotations, and the label "normal"
    without annotations. `source.labels` names the file.

    Raises
    ------
    DataError
        The file cannot be read, or lacks the columns.
    """
    path = Path(str(source.labels))
    if path.suffix.lower() == ".json":
        return _read_coco(path)
    rows = list(_read_rows(path))
    if not rows:
        # Without a row, the names of the columns are still checked.
        list(_read_table_rows(path, ("path", "label")))
        return LabelFile(path, [], ("path", "label"))
    columns = list(rows[0][1])
    path_column = _choose(path, columns, source.path_column, PATH_COLUMNS, "path_column")
    if path_column is None:
        path_column = _column_of_paths(path, [row for _, row in rows])
    label_column = _choose(path, columns, source.label_column, LABEL_COLUMNS, "label_column")
    if label_column is None:
        others = [name for name in columns if name.casefold() not in _OTHER_COLUMNS]
        others = [name for name in others if name != path_column]
        label_column = others[0] if len(others) == 1 else None
    if path_column is None or label_column is None:
        raise DataError(
            f"{path} has the columns {', '.join(columns) or '(none)'}; its first line must be "
            f"{_FIRST_LINE}"
        )
    group_column = next((name for name in columns if name.casefold() == GROUP_COLUMN), None)
    return LabelFile(
        path,
        [
            LabelRow(
                where,
                row[path_column],
                unescape_formula(row[label_column]),
                unescape_formula(row[group_column]) if group_column else "",
            )
            for where, row in rows
        ],
        (path_column, label_column),
        group_column is not None,
    )


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield position and cells of each row of a table, all as text."""
    if path.suffix.lower() not in PARQUET_SUFFIXES:
        yield from _read_table_rows(path, ())
        return
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(
            f"cannot read the labels in {path}: {error}; give a CSV or Parquet file with the "
            f"columns path and label, or the word {FOLDERS}"
        ) from error
    columns = [str(name) for name in frame.columns]
    for number, cells in enumerate(frame.itertuples(index=False, name=None), 1):
        texts = ["" if pd.isna(cell) else str(cell).strip() for cell in cells]
        yield f"{path}, row {number}", dict(zip(columns, texts))


def _read_table_rows(path: Path, required: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield position and cells of each row of a CSV or TSV file, see `read_csv_rows`."""
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return iter(())
    return read_csv_rows(
        path,
        required,
        content="labels",
        first_line=_FIRST_LINE,
        remedy=f"give a CSV file with the columns path and label, or the word {FOLDERS}",
    )


def _choose(
    path: Path, columns: Sequence[str], wanted: str | None, known: Sequence[str], option: str
) -> str | None:
    """Return the column that the user names, or the first with a known name, in any case; or None.

    DataError if there is no column of the name that the user gives.
    """
    by_name = {name.casefold(): name for name in reversed(columns)}
    if wanted is not None:
        if wanted in columns:
            return wanted
        if wanted.casefold() in by_name:
            return by_name[wanted.casefold()]
        raise DataError(
            f"{path} has no column {wanted!r}; its columns are {', '.join(columns)}; name one of "
            f"them with `{option}`"
        )
    return next((by_name[name] for name in known if name in by_name), None)


def _column_of_paths(path: Path, rows: Sequence[Mapping[str, str]]) -> str | None:
    """Return the first column of a table whose first values are paths of images, or None."""
    probed = list(rows[:NUM_PROBED_ROWS])
    for column in probed[0] if probed else ():
        cells = [row[column] for row in probed]
        if all(Path(cell).suffix.lower() in IMAGE_SUFFIXES for cell in cells):
            return column
        if all(cell and is_image_path(cell, path.parent) for cell in cells):
            return column
    return None


def is_image_path(cell: str, folder: Path) -> bool:
    """Whether a text is the path of an image file, absolute or relative to a folder."""
    try:
        path = folder / unescape_formula(cell).replace("\\", "/")
        return path.is_file() and inspect_file(path).format is not None
    except (OSError, ValueError):  # such as a text that is too long for a path
        return False


def _read_coco(path: Path) -> LabelFile:
    """Read the categories of images from a COCO file; DataError if it is none."""
    try:
        content = json.loads(path.read_bytes())
        categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        found: dict[Any, Counter[str]] = {}
        for entry in content["annotations"]:
            counts = found.setdefault(entry["image_id"], Counter())
            counts[categories[entry["category_id"]]] += 1
        rows, several = [], []
        for number, image in enumerate(content["images"], 1):
            counts = found.get(image["id"], Counter())
            label = counts.most_common(1)[0][0] if counts else NORMAL
            name = str(image["file_name"])
            if len(counts) > 1:
                several.append(name)
            rows.append(LabelRow(f"{path}, image {number}", name, label))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"cannot read {path} as COCO annotations: {error!r}; a COCO file has images with id "
            "and file_name, annotations with image_id and category_id, and categories with id and "
            "name"
        ) from error
    notes = []
    if num_empty := len(rows) - sum(image["id"] in found for image in content["images"]):
        notes.append(f"{num_empty} images without annotations in {path} are labeled {NORMAL}")
    if several:
        notes.append(
            f"{len(several)} images in {path} have annotations of several categories, such as "
            f"{several[0]}: the most frequent one is the label"
        )
    return LabelFile(path, rows, ("file_name", "category"), notes=tuple(notes))


def assign_labels(file: LabelFile, finder: SampleFinder) -> AssignedLabels:
    """Give every sample that a file lists its label.

    Rows without a label, and rows of files that exist but are no samples, are skipped.

    Raises
    ------
    DataError
        A row has no path, or two rows contradict each other.
    """
    labels: dict[str, str] = {}
    groups: dict[str, str] | None = {} if file.has_groups else None
    missing: list[str] = []
    for row in file.rows:
        if not row.path:
            raise DataError(f"{row.where}: the path is empty; give every row a path")
        names = finder.find(row.path)
        if not names and not finder.exists(row.path):
            missing.append(row.path)
        for name in names if row.label else ():
            _add(labels, name, row.label, row.where, "labeled")
            if groups is not None and row.group:
                _add(groups, name, row.group, row.where, "in group")
    return AssignedLabels(_unified(labels), None if groups is None else _unified(groups), missing)


def _unified(values: dict[str, str]) -> dict[str, str]:
    """Return labels or groups in which names of different Unicode forms are one name."""
    forms = unify(values.values())
    return {name: forms[value] for name, value in values.items()}


def _add(values: dict[str, str], name: str, value: str, where: str, verb: str) -> None:
    """Store the label or group of a sample; DataError if an earlier row gives another value."""
    if values.setdefault(name, value) != value:
        raise DataError(
            f"{where}: {name} is {verb} {value}, but an earlier row says {values[name]}; keep one "
            "of the two rows"
        )


def find_label_file(folders: Iterable[Path], names: Sequence[str], root: Path) -> LabelFile | None:
    """Return the only file in some folders that evidently labels the images `names`.

    It names its columns, or is a COCO file, and lists at least 90 % of the images.

    Parameters
    ----------
    folders : iterable of Path
        Folders in which the file may lie directly.
    names : sequence of str
        The images, relative to `root`.
    root : Path
    """
    candidates = []
    paths = [path for folder in dict.fromkeys(folders) for path in sorted(folder.iterdir())]
    for path in paths:
        is_own = path.name in (MANIFEST_FILE, SCORES_FILE)
        if is_own or path.name.startswith(".") or not is_label_file(path) or not path.is_file():
            continue
        try:
            file = read_label_file(LabelSource(str(path)))
            is_named = path.suffix == ".json" or file.columns[1].casefold() in LABEL_COLUMNS
            if not is_named:
                continue
            assigned = assign_labels(file, SampleFinder(names, root, (path.parent, root)))
        except DataError:
            continue
        if len(assigned.labels) >= MIN_LISTED * len(names):
            candidates.append(file)
    return candidates[0] if len(candidates) == 1 else None


def lists_images(path: Path, path_column: str | None = None) -> bool:
    """Whether a table file is a list of image files: a column holds paths of images.

    Parameters
    ----------
    path : Path
        A table.
    path_column : str or None
        The column, if the user names it; then the answer is True.
    """
    if not is_table_file(path):
        return False
    if path_column is not None:
        return True
    try:
        rows = [row for _, row in islice(_read_rows(path), NUM_PROBED_ROWS)]
    except DataError:
        return False
    return any(
        all(cell and is_image_path(cell, path.parent) for cell in (row[column] for row in rows))
        for column in (rows[0] if rows else ())
    )
