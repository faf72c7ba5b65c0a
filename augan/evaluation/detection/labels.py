"""Which test images are normal and which kind of anomaly the others are: a table, or folders."""

import difflib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augan.exceptions import DataError
from augan.io.csv_safety import listed, unescape_formula

FOLDERS = "folders"
NORMAL_NAMES = ("normal", "good", "ok")


@dataclass(frozen=True)
class Labels:
    """The label of every sample that has one.

    Attributes
    ----------
    kinds : dict of str to str
        Name of a sample -> its label, in the order of the samples.
    normal : str
        The label that says normal; every other one is a kind of anomaly.
    groups : dict of str to str or None
        Name of a sample -> what it belongs to (part, patient, day), or None if nobody said. A
        sample without a group stands alone.
    unlabeled : list of str
        Samples without a label.
    """

    kinds: dict[str, str]
    normal: str
    groups: dict[str, str] | None
    unlabeled: list[str]


def read_labels(
    labels: str | Path, names: Sequence[str], where: str | Path, normal: str | None = None
) -> Labels:
    """Read the labels of test samples.

    Parameters
    ----------
    labels : path or "folders"
        A CSV file with the columns `path` (relative to `where`; of a row of a table its number
        from 0), `label` and perhaps `group`; or the word `folders`: the first folder below `where`
        is the label.
    names : sequence of str
        The samples, as relative POSIX paths.
    where : path
        The folder that they lie in; for messages.
    normal : str or None
        The label of normal samples; None: `normal`, else `good`, else `ok`.

    Raises
    ------
    DataError
        The table cannot be read, is empty, lacks a column, names what is not there or contradicts
        itself; no label says normal, or only one label occurs.
    """
    groups: dict[str, str] | None = None
    if str(labels) == FOLDERS:
        found = {name: name.split("/")[0] for name in names if "/" in name}
        if not found:
            raise DataError(
                f"the images in {where} lie in no folders that could be their labels; sort them "
                "into one folder for each label, or give --labels a CSV file with path,label"
            )
    else:
        found, groups = _read_table(Path(labels), set(names), where)
    kinds = {name: found[name] for name in names if name in found}
    unlabeled = [name for name in names if name not in kinds]
    chosen = _normal_label(Counter(kinds.values()), normal)
    return Labels(kinds, chosen, groups, unlabeled)


def _read_table(
    path: Path, names: set[str], where: str | Path
) -> tuple[dict[str, str], dict[str, str] | None]:
    kinds: dict[str, str] = {}
    groups: dict[str, str] | None = None
    absent: list[str] = []
    rows = listed(
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
        name = _name(row["path"], names)
        if name not in names:
            absent.append(row["path"])
        elif row["label"]:
            _add(kinds, name, unescape_formula(row["label"]), line, "labeled")
            if groups is not None and row["group"]:
                _add(groups, name, unescape_formula(row["group"]), line, "in group")
    _check_found(path, kinds, absent, where)
    return kinds, groups


def _name(path: str, names: set[str]) -> str:
    """Return the sample that a cell means, whether or not an apostrophe guards it."""
    name = os.path.normpath(path).replace(os.sep, "/")
    return name if name in names else unescape_formula(name)


def _add(known: dict[str, str], name: str, value: str, line: str, verb: str) -> None:
    if known.setdefault(name, value) != value:
        raise DataError(
            f"{line}: {name} is {verb} {value}, but an earlier row says {known[name]}; keep one "
            "of the two"
        )


def _check_found(path: Path, kinds: dict[str, str], absent: list[str], where: str | Path) -> None:
    if absent:
        shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        raise DataError(
            f"{path} names {len(absent)} that cannot be found in {where} ({shown}); the paths must "
            "be relative to it"
        )
    if not kinds:
        raise DataError(f"{path} holds no label; give each image a row with its path and label")


def _normal_label(counts: Counter[str], normal: str | None) -> str:
    listed = ", ".join(f"{label} ({count})" for label, count in sorted(counts.items()))
    if normal is not None:
        if normal not in counts:
            close = difflib.get_close_matches(normal, counts, n=1)
            hint = f"did you mean {close[0]}?" if close else "choose one of these"
            raise DataError(f"no image is labeled {normal!r}, the labels are {listed}; {hint}")
        chosen = normal
    else:
        known = {label.casefold(): label for label in sorted(counts, reverse=True)}
        usual = [known[name] for name in NORMAL_NAMES if name in known]
        if not usual:
            raise DataError(
                f"none of the labels {listed} is called {', '.join(NORMAL_NAMES[:-1])} or "
                f"{NORMAL_NAMES[-1]}; name the label of normal images with --normal"
            )
        chosen = usual[0]
    if len(counts) == 1:
        raise DataError(
            f"all labeled images are {listed}; a detector is judged on normal images and "
            "anomalies, so label some of the other kind"
        )
    return chosen
