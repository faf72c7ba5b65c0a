"""Features of the user's own data, in which fidelity is measured; nothing is downloaded.

Of images they are those of the agreement classifier where there are classes, else those of the
classifier of quarter turns; both are trained on real images only. Rows need no extractor: their
scaled values are comparable as they are, and a row cannot be turned.
"""

import numpy as np

from augan.bundle import read_weights
from augan.gan import keras
from augan.gan.inference import BatchInference
from augan.io.hashing import sha256_parts


class FeatureExtractor:
    """Images float32 `[N, S, S, C]` in [-1, 1] -> features `[N, F]`.

    Parameters
    ----------
    kind : str
        "classifier" or "rotation".
    classifier : keras.Model
        Its layer `hidden` gives the features.
    real : ndarray [N, S, S, C]
        Images that set the scale: their features' mean square becomes 1.

    Attributes
    ----------
    id : str
        Kind and hash of the weights; it stands beside every figure.
    """

    def __init__(self, kind: str, classifier: keras.Model, real: np.ndarray) -> None:
        weights = read_weights(classifier).items()
        digest = sha256_parts(name.encode() + values.tobytes() for name, values in weights)
        self.id = f"{kind}-{digest[:12]}"
        hidden = keras.Model(classifier.inputs, classifier.get_layer("hidden").output)
        self._infer = BatchInference.from_model(hidden)
        self._scale = 1.0
        spread = float(np.sqrt(np.mean(np.square(self(real)))))
        self._scale = 1.0 / spread if spread > 0 else 1.0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the features of images."""
        return self._infer(images)[0] * self._scale


class StandardizedRows:
    """Rows float32 `[N, F]` in [-1, 1] -> standardised values `[N, F]`.

    Parameters
    ----------
    real : ndarray [N, F]
        Rows that set centre and spread of each value.

    Attributes
    ----------
    id : str
        Stands beside every figure.
    """

    id = "values"

    def __init__(self, real: np.ndarray) -> None:
        self._center = real.mean(axis=0)
        spread = real.std(axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the features of rows."""
        return (rows - self._center) / self._spread
