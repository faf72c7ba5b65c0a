"""Tests of loaded data and of the search for leakage."""

import numpy as np
import pytest

from augan import from_arrays
from augan.data.datasets import digits
from augan.evaluation.augmentation.data import find_leakage, load_evaluation_data
from augan.exceptions import ConfigError
from augan.io.images import write_png


def arrays():
    of = digits()
    rows = np.flatnonzero(np.isin(of.labels, (0, 1)))[:60]
    return np.asarray(of.images)[rows], np.asarray(of.labels)[rows]


def test_a_loaded_dataset_is_split_like_its_arrays():
    x, y = arrays()
    loaded = load_evaluation_data(from_arrays(x, y), 0.3, None, 0)
    assert loaded.sha256() == load_evaluation_data((x, y), 0.3, None, 0).sha256()


def test_groups_of_a_loaded_dataset_are_not_split():
    x, y = arrays()
    groups = np.arange(len(x)) // 2 + 100 * y
    loaded = load_evaluation_data(from_arrays(x, y, groups=groups), 0.3, None, 0)
    counts = np.unique(loaded.test_groups, return_counts=True)[1]
    sizes = dict(zip(*np.unique(groups.astype(str), return_counts=True)))
    names = np.unique(loaded.test_groups)
    assert counts.tolist() == [sizes[name] for name in names]


@pytest.mark.parametrize(
    ("test_size", "groups", "message"),
    [
        (None, None, "no test part; hold out a fraction of the images with `test_size=0.3`"),
        (0.3, "groups.csv", "`groups` is for the path of a folder"),
    ],
)
def test_options_that_a_loaded_dataset_excludes(test_size, groups, message):
    with pytest.raises(ConfigError, match=message):
        load_evaluation_data(from_arrays(*arrays()), test_size, None, 0, groups)


def test_find_leakage_returns_duplicates_and_near_duplicates():
    images = np.asarray(digits().images)
    train, test = images[:200], images[300:340].copy()
    test[3], test[7] = train[11], train[150]
    near = train[20].astype(np.int64)
    near[2, 2] += 1 if near[2, 2].max() < 255 else -1
    test[9] = near.astype(np.uint8)
    rows = np.setdiff1d(np.arange(200), [150])  # image 150 is not in the training set
    leakage = find_leakage(train, rows, test)
    assert leakage.duplicates == [(3, 11)]
    assert [(test_index, index) for test_index, index, _ in leakage.near_duplicates] == [(9, 20)]
    assert leakage.near_duplicates[0][2] > 0.999


def test_test_images_of_augan_give_a_warning(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), np.uint8)
    for row, image in enumerate(pixels):
        part, name = ("test", "train")[row % 2], "ab"[row // 2 % 2]
        folder = tmp_path / part / name
        folder.mkdir(parents=True, exist_ok=True)
        text = {"synthetic": "true"} if row in (0, 1, 3) else None
        write_png(folder / f"{row}.png", image, text)
    (warning,) = load_evaluation_data(tmp_path, None, None, 0).warnings
    assert warning.startswith("1 of 8 images were generated or translated by augan")
    assert "test/a/0.png" in warning
