"""Environments of bad inputs: a full disk, missing privileges, a running training."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[3]
MAX_WAIT_SECONDS = 180.0  # for the first step of a training


class Unavailable(Exception):
    """The machine cannot run this case. The message gives the reason."""


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command."""

    exit_code: int
    stdout: str
    stderr: str


def start(
    arguments: list[str], limit: int | None = None, before: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start the command in a separate process.

    Parameters
    ----------
    arguments
        The command without `augan`.
    limit
        Maximum size in bytes of a file that the process writes; None: no limit.
    before
        Command and options that start the process, for example `setpriv`.
    """
    code = "from augan_cli.main import main; main()"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "cli")])
    # This process sets the log level of TensorFlow; the process of a user does not.
    inherited = {
        name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"
    }
    size = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit or 0, limit or 0))
    return subprocess.Popen(
        [*before, sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=size if limit else None,
    )


def finish(process: subprocess.Popen[str]) -> CommandResult:
    """Wait for a process and return its result."""
    stdout, stderr = process.communicate()
    return CommandResult(process.returncode, stdout, stderr)


def small_disk(size: int) -> Callable[[Path], AbstractContextManager[None]]:
    """Return an environment in which the folder `small` is a disk of `size` bytes."""

    @contextmanager
    def environment(folder: Path) -> Iterator[None]:
        folder = folder / "small"
        folder.mkdir()
        if not try_mount(folder, size):
            yield  # `on_small_disk` limits the size of files instead
            return
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    return environment


def small_cache(size: int) -> Callable[[Path], AbstractContextManager[None]]:
    """Return an environment in which the cache of decoded images is a disk of `size` bytes."""

    @contextmanager
    def environment(folder: Path) -> Iterator[None]:
        previous = os.environ.get("AUGAN_CACHE")
        os.environ["AUGAN_CACHE"] = "small"
        try:
            with small_disk(size)(folder):
                yield
        finally:
            os.environ.pop("AUGAN_CACHE")
            if previous is not None:
                os.environ["AUGAN_CACHE"] = previous

    return environment


def try_mount(folder: Path, size: int) -> bool:
    """Mount a disk in memory; return False where mounting is not permitted."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(mount, capture_output=True).returncode == 0


def on_small_disk(
    run: Callable[[list[str]], CommandResult], limit: int
) -> Callable[[list[str], Path], CommandResult]:
    """Return a function that runs a command on the disk `small`.

    Where `small` is not a mounted disk, no file of the command may grow beyond `limit` bytes.
    """

    def run_limited(arguments: list[str], folder: Path) -> CommandResult:
        if os.path.ismount(folder / "small"):
            return run(arguments)
        return finish(start(arguments, limit))

    return run_limited


def without_privileges(arguments: list[str], folder: Path) -> CommandResult:
    """Run the command without the privilege to ignore permissions, also where the user is root."""
    if os.geteuid() != 0:
        return finish(start(arguments))
    if not shutil.which("setpriv"):
        raise Unavailable("root ignores permissions, and the command setpriv is not installed")
    # The user stays the same, because another user may not be able to run this Python.
    return finish(
        start(arguments, before=("setpriv", "--bounding-set=-dac_override,-dac_read_search"))
    )


def while_training(
    arguments: list[str], run: Path, act: Callable[[subprocess.Popen[str]], None]
) -> CommandResult:
    """Start a training, call `act` with its process after the first step, and return its result."""
    process = start(arguments)
    started = time.monotonic()
    while not (run / "metrics.jsonl").exists():
        if process.poll() is not None or time.monotonic() - started > MAX_WAIT_SECONDS:
            break
        time.sleep(0.02)
    act(process)
    return finish(process)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Send the signal of Ctrl-C."""
    process.send_signal(signal.SIGINT)
