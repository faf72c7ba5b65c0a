"""Dask executor, on worker processes of this machine or on the workers of a running cluster.

Dask is an extra and is imported only here. Only the process that started a job writes results. If a
worker dies, another worker repeats its task, and no result is written twice.
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
    """Raise ConfigError, which names the packages to install, unless Dask can be imported."""
    if any(find_spec(name) is None for name in ("dask", "distributed", "cryptography")):
        raise ConfigError(
            "workers need Dask: python -m pip install 'augan[dask]', or leave `workers` and "
            "`scheduler` out; --shard and augan merge need nothing"
        )


class DaskExecutor:
    """An executor that runs tasks on all workers of a Dask client.

    Workers may join and leave while a job runs.

    Parameters
    ----------
    client : distributed.Client
        An open client; the caller closes it.
    where : str
        The location of the workers in messages, such as "on this machine".
    """

    def __init__(self, client: Any, where: str) -> None:
        self._client, self._where = client, where

    def map(
        self, function: Callable[[State, _Item], _Result], state: State, items: Iterable[_Item]
    ) -> Generator[_Result, None, None]:
        """Yield `function(state, item)` for every item, in order, computed by the workers.

        At most two items per worker are waiting or running at once. Closing the generator cancels
        them. See `augan.parallel.executor.Executor.map`.

        Raises
        ------
        WorkerError
            There was no worker for 30 seconds, a task ended several workers, or the scheduler is
            gone.
        """
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
        """Return the number of workers at present; WorkerError if the scheduler is gone."""
        try:
            return len(self._client.nthreads())
        except Exception as error:
            raise self._connection_lost(error) from error

    def _wait_for(self, future: Any) -> Any:
        """Return the result of one task, as long as any worker exists.

        Raises
        ------
        WorkerError
            As for `map`, or a worker cannot import the packages. Errors of the task are raised
            unchanged.
        """
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
                    "with dask worker ADDRESS, or use `workers=N`"
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
        """Return the WorkerError for a scheduler that no longer answers."""
        return WorkerError(
            f"the connection to the scheduler {self._where} was lost ({type(error).__name__}: "
            f"{error}); check that the scheduler still runs, and repeat the command"
        )


@contextmanager
def start_local(workers: int) -> Iterator[DaskExecutor]:
    """Start worker processes on this machine, which only this user can reach.

    The processes end with the context.

    Parameters
    ----------
    workers : int
        Number of processes, at least 1; they share the cores.
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
    """Let a worker process of this machine ignore Ctrl-C; Dask calls this before the first task.

    A terminal sends Ctrl-C to all processes; the process that started the job ends the workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def connect(address: str) -> Iterator[DaskExecutor]:
    """Connect to a running Dask scheduler; its workers keep running after the context.

    Parameters
    ----------
    address : str
        The address of the scheduler, such as `tcp://10.0.0.1:8786`.

    Raises
    ------
    WorkerError
        The scheduler does not answer within 10 seconds.
    """
    _silence()
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_TIMEOUT)
    except Exception as error:  # of the address, the network or the encryption
        raise WorkerError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}: {error}); start one "
            "with dask scheduler, or use `workers=N`"
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
    """Return the number of threads that TensorFlow may start in each worker process.

    The workers share the cores, unless the user has set `TF_NUM_INTRAOP_THREADS`.

    Parameters
    ----------
    workers : int
        Number of worker processes.
    cores : int or None
        Number of cores; None (default): the cores that this process may use.

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
    """Return the number of cores that this process may use, within the limits of a container."""
    from dask.system import cpu_count

    return int(cpu_count())  # the cores that this process may use, within limits of a container


# A worker with several threads still runs one task at a time: TensorFlow has its own threads, and
# a state remembers the last file that it read.
_TASK_LOCK = threading.Lock()


def _run_task(function: Callable[[Any, Any], Any], spec: StateSpec, item: Any) -> Any:
    """Run one task in a worker process; an iterator as its result becomes a list."""
    with _TASK_LOCK:
        result = function(_build_state(spec), item)
        return list(result) if isinstance(result, Iterator) else result


@lru_cache(maxsize=1)
def _build_state(spec: StateSpec) -> Any:
    """Return the state of a spec; a worker keeps the state of the last spec."""
    return spec.build()
