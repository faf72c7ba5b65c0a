"""The next result is made while the last one is put away."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

Result = TypeVar("Result")
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
