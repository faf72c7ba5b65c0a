"""Networks, losses, differentiable augmentation and the training step of the GAN.

Higher layers import TensorFlow from this package (`from augan.gan import keras, tf`), so that
TensorFlow always starts with the same settings and without log noise; import-linter enforces it.
"""

from augan.gan.tensorflow import Tensor, import_tensorflow

tf, keras = import_tensorflow()

__all__ = ["Tensor", "keras", "tf"]
