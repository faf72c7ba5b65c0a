"""Check that TensorFlow starts, in a separate process, with the list of its GPUs.

A TensorFlow that is broken, or built for another processor, may end the process that imports it
without a message. Only TensorFlow knows which GPUs it can use.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

TIMEOUT = 180.0  # seconds; an import from a cold disk may take one minute

_IMPORT_CODE = """
import json
from augan.gan import tf
import augan.training.trainer, augan.workflow.assemble, augan.detect.methods.auto
devices = tf.config.list_physical_devices("GPU")
details = [tf.config.experimental.get_device_details(device) for device in devices]
print(json.dumps([detail.get("device_name", "GPU") for detail in details]))
"""


@dataclass(frozen=True)
class TensorFlowCheck:
    """Result of starting TensorFlow and importing augan's training code in a separate process.

    Attributes
    ----------
    gpus : tuple of str
        Names of the GPUs that TensorFlow will use; empty: TensorFlow uses the CPU, or did not
        start.
    error : str or None
        Why the start failed, in one line; None if it succeeded.
    seconds : float
        Duration of the start.
    """

    gpus: tuple[str, ...]
    error: str | None
    seconds: float


def check_tensorflow(code: str = _IMPORT_CODE, timeout: float = TIMEOUT) -> TensorFlowCheck:
    """Import TensorFlow and augan's training code in a new Python process, and list the GPUs.

    Parameters
    ----------
    code : str
        Python code whose last printed line is a JSON list of GPU names.
    timeout : float
        Seconds after which the process is ended and the check counts as failed.

    Returns
    -------
    TensorFlowCheck
        A failure of the process is reported in `error`, never raised.
    """
    started = time.monotonic()
    # -P: files in the current folder must not be imported as libraries.
    command = [sys.executable, "-P", "-c", code]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return TensorFlowCheck((), f"it did not start within {timeout:.0f} s", timeout)
    seconds = time.monotonic() - started
    if done.returncode:
        return TensorFlowCheck((), _describe_error(done.returncode, done.stderr), seconds)
    return TensorFlowCheck(tuple(json.loads(done.stdout.splitlines()[-1])), None, seconds)


def _describe_error(code: int, stderr: str) -> str:
    """Return why a Python process failed, in one line.

    Parameters
    ----------
    code : int
        Exit code of the process, not 0; a negative code is the number of the signal that ended the
        process.
    stderr : str
        Error output of the process; its last line that is not blank is returned if no signal ended
        the process.
    """
    if code < 0:
        name = signal.Signals(-code).name
        hint = ", an instruction that this processor lacks" if name == "SIGILL" else ""
        return f"its process was ended by {name}{hint}"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"its process ended with exit code {code}"
