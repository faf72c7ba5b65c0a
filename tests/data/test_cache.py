"""Prepared images of a dataset, and their disk cache."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augan.data import cache, cache_file
from augan.data.cache import cache_folder, decode_all, load_prepared
from augan.data.dataset import from_arrays
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.exceptions import DataError
from augan.io.hashing import sha256_array
from augan.io.images import write_png

COUNT = 30


def noise(*shape, dtype="uint8", seed=0):
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, high, shape, dtype)


def write_images(folder, count=COUNT, shape=(8, 8), dtype="uint8"):
    folder.mkdir()
    for number, image in enumerate(noise(count, *shape, dtype=dtype)):
        write_png(folder / f"{number:03d}.png", image)
    return folder


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


@pytest.fixture
def kept(tmp_path):
    """The folder of the cache; not there yet."""
    return tmp_path / "kept"


def load(images, folder=None, **changes):
    dataset = load_dataset(images)
    return load_prepared(dataset, ImagePreprocessing.fit(dataset), folder)


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def put_silently(path, image):
    """Replace a picture by one of other pixels but the same size and time."""
    before = path.stat()
    write_png(path, image)
    size = path.stat().st_size
    assert size <= before.st_size, "the new picture must not be longer"
    with open(path, "ab") as file:
        file.write(bytes(before.st_size - size))  # decoders ignore what follows the picture
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded, in order."""
    from augan.data import sequences

    seen, read = [], sequences.read_image
    monkeypatch.setattr(sequences, "read_image", lambda path: seen.append(path.name) or read(path))
    return seen


# Right


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((8, 8), "uint8"), ((8, 8, 3), "uint8"), ((8, 8), "uint16"), ((5, 20), "uint16")],
)
def test_load_prepared_equals_decode_all(tmp_path, kept, shape, dtype):
    dataset = load_dataset(write_images(tmp_path / "images", 9, shape, dtype))
    preprocessing = ImagePreprocessing.fit(dataset)
    expected_dataset, expected = decode_all(dataset, preprocessing)
    for _ in ("built", "found"):
        prepared = load_prepared(dataset, preprocessing, kept)
        found, pixels = prepared.dataset, prepared.pixels
        assert pixels.dtype == expected.dtype == dtype
        np.testing.assert_array_equal(pixels, expected, strict=True)
        assert found.names == expected_dataset.names
        assert isinstance(pixels, np.memmap)
        assert not pixels.flags.writeable
        assert type(pixels[[2, 0]]) is np.ndarray


def test_load_prepared_keeps_order_across_blocks(images, kept, monkeypatch):
    monkeypatch.setattr(cache_file, "_BLOCK_ROWS", 7)
    dataset = load_dataset(images)
    _, expected = decode_all(dataset, ImagePreprocessing.fit(dataset))
    np.testing.assert_array_equal(load(images, kept).pixels, expected)


def test_cache_file_is_a_numpy_file(images, kept):
    prepared = load(images, kept)
    (name,) = entries(kept)
    np.testing.assert_array_equal(np.load(kept / name), prepared.pixels)
    np.testing.assert_array_equal(np.load(kept / name, mmap_mode="r"), prepared.pixels)


def test_cache_file_has_the_digest_of_the_pixels(images, kept, monkeypatch):
    prepared = load(images, kept)
    assert prepared.cached_sha256 == sha256_array(np.array(prepared.pixels))
    assert load(images, kept).cached_sha256 == prepared.cached_sha256
    monkeypatch.setattr(cache, "sha256_array", None)
    assert load(images, kept).sha256 == prepared.cached_sha256
    monkeypatch.undo()
    in_memory = load(images)
    assert in_memory.cached_sha256 is None
    assert in_memory.sha256 == prepared.sha256


def test_format_is_raised_when_prepared_pixels_change(tmp_path, kept):
    """If this digest changes, raise `_FORMAT`: entries on users' disks are out of date."""
    folder = write_images(tmp_path / "images", 3, (12, 7, 3))
    write_png(folder / "003.png", noise(40, 9))
    dataset = load_dataset(folder)
    preprocessing = ImagePreprocessing(16, 3, "uint8", 0.0, 255.0)
    assert cache._FORMAT == 1
    assert load_prepared(dataset, preprocessing, kept).sha256.startswith("2faefc0c1226f6e1")


# Found again


def test_second_load_decodes_nothing(images, kept, decoded):
    first = load(images, kept)
    assert len(decoded) == COUNT
    second = load(images, kept)
    assert len(decoded) == COUNT
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert len(entries(kept)) == 1


