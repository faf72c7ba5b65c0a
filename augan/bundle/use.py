"""Bundles in use: what a file's hashes cannot tell is whether its parts fit together.

Whoever makes a bundle can give it right hashes. So whatever is built from one is built inside of
`in_use`, which turns any failure into one sentence about the bundle.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from augan.bundle.archive import GET_ANOTHER
from augan.bundle.content import Bundle
from augan.exceptions import AuganError, BundleError

LONGEST = 200  # characters of what a library says


@contextmanager
def in_use(bundle: Bundle, part: str) -> Iterator[None]:
    """Say of a part of a bundle that it cannot be used, whatever goes wrong: BundleError.

    Examples
    --------
    >>> with in_use(Bundle(config={}, data={}), "list of classes"):
    ...     {}["class_names"]
    Traceback (most recent call last):
    augan.exceptions.BundleError: this bundle: its list of classes cannot be used (KeyError: \
'class_names'); copy it again from where it was made, or train again
    """
    try:
        yield
    except (AuganError, KeyboardInterrupt):
        raise
    except Exception as error:  # TensorFlow's own errors have nothing in common
        said = " ".join(str(error).split())[:LONGEST]
        raise BundleError(
            f"{bundle.path or 'this bundle'}: its {part} cannot be used ({type(error).__name__}: "
            f"{said}); {GET_ANOTHER}"
        ) from error
