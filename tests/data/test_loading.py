"""Datasets from arrays, folders, tables and files."""

import gzip
import os
import struct
from dataclasses import replace

import numpy as np
import pytest

from augan.data.dataset import Dataset, from_arrays
from augan.data.datasets import write_example_images
from augan.data.files import find_images
from augan.data.groups import read_groups
from augan.data.loading import load_dataset
from augan.data.sequences import ImageFiles
from augan.exceptions import DataError
from augan.io.arrays import read_idx
from augan.io.images import ImageHeader, read_image, write_png
from augan.io.layout import RESULT_MARKERS


def make_images(folder, *names, side=2):
    for value, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, np.full((side, side), value, np.uint8))


def idx_bytes(array, code=0x08):
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


# Arrays


@pytest.mark.parametrize(
    ("x", "dtype", "first"),
    [
        (np.array([0, 255], np.int64), "uint8", [0, 255]),
        (np.array([0, 256], np.int32), "uint16", [0, 256]),
        (np.array([0, 65535], ">u2"), "uint16", [0, 65535]),
        (np.array([False, True]), "uint8", [0, 255]),
        (np.array([-0.5, 2.0], np.float64), "float32", [-0.5, 2.0]),
    ],
)
def test_array_types(x, dtype, first):
    dataset = from_arrays(x.reshape(2, 1, 1))
    assert dataset.images.dtype == np.dtype(dtype)
    assert dataset.images.dtype.isnative
    assert dataset.images.shape == (2, 1, 1, 1)
    assert dataset.images.ravel().tolist() == first
    assert dataset.names == ("0", "1")
    assert dataset.headers() == [ImageHeader(1, 1, 1, dtype)] * 2


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 4, 4)), "N = 0"),
        (np.zeros((2, 0, 4)), r"\[2, 0, 4, 1\]"),
        (np.zeros((2, 3, 8, 8)), "channels come last"),
        (np.zeros((2, 8, 8, 4)), "transparency"),
        (np.full((1, 2, 2), -1), "-1"),
        (np.full((1, 2, 2), 70000), "70000"),
        (np.full((1, 2, 2), np.nan), "4 values"),
        (np.full((1, 2, 2), 1e300), "infinite"),
        (np.full((1, 2, 2), "a"), "<U1"),
        ([np.zeros((2, 2)), np.zeros((3, 2))], "different shapes"),
    ],
)
def test_arrays_that_are_no_images_are_refused(x, message):
    with pytest.raises(DataError, match=message):
        from_arrays(x)


X3 = np.zeros((3, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("y", "names", "labels"),
    [
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        ([2.0, 1.0, 2.0], ("1", "2"), [1, 0, 1]),
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        (np.array(["b", "a", "b"], object), ("a", "b"), [1, 0, 1]),
        ([True, False, True], ("0", "1"), [1, 0, 1]),
    ],
)
def test_labels(y, names, labels):
    dataset = from_arrays(X3, y)
    assert dataset.class_names == names
    assert dataset.labels.dtype == np.int64
    assert dataset.labels.tolist() == labels
    assert dataset.num_classes == 2


@pytest.mark.parametrize("y", [[0, 2, 0], ["x", "z", "x"]])
def test_labels_refer_to_given_class_names(y):
    dataset = from_arrays(X3, y, class_names=["x", "y", "z"])
    assert dataset.class_names == ("x", "y", "z")
    assert dataset.labels.tolist() == [0, 2, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [1, 2]}, r"shape \[3\]"),
        ({"y": [[1], [2], [3]]}, r"\[3, 1\]"),
        ({"y": [1.0, np.nan, 2.0]}, "NaN"),
        ({"y": ["a", None, "b"]}, "row 1"),
        ({"y": ["a", float("nan"), "b"]}, "NaN"),
        ({"y": np.array(["a", 1, "b"], object)}, "mix"),
        ({"y": ["a", 1, "b"]}, "mix"),
        ({"y": [[1], [2, 3], [4]]}, "neither"),
        ({"y": [1j, 2, 3]}, "complex"),
        ({"y": [0.5, 1, 2]}, "fractions"),
        ({"y": [0, 1, 2], "class_names": ["a", "b"]}, "label 2"),
        ({"y": ["a", "c", "a"], "class_names": ["a", "b"]}, "label c"),
        ({"y": [0, 1, 0], "class_names": ["a", "a"]}, "twice"),
        ({"class_names": ["a"]}, "without labels"),
        ({"groups": ["a", "", "b"]}, "empty"),
        ({"groups": ["a"]}, r"shape \[3\]"),
    ],
)
def test_labels_and_groups_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        from_arrays(X3, **arguments)


