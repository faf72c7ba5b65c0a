"""Filtered augmentation from end to end, on three classes that a small GAN learns in seconds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augan import AugmentRequest, augment_folder, load_dataset, train
from augan.augment.filters.acceptance import generator_warnings
from augan.augment.filters.criteria import ACCEPTED, LABEL_MISMATCH, MEMORIZED, REJECTION_REASONS
from augan.augment.filters.filter import CandidateFilter
from augan.augment.generation import RejectionSampler
from augan.augment.generator import GeneratorSampler
from augan.augment.job import resolve_counts
from augan.augment.manifest import ChunkRecord, ResumeLog
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.methods.latent import LatentBatch, LatentCodes, LatentTransfer
from augan.augment.methods.registry import AUGMENTATION_METHODS
from augan.augment.sharded import augment_shard, merge_augmentation
from augan.augment.training_reference import load_training_reference
from augan.augment.worker import CandidateWorker, generate_chunk
from augan.augment.writers import open_writer
from augan.bundle import Bundle, load_bundle, save_bundle
from augan.config import Config
from augan.exceptions import BundleError, ConfigError, DataError, RefusedError, RunInterruptedError
from augan.io.layout import RESUME_LOG_FILE, SUMMARY_FILE
from augan.parallel.sharding import Shard, ShardSet
from benchmarks.augmentation import filter_acceptance
from tests._helpers import read_manifest, tree, with_data

NAMES = ("down", "right", "slant")
SLOPES = ((1, 0), (0, 1), (-1, 1))
SMALL = Config().replace(
    task="generate",
    training__steps=200,
    training__batch_size=32,
    gan__latent_dim=8,
    gan__ema=0.95,
    generator__width=8,
    discriminator__width=8,
    encoder__width=8,
    classifier__width=8,
    evaluation__enabled=False,
)


def write_slopes(path: Path, seed: int = 0) -> Path:
    """Write 240 images that grow brighter downwards, to the right, or along the diagonal."""
    rng, ramp = np.random.default_rng(seed), np.linspace(0, 1, 8)
    y = np.arange(240) % 3
    x = np.empty((240, 8, 8))
    for i, (down, right) in enumerate(SLOPES[label] for label in y):
        slope = down * ramp[:, None] + right * ramp
        slope = (slope - slope.min()) / np.ptp(slope)
        dark, bright = rng.uniform(10, 90), rng.uniform(150, 245)
        x[i] = dark + (bright - dark) * slope ** rng.uniform(0.6, 1.6)
    x = (x + rng.normal(0, 6, x.shape)).clip(0, 255).astype(np.uint8)
    np.savez(path, x=x, y=y, class_names=np.array(NAMES))
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("slopes")
    return train(SMALL, load_dataset(write_slopes(folder / "slopes.npz")), out=folder / "run")


class TestTransfer:
    """Method "transfer": codes of a class, moved as codes of another class differ."""

    def batch(self, bundle: Bundle, names: Sequence[str]) -> LatentBatch:
        codes = bundle.latents
        return LatentTransfer(LatentCodes(codes.latents, codes.labels, names)).sample(
            1, CHUNK_SIZE, 5, 0
        )

    def test_real_images_change_as_the_generator_output_changes(self, bundle: Bundle) -> None:
        sampler, codes, ones = (
            GeneratorSampler(bundle),
            bundle.latents,
            np.full(CHUNK_SIZE, 1),
        )
        reference, _ = load_training_reference(bundle, sampler.preprocessing, None)
        assert reference is not None
        candidates = AUGMENTATION_METHODS.load("transfer")(sampler, reference).generate(
            1, 0, seed=5
        )
        batch = self.batch(bundle, [reference.names[row] for row in codes.indices])
        assert candidates.sources == batch.sources
        rows = codes.indices[batch.base_indices]
        assert (reference.labels[rows] == 1).all()
        scale = sampler.preprocessing.normalize
        after = scale(sampler.decode(batch.latents, ones))
        before = scale(sampler.decode(codes.latents[batch.base_indices], ones))
        expected = np.clip(scale(reference.samples[rows]) + after - before, -1, 1)
        np.testing.assert_allclose(scale(candidates.samples), expected, atol=1 / 127)
        assert np.abs(after - before).mean() > 0.01
        assert np.abs(expected - after).mean() > 0.01

    def test_without_training_data_codes_are_decoded(self, bundle: Bundle) -> None:
        sampler = GeneratorSampler(bundle)
        candidates = AUGMENTATION_METHODS.load("transfer")(sampler, None).generate(1, 0, seed=5)
        batch = self.batch(bundle, [f"row {row}" for row in bundle.latents.indices])
        assert candidates.sources == batch.sources
        decoded = sampler.decode(batch.latents, np.full(CHUNK_SIZE, 1))
        np.testing.assert_array_equal(candidates.samples, decoded)


class TestAccepted:
    def test_manifest_has_the_values_of_each_sample(self, bundle: Bundle, tmp_path: Path) -> None:
        result = augment_folder(bundle, AugmentRequest(["down", "1"], 60, seed=3), tmp_path / "out")
        rows = read_manifest(tmp_path / "out")
        assert [row["class"] for row in rows] == ["down"] * 60 + ["right"] * 60
        for row in rows:
            assert (row["decision"], row["method"], row["sources"]) == ("accepted", "sample", "")
            assert row["file"] == f"{row['class']}/{int(row['index']):06d}.png"
            assert float(row["class_probability"]) > 1 / 3
            assert np.isfinite(float(row["realness"]))
            assert int(row["nearest"]) % 3 == NAMES.index(row["class"])
        for found in result.acceptance:
            own = [row for row in rows if row["class"] == found.class_name]
            indices = [int(row["index"]) for row in own]
            assert indices == sorted(set(indices))
            assert found.generated == indices[-1] + 1 == 60 + found.rejected.total()
            assert min(float(row["distance"]) for row in own) >= found.thresholds["min_distance"]
        summary = json.loads((tmp_path / "out" / SUMMARY_FILE).read_text())
        assert summary["classes"] == [found.to_dict() for found in result.acceptance]
        assert summary["classifier_accuracy"] == bundle.metrics.classifier.accuracy
        assert summary["warnings"] == list(result.warnings) == list(generator_warnings(bundle))

    def test_load_dataset_reads_the_result(self, bundle: Bundle, tmp_path: Path) -> None:
        augment_folder(bundle, AugmentRequest(NAMES[:2], 20), tmp_path / "out")
        dataset = load_dataset(tmp_path / "out")
        assert (dataset.class_names, len(dataset), dataset.skipped) == (NAMES[:2], 40, ())
        augment_folder(bundle, AugmentRequest(NAMES[:2], 20, format="npz"), tmp_path / "npz")
        packed = load_dataset(tmp_path / "npz" / "synthetic.npz")
        assert packed.class_names == NAMES
        assert np.bincount(packed.labels).tolist() == [20, 20]
        np.testing.assert_array_equal(packed.images, np.stack(list(dataset.images)))

    @settings(deadline=None, max_examples=8)
    @given(
        few=st.integers(1, 70),
        more=st.integers(1, 300),
        seed=st.integers(0, 3),
        method=st.sampled_from(["sample", "interpolate"]),
        transform=st.sampled_from(["none", "shift"]),
    )
    def test_smaller_n_gives_the_first_samples_of_larger_n(
        self,
        bundle: Bundle,
        tmp_path_factory: pytest.TempPathFactory,
        few: int,
        more: int,
        seed: int,
        method: str,
        transform: str,
    ) -> None:
        folder = tmp_path_factory.mktemp("prefix")
        for n in (few, few + more):
            augment_folder(
                bundle,
                AugmentRequest("right", n, seed=seed, method=method, transform=transform),
                folder / str(n),
            )
        small, large = (read_manifest(folder / str(n)) for n in (few, few + more))
        assert small == large[:few]  # the SHA-256 of each file included

    def test_filter_rejects_training_samples_and_other_classes(self, bundle: Bundle) -> None:
        reference, _ = load_training_reference(bundle, bundle.preprocessing, None)
        assert reference is not None
        candidate_filter = CandidateFilter(bundle, reference)
        candidate_filter.set_class(0)
        training, names = reference.training_samples(0)
        found = candidate_filter.evaluate(training)
        # A training sample is memorized, unless another check rejects it first.
        assert ACCEPTED not in found.decisions
        assert found.decisions.count(MEMORIZED) > 0.8 * len(training)
        assert found.nearest == names
        held_out, labels = reference.held_out_samples()
        num_accepted = candidate_filter.evaluate(held_out[labels == 0]).decisions.count(ACCEPTED)
        assert num_accepted > 0.8 * (labels == 0).sum()
        assert ACCEPTED not in candidate_filter.evaluate(held_out[labels == 1]).decisions


class TestInterpolate:
    def test_manifest_names_both_source_images(self, bundle: Bundle, tmp_path: Path) -> None:
        augment_folder(bundle, AugmentRequest("down", 40, method="interpolate"), tmp_path / "out")
        pairs = [json.loads(row["sources"]) for row in read_manifest(tmp_path / "out")]
        fit = set(bundle.splits.train.tolist())
        for first, second in pairs:
            assert first != second
            assert {int(first), int(second)} <= fit
            assert int(first) % 3 == int(second) % 3 == 0

    def test_codes_are_interpolated_without_training_data(
        self, bundle: Bundle, tmp_path: Path
    ) -> None:
        gone = with_data(bundle, source=str(tmp_path / "gone.npz"))
        result = augment_folder(
            gone, AugmentRequest("down", 40, method="interpolate"), tmp_path / "out"
        )
        assert f"not at {tmp_path}/gone.npz any more" in result.warnings[0]
        assert read_manifest(tmp_path / "out")[0]["sources"].startswith('["row ')

    def test_bundle_without_codes_is_refused(self, bundle: Bundle, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="codes"):
            augment_folder(
                replace(bundle, latents=None),
                AugmentRequest("down", 4, method="interpolate"),
                tmp_path / "out",
            )
        assert list(tmp_path.iterdir()) == []


class TestTrainingData:
    def test_without_it_only_the_classifier_filters(self, bundle: Bundle, tmp_path: Path) -> None:
        gone = with_data(bundle, source=str(tmp_path / "gone.npz"))
        result = augment_folder(gone, AugmentRequest("down", 40), tmp_path / "out")
        warning, quality_warning = result.warnings
        assert (quality_warning,) == generator_warnings(bundle)
        assert "gone.npz" in warning
        assert "unchecked" in warning
        for row in read_manifest(tmp_path / "out"):
            assert (row["decision"], row["distance"], row["nearest"]) == ("unchecked", "", "")
            assert float(row["class_probability"]) > 1 / 3

    def test_changed_data_is_refused(self, bundle: Bundle, tmp_path: Path) -> None:
        other = write_slopes(tmp_path / "other.npz", seed=1)
        changed = with_data(bundle, source=str(other))
        for model, training_data in ((changed, None), (bundle, other)):
            request = AugmentRequest("down", 4, training_data=training_data)
            with pytest.raises(DataError, match="is not, or no longer, the data"):
                augment_folder(model, request, tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["other.npz"]

    def test_data_of_another_type_is_refused(self, bundle: Bundle, tmp_path: Path) -> None:
        np.savez(tmp_path / "rgb.npz", x=np.zeros((8, 16, 16, 3), np.uint8), y=np.arange(8) % 2)
        with pytest.raises(DataError, match=r"rgb\.npz cannot be read as the data that.*channel"):
            augment_folder(
                bundle,
                AugmentRequest("down", 4, training_data=tmp_path / "rgb.npz"),
                tmp_path / "out",
            )

    def test_new_location_can_be_given(self, bundle: Bundle, tmp_path: Path) -> None:
        moved = with_data(bundle, source=str(tmp_path / "gone.npz"))
        shutil.copy(bundle.data.source, tmp_path / "moved.npz")
        augment_folder(
            moved, AugmentRequest("down", 9, training_data=tmp_path / "moved.npz"), tmp_path / "a"
        )
        augment_folder(bundle, AugmentRequest("down", 9), tmp_path / "b")
        a, b = (read_manifest(tmp_path / name) for name in "ab")
        assert [row["file"] for row in a] == [row["file"] for row in b]
        assert [row["distance"] for row in a] == [row["distance"] for row in b]

    def test_bundle_without_classifier_filters_nothing(
        self, bundle: Bundle, tmp_path: Path
    ) -> None:
        networks = {name: net for name, net in bundle.networks.items() if name != "classifier"}
        result = augment_folder(
            replace(bundle, networks=networks), AugmentRequest("down", 4), tmp_path / "out"
        )
        assert "no classifier" in result.warnings[0]
        assert [row["index"] for row in read_manifest(tmp_path / "out")] == ["0", "1", "2", "3"]

    def test_class_of_one_image_is_refused(self, bundle: Bundle, tmp_path: Path) -> None:
        small = with_data(bundle, class_counts=[1, 80, 80])
        with pytest.raises(DataError, match="class 'down' has 1 real sample"):
            augment_folder(small, AugmentRequest("down", 4), tmp_path / "out")
        assert (
            augment_folder(
                small, AugmentRequest("down", 4, filtered=False), tmp_path / "out"
            ).num_samples
            == 4
        )


class TestRefusedClass:
    def test_nothing_is_written(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        with pytest.raises(RefusedError, match=r"class '3'.*256 candidates.*train longer"):
            augment_folder(digits_bundle, AugmentRequest("3", 1), tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    def test_exit_code_is_1(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        done = run_command(digits_bundle.path, tmp_path, "--class", "3", "--n", "1", "--json")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-1].startswith("refused: class '3' cannot")
        assert list(tmp_path.iterdir()) == []


class TestResolveCounts:
    def counts(self, bundle: Bundle, *classes: str, **options: object) -> dict[int, int]:
        request = AugmentRequest(classes, **options)
        return resolve_counts(bundle, request, bundle.data.class_counts)

    def test_balance_fills_up_to_the_largest_class(self, bundle: Bundle) -> None:
        rare = with_data(bundle, class_counts=[80, 5, 60])
        assert self.counts(rare, balance=True) == {1: 75, 2: 20}
        assert self.counts(rare, balance=True, balance_to=70) == {1: 65, 2: 10}
        assert self.counts(rare, "slant", balance=True, balance_to=100) == {2: 40}
        with pytest.raises(ConfigError, match="nothing to balance"):
            self.counts(bundle, balance=True)

    def test_repeated_class_counts_once(self, bundle: Bundle) -> None:
        assert self.counts(bundle, "right", "1", "down", n=3) == {1: 3, 0: 3}

    def test_default_folder_names_all_classes(self, bundle: Bundle, tmp_path: Path) -> None:
        rare = replace(with_data(bundle, class_counts=[80, 78, 79]), path=tmp_path / "b.augan")
        one = augment_folder(rare, AugmentRequest(balance=True)).out
        two = augment_folder(rare, AugmentRequest(["right", "down"], 2)).out
        assert one.name == "augment-right+slant-balance-seed0"
        assert two.name == "augment-right+down-n2-seed0"

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            ({"method": "sample"}, "sample"),
            ({"transform": "shift"}, "shift"),
            ({"filtered": False}, "unfiltered"),
            ({"format": "npz", "filtered": False}, "unfiltered-npz"),
        ],
    )
    def test_options_that_are_not_default_have_a_folder_of_their_own(
        self, bundle: Bundle, tmp_path: Path, options: dict, name: str
    ) -> None:
        saved = replace(bundle, path=tmp_path / "b.augan")
        default = augment_folder(saved, AugmentRequest("right", 2)).out
        before = tree(default)
        other = augment_folder(saved, AugmentRequest("right", 2, **options))
        assert other.out.name == f"{default.name}-{name}"
        assert tree(default) == before


class TestInterruption:
    REQUEST = AugmentRequest(NAMES, 700)

    def test_same_call_resumes(self, bundle: Bundle, tmp_path: Path) -> None:
        augment_folder(bundle, self.REQUEST, tmp_path / "complete")
        log = tmp_path / ".out.partial" / RESUME_LOG_FILE
        threading.Thread(target=when_logged, args=(log, 4, interrupt), daemon=True).start()
        with pytest.raises(
            RunInterruptedError, match=r"SIGINT after [1-9][\d,]* images.*same command"
        ):
            augment_folder(bundle, self.REQUEST, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert num_logged(log) >= 4
        augment_folder(bundle, self.REQUEST, tmp_path / "out")
        assert tree(tmp_path / "out") == tree(tmp_path / "complete")
        assert not log.parent.exists()

    def test_another_call_starts_again(self, bundle: Bundle, tmp_path: Path) -> None:
        log = tmp_path / ".out.partial" / RESUME_LOG_FILE
        threading.Thread(target=when_logged, args=(log, 2, interrupt), daemon=True).start()
        with pytest.raises(RunInterruptedError):
            augment_folder(bundle, self.REQUEST, tmp_path / "out")
        augment_folder(bundle, AugmentRequest("right", 5, seed=1), tmp_path / "out")
        augment_folder(bundle, AugmentRequest("right", 5, seed=1), tmp_path / "complete")
        assert tree(tmp_path / "out") == tree(tmp_path / "complete")

    def test_incomplete_last_chunk_is_not_checked_again(
        self, bundle: Bundle, tmp_path: Path
    ) -> None:
        """The log has the first decisions of a chunk whose rates were checked completely."""
        worker = CandidateWorker.create(GeneratorSampler(bundle), "sample", True, None)
        log = ResumeLog(tmp_path, {})
        log.add(ChunkRecord(0, 0, [LABEL_MISMATCH] * 5 + [ACCEPTED] * 3, []))
        writer = open_writer("npz", tmp_path, worker.sampler.preprocessing, class_names=NAMES)
        sampler = RejectionSampler(
            worker,
            lambda requests: (generate_chunk(worker, request) for request in requests),
            writer,
            ResumeLog(tmp_path, {}),
            seed=0,
            stop=lambda: None,
            on_accepted=lambda class_name, accepted, requested: None,
        )
        stats = sampler.sample_class(0, 3, "down")
        assert (stats.generated, stats.accepted) == (8, 3)

    @pytest.mark.slow
    @pytest.mark.parametrize("more", [(), ("--no-filter",), ("--format", "npz")])
    def test_killed_command_resumes(
        self, bundle: Bundle, tmp_path: Path, more: tuple[str, ...]
    ) -> None:
        words = ("--class", "down", "--class", "right", "--n", "6000", *more)
        complete = run_command(bundle.path, tmp_path, *words, "--out", "complete")
        assert complete.returncode == 0, complete.stderr
        process = start_command(bundle.path, tmp_path, *words, "--out", "out")
        log = tmp_path / ".out.partial" / RESUME_LOG_FILE
        when_logged(log, 6, process.kill)
        assert process.wait() == -signal.SIGKILL
        files = list(log.parent.rglob("*.png"))
        done = run_command(bundle.path, tmp_path, *words, "--out", "out")
        assert done.returncode == 0, done.stderr
        assert tree(tmp_path / "out") == tree(tmp_path / "complete")
        assert (len(files) > 500) == (more[:1] != ("--format",))
        assert not log.parent.exists()


class TestShards:
    """Shards cannot know which candidates are duplicates of another shard's."""

    def shards(self, bundle: Bundle, folder: Path, count: int, n: int) -> ShardSet:
        request = AugmentRequest(["right", "down"], n)
        return ShardSet(
            [augment_shard(bundle, request, Shard(i, count), folder / f"{i}") for i in range(count)]
        )

    def test_merged_shards_equal_one_call_even_if_chunks_are_missing(
        self, bundle: Bundle, tmp_path: Path
    ) -> None:
        shards = self.shards(bundle, tmp_path, 2, 600)
        augment_folder(bundle, AugmentRequest(["right", "down"], 600), tmp_path / "one")
        assert merge_augmentation(shards, tmp_path / "all").num_samples == 1200
        missing = ("00001-00000001.npz", "00000-00000000.npz")
        shards._files = {k: v for k, v in shards._files.items() if k not in missing}
        merge_augmentation(shards, tmp_path / "more")
        assert tree(tmp_path / "all") == tree(tmp_path / "more") == tree(tmp_path / "one")

    def test_merge_refuses_what_one_call_refuses(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        shard = augment_shard(digits_bundle, AugmentRequest("3", 300), Shard(0, 1), tmp_path / "0")
        with pytest.raises(RefusedError, match=r"class '3'.*256 candidates.*train longer"):
            merge_augmentation(ShardSet([shard]), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_worker_with_other_training_data_is_refused(self, bundle: Bundle) -> None:
        spec = CandidateWorker.create(GeneratorSampler(bundle), "sample", True, None).spec()
        with pytest.raises(DataError, match=r"has the training data at .*, unlike"):
            replace(spec, has_training_data=False).build()


def num_logged(log: Path) -> int:
    return len(log.read_text().splitlines()) - 1 if log.exists() else 0


def when_logged(log: Path, chunks: int, act: object) -> None:
    """Call `act` as soon as the log has so many chunks."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if num_logged(log) >= chunks:
            act()
            return
        time.sleep(0.001)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def start_command(model: Path, folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "augan_cli", "augment", "--model", str(model), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True)


def run_command(model: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    process = start_command(model, folder, *words)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def test_saved_bundle_gives_the_same_samples(bundle: Bundle, tmp_path: Path) -> None:
    file = save_bundle(replace(bundle), tmp_path / "bundle.augan")
    augment_folder(
        load_bundle(file), AugmentRequest("right", 9, method="interpolate"), tmp_path / "a"
    )
    augment_folder(bundle, AugmentRequest("right", 9, method="interpolate"), tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_the_filter_acceptance_benchmark_counts_every_candidate(
    bundle: Bundle, tmp_path: Path
) -> None:
    file = tmp_path / "rows.json"
    options = ["--seeds", "1", "--images-per-class", "50", "--json", str(file)]
    filter_acceptance.main([str(bundle.path), *options])
    rows = json.loads(file.read_text())
    assert [row["method"] for row in rows] == ["sample", "interpolate", "transfer"]
    for row in rows:
        assert sum(row[reason] for reason in (ACCEPTED, *REJECTION_REASONS)) == pytest.approx(1)
        assert row["lowest_class"] <= row[ACCEPTED] <= row["highest_class"]
        assert row["accuracy_all"] > 0.5  # by chance a third
