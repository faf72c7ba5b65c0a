"""Tests of printed results."""

from pathlib import Path

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
