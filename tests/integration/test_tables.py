"""Tables from end to end: train, augment, generate, detect; commands and estimators."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from augan import (
    AugmentRequest,
    DetectionRequest,
    GANDetector,
    GANOverSampler,
    augment_folder,
    detect_folder,
    evaluate_detection,
    generate_folder,
    recalibrate,
)
from augan.augment.filters.criteria import ACCEPTED, MEMORIZED
from augan.augment.filters.filter import CandidateFilter
from augan.augment.training_reference import load_training_reference
from augan.bundle import Bundle, restore_network
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.data.loading import load_dataset
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.splits import split_dataset
from augan.detect.conformal.calibration import Calibration
from augan.detect.methods.registry import supported_methods
from augan.exceptions import ConfigError, DataError
from augan.gan.inference import BatchInference
from augan.training.config_rules import table_rules
from augan.training.defaults import resolve_defaults
from augan.workflow.train import train


def parts(n: int = 240) -> pd.DataFrame:
    """Rows of two kinds of part that differ in everything, the target in the middle."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, n)
    return pd.DataFrame(
        {
            "weight": np.round(rng.lognormal(kind, 0.3), 2),
            "holes": rng.poisson(2 + 4 * kind),
            "kind": np.array(["bolt", "plate"])[kind],
            "colour": np.where(rng.random(n) < 0.9, "red", "blue"),
            "coated": (rng.random(n) < 0.2 + 0.6 * kind),
            "unit": "g",
        }
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "parts.csv"
    parts().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def bundle(tiny_config: Config, table: Path) -> Bundle:
    out = table.parent / "run"
    return train(tiny_config, load_dataset(table, target="kind"), out=out)


def synthetic(folder: Path) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    with open(folder / "manifest.csv", newline="") as file:
        return pd.read_csv(folder / "synthetic.csv"), list(csv.DictReader(file))


class TestTraining:
    def test_every_part_is_there_and_the_warning_says_what_is_not_learned(
        self, bundle: Bundle
    ) -> None:
        assert set(bundle.networks) == {"generator", "discriminator", "encoder", "classifier"}
        assert bundle.networks["generator"].spec.architecture == "mlp"
        assert bundle.data.class_names == ("bolt", "plate")
        left_out, never_measured = bundle.metrics.warnings
        assert left_out == "left out, because they have one value only: unit"
        assert "quality of the generator after 20 steps was never measured" in never_measured
        assert not (bundle.path.parent / "samples").exists()

    def test_the_monitor_measures_rows(self, tiny_config: Config, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        parts(400).drop(columns="kind").to_csv(path, index=False)
        unlabeled = train(tiny_config, load_dataset(path), out=tmp_path / "run")
        # 400 rows: 99 calibrate and 30 tune, enough to measure on; nothing can be turned.
        assert set(unlabeled.networks) == {"generator", "discriminator", "encoder"}
        assert unlabeled.metrics.fidelity.extractor == "values"
        assert np.isfinite(unlabeled.metrics.fidelity.kernel_distance)

    def test_equal_settings_give_equal_bundles(
        self, tiny_config: Config, table: Path, bundle: Bundle, tmp_path: Path
    ) -> None:
        again = train(tiny_config, load_dataset(table, target="kind"), out=tmp_path / "again")
        assert again.sha256 == bundle.sha256

    def test_a_generated_row_is_numbers_and_one_choice_of_each_group(self, bundle: Bundle) -> None:
        generator = restore_network(bundle, "generator")
        assert bundle.networks["generator"].spec.arguments["groups"] == [2, 2]
        generate = BatchInference(lambda z, c: generator([z, c], training=False), (8,), (2,))
        noise = np.random.default_rng(0).standard_normal((100, 8)) * 5
        (rows,) = generate(noise, np.eye(2)[np.arange(100) % 2])
        assert rows.shape == (100, 2 + 2 + 2)
        assert (np.abs(rows[:, :2]) <= 1).all()
        np.testing.assert_allclose(rows[:, 2:4].sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(rows[:, 4:].sum(axis=1), 1, atol=1e-6)

    @pytest.mark.parametrize("rule", table_rules(), ids=lambda rule: rule.name)
    def test_what_needs_pixels_is_refused_with_the_nearest_legal_setting(
        self, table: Path, rule: object
    ) -> None:
        setting = {
            "gan.architecture=mlp": "gan.architecture=dcgan",
            "gan.diffaug=[]": "gan.diffaug=[translation]",
            "gan.negative_augmentations=[]": "gan.negative_augmentations=[scar]",
            "data.size=null": "data.size=16",
        }[rule.fixes[0]]
        config, dataset = Config().override([setting]), load_dataset(table)
        with pytest.raises(ConfigError, match="on a table is not possible") as caught:
            resolve_defaults(config, dataset)
        assert f"nearest legal: --set {rule.fixes[0]}" in str(caught.value)
        resolve_defaults(config.override(rule.fixes), dataset)

    def test_no_scaling_is_learned_from_rows_that_calibrate(self) -> None:
        """Else these could never lie beyond what is usual, as new ones do."""
        rng = np.random.default_rng(0)
        above: dict[str, list[float]] = {"ours": [], "learned from all": []}
        for draw in range(40):
            table = from_arrays(pd.DataFrame(rng.lognormal(0, 1.5, (300, 20))))
            new = from_arrays(pd.DataFrame(rng.lognormal(0, 1.5, (200, 20)))).images
            config = Config(task="detect", seed=draw)
            split = split_dataset(config, table, calibrate=True)
            every = TabularPreprocessing.fit_table(table.images)
            for name, columns in (
                ("ours", resolve_defaults(config, table)[1]),
                ("learned from all", every),
            ):
                rows = columns.normalize(columns.prepare_all(table.images))
                found = NearestNeighbors(n_neighbors=2).fit(rows[split.train])
                scores = [
                    np.log(found.kneighbors(some)[0].mean(axis=1))
                    for some in (
                        rows[split.calibration],
                        columns.normalize(columns.prepare_all(new)),
                    )
                ]
                calibration = Calibration.fit(scores[0], None)
                above[name].append(float(calibration.flags(scores[1], 0.02).mean()))
        assert np.mean(above["ours"]) < 0.025
        assert np.mean(above["learned from all"]) > 0.04  # the control

    def test_all_rows_teach_where_none_calibrates(self) -> None:
        table = from_arrays(pd.DataFrame({"a": np.arange(300.0)}))
        learned = resolve_defaults(Config(task="detect"), table, calibrate=False)[1]
        assert learned == TabularPreprocessing.fit_table(table.images)
        assert resolve_defaults(Config(task="detect"), table)[1] != learned

    def test_the_defaults_of_a_table(self, table: Path) -> None:
        config, _ = resolve_defaults(Config(), load_dataset(table))
        assert (config.gan.architecture, config.gan.diffaug, config.data.size) == ("mlp", (), None)
        assert config.task == "detect"
        assert resolve_defaults(config, load_dataset(table))[0] == config


class TestAugment:
    def test_csv_has_the_columns_and_types_of_the_training_table(
        self, bundle: Bundle, tmp_path: Path
    ) -> None:
        result = augment_folder(
            bundle, AugmentRequest("plate", 600, seed=3, filtered=False), tmp_path / "a"
        )
        assert (result.sample_type, result.format, result.preview) == ("row", "csv", None)
        assert result.to_dict()["num_samples"] == 600
        made, manifest = synthetic(tmp_path / "a")
        real = parts()
        assert list(made) == list(real)
        assert made.dtypes.to_dict() == real.dtypes.to_dict()
        assert (made["kind"] == "plate").all()
        assert (made["unit"] == "g").all()
        assert set(made["colour"]) <= {"red", "blue"}
        assert made["weight"].between(real["weight"].min(), real["weight"].max()).all()
        assert_array_equal(made["weight"], made["weight"].round(2))
        assert len(manifest) == 600
        assert {(row["file"], row["class"]) for row in manifest} == {("synthetic.csv", "plate")}
        assert [row["index"] for row in manifest[:3]] == ["0", "1", "2"]

    def test_rows_are_compared_where_one_column_is_fine(
        self, bundle: Bundle, table: Path, tmp_path: Path
    ) -> None:
        preprocessing = bundle.preprocessing
        reference, _ = load_training_reference(bundle, preprocessing, table)
        assert reference is not None
        coarse = CandidateFilter(bundle, reference)  # two decimals: there, equal rows are chance
        coarse.set_class(0)
        assert not coarse.compares_samples
        assert coarse.evaluate(reference.training_samples(0)[0]).distance is None
        finer = reference.samples.copy()
        finer[:, 0] += np.random.default_rng(0).random(len(finer)) / 100
        checker = CandidateFilter(bundle, replace(reference, samples=finer))
        checker.set_class(1)
        learned, names = checker.reference.training_samples(1)
        found = checker.evaluate(learned)
        assert checker.compares_samples
        assert found.nearest == names
        assert found.distance.max() == 0
        assert MEMORIZED in found.decisions
        assert ACCEPTED not in found.decisions

    def test_a_row_depends_on_seed_and_index_only(self, bundle: Bundle, tmp_path: Path) -> None:
        for name, n, seed in (("few", 3, 0), ("many", 520, 0), ("other", 3, 1)):
            generate_folder(bundle, n, tmp_path / name, seed=seed)
        few, many, other = (synthetic(tmp_path / n)[0] for n in ("few", "many", "other"))
        pd.testing.assert_frame_equal(many[:3], few)
        assert not other.equals(few)
        assert set(many["kind"]) == {"bolt", "plate"}

    @pytest.mark.parametrize("format", ["png", "npz", "xlsx"])
    def test_rows_are_no_pictures(self, bundle: Bundle, tmp_path: Path, format: str) -> None:
        with pytest.raises(ConfigError, match=f"rows cannot be written as '{format}'.*csv"):
            generate_folder(bundle, 3, tmp_path / "g", format=format)
        with pytest.raises(ConfigError, match="transform 'light'"):
            augment_folder(bundle, AugmentRequest("bolt", 3, transform="light"), tmp_path / "g")
        assert not (tmp_path / "g").exists()

    def test_images_are_no_rows(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"images cannot be written as 'csv'.*png or npz"):
            generate_folder(digits_bundle, 3, tmp_path / "g", format="csv")

    def test_npz_holds_the_pixels_of_the_png_files(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        generate_folder(digits_bundle, 12, tmp_path / "png", seed=5)
        generate_folder(digits_bundle, 12, tmp_path / "npz", seed=5, format="npz")
        dataset = load_dataset(tmp_path / "npz" / "synthetic.npz")
        files = sorted((tmp_path / "png").glob("*.png"))
        assert_array_equal(dataset.images[..., 0], [np.asarray(Image.open(f)) for f in files])
        assert dataset.class_names == digits_bundle.data.class_names
        with open(tmp_path / "npz" / "manifest.csv", newline="") as file:
            classes = [row["class"] for row in csv.DictReader(file)]
        assert [dataset.class_names[label] for label in dataset.labels] == classes


class TestDetect:
    def scores(self, bundle: Bundle, frame: pd.DataFrame, tmp_path: Path) -> tuple:
        frame.to_csv(tmp_path / "new.csv", index=False)
        result = detect_folder(bundle, DetectionRequest(tmp_path / "new.csv"), tmp_path / "out")
        return result, pd.read_csv(tmp_path / "out" / "scores.csv")

    def test_a_line_for_each_row(self, bundle: Bundle, tmp_path: Path) -> None:
        frame = parts()[:20].drop(columns="kind")
        odd = pd.DataFrame(
            {"weight": [1e6], "holes": [900], "colour": "pink", "coated": False, "unit": "t"}
        )
        result, scores = self.scores(bundle, pd.concat([frame, odd]), tmp_path)
        assert scores["path"].tolist() == list(range(21))
        assert scores["anomaly"].iloc[-1] == 1
        assert scores["p_value"].iloc[-1] == scores["p_value"].min()
        assert scores["score"].idxmax() == 20
        assert (result.num_scored, result.most_anomalous[0].path) == (21, "20")
        assert "calibration rows" in result.guarantee.sentence
        np.testing.assert_allclose(
            scores["score"],
            scores["feature_neighbors"] + scores["mahalanobis"] + scores["input_neighbors"],
        )

    def test_columns_may_be_reordered_and_unknown_ones_are_ignored(
        self, bundle: Bundle, tmp_path: Path
    ) -> None:
        frame = parts()[:20]
        _, plain = self.scores(bundle, frame, tmp_path)
        result, mixed = self.scores(bundle, frame[frame.columns[::-1]].assign(new="?"), tmp_path)
        assert_array_equal(mixed["score"], plain["score"])
        assert any("did not have: new" in text for text in result.warnings)

    def test_rows_that_cannot_be_used_have_no_score(self, bundle: Bundle, tmp_path: Path) -> None:
        frame = parts()[:4].astype({"weight": object})
        frame.loc[1, "weight"], frame.loc[2, "colour"] = "heavy", None
        result, scores = self.scores(bundle, frame, tmp_path)
        assert scores["score"].isna().tolist() == [False, True, True, False]
        assert result.unreadable == [
            ("1", "weight is 'heavy', not a number"),
            ("2", "colour is missing"),
        ]
        with pytest.raises(DataError, match="none of the 1 rows"):
            self.scores(bundle, frame[1:2], tmp_path)

    def test_a_missing_column_is_an_error(self, bundle: Bundle, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="lacks holes"):
            self.scores(bundle, parts().drop(columns="holes"), tmp_path)

    def test_a_folder_for_a_table_and_a_table_for_images(
        self, bundle: Bundle, digits_bundle: Bundle, table: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match="is not a table, but the model was trained on one"):
            detect_folder(bundle, DetectionRequest(tmp_path), tmp_path / "out")
        with pytest.raises(DataError, match="is a table, but the model was trained on images"):
            detect_folder(digits_bundle, DetectionRequest(table), tmp_path / "out")

    def test_methods_say_what_they_accept(self) -> None:
        assert {"anogan", "auto", "fanogan", "features"} <= set(supported_methods("rows"))
        assert {"auto", "features"} <= set(supported_methods("tiles"))
        assert not {"anogan", "fanogan"} & set(supported_methods("tiles"))
        for kind in ("images", "rows", "tiles"):
            assert all(kind in method.modalities for method in supported_methods(kind).values())


class TestEstimators:
    def test_the_detector_takes_plain_rows_and_frames(self) -> None:
        X = np.random.default_rng(0).standard_normal((60, 3))
        frame = pd.DataFrame(X, columns=list("abc"))
        detector = GANDetector(steps=5, random_state=0).fit(X)
        named = GANDetector(steps=5, random_state=0).fit(frame)
        assert detector.n_features_in_ == 3
        assert named.feature_names_in_.tolist() == ["a", "b", "c"]
        assert_array_equal(detector.score_samples(X), named.score_samples(frame))
        with pytest.raises(ValueError, match="NaN"):
            detector.predict([[0.0, np.nan, 1.0]])
        with pytest.raises(ValueError, match="4 features"):
            detector.predict(np.zeros((1, 4)))

    def test_the_detector_takes_text_and_is_not_confused_by_a_new_category(self) -> None:
        frame = parts(120).drop(columns="unit")
        detector = GANDetector(steps=5, random_state=0).fit(frame)
        assert detector.predict(frame).shape == (120,)
        unseen = frame[:1].assign(colour="pink")
        assert detector.score_samples(unseen) != detector.score_samples(frame[:1])

    def test_the_sampler_keeps_columns_and_types(self) -> None:
        frame = parts(150)
        X, y = frame.drop(columns="kind"), frame["kind"]
        keep = (y == "bolt") | (np.arange(len(y)) % 4 == 0)
        X, y = X[keep], y[keep]
        X_new, y_new = GANOverSampler(steps=5, random_state=0).fit_resample(X, y)
        assert (y_new == "bolt").sum() == (y_new == "plate").sum()
        pd.testing.assert_frame_equal(X_new[: len(X)], X.reset_index(drop=True))
        assert X_new.dtypes.to_dict() == X.dtypes.to_dict()
        assert y_new.name == "kind"

    @pytest.mark.slow
    def test_scikit_learn_has_no_complaint(self) -> None:
        from sklearn.utils.estimator_checks import check_estimator

        results = check_estimator(GANDetector(steps=5), on_fail=None, on_skip=None)
        failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
        assert failed == {}
        assert len(results) > 40

    @pytest.mark.slow
    def test_imbalanced_learn_has_no_complaint(self) -> None:
        from imblearn.utils.estimator_checks import estimator_checks_generator

        for estimator, check in estimator_checks_generator(GANOverSampler(steps=5, random_state=0)):
            check(estimator)


class TestCommands:
    def run(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "augan_cli", *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=os.environ, capture_output=True, text=True)

    @pytest.mark.slow
    def test_train_augment_and_detect(self, table: Path, tmp_path: Path) -> None:
        done = self.run("train", table, "--target", "kind", "--steps", 20, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "parts: 240 rows of 2 classes as 2 numbers and 2 categories" in done.stderr
        done = self.run(
            "augment", "--class", "bolt", "--n", 7, "--no-filter", "--json", cwd=tmp_path
        )
        about = json.loads(done.stdout)
        assert (about["num_samples"], about["format"], "picture" in about) == (7, "csv", False)
        done = self.run("detect", table, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "of 240 rows flagged" in done.stdout
        assert (tmp_path / "runs" / "latest" / "detect-parts" / "scores.csv").is_file()
        page = (tmp_path / "runs" / "latest" / "detect-parts" / "report.html").read_text("utf-8")
        assert "of 240 rows flagged" in page
        assert "<img" not in page
        for wrong in (("--save-maps",), ("--ignore-mask", "mask.png")):
            done = self.run("detect", table, *wrong, cwd=tmp_path)
            assert (done.returncode, done.stderr.count("error: ")) == (2, 1)

    @pytest.mark.slow
    def test_an_error_is_one_line(self, table: Path, tmp_path: Path) -> None:
        done = self.run("train", table, "--target", "kinds", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "did you mean 'kind'?" in done.stderr


def test_evaluation_knows_rows_by_their_number_and_finds_the_training_table(
    bundle: Bundle, table: Path, tmp_path: Path
) -> None:
    rows = parts(270).drop(columns="kind").tail(30)
    rows.iloc[20:, 0] = 99.0
    rows.to_csv(tmp_path / "new.csv", index=False)
    labels = "".join(f"{row},{'ok' if row < 20 else 'heavy'}\n" for row in range(30))
    (tmp_path / "labels.csv").write_text("path,label\n" + labels)
    found = evaluate_detection(
        bundle, DetectionRequest(tmp_path / "new.csv"), tmp_path / "labels.csv"
    )
    assert (found.summary["sample_type"], found.summary["num_normal"]) == ("row", 20)
    assert found.summary["auroc"]["value"] == 1
    methods = {row["method"]: row["auroc"]["value"] for row in found.baselines}
    assert methods.keys() == {"nearest-neighbors", "pca", "isolation-forest"}
    assert methods["nearest-neighbors"] == 1
    with pytest.raises(DataError, match="leave out `masks`"):
        evaluate_detection(
            bundle, DetectionRequest(tmp_path / "new.csv"), tmp_path / "labels.csv", masks=tmp_path
        )


def test_what_is_for_images_is_refused_before_rows_are_scored(
    bundle: Bundle, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(*_: object) -> None:
        raise AssertionError("rows were scored")

    monkeypatch.setattr("augan.evaluation.detection.api._score", scored)
    monkeypatch.setattr("augan.evaluation.detection.api.fit_baselines", scored)
    monkeypatch.setattr("augan.detect.recalibration._calibration_scores", scored)
    labels = "".join(f"{row},{'ok' if row < 20 else 'heavy'}\n" for row in range(30))
    (tmp_path / "labels.csv").write_text("path,label\n" + labels)
    with pytest.raises(DataError, match="leave out `detection_limit`"):
        evaluate_detection(
            bundle, DetectionRequest(table), tmp_path / "labels.csv", detection_limit=True
        )
    with pytest.raises(DataError, match=r"parts\.csv is a table; leave out `groups`"):
        recalibrate(bundle, table, tmp_path / "labels.csv")


@pytest.mark.slow
def test_a_classifier_learns_from_synthetic_rows(tmp_path: Path) -> None:
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    test = np.arange(len(y)) % 3 == 0
    path = tmp_path / "cells.csv"
    X[~test].assign(malignant=y[~test] == 0).to_csv(path, index=False)
    config = Config().override(["task=generate", "training.steps=600"])
    bundle = train(config, load_dataset(path, target="malignant"), out=tmp_path / "run")
    generate_folder(bundle, 1000, tmp_path / "made")
    made, _ = synthetic(tmp_path / "made")
    learner = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    learner.fit(made[X.columns], made["malignant"])
    # Real rows teach 0.97, and always the larger class is right for 0.63.
    assert learner.score(X[test], y[test] == 0) > 0.9


@pytest.mark.slow
def test_malignant_cells_are_anomalies_to_a_model_of_benign_ones() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    benign, malignant = X[y == 1], X[y == 0]
    detector = GANDetector(steps=600, random_state=0).fit(benign[:250])
    scores = detector.score_samples(np.concatenate([benign[250:], malignant]))
    truth = np.r_[np.ones(len(benign) - 250), np.zeros(len(malignant))]
    # Five nearest neighbours reach 0.95.
    assert roc_auc_score(truth, scores) > 0.9
