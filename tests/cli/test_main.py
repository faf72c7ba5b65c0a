"""Tests of the start, the help and the parsing of the command line."""

import pkgutil
import re
from pathlib import Path

import pytest

from augan_cli import commands
from tests.cli._helpers import Augan, imported_by, shell


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["evaluate", "augmentation", "--help"],
        ["--version"],
    ],
)
def test_help_imports_no_heavy_package(arguments: list[str]) -> None:
    heavy = "tensorflow keras sklearn imblearn pandas scipy numpy yaml PIL albumentations"
    imported = imported_by(*arguments)
    assert "typer" in imported
    assert not imported & set(heavy.split())


def test_help_lists_the_commands(augan: Augan) -> None:
    printed = augan("--help").stdout
    modules = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    assert modules == {
        *("train", "augment", "generate", "detect", "calibrate", "evaluate"),
        *("inspect", "export", "merge", "doctor", "translate"),
    }
    for command in modules:
        assert re.search(rf"\b{command}\b", printed)


@pytest.mark.parametrize(
    "command",
    [
        *("train", "augment", "generate", "detect", "calibrate"),
        *("evaluate detection", "evaluate augmentation", "inspect", "export", "merge", "doctor"),
        "translate",
    ],
)
def test_every_command_has_the_option_debug(augan: Augan, command: str) -> None:
    assert "--debug" in augan(*command.split(), "--help").stdout


@pytest.mark.parametrize(
    "command",
    [
        "augan",
        "augan augment --class 3 --n three",
        "augan augment --class 3 --n 3 --seed -1",
        "augan detect images --rate 0.1",
        "augan paint",
    ],
)
def test_unparsable_command_exits_with_2_and_one_line(tmp_path: Path, command: str) -> None:
    done = shell(command, tmp_path)
    assert done.returncode == 2
    if command != "augan":  # which prints the help
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("error: ")
