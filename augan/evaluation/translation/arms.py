"""Arms of the evaluation of translation: training sets of a classifier for a new camera.

All arms sample all classes equally often. Arms that translate the old camera's images, with a GAN
or without one, let one classifier train equally long.

References
----------
Yang, Soatto (2020), FDA: Fourier domain adaptation for semantic segmentation. Sun, Saenko (2016),
Deep CORAL. Ganin et al. (2016), Domain-adversarial training of neural networks. Berthelot, Roelofs,
Sohn, Carlini, Kurakin (2022), AdaMatch.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from augan.checks import check_fraction
from augan.choices import CAMERA_ARMS, CameraArm
from augan.evaluation.translation.camera_shift import CameraShift, CameraTrainingSet
from augan.evaluation.translation.filter_bank import apply_filter
from augan.evaluation.translation.filter_choice import FilterScore, rank_filters
from augan.evaluation.translation.pixel_translation import (
    FOURIER_BANDS,
    ColorMap,
    Pair,
    add_differences,
    exchange_low_frequencies,
    map_histograms,
    match_grain,
    match_histograms,
    with_channels,
)
from augan.exceptions import ConfigError
from augan.seeding import child_rng

COPIES = 3  # translations of an image by arms with random numbers, as by the arms with a GAN

BuildTrainingSet = Callable[[CameraShift], CameraTrainingSet]
"""Images of both cameras -> training set of an arm without a GAN."""

BuildTranslatedSet = Callable[[CameraShift, np.ndarray, np.ndarray, float], CameraTrainingSet]
"""Images of both cameras; images of the old camera that a GAN translated to the new one, uint8
`[t, S, S, C]`, and their classes `[t]`; share of translated images among the samples of a class, 0
to 1 -> training set of an arm with a GAN. The share 0 gives the same arm without a GAN."""


@CAMERA_ARMS.register(CameraArm("pooled", "both cameras", "all labeled images of both cameras"))
def pooled(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `pooled`: all labeled images; every class is sampled equally often."""
    images = np.concatenate([shift.new_images, _old_images(shift)])
    labels = np.concatenate([shift.new_labels, shift.old_labels])
    is_new = np.arange(len(labels)) < len(shift.new_labels)
    return _training_set(images, labels, is_new)


