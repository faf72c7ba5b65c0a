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
    """Return a text with an apostrophe in front if a spreadsheet would take it for a formula.

    Examples
    --------
    >>> [escape_formula(text) for text in ("=1+1", "-0.5", "-", "a=b")]
    ["'=1+1", '-0.5', '-', 'a=b']
    """
    is_harmless = len(text) < 2 or _NUMBER.fullmatch(text) or not _FORMULA.match(text)
    return text if is_harmless else f"'{text}"


def unescape_formula(text: str) -> str:
    """Undo `escape_formula`.

    Examples
    --------
    >>> unescape_formula("'=1+1"), unescape_formula("'tis")
    ('=1+1', "'tis")
    """
    return text[1:] if text.startswith("'") and escape_formula(text[1:]) == text else text


def escape_frame(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table with `escape_formula` applied to all texts and to the column names."""
    return _map_texts(frame, escape_formula)


def unescape_frame(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Undo `escape_frame`."""
    return _map_texts(frame, unescape_formula)


def _map_texts(frame: "pd.DataFrame", change: Callable[[str], str]) -> "pd.DataFrame":
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
    """Yield the position of each row, for messages, and its stripped texts by column.

    Parameters
    ----------
    required
        Columns that the table must have.
    content, first_line, remedy
        For messages: the content of the table, an example of its first line, and the remedy.

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
