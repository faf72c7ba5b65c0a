"""Contract of the detection methods, checked for every registered method and modality."""

import io
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from augan import GANDetector
from augan.bundle import load_bundle, read_weights, save_bundle
from augan.choices import DETECTION_METHODS
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tables import Table
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import RaggedImages
from augan.detect.conformal.calibration import Calibration
from augan.detect.detector import Detector
from augan.detect.methods.registry import build_scorer
from augan.exceptions import ConfigError, DataError
from augan.export.detector import detector_graph
from augan.export.onnx import Session, to_onnx
from augan.gan.networks.build import build_network, feature_blocks, network_spec
from augan.gan.networks.heads import concat_channels, fully_convolutional

CONTRIBUTING = Path(__file__).parents[3] / "CONTRIBUTING.md"
CASES = [(method.name, modality) for method in DETECTION_METHODS for modality in method.modalities]
NUM_TRAIN, NUM_VAL = {"images": 40, "rows": 40, "tiles": 6}, {"images": 20, "rows": 20, "tiles": 4}
SHAPES = {"images": (8, 8, 1), "rows": (6,), "tiles": (32, 32, 1)}
ROUNDING = 2e-3  # in standard deviations of the validation samples


def network(role, architecture, shape, **arguments):
    spec = network_spec(architecture, role, image_shape=list(shape), seed=7, **arguments)
    return build_network(spec)


@cache
def networks(modality):
    """Return random networks of every role, whose outputs differ between samples."""
    shape = SHAPES[modality]
    architecture = "mlp" if modality == "rows" else "dcgan"
    plain = {"num_classes": 0, "width": 4}
    discriminator = network("discriminator", architecture, shape, norm="none", **plain)
    found = {
        "generator": network("generator", architecture, shape, latent_dim=3, **plain),
        "discriminator": discriminator,
        "encoder": network("encoder", architecture, shape, latent_dim=3, **plain),
    }
    if modality == "images":
        size = int(np.prod(feature_blocks(discriminator).output_shape[-1][1:]))
        found["transformation_head"] = network("transformation_head", "linear", (size,))
    if modality == "tiles":
        size = sum(concat_channels(fully_convolutional(discriminator)))
        found["localization_head"] = network("localization_head", "convolutional", (size,))
    rng = np.random.default_rng(0)
    for role in sorted(found.keys() - {"discriminator", "encoder"}):
        for variable in found[role].trainable_variables:
            variable.assign(rng.normal(0, 0.4, variable.shape))
    return found


@cache
def preprocessing(modality):
    if modality == "rows":
        values = np.random.default_rng(1).uniform(-1, 1, (60, 6))
        return TabularPreprocessing.fit_table(Table(pd.DataFrame(values)))
    if modality == "images":
        return ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8))
    images = np.random.default_rng(1).integers(0, 255, (3, 40, 44, 1), dtype=np.uint8)
    return TiledPreprocessing.fit(from_arrays(images), 32)


def make_samples(modality, count, seed=0, value=None):
    """Return normalized samples, random or all of one value; images in tiles differ in size."""
    rng = np.random.default_rng(seed)

    def one(shape):
        values = rng.uniform(-1, 1, shape) if value is None else np.full(shape, value)
        return values.astype(np.float32)

    if modality != "tiles":
        return one((count, *SHAPES[modality]))
    sizes = [(36, 40) if value is not None else (36 + 4 * (i % 3), 41) for i in range(count)]
    return RaggedImages([one((*size, 1)) for size in sizes])


def build(name, modality):
    method, available = DETECTION_METHODS.get(name), networks(modality)
    optional = [role for role in method.optional_networks if role in available]
    roles = (*method.required_networks, *optional)
    scorer = build_scorer(name, preprocessing(modality), {role: available[role] for role in roles})
    if method.is_iterative:
        scorer.steps = 3
    return scorer


@cache
def fitted(name, modality):
    """Return a fitted scorer, new samples, and their components."""
    train = make_samples(modality, NUM_TRAIN[modality])
    scorer = build(name, modality).fit(train, make_samples(modality, NUM_VAL[modality], 1))
    new = make_samples(modality, 10 if modality == "tiles" else 70, 2)
    return scorer, new, scorer.score_components(new)


