"""TensorFlow functions to ONNX files and back into something that runs; the packages are an extra.

`tf2onnx` converts, `onnxruntime` runs. Both are imported here alone, and only when they are needed.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from augan.exceptions import ConfigError
from augan.gan import tf

OPSET = 17  # of 2022: what runs it need not be new
BATCH = 64  # images that are run at once where the graph takes several
_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


def require_onnx() -> None:
    """Raise ConfigError, which says what to install, unless all packages are there."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"an export to ONNX needs {' and '.join(missing)}, which is not installed: "
            "python -m pip install 'augan[export]'"
        )


def as_onnx(function: Callable[..., Any], inputs: Sequence[Any], notes: Mapping[str, str]) -> bytes:
    """Return a function of tensors as the content of an ONNX file.

    Parameters
    ----------
    function : callable
        Tensors -> dict of tensors, whose keys name the outputs.
    inputs : sequence of tf.TensorSpec
        With names; a side that is None may have any length.
    notes : mapping of str to str
        What the file says about itself.
    """
    convert = importlib.import_module("tf2onnx").convert
    onnx = importlib.import_module("onnx")
    traced = tf.function(function, input_signature=list(inputs), autograph=False)
    model, _ = convert.from_function(traced, input_signature=list(inputs), opset=OPSET)
    onnx.helper.set_model_props(model, dict(notes))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class Session:
    """An ONNX file in onnxruntime, on the processor."""

    def __init__(self, path: Path) -> None:
        runtime = importlib.import_module("onnxruntime")
        runtime.set_default_logger_severity(3)  # errors: what else it finds is no news to a user
        self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return every output for all rows of the inputs, `[N, ...]`, a batch at a time."""
        names = [entry.name for entry in self._session.get_inputs()]
        kept = [entry.name for entry in self._session.get_outputs()]
        parts = [
            self._session.run(kept, {k: x[start : start + BATCH] for k, x in zip(names, inputs)})
            for start in range(0, len(inputs[0]), BATCH)
        ]
        return {name: np.concatenate(values) for name, values in zip(kept, zip(*parts))}
