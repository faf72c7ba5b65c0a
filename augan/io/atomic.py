"""Atomic files and folders, which are complete or absent after any interruption.

The content is written next to its target under a temporary name, then renamed to the target.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from augan.exceptions import DataError, RunInterruptedError, WorkerError

# Returns the sorted names of what a folder holds besides an earlier result.
UnmanagedFiles = Callable[[Path], list[str]]

_LOCKED_ERRORS = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # another process has the lock
_CREATION = threading.Lock()  # threads of a process share the name of their partial folder


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write a complete file or no file; an existing file is replaced in one step.

    Parameters
    ----------
    path : path-like
        The file, in an existing folder.
    content : bytes
        The whole content of the file.

    Raises
    ------
    OSError
        The file cannot be written; an existing file is then unchanged.
    """
    with atomic_file(path) as stream:
        stream.write(content)


@contextmanager
def atomic_file(path: str | Path, *, sync: bool = False) -> Iterator[BinaryIO]:
    """Yield a temporary file, which becomes `path` if the block ends without an error.

    Parameters
    ----------
    path : path-like
        The file, in an existing folder. An existing file is replaced in one step.
    sync : bool
        Whether the content must be on the disk, and not only in a buffer of the system, before the
        file is renamed, so that not even a power failure leaves a damaged file. Default: False,
        because the disk takes milliseconds for each file.

    Raises
    ------
    OSError
        The file cannot be written; an existing file is then unchanged.
    """
    folder, name = os.path.split(path)  # strings, because pathlib takes as long as the disk
    # Unique, because several threads or machines may write the same file.
    partial = os.path.join(folder, f".{name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with open(partial, "xb") as stream:
            yield stream
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise


@contextmanager
def atomic_folder(target: str | Path, unmanaged: UnmanagedFiles | None = None) -> Iterator[Path]:
    """Yield a temporary folder, which becomes `target` if the block ends without an error.

    After an error or the end of the process, no partial result remains: the temporary folder is
    removed at once, or by the next call for the same target.

    Parameters
    ----------
    target : path-like
        The folder to make. It may exist if it is empty or holds only an earlier result, which is
        replaced.
    unmanaged : callable or None
        Names the files in `target` that are not part of an earlier result, see `unmanaged_except`.
        None (default): every file.

    Raises
    ------
    DataError
        `target` holds other files, is the current folder, cannot be written (no permission, full
        disk), or is being written by another thread.
    """
    with _CREATION:
        target = _check_target(target, unmanaged)
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            descriptor = _make_locked(partial, target)
        except OSError as error:
            raise _cannot_write(target, error) from error
    try:
        yield partial
        _replace(partial, target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(descriptor)


@contextmanager
def resumable_folder(target: str | Path, unmanaged: UnmanagedFiles | None = None) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target`, and that an interrupted job can resume.

    The temporary folder is `.NAME.partial` next to the target, and is locked. The folder stays when
    the process dies, or when `RunInterruptedError` or `WorkerError` is raised: the next call then
    yields the folder with the complete files of the last call. Any other `Exception` removes the
    folder.

    Parameters
    ----------
    target, unmanaged
        As for `atomic_folder`.

    Raises
    ------
    DataError
        As for `atomic_folder`, or another process is writing the same target.
    """
    target = _check_target(target, unmanaged)
    partial = target.with_name(f".{target.name}.partial")
    descriptor = -1
    try:
        partial.mkdir(parents=True, exist_ok=True)
        descriptor = lock_folder(
            partial,
            f"another process is writing {target}; wait for it, or name another folder with `out`",
        )
        for incomplete in partial.rglob(".*.part"):
            incomplete.unlink()  # a process was writing this file when it died
        yield partial
        _replace(partial, target)
    except (RunInterruptedError, WorkerError):
        raise
    except OSError as error:
        if descriptor >= 0:
            shutil.rmtree(partial, ignore_errors=True)
        raise _cannot_write(target, error) from error
    except Exception:
        if descriptor >= 0:  # otherwise the folder belongs to another process
            shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def unmanaged_except(*names: str) -> UnmanagedFiles:
    """Return a function that lists the files in a result folder that augan did not write.

    Such files must not be lost when a new result replaces the folder.

    Parameters
    ----------
    *names : str
        Files and folders of a result. A folder without the first name holds no earlier result, so
        all its files count as unmanaged.

    Returns
    -------
    callable
        Takes the path of a folder, and returns the sorted names of the unmanaged files and folders
        in it.
    """

    def unmanaged(folder: Path) -> list[str]:
        present = _names(folder)
        return sorted(present - set(names) if names[0] in present else present)

    return unmanaged


def check_replaceable(target: Path, unmanaged: UnmanagedFiles | None = None) -> None:
    """Raise DataError if writing a result to `target` would lose files of the user.

    Parameters
    ----------
    target : Path
        The folder of the result; it may be missing.
    unmanaged : callable or None
        Names the files that are not part of an earlier result, see `unmanaged_except`. None
        (default): every file.

    Raises
    ------
    DataError
        `target` is a file, a link that leads nowhere, or a folder with unmanaged files.
    """
    if target.is_symlink() and not target.exists():
        raise DataError(f"{target} is a link that leads nowhere; name a new folder with `out`")
    if not target.exists():
        return
    if not target.is_dir():
        raise DataError(f"{target} is a file; name a folder with `out`")
    names = sorted(_names(target)) if unmanaged is None else unmanaged(target)
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise DataError(
            f"{target} holds other files, which would be lost: {', '.join(names[:3])}{more}; name "
            "a new folder with `out`"
        )


def clear_leftovers(target: Path) -> None:
    """Remove the temporary files and folders that dead processes left next to `target`.

    If a process died while it replaced `target`, the former content of `target` is restored.
    """
    if not target.parent.is_dir():
        return
    leftover = re.compile(rf"\.{re.escape(target.name)}\.(\d+)(?:\.[0-9a-f]{{8}})?\.(part|old)")
    for path in list(target.parent.iterdir()):
        match = leftover.fullmatch(path.name)
        if match is None:
            continue
        with suppress(OSError), _check_abandoned(path, int(match[1])) as is_abandoned:
            if not is_abandoned:
                continue
            if match[2] == "old" and not target.exists():
                os.rename(path, target)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def try_lock(file: BinaryIO | int) -> bool | None:
    """Try to lock an open file or folder for this process, without waiting.

    The lock ends when the file is closed or the process ends.

    Parameters
    ----------
    file : binary file or int
        An open file, or the descriptor of an open folder.

    Returns
    -------
    bool or None
        True: locked. False: another process has the lock. None: the file system does not support
        locks, as some network file systems.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _LOCKED_ERRORS else None
    return True


def lock_folder(folder: Path, message: str) -> int:
    """Lock a folder, so that only one process writes it.

    A file system without locks gives a descriptor without a lock.

    Parameters
    ----------
    folder : Path
        An existing folder.
    message : str
        The text of the DataError if another process has the lock.

    Returns
    -------
    int
        The descriptor of the folder; `os.close` releases the lock.

    Raises
    ------
    DataError
        Another process has the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    if try_lock(descriptor) is False:
        os.close(descriptor)
        raise DataError(message)
    return descriptor


def _check_target(target: str | Path, unmanaged: UnmanagedFiles | None) -> Path:
    """Return the absolute path of a result folder, after leftovers were removed from its parent.

    Raises
    ------
    DataError
        The target is the current folder, or cannot be replaced, see `check_replaceable`.
    """
    target = Path(target).absolute()
    if os.path.realpath(target) == os.path.realpath(Path.cwd()):
        raise DataError(f"{target} is the current folder; name a new folder with `out`")
    clear_leftovers(target)
    check_replaceable(target, unmanaged)
    return target


@contextmanager
def _check_abandoned(path: Path, process: int) -> Iterator[bool]:
    """Yield whether a temporary file or folder is abandoned; a folder stays locked in the block.

    A process locks the folder that it writes. The number of a process says less than the lock,
    because the next process of a container may have the same number. Files are not locked, so for
    files the number `process` of the writer decides.
    """
    if not path.is_dir():
        yield not _is_alive(process)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield try_lock(descriptor) is True
    finally:
        os.close(descriptor)


def _is_alive(process: int) -> bool:
    """Whether a process with this number exists on the machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _make_locked(partial: Path, target: Path) -> int:
    """Make the temporary folder of a target and lock it; return the descriptor with the lock.

    Raises
    ------
    DataError
        The folder exists: another process is writing the target.
    """
    while True:
        try:
            partial.mkdir(parents=True)
        except FileExistsError:
            if not partial.is_dir():
                raise
            raise DataError(
                f"another process is writing {target}; wait for it, or remove {partial} if no "
                "such process exists"
            ) from None
        with suppress(FileNotFoundError):
            descriptor = os.open(partial, os.O_RDONLY)
            with suppress(OSError):  # some file systems do not support locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if partial.is_dir():
                return descriptor
            # Another process took the unlocked folder for a leftover and removed it.
            os.close(descriptor)


def _replace(partial: Path, target: Path) -> None:
    """Rename the temporary folder to its target; a present target is moved away, then removed."""
    if not target.exists():
        os.rename(partial, target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    descriptor = os.open(target, os.O_RDONLY)
    try:
        try_lock(descriptor)  # so that no process takes the folder for a leftover
        os.rename(target, old)
        os.rename(partial, target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        os.close(descriptor)


def _cannot_write(target: Path, error: OSError) -> DataError:
    """Return the DataError for a target that cannot be written, with the reason of the system."""
    return DataError(
        f"cannot write {target}: {error.strerror or error}; free some space, or name another "
        "folder with `out`"
    )


def _names(folder: Path) -> set[str]:
    """Return the names of all files and folders in a folder, except macOS's `.DS_Store`."""
    return {path.name for path in folder.iterdir()} - {".DS_Store"}
