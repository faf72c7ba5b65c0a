"""Conversion of TensorFlow functions to ONNX files, and inference with onnxruntime.

The packages `tf2onnx`, `onnx` and `onnxruntime` are the extra `augan[export]`. They are imported
in this module only, and only when they are used.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from augan.exceptions import ConfigError

OPSET = 17  # of 2022, so that older runtimes can run the graph
_BATCH_SIZE = 64  # images for each run of a graph that takes several
PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


def require_onnx() -> None:
    """Raise ConfigError with the install command unless all packages are installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"an export to ONNX needs {' and '.join(missing)}, which is not installed: "
            "python -m pip install 'augan[export]'"
        )


def to_onnx(
    function: Callable[..., Any], inputs: Sequence[Any], metadata: Mapping[str, str]
) -> bytes:
    """Return a function of tensors as the content of an ONNX file.

    Parameters
    ----------
    function : callable
        Tensors -> dict of tensors, whose keys name the outputs.
    inputs : sequence of tf.TensorSpec
        Named specs of the inputs; a dimension of None may have any length.
    metadata : mapping of str to str
        Metadata of the file.
    """
    from augan.gan import tf

    convert = importlib.import_module("tf2onnx").convert
    onnx = importlib.import_module("onnx")
    traced = tf.function(function, input_signature=list(inputs), autograph=False)
    model, _ = convert.from_function(traced, input_signature=list(inputs), opset=OPSET)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class Session:
    """Inference session of an ONNX file on the CPU."""

    def __init__(self, path: Path) -> None:
        runtime = importlib.import_module("onnxruntime")
        runtime.set_default_logger_severity(3)  # errors only
        self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return every output for all rows of the inputs, `[N, ...]`, computed in batches."""
        input_names = [entry.name for entry in self._session.get_inputs()]
        output_names = [entry.name for entry in self._session.get_outputs()]
        batches = [
            self._session.run(
                output_names,
                {name: x[start : start + _BATCH_SIZE] for name, x in zip(input_names, inputs)},
            )
            for start in range(0, len(inputs[0]), _BATCH_SIZE)
        ]
        return {name: np.concatenate(values) for name, values in zip(output_names, zip(*batches))}
