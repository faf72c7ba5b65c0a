"""Processes that train together: one process, or one process on each of several machines.

All workers run the same training on the same data, each on its own rows of every batch
(`augan.gan.distribution`). The first worker, the chief, writes the files and decides when to stop
and which checkpoint to use. The other workers follow its decisions, because a worker that leaves
the loop alone would make the others wait in a collective operation forever.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from augan.exceptions import ConfigError, RunInterruptedError
from augan.gan import tf
from augan.gan.tensorflow import filtered_log_noise
from augan.training.distributed.cluster import VARIABLE, Cluster, select_cluster
from augan.training.distributed.rendezvous import wait_for_workers

_LOST_WORKER_ERRORS = (  # errors of a collective operation when a machine is gone
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)
MAX_DIFFERENCES = 5  # number of differences between workers in an error message
MAX_VALUE_LENGTH = 40  # characters of a value in an error message


@dataclass
class Workers:
    """The processes that train together, as one of the processes sees them.

    Attributes
    ----------
    strategy : tf.distribute.Strategy or None
        None: one process on one device, without communication.
    rank : int
        Index of this worker; 0 is the chief.
    count : int
        Number of workers.
    position : str
        Progress of the training, for the message about a lost worker.
    """

    strategy: Any = None
    rank: int = 0
    count: int = 1
    position: str = "before the training had begun"

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the chief, which writes files and decides for all workers."""
        return self.rank == 0

    @property
    def num_replicas(self) -> int:
        """Number of replicas, one a device of any worker, that share a batch."""
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context manager in which networks are built and trained on all devices."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def require_divisible(self, batch_size: int) -> None:
        """Raise ConfigError unless all replicas get equally many rows of a batch."""
        remainder = batch_size % self.num_replicas
        if remainder:
            lower = batch_size - remainder
            legal = [size for size in (lower, lower + self.num_replicas) if size]
            raise ConfigError(
                f"training.batch_size={batch_size} is the batch of all {self.num_replicas} "
                "replicas together and cannot be split into as many equal parts; nearest legal: "
                f"{' or '.join(f'--set training.batch_size={n}' for n in legal)}; or train on one "
                "device with --distribute none"
            )

    def require_same(self, identity: Mapping[str, Any]) -> None:
        """Raise ConfigError, on every worker, if the data, settings or versions of workers differ.

        `identity` describes this worker's training, JSON-able. The message names the differing
        keys.
        """
        if self.count == 1:
            return
        contents = self.all_gather(json.dumps(identity).encode())
        identities = [json.loads(content) for content in contents]
        chief, differences = identities[0], []
        for rank, other in enumerate(identities):
            keys = [key for key in {**chief, **other} if chief.get(key) != other.get(key)]
            differences += [
                f"{key} is {_shortened(chief.get(key))} on worker 0 and "
                f"{_shortened(other.get(key))} on worker {rank}"
                for key in sorted(keys)
            ]
        if differences:
            hidden = len(differences) - MAX_DIFFERENCES
            more = f"; and {hidden} more" if hidden > 0 else ""
            raise ConfigError(
                f"the workers differ: {'; '.join(differences[:MAX_DIFFERENCES])}{more}; start all "
                "of them with the same command, data and versions"
            )

    def broadcast(self, decision: bool) -> bool:
        """Return the chief's decision on every worker; the arguments of others are ignored."""
        return bool(self._all_gather_int(int(decision))[0])

    def any_signal(self, signal: str | None) -> str | None:
        """Return, on every worker, the name of a signal that any worker has received, or None.

        `signal` is the signal of this worker. With several workers, the result also names the
        worker.
        """
        if self.count == 1 or not any(self._all_gather_int(int(signal is not None))):
            return signal
        names = [content.decode() for content in self.all_gather((signal or "").encode())]
        rank, name = next((rank, name) for rank, name in enumerate(names) if name)
        return f"{name} on worker {rank}"

    def all_gather(self, content: bytes) -> list[bytes]:
        """Return the bytes that each worker passes, in the order of ranks, on every worker."""
        if self.count == 1:
            return [content]
        sizes = self._all_gather_int(len(content))
        padded = np.zeros((self.count, -(-max(sizes) // 4)), np.int32)
        padded[self.rank].view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
        rows = self._all_reduce_sum(padded)
        return [row.tobytes()[:size] for row, size in zip(rows, sizes)]

    def broadcast_bytes(self, content: bytes) -> bytes:
        """Return the bytes of the chief on every worker; other workers' arguments are ignored."""
        if self.count == 1:
            return content
        size = self._all_gather_int(len(content))[0]
        padded = np.zeros(-(-size // 4), np.int32)
        if self.is_chief:
            padded.view(np.uint8)[:size] = np.frombuffer(content, np.uint8)
        return self._all_reduce_sum(padded).tobytes()[:size]

    def sync_variables(self, variables: Sequence[Any]) -> None:
        """Copy the chief's values of variables to all workers, equal to the bit."""
        if self.count == 1:
            return
        local = [variable.numpy() for variable in variables]
        content = self.broadcast_bytes(b"".join(value.tobytes() for value in local))
        start = 0
        for variable, value in zip(variables, local):
            values = np.frombuffer(content, value.dtype, value.size, start)
            variable.assign(values.reshape(value.shape))
            start += value.nbytes

    @contextmanager
    def report_lost_worker(self) -> Iterator[None]:
        """Raise RunInterruptedError if a worker stops answering in the block.

        The message names the worker and says how to continue.
        """
        if self.count == 1:
            yield
            return
        try:
            yield
        except _LOST_WORKER_ERRORS as error:
            raise RunInterruptedError(
                f"{self._lost_worker(str(error))} stopped answering {self.position}; see its own "
                "output, then start all workers again with --resume"
            ) from error

    def _lost_worker(self, message: str) -> str:
        """Return the name of the lost worker that an error message of TensorFlow points to.

        The result is "a worker" if the message points to none or to several.
        """
        others = set(range(self.count)) - {self.rank}
        named = {int(rank) for rank in re.findall(r"/task:(\d+)", message)} & others
        suspects = named if len(named) == 1 else others
        return f"worker {suspects.pop()}" if len(suspects) == 1 else "a worker"

    def _all_gather_int(self, value: int) -> list[int]:
        """Return the integer that each worker passes, in the order of ranks, on every worker."""
        if self.count == 1:
            return [value]
        values = np.zeros(self.count, np.int32)
        values[self.rank] = value
        return [int(number) for number in self._all_reduce_sum(values)]

    def _all_reduce_sum(self, values: np.ndarray) -> np.ndarray:
        """Return the elementwise sum over all workers of an int32 array."""
        devices = self.num_replicas // self.count

        def local_values() -> Any:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            # Only the first device of each worker contributes.
            return tf.constant(values) * tf.cast(replica % devices == 0, tf.int32)

        with self.report_lost_worker():
            total = self.strategy.reduce("SUM", self.strategy.run(local_values), axis=None)
        return np.asarray(total)


def join_workers(distribute: str = "auto") -> Workers:
    """Start TensorFlow's distribution strategy for a value of `--distribute`.

    Parameters
    ----------
    distribute : {"auto", "none", "mirrored", "multiworker"}
        "none": one device. "mirrored": all GPUs of this machine. "multiworker": the machines that
        TF_CONFIG names, with all their GPUs. "auto": the machines if TF_CONFIG names several, else
        the GPUs if there are several, else one device.

    Raises
    ------
    ConfigError
        The kind is unknown, TF_CONFIG is invalid or missing for "multiworker", or "mirrored" has
        only one device.
    RunInterruptedError
        Another worker did not start in time.
    """
    cluster = select_cluster(distribute)
    if cluster is not None:
        return _join_cluster(cluster)
    with filtered_log_noise():
        devices = tf.config.list_logical_devices("GPU")
        if distribute == "mirrored" and not devices:
            devices = tf.config.list_logical_devices("CPU")
    if distribute == "mirrored" and len(devices) < 2:
        raise ConfigError(
            f"--distribute mirrored requires at least 2 devices, and TensorFlow has {len(devices)} "
            f"here ({', '.join(device.name for device in devices)}); leave it out"
        )
    if distribute == "none" or len(devices) < 2:
        return Workers()
    names = [device.name for device in devices]
    return Workers(tf.distribute.MirroredStrategy(names))


def _join_cluster(cluster: Cluster) -> Workers:
    """Wait for the other machines of a cluster and start the strategy of all workers.

    Raises ConfigError if TensorFlow is already running in this process.
    """
    wait_for_workers(cluster)
    with filtered_log_noise():
        gpus = len(tf.config.list_physical_devices("GPU"))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.rank,
        num_accelerators={"GPU": gpus},
        rpc_layer="grpc",
    )
    try:
        with filtered_log_noise():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise ConfigError(
            f"the workers cannot be joined, because TensorFlow is already running ({error}); set "
            f"{VARIABLE} before Python starts"
        ) from error
    return Workers(strategy, cluster.rank, len(cluster.addresses))


def _shortened(value: Any) -> str:
    """Return a value as text of at most `MAX_VALUE_LENGTH` characters."""
    text = str(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 3]}..."
