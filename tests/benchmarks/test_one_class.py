"""Tests of the one-class benchmark."""

import json
from functools import partial

import numpy as np
import pytest

from augan.evaluation.detection.baselines import BASELINES
from augan.evaluation.detection.metrics import auroc
from augan.exceptions import DataError
from benchmarks.detection import one_class
from benchmarks.detection.one_class import (
    METHODS,
    Images,
    OneClassData,
    evaluate_one_class,
    main,
    parse_classes,
    summarize,
)


def stripes(n: int, seed: int = 0) -> np.ndarray:
    """Gray 8x8 images of one striped part under varying light, [n, 8, 8, 1]."""
    rng = np.random.default_rng(seed)
    part = np.tile([0.2, 0.8], (8, 4))[..., None]
    light = rng.uniform(0.8, 1.2, (n, 1, 1, 1))
    return (light * part + rng.normal(0, 0.02, (n, 8, 8, 1))).astype(np.float32)


def with_defect(images: np.ndarray) -> np.ndarray:
    images = images.copy()
    images[:, 2:6, 2:6] = 0
    return images


class Brightness:
    """A detector that owes nothing to scikit-learn's base classes."""

    fits = 0

    def fit(self, X: np.ndarray, y: object = None) -> "Brightness":
        self.fits += 1
        self.mean_ = X.mean()
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        return -np.abs(X.mean(axis=(1, 2, 3)) - self.mean_)


def test_evaluate_one_class_returns_a_row_for_each_detector() -> None:
    test = np.concatenate([stripes(10, seed=1), with_defect(stripes(10, seed=2))])
    is_anomaly = np.arange(20) >= 10
    detectors = {name: partial(make, 0) for name, make in BASELINES.items()}
    rows = evaluate_one_class({**detectors, "own": Brightness}, stripes(40), test, is_anomaly)
    assert [row["method"] for row in rows] == [*BASELINES, "own"]
    for row in rows:
        assert set(row) == {"method", "auroc", "fit_seconds", "ms_per_image"}
        assert row["auroc"] > 0.8
        assert row["fit_seconds"] >= 0
        assert row["ms_per_image"] > 0


@pytest.mark.parametrize("make", [Brightness, partial(BASELINES["pca"], 0)])
def test_evaluate_one_class_does_not_refit_a_fitted_detector(make: object) -> None:
    test = np.concatenate([stripes(5, seed=1), with_defect(stripes(5, seed=2))])
    fitted = make().fit(stripes(40))  # type: ignore[operator]
    before = fitted.score_samples(test)
    # All-black training images would change every score if it were fitted again.
    row = evaluate_one_class(
        {"fitted": lambda: fitted}, np.zeros((9, 8, 8, 1)), test, np.arange(10) >= 5
    )[0]
    assert row["fit_seconds"] is None
    assert row["auroc"] == auroc(-before[:5], -before[5:])
    np.testing.assert_array_equal(fitted.score_samples(test), before)


def test_evaluate_one_class_of_invalid_labels_raises() -> None:
    images, never = stripes(4), {"never called": Brightness}
    for labels in ([True, False], [0, 1, 0, 1], [False] * 4, [True] * 4):
        with pytest.raises(DataError):
            evaluate_one_class(never, images, images, labels)


def test_evaluate_one_class_of_scores_of_another_shape_raises() -> None:
    class Wrong(Brightness):
        def score_samples(self, X: np.ndarray) -> np.ndarray:
            return X

    labels = [True, False, True, False]
    with pytest.raises(DataError, match=r"'wrong' returned scores of shape \(4, 8, 8, 1\)"):
        evaluate_one_class({"wrong": Wrong}, stripes(4), stripes(4), labels)


def test_summarize_averages_over_seeds_then_classes():
    scores = {("a", 0): 0.8, ("a", 1): 0.6, ("b", 0): 1.0}
    common = {"method": "pca", "train_s": 1.0, "ms_per_image": 2.0}
    rows = [{**common, "class": c, "seed": s, "auroc": v} for (c, s), v in scores.items()]
    summary = summarize(rows)["pca"]
    assert summary["auroc_by_class"] == pytest.approx({"a": 0.7, "b": 1.0})
    assert summary["auroc"] == pytest.approx(0.85)
    assert summary["seeds"] == 2
    assert summary["over_seeds"]["mean"] == pytest.approx((0.9 + 0.6) / 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", ["T-shirt/top", "Bag", "Coat"]),
        ("0-2", ["T-shirt/top", "Bag", "Coat"]),
        ("2,T-shirt/top", ["Coat", "T-shirt/top"]),
        ("1,1,Bag", ["Bag"]),
    ],
)
def test_parse_classes_by_name_or_position(text, expected):
    assert parse_classes(text, ("T-shirt/top", "Bag", "Coat")) == expected


