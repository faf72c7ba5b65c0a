"""Tests of a full disk: one error message, no partial file, and an exact result after --resume."""

import resource
import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from augan import AugmentRequest, DetectionRequest, augment_folder, detect_folder
from augan.bundle import load_bundle
from augan.config import Config
from augan.exceptions import BundleError, DataError
from augan.io.images import write_png
from augan.io.layout import BUNDLE_FILE
from augan.report.html.augmentation import write_preview_image
from augan.report.html.detection import write_top_samples_image
from augan.training.run_folder import RunFolder
from augan.workflow.train import train

CONFIG = Config().replace(
    training__steps=20,
    training__batch_size=8,
    gan__architecture="mlp",
    gan__latent_dim=3,
    generator__width=1,
    discriminator__width=1,
    encoder__width=1,
    classifier__width=2,
    evaluation__enabled=False,
    task="generate",
    training__store_latents=False,
)


@contextmanager
def files_of_at_most(size):
    """The system refuses to let a file grow beyond `size` bytes, as a full disk would."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def hidden(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.fixture(scope="module")
def complete_run(tiny_digits, tmp_path_factory):
    """A complete run."""
    out = tmp_path_factory.mktemp("complete") / "run"
    train(CONFIG, tiny_digits, out=out)
    return out


def test_a_checkpoint_that_does_not_fit(complete_run, tiny_digits, tmp_path):
    run = tmp_path / "run"
    message = r"cannot write the checkpoint .*gan\.safetensors after step 20 \(File too large\).*"
    with files_of_at_most(8192), pytest.raises(DataError, match=f"{message}--resume"):
        train(CONFIG, tiny_digits, out=run)
    assert hidden(tmp_path) == []
    assert [path.stem for path in (run / "checkpoints").iterdir()] == ["classifier"]
    train(CONFIG, tiny_digits, out=run, resume=True)
    assert load_bundle(run).sha256 == load_bundle(complete_run).sha256
    assert (run / "metrics.jsonl").read_bytes() == (complete_run / "metrics.jsonl").read_bytes()


def test_a_bundle_that_does_not_fit(complete_run, tiny_digits, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(complete_run, run)
    (run / BUNDLE_FILE).unlink()
    # What is written before the bundle is smaller.
    others = [path.stat().st_size for path in run.rglob("*") if path.parent.name != "checkpoints"]
    size = (complete_run / BUNDLE_FILE).stat().st_size - 1
    assert max(others) < size
    message = r"bundle\.augan cannot be written: File too large.*the training is not lost.*--resume"
    with files_of_at_most(size), pytest.raises(BundleError, match=message):
        train(CONFIG, tiny_digits, out=run, resume=True)
    assert not (run / BUNDLE_FILE).exists()
    assert hidden(tmp_path) == []
    train(CONFIG, tiny_digits, out=run, resume=True)
    assert load_bundle(run).sha256 == load_bundle(complete_run).sha256


def test_a_run_that_cannot_begin_leaves_no_folder(tiny_digits, tmp_path):
    with files_of_at_most(10), pytest.raises(DataError, match=r"cannot write the run .*--out"):
        train(CONFIG, tiny_digits, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_small_files_of_a_run_are_complete_or_unchanged(tmp_path):
    run = RunFolder(tmp_path / "run", "digits", {"seed": 0})
    run.write_skipped([("a.png", "empty")])
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    many = [(f"{number}.png", "empty") for number in range(100)]
    for write in (
        lambda: run.write_skipped(many),
        lambda: run.write_json("run.json", dict(many)),
        lambda: run.write_text("config.yaml", "x" * 100),
    ):
        refused = pytest.raises(DataError, match="cannot write the run")
        with refused, files_of_at_most(50), run.writing():
            write()
        assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


def test_images_and_scores_are_complete_or_absent(digits_bundle, tmp_path):
    with files_of_at_most(100), pytest.raises(DataError, match=r"cannot write .*free some space"):
        augment_folder(digits_bundle, AugmentRequest("3", 20, filtered=False), tmp_path / "made")
    write_png(tmp_path / "images.png", np.zeros((8, 8, 1), np.uint8))
    with files_of_at_most(50), pytest.raises(DataError, match=r"cannot write .*free some space"):
        detect_folder(digits_bundle, DetectionRequest(tmp_path / "images.png"), tmp_path / "scores")
    assert [path.name for path in tmp_path.iterdir()] == ["images.png"]


def test_error_of_an_image_that_does_not_fit_names_the_complete_results(digits_bundle, tmp_path):
    write_png(tmp_path / "one.png", np.zeros((8, 8, 1), np.uint8))
    scored = detect_folder(
        digits_bundle, DetectionRequest(tmp_path / "one.png"), tmp_path / "scores"
    )
    preprocessing = digits_bundle.preprocessing
    generated = augment_folder(
        digits_bundle, AugmentRequest("3", 20, filtered=False), tmp_path / "made"
    )
    for draw, out in (
        (lambda: write_preview_image(generated), generated.out),
        (lambda: write_top_samples_image(scored, preprocessing), scored.out),
    ):
        with files_of_at_most(10), pytest.raises(DataError, match="cannot write the image") as it:
            draw()
        assert f"results are complete in {out}" in str(it.value)
    assert hidden(tmp_path) == []
    assert len(list((tmp_path / "made" / "3").iterdir())) == 20
    # What is written at the second attempt is the picture.
    assert write_preview_image(replace(generated)).is_file()
