"""Fixtures of the bad inputs: a template folder with valid inputs, and functions that damage it.

Most functions return a `prepare` function, which receives the folder of a case. This folder is a
copy of the template. Unless stated otherwise, the bad input is `bad` in this folder.
"""

import os
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
from PIL import Image

from augan.bundle import load_bundle, save_bundle
from augan.io.images import write_png
from augan.io.layout import BUNDLE_FILE, REPORT_FILE, RUN_SUMMARY_FILE
from augan_cli.main import main
from tools.robustness.bad_inputs.environments import (
    CommandResult,
    Unavailable,
    interrupt,
    while_training,
)

_SET = {
    "gan.architecture": "mlp",
    "gan.latent_dim": 4,
    "generator.width": 1,
    "discriminator.width": 1,
    "encoder.width": 1,
    "classifier.width": 2,
    "training.batch_size": 8,
    "evaluation.enabled": "false",
}
DASK = ("dask", "distributed")
SMALL = "--steps 20 " + " ".join(f"--set {key}={value}" for key, value in _SET.items())


def write_image(path: Path, shape: tuple[int, ...] = (8, 8, 1), dtype: type = np.uint8) -> Path:
    """Write an image of noise. The folder name and the file name determine the noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-2:]).encode()))
    write_png(path, rng.integers(0, np.iinfo(dtype).max, shape, dtype))
    return path


def write_images(folder: Path, count: int) -> None:
    """Write `count` images into a folder."""
    for number in range(count):
        write_image(folder / f"{number:03d}.png")


def make_template(template: Path) -> None:
    """Write `photos`, images of three classes, and train the run RUN on them."""
    for name in "abc":
        write_images(template / "photos" / name, 20)
    arguments = ["train", str(template / "photos"), "--out", str(template / "RUN"), *SMALL.split()]
    result = invoke(arguments)
    if result.exit_code:
        raise RuntimeError(result.stderr)


def invoke(arguments: list[str]) -> CommandResult:
    """Run a command in this process, through the entry point."""
    stdout, stderr, previous = StringIO(), StringIO(), sys.argv
    sys.argv = ["augan", *arguments]
    try:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            main()
    except SystemExit as end:
        return CommandResult(int(end.code or 0), stdout.getvalue(), stderr.getvalue())
    finally:
        sys.argv = previous
    raise RuntimeError("expected the command to raise SystemExit, but it returned")


def shards(*values: str) -> Callable[[Path], None]:
    """Return a function that makes the shards s0, s1, ...: one for each value of `--shard`."""

    def prepare(folder: Path) -> None:
        for number, value in enumerate(values):
            command = ["detect", str(folder / "photos"), "--model", str(folder / "RUN")]
            command += ["--out", str(folder / f"s{number}"), "--shard", *value.split()]
            result = invoke(command)
            if result.exit_code:
                raise RuntimeError(result.stderr)

    return prepare


def shards_and_change(change: Callable[[Path], object], *values: str) -> Callable[[Path], None]:
    """Return a function that makes shards and then calls `change`."""

    def prepare(folder: Path) -> None:
        shards(*values)(folder)
        change(folder)

    return prepare


@contextmanager
def without_dask(folder: Path) -> Iterator[None]:
    """Hide Dask from the import system, as if it were not installed."""
    previous = {name: sys.modules.pop(name, None) for name in DASK}
    sys.modules.update(dict.fromkeys(DASK))
    try:
        yield
    finally:
        for name, module in previous.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def damaged_images(count: int) -> Callable[[Path], None]:
    """Return a function that writes valid images, and a truncated, an empty and a text file."""

    def prepare(folder: Path) -> None:
        write_images(folder / "bad", count)
        complete = write_image(folder / "bad" / "truncated.png").read_bytes()
        (folder / "bad" / "truncated.png").write_bytes(complete[: len(complete) // 2])
        (folder / "bad" / "empty.png").write_bytes(b"")
        (folder / "bad" / "text.png").write_text("this is not an image\n")

    return prepare


def valid_images_and(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return a function that writes 30 valid images, and one more file with `make(path)`."""

    def prepare(folder: Path) -> None:
        write_images(folder / "bad", 30)
        make(folder / "bad" / name)

    return prepare


