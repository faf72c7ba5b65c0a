"""Helpers of the tests of the command line: calls, folders of images, expectations."""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from augan.bundle import Bundle, save_bundle
from augan.data.datasets import digits
from augan.io.images import write_png
from augan_cli.main import app

NARROW = [
    f"--set={key}=8"
    for key in (
        "gan.latent_dim",
        "generator.width",
        "discriminator.width",
        "encoder.width",
        "classifier.width",
    )
]

SMALL = ["--steps", "20", *NARROW, "--set", "training.batch_size=32"]

Result = Any  # typer's testing module has no public name for what a command returned

Augan = Callable[..., Result]


def shell(command: str, folder: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a command line in `folder`, as a user would."""
    place = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{place}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.run(
        command.split(),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def tree(folder: Path) -> dict[str, str]:
    """Return the content of every file, folder and link below `folder`."""

    def content(path: Path) -> str:
        if path.is_symlink():
            return f"-> {os.readlink(path)}"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"

    return {path.relative_to(folder).as_posix(): content(path) for path in folder.rglob("*")}


def read_table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def only_object(result: Result) -> dict[str, Any]:
    """Return the JSON object that standard output consists of."""
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    return value


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def add_run(bundle: Bundle, name: str, age: float = 0.0) -> Path:
    """Save a copy of `bundle` as the run `name` below the current folder, `age` seconds old."""
    file = save_bundle(replace(bundle), Path("runs", name, "bundle.augan"))
    when = time.time() - age
    os.utime(file, (when, when))
    return file


def without_detector(bundle: Bundle) -> Bundle:
    return replace(bundle, detector=None)


def write_digits(folder: Path, count: int, by_class: bool = False) -> Path:
    data = digits("test")
    for row in range(count):
        place = folder / str(np.asarray(data.labels)[row]) if by_class else folder
        place.mkdir(parents=True, exist_ok=True)
        write_png(place / f"{row:03d}.png", data.images[row])
    return folder


def write_as(name: bytes, content: bytes) -> None:
    """Write a file with an undecodable name; skip the test if the file system has no such names."""
    place = os.path.dirname(name)
    os.makedirs(place, exist_ok=True)
    try:
        with open(name, "wb") as file:
            file.write(content)
    except OSError as error:
        pytest.skip(f"no such names here: {error}")


def imported_by(*arguments: str) -> set[str]:
    """Return the top-level packages that a command imports in a new process."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "augan_cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def assert_error(result: Result, *fragments: str) -> None:
    """Expect exit code 2, nothing on standard output, and an error in one line."""
    assert result.exit_code == 2, (result.exit_code, result.output)
    assert result.stdout == ""
    own = r"model: |\w+: \d+ images( of \d+ classes)? as "
    lines = [line for line in result.stderr.splitlines() if not re.match(own, line)]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.stderr
    assert "unexpected" not in lines[0]
    for fragment in fragments:
        assert fragment in lines[0], lines[0]
