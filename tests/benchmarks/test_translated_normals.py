"""Images and tasks of the detector experiment of the translation benchmark."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.augmentation.random_cameras import random_cameras
from benchmarks.detection import translated_normals

FOLDERS = (Path(), Path())


@pytest.fixture
def garments_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of two classes, 2,000 each, whose corner holds their number."""

    def load(folder: Path, subset: str) -> tuple[np.ndarray, np.ndarray]:
        images = np.zeros((4000, 32, 32), np.uint8)
        images[:, 10, 10], images[:, 10, 11] = np.arange(4000) // 256, np.arange(4000) % 256
        return images, np.arange(4000) % 2

    monkeypatch.setattr(translated_normals, "load_garments", load)
    monkeypatch.setattr(
        translated_normals,
        "load_photographs",
        lambda folder, subset: np.zeros((1, 32, 32, 3), np.uint8),
    )


@pytest.mark.parametrize("name", ["dev", "test"])
def test_normals_of_both_cameras_and_of_the_test(garments_in_memory: None, name: str) -> None:
    camera = random_cameras(name)[1]
    images = translated_normals.draw_normals(camera, 0, 1, FOLDERS)
    numbers = 256 * images.old[:, 10, 10, 0].astype(int) + images.old[:, 10, 11, 0]
    assert len(set(numbers)) == translated_normals.NUM_OLD
    assert (numbers % 2 == 1).all()  # of the normal class alone
    assert images.new.shape == (translated_normals.NUM_NEW, 32, 32, 3)
    assert images.is_anomaly.sum() == (~images.is_anomaly).sum() == translated_normals.NUM_TEST
    assert len(images.test) == 2 * translated_normals.NUM_TEST


def test_every_method_has_a_task() -> None:
    cameras = list(random_cameras("dev")[:2])
    tasks = translated_normals.detector_tasks(cameras, 1, (0, 7), FOLDERS, "default")
    methods = [task.key["method"] for task in tasks]
    assert methods == 4 * list(translated_normals.METHODS)
    assert len({str(task.key) for task in tasks}) == len(tasks)
