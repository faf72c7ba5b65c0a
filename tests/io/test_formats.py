"""Formats of image files: content instead of endings, pages, frames, HEIC, AVIF and DICOM."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from augan.io import formats
from augan.io.formats import inspect_content, inspect_file, read_pages
from augan.io.images import (
    ImageHeader,
    UnreadableImage,
    decode_image,
    list_pages,
    read_header,
    read_image,
    split_page,
)

GRAY = np.arange(120, dtype=np.uint8).reshape(10, 12) * 2
COLOR = np.stack([GRAY, 255 - GRAY, GRAY // 2], axis=-1)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("saved", "renamed", "expected"),
    [
        ("a.jpg", "a.jfif", "JPEG"),
        ("a.png", "part", "PNG"),
        ("a.gif", "a.jpg", "GIF"),
        ("a.jp2", "a.dat", "JPEG2000"),
        ("a.j2k", "a.png", "JPEG2000"),
        ("a.bmp", "a.tif", "BMP"),
        ("a.webp", "a.bin", "WEBP"),
        ("a.tif", "a.TXT", "TIFF"),
    ],
)
def test_the_content_decides_and_not_the_ending(tmp_path, saved, renamed, expected):
    path = save(tmp_path / saved, COLOR).rename(tmp_path / renamed)
    assert inspect_file(path).format == expected
    assert read_image(path).shape == (10, 12, 3)
    assert read_header(path) == ImageHeader(10, 12, 3, "uint8")


def test_gif_and_jpeg_2000_are_read(tmp_path):
    exact = read_image(save(tmp_path / "a.jp2", GRAY, irreversible=False))
    np.testing.assert_array_equal(exact[..., 0], GRAY)
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "a.gif") == 10).all()
    assert list_pages(tmp_path / "a.gif").has_more_frames
    frames[0].save(tmp_path / "b.gif")
    assert not list_pages(tmp_path / "b.gif").has_more_frames


@pytest.mark.parametrize(
    ("content", "suffix", "reason"),
    [
        (b"%PDF-1.7", ".png", "a PDF document"),
        (b"", ".cr2", "camera raw"),
        (b"II*\0\x10\0\0\0CR\x02\0", ".tif", "camera raw"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", ".NEF", "camera raw"),
        (b"BMW drives", ".txt", "a text file"),
        (b"a,b\n", ".csv", "a table"),
        (b"\0" * 40, ".xyz", "no image that augan reads"),
        (b"\xff\x0a" + b"\0" * 30, ".jxl", "JPEG XL"),
    ],
)
def test_other_files_have_a_reason(content, suffix, reason):
    found = inspect_content(content, suffix)
    assert found.format is None
    assert reason in found.reason


def test_a_raw_photograph_under_another_name_is_told_by_its_tags(tmp_path):
    path = save(tmp_path / "a.tif", GRAY, tiffinfo={50706: b"\x01\x04\x00\x00"})
    assert "camera raw" in inspect_file(path).reason
    with pytest.raises(UnreadableImage, match="camera raw"):
        read_image(path)


def test_every_page_of_a_tiff_is_an_image(tmp_path):
    pages = [Image.fromarray(GRAY + value) for value in range(4)]
    path = tmp_path / "stack.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert list_pages(path).numbers == (1, 2, 3, 4)
    for number in range(1, 5):
        image = read_image(f"{path}#{number}")
        np.testing.assert_array_equal(image[..., 0], GRAY + (number - 1))
    np.testing.assert_array_equal(read_image(path)[..., 0], GRAY)
    for wrong in ("5", "99"):
        with pytest.raises(UnreadableImage, match=f"it has no page {wrong}"):
            read_image(f"{path}#{wrong}")
    with pytest.raises(UnreadableImage, match="no such file"):
        read_image(tmp_path / "gone.tif#2")
    save(tmp_path / "a.png", GRAY)
    with pytest.raises(UnreadableImage, match="no pages"):
        read_image(tmp_path / "a.png#2")


def test_a_file_whose_name_looks_like_a_page_is_that_file(tmp_path):
    save(tmp_path / "stack.tif", GRAY)
    path = save(tmp_path / "named.png", COLOR).rename(tmp_path / "stack.tif#2")
    assert split_page(path) == (path, None)
    assert read_image(path).shape == (10, 12, 3)


def tiff(directories, order="<", loop=False):
    """Return a TIFF file of bare directories, each a dict of tag -> number."""
    content = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    for number, tags in enumerate(directories):
        entries = b"".join(
            struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items()
        )
        size = 2 + len(entries) + 4
        is_last = number == len(directories) - 1
        link = (8 if loop else 0) if is_last else len(content) + size
        content += struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", link)
    return content


@pytest.mark.parametrize("order", ["<", ">"])
def test_thumbnails_and_masks_in_a_tiff_are_no_images(order):
    content = tiff([{254: 0, 256: 9}, {254: 1}, {254: 4}, {256: 9}], order)
    kinds = [page.kind for page in read_pages(io.BytesIO(content))]
    assert kinds == ["image", "reduced", "mask", "image"]


def test_circles_and_damage_end_a_chain_of_pages():
    content = tiff([{254: 0}] * 3, loop=True)
    assert len(read_pages(io.BytesIO(content))) == 3
    for length in range(len(content)):
        assert len(read_pages(io.BytesIO(content[:length]))) <= 3


@pytest.mark.parametrize("name", ["HEIC", "AVIF"])
def test_heic_and_avif_are_read_with_the_extra(tmp_path, name):
    plugin = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.dat"
    if name == "HEIC":
        content = io.BytesIO()
        plugin.from_pillow(Image.fromarray(COLOR)).save(content, quality=-1, chroma=444)
        path.write_bytes(content.getvalue())
    else:
        Image.fromarray(COLOR).save(path, format="AVIF", quality=100)
    assert inspect_file(path).format == name
    image = read_image(path)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - COLOR).mean() < 4
    np.testing.assert_array_equal(decode_image(path.read_bytes(), "a"), image)
    assert "HEIF" not in Image.OPEN  # other code of the process decodes no HEIC because of augan


def test_without_the_extra_its_formats_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "has_decoder", lambda name: name not in ("HEIC", "DICOM"))
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    assert "pip install 'augan[formats]'" in inspect_content(heic).reason
    (tmp_path / "a.jpg").write_bytes(heic)
    with pytest.raises(UnreadableImage, match="HEIC"):
        read_image(tmp_path / "a.jpg")
    assert "DICOM" in inspect_content(b"\0" * 128 + b"DICM").reason


def dicom(path, pixels, **attributes):
    """Write a DICOM file of gray pixels `[H, W]` or `[N, H, W]`."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 8 * pixels.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    assert pydicom
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_dicom_has_slope_and_window_applied(tmp_path):
    stored = np.array([[0, 1000], [1040, 2000]], np.uint16)
    path = dicom(
        tmp_path / "scan",
        stored,
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=40.5,
        WindowWidth=401,
    )
    # Linear window of DICOM PS3.3 C.11.2.1.2: -160 is black, 240 is white.
    expected = np.clip((stored.astype(float) - 1024 - 40) / 400 + 0.5, 0, 1) * 65535
    image = read_image(path)
    assert image.dtype == np.uint16
    np.testing.assert_allclose(image[..., 0], expected, atol=1)
    assert read_header(path) == ImageHeader(2, 2, 1, "uint16")


