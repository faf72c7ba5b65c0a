"""Layouts of public data sets: what is trained on, and what is tested on."""

import numpy as np
import pytest

from augan.data.layouts import find_test_images
from augan.data.loading import load_dataset
from augan.exceptions import DataError
from augan.io.images import write_png


def make(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, np.full((8, 8), number + 1, np.uint8))


def mvtec(root, good="good", bad="broken"):
    make(
        root,
        f"train/{good}/000.png",
        f"train/{good}/001.png",
        f"test/{good}/000.png",
        f"test/{bad}/000.png",
        f"ground_truth/{bad}/000_mask.png",
    )


@pytest.mark.parametrize(("good", "bad"), [("good", "broken"), ("ok", "ko"), ("Normal", "crack")])
@pytest.mark.parametrize("is_parent", [False, True])
def test_mvtec_and_btad_train_on_good_images_only(tmp_path, good, bad, is_parent):
    mvtec(tmp_path / "bottle", good, bad)
    (tmp_path / "readme.txt").write_text("x")
    dataset = load_dataset(tmp_path if is_parent else tmp_path / "bottle")
    prefix = "bottle/" if is_parent else ""
    assert dataset.names == tuple(f"{prefix}train/{good}/00{i}.png" for i in (0, 1))
    assert dataset.class_names == (good,)
    assert any("is laid out like MVTec AD" in text for text in dataset.warnings)
    assert any("holds only bottle" in text for text in dataset.warnings) == is_parent
    test = load_dataset(tmp_path if is_parent else tmp_path / "bottle", subset="test")
    assert set(test.class_names) == {good, bad}
    assert not any("ground_truth" in name for name in test.names)


def test_the_parent_of_several_categories_is_refused_by_name(tmp_path):
    for name in ("bottle", "cable"):
        mvtec(tmp_path / name)
    with pytest.raises(DataError, match=r"holds bottle, cable.*name one of them, such as .*bottle"):
        load_dataset(tmp_path)
    make(tmp_path / "other", "parts/train/a/1.png", "parts/test/a/2.png", "loose/3.png")
    with pytest.raises(DataError, match=r"holds parts, which is divided"):
        load_dataset(tmp_path / "other")


def test_a_divided_folder_below_the_named_one_keeps_its_test_images(tmp_path):
    make(tmp_path, "pets/train/cat/1.png", "pets/train/dog/2.png", "pets/test/cat/3.png")
    dataset = load_dataset(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert all("train" in name for name in dataset.names)
    assert load_dataset(tmp_path, subset="test").names == ("pets/test/cat/3.png",)


def visa(root, split=True):
    images = "candle/Data/Images"
    make(
        root,
        *(f"{images}/Normal/{i}.png" for i in range(4)),
        f"{images}/Anomaly/0.png",
        "candle/Data/Masks/Anomaly/0.png",
    )
    if split:
        (root / "split_csv").mkdir()
        subsets = ("train", "train", "train", "test")
        rows = [
            f"candle,{subset},normal,{images}/Normal/{i}.png," for i, subset in enumerate(subsets)
        ]
        rows.append(f"candle,test,anomaly,{images}/Anomaly/0.png,candle/Data/Masks/Anomaly/0.png")
        rows.append("pcb,train,normal,pcb/Data/Images/Normal/0.png,")
        text = "\n".join(["object,split,label,image,mask", *rows])
        (root / "split_csv/1cls.csv").write_text(text)


def test_visa_trains_on_the_normal_images_of_its_split(tmp_path):
    visa(tmp_path)
    dataset = load_dataset(tmp_path / "candle")
    assert dataset.names == tuple(f"Data/Images/Normal/{i}.png" for i in range(3))
    assert dataset.class_names == ("Normal",)
    assert any("is laid out like VisA" in text for text in dataset.warnings)
    test = load_dataset(tmp_path / "candle", subset="test")
    assert test.names == ("Data/Images/Anomaly/0.png", "Data/Images/Normal/3.png")
    assert len(load_dataset(tmp_path)) == 3  # the parent of one category


def test_visa_without_its_split_has_no_test_subset(tmp_path):
    visa(tmp_path, split=False)
    assert len(load_dataset(tmp_path / "candle")) == 4
    with pytest.raises(DataError, match="has no test subset"):
        load_dataset(tmp_path / "candle", subset="test")


def test_an_evaluation_takes_the_test_images_of_a_category(tmp_path):
    mvtec(tmp_path / "bottle")
    found = find_test_images(tmp_path / "bottle")
    assert found.root == tmp_path / "bottle/test"
    assert found.masks == tmp_path / "bottle/ground_truth"
    visa(tmp_path)
    found = find_test_images(tmp_path / "candle")
    assert found.names == ["Anomaly/0.png", "Normal/3.png"]
    assert found.masks == tmp_path / "candle/Data/Masks"
    make(tmp_path / "plain", "good/a.png", "bad/b.png")
    assert find_test_images(tmp_path / "plain").root == tmp_path / "plain"