# Dataset


def test_subset_keeps_everything_in_step(tmp_path):
    make_images(tmp_path, "0.png", "1.png", "2.png")
    files = Dataset(
        name="d",
        source=None,
        images=ImageFiles(tmp_path, ["0.png", "1.png", "2.png"]),
        names=("0.png", "1.png", "2.png"),
        labels=np.array([0, 1, 0]),
        class_names=("a", "b"),
        groups=np.array(["g", "h", "i"]),
    )
    for chosen in (files.subset([2, 1]), files.subset([True, False, True]).subset([1])):
        assert isinstance(chosen.images, ImageFiles)
        assert chosen.names[0] == "2.png"
        assert chosen.images[0].max() == 2
        assert chosen.groups[0] == "i"
    assert files.subset([2, 1]).labels.tolist() == [0, 1]
    assert len(files.subset([])) == 0


def test_files_are_decoded_at_access(tmp_path):
    make_images(tmp_path, "0.png", "1.png")
    images = load_dataset(tmp_path).images
    (tmp_path / "0.png").unlink()
    assert images[1].max() == 1
    assert images[-1:].names == ("1.png",)
    with pytest.raises(DataError, match=r"0\.png"):
        images[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("0",)}, "1 names"),
        ({"labels": np.array([0, 1, 0])}, "both or neither"),
        ({"class_names": ("a",)}, "both or neither"),
        ({"labels": np.array([0, 1, 2]), "class_names": ("a", "b")}, "reach from 0 to 2"),
        ({"labels": np.zeros(3, np.int32), "class_names": ("a",)}, "int32"),
        ({"labels": np.zeros(2, np.int64), "class_names": ("a",)}, r"shape \[3\]"),
        ({"groups": np.array(["a"])}, "groups"),
        ({"images": X3}, "from_arrays"),
        ({"images": np.zeros((3, 2, 2, 1))}, "float64"),
    ],
)
def test_inconsistent_datasets_are_refused(changes, message):
    fields = {"name": "d", "source": None, "images": X3[..., None], "names": ("0", "1", "2")}
    with pytest.raises(DataError, match=message):
        Dataset(**{**fields, **changes})


# Folders


def test_flat_folder(tmp_path):
    make_images(tmp_path, "b.png", "a.PNG", ".hidden.png", ".git/c.png")
    (tmp_path / "notes.txt").write_text("not an image")
    dataset = load_dataset(str(tmp_path))
    assert dataset.names == ("a.PNG", "b.png")
    assert dataset.labels is None
    assert dataset.class_names == ()
    assert dataset.name == tmp_path.name


def test_class_folders_sort_naturally_and_search_deeply(tmp_path):
    make_images(tmp_path, "10/a.png", "9/deep/er/b.png", "9/c.png", ".cache/d.png")
    (tmp_path / "empty").mkdir()
    dataset = load_dataset(tmp_path)
    assert dataset.class_names == ("9", "10")
    assert dict(zip(dataset.names, dataset.labels.tolist())) == {
        "10/a.png": 1,
        "9/c.png": 0,
        "9/deep/er/b.png": 0,
    }


