"""Surroundings of a bad input: a disk that is full, no privileges, a training that is under way."""

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
WAIT = 180.0  # seconds after which a training that does not begin is given up


class Unavailable(Exception):
    """The machine cannot make this case; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    exit_code: int
    stdout: str
    stderr: str


def start(
    words: list[str], limit: int | None = None, before: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start the command as a process; no file of it may grow beyond `limit` bytes."""
    code = "from augan_cli.main import main; main()"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "cli")])
    # The level of TensorFlow's messages that this process has set for itself is no user's.
    own = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    size = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit or 0, limit or 0))
    return subprocess.Popen(
        [*before, sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**own, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=size if limit else None,
    )


def finish(process: subprocess.Popen[str]) -> Answer:
    """Wait for a process and return what it answered."""
    stdout, stderr = process.communicate()
    return Answer(process.returncode, stdout, stderr)


def small_disk(size: int) -> Callable[[Path], AbstractContextManager[None]]:
    """Return what makes the folder `small` a disk of `size` bytes for a while."""

    @contextmanager
    def around(place: Path) -> Iterator[None]:
        folder = place / "small"
        folder.mkdir()
        if not can_mount(folder, size):
            yield  # `on_small_disk` limits the size of files instead
            return
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    return around


def small_cache(size: int) -> Callable[[Path], AbstractContextManager[None]]:
    """Return what keeps decoded images on a disk of `size` bytes for a while."""

    @contextmanager
    def around(place: Path) -> Iterator[None]:
        former = os.environ.get("AUGAN_CACHE")
        os.environ["AUGAN_CACHE"] = "small"
        try:
            with small_disk(size)(place):
                yield
        finally:
            os.environ.pop("AUGAN_CACHE")
            if former is not None:
                os.environ["AUGAN_CACHE"] = former

    return around


def can_mount(folder: Path, size: int) -> bool:
    """Mount a disk in memory, or return False where that is not permitted."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(mount, capture_output=True).returncode == 0


def on_small_disk(
    run: Callable[[list[str]], Answer], limit: int
) -> Callable[[list[str], Path], Answer]:
    """Return what runs a command on the small disk, or else with files of at most `limit` bytes."""

    def on(words: list[str], place: Path) -> Answer:
        if os.path.ismount(place / "small"):
            return run(words)
        return finish(start(words, limit))

    return on


def without_privileges(words: list[str], place: Path) -> Answer:
    """Run the command so that permissions bind it even where we are root."""
    if os.geteuid() != 0:
        return finish(start(words))
    if not shutil.which("setpriv"):
        raise Unavailable("we are root, whom no permission binds, and there is no setpriv")
    # The same user, because another may not be able to reach this Python.
    return finish(start(words, before=("setpriv", "--bounding-set=-dac_override,-dac_read_search")))


def while_training(
    words: list[str], run: Path, act: Callable[[subprocess.Popen[str]], None]
) -> Answer:
    """Start a training, `act` on its process when it has begun, and return what it answered."""
    process = start(words)
    begun = time.monotonic()
    while not (run / "metrics.jsonl").exists():
        if process.poll() is not None or time.monotonic() - begun > WAIT:
            break
        time.sleep(0.02)
    act(process)
    return finish(process)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Do what Ctrl-C does."""
    process.send_signal(signal.SIGINT)
