"""What the JSON members of a bundle must be like where augan knows a key.

A key that is absent is no fault here (an older augan did not write it, and what needs it says so),
and one that is unknown is an addition.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from augan.bundle.archive import GET_ANOTHER
from augan.exceptions import BundleError

MOST_FOLDS = 100


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_shape(value: Any) -> bool:
    return _is_counts(value) and len(value) == 2 and all(value)


def _is_folds(value: Any) -> bool:
    return _is_count(value) and 2 <= value <= MOST_FOLDS


def _or_null(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


TEXT, TEXTS, COUNT, OBJECT = "text", "a list of texts", "a whole number from 0", "an object"
KNOWN: dict[str, tuple[Callable[[Any], bool], str]] = {
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
    "data.class_names": (_is_texts, TEXTS),
    "data.class_counts": (_is_counts, "a list of whole numbers from 0"),
    "detector.method": (_is_text, TEXT),
    "detector.components": (_is_texts, TEXTS),
    "detector.other_methods": (_is_object, OBJECT),
    "detector.num_folds": (_is_folds, f"a whole number from 2 to {MOST_FOLDS}"),
    "detector.trim_fraction": (_is_number, "a number"),
    "detector.calibrated_on": (_is_object, OBJECT),
    "detector.calibrated_on.image_shape": (_or_null(_is_shape), "[height, width] or null"),
    "detector.calibrated_on.warnings": (_is_texts, TEXTS),
    "metrics.warnings": (_is_texts, TEXTS),
    "metrics.classifier": (_or_null(_is_object), "an object or null"),
    "metrics.classifier.accuracy": (_or_null(_is_number), "a number or null"),
}


def validate_documents(documents: Mapping[str, Any], where: str) -> None:
    """Raise BundleError unless every known key of the documents is as augan writes it.

    Parameters
    ----------
    documents : mapping
        Name of the JSON member, without its ending, -> content.
    where : str
        What messages call the bundle.
    """
    for path, (fits, expected) in KNOWN.items():
        for value in _found(documents, path.split(".")):
            if not fits(value):
                raise BundleError(
                    f"{where}: {path} is {str(value)[:40]!r}, expected {expected}; {GET_ANOTHER}"
                )
    data = documents.get("data", {})
    names, counts = data.get("class_names"), data.get("class_counts")
    if names is not None and len(set(names)) != len(names):
        raise BundleError(f"{where}: two classes have one name; {GET_ANOTHER}")
    if names is not None and counts is not None and len(names) != len(counts):
        raise BundleError(
            f"{where} names {len(names)} classes and counts {len(counts)}; {GET_ANOTHER}"
        )


def _found(node: Any, keys: list[str]) -> Iterator[Any]:
    for key in keys:
        if not isinstance(node, Mapping) or key not in node:
            return
        node = node[key]
    yield node
