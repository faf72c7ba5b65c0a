"""What `tools.robustness.fuzz.run` changes at random, and how augan meets it; nothing here needs
TensorFlow.

A kind has valid files of its sort, makes a damaged one from them, and hands it to the functions
that a command would hand it to.
"""

import gzip
import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augan import load_dataset
from augan.config import Config
from augan.data.groups import read_groups
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tables import Table, read_table
from augan.data.modalities.tabular import TabularPreprocessing
from augan.evaluation.detection.labels import read_labels
from augan.io.images import read_header, read_image
from tools.robustness.fuzz.mutations import (
    Rng,
    mutate_bytes,
    mutate_text,
    one,
    png_with_checksums,
    unzipped,
    zipped,
)

CONFIGS = Path(__file__).parents[3] / "configs"
NAMES = [f"{kind}/{number}.png" for kind in ("good", "bad") for number in range(4)]


@dataclass(frozen=True)
class Kind:
    """One sort of input.

    Attributes
    ----------
    make
        Draws a damaged file.
    meet
        Writes it into an empty folder and does with it what commands do.
    """

    make: Callable[[Rng], bytes]
    meet: Callable[[bytes, Path], None]


@cache
def images() -> list[bytes]:
    """Return small pictures of every format and mode that augan reads."""
    rng = np.random.default_rng(0)
    gray = Image.fromarray(rng.integers(0, 256, (9, 7), np.uint8))
    colour = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    clear = Image.fromarray(rng.integers(0, 256, (9, 7, 4), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (9, 7), np.uint16))
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (gray, "png", {}),
        (colour, "png", {"exif": turned}),
        (clear, "png", {}),
        (deep, "png", {}),
        (gray.convert("1"), "png", {}),
        (colour.quantize(16), "png", {"transparency": 3}),
        (gray, "jpeg", {}),
        (colour, "jpeg", {"exif": turned, "progressive": True}),
        (colour.convert("CMYK"), "jpeg", {}),
        (gray, "bmp", {}),
        (colour, "bmp", {}),
        (gray.convert("1"), "bmp", {}),
        (colour, "tiff", {}),
        (deep, "tiff", {}),
        (colour, "tiff", {"compression": "tiff_lzw"}),
        (gray, "tiff", {"compression": "tiff_adobe_deflate"}),
        (colour, "webp", {"lossless": True}),
        (clear, "webp", {"quality": 40}),
        (colour, "webp", {"save_all": True, "append_images": [clear.convert("RGB")]}),
    ]
    return [_saved(*one) for one in pictures]


def _saved(picture: Image.Image, form: str, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def _make_image(rng: Rng) -> bytes:
    raw = mutate_bytes(rng, one(rng, images()), images())
    return png_with_checksums(raw) if rng.random() < 0.7 and raw[1:4] == b"PNG" else raw


def _meet_image(raw: bytes, place: Path) -> None:
    path = place / "x.png"
    path.write_bytes(raw)
    header, image = read_header(path), read_image(path)
    if image.shape != (header.height, header.width, header.channels):
        raise AssertionError(f"the header says {header}, the image has {image.shape}")
    if header.dtype != image.dtype:
        raise AssertionError(f"the header says {header.dtype}, the image is {image.dtype}")
    ImagePreprocessing(32, 3, "uint16", 0.0, 65535.0).prepare(image)


def _meet_mask(raw: bytes, place: Path) -> None:
    from augan.detect.ignore_mask import IgnoreMask

    (place / "x.png").write_bytes(raw)
    IgnoreMask.read(place / "x.png").fill(np.zeros((9, 7, 1), np.uint8))


@cache
def configs() -> list[str]:
    """Return every configuration of the repository, and one with all that YAML can do."""
    texts = [path.read_text("utf-8") for path in sorted(CONFIGS.glob("*.yaml"))]
    every = "a: &x [1, 2]\nb: *x\nc: {<<: {seed: 1}, d: !!str 2}\ne: |\n  text\n? f\n: 2001-01-01\n"
    return [*texts, every, "seed: 1\ngan: {loss: hinge, betas: [0.5, 0.9]}\n"]


def _make_config(rng: Rng) -> bytes:
    if rng.random() < 0.02:  # aliases of aliases: a few lines that stand for billions
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 12)]
        return mutate_text(rng, "\n".join(["gan:", *(f"  {line}" for line in lines)]))
    return mutate_text(rng, one(rng, configs()))


def _meet_config(raw: bytes, place: Path) -> None:
    (place / "c.yaml").write_bytes(raw)
    Config().override([raw.decode("utf-8", "replace")[:200]]) if len(raw) % 2 else None
    config = Config.from_yaml(place / "c.yaml")
    if Config.from_dict(config.to_dict()) != config:
        raise AssertionError("the settings do not survive a round")


@cache
def tables() -> list[str]:
    """Return tables of numbers, words, truth values and quoted texts, with several separators."""
    rng = np.random.default_rng(0)
    rows = [
        f"{rng.normal():.3f},{rng.integers(9)},{one(rng, ['red', 'green'])},{one(rng, 'ab')}"
        for _ in range(30)
    ]
    plain = "\n".join(["width,count,colour,kind", *rows, ""])
    quoted = plain.replace("red", '"a ""red"", dark"').replace("width", '"the width"')
    truth = plain.replace("red", "True").replace("green", "False")
    return [plain, quoted, truth, plain.replace(",", ";"), plain.replace(",", "\t")]


