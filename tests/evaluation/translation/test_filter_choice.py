"""Tests of the choice of filters by a two-sample test."""

import numpy as np
import pytest

from augan.evaluation.translation.filter_bank import apply_filter, filter_names
from augan.evaluation.translation.filter_choice import rank_filters


def images_of(label, count, channels, size=20):
    rng = np.random.default_rng(100 * label + count)
    y, x = np.mgrid[:size, :size]
    center = rng.uniform(size / 4, size * 3 / 4, (count, 2, 1, 1))
    distance = np.abs(y - center[:, 0]) + (0.5 + label) * np.abs(x - center[:, 1])
    values = np.clip(1.3 - distance / rng.uniform(4, 9, (count, 1, 1)), 0.1, 0.9)
    images = np.repeat(values[..., None], channels, axis=-1) * rng.uniform(0.7, 1, channels)
    return np.rint(255 * images).astype(np.uint8)


def pairs_through(name, channels, count=40, labels=(0, 1)):
    return [
        (
            images_of(label, count, channels),
            apply_filter(name, images_of(label, count + 1, channels), channels, seed=9),
        )
        for label in labels
    ]


@pytest.mark.parametrize("name", ["invert", "edges", "relief-right", "halftone", "low-contrast"])
@pytest.mark.parametrize("channels", [1, 3])
def test_filter_of_the_new_camera_ranks_first(name, channels):
    ranking = rank_filters(pairs_through(name, channels), seed=0)
    assert ranking[0].name == name
    assert sorted(score.name for score in ranking) == sorted(filter_names(channels))
    distances = [score.distance for score in ranking]
    assert distances == sorted(distances)
    assert distances[0] < 1 < distances[-1]


def test_color_map_undoes_the_colors_of_a_filter():
    """Edges in other colors: no filter of the bank shows them, edges and a color map do."""
    pairs = [
        (old, np.rint(30 + new * [0.2, 0.8, 0.5]).astype(np.uint8))
        for old, new in pairs_through("edges", 3, 150, (0, 1, 2))
    ]
    plain = rank_filters(pairs, seed=0)
    fitted = rank_filters(pairs, seed=0, fit_colors=True)
    assert fitted[0].name in ("edges", "edges-inverted")
    assert fitted[0].distance < 0.5 * plain[0].distance


def test_equal_seeds_give_equal_rankings():
    pairs = pairs_through("noise", 3)
    assert rank_filters(pairs, seed=3) == rank_filters(pairs, seed=3)


def test_one_image_on_each_side():
    pair = (images_of(0, 1, 3), images_of(1, 1, 3))
    assert len(rank_filters([pair], seed=0)) == len(filter_names(3))