def test_train_and_test_are_kept_apart(tmp_path):
    make_images(tmp_path, "train/normal/a.png", "test/normal/b.png", "test/crack/c.png", "x.png")
    train, test = load_dataset(tmp_path), load_dataset(tmp_path, subset="test")
    assert train.names == ("train/normal/a.png",)
    assert train.class_names == ("normal",)
    assert test.names == ("test/crack/c.png", "test/normal/b.png")
    assert test.class_names == ("crack", "normal")
    assert [int(image.max()) for image in test.images] == [2, 1]


@pytest.mark.parametrize(("train", "test"), [("Training", "Testing"), ("Train", "Test")])
def test_subset_folders_of_other_names_are_no_classes(tmp_path, train, test):
    make_images(tmp_path, f"{train}/glioma/a.png", f"{train}/none/b.png", f"{test}/glioma/c.png")
    assert load_dataset(tmp_path).class_names == ("glioma", "none")
    assert load_dataset(tmp_path, subset="test").names == (f"{test}/glioma/c.png",)


def test_training_alone_is_a_class(tmp_path):
    make_images(tmp_path, "training/a.png", "resting/b.png")
    assert load_dataset(tmp_path).class_names == ("resting", "training")


def test_ambiguous_train_folder_is_refused(tmp_path):
    make_images(tmp_path, "bus/a.png", "car/b.png", "train/c.png")
    with pytest.raises(DataError, match=r"a folder train next to bus, car.*rename it if it is a"):
        load_dataset(tmp_path)
    (tmp_path / "val").mkdir()
    make_images(tmp_path / "other", "train/a/1.png", "val/a/2.png", "ground_truth/3.png")
    assert load_dataset(tmp_path / "other").class_names == ("a",)


def test_mixed_bit_depth_gives_a_warning(tmp_path):
    make_images(tmp_path, "a.png", "b.png")
    assert load_dataset(tmp_path).warnings == ()
    write_png(tmp_path / "deep.png", np.full((8, 8), 1799, np.uint16))
    (warning,) = load_dataset(tmp_path).warnings
    assert warning.startswith("1 of 3 images have 16 bits, for example deep.png, and the others 8")


def test_folders_without_images_and_nested_classes_give_warnings(tmp_path):
    make_images(tmp_path / "far", "cat/a.png")
    make_images(tmp_path / "here", "one/left/a.png", "one/right/b.png", "two/left/c.png")
    make_images(tmp_path / "here", "two/right/d.png")
    (tmp_path / "here/cat").symlink_to(tmp_path / "far/cat")
    (tmp_path / "here/gifs").mkdir()
    (tmp_path / "here/gifs/a.gif").touch()
    (tmp_path / "here/empty").mkdir()
    dataset = load_dataset(tmp_path / "here")
    assert dataset.class_names == ("one", "two")
    link, gifs, depth = dataset.warnings
    assert "cat is a link, which is not followed" in link
    assert "gifs holds no images, but .gif; it is ignored" in gifs
    assert "several of them hold folders called left, right" in depth


def test_absent_test_subset_is_an_error(tmp_path):
    make_images(tmp_path / "flat", "a.png")
    make_images(tmp_path / "split", "train/a.png")
    for folder in ("flat", "split"):
        with pytest.raises(DataError, match="no test subset"):
            load_dataset(tmp_path / folder, subset="test")
    with pytest.raises(DataError, match="validation"):
        load_dataset(tmp_path / "flat", subset="validation")


def test_loose_images_beside_classes_are_refused(tmp_path):
    make_images(tmp_path, "a/1.png", "loose.png")
    with pytest.raises(DataError, match=r"loose\.png"):
        load_dataset(tmp_path)


