"""Synthetic images: the same for the same seed, safe on disk, and training data themselves."""

import csv
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

from augan import augment_folder as filtered_folder
from augan import generate_folder, get_transform, load_dataset
from augan.augment.manifest import COLUMNS
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.methods.prior import NOISE_BLOCK_SIZE, GeneratorSampler, PriorSampling
from augan.augment.request import class_folder
from augan.augment.transforms import TRANSFORMS
from augan.augment.writers import PreviewGrid
from augan.bundle import Bundle
from augan.data.dataset import resolve_class
from augan.exceptions import BundleError, ConfigError, DataError
from augan.io.images import read_image
from augan.io.layout import MANIFEST_FILE, SUMMARY_FILE

# What files there are does not depend on which candidates are kept, and filters want a better GAN.
augment_folder = partial(filtered_folder, filtered=False)


@pytest.fixture(scope="module")
def sampler(digits_bundle: Bundle) -> GeneratorSampler:
    return GeneratorSampler(digits_bundle)


def with_data(bundle: Bundle, **changes: object) -> Bundle:
    """The same networks, trained on data that is described otherwise."""
    return replace(bundle, data={**bundle.data, **changes})


def draw(sampler: GeneratorSampler, n: int, seed: int = 0, index: int = 3) -> np.ndarray:
    chunks = range(-(-n // CHUNK_SIZE))
    samples = [PriorSampling(sampler).generate(index, number, seed).samples for number in chunks]
    return sampler.preprocessing.to_original_size(np.concatenate(samples)[:n])


def read_manifest(folder: Path) -> list[dict[str, str]]:
    with open(folder / MANIFEST_FILE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class TestSampler:
    def test_images_have_the_form_of_the_training_images(self, sampler: GeneratorSampler) -> None:
        images = draw(sampler, 5)
        assert images.shape == (5, 8, 8, 1)
        assert images.dtype == np.uint8
        assert len({image.tobytes() for image in images}) == 5

    def test_an_image_depends_on_seed_and_index_only(self, sampler: GeneratorSampler) -> None:
        many = draw(sampler, 700)
        assert NOISE_BLOCK_SIZE < 700  # so the second block is looked at, too
        np.testing.assert_array_equal(draw(sampler, 3), many[:3])
        np.testing.assert_array_equal(
            draw(sampler, NOISE_BLOCK_SIZE + 1), many[: NOISE_BLOCK_SIZE + 1]
        )
        assert len(many) == 700

    def test_blocks_differ(self, sampler: GeneratorSampler) -> None:
        many = draw(sampler, 2 * NOISE_BLOCK_SIZE)
        assert not np.array_equal(many[:NOISE_BLOCK_SIZE], many[NOISE_BLOCK_SIZE:])

    def test_another_seed_gives_other_images(self, sampler: GeneratorSampler) -> None:
        first, second = draw(sampler, 20, seed=0), draw(sampler, 20, seed=1)
        assert not (first == second).all(axis=(1, 2, 3)).any()

    def test_classes_differ(self, sampler: GeneratorSampler) -> None:
        assert not np.array_equal(draw(sampler, 20, index=1), draw(sampler, 20, index=2))

    def test_a_class_is_found_by_name_before_number(self) -> None:
        names = ["9", "8", *"cdefghij"]
        assert resolve_class("9", names) == 0
        assert resolve_class("c", names) == 2
        assert resolve_class("7", names) == 7  # no class of that name, so the number counts

    @pytest.mark.parametrize("name", ["10", "-1", "three", "", "1.0", "²"])
    def test_an_unknown_class_is_refused_by_naming_the_known(
        self, sampler: GeneratorSampler, name: str
    ) -> None:
        with pytest.raises(DataError, match=r"0, 1, 2, 3, 4, 5, 6, 7, 8, 9"):
            resolve_class(name, sampler.class_names)

    def test_a_class_misspelt_is_told_its_like(self) -> None:
        with pytest.raises(DataError, match=r"no class 'shrit'.*did you mean shirt\?"):
            resolve_class("shrit", ["coat", "shirt", *"cdefghij"])

    def test_proportions_are_those_of_training(self, digits_bundle: Bundle) -> None:
        counts = [700, 0, 200, 100, 0, 0, 0, 0, 0, 0]
        skewed = GeneratorSampler(with_data(digits_bundle, class_counts=counts))
        parts = list(skewed.sample_by_frequency(2000, seed=0))
        classes = np.concatenate([part[1] for part in parts])
        assert sum(len(part[0]) for part in parts) == len(classes) == 2000
        shares = np.bincount(classes, minlength=10) / 2000
        np.testing.assert_allclose(shares, np.array(counts) / 1000, atol=0.045)
        assert (shares[[1, 4, 5, 6, 7, 8, 9]] == 0).all()

    def test_proportionate_images_do_not_depend_on_how_many(
        self, sampler: GeneratorSampler
    ) -> None:
        many = [np.concatenate(parts) for parts in zip(*sampler.sample_by_frequency(600, 4))]
        few = [np.concatenate(parts) for parts in zip(*sampler.sample_by_frequency(7, 4))]
        np.testing.assert_array_equal(few[0], many[0][:7])
        np.testing.assert_array_equal(few[1], many[1][:7])

    def test_drawing_changes_no_weight_and_no_global_seed(self, digits_bundle: Bundle) -> None:
        before = digits_bundle.sha256
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        draw(GeneratorSampler(digits_bundle), 10)
        assert digits_bundle.sha256 == before
        np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002

    def test_noise_is_of_the_kind_that_was_trained_with(self, digits_bundle: Bundle) -> None:
        config = {**digits_bundle.config, "gan": {**digits_bundle.config["gan"]}}
        config["gan"]["latent_prior"] = "uniform"
        noise = GeneratorSampler(replace(digits_bundle, config=config)).class_latents(3, 0, 0)
        assert 0.99 < np.abs(noise).max() <= 1
        assert np.abs(GeneratorSampler(digits_bundle).class_latents(3, 0, 0)).max() > 2

    def test_a_bundle_without_generator_is_refused(self) -> None:
        with pytest.raises(BundleError, match="generator"):
            GeneratorSampler(Bundle(config={}, data={}))


class TestAugmentFolder:
    def test_files_and_manifest(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        result = augment_folder(digits_bundle, 3, 5, tmp_path / "out", seed=7)
        about = result.to_dict()
        (found,) = about.pop("acceptance")
        (doubt,) = about.pop("warnings")
        assert "never measured" in doubt  # 14 images are held out, 20 would be needed
        assert (found["requested"], found["generated"], found["accepted"]) == (5, 5, 5)
        assert about == {
            "out": str(tmp_path / "out"),
            "num_samples": 5,
            "classes": ["3"],
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
            assert digits_bundle.data["fingerprint"].startswith(row["data"]) != ""
            assert (row["method"], row["decision"], row["class_probability"]) == (
                "sample",
                "unchecked",
                "",
            )

    def test_files_hold_what_the_sampler_draws(
        self, digits_bundle: Bundle, sampler: GeneratorSampler, tmp_path: Path
    ) -> None:
        augment_folder(digits_bundle, "3", 4, tmp_path / "out", seed=2)
        read = [
            read_image(tmp_path / "out" / row["file"]) for row in read_manifest(tmp_path / "out")
        ]
        np.testing.assert_array_equal(np.stack(read), draw(sampler, 4, seed=2))

    def test_png_files_say_that_they_are_synthetic(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        augment_folder(digits_bundle, "3", 2, tmp_path / "a")
        generate_folder(digits_bundle, 2, tmp_path / "b")
        files = [*(tmp_path / "a").rglob("*.png"), *(tmp_path / "b").rglob("*.png")]
        assert len(files) == 4
        for file in files:
            with Image.open(file) as picture:
                assert picture.format == "PNG"
                assert picture.info["synthetic"] == "true"

    def test_the_same_call_gives_the_same_bytes(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        for name in ("a", "b"):
            augment_folder(
                digits_bundle, "3", 5, tmp_path / name, seed=1, transform="shift-flip-light"
            )
        assert tree(tmp_path / "a") == tree(tmp_path / "b")

    def test_a_transform_too_depends_on_seed_and_index_only(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        augment_folder(digits_bundle, "3", 3, tmp_path / "few", transform="shift")
        augment_folder(digits_bundle, "3", 520, tmp_path / "many", transform="shift")
        few, many = tree(tmp_path / "few"), tree(tmp_path / "many")
        names = [name for name in few if name.endswith(".png")]
        assert len(names) == 3
        assert all(few[name] == many[name] for name in names)

    def test_a_transform_changes_images_and_is_in_the_manifest(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        augment_folder(digits_bundle, "3", 6, tmp_path / "plain")
        augment_folder(digits_bundle, "3", 6, tmp_path / "moved", transform="shift-flip-light")
        plain, moved = tree(tmp_path / "plain"), tree(tmp_path / "moved")
        assert all(plain[name] != moved[name] for name in plain)
        assert {row["transform"] for row in read_manifest(tmp_path / "moved")} == {
            "shift-flip-light"
        }

    @pytest.mark.parametrize(
        "name", ["T-shirt/top", "../x", "..", "/abs", "a\\b", "C:", "grün & gelb", "."]
    )
    def test_class_names_stay_inside_the_folder(
        self, digits_bundle: Bundle, tmp_path: Path, name: str
    ) -> None:
        bundle = with_data(digits_bundle, class_names=[name, *"bcdefghij"])
        augment_folder(bundle, name, 1, tmp_path / "below" / "out")
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
    def test_two_classes_never_share_a_folder(self, names: list[str]) -> None:
        folders = [class_folder(name) for name in names]
        assert len(set(folders)) == len(names)
        for folder in folders:
            assert folder.strip(" .") == folder != ""
            assert not set(folder) & set('/\\:*?"<>|\0\n')

    def test_classes_that_differ_by_a_slash_only_leave_two_results(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        bundle = with_data(digits_bundle, class_names=["a/b", "a-b", *"cdefghij"])
        bundle = replace(bundle, path=tmp_path / "bundle.augan")
        for name in ("a/b", "a-b"):
            augment_folder(bundle, name, 1)
        rows = [read_manifest(out) for out in sorted(tmp_path.glob("augment-*"))]
        assert [[row["class"] for row in table] for table in rows] == [["a/b"], ["a-b"]]

    def test_the_result_is_a_training_folder(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        augment_folder(digits_bundle, "3", 4, tmp_path / "out")
        dataset = load_dataset(tmp_path / "out")
        assert dataset.class_names == ("3",)
        assert len(dataset) == 4
        assert dataset.skipped == ()

    def test_the_folder_beside_the_bundle_is_named_after_what_was_asked(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        bundle = replace(digits_bundle, path=tmp_path / "bundle.augan")
        names = {
            augment_folder(bundle, "3", 2, seed=0).out,
            augment_folder(bundle, "3", 2, seed=1).out,
            augment_folder(bundle, "3", 3, seed=0).out,
            augment_folder(bundle, "4", 2, seed=0).out,
            generate_folder(bundle, 2, seed=0).out,
        }
        assert len(names) == 5
        assert {path.parent for path in names} == {tmp_path}

    def test_an_unsaved_bundle_needs_a_folder(self, digits_bundle: Bundle) -> None:
        with pytest.raises(BundleError, match="never saved"):
            augment_folder(replace(digits_bundle, path=None), "3", 1)

    def test_an_earlier_result_is_replaced(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        augment_folder(digits_bundle, "3", 9, tmp_path / "out")
        augment_folder(digits_bundle, "4", 2, tmp_path / "out")
        files = tree(tmp_path / "out").keys()
        assert files == {MANIFEST_FILE, SUMMARY_FILE, "4/000000.png", "4/000001.png"}

    def test_other_files_are_never_replaced(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("mine")
        for call in (
            lambda out: augment_folder(digits_bundle, "3", 1, out),
            lambda out: generate_folder(digits_bundle, 1, out),
        ):
            with pytest.raises(DataError, match="other files"):
                call(tmp_path / "out")
        assert tree(tmp_path) == {"out/thesis.txt": b"mine"}

    def test_what_a_user_put_beside_synthetic_images_is_not_lost(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        augment_folder(digits_bundle, "3", 2, tmp_path / "out")
        (tmp_path / "out" / "3" / "real.png").write_bytes(b"mine")
        with pytest.raises(DataError, match=r"would be lost: 3/real\.png;"):
            augment_folder(digits_bundle, "3", 2, tmp_path / "out")
        assert (tmp_path / "out" / "3" / "real.png").read_bytes() == b"mine"

    def test_a_manifest_of_somebody_else_is_no_result(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        (tmp_path / "photos" / "3").mkdir(parents=True)
        (tmp_path / "photos" / MANIFEST_FILE).write_text("file,author\n3/a.jpg,me\n")
        (tmp_path / "photos" / "3" / "a.jpg").write_bytes(b"mine")
        with pytest.raises(DataError, match=r"would be lost: 3/a\.jpg, manifest\.csv;"):
            augment_folder(digits_bundle, "3", 2, tmp_path / "photos")
        assert (tmp_path / "photos" / "3" / "a.jpg").read_bytes() == b"mine"

    @pytest.mark.parametrize("n", [0, -1])
    def test_a_number_below_one_is_refused(
        self, digits_bundle: Bundle, tmp_path: Path, n: int
    ) -> None:
        with pytest.raises(ConfigError, match="at least 1"):
            augment_folder(digits_bundle, "3", n, tmp_path / "out")
        with pytest.raises(ConfigError, match="at least 1"):
            generate_folder(digits_bundle, n, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    def test_an_unknown_transform_leaves_nothing_behind(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError, match="shift-flip"):
            augment_folder(digits_bundle, "3", 1, tmp_path / "out", transform="swirl")
        assert list(tmp_path.iterdir()) == []


class TestGenerateFolder:
    def test_files_lie_in_the_folder_itself(self, digits_bundle: Bundle, tmp_path: Path) -> None:
        result = generate_folder(digits_bundle, 12, tmp_path / "out", seed=3)
        files = tree(tmp_path / "out")
        rows = read_manifest(tmp_path / "out")
        assert result.num_samples == len(rows) == 12
        assert {row["file"] for row in rows} == files.keys() - {MANIFEST_FILE}
        assert not any("/" in name for name in files)
        assert all(row["class"] in "0123456789" for row in rows)
        dataset = load_dataset(tmp_path / "out")
        assert (len(dataset), dataset.class_names) == (12, ())

    def test_classes_are_as_often_as_in_training(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        bundle = with_data(digits_bundle, class_counts=[3, 1, *[0] * 8])
        generate_folder(bundle, 400, tmp_path / "out")
        classes = Counter(row["class"] for row in read_manifest(tmp_path / "out"))
        assert classes.keys() == {"0", "1"}
        assert 255 <= classes["0"] <= 345  # 300, give or take five standard deviations


def pictures(dtype: str, channels: int, n: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    share = rng.random((n, 16, 12, channels))
    white = {"uint8": 255, "uint16": 65535, "float32": 1.0}[dtype]
    return (share * white).astype(dtype)


class TestGetTransform:
    @pytest.mark.parametrize("transform", TRANSFORMS)
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_shape_and_type_are_kept(self, transform: str, dtype: str, channels: int) -> None:
        images = pictures(dtype, channels)
        before = images.copy()
        changed = get_transform(transform)(images)
        assert changed.shape == images.shape
        assert changed.dtype == images.dtype
        np.testing.assert_array_equal(images, before)
        assert np.array_equal(changed, before) == (transform == "none")
        if dtype == "float32":
            assert changed.min() >= 0
            assert changed.max() <= 1

    def test_deep_images_keep_their_depth(self) -> None:
        images = pictures("uint16", 1, n=20)
        flipped = get_transform("flip")(images)
        mirrored = images[:, :, ::-1]
        is_same = (flipped == images).all(axis=(1, 2, 3))
        is_mirrored = (flipped == mirrored).all(axis=(1, 2, 3))
        assert (is_same ^ is_mirrored).all()
        assert 0 < is_mirrored.sum() < 20

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_brightness_stays_in_range(self, dtype: str) -> None:
        flat = np.full((8, 16, 16, 1), {"uint8": 128, "uint16": 32768, "float32": 0.5}[dtype])
        changed = get_transform("shift-flip-light")(flat.astype(dtype)).astype(np.float64)
        mean = changed.mean() / {"uint8": 255, "uint16": 65535, "float32": 1.0}[dtype]
        assert 0.3 < mean < 0.7

    def test_seeds(self) -> None:
        images = pictures("uint8", 1)
        first = get_transform("shift", 5)(images)
        np.testing.assert_array_equal(get_transform("shift", 5)(images), first)
        assert not np.array_equal(get_transform("shift", 6)(images), first)

    def test_results_depend_neither_on_blocks_nor_on_global_seeds(self) -> None:
        images = pictures("uint8", 3)
        whole = get_transform("shift-flip-light", 5)(images)
        transform = get_transform("shift-flip-light", 5)
        np.random.seed(1)  # noqa: NPY002
        parts = [transform(images[:2]), transform(images[2:])]
        np.testing.assert_array_equal(np.concatenate(parts), whole)

    def test_no_image_stays_no_image(self) -> None:
        assert get_transform("shift")(pictures("uint8", 1)[:0]).shape == (0, 16, 12, 1)

    def test_an_unknown_transform_is_refused_by_naming_the_known(self) -> None:
        with pytest.raises(ConfigError, match=r"'swirl'.*none, shift, flip"):
            get_transform("swirl")


class TestFirstImages:
    def add(self, first, classes):
        classes = np.asarray(classes)
        images = np.broadcast_to(classes[:, None, None, None], (len(classes), 2, 2, 1))
        first.add(images.astype(np.uint8), classes)

    def test_each_class_has_a_row_and_a_short_one_ends_black(self):
        first = PreviewGrid()
        self.add(first, [7] * 25)
        self.add(first, [3] * 4 + [7])
        rows = first.rows()[:, :, 0, 0, 0]
        assert rows.tolist() == [[3] * 4 + [0] * 6, [7] * 10]
        assert first.classes() == [3, 7]
        assert not first.is_full(3)
        self.add(first, [3] * 6)
        assert first.is_full(3)

    def test_a_class_alone_has_several_rows(self):
        first = PreviewGrid()
        self.add(first, [1] * 34)
        assert not first.is_full(1)
        rows = first.rows()[:, :, 0, 0, 0]
        assert rows.sum(axis=1).tolist() == [10, 10, 10, 4]
        self.add(first, [1] * 30)
        assert first.is_full(1)
        assert first.rows().sum() == 4 * 40

    def test_many_classes_have_no_row(self):
        first = PreviewGrid()
        self.add(first, np.arange(1, 30))
        assert first.rows().shape == (12, 1, 2, 2, 1)
        assert first.classes() == list(range(1, 13))
        assert first.is_full(20)
