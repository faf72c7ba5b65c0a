"""Tests of `augan.translate.api`: translation of folders, files, manifest and resumption."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augan
from augan.exceptions import BundleError, ConfigError, DataError, RunInterruptedError
from augan.io.hashing import sha256_file
from augan.io.images import read_image
from augan.report.text import format_translation
from augan.translate import api
from augan.translate.api import output_names, translate_folder
from augan.translate.request import TranslationRequest
from augan.translate.translator import load_translator
from augan_cli.main import app
from tests._helpers import read_manifest, tree, write_images
from tests.translate.conftest import gray

NAMES = ["a/1.png", "a/2.png", "b/c/3.png", "4.png"]


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images", gray(4), NAMES)


def translate(bundle, images, out, **options):
    return translate_folder(bundle, TranslationRequest(images, **options), out, verbose=0)


class TestFiles:
    def test_files_keep_their_names_and_say_that_they_are_translated(
        self, translation_bundle, images, tmp_path
    ):
        result = translate(translation_bundle, images, tmp_path / "out", seed=2)
        assert result.num_images == 4
        assert set(tree(tmp_path / "out")) == {*NAMES, "manifest.csv", "summary.json"}
        translated = load_translator(translation_bundle).translate(images, seed=2)
        for name, expected in zip(sorted(NAMES), translated):
            np.testing.assert_array_equal(read_image(tmp_path / "out" / name), expected)
            with Image.open(tmp_path / "out" / name) as file:
                assert file.info["translated"] == file.info["synthetic"] == "true"
        rows = read_manifest(tmp_path / "out")
        assert [row["source"] for row in rows] == sorted(NAMES)
        for row in rows:
            assert row["sha256"] == sha256_file(tmp_path / "out" / row["file"])
            assert (row["direction"], row["seed"]) == ("old-to-new", "2")
            assert row["bundle"] == translation_bundle.bundle_id

    def test_other_suffixes_become_png_without_collisions(
        self, translation_bundle, images, tmp_path
    ):
        Image.open(images / "a/1.png").save(images / "a/1.bmp")
        Image.open(images / "a/1.png").save(images / "a/5.BMP")
        result = translate(translation_bundle, images, tmp_path / "out")
        assert {"a/1.png", "a/1.bmp.png", "a/5.png"} <= set(tree(tmp_path / "out"))
        (warning,) = result.warnings
        assert "a/1.bmp.png" in warning

    def test_output_names_never_collide(self):
        names = ["x.jpg", "x.jpeg", "x.bmp", "x.jpg.png", "x.png", "x.jpeg.jpg", "X.PNG"]
        files = output_names(names)
        assert set(files) == set(names)
        assert len(set(files.values())) == len(names)
        assert all(file.lower().endswith(".png") for file in files.values())

    def test_files_that_are_no_images_are_named_and_links_followed(
        self, translation_bundle, images, tmp_path
    ):
        (images / "notes.txt").write_text("text")
        write_images(tmp_path / "elsewhere", gray(1), ["5.png"])
        (images / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        result = translate(translation_bundle, images, tmp_path / "out")
        assert [name for name, _ in result.not_looked_at] == ["link/", "notes.txt"]
        assert "--follow-links" in dict(result.not_looked_at)["link/"]
        summary = json.loads((tmp_path / "out/summary.json").read_text())
        assert [file["path"] for file in summary["not_looked_at"]] == ["link/", "notes.txt"]
        lines = format_translation(result)
        assert sum(line.startswith("not looked at: ") for line in lines) == 2
        followed = translate(translation_bundle, images, tmp_path / "again", follow_links=True)
        assert followed.num_images == result.num_images + 1
        assert (tmp_path / "again/link/5.png").is_file()

    def test_unreadable_images_are_listed_and_left_out(self, translation_bundle, images, tmp_path):
        (images / "a/2.png").write_bytes(b"nothing")
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(images / "color.png")
        result = translate(translation_bundle, images, tmp_path / "out")
        assert result.num_images == 3
        assert [name for name, _ in result.skipped] == ["a/2.png", "color.png"]
        assert "channel count" in dict(result.skipped)["color.png"]
        summary = json.loads((tmp_path / "out/summary.json").read_text())
        assert summary["skipped"] == [list(pair) for pair in result.skipped]
        for name in NAMES:
            (images / name).unlink()
        with pytest.raises(DataError, match="none of 1 images can be translated"):
            translate(translation_bundle, images, tmp_path / "none")
        assert not (tmp_path / "none").exists()

    def test_one_image_and_back(self, translation_bundle, images, tmp_path):
        there = translate(translation_bundle, images / "4.png", tmp_path / "there")
        back = translate(translation_bundle, there.out, tmp_path / "back", direction="new-to-old")
        assert read_image(back.out / "4.png").shape == (8, 8, 1)
        assert back.num_images == 1


class TestRefusals:
    def test_nothing_is_written(self, translation_bundle, images, tmp_path, digits_bundle):
        before = tree(tmp_path)
        only_there = replace(
            translation_bundle,
            networks={
                name: network
                for name, network in translation_bundle.networks.items()
                if name != "back_translator"
            },
        )
        for bundle, out, options, error, message in (
            (digits_bundle, "out", {}, BundleError, "has no translator; train one"),
            (only_there, "out", {"direction": "new-to-old"}, BundleError, "translator back"),
            (translation_bundle, "images/new", {}, ConfigError, "in the folder of the images"),
            (translation_bundle, "images", {}, ConfigError, "in the folder of the images"),
            (translation_bundle, "out", {"direction": "up"}, ConfigError, "old-to-new"),
            (translation_bundle, "out", {"seed": -1}, ConfigError, "seed"),
        ):
            with pytest.raises(error, match=message):
                translate(bundle, images, tmp_path / out, **options)
        for wrong, message in ((tmp_path / "gone", "no folder"), (gray(), "load_translator")):
            with pytest.raises(DataError, match=message):
                translate(translation_bundle, wrong, tmp_path / "out")
        assert tree(tmp_path) == before

    def test_files_of_the_user_are_kept(self, translation_bundle, images, tmp_path):
        translate(translation_bundle, images, tmp_path / "out")
        translate(translation_bundle, images, tmp_path / "out", seed=1)  # replaces its own
        (tmp_path / "out/mine.png").write_bytes(b"mine")
        with pytest.raises(DataError, match=r"would be lost: mine\.png"):
            translate(translation_bundle, images, tmp_path / "out")


class TestResume:
    @pytest.mark.parametrize("damage", [False, True])
    def test_an_interrupted_call_resumes_to_the_same_files(
        self, translation_bundle, images, tmp_path, monkeypatch, damage
    ):
        expected = translate(translation_bundle, images, tmp_path / "whole").out
        monkeypatch.setattr(api, "MAX_CHUNK_IMAGES", 2)
        read = api.read_image
        seen = []

        def interrupted(path):
            seen.append(path)
            if len(seen) > 2:
                raise RunInterruptedError("stopped")
            return read(path)

        monkeypatch.setattr(api, "read_image", interrupted)
        with pytest.raises(RunInterruptedError):
            translate(translation_bundle, images, tmp_path / "out")
        if damage:
            (tmp_path / ".out.partial" / sorted(NAMES)[0]).write_bytes(b"half")
        again = []
        monkeypatch.setattr(api, "read_image", lambda path: again.append(path) or read(path))
        translate(translation_bundle, images, tmp_path / "out")
        assert len(again) == 2 + damage
        whole, resumed = tree(expected), tree(tmp_path / "out")
        assert {**whole, "summary.json": b""} == {**resumed, "summary.json": b""}

    def test_another_job_starts_again(self, translation_bundle, images, tmp_path, monkeypatch):
        (tmp_path / ".out.partial").mkdir()
        (tmp_path / ".out.partial/resume.jsonl").write_text('{"seed": 5}\n{"source": "a/1.png"}\n')
        result = translate(translation_bundle, images, tmp_path / "out")
        assert result.num_images == 4


class TestCommand:
    def test_command_writes_what_the_function_writes(self, translation_bundle, images, tmp_path):
        translate(translation_bundle, images, tmp_path / "out", seed=1)
        words = ["translate", str(images), "--model", str(translation_bundle.path), "--seed", "1"]
        done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "cli"), "--json"])
        assert done.exit_code == 0, done.output
        values = json.loads(done.stdout)
        assert (values["num_images"], values["direction"]) == (4, "old-to-new")
        written, expected = tree(tmp_path / "cli"), tree(tmp_path / "out")
        assert {**written, "summary.json": b""} == {**expected, "summary.json": b""}
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0
        assert "4 images in the look of the new camera" in done.stdout
        assert (translation_bundle.path.parent / "translate-images-seed1").is_dir()

    def test_errors_are_one_line_and_exit_2(self, translation_bundle, images, tmp_path):
        words = ["translate", str(images), "--model", str(translation_bundle.path)]
        for more, message in (
            (["--direction", "up"], "--direction"),
            (["--out", str(images / "new")], "--out"),
        ):
            done = CliRunner().invoke(app, [*words, *more])
            assert done.exit_code == 2
            assert message in done.stderr
            assert done.stderr.splitlines()[-1].startswith("error: ")


def test_public_names():
    assert augan.load_translator is load_translator
    assert augan.translate_folder is translate_folder
