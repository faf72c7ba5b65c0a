"""Contract of the arms for a new camera, checked for every registered arm, and their sets."""

import re
from dataclasses import replace

import numpy as np
import pytest

from augan.choices import CAMERA_ARMS
from augan.evaluation.translation.arms import COPIES, filter_ranking
from augan.evaluation.translation.camera_shift import CameraShift
from augan.exceptions import ConfigError
from tests._docs import ROOT, run_worked_example

NAMES = CAMERA_ARMS.names()
MISSING = 2


def draw(rng, labels, channels, size=16):
    """Return images with a bright bar whose row depends on the class."""
    images = rng.integers(20, 60, (len(labels), size, size, channels))
    for image, label in zip(images, labels):
        image[3 + 4 * label : 5 + 4 * label] += 150
    return images.astype(np.uint8)


def make_shift(old_channels=3, new_channels=3, few=0, size=16, **changes):
    """Return inverted images as the new camera, with `few` labels of the class 2."""
    rng = np.random.default_rng(5)
    old_labels = np.repeat([0, 1, 2], [9, 8, 7])
    new_labels = np.repeat([0, 1, 2], [6, 5, few])
    shift = CameraShift(
        draw(rng, old_labels, old_channels, size),
        old_labels,
        255 - draw(rng, new_labels, new_channels, size),
        new_labels,
        num_classes=3,
        missing=(MISSING,),
        unlabeled=255 - draw(rng, rng.integers(3, size=6), new_channels, size),
        seed=4,
    )
    return replace(shift, **changes)


def build(name, shift, share=0.5):
    function = CAMERA_ARMS.load(name)
    if not CAMERA_ARMS.get(name).uses_translator:
        return function(shift)
    images = np.full((2 * len(shift.old_labels), *shift.new_images.shape[1:]), 7, np.uint8)
    return function(shift, images, np.concatenate([shift.old_labels] * 2), share)


def class_shares(training_set):
    return np.bincount(training_set.labels, training_set.probabilities)


def check_declaration(name):
    arm = CAMERA_ARMS.get(name)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    for text in (arm.label, arm.description):
        assert text
        assert not text.endswith(".")
    assert [other.label for other in CAMERA_ARMS].count(arm.label) == 1
    assert not (arm.uses_translator and arm.uses_unlabeled)


def check_training_set(name, old_channels, new_channels, few, size):
    """Classes are balanced, and the labeled images of the new camera come first."""
    shift = make_shift(old_channels, new_channels, few, size)
    training_set = build(name, shift)
    count = len(training_set.labels)
    assert training_set.images.dtype == np.uint8
    assert training_set.images.shape == (count, size, size, new_channels)
    assert np.issubdtype(training_set.labels.dtype, np.integer)
    assert training_set.is_new.dtype == bool
    assert training_set.is_new.shape == training_set.probabilities.shape == (count,)
    assert training_set.probabilities.min() > 0
    assert np.allclose(class_shares(training_set), 1 / 3)
    assert np.array_equal(training_set.images[: len(shift.new_labels)], shift.new_images)
    assert np.array_equal(training_set.labels[: len(shift.new_labels)], shift.new_labels)
    uses_unlabeled = CAMERA_ARMS.get(name).uses_unlabeled
    assert (training_set.unlabeled is not None) == uses_unlabeled
    assert (training_set.adaptation != "none") == uses_unlabeled
    assert (training_set.augmentation == "strong") == name.endswith("strong")


@pytest.mark.parametrize("name", NAMES)
def test_declaration(name):
    check_declaration(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("old_channels", "new_channels", "few", "size"),
    [(3, 3, 0, 16), (1, 3, 2, 19), (3, 1, 0, 16), (1, 1, 2, 16)],
)
def test_training_set_is_valid(name, old_channels, new_channels, few, size):
    check_training_set(name, old_channels, new_channels, few, size)


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_sets_and_inputs_stay(name):
    shift, again = make_shift(), make_shift()
    first, second = build(name, shift), build(name, again)
    assert np.array_equal(first.images, second.images)
    assert np.array_equal(first.probabilities, second.probabilities)
    for part in ("old_images", "old_labels", "new_images", "new_labels", "unlabeled"):
        assert np.array_equal(getattr(shift, part), getattr(again, part))


@pytest.mark.parametrize("name", [n for n in NAMES if not CAMERA_ARMS.get(n).uses_translator])
def test_unlabeled_new_camera(name):
    """Without a label on the new camera an arm works, or says why it cannot."""
    shift = make_shift()
    shift = replace(shift, new_images=shift.new_images[:0], new_labels=shift.new_labels[:0])
    if CAMERA_ARMS.get(name).needs_common_classes:
        with pytest.raises(ConfigError, match="labels on both cameras"):
            build(name, shift)
    else:
        assert np.allclose(class_shares(build(name, shift)), 1 / 3)


