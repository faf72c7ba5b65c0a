"""Groups of images that belong together, such as all photographs of one part, read from CSV."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
