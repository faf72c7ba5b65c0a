"""The augmentation method "translate": its images, its filter and its counts."""

from dataclasses import replace

import numpy as np
import pytest

from augan import AugmentRequest
from augan.augment.filters.criteria import ACCEPTED, LABEL_MISMATCH
from augan.augment.filters.filter import TranslationFilter
from augan.augment.generator import TranslatorSampler
from augan.augment.job import AugmentJob
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.methods.translate import TranslatedImages
from augan.augment.training_reference import TrainingReference
from augan.exceptions import BundleError, DataError
from tests._helpers import make_translation_bundle, with_data


@pytest.fixture(scope="module")
def sampler() -> TranslatorSampler:
    return TranslatorSampler(make_translation_bundle())


@pytest.fixture
def reference() -> TrainingReference:
    rng, rows = np.random.default_rng(0), np.arange(36)
    images = rng.integers(0, 256, (36, 8, 8, 1), np.uint8)
    names = tuple(f"{row}.png" for row in rows)
    return TrainingReference(images, rows % 3, names, rows[:30], rows[30:])


def test_all_images_are_translated_before_any_is_repeated(sampler, reference):
    method = TranslatedImages(sampler, reference)
    chunks = [method.generate(2, chunk, seed=1) for chunk in range(2)]
    sources = [name for chunk in chunks for (name,) in chunk.sources]
    expected = {f"{row}.png" for row in range(2, 30, 3)}
    for start in range(0, 2 * CHUNK_SIZE - 9, 10):
        assert set(sources[start : start + 10]) == expected
    images = np.concatenate([chunk.samples for chunk in chunks])
    same = images[[index for index, name in enumerate(sources) if name == "5.png"]]
    assert len(np.unique(same.reshape(len(same), -1), axis=0)) == len(same)  # other noise


def test_filter_rejects_what_the_classifier_of_the_old_camera_takes_for_another_class(
    sampler, reference
):
    candidates = TranslatedImages(sampler, reference).generate(0, 0, seed=0).samples
    decisions = []
    for class_index in range(3):
        candidate_filter = TranslationFilter(sampler)
        candidate_filter.set_class(class_index)
        result = candidate_filter.evaluate(candidates)
        decisions.append(result.decisions)
        accepted = np.array(result.decisions) == ACCEPTED
        assert ((result.class_probability >= 1 / 3) | ~accepted).all()
    for of_candidate in zip(*decisions):
        assert sorted(of_candidate) == sorted([ACCEPTED, LABEL_MISMATCH, LABEL_MISMATCH])


def test_balance_fills_up_the_new_camera(sampler, tmp_path):
    bundle = sampler.bundle
    job = AugmentJob.resolve(bundle, AugmentRequest(balance=True), tmp_path / "out")
    assert (job.method.name, job.counts) == ("translate", {2: 12})
    job = AugmentJob.resolve(bundle, AugmentRequest(balance=True, balance_to=20), tmp_path / "out")
    assert job.counts == {0: 8, 1: 8, 2: 20}


def test_what_is_missing_is_named(tmp_path, sampler, reference):
    bundle = sampler.bundle
    unlabeled = replace(
        with_data(replace(bundle, translation=None), class_names=(), class_counts=()),
        translation=replace(
            bundle.require_translation(), class_names=("dark", "gray"), common_classes=()
        ),
    )
    with pytest.raises(BundleError, match=r"no classes to choose from.*unlabeled"):
        TranslatorSampler(unlabeled)
    few = replace(reference, train_rows=np.array([0, 1]))
    with pytest.raises(DataError, match="training image of class 'light'"):
        TranslatedImages(sampler, few).generate(2, 0, seed=0)
    job = AugmentJob.resolve(bundle, AugmentRequest("light", 1), tmp_path / "out")
    with pytest.raises(DataError, match=r"method translate needs these images.*`training_data`"):
        job.create_worker()
