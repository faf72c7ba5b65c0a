"""Bad inputs of a training on two machines, which two processes on this one stand for."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tools.robustness.bad_inputs.environments import Answer, finish, start, while_training

TF_CONFIG = "TF_CONFIG"
WORKERS = ("127.0.0.1:5000", "127.0.0.1:5001")


def cluster(index: Any = 0, kind: str = "worker", **jobs: Any) -> str:
    """Return a TF_CONFIG of two workers, unless `jobs` says otherwise."""
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": jobs or {"worker": list(WORKERS)}, "task": task})


def told(text: str) -> Callable[[Path], AbstractContextManager[None]]:
    """Return what sets TF_CONFIG for a while."""

    @contextmanager
    def around(place: Path) -> Iterator[None]:
        former = os.environ.get(TF_CONFIG)
        os.environ[TF_CONFIG] = text
        try:
            yield
        finally:
            os.environ.pop(TF_CONFIG)
            if former is not None:
                os.environ[TF_CONFIG] = former

    return around


def beside(**other: str) -> Callable[[list[str], Path], Answer]:
    """Return what gives the answer of worker 0 beside a worker 1 that has `other` words.

    A key of `other` is a word of the command, "more" stands for its end.
    """

    def run(words: list[str], place: Path) -> Answer:
        second = [other.get(word, word) for word in words] + other.get("more", "").split()
        addresses, begun = _free(), []
        for index, own in enumerate((words, second)):
            with told(cluster(index, worker=addresses))(place):
                begun.append(start(own))
        answers = [finish(worker) for worker in begun]
        return answers[0]

    return run


def killed(words: list[str], place: Path) -> Answer:
    """Answer of worker 0 after worker 1 was killed while both trained."""
    addresses = _free()
    with told(cluster(1, worker=addresses))(place):
        second = start(words)

    def kill(first: subprocess.Popen[str]) -> None:
        second.send_signal(signal.SIGKILL)
        second.communicate()

    with told(cluster(0, worker=addresses))(place):
        return while_training(words, place / "NEW", kill)


def _free() -> list[str]:
    """Return two addresses on this machine that nobody uses."""
    holders = [socket.socket() for _ in WORKERS]
    for holder in holders:
        holder.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{holder.getsockname()[1]}" for holder in holders]
    for holder in holders:
        holder.close()
    return addresses
