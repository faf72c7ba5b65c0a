"""Classes as people name them."""

import difflib
from collections.abc import Sequence

from augan.exceptions import DataError

Classes = str | int | Sequence[str | int]  # by name or number, one or several


def as_names(classes: Classes) -> list[str]:
    """Return classes as `class_number` takes them."""
    return [str(c) for c in ([classes] if isinstance(classes, str | int) else classes)]


def class_number(name: str, class_names: Sequence[str]) -> int:
    """Return the position of a class that is given by name or, failing that, by number.

    Raises
    ------
    DataError
        There is no such class; the message names those that there are.
    """
    if name in class_names:
        return class_names.index(name)
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    close = difflib.get_close_matches(name, class_names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    known = ", ".join(class_names) or "none"
    raise DataError(f"there is no class '{name}'; the classes are: {known}{hint}")
