"""Checks of single arguments, shared by the requests and functions that users call.

Every check returns the value in its normal form, or raises ConfigError, for a path DataError. A
message names the argument as code in backticks, which the command line replaces by its own option.
"""

import os
from collections.abc import Iterable
from operator import index
from pathlib import Path
from typing import Any, TypeVar

from augan.exceptions import ConfigError, DataError

MAX_SEED = 2**31 - 1
_T = TypeVar("_T")


def check_whole_number(
    name: str, value: Any, minimum: int | None = None, maximum: int | None = None
) -> int:
    """Return a whole number of any integer type as an int; booleans are refused.

    Parameters
    ----------
    name : str
        The argument, for messages.
    value : object
        What the user gave.
    minimum, maximum : int or None
        Smallest and largest legal number; None: no limit.

    Raises
    ------
    ConfigError
        The value is of another type or out of range.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)
    except TypeError:
        example = 1 if minimum is None else minimum
        raise ConfigError(
            f"`{name}` must be a whole number, but is {value!r}; give a number such as {example}"
        ) from None
    if minimum is not None and number < minimum:
        raise ConfigError(f"`{name}` must be {minimum} or more, but is {number}")
    if maximum is not None and number > maximum:
        raise ConfigError(f"`{name}` must be {maximum} or less, but is {number}")
    return number


def check_seed_number(value: Any) -> int:
    """Return the argument `seed`; ConfigError unless it is a whole number from 0 to 2**31 - 1."""
    return check_whole_number("seed", value, 0, MAX_SEED)


def check_fraction(name: str, value: Any, *, include_ends: bool = False) -> float:
    """Return a number between 0 and 1 as a float, 0 and 1 only with `include_ends`.

    Raises
    ------
    ConfigError
        The value is no number, or out of range.
    """
    try:
        if isinstance(value, bool | str | bytes):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise ConfigError(
            f"`{name}` must be a number between 0 and 1, but is {value!r}; try 0.3"
        ) from None
    if 0 < number < 1 or (include_ends and 0 <= number <= 1):
        return number
    raise ConfigError(f"`{name}` must lie between 0 and 1, but is {number:g}; try 0.3")


def check_flag(name: str, value: Any) -> bool:
    """Return True or False, of Python or NumPy; ConfigError for others, such as the text "no"."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise ConfigError(f"`{name}` must be True or False, but is {value!r}")


def check_verbose(value: Any) -> int:
    """Return the argument `verbose`, 0 or more; ConfigError for others. True counts as 1."""
    if isinstance(value, bool):
        return int(value)
    return check_whole_number("verbose", value, 0)


def check_path(name: str, value: Any, remedy: str = "give a text or a Path") -> str:
    """Return a path as text; DataError, ending in a remedy, for an empty text and other types."""
    if isinstance(value, str | os.PathLike) and str(value):
        return os.fsdecode(value)
    kind = "empty" if isinstance(value, str) else type(value).__name__
    raise DataError(f"`{name}` must be the path of a file or folder, but is {kind}; {remedy}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return the name of one of several choices; ConfigError that lists all of them for others."""
    names = tuple(choices)
    if isinstance(value, str) and value in names:
        return value
    if isinstance(value, str):
        raise ConfigError(f"unknown {name} '{value}'; choose `{name}` {' or '.join(names)}")
    raise ConfigError(f"`{name}` must be a text, but is {value!r}; choose {' or '.join(names)}")


def check_out(value: Any) -> Path | None:
    """Return the argument `out` as a path, or None for the default folder.

    Raises
    ------
    DataError
        The value is neither a path nor None.
    """
    return None if value is None else Path(check_path("out", value))


def check_instance(name: str, value: Any, kind: type[_T], example: str) -> _T:
    """Return a value of a type; ConfigError that ends in an example for a value of another type."""
    if isinstance(value, kind):
        return value
    raise ConfigError(
        f"`{name}` must be {_with_article(kind.__name__)}, but is {value!r:.60}; give {example}"
    )


def _with_article(noun: str) -> str:
    """Return a noun with the article "a" or "an"."""
    return f"{'an' if noun[0] in 'AEIOU' else 'a'} {noun}"
