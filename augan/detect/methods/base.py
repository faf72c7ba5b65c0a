"""Base class of the detection methods: one tensor function, used from NumPy and by the export."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from augan.data.modalities.images import resize
from augan.data.sequences import RaggedImages
from augan.detect.scoring.component import ScoreComponent
from augan.exceptions import DataError

if TYPE_CHECKING:
    from augan.gan import Tensor, keras


class FittedPart(Protocol):
    """Interface of a fitted part of a detection method, such as a standardization."""

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name; the bundle stores them, `set_state` restores them."""
        ...

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        ...


class Scorer(FittedPart, Protocol):
    """Interface of a fitted detection method, or of the ensemble of the methods of several folds.

    Inputs are normalized samples: images float32 `[N, S, S, C]` in [-1, 1], `RaggedImages` for
    methods of large images, or rows float32 `[N, F]`. With `small_batches`, a few samples are
    scored in a fraction of the time, see `augan.gan.inference.BatchInference`; scores then depend
    by rounding on the number of samples. Default is False, and each score is the same to the last
    bit whatever other samples are scored.

    Attributes
    ----------
    name : str
        Name of the method, as in `detect.method`.
    components : tuple of ScoreComponent
        Summands of the anomaly score.
    map_stride : int
        Pixels of an image, in either direction, for one value of the maps of `call`.
    """

    name: str
    components: tuple[ScoreComponent, ...]
    map_stride: int

    def score_components(self, samples: Any, *, small_batches: bool = False) -> np.ndarray:
        """Return the components of each sample's anomaly score, float64 `[N, T]`.

        T is the number of `components`; higher = more anomalous.
        """
        ...

    def maps(self, images: Any, *, small_batches: bool = False) -> Any:
        """Return the anomaly maps of images, float32 `[N, S, S, 1]`; higher = more anomalous.

        Methods of large images return `RaggedImages` `[H, W, 1]`.

        Raises
        ------
        DataError
            If the samples are rows.
        """
        ...

    def score_and_maps(self, images: Any, *, small_batches: bool = False) -> tuple[np.ndarray, Any]:
        """Return the results of `score_components` and `maps`, computed together."""
        ...

    def reconstruct(self, samples: Any) -> np.ndarray | None:
        """Return the GAN's reconstructions of the samples; None if the method computes none."""
        ...

    def call(self, samples: "Tensor") -> "tuple[Tensor, Tensor | None]":
        """Compute anomaly scores, as components, and anomaly maps of samples as tensors.

        Parameters
        ----------
        samples : Tensor [B, ...]
            Normalized samples; for methods of large images, one image `[1, H, W, C]`. B, H and W
            may be unknown.

        Returns
        -------
        components : Tensor of float64 [B, T]
            Their sum is the anomaly score.
        maps : Tensor of float32 [B, S, S, 1] or None
            Anomaly maps, with a value for each `map_stride` x `map_stride` pixels; None for rows.
        """
        ...