@pytest.mark.parametrize("text", ["3", "0-3", "2-1", "Shoe", ""])
def test_parse_classes_of_an_unknown_class_raises(text):
    with pytest.raises(DataError, match="there is no class"):
        parse_classes(text, ("T-shirt/top", "Bag", "Coat"))


def test_dev_split_is_stratified_and_deterministic():
    digits = OneClassData.load("digits", "dev")
    assert digits.test is None
    train, test = digits.split(0)
    again, _ = digits.split(0)
    other, _ = digits.split(1)
    np.testing.assert_array_equal(train.pixels, again.pixels)
    assert not np.array_equal(train.pixels, other.pixels)
    assert len(train.classes) + len(test.classes) == len(digits.train.classes)
    for name in digits.class_names:
        count = (digits.train.classes == name).sum()
        assert (test.classes == name).sum() == round(0.2 * count)


def test_test_split_is_the_test_part():
    digits = OneClassData.load("digits", "test")
    train, test = digits.split(0)
    assert train is digits.train
    assert len(test.classes) == 359
    assert digits.identity() != OneClassData.load("digits", "dev").identity()


def test_sha256_depends_on_pixels_and_classes():
    one = Images(np.zeros((2, 8, 8, 1), np.uint8), np.array(["a", "b"]))
    assert one.sha256() == Images(one.pixels.copy(), one.classes.copy()).sha256()
    assert one.sha256() != Images(one.pixels, np.array(["b", "a"])).sha256()
    assert one.sha256() != Images(one.pixels.reshape(2, 4, 16, 1), one.classes).sha256()


@pytest.fixture
def pets(tmp_path):
    """A folder with train and test parts of two classes, 6 and 3 gray images each."""
    from augan.io.images import write_png

    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for level, name in ((60, "cat"), (180, "dog")):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = rng.integers(level - 50, level + 50, (9, 11, 1), dtype=np.uint8)
                write_png(folder / f"{number}.png", image)
    return tmp_path / "pets"


def rows_of(folder, *arguments):
    out = folder / "out.json"
    main(["one-class", *arguments, "--json", str(out), "--results", str(folder)])
    return json.loads(out.read_text())["rows"]


# unlabeled: what images without a label are worth


def test_rows_of_a_folder_hold_no_path(tmp_path, pets):
    only = ["--methods", "pca", "--seeds", "0"]
    rows = rows_of(tmp_path, "--data", str(pets), "--split", "test", *only)
    assert [row["class"] for row in rows] == ["cat", "dog"]
    assert {(row["n_train"], row["n_normal"], row["n_anomalies"]) for row in rows} == {(6, 3, 3)}
    assert str(tmp_path) not in next(tmp_path.glob("one-class-*.jsonl")).read_text()


def test_missing_folder_exits_with_a_message(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        rows_of(tmp_path, "--data", str(tmp_path / "nowhere"))
    assert stop.value.code == 1
    assert "there is no file or folder" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.slow
def test_one_class_benchmark_on_digits(tmp_path, monkeypatch):
    command = ["--classes", "3", "--seeds", "0", "--steps", "20"]
    rows = rows_of(tmp_path, *command)
    methods = [one_class.ROW_NAMES.get(name, name) for name in METHODS if name != "anogan"]
    assert [row["method"] for row in rows] == methods
    assert all(0 <= row["auroc"] <= 1 and row["ms_per_image"] > 0 for row in rows)
    steps = {row["method"]: row["steps"] for row in rows}
    assert (steps["fanogan"], steps["untrained"], steps["pca"]) == (20, 0, None)
    assert len({row["settings"] for row in rows}) == len(rows)
    summary = json.loads((tmp_path / "out.json").read_text())["summary"]
    by_method = {row["method"]: row["auroc"] for row in rows}
    assert {method: of["auroc"] for method, of in summary.items()} == by_method
    assert all(of["seeds"] == 1 and list(of["auroc_by_class"]) == ["3"] for of in summary.values())

    monkeypatch.setattr(one_class, "measure_one_class", pytest.fail)
    assert rows_of(tmp_path, *command) == rows


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "fanogan"])
def test_untrained_control_has_the_networks_of_the_detector(tiny_digits, method):
    from augan import GANDetector

    images = tiny_digits.images[:60]
    trained = GANDetector(method=method, steps=1, random_state=3).fit(images)
    control = one_class.UntrainedDetector(method, random_state=3).fit(images)
    networks = trained.bundle_.networks
    assert {role: network.spec.to_dict() for role, network in networks.items()} == {
        role: control.specs_[role] for role in networks
    }
    assert control.score_samples(images).shape == (60,)
