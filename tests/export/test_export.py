"""What leaves augan says what augan says: graphs of every method, and what stands beside them."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from typer.testing import CliRunner

from augan import DetectionRequest, detect_folder, load_translator, recalibrate
from augan.augment.generator import GeneratorSampler
from augan.bundle import Bundle, Network
from augan.config import Config
from augan.data.dataset import Dataset
from augan.data.datasets import digits
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tables import Table
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import RaggedImages
from augan.detect.conformal.calibration import Calibration
from augan.detect.cross_conformal_ensemble import CrossConformalEnsemble
from augan.detect.detector import Detector
from augan.detect.methods.auto import Auto, PatchAuto
from augan.detect.methods.fanogan import FAnoGAN
from augan.detect.methods.features import DiscriminatorFeatures
from augan.detect.methods.tiles import PatchFeatures
from augan.detect.predictor import Predictor
from augan.exceptions import BundleError, ConfigError, DataError, RefusedError
from augan.export.api import export_onnx
from augan.export.detector import detector_graph
from augan.export.onnx import Session, to_onnx
from augan.export.parity import compare_images, compare_maps, compare_scores
from augan.gan.networks.build import build_network, feature_blocks, network_spec
from augan.gan.networks.heads import concat_channels, fully_convolutional
from augan.io.images import write_png
from augan.workflow.train import train
from augan_cli.main import app
from tests._helpers import make_translation_bundle, with_data, with_method

EXAMPLE = Path(__file__).parents[2] / "examples" / "score_with_onnx.py"
ROUNDING = 2e-3  # in deviations of the validation samples, of untrained networks
RANGES = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "float32": (-3.0, 5.0)}

# The example's own surroundings: a process that has neither of these.
BLOCKED = """
import runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("augan", "tensorflow", "keras", "tf2onnx", "onnx", "scipy"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def network(role: str, shape: tuple[int, ...], architecture: str = "dcgan", **more: Any) -> Any:
    return build_network(network_spec(architecture, role, image_shape=list(shape), seed=7, **more))


def networks(shape: tuple[int, int, int], norm: str = "spectral", *, heads: bool = True) -> Any:
    """Untrained networks, whose generator draws different images."""
    more = {"num_classes": 0, "width": 4}
    found = {
        "generator": network("generator", shape, latent_dim=3, **more),
        "discriminator": network("discriminator", shape, norm=norm, weights="he", **more),
        "encoder": network("encoder", shape, latent_dim=3, **more),
    }
    rng = np.random.default_rng(0)
    for variable in found["generator"].trainable_variables:
        variable.assign(rng.normal(0, 0.4, variable.shape))
    if heads:
        deep = feature_blocks(found["discriminator"]).output_shape[-1][1:]
        found["transformation_head"] = network(
            "transformation_head", (int(np.prod(deep)),), "linear"
        )
    return found


def decoded(count: int, shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(*RANGES[dtype], (count, *shape))
    return (values if dtype == "float32" else np.rint(values)).astype(dtype)


def as_graph(detector: Detector, folder: Path) -> Session:
    (folder / "x.onnx").write_bytes(to_onnx(*detector_graph(detector), {}))
    return Session(folder / "x.onnx")


METHODS: dict[str, Callable[[Any], Any]] = {
    "auto": Auto,
    "features": DiscriminatorFeatures,
    "features without heads": lambda models: DiscriminatorFeatures(
        {"discriminator": models["discriminator"]}
    ),
    "fanogan": FAnoGAN,
}
INPUTS = {
    "auto": ((8, 8, 1), "uint8", "spectral"),
    "features": ((8, 8, 3), "float32", "batch"),
    "features without heads": ((16, 16, 3), "uint16", "layer"),
    "fanogan": ((8, 8, 1), "float32", "batch"),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_graph_says_what_its_method_says(name: str, tmp_path: Path) -> None:
    shape, dtype, norm = INPUTS[name]
    preprocessing = ImagePreprocessing(shape[0], shape[2], dtype, *RANGES[dtype])
    images = decoded(120, shape, dtype)
    method = METHODS[name](networks(shape, norm))
    scaled = preprocessing.normalize(images)
    detector = Detector(method.fit(scaled[:50], scaled[50:90]), preprocessing)
    session = as_graph(detector, tmp_path)
    # None that was fitted on: of those, distances are rounding and nothing else.
    new = images[50:]
    found = session(new)  # in two batches
    assert found["score"].dtype == np.float64
    assert_allclose(found["score"], detector.score(new), atol=ROUNDING)
    assert_allclose(found["map"], detector.maps(new), rtol=1e-3, atol=1e-4)
    assert_allclose(session(new[5:6])["score"], found["score"][5:6], atol=ROUNDING)


def test_folds_count_calibration_scores_as_augan_does(tmp_path: Path) -> None:
    shape = (8, 8, 1)
    preprocessing = ImagePreprocessing(8, 1, "uint8", 0.0, 255.0)
    images = decoded(160, shape, "uint8")
    scaled = preprocessing.normalize(images)
    parts = [np.arange(k * 20, k * 20 + 20) for k in range(3)]
    members = []
    for k, part in enumerate(parts):
        rows = np.setdiff1d(np.arange(60), part)
        judge = network("discriminator", shape, num_classes=0, width=3 + k, norm="none")
        member = DiscriminatorFeatures({"discriminator": judge})
        members.append(member.fit(scaled[rows[:30]], scaled[rows[30:]]))
    lines = [m.score_components(scaled[part]).sum(axis=1) for m, part in zip(members, parts)]
    folds = CrossConformalEnsemble(members).calibrate(lines, ())
    detector = Detector(folds, preprocessing, Calibration.from_folds(folds.fold_scores, 60))
    score = as_graph(detector, tmp_path)(images)["score"]
    p_values, own = (
        detector.require_calibration().p_values(x) for x in (score, detector.score(images))
    )
    assert_array_equal(p_values[:60], own[:60])  # each equals a calibration score of its fold
    assert np.mean(p_values == own) > 0.98
    assert (p_values >= own).all()
    mean = Detector(folds.without_pooling(), preprocessing)
    assert_allclose(as_graph(mean, tmp_path)(images)["score"], mean.score(images), atol=ROUNDING)


@pytest.mark.parametrize("kind", [pytest.param(PatchAuto, marks=pytest.mark.slow), PatchFeatures])
def test_large_images_of_any_size(kind: Any, tmp_path: Path) -> None:
    shape = (32, 32, 3)
    judge = network("discriminator", shape, num_classes=0, width=4, norm="none", weights="he")
    size = sum(concat_channels(fully_convolutional(judge)))
    models = {
        "discriminator": judge,
        "localization_head": network("localization_head", (size,), "convolutional"),
    }
    patches = TiledPreprocessing(160, 3, "uint8", 0.0, 255.0, window=32)
    rng = np.random.default_rng(1)
    sizes = [(90, 130), (64, 75), (131, 90), (40, 160), (77, 72)]
    images = [rng.normal(120, 30, (*side, 3)).clip(0, 255).astype(np.uint8) for side in sizes]
    stored = RaggedImages([patches.prepare_sample(image) for image in images])
    method = kind(models).fit(patches.normalize(stored), patches.normalize(stored[:4]))
    detector = Detector(method, patches)
    session = as_graph(detector, tmp_path)
    own, maps = detector.score(stored), detector.maps(stored)
    for image, score, heat in zip(images, own, maps):
        found = session(image[None])
        assert_allclose(found["score"], [score], atol=ROUNDING)
        assert found["map"].shape[1:3] == tuple(-(-side // 4) for side in image.shape[:2])
        assert found["map"].max() >= heat.max() - ROUNDING


# ---------------------------------------------------------------- files


def export(run: Path | str, *words: str) -> Any:
    return CliRunner().invoke(app, ["export", str(run), *words])


@pytest.fixture(scope="module")
def run(digits_bundle: Bundle) -> Path:
    assert digits_bundle.path is not None
    return digits_bundle.path.parent


@pytest.fixture(scope="module")
def scorer(run: Path, tiny_digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("scorer") / "tiny.npz"
    np.savez(
        data,
        x=tiny_digits.require_images(),
        y=tiny_digits.labels,
        class_names=tiny_digits.class_names,
    )
    out = data.parent / "out"
    done = export(run, "--part", "detector", "--training-data", str(data), "--out", str(out))
    assert done.exit_code == 0, done.output
    return out


def test_a_detector_leaves_with_all_that_a_scorer_needs(
    scorer: Path, digits_bundle: Bundle
) -> None:
    names = {path.name for path in scorer.iterdir()}
    assert names == {"detector.onnx", "detector.json", "parity.json"}
    about = json.loads((scorer / "detector.json").read_text())
    detector = Detector.from_bundle(digits_bundle)
    line = detector.require_calibration()
    assert about["calibration_scores"] == line.scores.tolist()
    assert about["threshold"] == line.threshold(about["rate"])
    assert about["guarantee"] == line.guarantee(about["rate"]).sentence
    assert about["bundle"] == digits_bundle.bundle_id
    assert about["method"] == "auto"
    assert about["input"]["shape"] == ["N", 8, 8, 1]
    assert detector.map_calibration is not None
    assert about["map"]["threshold"] == detector.map_calibration.threshold(about["rate"])
    parity = json.loads((scorer / "parity.json").read_text())
    assert parity["num_samples"] == len(digits_bundle.splits.calibration) == 99
    assert 0 < parity["relative_difference"] < 0.01
    assert parity["num_disagreeing"] <= parity["num_borderline"] <= 5
    pixels = np.asarray(digits("test").images)[:50]
    other = Session(scorer / "detector.onnx")(pixels)
    assert_allclose(other["score"], detector.score(pixels), atol=ROUNDING)
    assert_allclose(other["map"], detector.maps(pixels), rtol=1e-3)


def score_elsewhere(scorer: Path, images: list[Path]) -> dict[str, tuple[str, float, float]]:
    """Run the example where there is neither augan nor TensorFlow."""
    words = [sys.executable, "-c", BLOCKED, str(EXAMPLE), str(scorer), *map(str, images)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=scorer)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^(.+): (\w+), score (\S+), p-value (\S+)$", done.stdout, re.MULTILINE)
    return {Path(path).name: (says, float(s), float(p)) for path, says, s, p in lines}


def assert_scored_alike(scorer: Path, bundle: Bundle, folder: Path, out: Path) -> None:
    found = score_elsewhere(scorer, sorted(folder.iterdir()))
    detect_folder(bundle, DetectionRequest(folder), out)
    rows = [line.split(",") for line in (out / "scores.csv").read_text().splitlines()[1:]]
    assert len(rows) == len(found)
    for path, score, p_value, flagged, *_ in rows:
        says, other, p = found[path]
        assert other == pytest.approx(float(score), abs=1e-3)
        assert p == pytest.approx(float(p_value), abs=1e-4)
        assert says == ("anomaly" if flagged == "1" else "normal")


def test_the_example_scores_files_of_any_size_as_augan_does(
    scorer: Path, digits_bundle: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for height, width in ((8, 8), (20, 31), (7, 5), (3, 4), (64, 9)):
        image = rng.integers(0, 256, (height, width), np.uint8)
        Image.fromarray(image).save(folder / f"{height}x{width}.jpg", quality=95)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(rng.integers(0, 256, (9, 14), np.uint8)).save(folder / "t.jpg", exif=turned)
    assert_scored_alike(scorer, digits_bundle, folder, tmp_path / "out")


def test_ignored_pixels_are_filled_before_anything_else(
    digits_bundle: Bundle, tmp_path: Path
) -> None:
    pixels = np.asarray(digits("test").images)[:40]
    (tmp_path / "normals").mkdir()
    for row, image in enumerate(pixels):
        write_png(tmp_path / "normals" / f"{row}.png", image)
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 3:] = 255
    write_png(tmp_path / "mask.png", mask)
    bundle = recalibrate(digits_bundle, tmp_path / "normals", ignore_mask=tmp_path / "mask.png")
    result = export_onnx(bundle, "detector", tmp_path / "out")
    assert result.files == ("detector.json", "detector.onnx", "fill.npy", "parity.json")
    about = json.loads((tmp_path / "out" / "detector.json").read_text())
    assert about["input"]["name"] == "filled_images"  # which no scorer overlooks
    fill_indices = np.load(tmp_path / "out" / about["ignore_mask"]["file"])
    filled = pixels.reshape(40, 64, 1)[:, fill_indices].reshape(pixels.shape)
    scores = Session(tmp_path / "out" / "detector.onnx")(filled)["score"]
    assert_allclose(np.sort(scores), about["calibration_scores"], atol=ROUNDING)
    few = recalibrate(digits_bundle, few_of(tmp_path / "normals", 5))
    (_, warning) = export_onnx(few, "detector", tmp_path / "few").warnings
    assert "needs 19 calibration images, this model has 5" in warning


def few_of(folder: Path, count: int) -> Path:
    for path in sorted(folder.iterdir())[count:]:
        path.unlink()
    return folder


def test_a_generator_draws_what_augan_draws(digits_bundle: Bundle, tmp_path: Path) -> None:
    network = digits_bundle.networks["generator"]
    larger = {k: v * (6 if k.endswith("kernel") else 1) for k, v in network.weights.items()}
    networks = {**digits_bundle.networks, "generator": Network(network.spec, larger)}
    bundle = replace(digits_bundle, networks=networks)  # of a few steps, it would draw mere gray
    result = export_onnx(bundle, "generator", tmp_path / "out")
    assert result.files == ("generator.json", "generator.onnx", "parity.json")
    assert result.parity.num_samples == 128  # of the prior, and of training images
    about = json.loads((tmp_path / "out" / "generator.json").read_text())
    assert about["input"]["classes"]["names"] == [str(digit) for digit in range(10)]
    assert about["output"] == {"images": "uint8 [N, 8, 8, 1]"}
    noise = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    classes = np.arange(30) % 10
    session, chosen = Session(tmp_path / "out" / "generator.onnx"), np.eye(10, dtype=np.float32)
    drawn = session(noise, chosen[classes])
    own = GeneratorSampler(bundle).decode(noise, classes)
    assert drawn["images"].dtype == np.uint8
    assert np.abs(drawn["images"].astype(int) - own).max() <= 1
    assert np.ptp(drawn["images"]) > 50


@pytest.mark.parametrize("part", ["translator", "back_translator"])
def test_a_translator_translates_as_augan_does(part: str, tmp_path: Path) -> None:
    bundle = make_translation_bundle()
    networks = {}
    for name, network in bundle.networks.items():
        larger = {k: v * (4 if k.endswith("kernel") else 1) for k, v in network.weights.items()}
        networks[name] = Network(network.spec, larger)
    bundle = replace(bundle, networks=networks)  # of a few steps, images would be mere gray
    result = export_onnx(bundle, part, tmp_path / "out")
    assert set(result.files) == {f"{part}.json", f"{part}.onnx", "parity.json"}
    assert "64 random images" in result.parity.compared
    about = json.loads((tmp_path / "out" / f"{part}.json").read_text())
    translator, session = load_translator(bundle), Session(tmp_path / "out" / f"{part}.onnx")
    before, after = translator.cameras(about["direction"])
    assert about["output"] == {"translated": f"uint8 [N, 8, 8, {after.channels}]"}
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, before.channels), np.uint8)
    inputs = [images]
    if part == "translator":
        assert about["input"]["noise"]["shape"] == ["N", 8, 8, 4]
        inputs.append(translator.noise(range(5), (8, 8), seed=3))
    translated = session(*inputs)["translated"]
    expected = translator.translate(images, direction=about["direction"], seed=3)
    assert np.abs(translated.astype(int) - expected).max() <= 1
    assert np.ptp(expected) > 50
    with pytest.raises(ConfigError, match="`method` applies to detectors"):
        export_onnx(bundle, part, tmp_path / "other", method="auto")


def test_where_the_data_is_gone_made_up_images_are_compared(
    digits_bundle: Bundle, tmp_path: Path
) -> None:
    bundle = with_data(digits_bundle, name="gone", source=None)
    result = export_onnx(bundle, "detector", tmp_path / "out", method="fanogan")
    assert result.parity.compared == "64 random images and 128 images of the generator"
    (warning,) = result.warnings
    assert "synthetic images" in warning
    with pytest.raises(DataError, match="is not, or no longer, the data"):
        export_onnx(bundle, "detector", tmp_path / "other", training_data="digits")
    assert not (tmp_path / "other").exists()


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--part", "encoder"),
            "no part 'encoder' to export; choose generator, detector,",
        ),
        (("--part", "detector", "--format", "tflite"), "no export format 'tflite'"),
        (("--part", "detector", "--method", "features"), "has no detector 'features', only auto"),
        (
            ("--part", "generator", "--method", "auto"),
            "--method and --training-data apply to detectors",
        ),
        (("--part", "detector", "--training-data", "fashon"), "fashon"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    words: tuple[str, ...], said: str, run: Path, tmp_path: Path
) -> None:
    done = export(run, *words, "--out", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert said in done.output
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_left_alone(run: Path, scorer: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, scorer):  # the second holds a detector, which a generator is not
        before = sorted(out.iterdir())
        done = export(run, "--part", "generator", "--out", str(out))
        assert done.exit_code == 2
        assert "holds other files" in done.output
        assert sorted(out.iterdir()) == before


def test_a_part_that_the_bundle_lacks(digits_bundle: Bundle, tmp_path: Path) -> None:
    bare = replace(digits_bundle, detector=None)
    with pytest.raises(BundleError, match="no anomaly detector; train with"):
        export_onnx(bare, "detector", tmp_path / "out")
    networks = {k: v for k, v in digits_bundle.networks.items() if k != "generator"}
    with pytest.raises(BundleError, match="no generator; train one"):
        export_onnx(replace(digits_bundle, networks=networks), "generator", tmp_path / "out")


@pytest.mark.parametrize("part", ["detector", "generator"])
def test_a_table_has_no_graph(part: str, digits_bundle: Bundle, tmp_path: Path) -> None:
    columns = TabularPreprocessing.fit_table(
        Table(pd.DataFrame({"a": range(9), "b": ["x", "y", "z"] * 3}))
    )
    bundle = replace(digits_bundle, preprocessing=columns)
    with pytest.raises(ConfigError, match="a model of a table cannot be exported"):
        export_onnx(bundle, part, tmp_path / "out")


def test_a_search_is_no_graph(digits_bundle: Bundle, tmp_path: Path) -> None:
    bundle = with_method(digits_bundle, name="anogan", state={"steps": np.array(5)})
    with pytest.raises(ConfigError, match=r"'anogan' cannot be exported: it searches .* fanogan"):
        export_onnx(bundle, "detector", tmp_path / "out")


def test_a_missing_package_is_named_with_its_extra(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    done = export(run, "--part", "detector", "--out", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "tf2onnx" in done.output
    assert "'augan[export]'" in done.output


def test_a_graph_that_says_something_else_is_refused_and_not_kept(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Predictor.score_batch
    monkeypatch.setattr(
        Predictor,
        "score_batch",
        lambda *a, **k: replace(scored := own(*a, **k), components=scored.components + 0.5),
    )
    done = export(run, "--part", "detector", "--out", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith("refused: the scores of the graph differ from")
    assert list(tmp_path.iterdir()) == []


def test_what_counts_as_parity() -> None:
    rng = np.random.default_rng(0)
    line = Calibration.fit(rng.normal(size=99))
    own = np.concatenate([rng.normal(size=400), [line.threshold(0.05)]])
    other = own + rng.uniform(-1e-5, 1e-5, own.size)
    other[-1] = own[-1] + 1e-6
    parity = compare_scores(own, other, line, 0.05, "some")
    assert parity.largest_difference == np.abs(own - other).max()
    assert parity.relative_difference == parity.largest_difference / line.scores.std()
    assert parity.num_borderline >= parity.num_disagreeing == 1
    copies = other.copy()
    copies[own.argmin()] -= 5  # far below the line a few may differ
    assert compare_scores(own, copies, line, 0.05, "some").num_disagreeing == 1
    for row, change in ((own.argmin(), 9.0), (own.argmin(), np.nan), (own.argmax(), -9.0)):
        wrong = other.copy()
        wrong[row] += change
        with pytest.raises(RefusedError):
            compare_scores(own, wrong, line, 0.05, "some")
    with pytest.raises(RefusedError, match=r"by up to 0\.0"):
        compare_scores(own, own + 0.05, line, 0.05, "some")
    with pytest.raises(RefusedError, match="maps"):
        compare_maps(own, own + 0.5)
    with pytest.raises(RefusedError, match="pixels differ by up to 2 of 255"):
        compare_images(np.zeros(3, np.uint8), np.full(3, 2, np.uint8), 255.0, "codes")
    assert compare_maps(own, own) == 0


def test_of_folds_a_tie_by_rounding_may_move_a_score_by_one_rank() -> None:
    lines = [np.arange(0.0, 10.0), np.arange(0.5, 10.0)]
    line = Calibration.from_folds(lines, 20)
    own = np.arange(0.25, 9.5, 0.25)
    beyond_next, two_further = own + 0.5, own + 1.0
    assert compare_scores(own, beyond_next, line, 0.1, "some").largest_difference == 0.5
    for wrong in (two_further, own + 30):
        with pytest.raises(RefusedError):
            compare_scores(own, wrong, line, 0.1, "some")


# ---------------------------------------------------------------- larger bundles


def trained(images: list[np.ndarray], folder: Path, *settings: str) -> Bundle:
    (folder / "normal").mkdir()
    for row, image in enumerate(images):
        Image.fromarray(image).save(folder / "normal" / f"{row:03}.png")
    short = ["training.steps=20", "training.batch_size=8", "gan.latent_dim=4"]
    short += [f"{part}.width=4" for part in ("generator", "discriminator", "encoder", "classifier")]
    config = Config(task="detect").override([*short, *settings])
    return train(config, load_dataset(folder / "normal"), out=folder / "run")


@pytest.mark.slow
def test_colour_images_with_every_head_and_as_folds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.normal(130, 20, (15, 12, 3)).clip(0, 255).astype(np.uint8) for _ in range(60)]
    (tmp_path / "jpeg").mkdir()
    for number, shape in enumerate([(15, 12), (200, 90), (9, 7)]):
        image = rng.normal(130, 20, (*shape, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "jpeg" / f"{number}.jpg", quality=90)
    for name, settings in {
        "plain": ("detect.methods=[features,fanogan]",),
        "folds": ("detect.cross_conformal=true",),
    }.items():
        place = tmp_path / name
        place.mkdir()
        bundle = trained(images, place, *settings)
        assert any(network.endswith("transformation_head") for network in bundle.networks)
        for method in bundle.detector.method_names:
            result = export_onnx(bundle, "detector", place / method, method=method)
            assert result.parity.compared.startswith(("20 held-out", "60 images, each held out"))
            assert result.parity.typical_difference < 1e-4
            if name == "plain":  # of folds a tie may move a score by a rank, however far that is
                assert result.parity.relative_difference < 0.01
        assert_scored_alike(place / "auto", bundle, tmp_path / "jpeg", place / "found")


@pytest.mark.slow
def test_large_files_are_scored_at_their_own_scale(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = (rng.normal(130, 20, (140 + i % 3, 150)) for i in range(36))
    images = [image.clip(0, 255).astype(np.uint8) for image in drawn]
    bundle = trained(images, tmp_path)
    assert bundle.preprocessing.modality == "tiles"
    result = export_onnx(bundle, "detector", tmp_path / "out")
    assert result.parity.relative_difference < 1e-3
    (tmp_path / "jpeg").mkdir()
    for number, shape in enumerate([(140, 150), (300, 420), (80, 99)]):
        image = rng.normal(130, 20, shape).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "jpeg" / f"{number}.jpg", quality=90)
    assert_scored_alike(tmp_path / "out", bundle, tmp_path / "jpeg", tmp_path / "found")
