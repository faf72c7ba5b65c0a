"""Kinds of damaged files that need no TensorFlow: images, configurations, tables, arrays.

Each kind mutates a valid file and passes the result to the functions that commands use.
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
    """Kind of input.

    Attributes
    ----------
    make
        Returns a randomly damaged file.
    process
        Writes the file into an empty folder and processes it as commands do.
    """

    make: Callable[[Rng], bytes]
    process: Callable[[bytes, Path], None]


@cache
def images() -> list[bytes]:
    """Return small images of every format and mode that augan reads."""
    rng = np.random.default_rng(0)
    gray = Image.fromarray(rng.integers(0, 256, (9, 7), np.uint8))
    color = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    transparent = Image.fromarray(rng.integers(0, 256, (9, 7, 4), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (9, 7), np.uint16))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    cases: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (gray, "png", {}),
        (color, "png", {"exif": rotated}),
        (transparent, "png", {}),
        (deep, "png", {}),
        (gray.convert("1"), "png", {}),
        (color.quantize(16), "png", {"transparency": 3}),
        (gray, "jpeg", {}),
        (color, "jpeg", {"exif": rotated, "progressive": True}),
        (color.convert("CMYK"), "jpeg", {}),
        (gray, "bmp", {}),
        (color, "bmp", {}),
        (gray.convert("1"), "bmp", {}),
        (color, "tiff", {}),
        (deep, "tiff", {}),
        (color, "tiff", {"compression": "tiff_lzw"}),
        (gray, "tiff", {"compression": "tiff_adobe_deflate"}),
        (color, "webp", {"lossless": True}),
        (transparent, "webp", {"quality": 40}),
        (color, "webp", {"save_all": True, "append_images": [transparent.convert("RGB")]}),
    ]
    return [_saved(*one) for one in cases]


def _saved(image: Image.Image, format_name: str, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def _make_image(rng: Rng) -> bytes:
    raw = mutate_bytes(rng, one(rng, images()), images())
    return png_with_checksums(raw) if rng.random() < 0.7 and raw[1:4] == b"PNG" else raw


def _process_image(raw: bytes, folder: Path) -> None:
    path = folder / "x.png"
    path.write_bytes(raw)
    header, image = read_header(path), read_image(path)
    if image.shape != (header.height, header.width, header.channels):
        raise AssertionError(f"header {header} and image shape {image.shape} differ")
    if header.dtype != image.dtype:
        raise AssertionError(f"header dtype {header.dtype} and image dtype {image.dtype} differ")
    ImagePreprocessing(32, 3, "uint16", 0.0, 65535.0).prepare(image)


def _process_mask(raw: bytes, folder: Path) -> None:
    from augan.detect.ignore_mask import IgnoreMask

    (folder / "x.png").write_bytes(raw)
    IgnoreMask.read(folder / "x.png").fill(np.zeros((9, 7, 1), np.uint8))


@cache
def configs() -> list[str]:
    """Return the configurations of the repository, and one with many features of YAML."""
    texts = [path.read_text("utf-8") for path in sorted(CONFIGS.glob("*.yaml"))]
    features = (
        "a: &x [1, 2]\nb: *x\nc: {<<: {seed: 1}, d: !!str 2}\ne: |\n  text\n? f\n: 2001-01-01\n"
    )
    return [*texts, features, "seed: 1\ngan: {loss: hinge, betas: [0.5, 0.9]}\n"]


def _make_config(rng: Rng) -> bytes:
    if rng.random() < 0.02:  # nested aliases: a few lines that expand to billions of values
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 12)]
        return mutate_text(rng, "\n".join(["gan:", *(f"  {line}" for line in lines)]))
    return mutate_text(rng, one(rng, configs()))


def _process_config(raw: bytes, folder: Path) -> None:
    (folder / "c.yaml").write_bytes(raw)
    Config().override([raw.decode("utf-8", "replace")[:200]]) if len(raw) % 2 else None
    config = Config.from_yaml(folder / "c.yaml")
    if Config.from_dict(config.to_dict()) != config:
        raise AssertionError("to_dict and from_dict change the settings")


@cache
def tables() -> list[str]:
    """Return tables of numbers, words, booleans and quoted text, with several separators."""
    rng = np.random.default_rng(0)
    rows = [
        f"{rng.normal():.3f},{rng.integers(9)},{one(rng, ['red', 'green'])},{one(rng, 'ab')}"
        for _ in range(30)
    ]
    plain = "\n".join(["width,count,color,kind", *rows, ""])
    quoted = plain.replace("red", '"a ""red"", dark"').replace("width", '"the width"')
    truth = plain.replace("red", "True").replace("green", "False")
    return [plain, quoted, truth, plain.replace(",", ";"), plain.replace(",", "\t")]


def _make_table(rng: Rng) -> bytes:
    return mutate_text(rng, one(rng, tables()))


@cache
def _columns(folder: Path) -> TabularPreprocessing:
    path = folder.parent / "plain.csv"
    path.write_text(tables()[0], "utf-8")
    return TabularPreprocessing.fit_table(Table(read_table(path)))


def _process_table(raw: bytes, folder: Path) -> None:
    path = folder / "x.csv"
    path.write_bytes(raw)
    frame = read_table(path)
    first, *_ = frame.columns
    _attempt(lambda: _columns(folder).prepare_rows(frame))
    _attempt(lambda: load_dataset(path, target=first))
    table = load_dataset(path).images
    if not isinstance(table, Table):
        raise AssertionError("load_dataset returned no Table")
    columns = TabularPreprocessing.fit_table(table)
    scaled = columns.normalize(columns.prepare_all(table))
    if not np.isfinite(scaled).all():
        raise AssertionError("scaled values are not finite")
    columns.to_frame(columns.denormalize(scaled))


def _attempt(action: Callable[[], object]) -> None:
    """Call a function and ignore an `AuganError`."""
    from augan.exceptions import AuganError

    try:
        action()
    except AuganError:
        return  # the case continues


def _make_list(rng: Rng) -> bytes:
    column = one(rng, ("group", "label,group", "label"))
    count = column.count(",") + 1
    lines = [f"path,{column}", *(",".join([n, *[n.split("/")[0]] * count]) for n in NAMES)]
    return mutate_text(rng, "\n".join([*lines, ""]), NAMES)


def _process_list(raw: bytes, folder: Path) -> None:
    path = folder / "list.csv"
    path.write_bytes(raw)
    _attempt(lambda: read_groups(path, folder, NAMES))
    _attempt(lambda: read_groups(path, folder, NAMES, require_all=False))
    read_labels(path, NAMES, folder)


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
    if rng.random() < 0.3:  # an unrelated array
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


def _process_arrays(raw: bytes, folder: Path) -> None:
    path = folder / "x.npz"
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


def _process_idx(raw: bytes, folder: Path) -> None:
    for name, content in zip(("train-images-idx3", "train-labels-idx1"), json.loads(raw)):
        (folder / f"{name}-ubyte").write_bytes(bytes.fromhex(content))
    load_dataset(folder)


KINDS = {
    "images": Kind(_make_image, _process_image),
    "masks": Kind(_make_image, _process_mask),
    "configs": Kind(_make_config, _process_config),
    "tables": Kind(_make_table, _process_table),
    "lists": Kind(_make_list, _process_list),
    "arrays": Kind(_make_arrays, _process_arrays),
    "idx": Kind(_make_idx, _process_idx),
}
