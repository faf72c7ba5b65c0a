"""Tests of `augan augment`."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from augan.augment.methods.registry import AUGMENTATION_METHODS
from augan.bundle import Bundle
from tests.cli._helpers import Augan, add_run, assert_error, invoke, only_object, read_table, tree


def test_augment_writes_images_of_one_class(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    unfiltered = ("augment", "--no-filter", "--class", "3", "--n", 7)
    by_number = only_object(augan(*unfiltered, "--seed", 2, "--json"))
    assert by_number["num_samples"] == 7
    out = Path(by_number["out"])
    assert out.parent == Path("runs/a")
    assert {"3", "7", "2"} <= set(re.findall(r"\d+", out.name))
    assert len(list((out / "3").glob("*.png"))) == 7
    assert Path(by_number["picture"]).parent != out  # there it would count as data
    result = augan(*unfiltered, "--seed", 2, "--out", "made")
    assert "7 images of class 3 in made" in result.stdout
    assert tree(Path("made")) == tree(out)
    moved = augan(*unfiltered, "--out", "moved", "--transform", "shift")
    assert moved.exit_code == 0
    assert {row["transform"] for row in read_table(Path("moved/manifest.csv"))} == {"shift"}


def test_help_describes_every_method() -> None:
    result = invoke("augment", "--help")
    text = " ".join(re.sub("[│╭╮╰╯─]", " ", result.stdout).split())
    for name, description in AUGMENTATION_METHODS.describe().items():
        assert f"{name} ({description})" in text


def test_class_index_is_a_position_and_class_a_name(augan: Augan, digits_bundle: Bundle) -> None:
    data = replace(digits_bundle.data, class_names=tuple(f"{10 * i}" for i in range(10)))
    renamed = replace(digits_bundle, data=data)
    add_run(renamed, "a")
    made = only_object(
        augan("augment", "--no-filter", "--class-index", 3, "--class", "0", "--n", 2, "--json")
    )
    assert made["classes"] == ["0", "30"]
    message = "no class '3'; the classes are: 0, 10, 20, 30"
    assert_error(invoke("augment", "--class", "3", "--n", 2), message)
    assert_error(
        invoke("augment", "--class-index", "10", "--n", 2), "--class-index 10; there are: 0 0,"
    )


def test_augment_several_classes_and_balance(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    both = only_object(
        augan("augment", "--no-filter", "--class", "3", "--class", "7", "--n", 2, "--json")
    )
    assert (both["classes"], both["num_samples"]) == (["3", "7"], 4)
    assert [found["accepted"] for found in both["acceptance"]] == [2, 2]
    made = only_object(augan("augment", "--no-filter", "--balance", "--balance-to", 30, "--json"))
    counts = digits_bundle.data.class_counts
    for name, count in zip(digits_bundle.data.class_names, counts):
        assert len(list(Path(made["out"], name).glob("*.png"))) == 30 - count
    plain = augan("augment", "--no-filter", "--balance", "--out", "plain").stdout
    assert f"{sum(max(counts) - count for count in counts)} images in plain" in plain


@pytest.mark.slow
def test_augment_without_classes_is_refused(
    two_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(two_runs)
    for model in ([], ["--model", "runs/second"]):
        result = invoke("augment", "--class", "0", "--n", 1, *model)
        assert_error(result, "class")
        assert "train" in result.stderr


@pytest.mark.parametrize("out", [".", "../here"])
def test_augment_out_is_the_current_folder_fails(
    tmp_path: Path, digits_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = invoke(
        "augment", "--model", digits_bundle.path, "--class", "3", "--n", 2, "--out", out
    )
    assert_error(result, "--out")
    assert tree(tmp_path) == {"here": "folder"}


def test_augment_leaves_files_next_to_the_output_alone(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    Path("threes.png").write_bytes(b"a picture of the user's")
    augan("augment", "--class", "3", "--n", 2, "--out", "threes", "--no-filter")
    assert Path("threes.png").read_bytes() == b"a picture of the user's"
