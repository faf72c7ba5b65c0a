"""Contracts of scikit-learn and imbalanced-learn that the two estimators must keep."""

import pickle
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from augan import DetectionRequest, GANDetector, GANOverSampler, detect_folder
from augan.bundle import Bundle, save_bundle
from augan.config import Config
from augan.detect import estimator
from augan.detect.detector import Detector
from augan.exceptions import AuganError, BundleError, ConfigError, DataError
from augan.io.images import write_png
from augan.training import trainer
from augan.training.budget import TrainingBudget
from tests._helpers import with_data

STEPS = 10
CONTAMINATION = 0.1


@pytest.fixture(scope="module")
def ones() -> np.ndarray:
    """Rows [182, 64] of one digit, values 0 to 16."""
    X, y = load_digits(return_X_y=True)
    return X[y == 1]


@pytest.fixture(scope="module")
def deep_ones(ones: np.ndarray) -> np.ndarray:
    """The same as images of more than 8 bits, int64."""
    return (ones * 4095).astype(np.int64).reshape(-1, 8, 8, 1)


@pytest.fixture(scope="module")
def pipeline(ones: np.ndarray) -> Pipeline:
    detector = GANDetector(
        contamination=CONTAMINATION, image_shape=(8, 8), steps=STEPS, random_state=3
    )
    return Pipeline([("scale", MinMaxScaler()), ("detect", detector)]).fit(ones)


@pytest.fixture(scope="module")
def conformal(deep_ones: np.ndarray) -> GANDetector:
    return GANDetector(far=0.05, steps=STEPS, random_state=0).fit(deep_ones)


def refuse_to_train(*args: object, **options: object) -> None:
    raise AssertionError("this should have been refused before any training")


class TestGANDetectorInPipeline:
    def test_scores_and_decisions_agree(self, pipeline: Pipeline, ones: np.ndarray) -> None:
        scores = pipeline.score_samples(ones)
        assert scores.shape == (len(ones),)
        assert scores.dtype == np.float64
        decisions = pipeline.decision_function(ones)
        assert_array_equal(decisions, scores - pipeline[-1].offset_)
        assert_array_equal(pipeline.predict(ones), np.where(decisions >= 0, 1, -1))

    def test_contamination_is_the_flagged_share_of_training_rows(
        self, pipeline: Pipeline, ones: np.ndarray
    ) -> None:
        flagged = (pipeline.predict(ones) == -1).mean()
        assert abs(flagged - CONTAMINATION) <= 1 / len(ones)

    def test_score_does_not_depend_on_other_rows(
        self, pipeline: Pipeline, ones: np.ndarray
    ) -> None:
        together = pipeline.score_samples(ones)
        assert_array_equal(pipeline.score_samples(ones[::-1])[::-1], together)
        assert_array_equal(pipeline.score_samples(ones[70:71]), together[70:71])

    def test_data_frame_and_array_give_equal_scores(
        self, pipeline: Pipeline, ones: np.ndarray
    ) -> None:
        detector, scaled = pipeline[-1], pipeline[0].transform(ones)
        expected = detector.score_samples(scaled)
        assert_array_equal(detector.score_samples(pd.DataFrame(scaled)), expected)
        assert_array_equal(detector.score_samples(scaled.reshape(-1, 8, 8)), expected)
        assert_array_equal(detector.score_samples(scaled.reshape(-1, 8, 8, 1)), expected)
        assert_array_equal(detector.score_samples(scaled.astype(np.float32)), expected)

    def test_pickle_gives_equal_scores(self, pipeline: Pipeline, ones: np.ndarray) -> None:
        again = pickle.loads(pickle.dumps(pipeline))
        assert_array_equal(again.score_samples(ones), pipeline.score_samples(ones))
        assert_array_equal(again.predict(ones), pipeline.predict(ones))

    @pytest.mark.slow
    def test_equal_random_states_give_equal_scores(
        self, pipeline: Pipeline, ones: np.ndarray
    ) -> None:
        np.random.seed(99)  # noqa: NPY002
        again = clone(pipeline).fit(ones)
        assert again[-1].bundle_.sha256 == pipeline[-1].bundle_.sha256
        assert again[-1].offset_ == pipeline[-1].offset_
        assert_array_equal(again.score_samples(ones), pipeline.score_samples(ones))

    def test_fitted_attributes(self, pipeline: Pipeline) -> None:
        detector = pipeline[-1]
        assert detector.n_features_in_ == 64
        assert isinstance(detector.bundle_, Bundle)
        assert detector.bundle_.detector.methods[0].calibration is None  # nothing was held out
        assert detector.contamination == CONTAMINATION

    @pytest.mark.slow
    def test_grid_search(self, ones: np.ndarray) -> None:
        def mean_score(fitted: Pipeline, X: np.ndarray, y: object = None) -> float:
            return float(fitted.score_samples(X).mean())

        detector = GANDetector(image_shape=(8, 8), steps=STEPS, random_state=0)
        steps = Pipeline([("scale", MinMaxScaler()), ("detect", detector)])
        search = GridSearchCV(
            steps, {"detect__steps": [5, 10]}, scoring=mean_score, cv=2, error_score="raise"
        ).fit(ones)
        assert search.best_params_["detect__steps"] in (5, 10)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.predict(ones).shape == (len(ones),)


