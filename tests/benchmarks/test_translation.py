"""Translation benchmark: hidden classes, choice of arms, and intervals."""

from typing import Any

import numpy as np
import pytest

from augan.evaluation.translation.camera_shift import CameraShift
from benchmarks.augmentation import arm_choice, translation


def _shift() -> CameraShift:
    """Ten classes with 20 images on each camera; images hold their number; 2, 4, 8 are missing."""
    labels = np.repeat(np.arange(10), 20)
    numbers = np.arange(200, dtype=np.uint8)[:, None, None, None]
    is_new = ~np.isin(labels, (2, 4, 8))
    return CameraShift(numbers, labels, numbers[is_new], labels[is_new], 10, (2, 4, 8), seed=1)


def test_hidden_groups_are_disjoint_and_common() -> None:
    first, second = translation.hidden_groups(_shift())
    assert len(first) == len(second) == 3
    assert not set(first) & set(second)
    assert set(first) | set(second) <= {0, 1, 3, 5, 6, 7, 9}


def test_arms_see_nothing_of_hidden_classes_on_the_new_camera() -> None:
    shift = _shift()
    seen, images, labels = translation.hide_classes(shift, (0, 5))
    assert set(seen.missing) == {0, 2, 4, 5, 8}
    assert set(seen.new_labels) == {1, 3, 6, 7, 9}
    assert np.bincount(labels, minlength=10).tolist() == [20, 4, 0, 4, 0, 20, 4, 4, 0, 4]
    assert not set(images.ravel()) & set(seen.new_images.ravel())
    np.testing.assert_array_equal(seen.old_images, shift.old_images)


def test_recall_by_class() -> None:
    recalls = translation.recall_by_class(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]))
    assert recalls == {0: 0.5, 1: 0.5}


def _row(camera: str, arm: str, share: float | None, hidden: list[int], figure: float) -> Any:
    figures = dict.fromkeys(arm_choice.FIGURES, figure)
    return {"camera": camera, "repeat": 0, "arm": arm, "share": share, "hidden": hidden, **figures}


def _rows(camera: str, figures: dict[tuple[str, float | None], tuple[float, float]]) -> list[Any]:
    """Rows of a camera: figure in the test and on hidden classes, for each arm and share."""
    return [
        row
        for (arm, share), (test, hidden) in figures.items()
        for row in (
            _row(camera, arm, share, [], test),
            _row(camera, arm, share, [0], hidden - 0.1),
            _row(camera, arm, share, [1], hidden + 0.1),
        )
    ]


FIGURES = {
    ("pooled", None): (0.5, 0.6),
    ("strong", None): (0.7, 0.5),  # better in the test, which nobody knows when choosing
    ("gan", 0.5): (0.6, 0.7),
    ("gan", 0.75): (0.8, 0.4),
}


def test_hidden_classes_choose_the_arm() -> None:
    (chosen,) = arm_choice.choose(_rows("dev-0", FIGURES), "").values()
    names = {kind: (row["arm"], row["share"]) for kind, row in chosen.items()}
    assert names == {
        "other": ("pooled", None),
        "gan": ("gan", 0.5),
        "any": ("gan", 0.5),
        "best-other": ("strong", None),
    }


def test_the_translator_may_lose_the_choice() -> None:
    figures = FIGURES | {("pooled", None): (0.5, 0.9)}
    (chosen,) = arm_choice.choose(_rows("dev-0", figures), "_adabn").values()
    assert chosen["any"]["arm"] == "pooled"
    assert chosen["gan"]["arm"] == "gan"


def test_summary_subtracts_the_chosen_arms() -> None:
    rows = [row for camera in ("dev-0", "dev-1") for row in _rows(camera, FIGURES)]
    gain = arm_choice.summarize(rows)["gain"]["plain"]
    assert gain["gan minus other"]["mean"] == pytest.approx(0.1)
    assert gain["gan minus best-other"]["mean"] == pytest.approx(-0.1)
    assert gain["gan minus other"]["low"] == pytest.approx(0.1)  # both cameras agree


def test_interval_over_cameras_is_a_t_interval_of_their_means() -> None:
    differences = {("a", 0): 0.0, ("a", 1): 0.2, ("b", 0): 0.3, ("c", 0): 0.2}
    interval = arm_choice.interval_over_cameras(differences)
    assert interval["n"] == 3
    assert interval["mean"] == pytest.approx(0.2)
    # Student's quantile for two degrees of freedom, 4.303, by 0.1 / sqrt(3)
    assert interval["high"] - interval["mean"] == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert interval["mean"] - interval["low"] == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)


def test_one_camera_uses_its_repeats() -> None:
    interval = arm_choice.interval_over_cameras({("a", 0): 0.1, ("a", 1): 0.3})
    assert interval["n"] == 2
    assert interval["low"] < 0.1 < 0.3 < interval["high"]
    assert arm_choice.interval_over_cameras({("a", 0): 0.1})["low"] is None


def test_arms_with_a_translator_have_shares() -> None:
    names = translation.with_shares(["pooled", "gan", "ablation"])
    assert names == [("pooled", None), ("gan", 0.5), ("gan", 0.75), ("ablation", 0.5)]
