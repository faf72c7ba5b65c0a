"""Groups of images that belong together, such as all photographs of one part, read from CSV."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augan.data.folders import natural_key
from augan.exceptions import DataError
from augan.io.csv_safety import ListedFiles, read_csv_rows
from augan.io.unicode_forms import unify


def read_groups(
    csv_path: str | Path,
    dataset_root: str | Path,
    names: Sequence[str],
    *,
    require_all: bool = True,
) -> np.ndarray:
    """Read the group of every image from a CSV file with the columns `path` and `group`.

    Parameters
    ----------
    csv_path : path-like
        The table. Its paths are absolute, or relative to its own folder or to `dataset_root`; rows
        of files that are not in `names` are ignored.
    dataset_root : path-like
        The folder that `names` are relative to.
    names : sequence of str
        Relative POSIX paths of the N images.
    require_all : bool
        Whether the table must list every image (default); if False, the group of a missing image is
        "".

    Returns
    -------
    np.ndarray
        Names of groups, text `[N]`, in the order of `names`.

    Raises
    ------
    DataError
        The table cannot be read, lacks a column or an image, or contradicts itself.
    """
    csv_path, root = Path(csv_path), Path(dataset_root)
    table = _read_table(csv_path, ListedFiles(names, root, (csv_path.parent, root)))
    missing = [name for name in names if name not in table]
    if missing and require_all:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{csv_path} gives no group for {len(missing)} of {len(names)} images ({shown}); "
            f"add a row for each, with the path relative to {csv_path.parent}"
        )
    forms = unify(table.values())
    return np.array([forms[table[name]] if name in table else "" for name in names], np.str_)


def group_by_name(names: Sequence[str], group_by: str | int) -> np.ndarray:
    """Return the groups of images by their names, text `[N]`.

    Parameters
    ----------
    names : sequence of str
        Relative POSIX paths of the N images.
    group_by : str or int
        A regular expression: the group of an image is what its parentheses match in the path, or
        the whole match without parentheses. Or a number: that many consecutive images of a folder,
        in the natural order of their names, are a group.

    Raises
    ------
    DataError
        The expression is invalid, matches no image or not all, or the number is below 1.

    Examples
    --------
    >>> group_by_name(["p1-a.png", "p1-b.png", "p2-a.png"], "p[0-9]+").tolist()
    ['p1', 'p1', 'p2']
    >>> group_by_name(["f1.png", "f10.png", "f2.png"], 2).tolist()
    ['run 0', 'run 1', 'run 0']
    """
    text = str(group_by).strip()
    if isinstance(group_by, int) or text.isdecimal():
        return _runs(names, int(text))
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise DataError(f"`group_by` {text} is no regular expression: {error}") from error
    found = [pattern.search(name) for name in names]
    missing = [name for name, match in zip(names, found) if match is None or not match[0]]
    if missing:
        raise DataError(
            f"`group_by` {text} does not match {len(missing)} of {len(names)} images, such as "
            f"{', '.join(missing[:3])}; give a pattern that names the group of every image"
        )
    parts = [(match.groups() or (match[0],)) for match in found if match is not None]
    return np.array([" ".join(part or "" for part in groups) for groups in parts], np.str_)


def _runs(names: Sequence[str], length: int) -> np.ndarray:
    """Return groups of `length` consecutive images of a folder; DataError if it is below 1."""
    if length < 1:
        raise DataError(f"`group_by` is a number of images from 1, but is {length}")
    groups, counts = {}, Counter[str]()
    for name in sorted(names, key=natural_key):
        folder = name.rpartition("/")[0]
        groups[name] = f"{folder} run {counts[folder] // length}".strip()
        counts[folder] += 1
    return np.array([groups[name] for name in names], np.str_)


def _read_table(csv_path: Path, files: ListedFiles) -> dict[str, str]:
    """Read a table of groups: name of each image of `files` -> name of its group."""
    groups: dict[str, str] = {}
    rows = read_csv_rows(
        csv_path,
        ("path", "group"),
        content="groups",
        first_line="path,group",
        remedy="give a UTF-8 file of comma-separated values",
    )
    for where, row in rows:
        _add_row(groups, row, where, files)
    return groups


def _add_row(groups: dict[str, str], row: dict[str, str], where: str, files: ListedFiles) -> None:
    """Add one row of a table of groups to `groups`.

    `where` is the position of the row in messages.
    DataError if the path or the group is empty, or another row gives the file another group.
    """
    path, group = row["path"], row["group"]
    if not path or not group:
        lacking = "group" if path else "path"
        raise DataError(f"{where}: the {lacking} is empty; give every row a path and a group")
    former = groups.setdefault(files.find(path) or path, group)
    if former != group:
        raise DataError(
            f"{where}: {path} is in group {group}, but an earlier row puts it in {former}; "
            "keep one of the two"
        )
