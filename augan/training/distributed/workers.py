"""Who trains together: this process alone, on one device or several, or one of several machines.

All workers run the same training on the same data, each on its own rows of every batch
(`augan.gan.distribution`). The first of them, the chief, writes and decides: how long, when to
stop,
and what the checkpoint says. The others follow, or they would wait in a sum for ever.
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
from augan.training.distributed.cluster import VARIABLE, Cluster, chosen_cluster
from augan.training.distributed.rendezvous import meet

_LOST = (  # what a sum over machines says when one of them is gone
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


@dataclass
class Workers:
    """The processes that train together, and which of them this is.

    Attributes
    ----------
    strategy : tf.distribute.Strategy or None
        None: one process on one device, and every method returns what it was given.
    number : int
        Of this worker; 0 is the chief.
    count : int
        Of all workers.
    place : str
        How far the training has come, for whoever is told that a worker is gone.
    """

    strategy: Any = None
    number: int = 0
    count: int = 1
    place: str = "before the training had begun"

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes and decides."""
        return self.number == 0

    @property
    def replicas(self) -> int:
        """Into how many shares a batch is cut."""
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context in which networks are made for all devices and trained on them."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def require_shares(self, batch_size: int) -> None:
        """Raise ConfigError unless a batch can be cut into equal shares."""
        more = batch_size % self.replicas
        if more:
            near = [n for n in (batch_size - more, batch_size - more + self.replicas) if n]
            raise ConfigError(
                f"training.batch_size={batch_size} is the batch of all {self.replicas} replicas "
                f"together and cannot be cut into as many equal parts; nearest legal: "
                f"{' or '.join(f'--set training.batch_size={n}' for n in near)}; or train on one "
                "device with --distribute none"
            )

    def require_same(self, identity: Mapping[str, Any]) -> None:
        """Raise ConfigError, on every worker, if one of them has other data, settings, versions."""
        if self.count == 1:
            return
        said = [json.loads(text) for text in self.gather(json.dumps(identity).encode())]
        first, differences = said[0], []
        for number, other in enumerate(said):
            names = [key for key in {**first, **other} if first.get(key) != other.get(key)]
            differences += [
                f"{key} is {_short(first.get(key))} on worker 0 and {_short(other.get(key))} on "
                f"worker {number}"
                for key in sorted(names)
            ]
        if differences:
            more = f"; and {len(differences) - 5} more" if len(differences) > 5 else ""
            raise ConfigError(
                f"the workers differ: {'; '.join(differences[:5])}{more}; start all of them with "
                "the same command, data and versions"
            )

    def told(self, decision: bool) -> bool:
        """Return the chief's decision."""
        return bool(self._votes(int(decision))[0])

    def heard(self, signal: str | None) -> str | None:
        """Return the signal that any worker has got, and which worker it was."""
        if self.count == 1 or not any(self._votes(int(signal is not None))):
            return signal
        said = [text.decode() for text in self.gather((signal or "").encode())]
        number, name = next((number, name) for number, name in enumerate(said) if name)
        return f"{name} on worker {number}"

    def gather(self, content: bytes) -> list[bytes]:
        """Return what each worker has given."""
        if self.count == 1:
            return [content]
        sizes = self._votes(len(content))
        padded = np.zeros((self.count, -(-max(sizes) // 4)), np.int32)
        padded[self.number].view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
        rows = self._sum(padded)
        return [row.tobytes()[:size] for row, size in zip(rows, sizes)]

    def from_chief(self, content: bytes) -> bytes:
        """Return what the chief has given, whatever the others have."""
        if self.count == 1:
            return content
        size = self._votes(len(content))[0]
        padded = np.zeros(-(-size // 4), np.int32)
        if self.is_chief:
            padded.view(np.uint8)[:size] = np.frombuffer(content, np.uint8)
        return self._sum(padded).tobytes()[:size]

    def follow(self, variables: Sequence[Any]) -> None:
        """Give variables the chief's values, to the bit."""
        if self.count == 1:
            return
        own = [variable.numpy() for variable in variables]
        chiefs = self.from_chief(b"".join(value.tobytes() for value in own))
        start = 0
        for variable, value in zip(variables, own):
            values = np.frombuffer(chiefs, value.dtype, value.size, start)
            variable.assign(values.reshape(value.shape))
            start += value.nbytes

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Say of a worker that stops answering inside which it is and how to go on: Interrupted."""
        if self.count == 1:
            yield
            return
        try:
            yield
        except _LOST as error:
            raise RunInterruptedError(
                f"{self._lost(str(error))} stopped answering {self.place}; see what it said "
                "itself, then start all workers again with --resume"
            ) from error

    def _lost(self, message: str) -> str:
        others = set(range(self.count)) - {self.number}
        named = {int(number) for number in re.findall(r"/task:(\d+)", message)} & others
        guilty = named if len(named) == 1 else others
        return f"worker {guilty.pop()}" if len(guilty) == 1 else "a worker"

    def _votes(self, own: int) -> list[int]:
        """Return the number that each worker has given."""
        if self.count == 1:
            return [own]
        votes = np.zeros(self.count, np.int32)
        votes[self.number] = own
        return [int(vote) for vote in self._sum(votes)]

    def _sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over workers of whole numbers."""
        devices = self.replicas // self.count

        def own() -> Any:
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            return tf.constant(values) * tf.cast(number % devices == 0, tf.int32)  # once a worker

        with self.watched():
            total = self.strategy.reduce("SUM", self.strategy.run(own), axis=None)
        return np.asarray(total)


def join_workers(distribute: str = "auto") -> Workers:
    """Start what `--distribute` asks for.

    Parameters
    ----------
    distribute : {"auto", "none", "mirrored", "multiworker"}
        One device; all GPUs of this machine; the machines that TF_CONFIG names, with all their
        GPUs. With "auto" they are the machines if TF_CONFIG names several, else the GPUs if there
        are several, else one device.

    Raises
    ------
    ConfigError
        The kind is unknown, TF_CONFIG is wrong, or there is nothing to distribute to.
    """
    cluster = chosen_cluster(distribute)
    if cluster is not None:
        return _join(cluster)
    with filtered_log_noise():
        devices = tf.config.list_logical_devices("GPU")
        if distribute == "mirrored" and not devices:
            devices = tf.config.list_logical_devices("CPU")
    if distribute == "mirrored" and len(devices) < 2:
        raise ConfigError(
            f"--distribute mirrored is for several devices, and TensorFlow has {len(devices)} "
            f"here ({', '.join(device.name for device in devices)}); leave it out"
        )
    if distribute == "none" or len(devices) < 2:
        return Workers()
    names = [device.name for device in devices]
    return Workers(tf.distribute.MirroredStrategy(names))


def _join(cluster: Cluster) -> Workers:
    meet(cluster)
    with filtered_log_noise():
        gpus = len(tf.config.list_physical_devices("GPU"))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.number,
        num_accelerators={"GPU": gpus},
        rpc_layer="grpc",
    )
    try:
        with filtered_log_noise():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise ConfigError(
            f"the workers cannot be joined any more, because TensorFlow runs already ({error}); "
            f"set {VARIABLE} before Python starts"
        ) from error
    return Workers(strategy, cluster.number, len(cluster.addresses))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
