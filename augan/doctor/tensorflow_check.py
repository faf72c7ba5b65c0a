"""Whether TensorFlow starts, tried in a process of its own.

A TensorFlow that is broken, or made for another processor, may end the process that imports it
without a word; and only TensorFlow knows which GPUs it can use.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

PATIENCE = 180.0  # seconds; a cold disk may take one of these three minutes

_TRIAL = """
import json
from augan.gan import tf
import augan.training.trainer, augan.workflow.assemble, augan.detect.methods.auto
found = tf.config.list_physical_devices("GPU")
details = [tf.config.experimental.get_device_details(device) for device in found]
print(json.dumps([about.get("device_name", "GPU") for about in details]))
"""


@dataclass(frozen=True)
class TensorFlowCheck:
    """How the start went.

    Attributes
    ----------
    gpus : tuple of str
        Names of the GPUs that TensorFlow will use.
    error : str or None
        Why it does not start, in one line.
    seconds : float
        How long the start took.
    """

    gpus: tuple[str, ...]
    error: str | None
    seconds: float


def check_tensorflow(trial: str = _TRIAL, patience: float = PATIENCE) -> TensorFlowCheck:
    """Start Python anew, import all that a training needs, and look for GPUs."""
    begun = time.monotonic()
    # -P: a file in the current folder must not be taken for a library.
    command = [sys.executable, "-P", "-c", trial]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        return TensorFlowCheck((), f"it did not start within {patience:.0f} s", patience)
    seconds = time.monotonic() - begun
    if done.returncode:
        return TensorFlowCheck((), _why(done.returncode, done.stderr), seconds)
    return TensorFlowCheck(tuple(json.loads(done.stdout.splitlines()[-1])), None, seconds)


def _why(code: int, said: str) -> str:
    """Return one line: the last that was said, or the signal that ended the process."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = ", an instruction that this processor lacks" if name == "SIGILL" else ""
        return f"its process was ended by {name}{hint}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else f"its process ended with exit code {code}"
