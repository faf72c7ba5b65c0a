"""Base class of the typed sections, the types of their values, and their JSON and array parts.

The types below are strict: the text "5" is not a number, and 1.0 is not a whole number. Unknown
keys of a file are ignored, so that a later version of augan can add keys.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from augan.data.modalities.base import Preprocessing
from augan.data.modalities.registry import restore_preprocessing
from augan.exceptions import AuganError, BundleError

Text = Annotated[str, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**53)]  # JSON readers hold it exactly
PositiveCount = Annotated[int, Field(strict=True, ge=1, lt=2**53)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Ratio = Annotated[float, Field(strict=True, ge=0, le=1)]
Flag = Annotated[bool, Field(strict=True)]
VALIDATION = ConfigDict(arbitrary_types_allowed=True, extra="ignore")
MAX_QUOTE_LENGTH = 40  # characters of a wrong value in a message


def _check_array(kinds: str, ndim: int, *, finite: bool = False) -> AfterValidator:
    """Return the check of an array: the kinds of its type, its dimensions, and finite values."""

    def check(array: np.ndarray) -> np.ndarray:
        if array.dtype.kind not in kinds or array.ndim != ndim:
            raise ValueError(
                f"its type is {array.dtype} {list(array.shape)}, expected {ndim} dimensions of "
                f"{', '.join(_KINDS[kind] for kind in kinds)}"
            )
        if finite and not np.isfinite(array).all():
            raise ValueError("a value is not finite")
        return array

    return AfterValidator(check)


_KINDS = {"i": "integers", "u": "unsigned integers", "f": "floats", "b": "booleans"}
Indices = Annotated[np.ndarray, _check_array("iu", 1)]
Scores = Annotated[np.ndarray, _check_array("f", 1, finite=True)]
Matrix = Annotated[np.ndarray, _check_array("f", 2, finite=True)]
Mask = Annotated[np.ndarray, _check_array("b", 2)]
ArrayName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]


def _restore(values: Any) -> Any:
    """Return the preprocessing of JSON values; every other value is returned unchanged."""
    if not isinstance(values, Mapping):
        return values
    try:
        return restore_preprocessing(values)
    except AuganError as error:
        raise ValueError(str(error)) from None


StoredPreprocessing = Annotated[Preprocessing, BeforeValidator(_restore)]


@dataclass(frozen=True, eq=False, config=VALIDATION)
class Section:
    """Base class of the sections: comparison by content, and conversion to JSON."""

    def __eq__(self, other: object) -> bool:
        """Whether `other` is a section of the same class with equal values and arrays."""
        return type(self) is type(other) and has_equal_content(vars(self), vars(other))

    def to_dict(self) -> dict[str, Any]:
        """Return all values but the arrays as a JSON-able dict, by field name."""
        return split_arrays(self)[0]


SectionT = TypeVar("SectionT", bound=Section)


def build_section(
    kind: type[SectionT], name: str, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> SectionT:
    """Build a section from the two parts that `split_arrays` returns, with all validation.

    Parameters
    ----------
    kind : type
        Class of the section.
    name : str
        Name of the section in error messages.
    values : mapping
        The JSON values.
    arrays : mapping of str to ndarray
        Path of each array -> array.

    Raises
    ------
    BundleError
        A value is missing or wrong; one sentence without the remedy.
    """
    try:
        section: SectionT = TypeAdapter(kind).validate_python(_insert_arrays(values, arrays, name))
        return section
    except ValidationError as error:
        raise BundleError(describe_error(error, name)) from None


def describe_error(error: ValidationError, name: str) -> str:
    """Return a sentence on the first problem that pydantic found in the section `name`."""
    problem = error.errors(include_url=False)[0]
    path = ".".join([name, *(str(part) for part in problem["loc"])])
    if problem["type"] == "value_error":
        return f"{path}: {problem['msg'].removeprefix('Value error, ')}"
    if problem["type"] == "missing":
        return f"{path} is missing"
    value = repr(problem["input"]).replace("\n", " ")[:MAX_QUOTE_LENGTH]
    return f"{path} is {value}, but {problem['msg'][0].lower()}{problem['msg'][1:]}"


def split_arrays(section: Section) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a section as JSON-able values and as arrays, for the two members of a file.

    Returns
    -------
    values : dict
        Field -> value. Nested sections become dicts, and tuples become lists.
    arrays : dict of str to ndarray
        Path of each array -> array. A path holds field names, indices and keys with "/" between
        them, such as "methods/0/state/mean".
    """
    arrays: dict[str, np.ndarray] = {}

    def convert(value: Any, path: str) -> Any:
        if isinstance(value, Section):
            value = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(value, Preprocessing):
            value = value.to_dict()
        if isinstance(value, Mapping):
            result = {}
            for key, item in value.items():
                if isinstance(item, np.ndarray):
                    arrays[f"{path}{key}"] = item
                else:
                    result[key] = convert(item, f"{path}{key}/")
            return result
        if isinstance(value, tuple | list):
            return [convert(item, f"{path}{i}/") for i, item in enumerate(value)]
        return value

    return convert(section, ""), arrays


def _insert_arrays(
    values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], name: str
) -> dict[str, Any]:
    """Return the values with each array at its path, the reverse of `split_arrays`.

    BundleError if a path leads through a value that is no dict and no list.
    """
    tree = dict(values)
    for path, array in arrays.items():
        node: Any = tree
        *parents, last = path.split("/")
        for key in parents:
            index: Any = int(key) if isinstance(node, list) and key.isdecimal() else key
            try:
                node = node[index]
            except (KeyError, IndexError, TypeError):
                node = None
        if not isinstance(node, dict):
            raise BundleError(
                f"{name} has an array at {path[:MAX_QUOTE_LENGTH]!r}, which is no place of one"
            )
        node[last] = array
    return tree


def has_equal_content(one: Any, other: Any) -> bool:
    """Whether two values are equal; arrays are, if type, shape and all elements are equal."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.tobytes() == other.tobytes()  # NaN equals NaN
        )
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(has_equal_content(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, tuple):
        return (
            isinstance(other, tuple)
            and len(one) == len(other)
            and all(map(has_equal_content, one, other))
        )
    return bool(one == other)
