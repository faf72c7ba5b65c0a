"""Tests of the sections: a round trip of any valid bundle, and refusal of every damaged value."""

import copy
import json
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydantic import ValidationError

from augan.bundle import (
    Bundle,
    BundleMetrics,
    CalibrationSamples,
    CalibrationScores,
    ClassifierAccuracy,
    ClassTranslation,
    DatasetInfo,
    DetectorSection,
    FidelityMetrics,
    FittedMethod,
    GanMetrics,
    GeneratorFidelity,
    Latents,
    Network,
    NetworkSpec,
    PseudoLabelCounts,
    Splits,
    TrainingFailure,
    TrainingMetrics,
    TranslationMetrics,
    TranslationSection,
    serialization,
)
from augan.bundle.members import SECTIONS, decode_members, encode_members
from augan.config import Config
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.exceptions import BundleError

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
COUNT = st.integers(0, 2**53 - 1)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
RATIO = st.floats(0, 1)
NAME = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True)
ARRAYS = st.one_of(
    npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    for dtype in ("<f4", "<f8", "<i8", "|b1", "<U3", "|u1")
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | COUNT | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
GAN_METRICS = st.builds(GanMetrics, COUNT, *([NUMBER] * 6))
FIDELITY_VALUES = {
    **{"n_real": COUNT, "n_generated": COUNT, "extractor": TEXT, "is_small_sample": st.booleans()},
    **dict.fromkeys(
        ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"),
        NUMBER,
    ),
}
FIDELITY = st.builds(
    GeneratorFidelity,
    **FIDELITY_VALUES,
    floor=st.builds(FidelityMetrics, **FIDELITY_VALUES),
    untrained_kernel_distance=NUMBER,
)
FAILURE = st.builds(
    TrainingFailure, st.sampled_from(["collapse", "overfitting", "divergence"]), COUNT, TEXT
)
TRAINING = {
    "steps": st.dictionaries(TEXT, COUNT, max_size=3),
    "failure": st.none() | FAILURE,
    "fidelity": st.none() | FIDELITY,
    "gan_metrics": st.lists(GAN_METRICS, max_size=2).map(tuple),
}
METRICS = st.builds(
    BundleMetrics,
    **TRAINING,
    folds=st.lists(st.builds(TrainingMetrics, **TRAINING), max_size=2).map(tuple),
    classifier=st.none() | st.builds(ClassifierAccuracy, RATIO, COUNT, TEXT),
    pseudo_labels=st.none()
    | st.builds(PseudoLabelCounts, COUNT, COUNT, st.lists(NUMBER, max_size=3).map(tuple)),
    warnings=st.lists(TEXT, max_size=2).map(tuple),
)
CLASS_TRANSLATION = st.builds(ClassTranslation, TEXT, st.none() | NUMBER, st.none() | RATIO)
TRANSLATION_METRICS = st.builds(
    TranslationMetrics,
    *(COUNT, COUNT, NUMBER, NUMBER, NUMBER, NUMBER),
    st.none() | RATIO,
    st.none() | RATIO,
    st.lists(CLASS_TRANSLATION, max_size=2).map(tuple),
)
CALIBRATED_ON = st.builds(
    CalibrationSamples,
    TEXT,
    COUNT,
    COUNT,
    COUNT,
    st.lists(TEXT, max_size=2).map(tuple),
    st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
RATES = st.none() | st.floats(0.01, 0.5)
NETWORK_NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,9}", fullmatch=True)
NETWORK = st.builds(
    Network,
    st.builds(NetworkSpec, TEXT, TEXT, st.dictionaries(TEXT, JSON_VALUES, max_size=3)),
    st.dictionaries(NAME, ARRAYS.filter(lambda array: array.dtype.kind != "U"), max_size=3),
)
PREPROCESSING = st.builds(
    ImagePreprocessing,
    st.sampled_from([8, 16, 32]),
    st.sampled_from([1, 3]),
    st.just("uint8"),
    st.just(0.0),
    st.just(255.0),
    st.none() | st.tuples(st.integers(1, 99), st.integers(1, 99)),
)


@st.composite
def calibrations(draw: st.DrawFn, num_folds: int | None) -> CalibrationScores:
    """Return the scores of a calibration, of folds of one sample or more if there are folds."""
    sizes = ()
    if num_folds is not None and draw(st.booleans()):
        sizes = tuple(draw(st.lists(st.integers(1, 3), min_size=num_folds, max_size=num_folds)))
    n = sum(sizes) or draw(st.integers(1, 9))
    scores = np.sort(draw(npst.arrays(np.float64, n, elements=NUMBER)))
    return CalibrationScores(scores, draw(st.integers(1, n)), sizes)


@st.composite
def detectors(draw: st.DrawFn) -> DetectorSection:
    """Return a detector section."""
    num_folds = draw(st.none() | st.integers(2, 4))
    calibration = st.none() | calibrations(num_folds)
    names = draw(st.lists(TEXT, min_size=1, max_size=3, unique=True))
    methods = tuple(
        FittedMethod(
            name,
            tuple(draw(st.lists(TEXT, max_size=2))),
            draw(st.dictionaries(NAME, ARRAYS, max_size=3)),
            draw(calibration),
            draw(calibration),
        )
        for name in names
    )
    mask = draw(st.none() | npst.arrays(bool, (3, 2)))
    if mask is not None:
        mask[0] = [True, False]
    trim_fraction = draw(st.floats(0, 0.5))
    return DetectorSection(methods, trim_fraction, num_folds, draw(st.none() | CALIBRATED_ON), mask)


@st.composite
def translations(draw: st.DrawFn, old: tuple[str, ...]) -> TranslationSection:
    """Return the section of a translation from a camera with the classes `old`."""
    new = tuple(draw(st.lists(st.sampled_from([*old, "new", "newer"]), max_size=3, unique=True)))
    n = draw(st.integers(0, 9))
    rows = np.random.default_rng(n).permutation(n)
    splits = Splits(rows[: n // 2], rows[n // 2 :], rows[:0])
    return TranslationSection(
        DatasetInfo(draw(TEXT), n, None, 0, new, tuple(draw(COUNT) for _ in new), None),
        draw(PREPROCESSING),
        (*old, *(name for name in new if name not in old)),
        tuple(name for name in old if name in new),
        draw(st.none() | st.just(splits)),
        draw(st.none() | TRANSLATION_METRICS),
    )


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """Return a bundle in which each optional part may be missing."""
    n, names = draw(st.integers(1, 12)), draw(st.lists(TEXT, max_size=3, unique=True))
    counts = tuple(draw(COUNT) for _ in names)
    text = st.none() | TEXT
    data = DatasetInfo(draw(TEXT), n, draw(text), draw(COUNT), tuple(names), counts, draw(text))
    rows = np.random.default_rng(draw(st.integers(0, 9))).permutation(n)
    first, second = sorted((draw(st.integers(0, n)), draw(st.integers(0, n))))
    splits = Splits(rows[:first], rows[first:second], rows[second:])
    if draw(st.booleans()):
        splits = Splits(np.arange(n), rows[:0], np.arange(n), rows % 5 + 1)
    codes = npst.arrays(np.float32, (first, 3), elements=st.floats(-9, 9, width=32))
    probabilities = npst.arrays(np.float32, (first, len(names)), elements=st.floats(0, 1, width=32))
    latents = Latents(
        rows[:first],
        draw(codes),
        draw(st.none() | probabilities),
        draw(st.none() | st.just(rows[:first] % len(names))) if names else None,
    )
    return Bundle(
        config=Config().replace(seed=draw(st.integers(0, 99)), detect__far=draw(RATES)),
        data=data,
        preprocessing=draw(PREPROCESSING),
        networks=draw(st.dictionaries(NETWORK_NAME, NETWORK, max_size=2)),
        splits=draw(st.none() | st.just(splits)),
        latents=draw(st.none() | st.just(latents)),
        detector=draw(st.none() | detectors()),
        translation=draw(st.none() | translations(tuple(names))),
        metrics=draw(METRICS),
        created="2026-01-02T03:04:05+00:00",
        versions={"augan": "0.1.0"},
    )


def decode(members: dict[str, bytes]) -> Bundle:
    """Return the bundle of encoded members."""
    created, versions = "2026-01-02T03:04:05+00:00", {"augan": "0.1.0"}
    return decode_members(members, members.__getitem__, "x.augan", created, versions)


@settings(max_examples=150)
@given(bundles())
def test_decoding_reverses_encoding(bundle: Bundle) -> None:
    members = encode_members(bundle)
    again = decode(members)
    assert again == bundle
    assert encode_members(again) == members


# Damage -------------------------------------------------------------------------------------------


def full_bundle() -> Bundle:
    """Return a bundle with every part and every optional value."""
    values = dict.fromkeys(FIDELITY_VALUES, 0.5) | {"n_real": 8, "n_generated": 8}
    floor = FidelityMetrics(**(values | {"extractor": "values", "is_small_sample": True}))
    training = {
        "steps": {"gan": 20},
        "failure": TrainingFailure("collapse", 20, "alike"),
        "fidelity": GeneratorFidelity(**vars(floor), floor=floor, untrained_kernel_distance=2.0),
        "gan_metrics": (GanMetrics(20, 1.0, 0.1, 0.9, 0.9, 0.5, 0.5),),
    }
    calibration = CalibrationScores(np.arange(4.0), 3, (2, 2))
    return Bundle(
        config=Config().replace(detect__far=0.1, gan__diffaug=["color"]),
        data=DatasetInfo("caps", 9, "caps/", 2, ("a", "b"), (5, 4), "0" * 64),
        preprocessing=ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8)),
        networks={
            "generator": Network(NetworkSpec("mlp", "generator", {}), {"kernel": np.ones((2, 2))})
        },
        splits=Splits(np.arange(9), np.arange(0), np.arange(9), np.arange(9) % 2 + 1),
        latents=Latents(np.arange(2), np.ones((2, 3)), np.full((2, 2), 0.5), np.arange(2)),
        detector=DetectorSection(
            methods=(
                FittedMethod("auto", ("pixel",), {"mean": np.ones(3)}, calibration, calibration),
            ),
            trim_fraction=0.1,
            num_folds=2,
            calibrated_on=CalibrationSamples("new", 4, 3, 1, ("one is left out",), (8, 8)),
            ignore_mask=np.eye(8, dtype=bool),
        ),
        translation=TranslationSection(
            DatasetInfo("new", 6, "new/", 1, ("b", "c"), (3, 3), "1" * 64),
            ImagePreprocessing(16, 3, "uint8", 0.0, 255.0, (16, 12)),
            ("a", "b", "c"),
            ("b",),
            Splits(np.arange(4), np.arange(4, 6), np.arange(0)),
            TranslationMetrics(
                *(4, 2, 0.1, 2.5, 0.05, 0.9),
                label_flips=0.25,
                class_share_gap=0.5,
                classes=(ClassTranslation("b", 0.9, 0.25),),
            ),
        ),
        metrics=BundleMetrics(
            **training,
            folds=(TrainingMetrics(**training),),
            classifier=ClassifierAccuracy(0.5, 4, "val"),
            pseudo_labels=PseudoLabelCounts(2, 1, (0.5, 0.5)),
            warnings=("few images",),
        ),
    )


OPTIONAL_NUMBERS = {
    ("metrics", "label_flips"),
    ("metrics", "class_share_gap"),
    ("metrics", "classes", 0, "diversity"),
    ("metrics", "classes", 0, "label_flips"),
}


def damages(value: Any) -> list[Any]:
    """Return values of other JSON types than the given value, and a negative number for a count."""
    if isinstance(value, bool):
        return [1, "true", [True]]
    if isinstance(value, int):
        return [-1, value + 0.5, str(value), [value], None]
    if isinstance(value, float):
        return [str(value), [value], None]
    if isinstance(value, str):
        return [5, [value], {value: value}]
    if isinstance(value, list):
        return ["ab", 5, {"0": 1}]
    return [[[value]], {"a": 1}] if value is None else [5, "ab", [[value]]]


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a JSON document, the document itself excluded."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from paths(item, (*path, key))


def get(document: Any, path: tuple[Any, ...]) -> Any:
    """Return the value at a path of a JSON document."""
    for key in path:
        document = document[key]
    return document


def assert_refused(members: dict[str, bytes], about: object) -> None:
    """Assert that the bundle of the members is refused in one sentence."""
    try:
        decode(members)
    except BundleError as error:
        message = str(error)
    else:
        pytest.fail(f"accepted: {about}")
    assert "\n" not in message
    assert message.startswith("x.augan")
    assert len(message) < 600


FULL = encode_members(full_bundle())
JSON_MEMBERS = sorted(name for name in FULL if name.endswith(".json"))
NPZ_MEMBERS = sorted(name for name in FULL if name.endswith(".npz"))


def test_the_full_bundle_is_valid() -> None:
    assert encode_members(decode(FULL)) == FULL


@pytest.mark.parametrize("name", JSON_MEMBERS)
def test_every_value_of_another_type_is_refused(name: str) -> None:
    document = json.loads(FULL[name])
    for path in paths(document):
        value = get(document, path)
        for damage in damages(value):
            changed = copy.deepcopy(document)
            get(changed, path[:-1])[path[-1]] = damage
            if damage is None and (name == "config.json" or path in OPTIONAL_NUMBERS):
                continue  # a setting that was not resolved, or a value that was not measured
            assert_refused({**FULL, name: json.dumps(changed).encode()}, (path, damage))


@pytest.mark.parametrize(
    ("name", "path", "value", "words"),
    [
        ("data", "num_samples", None, "data.num_samples is None, but input should be a valid int"),
        ("data", "class_names", ["a", "a"], "data: two classes have the same name"),
        ("data", "class_counts", [9], "data: there are 2 class names and 1 class counts"),
        ("data", "num_samples", 8, "splits: an index is not below the 8 samples"),
        ("metrics", "classifier.accuracy", 1.1, "less than or equal to 1"),
        ("metrics", "failure.kind", "boredom", "metrics.failure.kind is 'boredom'"),
        ("detector", "num_folds", 3, "there are 2 fold sizes of 3 folds"),
        ("detector", "num_folds", 10**9, "less than or equal to 100"),
        ("detector", "trim_fraction", 0.6, "less than or equal to 0.5"),
        ("detector", "methods.0.calibration.num_groups", 5, "num_groups is 5, expected 1 to 4"),
        ("detector", "methods.0.calibration.num_groups", 0, "num_groups is 0, expected 1 to 4"),
        ("detector", "methods.0.calibration.fold_sizes", [3, 3], "do not add up to the 4"),
        ("detector", "calibrated_on.image_shape", [8, 0], "greater than or equal to 1"),
        ("translation", "class_names", ["a", "b", "b"], "translation: two classes have the same"),
        ("translation", "class_names", ["a", "b"], "a class of the new camera is not in the list"),
        ("translation", "class_names", ["b", "a", "c"], "class_names are not the classes of the"),
        ("translation", "common_classes", ["a"], "common_classes are not the classes of both"),
        ("translation", "data.num_samples", 5, "an index is not below the 5 samples"),
        ("translation", "preprocessing.size", 9, "translation.preprocessing: size must be"),
        ("translation", "preprocessing.modality", "tiles", "translation.preprocessing: window"),
        ("translation", "metrics.label_flips", 1.1, "less than or equal to 1"),
        ("translation", "metrics.class_share_gap", -0.1, "greater than or equal to 0"),
        ("config", "seed", -1, "config.seed is -1"),
        ("config", "detect.far", 2.0, "config.detect.far is 2.0"),
        ("preprocessing", "size", 9, "size must be"),
    ],
)
def test_impossible_values_are_refused(name: str, path: str, value: Any, words: str) -> None:
    document = json.loads(FULL[f"{name}.json"])
    keys = [int(key) if key.isdecimal() else key for key in path.split(".")]
    get(document, tuple(keys[:-1]))[keys[-1]] = value
    with pytest.raises(BundleError, match=words):
        decode({**FULL, f"{name}.json": json.dumps(document).encode()})


def damaged_arrays(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield arrays of another type or shape, and with values that are never valid."""
    yield np.full(array.shape, "x")
    yield array[None]
    yield array.astype(np.int8 if array.dtype.kind in "bf" else np.float64)
    if array.dtype.kind == "f":
        changed = array.copy()
        changed.flat[0] = np.nan
        yield changed
    if array.dtype.kind == "i" and array.size:
        for value in (-1, 10**6):
            changed = array.copy()
            changed.flat[0] = value
            yield changed
    if array.dtype.kind == "b":
        yield np.ones_like(array)
    if len(array) > 2:
        yield array[:-1] if array.dtype.kind in "fi" else array[:0]


EMPTY_SPLITS = {("splits.npz", "val"), ("translation.npz", "splits/calibration")}


@pytest.mark.parametrize("name", NPZ_MEMBERS)
def test_every_damaged_array_is_refused(name: str) -> None:
    arrays = serialization.decode_table(FULL[name], name)
    for path, array in arrays.items():
        if "/state/" in path or (name, path) in EMPTY_SPLITS:
            continue  # each method has other arrays, and an empty split stays empty
        for changed in damaged_arrays(array):
            if name == "translation.npz" and len(changed) < len(array):
                continue  # without folds, splits may leave images out
            raw = serialization.encode_table({**arrays, path: changed}, name)
            assert_refused({**FULL, name: raw}, (path, changed))
        others = {other: value for other, value in arrays.items() if other != path}
        if path not in ("fold", "ignore_mask", "class_probabilities", "labels"):
            assert_refused({**FULL, name: serialization.encode_table(others, name)}, path)


@pytest.mark.parametrize(
    "path", ["name", "methods/1/state/x", "methods/x", "a/b", "methods/0/name"]
)
def test_array_at_a_wrong_place_is_refused_or_ignored(path: str) -> None:
    arrays = serialization.decode_table(FULL["detector.npz"], "x")
    raw = serialization.encode_table({**arrays, path: np.ones(2)}, "x")
    if path == "name":  # an unknown key of a later version
        assert decode({**FULL, "detector.npz": raw}) == decode(FULL)
    else:
        assert_refused({**FULL, "detector.npz": raw}, path)


def test_two_methods_of_one_name_or_none_are_refused() -> None:
    method = FittedMethod("auto", ("pixel",))
    for methods in ((), (method, method)):
        with pytest.raises(ValidationError, match="two detection methods have the same name, or"):
            DetectorSection(methods)


def test_unknown_keys_are_ignored() -> None:
    for name in (f"{name}.json" for name in (*SECTIONS, "config")):
        document = json.loads(FULL[name]) | {"later": {"than": "this version"}}
        assert decode({**FULL, name: json.dumps(document).encode()}) == decode(FULL)


def test_constructors_validate_as_the_decoder_does() -> None:
    for construct in (
        lambda: DatasetInfo("caps", -1),
        lambda: DatasetInfo("caps", 9, class_names=("a",)),
        lambda: Splits(np.arange(3), np.arange(2, 4), np.arange(0)),
        lambda: CalibrationScores(np.array([2.0, 1.0]), 2),
        lambda: NetworkSpec("mlp", "generator", {"activation": np.tanh}),
        lambda: TranslationSection(
            DatasetInfo("new", 1), TiledPreprocessing(64, 1, "uint8", 0.0, 255.0)
        ),
        lambda: FittedMethod("auto", (), {"a/b": np.zeros(1)}),
    ):
        with pytest.raises(ValidationError):
            construct()
    bundle = full_bundle()
    with pytest.raises(BundleError, match="cannot name a network"):
        replace(bundle, networks={"../x": bundle.networks["generator"]})
    with pytest.raises(BundleError, match="an index is not below the 8 samples"):
        replace(bundle, data=replace(bundle.data, num_samples=8))
    for wrong in ({"splits": bundle.latents}, {"preprocessing": {}}, {"versions": {"augan": 1}}):
        with pytest.raises(ValidationError):
            replace(bundle, **wrong)


@pytest.mark.parametrize("kind", [*SECTIONS.values(), NetworkSpec], ids=lambda kind: kind.__name__)
def test_the_page_on_the_format_names_every_value(kind: type) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/bundle-format.md").read_text("utf-8")
    assert f"(`{kind.__name__}`)" in page

    def names(annotation: Any) -> Iterator[str]:
        for part in (annotation, *get_args(annotation)):
            if is_dataclass(part):
                for name, hint in get_type_hints(part).items():
                    yield name
                    yield from names(hint)
            elif part is not annotation:
                yield from names(part)

    for name in {*names(kind)}:
        assert f"`{name}" in page, name
