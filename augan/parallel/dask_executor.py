"""Workers of Dask: processes of this machine, or a cluster that is already there.

The package is an extra, and imported only here. Only the process that began a job writes its
results: what a worker found when it died is found again by another, and nothing twice.
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
from augan.parallel.executor import Plan, State

Item = TypeVar("Item")
Result = TypeVar("Result")

EACH = 2  # parts that wait or are worked on for each worker: no more are in memory
PATIENCE = 30  # seconds without any worker before a job is given up
CONNECT = 10  # seconds in which a scheduler must answer
_THREADS = (
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
)
# Read by processes that are started, which must not write into the user's terminal either.
_QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}


def require_dask() -> None:
    """Raise ConfigError, which says what to install, unless the packages are there."""
    if any(find_spec(name) is None for name in ("dask", "distributed", "cryptography")):
        raise ConfigError(
            "workers need Dask: python -m pip install 'augan[dask]', or leave --workers and "
            "--scheduler out; --shard and augan merge need nothing"
        )


class DaskCluster:
    """Does parts of jobs on all workers of a Dask client.

    Parameters
    ----------
    client : distributed.Client
    where : str
        What a message calls the place.
    """

    def __init__(self, client: Any, where: str) -> None:
        self._client, self._where = client, where

    def map(
        self, function: Callable[[State, Item], Result], state: State, items: Iterable[Item]
    ) -> Generator[Result, None, None]:
        """Yield results; see `augan.parallel.executor.Executor`."""
        plan, rest = state.plan(), iter(items)
        waiting: deque[Any] = deque()
        try:
            while True:
                room = EACH * max(1, self._count()) - len(waiting)
                for item in islice(rest, max(0, room)):
                    # Dask would take two equal parts for one, and keep what it found.
                    waiting.append(self._client.submit(_do, function, plan, item, pure=False))
                if not waiting:
                    return
                yield self._result(waiting.popleft())
        finally:
            if waiting:
                self._client.cancel(list(waiting))

    def _count(self) -> int:
        try:
            return len(self._client.nthreads())
        except Exception as error:
            raise self._lost(error) from error

    def _result(self, future: Any) -> Any:
        from distributed import KilledWorker, wait

        while True:
            try:
                wait(future, timeout=PATIENCE)
                return future.result()
            except AuganError:
                raise
            except KilledWorker as error:
                raise WorkerError(
                    f"one part of the work ended several workers {self._where} one after another; "
                    "perhaps they lack memory: start fewer of them, and see that each starts"
                ) from error
            except TimeoutError as error:
                if future.status == "error":
                    raise  # of the work itself
                if future.status == "finished" or self._count():
                    continue  # somebody is at work
                raise WorkerError(
                    f"there was no worker {self._where} for {PATIENCE} seconds; start some with "
                    "dask worker ADDRESS, or use --workers N"
                ) from error
            except Exception as error:
                if isinstance(error, ImportError) or "deserializ" in str(error):
                    raise WorkerError(
                        f"what does the work {self._where} cannot import what this process can "
                        f"({error}); install the same packages everywhere, scheduler included"
                    ) from error
                if future.status == "error":
                    raise  # a defect of the work itself
                raise self._lost(error) from error

    def _lost(self, error: Exception) -> WorkerError:
        return WorkerError(
            f"the scheduler {self._where} was lost ({type(error).__name__}: {error}); see whether "
            "it still runs, and repeat the command"
        )


@contextmanager
def local(workers: int) -> Iterator[DaskCluster]:
    """Start so many processes on this machine; none but this user can talk to them.

    Parameters
    ----------
    workers : int
        Processes, among which the cores are divided.
    """
    _silence()
    import dask
    from distributed import Client, LocalCluster

    # Before the process starts: later, a library may have started its threads.
    started = {**dict.fromkeys(_THREADS, str(threads_each(workers))), **_QUIET}
    kept = {name: os.environ[name] for name in _THREADS if name in os.environ}
    with (
        tempfile.TemporaryDirectory(prefix="augan-workers-", ignore_cleanup_errors=True) as folder,
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ": {**started, **kept},
                "distributed.scheduler.http.routes": [],
                "distributed.worker.http.routes": [],
            }
        ),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            # Else it would listen for browsers all the same, at a port that may be taken.
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            memory_limit=None,
            local_directory=folder,
            security=True,  # a key of its own: other users of this machine are kept out
            silence_logs=50,
            preload=__name__,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield DaskCluster(client, "on this machine")


def dask_setup(worker: Any) -> None:
    """In a worker of this machine, before its first part: ignore Ctrl-C.

    A terminal sends it to all processes; the one that began the job ends the others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def at(address: str) -> Iterator[DaskCluster]:
    """Connect to the scheduler at an address; its workers stay when the context ends."""
    _silence()
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT)
    except Exception as error:  # of the address, the network or the encryption
        raise WorkerError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}: {error}); start one "
            "with dask scheduler, or use --workers N"
        ) from error
    with client:
        yield DaskCluster(client, f"at {address}")


def _silence() -> None:
    """Keep Dask's log out of the terminal: what matters of it becomes an error of ours."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import distributed  # noqa: F401, because it sets the levels of its log when it is imported

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def threads_each(workers: int, cores: int | None = None) -> int:
    """Return how many threads TensorFlow starts in each of so many workers.

    The cores are divided, unless the user has said how many threads a process may start.

    Examples
    --------
    >>> threads_each(3, cores=8)
    2
    """
    told = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    return max(1, (cores or _cores()) // workers)


def _cores() -> int:
    from dask.system import cpu_count

    return int(cpu_count())  # those that this process may use, at most a container's share


# A worker that was started with several threads still does one part at a time: TensorFlow has its
# own threads, and a state knows what it read last.
_turn = threading.Lock()


def _do(function: Callable[[Any, Any], Any], plan: Plan, item: Any) -> Any:
    """In a worker: do one part."""
    with _turn:
        result = function(_opened(plan), item)
        return list(result) if isinstance(result, Iterator) else result


@lru_cache(maxsize=1)
def _opened(plan: Plan) -> Any:
    return plan.open()
