"""CSV tables that are safe in a spreadsheet: escaped formulas and undecodable names.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break for a formula,
and a formula can fetch addresses and start programs (CSV injection). Names of files, classes and
categories come from strangers. So augan writes such a text with an apostrophe in front, which a
spreadsheet reads as "this is text", and removes the apostrophe when it reads a table. Numbers stay
as they are.
"""

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from augan.exceptions import DataError
from augan.io.unicode_forms import compose

if TYPE_CHECKING:
    import pandas as pd

# The error handler for tables with file names: a name may hold bytes that are not UTF-8, and these
# bytes are written and read unchanged.
UNDECODABLE: Final = "surrogateescape"
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def escape_formula(text: str) -> str:
    """Put an apostrophe in front of a text that a spreadsheet would take for a formula.

    Texts of one character and numbers stay as they are.

    Examples
    --------
    >>> [escape_formula(text) for text in ("=1+1", "-0.5", "-", "a=b")]
    ["'=1+1", '-0.5', '-', 'a=b']
    """
    is_harmless = len(text) < 2 or _NUMBER.fullmatch(text) or not _FORMULA.match(text)
    return text if is_harmless else f"'{text}"


def unescape_formula(text: str) -> str:
    """Remove the apostrophe that `escape_formula` put in front of a text; keep any other.

    Examples
    --------
    >>> unescape_formula("'=1+1"), unescape_formula("'tis")
    ('=1+1', "'tis")
    """
    return text[1:] if text.startswith("'") and escape_formula(text[1:]) == text else text


def escape_frame(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a copy of a table with formulas escaped in all texts and in the column names."""
    return _map_texts(frame, escape_formula)


def unescape_frame(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a copy of a table without the apostrophes that `escape_frame` added."""
    return _map_texts(frame, unescape_formula)


def _map_texts(frame: "pd.DataFrame", change: Callable[[str], str]) -> "pd.DataFrame":
    """Return a copy of a table with `change` applied to every text and to the column names."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    result = frame.rename(columns=changed)
    for name, column in result.items():
        if column.dtype.kind not in "biufM":
            texts = {value: change(value) for value in column.unique() if isinstance(value, str)}
            replacements = {text: new for text, new in texts.items() if text != new}
            if replacements:
                result[name] = column.astype(object).replace(replacements)
    return result


class ListedFiles:
    """Finder of the samples that the paths in a table of the user mean.

    Accepted are paths relative to one of several folders, absolute paths, backslashes as
    separators, paths in another Unicode form, and texts that `escape_formula` has escaped. A path
    as it is written comes first.

    Parameters
    ----------
    names : iterable of str
        Names of the samples: POSIX paths relative to `root`, or numbers of rows.
    root : Path
        The folder of the samples.
    folders : iterable of Path
        Folders that a path may be relative to, the most likely first.
    """

    def __init__(self, names: Iterable[str], root: Path, folders: Iterable[Path]) -> None:
        self._names = set(names)
        self._by_form = {compose(name): name for name in self._names}
        # Folders are resolved too, because a table may name them by another path. Files are not,
        # because a table may list two links to one file.
        self._roots = tuple(dict.fromkeys((os.path.abspath(root), os.path.realpath(root))))
        self._folders = tuple(os.path.abspath(folder) for folder in folders)

    def find(self, cell: str) -> str | None:
        """Return the name of the sample that a path means; None: none of the samples."""
        texts = (cell, unescape_formula(cell))
        spellings = dict.fromkeys((*texts, *(text.replace("\\", "/") for text in texts)))
        candidates = [
            name
            for text in spellings
            for folder in self._folders
            for name in self._relative(os.path.join(folder, text))
        ]
        exact = (name for name in candidates if name in self._names)
        forms = (self._by_form.get(compose(name)) for name in candidates)
        return next(exact, next((name for name in forms if name is not None), None))

    def _relative(self, path: str) -> Iterator[str]:
        """Yield an absolute path relative to the folder of the samples, as POSIX paths."""
        resolved = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        for absolute in dict.fromkeys((os.path.normpath(path), resolved)):
            for root in self._roots:
                yield os.path.relpath(absolute, root).replace(os.sep, "/")


def read_csv_rows(
    path: Path, required: Sequence[str], *, content: str, first_line: str, remedy: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a CSV file of the user row by row, with columns found by name.

    Parameters
    ----------
    path : Path
        A UTF-8 file whose first line names the columns, in any case and with spaces around. Values
        are separated by commas, semicolons or tabs.
    required : sequence of str
        Columns that the table must have; other columns are read too.
    content : str
        The content of the table in messages, such as "groups".
    first_line : str
        An example of the first line, for messages.
    remedy : str
        The remedy in messages if the file cannot be read.

    Yields
    ------
    where : str
        The file and line of the row, for messages.
    values : dict of str to str
        Column -> text without surrounding spaces; "" for a missing cell.

    Raises
    ------
    DataError
        The file cannot be read, or lacks a column.
    """
    try:
        # Spreadsheets begin their UTF-8 files with a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            separator = next((mark for mark in ",;\t" if mark in first), ",")
            stream.seek(0)
            rows = csv.reader(stream, delimiter=separator, skipinitialspace=True)
            columns = [name.strip() for name in next(rows, [])]
            lowered = [name.casefold() for name in columns]
            columns = [low if low in required else name for low, name in zip(lowered, columns)]
            if not set(required) <= set(columns):
                raise DataError(
                    f"{path} has the columns {', '.join(columns) or '(none)'}; its first line "
                    f"must be {first_line}"
                )
            for cells in rows:
                if not cells:
                    continue
                texts = [cell.strip() for cell in cells] + [""] * len(columns)
                yield f"{path}, line {rows.line_num}", dict(zip(columns, texts))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read the {content} in {path}: {reason}; {remedy}") from error