@CAMERA_ARMS.register(
    CameraArm(
        "oversampling",
        "oversampling",
        "all labeled images, both cameras sampled equally often within a class",
    )
)
def _oversampling(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `oversampling`: few labels on the new camera count as much as many old ones."""
    both = pooled(shift)
    cells = both.labels * 2 + both.is_new
    weights = 1.0 / np.bincount(cells)[cells]
    return replace(both, probabilities=_balanced(both.labels, weights))


@CAMERA_ARMS.register(
    CameraArm("strong", "strong augmentation", "all labeled images, strong augmentation")
)
def _strong(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `strong`: strong augmentation, which makes a classifier ignore the look."""
    return replace(pooled(shift), augmentation="strong")


@CAMERA_ARMS.register(
    CameraArm(
        "old-rare-only",
        "new camera and old rare images",
        "labeled images of the new camera, and the old camera's images of the missing classes",
    )
)
def _old_rare_only(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `old-rare-only`: no images of the old camera where the new one has labels."""
    both = pooled(shift)
    has_new = np.isin(both.labels, shift.common)
    return _selected(both, both.is_new | ~has_new)


@CAMERA_ARMS.register(
    CameraArm(
        "histogram-matching",
        "histogram matching",
        "old images with the gray levels mapped to the histogram of the new camera, by channel",
    )
)
def _histogram_matching(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `histogram-matching`: one map of gray levels for all images."""
    return replace_old_images(shift, map_histograms(_old_images(shift), _pairs(shift)))


@CAMERA_ARMS.register(
    CameraArm(
        "image-histogram-matching",
        "histogram matching of each image",
        "old images with the histogram of a new image, of the same class where labels exist",
    )
)
def _image_histogram_matching(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `image-histogram-matching`: each image is matched to a random new image."""
    copies, labels = _copies(shift)
    references = _references(shift, labels, "histograms", same_class=True)
    return replace_old_images(shift, match_histograms(copies, references), labels)


@CAMERA_ARMS.register(
    CameraArm(
        "fourier",
        "Fourier domain adaptation",
        "old images with the low-frequency amplitudes of new images",
        paper="Yang and Soatto 2020",
    )
)
def _fourier(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `fourier`: each image with three random new images, one for each band.

    The paper trains a network for each band and averages their predictions; here one network trains
    on the images of all bands, since all arms train equally long.
    """
    copies, labels = _copies(shift)
    bands = np.repeat(FOURIER_BANDS, len(shift.old_labels))
    references = _references(shift, labels, "amplitudes")
    return replace_old_images(shift, exchange_low_frequencies(copies, references, bands), labels)


@CAMERA_ARMS.register(
    CameraArm(
        "fourier-strong",
        "Fourier domain adaptation, strong augmentation",
        "old images with the low-frequency amplitudes of new images, strong augmentation",
        paper="Yang and Soatto 2020",
    )
)
def _fourier_strong(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `fourier-strong`: `fourier` with strong augmentation."""
    return replace(_fourier(shift), augmentation="strong")


@CAMERA_ARMS.register(
    CameraArm(
        "pixel-differences",
        "pixel differences",
        "old images of the missing classes plus the difference between a new and an old image of "
        "another class",
        needs_common_classes=True,
    )
)
def _pixel_differences(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `pixel-differences`: moved images take half of the samples of their classes."""
    copies, labels = _copies(shift)
    is_missing = ~np.isin(labels, shift.common)
    moved = _moved(shift, copies[is_missing], "differences")
    return add_translated(pooled(shift), moved, labels[is_missing], 0.5)


@CAMERA_ARMS.register(
    CameraArm(
        "all-pixel-differences",
        "pixel differences for all classes",
        "old images of all classes plus the difference between a new and an old image of one class",
        needs_common_classes=True,
    )
)
def _all_pixel_differences(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `all-pixel-differences`: no class is told apart by traces of the addition."""
    copies, labels = _copies(shift)
    return replace_old_images(shift, _moved(shift, copies, "all differences"), labels)


@CAMERA_ARMS.register(
    CameraArm(
        "color-map",
        "fitted color map",
        "old images with colors mapped by least squares over pairs of one class, and grain",
        needs_common_classes=True,
    )
)
def _color_map(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `color-map`: the map depends on the color of a pixel and on its place."""
    return replace_old_images(shift, _recolored(shift, _old_images(shift)))


@CAMERA_ARMS.register(
    CameraArm(
        "color-map-strong",
        "fitted color map, strong augmentation",
        "old images with fitted colors and grain, strong augmentation",
        needs_common_classes=True,
    )
)
def _color_map_strong(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `color-map-strong`: `color-map` with strong augmentation."""
    return replace(_color_map(shift), augmentation="strong")


@CAMERA_ARMS.register(
    CameraArm(
        "filter-bank",
        "bank of filters",
        "old images through the hand-made filter that a two-sample test prefers",
    )
)
def _filter_bank(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `filter-bank`: the filter whose images are closest to the new camera."""
    return replace_old_images(shift, _filtered(shift, 0))


@CAMERA_ARMS.register(
    CameraArm(
        "filter-bank-second",
        "bank of filters, second choice",
        "old images through the second choice of the two-sample test",
    )
)
def _filter_bank_second(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `filter-bank-second`: the test may confuse similar filters."""
    return replace_old_images(shift, _filtered(shift, 1))


@CAMERA_ARMS.register(
    CameraArm(
        "filter-bank-color",
        "bank of filters and color map",
        "old images through a hand-made filter and a color map fitted to it",
        needs_common_classes=True,
    )
)
def _filter_bank_color(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `filter-bank-color`: the filter that is closest after a color map is fitted."""
    return replace_old_images(shift, _filtered_colors(shift))


@CAMERA_ARMS.register(
    CameraArm(
        "filter-bank-color-strong",
        "bank of filters and color map, strong augmentation",
        "old images through a hand-made filter and a color map, strong augmentation",
        needs_common_classes=True,
    )
)
def _filter_bank_color_strong(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `filter-bank-color-strong`: strong augmentation on top."""
    return replace(replace_old_images(shift, _filtered_colors(shift)), augmentation="strong")


@CAMERA_ARMS.register(
    CameraArm(
        "coral",
        "deep CORAL",
        "all labeled images, equal feature covariances of both cameras",
        paper="Sun and Saenko 2016",
        uses_unlabeled=True,
    )
)
def _coral(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `coral`: unlabeled images align the covariances of the features."""
    return replace(pooled(shift), adaptation="coral", unlabeled=_unlabeled(shift))


@CAMERA_ARMS.register(
    CameraArm(
        "dann",
        "DANN",
        "all labeled images, features that do not tell the cameras apart",
        paper="Ganin et al. 2016",
        uses_unlabeled=True,
    )
)
def _dann(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `dann`: unlabeled images train an adversary that tells the cameras apart."""
    return replace(pooled(shift), adaptation="adversarial", unlabeled=_unlabeled(shift))


@CAMERA_ARMS.register(
    CameraArm(
        "adamatch",
        "self-training as in AdaMatch",
        "all labeled images, and confident predictions of unlabeled ones",
        paper="Berthelot et al. 2022",
        uses_unlabeled=True,
    )
)
def _adamatch(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `adamatch`: aligned pseudo-labels of unlabeled images."""
    return replace(pooled(shift), adaptation="self-training", unlabeled=_unlabeled(shift))


@CAMERA_ARMS.register(
    CameraArm(
        "dann-adamatch",
        "DANN and self-training",
        "all labeled images, with both uses of unlabeled images",
        paper="Ganin et al. 2016, Berthelot et al. 2022",
        uses_unlabeled=True,
    )
)
def _dann_adamatch(shift: CameraShift) -> CameraTrainingSet:
    """Build the arm `dann-adamatch`: the losses of both arms are added."""
    unlabeled = _unlabeled(shift)
    return replace(pooled(shift), adaptation="adversarial-self-training", unlabeled=unlabeled)


@CAMERA_ARMS.register(
    CameraArm(
        "gan",
        "GAN",
        "all labeled images, and old images of all classes translated by the GAN",
        uses_translator=True,
    )
)
def _gan(
    shift: CameraShift, images: np.ndarray, labels: np.ndarray, share: float
) -> CameraTrainingSet:
    """Build the arm `gan`; see `BuildTranslatedSet`."""
    return add_translated(pooled(shift), images, labels, share)


@CAMERA_ARMS.register(
    CameraArm(
        "gan-strong",
        "GAN, strong augmentation",
        "all labeled images, and translated old images of all classes, strong augmentation",
        uses_translator=True,
    )
)
def _gan_strong(
    shift: CameraShift, images: np.ndarray, labels: np.ndarray, share: float
) -> CameraTrainingSet:
    """Build the arm `gan-strong`; see `BuildTranslatedSet`."""
    return replace(_gan(shift, images, labels, share), augmentation="strong")


@CAMERA_ARMS.register(
    CameraArm(
        "ablation",
        "GAN, missing classes alone",
        "all labeled images, and translated old images of the missing classes alone",
        uses_translator=True,
    )
)
def _ablation(
    shift: CameraShift, images: np.ndarray, labels: np.ndarray, share: float
) -> CameraTrainingSet:
    """Build the arm `ablation`: traces of the translation give the missing classes away."""
    is_missing = ~np.isin(labels, shift.common)
    return add_translated(pooled(shift), images[is_missing], labels[is_missing], share)


def _training_set(
    images: np.ndarray, labels: np.ndarray, is_new: np.ndarray, weights: np.ndarray | None = None
) -> CameraTrainingSet:
    """Return a training set with balanced classes.

    Parameters
    ----------
    weights : ndarray of float [n] or None
        Weight of each image within its class. None: all are equal.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    return CameraTrainingSet(images, labels, is_new, _balanced(labels, weights))


def _balanced(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return sampling probabilities by which every class of `labels` is sampled equally often."""
    sums = np.bincount(labels, weights)
    return np.asarray(weights / sums[labels] / np.count_nonzero(sums))


def _selected(training_set: CameraTrainingSet, chosen: np.ndarray) -> CameraTrainingSet:
    """Return the chosen images of a training set, with balanced classes."""
    return _training_set(
        training_set.images[chosen], training_set.labels[chosen], training_set.is_new[chosen]
    )


def add_translated(
    training_set: CameraTrainingSet, images: np.ndarray, labels: np.ndarray, share: float
) -> CameraTrainingSet:
    """Add images in the look of the new camera to a training set with balanced classes.

    Parameters
    ----------
    training_set : CameraTrainingSet
    images, labels : ndarray [t, S, S, C], ndarray of int [t]
        Added images and their classes.
    share : float
        Share of added images among the samples of each class that occurs in `labels`, 0 to 1.
    """
    share = check_fraction("share", share, include_ends=True)
    before = training_set.probabilities
    totals = np.bincount(training_set.labels, before)
    counts = np.bincount(labels, minlength=len(totals))
    is_added = counts > 0
    kept = np.where(is_added, 1 - share, 1.0)[training_set.labels] * before
    return replace(
        training_set,
        images=np.concatenate([training_set.images, images]),
        labels=np.concatenate([training_set.labels, labels]),
        is_new=np.concatenate([training_set.is_new, np.ones(len(labels), bool)]),
        probabilities=np.concatenate([kept, share * totals[labels] / counts[labels]]),
    )


def replace_old_images(
    shift: CameraShift, images: np.ndarray, labels: np.ndarray | None = None
) -> CameraTrainingSet:
    """Return the labeled images of the new camera, and translations that replace the old images.

    Parameters
    ----------
    shift : CameraShift
    images : ndarray of uint8 [k * n, S, S, C]
        One translation or several of each old image, in equal numbers.
    labels : ndarray of int [k * n] or None
        Their classes. None: those of the old images.
    """
    labels = shift.old_labels if labels is None else labels
    weight = len(shift.old_labels) / len(labels)
    return _training_set(
        np.concatenate([shift.new_images, images]),
        np.concatenate([shift.new_labels, labels]),
        np.ones(len(shift.new_labels) + len(labels), bool),
        np.concatenate([np.ones(len(shift.new_labels)), np.full(len(labels), weight)]),
    )


def _old_images(shift: CameraShift) -> np.ndarray:
    """Return the images of the old camera with the channels of the new one."""
    return with_channels(shift.old_images, shift.new_images.shape[-1])


def _copies(shift: CameraShift) -> tuple[np.ndarray, np.ndarray]:
    """Return `COPIES` copies of the old images, with the channels of the new camera; classes."""
    images = _old_images(shift)
    return np.concatenate([images] * COPIES), np.concatenate([shift.old_labels] * COPIES)


def _looks(shift: CameraShift) -> np.ndarray:
    """Return all images of the new camera, labeled or not."""
    parts = [shift.new_images, *([] if shift.unlabeled is None else [shift.unlabeled])]
    images = np.concatenate(parts)
    if not len(images):
        raise ConfigError("the new camera has no images; give at least one, labeled or not")
    return images


def _pairs(shift: CameraShift) -> list[Pair]:
    """Return the images of each common class; without labels, one pair of all images."""
    images = _old_images(shift)
    return _same_class_pairs(shift, images) or [(images, _looks(shift))]


def _common_pairs(shift: CameraShift, images: np.ndarray) -> list[Pair]:
    """Return versions of the old images and the new images of each common class.

    Raises
    ------
    ConfigError
        No class has labels on both cameras.
    """
    pairs = _same_class_pairs(shift, images)
    if not pairs:
        raise ConfigError("the arm needs a class with labels on both cameras; choose another arm")
    return pairs


def _same_class_pairs(shift: CameraShift, images: np.ndarray) -> list[Pair]:
    """Return versions of the old images and the new images of each common class."""
    pairs = [
        (images[shift.old_labels == label], shift.new_images[shift.new_labels == label])
        for label in shift.common
    ]
    return [pair for pair in pairs if len(pair[0])]


def _unlabeled(shift: CameraShift) -> np.ndarray:
    """Return the unlabeled images; ConfigError if there are none."""
    if shift.unlabeled is None or not len(shift.unlabeled):
        raise ConfigError("the arm needs unlabeled images of the new camera; choose another arm")
    return shift.unlabeled


def _references(
    shift: CameraShift, labels: np.ndarray, name: str, *, same_class: bool = False
) -> np.ndarray:
    """Return a random image of the new camera for each label, of its class if there are any."""
    rng, images = child_rng(shift.seed, name), _looks(shift)
    indices = rng.integers(len(images), size=len(labels))
    if same_class:
        for label in np.unique(shift.new_labels):
            candidates, rows = np.flatnonzero(shift.new_labels == label), labels == label
            indices[rows] = candidates[rng.integers(len(candidates), size=rows.sum())]
    return images[indices]


def _moved(shift: CameraShift, images: np.ndarray, name: str) -> np.ndarray:
    """Return images plus random differences between the cameras within a common class."""
    pairs, rng = _common_pairs(shift, _old_images(shift)), child_rng(shift.seed, name)
    classes = rng.integers(len(pairs), size=len(images))
    old, new = np.empty_like(images), np.empty_like(images)
    for index, pair in enumerate(pairs):
        rows = np.flatnonzero(classes == index)
        for side, chosen in zip(pair, (old, new)):
            chosen[rows] = side[rng.integers(len(side), size=len(rows))]
    return add_differences(images, old, new)


@lru_cache(maxsize=4)  # several arms use the ranking
def filter_ranking(shift: CameraShift, fit_colors: bool = False) -> list[FilterScore]:
    """Return the filters of the bank, the closest to the new camera first; see `rank_filters`."""
    return rank_filters(_pairs(shift), shift.seed, fit_colors=fit_colors)


def _filtered(shift: CameraShift, place: int) -> np.ndarray:
    """Return the old images through the filter at a place of the ranking."""
    name = filter_ranking(shift)[place].name
    return apply_filter(name, shift.old_images, shift.new_images.shape[-1], shift.seed)


@lru_cache(maxsize=1)
def _filtered_colors(shift: CameraShift) -> np.ndarray:
    """Return the old images through the best filter with a color map and through that map."""
    _common_pairs(shift, shift.old_images)
    name, channels = filter_ranking(shift, fit_colors=True)[0].name, shift.new_images.shape[-1]
    filtered = apply_filter(name, shift.old_images, channels, shift.seed)
    return _recolored(shift, filtered)


def _recolored(shift: CameraShift, images: np.ndarray) -> np.ndarray:
    """Return versions of the old images in the colors and with the grain of the new camera."""
    pairs = _common_pairs(shift, images)
    mapped = ColorMap(pairs)(images)
    new = np.concatenate([pair[1] for pair in pairs])
    return match_grain(mapped, new, child_rng(shift.seed, "grain"))
