"""f-AnoGAN (Schlegl et al. 2019): reconstruction of a sample by encoder and generator.

An encoder maps the sample to a latent code, and the generator maps the code back. The GAN cannot
reproduce what it was not trained on: pixels differ, and so do the features of the discriminator.
The paper adds both residuals with a fixed weight; here each residual is first standardized on
normal samples of the validation split, so that the residual with the larger spread does not
dominate.
"""

from collections.abc import Mapping

import numpy as np

from augan.choices import DETECTION_METHODS, DetectionMethod
from augan.detect.methods.base import TensorScorer
from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.residuals import DeepestFeatures, mean_square, residual_map
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.gan import Tensor, keras, tf
from augan.gan.inference import BatchInference


@DETECTION_METHODS.register(
    DetectionMethod(
        "fanogan",
        description="error of the reconstruction of the sample by encoder and generator",
        modalities=("images", "rows"),
        required_networks=("generator", "discriminator", "encoder"),
        paper="Schlegl et al. 2019",
    )
)
class FAnoGAN(TensorScorer):
    """Detection method f-AnoGAN: residuals of a sample's reconstruction by encoder and generator.

    The anomaly maps of images are |x - G(E(x))|, the mean over the channels.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "generator", "discriminator" and "encoder"; their weights are not changed.
    """

    components = (
        ScoreComponent(
            "image_residual", "difference between the sample and its reconstruction by the GAN"
        ),
        ScoreComponent(
            "feature_residual",
            "difference between the two in the features of the discriminator",
        ),
    )

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        super().__init__(models)
        self._generator, self._encoder = models["generator"], models["encoder"]
        self._features = DeepestFeatures(models["discriminator"])
        self._standardizer = ScoreStandardizer()
        self.parts = {"standardizer": self._standardizer}
        self._infer_reconstructions = BatchInference(self._reconstruct, self.sample_shape)

    def _fit(self, train: np.ndarray, val: np.ndarray) -> None:
        """Fit mean and standard deviation of both residuals on normal validation samples."""

        def residuals(samples: Tensor) -> Tensor:
            return self._residuals(samples, self._reconstruct(samples))

        self._standardizer.fit(BatchInference(residuals, self.sample_shape)(val)[0])

    def call(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the standardized image and feature residual, and the maps."""
        reconstructions = self._reconstruct(samples)
        components = self._standardizer(self._residuals(samples, reconstructions))
        return components, residual_map(samples, reconstructions)

    def reconstruct(self, samples: np.ndarray) -> np.ndarray:
        """Return the reconstructions G(E(x)) of samples, float32, in the samples' shape."""
        return self._infer_reconstructions(self._checked(samples))[0]

    def _reconstruct(self, samples: Tensor) -> Tensor:
        """Return G(E(x)) for a batch of samples."""
        return self._generator(self._encoder(samples, training=False), training=False)

    def _residuals(self, samples: Tensor, reconstructions: Tensor) -> Tensor:
        """Return the mean squares of both residuals before standardization, `[B, 2]`."""
        features = self._features(samples) - self._features(reconstructions)
        return tf.stack([mean_square(samples - reconstructions), mean_square(features)], axis=1)
