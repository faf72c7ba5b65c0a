"""Tests of `augan inspect`."""

import shutil
from pathlib import Path

import yaml

from augan.bundle import Bundle
from tests.cli._helpers import Augan, add_run, imported_by, only_object


def test_inspect_run_and_file_print_the_same_contents(augan: Augan, digits_bundle: Bundle) -> None:
    file = add_run(digits_bundle, "a")
    shown = only_object(augan("inspect", "runs/a", "--json"))
    assert shown == only_object(augan("inspect", file, "--json"))
    assert shown["id"] == digits_bundle.bundle_id
    assert shown["networks"].keys() == {"generator", "discriminator", "encoder", "classifier"}
    assert shown["calibration_size"] == 99
    assert yaml.safe_load(augan("inspect", "runs/a").stdout)["id"] == shown["id"]


def test_inspect_imports_no_tensorflow(tmp_path: Path, digits_bundle: Bundle) -> None:
    shutil.copy(str(digits_bundle.path), tmp_path / "bundle.augan")
    heavy = imported_by("inspect", str(tmp_path))
    assert not heavy & {"tensorflow", "keras", "sklearn", "pandas"}
