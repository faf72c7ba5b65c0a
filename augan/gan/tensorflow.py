"""Start TensorFlow without its chatter, keeping its errors.

TensorFlow's C++ side writes informational lines straight to file descriptor 2 before any Python
setting is read. They are caught in a temporary file while the library and its devices start; every
line that is not such information is written out again.
"""

import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CHATTER = re.compile(
    r"^([IW]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IW] |WARNING: All log messages before|To enable)"
)


def start_tensorflow() -> tuple[Any, Any]:
    """Import TensorFlow and Keras, look for devices, and return both modules."""
    among_machines = bool(os.environ.get("TF_CONFIG"))
    # Errors only, in what is logged later; of several machines not even these, for they come with
    # an exception, and with one more for each sum that a machine that is gone takes no part in.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if among_machines else "2")
    with without_chatter():
        tensorflow = importlib.import_module("tensorflow")
        if not among_machines:  # which must know each other before their devices start
            tensorflow.config.list_logical_devices()
        tensorflow.get_logger().setLevel("ERROR")  # several trainings in one process are no fault
        # This pass fails, with an error line, on the gradient of a leaky ReLU behind a bias; it
        # makes a step of training no faster.
        tensorflow.config.optimizer.set_experimental_options({"remapping": False})
        return tensorflow, importlib.import_module("keras")


def _is_chatter(line: str) -> bool:
    # Without a GPU driver the failing look for one is no error.
    no_gpu = "cuInit" in line and not Path("/dev/nvidiactl").exists()
    return no_gpu or bool(_CHATTER.match(line))


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back what is written to standard error inside, and then write what is no chatter."""
    try:
        descriptor = os.dup(2)
    except OSError:  # no standard error at all, as in some services
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(descriptor, 2)
            os.close(descriptor)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if line.strip() and not _is_chatter(line):
                    sys.stderr.write(line + "\n")
