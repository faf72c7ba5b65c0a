"""Merged shards: equal to the result of one process, byte for byte."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from augan import DetectionRequest
from augan.augment.api import augment_folder
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.request import AugmentRequest
from augan.augment.sharded import augment_shard, merge_augmentation
from augan.bundle import Bundle, BundleMetrics, load_bundle, save_bundle
from augan.data.datasets import digits
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.api import detect_folder, detect_shard, merge_detection
from augan.detect.worker import ScoredChunk
from augan.exceptions import BundleError, DataError, RunInterruptedError
from augan.io.images import write_png
from augan.io.layout import SCORES_FILE, SHARD_FILE
from augan.parallel.sharding import Shard, ShardRecord, ShardSet, shard_folder
from augan_cli.main import app
from tests._helpers import read_manifest, tree

IMAGES = ImagePreprocessing.reading_chunk_size + 40  # two blocks
DETECT: dict[str, Any] = {"far": 0.1, "save_maps": True}
UNFILTERED: dict[str, Any] = {"filtered": False, "seed": 3, "transform": "shift"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, some of them spoilt, one of another size, and two files that cannot be read."""
    folder = tmp_path_factory.mktemp("data") / "images"
    pixels = np.asarray(digits().images)
    for row in range(IMAGES):
        image = pixels[row % len(pixels)].copy()
        if row % 50 == 7:
            image[2:6, 2:6] = 255 - image[2:6, 2:6]
        path = folder / f"{row % 3}" / f"{row:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, image)
    write_png(folder / "0" / "large.png", np.repeat(pixels[0], 2, axis=1))
    (folder / "1" / "empty.png").write_bytes(b"")
    (folder / "2" / "text.png").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def whole(digits_bundle: Bundle, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    detect_folder(digits_bundle, DetectionRequest(images, **DETECT), out)
    return out


def cut(make: Any, folder: Path, count: int) -> list[Path]:
    return [make(out=folder / f"{i}", shard=Shard(i, count)) for i in range(count)]


class TestDetect:
    @pytest.mark.parametrize("count", [2, 3])  # of three shards, one has no block
    def test_merged_shards_are_the_folder_of_one_call(
        self, digits_bundle: Bundle, images: Path, whole: Path, tmp_path: Path, count: int
    ) -> None:
        make = partial(detect_shard, digits_bundle, DetectionRequest(images, **DETECT))
        shards = cut(make, tmp_path, count)
        result = merge_detection(ShardSet(shards[::-1]), tmp_path / "out")
        assert tree(tmp_path / "out") == tree(whole)
        assert len(result.unreadable) == 2
        assert any("not have the expected size" in text for text in result.warnings)
        assert result.num_scored == IMAGES + 1

    def test_merged_commands_write_the_same_files(
        self, digits_bundle: Bundle, images: Path, tmp_path: Path
    ) -> None:
        words = ["detect", str(images), "--model", str(digits_bundle.path), "--fdr", "0.2"]
        assert CliRunner().invoke(app, [*words, "--out", str(tmp_path / "one")]).exit_code == 0
        for share in ("0/2", "1/2"):
            out = str(tmp_path / share[0])
            done = CliRunner().invoke(app, [*words, "--shard", share, "--out", out])
            assert done.exit_code == 0, done.output
        done = CliRunner().invoke(app, ["merge", *(str(tmp_path / name) for name in "m01")])
        assert done.exit_code == 0, done.output
        assert tree(tmp_path / "m") == tree(tmp_path / "one")
        assert {SCORES_FILE, "report.html", "most-anomalous.png"} <= tree(tmp_path / "m").keys()

    def test_default_folder_names_the_shard(
        self, digits_bundle: Bundle, images: Path, tmp_path: Path
    ) -> None:
        bundle = save_bundle(load_bundle(digits_bundle.path), tmp_path / "bundle.augan")
        words = ["detect", str(images), "--model", str(bundle), "--shard", "2/3", "--json"]
        done = CliRunner().invoke(app, words)
        out = tmp_path / "detect-images-shard-2-of-3"
        assert json.loads(done.stdout) == {"shard": "2/3", "out": str(out)}
        assert (out / SHARD_FILE).is_file()

    def test_interrupted_shard_resumes(
        self, digits_bundle: Bundle, images: Path, tmp_path: Path
    ) -> None:
        make = partial(detect_shard, digits_bundle, DetectionRequest(images, **DETECT))
        expected = make(tmp_path / "whole", Shard(0, 1))
        seen: list[int] = []

        def stop(done: int, total: int) -> None:
            seen.append(done)
            if len(seen) == 1:
                raise KeyboardInterrupt

        out = tmp_path / "stopped"
        with pytest.raises(KeyboardInterrupt):
            make(out, Shard(0, 1), on_scored=stop)
        assert not out.exists()
        make(out, Shard(0, 1), on_scored=lambda done, total: seen.append(done))
        assert seen == [1, 2]  # no block twice
        assert tree(out) == tree(expected)

    def test_an_anomaly_cannot_fail_a_shard(
        self, digits_bundle: Bundle, images: Path, tmp_path: Path
    ) -> None:
        words = ["detect", str(images), "--model", str(digits_bundle.path), "--fail-on-anomaly"]
        done = CliRunner().invoke(app, [*words, "--shard", "0/2", "--out", str(tmp_path / "out")])
        assert done.exit_code == 2
        assert "pass --fail-on-anomaly to augan merge" in done.stderr


class TestMergeRefuses:
    @pytest.fixture(scope="class")
    @staticmethod
    def shards(
        digits_bundle: Bundle, images: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> list[Path]:
        folder = tmp_path_factory.mktemp("shards")
        return cut(
            partial(detect_shard, digits_bundle, DetectionRequest(images, far=0.1)), folder, 3
        )

    def changed(self, shard: Path, copy: Path, **job: Any) -> Path:
        shutil.copytree(shard, copy)
        about = json.loads((copy / SHARD_FILE).read_text())
        about["job"] |= job
        (copy / SHARD_FILE).write_text(json.dumps(about))
        return copy

    def test_missing_shard_is_refused(self, shards: list[Path]) -> None:
        with pytest.raises(DataError, match="2 of 3 shards are missing: 0/3, 2/3;"):
            ShardSet(shards[1:2])

    def test_repeated_shard_is_refused(self, shards: list[Path]) -> None:
        with pytest.raises(DataError, match="shard 1/3 was given twice"):
            ShardSet([*shards, shards[1]])

    def test_shards_of_other_counts_are_refused(
        self, digits_bundle: Bundle, images: Path, shards: list[Path], tmp_path: Path
    ) -> None:
        other = detect_shard(
            digits_bundle, DetectionRequest(images, far=0.1), tmp_path / "o", Shard(1, 2)
        )
        with pytest.raises(DataError, match=r"shard 0/3 and .* is shard 1/2"):
            ShardSet([shards[0], other])

    @pytest.mark.parametrize(
        ("job", "message"),
        [
            ({"far": 0.2}, "far is 0.1 in one and 0.2 in the other"),
            ({"model": "f" * 64}, "model is .* and .*ffff"),
            ({"list of names": "0"}, "list of names is"),
            ({"content of some files": "0"}, "content of some files is"),
            ({"versions": {"numpy": "1.0"}}, "versions is .*numpy.* and .*1.0"),
        ],
    )
    def test_shards_of_different_jobs_are_refused_with_the_difference(
        self, shards: list[Path], tmp_path: Path, job: dict[str, Any], message: str
    ) -> None:
        other = self.changed(shards[1], tmp_path / "other", **job)
        with pytest.raises(DataError, match=message):
            ShardSet([shards[0], other, shards[2]])

    def test_changed_data_is_refused_at_the_merge(
        self, shards: list[Path], images: Path, tmp_path: Path
    ) -> None:
        more = write_more(images)
        try:
            with pytest.raises(DataError, match=r"number of images or rows was .* and is"):
                merge_detection(ShardSet(shards), tmp_path / "out")
        finally:
            more.unlink()
        assert not (tmp_path / "out").exists()

    def test_damaged_unfinished_and_other_folders_are_refused(
        self, shards: list[Path], tmp_path: Path
    ) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(shards[0], copy)
        part = next(copy.glob("*.npz"))
        part.write_bytes(part.read_bytes()[:-9])
        with pytest.raises(DataError, match="damaged or gone"):
            merge_detection(ShardSet([copy, *shards[1:]]), tmp_path / "out")
        (copy / SHARD_FILE).unlink()
        for place in (copy, tmp_path / "nothing", Path(__file__)):
            with pytest.raises(DataError, match="holds no finished shard"):
                ShardSet([place])

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"shard": [0, 0], "job": {}, "files": {}}'])
    def test_invalid_shard_files_are_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / SHARD_FILE).write_text(text)
        with pytest.raises(DataError, match="holds no finished shard"):
            ShardSet([tmp_path])

    def test_file_names_cannot_leave_the_folder(self, tmp_path: Path) -> None:
        about = {"shard": [0, 1], "job": {}, "files": {"../../x/00000000.npz": "0"}}
        (tmp_path / SHARD_FILE).write_text(json.dumps(about))
        with pytest.raises(DataError, match=f"{tmp_path}/00000000.npz is damaged or gone"):
            ShardSet([tmp_path]).read("00000000")


