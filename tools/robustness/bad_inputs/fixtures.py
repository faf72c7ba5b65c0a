"""What the cases of `tools.robustness.bad_inputs.run` are made of: a good site, and ways to spoil
it.
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
from tools.robustness.bad_inputs.environments import Answer, Unavailable, interrupt, while_training

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


def picture(path: Path, shape: tuple[int, ...] = (8, 8, 1), dtype: type = np.uint8) -> Path:
    """Write a picture of noise, and of the same noise for the same class and name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-2:]).encode()))
    write_png(path, rng.integers(0, np.iinfo(dtype).max, shape, dtype))
    return path


def pictures(folder: Path, count: int) -> None:
    """Write `count` pictures straight into a folder."""
    for number in range(count):
        picture(folder / f"{number:03d}.png")


def make_site(site: Path) -> None:
    """Make what all cases find: `photos` of three classes, and the finished run RUN on them."""
    for name in "abc":
        pictures(site / "photos" / name, 20)
    words = ["train", str(site / "photos"), "--out", str(site / "RUN"), *SMALL.split()]
    answer = invoke(words)
    if answer.exit_code:
        raise RuntimeError(answer.stderr)


def invoke(words: list[str]) -> Answer:
    """Run a command in this process, from its entry point."""
    stdout, stderr, former = StringIO(), StringIO(), sys.argv
    sys.argv = ["augan", *words]
    try:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            main()
    except SystemExit as end:
        return Answer(int(end.code or 0), stdout.getvalue(), stderr.getvalue())
    finally:
        sys.argv = former
    raise RuntimeError("the command did not end as commands do")


def shards(*words: str) -> Callable[[Path], None]:
    """Return what makes the shards s0, s1, ... of a detection with these words after --shard."""

    def prepare(place: Path) -> None:
        for number, more in enumerate(words):
            asked = ["detect", str(place / "photos"), "--model", str(place / "RUN")]
            asked += ["--out", str(place / f"s{number}"), "--shard", *more.split()]
            answer = invoke(asked)
            if answer.exit_code:
                raise RuntimeError(answer.stderr)

    return prepare


def shards_then(change: Callable[[Path], object], *words: str) -> Callable[[Path], None]:
    """Return what makes shards, and then changes something."""

    def prepare(place: Path) -> None:
        shards(*words)(place)
        change(place)

    return prepare


