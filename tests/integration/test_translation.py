"""A whole training of a translation: bundle and run folder, resuming, and refused data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augan.bundle import Bundle, Splits, inspect_bundle, load_bundle
from augan.config import Config
from augan.data.dataset import Dataset, from_arrays
from augan.exceptions import ConfigError, DataError, RunInterruptedError
from augan.io.images import read_image
from augan.report.html.training import write_training_page
from augan.report.text import format_plan, format_training
from augan.training import checkpoints, loop
from augan.training.defaults import native_dtype, resolve_defaults, resolve_translation_defaults
from augan.workflow.prepare import prepare_data, resolve_config
from augan.workflow.train import train
from tests.robustness.test_resume import Stopper, assert_same_run

SETTINGS = {
    "training__steps": 8,
    "training__batch_size": 8,
    "translation__width": 2,
    "translation__blocks": 1,
    "translation__discriminator_width": 2,
    "classifier__width": 2,
}
CONFIG = Config().replace(**SETTINGS)


def camera(
    classes: str | None, count: int = 100, *, size: int = 16, channels: int = 1, seed: int = 0
) -> Dataset:
    """Return images of squares, whose side is the class; the new camera (seed 1) inverts them."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 30, (count, size, size, channels), np.uint8)
    names = [(classes or "a")[row % len(classes or "a")] for row in range(count)]
    for image, name in zip(images, names):
        side = 3 * (1 + "abcd".index(name))
        top, left = rng.integers(0, size - side, 2)
        image[top : top + side, left : left + side] += 200
    images = 255 - images if seed else images
    return from_arrays(images, names if classes else None, name="new" if seed else "old")


@pytest.fixture(scope="module", autouse=True)
def small_calls():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "STEPS_PER_CALL", 2)
        patch.setattr(checkpoints, "STEPS_BETWEEN", 2)
        yield


@pytest.fixture(scope="module")
def cameras() -> tuple[Dataset, Dataset]:
    """An old camera with three gray classes, and a new one with two color classes, one common."""
    return camera("abc", 120), camera("bd", 100, channels=3, seed=1)


@pytest.fixture(scope="module")
def bundle(cameras, tmp_path_factory) -> Bundle:
    old, new = cameras
    out = tmp_path_factory.mktemp("translation") / "run"
    return train(CONFIG, old, translate_to=new, out=out, verbose=0)


def test_bundle_describes_both_cameras(bundle):
    translation = bundle.require_translation()
    assert bundle.config.task == "translate"
    assert (bundle.data.name, bundle.data.class_names) == ("old", ("a", "b", "c"))
    assert (translation.data.name, translation.data.class_names) == ("new", ("b", "d"))
    assert translation.class_names == ("a", "b", "c", "d")
    assert translation.common_classes == ("b",)
    assert bundle.preprocessing.sample_shape == (16, 16, 1)
    assert translation.preprocessing.sample_shape == (16, 16, 3)
    for splits, count in ((bundle.splits, 120), (translation.splits, 100)):
        assert isinstance(splits, Splits)
        rows = np.concatenate([splits.train, splits.val])
        assert sorted(rows.tolist()) == list(range(count))
        assert len(splits.val) == count // 10
    assert bundle.networks.keys() == {
        *("translator", "back_translator", "patch_discriminator", "classifier")
    }
    assert bundle.metrics.steps == {"classifier": 2, "translation": 8}
    assert bundle.networks["classifier"].spec.arguments["num_classes"] == 4
    assert bundle.has("translator")
    assert bundle.has("back_translator")
    assert not any(bundle.has(part) for part in ("generator", "detector", "latents", "classes"))
    assert load_bundle(bundle.path) == bundle
    assert inspect_bundle(bundle.path)["translation"]["common_classes"] == ["b"]


def test_run_folder_has_picture_report_and_settings(bundle):
    run = bundle.path.parent
    assert {path.name for path in run.iterdir()} >= {
        *("bundle.augan", "config.yaml", "metrics.jsonl", "run.json", "summary.json"),
        *("checkpoints", "translation.png"),
    }
    assert read_image(run / "translation.png").ndim == 3
    settings = Config.from_yaml(run / "config.yaml")
    assert settings == bundle.config
    assert settings.training.dtype == native_dtype()
    page = write_training_page(bundle).read_text("utf-8")
    assert "Old, translated and new images" in page
    lines = format_training(bundle, {"translation": 1.0})
    assert any("steps: classifier 2, translation 8" in line for line in lines)
    assert f"translate images with: augan translate IMAGES --model {run}" in lines


def test_resumed_run_equals_an_uninterrupted_run(bundle, cameras, tmp_path):
    old, new = cameras
    out = tmp_path / "run"
    stopper = Stopper("translation", 4, "SIGTERM")
    with pytest.raises(RunInterruptedError, match="after step 4 of the translation"):
        train(CONFIG, old, translate_to=new, out=out, callbacks=[stopper], verbose=0)
    assert not (out / "bundle.augan").exists()
    train(CONFIG, old, translate_to=new, out=out, resume=True, verbose=0)
    write_training_page(load_bundle(out))
    write_training_page(bundle)
    (out / "report.html").unlink()
    (bundle.path.parent / "report.html").unlink()
    assert_same_run(out, bundle.path.parent)