class TestGANDetectorAtARate:
    def test_threshold_is_conformal(self, conformal: GANDetector, deep_ones: np.ndarray) -> None:
        calibration = conformal.bundle_.detector.methods[0].calibration.scores
        rank = int(0.05 * (len(calibration) + 1))
        assert conformal.offset_ == -np.sort(calibration)[-rank]
        scores = -conformal.score_samples(deep_ones)
        p_values = (1 + (calibration[None] >= scores[:, None]).sum(axis=1)) / (len(calibration) + 1)
        assert_array_equal(conformal.predict(deep_ones) == -1, p_values <= 0.05)

    def test_saved_bundle_gives_equal_scores(
        self, conformal: GANDetector, deep_ones: np.ndarray, tmp_path: Path
    ) -> None:
        bundle = replace(conformal.bundle_)
        save_bundle(bundle, tmp_path / "bundle.augan")
        for row, image in enumerate(deep_ones[:5]):
            (tmp_path / "images").mkdir(exist_ok=True)
            write_png(tmp_path / "images" / f"{row}.png", image.astype(np.uint16))
        detect_folder(bundle, DetectionRequest(tmp_path / "images", far=0.05), tmp_path / "out")
        table = pd.read_csv(tmp_path / "out" / "scores.csv", dtype=str)
        scores = table["score"].map(float).to_numpy()
        assert_array_equal(scores, -conformal.score_samples(deep_ones[:5]))
        assert_array_equal(table["anomaly"] == "1", conformal.predict(deep_ones[:5]) == -1)

    def test_recalibration_of_a_bundle_equals_the_saved_bundle(
        self, conformal: GANDetector, deep_ones: np.ndarray
    ) -> None:
        again = GANDetector(bundle=conformal.bundle_, far=0.1).fit(deep_ones[:40])
        assert again.bundle_.config.detect.far == 0.1
        assert again.bundle_.detector.calibrated_on.num_samples == 40
        assert again.bundle_.path is None  # not saved
        with pytest.raises(ConfigError, match=r"trim_fraction=0\.1 was given with a bundle"):
            GANDetector(bundle=conformal.bundle_, trim_fraction=0.1).fit(deep_ones[:40])

    def test_pixel_type_of_integers_is_that_of_fit(
        self, conformal: GANDetector, deep_ones: np.ndarray
    ) -> None:
        # A dark image alone would count as an 8-bit image.
        dark = deep_ones[:1] // 300
        assert dark.max() <= 255
        together = conformal.score_samples(np.concatenate([dark, deep_ones[1:2]]))
        with pytest.warns(UserWarning, match="the pixels reach from"):
            alone = conformal.score_samples(dark)
        assert_array_equal(alone, together[:1])
        with pytest.warns(UserWarning, match="the pixels reach from") as caught:
            conformal.predict(dark)
        assert [warning.filename for warning in caught] == [__file__]

    def test_integers_in_a_data_frame_keep_their_column_names(self, ones: np.ndarray) -> None:
        frame = pd.DataFrame(ones.astype(np.int64)).add_prefix("pixel")
        detector = GANDetector(image_shape=(8, 8), steps=STEPS, random_state=0).fit(frame)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            detector.predict(frame[:3])
        with pytest.raises(ValueError, match="feature names"):
            detector.predict(frame[frame.columns[::-1]])

    def test_unsupported_rate_is_refused_before_training(
        self, deep_ones: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trainer, "train_stages", refuse_to_train)
        with pytest.raises(ConfigError, match="999"):
            GANDetector(far=0.001, random_state=0).fit(deep_ones)

    def test_iterative_method_scores_some_rows_for_the_offset(
        self, ones: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(estimator, "MAX_ITERATIVE_SAMPLES", 5)
        X = MinMaxScaler().fit_transform(ones[:41])
        detector = GANDetector(method="anogan", steps=2, contamination=0.5, random_state=0).fit(X)
        assert detector.offset_ == np.median(detector.score_samples(X[::10]))

    @pytest.mark.slow
    def test_groups_stay_in_one_split(self, deep_ones: np.ndarray) -> None:
        groups = np.arange(len(deep_ones)) // 2
        detector = GANDetector(far=0.1, steps=STEPS, random_state=0)
        detector.fit(deep_ones, groups=groups)
        calibration = detector.bundle_.detector.methods[0].calibration
        assert 2 * calibration.num_groups == len(calibration.scores)

    @pytest.mark.slow
    @pytest.mark.parametrize(("method", "least"), [("auto", 0.95), ("anogan", 0.8)])
    @pytest.mark.parametrize("seed", range(3))
    def test_points_inside_a_ring_are_anomalous(self, method: str, least: float, seed: int) -> None:
        """A generator can also generate the middle, between two sides of the ring."""
        rng = np.random.default_rng(seed)
        angles = rng.uniform(0, 2 * np.pi, 800)
        ring = np.c_[np.cos(angles), np.sin(angles)] * rng.normal(1, 0.05, (800, 1))
        middle = rng.normal(0, 0.1, (200, 2))
        detector = GANDetector(method=method, random_state=seed).fit(ring[:600])
        normal = detector.score_samples(np.r_[ring[600:], middle])
        assert roc_auc_score(np.repeat([1, 0], 200), normal) > least


def test_config_sets_the_training(ones: np.ndarray) -> None:
    config = Config().replace(generator__width=4, training__steps=2, training__dtype="bfloat16")
    detector = GANDetector(image_shape=(8, 8), far=0.1, config=config, random_state=5).fit(ones)
    used = detector.bundle_.config
    assert (used.seed, used.task, used.detect.far) == (5, "detect", 0.1)
    assert (used.generator.width, used.training.dtype) == (4, "bfloat16")
    assert detector.bundle_.networks["generator"].spec.arguments["width"] == 4
    assert used.training.steps == 2
    longer = clone(detector).set_params(steps=3).fit(ones)
    assert longer.bundle_.config.training.steps == 3


class TestGANDetectorRefuses:
    @pytest.fixture(autouse=True)
    def no_training(self, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
        for name in ("pipeline", "conformal"):
            request.getfixturevalue(name)  # these fixtures train
        monkeypatch.setattr(trainer, "train_stages", refuse_to_train)

    def test_scoring_before_fitting(self, ones: np.ndarray) -> None:
        for method in ("score_samples", "decision_function", "predict"):
            with pytest.raises(NotFittedError):
                getattr(GANDetector(image_shape=(8, 8)), method)(ones)

    @pytest.mark.parametrize("shape", [(8, 9), (8, 8, 3), (64,), (8, 8, 1, 1)])
    def test_rows_of_another_shape(self, ones: np.ndarray, shape: tuple[int, ...]) -> None:
        with pytest.raises(DataError, match=r"\[|image_shape"):
            GANDetector(image_shape=shape).fit(ones)

    @pytest.mark.parametrize(
        ("given", "shape"),
        [((8, 8), "[8, 8, 1, 1]"), ((3, 8, 8, 3), "[3, 8, 8, 3]"), ((3, 4, 4), "[3, 4, 4, 1]")],
    )
    def test_images_of_another_shape_than_in_fit(
        self, pipeline: Pipeline, given: tuple[int, ...], shape: str
    ) -> None:
        images = np.zeros(given if len(given) > 2 else (*given, 1))
        with pytest.raises(DataError, match=re.escape(shape)) as caught:
            pipeline[-1].predict(images)
        assert ("X[None]" in str(caught.value)) is (given == (8, 8))

    def test_too_few_samples(self, ones: np.ndarray) -> None:
        with pytest.raises(DataError, match="got 3 images; at least 4 are needed"):
            GANDetector(image_shape=(8, 8)).fit(ones[:3])

    @pytest.mark.parametrize(
        ("given", "X", "said"),
        [
            ({"image_shape": 64}, np.zeros((9, 64)), "image_shape must be"),
            ({"image_shape": "8x8"}, np.zeros((9, 64)), "image_shape must be"),
            ({"image_shape": (8, 8), "random_state": "a"}, np.zeros((9, 64)), "random_state"),
            ({"image_shape": (8, 8)}, "photos", "got 'photos' in place of images"),
            ({"image_shape": (8, 8)}, None, "got None in place of images"),
        ],
    )
    def test_invalid_arguments(self, given: dict[str, object], X: object, said: str) -> None:
        with pytest.raises(AuganError, match=said):
            GANDetector(**given).fit(X)

    def test_rows_of_another_length_than_in_training(
        self, pipeline: Pipeline, ones: np.ndarray
    ) -> None:
        with pytest.raises(ValueError, match="63"):
            pipeline[-1].score_samples(ones[:, :63])

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_non_finite_values(self, pipeline: Pipeline, ones: np.ndarray, value: float) -> None:
        broken = ones.copy()
        broken[5, 7] = value
        with pytest.raises(ValueError, match="NaN or infinite"):
            GANDetector(image_shape=(8, 8)).fit(broken)
        with pytest.raises(ValueError, match="NaN or infinite"):
            pipeline[-1].score_samples(broken)

    def test_no_rows(self, pipeline: Pipeline, ones: np.ndarray) -> None:
        with pytest.raises(ValueError, match="no image"):
            GANDetector(image_shape=(8, 8)).fit(ones[:0])
        with pytest.raises(ValueError, match="no image"):
            pipeline[-1].score_samples(ones[:0])

    @pytest.mark.parametrize("contamination", [0, 0.0, 0.6, -0.1, 1, "half", None, float("nan")])
    def test_an_impossible_contamination(self, ones: np.ndarray, contamination: object) -> None:
        with pytest.raises(ConfigError, match="contamination"):
            GANDetector(image_shape=(8, 8), contamination=contamination).fit(ones)  # type: ignore[arg-type]

    @pytest.mark.parametrize("far", [0.0, 1.0, -1.0, "low"])
    def test_an_impossible_rate(self, ones: np.ndarray, far: float) -> None:
        with pytest.raises(ConfigError, match="far"):
            GANDetector(image_shape=(8, 8), far=far).fit(ones)

    @pytest.mark.parametrize("steps", [0, -5, 1.5])
    def test_impossible_steps(self, ones: np.ndarray, steps: int) -> None:
        with pytest.raises(ConfigError, match="steps"):
            GANDetector(image_shape=(8, 8), steps=steps).fit(ones)

    def test_config_of_another_type(self, ones: np.ndarray) -> None:
        with pytest.raises(ConfigError, match="dict"):
            GANDetector(image_shape=(8, 8), config={"steps": 3}).fit(ones)  # type: ignore[arg-type]


class TestParameters:
    def test_detector_stores_its_arguments_unchanged(self) -> None:
        shape = [8, 8]
        state = np.random.RandomState(0)
        given = {
            "method": "unchecked",
            "far": "unchecked",
            "contamination": 7,
            "trim_fraction": "unchecked",
            "bundle": "unchecked",
            "image_shape": shape,
            "steps": -1,
            "config": "unchecked",
            "random_state": state,
            "verbose": "unchecked",
        }
        detector = GANDetector(**given)  # type: ignore[arg-type]
        assert detector.get_params() == given
        assert detector.image_shape is shape
        assert detector.random_state is state

    @pytest.mark.parametrize("estimator_class", [GANDetector, GANOverSampler])
    def test_clone_and_set_params(self, estimator_class: type) -> None:
        made = estimator_class(image_shape=(8, 8), steps=7, random_state=1)
        copy = clone(made)
        assert copy is not made
        assert copy.get_params() == made.get_params()
        assert copy.set_params(steps=9).get_params()["steps"] == 9
        assert made.steps == 7


@pytest.fixture(scope="module")
def rare_ones() -> tuple[np.ndarray, np.ndarray]:
    """178 zeros and 20 ones of scikit-learn's digits."""
    X, y = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:20]])
    rows = np.random.default_rng(0).permutation(rows)
    return X[rows], y[rows]


