"""Waiting until all workers are there, which TensorFlow does without a word, a limit or Ctrl-C."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from augan.exceptions import ConfigError, RunInterruptedError
from augan.training.distributed.cluster import Cluster

PATIENCE = 600.0  # seconds
_TRY, _PAUSE = 2.0, 0.1  # seconds of one attempt, and between two


def meet(cluster: Cluster, patience: float = PATIENCE) -> None:
    """Return when every worker of the cluster is there and about to start TensorFlow.

    The others listen at their own addresses until the chief has seen all of them; then its server
    starts, which tells them.

    Raises
    ------
    ConfigError
        The address of this worker cannot be listened at.
    RunInterruptedError
        A worker has not come in time.
    """
    limit = time.monotonic() + patience
    with _listening(cluster):
        if cluster.number:
            _await(cluster, 0, limit)
            return
    for number in range(1, len(cluster.addresses)):
        _await(cluster, number, limit)


@contextmanager
def _listening(cluster: Cluster) -> Iterator[None]:
    """Listen at this worker's port, the chief only to see that it is free."""
    _, port = _parts(cluster.addresses[cluster.number])
    kind = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        listener = socket.create_server(
            ("", port), family=kind, dualstack_ipv6=kind is socket.AF_INET6
        )
    except OSError as error:
        raise ConfigError(
            f"{cluster} cannot listen at port {port} ({error.strerror or error}); end what uses "
            "it, or give TF_CONFIG another port on all workers"
        ) from error
    with listener:
        if not cluster.number:
            listener.close()
        yield


def _await(cluster: Cluster, number: int, limit: float) -> None:
    address = cluster.addresses[number]
    while True:
        try:
            socket.create_connection(_parts(address), timeout=_TRY).close()
            return
        except OSError as error:
            if time.monotonic() > limit:
                raise RunInterruptedError(
                    f"worker {number} at {address} did not come in time "
                    f"({error.strerror or error}); see what it said itself, and whether TF_CONFIG "
                    "names the same machines on all of them"
                ) from error
        time.sleep(_PAUSE)


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
