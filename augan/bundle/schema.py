"""Schema of the JSON members of a bundle: the type of each known key.

A missing key is not an error here: the function that needs the key reports it. An unknown key is
ignored.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from augan.bundle.archive import REPLACE_HINT
from augan.exceptions import BundleError

MAX_FOLDS = 100


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0 to 2**53 - 1, which JSON readers hold exactly."""
    return type(value) is int and 0 <= value < 2**53


def _is_count_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_shape(value: Any) -> bool:
    """Whether a value is a list of two positive whole numbers, [height, width]."""
    return _is_count_list(value) and len(value) == 2 and all(value)


def _is_fold_count(value: Any) -> bool:
    """Whether a value is a whole number from 2 to `MAX_FOLDS`."""
    return _is_count(value) and 2 <= value <= MAX_FOLDS


def _or_null(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check that also accepts null (None)."""
    return lambda value: value is None or is_valid(value)


TEXT, TEXT_LIST, COUNT, OBJECT = "text", "a list of texts", "a whole number from 0", "an object"
SCHEMA: dict[str, tuple[Callable[[Any], bool], str]] = {
    "config.seed": (_is_count, COUNT),
    "config.task": (_is_text, TEXT),
    "config.gan": (_is_object, OBJECT),
    "config.gan.latent_prior": (_is_text, TEXT),
    "config.detect": (_is_object, OBJECT),
    "config.detect.far": (_or_null(_is_number), "a number or null"),
    "config.augment": (_is_object, OBJECT),
    "config.augment.transform": (_is_text, TEXT),
    "data.name": (_is_text, TEXT),
    "data.source": (_or_null(_is_text), "text or null"),
    "data.fingerprint": (_is_text, TEXT),
    "data.class_names": (_is_text_list, TEXT_LIST),
    "data.class_counts": (_is_count_list, "a list of whole numbers from 0"),
    "detector.method": (_is_text, TEXT),
    "detector.components": (_is_text_list, TEXT_LIST),
    "detector.other_methods": (_is_object, OBJECT),
    "detector.num_folds": (_is_fold_count, f"a whole number from 2 to {MAX_FOLDS}"),
    "detector.trim_fraction": (_is_number, "a number"),
    "detector.calibrated_on": (_is_object, OBJECT),
    "detector.calibrated_on.image_shape": (_or_null(_is_shape), "[height, width] or null"),
    "detector.calibrated_on.warnings": (_is_text_list, TEXT_LIST),
    "metrics.warnings": (_is_text_list, TEXT_LIST),
    "metrics.classifier": (_or_null(_is_object), "an object or null"),
    "metrics.classifier.accuracy": (_or_null(_is_number), "a number or null"),
}


def validate_documents(documents: Mapping[str, Any], where: str) -> None:
    """Raise BundleError unless every known key of the JSON members has a valid value.

    Parameters
    ----------
    documents : mapping
        Name of each JSON member without its suffix -> content.
    where : str
        Name of the bundle in messages.
    """
    for path, (is_valid, expected) in SCHEMA.items():
        for value in _values_at(documents, path.split(".")):
            if not is_valid(value):
                raise BundleError(
                    f"{where}: {path} is {str(value)[:40]!r}, expected {expected}; {REPLACE_HINT}"
                )
    data = documents.get("data", {})
    names, counts = data.get("class_names"), data.get("class_counts")
    if names is not None and len(set(names)) != len(names):
        raise BundleError(f"{where}: two classes have the same name; {REPLACE_HINT}")
    if names is not None and counts is not None and len(names) != len(counts):
        raise BundleError(
            f"{where} has {len(names)} class names and {len(counts)} class counts; {REPLACE_HINT}"
        )


def _values_at(node: Any, keys: list[str]) -> Iterator[Any]:
    """Yield the value at a path of keys in nested mappings, or nothing if a key is missing."""
    for key in keys:
        if not isinstance(node, Mapping) or key not in node:
            return
        node = node[key]
    yield node