def test_few_unreadable_files_are_skipped_many_refused(tmp_path):
    make_images(tmp_path, *(f"train/{i}.png" for i in range(9)))
    (tmp_path / "train/bad.png").touch()
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 9
    assert [name for name, _ in dataset.skipped] == ["train/bad.png"]
    assert "0 bytes" in dataset.skipped[0][1]
    (tmp_path / "train/worse.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"2 of 11.*bad\.png.*worse\.jpg"):
        load_dataset(tmp_path)


def test_class_without_readable_images_is_refused(tmp_path):
    make_images(tmp_path, *(f"a/{i}.png" for i in range(20)))
    (tmp_path / "b").mkdir()
    (tmp_path / "b/bad.png").touch()
    with pytest.raises(DataError, match="class b"):
        load_dataset(tmp_path)


def test_find_images_skips_results_of_augan(tmp_path):
    assert {"bundle.augan", "detection.json", "evaluation.json"} == RESULT_MARKERS
    make_images(
        tmp_path, "a.png", "found/most-anomalous.png", "found/overlays/a.png.png", "b/c.png"
    )
    (tmp_path / "found" / "detection.json").write_text("{}")
    assert find_images(tmp_path) == ["a.png", "b/c.png"]
    assert find_images(tmp_path / "found") == ["most-anomalous.png", "overlays/a.png.png"]


def test_find_images_follows_links_to_files_only(tmp_path):
    make_images(tmp_path, "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    assert find_images(tmp_path) == ["a.png", "link.png"]
    with pytest.raises(DataError, match="cannot search"):
        find_images(tmp_path / "absent")


def test_missing_and_unsupported_data(tmp_path):
    (tmp_path / "tiles").mkdir()
    with pytest.raises(DataError, match=r"digits, fashion-mnist.*did you mean .*tiles\?"):
        load_dataset(tmp_path / "tile")
    with pytest.raises(DataError, match=r"did you mean digits\?"):
        load_dataset("digit")
    with pytest.raises(DataError, match="holds no images"):
        load_dataset(tmp_path / "tiles")
    make_images(tmp_path, "one.png")
    (tmp_path / "table.csv").touch()
    with pytest.raises(DataError, match="give the folder"):
        load_dataset(tmp_path / "one.png")
    with pytest.raises(DataError, match=r"\.csv"):
        load_dataset(tmp_path / "table.csv")
    with pytest.raises(DataError, match="empty"):
        load_dataset("")
    with pytest.raises(DataError, match="ndarray"):
        load_dataset(X3)


@pytest.mark.parametrize("to", ["photos", "gone"])
def test_broken_link_is_refused(tmp_path, to):
    (tmp_path / "photos").symlink_to(to)
    with pytest.raises(DataError, match=rf"photos is a link to {to}, which leads nowhere") as it:
        load_dataset(tmp_path / "photos")
    assert "did you mean" not in str(it.value)


def test_tuples_are_arrays():
    assert load_dataset((X3, [1, 0, 1])).labels.tolist() == [1, 0, 1]
    assert load_dataset((X3,)).labels is None
    with pytest.raises(DataError, match="3 entries"):
        load_dataset((X3, [1, 0, 1], None))
    with pytest.raises(DataError, match="no test subset"):
        load_dataset((X3,), subset="test")


# Groups


def test_groups_follow_the_names(tmp_path):
    make_images(tmp_path / "data", "train/a.png", "train/b.png")
    table = tmp_path / "groups.csv"
    table.write_text(
        "path,group,note\ndata/train/b.png,two,x\n./data/train/a.png,one,\nother.png,three,\n",
        encoding="utf-8-sig",
    )
    assert load_dataset(tmp_path / "data", groups=table).groups.tolist() == ["one", "two"]
    with pytest.raises(DataError, match="from_arrays"):
        load_dataset("digits", groups=table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group\na.png,one\n", r"1 of 2 images \(b\.png\)"),
        ("path,class\na.png,one\n", "path, class"),
        ("", "none"),
        ("path,group\na.png,\nb.png,two\n", "line 2.*group is empty"),
        ("path,group\n,one\n", "path is empty"),
        ("path,group\na.png,one\nb.png,two\n./a.png,two\n", "line 4.*earlier row"),
    ],
)
def test_faulty_group_tables_are_refused(tmp_path, text, message):
    table = tmp_path / "groups.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=message):
        read_groups(table, tmp_path, ["a.png", "b.png"])


def test_equal_duplicate_rows_and_missing_tables(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("path,group\na.png,one\na.png,one\n")
    assert read_groups(table, tmp_path, ["a.png"]).tolist() == ["one"]
    with pytest.raises(DataError, match="cannot read the groups"):
        read_groups(tmp_path / "absent.csv", tmp_path, ["a.png"])


# Files of arrays


def test_npz_parts(tmp_path):
    path = tmp_path / "cells.npz"
    np.savez(path, x=X3, y=["b", "a", "b"], x_test=X3[:1])
    train, test = load_dataset(path), load_dataset(path, subset="test")
    assert (train.name, train.class_names, len(train)) == ("cells", ("a", "b"), 3)
    assert (len(test), test.labels) == (1, None)


def test_faulty_npz_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=X3)
    with pytest.raises(DataError, match=r"holds images; .* must be called x"):
        load_dataset(path)
    np.savez(path, x=np.array([{"code": 1}], object))
    with pytest.raises(DataError, match="cannot read"):
        load_dataset(path)
    for content in (b"", b"no archive", b"PK\x03\x04 cut"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot read"):
            load_dataset(path)
    with path.open("wb") as stream:  # a bare array under the wrong suffix
        np.save(stream, X3)
    with pytest.raises(DataError, match="cannot read"):
        load_dataset(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("code", "kind"), [(8, "u1"), (9, "i1"), (0x0C, ">i4"), (0x0E, ">f8")])
def test_idx_values_survive(tmp_path, packed, code, kind):
    array = np.arange(6, dtype=kind).reshape(2, 3)
    content = idx_bytes(array, code)
    (tmp_path / "a").write_bytes(gzip.compress(content, mtime=0) if packed else content)
    result = read_idx(tmp_path / "a")
    assert result.dtype == np.dtype(kind).newbyteorder("=")
    np.testing.assert_array_equal(result, array)


GOOD = idx_bytes(np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "none"),
        (b"\0\0\x08", "begins with"),
        (b"\1" + GOOD[1:], "not an IDX"),
        (b"\0\0\x07" + GOOD[3:], "not an IDX"),
        (GOOD[:7], "inside its header"),
        (GOOD[:-1], "only 5"),
        (GOOD + b"\0", "holds more"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "GiB"),
        (gzip.compress(GOOD, mtime=0)[:-6], "fresh copy"),
        (gzip.compress(GOOD + bytes(10**6), mtime=0), "holds more"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, content, message):
    (tmp_path / "odd-idx").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(tmp_path / "odd-idx")
    assert "odd-idx" in str(caught.value)


def test_idx_folder(tmp_path):
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    labels = idx_bytes(np.array([7, 3], np.uint8))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images), mtime=0))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
    train = load_dataset(tmp_path)
    np.testing.assert_array_equal(train.images[..., 0], images)
    assert train.class_names == ("3", "7")
    assert train.labels.tolist() == [1, 0]
    with pytest.raises(DataError, match="no test images"):
        load_dataset(tmp_path, subset="test")
    (tmp_path / "t10k-images.idx3-ubyte").write_bytes(idx_bytes(images[:1]))
    assert len(load_dataset(tmp_path, subset="test")) == 1


