"""Tests of `augan evaluate augmentation OLD --translate-to NEW`."""

from pathlib import Path
from typing import Any

import pytest

from augan.evaluation.translation import experiment
from augan.io.images import write_png
from augan.io.layout import EVALUATION_FILE, PREVIEW_FILE, REPORT_FILE
from tests.cli._helpers import assert_error, invoke, only_object
from tests.evaluation.translation.conftest import camera_images

OPTIONS = ("--missing", "low", "--test-size", "0.3", "--arms", "pooled,gan", "--steps", "3")


class Inverting:
    """Translator that knows what the new camera does."""

    def translate(self, images: Any, seed: int) -> Any:
        return 255 - images


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with old/, and with new/, where a class has another name."""
    folder = tmp_path_factory.mktemp("cameras")
    for camera, per_class, seed in (("old", 6, 0), ("new", 16, 1)):
        images, names = camera_images(per_class, seed, inverted=camera == "new")
        for number, (image, name) in enumerate(zip(images, names)):
            named = "ecke" if (camera, name) == ("new", "corner") else name
            place = folder / camera / named
            place.mkdir(parents=True, exist_ok=True)
            write_png(place / f"{number}.png", image)
    (folder / "classes.csv").write_text("old,new\ncorner,ecke\n")
    return folder


def test_evaluation_prints_the_choice_before_the_result(
    cameras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cameras)
    monkeypatch.setattr(experiment, "train_translator", lambda *a, **options: Inverting())
    command = ("evaluate", "augmentation", "old", "--translate-to", "new", *OPTIONS)
    options = ("--class-map", "classes.csv", "--repeats", "2", "--out", "run")
    result = invoke(*command, *options, "--json")
    assert result.exit_code == 0, result.stderr
    printed = only_object(result)
    assert printed["summary"]["class_names"] == ["corner", "left", "low", "middle"]
    assert printed["summary"]["missing"] == ["low"]
    for name in (EVALUATION_FILE, PREVIEW_FILE, REPORT_FILE):
        assert (cameras / "run" / name).exists()
    again = invoke(*command, *options)  # from the log
    lines = again.stdout.splitlines()
    assert lines[0].startswith("warning: the new camera has only 44 images")
    assert lines[1].startswith("chosen: ")
    assert "common classes were hidden" in lines[1]
    assert lines[-1] == printed["sentence"]
    assert any(line.startswith("  gan:0.5 ") for line in lines)
    if not printed["summary"]["significant"]:
        assert invoke(*command, *options, "--require-gain").exit_code == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--missing", "low"), "--missing is about a new camera; name its folder with --translate"),
        (("--class-map", "classes.csv"), "--class-map is about a new camera"),
        (("--translate-to", "new"), "name each with --missing"),
        (("--translate-to", "new", *OPTIONS, "--rare", "low=3"), "--rare does not go with"),
        (("--translate-to", "new", *OPTIONS, "--tune-fraction"), "--tune-fraction does not go"),
        (("--translate-to", "old", *OPTIONS), "are the same data"),
        (("--translate-to", "new", "--missing", "dent", "--test-size", "0.3"), "no class 'dent'"),
        (("--translate-to", "new", "--missing", "low"), "--test-size 0.3"),
        (("--translate-to", "new", *OPTIONS, "--repeats", "1"), "--repeats"),
        (("--translate-to", "new", *OPTIONS, "--gan-steps", "0"), "--gan-steps"),
    ],
)
def test_unsuitable_options_are_refused(
    cameras: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(cameras)
    result = invoke("evaluate", "augmentation", "old", *options)
    assert_error(result, message)
