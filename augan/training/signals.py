"""SIGINT and SIGTERM ask a training to stop; it stops after the step in hand, with a checkpoint."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Stop = Callable[[], str | None]


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Give a function that returns the name of the signal that came, or None.

    A second signal acts as usual, so that a person who insists is obeyed at once. Outside the main
    thread, where Python allows no handlers, it always returns None.
    """
    came: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    former: dict[int, Any] = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }

    def remember(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number).name)
        signal.signal(number, former[number])

    for number in former:
        signal.signal(number, remember)
    try:
        yield lambda: came[0] if came else None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