@pytest.mark.parametrize("name", NAMES)
def test_arms_without_unlabeled_images(name):
    shift = make_shift(unlabeled=None)
    if CAMERA_ARMS.get(name).uses_unlabeled:
        with pytest.raises(ConfigError, match="needs unlabeled images"):
            build(name, shift)
    else:
        assert build(name, shift).unlabeled is None


def test_no_image_of_the_new_camera():
    shift = make_shift(unlabeled=None)
    shift = replace(shift, new_images=shift.new_images[:0], new_labels=shift.new_labels[:0])
    with pytest.raises(ConfigError, match="the new camera has no images"):
        build("fourier", shift)


def test_oversampling_weighs_the_cameras_equally():
    training_set = build("oversampling", make_shift(few=2))
    for label in range(3):
        rows = training_set.labels == label
        shares = [training_set.probabilities[rows & (training_set.is_new == b)] for b in (0, 1)]
        assert np.allclose([share.sum() for share in shares], 1 / 6)


def test_pooled_weighs_the_images_of_a_class_equally():
    training_set = build("pooled", make_shift(few=2))
    assert np.allclose(training_set.probabilities[training_set.labels == 2], 1 / 3 / 9)


def test_old_rare_only_leaves_out_old_images_of_common_classes():
    training_set = build("old-rare-only", make_shift(few=2))
    assert set(training_set.labels[~training_set.is_new]) == {MISSING}
    assert np.count_nonzero(training_set.labels == MISSING) == 7 + 2


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_share_of_translated_images(share):
    """The share holds within every class; 0 leaves the probabilities of `pooled`."""
    shift = make_shift(few=2)
    everything, base = build("gan", shift, share), build("pooled", shift)
    added = np.arange(len(everything.labels)) >= len(base.labels)
    assert np.allclose(
        np.bincount(everything.labels[added], everything.probabilities[added]), share / 3
    )
    assert np.allclose(everything.probabilities[~added], (1 - share) * base.probabilities)
    assert everything.is_new[added].all()
    rare = build("ablation", shift, share)
    added = np.arange(len(rare.labels)) >= len(base.labels)
    assert set(rare.labels[added]) == {MISSING}
    assert np.isclose(rare.probabilities[added].sum(), share / 3)
    common = ~added & (rare.labels != MISSING)
    assert np.allclose(rare.probabilities[common].sum(), 2 / 3)


def test_share_out_of_range():
    with pytest.raises(ConfigError, match="`share` must lie between 0 and 1"):
        build("gan", make_shift(), 1.5)


def test_copies_weigh_as_much_as_their_original():
    shift = make_shift(few=2)
    training_set = build("fourier", shift)
    new = len(shift.new_labels)
    assert len(training_set.labels) == new + COPIES * len(shift.old_labels)
    rows = training_set.labels[new:] == MISSING
    assert np.isclose(training_set.probabilities[new:][rows].sum(), 1 / 3 * 7 / 9)


def test_filter_bank_finds_the_inversion():
    shift = make_shift()
    ranking = filter_ranking(shift)
    assert ranking[0].name == "invert"
    assert ranking[0].distance < ranking[-1].distance
    training_set = build("filter-bank", shift)
    assert np.array_equal(training_set.images[len(shift.new_labels) :], 255 - shift.old_images)


def test_image_histograms_come_from_the_class():
    shift = make_shift(new_channels=1, old_channels=1)
    levels = np.array([10, 200], np.uint8)[shift.new_labels]
    shift = replace(shift, new_images=shift.new_images * 0 + levels[:, None, None, None])
    matched = build("image-histogram-matching", shift).images[len(shift.new_labels) :]
    labels = np.concatenate([shift.old_labels] * COPIES)
    assert (matched[labels == 0] == 10).all()
    assert (matched[labels == 1] == 200).all()


def test_arm_of_the_contributing_guide_keeps_the_contract():
    known = CAMERA_ARMS.names()
    with CAMERA_ARMS.temporary():
        (name,) = run_worked_example("... an arm for a new camera", CAMERA_ARMS)
        check_declaration(name)
        check_training_set(name, 3, 1, 2, 16)
    assert CAMERA_ARMS.names() == known


def test_every_arm_is_documented():
    page = (ROOT / "docs/how-to/evaluate.md").read_text(encoding="utf-8")
    table = page.split("## Compare the ways to a new camera")[1].split("\n## ")[0]
    named = re.findall(r"`([a-z-]+)`", "".join(re.findall(r"(?m)^\|(.*?)\|", table)))
    assert sorted(named) == sorted(NAMES)
