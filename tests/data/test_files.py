"""Search for image files: every file is an image, or is named with the reason."""

import json

import numpy as np
import pytest
from PIL import Image

from augan.data.files import describe_not_looked_at, find_images, search_images
from augan.data.loading import load_dataset
from augan.exceptions import DataError
from augan.io.images import write_png


def write(path, value=100, size=12):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(value).integers(0, 255, (size, size), dtype=np.uint8)
    write_png(path, image)


def stack(path, count):
    pages = [Image.fromarray(np.full((8, 8), 20 * i, np.uint8)) for i in range(count)]
    pages[0].save(path, save_all=True, append_images=pages[1:])


def test_every_file_is_an_image_or_is_named(tmp_path):
    write(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.weird")
    Image.new("L", (8, 8)).save(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").rename(tmp_path / "b.jfif")
    (tmp_path / "c.nef").write_bytes(b"II*\0\x08\0\0\0")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "empty.gif").touch()
    (tmp_path / ".hidden").touch()
    stack(tmp_path / "stack.tif", 11)
    found = search_images(tmp_path)
    pages = [f"stack.tif#{number}" for number in range(1, 12)]
    assert found.names == ["a.weird", "b.jfif", *pages]
    reasons = dict(found.not_looked_at)
    assert list(reasons) == ["c.nef", "empty.gif", "notes.txt"]
    assert "camera raw" in reasons["c.nef"]
    assert "0 bytes" in reasons["empty.gif"]
    sentence = describe_not_looked_at(found.not_looked_at)
    assert sentence.startswith("3 files were not looked at: c.nef (it is a camera raw image")


def test_a_dataset_has_the_pages_and_names_the_other_files(tmp_path):
    stack(tmp_path / "stack.tif", 4)
    (tmp_path / "b.cr2").write_bytes(b"II*\0\x08\0\0\0CR")
    dataset = load_dataset(tmp_path)
    assert [int(image.max()) for image in dataset.images] == [0, 20, 40, 60]
    assert [name for name, _ in dataset.not_looked_at] == ["b.cr2"]
    (tmp_path / "stack.tif").unlink()
    with pytest.raises(DataError, match=r"holds no images.*b\.cr2 \(it is a camera raw"):
        load_dataset(tmp_path)


def test_animations_are_said_to_have_one_image(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 200)]
    for name in ("a.gif", "b.png", "c.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "single.gif")
    found = search_images(tmp_path)
    assert found.names == ["a.gif", "b.png", "c.webp", "single.gif"]
    assert found.first_frames == ["a.gif", "b.png", "c.webp"]
    assert "3 images with several frames: the first frame is read" in found.warnings[0]
    assert load_dataset(tmp_path).warnings == tuple(found.warnings)


@pytest.mark.parametrize("name", ["ground_truth", "Ground-Truth", "masks", "GT"])
def test_folders_of_masks_never_become_images(tmp_path, name):
    write(tmp_path / "good/a.png")
    mask = np.zeros((40, 40), np.uint8)
    mask[5:9, 5:9] = 255
    (tmp_path / name / "crack").mkdir(parents=True)
    write_png(tmp_path / name / "crack/a_mask.png", mask)
    found = search_images(tmp_path)
    assert found.names == ["good/a.png"]
    ((path, reason),) = found.not_looked_at
    assert path == f"{name}/crack/a_mask.png"
    assert "folder of masks" in reason
    assert find_images(tmp_path / name) == ["crack/a_mask.png"]  # unless the user names it


def test_a_class_called_mask_is_a_class(tmp_path):
    for name in ("mask/a.png", "mask/b.png", "no_mask/a.png", "no_mask/b.png"):
        write(tmp_path / name, size=40)
    assert load_dataset(tmp_path).class_names == ("mask", "no_mask")


def test_runs_are_known_at_every_stage(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "runs/new/samples/000100.png")
    record = {"data": "0" * 64, "split": "1" * 64, "groups": None}
    (tmp_path / "runs/new/run.json").write_text(json.dumps(record))
    (tmp_path / "runs/latest").symlink_to("new")
    found = search_images(tmp_path)
    assert found.names == ["a.png"]
    assert found.not_looked_at == []
    # A file of this name that is no record of a training belongs to the user.
    for text in ("{", '{"distance": 5}', "[]"):
        (tmp_path / "runs/new/run.json").write_text(text)
        assert "runs/new/samples/000100.png" in find_images(tmp_path)


def test_links_to_folders_are_named_and_followed_on_demand(tmp_path):
    write(tmp_path / "far/cat/a.png")
    write(tmp_path / "far/dog/b.png")
    here = tmp_path / "here"
    here.mkdir()
    for name in ("cat", "dog"):
        (here / name).symlink_to(tmp_path / "far" / name)
    with pytest.raises(DataError, match=r"its folders \(cat, dog\) are links.*`follow_links`"):
        load_dataset(here)
    dataset = load_dataset(here, follow_links=True)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.names == ("cat/a.png", "dog/b.png")
    (tmp_path / "far/cat/loop").symlink_to(here)
    (tmp_path / "far/cat/self").symlink_to(tmp_path / "far/cat")
    found = search_images(here, follow_links=True)
    assert found.names.count("cat/a.png") == 1
    assert dict(found.not_looked_at)["cat/self/"] == "it is a link to a folder that contains it"
    names = [name for name, _ in search_images(here).not_looked_at]
    assert names == ["cat/", "dog/"]