# Built-in data


def test_digits_are_split_by_row():
    train, test = load_dataset("digits"), load_dataset("digits", subset="test")
    assert (len(train), len(test)) == (1438, 359)
    assert all(int(name) % 5 == 4 for name in test.names)
    assert not set(train.names) & set(test.names)
    assert train.class_names == test.class_names == tuple("0123456789")
    assert train.images.shape[1:] == (8, 8, 1)
    assert (train.images.dtype, train.images.min(), train.images.max()) == (np.uint8, 0, 255)
    assert 128 in train.images  # 8 of 16, rounded


def test_builtin_names_are_not_shadowed(tmp_path, monkeypatch):
    make_images(tmp_path, "digits/a.png")
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset("digits")) == 1438
    assert load_dataset(f".{os.sep}digits").names == ("a.png",)
    assert load_dataset(tmp_path / "digits").names == ("a.png",)


def test_missing_home_folder_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        load_dataset("~no-such-user-here/x")
    assert str(caught.value) == (
        "there is no home folder ~no-such-user-here, with which ~no-such-user-here/x begins; write "
        "the full path, from / on"
    )
    make_images(tmp_path, "~no-such-user-here/x/a.png")
    assert load_dataset(f"{tmp_path}/~no-such-user-here/x").names == ("a.png",)


