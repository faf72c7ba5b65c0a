"""Codes moved as other classes vary, and the autoencoder whose codes they are."""

import numpy as np
import pytest

from augan import GANOverSampler
from augan.augment.methods.latent import TRANSFER_FRACTION, LatentCodes, LatentTransfer
from augan.data.datasets import digits
from augan.exceptions import DataError
from augan.gan import tf
from augan.gan.networks.registry import build_network, network_spec
from augan.training.stages.autoencoder import AutoencoderUpdate, _partners

LABELS = np.repeat([0, 1, 2, 3], [20, 20, 3, 12])


@pytest.fixture
def codes():
    noise = np.random.default_rng(0).normal(size=(len(LABELS), 5)).astype(np.float32)
    return LatentCodes(noise, LABELS, [str(row) for row in range(len(LABELS))])


class TestTransfer:
    def test_a_code_is_one_of_the_class_moved_by_a_difference_within_another(self, codes):
        drawn = LatentTransfer(codes).sample(2, 300, seed=1, chunk_index=0)
        lent = set()
        for noise, names in zip(drawn.latents, drawn.sources):
            own, one, other = map(int, names)
            assert LABELS[own] == 2
            assert LABELS[one] == LABELS[other] != 2
            lent.add(int(LABELS[one]))
            moved = codes.latents[own] + TRANSFER_FRACTION * (
                codes.latents[one] - codes.latents[other]
            )
            np.testing.assert_allclose(noise, moved, rtol=1e-5, atol=1e-6)
        assert lent == {0, 1, 3}
        assert len({names[0] for names in drawn.sources}) == 3

    def test_small_classes_and_the_class_itself_lend_nothing(self, codes):
        drawn = LatentTransfer(codes).sample(0, 300, seed=1, chunk_index=0)
        assert {int(LABELS[int(names[1])]) for names in drawn.sources} == {1, 3}

    def test_a_draw_depends_on_seed_class_and_number(self, codes):
        law = LatentTransfer(codes)
        first = law.sample(1, 8, seed=5, chunk_index=0).latents
        np.testing.assert_array_equal(law.sample(1, 8, seed=5, chunk_index=0).latents, first)
        for index, seed, number in ((2, 5, 0), (1, 6, 0), (1, 5, 1)):
            assert not np.array_equal(law.sample(index, 8, seed, number).latents, first)

    @pytest.mark.parametrize(("rows", "index"), [(slice(0, 20), 0), (slice(0, 40), 2)])
    def test_without_its_images_or_other_classes_it_is_refused(self, codes, rows, index):
        law = LatentTransfer(LatentCodes(codes.latents[rows], LABELS[rows], codes.names[rows]))
        with pytest.raises(DataError, match="class number"):
            law.sample(index, 4, seed=0, chunk_index=0)


class TestAutoencoder:
    def build(self, role, **more):
        arguments = {"width": 8, "num_classes": 0, "seed": 3, "image_shape": [8, 8, 1], **more}
        return build_network(network_spec("dcgan", role, **arguments))

    def test_it_draws_images_again_better_and_better(self):
        images = tf.constant(np.asarray(digits().images)[:64].astype(np.float32) / 127.5 - 1)
        classes = tf.one_hot(digits().labels[:64], 10)
        update = AutoencoderUpdate(
            self.build("encoder", latent_dim=16),
            self.build("generator", latent_dim=16, conditioning="norm"),
            self.build("discriminator", norm="spectral", dropout=0.0),
            learning_rate=1e-3,
            seed=0,
        )
        step = tf.function(lambda: update.train_step((images, classes)))
        losses = [float(step()["image_loss"]) for _ in range(120)]
        assert losses[-1] < 0.4 * losses[0]
        assert len(update.state) > len(update.encoder.variables) + len(update.generator.variables)

    def test_partners_are_of_one_class(self):
        numbers = np.array([2, 0, 1, 0, 2, 0, 3])
        classes = np.r_[np.eye(4, dtype=np.float32)[numbers], np.zeros((2, 4), np.float32)]
        partners = _partners(tf.constant(classes)).numpy()
        assert (numbers[partners[:7]] == numbers).all()
        assert (partners != np.arange(9)).sum() >= 3  # all but the last of each class
        assert partners[[2, 6, 7, 8]].tolist() == [2, 6, 7, 8]

    def test_without_classes_any_other_is_a_partner(self):
        assert (_partners(tf.zeros((5, 0))).numpy() != np.arange(5)).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["interpolate", "transfer"])
def test_the_sampler_takes_every_method_and_repeats_itself(method):
    pixels, labels = np.asarray(digits().images), np.asarray(digits().labels)
    rows = np.r_[np.flatnonzero(labels == 4)[:30], np.flatnonzero(labels == 7)[:9]]
    sampler = GANOverSampler(method=method, steps=60, random_state=1)
    images, made = sampler.fit_resample(pixels[rows], labels[rows])
    assert np.array_equal(images[:39], pixels[rows])
    assert made[39:].tolist() == [7] * 21
    assert len(np.unique(images[39:], axis=0)) > 10
    again, _ = sampler.fit_resample(pixels[rows], labels[rows])
    assert np.array_equal(images, again)
    assert sampler.bundle_.networks.keys() == {"encoder", "generator", "discriminator"}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sample", "transfer"])
def test_the_sampler_learns_from_unlabeled_images_too(method):
    pixels, labels = np.asarray(digits().images), np.asarray(digits().labels)
    rows = np.r_[np.flatnonzero(labels == 4)[:30], np.flatnonzero(labels == 7)[:9]]
    rest = np.setdiff1d(np.flatnonzero(np.isin(labels, (4, 7))), rows)
    of_some = GANOverSampler(method=method, steps=30, random_state=1)
    of_all = GANOverSampler(method=method, steps=30, unlabeled=pixels[rest], random_state=1)
    fewer, made = of_some.fit_resample(pixels[rows], labels[rows])
    images, also_made = of_all.fit_resample(pixels[rows], labels[rows])
    assert made.tolist() == also_made.tolist()
    assert images.shape == fewer.shape
    assert not np.array_equal(images[39:], fewer[39:])
    assert ("classifier" in of_all.bundle_.networks) == (method == "sample")
    with pytest.raises(DataError, match="channels"):
        GANOverSampler(unlabeled=np.zeros((4, 8, 8, 3), np.uint8)).fit_resample(
            pixels[rows], labels[rows]
        )