@contextmanager
def without_dask(place: Path) -> Iterator[None]:
    """Let Python find no Dask, as where the extra is not installed."""
    former = {name: sys.modules.pop(name, None) for name in DASK}
    sys.modules.update(dict.fromkeys(DASK))
    try:
        yield
    finally:
        for name, module in former.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def damaged(count: int) -> Callable[[Path], None]:
    """Return what makes `bad`: `count` good pictures, and one truncated, one empty, one text."""

    def prepare(place: Path) -> None:
        pictures(place / "bad", count)
        whole = picture(place / "bad" / "truncated.png").read_bytes()
        (place / "bad" / "truncated.png").write_bytes(whole[: len(whole) // 2])
        (place / "bad" / "empty.png").write_bytes(b"")
        (place / "bad" / "text.png").write_text("this is no picture\n")

    return prepare


def good_and(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return what makes `bad`: 30 good pictures and one file."""

    def prepare(place: Path) -> None:
        pictures(place / "bad", 30)
        make(place / "bad" / name)

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


def only_bomb(place: Path) -> None:
    empty(place)
    bomb(place / "bad" / "x.png")


def empty(place: Path) -> None:
    (place / "bad").mkdir()


def only_text(place: Path) -> None:
    empty(place)
    (place / "bad" / "notes.txt").write_text("this is no picture\n")


def strange_names(place: Path) -> None:
    """Good pictures and an unreadable one, two of them with bytes in their names that are no text.

    Some file systems take no such name.
    """
    pictures(place / "bad", 30)
    try:
        os.rename(place / "bad" / "000.png", os.fsencode(place / "bad") + b"/\xff.png")
    except OSError as error:
        raise Unavailable(f"file names are text here ({error.strerror})") from error
    with open(os.fsencode(place / "bad") + b"/\xfe.png", "wb") as file:
        file.write(b"no image")


def only_colour(place: Path) -> None:
    colour(place / "bad" / "x.png")


def colour(path: Path) -> None:
    picture(path, (8, 8, 3))


def strip(path: Path) -> None:
    picture(path, (1, 5000, 1))


def link(to: str) -> Callable[[Path], None]:
    """Return what makes a path a link."""
    return lambda path: path.symlink_to(to)


def loop(name: str) -> Callable[[Path], None]:
    """Return what makes a link to itself."""
    return lambda place: (place / name).symlink_to(name)


def mixed_sizes(place: Path) -> None:
    for number in range(30):
        picture(place / "bad" / f"{number}.png", (3 + number, 40 - number, 1))


def mixed_modes(place: Path) -> None:
    pictures(place / "bad", 12)
    for number in range(4):
        picture(place / "bad" / f"rgb{number}.png", (8, 8, 3))
        picture(place / "bad" / f"deep{number}.png", (8, 8, 1), np.uint16)
        colour = Image.open(place / "bad" / f"rgb{number}.png")
        colour.convert("RGBA").save(place / "bad" / f"rgba{number}.png")
        colour.convert("P").save(place / "bad" / f"palette{number}.png")


def classes(*counts: int) -> Callable[[Path], None]:
    """Return what makes `bad`: a class folder of so many pictures for each number."""

    def prepare(place: Path) -> None:
        for number, count in enumerate(counts):
            pictures(place / "bad" / str(number), count)

    return prepare


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Return what writes one file."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda place: (place / name).write_bytes(raw)


def arrays(**made: object) -> Callable[[Path], None]:
    """Return what writes `bad.npz`."""
    return lambda place: np.savez(place / "bad.npz", **made)  # type: ignore[arg-type]


def with_nan() -> np.ndarray:
    images = np.random.default_rng(0).random((30, 8, 8), np.float32)
    images[3, 2, 1] = np.nan
    return images


def change(place: Path) -> None:
    """Draw other pictures, with other times, in place of those in `photos`."""
    for path in sorted((place / "photos").rglob("*.png")):
        write_png(path, 255 - np.asarray(Image.open(path)))


def bundle_bytes(make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return what damages the bundle of RUN."""

    def prepare(place: Path) -> None:
        file = place / "RUN" / BUNDLE_FILE
        file.write_bytes(make(file.read_bytes()))

    return prepare


def flipped(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]


def cut(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def without_detector(place: Path) -> None:
    bundle = load_bundle(place / "RUN")
    tables = {k: v for k, v in bundle.tables.items() if k not in ("detector", "calibration")}
    save_bundle(replace(bundle, detector=None, tables=tables), place / "RUN" / BUNDLE_FILE)


def without_codes(place: Path) -> None:
    bundle = load_bundle(place / "RUN")
    tables = {name: table for name, table in bundle.tables.items() if name != "latents"}
    save_bundle(replace(bundle, tables=tables), place / "RUN" / BUNDLE_FILE)


def two_runs(place: Path) -> None:
    """Put RUN into `runs`, with a newer one beside it that is damaged."""
    shutil.copytree(place / "RUN", place / "runs" / "good")
    shutil.copytree(place / "RUN", place / "runs" / "damaged")
    file = place / "runs" / "damaged" / BUNDLE_FILE
    file.write_bytes(cut(file.read_bytes()))


def unfinished(to: str, spare: int = 0) -> Callable[[Path], None]:
    """Return what copies RUN to `to` without its bundle, and leaves `spare` bytes on that disk."""

    def prepare(place: Path) -> None:
        ended = shutil.ignore_patterns(BUNDLE_FILE, RUN_SUMMARY_FILE, REPORT_FILE)
        shutil.copytree(place / "RUN", place / to, ignore=ended)
        if spare and os.path.ismount(place / "small"):
            free = shutil.disk_usage(place / "small").free
            (place / "small" / "other").write_bytes(b"\0" * (free - spare))

    return prepare


def flipped_checkpoint(place: Path) -> None:
    unfinished("STOPPED")(place)
    file = place / "STOPPED" / "checkpoints" / "gan.safetensors"
    raw = file.read_bytes()
    file.write_bytes(raw[:-100] + bytes([raw[-100] ^ 1]) + raw[-99:])


def large_files(place: Path) -> None:
    """128 pictures of 64 pixels in files of 0.6 MB, so that they go through the cache."""
    pictures(place / "bad", 128)
    for path in (place / "bad").iterdir():
        os.truncate(path, 600_000)


# What happens while a command runs ----------------------------------------------------------------


def stopped(words: list[str], place: Path) -> Answer:
    return while_training(words, place / "NEW", interrupt)


def changed_meanwhile(words: list[str], place: Path) -> Answer:
    return while_training(words, place / "NEW", lambda process: change(place))


def second(words: list[str], place: Path) -> Answer:
    """Answer of a training in a folder in which another is under way."""
    answers: list[Answer] = []

    def meanwhile(first: subprocess.Popen[str]) -> None:
        answers.append(invoke(words))
        first.send_signal(signal.SIGKILL)

    own = [word for word in words if word != "--resume"]
    while_training(own, place / "NEW", meanwhile)
    return answers[0]


def closed(path: str, mode: int) -> Callable[[Path], None]:
    """Return what takes permissions from a file or folder of `bad`, which is made first."""

    def prepare(place: Path) -> None:
        pictures(place / "bad" / "in", 30)
        (place / "bad" / "out").mkdir()
        (place / path).chmod(mode)

    return prepare
