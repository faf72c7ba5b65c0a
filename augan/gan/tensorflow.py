"""Import of TensorFlow without its informational log lines.

TensorFlow's C++ side writes informational lines to file descriptor 2 before Python can change any
setting. Standard error is therefore redirected to a temporary file while the library and its
devices start. All lines that are not informational are then written to standard error.
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

Tensor = Any  # TensorFlow is imported at run time, so that a type checker cannot see its classes

_LOG_NOISE = re.compile(
    r"^([IW]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IW] |WARNING: All log messages before|To enable)"
)


def import_tensorflow() -> tuple[Any, Any]:
    """Import TensorFlow and Keras without log noise and return the two modules.

    On a cluster (the environment variable `TF_CONFIG`), the devices are not initialized, because
    the cluster must be configured first.
    """
    is_cluster = bool(os.environ.get("TF_CONFIG"))
    # Log errors only. On a cluster log nothing: each error is also raised as an exception, and a
    # lost machine would log one error for every collective operation.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if is_cluster else "2")
    with filtered_log_noise():
        tensorflow = importlib.import_module("tensorflow")
        if not is_cluster:  # a cluster must be configured before the devices are initialized
            tensorflow.config.list_logical_devices()
        tensorflow.get_logger().setLevel("ERROR")  # it warns of several trainings in one process
        # The remapper logs an error for the gradient of a leaky ReLU after a bias, and it does not
        # make a training step faster.
        tensorflow.config.optimizer.set_experimental_options({"remapping": False})
        return tensorflow, importlib.import_module("keras")


def _is_log_noise(line: str) -> bool:
    """Return whether a line of TensorFlow's log is informational, and not an error for the user."""
    # Without a GPU driver, the failed search for a driver is not an error.
    no_gpu = "cuInit" in line and not Path("/dev/nvidiactl").exists()
    return no_gpu or bool(_LOG_NOISE.match(line))


@contextmanager
def filtered_log_noise() -> Iterator[None]:
    """Buffer standard error during the block, then write all lines that are not log noise.

    The redirection acts on file descriptor 2, so output of C++ code is included.
    """
    try:
        descriptor = os.dup(2)
    except OSError:  # some services run without standard error
        yield
        return
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(descriptor, 2)
            os.close(descriptor)
            captured.seek(0)
            for line in captured.read().decode(errors="replace").splitlines():
                if line.strip() and not _is_log_noise(line):
                    sys.stderr.write(line + "\n")
