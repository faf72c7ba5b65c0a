"""Tests of the gain benchmark: rows, keys, stored predictions, and splits."""

import json

import numpy as np
import pytest

from benchmarks.augmentation import gain, gain_null_controls
from benchmarks.augmentation.gain import main
from benchmarks.common.prediction_store import PredictionStore


def run(tmp_path, *options):
    common = [
        "--data",
        "digits",
        "--labels-per-class",
        "10",
        "--rare",
        "3=4",
        "--classifier",
        "logistic",
    ]
    places = ["--results", str(tmp_path / "results"), "--json", str(tmp_path / "out.json")]
    main(["imbalanced", *common, *places, *options])
    return json.loads((tmp_path / "out.json").read_text())


def test_processes_share_the_repeats(tmp_path, capsys):
    arms = ["--arms", "real,oversampling"]
    run(tmp_path, "--repeats", "0-0", *arms)
    run(tmp_path, "--repeats", "1-1", *arms)
    assert "2 of 2 rows to measure" in capsys.readouterr().out
    both = run(tmp_path, "--repeats", "2", *arms)
    assert "0 of 4 rows to measure" in capsys.readouterr().out
    assert [(row["draw"], row["arm"]) for row in both["rows"]] == [
        (100, "real"),
        (100, "oversampling"),
        (101, "real"),
        (101, "oversampling"),
    ]
    for row in both["rows"]:
        assert 0.5 < row["balanced_accuracy"] <= 1
        assert row["n_train"] == 9 * 10 + 4
        assert row["n_synthetic"] == 0
    means = both["summary"]["arms"]
    assert means["real"]["balanced_accuracy"] == pytest.approx(
        np.mean([both["rows"][0]["balanced_accuracy"], both["rows"][2]["balanced_accuracy"]])
    )
    assert "gain" not in both["summary"]  # no GAN arm was measured


@pytest.mark.parametrize("count", [1, 8, 501])
def test_prediction_store_returns_the_predictions_of_a_row(tmp_path, count):
    rng = np.random.default_rng(count)
    labels, right = rng.integers(5, size=count), rng.random((2, count)) < 0.8
    for draw in range(2):
        PredictionStore(tmp_path / "v.jsonl", labels).add(
            {"draw": draw, "arm": "real"}, right[draw]
        )
    kept = PredictionStore(tmp_path / "v.jsonl", labels)
    assert kept.find({"draw": 0, "arm": "real"}).tolist() == right[0].tolist()
    assert kept.find({"arm": "real", "draw": 1}).tolist() == right[1].tolist()
    assert kept.find({"draw": 2, "arm": "real"}) is None


def test_summarize_needs_only_rows_and_stored_predictions(tmp_path):
    of = study(labels_per_class=10, results=tmp_path)
    truth, rng = gain.load_gain_data("digits", "dev").test_labels, np.random.default_rng(0)
    rows, reached = [], {"real": [], "oversampling": [], "gan": []}
    for draw in range(3):
        for arm, share in (("real", 0.7), ("oversampling", 0.8), ("gan", 0.9)):
            right = rng.random(len(truth)) < share
            of.predictions(arm).add(of.key(draw, arm), right)
            balanced = np.mean([right[truth == label].mean() for label in range(10)])
            figures = dict.fromkeys(gain.METRICS, float(balanced))
            rows.append({**of.key(draw, arm), **figures, "recall": [0.0] * 10})
            reached[arm].append(balanced)
    summary = gain.summarize(of, rows)
    wanted = np.mean(reached["gan"]) - np.mean(reached["oversampling"])
    assert summary["best_baseline"] == "oversampling"
    assert summary["gain"] == pytest.approx(wanted)
    assert 0 < summary["ci_low"] < wanted < summary["ci_high"]


def study(**changes):
    parsed = {
        "protocol": "imbalanced",
        "labels_per_class": 10,
        "rare": None,
        "gan": gain.DEFAULT_GAN_ARM,
        "gan_steps": None,
        "synthetic_fraction": None,
        "base": None,
        "data": "digits",
        "split": "dev",
        "classifier": "cnn",
        "transform": None,
        "steps": None,
        "variant": "default",
        "results": gain.RESULTS,
    }
    return gain.parse_study(gain.argparse.Namespace(**{**parsed, **changes}))


@pytest.mark.parametrize(
    "change", [{"variant": "idea"}, {"synthetic_fraction": 0.25}, {"gan_steps": 7}]
)
def test_key_without_gan_is_the_same_for_all_variants(change):
    usual, other = study(), study(**change)
    assert usual.key(0, "mixup") == other.key(0, "mixup")
    assert usual.key(0, "gan") != other.key(0, "gan")


@pytest.mark.parametrize("change", [{"steps": 9}, {"labels_per_class": 9}, {"rare": [("3", 4)]}])
def test_key_depends_on_the_settings(change):
    assert study().key(0, "mixup") != study(**change).key(0, "mixup")


def test_splits_share_no_repeat_and_dev_tests_on_training_images():
    dev, test = (gain.load_gain_data("digits", split) for split in ("dev", "test"))
    assert study().key(0, "real")["draw"] == 100
    assert study(split="test").key(0, "real")["draw"] == 0
    assert len(dev.test_labels) + len(dev.pool.labels) == len(test.pool.labels) == 1438
    training = {bytes(image) for image in test.pool.images}
    assert all(bytes(image) in training for image in dev.test_images)
    assert not {bytes(image) for image in dev.pool.images} & {
        bytes(image) for image in dev.test_images
    }


def test_copies_control_has_no_large_gain():
    lead = gain_null_controls.run_once("copies", 0)
    assert lead.best_baseline == "oversampling"
    assert abs(lead.interval.value) < 0.1
    assert lead.interval.low <= lead.interval.value <= lead.interval.high