@pytest.fixture(scope="module")
def trained(
    rare_ones: tuple[np.ndarray, np.ndarray],
) -> tuple[pd.DataFrame, pd.Series, GANOverSampler]:
    """A sampler that was given tables and text labels, with what it returned."""
    X = pd.DataFrame(rare_ones[0], columns=[f"pixel {i}" for i in range(64)])
    y = pd.Series(rare_ones[1]).map({0: "zero", 1: "one"}).rename("digit")
    sampler = GANOverSampler(image_shape=(8, 8), steps=STEPS, random_state=0)
    X_new, y_new = sampler.fit_resample(X, y)
    return X_new, y_new, sampler


@pytest.fixture(scope="module")
def numbered(trained: tuple[pd.DataFrame, pd.Series, GANOverSampler]) -> Bundle:
    """The same networks for the classes 0 and 1 (alphabetically, "one" came first)."""
    bundle = trained[2].bundle_
    return with_data(bundle, class_names=["1", "0"])


class TestGANOverSampler:
    def test_fit_resample_accepts_tables_and_text_labels(
        self,
        trained: tuple[pd.DataFrame, pd.Series, GANOverSampler],
        rare_ones: tuple[np.ndarray, np.ndarray],
    ) -> None:
        X_new, y_new, sampler = trained
        assert isinstance(X_new, pd.DataFrame)
        assert list(X_new.columns) == [f"pixel {i}" for i in range(64)]
        assert isinstance(y_new, pd.Series)
        assert y_new.name == "digit"
        assert y_new.value_counts().to_dict() == {"zero": 178, "one": 178}
        assert sampler.sampling_strategy_ == {"one": 158}
        assert_array_equal(X_new.to_numpy()[:198], rare_ones[0])
        assert_array_equal(y_new[:198], np.where(rare_ones[1] == 0, "zero", "one"))
        assert (y_new[198:] == "one").all()

    @pytest.mark.parametrize(
        "columns",
        [range(4), pd.MultiIndex.from_product([["a", "b"], [0, 1]])],
        ids=["int", "multi"],
    )
    def test_fit_resample_keeps_column_names_that_are_no_text(self, columns: object) -> None:
        rng = np.random.default_rng(0)
        X = pd.DataFrame(rng.integers(0, 9, (40, 4)), columns=pd.Index(columns))
        y = np.arange(40) < 30
        X_new, y_new = GANOverSampler(steps=5, random_state=0).fit_resample(X, y)
        assert X_new.columns.equals(X.columns)
        assert X_new.dtypes.equals(X.dtypes)
        assert X_new[:40].equals(X)
        assert len(X_new) == len(y_new) == 60

    def test_fit_resample_of_balanced_classes_trains_nothing(self) -> None:
        X, y = np.zeros((8, 8, 8, 1), np.uint8), np.arange(8) % 2
        sampler = GANOverSampler(random_state=0)
        assert_array_equal(sampler.fit_resample(X, y)[0], X)
        assert sampler.bundle_ is None

    def test_interpolation_refuses_a_class_of_one_sample(self) -> None:
        X, y = np.zeros((8, 8, 8, 1), np.uint8), np.arange(8) == 3
        with pytest.raises(DataError, match="class 'True' has 1 sample, but method='interpolate'"):
            GANOverSampler(method="interpolate", random_state=0).fit_resample(X, y)

    def test_new_rows_are_distinct_and_in_range(
        self, trained: tuple[pd.DataFrame, pd.Series, GANOverSampler]
    ) -> None:
        rows = trained[0].to_numpy()
        made = rows[198:]
        assert len({row.tobytes() for row in made}) == 158
        assert made.min() >= 0
        assert made.max() <= 16
        assert not {row.tobytes() for row in made} & {row.tobytes() for row in rows[:198]}

    @pytest.mark.parametrize(
        ("strategy", "made"),
        [
            ("auto", 158),
            ("minority", 158),
            (0.5, 69),
            ({1: 33}, 13),
            ({0: 178, 1: 20}, 0),
            (lambda y: {1: 25}, 5),
        ],
    )
    def test_sampling_strategies(
        self,
        numbered: Bundle,
        rare_ones: tuple[np.ndarray, np.ndarray],
        strategy: object,
        made: int,
    ) -> None:
        X, y = rare_ones
        before = X.copy(), y.copy()
        sampler = GANOverSampler(
            sampling_strategy=strategy, bundle=numbered, image_shape=(8, 8), random_state=0
        )
        X_new, y_new = sampler.fit_resample(X, y)
        assert_array_equal(X, before[0])
        assert_array_equal(y, before[1])
        assert_array_equal(X_new[:198], X)
        assert_array_equal(y_new, np.concatenate([y, np.ones(made, int)]))
        assert X_new.shape == (198 + made, 64)
        assert X_new.dtype == X.dtype
        assert y_new.dtype == y.dtype

    def test_images_keep_their_shape(
        self, numbered: Bundle, rare_ones: tuple[np.ndarray, np.ndarray]
    ) -> None:
        X, y = rare_ones
        rows, _ = GANOverSampler(bundle=numbered, image_shape=(8, 8), random_state=0).fit_resample(
            X, y
        )
        for shape in ((8, 8), (8, 8, 1)):
            sampler = GANOverSampler(bundle=numbered, random_state=0)
            images, labels = sampler.fit_resample(X.reshape(-1, *shape), y)
            assert images.shape == (356, *shape)
            assert_array_equal(images.reshape(356, 64), rows)
            assert labels.sum() == 178

    def test_seeds(self, numbered: Bundle, rare_ones: tuple[np.ndarray, np.ndarray]) -> None:
        def resample(seed: int) -> np.ndarray:
            sampler = GANOverSampler(bundle=numbered, image_shape=(8, 8), random_state=seed)
            return sampler.fit_resample(*rare_ones)[0]

        assert_array_equal(resample(1), resample(1))
        assert not (resample(1)[198:] == resample(2)[198:]).all(axis=1).any()

    def test_bundle_may_be_a_path(
        self, numbered: Bundle, rare_ones: tuple[np.ndarray, np.ndarray], tmp_path: Path
    ) -> None:
        file = save_bundle(replace(numbered), tmp_path / "bundle.augan")
        results = [
            GANOverSampler(bundle=bundle, image_shape=(8, 8), random_state=0).fit_resample(
                *rare_ones
            )[0]
            for bundle in (numbered, file, str(tmp_path))
        ]
        assert_array_equal(results[1], results[0])
        assert_array_equal(results[2], results[0])

    def test_labels_unknown_to_the_bundle_are_refused(
        self, numbered: Bundle, rare_ones: tuple[np.ndarray, np.ndarray]
    ) -> None:
        # "1" is the number of the class "nine", but a label is a name: 1 is not nine.
        other = with_data(numbered, class_names=["four", "nine"])
        with pytest.raises(DataError, match="four, nine"):
            GANOverSampler(bundle=other, image_shape=(8, 8)).fit_resample(*rare_ones)

    def test_images_of_another_type_than_the_bundle_are_refused(
        self, digits_bundle: Bundle, rare_ones: tuple[np.ndarray, np.ndarray]
    ) -> None:
        # A model of 0 to 255 must not mix its images under rows of 0 to 16.
        with pytest.raises(DataError, match="uint8"):
            GANOverSampler(bundle=digits_bundle, image_shape=(8, 8)).fit_resample(*rare_ones)

    def test_images_of_another_size_are_refused(
        self, numbered: Bundle, rare_ones: tuple[np.ndarray, np.ndarray]
    ) -> None:
        wide = np.repeat(rare_ones[0].reshape(-1, 8, 8), 2, axis=2)
        with pytest.raises(DataError, match="one size"):
            GANOverSampler(bundle=numbered).fit_resample(wide, rare_ones[1])

    def test_inconsistent_numbers_of_images_and_labels_are_refused(
        self, numbered: Bundle, rare_ones: tuple[np.ndarray, np.ndarray]
    ) -> None:
        X, y = rare_ones
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            GANOverSampler(bundle=numbered).fit_resample(X.reshape(-1, 8, 8), y[:-1])

    def test_labels_may_be_one_hot(
        self, numbered: Bundle, rare_ones: tuple[np.ndarray, np.ndarray]
    ) -> None:
        X, y = rare_ones
        sampler = GANOverSampler(bundle=numbered, random_state=0)
        images, labels = sampler.fit_resample(X.reshape(-1, 8, 8), np.eye(2, dtype=int)[y])
        assert len(labels) == len(images) > len(X)

    def test_a_bundle_without_classes_is_refused(
        self, pipeline: Pipeline, rare_ones: tuple[np.ndarray, np.ndarray]
    ) -> None:
        sampler = GANOverSampler(bundle=pipeline[-1].bundle_, image_shape=(8, 8))
        with pytest.raises(BundleError, match="classes"):
            sampler.fit_resample(*rare_ones)

    def test_bundle_of_images_refuses_a_table(
        self, numbered: Bundle, rare_ones: tuple[np.ndarray, np.ndarray]
    ) -> None:
        with pytest.raises(DataError, match="got a table, but the model is one of images"):
            GANOverSampler(bundle=numbered).fit_resample(*rare_ones)

    def test_images_of_another_type_than_the_model_are_refused(
        self, numbered: Bundle, rare_ones: tuple[np.ndarray, np.ndarray]
    ) -> None:
        X, y = rare_ones
        sampler = GANOverSampler(bundle=numbered, image_shape=(8, 8))
        with pytest.raises(DataError, match=r"generates float32 images, but those .* are uint8"):
            sampler.fit_resample(X.astype(np.uint8), y)
        deep = GANOverSampler(image_shape=(8, 8), unlabeled=X.astype(np.uint16), random_state=0)
        with pytest.raises(DataError, match=r"uint16, but those to over-sample are .* uint8"):
            deep.fit_resample(X.astype(np.uint8), y)

    def test_boolean_images_stay_boolean(self, rare_ones: tuple[np.ndarray, np.ndarray]) -> None:
        X, y = rare_ones
        images = X.reshape(-1, 8, 8) > 8
        sampler = GANOverSampler(steps=STEPS, random_state=0)
        made = sampler.fit_resample(images, y)[0][len(y) :]
        assert made.dtype == np.bool_
        # A gray pixel counts as the nearer one, so there is about as much white as in the ones.
        assert abs(made.mean() - images[y == 1].mean()) < 0.15

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", [bool, np.float64, np.int32])
    def test_labels_of_other_types(
        self, rare_ones: tuple[np.ndarray, np.ndarray], kind: type
    ) -> None:
        X, y = rare_ones
        sampler = GANOverSampler(image_shape=(8, 8), steps=2, random_state=0)
        X_new, y_new = sampler.fit_resample(X, y.astype(kind))
        assert y_new.dtype == np.dtype(kind)
        assert_array_equal(y_new, np.concatenate([y, np.ones(158, int)]).astype(kind))
        assert len(X_new) == 356

    @pytest.mark.slow
    def test_cross_validation_in_a_pipeline(self, rare_ones: tuple[np.ndarray, np.ndarray]) -> None:
        pipeline = make_sampling_pipeline(
            GANOverSampler(image_shape=(8, 8), steps=STEPS, random_state=0),
            KNeighborsClassifier(1),
        )
        scores = cross_val_score(
            pipeline, *rare_ones, cv=2, scoring="balanced_accuracy", error_score="raise"
        )
        assert scores.shape == (2,)
        assert (scores > 0.9).all()


