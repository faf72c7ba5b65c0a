"""Translation benchmark: choice of arms, intervals, and trainings."""

from typing import Any

import numpy as np
import pytest

from augan.evaluation.translation.camera_shift import CameraShift
from benchmarks.augmentation import arm_choice, translation
from benchmarks.augmentation.camera_data import CameraExperiment


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


def _load(camera: str, repeat: int) -> CameraExperiment:
    """Six classes with ten random images on each camera; class 5 is missing on the new one."""
    rng = np.random.default_rng(repeat)
    labels = np.repeat(np.arange(6), 10)
    old, new, test = rng.integers(0, 256, (3, 60, 16, 16, 1), np.uint8)
    kept = labels != 5
    shift = CameraShift(old, labels, new[kept], labels[kept], 6, (5,), seed=repeat)
    return CameraExperiment(shift, test, labels, new)


def _study(*cells: tuple[str, int]) -> translation.Study:
    return translation.Study("missing", "dev", _load, cells)


def test_each_arm_is_tested_and_trained_with_each_group_hidden() -> None:
    arms = ["pooled", "gan", "ablation"]
    tasks = _study(("dev-0", 0), ("dev-1", 0)).tasks(arms)
    keys = [task.key for task in tasks]
    tested = [key for key in keys if not key["hidden"]]
    assert keys[: len(tested)] == tested  # of both cameras, before anything is hidden
    names = [(key["camera"], key["arm"], key["share"]) for key in tested]
    of_camera = [("pooled", None), ("gan", 0.5), ("gan", 0.75), ("ablation", 0.5)]
    assert names == [(camera, *name) for camera in ("dev-0", "dev-1") for name in of_camera]
    hidden = [key for key in keys if key["hidden"]]
    assert len(hidden) == 2 * 2 * 3  # cameras, groups, arms without the ablation
    assert len({str(key) for key in keys}) == len(keys)


def test_settings_of_the_translator_do_not_make_other_arms_new() -> None:
    plain = _study(("dev-0", 0))
    changed = translation.Study(
        "missing",
        "dev",
        _load,
        plain.cells,
        config=translation.translator_config(["translation.cycle_weight=3"]),
    )
    before, after = (study.tasks(["pooled", "gan"]) for study in (plain, changed))
    assert [task.key for task in before if task.key["arm"] == "pooled"] == [
        task.key for task in after if task.key["arm"] == "pooled"
    ]
    assert before[1].key != after[1].key
    assert before[1].key["arm"] == "gan"


@pytest.mark.slow
def test_a_training_is_measured_without_and_with_adabn() -> None:
    task = _study(("dev-0", 0)).tasks(["pooled"])[0]
    row = task.measure()
    assert set(arm_choice.FIGURES) < set(row)
    assert len(row["recalls"]) == len(row["recalls_adabn"]) == 6
    assert row["rare_recall"] == pytest.approx(row["recalls"][5], abs=1e-3)
    assert row["balanced_accuracy"] == pytest.approx(np.mean(row["recalls"]), abs=1e-3)
    assert task.measure()["recalls"] == row["recalls"]