def test_cache_key_changes_with_a_replaced_file(images, kept):
    """Archives, `cp -p` and `rsync -t` give it the time that they were told."""
    before = load(images, kept).pixels
    put_silently(images / "003.png", np.zeros((8, 8), np.uint8))
    after = load(images, kept).pixels
    assert not after[3].any()
    np.testing.assert_array_equal(np.delete(after, 3, axis=0), np.delete(before, 3, axis=0))


def test_cache_key_changes_with_the_time_of_a_file(images, kept, decoded):
    load(images, kept)
    file = images / "003.png"
    about = file.stat()
    put_silently(file, np.zeros((8, 8), np.uint8))
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    pixels = load(images, kept).pixels
    assert not pixels[3].any()
    assert len(decoded) == 2 * COUNT
    assert len(entries(kept)) == 2


def test_cache_key_changes_with_the_size_of_a_file(images, kept):
    load(images, kept)
    file = images / "003.png"
    about = file.stat()
    with open(file, "ab") as stream:
        stream.write(b"\0")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    load(images, kept)
    assert len(entries(kept)) == 2


def test_cache_key_changes_with_files_names_and_folders(images, kept, tmp_path):
    load(images, kept)
    (images / "003.png").rename(images / "0031.png")
    load(images, kept)
    shutil.copy(images / "000.png", images / "new.png")
    load(images, kept)
    shutil.copytree(images, tmp_path / "copy")  # keeps sizes and times
    load(tmp_path / "copy", kept)
    assert len(entries(kept)) == 4


def test_cache_key_changes_with_preprocessing_and_pillow(images, kept, monkeypatch):
    dataset = load_dataset(images)
    shapes = [(8, 1, "uint8", 255.0), (16, 1, "uint8", 255.0), (8, 3, "uint8", 255.0)]
    for size, channels, dtype, high in [*shapes, (8, 1, "uint16", 65535.0)]:
        preprocessing = ImagePreprocessing(size, channels, dtype, 0.0, high)
        pixels = load_prepared(dataset, preprocessing, kept).pixels
        assert pixels.shape == (COUNT, size, size, channels)
        assert pixels.dtype == dtype
    assert len(entries(kept)) == 4
    monkeypatch.setattr(cache.PIL, "__version__", "0")
    load_prepared(dataset, preprocessing, kept)
    assert len(entries(kept)) == 5


def test_cache_key_does_not_depend_on_the_path_to_the_folder(images, kept, decoded, monkeypatch):
    load(images, kept)
    monkeypatch.chdir(images.parent)
    load(Path("images"), kept)
    (images.parent / "link").symlink_to(images)
    load(images.parent / "link", kept)
    assert len(decoded) == COUNT


def test_files_that_change_while_they_are_read_are_refused(images, kept, monkeypatch):
    def touched(self, image):
        os.utime(images / "000.png", ns=(1, 1))
        return original(self, image)

    original = ImagePreprocessing.prepare
    monkeypatch.setattr(ImagePreprocessing, "prepare", touched)
    with pytest.raises(DataError, match="changed while they were read; wait"):
        load(images, kept)
    assert entries(kept) == []


# Memory or cache


def test_small_datasets_stay_in_memory_without_a_folder(images, monkeypatch, tmp_path):
    monkeypatch.setenv("AUGAN_CACHE", str(tmp_path / "chosen"))
    assert type(load(images).pixels) is np.ndarray
    assert not (tmp_path / "chosen").exists()
    monkeypatch.setattr(cache, "MAX_IN_MEMORY_BYTES", COUNT * 64)  # the prepared take exactly this
    assert isinstance(load(images).pixels, np.memmap)
    assert len(entries(tmp_path / "chosen")) == 1


def test_few_large_files_are_cached_too(tmp_path, monkeypatch, kept):
    monkeypatch.setenv("AUGAN_CACHE", str(kept))
    folder = write_images(tmp_path / "images", 1, (100, 100))
    monkeypatch.setattr(cache, "MAX_IN_MEMORY_BYTES", 64 * 64 + 1)
    assert isinstance(load(folder).pixels, np.memmap)