class Planned(Exception):
    """Carries the settings and the budget of the training."""


def detect_digits(config: Config, X: np.ndarray, y: np.ndarray) -> None:
    GANDetector(image_shape=(8, 8), config=config, random_state=0).fit(X)


def sample_digits(config: Config, X: np.ndarray, y: np.ndarray) -> None:
    sampler = GANOverSampler(image_shape=(8, 8), config=config, random_state=0)
    sampler.fit_resample(X, y)


@pytest.mark.parametrize("fit", [detect_digits, sample_digits])
@pytest.mark.parametrize(
    ("settings", "steps", "minutes"),
    [
        (["training.max_minutes=5"], None, 5),
        (["training.max_minutes=5", "training.steps=7"], 7, 5),
        (["training.steps=7"], 7, None),
        ([], 2000, None),
    ],
)
def test_requested_minutes_limit_the_training(
    fit: Callable[[Config, np.ndarray, np.ndarray], None],
    settings: list[str],
    steps: int | None,
    minutes: float | None,
    rare_ones: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plan_only(
        config: Config,
        data: object,
        stages: tuple[str, ...],
        budget: TrainingBudget,
        session: object,
    ) -> None:
        raise Planned(config, budget)

    monkeypatch.setattr(trainer, "train_stages", plan_only)
    with pytest.raises(Planned) as caught:
        fit(Config(task="generate").override(settings), *rare_ones)
    config, budget = caught.value.args
    if steps == 2000 and fit is detect_digits:
        steps = 1000  # a discriminator alone needs fewer steps
    assert (config.training.max_minutes, config.training.steps, budget.steps) == (
        minutes,
        steps,
        steps,
    )
    if minutes is None:
        assert budget.deadline is None
    else:
        assert 0.9 * 60 * minutes < budget.deadline - time.monotonic() < 60 * minutes


def test_estimator_and_detector_agree(conformal: GANDetector, deep_ones: np.ndarray) -> None:
    detector = Detector.from_bundle(conformal.bundle_)
    squares = detector.preprocessing.prepare_all(deep_ones.astype(np.uint16))
    assert_array_equal(conformal.score_samples(deep_ones), -detector.score(squares))