def write_more(images: Path) -> Path:
    write_png(images / "2" / "more.png", np.zeros((8, 8, 1), np.uint8))
    return images / "2" / "more.png"


class TestRecords:
    @given(
        st.lists(st.lists(st.floats(), min_size=2, max_size=2), max_size=4),
        st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), max_size=3),
    )
    def test_shard_record_round_trip(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        components: list[list[float]],
        failures: dict[str, str],
        maps: list[tuple[str, bytes]],
    ) -> None:
        scored = ScoredChunk(failures, np.array(components, np.float64).reshape(-1, 2), ["a"], maps)
        target = tmp_path_factory.mktemp("record") / "shard"
        with shard_folder(target, Shard(0, 1), {"command": "x"}) as writer:
            writer.add("0", scored.to_record())
        record = ShardSet([target]).read("0")
        assert record is not None
        again = ScoredChunk.from_record(record)
        np.testing.assert_array_equal(again.components, scored.components)
        assert (again.failures, again.resized, again.maps) == (failures, ["a"], maps)
        assert ShardSet([target]).read("1") is None

    def test_folder_of_another_job_is_cleared(self, tmp_path: Path) -> None:
        for job in ({"n": 1}, {"n": 2}):
            with pytest.raises(RunInterruptedError):
                self.begin(tmp_path / "s", job)
        with shard_folder(tmp_path / "s", Shard(0, 1), {"n": 2}) as writer:
            assert writer.read("0") == ShardRecord({"job": {"n": 2}})

    def begin(self, target: Path, job: dict[str, Any]) -> None:
        with shard_folder(target, Shard(0, 1), job) as writer:
            assert writer.read("0") is None
            writer.add("0", ShardRecord({"job": job}))
            raise RunInterruptedError("stopped")


