"""The core: networks, losses, differentiable augmentation and the one training step.

Rooms above take TensorFlow from here (`from augan.gan import keras, tf`), so that it always starts
the same quiet way; import-linter holds them to it.
"""

from augan.gan.tensorflow import start_tensorflow

tf, keras = start_tensorflow()

__all__ = ["keras", "tf"]
