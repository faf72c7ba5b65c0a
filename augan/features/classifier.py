"""Features for the fidelity of generated samples, learned from the user's own data.

For images, the features come from the classifier if there are classes, else from the rotation
classifier. Both are trained on real images only, so no pretrained network is downloaded. Table rows
need no network: their standardized values are comparable.
"""

import numpy as np

from augan.bundle import read_weights
from augan.gan import keras
from augan.gan.inference import BatchInference
from augan.io.hashing import sha256_parts


class FeatureExtractor:
    """Features of images from a classifier: float32 `[N, S, S, C]` in [-1, 1] -> `[N, F]`.

    Parameters
    ----------
    kind : {"classifier", "rotation"}
        Kind of the classifier.
    classifier : keras.Model
        The layer `hidden` gives the features.
    real : ndarray [N, S, S, C]
        Images that set the scale: the mean square of their features becomes 1.

    Attributes
    ----------
    id : str
        Kind and hash of the weights, which is stored with every metric.
    """

    def __init__(self, kind: str, classifier: keras.Model, real: np.ndarray) -> None:
        weights = read_weights(classifier).items()
        digest = sha256_parts(name.encode() + values.tobytes() for name, values in weights)
        self.id = f"{kind}-{digest[:12]}"
        hidden = keras.Model(classifier.inputs, classifier.get_layer("hidden").output)
        self._infer = BatchInference.from_model(hidden)
        self._scale = 1.0
        root_mean_square = float(np.sqrt(np.mean(np.square(self(real)))))
        self._scale = 1.0 / root_mean_square if root_mean_square > 0 else 1.0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the features `[N, F]` of images `[N, S, S, C]` in [-1, 1]."""
        return self._infer(images)[0] * self._scale


class StandardizedRows:
    """Standardized values as features of table rows: `[N, F]` in [-1, 1] -> `[N, F]`.

    Parameters
    ----------
    real : ndarray [N, F]
        Rows that set the mean and the standard deviation of each value.

    Attributes
    ----------
    id : str
        Kind of the features, which is stored with every metric.
    """

    id = "values"

    def __init__(self, real: np.ndarray) -> None:
        self._mean = real.mean(axis=0)
        std = real.std(axis=0)
        self._std = np.where(std > 0, std, 1.0)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return rows `[N, F]` with mean 0 and standard deviation 1 of each value in `real`.

        A value that is constant in `real` is only centered.
        """
        return (rows - self._mean) / self._std
