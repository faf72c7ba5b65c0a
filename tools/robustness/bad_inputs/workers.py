"""Bad inputs of a training with two workers, which are two processes on this machine."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tools.robustness.bad_inputs.environments import CommandResult, finish, start, while_training

TF_CONFIG = "TF_CONFIG"
WORKERS = ("127.0.0.1:5000", "127.0.0.1:5001")


def tf_config(index: Any = 0, kind: str = "worker", **jobs: Any) -> str:
    """Return a TF_CONFIG of the cluster `jobs`; default: a cluster of two workers."""
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": jobs or {"worker": list(WORKERS)}, "task": task})


def with_tf_config(text: str) -> Callable[[Path], AbstractContextManager[None]]:
    """Return an environment in which the variable TF_CONFIG is `text`."""

    @contextmanager
    def environment(folder: Path) -> Iterator[None]:
        previous = os.environ.get(TF_CONFIG)
        os.environ[TF_CONFIG] = text
        try:
            yield
        finally:
            os.environ.pop(TF_CONFIG)
            if previous is not None:
                os.environ[TF_CONFIG] = previous

    return environment


def with_second_worker(
    extra: str = "", **replacements: str
) -> Callable[[list[str], Path], CommandResult]:
    """Return a function that runs a command on two workers and returns the result of worker 0.

    Parameters
    ----------
    extra
        Additional arguments of worker 1.
    **replacements
        Arguments of worker 0 and their values on worker 1.
    """

    def run(arguments: list[str], folder: Path) -> CommandResult:
        second = [replacements.get(word, word) for word in arguments] + extra.split()
        addresses, processes = _free_addresses(), []
        for index, worker_arguments in enumerate((arguments, second)):
            with with_tf_config(tf_config(index, worker=addresses))(folder):
                processes.append(start(worker_arguments))
        results = [finish(process) for process in processes]
        return results[0]

    return run


def kill_second_worker(arguments: list[str], folder: Path) -> CommandResult:
    """Kill worker 1 during the training and return the result of worker 0."""
    addresses = _free_addresses()
    with with_tf_config(tf_config(1, worker=addresses))(folder):
        second = start(arguments)

    def kill(first: subprocess.Popen[str]) -> None:
        second.send_signal(signal.SIGKILL)
        second.communicate()

    with with_tf_config(tf_config(0, worker=addresses))(folder):
        return while_training(arguments, folder / "NEW", kill)


def _free_addresses() -> list[str]:
    """Return two unused addresses on this machine."""
    sockets = [socket.socket() for _ in WORKERS]
    for bound in sockets:
        bound.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{bound.getsockname()[1]}" for bound in sockets]
    for bound in sockets:
        bound.close()
    return addresses