def test_run_of_another_new_camera_is_not_resumed(bundle, cameras):
    old, new = cameras
    renamed = replace(new, class_names=("c", "d"))
    more = camera("bd", 101, channels=3, seed=1)
    out = bundle.path.parent
    with pytest.raises(ConfigError, match="classes: b, d then, c, d now"):
        train(CONFIG, old, translate_to=renamed, out=out, resume=True, verbose=0)
    with pytest.raises(ConfigError, match="new data: "):
        train(CONFIG, old, translate_to=more, out=out, resume=True, verbose=0)
    with pytest.raises(ConfigError, match="task: translate then, both now"):
        train(CONFIG, old, out=out, resume=True, verbose=0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (camera(None), camera(None, seed=1)),
        (camera("ab"), camera(None, seed=1)),
        (camera(None), camera("ab", seed=1)),
    ],
    ids=["no labels", "old labels", "new labels"],
)
def test_labels_may_be_missing(old, new, tmp_path):
    bundle = train(CONFIG, old, translate_to=new, out=tmp_path / "run", verbose=0)
    translation = bundle.require_translation()
    assert translation.common_classes == ()
    assert translation.metrics is not None
    assert translation.metrics.classes == () or old.labels is not None
    assert bundle.has("classifier") == (old.labels is not None)
    assert (translation.metrics.class_share_gap is not None) == (old.labels is not None)
    assert any("has no labels, so nothing but the shape" in w for w in bundle.metrics.warnings)


def test_some_images_may_be_without_labels():
    old = replace(camera("ab"), unlabeled=camera(None, 20))
    new = replace(camera("ba", seed=1), unlabeled=camera(None, 30, seed=1))
    data = prepare_data(resolve_config(CONFIG, old, new)).training_data()
    assert data.num_classes == 2
    assert data.new is not None
    assert data.classes is not None
    assert data.new.classes is not None
    assert data.classes[:3].tolist() == [0, 1, 0]
    assert data.new.classes[:3].tolist() == [1, 0, 1]  # positions in the list of both cameras
    assert (data.new.classes == -1).sum() == len(data.new.unlabeled) == 30


def test_defaults_of_a_translation():
    small, large = camera("ab", 20), camera("ab", 20, size=50, channels=3, seed=1)
    config, of_old, of_new = resolve_translation_defaults(Config(), small, large)
    assert (of_old.sample_shape, of_new.sample_shape) == ((64, 64, 1), (64, 64, 3))
    training = config.training
    assert (training.steps, training.batch_size, training.max_minutes) == (1500, 32, 14)
    assert (config.task, config.data.size) == ("translate", 64)
    tiny = camera("ab", 20, size=16)
    assert resolve_translation_defaults(Config(), tiny, tiny)[1].size == 16
    larger, _, _ = resolve_translation_defaults(Config().replace(data__size=256), small, large)
    assert larger.training.max_minutes == 14 * 16
    chosen = Config().override(["training.dtype=float32", "training.batch_size=4"])
    training = resolve_translation_defaults(chosen, small, large)[0].training
    assert (training.dtype, training.batch_size) == ("float32", 4)


def test_plan_names_both_cameras_and_their_differences(cameras):
    resolved = resolve_config(CONFIG, *cameras)
    assert format_plan(resolved) == (
        "old: 120 images of 3 classes as 16x16 gray; new camera new: 100 images of 2 classes as "
        "16x16 color; 1 common class; task translate; 8 steps"
    )
    (warning,) = resolved.warnings
    assert warning.startswith("the images of the old and the new camera differ: gray and color;")
    sizes = resolve_config(CONFIG, camera("ab"), camera("ab", size=20, seed=1)).warnings
    assert "16x16 and 20x20 pixels" in sizes[-1]


@pytest.mark.parametrize(
    ("change", "words", "fix"),
    [
        ("task=detect", "needs the task translate, but the task is detect; leave out", ""),
        ("data.size=8", "task=translate with data.size below 16 is not", "data.size=16"),
        ("data.tiling=true", "task=translate with data.tiling is not", "data.tiling=null"),
        (
            "translation.cycle=none",
            "translation.cycle=none without translation.contrastive_weight is not",
            "translation.contrastive_weight=1",
        ),
        (
            "detect.cross_conformal=true",
            "task=translate with detect.cross_conformal is not",
            "detect.cross_conformal=false",
        ),
    ],
)
def test_settings_that_do_not_suit_a_translation_are_refused(cameras, change, words, fix):
    with pytest.raises(ConfigError, match=words) as caught:
        resolve_config(CONFIG.override(change), *cameras)
    if fix:
        assert str(caught.value).endswith(f"nearest legal: --set {fix}")
        resolve_config(CONFIG.override([change, fix]), *cameras)


def test_class_weight_needs_classes_of_the_old_camera():
    config = CONFIG.replace(translation__class_weight=1.0)
    with pytest.raises(ConfigError, match=r"class_weight=1 needs .* but old has 0 classes; label"):
        resolve_config(config, camera(None), camera("ab", seed=1))
    resolve_config(config, camera("ab"), camera(None, seed=1))


def test_task_translate_needs_a_new_camera_and_large_images_the_task(cameras):
    with pytest.raises(ConfigError, match="the task translate needs images of a new camera; give"):
        resolve_defaults(Config(task="translate"), cameras[0])
    with pytest.raises(ConfigError, match=r"nearest legal: --set data\.size=128"):
        resolve_defaults(Config(task="detect").replace(data__size=256), cameras[0])


def test_new_camera_with_the_images_of_the_old_is_refused(cameras, tmp_path):
    old = cameras[0]
    copied = replace(old.subset(np.arange(120)[::-1]), name="copied")
    with pytest.raises(
        DataError, match=r"120 of 120 images of the new camera \(copied\) are equal"
    ):
        train(CONFIG, old, translate_to=copied, out=tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match=r"translate_to must be an augan\.Dataset, got str"):
        train(CONFIG, old, translate_to="new/", verbose=0)


def test_metrics_and_settings_are_json(bundle):
    recorded = json.loads((bundle.path.parent / "run.json").read_text())
    assert recorded["new classes"] == "b, d"
    assert recorded["classes"] == "a, b, c, d"
    assert Path(bundle.path).stat().st_size < 500_000
