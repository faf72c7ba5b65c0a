"""Labels of test samples, from a CSV file or from folder names."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augan.exceptions import DataError
from augan.io.csv_safety import ListedFiles, read_csv_rows, unescape_formula
from augan.io.unicode_forms import find_name, unify

FOLDERS = "folders"  # value of --labels: the folder of an image is its label
NORMAL_NAMES = ("normal", "good", "ok")  # labels that mean normal, unless the user names one


@dataclass(frozen=True)
class Labels:
    """Labels and groups of test samples.

    Attributes
    ----------
    by_name : dict of str to str
        Name of a sample -> its label, in the order of the samples.
    normal : str
        Label of the normal samples. Every other label is a type of anomaly.
    groups : dict of str to str or None
        Name of a sample -> its group (part, patient, day). None: there are no groups. A sample
        without a group is a group of its own.
    unlabeled : list of str
        Names of the samples without a label.
    """

    by_name: dict[str, str]
    normal: str
    groups: dict[str, str] | None
    unlabeled: list[str]


def read_labels(
    labels: str | Path, names: Sequence[str], root: str | Path, normal: str | None = None
) -> Labels:
    """Read the labels of test samples, from a CSV file or from folder names.

    Parameters
    ----------
    labels : path or "folders"
        CSV file with the columns `path`, `label` and optionally `group`. A path is absolute, or
        relative to `root` or to the folder of the file; the path of a table row is its number from
        0. `folders`: the label of an image is the first folder below `root`.
    names : sequence of str
        Names of the samples: relative POSIX paths.
    root : path
        Folder of the samples, for messages.
    normal : str or None
        Label of the normal samples. None: `normal`, `good` or `ok`, the first that occurs; upper
        and lower case are equal.

    Returns
    -------
    Labels

    Raises
    ------
    DataError
        The CSV file cannot be read, is empty, lacks a column, names missing samples or contradicts
        itself; no label means normal, or only one label occurs.
    """
    groups: dict[str, str] | None = None
    if str(labels) == FOLDERS:
        all_labels = {name: name.split("/")[0] for name in names if "/" in name}
        if not all_labels:
            raise DataError(
                f"the images in {root} lie in no folders that could be their labels; sort the "
                "images into one folder for each label, or give `labels` a CSV file with path,label"
            )
    else:
        all_labels, groups = _read_table(Path(labels), set(names), root)
        groups = None if groups is None else _unified(groups)
    all_labels = _unified(all_labels)
    by_name = {name: all_labels[name] for name in names if name in all_labels}
    unlabeled = [name for name in names if name not in by_name]
    normal = _find_normal_label(Counter(by_name.values()), normal)
    return Labels(by_name, normal, groups, unlabeled)


def _read_table(
    path: Path, names: set[str], root: str | Path
) -> tuple[dict[str, str], dict[str, str] | None]:
    """Read labels and groups from a CSV file.

    Parameters
    ----------
    path : Path
        CSV file with the columns `path`, `label` and optionally `group`. Rows with an empty label
        are skipped.
    names : set of str
        Names of all samples.
    root : path
        Folder of the samples, for messages.

    Returns
    -------
    labels : dict of str to str
        Name of a sample -> label.
    groups : dict of str to str, or None
        Name of a sample -> group. None: the file has no column `group`.

    Raises
    ------
    DataError
        The file cannot be read, names missing samples, contradicts itself or holds no label.
    """
    labels: dict[str, str] = {}
    groups: dict[str, str] | None = None
    missing: list[str] = []
    files = ListedFiles(names, Path(root), (Path(root), path.parent))
    rows = read_csv_rows(
        path,
        ("path", "label"),
        content="labels",
        first_line="path,label, or path,label,group",
        remedy=f"give a CSV file with the columns path and label, or the word {FOLDERS}",
    )
    for line, row in rows:
        if not row["path"]:
            raise DataError(f"{line}: the path is empty; give every row a path")
        if "group" in row and groups is None:
            groups = {}
        name = files.find(row["path"])
        if name is None:
            missing.append(row["path"])
        elif row["label"]:
            _add(labels, name, unescape_formula(row["label"]), line, "labeled")
            if groups is not None and row["group"]:
                _add(groups, name, unescape_formula(row["group"]), line, "in group")
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{path} names {len(missing)} samples that are not in {root} ({shown}); the paths must "
            "be absolute, or relative to that folder"
        )
    if not labels:
        raise DataError(f"{path} holds no label; give each image a row with its path and label")
    return labels, groups


def _unified(values: dict[str, str]) -> dict[str, str]:
    """Return labels or groups in which names of different Unicode forms are one name."""
    forms = unify(values.values())
    return {name: forms[value] for name, value in values.items()}


def _add(values: dict[str, str], name: str, value: str, line: str, verb: str) -> None:
    """Store the label or group of a sample; DataError if an earlier row gives another value."""
    if values.setdefault(name, value) != value:
        raise DataError(
            f"{line}: {name} is {verb} {value}, but an earlier row says {values[name]}; keep one "
            "of the two rows"
        )


def _find_normal_label(counts: Counter[str], normal: str | None) -> str:
    """Return the label of the normal samples.

    Parameters
    ----------
    counts : Counter of str
        Label -> number of samples.
    normal : str or None
        Label chosen by the user. None: the first of `NORMAL_NAMES` that occurs, in any case.

    Raises
    ------
    DataError
        No label means normal, the chosen label does not occur, or there is only one label.
    """
    labels = ", ".join(f"{label} ({count})" for label, count in sorted(counts.items()))
    if normal is None:
        by_lower_case = {label.casefold(): label for label in sorted(counts, reverse=True)}
        known = [by_lower_case[name] for name in NORMAL_NAMES if name in by_lower_case]
        if not known:
            raise DataError(
                f"none of the labels {labels} is called {', '.join(NORMAL_NAMES[:-1])} or "
                f"{NORMAL_NAMES[-1]}; name the label of normal images with `normal`"
            )
        normal = known[0]
    else:
        found = find_name(normal, counts)
        if found is None:
            close = difflib.get_close_matches(normal, counts, n=1)
            hint = f"did you mean {close[0]}?" if close else "choose one of the labels"
            raise DataError(f"no image is labeled {normal!r}; the labels are {labels}; {hint}")
        normal = found
    if len(counts) == 1:
        raise DataError(
            f"all labeled images are {labels}; the evaluation needs normal images and anomalies, "
            "so label some images of the other kind"
        )
    return normal
