"""Reading and writing of image files, and contact sheets."""

import errno
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from augan.exceptions import DataError
from augan.io.images import (
    MAX_PIXELS,
    ImageHeader,
    UnreadableImage,
    image_grid,
    read_header,
    read_image,
    write_png,
)

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GRAY, 255 - GRAY, GRAY // 2], axis=-1)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "TIFF", "webp"])
@pytest.mark.parametrize("pixels", [GRAY, COLOUR], ids=["gray", "colour"])
def test_lossless_files_come_back_exactly(tmp_path, suffix, pixels):
    options = {"lossless": True} if suffix == "webp" else {}
    image = read_image(save(tmp_path / f"a.{suffix}", pixels, **options))
    expected = pixels if pixels.ndim == 3 else pixels[..., None]
    if suffix == "webp" and pixels.ndim == 2:  # WebP knows no gray
        expected = expected.repeat(3, axis=-1)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)
    image[0, 0] = 1  # writable


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [
        ("png", np.uint8),
        ("png", np.uint16),
        ("tif", np.uint8),
        ("tif", np.uint16),
        ("jpg", np.uint8),
    ],
)
def test_exif_orientation_is_applied_once(tmp_path, orientation, suffix, dtype):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", GRAY.astype(dtype), exif=exif)
    turned = {
        1: GRAY,
        2: GRAY[:, ::-1],
        3: GRAY[::-1, ::-1],
        4: GRAY[::-1],
        5: GRAY.T,
        6: np.rot90(GRAY, -1),
        7: GRAY[::-1, ::-1].T,
        8: np.rot90(GRAY),
    }
    expected = turned[orientation]
    if suffix == "jpg":  # lossy, so only the corner of the black pixel is compared
        assert np.argmin(read_image(path)) == np.argmin(expected)
        expected = read_image(path)[..., 0]
    np.testing.assert_array_equal(read_image(path)[..., 0], expected)
    assert expected.shape == ((4, 3) if orientation >= 5 else (3, 4))
    assert read_header(path) == ImageHeader(*expected.shape, 1, np.dtype(dtype).name)


def test_one_bit_becomes_black_and_white(tmp_path):
    image = read_image(save(tmp_path / "a.png", GRAY > 100))
    np.testing.assert_array_equal(image[..., 0], np.where(GRAY > 100, 255, 0))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(tmp_path, mode):
    picture = Image.new("RGBA", (2, 1), (100, 100, 100, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    path = tmp_path / "a.png"
    picture.convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (1, 2, 1 if mode == "LA" else 3)
    assert read_header(path).channels == image.shape[-1]
    assert image[0, 0].tolist() == [100] * image.shape[-1]
    assert image[0, 1].tolist() == [255] * image.shape[-1]


def test_transparent_gray_key_becomes_white(tmp_path):
    path = save(tmp_path / "a.png", GRAY, transparency=0)
    assert read_image(path)[0, :2, 0].tolist() == [255, 20]


@pytest.mark.parametrize("mode", ["P", "CMYK"])
def test_other_color_models_become_rgb(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.new("RGB", (2, 2), (255, 0, 0)).convert(mode).save(path)
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]
    assert read_header(path) == ImageHeader(2, 2, 3, "uint8")


@pytest.mark.parametrize(
    ("suffix", "kind"), [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2"), ("tif", "<i4")]
)
def test_sixteen_bit_gray_keeps_its_depth(tmp_path, suffix, kind):
    deep = np.array([[0, 257, 65535]], kind)
    image = read_image(save(tmp_path / f"a.{suffix}", deep))
    assert image.dtype == np.uint16
    assert image[..., 0].tolist() == [[0, 257, 65535]]
    assert read_header(tmp_path / f"a.{suffix}").dtype == "uint16"


@pytest.mark.parametrize(
    ("array", "reason"),
    [(np.array([[70000]], np.int32), "70000"), (np.array([[0.5]], np.float32), "floating-point")],
)
def test_values_beyond_sixteen_bits_are_refused(tmp_path, array, reason):
    with pytest.raises(UnreadableImage, match=reason):
        read_image(save(tmp_path / "a.tif", array))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
def test_truncated_files_are_refused(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    path = save(tmp_path / f"cut.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\.{suffix}"):
        read_image(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "IO")]
)
def test_transient_errors_are_not_blamed_on_the_file(tmp_path, monkeypatch, error):
    """Such a file must not be left out, nor be remembered as one that cannot be read."""
    path = save(tmp_path / "a.png", np.zeros((4, 4), np.uint8))

    def fails(*_, **__):
        raise error

    monkeypatch.setattr("augan.io.images.Image.open", fails)
    with pytest.raises(DataError, match=r"a\.png now.* start again") as caught:
        read_image(path)
    assert not isinstance(caught.value, UnreadableImage)


@pytest.mark.parametrize("read", [read_image, read_header])
@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "0 bytes"), (b"hello, I am no picture", "not a PNG"), (None, "no such file")],
)
def test_files_that_are_no_image_are_refused(tmp_path, read, content, reason):
    path = tmp_path / "odd.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=reason) as caught:
        read(path)
    assert "odd.png" in str(caught.value)
    assert "odd.png" not in caught.value.reason


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage, match="regular file"):
        read_image(tmp_path / "pipe.png")