def _make_table(rng: Rng) -> bytes:
    return mutate_text(rng, one(rng, tables()))


@cache
def _columns(folder: Path) -> TabularPreprocessing:
    path = folder.parent / "plain.csv"
    path.write_text(tables()[0], "utf-8")
    return TabularPreprocessing.fit(Table(read_table(path)))


def _meet_table(raw: bytes, place: Path) -> None:
    path = place / "x.csv"
    path.write_bytes(raw)
    frame = read_table(path)
    first, *_ = frame.columns
    _attempt(lambda: _columns(place).prepare_rows(frame))
    _attempt(lambda: load_dataset(path, target=first))
    table = load_dataset(path).images
    if not isinstance(table, Table):
        raise AssertionError("a table became something else")
    columns = TabularPreprocessing.fit(table)
    scaled = columns.normalize(columns.prepare_all(table))
    if not np.isfinite(scaled).all():
        raise AssertionError("scaled values are not finite")
    columns.to_frame(columns.denormalize(scaled))


def _attempt(act: Callable[[], object]) -> None:
    from augan.exceptions import AuganError

    try:
        act()
    except AuganError:
        return  # the rest of the case may go on


def _make_list(rng: Rng) -> bytes:
    column = one(rng, ("group", "label,group", "label"))
    count = column.count(",") + 1
    lines = [f"path,{column}", *(",".join([n, *[n.split("/")[0]] * count]) for n in NAMES)]
    return mutate_text(rng, "\n".join([*lines, ""]), NAMES)


def _meet_list(raw: bytes, place: Path) -> None:
    path = place / "list.csv"
    path.write_bytes(raw)
    _attempt(lambda: read_groups(path, place, NAMES))
    _attempt(lambda: read_groups(path, place, NAMES, require_all=False))
    read_labels(path, NAMES, place)


@cache
def arrays() -> list[bytes]:
    """Return .npz files of images, labels and names."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (12, 8, 8), np.uint8), np.arange(12) % 3
    files = []
    for save in (np.savez, np.savez_compressed):
        for more in ({}, {"class_names": np.array(["a", "b", "c"]), "x_test": x / 255.0}):
            stream = io.BytesIO()
            save(stream, x=x, y=y, **more)  # type: ignore[operator]
            files.append(stream.getvalue())
    return files


def _make_arrays(rng: Rng) -> bytes:
    raw = one(rng, arrays())
    if rng.random() < 0.4:
        return mutate_bytes(rng, raw, arrays())
    members = unzipped(raw)
    name = one(rng, list(members))
    if rng.random() < 0.3:  # another array altogether
        members[name] = _odd_array(rng)
    else:
        members[name] = mutate_bytes(rng, members[name], list(members.values()))
    return zipped(members, rng)


def _odd_array(rng: Rng) -> bytes:
    kind = one(
        rng, ("?", "i1", ">i8", "u4", "f2", "f8", "f16", "c16", "U3", "S3", "M8[s]", "i4,f4")
    )
    shape = one(rng, ((), (0,), (12,), (12, 8, 8), (12, 0, 8), (12, 8, 8, 4), (1,) * 32))
    stream = io.BytesIO()
    np.save(stream, np.zeros(shape, kind))
    return stream.getvalue()


def _meet_arrays(raw: bytes, place: Path) -> None:
    path = place / "x.npz"
    path.write_bytes(raw)
    _attempt(lambda: load_dataset(path, subset="test"))
    load_dataset(path)


@cache
def idx() -> tuple[bytes, bytes]:
    """Return images and labels as IDX files."""
    rng = np.random.default_rng(0)
    images = struct.pack(">4B3I", 0, 0, 8, 3, 12, 8, 8) + rng.bytes(12 * 64)
    return images, struct.pack(">4BI", 0, 0, 8, 1, 12) + bytes(range(3)) * 4


def _make_idx(rng: Rng) -> bytes:
    images, labels = idx()
    raw = mutate_bytes(rng, images, idx())
    if rng.random() < 0.3:
        raw = gzip.compress(raw, 1)
        raw = mutate_bytes(rng, raw) if rng.random() < 0.5 else raw
    labels = mutate_bytes(rng, labels) if rng.random() < 0.3 else labels
    return json.dumps([raw.hex(), labels.hex()]).encode()


def _meet_idx(raw: bytes, place: Path) -> None:
    for name, content in zip(("train-images-idx3", "train-labels-idx1"), json.loads(raw)):
        (place / f"{name}-ubyte").write_bytes(bytes.fromhex(content))
    load_dataset(place)


KINDS = {
    "images": Kind(_make_image, _meet_image),
    "masks": Kind(_make_image, _meet_mask),
    "configs": Kind(_make_config, _meet_config),
    "tables": Kind(_make_table, _meet_table),
    "lists": Kind(_make_list, _meet_list),
    "arrays": Kind(_make_arrays, _meet_arrays),
    "idx": Kind(_make_idx, _meet_idx),
}
