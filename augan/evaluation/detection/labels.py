"""Labels of test samples, from a file or from folder names, and the label that means normal."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augan.data.labels import (
    LabelSource,
    SampleFinder,
    assign_labels,
    find_label_file,
    read_label_file,
)
from augan.exceptions import DataError
from augan.io.unicode_forms import find_name, unify

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
    notes : tuple of str
        Sentences on how the labels were read.
    """

    by_name: dict[str, str]
    normal: str
    groups: dict[str, str] | None
    unlabeled: list[str]
    notes: tuple[str, ...] = ()


def read_labels(
    labels: str | Path | LabelSource | None,
    names: Sequence[str],
    root: str | Path,
    normal: str | None = None,
) -> Labels:
    """Read the labels of test samples, from a file or from folder names.

    Parameters
    ----------
    labels : path, "folders", LabelSource or None
        CSV, TSV or Parquet file with a column of paths, one of labels and optionally `group`, or a
        COCO file. A path is absolute, or relative to `root` or to the folder of the file, or the
        end of the name of one sample; the path of a table row is its number from 0. `folders`: the
        label of an image is the first folder below `root`. None: the only file in `root` or next to
        it that evidently labels the images, else the folders.
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
        The file cannot be read, is empty, lacks a column, names missing samples or contradicts
        itself; no label means normal, or only one label occurs.
    """
    source = labels if isinstance(labels, LabelSource) else LabelSource(_text(labels))
    source.check_columns()
    groups: dict[str, str] | None = None
    notes: tuple[str, ...] = ()
    file = None if source.file is None else read_label_file(source)
    if source.labels is None and not _are_folders(names, normal):
        file = find_label_file((Path(root), Path(root).parent), names, Path(root))
        notes = () if file is None else (f"the labels are those in {file.path}",)
    if file is not None:
        finder = SampleFinder(names, Path(root), (Path(root), file.path.parent))
        assigned = assign_labels(file, finder)
        all_labels, groups = assigned.labels, assigned.groups
        if missing := assigned.missing:
            shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise DataError(
                f"{file.path} names {len(missing)} samples that are not in {root} ({shown}); the "
                "paths must be absolute, or relative to that folder"
            )
        if not all_labels:
            raise DataError(
                f"{file.path} holds no label of the images in {root}; give each image a row with "
                "its path and label"
            )
        notes += file.notes
    else:
        all_labels = {name: name.split("/")[0] for name in names if "/" in name}
        forms = unify(all_labels.values())
        all_labels = {name: forms[label] for name, label in all_labels.items()}
        if not all_labels:
            raise DataError(
                f"the images in {root} lie in no folders that could be their labels; sort the "
                "images into one folder for each label, or give `labels` a CSV file with path,label"
            )
    by_name = {name: all_labels[name] for name in names if name in all_labels}
    unlabeled = [name for name in names if name not in by_name]
    try:
        normal = _find_normal_label(Counter(by_name.values()), normal)
    except DataError as error:
        if file is None or file.columns[1].casefold() == "label":
            raise
        # The column was found by its name, which may be the wrong one.
        raise DataError(
            f"{error}; the labels in {file.path} were read from the columns "
            f"{', '.join(file.columns)}; name others with `path_column` and `label_column`"
        ) from error
    return Labels(by_name, normal, groups, unlabeled, notes)


def _text(labels: str | Path | None) -> str | None:
    """Return a path as text."""
    return None if labels is None else str(labels)


def _are_folders(names: Sequence[str], normal: str | None) -> bool:
    """Whether a folder of the samples has a name that means normal."""
    wanted = NORMAL_NAMES if normal is None else (normal.casefold(),)
    return any("/" in name and name.split("/")[0].casefold() in wanted for name in names)


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