def test_example_images(tmp_path):
    folder = tmp_path / "new" / "examples"
    counts = write_example_images(folder)
    assert counts.to_dict() == {"count_normal": 60, "count_anomalous": 12}
    assert os.listdir(folder.parent) == ["examples"]
    names = find_images(folder)
    normal = [name for name in names if name.startswith("digit-")]
    outliers = [name for name in names if name.startswith("outlier-")]
    assert (len(normal), len(outliers), len(names)) == (60, 12, 72)
    assert [sum(name.startswith(f"digit-{c}-") for name in normal) for c in range(10)] == [6] * 10
    test = load_dataset("digits", subset="test")
    name = normal[0]
    row = test.names.index(str(int(name[-8:-4])))
    np.testing.assert_array_equal(read_image(folder / name), test.images[row])
    assert test.class_names[test.labels[row]] == name[6]
    pictures = [read_image(folder / name) for name in outliers]
    assert all(p.shape == (8, 8, 1) and p.dtype == np.uint8 and np.ptp(p) > 60 for p in pictures)
    assert len({p.tobytes() for p in pictures}) == 12
    with pytest.raises(DataError, match="exists already"):
        write_example_images(folder)


def test_example_images_are_written_completely_or_not_at_all(tmp_path, monkeypatch):
    def fail(path, image):
        raise OSError("disk full")

    monkeypatch.setattr("augan.data.datasets.write_png", fail)
    with pytest.raises(DataError, match="disk full"):
        write_example_images(tmp_path / "examples")
    assert list(tmp_path.iterdir()) == []


# Unlabeled images


@pytest.mark.parametrize("spelling", ["unlabeled", "unlabelled", "Unlabelled"])
@pytest.mark.parametrize("classes", ["", "train/"])
def test_the_unlabeled_folder_is_no_class(tmp_path, spelling, classes):
    make_images(tmp_path, f"{classes}a/1.png", f"{classes}b/2.png", "test/a/9.png")
    make_images(tmp_path, *(f"{spelling}/{i}.png" for i in range(3)), f"{spelling}/deep/4.png")
    if not classes:
        (tmp_path / "test/a/9.png").rename(tmp_path / "b/9.png")
        (tmp_path / "test/a").rmdir()
        (tmp_path / "test").rmdir()
    dataset = load_dataset(tmp_path)
    assert dataset.class_names == ("a", "b")
    assert len(dataset) == (2 if classes else 3)
    assert dataset.num_unlabeled == 4
    names = [f"{spelling}/{name}.png" for name in ("0", "1", "2", "deep/4")]
    assert dataset.unlabeled.names == tuple(names)
    assert dataset.unlabeled.labels is None
    assert [int(image.max()) for image in dataset.unlabeled.images] == [0, 1, 2, 3]
    assert dataset.subset([1]).num_unlabeled == 4
    assert dataset.without_unlabeled().num_unlabeled == 0
    if classes:
        assert load_dataset(tmp_path, subset="test").unlabeled is None