class TensorScorer(ABC):
    """Scorer by one tensor function, the base class of all detection methods.

    A subclass defines `components`, `_fit` and `call`, and puts whatever it fits into `parts`. The
    base class scores arrays with `call` in batches, and stores and restores the parts. An ONNX
    graph of the method contains the same `call`, so its operations must be ones that ONNX has,
    unless the method is iterative.

    Parameters
    ----------
    models : mapping of str to keras.Model
        Trained networks by role; "discriminator" is always there. The weights are not changed.

    Attributes
    ----------
    sample_shape : tuple of int
        Shape of one sample: `(S, S, C)` or `(F,)`; for large images, the shape of one tile.
    parts : dict of str to FittedPart
        Fitted parts by name.
    """

    name = ""  # of the registry; `augan.detect.methods.registry.build_scorer` sets it
    components: tuple[ScoreComponent, ...] = ()
    map_stride = 1
    takes_large_images = False

    def __init__(self, models: "Mapping[str, keras.Model]") -> None:
        self.sample_shape: tuple[int, ...] = tuple(models["discriminator"].inputs[0].shape[1:])
        self.parts: dict[str, FittedPart] = {}
        self._graph: Any = None

    @abstractmethod
    def _fit(self, train: Any, val: Any) -> None:
        """Fit the parts on normal samples.

        Parameters
        ----------
        train : ndarray or RaggedImages
            Normalized samples on which the networks were trained.
        val : ndarray or RaggedImages
            Normalized samples of the validation split, on which score components are standardized.
        """

    @abstractmethod
    def call(self, samples: "Tensor") -> "tuple[Tensor, Tensor | None]":
        """Compute score components and anomaly maps of samples as tensors, see `Scorer.call`."""

    def reconstruct(self, samples: Any) -> np.ndarray | None:
        """Return the GAN's reconstructions of samples, in their shape; None: there are none."""
        return None

    def fit(self, train: Any, val: Any) -> Self:
        """Fit the method on normal samples, and return self; see `_fit` for the arguments."""
        self._fit(self._checked(train), self._checked(val))
        self._graph = None
        return self

    def score_components(self, samples: Any, *, small_batches: bool = False) -> np.ndarray:
        """Return the components of each sample's anomaly score, float64 `[N, T]`.

        Parameters
        ----------
        samples : ndarray or RaggedImages
            Normalized samples.
        small_batches : bool
            Whether fewer than 48 samples are scored fast, with results that differ by rounding.

        Raises
        ------
        DataError
            If the samples have another type or shape than those of the training.
        """
        parts = [components for components, _ in self._run(samples, small_batches)]
        return np.concatenate([np.empty((0, len(self.components))), *parts])

    def maps(self, images: Any, *, small_batches: bool = False) -> Any:
        """Return the anomaly maps of images, float32 `[N, S, S, 1]` or `RaggedImages` `[H, W, 1]`.

        The arguments are those of `score_components`.

        Raises
        ------
        DataError
            If the samples are rows, or have another type or shape than those of the training.
        """
        return self.score_and_maps(images, small_batches=small_batches)[1]

    def score_and_maps(self, images: Any, *, small_batches: bool = False) -> tuple[np.ndarray, Any]:
        """Return the results of `score_components` and `maps`, computed together."""
        if len(self.sample_shape) == 1:
            raise DataError("rows have no anomaly maps; only models of images compute maps")
        components, maps = [np.empty((0, len(self.components)))], []
        for part, some_maps in self._run(images, small_batches):
            components.append(part)
            maps.extend(some_maps)
        if not self.takes_large_images:
            shape = (len(maps), *self.sample_shape[:-1], 1)
            return np.concatenate(components), np.array(maps, np.float32).reshape(shape)
        resized = [enlarge_map(x, self.map_stride, y.shape) for x, y in zip(maps, images)]
        return np.concatenate(components), RaggedImages(resized)

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name, such as "standardizer.center", for the bundle."""
        return {
            f"{name}.{key}": value
            for name, part in self.parts.items()
            for key, value in part.get_state().items()
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        for name, part in self.parts.items():
            prefix = f"{name}."
            part.set_state(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )
        self._graph = None
        return self

    def _run(self, samples: Any, small_batches: bool) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield components `[B, T]` and maps (None for rows) of a batch, or of a large image."""
        samples = self._checked(samples)
        if self._graph is None:
            self._graph = self._compile()
        graph = self._graph
        if self.takes_large_images:
            outputs = (graph(np.asarray(image[None], np.float32)) for image in samples)
        else:
            outputs = graph.batches(samples, small_batches=small_batches)
        for components, *maps in outputs:
            yield np.asarray(components), np.asarray(maps[0]) if maps else None

    def _compile(self) -> Any:
        """Return the compiled `call`, which leaves out the maps if there are none."""
        from augan.gan import tf
        from augan.gan.inference import BatchInference

        def call(samples: Any) -> tuple[Any, ...]:
            return tuple(output for output in self.call(samples) if output is not None)

        if not self.takes_large_images:
            return BatchInference(call, self.sample_shape)
        spec = tf.TensorSpec((1, None, None, self.sample_shape[-1]), tf.float32)
        return tf.function(call, input_signature=[spec], autograph=False)

    def _checked(self, samples: Any) -> Any:
        """Return samples; DataError if their type or shape is not that of the training samples."""
        if self.takes_large_images:
            channels = self.sample_shape[-1]
            if isinstance(samples, RaggedImages):
                shapes = [np.shape(image) for image in samples]
                wrong = [shape for shape in shapes if len(shape) != 3 or shape[-1] != channels]
                if not wrong:
                    return samples
                got = f"an image of shape {wrong[0]}"
            else:
                got = _describe(samples)
            expected = f"RaggedImages [H, W, {channels}]"
        else:
            is_array = isinstance(samples, np.ndarray) and samples.dtype.kind == "f"
            if is_array and samples.shape[1:] == self.sample_shape:
                return samples
            got = _describe(samples)
            expected = f"a float array [N, {', '.join(map(str, self.sample_shape))}]"
        raise DataError(
            f"a detection method of this model scores {expected}, got {got}; normalize the samples "
            "with the preprocessing of the model"
        )


def enlarge_map(values: np.ndarray, stride: int, shape: tuple[int, ...]) -> np.ndarray:
    """Enlarge the anomaly map of one image to the size of the image.

    Parameters
    ----------
    values : ndarray [ceil(H / stride), ceil(W / stride), 1]
        The map, with a value for each `stride` x `stride` pixels.
    stride : int
    shape : tuple
        Shape of the image; it begins with H and W.

    Returns
    -------
    ndarray [H, W, 1]
        Bilinear between the values.
    """
    height, width = (side * stride for side in values.shape[:2])
    return resize(values, height, width)[: shape[0], : shape[1]]


def _describe(samples: Any) -> str:
    """Return type and shape of an argument for an error message."""
    if isinstance(samples, np.ndarray):
        return f"an array of {samples.dtype} of shape {samples.shape}"
    return f"a {type(samples).__name__}"
