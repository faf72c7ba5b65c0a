"""Tests of printed results."""

from pathlib import Path

import pytest
from PIL import Image

from augan.bundle import Bundle
from tests.cli._helpers import Augan, add_run, only_object, write_digits


def test_picture_is_large_enough(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 3)
    for command in ("augment --class 3 --n 12 --no-filter", "generate --n 12", "detect images"):
        picture = only_object(augan(*command.split(), "--json"))["picture"]
        with Image.open(picture) as sheet:
            assert min(sheet.size) > 48


def test_paths_are_all_relative_or_all_absolute(
    augan: Augan, digits_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 3)
    elsewhere = write_digits(tmp_path_factory.mktemp("elsewhere") / "images", 3)
    for images, is_absolute in (("images", False), (elsewhere, True)):
        values = only_object(augan("detect", images, "--json"))
        paths = [values[key] for key in ("images", "out", "report", "picture")]
        lines = augan("detect", images).stdout.splitlines()
        titles = ("scores: ", "report: ", "picture: ")
        paths += [line.split(": ", 1)[1] for line in lines if line.startswith(titles)]
        assert len(paths) == 7
        assert {Path(path).is_absolute() for path in paths} == {is_absolute}
        assert all(Path(path).exists() for path in paths)
