"""Where the time of a run goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds spent in each part of a run, by the monotonic clock.

    Parameters
    ----------
    started : float or None
        `time.monotonic()` at which the whole began, so that start-up counts too.
    """

    def __init__(self, started: float | None = None) -> None:
        now = time.monotonic()
        self.started = now if started is None else started
        self.seconds: dict[str, float] = {"start-up": now - self.started}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the block to the part called `name`."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun
