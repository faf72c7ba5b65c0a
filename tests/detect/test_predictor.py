"""Tests of `load_detector(...).predict`: samples in memory, equal to `augan detect` on files."""

import copy
import io
import pickle
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from augan import (
    Config,
    DetectionRequest,
    GANDetector,
    detect_folder,
    from_arrays,
    load_dataset,
    load_detector,
    recalibrate,
    train,
)
from augan.bundle import Bundle
from augan.data.datasets import digits
from augan.detect import prediction as prediction_module
from augan.detect import predictor as predictor_module
from augan.detect.conformal.calibration import Calibration
from augan.detect.detector import Detector
from augan.detect.prediction import Prediction
from augan.detect.predictor import Predictor
from augan.exceptions import BundleError, ConfigError, DataError
from augan.io.images import write_png
from augan.io.layout import SCORES_FILE
from tests._helpers import write_images

# Between batches of 1, 8 and 64 samples, in standard deviations of the calibration scores.
ROUNDING = 1e-3


@pytest.fixture(scope="module")
def predictor(digits_bundle: Bundle) -> Predictor:
    assert digits_bundle.path is not None
    return load_detector(digits_bundle.path)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.asarray(digits("test").images)[:70]


@pytest.fixture(scope="module")
def folder(pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", pixels)


@pytest.fixture(scope="module")
def prediction(predictor: Predictor, pixels: np.ndarray) -> Prediction:
    return predictor.predict(pixels, far=0.2)


def spread(predictor: Predictor) -> float:
    return float(predictor.calibration.scores.std())


def encoded(image: np.ndarray, format: str = "png") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image[..., 0]).save(stream, format)
    return stream.getvalue()


class Wrapped:
    """An array of another library."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values


ONE: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "path": lambda image, folder: folder / "000.png",
    "text": lambda image, folder: str(folder / "000.png"),
    "bytes": lambda image, folder: encoded(image),
    "open file": lambda image, folder: io.BytesIO(encoded(image)),
    "array of texts": lambda image, folder: np.array([str(folder / "000.png")]),
    "bytearray": lambda image, folder: bytearray(encoded(image)),
    "PIL image": lambda image, folder: Image.fromarray(image[..., 0]),
    "open PIL image": lambda image, folder: Image.open(folder / "000.png"),
    "[H, W]": lambda image, folder: image[..., 0],
    "[H, W, C]": lambda image, folder: image,
    "[N, H, W, C]": lambda image, folder: image[None],
    "int64": lambda image, folder: image.astype(np.int64),
    "other library": lambda image, folder: Wrapped(image),
    "list": lambda image, folder: [image],
    "tuple of bytes": lambda image, folder: (encoded(image),),
    "iterator": lambda image, folder: iter([image]),
    "generator of paths": lambda image, folder: (folder / f"{i:03d}.png" for i in range(1)),
    "array of objects": lambda image, folder: np.array([encoded(image)], object),
    "images of a dataset": lambda image, folder: from_arrays(image[None]).images,
}


PATHS = ("path", "text", "generator of paths", "array of texts")


@pytest.mark.parametrize("kind", ONE)
def test_one_image_of_any_kind(
    kind: str, predictor: Predictor, pixels: np.ndarray, folder: Path, prediction: Prediction
) -> None:
    result = predictor.predict(ONE[kind](pixels[0], folder), far=0.2)
    assert len(result) == len(result.names) == 1
    assert result.scores.shape == result.p_values.shape == result.decisions.shape == (1,)
    assert result.scores[0] == pytest.approx(prediction.scores[0], abs=ROUNDING * spread(predictor))
    np.testing.assert_allclose(
        result.components[0], prediction.components[0], atol=ROUNDING * spread(predictor)
    )
    assert result.maps is not None
    assert result.maps[0].shape == (8, 8)
    name = str(folder / "000.png") if kind in PATHS else "0"
    assert result.names == [name]


MANY: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "array": lambda pixels, folder: pixels,
    "[N, H, W]": lambda pixels, folder: pixels[..., 0],
    "folder": lambda pixels, folder: folder,
    "mixed list": lambda pixels, folder: [
        folder / "000.png",
        encoded(pixels[1]),
        Image.fromarray(pixels[2][..., 0]),
        *pixels[3:],
    ],
    "generator": lambda pixels, folder: (encoded(image, "bmp") for image in pixels),
}


@pytest.mark.parametrize("kind", MANY)
def test_many_images_score_as_the_command_writes(
    kind: str, digits_bundle: Bundle, predictor: Predictor, pixels: np.ndarray, folder: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    detect_folder(digits_bundle, DetectionRequest(folder, far=0.2), tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / SCORES_FILE)
    given = MANY[kind](pixels, folder)
    result = predictor.predict(given, far=0.2)
    np.testing.assert_array_equal(result.scores, table["score"])
    np.testing.assert_array_equal(result.p_values, table["p_value"])
    np.testing.assert_array_equal(result.decisions, table["anomaly"] == 1)
    own = result.to_frame()
    assert list(own) == list(table)
    for name in result.component_names:
        np.testing.assert_array_equal(own[name], table[name])
    np.testing.assert_allclose(result.components.sum(axis=1), result.scores, rtol=1e-12)
    if kind == "folder":
        assert result.names == list(table["path"])
    exact = predictor.score(MANY[kind](pixels, folder))
    np.testing.assert_array_equal(exact, table["score"])


def test_a_last_small_chunk_scores_as_the_command_writes(
    predictor: Predictor, pixels: np.ndarray
) -> None:
    many = pixels[np.arange(520) % 70]
    result = predictor.predict(iter(many), maps=False)
    np.testing.assert_array_equal(result.scores, predictor.score(many))


def test_decisions_follow_from_the_rate(
    predictor: Predictor, pixels: np.ndarray, prediction: Prediction
) -> None:
    calibration = predictor.calibration
    np.testing.assert_array_equal(prediction.p_values, calibration.p_values(prediction.scores))
    np.testing.assert_array_equal(prediction.decisions, prediction.p_values <= 0.2)
    assert prediction.threshold == calibration.threshold(0.2)
    assert prediction.guarantee == calibration.guarantee(0.2)
    default = predictor.predict(pixels)
    assert default.guarantee == calibration.guarantee(0.05)
    found = predictor.predict(pixels, fdr=0.5)
    assert (found.guarantee.fdr, found.guarantee.num_scored) == (0.5, 70)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="both a false-alarm rate"):
        predictor.predict(pixels, 0.1, fdr=0.1)
    with pytest.raises(ConfigError, match="99"):
        predictor.predict(pixels, 0.001)


def test_maps_have_the_size_of_their_images(predictor: Predictor, pixels: np.ndarray) -> None:
    wide, large = pixels[0][2:6], pixels[1].repeat(2, axis=0).repeat(2, axis=1)
    result = predictor.predict([wide, large, pixels[2]])
    assert result.maps is not None
    assert [one.shape for one in result.maps] == [(4, 8), (16, 16), (8, 8)]
    assert {one.dtype for one in result.maps} == {np.dtype(np.float32)}
    preprocessing = predictor.detector.preprocessing
    raw = predictor.detector.maps(preprocessing.prepare_samples([wide, large]))
    np.testing.assert_allclose(result.maps[0], raw[0, 2:6, :, 0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(result.maps[1][0, 0], raw[1, 0, 0, 0], rtol=1e-3)
    assert result.map_threshold is not None
    significant = result.calibrated_map(1) > 0
    np.testing.assert_array_equal(significant, result.maps[1] > result.map_threshold)
    (warning,) = result.warnings
    assert warning.startswith("2 of 3 images do not have the expected size, 8 x 8 pixels")
    without = predictor.predict(pixels[:2], maps=False)
    assert without.maps is None
    with pytest.raises(DataError, match="maps=True"):
        without.calibrated_map(0)


def test_map_files_are_the_calibrated_maps(
    digits_bundle: Bundle, predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    request = DetectionRequest(folder, far=0.2, save_maps=True)
    detect_folder(digits_bundle, request, tmp_path / "out")
    result = predictor.predict(folder, far=0.2)
    for row in range(3):
        with Image.open(tmp_path / "out" / "maps" / f"{result.names[row]}.png") as file:
            expected = np.asarray(file)
        np.testing.assert_array_equal(np.rint(result.calibrated_map(row) * 1000), expected)


def test_the_mask_of_the_bundle_applies(
    digits_bundle: Bundle, folder: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    mask = np.zeros((8, 8, 1), np.uint8)
    mask[:3, :3] = 255
    write_png(tmp_path / "mask.png", mask)
    masked = load_detector(recalibrate(digits_bundle, folder, ignore_mask=tmp_path / "mask.png"))
    changed = pixels[:1].copy()
    changed[0, :2, :2] = 255
    first, second = masked.predict(pixels[:1]), masked.predict(changed)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert first.maps is not None
    assert not first.maps[0][:3, :3].any()
    with pytest.raises(DataError, match="ignore mask has 8 x 8 pixels"):
        masked.predict(pixels[0, :4])


def test_preprocessing_is_that_of_files(predictor: Predictor, tmp_path: Path) -> None:
    """Orientation, transparency, palette: as an array of what the file shows."""
    upright = np.asarray(digits("test").images)[3][..., 0]
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a turn to the right
    turned = Image.fromarray(np.rot90(upright).copy())
    turned.save(tmp_path / "turned.png", exif=exif)
    white = np.dstack([np.full((8, 8, 3), 9, np.uint8), np.zeros((8, 8), np.uint8)])
    with Image.open(tmp_path / "turned.png") as opened:
        expected = predictor.score(upright)
        np.testing.assert_array_equal(predictor.score(opened), expected)
        np.testing.assert_array_equal(predictor.score(tmp_path / "turned.png"), expected)
        content = (tmp_path / "turned.png").read_bytes()
        np.testing.assert_array_equal(predictor.score(content), expected)
    with pytest.raises(DataError, match=r"channel count \(3\)"):
        predictor.score(white)  # composited on white, it is color, and the model is gray
    flat = Image.fromarray(upright).convert("P")
    with pytest.raises(DataError, match="channel"):
        predictor.score(flat)
    layered = Image.fromarray(np.dstack([upright, np.full((8, 8), 255, np.uint8)]), "LA")
    np.testing.assert_array_equal(predictor.score(layered), expected)


WRONG: list[tuple[Any, str]] = [
    (5, "got an int in place of images"),
    (None, "got None in place of images"),
    (object(), "got an object in place of images"),
    ({"image": 1}, "got a dict, but the model is one of images"),
    ({1, 2}, "got a set, but the model is one of images"),
    (pd.DataFrame({"a": [1.0]}), "got a table, but the model is one of images"),
    ([], "the list of images is empty"),
    (iter([]), "the iterator of images is empty"),
    ([1, 2], "image 0 is an int"),
    ([np.zeros((8, 8), np.uint8), None], "image 1 is None"),
    ([np.zeros((3, 8, 8), np.uint8)], r"image 0 is an array \[3, 8, 8\].*transpose\(1, 2, 0\)"),
    ([np.zeros((1, 8, 8, 1), np.uint8)], r"image 0 is an array \[1, 8, 8, 1\]"),
    (np.zeros(7, np.uint8), r"the array is \[7\]"),
    (np.zeros((2, 3, 8, 8), np.uint8), r"transpose\(0, 2, 3, 1\)"),
    (np.zeros((0, 8, 8, 1), np.uint8), "the array holds no image"),
    (np.zeros((8, 8), complex), "the array is complex128"),
    (np.array([["a"]]), "the array is <U1"),
    (np.full((8, 8), np.nan, np.float32), "NaN"),
    (np.zeros((8, 9, 2), np.uint8), "2 channels; give 1, 3 or 4"),
    (np.ma.masked_equal(np.eye(8, dtype=np.uint8), 1), "fill or remove masked values"),
    (["no/such.png"], "image no/such.png cannot be used: .*no such file"),
    (np.full((8, 8), 0.5), "float64, but the model takes uint8; multiply by 255"),
    (np.full((8, 8), 300), "int64 with a maximum of 300, but the model takes uint8"),
    ([[[0, 1], [2, 3]]], "image 0 is a list.*numpy.asarray"),
    (io.StringIO("x"), "open it in the mode"),
    ("", "empty path"),
    ([""], "empty path"),
    ([tempfile.gettempdir()], "is a folder; give it alone"),
    ("~/no-such.png", r"expanduser\(\)"),
    ("no-such/*.png", "glob.glob"),
    ("http://localhost/a.png", "is an address"),
    (np.zeros((8, 8, 3), np.uint8), r"channel count \(3\)"),
    ("no/such.png", "there is no such file"),
    ("rows.csv", "rows.csv is a table, but the model was trained on images"),
    (b"no image", "not a PNG, JPEG"),
    (b"", r"empty \(0 bytes\)"),
    (Image.new("F", (8, 8)), "floating-point numbers"),
]


@pytest.mark.parametrize(("value", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_wrong_types_are_refused_before_anything_is_scored(
    value: Any, message: str, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the networks were called")

    monkeypatch.setattr(Detector, "score_components", fail)
    monkeypatch.setattr(Detector, "score_and_maps", fail)
    with pytest.raises(DataError, match=message):
        predictor.predict(value)


def test_a_wrong_item_of_a_long_list_is_refused_before_the_first_is_scored(
    predictor: Predictor, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Detector, "score_and_maps")
    with pytest.raises(DataError, match="image 600 is a float"):
        predictor.predict([*pixels[np.arange(600) % 70], 1.0])


def test_models_that_cannot_be_used_are_refused_without_tensorflow(
    digits_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.delattr(Detector, "from_bundle")
    with pytest.raises(BundleError, match="got int in place of a model"):
        load_detector(5)  # type: ignore[arg-type]
    with pytest.raises(BundleError):
        load_detector(tmp_path)
    with pytest.raises(BundleError, match="no detector 'anogan', only auto, fanogan"):
        load_detector(digits_bundle, "anogan")
    with pytest.raises(BundleError, match="has no anomaly detector"):
        load_detector(replace(digits_bundle, detector=None))


def test_iterators_are_read_in_chunks(
    predictor: Predictor, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, scored = [], []

    def images() -> Iterator[np.ndarray]:
        for row in range(20):
            taken.append(row)
            yield pixels[row]

    original = Predictor.score_batch

    def score_batch(self: Predictor, batch: Any, **options: Any) -> Any:
        scored.append((len(taken), len(batch.names)))
        return original(self, batch, **options)

    monkeypatch.setattr(Predictor, "score_batch", score_batch)
    monkeypatch.setattr(predictor_module, "MAX_CHUNK_BYTES", 8 * pixels[0].nbytes)
    result = predictor.predict(images(), maps=False)
    assert scored == [(8, 8), (16, 8), (20, 4)]
    assert result.names == [str(row) for row in range(20)]
    assert len(result.top_images) == 8  # of the other images, nothing is kept
    assert set(result.top_images) == set(np.argsort(-result.scores, kind="stable")[:8])


def test_results_do_not_follow_later_changes_of_the_array(
    predictor: Predictor, pixels: np.ndarray
) -> None:
    given = pixels[:3].copy()
    result = predictor.predict(given)
    before = result._repr_html_()
    given[:] = 0
    assert result._repr_html_() == before


def test_threads_get_the_results_of_one_thread(
    digits_bundle: Bundle, pixels: np.ndarray, folder: Path
) -> None:
    """Of one predictor that no thread has used before, and of a second one."""
    tasks: list[tuple[str, Any]] = []
    for row in range(24):
        method = ("auto", "fanogan")[row % 2]
        kinds = (pixels[row], encoded(pixels[row]), pixels[: row + 1], folder / "000.png")
        tasks.append((method, kinds[row % 4]))
    serial = {name: load_detector(digits_bundle, name) for name in ("auto", "fanogan")}
    fresh = {name: load_detector(digits_bundle, name) for name in ("auto", "fanogan")}
    expected = [serial[method].predict(images) for method, images in tasks]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda task: fresh[task[0]].predict(task[1]), tasks))
    for one, other in zip(results, expected):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.decisions, other.decisions)
        assert one.maps is not None
        assert other.maps is not None
        for own, expected_map in zip(one.maps, other.maps):
            np.testing.assert_array_equal(own, expected_map)


def restored_by_pickle(predictor: Predictor) -> Predictor:
    restored: Predictor = pickle.loads(pickle.dumps(predictor))
    return restored


@pytest.mark.parametrize("copied", [restored_by_pickle, copy.deepcopy])
def test_copies_give_the_same_results(
    copied: Callable[[Predictor], Predictor], predictor: Predictor, prediction: Prediction,
    pixels: np.ndarray,
) -> None:  # fmt: skip
    predictor.predict(pixels[:1])  # compiled functions cannot be copied
    other = copied(predictor)
    assert other is not predictor
    np.testing.assert_array_equal(other.predict(pixels, far=0.2).scores, prediction.scores)


class TestColor:
    @pytest.fixture(scope="class")
    @staticmethod
    def color(pixels: np.ndarray) -> Predictor:
        images = np.repeat(pixels[:40], 3, axis=-1)
        estimator = GANDetector(steps=2, random_state=0, far=0.3, verbose=0).fit(images)
        return load_detector(estimator.bundle_)

    @pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 8)])
    def test_leading_channels_are_refused(self, shape: Any, color: Predictor) -> None:
        with pytest.raises(DataError, match=r"channels come last: use x.transpose\(1, 2, 0\)"):
            color.predict(np.zeros(shape, np.uint8))

    def test_gray_images_are_scored_with_a_warning(
        self, color: Predictor, pixels: np.ndarray
    ) -> None:
        mixed = [pixels[0], np.repeat(pixels[1], 3, axis=-1)]
        warnings = color.predict(mixed).warnings
        assert any(
            text.startswith("1 of 2 images are gray, for example 0, but") for text in warnings
        )
        assert not any("gray" in text for text in color.predict(mixed[1]).warnings)
        assert len(color.predict(pixels[:4, ..., 0])) == 4


class TestDisplay:
    @pytest.fixture
    def named(self, predictor: Predictor, pixels: np.ndarray, tmp_path: Path) -> Prediction:
        names = ["<script>alert(1)</script>.png", 'a" onload="x.png', "c.png"]
        (tmp_path / "<script>alert(1)<").mkdir()
        folder = write_images(tmp_path, 255 - pixels[:3], names)
        return predictor.predict(folder, far=0.5)

    def test_html_is_self_contained_and_escapes_names(self, named: Prediction) -> None:
        page = named._repr_html_()
        assert "<script" not in page
        assert 'onload="' not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;.png" in page
        assert page.count('src="data:image/') == 6  # the image and its map, of three
        assert page.count("src=") == 6
        assert "http" not in page
        for decision in named.decisions:
            assert ("anomaly</b>" if decision else "normal</b>") in page

    def test_only_some_samples_are_shown(
        self, predictor: Predictor, prediction: Prediction, pixels: np.ndarray
    ) -> None:
        page, text = prediction._repr_html_(), repr(prediction)
        assert page.count("p-value") == 8
        assert "... and 62 with lower scores" in page
        assert len(page) < 200_000
        lines = text.splitlines()
        assert len(lines) == 10
        assert lines[0].startswith(f"<Prediction: {prediction.decisions.sum()} of 70 images")
        worst = int(prediction.scores.argmax())
        assert lines[1].startswith(f"  {worst}: anomaly, score {prediction.scores[worst]:.3g}")
        assert predictor.predict(pixels[:1], maps=False)._repr_html_().count("src=") == 1

    def test_files_that_are_gone_are_shown_without_a_picture(
        self, named: Prediction, tmp_path: Path
    ) -> None:
        (tmp_path / "c.png").unlink()
        page = named._repr_html_()
        assert page.count("src=") == 4
        assert "c.png" in page

    def test_names_that_cannot_be_printed_are_escaped(self, prediction: Prediction) -> None:
        names = ["a\nb\udcff.png"] * len(prediction)
        renamed = replace(prediction, names=names)
        for text in (repr(renamed), renamed._repr_html_()):
            assert r"a\nb\udcff.png" in text
            text.encode()

    def test_large_images_are_shrunk_before_they_are_rendered(
        self, predictor: Predictor, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large = pixels[0].repeat(101, axis=0).repeat(99, axis=1)
        result = predictor.predict(large)
        shapes = []
        original = prediction_module.render_overlay

        def render(image: np.ndarray, raw: np.ndarray, *more: Any) -> np.ndarray:
            shapes.append((image.shape[:2], raw.shape))
            assert result.maps is not None
            assert raw.max() == result.maps[0].max()
            return original(image, raw, *more)

        monkeypatch.setattr(prediction_module, "render_overlay", render)
        assert result._repr_html_().count("src=") == 2
        assert shapes == [((202, 198), (202, 198))]

    def test_maps_are_a_truth_value(self, predictor: Predictor, pixels: np.ndarray) -> None:
        with pytest.raises(ConfigError, match="`maps` must be True or False, but is 'no'"):
            predictor.predict(pixels, maps="no")  # type: ignore[arg-type]

    def test_predictor_says_what_it_is(self, predictor: Predictor) -> None:
        assert repr(predictor).startswith("<Predictor auto of <Bundle of digits")


class TestRows:
    @pytest.fixture(scope="class")
    @staticmethod
    def frame() -> pd.DataFrame:
        rng = np.random.default_rng(0)
        return pd.DataFrame(
            {
                "width": rng.normal(size=200),
                "height": rng.normal(5, 2, 200),
                "kind": np.where(rng.random(200) < 0.5, "a", "b"),
            }
        )

    @pytest.fixture(scope="class")
    @staticmethod
    def bundle(
        frame: pd.DataFrame, tiny_config: Config, tmp_path_factory: pytest.TempPathFactory
    ) -> Bundle:
        folder = tmp_path_factory.mktemp("table")
        frame.to_csv(folder / "train.csv", index=False)
        config = tiny_config.replace(task="detect")
        return train(config, load_dataset(folder / "train.csv"), out=folder / "run", verbose=0)

    @pytest.fixture(scope="class")
    @staticmethod
    def rows(bundle: Bundle) -> Predictor:
        return load_detector(bundle)

    def test_rows_of_any_kind_score_as_the_command_writes(
        self, rows: Predictor, bundle: Bundle, frame: pd.DataFrame, tmp_path: Path
    ) -> None:
        new = frame[:50].sample(frac=1, axis=1, random_state=1)  # columns in another order
        new.assign(extra=1).to_csv(tmp_path / "new.csv", index=False)
        detect_folder(bundle, DetectionRequest(tmp_path / "new.csv", far=0.2), tmp_path / "out")
        table = pd.read_csv(tmp_path / "out" / SCORES_FILE)
        ordered = frame[:50].to_numpy()
        kinds = {
            "table": tmp_path / "new.csv",
            "frame": new.set_index(np.arange(50) + 7),
            "list of series": [row for _, row in new.iterrows()],
            "list of dicts": new.to_dict("records"),
            "iterator of frames": iter([new[:20], new[20:]]),
            "iterator of rows": (row for row in new.to_dict("records")),
        }
        for kind, given in kinds.items():
            result = rows.predict(given, far=0.2)
            np.testing.assert_allclose(result.scores, table["score"], rtol=1e-9, err_msg=kind)
            np.testing.assert_array_equal(result.decisions, table["anomaly"] == 1, err_msg=kind)
            first = 7 if kind == "frame" else 0
            assert result.names == [str(first + row) for row in range(50)], kind
            assert list(result.to_frame().index) == list(range(first, first + 50)), kind
            assert result.maps is None
        assert ordered.shape == (50, 3)
        (warning,) = rows.predict(tmp_path / "new.csv").warnings
        assert warning == "ignored columns that the training data did not have: extra"

    def test_one_row(self, rows: Predictor, frame: pd.DataFrame) -> None:
        expected = rows.predict(frame[:1])
        for given in (frame.iloc[0], dict(frame.iloc[0]), [dict(frame.iloc[0])]):
            result = rows.predict(given)
            assert len(result) == 1
            np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-9)
        assert "row anomalous" in repr(expected)
        assert "<img" not in expected._repr_html_()

    def test_arrays_have_the_columns_of_the_training(
        self, tiny_config: Config, tmp_path: Path
    ) -> None:
        numbers = np.random.default_rng(0).normal(size=(120, 3)).round(3)
        path = tmp_path / "numbers.csv"
        pd.DataFrame(numbers, columns=["a", "b", "c"]).to_csv(path, index=False)
        config = tiny_config.replace(task="detect")
        rows = load_detector(train(config, load_dataset(path), out=tmp_path / "run", verbose=0))
        expected = rows.score(path)
        np.testing.assert_array_equal(rows.score(numbers), expected)
        np.testing.assert_allclose(rows.score(numbers[0]), expected[:1], rtol=1e-9)
        np.testing.assert_allclose(rows.score(numbers[0].tolist()), expected[:1], rtol=1e-9)
        np.testing.assert_allclose(rows.score(list(numbers)), expected, rtol=1e-9)
        with pytest.raises(DataError, match=r"3 columns .* but the array is \[120, 2\]"):
            rows.predict(numbers[:, :2])

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (5, "got an int, but the model is one of rows"),
            (b"x", "got bytes, but the model is one of rows"),
            ("image.png", "image.png is not a table"),
            (Image.new("L", (8, 8)), "got an Image, but the model is one of rows"),
            ([], "the list of rows is empty"),
            (iter([]), "the iterator of rows is empty"),
            ([None], "a row is None"),
            (pd.DataFrame({"width": [1.0]}), "the table lacks height, kind"),
            (pd.Series([1.0, 2.0]), "a Series is one row, but this one lacks width, height, kind"),
            ({"width": [1.0, 2.0]}, r"a dict is one row, but 'width' holds a list; give pd.Data"),
            (
                pd.DataFrame({"width": [1.0], "height": 1.0, "kind": "a"}).set_index("height"),
                r"height in its index, not as a column; use reset_index\(\)",
            ),
            (
                pd.DataFrame(np.ones((1, 12))),
                "it has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more",
            ),
            (pd.DataFrame({"width": []}), "the table has no rows"),
            (
                pd.DataFrame({"width": [np.nan], "height": [1.0], "kind": ["a"]}),
                "row 0 cannot be used: width is missing",
            ),
            (
                pd.DataFrame({"width": [np.nan], "height": [1.0], "kind": ["a"]}, index=["p7"]),
                "row p7 cannot be used: width is missing",
            ),
            *(
                (
                    pd.DataFrame({"width": [value], "height": [1.0], "kind": ["a"]}),
                    f"column 'width' is of type {name}",
                )
                for value, name in [
                    (pd.Timestamp("2026-01-01"), "datetime64"),
                    (pd.Timedelta(1, "s"), "timedelta64"),
                    (1j, "complex128"),
                ]
            ),
            (
                pd.DataFrame({"width": pd.array([pd.NA], "Int64"), "height": [1.0], "kind": "a"}),
                "row 0 cannot be used: width is missing",
            ),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_wrong_types_are_refused(
        self, value: Any, message: str, rows: Predictor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(Detector, "score_components")
        with pytest.raises(DataError, match=message):
            rows.predict(value)


def test_large_images_of_different_sizes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(90, 160, (140, 150), dtype=np.uint8) for _ in range(24)]
    for row, image in enumerate(images):
        path = tmp_path / "train" / f"{row:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    config = Config(task="detect").override(
        ["training.steps=2", "training.batch_size=8", "discriminator.width=4", "generator.width=4"]
    )
    bundle = train(config, load_dataset(tmp_path / "train"), out=tmp_path / "run", verbose=0)
    sizes = [images[0], images[1][:70, :90], np.tile(images[2], (3, 2)), images[3][:20, :30]]
    for row, image in enumerate(sizes):
        path = tmp_path / "new" / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    detect_folder(bundle, DetectionRequest(tmp_path / "new"), tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / SCORES_FILE)
    predictor = load_detector(tmp_path / "run")
    result = predictor.predict(sizes)
    np.testing.assert_array_equal(result.scores, table["score"])
    assert result.maps is not None
    assert [one.shape for one in result.maps] == [image.shape for image in sizes]
    np.testing.assert_array_equal(predictor.predict(sizes[2]).scores, table["score"][2:3])


def test_deep_and_floating_point_images(digits_bundle: Bundle, pixels: np.ndarray) -> None:
    """A model of 16 bits and one of floats, through the estimator: its scores are the negative."""
    for images in (pixels[:40].astype(np.uint16) * 200, pixels[:40] / np.float32(255)):
        estimator = GANDetector(steps=2, random_state=0, far=0.3, verbose=0).fit(images)
        predictor = load_detector(estimator.bundle_)
        np.testing.assert_array_equal(predictor.score(images), -estimator.score_samples(images))
        result = predictor.predict(images[0], far=0.3)
        assert result._repr_html_().count("src=") == 2
        if images.dtype == np.uint16:
            dark = images[0].astype(np.int64) // 200  # alone it would look like 8 bits
            expected = predictor.score(dark.astype(np.uint16))
            np.testing.assert_array_equal(predictor.score(dark), expected)


def test_uncalibrated_detectors_score_but_do_not_decide(pixels: np.ndarray) -> None:
    estimator = GANDetector(steps=2, random_state=0, verbose=0).fit(pixels[:40])
    with pytest.raises(BundleError, match="never calibrated"):
        load_detector(estimator.bundle_)
    predictor = Predictor(Detector.from_bundle(estimator.bundle_), estimator.bundle_)
    assert np.isfinite(predictor.score(pixels)).all()
    with pytest.raises(BundleError, match="never calibrated"):
        predictor.predict(pixels)


def test_no_file_is_written(
    predictor: Predictor, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    predictor.predict(pixels)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_calibration_without_maps_shows_no_overlay(
    digits_bundle: Bundle, pixels: np.ndarray
) -> None:
    detector = Detector.from_bundle(digits_bundle)
    detector.map_calibration = None
    detector.calibration = Calibration.fit(np.arange(40.0))
    result = Predictor(detector, digits_bundle).predict(pixels[:2])
    assert result.maps is not None
    assert result.map_threshold is None
    assert result._repr_html_().count("src=") == 2
    with pytest.raises(DataError, match="calibrated"):
        result.calibrated_map(0)
