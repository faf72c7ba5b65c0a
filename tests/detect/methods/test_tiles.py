"""Large images: tiling, scores by location, and a run from training to detection."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from augan import DetectionRequest
from augan.bundle import load_bundle, read_weights
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.data.loading import load_dataset
from augan.data.modalities.registry import restore_preprocessing
from augan.data.modalities.tiles import (
    MAX_LONG_SIDE,
    MAX_SHORT_SIDE,
    TiledPreprocessing,
    working_shape,
)
from augan.data.sequences import MIRRORS, RaggedImages, SlidingWindows
from augan.detect.api import detect_folder
from augan.detect.detector import Detector
from augan.detect.methods.tiles import TOP_FRACTION, PatchFeatures
from augan.detect.scoring.locations import comparison_grid, top_fraction_mean
from augan.detect.scoring.standardizer import BORDER_WIDTH, BorderNormalizer
from augan.exceptions import ConfigError, DataError
from augan.gan.networks.build import build_network, network_spec
from augan.gan.networks.heads import concat_blocks, concat_channels, fully_convolutional
from augan.training.defaults import resolve_defaults
from augan.workflow.train import train

WINDOW = 32


def surface(rng, height, width):
    """A gray texture of stripes, `[H, W, 1]` uint8."""
    stripes = 128 + 20 * np.sin(np.arange(width) / 2)[None, :, None]
    return (stripes + rng.normal(0, 6, (height, width, 1))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [surface(rng, 140 + 4 * (i % 3), 150) for i in range(36)]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("surfaces")
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(path / f"{i:02}.png")
    return path


# ---------------------------------------------------------------- windows


@given(st.integers(8, 60), st.integers(8, 60), st.sampled_from([8, 16]), st.integers(1, 20))
def test_windows_cover_every_pixel_and_stay_inside(height, width, side, step):
    height, width = max(height, side), max(width, side)
    picture = np.arange(height * width, dtype=np.int64).reshape(height, width, 1)
    windows = SlidingWindows(RaggedImages([picture]), side, min(step, side))
    plain = windows[np.arange(len(windows.owners))]
    assert plain.shape[1:] == (side, side, 1)
    assert set(plain.ravel()) == set(picture.ravel())


def test_windows_are_mirrored_and_belong_to_their_picture():
    large = RaggedImages([np.full((10, 12, 1), i) + np.arange(12)[:, None] for i in (0, 100)])
    windows = SlidingWindows(large, 8, 4)
    count = len(windows.owners)
    assert len(windows) == len(MIRRORS) * count
    rows = windows.rows_of(np.array([1]))
    assert len(rows) == len(windows) / 2
    assert windows[rows].min() == 100
    for i, (down, across) in enumerate(MIRRORS):
        np.testing.assert_array_equal(windows[i * count], windows[0][::down, ::across])


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_images_keep_their_scale_unless_they_are_very_large(height, width):
    found = working_shape(height, width, WINDOW)
    assert min(found) >= WINDOW
    assert min(found) <= max(MAX_SHORT_SIDE, WINDOW)
    assert max(found) <= max(MAX_LONG_SIDE, WINDOW)
    if min(height, width) <= MAX_SHORT_SIDE and max(height, width) <= MAX_LONG_SIDE:
        assert found == (max(height, WINDOW), max(width, WINDOW))


def test_stored_pictures_do_not_depend_on_the_light(images):
    patches = TiledPreprocessing.fit(from_arrays(np.stack([images[0]] * 3)), WINDOW)
    picture = patches.prepare_sample(images[0])
    assert picture.dtype == np.uint8
    darker = patches.prepare_sample((images[0] * 0.6).astype(np.uint8))
    assert np.abs(picture.astype(int) - darker).mean() < 3
    assert picture.std() > 10  # the stripes are there
    assert patches.normalize(picture).min() >= -1
    np.testing.assert_array_equal(patches.denormalize(patches.normalize(picture)), picture)


def test_a_small_image_is_filled_up_to_a_window(images):
    patches = TiledPreprocessing.fit(from_arrays(np.stack([images[0]] * 3)), WINDOW)
    assert patches.prepare_sample(images[0][:10, :20]).shape == (WINDOW, WINDOW, 1)


def test_the_preprocessing_comes_back_from_the_bundle(images):
    patches = TiledPreprocessing.fit(from_arrays(np.stack([images[0]] * 3)), WINDOW)
    assert restore_preprocessing(patches.to_dict()) == patches
    for wrong in ({"window": 4}, {"window": None}, {"size": 8}):
        with pytest.raises(DataError):
            restore_preprocessing({**patches.to_dict(), **wrong})


# ---------------------------------------------------------------- when


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"data__size": 64}, False),
        ({"data__tiling": False}, False),
        ({"detect__methods": ("fanogan",)}, False),
        ({"task": "generate"}, False),
    ],
)
def test_a_detector_alone_sees_large_images_through_windows(images, settings, expected):
    data = from_arrays(np.stack([image[:140] for image in images]))
    config, preprocessing = resolve_defaults(Config(task="detect").replace(**settings), data)
    assert config.data.tiling is expected
    assert (preprocessing.modality == "tiles") is expected
    assert bool(config.gan.localization_head) is expected


def test_windows_are_refused_where_a_generator_must_draw_whole_images(images):
    data = from_arrays(np.stack([image[:140] for image in images]))
    with pytest.raises(ConfigError, match=r"data\.tiling=true requires images"):
        resolve_defaults(Config(task="generate").replace(data__tiling=True), data)


# ---------------------------------------------------------------- locations


@pytest.fixture(scope="module")
def models():
    discriminator = build_network(
        network_spec(
            "dcgan",
            "discriminator",
            image_shape=[64, 64, 1],
            num_classes=0,
            width=4,
            norm="none",
            seed=3,
            weights="he",
        )
    )
    size = sum(concat_channels(fully_convolutional(discriminator)))
    spec = network_spec("convolutional", "localization_head", image_shape=[size], seed=4)
    return {"discriminator": discriminator, "localization_head": build_network(spec)}


def test_the_trunk_sees_the_same_in_an_image_of_any_size(models):
    blocks = fully_convolutional(models["discriminator"])
    large = np.random.default_rng(0).uniform(-1, 1, (1, 128, 192, 1)).astype(np.float32)
    whole, part = (
        concat_blocks(blocks(x, training=False)) for x in (large, large[:, 32:96, 64:128])
    )
    assert whole.shape == (1, 32, 48, sum(concat_channels(blocks)))
    # Far enough from the window's edges, where it sees zeros in place of the image.
    np.testing.assert_allclose(whole[0, 16, 24, :8], part[0, 8, 8, :8], atol=1e-5)


def test_maps_are_normalized_by_the_distance_from_the_borders():
    rng = np.random.default_rng(0)

    def normal_map(height, width):
        values = rng.normal(0, 1, (height, width, 1))
        values[0] = values[0] * 3 + 10
        return values

    borders = BorderNormalizer().fit(normal_map(20 + i % 3, 30) for i in range(60))
    values = borders(normal_map(24, 40)).numpy()
    assert np.abs(values[0]).mean() < 1.2  # high values are normal there
    assert abs(values.std() - 1) < 0.15
    restored = BorderNormalizer().set_state(borders.get_state())
    small = normal_map(2 * BORDER_WIDTH, 9)
    np.testing.assert_array_equal(restored(small), borders(small))


def test_locations_are_compared_with_locations_that_are_not_near():
    others, down, across = (x.numpy() for x in comparison_grid(30, 40))
    assert len(others) == 15 * 20
    near = down[15] & across[20]
    rows, columns = np.divmod(others[near], 40)
    assert np.abs(rows - 15).max() < 8
    assert np.abs(columns - 20).max() < 8
    rows, columns = np.divmod(others[~near], 40)
    assert np.maximum(np.abs(rows - 15), np.abs(columns - 20)).min() >= 8


@given(st.integers(1, 24), st.integers(1, 24))
def test_every_location_of_a_small_image_has_locations_to_compare(height, width):
    _, down, across = (x.numpy() for x in comparison_grid(height, width))
    near = down[:, None] & across
    assert not near.all(axis=-1).any()


def test_the_score_is_the_mean_where_the_sum_of_maps_is_highest():
    values = np.zeros((50, 20, 2))
    values[3, 4], values[7, 7] = (5, 1), (0, 5)
    np.testing.assert_array_equal(
        top_fraction_mean(values, TOP_FRACTION), [2.5, 3]
    )  # the two highest of 1,000


def test_each_image_is_scored_alone_and_located_where_it_is_corrupted(models, images):
    patches = TiledPreprocessing.fit(from_arrays(np.stack([image[:140] for image in images])), 64)
    large = patches.normalize(RaggedImages([patches.prepare_sample(image) for image in images]))
    before = read_weights(models["discriminator"])
    method = PatchFeatures(models).fit(large[:24], large[24:30])
    names = [component.name for component in method.components]
    assert names == ["self_dissimilarity", "mahalanobis", "synthetic_defects"]
    corrupted = images[30].copy()
    corrupted[100:112, 30:42] = 10
    new = [patches.prepare_sample(image) for image in (*images[30:], corrupted)]
    new = patches.normalize(RaggedImages(new))
    components = method.score_components(new)
    assert components.shape == (7, 3)
    assert components.sum(axis=1).argmax() == 6
    np.testing.assert_array_equal(method.score_components(new[4:5]), components[4:5])
    values = method.maps(new)[6][..., 0]
    assert values.shape == images[30].shape[:2]
    down, across = np.unravel_index(values.argmax(), values.shape)
    assert 92 <= down < 120
    assert 22 <= across < 50
    restored = PatchFeatures(models).set_state(method.get_state())
    np.testing.assert_array_equal(restored.score_components(new), components)
    for name, value in read_weights(models["discriminator"]).items():
        np.testing.assert_array_equal(value, before[name])


# ---------------------------------------------------------------- the whole task


def test_train_and_detect_on_a_folder_of_large_images(folder, images, tmp_path):
    config = Config(task="detect").override(
        [
            "training.steps=2",
            "training.batch_size=8",
            "discriminator.width=4",
            "generator.width=4",
            "classifier.width=4",
        ]
    )
    bundle = train(config, load_dataset(folder), out=tmp_path / "run")
    assert bundle.config.data.tiling is True
    assert set(bundle.networks) == {"generator", "discriminator", "localization_head", "rotation"}
    again = train(config, load_dataset(folder), out=tmp_path / "again")
    assert again.sha256 == bundle.sha256
    new = tmp_path / "new"
    new.mkdir()
    corrupted = images[0].copy()
    corrupted[40:60, 100:120] = 255
    for name, image in {"good": images[1], "bad": corrupted, "tiny": images[2][:20, :30]}.items():
        Image.fromarray(image[..., 0]).save(new / f"{name}.png")
    result = detect_folder(
        load_bundle(tmp_path / "run"), DetectionRequest(new, save_maps=True), tmp_path / "out"
    )
    found = {image.path: image for image in result.most_anomalous}
    assert found["bad.png"].score > found["good.png"].score
    scores = Detector.from_bundle(bundle).score(
        RaggedImages([Detector.from_bundle(bundle).preprocessing.prepare_sample(corrupted)])
    )
    assert found["bad.png"].score == pytest.approx(scores[0])
    with Image.open(tmp_path / "out" / "maps" / "bad.png.png") as values:
        assert values.size == (150, 140)
