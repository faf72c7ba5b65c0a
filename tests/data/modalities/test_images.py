"""Preprocessing of images: letterboxing, bit depth, range."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augan.data.cache import decode_all
from augan.data.dataset import Dataset, from_arrays
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing, letterbox_shape, resize
from augan.data.sequences import ImageFiles
from augan.exceptions import DataError
from augan.io.images import write_png

RANGES = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "float32": (-2.0, 3.0)}


def make(size=8, channels=1, dtype="uint8", original_shape=None):
    return ImagePreprocessing(size, channels, dtype, *RANGES[dtype], original_shape)


def noise(*shape, dtype="uint8", seed=0):
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.uniform(-2, 3, shape).astype(np.float32)
    return rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype)


# Learning


@pytest.mark.parametrize(
    ("side", "size"), [(3, 8), (8, 8), (9, 16), (28, 32), (32, 32), (33, 64), (128, 64), (500, 64)]
)
def test_size_is_the_smallest_that_holds_the_image(side, size):
    learned = ImagePreprocessing.fit(from_arrays(np.zeros((2, 2, side), np.uint8)))
    assert learned == ImagePreprocessing(size, 1, "uint8", 0.0, 255.0, (2, side))


def test_size_follows_the_median_image_and_can_be_given():
    images = [np.zeros((side, 2, 1), np.uint8) for side in (6, 7, 400)]
    dataset = Dataset("mixed", None, images, ("a", "b", "c"))
    assert ImagePreprocessing.fit(dataset).size == 8
    assert ImagePreprocessing.fit(dataset).original_shape is None
    assert ImagePreprocessing.fit(dataset, 128).size == 128
    for size in (0, 4, 12, -8):
        with pytest.raises(DataError, match="power of two"):
            ImagePreprocessing.fit(dataset, size)


def test_unlabeled_images_count_like_the_others():
    labeled = np.linspace(0, 1, 2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8)
    dataset = from_arrays(labeled, ["a", "b"], unlabeled=np.full((5, 20, 30, 3), -3.0))
    learned = ImagePreprocessing.fit(dataset)
    assert learned == ImagePreprocessing(32, 3, "float32", -3.0, 1.0)
    assert ImagePreprocessing.fit(dataset.without_unlabeled()).low == 0.0


def test_one_deep_or_color_file_sets_type_and_channels(tmp_path):
    write_png(tmp_path / "gray.png", np.full((8, 8), 7, np.uint8))
    assert ImagePreprocessing.fit(load_dataset(tmp_path)).dtype == "uint8"
    write_png(tmp_path / "colour.png", np.full((8, 8, 3), 7, np.uint8))
    write_png(tmp_path / "deep.png", np.full((8, 8), 1799, np.uint16))
    dataset = load_dataset(tmp_path)
    learned = ImagePreprocessing.fit(dataset)
    assert learned == ImagePreprocessing(8, 3, "uint16", 0.0, 65535.0, (8, 8))
    _, pixels = decode_all(dataset, learned)
    np.testing.assert_array_equal(pixels, np.full((3, 8, 8, 3), 7 * 257, np.uint16))


def test_float_range_is_learned_and_must_not_be_constant():
    learned = ImagePreprocessing.fit(from_arrays(np.array([-4.0, 6.0]).reshape(2, 1, 1)))
    assert (learned.dtype, learned.low, learned.high) == ("float32", -4.0, 6.0)
    with pytest.raises(DataError, match=r"value 1\.5"):
        ImagePreprocessing.fit(from_arrays(np.full((2, 4, 4), 1.5)))


def test_integers_in_other_units_are_refused_by_a_float_model():
    """A model of images from 0 to 1 would take every PNG file for an anomaly."""
    learned = ImagePreprocessing.fit(from_arrays(np.array([0.0, 1.0]).reshape(2, 1, 1)))
    with pytest.raises(DataError, match=r"uint8 up to 255, but .* floating-point .* 0 to 1"):
        learned.prepare(np.full((8, 8, 1), 255, np.uint8))
    assert learned.prepare(np.full((8, 8, 1), 2, np.uint8)).max() == 2  # odd, and in its units


def test_fit_without_images_is_refused():
    with pytest.raises(DataError, match="no image"):
        ImagePreprocessing.fit(from_arrays(np.zeros((1, 8, 8))).subset([]))


# Geometry


def test_fitting_image_is_centered_and_its_edges_repeated():
    image = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], np.uint8)[..., None]
    square = make().prepare(image)[..., 0]
    top, bottom = [1, 1, 2, 3, 4, 5, 5, 5], [6, 6, 7, 8, 9, 10, 10, 10]
    assert square.tolist() == [top] * 4 + [bottom] * 4


@pytest.mark.parametrize(
    ("shape", "fitted"),
    [((8, 8), (8, 8)), ((5, 1), (5, 1)), ((4, 4), (8, 8)), ((2, 4), (4, 8)), ((1, 1), (8, 8)),
     ((9, 8), (8, 7)), ((16, 4), (8, 2)), ((1000, 1), (8, 1))],
)  # fmt: skip
def test_letterbox_shape(shape, fitted):
    assert letterbox_shape(*shape, 8) == fitted


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_large_image_is_averaged_by_area(dtype):
    image = noise(16, 16, 3, dtype=dtype)
    square = make(channels=3, dtype=dtype).prepare(image)
    expected = image.reshape(8, 2, 8, 2, 3).mean(axis=(1, 3), dtype=np.float64)
    np.testing.assert_allclose(square, expected, atol=0.51 if dtype != "float32" else 1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_small_image_is_enlarged_bilinearly(dtype):
    image = np.array([[0, 200]], dtype)[..., None]
    row = resize(image, 1, 8)[0, :, 0]
    assert row.tolist() == [0, 0, 25, 75, 125, 175, 200, 200]


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.sampled_from([8, 16]),
    dtype=st.sampled_from(sorted(RANGES)),
    gray=st.booleans(),
)
def test_prepare_keeps_range_shape_and_type(height, width, size, dtype, gray):
    image = noise(height, width, 1 if gray else 3, dtype=dtype, seed=height * 41 + width)
    model = make(size, 3, dtype, (height, width))
    square = model.prepare(image)
    assert square.shape == (size, size, 3)
    assert square.dtype == np.dtype(dtype)
    slack = 1e-5 if dtype == "float32" else 0
    assert image.min() - slack <= square.min() <= square.max() <= image.max() + slack
    if gray:
        assert np.ptp(square, axis=-1).max() == 0
    batch = np.stack([image, image])
    np.testing.assert_array_equal(model.prepare_all(batch), np.stack([square, square]))
    native = model.to_original_size(square[None])
    assert native.shape == (1, height, width, 3)
    assert native.dtype == square.dtype
    if size < 2 * max(height, width) <= 2 * size:
        np.testing.assert_array_equal(native[0], np.broadcast_to(image, (height, width, 3)))


@pytest.mark.parametrize(
    ("shape", "tolerance"), [((32, 20), 0.005), ((20, 32), 0.005), ((7, 5), 0.03), ((3, 2), 0.07)]
)
def test_to_original_size_restores_positions(shape, tolerance):
    # A smooth picture survives shrinking or enlarging; a shifted crop would not match it.
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    image = (x + 2 * y).astype(np.float32)[..., None]
    model = make(16, 1, "float32", shape)
    native = model.to_original_size(model.prepare(image)[None])[0]
    assert native.shape == image.shape
    assert np.abs(native - image).mean() < tolerance


def test_to_original_size_of_mixed_sizes_and_of_maps():
    squares = noise(2, 8, 8, 1)
    assert make().to_original_size(squares) is squares
    maps = noise(2, 8, 8, 2, dtype="float32")
    model = make(original_shape=(6, 5))
    np.testing.assert_array_equal(model.to_original_size(maps), maps[:, 1:7, 1:6])
    assert model.to_original_size(maps[:0]).shape == (0, 6, 5, 2)
    with pytest.raises(DataError, match=r"\[2, 4, 8, 1\]"):
        model.to_original_size(squares[:, :4])


# Depth, channels, range


@pytest.mark.parametrize(
    ("image", "model", "message"),
    [
        (noise(8, 8, 3), make(), "another channel count"),
        (noise(8, 8, 1, dtype="uint16"), make(), "uint16, but the model takes uint8"),
        (noise(8, 8, 1, dtype="float32"), make(), "float32, but the model takes uint8"),
        (noise(8, 8, 1, dtype="float32"), make(dtype="uint16"), "the model takes uint16"),
        (noise(8, 8, 1).astype(np.int64), make(), "int64"),
        (noise(8, 8), make(), r"\[H, W, C\]"),
    ],
)
def test_prepare_refuses_a_loss_of_information(image, model, message):
    with pytest.raises(DataError, match=message):
        model.prepare(image)
    if image.ndim == 3:
        with pytest.raises(DataError, match=message):
            model.prepare_all(image[None])
        with pytest.raises(DataError, match=f"image 1: .*{message}"):
            model.prepare_all([np.zeros((8, 8, 1), model.dtype), image])


def test_integers_keep_their_value_in_a_float_model():
    image = noise(8, 8, 1, dtype="uint16") % 9
    square = make(dtype="float32").prepare(image)
    np.testing.assert_array_equal(square, image.astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_integer_survives_normalize(dtype):
    model = make(dtype=dtype)
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    scaled = model.normalize(values)
    assert scaled.dtype == np.float32
    assert (scaled[0], scaled[-1]) == (-1, 1)
    np.testing.assert_array_equal(model.denormalize(scaled), values)


@settings(max_examples=60, deadline=None)
@given(
    low=st.floats(-(2.0**100), 2.0**100, width=32),
    span=st.floats(2.0**-20, 2.0**100, width=32),
    at=st.floats(0, 1),
)
def test_floats_survive_normalize(low, span, at):
    high = low + span
    if not low < high:
        return
    model = ImagePreprocessing(8, 1, "float32", low, high)
    values = np.array([low, low + at * span, high], np.float32)
    scaled = model.normalize(values)
    tolerance = 1e-6 * (abs(low) + span)
    np.testing.assert_allclose(model.denormalize(scaled), values, rtol=0, atol=tolerance)


def test_normalize_does_not_clip_but_denormalize_does():
    model = make(dtype="float32")
    np.testing.assert_allclose(model.normalize(np.array([-7.0, 0.5, 8.0])), [-3, 0, 3])
    np.testing.assert_allclose(model.denormalize(np.array([-3.0, 0.0, 3.0])), [-2, 0.5, 3])
    assert make().denormalize(np.array([-9.0, -1.0, 0.0, 0.99, 9.0])).tolist() == [
        0,
        0,
        128,
        254,
        255,
    ]


# Storage


@pytest.mark.parametrize("original_shape", [None, (6, 5)])
@pytest.mark.parametrize("dtype", sorted(RANGES))
def test_dictionary_round_trip(dtype, original_shape):
    model = make(16, 3, dtype, original_shape)
    assert ImagePreprocessing.from_dict(json.loads(json.dumps(model.to_dict()))) == model


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "8"},
        {"size": True},
        {"size": 7},
        {"channels": 2},
        {"dtype": "int8"},
        {"dtype": None},
        {"low": "0"},
        {"high": 254.5},
        {"high": 256.0},
        {"low": -1.0},
        {"dtype": "float32", "high": float("inf")},
        {"dtype": "float32", "high": float("nan")},
        {"dtype": "float32", "low": 255.0},
        {"original_shape": [8]},
        {"original_shape": [0, 8]},
        {"original_shape": "88"},
        {"original_shape": [8.5, 8]},
        {"more": 1},
    ],
)
def test_nonsense_dictionaries_are_refused(changes):
    with pytest.raises(DataError):
        ImagePreprocessing.from_dict({**make().to_dict(), **changes})


def test_incomplete_dictionaries_are_refused():
    for values in ({"size": 8}, [], None):
        with pytest.raises(DataError, match="must have the fields"):
            ImagePreprocessing.from_dict(values)


# Decoding a whole dataset


def write_files(folder, count):
    noise = np.random.default_rng(0)
    for i in range(count):
        write_png(folder / f"{i:02d}.png", noise.integers(0, 256, (9, 9), np.uint8))
    return load_dataset(folder)


def truncate(path):
    path.write_bytes(path.read_bytes()[:80])


def test_decode_all_drops_unreadable_files(tmp_path):
    dataset = write_files(tmp_path, 20)
    whole, expected = decode_all(dataset, make(16))
    assert whole is dataset
    truncate(tmp_path / "03.png")
    kept, pixels = decode_all(dataset, make(16))
    assert [name for name, _ in kept.skipped] == ["03.png"]
    assert isinstance(kept.images, ImageFiles)
    assert "03.png" not in kept.names
    np.testing.assert_array_equal(pixels, np.delete(expected, 3, axis=0))


def test_decode_all_counts_files_skipped_by_loading(tmp_path):
    write_files(tmp_path, 20)
    (tmp_path / "empty.png").touch()
    dataset = load_dataset(tmp_path)
    truncate(tmp_path / "03.png")
    kept, _ = decode_all(dataset, make(16))
    assert [name for name, _ in kept.skipped] == ["empty.png", "03.png"]
    truncate(tmp_path / "04.png")
    with pytest.raises(DataError, match="3 of 21"):
        decode_all(dataset, make(16))


def test_decode_all_names_the_file_that_does_not_fit(tmp_path):
    dataset = write_files(tmp_path, 2)
    write_png(tmp_path / "01.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match=r"01\.png: .*another channel count"):
        decode_all(dataset, make(16))


def test_decode_all_of_arrays():
    dataset, pixels = decode_all(from_arrays(noise(3, 6, 7)), make())
    assert len(dataset) == 3
    np.testing.assert_array_equal(pixels[:, 1:7, :7, 0], noise(3, 6, 7))


# Values of cameras with 10, 12 or 14 bits, and arrays of few levels


@pytest.mark.parametrize("high", [1023, 3900, 16383])
def test_the_range_of_16_bit_files_is_that_of_the_training_images(tmp_path, high):
    ramp = np.linspace(100, high, 64).astype(np.uint16).reshape(8, 8)
    write_png(tmp_path / "a.png", ramp)
    write_png(tmp_path / "b.png", ramp[::-1])
    learned = ImagePreprocessing.fit(load_dataset(tmp_path))
    assert (learned.dtype, learned.low, learned.high) == ("uint16", 100.0, float(high))
    assert ImagePreprocessing.from_dict(json.loads(json.dumps(learned.to_dict()))) == learned
    assert learned.describe() == f"8x8 gray, values 100 to {high}"
    x = learned.normalize(learned.prepare(ramp[..., None]))
    assert (x.min(), x.max()) == pytest.approx((-1.0, 1.0), abs=1e-6)
    generated = learned.denormalize(np.array([-3.0, -1.0, 1.0, 3.0], np.float32))
    assert generated.tolist() == [100, 100, high, high]  # never outside of the training values
    assert learned.to_uint8(ramp).min() == 0
    assert learned.to_uint8(ramp).max() == 255
    assert learned.to_picture(ramp[..., None]).max() == 255


def test_8_bits_are_stretched_to_the_depth_of_the_camera(tmp_path):
    learned = ImagePreprocessing(8, 1, "uint16", 12.0, 3900.0)
    white, black = (np.full((8, 8, 1), value, np.uint8) for value in (255, 0))
    assert (learned.prepare(white).max(), learned.prepare(black).max()) == (4095, 0)
    full = ImagePreprocessing(8, 1, "uint16", 3.0, 65000.0)
    assert full.prepare(white).max() == 65535


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "uint16", "int8"])
@pytest.mark.parametrize("high", [1, 16])
def test_the_range_of_arrays_with_few_levels_is_theirs(dtype, high):
    rng = np.random.default_rng(0)
    x = rng.integers(0, high + 1, (6, 8, 8)).astype(dtype)
    learned = ImagePreprocessing.fit(from_arrays(x))
    assert (learned.low, learned.high) == (0.0, float(high))
    prepared = learned.prepare_all(from_arrays(x).images)
    assert set(np.unique(learned.normalize(prepared)[[0]])) <= set(
        np.float32(np.arange(high + 1) * (2 / high) - 1)
    )
    assert learned.to_uint8(prepared).max() == 255


def test_8_bits_keep_their_full_range(tmp_path):
    dark = np.full((8, 8), 40, np.uint8)
    write_png(tmp_path / "dark.png", dark)
    for dataset in (load_dataset(tmp_path), from_arrays(np.full((2, 8, 8), 200, np.int64))):
        learned = ImagePreprocessing.fit(dataset)
        assert (learned.low, learned.high, learned.has_full_range) == (0.0, 255.0, True)
        assert learned.describe() == "8x8 gray"
        assert learned.values_of(dark[..., None]) is None


def test_a_16_bit_image_of_one_value_has_the_full_range():
    learned = ImagePreprocessing.fit(from_arrays(np.full((2, 8, 8), 900, np.uint16)))
    assert (learned.low, learned.high) == (0.0, 65535.0)


@pytest.mark.parametrize(
    ("values", "differs"),
    [
        ((0.0, 255.0), True),
        ((-128.0, 1.0), True),
        ((0.2, 0.21), True),
        ((0.0, 1.0), False),
        ((-0.5, 1.8), False),
        ((0.4, 0.4), False),
        (None, False),
    ],
)
def test_images_of_another_range_are_named_with_both_ranges(values, differs):
    learned = ImagePreprocessing(8, 1, "float32", 0.0, 1.0)
    text = learned.describe_other_range(values)
    assert (text is not None) == differs
    if text is not None:
        assert f"from {values[0]:g} to {values[1]:g}" in text
        assert "from 0 to 1" in text
