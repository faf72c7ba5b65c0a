"""Rendezvous of the workers of a distributed training, before TensorFlow starts.

Without the rendezvous, TensorFlow waits for missing workers without a message, a limit, or a
reaction to Ctrl-C.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from augan.exceptions import ConfigError, RunInterruptedError
from augan.training.distributed.cluster import Cluster

_PATIENCE = 600.0  # seconds to wait for all workers
_ATTEMPT, _PAUSE = 2.0, 0.1  # seconds of one attempt to connect, and between two attempts


def wait_for_workers(cluster: Cluster, patience: float = _PATIENCE) -> None:
    """Wait until every worker of the cluster is about to start TensorFlow.

    The other workers listen at their own addresses until the chief has connected to all of them.
    Then the server of the chief starts, and the others connect to it.

    Parameters
    ----------
    cluster : Cluster
        Addresses of the workers and the rank of this process.
    patience : float
        Seconds to wait for all workers; default 600.

    Raises
    ------
    ConfigError
        This worker cannot listen at its address.
    RunInterruptedError
        A worker did not start in time.
    """
    limit = time.monotonic() + patience
    with _listening(cluster):
        if cluster.rank:
            _wait_for(cluster, 0, limit)
            return
    for rank in range(1, len(cluster.addresses)):
        _wait_for(cluster, rank, limit)


@contextmanager
def _listening(cluster: Cluster) -> Iterator[None]:
    """Accept connections at the port of this worker in the block.

    The chief only checks that its port is free. Raises ConfigError if the port is in use.
    """
    _, port = _host_and_port(cluster.addresses[cluster.rank])
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        listener = socket.create_server(
            ("", port), family=family, dualstack_ipv6=family is socket.AF_INET6
        )
    except OSError as error:
        raise ConfigError(
            f"{cluster} cannot listen at port {port} ({error.strerror or error}); end the process "
            "that uses it, or give TF_CONFIG another port on all workers"
        ) from error
    with listener:
        if not cluster.rank:
            listener.close()
        yield


def _wait_for(cluster: Cluster, rank: int, limit: float) -> None:
    """Try to connect to the worker `rank` until the connection succeeds.

    Raises RunInterruptedError after the moment `limit` on the monotonic clock.
    """
    address = cluster.addresses[rank]
    while True:
        try:
            socket.create_connection(_host_and_port(address), timeout=_ATTEMPT).close()
            return
        except OSError as error:
            if time.monotonic() > limit:
                raise RunInterruptedError(
                    f"worker {rank} at {address} did not start in time "
                    f"({error.strerror or error}); see its own output, and check that TF_CONFIG "
                    "names the same machines on all workers"
                ) from error
        time.sleep(_PAUSE)


def _host_and_port(address: str) -> tuple[str, int]:
    """Return the host, without brackets, and the port of an address `host:port`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
