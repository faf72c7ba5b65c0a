"""Translated normal images for the detector of a new camera, which has 20 real ones.

The old camera has 1,000 images of one class of garments, the normal class, and the new camera, one
of the random cameras, has 20. A translator learns from both without labels. Compared are detectors

- `new`: of ten of the 20 images, calibrated on the other ten;
- `old-recalibrated`: of the old camera's images, calibrated on the 20;
- `translated-recalibrated`: of the translated images, calibrated on the 20;
- `translated`: of the translated images and the 20, calibrated on a held-out part of both.

All other classes are anomalies. The false alarms are those at the guaranteed rate.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import augan
from augan.bundle import Bundle
from augan.detect.estimator import GANDetector
from augan.evaluation.detection.metrics import auroc
from augan.seeding import child_rng, child_seed
from augan.translate.translator import train_translator
from benchmarks.augmentation.camera_data import load_garments, load_photographs
from benchmarks.augmentation.random_cameras import RandomCamera
from benchmarks.common.harness import Row, Task

NUM_OLD, NUM_NEW, NUM_TEST = 1000, 20, 500  # normal images; as many anomalies in the test
FALSE_ALARM_RATE = 0.1
METHODS = ("new", "old-recalibrated", "translated-recalibrated", "translated")


@dataclass(frozen=True, eq=False)
class NormalImages:
    """Normal images of both cameras, and the test of the new one."""

    old: np.ndarray
    new: np.ndarray
    test: np.ndarray
    is_anomaly: np.ndarray


def draw_normals(
    camera: RandomCamera, repeat: int, normal: int, folders: tuple[Path, Path]
) -> NormalImages:
    """Return images of the class `normal` before both cameras.

    Parameters
    ----------
    camera : RandomCamera
        Only a test camera takes the test images from the test images of Fashion-MNIST.
    repeat : int
        Seed of the images.
    normal : int
        The normal class.
    folders : tuple of two paths
        Fashion-MNIST, and photographs as in rgb32.
    """
    images, labels = load_garments(folders[0], "train")
    rng = child_rng(repeat, "translated-normals", camera.name, normal)
    rows = rng.permutation(np.flatnonzero(labels == normal))
    old, new, rest = np.split(rows, [NUM_OLD, NUM_OLD + NUM_NEW])
    if camera.name.startswith("test"):
        images_of_test, labels = load_garments(folders[0], "test")
        rest = rng.permutation(np.flatnonzero(labels == normal))
    else:
        images_of_test = images
    anomalies = rng.permutation(np.flatnonzero(labels != normal))[:NUM_TEST]
    test = images_of_test[np.concatenate([rest[:NUM_TEST], anomalies])]
    is_test_camera = camera.name.startswith("test")
    photographs = load_photographs(folders[1], "train")
    test_photographs = load_photographs(folders[1], "test") if is_test_camera else photographs
    return NormalImages(
        np.repeat(images[old][..., None], 3, axis=-1),
        camera.render(images[new], child_seed(repeat, "new"), photographs),
        camera.render(test, child_seed(repeat, "test"), test_photographs),
        np.arange(len(test)) >= len(rest[:NUM_TEST]),
    )


def detector_tasks(
    cameras: list[RandomCamera],
    repeats: int,
    normals: tuple[int, ...],
    folders: tuple[Path, Path],
    variant: str,
) -> list[Task]:
    """Return one task for each camera, repeat, normal class and method."""
    tasks = []
    for camera in cameras:
        for repeat in range(repeats):
            for normal in normals:
                trainings = _Trainings(camera, repeat, normal, folders)
                for method in METHODS:
                    key = {
                        "benchmark": "translation",
                        "experiment": "detector",
                        "version": 1,
                        "camera": camera.name,
                        "repeat": repeat,
                        "class": normal,
                        "method": method,
                        "variant": variant,
                        "augan": augan.__version__,
                    }
                    tasks.append(Task(key, trainings.task(method), 150.0))
    return tasks


class _Trainings:
    """Detectors of one normal class, which share the images and the translator."""

    def __init__(
        self, camera: RandomCamera, repeat: int, normal: int, folders: tuple[Path, Path]
    ) -> None:
        self._arguments = (camera, repeat, normal, folders)
        self._seed = child_seed(repeat, "detector", camera.name, normal)
        self._images: NormalImages | None = None
        self._translated: np.ndarray | None = None

    def task(self, method: str) -> Callable[[], Row]:
        """Return the function that measures a method."""
        return lambda: self._measure(method)

    def _measure(self, method: str) -> Row:
        images = self._images = self._images or draw_normals(*self._arguments)
        begun = time.process_time()
        if method == "new":
            half = NUM_NEW // 2
            trained = self._detector(far=None).fit(images.new[:half]).bundle_
            detector = self._detector(trained).fit(images.new[half:])
        elif method == "translated":
            detector = self._detector().fit(np.concatenate([self._translate(), images.new]))
        else:
            normals = images.old if method.startswith("old") else self._translate()
            trained = self._detector(far=None).fit(normals).bundle_
            detector = self._detector(trained).fit(images.new)
        scores = -detector.score_samples(images.test)
        flagged = detector.predict(images.test) == -1
        return {
            "auroc": auroc(scores[~images.is_anomaly], scores[images.is_anomaly]),
            "false_alarms": float(flagged[~images.is_anomaly].mean()),
            "detected": float(flagged[images.is_anomaly].mean()),
            "rate": FALSE_ALARM_RATE,
            "cpu": round(time.process_time() - begun, 1),
        }

    def _detector(
        self, bundle: Bundle | None = None, far: float | None = FALSE_ALARM_RATE
    ) -> GANDetector:
        return GANDetector(far=far, bundle=bundle, random_state=self._seed, verbose=0)

    def _translate(self) -> np.ndarray:
        """Return the old camera's images in the look of the new camera."""
        if self._translated is None:
            images = self._images or draw_normals(*self._arguments)
            translator = train_translator(images.old, None, images.new, None, 0, seed=self._seed)
            self._translated = translator.translate(images.old, seed=self._seed)
        return self._translated
