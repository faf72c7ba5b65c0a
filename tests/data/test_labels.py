"""Labels in files: tables, COCO annotations, lists of paths, and what is recognized unasked."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from augan.data.labels import LabelSource, read_label_file
from augan.data.loading import load_dataset
from augan.data.user_images import iterate_images
from augan.exceptions import DataError
from augan.io.images import write_png


def make(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, np.full((8, 8), number + 1, np.uint8))


def labels_of(dataset):
    return {name: dataset.class_names[label] for name, label in zip(dataset.names, dataset.labels)}


NAMES = ("images/1.png", "images/2.png", "images/3.png", "images/10.png")
EXPECTED = dict(zip(NAMES, ("cat", "dog", "cat", "dog")))


@pytest.mark.parametrize(
    "text",
    [
        "path,label\nimages/1.png,cat\nimages/2.png,dog\nimages/3.png,cat\nimages/10.png,dog\n",
        "path, label\n1.png, cat\n2.png, dog\n3.png, cat\n10.png, dog\n",
        "id;Class\n1;cat\n2;dog\n3;cat\n10;dog\n",
        "label\tfile\ncat\timages\\1.png\ndog\timages\\2.png\ncat\timages\\3.png\ndog\timages\\10.png\n",
        "x,image,target\n7,a/images/1.png,cat\n8,images/2.png,dog\n9,3.png,cat\n1,10.png,dog\n",
    ],
)
@pytest.mark.parametrize("is_said", [True, False])
def test_a_table_labels_the_images_of_a_folder(tmp_path, text, is_said):
    make(tmp_path, *NAMES)
    table = tmp_path / "labels.csv"
    table.write_text(text)
    dataset = load_dataset(tmp_path, labels=table if is_said else None)
    assert labels_of(dataset) == EXPECTED
    assert dataset.class_names == ("cat", "dog")
    assert any("the labels are those in" in text for text in dataset.warnings) != is_said
    assert dataset.not_looked_at == ()
    assert dict(dataset.loading) == ({"labels": str(table)} if is_said else {})
    folders = load_dataset(tmp_path, labels="folders")
    assert folders.class_names == ("images",)


def test_parquet_and_named_columns(tmp_path):
    make(tmp_path, *NAMES)
    frame = pd.DataFrame(
        {"where": list(NAMES), "kind": list(EXPECTED.values()), "age": [1, 2, 3, 4]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    for name in ("t.parquet", "t.csv"):
        dataset = load_dataset(
            tmp_path, labels=tmp_path / name, label_column="kind", path_column="where"
        )
        assert labels_of(dataset) == EXPECTED
        assert dataset.loading["label_column"] == "kind"
    with pytest.raises(DataError, match=r"no column 'typ'.*where, kind, age"):
        load_dataset(tmp_path, labels=tmp_path / "t.csv", label_column="typ")
    for option in ("label_column", "path_column"):
        with pytest.raises(DataError, match=f"`{option}` is a column.*`labels`"):
            load_dataset(tmp_path, **{option: "kind"})
    with pytest.raises(DataError, match=r"columns where, kind, age.*`label_column`"):
        load_dataset(tmp_path, labels=tmp_path / "t.csv")


def coco(path, images, annotations):
    names = ["cat", "dog"]
    path.write_text(
        json.dumps(
            {
                "images": [{"id": 7 + i, "file_name": name} for i, name in enumerate(images)],
                "annotations": [
                    {"id": i, "image_id": 7 + image, "category_id": category}
                    for i, (image, category) in enumerate(annotations)
                ],
                "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
            }
        )
    )


@pytest.mark.parametrize("is_said", [True, False])
def test_coco_categories_are_labels(tmp_path, is_said):
    make(tmp_path, *NAMES)
    path = tmp_path / "annotations.json"
    coco(path, ["1.png", "2.png", "3.png", "10.png"], [(0, 1), (1, 2), (1, 2), (1, 1), (2, 1)])
    dataset = load_dataset(tmp_path, labels=path if is_said else None)
    assert labels_of(dataset) == {**EXPECTED, "images/10.png": "normal"}
    assert any("1 images without annotations" in text for text in dataset.warnings)
    assert any("annotations of several categories" in text for text in dataset.warnings)


def test_damaged_coco_is_refused(tmp_path):
    make(tmp_path, *NAMES)
    for text in ("", "[]", "{}", '{"images": 3, "annotations": [], "categories": []}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(DataError, match="as COCO annotations"):
            load_dataset(tmp_path, labels=tmp_path / "a.json")
    assert load_dataset(tmp_path).class_names == ("images",)  # unasked, it is no file of labels


def test_unlisted_images_are_unlabeled_and_missing_files_are_named(tmp_path):
    make(tmp_path, *NAMES)
    table = tmp_path / "labels.csv"
    table.write_text("path,label,group\n1.png,cat,a\n2.png,dog,a\n3.png,cat,\ngone.png,dog,b\n")
    dataset = load_dataset(tmp_path, labels=table)
    assert dataset.unlabeled.names == ("images/10.png",)
    assert dataset.groups.tolist() == ["a", "a", "images/3.png"]
    assert any("1 rows of" in text and "gone.png" in text for text in dataset.warnings)
    table.write_text("path,label\nelsewhere/9.png,cat\n")
    with pytest.raises(DataError, match=r"holds no label of the 4 images.*elsewhere/9\.png"):
        load_dataset(tmp_path, labels=table)
    table.write_text("path,label\n1.png,cat\nimages/1.png,dog\n")
    with pytest.raises(DataError, match=r"line 3: images/1\.png is labeled dog"):
        load_dataset(tmp_path, labels=table)


def test_class_folders_are_classes_in_spite_of_a_table(tmp_path):
    make(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "labels.csv").write_text("path,label\na/1.png,x\nb/2.png,y\n")
    assert load_dataset(tmp_path).class_names == ("a", "b")
    assert load_dataset(tmp_path, labels=tmp_path / "labels.csv").class_names == ("x", "y")


def test_tables_that_are_no_labels_are_left_alone(tmp_path):
    make(tmp_path, "1.png", "2.png")
    (tmp_path / "groups.csv").write_text("path,group\n1.png,x\n2.png,y\n")
    (tmp_path / "half.csv").write_text("path,label\n1.png,x\n")
    assert load_dataset(tmp_path).labels is None


def test_a_competition_has_train_and_its_table_next_to_it(tmp_path):
    make(tmp_path, "train/1.png", "train/2.png", "test/3.png")
    (tmp_path / "train.csv").write_text("id,label\n1,cat\n2,dog\n")
    dataset = load_dataset(tmp_path)
    assert labels_of(dataset) == {"train/1.png": "cat", "train/2.png": "dog"}


def test_a_table_of_paths_is_a_list_of_images(tmp_path, monkeypatch):
    make(tmp_path, *NAMES)
    table = tmp_path / "list.csv"
    table.write_text("path,label\n" + "".join(f"{n},{t}\n" for n, t in EXPECTED.items()))
    dataset = load_dataset(table)
    assert labels_of(dataset) == EXPECTED
    assert dataset.images[1].max() == 2
    assert "is read as a list of 4 images" in dataset.warnings[0]
    frame = pd.DataFrame({"photo": [str(tmp_path / n) for n in NAMES], "kind": EXPECTED.values()})
    frame.to_csv(table, index=False)
    assert set(labels_of(load_dataset(table)).values()) == {"cat", "dog"}
    assert labels_of(load_dataset(table, target="kind")) == labels_of(load_dataset(table))
    (tmp_path / "plain.csv").write_text("path,label\nhigh,1\nlow,2\n")
    assert load_dataset(tmp_path / "plain.csv").sample_type == "row"


def test_paths_and_frames_in_memory(tmp_path):
    make(tmp_path, *NAMES)
    paths = [tmp_path / name for name in NAMES]
    texts = [str(path) for path in paths]
    labels = list(EXPECTED.values())
    for data in (paths, texts, (paths,), (np.array(texts),)):
        dataset = load_dataset(data)
        assert dataset.names == tuple(texts)
        assert dataset.labels is None
        assert [int(image.max()) for image in dataset.images] == [1, 2, 3, 4]
    assert list(labels_of(load_dataset((paths, labels))).values()) == labels
    frame = pd.DataFrame({"photo": texts, "label": labels, "size": [1, 2, 3, 4]})
    assert list(labels_of(load_dataset(frame)).values()) == labels
    named = load_dataset(frame, path_column="photo", label_column="size")
    assert named.class_names == ("1", "2", "3", "4")
    with pytest.raises(DataError, match=r"no column 'x'.*photo, label, size"):
        load_dataset(frame, path_column="x")
    rows = load_dataset(frame[["size", "label"]], target="label")
    assert (rows.sample_type, rows.class_names) == ("row", ("cat", "dog"))
    with pytest.raises(DataError, match="are for image files"):
        load_dataset("digits", labels=tmp_path / "x.csv")


def test_the_label_of_a_file_is_that_of_its_pages(tmp_path):
    make(tmp_path, "a.png")
    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (9, 99)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    table = tmp_path / "labels.csv"
    table.write_text("path,label,group\na.png,x,1\nstack.tif,y,2\n")
    expected = {"a.png": "x", "stack.tif#1": "y", "stack.tif#2": "y"}
    for data, options in ((tmp_path, {"labels": table}), (table, {})):
        dataset = load_dataset(data, **options)
        assert labels_of(dataset) == expected
        assert dataset.groups.tolist() == ["1", "2", "2"]
    table.write_text("path,label\na.png,x\nstack.tif#2,z\nstack.tif#1,y\n")
    assert labels_of(load_dataset(tmp_path, labels=table))["stack.tif#2"] == "z"


def test_the_file_of_labels_must_exist(tmp_path):
    make(tmp_path, "a.png")
    for name in ("gone.csv", "gone.json", "gone.parquet"):
        with pytest.raises(DataError, match="cannot read"):
            read_label_file(LabelSource(str(tmp_path / name)))


def test_a_predictor_takes_frames_of_paths_and_all_pages_of_a_file(tmp_path):
    make(tmp_path, "a.png", "b.png")
    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (9, 99)]
    stack = tmp_path / "stack.tif"
    pages[0].save(stack, save_all=True, append_images=pages[1:])
    texts = [str(tmp_path / name) for name in ("a.png", "b.png")]
    images = list(iterate_images(pd.DataFrame({"n": [1, 2], "file": texts}), "uint8", False))
    assert [image.name for image in images] == texts
    found = list(iterate_images(stack, "uint8", False))
    assert [int(image.decode().max()) for image in found] == [9, 99]
    notes = []
    listed = list(iterate_images([*texts, stack], "uint8", False, notes))
    assert len(listed) == 3
    assert "1 of 3 files have several pages" in notes[0]
