"""Folders that are whole or absent: written beside their place, then renamed into it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from augan.exceptions import DataError


@contextmanager
def output_folder(target: str | Path, replaces: str | None = None) -> Iterator[Path]:
    """Give a temporary folder to write into; it becomes `target` when the block ends well.

    Parameters
    ----------
    target
        The folder to make. It may exist if it is empty, or holds an earlier result.
    replaces
        Name of the file by which an earlier result is recognised; such a folder is replaced.

    Raises
    ------
    DataError
        `target` holds something else, or cannot be written (no permission, disk full).
    """
    target = Path(target).absolute()
    if os.path.realpath(target) == os.path.realpath(Path.cwd()):
        raise DataError(f"{target} is the current folder; name a new folder with --out")
    check_replaceable(target, replaces)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        partial.mkdir(parents=True)
        yield partial
        if target.exists():
            old = target.with_name(f".{target.name}.{os.getpid()}.old")
            os.rename(target, old)
            os.rename(partial, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(partial, target)
    except OSError as error:
        raise DataError(
            f"cannot write {target}: {error.strerror or error}; free some space, or name another "
            "folder with --out"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_replaceable(target: Path, replaces: str | None) -> None:
    """Raise DataError if making `target` anew would lose files that are not an earlier result."""
    if target.is_symlink() and not target.exists():
        raise DataError(f"{target} is a link that leads nowhere; name a new folder with --out")
    if not target.exists():
        return
    if not target.is_dir():
        raise DataError(f"{target} is a file; name a folder with --out")
    if any(target.iterdir()) and not (replaces and (target / replaces).is_file()):
        raise DataError(f"{target} holds other files; name a new folder with --out")