def test_unlabeled_folders_in_both_places_are_read(tmp_path):
    make_images(tmp_path, "train/a/1.png", "train/unlabelled/2.png", "unlabeled/3.png")
    dataset = load_dataset(tmp_path)
    assert dataset.names == ("train/a/1.png",)
    assert dataset.unlabeled.names == ("unlabeled/3.png", "train/unlabelled/2.png")


def test_unlabeled_images_beside_a_flat_folder(tmp_path):
    make_images(tmp_path, "1.png", "unlabeled/3.png")
    dataset = load_dataset(tmp_path)
    assert (dataset.names, dataset.class_names) == (("1.png",), ())
    assert dataset.unlabeled.names == ("unlabeled/3.png",)


def test_an_empty_unlabeled_folder_is_ignored_with_a_warning(tmp_path):
    make_images(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "unlabeled").mkdir()
    dataset = load_dataset(tmp_path)
    assert dataset.unlabeled is None
    (warning,) = dataset.warnings
    assert "unlabeled holds no images" in warning


def test_folder_with_unlabeled_images_only_is_a_flat_folder(tmp_path):
    make_images(tmp_path, "unlabeled/1.png", "unlabeled/2.png")
    dataset = load_dataset(tmp_path)
    assert dataset.names == ("unlabeled/1.png", "unlabeled/2.png")
    assert (dataset.labels, dataset.unlabeled) == (None, None)
    (warning,) = dataset.warnings
    assert "its 2 unlabeled images are trained on as they are" in warning


def test_unreadable_unlabeled_files_are_counted_separately(tmp_path):
    make_images(tmp_path, *(f"a/{i}.png" for i in range(20)))
    make_images(tmp_path, *(f"unlabeled/{i}.png" for i in range(9)))
    (tmp_path / "unlabeled/bad.png").touch()
    dataset = load_dataset(tmp_path)
    assert dataset.skipped == ()
    assert [name for name, _ in dataset.unlabeled.skipped] == ["unlabeled/bad.png"]
    (tmp_path / "unlabeled/worse.png").touch()
    with pytest.raises(DataError, match=r"2 of 11.*unlabeled/bad\.png"):
        load_dataset(tmp_path)


def test_groups_of_unlabeled_images_may_be_missing(tmp_path):
    make_images(tmp_path, "a/1.png", "unlabeled/2.png", "unlabeled/3.png")
    table = tmp_path / "groups.csv"
    table.write_text("path,group\na/1.png,p\nunlabeled/3.png,p\n")
    dataset = load_dataset(tmp_path, groups=table)
    assert dataset.groups.tolist() == ["p"]
    assert dataset.unlabeled.groups.tolist() == ["", "p"]
    table.write_text("path,group\nunlabeled/3.png,p\n")
    with pytest.raises(DataError, match="no group for 1 of 1"):
        load_dataset(tmp_path, groups=table)


@pytest.mark.parametrize("key", ["x_unlabelled", "x_unlabeled"])
def test_unlabeled_arrays(tmp_path, key):
    np.savez(tmp_path / "cells.npz", x=X3, y=["b", "a", "b"], x_test=X3[:1], **{key: X3[:2]})
    dataset = load_dataset(tmp_path / "cells.npz")
    assert (len(dataset), dataset.num_unlabeled) == (3, 2)
    assert load_dataset(tmp_path / "cells.npz", subset="test").unlabeled is None
    with pytest.raises(DataError, match="unlabeled images: the array holds no image"):
        from_arrays(X3, unlabeled=X3[:0])
    with pytest.raises(DataError, match=r"labels are missing.*unlabeled="):
        from_arrays(X3, ["a", None, "b"])
    with pytest.raises(DataError, match="the unlabeled images have labels"):
        replace(dataset, unlabeled=from_arrays(X3, [0, 1, 0]))


