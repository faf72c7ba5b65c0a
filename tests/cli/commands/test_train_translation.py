"""Tests of `augan train OLD --translate-to NEW`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from augan import load_bundle
from augan.config import Config
from augan.data.datasets import digits
from augan.io.images import write_png
from augan.io.layout import TRANSLATION_PREVIEW_FILE
from tests.cli._helpers import Augan, Result, assert_error, invoke, only_object

TINY = [
    *("--steps", "6", "--set", "training.batch_size=8", "--set", "translation.width=2"),
    *("--set", "translation.discriminator_width=2", "--set", "classifier.width=2"),
]


def write_cameras(folder: Path) -> None:
    """Write old/ with the classes 0 to 2, and new/ with inverted images of zero and one."""
    data = digits()
    labels = np.asarray(data.labels)
    for camera, classes in (("old", {0: "0", 1: "1", 2: "2"}), ("new", {0: "zero", 1: "one"})):
        for label, name in classes.items():
            rows = np.flatnonzero(labels == label)
            rows = rows[:50] if camera == "old" else rows[50:100]
            place = folder / camera / name
            place.mkdir(parents=True)
            for row in rows:
                image = data.images[row]
                write_png(place / f"{row}.png", image if camera == "old" else 255 - image)
    (folder / "classes.csv").write_text("old,new\n0,zero\n1,one\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of a run with most options at once, and the summary that it printed."""
    folder = tmp_path_factory.mktemp("translation")
    write_cameras(folder)
    (folder / "mine.yaml").write_text("seed: 3\ntranslation:\n  blocks: 1\n  width: 8\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = "--class-map classes.csv --config mine.yaml --out run --json"
        result = invoke("train", "old", "--translate-to", "new", *options.split(), *TINY)
        yield folder, only_object(result)


def test_options_are_stored_in_the_bundle(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = trained
    bundle = load_bundle(folder / "run")
    translation = bundle.require_translation()
    assert summary["task"] == "translate"
    assert summary["translation"]["common_classes"] == ["0", "1"]
    assert translation.class_names == ("0", "1", "2")
    assert translation.data.class_counts == (50, 50)
    config = bundle.config
    assert (config.seed, config.translation.blocks, config.translation.width) == (3, 1, 2)
    assert (config.training.steps, config.data.size) == (6, 16)
    assert bundle.preprocessing.sample_shape == (16, 16, 1)
    written = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    assert written == config.to_dict()


def test_run_has_a_report_with_a_picture(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = trained
    assert (folder / "run" / TRANSLATION_PREVIEW_FILE).exists()
    assert "Old, translated and new images" in (folder / summary["report"]).read_text("utf-8")


def test_complete_run_is_not_trained_again(
    trained: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, summary = trained
    monkeypatch.chdir(folder)
    arguments = "train old --translate-to new --class-map classes.csv --config mine.yaml --out run"
    again = invoke(*arguments.split(), "--resume", *TINY)
    assert again.exit_code == 0, again.stderr
    assert "run/bundle.augan was already complete" in again.stderr
    assert load_bundle("run").bundle_id == summary["id"]
    without_map = invoke("train", "old", "--translate-to", "new", "--out", "run", "--resume", *TINY)
    assert_error(without_map, "no class in common", "give a table", "--class-map")


def test_inspect_prints_the_translation(trained: tuple[Path, dict[str, Any]]) -> None:
    result = invoke("inspect", trained[0] / "run")
    assert yaml.safe_load(result.stdout)["translation"]["class_names"] == ["0", "1", "2"]


@pytest.fixture
def cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the images of two cameras."""
    write_cameras(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_dry_run_prints_the_defaults_of_the_task(cameras: Path, augan: Augan) -> None:
    arguments = "train old --translate-to new --class-map classes.csv --dry-run"
    result = augan(*arguments.split())
    settings = Config.from_dict(yaml.safe_load(result.stdout))
    assert settings.task == "translate"
    assert (settings.training.steps, settings.training.batch_size) == (1500, 32)
    assert (
        "old: 150 images of 3 classes as 16x16 gray; new camera new: 100 images of 2 classes as "
        "16x16 gray; 2 common classes; task translate; 1500 steps, at most 14 minutes"
    ) in result.stderr
    again = augan(*arguments.split(), "--json")
    assert json.loads(again.stdout) == settings.to_dict()
    assert sorted(path.name for path in cameras.iterdir()) == ["classes.csv", "new", "old"]


def refused(*arguments: str) -> Result:
    return invoke("train", *arguments, "--out", "run", *TINY)


@pytest.mark.parametrize(
    ("command", "fragments"),
    [
        ("old --translate-to old", ("same data, old;", "new camera with --translate-to")),
        ("old --translate-to ./new/../old", ("the same data, old",)),
        ("old --translate-to nowhere", ("there is no file or folder nowhere",)),
        ("old --translate-to new", ("no class in common", "zero", "as --class-map")),
        ("--translate-to new", ("--translate-to needs the images of the old camera as DATA",)),
        ("old --class-map classes.csv", ("--class-map names the classes", "--translate-to")),
        (
            "old --translate-to new/one --class-map classes.csv",
            ("but one has no labels; leave out --class-map",),
        ),
        ("old --translate-to new --class-map none.csv", ("cannot read the table of classes",)),
        (
            "old --translate-to new --class-map classes.csv --task detect",
            ("the task is detect; leave out --task detect",),
        ),
        ("old --task translate", ("needs images of a new camera", "--translate-to")),
        ("old --translate-to few", ("the new camera (few) has 1 image, but at least 10",)),
        ("old --translate-to table.csv", ("needs images, but the new camera (table) is a table",)),
        ("table.csv --translate-to old", ("needs images, but the old camera (table) is a table",)),
        ("old --translate-to copy", ("50 of 50 images of the new camera (copy) are equal",)),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    cameras: Path, command: str, fragments: tuple[str, ...]
) -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    (cameras / "few" / "0").mkdir(parents=True)
    write_png(cameras / "few" / "0" / "x.png", image)
    (cameras / "table.csv").write_text("a,b\n" + "1,2\n" * 30)
    (cameras / "copy").mkdir()
    for number, path in enumerate(sorted((cameras / "old" / "1").iterdir())):
        (cameras / "copy" / f"{number}.png").write_bytes(path.read_bytes())
    result = refused(*command.split())
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert result.exit_code == 2
    assert result.stdout == ""
    assert lines[-1].startswith("error: ")
    assert "`" not in lines[-1]
    for fragment in fragments:
        assert fragment in lines[-1], lines[-1]
    assert not (cameras / "run").exists()
