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


def test_lists_may_hold_spaces_backslashes_absolute_paths_and_other_separators(
    tmp_path: Path,
) -> None:
    root = tmp_path / "images"
    root.mkdir()
    table = tmp_path / "labels.csv"
    cells = {"a/0.png": r"a\0.png", "a/1.png": str(root / "a/1.png"), "b/0.png": "images/b/0.png"}
    for separator, header in ((",", "path, label"), (";", "Path;LABEL "), ("\t", " path\tlabel")):
        rows = [f"{cell}{separator} {kind}" for cell, kind in zip(cells.values(), ("ok", "x", "x"))]
        table.write_text("\n".join([header, *rows, ""]))
        labels = read_labels(table, NAMES, root)
        assert labels.by_name == {"a/0.png": "ok", "a/1.png": "x", "b/0.png": "x"}, separator
    link = tmp_path / "link"
    link.symlink_to(root)
    table.write_text(f"path,label\n{link}/a/0.png,ok\n{link}/a/1.png,x\n")
    assert list(read_labels(table, NAMES, root).by_name) == ["a/0.png", "a/1.png"]
    table.write_text(f"path,label\na/0.png,ok\n{tmp_path}/elsewhere.png,x\n")
    with pytest.raises(DataError, match=r"not in .*images \(.*elsewhere\.png\); .*absolute"):
        read_labels(table, NAMES, root)


def test_labels_and_paths_of_two_unicode_forms_are_one(tmp_path: Path) -> None:
    composed, decomposed = "Kratz\u00e9r", "Kratze\u0301r"
    names = [f"{decomposed}/0.png", f"{composed}/1.png", "gut/2.png"]
    labels = read_labels("folders", names, "x", "gut")
    assert set(labels.by_name.values()) == {decomposed, "gut"}
    table = tmp_path / "labels.csv"
    table.write_text(
        f"path,label,group\n{composed}/0.png,{composed},{composed}\n"
        f"{composed}/1.png,{decomposed},{decomposed}\ngut/2.png,gut,g\n",
        encoding="utf-8",
    )
    found = read_labels(table, names, tmp_path, decomposed)
    assert found.normal == composed
    assert found.by_name == {names[0]: composed, names[1]: composed, names[2]: "gut"}
    assert found.groups == {names[0]: composed, names[1]: composed, names[2]: "g"}


def test_files_that_differ_in_their_unicode_form_only_keep_their_labels(tmp_path: Path) -> None:
    names = ["\u00e9.png", "e\u0301.png"]
    table = tmp_path / "labels.csv"
    table.write_text(f"path,label\n{names[0]},ok\n{names[1]},bad\n", encoding="utf-8")
    assert read_labels(table, names, tmp_path).by_name == dict(zip(names, ("ok", "bad")))
