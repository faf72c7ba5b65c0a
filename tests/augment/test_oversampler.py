"""`GANOverSampler` with every augmentation method."""

import numpy as np
import pytest

from augan import GANOverSampler
from augan.data.datasets import digits
from augan.exceptions import DataError


@pytest.mark.slow
@pytest.mark.parametrize("method", ["interpolate", "transfer"])
def test_fit_resample_is_reproducible_with_every_latent_method(method):
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
def test_fit_resample_learns_from_unlabeled_images(method):
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
