"""Bundles in use: what a file's hashes cannot tell is whether its parts fit together.

Whoever makes a bundle can give it right hashes. So whatever is built from one is built inside of
`in_use`, which turns any failure into one sentence about the bundle. Only what the machine refuses
is not the bundle's fault: a file, or memory.
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

    Raises
    ------
    AuganError
        There is not enough memory.
    OSError
        As it came: of a file or the disk.

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
    except (AuganError, OSError):
        raise
    except Exception as error:  # TensorFlow's own errors have nothing in common
        said = " ".join(str(error).split())[:LONGEST]
        if _is_of_memory(error):
            raise AuganError(
                f"{bundle.path or 'this bundle'}: there is not enough memory to use its {part} "
                f"({type(error).__name__}: {said}); take smaller images or fewer at once, fewer "
                "workers, or a machine with more memory"
            ) from error
        raise BundleError(
            f"{bundle.path or 'this bundle'}: its {part} cannot be used ({type(error).__name__}: "
            f"{said}); {GET_ANOTHER}"
        ) from error


def _is_of_memory(error: Exception) -> bool:
    """Whether it is Python's, NumPy's or TensorFlow's error of too little memory."""
    # By its name, because TensorFlow is not loaded where only scores are computed.
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"MemoryError", "ResourceExhaustedError"})