def test_formats_outside_the_list_are_refused(tmp_path):
    save(tmp_path / "a.ppm", GRAY)
    (tmp_path / "a.ppm").rename(tmp_path / "a.png")
    with pytest.raises(UnreadableImage, match="not a PNG"):
        read_image(tmp_path / "a.png")


def with_sides(path, width, height):
    """Write a picture whose header promises more pixels than it has."""
    content = bytearray(save(path, GRAY).read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("side", "count"),
    [(9_460, "9460 x 9461"), (10_000, "10000 x 10001"), (20_000, "400,020,000")],
)
@pytest.mark.parametrize("read", [read_image, read_header])
def test_decompression_bombs_are_refused(tmp_path, side, count, read):
    path = with_sides(tmp_path / "bomb.png", side, side + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnreadableImage) as caught:
            read(path)
    assert caught.value.reason == (
        f"it has {count} pixels, at most 89,478,485 are read: shrink it, or cut it into several"
    )


def test_pixel_limit_is_the_limit_of_pillow(tmp_path, monkeypatch):
    assert MAX_PIXELS == Image.MAX_IMAGE_PIXELS
    # 9459 x 9459 = 89,472,681
    assert read_header(with_sides(tmp_path / "a.png", 9459, 9459)).width == 9459
    assert read_header(with_sides(tmp_path / "b.png", 1, MAX_PIXELS)).height == MAX_PIXELS
    with pytest.raises(UnreadableImage, match=f"1 x {MAX_PIXELS + 1} pixels"):
        read_header(with_sides(tmp_path / "c.png", 1, MAX_PIXELS + 1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 11)  # a program that wants less gets less
    with pytest.raises(UnreadableImage, match="4 x 3 pixels, at most 11 are read"):
        read_header(save(tmp_path / "d.png", GRAY))


def test_pixel_limit_holds_without_the_limit_of_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr("augan.io.images.MAX_PIXELS", 11)
    with pytest.raises(UnreadableImage, match="4 x 3 pixels"):
        read_header(save(tmp_path / "a.png", GRAY))
    monkeypatch.setattr("augan.io.images.MAX_PIXELS", 12)
    assert read_header(tmp_path / "a.png").width == 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 3)])
def test_write_png_round_trip_with_text(tmp_path, dtype, shape):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)
    path = tmp_path / "a.png"
    if dtype == np.uint16 and shape[-1] == 3:
        with pytest.raises(DataError, match="uint16"):
            write_png(path, image)
    else:
        write_png(path, np.zeros((1, 1), np.uint8))
        write_png(path, image, {"augan": "généré 字"})
        np.testing.assert_array_equal(read_image(path), image.reshape(3, 4, -1))
        with Image.open(path) as picture:
            assert picture.text["augan"] == "généré 字"
    assert [p.name for p in tmp_path.iterdir()] in ([], ["a.png"])


@pytest.mark.parametrize("shape", [(2, 2, 1), (2, 2, 4), (2,), (0, 2, 1)])
def test_write_png_refuses_arrays_that_are_no_image(tmp_path, shape):
    dtype = np.float32 if shape == (2, 2, 1) else np.uint8
    with pytest.raises(DataError, match=r"a\.png"):
        write_png(tmp_path / "a.png", np.zeros(shape, dtype))


def test_failed_write_leaves_the_old_file_intact(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_png(path, GRAY)

    def fail(source, target):
        raise OSError("disk gone")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk gone"):
        write_png(path, 255 - GRAY)
    np.testing.assert_array_equal(read_image(path)[..., 0], GRAY)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_image_grid_places_images_row_by_row_on_white():
    tiles = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((3, 2, 2, 1), np.uint8)
    sheet = image_grid(tiles, columns=2, pad=1, scale=1)[..., 0]
    w = 255
    assert sheet.tolist() == [
        [w, w, w, w, w, w, w],
        [w, 0, 0, w, 1, 1, w],
        [w, 0, 0, w, 1, 1, w],
        [w, w, w, w, w, w, w],
        [w, 2, 2, w, w, w, w],
        [w, 2, 2, w, w, w, w],
        [w, w, w, w, w, w, w],
    ]


@pytest.mark.parametrize(("side", "shown"), [(8, 48), (32, 64), (28, 56), (64, 64)])
def test_image_grid_enlarges_small_images(side, shown):
    tile = np.random.default_rng(0).integers(0, 255, (1, side, side, 3), np.uint8)
    sheet = image_grid(tile, columns=5)
    assert sheet.shape == (shown + 2, shown + 2, 3)
    np.testing.assert_array_equal(sheet[1 : -1 : shown // side, 1 : -1 : shown // side], tile[0])


def test_image_grid_refuses_floats_and_empty_arrays():
    with pytest.raises(DataError, match="float32"):
        image_grid(np.zeros((1, 2, 2, 1), np.float32), 1)
    with pytest.raises(DataError, match="at least 1"):
        image_grid(np.zeros((0, 2, 2, 1), np.uint8), 1)


def test_color_of_16_bits_is_refused_by_name(tmp_path):
    """Pillow keeps the upper 8 bits, of which a camera of 12 bits sets 4."""
    rows = b"".join(b"\0" + bytes([0x0F, 0xA0] * 3 * 8) for _ in range(8))

    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    content = header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path = tmp_path / "deep-color.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    for read in (read_image, read_header):
        with pytest.raises(UnreadableImage, match=r"deep-color.png .*16 bits .*8 bits, or as gray"):
            read(path)
