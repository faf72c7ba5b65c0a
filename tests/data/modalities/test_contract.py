"""Contract of every modality: one battery of tests over the registry and over a toy modality."""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest

from augan.data.cache import load_prepared
from augan.data.dataset import Dataset, from_arrays, plural
from augan.data.fingerprint import dataset_fingerprint
from augan.data.modalities.base import Preprocessing, TrainingDefaults
from augan.data.modalities.images import TRAINING_DEFAULTS, resize
from augan.data.modalities.registry import (
    PREPROCESSINGS,
    fit_preprocessing,
    preprocessing_class,
    restore_preprocessing,
)
from augan.exceptions import DataError

N = 12  # samples of an example


@dataclass(frozen=True)
class Silhouettes(Preprocessing):
    """A toy modality, written by the worked example in CONTRIBUTING: squares of 0 and 1."""

    size: int

    modality: ClassVar[Any] = "silhouettes"
    sample_type: ClassVar[Any] = "image"
    has_pixels: ClassVar[bool] = True
    supports_maps: ClassVar[bool] = False
    supports_residuals: ClassVar[bool] = False
    has_files: ClassVar[bool] = False
    file_formats: ClassVar[tuple[str, ...]] = ("npz",)
    training_defaults: ClassVar[TrainingDefaults] = TRAINING_DEFAULTS
    classes_remedy: ClassVar[str] = "give labels"
    duplicates_remedy: ClassVar[str] = "remove equal silhouettes"

    @classmethod
    def fit(cls, dataset: Dataset, size: int | None = None, rows: np.ndarray | None = None) -> Self:
        dataset.require_images()
        if not len(dataset):
            raise DataError(f"{dataset.name} holds no image; give at least one")
        return cls(size or 8)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.size, self.size, 1

    @property
    def side(self) -> int:
        return self.size

    def describe(self) -> str:
        return f"silhouettes of {self.size}x{self.size}"

    def prepare_all(self, samples: Any) -> np.ndarray:
        squares = np.zeros((len(samples), *self.sample_shape), np.uint8)
        for row, image in enumerate(samples):
            gray = resize(image, self.size, self.size).mean(axis=-1, keepdims=True)
            squares[row] = gray > gray.mean()
        return squares

    def normalize(self, prepared: np.ndarray) -> np.ndarray:
        return 2 * prepared.astype(np.float32) - 1

    def denormalize(self, x: np.ndarray) -> np.ndarray:
        return (x > 0).astype(np.uint8)

    def to_original_size(self, prepared: np.ndarray) -> np.ndarray:
        return prepared

    def whole_samples(self, dataset: Dataset) -> "Silhouettes":
        return self

    def to_dict(self) -> dict[str, Any]:
        return {"modality": self.modality, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        size = values.get("size") if set(values) == {"modality", "size"} else None
        if not isinstance(size, int):
            raise DataError(f"size must be an integer, but is {size!r}")
        return cls(size)


def _pixels(*shape: int, dtype: str = "uint8") -> np.ndarray:
    """Return random pixels of the whole range of a type."""
    rng = np.random.default_rng(sum(shape))
    if dtype == "float32":
        return rng.uniform(-2, 3, shape).astype(np.float32)
    return rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def _ragged(*sides: tuple[int, int]) -> Dataset:
    """Return a dataset of color images of different sizes."""
    images = [_pixels(*sides[row % len(sides)], 3) for row in range(N)]
    return Dataset("ragged", None, images, tuple(map(str, range(N))))


def _table() -> pd.DataFrame:
    """Return a table of numbers, categories, truth values and a constant."""
    rng = np.random.default_rng(0)
    columns = {
        "length": rng.lognormal(0, 1, N).round(2),
        "count": rng.integers(0, 9, N),
        "color": rng.choice(["red", "green", "blue"], N),
        "broken": np.arange(N) % 2 == 0,
        "unit": ["mm"] * N,
    }
    return pd.DataFrame(columns)


EXAMPLES: dict[str, tuple[str, Callable[[], Dataset]]] = {
    "images of 8 bits": ("images", lambda: from_arrays(_pixels(N, 9, 14, 3))),
    "images of 16 bits": ("images", lambda: from_arrays(_pixels(N, 8, 8, dtype="uint16"))),
    "images of floats": ("images", lambda: from_arrays(_pixels(N, 30, 20, dtype="float32"))),
    "images of several sizes": ("images", lambda: _ragged((9, 14), (40, 20))),
    "tiles of one size": ("tiles", lambda: from_arrays(_pixels(N, 140, 150))),
    "tiles of several sizes": ("tiles", lambda: _ragged((130, 140), (300, 280), (40, 150))),
    "rows": ("rows", lambda: from_arrays(_table())),
    "rows with a target": ("rows", lambda: from_arrays(_table(), np.arange(N) % 2)),
    "silhouettes": ("silhouettes", lambda: from_arrays(_pixels(N, 9, 14, 3))),
}


@pytest.fixture(autouse=True)
def _with_toy_modality(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREPROCESSINGS, "silhouettes", Silhouettes)


@dataclass(frozen=True)
class Example:
    """A dataset with the preprocessing that was fitted to it."""

    dataset: Dataset
    fitted: Preprocessing

    def training_batch(self) -> np.ndarray:
        """Return some prepared samples in the form that the networks train on."""
        samples, rows_of = self.fitted.training_samples(
            self.fitted.prepare_samples(self.dataset.images)
        )
        return np.asarray(samples[rows_of(np.array([0, N - 1]))[:8]])


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Example:
    modality, make = EXAMPLES[request.param]
    dataset = make()
    return Example(dataset, PREPROCESSINGS[modality].fit(dataset))


def _list(samples: Any) -> list[np.ndarray]:
    return [np.asarray(sample) for sample in samples]


def _assert_equal(first: Any, second: Any) -> None:
    assert len(first) == len(second)
    for one, other in zip(_list(first), _list(second), strict=True):
        np.testing.assert_array_equal(one, other)


def _other_dataset(fitted: Preprocessing) -> Dataset:
    """Return a dataset of samples of another type."""
    others = {"image": from_arrays(_table()), "row": from_arrays(_pixels(N, 8, 8))}
    return others[fitted.sample_type]


def test_every_modality_has_an_example() -> None:
    assert {modality for modality, _ in EXAMPLES.values()} == set(PREPROCESSINGS)


class TestProperties:
    def test_the_class_answers_every_question(self, example: Example) -> None:
        fitted = example.fitted
        assert fitted.sample_type == example.dataset.sample_type
        assert plural(fitted.sample_type) in ("images", "rows")
        assert fitted.describe()
        assert all((fitted.file_formats, fitted.classes_remedy, fitted.duplicates_remedy))
        assert min(fitted.max_fitting_samples, fitted.reading_chunk_size) >= 1
        assert fitted.scoring_chunk_size <= fitted.reading_chunk_size
        assert all(isinstance(text, str) for text in fitted.warnings)
        assert sum(fitted.groups) <= math.prod(fitted.sample_shape)
        assert isinstance(fitted.training_defaults, TrainingDefaults)

    def test_only_pixels_have_a_side(self, example: Example) -> None:
        fitted = example.fitted
        assert fitted.side == (fitted.sample_shape[0] if fitted.has_pixels else None)

    def test_code_for_one_kind_of_sample_refuses_the_others(self, example: Example) -> None:
        fitted, answers = example.fitted, 0
        for narrow in (fitted.require_images, fitted.require_rows):
            with suppress(DataError):
                assert narrow("the reason") is fitted
                answers += 1
        assert answers == (fitted.modality != "silhouettes")

    def test_the_reason_of_a_refusal_is_the_message_of_the_caller(self, example: Example) -> None:
        other = {"images": "require_rows", "tiles": "require_rows"}
        refuse = getattr(example.fitted, other.get(example.fitted.modality, "require_images"))
        with pytest.raises(DataError, match=r"^the reason$"):
            refuse("the reason")


class TestFit:
    def test_the_order_of_samples_does_not_matter(self, example: Example) -> None:
        backward = example.dataset.subset(np.arange(N)[::-1])
        assert type(example.fitted).fit(backward) == example.fitted

    def test_samples_of_another_type_are_refused(self, example: Example) -> None:
        other = _other_dataset(example.fitted)
        with pytest.raises(DataError, match=r"table|images"):
            type(example.fitted).fit(other)

    def test_an_empty_dataset_is_refused(self, example: Example) -> None:
        empty = example.dataset.subset([])
        with pytest.raises(DataError):
            type(example.fitted).fit(empty)

    def test_equal_samples_are_prepared_alike_if_they_can_be_fitted(self, example: Example) -> None:
        constant = example.dataset.subset(np.full(N, 3))
        try:
            fitted = type(example.fitted).fit(constant)
        except DataError:
            assert not example.fitted.has_pixels  # every column is constant
            return
        prepared = fitted.prepare_all(constant.images)
        _assert_equal(prepared, [prepared[0]] * N)

    def test_samples_of_one_value_are_refused_or_stay_finite(self, example: Example) -> None:
        if example.fitted.has_pixels:
            dtype = example.fitted.pixel_type or "uint8"
            constant = from_arrays(np.full((N, 140, 140), 7, dtype))
        else:
            constant = from_arrays(pd.DataFrame({"length": [2.5] * N}))
        is_refused = example.fitted.fits_values or example.fitted.pixel_type == "float32"
        with pytest.raises(DataError, match="constant") if is_refused else nullcontext():
            fitted = type(example.fitted).fit(constant)
            x, _ = fitted.training_samples(fitted.prepare_samples(constant.images))
            assert np.isfinite(fitted.normalize(np.asarray(x[np.arange(2)]))).all()


class TestPrepare:
    def test_stored_samples_are_one_array(self, example: Example) -> None:
        stored = example.fitted.prepare_all(example.dataset.images)
        assert isinstance(stored, np.ndarray)
        assert len(stored) == N
        if example.fitted.has_fixed_size:
            assert stored.shape == (N, *example.fitted.sample_shape)

    def test_a_detector_gets_the_same_from_files_and_from_memory(self, example: Example) -> None:
        stored = example.fitted.prepare_all(example.dataset.images)
        from_store = example.fitted.detector_samples(stored, example.dataset)
        _assert_equal(from_store, example.fitted.prepare_samples(example.dataset.images))

    def test_each_sample_is_prepared_by_itself(self, example: Example) -> None:
        order = np.random.default_rng(1).permutation(N)
        stored = example.fitted.prepare_all(example.dataset.images)
        permuted = example.fitted.prepare_all(example.dataset.subset(order).images)
        np.testing.assert_array_equal(permuted, stored[order])
        alone = example.fitted.prepare_all(example.dataset.subset([5]).images)
        np.testing.assert_array_equal(alone[0], stored[5])

    def test_no_sample_gives_no_prepared_sample(self, example: Example) -> None:
        empty = example.dataset.subset([]).images
        assert len(example.fitted.prepare_all(empty)) == 0
        assert len(example.fitted.prepare_samples(empty)) == 0

    def test_samples_of_another_type_are_refused(self, example: Example) -> None:
        images = _other_dataset(example.fitted).images
        expected = f"model is one of {plural(example.fitted.sample_type)}"
        with pytest.raises(DataError, match=expected):
            example.fitted.prepare_samples(images)
        with pytest.raises(DataError, match="got "):
            example.fitted.check_samples(images)

    def test_loading_prepares_in_the_same_way(self, example: Example) -> None:
        prepared = load_prepared(example.dataset, example.fitted)
        stored = example.fitted.prepare_all(example.dataset.images)
        np.testing.assert_array_equal(prepared.pixels, stored)


class TestNormalize:
    def test_training_samples_become_float32_from_minus_1_to_1(self, example: Example) -> None:
        batch = example.training_batch()
        x = example.fitted.normalize(batch)
        assert x.dtype == np.float32
        assert x.shape == batch.shape == (len(batch), *example.fitted.sample_shape)
        assert -1 <= x.min() < x.max() <= 1

    def test_the_input_is_not_changed(self, example: Example) -> None:
        batch = example.training_batch()
        before = batch.copy()
        example.fitted.denormalize(example.fitted.normalize(batch))
        np.testing.assert_array_equal(batch, before)

    def test_denormalize_undoes_normalize(self, example: Example) -> None:
        batch = example.training_batch()
        again = example.fitted.denormalize(example.fitted.normalize(batch))
        if np.issubdtype(batch.dtype, np.integer):
            np.testing.assert_array_equal(again, batch)
        else:  # float32 in the networks, and numbers of a table are rounded to their decimals
            np.testing.assert_allclose(again, batch, rtol=0, atol=1e-5)
        assert again.dtype == batch.dtype

    def test_whatever_a_generator_makes_is_a_valid_sample(self, example: Example) -> None:
        x = np.random.default_rng(2).normal(0, 3, (20, *example.fitted.sample_shape))
        made = example.fitted.denormalize(x.astype(np.float32))
        again = example.fitted.normalize(made)
        assert np.isfinite(again).all()
        assert np.abs(again).max() <= 1
        np.testing.assert_allclose(example.fitted.denormalize(again), made, atol=1e-5)

    def test_samples_normalize_alone_as_in_a_batch(self, example: Example) -> None:
        batch = example.training_batch()
        alone = np.concatenate([example.fitted.normalize(one[None]) for one in batch])
        np.testing.assert_array_equal(example.fitted.normalize(batch), alone)


class TestStore:
    def test_a_bundle_restores_the_preprocessing(self, example: Example) -> None:
        values = json.loads(json.dumps(example.fitted.to_dict(), allow_nan=False))
        restored = restore_preprocessing(values)
        assert restored == example.fitted
        assert restored.to_dict() == example.fitted.to_dict()
        assert type(restored) is type(example.fitted)

    def test_a_missing_or_unknown_field_is_refused(self, example: Example) -> None:
        values = example.fitted.to_dict()
        for name in values:
            with pytest.raises(DataError):
                restore_preprocessing({key: values[key] for key in values if key != name})
        with pytest.raises(DataError):
            restore_preprocessing({**values, "extra": 1})

    @pytest.mark.parametrize("modality", ["sounds", "", None, 3, ["images"]])
    def test_an_unknown_modality_is_refused(self, example: Example, modality: Any) -> None:
        with pytest.raises(DataError, match=r"modality .* images, tiles, rows"):
            restore_preprocessing({**example.fitted.to_dict(), "modality": modality})

    def test_the_fingerprint_depends_on_the_samples(self, example: Example) -> None:
        fitted = example.fitted
        prepared, backward = (
            load_prepared(dataset, fitted)
            for dataset in (example.dataset, example.dataset.subset(np.arange(N)[::-1]))
        )
        assert dataset_fingerprint(prepared, fitted) == dataset_fingerprint(prepared, fitted)
        assert dataset_fingerprint(prepared, fitted) != dataset_fingerprint(backward, fitted)


class TestMaps:
    def test_a_map_has_the_size_of_the_original_sample(self, example: Example) -> None:
        prepared = _list(example.fitted.prepare_samples(example.dataset.images))
        if not example.fitted.supports_maps:
            with pytest.raises(DataError, match="no anomaly maps"):
                example.fitted.resize_map(np.zeros((8, 8, 1), np.float32), (9, 14))
            return
        shapes = [(h.height, h.width) for h in example.dataset.headers()]
        for sample, shape in zip(prepared, shapes, strict=True):
            raw = sample[..., :1].astype(np.float32)
            resized = example.fitted.resize_map(raw, shape)
            assert resized.shape == shape
            assert resized.dtype == np.float32
            assert raw.min() <= resized.min() <= resized.max() <= raw.max()

    def test_generated_samples_have_the_original_size(self, example: Example) -> None:
        batch = example.training_batch()
        original = example.fitted.to_original_size(batch)
        assert len(original) == len(batch)
        assert original.dtype == batch.dtype
        shape = example.fitted.original_shape
        if shape is not None and example.fitted.has_fixed_size:
            assert original.shape[1:3] == shape


class TestWholeSamples:
    def test_whole_samples_are_arrays_of_one_shape(self, example: Example) -> None:
        whole = example.fitted.whole_samples(example.dataset)
        assert whole.has_fixed_size
        stored = whole.prepare_all(example.dataset.images)
        assert stored.shape == (N, *whole.sample_shape)

    def test_only_samples_of_pixels_can_be_blank(self, example: Example) -> None:
        samples = _list(example.fitted.prepare_samples(example.dataset.images))
        assert not any(map(example.fitted.is_blank, samples))
        if example.fitted.supports_maps:
            assert example.fitted.is_blank(np.zeros_like(samples[0]))


class TestRegistry:
    def test_the_type_of_samples_chooses_the_modality(self) -> None:
        images, table = from_arrays(_pixels(N, 140, 150)), from_arrays(_table())
        assert fit_preprocessing(images).modality == "images"
        assert fit_preprocessing(images, tiled=True).modality == "tiles"
        assert fit_preprocessing(table).modality == "rows"

    def test_rows_have_no_tiles(self) -> None:
        with pytest.raises(DataError, match="a row cannot be cut into tiles"):
            preprocessing_class("row", tiled=True)
