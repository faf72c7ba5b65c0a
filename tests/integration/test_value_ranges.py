"""Images of cameras with 12 bits and arrays of few levels, from training to pictures."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from augan import (
    Config,
    DetectionRequest,
    GANDetector,
    detect_folder,
    generate_folder,
    load_dataset,
    load_detector,
    train,
)
from augan.bundle import inspect_bundle
from augan.data.datasets import digits
from augan.io.images import read_image
from tests._helpers import write_images

HIGH = 3900


def camera_images(split: str, number: int, scale: int = HIGH // 255) -> np.ndarray:
    return np.asarray(digits(split).images)[:number].astype(np.uint16) * scale + 80


@pytest.fixture(scope="module")
def run(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("camera")
    names = [f"{'ab'[row % 2]}/{row:03d}.png" for row in range(60)]
    data = write_images(root / "data", camera_images("train", 60), names)
    config = tiny_config.replace(task="both", training__steps=3, detect__methods=("auto",))
    bundle = train(config, load_dataset(data), out=root / "run")
    assert bundle.path is not None
    return root / "run"


def test_bundle_and_inspect_have_the_range_of_the_training_images(run: Path) -> None:
    preprocessing = inspect_bundle(run)["preprocessing"]
    assert (preprocessing["low"], preprocessing["high"]) == (80.0, 255.0 * (HIGH // 255) + 80)


def test_generated_images_stay_within_the_range(run: Path, tmp_path: Path) -> None:
    result = generate_folder(run, 8, out=tmp_path / "made")
    files = sorted((tmp_path / "made").rglob("[0-9]*.png"))
    assert len(files) == result.num_samples == 8
    values = np.stack([read_image(file) for file in files])
    assert values.dtype == np.uint16
    assert values.min() >= 80
    assert values.max() <= HIGH


def test_images_of_another_depth_are_named_by_detect_and_python(run: Path, tmp_path: Path) -> None:
    deep = camera_images("test", 6, 200)
    folder = write_images(tmp_path / "deep", deep)
    result = detect_folder(run, DetectionRequest(folder), tmp_path / "out", verbose=0)
    (warning,) = [text for text in result.warnings if "pixels reach from" in text]
    assert "from 80 to 51080" in warning
    assert "from 80 to 3905" in warning
    record = json.loads((tmp_path / "out" / "detection.json").read_text())
    assert warning in record["warnings"]
    assert warning in load_detector(run).predict(deep).warnings
    same = write_images(tmp_path / "same", camera_images("test", 6))
    result = detect_folder(run, DetectionRequest(same), tmp_path / "out2", verbose=0)
    assert not [text for text in result.warnings if "pixels reach from" in text]


def test_the_estimator_warns_of_floats_of_another_range() -> None:
    x = np.asarray(digits("train").images)[:40, ..., 0] / 255
    detector = GANDetector(steps=2, random_state=0, verbose=0).fit(x)
    with pytest.warns(UserWarning, match=r"from 0 to 255, but .* training images from 0 to 1"):
        detector.predict(x * 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        detector.predict(x)
