"""Where the parts of a job are done; what is found always comes back in order.

A part is an item (the names of some images, the number of a chunk) that a function turns into a
result with the help of a state: networks, settings, places. The state stays where it was made.
Another process makes its own from a plan, once, and so each worker loads the bundle once.
"""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any, Protocol, TypeVar

from augan.exceptions import ConfigError


class Plan(Protocol):
    """What makes a state in another process: small, hashable, and of plain values."""

    def open(self) -> "Portable":
        """Make the state; an `AuganError` says why it would not be the same as here."""

    def __hash__(self) -> int: ...


class Portable(Protocol):
    """A state that can be made again elsewhere."""

    def plan(self) -> Plan:
        """Return how."""


State = TypeVar("State", bound=Portable)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Does the parts of jobs."""

    def map(
        self, function: Callable[[State, Item], Result], state: State, items: Iterable[Item]
    ) -> Generator[Result, None, None]:
        """Yield what the function finds for each item, in order; close it to stop earlier.

        Parameters
        ----------
        function : callable
            Of a module, so that others can import it. Where it returns an iterator, that may be a
            list of the same when it arrives.
        state : Portable
        items : iterable
            Perhaps endless: few are taken before they are due.
        """


class Here:
    """Does one part after another in this process, each when it is asked for."""

    def map(
        self, function: Callable[[State, Item], Result], state: State, items: Iterable[Item]
    ) -> Generator[Result, None, None]:
        """Yield results; see `Executor`."""
        for item in items:
            yield function(state, item)


def open_executor(workers: int | None, scheduler: str | None) -> AbstractContextManager[Executor]:
    """Return the executor that is asked for; it ends with the context.

    Parameters
    ----------
    workers : int or None
        Processes on this machine, which share its cores.
    scheduler : str or None
        In their place, the address of a Dask scheduler, such as `tcp://10.0.0.1:8786`. Neither:
        this process.

    Raises
    ------
    ConfigError
        Both are given, a number below 1, or the extra `augan[dask]` is not installed.
    WorkerError
        On entering the context: there is no scheduler, or no worker starts.
    """
    if workers is None and scheduler is None:
        return nullcontext(Here())
    if workers is not None and scheduler is not None:
        raise ConfigError(
            "both a number of workers and a scheduler came; choose one: --workers starts processes "
            "on this machine, --scheduler uses those of a Dask cluster"
        )
    from augan.parallel.dask_executor import at, local, require_dask

    require_dask()
    if scheduler is not None:
        return at(scheduler)
    if not workers or workers < 1:
        raise ConfigError(f"the number of workers is {workers}, a number of 1 or more is needed")
    return local(workers)


_END: Any = object()


def ahead(results: Generator[Result, None, None]) -> Generator[Result, None, None]:
    """Yield the same results, each made in a thread of its own while its forerunner is in use.

    Closing waits for the one that is being made, so results should not take long.
    """
    with closing(results), ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, results, _END)
        while (found := coming.result()) is not _END:
            coming = thread.submit(next, results, _END)
            yield found
