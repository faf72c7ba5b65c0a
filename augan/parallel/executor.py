"""Executors: the processes in which the tasks of a job run, with results in order.

A task is an item (the names of some images, the number of a chunk) that a function turns into a
result with the help of a state: networks, settings, paths. The state stays in its process. Another
process builds its own state from a spec, once, so each worker loads the bundle once.
"""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any, Protocol, TypeVar

from augan.checks import check_whole_number
from augan.exceptions import ConfigError


class StateSpec(Protocol):
    """The description from which a process builds a state: small, hashable, of plain values.

    A spec is sent to workers; a worker that gets an equal spec again reuses the state.
    """

    def build(self) -> "Rebuildable":
        """Build the state in this process, for example by loading a bundle.

        Raises
        ------
        AuganError
            The state would differ from the original, for example because a file changed.
        """

    def __hash__(self) -> int: ...


class Rebuildable(Protocol):
    """A state of tasks, such as networks and paths, that another process can rebuild."""

    def spec(self) -> StateSpec:
        """Return the small description from which another process builds an equal state."""


State = TypeVar("State", bound=Rebuildable)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Executor(Protocol):
    """The interface of an executor: this process, worker processes, or a Dask cluster."""

    def map(
        self, function: Callable[[State, _Item], _Result], state: State, items: Iterable[_Item]
    ) -> Generator[_Result, None, None]:
        """Call a function on every item, and yield the results in the order of the items.

        Close the generator to stop before the last item.

        Parameters
        ----------
        function : callable
            Called as `function(state, item)`. A function of a module, so that other processes can
            import it. If the function returns an iterator, the result may arrive as a list.
        state : Rebuildable
            Everything that the function needs besides the item; another process rebuilds the state
            once.
        items : iterable
            The tasks. May be endless: only a few items are taken in advance.

        Raises
        ------
        WorkerError
            The workers cannot be reached, or died. Errors of `function` are raised unchanged.
        """


class SerialExecutor:
    """An executor that runs one task after another in this process, each on request."""

    def map(
        self, function: Callable[[State, _Item], _Result], state: State, items: Iterable[_Item]
    ) -> Generator[_Result, None, None]:
        """Yield `function(state, item)` for every item, in order; see `Executor.map`."""
        for item in items:
            yield function(state, item)


def open_executor(workers: int | None, scheduler: str | None) -> AbstractContextManager[Executor]:
    """Return a context manager of the executor that the user requested for a job.

    Parameters
    ----------
    workers : int or None
        Number of processes on this machine, which share its cores.
    scheduler : str or None
        Instead of `workers`, the address of a Dask scheduler, such as `tcp://10.0.0.1:8786`. If
        both are None, the tasks run in this process.

    Raises
    ------
    ConfigError
        Both are given, one is of the wrong type, `workers` is below 1, or the extra `augan[dask]`
        is not installed.
    WorkerError
        On entering the context: the scheduler does not answer.
    """
    if workers is None and scheduler is None:
        return nullcontext(SerialExecutor())
    if workers is not None and scheduler is not None:
        raise ConfigError(
            "got both a number of workers and a scheduler; choose one: `workers` starts processes "
            "on this machine, `scheduler` uses those of a Dask cluster"
        )
    if workers is not None:
        check_whole_number("workers", workers)
    if scheduler is not None and not isinstance(scheduler, str):
        raise ConfigError(
            f"`scheduler` must be the address of a Dask scheduler, but is {scheduler!r}; give a "
            "text such as tcp://10.0.0.1:8786"
        )
    from augan.parallel.dask_executor import connect, require_dask, start_local

    require_dask()
    if scheduler is not None:
        return connect(scheduler)
    if not workers or workers < 1:
        raise ConfigError(f"the number of workers is {workers}, a number of 1 or more is needed")
    return start_local(workers)


_END: Any = object()


def prefetch(results: Generator[_Result, None, None]) -> Generator[_Result, None, None]:
    """Yield the results of a generator, and compute one result in advance in a thread.

    So the next result is computed while the caller uses the last one. Closing the generator waits
    for the result in progress, so a result should not take long.
    """
    with closing(results), ThreadPoolExecutor(1) as thread:
        future = thread.submit(next, results, _END)
        while (result := future.result()) is not _END:
            future = thread.submit(next, results, _END)
            yield result
