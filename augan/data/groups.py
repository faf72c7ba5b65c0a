"""Groups of images that belong together, such as all photographs of one part, read from CSV."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augan.exceptions import DataError
from augan.io.csv_safety import escape_formula, read_csv_rows


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
        The table. Its paths are relative to its own folder; rows of files that are not in `names`
        are ignored.
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
    csv_path = Path(csv_path)
    table = _read_table(csv_path)
    # The table may hold a name as it is, or escaped as augan writes it.
    keys = [_key(Path(dataset_root), name) for name in names]
    escaped = [_key(Path(dataset_root), escape_formula(name)) for name in names]
    keys = [key if key in table else other for key, other in zip(keys, escaped)]
    missing = [name for name, key in zip(names, keys) if key not in table]
    if missing and require_all:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{csv_path} gives no group for {len(missing)} of {len(names)} images ({shown}); "
            f"add a row for each, with the path relative to {csv_path.parent}"
        )
    return np.array([table.get(key, "") for key in keys], dtype=np.str_)


def _read_table(csv_path: Path) -> dict[str, str]:
    """Read a table of groups: absolute path of each file, see `_key` -> name of its group."""
    groups: dict[str, str] = {}
    rows = read_csv_rows(
        csv_path,
        ("path", "group"),
        content="groups",
        first_line="path,group",
        remedy="give a UTF-8 file of comma-separated values",
    )
    for where, row in rows:
        _add_row(groups, row, where, csv_path.parent)
    return groups


def _add_row(groups: dict[str, str], row: dict[str, str], where: str, folder: Path) -> None:
    """Add one row of a table of groups to `groups`.

    `where` is the position of the row in messages, and `folder` the folder of its relative path.
    DataError if the path or the group is empty, or another row gives the file another group.
    """
    path, group = row["path"], row["group"]
    if not path or not group:
        lacking = "group" if path else "path"
        raise DataError(f"{where}: the {lacking} is empty; give every row a path and a group")
    former = groups.setdefault(_key(folder, path), group)
    if former != group:
        raise DataError(
            f"{where}: {path} is in group {group}, but an earlier row puts it in {former}; "
            "keep one of the two"
        )


def _key(folder: Path, name: str) -> str:
    """Return the absolute path by which a file of the table and an image are compared."""
    # Folders are resolved, because the table and the dataset may be named by different paths.
    # Files are not resolved, because the table may list two links to one file separately.
    return os.path.normpath(folder.resolve() / name)
