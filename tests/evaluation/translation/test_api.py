"""Tests of the evaluation of translation: data, leakage, resumption and result."""

from dataclasses import replace

import numpy as np
import pytest

from augan import TranslationProtocol, evaluate_translation
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.evaluation.translation import experiment
from augan.evaluation.translation.data import load_camera_data
from augan.exceptions import ConfigError, DataError, RunInterruptedError
from augan.io.layout import EVALUATION_FILE, PREVIEW_FILE
from tests.evaluation.translation.conftest import camera_images

PROTOCOL = TranslationProtocol(
    missing="low",
    test_size=0.3,
    arms=["pooled", "gan"],
    repeats=2,
    steps=3,
    config=Config().replace(translation__width=4, translation__discriminator_width=4),
    gan_steps=2,
)


class InvertingTranslator:
    """Translator that knows what the new camera does."""

    def translate(self, images, seed):
        return 255 - images


@pytest.fixture
def inverting(monkeypatch):
    monkeypatch.setattr(
        experiment, "train_translator", lambda *images, **options: InvertingTranslator()
    )


def test_arms_see_no_label_of_a_missing_class_and_no_test_image(old_camera, new_camera):
    data = load_camera_data(old_camera, new_camera, PROTOCOL)
    shift = data.shift(0, 0, 0)
    missing = data.class_names.index("low")
    assert shift.missing == (missing,)
    assert missing not in shift.new_labels
    assert set(shift.old_labels) == set(range(4))
    seen = np.concatenate([shift.new_images, data.pool])
    tested = {image.tobytes() for image in data.test_images}
    assert not tested & {image.tobytes() for image in seen}
    assert not {image.tobytes() for image in data.pool} & {i.tobytes() for i in shift.new_images}
    few = data.shift(0, 0, 2)
    assert (few.new_labels == missing).sum() == 2
    assert data.shift(0, 0, 2).new_images.tobytes() == few.new_images.tobytes()
    assert data.shift(0, 1, 2).new_images.tobytes() != few.new_images.tobytes()


def test_evaluation_continues_where_it_stopped(
    old_camera, new_camera, tmp_path, monkeypatch, inverting
):
    whole = evaluate_translation(
        old_camera, new_camera, PROTOCOL, out=tmp_path / "whole", verbose=0
    )
    trained = []

    def stop(repeat, arm, metrics):
        trained.append(arm)
        if len(trained) == 4:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError, match="4 of 12 trainings"):
        evaluate_translation(
            old_camera, new_camera, PROTOCOL, out=tmp_path / "part", verbose=0, callback=stop
        )
    again = evaluate_translation(
        old_camera, new_camera, PROTOCOL, out=tmp_path / "part", verbose=0, callback=stop
    )
    assert len(trained) == 12
    assert again.sentence == whole.sentence
    assert again.arms == whole.arms
    assert (tmp_path / "part" / EVALUATION_FILE).exists()
    assert (tmp_path / "part" / PREVIEW_FILE).exists()
    assert [row["key"] for row in whole.arms][:3] == ["pooled", "pooled+adabn", "gan:0.5"]
    assert whole.summary["missing"] == ["low"]
    assert len(whole.summary["hidden_groups"]) == 2
    assert set(whole.summary["comparisons"]) == {"without_adabn", "with_adabn"}
    monkeypatch.setattr(experiment, "train_translator", None)  # everything is in the log
    finished = evaluate_translation(
        old_camera, new_camera, PROTOCOL, out=tmp_path / "part", verbose=0
    )
    assert finished.arms == whole.arms
    other = replace(PROTOCOL, steps=4)
    with pytest.raises(ConfigError, match="other settings"):
        evaluate_translation(old_camera, new_camera, other, out=tmp_path / "part", verbose=0)


@pytest.mark.slow
def test_the_trained_translator_is_evaluated(old_camera, new_camera, tmp_path):
    gain = evaluate_translation(old_camera, new_camera, PROTOCOL, out=tmp_path / "run", verbose=0)
    accuracies = {row["key"]: row["balanced_accuracy"] for row in gain.arms}
    assert set(accuracies) == {
        *("pooled", "pooled+adabn", "gan:0.5", "gan:0.5+adabn", "gan:0.75", "gan:0.75+adabn")
    }
    assert all(0 <= accuracy <= 1 for accuracy in accuracies.values())


@pytest.mark.slow
def test_the_ideal_translator_gains(old_camera, new_camera, tmp_path, inverting):
    """The arms with the translator learn the missing class, and are chosen without its labels."""
    protocol = replace(PROTOCOL, steps=150, transform="shift")
    gain = evaluate_translation(old_camera, new_camera, protocol, out=tmp_path / "run", verbose=0)
    rows = {row["key"]: row for row in gain.arms}
    assert gain.summary["chosen"].startswith("gan")
    assert rows["gan:0.5"]["missing_recall"] > rows["pooled"]["missing_recall"]
    assert rows["gan:0.5"]["hidden_accuracy"] > rows["pooled"]["hidden_accuracy"]


def test_test_images_among_the_images_of_the_old_camera_are_refused(old_camera, new_camera):
    data = load_camera_data(old_camera, new_camera, PROTOCOL)
    images, names = camera_images(10, 0)
    leaked = np.concatenate([images, data.test_images[:2]])
    leaky = from_arrays(leaked, [*names, "corner", "corner"], name="leaky")
    with pytest.raises(DataError, match="2 of the 24 test images equal training images"):
        evaluate_translation(leaky, new_camera, PROTOCOL, verbose=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"missing": "dent"}, "no class 'dent'"),
        ({"missing": ["corner", "left", "low", "middle"]}, "names every class"),
        ({"labels_per_class": 12}, "needs 12 training images of low"),
        ({"test_size": None}, "test_size=0.3"),
    ],
)
def test_unsuitable_data_is_refused(old_camera, new_camera, changes, message):
    with pytest.raises((DataError, ConfigError), match=message):
        load_camera_data(old_camera, new_camera, replace(PROTOCOL, **changes))


def test_cameras_without_common_classes_or_labels_are_refused(old_camera, new_camera):
    images, _ = camera_images(20, 1, inverted=True)
    other = from_arrays(images, ["a", "b"] * 40, name="other")
    with pytest.raises(DataError, match="no class"):
        load_camera_data(old_camera, other, PROTOCOL)
    with pytest.raises(DataError, match="has no labels"):
        load_camera_data(old_camera, from_arrays(images), PROTOCOL)


def test_a_missing_class_that_the_old_camera_lacks_is_refused(new_camera):
    images, names = camera_images(10, 0)
    kept = [row for row, name in enumerate(names) if name != "low"]
    old = from_arrays(images[kept], [names[row] for row in kept], name="old")
    with pytest.raises(DataError, match="no class 'low'"):
        load_camera_data(old, new_camera, PROTOCOL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": ()}, "names no class"),
        ({"missing": ("a", "a")}, "a twice"),
        ({"missing": 3}, "list of names"),
        ({"missing": "a", "repeats": 1}, "repeats"),
        ({"missing": "a", "arms": "gan"}, "without a translator"),
        ({"missing": "a", "arms": ["pooled"]}, "with a translator"),
        ({"missing": "a", "arms": ["pooled", "magic"]}, "'magic'"),
        ({"missing": "a", "labels_per_class": -1}, "labels_per_class"),
        ({"missing": "a", "transform": "strong"}, "transform"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TranslationProtocol(**options)