class TestAugment:
    """Of a generator of 20 steps nothing is credible, so these are unfiltered; see below."""

    @pytest.mark.parametrize("format", ["png", "npz"])
    def test_merged_shards_are_the_folder_of_one_call(
        self, digits_bundle: Bundle, tmp_path: Path, format: str
    ) -> None:
        n, asked = 2 * CHUNK_SIZE + 10, {**UNFILTERED, "format": format}
        request = AugmentRequest(["3", "5"], n, **asked)
        augment_folder(digits_bundle, request, tmp_path / "one")
        make = partial(augment_shard, digits_bundle, request)
        merge_augmentation(ShardSet(cut(make, tmp_path, 2)), tmp_path / "merged")
        assert tree(tmp_path / "merged") == tree(tmp_path / "one")
        assert len(read_manifest(tmp_path / "merged")) == 2 * n

    def test_merged_augment_commands_write_the_same(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        words = ["augment", "--class", "3", "--n", "30", "--model", str(digits_bundle.path)]
        words += ["--no-filter"]
        assert CliRunner().invoke(app, [*words, "--out", str(tmp_path / "one")]).exit_code == 0
        for share in ("0/2", "1/2"):
            out = str(tmp_path / share[0])
            done = CliRunner().invoke(app, [*words, "--shard", share, "--out", out])
            assert done.exit_code == 0, done.output
        done = CliRunner().invoke(app, ["merge", *(str(tmp_path / name) for name in "m01")])
        assert done.exit_code == 0, done.output
        assert tree(tmp_path / "m") == tree(tmp_path / "one")
        assert (tmp_path / "m-first-images.png").exists()

    def test_other_model_at_the_same_path_is_refused(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        path = save_bundle(load_bundle(digits_bundle.path), tmp_path / "bundle.augan")
        bundle = load_bundle(path)
        request = AugmentRequest("3", 5, filtered=False)
        shard = augment_shard(bundle, request, Shard(0, 1), tmp_path / "0")
        save_bundle(replace(bundle, metrics=BundleMetrics(warnings=("other",))), path)
        with pytest.raises(DataError, match=r"model was .* and is"):
            merge_augmentation(ShardSet([shard]), tmp_path / "out")

    def test_impossible_shard_options_are_refused_first(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        unsaved = Bundle(**{**vars(digits_bundle), "path": None})
        request = AugmentRequest("3", 5, filtered=False)
        with pytest.raises(BundleError, match="never saved"):
            augment_shard(unsaved, request, Shard(0, 2), tmp_path / "o")
        assert not list(tmp_path.iterdir())
