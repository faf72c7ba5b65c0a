"""Names in different Unicode forms, such as an accent as part of a letter or as a mark of its own.

macOS stores file names in the decomposed form (NFD), most keyboards type the composed form (NFC),
and both look the same. Names are compared in the composed form, and kept as they were found.
"""

import unicodedata
from collections.abc import Iterable


def find_name(name: str, names: Iterable[str]) -> str | None:
    """Return the name that equals `name`, or else one that equals it in the composed form.

    Examples
    --------
    >>> find_name("Kratze\\u0301r", ["Beule", "Kratz\\u00e9r"]) == "Kratz\\u00e9r"
    True
    >>> find_name("Riss", ["Beule"]) is None
    True
    """
    names = list(names)
    if name in names:
        return name
    composed = compose(name)
    return next((other for other in names if compose(other) == composed), None)


def unify(names: Iterable[str]) -> dict[str, str]:
    """Return for each name the first of the names that equal it in the composed form.

    Examples
    --------
    >>> forms = unify(["e\\u0301", "\\u00e9", "e"])
    >>> [len(form) for form in forms.values()]
    [2, 2, 1]
    """
    first: dict[str, str] = {}
    return {name: first.setdefault(compose(name), name) for name in names}


def compose(name: str) -> str:
    """Return a name in the composed form, NFC; undecodable bytes stay as they are."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
