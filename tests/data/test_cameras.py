"""Tests of the datasets of two cameras: class names, the table of class names, refusals."""

from pathlib import Path

import numpy as np
import pytest

from augan.data.cache import PreparedDataset
from augan.data.cameras import (
    apply_class_map,
    check_cameras,
    check_different_images,
    common_class_names,
    joint_class_names,
    rename_classes,
)
from augan.data.dataset import Dataset, from_arrays
from augan.data.loading import load_dataset
from augan.exceptions import DataError
from tests._helpers import write_images


def camera(classes: str | None, count: int = 12, name: str = "new", seed: int = 0) -> Dataset:
    """Return random images of the classes, which are letters; None: without labels."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), np.uint8)
    labels = None if classes is None else [classes[row % len(classes)] for row in range(count)]
    return from_arrays(images, labels, name=name)


def test_joint_classes_are_those_of_the_old_camera_then_the_others() -> None:
    old, new = camera("bca"), camera("dba")
    assert joint_class_names(old, new) == ("a", "b", "c", "d")
    assert common_class_names(old, new) == ("a", "b")
    assert common_class_names(old, camera(None)) == ()


def test_class_map_renames_and_joins_classes(tmp_path: Path) -> None:
    table = tmp_path / "classes.csv"
    table.write_text("old,new,remark\na,x,same part\na,y,\n")
    new = apply_class_map(table, camera("ab"), camera("xyz", 6))
    assert new.class_names == ("a", "z")
    assert new.labels is not None
    assert new.labels.tolist() == [0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("old,new\na,q\n", "line 2: the new camera .new. has no class 'q'; its classes are x, y"),
        ("old,new\nc,x\n", "line 2: the old camera .old. has no class 'c'; its classes are a, b"),
        ("old,new\na,x\nb,x\n", "line 3: the class x .* is b, but an earlier row says a; keep"),
        ("from,to\na,x\n", "has the columns from, to; its first line must be old,new"),
        (None, "cannot read the table of classes in .*No such file"),
    ],
)
def test_impossible_class_map_is_refused(tmp_path: Path, table: str | None, words: str) -> None:
    path = tmp_path / "classes.csv"
    if table is not None:
        path.write_text(table)
    with pytest.raises(DataError, match=words):
        apply_class_map(path, camera("ab", name="old"), camera("xy"))


def test_class_map_needs_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is about classes, but new has no labels; leave out"):
        apply_class_map(tmp_path / "x.csv", camera("ab"), camera(None))
    unlabeled = camera(None)
    assert rename_classes(unlabeled, {"a": "b"}) is unlabeled


def test_cameras_that_suit_each_other_give_no_warning() -> None:
    assert check_cameras(camera("ab", 200), camera("bc", 60, seed=1)) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (camera("ab"), camera("cd"), "no class in common: .* a, b, the new camera c, d; name"),
        (camera("ab"), camera("a", 1), r"the new camera \(new\) has 1 image, but at least 10"),
        (camera("ab", 9, "old"), camera("a"), r"the old camera \(old\) has 9 images, but at"),
        (camera("ab"), from_arrays(np.ones((20, 3))), r"needs images, but the new camera \(array"),
        (from_arrays(np.ones((20, 3))), camera("a"), r"needs images, but the old camera \(array"),
    ],
)
def test_impossible_cameras_are_refused(old: Dataset, new: Dataset, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_cameras(old, new)


def test_same_folder_is_refused_by_any_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "parts", np.asarray(camera(None).images))
    (tmp_path / "link").symlink_to("parts")
    with pytest.raises(DataError, match="are the same data, parts; give the images of the new"):
        check_cameras(load_dataset("parts"), load_dataset(tmp_path / "link"))


def test_warnings_name_unlabeled_few_and_almost_equal_classes() -> None:
    (warning,) = check_cameras(camera("ab", 60), camera(None, 60, seed=1))
    assert warning.startswith("the new camera (new) has no labels, so nothing but the shape")
    (few,) = check_cameras(camera("ab", 60), camera("ab", 12, seed=1))
    assert few.startswith("the new camera has only 12 images, and the old camera 60:")
    (ratio,) = check_cameras(camera("ab", 1300), camera("ab", 60, seed=1))
    assert ratio.startswith("the new camera has only 60 images, and the old camera 1300:")
    (case,) = check_cameras(camera("ab", 60), camera("aB", 60, seed=1))
    assert case.startswith("the class B of the new camera counts as another class than b of the")


def prepared(dataset: Dataset) -> PreparedDataset:
    return PreparedDataset(dataset, np.asarray(dataset.images))


def test_equal_images_under_other_names_are_refused_or_reported() -> None:
    old, other = prepared(camera("ab", name="old")), prepared(camera("ab", seed=1))
    assert check_different_images(old, other) == []
    copied = prepared(camera("ab").subset(np.arange(12)[::-1]))
    with pytest.raises(DataError, match=r"12 of 12 images of the new camera \(new\) are equal to"):
        check_different_images(old, copied)
    pixels = other.pixels.copy()
    pixels[3] = old.pixels[7]
    (warning,) = check_different_images(old, PreparedDataset(other.dataset, pixels))
    assert warning.startswith("1 of 12 images of the new camera (new) are equal to images of")
    assert "for example 3; remove them" in warning