def test_headers_are_read_once(tmp_path):
    make_images(tmp_path, "a/1.png", "b/2.png", "unlabeled/3.png")
    dataset = load_dataset(tmp_path)
    first = dataset.headers()
    for name in ("a/1.png", "b/2.png", "unlabeled/3.png"):
        (tmp_path / name).unlink()
    assert dataset.headers() == first == [ImageHeader(2, 2, 1, "uint8")] * 2
    assert dataset.subset([1]).headers() == dataset.images[1:].headers() == first[:1]
    assert dataset.unlabeled.headers() == first[:1]


# Names in two Unicode forms, and lists with absolute paths


def test_classes_and_groups_of_two_unicode_forms_are_one(tmp_path):
    composed, decomposed = "Kratz\u00e9r", "Kratze\u0301r"
    make_images(tmp_path / "data", f"{decomposed}/a.png", f"{composed}/b.png", "gut/c.png")
    dataset = load_dataset(tmp_path / "data")
    assert dataset.class_names == ("gut", decomposed)
    assert dataset.labels[[name.startswith("gut") for name in dataset.names]].tolist() == [0]
    assert dataset.labels.sum() == 2
    table = tmp_path / "groups.csv"
    lines = [
        "path, group",
        f"{tmp_path}/data/{composed}/a.png, {composed}",
        rf"data\{decomposed}\b.png, {decomposed}",
        "gut/c.png, g",
    ]
    table.write_text("\n".join(lines), encoding="utf-8")
    groups = load_dataset(tmp_path / "data", groups=table).groups
    assert sorted(set(groups)) == sorted({groups[0], "g"})
    assert len(set(groups)) == 2
    given = from_arrays(np.zeros((2, 8, 8), np.uint8), [composed, decomposed])
    assert given.class_names == (composed,)
    named = from_arrays(
        np.zeros((2, 8, 8), np.uint8), ["gut", decomposed], class_names=[composed, "gut"]
    )
    assert named.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        ("part[0-9]+", ["part1", "part1", "part2"]),
        (r"(part)\d+-(\w)", ["part a", "part b", "part a"]),
        (2, ["run 0", "run 0", "run 1"]),
        ("2", ["run 0", "run 0", "run 1"]),
    ],
)
def test_groups_by_name(tmp_path, group_by, groups):
    make_images(tmp_path, "part1-a.png", "part1-b.png", "part2-a.png")
    assert load_dataset(tmp_path, group_by=group_by).groups.tolist() == groups


def test_runs_of_frames_follow_the_natural_order_of_each_folder(tmp_path):
    names = [f"{folder}/f{number}.png" for folder in "ab" for number in (1, 2, 9, 10)]
    make_images(tmp_path, *names)
    dataset = load_dataset(tmp_path, group_by=2)
    found = dict(zip(dataset.names, dataset.groups.tolist()))
    assert [found[name] for name in names[:4]] == ["a run 0", "a run 0", "a run 1", "a run 1"]
    assert found["b/f1.png"] == "b run 0"


@pytest.mark.parametrize(
    ("group_by", "message"),
    [
        ("q+", "does not match 2 of 2 images, such as a.png"),
        ("(", "no regular expression"),
        (0, "from 1, but is 0"),
        ("b", "does not match 1 of 2"),
    ],
)
def test_faulty_groups_by_name_are_refused(tmp_path, group_by, message):
    make_images(tmp_path, "a.png", "b.png")
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path, group_by=group_by)


def test_images_of_augan_give_a_warning(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), np.uint8)
    for row, name in enumerate(("a/0.png", "a/1.png", "a/2.png", "b/3.png", "b/4.png", "b/5.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_png(tmp_path / name, pixels[row], {"synthetic": "true"} if row in (1, 4) else None)
    (warning,) = load_dataset(tmp_path).warnings
    assert warning.startswith(
        "2 of 6 images were generated or translated by augan, for example a/1"
    )
    for name in ("a/1.png", "b/4.png"):
        write_png(tmp_path / name, pixels[0], {"comment": "true"})
    assert load_dataset(tmp_path).warnings == ()
