"""A CSV file that says something of each image: its path, and what is to be known of it."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from augan.exceptions import DataError


def listed(
    path: Path, needed: Sequence[str], *, noun: str, first_line: str, remedy: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each row, text without spaces around it by column, and where it stands for messages.

    Parameters
    ----------
    needed
        Columns that must be there.
    noun, first_line, remedy
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
        raise DataError(f"cannot read the {noun} in {path}: {reason}; {remedy}") from error
