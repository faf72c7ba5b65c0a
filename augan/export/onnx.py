"""Conversion of TensorFlow functions to ONNX files, and inference with onnxruntime.

The packages `tf2onnx`, `onnx` and `onnxruntime` belong to the extra `augan[export]`. Only this
module imports them, at the time of use.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from augan.exceptions import ConfigError

OPSET = 17  # ONNX operator set of 2022, so that older runtimes can run the graph
_BATCH_SIZE = 64  # most samples in one run of the graph
PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


def require_onnx() -> None:
    """Check that `tf2onnx`, `onnx` and `onnxruntime` are installed, before anything is computed.

    Raises
    ------
    ConfigError
        If a package is missing; the message contains the install command.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"an export to ONNX needs {' and '.join(missing)}, which is not installed: "
            "python -m pip install 'augan[export]'"
        )


def to_onnx(
    function: Callable[..., Any], inputs: Sequence[Any], metadata: Mapping[str, str]
) -> bytes:
    """Convert a TensorFlow function to the content of an ONNX file.

    Parameters
    ----------
    function : callable
        Tensors -> dict of tensors, whose keys name the outputs.
    inputs : sequence of tf.TensorSpec
        Named specs of the function's arguments; a dimension of None may have any length.
    metadata : mapping of str to str
        Entries for the metadata properties of the file.

    Returns
    -------
    bytes
        A model of opset `OPSET` that passed the ONNX checker.
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
    """Inference session of onnxruntime for one ONNX file, on the CPU.

    Parameters
    ----------
    path : Path
        The ONNX file.
    """

    def __init__(self, path: Path) -> None:
        runtime = importlib.import_module("onnxruntime")
        runtime.set_default_logger_severity(3)  # errors only
        self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run the graph on any number of samples, in batches of 64.

        Parameters
        ----------
        *inputs : ndarray [N, ...]
            One array for each graph input, in the order of the graph, all with the same N >= 1.

        Returns
        -------
        dict of str to ndarray [N, ...]
            Output name -> values of all samples.
        """
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
