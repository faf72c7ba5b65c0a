"""Dask executor: worker processes on this machine, or the workers of a running cluster.

Dask is an extra and is imported only here. Only the process that started a job writes results. If
a worker dies, another worker repeats its task, and no result is written twice.
"""

import logging
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice
from typing import Any, TypeVar

from augan.exceptions import AuganError, ConfigError, WorkerError
from augan.parallel.executor import State, StateSpec

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

TASKS_PER_WORKER = 2  # waiting or running at once; no more tasks are in memory
WORKER_TIMEOUT = 30  # seconds without any worker, after which a job fails
CONNECT_TIMEOUT = 10  # seconds in which a scheduler must answer
_THREAD_VARIABLES = (
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
)
# Worker processes read this variable: they must not write to the user's terminal.
_QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}


def require_dask() -> None:
    """Raise ConfigError, which names the packages to install, if Dask is missing."""
    if any(find_spec(name) is None for name in ("dask", "distributed", "cryptography")):
        raise ConfigError(
            "workers need Dask: python -m pip install 'augan[dask]', or leave --workers and "
            "--scheduler out; --shard and augan merge need nothing"
        )


class DaskExecutor:
    """An executor that runs tasks on all workers of a Dask client.

    Parameters
    ----------
    client : distributed.Client
    where : str
        The location of the workers in messages, such as "on this machine".
    """

    def __init__(self, client: Any, where: str) -> None:
        self._client, self._where = client, where

    def map(
        self, function: Callable[[State, _Item], _Result], state: State, items: Iterable[_Item]
    ) -> Generator[_Result, None, None]:
        """Yield the results; see `augan.parallel.executor.Executor.map`."""
        spec, remaining = state.spec(), iter(items)
        waiting: deque[Any] = deque()
        try:
            while True:
                free = TASKS_PER_WORKER * max(1, self._count_workers()) - len(waiting)
                for item in islice(remaining, max(0, free)):
                    # With pure=True Dask would run two equal tasks once, and keep the result.
                    waiting.append(self._client.submit(_run_task, function, spec, item, pure=False))
                if not waiting:
                    return
                yield self._wait_for(waiting.popleft())
        finally:
            if waiting:
                self._client.cancel(list(waiting))

    def _count_workers(self) -> int:
        try:
            return len(self._client.nthreads())
        except Exception as error:
            raise self._connection_lost(error) from error

    def _wait_for(self, future: Any) -> Any:
        from distributed import KilledWorker, wait

        while True:
            try:
                wait(future, timeout=WORKER_TIMEOUT)
                return future.result()
            except AuganError:
                raise
            except KilledWorker as error:
                raise WorkerError(
                    f"one task ended several workers {self._where} one after another; perhaps "
                    "the workers lack memory: start fewer workers, and check that each starts"
                ) from error
            except TimeoutError as error:
                if future.status == "error":
                    raise  # the task itself raised it
                if future.status == "finished" or self._count_workers():
                    continue  # a worker is running
                raise WorkerError(
                    f"there was no worker {self._where} for {WORKER_TIMEOUT} seconds; start some "
                    "with dask worker ADDRESS, or use --workers N"
                ) from error
            except Exception as error:
                if isinstance(error, ImportError) or "deserializ" in str(error):
                    raise WorkerError(
                        f"a process {self._where} cannot import a package of this process "
                        f"({error}); install the same packages everywhere, scheduler included"
                    ) from error
                if future.status == "error":
                    raise  # the task itself failed
                raise self._connection_lost(error) from error

    def _connection_lost(self, error: Exception) -> WorkerError:
        return WorkerError(
            f"the connection to the scheduler {self._where} was lost ({type(error).__name__}: "
            f"{error}); check that the scheduler still runs, and repeat the command"
        )


@contextmanager
def start_local(workers: int) -> Iterator[DaskExecutor]:
    """Start worker processes on this machine, which only this user can reach.

    Parameters
    ----------
    workers : int
        Number of processes; they share the cores.
    """
    _silence()
    import dask
    from distributed import Client, LocalCluster

    # Set before the process starts: later, a library may have started its threads.
    new = {**dict.fromkeys(_THREAD_VARIABLES, str(threads_per_worker(workers))), **_QUIET}
    kept = {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
    with (
        tempfile.TemporaryDirectory(prefix="augan-workers-", ignore_cleanup_errors=True) as folder,
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ": {**new, **kept},
                "distributed.scheduler.http.routes": [],
                "distributed.worker.http.routes": [],
            }
        ),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            # Without these the scheduler would still listen for browsers, at a port that may be
            # in use.
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            memory_limit=None,
            local_directory=folder,
            security=True,  # with a temporary key: other users of this machine have no access
            silence_logs=50,
            preload=__name__,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield DaskExecutor(client, "on this machine")


def dask_setup(worker: Any) -> None:
    """Ignore Ctrl-C in a worker process of this machine; Dask calls this before the first task.

    A terminal sends Ctrl-C to all processes; the process that started the job ends the workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def connect(address: str) -> Iterator[DaskExecutor]:
    """Connect to the scheduler at an address; its workers keep running after the context."""
    _silence()
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_TIMEOUT)
    except Exception as error:  # of the address, the network or the encryption
        raise WorkerError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}: {error}); start one "
            "with dask scheduler, or use --workers N"
        ) from error
    with client:
        yield DaskExecutor(client, f"at {address}")


def _silence() -> None:
    """Keep Dask's log out of the terminal; problems that matter become a `WorkerError`."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import distributed  # noqa: F401, because the import sets the levels of its log

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def threads_per_worker(workers: int, cores: int | None = None) -> int:
    """Return the number of threads that TensorFlow starts in each worker.

    The workers share the cores, unless the user has set `TF_NUM_INTRAOP_THREADS`.

    Examples
    --------
    >>> threads_per_worker(3, cores=8)
    2
    """
    setting = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if setting.isdecimal() and int(setting) > 0:
        return int(setting)
    return max(1, (cores or _count_cores()) // workers)


def _count_cores() -> int:
    from dask.system import cpu_count

    return int(cpu_count())  # the cores that this process may use, within limits of a container


# A worker with several threads still runs one task at a time: TensorFlow has its own threads, and
# a state remembers the last file that it read.
_TASK_LOCK = threading.Lock()


def _run_task(function: Callable[[Any, Any], Any], spec: StateSpec, item: Any) -> Any:
    """Run one task in a worker."""
    with _TASK_LOCK:
        result = function(_build_state(spec), item)
        return list(result) if isinstance(result, Iterator) else result


@lru_cache(maxsize=1)
def _build_state(spec: StateSpec) -> Any:
    return spec.build()
