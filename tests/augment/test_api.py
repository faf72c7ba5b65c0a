"""Folders of synthetic samples: reproducible, safe on disk, and usable as training data."""

import hashlib
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

import augan
from augan import augment_folder, generate_folder, load_dataset, progress
from augan.augment.generator import GeneratorSampler
from augan.augment.job import class_folder
from augan.augment.manifest import COLUMNS
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.methods.prior import PriorSampling
from augan.bundle import Bundle
from augan.exceptions import BundleError, ConfigError, DataError
from augan.io.images import read_image
from augan.io.layout import MANIFEST_FILE, SUMMARY_FILE
from tests._helpers import read_manifest, tree, with_data

# Without filters, because the GAN of the fixture is too bad for them.
AugmentRequest = partial(augan.AugmentRequest, filtered=False)


@pytest.fixture(scope="module")
def sampler(digits_bundle: Bundle) -> GeneratorSampler:
    return GeneratorSampler(digits_bundle)


def generate(sampler: GeneratorSampler, n: int, seed: int = 0, index: int = 3) -> np.ndarray:
    chunks = range(-(-n // CHUNK_SIZE))
    samples = [PriorSampling(sampler).generate(index, number, seed).samples for number in chunks]
    return sampler.preprocessing.to_original_size(np.concatenate(samples)[:n])


class TestAugmentFolder:
    def test_folder_has_the_files_that_the_manifest_lists(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        result = augment_folder(digits_bundle, AugmentRequest(3, 5, seed=7), tmp_path / "out")
        summary = result.to_dict()
        (stats,) = summary.pop("acceptance")
        (warning,) = summary.pop("warnings")
        assert "never measured" in warning  # 14 images are held out, and 20 are needed
        assert (stats["requested"], stats["generated"], stats["accepted"]) == (5, 5, 5)
        assert summary == {
            "out": str(tmp_path / "out"),
            "num_samples": 5,
            "classes": ["3"],
            "method": "sample",
            "format": "png",
        }
        rows = read_manifest(tmp_path / "out")
        assert tuple(rows[0]) == COLUMNS
        files = tree(tmp_path / "out")
        assert {row["file"] for row in rows} == files.keys() - {MANIFEST_FILE, SUMMARY_FILE}
        for index, row in enumerate(rows):
            assert row["file"].startswith("3/")
            assert row["sha256"] == hashlib.sha256(files[row["file"]]).hexdigest()
            assert (row["class"], row["seed"], row["index"]) == ("3", "7", str(index))
            assert (row["transform"], row["bundle"]) == ("none", digits_bundle.bundle_id)
            assert digits_bundle.data.fingerprint.startswith(row["data"]) != ""
            assert (row["method"], row["decision"], row["class_probability"]) == (
                "sample",
                "unchecked",
                "",
            )

    def test_files_have_the_samples_of_the_generator(
        self, digits_bundle: Bundle, sampler: GeneratorSampler, tmp_path: Path
    ) -> None:
        augment_folder(digits_bundle, AugmentRequest("3", 4, seed=2), tmp_path / "out")
        read = [
            read_image(tmp_path / "out" / row["file"]) for row in read_manifest(tmp_path / "out")
        ]
        np.testing.assert_array_equal(np.stack(read), generate(sampler, 4, seed=2))

    def test_png_files_are_marked_as_synthetic(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        augment_folder(digits_bundle, AugmentRequest("3", 2), tmp_path / "a")
        generate_folder(digits_bundle, 2, tmp_path / "b")
        files = [*(tmp_path / "a").rglob("*.png"), *(tmp_path / "b").rglob("*.png")]
        assert len(files) == 4
        for file in files:
            with Image.open(file) as image:
                assert image.format == "PNG"
                assert image.info["synthetic"] == "true"

    def test_equal_calls_write_equal_bytes(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        for name in ("a", "b"):
            augment_folder(
                digits_bundle,
                AugmentRequest("3", 5, seed=1, transform="shift-flip-light"),
                tmp_path / name,
            )
        assert tree(tmp_path / "a") == tree(tmp_path / "b")

    def test_transform_depends_on_seed_and_index_only(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        augment_folder(digits_bundle, AugmentRequest("3", 3, transform="shift"), tmp_path / "few")
        augment_folder(
            digits_bundle, AugmentRequest("3", 520, transform="shift"), tmp_path / "many"
        )
        few, many = tree(tmp_path / "few"), tree(tmp_path / "many")
        names = [name for name in few if name.endswith(".png")]
        assert len(names) == 3
        assert all(few[name] == many[name] for name in names)

    def test_transform_changes_images_and_is_in_the_manifest(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        augment_folder(digits_bundle, AugmentRequest("3", 6), tmp_path / "original")
        augment_folder(
            digits_bundle,
            AugmentRequest("3", 6, transform="shift-flip-light"),
            tmp_path / "shifted",
        )
        original, shifted = tree(tmp_path / "original"), tree(tmp_path / "shifted")
        assert all(original[name] != shifted[name] for name in original)
        assert {row["transform"] for row in read_manifest(tmp_path / "shifted")} == {
            "shift-flip-light"
        }

    @pytest.mark.parametrize(
        "name", ["T-shirt/top", "../x", "..", "/abs", "a\\b", "C:", "grün & gelb", "."]
    )
    def test_class_folders_stay_inside_the_folder(
        self, digits_bundle: Bundle, tmp_path: Path, name: str
    ) -> None:
        bundle = with_data(digits_bundle, class_names=[name, *"bcdefghij"])
        augment_folder(bundle, AugmentRequest(name, 1), tmp_path / "below" / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["below"]
        assert [path.name for path in (tmp_path / "below").iterdir()] == ["out"]
        (row,) = read_manifest(tmp_path / "below" / "out")
        assert row["class"] == name
        folder, _, file = row["file"].partition("/")
        assert "/" not in file
        assert folder.strip(" .") == folder != ""
        assert not set(folder) & set('/\\:*?"<>|')
        assert tree(tmp_path / "below" / "out").keys() == {MANIFEST_FILE, SUMMARY_FILE, row["file"]}

    @given(names=st.lists(st.text(max_size=12), min_size=2, max_size=20, unique=True))
    @example(names=["a/b", "a-b", "a%2Fb", "a b", " a b", "", "%", ".", "%2E", "..", "class"])
    def test_class_folder_is_unique_and_safe(self, names: list[str]) -> None:
        folders = [class_folder(name) for name in names]
        assert len(set(folders)) == len(names)
        for folder in folders:
            assert folder.strip(" .") == folder != ""
            assert not set(folder) & set('/\\:*?"<>|\0\n')

    @pytest.mark.parametrize("verbose", [0, 1])
    def test_progress_is_shown_unless_it_is_off(
        self,
        digits_bundle: Bundle,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        verbose: int,
    ) -> None:
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
        augment_folder(digits_bundle, AugmentRequest("3", 5), tmp_path / "a", verbose=verbose)
        generate_folder(digits_bundle, 7, tmp_path / "b", verbose=verbose)
        out, err = capsys.readouterr()
        assert out == ""
        lines = [" ".join(line.split()) for line in err.splitlines()]
        assert lines == ["3 100% 5 of 5", "generated 100% 7 of 7"][: 2 * verbose]

    def test_classes_that_differ_by_a_slash_have_two_folders(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        bundle = with_data(digits_bundle, class_names=["a/b", "a-b", *"cdefghij"])
        bundle = replace(bundle, path=tmp_path / "bundle.augan")
        for name in ("a/b", "a-b"):
            augment_folder(bundle, AugmentRequest(name, 1))
        rows = [read_manifest(out) for out in sorted(tmp_path.glob("augment-*"))]
        assert [[row["class"] for row in table] for table in rows] == [["a/b"], ["a-b"]]

    def test_load_dataset_reads_the_folder(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        augment_folder(digits_bundle, AugmentRequest("3", 4), tmp_path / "out")
        dataset = load_dataset(tmp_path / "out")
        assert dataset.class_names == ("3",)
        assert len(dataset) == 4
        assert dataset.skipped == ()

    def test_default_folder_is_named_after_the_options(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        bundle = replace(digits_bundle, path=tmp_path / "bundle.augan")
        names = {
            augment_folder(bundle, AugmentRequest("3", 2, seed=0)).out,
            augment_folder(bundle, AugmentRequest("3", 2, seed=1)).out,
            augment_folder(bundle, AugmentRequest("3", 3, seed=0)).out,
            augment_folder(bundle, AugmentRequest("4", 2, seed=0)).out,
            generate_folder(bundle, 2, seed=0).out,
        }
        assert len(names) == 5
        assert {path.parent for path in names} == {tmp_path}

    def test_unsaved_bundle_requires_out(self, digits_bundle: Bundle) -> None:
        with pytest.raises(BundleError, match="never saved"):
            augment_folder(replace(digits_bundle, path=None), AugmentRequest("3", 1))

    def test_earlier_result_is_replaced(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        augment_folder(digits_bundle, AugmentRequest("3", 9), tmp_path / "out")
        augment_folder(digits_bundle, AugmentRequest("4", 2), tmp_path / "out")
        files = tree(tmp_path / "out").keys()
        assert files == {MANIFEST_FILE, SUMMARY_FILE, "4/000000.png", "4/000001.png"}

    def test_unmanaged_files_are_never_replaced(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("mine")
        for call in (
            lambda out: augment_folder(digits_bundle, AugmentRequest("3", 1), out),
            lambda out: generate_folder(digits_bundle, 1, out),
        ):
            with pytest.raises(DataError, match="other files"):
                call(tmp_path / "out")
        assert tree(tmp_path) == {"out/thesis.txt": b"mine"}

    def test_files_next_to_synthetic_images_are_not_lost(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        augment_folder(digits_bundle, AugmentRequest("3", 2), tmp_path / "out")
        (tmp_path / "out" / "3" / "real.png").write_bytes(b"mine")
        with pytest.raises(DataError, match=r"would be lost: 3/real\.png;"):
            augment_folder(digits_bundle, AugmentRequest("3", 2), tmp_path / "out")
        assert (tmp_path / "out" / "3" / "real.png").read_bytes() == b"mine"

    def test_folder_with_another_manifest_is_not_replaced(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        (tmp_path / "photos" / "3").mkdir(parents=True)
        (tmp_path / "photos" / MANIFEST_FILE).write_text("file,author\n3/a.jpg,me\n")
        (tmp_path / "photos" / "3" / "a.jpg").write_bytes(b"mine")
        with pytest.raises(DataError, match=r"would be lost: 3/a\.jpg, manifest\.csv;"):
            augment_folder(digits_bundle, AugmentRequest("3", 2), tmp_path / "photos")
        assert (tmp_path / "photos" / "3" / "a.jpg").read_bytes() == b"mine"

    @pytest.mark.parametrize("n", [0, -1])
    def test_n_below_one_is_refused(self, digits_bundle: Bundle, tmp_path: Path, n: int) -> None:
        with pytest.raises(ConfigError, match="at least 1"):
            augment_folder(digits_bundle, AugmentRequest("3", n), tmp_path / "out")
        with pytest.raises(ConfigError, match="at least 1"):
            generate_folder(digits_bundle, n, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    def test_unknown_transform_writes_nothing(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="shift-flip"):
            augment_folder(
                digits_bundle, AugmentRequest("3", 1, transform="swirl"), tmp_path / "out"
            )
        assert list(tmp_path.iterdir()) == []


class TestGenerateFolder:
    def test_files_are_in_the_folder_itself(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        result = generate_folder(digits_bundle, 12, tmp_path / "out", seed=3)
        files = tree(tmp_path / "out")
        rows = read_manifest(tmp_path / "out")
        assert result.num_samples == len(rows) == 12
        assert {row["file"] for row in rows} == files.keys() - {MANIFEST_FILE}
        assert not any("/" in name for name in files)
        assert all(row["class"] in "0123456789" for row in rows)
        dataset = load_dataset(tmp_path / "out")
        assert (len(dataset), dataset.class_names) == (12, ())

    def test_classes_have_the_frequencies_of_training(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        bundle = with_data(digits_bundle, class_counts=[3, 1, *[0] * 8])
        generate_folder(bundle, 400, tmp_path / "out")
        classes = Counter(row["class"] for row in read_manifest(tmp_path / "out"))
        assert classes.keys() == {"0", "1"}
        assert 255 <= classes["0"] <= 345  # 300, give or take five standard deviations
