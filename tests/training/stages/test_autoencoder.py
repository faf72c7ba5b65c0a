"""Training of the autoencoder."""

import numpy as np
import pytest

from augan import Config, GANOverSampler
from augan.data.datasets import digits
from augan.gan import tf
from augan.gan.networks.build import build_network, network_spec
from augan.training.defaults import native_dtype
from augan.training.stages.autoencoder import AutoencoderTrainStep, _class_partners


class TestAutoencoder:
    def build(self, role, **more):
        arguments = {"width": 8, "num_classes": 0, "seed": 3, "image_shape": [8, 8, 1], **more}
        return build_network(network_spec("dcgan", role, **arguments))

    def test_reconstruction_loss_decreases(self):
        images = tf.constant(np.asarray(digits().images)[:64].astype(np.float32) / 127.5 - 1)
        classes = tf.one_hot(digits().labels[:64], 10)
        train_step = AutoencoderTrainStep(
            self.build("encoder", latent_dim=16),
            self.build("generator", latent_dim=16, conditioning="norm"),
            self.build("discriminator", norm="spectral", dropout=0.0),
            learning_rate=1e-3,
            seed=0,
        )
        step = tf.function(lambda: train_step.train_step((images, classes)))
        losses = [float(step()["image_loss"]) for _ in range(120)]
        assert losses[-1] < 0.4 * losses[0]
        assert len(train_step.state) > len(train_step.encoder.variables) + len(
            train_step.generator.variables
        )

    @pytest.mark.skipif(native_dtype() == "float32", reason="bfloat16 is not native")
    def test_bfloat16_gives_nearly_the_same_images(self):
        of = digits()
        images, labels = np.asarray(of.images)[:60], np.asarray(of.labels)[:60] % 2
        keep = (labels == 0) | (np.arange(60) < 30)
        results = {}
        for dtype in ("float32", "bfloat16"):
            config = Config().replace(training__dtype=dtype, generator__width=4)
            sampler = GANOverSampler(
                steps=40, method="transfer", config=config, random_state=0, verbose=0
            )
            results[dtype], _ = sampler.fit_resample(images[keep], labels[keep])
        one, other = (results[dtype].astype(float) for dtype in ("float32", "bfloat16"))
        assert np.abs(one - other).mean() < 1
        assert not np.array_equal(one, other)

    def test_partners_are_of_the_same_class(self):
        numbers = np.array([2, 0, 1, 0, 2, 0, 3])
        classes = np.r_[np.eye(4, dtype=np.float32)[numbers], np.zeros((2, 4), np.float32)]
        partners = _class_partners(tf.constant(classes)).numpy()
        assert (numbers[partners[:7]] == numbers).all()
        assert (partners != np.arange(9)).sum() >= 3  # all but the last of each class
        assert partners[[2, 6, 7, 8]].tolist() == [2, 6, 7, 8]

    def test_partners_without_classes_are_any_other_sample(self):
        assert (_class_partners(tf.zeros((5, 0))).numpy() != np.arange(5)).all()
