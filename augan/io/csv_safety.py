"""Texts in tables that people open in a spreadsheet, where some of them would start a formula.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break for a formula,
and formulas can fetch addresses and start programs. Names of files, classes and categories come
from strangers. So augan writes such a text behind an apostrophe, which spreadsheets take for "this
is text", and takes the apostrophe away again where it reads a table. Numbers stay as they are.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from augan.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

# How tables are written and read in which names of files stand: a name may hold bytes that are not
# UTF-8, and they come and go as they are.
ANY_BYTES: Final = "surrogateescape"
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def escape_formula(text: str) -> str:
    """Return a text as it may stand in a CSV file.

    Examples
    --------
    >>> [escape_formula(text) for text in ("=1+1", "-0.5", "-", "a=b")]
    ["'=1+1", '-0.5', '-', 'a=b']
    """
    is_harmless = len(text) < 2 or _NUMBER.fullmatch(text) or not _FORMULA.match(text)
    return text if is_harmless else f"'{text}"


def unescape_formula(text: str) -> str:
    """Return the text that `escape_formula` was given.

    Examples
    --------
    >>> unescape_formula("'=1+1"), unescape_formula("'tis")
    ('=1+1', "'tis")
    """
    return text[1:] if text.startswith("'") and escape_formula(text[1:]) == text else text


def safe_frame(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose texts, names of columns too, may stand in a CSV file."""
    return _with_texts(frame, escape_formula)


def plain_frame(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the table that `safe_frame` was given."""
    return _with_texts(frame, unescape_formula)


def _with_texts(frame: "pd.DataFrame", change: Callable[[str], str]) -> "pd.DataFrame":
    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    found = frame.rename(columns=changed)
    for name, column in found.items():
        if column.dtype.kind not in "biufM":
            texts = {value: changed(value) for value in column.unique() if isinstance(value, str)}
            other = {text: new for text, new in texts.items() if text != new}
            if other:
                found[name] = column.astype(object).replace(other)
    return found


def listed(
    path: Path, needed: Sequence[str], *, content: str, first_line: str, remedy: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each row, text without spaces around it by column, and where it stands for messages.

    Parameters
    ----------
    needed
        Columns that must be there.
    content, first_line, remedy
        What is listed, how the first line may read, and what to do, for messages.

    Raises
    ------
    DataError
        The file cannot be read, or lacks a column.
    """
    try:
        # Spreadsheets begin their UTF-8 files with a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            columns = list(rows.fieldnames or [])
            if not set(needed) <= set(columns):
                raise DataError(
                    f"{path} has the columns {', '.join(columns) or '(none)'}; its first line "
                    f"must be {first_line}"
                )
            for row in rows:
                values = {column: (row[column] or "").strip() for column in columns}
                yield f"{path}, line {rows.line_num}", values
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read the {content} in {path}: {reason}; {remedy}") from error
