"""Tests that an array of any type and shape gives finite scores or one error message."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from augan import GANDetector, load_dataset
from augan.bundle import Bundle
from augan.exceptions import AuganError

DTYPES = (
    "?",
    "u1",
    "i2",
    "u2",
    ">u2",
    "i8",
    ">i4",
    "u8",
    "f2",
    "f4",
    ">f4",
    "f8",
    ">f8",
    "c8",
    "O",
)
SIDES = (
    (8, 8),
    (8, 8, 1),
    (8, 8, 3),
    (9, 7),
    (64,),
    (0, 8),
    (8,),
    (1, 1),
    (),
    (8, 8, 1, 1),
    (40, 5),
)
PLAIN = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Arrays of every type, some with NaN, infinities or extremes, of every layout."""
    kind, sides = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(SIDES[:3] + SIDES))
    shape = (draw(st.integers(0, 3)), *sides)
    if kind == "O":
        x = np.full(shape, draw(st.sampled_from([None, "x", 1, 2.5])), object)
    else:
        # One value nearly everywhere: speed, and that is where spreads vanish.
        fill = (
            hnp.from_dtype(np.dtype(kind))
            if draw(st.booleans())
            else st.just(np.dtype(kind).type(1))
        )
        x = draw(hnp.arrays(kind, shape, elements=hnp.from_dtype(np.dtype(kind)), fill=fill))
    layout = draw(st.sampled_from(("C", "F", "strided", "read-only", "list")))
    if layout == "F":
        x = np.asfortranarray(x)
    elif layout == "strided":
        x = np.repeat(x, 2, axis=0)[::2]
    elif layout == "read-only":
        x.setflags(write=False)
    return x.tolist() if layout == "list" else x


@pytest.fixture(scope="module")
def detectors(digits_bundle: Bundle) -> dict[str, GANDetector]:
    """One network, once for images of 8 bits and once for floating-point ones."""
    rng = np.random.default_rng(0)
    as_float = replace(digits_bundle.preprocessing, dtype="float32", low=-1.0, high=1e-3)
    found = {}
    for name, bundle, x in (
        ("uint8", digits_bundle, rng.integers(0, 256, (20, 8, 8), np.uint8)),
        ("float32", replace(digits_bundle, preprocessing=as_float), rng.normal(size=(20, 8, 8))),
    ):
        found[name] = GANDetector(bundle=bundle).fit(x)
    return found


@pytest.mark.filterwarnings("ignore:the pixels reach:UserWarning")
@pytest.mark.parametrize("kind", ["uint8", "float32"])
@PLAIN
@given(x=arrays())
def test_scores_are_finite_or_refused(
    detectors: dict[str, GANDetector], kind: str, x: np.ndarray
) -> None:
    before = np.array(x, copy=True) if isinstance(x, np.ndarray) else x
    try:
        scores = detectors[kind].score_samples(x)
        judged = detectors[kind].predict(x)
    except AuganError:
        return
    except ValueError:  # scikit-learn's own checks speak for rows
        assert np.ndim(x) not in (3, 4) or isinstance(x, list)
        return
    assert scores.shape == judged.shape == (len(x),)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert set(judged.tolist()) <= {1, -1}
    if isinstance(x, np.ndarray):
        assert x.dtype == "O" or np.array_equal(before, x, equal_nan=x.dtype.kind in "fc")


@PLAIN
@given(x=arrays(), y=arrays())
def test_a_dataset_is_clean_or_refused(x: Any, y: Any) -> None:
    try:
        dataset = load_dataset((x, y))
    except AuganError:
        return
    assert dataset.labels is not None
    assert set(dataset.labels.tolist()) == set(range(len(dataset.class_names)))
    if isinstance(dataset.images, np.ndarray):
        assert dataset.images.dtype in (np.uint8, np.uint16, np.float32)
        assert np.isfinite(dataset.images).all()
