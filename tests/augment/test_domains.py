"""`GANOverSampler(method="translate")`: images of two cameras in one table."""

import numpy as np
import pandas as pd
import pytest

from augan import GANOverSampler
from augan.augment.domains import find_domain
from augan.config import Config
from augan.exceptions import ConfigError, DataError
from tests._helpers import make_translation_bundle

CONFIG = Config().replace(
    training__batch_size=8,
    training__steps=3,
    training__dtype="float32",
    translation__width=2,
    translation__discriminator_width=2,
)
SHAPE = (8, 8)


def sampler(**options):
    options = {"domain": -1, "image_shape": SHAPE, "config": CONFIG, **options}
    return GANOverSampler(method="translate", random_state=0, verbose=0, **options)


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    """Twelve images of each of three classes of the old camera, and of two of the new camera."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.arange(36) % 3, np.arange(24) % 2])
    camera = np.repeat([0, 1], [36, 24])
    pixels = rng.integers(0, 256, (60, 64)) // 2 + 100 * camera[:, None]
    rows = np.concatenate([pixels, camera[:, None]], axis=1).astype(np.uint8)
    return rows, np.array(["dark", "gray", "light"])[y]


def test_a_class_that_the_new_camera_lacks_is_translated(table):
    X, y = table
    fitted = sampler()
    resampled, labels = fitted.fit_resample(X, y)
    np.testing.assert_array_equal(resampled[:60], X)
    assert labels[60:].tolist() == ["light"] * 12
    assert resampled.dtype == np.uint8
    assert (resampled[60:, -1] == 1).all()
    assert len(np.unique(resampled[60:], axis=0)) == 12
    assert set(fitted.bundle_.networks) >= {"translator", "back_translator"}
    again, _ = sampler().fit_resample(X, y)
    np.testing.assert_array_equal(again, resampled)
    other, _ = sampler(bundle=fitted.bundle_).fit_resample(X[:, :], y)
    np.testing.assert_array_equal(other, resampled)


def test_the_column_may_have_a_name_and_any_position(table):
    X, y = table
    frame = pd.DataFrame(X, columns=[*(f"p{i}" for i in range(64)), "camera"])
    frame = frame[["p0", "camera", *(f"p{i}" for i in range(1, 64))]]
    resampled, labels = sampler(domain="camera", sampling_strategy={"light": 15}).fit_resample(
        frame, y
    )
    assert list(resampled.columns) == list(frame.columns)
    assert (resampled["camera"][60:] == 1).all()
    assert labels[60:].tolist() == ["light"] * 3
    assert find_domain(frame, "camera") == find_domain(frame.to_numpy(), 1) == 1


def test_a_class_of_the_new_camera_alone_is_no_obstacle(table):
    X, y = table
    y = np.where((X[:, -1] == 1) & (y == "gray"), "new only", y)
    _, labels = sampler(sampling_strategy={"light": 14}).fit_resample(X, y)
    assert labels[60:].tolist() == ["light"] * 2
    with pytest.raises(DataError, match="unknown class 'new only'"):
        sampler(sampling_strategy={"new only": 14}).fit_resample(X, y)


def test_what_cannot_be_translated_is_refused(table):
    X, y = table
    several = X.copy()
    several[0, -1] = 2
    for options, rows, error, message in (
        ({"domain": None}, X, ConfigError, "needs the column"),
        ({"domain": "camera"}, X, DataError, "no column"),
        ({"domain": 65}, X, DataError, "there are 65"),
        ({}, several, DataError, r"must be 0 .* or 1"),
        ({"image_shape": (9, 9)}, X, DataError, "9"),
    ):
        with pytest.raises(error, match=message):
            sampler(**options).fit_resample(rows, y)
    for camera, message in ((0, "0 in every row"), (1, "1 in every row")):
        rows = X.copy()
        rows[:, -1] = camera
        with pytest.raises(DataError, match=message):
            sampler().fit_resample(rows, y)
    with pytest.raises(DataError, match="4 dimensions"):
        sampler().fit_resample(np.zeros((60, 8, 8, 1), np.uint8), y)
    with pytest.raises(ConfigError, match="goes with method='translate'"):
        GANOverSampler(domain=-1, image_shape=SHAPE).fit_resample(X, y)


def test_a_bundle_of_other_channels_is_refused(table):
    X, y = table
    with pytest.raises(DataError, match="the translated images are"):
        sampler(bundle=make_translation_bundle()).fit_resample(X, y)