def assert_equal_maps(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------- the checks


def check_declaration(name, modality):
    method = DETECTION_METHODS.get(name)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    assert method.description
    assert not method.description.endswith(".")
    assert "discriminator" in method.required_networks
    assert {modality} <= set(method.modalities) <= set(SHAPES)
    assert set(method.auxiliary_losses) <= {"detect", "both"}
    assert build(name, modality).name == name
    assert Config().replace(detect__method=name).detect.method == name


def check_components(name, modality):
    """There is a finite column for each declared component, and samples differ in their scores."""
    scorer, new, components = fitted(name, modality)
    assert components.shape == (len(new), len(scorer.components))
    assert components.dtype == np.float64
    assert np.isfinite(components).all()
    assert len(np.unique(components.sum(axis=1))) == len(new)
    assert len({component.name for component in scorer.components}) == len(scorer.components)
    assert all(component.description for component in scorer.components)
    assert scorer.score_components(new[:0]).shape == (0, len(scorer.components))


def check_independence(name, modality):
    """The score of a sample depends neither on other samples nor on their order."""
    scorer, new, components = fitted(name, modality)
    backward = np.arange(len(new))[::-1]
    np.testing.assert_array_equal(scorer.score_components(new[backward]), components[backward])
    np.testing.assert_array_equal(scorer.score_components(new[3:4]), components[3:4])
    np.testing.assert_array_equal(scorer.score_components(new[2:7]), components[2:7])


def check_small_batches(name, modality):
    """Small batches are exact among themselves, and differ from others by rounding."""
    scorer, new, components = fitted(name, modality)
    one, *_, last = (
        scorer.score_components(new[part], small_batches=True)
        for part in (slice(3, 4), slice(2, 5))
    )
    np.testing.assert_array_equal(last[1:2], one)
    np.testing.assert_allclose(last, components[2:5], atol=ROUNDING * components.std())


def check_maps(name, modality):
    """Maps have the shape of their images and depend on one image; rows have no maps."""
    scorer, new, components = fitted(name, modality)
    if modality == "rows":
        with pytest.raises(DataError, match="rows have no anomaly maps"):
            scorer.maps(new)
        return
    scores, maps = scorer.score_and_maps(new)
    np.testing.assert_array_equal(scores, components)
    assert len(maps) == len(new)
    for values, image in zip(maps, new):
        assert values.shape == (*image.shape[:2], 1)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    assert max(float(np.ptp(values)) for values in maps) > 0
    assert_equal_maps(scorer.maps(new[3:5]), maps[3:5])
    assert isinstance(maps, RaggedImages if modality == "tiles" else np.ndarray)


def check_reconstructions(name, modality):
    scorer, new, _ = fitted(name, modality)
    found = scorer.reconstruct(new[:2])
    if found is not None:
        assert found.shape == new[:2].shape
        assert np.abs(found[0] - found[1]).max() > 1e-4


def check_state(name, modality):
    """A scorer restored from stored arrays has equal scores and maps; networks are unchanged."""
    before = {role: read_weights(model) for role, model in networks(modality).items()}
    scorer, new, components = fitted(name, modality)
    file = io.BytesIO()
    np.savez(file, **scorer.get_state())
    file.seek(0)
    restored = build(name, modality).set_state(dict(np.load(file, allow_pickle=False)))
    np.testing.assert_array_equal(restored.score_components(new), components)
    if modality != "rows":
        assert_equal_maps(restored.maps(new[:3]), scorer.maps(new[:3]))
    for role, model in networks(modality).items():
        for path, values in read_weights(model).items():
            np.testing.assert_array_equal(values, before[role][path])


def check_refusals(name, modality):
    """Samples of another type or shape are refused, not scored."""
    scorer, new, _ = fitted(name, modality)
    wrong = [new[0], [1.0, 2.0], None, np.zeros((2, 3, 3), np.float32)]
    if modality == "tiles":
        wrong += [np.stack([new[0]] * 2), RaggedImages([np.zeros((40, 40, 3), np.float32)])]
    else:
        wrong += [new.astype(np.uint8), new[..., :-1], new[:, None], RaggedImages(list(new))]
    for samples in wrong:
        for call in (scorer.score_components, build(name, modality).fit):
            arguments = (samples,) if call == scorer.score_components else (samples, samples)
            with pytest.raises(DataError, match=r"scores .*, got an? .*; normalize the samples"):
                call(*arguments)


def check_degenerate_samples(name, modality):
    """Scores of constant samples are finite, also after a fit on identical normal samples."""
    constant = [make_samples(modality, 2, value=value) for value in (-1, 0, 1)]
    equal = make_samples(modality, NUM_TRAIN[modality], value=0.3)
    for scorer in (
        fitted(name, modality)[0],
        build(name, modality).fit(equal, equal[: NUM_VAL[modality]]),
    ):
        for samples in (*constant, make_samples(modality, 3, 5)):
            assert np.isfinite(scorer.score_components(samples)).all()
            if modality != "rows":
                assert all(np.isfinite(values).all() for values in scorer.maps(samples))


def check_export(name, modality, folder):
    """The graph of a method that is not iterative has the scores and maps of the method."""
    if modality == "rows" or DETECTION_METHODS.get(name).is_iterative:
        return
    scorer, _, _ = fitted(name, modality)
    detector = Detector(scorer, preprocessing(modality))
    rng = np.random.default_rng(9)
    shapes = [(8, 8, 1)] * 70 if modality == "images" else [(40, 41, 1), (57, 44, 1)]
    decoded = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    if modality == "images":
        prepared, batches = np.stack(decoded), [np.stack(decoded)]
    else:
        images = preprocessing(modality).prepare_samples(decoded)
        prepared, batches = images, [image[None] for image in decoded]
    (folder / "x.onnx").write_bytes(to_onnx(*detector_graph(detector), {}))
    session = Session(folder / "x.onnx")
    outputs = [session(batch) for batch in batches]
    scores = np.concatenate([output["score"] for output in outputs])
    assert scores.dtype == np.float64
    own = detector.score(prepared)
    np.testing.assert_allclose(scores, own, atol=ROUNDING * max(own.std(), 1))
    if modality == "images":
        np.testing.assert_allclose(outputs[0]["map"], detector.maps(prepared), rtol=1e-3, atol=1e-4)


CHECKS = (
    check_declaration,
    check_components,
    check_independence,
    check_small_batches,
    check_maps,
    check_reconstructions,
    check_state,
    check_refusals,
    check_degenerate_samples,
)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("name", "modality"), CASES)
def test_contract(check, name, modality):
    check(name, modality)


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_exported_graph_agrees(name, modality, tmp_path):
    check_export(name, modality, tmp_path)


