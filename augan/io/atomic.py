"""Folders and files that are whole or absent: written beside their place, then renamed into it."""

import errno
import fcntl
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from augan.exceptions import DataError, RunInterruptedError, WorkerError

UnmanagedFiles = Callable[[Path], list[str]]  # what a folder holds beside an earlier result, sorted

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # what a lock of another answers
_BEGINNING = threading.Lock()  # threads share the name of their partial folder


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all; an existing one is replaced in one step."""
    folder, name = os.path.split(path)  # of strings, because pathlib takes as long as the disk
    partial = os.path.join(folder, f".{name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as stream:
            stream.write(content)
        os.replace(partial, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial)
        raise


@contextmanager
def atomic_folder(target: str | Path, foreign: UnmanagedFiles | None = None) -> Iterator[Path]:
    """Give a temporary folder to write into; it becomes `target` when the block ends well.

    Parameters
    ----------
    target
        The folder to make. It may exist if it is empty, or holds an earlier result and no more.
    foreign
        Names what is not of an earlier result, as `unmanaged_except` does; None: all that is there.

    Raises
    ------
    DataError
        `target` holds something else, cannot be written (no permission, disk full), or another
        thread is writing it.
    """
    with _BEGINNING:
        target = _checked(target, foreign)
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            descriptor = _make_locked(partial, target)
        except OSError as error:
            raise _cannot_write(target, error) from error
    try:
        yield partial
        _put(partial, target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(descriptor)


@contextmanager
def resumable_folder(target: str | Path, foreign: UnmanagedFiles | None = None) -> Iterator[Path]:
    """Do what `atomic_folder` does, but keep what is half-done when the work is interrupted.

    The temporary folder is `.NAME.partial` beside the target, and locked. It stays when the
    process dies, is told to stop, or `RunInterruptedError` or `WorkerError` is raised, so that the
    next call finds in it what the last one left; another error removes it.

    Raises
    ------
    DataError
        As for `atomic_folder`, or another process is at work on the same target.
    """
    target = _checked(target, foreign)
    partial = target.with_name(f".{target.name}.partial")
    descriptor = -1
    try:
        partial.mkdir(parents=True, exist_ok=True)
        descriptor = lock_folder(
            partial,
            f"another process is writing {target}; wait for it, or name another folder with --out",
        )
        for half in partial.rglob(".*.part"):
            half.unlink()  # a file that a process was writing when it died
        yield partial
        _put(partial, target)
    except (RunInterruptedError, WorkerError):
        raise
    except OSError as error:
        if descriptor >= 0:
            shutil.rmtree(partial, ignore_errors=True)
        raise _cannot_write(target, error) from error
    except Exception:
        if descriptor >= 0:  # else it is another's
            shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _checked(target: str | Path, foreign: UnmanagedFiles | None) -> Path:
    target = Path(target).absolute()
    if os.path.realpath(target) == os.path.realpath(Path.cwd()):
        raise DataError(f"{target} is the current folder; name a new folder with --out")
    clear_leftovers(target)
    check_replaceable(target, foreign)
    return target


def clear_leftovers(target: Path) -> None:
    """Remove what processes that died while they wrote `target` have left beside it.

    What they were about to replace is put back if nothing has taken its place.
    """
    if not target.parent.is_dir():
        return
    name = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.(part|old)")
    for path in list(target.parent.iterdir()):
        match = name.fullmatch(path.name)
        if match is None:
            continue
        with suppress(OSError), _abandoned(path, int(match[1])) as is_abandoned:
            if not is_abandoned:
                continue
            if match[2] == "old" and not target.exists():
                os.rename(path, target)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def _abandoned(path: Path, process: int) -> Iterator[bool]:
    """Tell whether nobody is at work on a leftover any more, and hold it so for the block.

    Whoever writes a folder has locked it. The number of a process says less: in a container the
    next one has the same. Files are not locked, and there it has to do.
    """
    if not path.is_dir():
        yield not _lives(process)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield try_lock(descriptor) is True
    finally:
        os.close(descriptor)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _make_locked(partial: Path, target: Path) -> int:
    """Make a folder and lock it; return the descriptor that holds the lock."""
    while True:
        try:
            partial.mkdir(parents=True)
        except FileExistsError:
            if not partial.is_dir():
                raise
            raise DataError(
                f"another process is writing {target}; wait for it, or remove {partial} if there "
                "is none"
            ) from None
        with suppress(FileNotFoundError):
            descriptor = os.open(partial, os.O_RDONLY)
            with suppress(OSError):  # some file systems know no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if partial.is_dir():
                return descriptor
            # Before it was locked, another process took it for a leftover, and removed it.
            os.close(descriptor)


def _put(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`, whose place it takes."""
    if not target.exists():
        os.rename(partial, target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    descriptor = os.open(target, os.O_RDONLY)
    try:
        try_lock(descriptor)  # so that nobody takes it for a leftover
        os.rename(target, old)
        os.rename(partial, target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        os.close(descriptor)


def _cannot_write(target: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write {target}: {error.strerror or error}; free some space, or name another "
        "folder with --out"
    )


def try_lock(file: BinaryIO | int) -> bool | None:
    """Lock an open file or folder for as long as it is open; False if another holds it.

    None: the file system knows no locks, as some network file systems.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _HELD else None
    return True


def lock_folder(folder: Path, otherwise: str) -> int:
    """Lock a folder for this process; the descriptor returned holds the lock while it is open.

    Where the file system knows no locks there is none.

    Raises
    ------
    DataError
        Another process holds it, in the words of `otherwise`.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    if try_lock(descriptor) is False:
        os.close(descriptor)
        raise DataError(otherwise)
    return descriptor


def unmanaged_except(*names: str) -> UnmanagedFiles:
    """Return what finds all files and folders but these in a folder that has the first of them.

    A folder without the first holds no earlier result, and all of it is foreign.
    """

    def foreign(folder: Path) -> list[str]:
        there = _names(folder)
        return sorted(there - set(names) if names[0] in there else there)

    return foreign


def check_replaceable(target: Path, foreign: UnmanagedFiles | None = None) -> None:
    """Raise DataError if making `target` anew would lose files that are not an earlier result."""
    if target.is_symlink() and not target.exists():
        raise DataError(f"{target} is a link that leads nowhere; name a new folder with --out")
    if not target.exists():
        return
    if not target.is_dir():
        raise DataError(f"{target} is a file; name a folder with --out")
    found = sorted(_names(target)) if foreign is None else foreign(target)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise DataError(
            f"{target} holds other files, which would be lost: {', '.join(found[:3])}{more}; name "
            "a new folder with --out"
        )


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".DS_Store"}
