"""Tests of errors: one line, exit code 2, nothing written."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augan.bundle import Bundle, save_bundle
from augan_cli.commands.augment import augment_command
from augan_cli.commands.merge import merge_command
from augan_cli.errors import name_options
from tests._helpers import with_data, with_method
from tests.cli._helpers import (
    add_run,
    assert_error,
    invoke,
    shell,
    tree,
    without_detector,
    write_digits,
)


@pytest.fixture(scope="module")
def folder_with_errors(tmp_path_factory: pytest.TempPathFactory, digits_bundle: Bundle) -> Path:
    """A folder with a good run, and many invalid inputs."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        add_run(digits_bundle, "a")
        add_run(without_detector(digits_bundle), "generate-only", age=100)
        write_digits(Path("images"), 4)
        write_digits(Path("single"), 1)
        for name in ("empty", "busy", "damaged", "corrupt"):
            Path(name).mkdir()
        Path("busy/thesis.txt").write_text("mine")
        os.symlink("loop", "loop")
        whole = Path("runs/a/bundle.augan").read_bytes()
        Path("damaged/bundle.augan").write_bytes(whole[: len(whole) // 2])
        Path("flipped.augan").write_bytes(flip(whole, len(whole) // 2))
        for row in range(3):
            Path(f"corrupt/{row}.png").write_bytes(b"no image")
        Path("list.yaml").write_text("- 1\n")
        Path("groups.csv").write_text("path,group\nimages/000.png,a\n")
        save_bundle(with_unknown_method(digits_bundle), "future.augan")
        one_class = replace(digits_bundle, latents=None)
        one_class = with_data(one_class, class_names=(), class_counts=())
        save_bundle(one_class, "one-class.augan")
    return folder


def flip(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 255]) + raw[place + 1 :]


def with_unknown_method(bundle: Bundle) -> Bundle:
    """Return a bundle with a detection method that this version does not have."""
    return with_method(bundle, name="crystal-ball", components=())


ERRORS = [
    ("train missing", ["missing", "digits"]),
    ("train empty", ["empty", "no images"]),
    ("train single", ["1 image is too few", "at least 4"]),
    ("train images/000.png", ["folder"]),
    ("train images --out busy", ["busy", "--out"]),
    ("train images --out runs/a", ["runs/a", "--out"]),
    ("train images --task both", ["classes"]),
    ("train --task paint", ["task", "paint"]),
    ("train --set gan.width=3", ["gan.width"]),
    ("train --set training.stepz=3", ["training.stepz", "training.steps"]),
    ("train --set training.steps", ["section.key=value"]),
    ("train --set training.steps=many", ["training.steps", "many"]),
    ("train --set seed.x=1", ["seed"]),
    ("train --steps 0", ["training.steps"]),
    ("train --seed -1", ["seed"]),
    ("train --max-minutes 0", ["training.max_minutes"]),
    ("train --max-minutes nan", ["training.max_minutes"]),
    ("train --config missing.yaml", ["missing.yaml"]),
    ("train --config list.yaml", ["list.yaml"]),
    ("train images --groups missing.csv", ["missing.csv"]),
    ("train images --groups groups.csv", ["groups.csv", "3 of 4"]),
    ("train digits --groups groups.csv", ["digits", "leave out --groups"]),
    ("train images --group-by q+", ["--group-by q+ does not match 4 of 4"]),
    ("train corrupt", ["3 of 3"]),
    ("augment --class 10 --n 1", ["'10'", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"]),
    ("augment --class 3 --n 0", ["at least 1", "0"]),
    ("augment --class 3 --n -5", ["at least 1", "-5"]),
    ("augment --class 3", ["--n", "--balance"]),
    ("augment --n 3", ["--class", "--balance"]),
    ("augment --class 3 --n 1 --balance-to 9", ["--balance"]),
    ("augment --balance --n 1", ["--n", "--balance-to"]),
    ("augment --balance --balance-to 2", ["2 real images or more", "--balance-to"]),
    ("augment --class 3 --class ten --n 1", ["'ten'", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"]),
    ("augment --class 3 --n 1 --method mix", ["mix", "sample", "interpolate"]),
    ("augment --class 3 --n 1 --training-data images", ["images", "trained on", "--training-data"]),
    ("augment --class 3 --n 1 --training-data missing", ["missing"]),
    ("augment --class 3 --n 1 --transform swirl", ["swirl", "shift"]),
    ("augment --class 3 --n 1 --out busy", ["busy"]),
    ("augment --class 3 --n 1 --out list.yaml", ["list.yaml"]),
    ("augment --class 3 --n 1 --model missing", ["missing"]),
    ("augment --class 3 --n 1 --model empty", ["empty", "bundle.augan"]),
    ("augment --class 3 --n 1 --model damaged", ["damaged/bundle.augan"]),
    ("augment --class 3 --n 1 --model flipped.augan", ["flipped.augan"]),
    ("augment --class 3 --n 1 --model list.yaml", ["list.yaml"]),
    ("augment --class 3 --n 1 --model one-class.augan", ["one-class.augan", "classes", "train"]),
    ("generate --n 0", ["at least 1"]),
    ("generate --n 1 --out busy", ["busy"]),
    ("generate --n 1 --model damaged", ["damaged"]),
    ("detect missing", ["missing"]),
    ("detect empty", ["empty"]),
    ("detect list.yaml", ["list.yaml"]),
    ("detect corrupt", ["none of the 3", "0.png", "not a PNG"]),
    ("detect images --far 0.001", ["999", "99", "choose --far 0."]),
    ("detect images --far 0", ["between 0 and 1"]),
    ("detect images --far 1", ["between 0 and 1"]),
    ("detect images --far nan", ["between 0 and 1"]),
    ("detect images --fdr 0.001", ["999", "99"]),
    ("detect images --fdr 0", ["between 0 and 1"]),
    ("detect images --far 0.1 --fdr 0.1", ["far", "fdr", "choose one"]),
    ("detect images --method anogan", ["no detector 'anogan'", "auto, fanogan"]),
    ("detect images --ignore-mask missing.png", ["missing.png"]),
    ("detect images --ignore-mask images/000.png --out images", ["images", "other files"]),
    ("evaluate detection images --labels folders --method anogan", ["auto, fanogan"]),
    ("detect images --out busy", ["busy"]),
    ("calibrate missing images", ["missing"]),
    ("calibrate damaged images", ["damaged"]),
    ("calibrate runs/generate-only images", ["detector", "--task"]),
    ("calibrate runs/a missing", ["missing"]),
    ("calibrate runs/a corrupt", ["none of the 3", "not a PNG"]),
    ("calibrate runs/a images --out busy", ["busy", "--out"]),
    ("calibrate runs/a images --groups missing.csv", ["missing.csv"]),
    ("detect images --model generate-only", ["generate-only"]),
    ("detect images --model runs/generate-only", ["detector", "--task"]),
    ("detect images --model future.augan", ["crystal-ball", "fanogan"]),
    ("detect images --model damaged", ["damaged"]),
    ("train loop", ["loop", "leads nowhere"]),
    ("train images --out loop", ["loop", "--out"]),
    ("augment --class 3 --n 1 --out loop", ["loop", "leads nowhere", "--out"]),
    ("detect loop", ["loop"]),
    ("detect images --out loop", ["loop", "leads nowhere", "--out"]),
    ("inspect loop", ["loop"]),
    ("inspect missing", ["missing"]),
    ("inspect damaged", ["damaged"]),
    ("inspect flipped.augan", ["flipped.augan"]),
    ("inspect list.yaml", ["list.yaml"]),
]


@pytest.mark.parametrize(("command", "fragments"), ERRORS, ids=[command for command, _ in ERRORS])
def test_error_is_one_line_and_writes_nothing(
    folder_with_errors: Path, monkeypatch: pytest.MonkeyPatch, command: str, fragments: list[str]
) -> None:
    monkeypatch.chdir(folder_with_errors)
    before = tree(folder_with_errors)
    assert_error(invoke(*command.split()), *fragments)
    assert tree(folder_with_errors) == before


def test_debug_prints_the_traceback(tmp_path: Path) -> None:
    plain = shell("augan inspect missing", tmp_path)
    debug = shell("augan inspect missing --debug", tmp_path)
    assert "Traceback" not in plain.stderr
    assert debug.stderr.startswith("Traceback (most recent call last)")
    assert "BundleError: there is no file or folder missing" in debug.stderr
    assert (plain.returncode, debug.returncode) == (2, 2)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("`balance_to` requires `balance`", "--balance-to requires --balance"),
        ("give `classes` or `n`", "give --class or --n"),
        ("add `balance=True`, `filtered=False`", "add --balance, --no-filter"),
        ("choose `method='sample'` or `augan train`", "choose --method sample or `augan train`"),
        ("`random_state` is unknown here", "`random_state` is unknown here"),
    ],
)
def test_messages_name_the_options_of_the_command(message: str, expected: str) -> None:
    assert name_options(message, augment_command) == expected


def test_messages_name_the_arguments_of_the_command() -> None:
    message = "name a new folder as `out`, not one of `shards`"
    assert name_options(message, merge_command) == "name a new folder as OUT, not one of SHARDS"


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x": np.zeros((3, 3, 8, 9), np.uint8)}, "channels come last"),
        ({"x": np.zeros((3, 8, 8, 4), np.uint8)}, "drop the fourth channel"),
        ({"x": np.zeros((3, 8, 8), np.uint8), "y": np.array([1.0, np.nan, 2.0])}, "label"),
        ({"x": np.array([{}], object)}, "numbers or text only"),
    ],
)
def test_messages_of_commands_do_not_speak_of_python(tmp_path, arrays, expected):
    np.savez(tmp_path / "data.npz", **arrays)
    np.save(tmp_path / "data.npy", np.zeros(3))
    for name, text in (("data.npz", expected), ("data.npy", ".npz file")):
        result = invoke("train", tmp_path / name, "--out", tmp_path / "run")
        assert_error(result, text)
        assert not re.search(r"[Pp]ython|astype|numpy\.|from_arrays|x\[|transpose", result.stderr)