def check_task(name, folder):
    """A detector is trained, calibrated, stored in a bundle and restored with equal scores."""
    images = np.random.default_rng(1).uniform(-1, 1, (90, 8, 8, 1)).astype(np.float32)
    estimator = GANDetector(method=name, steps=2, far=0.2, random_state=0).fit(images)
    method, bundle = DETECTION_METHODS.get(name), estimator.bundle_
    assert {"generator", *method.required_networks} <= set(bundle.networks)
    prepared = (images[:5] * 100).astype(bundle.preprocessing.prepared_dtype)
    scores = Detector.from_bundle(bundle).score(prepared)
    assert np.isfinite(scores).all()
    save_bundle(bundle, folder / "bundle.augan")
    restored = Detector.from_bundle(load_bundle(folder / "bundle.augan"), name)
    np.testing.assert_array_equal(restored.score(prepared), scores)
    calibration = restored.require_calibration()
    assert isinstance(calibration, Calibration)
    assert 0 < calibration.p_values(scores).min() <= 1


@pytest.mark.parametrize("name", DETECTION_METHODS.names())
def test_method_is_trained_and_stored(name, tmp_path):
    check_task(name, tmp_path)


def test_worked_example_of_contributing_keeps_the_contract(tmp_path):
    examples = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.S)
    (example,) = [code for code in examples if "TensorScorer" in code]
    with DETECTION_METHODS.temporary():
        exec(example, {"__name__": "example"})
        for check in CHECKS:
            check("mean_pixel", "images")
        check_export("mean_pixel", "images", tmp_path)
        check_task("mean_pixel", tmp_path)
        _, new, components = fitted("mean_pixel", "images")
        distance = np.abs(new.mean(axis=(1, 2, 3)) - make_samples("images", 40).mean())
        assert np.corrcoef(components[:, 0], distance)[0, 1] > 0.999
    with pytest.raises(ConfigError, match=r"detect\.method"):
        Config().replace(detect__method="mean_pixel")
