"""CSV tables that are safe in a spreadsheet: escaped formulas and undecodable names.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break for a formula,
and a formula can fetch addresses and start programs (CSV injection). Names of files, classes and
categories come from strangers. So augan writes such a text with an apostrophe in front, which a
spreadsheet reads as "this is text", and removes the apostrophe when it reads a table. Numbers stay
as they are.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from augan.exceptions import DataError

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


def read_csv_rows(
    path: Path, required: Sequence[str], *, content: str, first_line: str, remedy: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a CSV file of the user row by row, with columns found by name.

    Parameters
    ----------
    path : Path
        A UTF-8 file of comma-separated values whose first line names the columns.
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
            rows = csv.DictReader(stream)
            columns = list(rows.fieldnames or [])
            if not set(required) <= set(columns):
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