def test_dicom_without_a_window_keeps_its_values(tmp_path):
    stored = np.array([[0, 1000], [1040, 2000]], np.uint16)
    path = dicom(tmp_path / "a.dcm", stored, RescaleSlope=2, RescaleIntercept=-1024)
    np.testing.assert_array_equal(read_image(path)[..., 0], stored * 2)
    signed = dicom(tmp_path / "b.dcm", np.array([[-5, 7]], np.int16))
    np.testing.assert_array_equal(read_image(signed)[..., 0], [[32763, 32775]])
    inverse = dicom(
        tmp_path / "c.dcm", np.array([[0, 255]], np.uint8), PhotometricInterpretation="MONOCHROME1"
    )
    assert read_image(inverse)[..., 0].tolist() == [[255, 0]]
    fine = dicom(tmp_path / "d.dcm", stored, RescaleSlope=0.001, RescaleIntercept=0)
    with pytest.raises(UnreadableImage, match=r"steps of 0.001"):
        read_image(fine)


def test_frames_of_a_dicom_file_are_pages(tmp_path):
    stored = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    path = dicom(tmp_path / "a.dcm", stored)
    assert list_pages(path).numbers == (1, 2, 3)
    np.testing.assert_array_equal(read_image(f"{path}#3")[..., 0], stored[2])
    with pytest.raises(UnreadableImage, match="3 frames"):
        read_image(f"{path}#4")


def test_damaged_dicom_and_heic_are_unreadable_at_every_length(tmp_path):
    content = dicom(tmp_path / "a.dcm", np.arange(24, dtype=np.uint8).reshape(4, 6)).read_bytes()
    for length in range(132, len(content) - 1, 7):
        (tmp_path / "cut.dcm").write_bytes(content[:length])
        with pytest.raises(UnreadableImage):
            read_image(tmp_path / "cut.dcm")
