"""Signals that stop a training after the current step, with a checkpoint."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

StopSignal = Callable[[], str | None]  # returns the name of the received signal, or None


@contextmanager
def stop_on_signals() -> Iterator[StopSignal]:
    """Let SIGINT (Ctrl-C) and SIGTERM stop a training gently in the block.

    The block receives a function that returns the name of the received signal, or None. A second
    signal has its usual effect, so that a user can end the process at once. Outside the main
    thread, where Python allows no handlers, the function always returns None.
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    previous: dict[int, Any] = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)
        signal.signal(number, previous[number])

    for number in previous:
        signal.signal(number, handle)
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
