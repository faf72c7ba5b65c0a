"""Tests of `augan.translate.metrics`: what each metric of a translation reacts to, and warnings."""

from dataclasses import replace

import numpy as np
import pytest

from augan.bundle import ClassTranslation, TranslationMetrics
from augan.translate.metrics import (
    MIN_HELD_OUT,
    HeldOutImages,
    LookFeatures,
    class_share_gap,
    measure_translation,
    translation_warnings,
)

NAMES = ("a", "b", "c")
CLASSES = np.arange(60) % 3


def camera(seed: int, inverted: bool = False, channels: int = 1, count: int = 60) -> np.ndarray:
    """Return random images in [-1, 1] whose brightness depends on the image."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(-0.8, 0, (count, 1, 1, 1))
    images = np.clip(level + rng.normal(0, 0.1, (count, 16, 16, channels)), -1, 1)
    return (-images if inverted else images).astype(np.float32)


def held_out(translated: np.ndarray, **changes) -> HeldOutImages:
    """Return held-out images of a camera and of one with inverted images of classes a and b."""
    new_classes = np.where(CLASSES == 2, 0, CLASSES)
    images = HeldOutImages(camera(0), translated, camera(1, True), CLASSES, new_classes)
    return replace(images, **changes)


def measure(images: HeldOutImages) -> TranslationMetrics:
    metrics = measure_translation(images, NAMES)
    assert metrics is not None
    return metrics


def test_right_translation_is_as_near_as_real_images() -> None:
    metrics = measure(held_out(camera(0, True)))
    assert (metrics.num_old, metrics.num_new) == (40, 40)  # as many of each common class
    assert metrics.two_sample < 0.1 * metrics.two_sample_untranslated
    assert abs(metrics.two_sample_floor) < 0.1 * metrics.two_sample_untranslated
    assert metrics.diversity == pytest.approx(1, abs=0.2)
    assert [one.name for one in metrics.classes] == list(NAMES)
    assert metrics.classes[2].diversity is None  # the new camera has no image of the class
    assert metrics.label_flips is None
    assert translation_warnings(metrics) == []


def test_untranslated_images_give_a_warning() -> None:
    metrics = measure(held_out(camera(0)))
    assert metrics.two_sample == metrics.two_sample_untranslated
    (warning,) = translation_warnings(metrics)
    assert warning.startswith("translated images are no closer to those of the new camera")


def test_images_that_are_all_alike_give_a_warning() -> None:
    alike = 0.05 * camera(0, True) + 0.95 * camera(0, True).mean(axis=0)
    metrics = measure(held_out(alike))
    assert metrics.diversity < 0.6
    assert all(one.diversity is None or one.diversity < 0.6 for one in metrics.classes)
    warnings = translation_warnings(metrics)
    assert any("backgrounds or textures have collapsed" in text for text in warnings)


def test_label_flips_are_counted_by_class() -> None:
    back = np.where(CLASSES == 2, 0, CLASSES)
    images = held_out(camera(0, True), predicted=CLASSES, predicted_back=back)
    metrics = measure(images)
    assert metrics.label_flips == pytest.approx(1 / 3)
    assert [one.label_flips for one in metrics.classes] == [0, 0, 1]
    (warning,) = translation_warnings(metrics)
    assert "changes its mind on 33% of the images" in warning
    assert "most for class c: 100%" in warning


def test_cameras_without_classes_or_with_other_channels_are_measured() -> None:
    unlabeled = np.full(60, -1)
    images = held_out(camera(0, True, 3), old_classes=unlabeled, new=camera(1, True, 3))
    metrics = measure(images)
    assert (metrics.num_old, metrics.num_new, metrics.classes) == (60, 60, ())
    assert metrics.two_sample < metrics.two_sample_untranslated


def test_few_images_are_not_measured() -> None:
    few = np.where(np.arange(60) < MIN_HELD_OUT - 1, 0, -1)
    assert measure_translation(held_out(camera(0), new_classes=few), NAMES) is None
    (warning,) = translation_warnings(None)
    assert "never measured, because too few images were held out" in warning


def test_class_shares_matter_only_with_unlabeled_images() -> None:
    gap = class_share_gap(np.array([30, 10, 0]), np.array([10, 30, 0]))
    assert gap == 0.5
    assert class_share_gap(np.array([1]), np.array([0])) is None
    metrics = TranslationMetrics(9, 9, 0.1, 1.0, 0.1, 1.0, class_share_gap=gap)
    assert translation_warnings(metrics) == []
    (warning,) = translation_warnings(metrics, has_unlabeled=True)
    assert warning.startswith("the shares of the classes differ by 50% between the cameras")


def test_warnings_name_the_worst_class() -> None:
    classes = (ClassTranslation("ok", 0.9, 0.1), ClassTranslation("dent", 0.2, 0.7))
    metrics = TranslationMetrics(9, 9, 0.1, 1.0, 0.1, 0.55, 0.4, None, classes)
    diversity, flips = translation_warnings(metrics)
    assert "least for class dent: 20%" in diversity
    assert "most for class dent: 70%" in flips


def test_one_class_that_flips_is_enough_for_a_warning() -> None:
    classes = tuple(ClassTranslation(name, 1.0, 0.0) for name in "abcdefghi")
    metrics = TranslationMetrics(
        9, 9, 0.1, 1.0, 0.1, 1.0, 0.03, None, (*classes, ClassTranslation("dent", None, 0.3))
    )
    (warning,) = translation_warnings(metrics)
    assert "changes its mind on 3% of the images" in warning
    assert "most for class dent: 30%" in warning


def test_features_are_standardized_clipped_and_finite() -> None:
    real = camera(0)
    features = LookFeatures(real)
    assert np.allclose(features(real).mean(axis=0), 0, atol=0.2)
    assert features(np.ones_like(real)).max() == 4
    constant = np.zeros((4, 16, 16, 1), np.float32)
    assert np.isfinite(LookFeatures(constant)(real)).all()