def test_small_files_with_many_pixels_are_cached_too(images, monkeypatch, kept):
    monkeypatch.setenv("AUGAN_CACHE", str(kept))
    preprocessing = ImagePreprocessing(64, 3, "uint8", 0.0, 255.0)
    monkeypatch.setattr(cache, "MAX_IN_MEMORY_BYTES", COUNT * 64 * 64 * 3)
    assert sum(path.stat().st_size for path in images.iterdir()) < cache.MAX_IN_MEMORY_BYTES
    assert isinstance(load_prepared(load_dataset(images), preprocessing).pixels, np.memmap)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_arrays_are_never_cached(kept, dtype):
    dataset = from_arrays(np.arange(3 * 64).reshape(3, 8, 8).astype(dtype))
    prepared = load_prepared(dataset, ImagePreprocessing.fit(dataset), kept)
    assert type(prepared.pixels) is np.ndarray
    assert not kept.exists()


def test_files_for_a_float_model_are_not_cached(images, kept):
    preprocessing = ImagePreprocessing(8, 1, "float32", 0.0, 255.0)
    pixels = load_prepared(load_dataset(images), preprocessing, kept).pixels
    assert pixels.dtype == np.float32
    assert not kept.exists()


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AUGAN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "augan"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    assert cache_folder() == tmp_path / ".cache" / "augan"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "augan"
    monkeypatch.setenv("AUGAN_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("AUGAN_CACHE", "~no-such-user-here/x")
    with pytest.raises(DataError) as caught:
        cache_folder()
    assert str(caught.value) == (
        "AUGAN_CACHE is ~no-such-user-here/x, but there is no home folder ~no-such-user-here; set "
        "it to the full path of a folder"
    )


# Files that cannot be read


def test_unreadable_files_are_skipped_with_and_without_cache(images, kept, decoded):
    for name in ("004.png", "020.png"):
        content = (images / name).read_bytes()
        (images / name).write_bytes(content[: len(content) // 2 + 8])
    dataset = load_dataset(images)
    expected, prepared = decode_all(dataset, ImagePreprocessing.fit(dataset))
    assert [name for name, _ in expected.skipped] == ["004.png", "020.png"]
    decoded.clear()
    for _ in ("built", "found"):
        found = load(images, kept)
        assert found.dataset.names == expected.names
        assert found.dataset.skipped == expected.skipped
        np.testing.assert_array_equal(found.pixels, prepared, strict=True)
    assert len(decoded) == COUNT


def test_skipped_files_of_loading_and_decoding_count_together(images, kept):
    for name in ("004.png", "020.png"):
        content = (images / name).read_bytes()
        (images / name).write_bytes(content[: len(content) // 2 + 8])
    load(images, kept)
    (images / "x1.png").touch()
    (images / "x2.png").touch()  # skipped by the header; now 4 of 32
    with pytest.raises(DataError, match="4 of 32 image files cannot be read"):
        load(images, kept)


def test_too_many_unreadable_files_leave_nothing_behind(images, kept):
    for name in ("001.png", "004.png", "020.png", "021.png"):
        content = (images / name).read_bytes()
        (images / name).write_bytes(content[: len(content) // 2 + 8])
    with pytest.raises(DataError, match="4 of 30 image files cannot be read"):
        load(images, kept)
    assert entries(kept) == []


def test_image_that_does_not_fit_is_named_and_no_file_stays(images, kept):
    preprocessing = ImagePreprocessing.fit(load_dataset(images))
    write_png(images / "colour.png", noise(8, 8, 3))
    with pytest.raises(DataError, match=r"^colour\.png: .*channel count"):
        load_prepared(load_dataset(images), preprocessing, kept)
    assert entries(kept) == []


def test_deleted_file_is_skipped(images, kept):
    dataset = load_dataset(images)
    (images / "005.png").unlink()
    prepared = load_prepared(dataset, ImagePreprocessing(8, 1, "uint8", 0.0, 255.0), kept)
    assert prepared.dataset.skipped == (("005.png", "there is no such file"),)


# Damaged entries


def cut(content):
    return content[:-1]


def empty(content):
    return b""


def lose_middle(content):
    return content[:128] + content[128 + 64 :]


def garbage(content):
    return bytes(len(content))


END = 128 + COUNT * 64  # of the pixels


def flip(place):
    def change(content):
        changed = bytearray(content)
        changed[place] ^= 1
        return bytes(changed)

    return change


@pytest.mark.parametrize(
    "damage",
    [cut, empty, lose_middle, garbage, *map(flip, (60, 128, END - 1, END, -60, -41, -20, -1))],
)
def test_damaged_cache_file_is_written_again(images, kept, decoded, damage):
    before = np.array(load(images, kept).pixels)
    (path,) = kept.iterdir()
    intact = path.read_bytes()
    path.write_bytes(damage(intact))
    np.testing.assert_array_equal(load(images, kept).pixels, before)
    assert len(decoded) == 2 * COUNT
    assert path.read_bytes() == intact
    assert entries(kept) == [path.name]


@pytest.mark.parametrize("length", [1, 47, 48, 49, 100, 128, 1000])
def test_truncated_cache_file_is_written_again(images, kept, length):
    load(images, kept)
    (path,) = kept.iterdir()
    intact = path.read_bytes()
    os.truncate(path, length)
    load(images, kept)
    assert path.read_bytes() == intact


# Several runs

BUILD = """
import sys
from augan.data.cache import load_prepared
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
dataset = load_dataset(sys.argv[1])
preprocessing = ImagePreprocessing.fit(dataset)
original = ImagePreprocessing.prepare
def slow(self, image):
    if not slow.called:
        slow.called = True
        print("building", flush=True)
        sys.stdin.readline()
    return original(self, image)
slow.called = False
ImagePreprocessing.prepare = slow
prepared = load_prepared(dataset, preprocessing, sys.argv[2])
print(prepared.sha256, prepared.pixels.shape[0], flush=True)
sys.stdin.readline()
print(int(prepared.pixels.sum()), flush=True)
"""


def start(images, kept):
    command = [sys.executable, "-c", BUILD, str(images), str(kept)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().split()


def test_two_processes_write_at_once_and_lose_the_folder(images, kept):
    expected = load(images)
    with start(images, kept) as first, start(images, kept) as second:
        for process in (first, second):
            assert process.stdout.readline() == "building\n"
        # Both are in the middle of it, each with a part of its own.
        assert len(entries(kept)) == 2
        assert all(name.endswith(".part") for name in entries(kept))
        for process in (first, second):
            assert go_on(process) == [expected.sha256, str(COUNT)]
        assert len(entries(kept)) == 1
        shutil.rmtree(kept)
        for process in (first, second):
            assert go_on(process) == [str(int(expected.pixels.sum()))]
    assert (first.returncode, second.returncode) == (0, 0)


def test_part_files_of_dead_processes_are_removed(images, kept, monkeypatch):
    monkeypatch.setattr(cache, "_ABANDONED_SECONDS", 0.0)
    with start(images, kept) as dead, start(images, kept) as alive:
        for process in (dead, alive):
            assert process.stdout.readline() == "building\n"
        dead.kill()
        dead.wait()
        assert len(entries(kept)) == 2
        sum_before = int(load(images, kept).pixels.sum())
        # The part of the living one is still there, beside the entry that was just made.
        assert len(entries(kept)) == 2
        assert go_on(alive)[1] == str(COUNT)
        assert len(entries(kept)) == 1
        assert go_on(alive) == [str(sum_before)]


def test_fresh_part_file_stays(images, kept):
    kept.mkdir()
    part = kept / f".{'0' * 64}.{'1' * 16}.part"
    part.touch()
    load(images, kept)
    assert part.exists()


def test_cache_file_deleted_during_use(images, kept):
    prepared = load(images, kept)
    before = int(prepared.pixels.sum())
    shutil.rmtree(kept)
    assert int(prepared.pixels.sum()) == before
    assert int(load(images, kept).pixels.sum()) == before


def test_folder_deleted_during_writing(images, kept, monkeypatch):
    original = ImagePreprocessing.prepare

    def remove(self, image):
        shutil.rmtree(kept, ignore_errors=True)
        return original(self, image)

    monkeypatch.setattr(ImagePreprocessing, "prepare", remove)
    prepared = load(images, kept)
    assert prepared.sha256 == load(images).sha256
    assert not kept.exists()


# Bounds


def age(path: Path, seconds: float):
    """Let time pass since the last use of an entry: file systems stamp all of one tick alike."""
    os.utime(path, (path.stat().st_mtime - seconds,) * 2)


@pytest.fixture
def three(tmp_path, kept):
    """Three folders of equal size with entries, used last in the order second, third, first."""
    folders = [write_images(tmp_path / f"images{number}") for number in range(3)]
    paths = []
    for folder in folders:
        load(folder, kept)
        (path,) = set(kept.iterdir()) - set(paths)
        paths.append(path)
    for seconds, path in zip((3000, 2000, 1000), paths):
        age(path, seconds)
    load(folders[0], kept)
    age(paths[0], 500)
    return folders, paths


def test_least_recently_used_file_is_removed(three, kept, tmp_path, monkeypatch):
    folders, paths = three
    size = paths[0].stat().st_size
    monkeypatch.setattr(cache, "MAX_CACHE_BYTES", 3 * size)
    held = load(folders[1], kept).pixels  # now the third is the oldest
    age(paths[1], 100)
    before = int(held.sum())
    load(write_images(tmp_path / "more"), kept)
    assert [path.exists() for path in paths] == [True, True, False]
    load(write_images(tmp_path / "again"), kept)
    assert [path.exists() for path in paths] == [False, True, False]
    load(write_images(tmp_path / "and_again"), kept)
    assert not paths[1].exists()
    assert int(held.sum()) == before
    assert sum(path.stat().st_size for path in kept.iterdir()) <= 3 * size


def test_cache_takes_a_quarter_of_the_free_space(three, kept, tmp_path, monkeypatch):
    _, paths = three
    used = sum(path.stat().st_size for path in paths)

    class Disk:
        free = 4 * used - used  # a quarter of free plus used is just what is there

    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: Disk)
    load(write_images(tmp_path / "more"), kept)
    assert [path.exists() for path in paths] == [True, False, True]


def test_cache_file_beyond_the_limit_stays_alone(three, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "MAX_CACHE_BYTES", 100)
    prepared = load(write_images(tmp_path / "more"), kept)
    assert prepared.pixels.shape[0] == COUNT
    assert len(entries(kept)) == 1


def test_only_cache_files_are_removed(images, kept, monkeypatch):
    kept.mkdir()
    strangers = ("mine.npy", "0123.npy", ".x.part", "f" * 64)
    for name in strangers:
        (kept / name).write_bytes(b"precious")
    monkeypatch.setattr(cache, "MAX_CACHE_BYTES", 0)
    load(images, kept)
    assert set(strangers) < set(entries(kept))


# Folders that cannot be written


def test_too_small_disk_is_refused_before_decoding(three, images, kept, monkeypatch):
    class Disk:
        free = 1

    _, paths = three
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: Disk)
    dataset = load_dataset(images)
    large = ImagePreprocessing(64, 3, "uint16", 0.0, 65535.0)
    with pytest.raises(DataError, match=rf"{kept} \(No space left.*AUGAN_CACHE"):
        load_prepared(dataset, large, kept)
    assert all(path.exists() for path in paths)


def test_failed_write_leaves_no_file(images, kept):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # the kernel refuses to go on
    try:
        with pytest.raises(DataError, match=rf"cannot keep .* in {kept} \(File too large\).*CACHE"):
            load(images, kept)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert entries(kept) == []
    assert len(load(images, kept).pixels) == COUNT


def test_full_disk_is_refused(images, kept, monkeypatch):
    def full(file, decoded, dtype, shape, failures):
        file.write(b"some")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "write_cache_file", full)
    with pytest.raises(DataError, match=r"No space left on device.*set AUGAN_CACHE"):
        load(images, kept)
    assert entries(kept) == []


def test_cache_folder_below_a_file_is_refused(images, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=rf"{tmp_path}/file/kept \(Not a directory\).*AUGAN_CACHE"):
        load(images, tmp_path / "file" / "kept")


@contextmanager
def ordinary_user():
    """Give up the rights of root, who may write anywhere."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_read_only_folder_is_read_but_not_written():
    # Not below pytest's own folder, which other users may not enter.
    with tempfile.TemporaryDirectory() as place:
        kept = Path(place, "kept")
        images, more = write_images(Path(place, "images")), write_images(Path(place, "more"), 3)
        expected = load(images, kept).sha256
        Path(place).chmod(0o755)
        kept.chmod(0o555)
        with ordinary_user():
            assert load(images, kept).cached_sha256 == expected
            with pytest.raises(DataError, match=rf"{kept} \(Permission denied\).*set AUGAN_CACHE"):
                load(more, kept)
            with pytest.raises(DataError, match=rf"{place}/new \(Permission denied\)"):
                load(more, Path(place, "new"))
        kept.chmod(0o755)


def test_new_cache_folder_is_closed_to_other_users(images, kept):
    load(images, kept)
    assert kept.stat().st_mode & 0o077 == 0


def test_load_prepared_of_jpeg_files(tmp_path, kept):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(noise(16, 16, 3, seed=number)).save(folder / f"{number}.jpg")
    assert load(folder, kept).sha256 == load(folder).sha256