def bomb(path: Path) -> None:
    """Write a PNG file of a few bytes that declares 10 gigapixels."""
    header = b"IHDR" + struct.pack(">2I5B", 100_000, 100_000, 8, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, pixels, b"IEND")
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def only_bomb(folder: Path) -> None:
    empty_folder(folder)
    bomb(folder / "bad" / "x.png")


def empty_folder(folder: Path) -> None:
    (folder / "bad").mkdir()


def only_text(folder: Path) -> None:
    empty_folder(folder)
    (folder / "bad" / "notes.txt").write_text("this is not an image\n")


def names_not_utf8(folder: Path) -> None:
    """Write 30 images and a file that is not an image; two of the names are not UTF-8.

    Raises
    ------
    Unavailable
        The file system does not accept these names.
    """
    write_images(folder / "bad", 30)
    try:
        os.rename(folder / "bad" / "000.png", os.fsencode(folder / "bad") + b"/\xff.png")
    except OSError as error:
        raise Unavailable(f"the file system accepts only UTF-8 names ({error.strerror})") from error
    with open(os.fsencode(folder / "bad") + b"/\xfe.png", "wb") as file:
        file.write(b"no image")


def only_color_image(folder: Path) -> None:
    color_image(folder / "bad" / "x.png")


def color_image(path: Path) -> None:
    write_image(path, (8, 8, 3))


def thin_image(path: Path) -> None:
    write_image(path, (1, 5000, 1))


def link(target: str) -> Callable[[Path], None]:
    """Return a function that makes a path a link to `target`."""
    return lambda path: path.symlink_to(target)


def link_to_itself(name: str) -> Callable[[Path], None]:
    """Return a function that makes `name` a link to itself."""
    return lambda folder: (folder / name).symlink_to(name)


def mixed_sizes(folder: Path) -> None:
    for number in range(30):
        write_image(folder / "bad" / f"{number}.png", (3 + number, 40 - number, 1))


def mixed_modes(folder: Path) -> None:
    write_images(folder / "bad", 12)
    for number in range(4):
        write_image(folder / "bad" / f"rgb{number}.png", (8, 8, 3))
        write_image(folder / "bad" / f"deep{number}.png", (8, 8, 1), np.uint16)
        color = Image.open(folder / "bad" / f"rgb{number}.png")
        color.convert("RGBA").save(folder / "bad" / f"rgba{number}.png")
        color.convert("P").save(folder / "bad" / f"palette{number}.png")


def class_folders(*counts: int) -> Callable[[Path], None]:
    """Return a function that writes one class folder for each count, with this number of images."""

    def prepare(folder: Path) -> None:
        for number, count in enumerate(counts):
            write_images(folder / "bad" / str(number), count)

    return prepare


def new_camera(*classes: str, count: int = 20) -> Callable[[Path], None]:
    """Return a function that writes images of a new camera, by class; a class "" is no folder."""

    def prepare(folder: Path) -> None:
        for name in classes:
            for number in range(count):
                write_image(folder / "bad" / name / f"new-{number}.png")

    return prepare


def copied_camera(folder: Path) -> None:
    """Write the images of `photos` without their class folders."""
    for path in sorted((folder / "photos").glob("*/*.png")):
        (folder / "bad").mkdir(exist_ok=True)
        shutil.copy(path, folder / "bad" / f"{path.parent.name}-{path.name}")


def new_camera_and_class_map(content: str) -> Callable[[Path], None]:
    """Return a function that writes images of the classes x and y, and the file `classes.csv`."""

    def prepare(folder: Path) -> None:
        new_camera("x", "y")(folder)
        file_of("classes.csv", content)(folder)

    return prepare


