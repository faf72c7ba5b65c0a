"""Images of the translation benchmark."""

import csv
from pathlib import Path

import numpy as np
import pytest

from augan.exceptions import DataError
from augan.io.images import write_png
from benchmarks.augmentation import camera_data
from benchmarks.augmentation.random_cameras import random_cameras


def test_parts_share_no_row_and_have_equally_many_of_each_class() -> None:
    labels = np.repeat(np.arange(3), 20)
    parts = camera_data.split_by_class(labels, [5, 7], np.random.default_rng(0))
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[5] * 3, [7] * 3]
    assert not set(parts[0]) & set(parts[1])
    with pytest.raises(DataError, match="class 0 has 20 images, but 21"):
        camera_data.split_by_class(labels, [21], np.random.default_rng(0))


@pytest.fixture
def garments_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images whose corner holds their number, 1,300 of each class; other numbers in the test."""

    def load(folder: Path, subset: str) -> tuple[np.ndarray, np.ndarray]:
        images = np.zeros((13_000, 32, 32), np.uint8)
        numbers = np.arange(13_000)
        images[:, 15, 15], images[:, 15, 16] = numbers // 256, numbers % 256
        images[:, 20, 20] = 255 if subset == "test" else 0
        return images, numbers % 10

    monkeypatch.setattr(camera_data, "load_garments", load)
    monkeypatch.setattr(
        camera_data,
        "load_photographs",
        lambda folder, subset: np.zeros((1, 32, 32, 3), np.uint8),
    )


class _Identity:
    """Camera that keeps the pixels, so that the numbers of the images can be read."""

    def __init__(self, name: str) -> None:
        self.name = name

    def render(self, images: np.ndarray, seed: int, photographs: object) -> np.ndarray:
        return np.repeat(images[..., None], 3, axis=-1)


def _numbers(images: np.ndarray) -> list[int]:
    return [256 * int(image[15, 15, 0]) + int(image[15, 16, 0]) for image in images]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_garments_of_cameras_pool_and_test_are_different(
    garments_in_memory: None, split: str
) -> None:
    experiment = camera_data.garments(_Identity(f"{split}-0"), 0, (Path(), Path()), rare_labels=5)
    shift = experiment.shift
    groups = [shift.old_images, shift.new_images, experiment.pool]
    numbers = [number for group in groups for number in _numbers(group)]
    assert len(set(numbers)) == len(numbers) == 3000 + 2115 + 2000
    assert np.bincount(shift.new_labels).tolist() == [
        5 if label in camera_data.MISSING else 300 for label in range(10)
    ]
    assert np.bincount(experiment.test_labels).tolist() == [500] * 10
    from_test = bool((experiment.test_images[:, 20, 20] == 255).all())
    assert from_test == (split == "test")
    if split == "dev":
        assert not set(numbers) & set(_numbers(experiment.test_images))


def test_unlabeled_garments_have_no_label_on_the_new_camera(garments_in_memory: None) -> None:
    experiment = camera_data.unlabeled_garments(_Identity("dev-0"), 0, (Path(), Path()))
    assert len(experiment.shift.new_labels) == len(experiment.shift.new_images) == 0
    assert experiment.shift.unlabeled is not None
    assert len(experiment.shift.unlabeled) == 5000
    unlabeled = set(_numbers(experiment.shift.unlabeled))
    assert not unlabeled & set(_numbers(experiment.test_images))
    assert not unlabeled & set(_numbers(experiment.shift.old_images))


def test_a_camera_sees_the_same_images_again(garments_in_memory: None) -> None:
    camera = random_cameras("dev")[1]
    experiments = [camera_data.garments(camera, repeat, (Path(), Path())) for repeat in (0, 0, 1)]
    digests = [experiment.sha256 for experiment in experiments]
    assert digests[0] == digests[1] != digests[2]


def test_tiles_of_the_test_are_not_in_the_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for kind in camera_data.TILE_CLASSES:
        folder = tmp_path / ("train" if kind == "normal" else "test") / kind
        folder.mkdir(parents=True)
        (tmp_path / "masks" / kind).mkdir(parents=True)
        for tile in range(8):
            level = 100 + 5 * tile
            texture = rng.integers(-20, 21, (1, 24, 24)).repeat(5, axis=1).repeat(5, axis=2)
            texture -= int(np.rint(texture.mean()))
            for exposure in ("exp1", "exp6"):
                gain = 0.5 if exposure == "exp1" else 1.0
                pixels = (gain * (level + texture[0])).astype(np.uint8)[..., None]
                name = f"{exposure}_num_{tile}"
                write_png(folder / f"{name}.jpg", pixels)
                if kind == "normal":
                    rows.append((f"train/normal/{name}.jpg", f"tile{tile}"))
                else:
                    mask = np.zeros((120, 120, 1), np.uint8)
                    mask[50:60, 50:60] = 255
                    write_png(tmp_path / "masks" / kind / f"{name}.png", mask)
    with open(tmp_path / "groups.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "group"), *rows])
    experiment = camera_data.tile_exposures(tmp_path, 0)
    shift = experiment.shift
    assert shift.missing == (1,)
    assert set(shift.new_labels) == {0, 2}
    assert set(shift.old_labels) == set(experiment.test_labels) == {0, 1, 2}
    assert shift.old_images.mean() < 0.6 * shift.new_images.mean()
    counts = np.bincount(shift.old_labels) + np.bincount(shift.new_labels, minlength=3)
    assert counts[0] == 4 * camera_data.WINDOWS_PER_NORMAL
    assert np.bincount(experiment.test_labels)[0] == 4 * camera_data.WINDOWS_PER_NORMAL
