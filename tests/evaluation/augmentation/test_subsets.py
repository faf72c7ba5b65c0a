"""Tests of label subsets."""

import numpy as np
import pytest

from augan.evaluation.augmentation.subsets import LabelPool, SubsetSpec, sample_subset
from augan.exceptions import ConfigError, DataError


def test_sample_subset_has_the_requested_counts_without_repetition(pool):
    spec = SubsetSpec(labels_per_class=12, rare={"emu": 3, "0": 5}, rest_unlabeled=True)
    subset = sample_subset(pool, spec, seed=0, repeat=4)
    assert np.bincount(subset.labels).tolist() == [5, 12, 3]
    assert len(np.unique(subset.indices)) == 20
    assert np.array_equal(subset.images, pool.images[subset.indices])
    assert np.array_equal(subset.labels, pool.labels[subset.indices])
    assert subset.unlabeled is not None
    assert len(subset.unlabeled) == 70
    together = np.concatenate([subset.images, subset.unlabeled])
    assert sorted(map(bytes, together)) == sorted(map(bytes, pool.images))


def test_sample_subset_depends_on_the_repeat_only(pool):
    spec = SubsetSpec(labels_per_class=10)
    first, again, other = (sample_subset(pool, spec, 0, number) for number in (0, 0, 1))
    assert np.array_equal(first.indices, again.indices)
    assert first.seed == again.seed
    assert not np.array_equal(first.indices, other.indices)
    assert first.seed != other.seed


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"labels_per_class": 0},
            "`labels_per_class` must be 2 or more labeled images of a class, but is 0",
        ),
        ({"labels_per_class": 1}, "must be 2 or more .* but is 1"),
        ({"rare": {"dog": -3}}, "`rare` dog must be 2 or more .* but is -3"),
        ({"rare": {"dgo": 3}}, "the classes are: cat, dog, emu; did you mean dog"),
        ({"labels_per_class": 31}, "the class cat has 30 training images, but 31"),
        ({"rare": {"dog": 3, "1": 4}}, "`rare` dog and `rare` 1 both mean the class dog"),
    ],
)
def test_sample_subset_of_an_invalid_spec_raises(pool, spec, words):
    with pytest.raises((ConfigError, DataError), match=words):
        sample_subset(pool, SubsetSpec(**spec), 0, 0)


def test_sample_subset_of_a_class_with_one_image_raises(pool):
    alone = LabelPool(pool.images[:31], pool.labels[:31], pool.class_names[:2])
    with pytest.raises(DataError, match=r"the class dog has 1 training image, but 2.*add images$"):
        sample_subset(alone, SubsetSpec(), 0, 0)