def file_of(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Return a function that writes the file `name`."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw)


def npz_file(**arrays: object) -> Callable[[Path], None]:
    """Return a function that writes arrays to `bad.npz`."""
    return lambda folder: np.savez(folder / "bad.npz", **arrays)  # type: ignore[arg-type]


def images_with_nan() -> np.ndarray:
    images = np.random.default_rng(0).random((30, 8, 8), np.float32)
    images[3, 2, 1] = np.nan
    return images


def change_images(folder: Path) -> None:
    """Replace every image in `photos` by its inverse, which also changes its modification time."""
    for path in sorted((folder / "photos").rglob("*.png")):
        write_png(path, 255 - np.asarray(Image.open(path)))


def edit_bundle(edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a function that replaces the bytes of the bundle of RUN by `edit(bytes)`."""

    def prepare(folder: Path) -> None:
        file = folder / "RUN" / BUNDLE_FILE
        file.write_bytes(edit(file.read_bytes()))

    return prepare


def flip_bit(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]


def truncate(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def without_detector(folder: Path) -> None:
    bundle = load_bundle(folder / "RUN")
    save_bundle(replace(bundle, detector=None), folder / "RUN" / BUNDLE_FILE)


def without_latents(folder: Path) -> None:
    bundle = load_bundle(folder / "RUN")
    save_bundle(replace(bundle, latents=None), folder / "RUN" / BUNDLE_FILE)


def intact_and_damaged_run(folder: Path) -> None:
    """Copy RUN to `runs/good` and `runs/damaged`, and truncate the second, which is newer."""
    shutil.copytree(folder / "RUN", folder / "runs" / "good")
    shutil.copytree(folder / "RUN", folder / "runs" / "damaged")
    file = folder / "runs" / "damaged" / BUNDLE_FILE
    file.write_bytes(truncate(file.read_bytes()))


def unfinished_run(target: str, spare: int = 0) -> Callable[[Path], None]:
    """Return a function that copies RUN without its bundle to `target`.

    Parameters
    ----------
    target
        Path of the copy.
    spare
        Bytes that stay free on the disk `small`; 0: do not fill it.
    """

    def prepare(folder: Path) -> None:
        final_files = shutil.ignore_patterns(BUNDLE_FILE, RUN_SUMMARY_FILE, REPORT_FILE)
        shutil.copytree(folder / "RUN", folder / target, ignore=final_files)
        if spare and os.path.ismount(folder / "small"):
            free = shutil.disk_usage(folder / "small").free
            (folder / "small" / "other").write_bytes(b"\0" * (free - spare))

    return prepare


def unfinished_run_with_flipped_bit(folder: Path) -> None:
    unfinished_run("STOPPED")(folder)
    file = folder / "STOPPED" / "checkpoints" / "gan.safetensors"
    raw = file.read_bytes()
    file.write_bytes(raw[:-100] + bytes([raw[-100] ^ 1]) + raw[-99:])


def large_image_files(folder: Path) -> None:
    """Write 128 images of 64 pixels in files of 0.6 MB, which are large enough for the cache."""
    write_images(folder / "bad", 128)
    for path in (folder / "bad").iterdir():
        os.truncate(path, 600_000)


# Events during a command -------------------------------------------------------------------------


def interrupt_training(arguments: list[str], folder: Path) -> CommandResult:
    return while_training(arguments, folder / "NEW", interrupt)


def change_images_during_training(arguments: list[str], folder: Path) -> CommandResult:
    return while_training(arguments, folder / "NEW", lambda process: change_images(folder))


def start_second_training(arguments: list[str], folder: Path) -> CommandResult:
    """Start two trainings in the same folder and return the result of the second."""
    results: list[CommandResult] = []

    def run_second(first: subprocess.Popen[str]) -> None:
        results.append(invoke(arguments))
        first.send_signal(signal.SIGKILL)

    first_arguments = [word for word in arguments if word != "--resume"]
    while_training(first_arguments, folder / "NEW", run_second)
    return results[0]


def without_permission(path: str, mode: int) -> Callable[[Path], None]:
    """Return a function that writes `bad` and sets the permissions of `path` to `mode`."""

    def prepare(folder: Path) -> None:
        write_images(folder / "bad" / "in", 30)
        (folder / "bad" / "out").mkdir()
        (folder / path).chmod(mode)

    return prepare
