"""Tests of the labels of test samples."""

from pathlib import Path

import pytest

from augan.evaluation.detection.labels import Labels, read_labels
from augan.exceptions import DataError

NAMES = ["a/0.png", "a/1.png", "b/0.png", "c.png"]


@pytest.mark.parametrize(
    ("labels", "normal"),
    [
        (["bad", "normal", "good", "ok"], "normal"),
        (["bad", "good", "ok"], "good"),
        (["bad", "OK", "okay"], "OK"),
    ],
)
def test_normal_label_is_found_by_its_name(labels: list[str], normal: str) -> None:
    assert read_labels("folders", [f"{kind}/0.png" for kind in labels], "x").normal == normal


def test_folder_labels_leave_out_images_without_folder() -> None:
    labels = read_labels("folders", NAMES, "x", "b")
    kinds = {"a/0.png": "a", "a/1.png": "a", "b/0.png": "b"}
    assert labels == Labels(kinds, "b", None, ["c.png"])


@pytest.mark.parametrize(
    ("content", "normal", "message"),
    [
        ("", None, r"columns \(none\).*path,label"),
        ("path,class\na/0.png,ok\n", None, "columns path, class"),
        ("path,label\n", None, "holds no label"),
        ("path,label\na/0.png,\n", None, "holds no label"),
        ("path,label\n,ok\n", None, "line 2: the path is empty"),
        ("path,label\na/0.png,ok\nd.png,bad\ne.png,bad\n", None, r"names 2 .*d\.png, e\.png"),
        ("path,label\na/0.png,ok\n./a/0.png,bad\n", None, "line 3: a/0.png is labeled bad"),
        ("path,label\na/0.png,ok\na/1.png,ok\n", None, r"all labeled images are ok \(2\)"),
        ("path,label\na/0.png,ok\na/1.png,bad\n", "oks", "did you mean ok"),
        ("path,label\na/0.png,fine\na/1.png,bad\n", None, "name the label .* `normal`"),
        (b"path,label\na/0.png,\xff\n", None, "cannot read the labels"),
        (
            "path,label,group\na/0.png,ok,1\na/0.png,ok,2\n",
            None,
            "in group 2, but an earlier row says 1",
        ),
    ],
)
def test_invalid_label_table_raises(
    content: str | bytes, normal: str | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read_labels(path, NAMES, "x", normal)


def test_missing_labels_raise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the labels .*No such file"):
        read_labels(tmp_path / "none.csv", NAMES, "x")
    with pytest.raises(DataError, match="lie in no folders"):
        read_labels("folders", ["0.png"], "x")
