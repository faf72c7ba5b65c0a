"""What every augmentation method promises, also the worked example of CONTRIBUTING.md."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from augan import AugmentRequest, GANOverSampler, augment_folder, load_dataset, train
from augan.augment.generator import open_sampler
from augan.augment.job import AugmentJob
from augan.augment.methods.base import CHUNK_SIZE, CandidateGenerator, Candidates
from augan.augment.methods.registry import (
    AUGMENTATION_METHODS,
    generator_method_names,
    method_names,
)
from augan.augment.training_reference import TrainingReference, load_training_reference
from augan.bundle import Bundle, load_bundle
from augan.config import Config
from augan.exceptions import BundleError, ConfigError, DataError
from augan_cli.main import app
from tests._docs import run_worked_example
from tests._helpers import read_manifest, tree, with_data

EXAMPLE = "truncated"  # the method of the worked example
METHODS = (*method_names(), EXAMPLE)
CLASS, OTHER_CLASS = 1, 0


@pytest.fixture(scope="module", autouse=True)
def example() -> Iterator[None]:
    """Register the method of the worked example, as a file in the package would."""
    with AUGMENTATION_METHODS.temporary():
        assert run_worked_example("... an augmentation method", AUGMENTATION_METHODS) == (EXAMPLE,)
        yield


@pytest.fixture(scope="module")
def images_bundle(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of images of three classes, with latent codes, next to its training data."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    y = np.arange(150) % 3
    x = 60 + 60 * y[:, None, None] + rng.normal(0, 15, (150, 8, 8))
    names = np.array(["dark", "gray", "light"])
    np.savez(folder / "images.npz", x=x.clip(0, 255).astype(np.uint8), y=y, class_names=names)
    # Enough training that different codes give different pixels.
    config = tiny_config.replace(
        task="both", training__steps=80, gan__ema=0.5, generator__learning_rate=0.01
    )
    return train(config, load_dataset(folder / "images.npz"), out=folder / "run", verbose=0)


@pytest.fixture(scope="module")
def rows_bundle(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of a table of two classes, with latent codes, next to its training data."""
    folder, rng = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    label = np.arange(200) % 2
    frame = pd.DataFrame(
        {
            "length": rng.normal(10 + 4 * label, 1),
            "color": rng.choice(["red", "blue"], 200),
            "kind": np.array(["bolt", "plate"])[label],
        }
    )
    frame.to_csv(folder / "parts.csv", index=False)
    dataset = load_dataset(folder / "parts.csv", target="kind")
    return train(tiny_config.replace(task="both"), dataset, out=folder / "run", verbose=0)


@pytest.fixture(scope="module")
def cameras_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that translates gray images of three classes to a camera that lacks one class."""
    folder, rng = tmp_path_factory.mktemp("cameras"), np.random.default_rng(0)
    y = np.arange(60) % 3
    old = (60 + 60 * y[:, None, None] + rng.normal(0, 15, (60, 8, 8))).clip(0, 255)
    new = (255 - old[y < 2])[..., None].repeat(3, -1)
    names = np.array(["dark", "gray", "light"])
    for name, x, labels, classes in (("old", old, y, names), ("new", new, y[y < 2], names[:2])):
        np.savez(folder / f"{name}.npz", x=x.astype(np.uint8), y=labels, class_names=classes)
    config = Config().replace(
        training__steps=5,
        training__batch_size=8,
        classifier__width=4,
        translation__width=2,
        translation__discriminator_width=2,
    )
    old_data, new_data = (load_dataset(folder / f"{name}.npz") for name in ("old", "new"))
    return train(config, old_data, translate_to=new_data, out=folder / "run", verbose=0)


@pytest.fixture(params=["images", "rows", "cameras"])
def bundle(
    request: pytest.FixtureRequest,
    images_bundle: Bundle,
    rows_bundle: Bundle,
    cameras_bundle: Bundle,
) -> Bundle:
    bundles = {"images": images_bundle, "rows": rows_bundle, "cameras": cameras_bundle}
    return bundles[request.param]


@pytest.fixture(params=METHODS)
def name(request: pytest.FixtureRequest, bundle: Bundle) -> str:
    """Name of a method that generates samples of the bundle's type."""
    sample_type = bundle.preprocessing.sample_type
    if sample_type not in AUGMENTATION_METHODS.get(request.param).sample_types:
        with pytest.raises(ConfigError, match="only"):
            AugmentJob.resolve(bundle, AugmentRequest(CLASS, 1, method=request.param))
        pytest.skip(f"{request.param} generates no {sample_type}s")
    if AUGMENTATION_METHODS.get(request.param).needs_generator == bundle.has("translator"):
        with pytest.raises(BundleError, match=r"has no (generator|classes|translator)"):
            AugmentJob.resolve(bundle, AugmentRequest(CLASS, 1, method=request.param))
        pytest.skip(f"{request.param} needs another network")
    return request.param


def reference_of(bundle: Bundle) -> TrainingReference:
    preprocessing = bundle.preprocessing
    reference, _ = load_training_reference(bundle, preprocessing, None)
    assert reference is not None
    return reference


def build(name: str, bundle: Bundle, reference: TrainingReference | None) -> CandidateGenerator:
    sampler = open_sampler(bundle, AUGMENTATION_METHODS.get(name))
    return AUGMENTATION_METHODS.load(name)(sampler, reference)


@pytest.fixture(params=[True, False], ids=["training data", "no training data"])
def reference(
    request: pytest.FixtureRequest, bundle: Bundle, name: str
) -> TrainingReference | None:
    if not request.param and AUGMENTATION_METHODS.get(name).requires_training_data:
        with pytest.raises(DataError, match="needs the images"):
            build(name, bundle, None)
        pytest.skip(f"{name} requires the training data")
    return reference_of(bundle) if request.param else None


def assert_equal(one: Candidates, other: Candidates) -> None:
    np.testing.assert_array_equal(one.samples, other.samples)
    assert one.sources == other.sources


class TestCandidates:
    def test_seed_class_and_chunk_alone_decide(
        self, name: str, bundle: Bundle, reference: TrainingReference | None
    ) -> None:
        method, again = build(name, bundle, reference), build(name, bundle, reference)
        first, second = (method.generate(CLASS, chunk, seed=3) for chunk in (0, 1))
        assert_equal(again.generate(CLASS, 1, seed=3), second)  # without the chunk before
        again.generate(OTHER_CLASS, 0, seed=3)
        assert_equal(again.generate(CLASS, 0, seed=3), first)
        for other in (
            second,
            method.generate(CLASS, 0, seed=4),
            method.generate(OTHER_CLASS, 0, seed=3),
        ):
            assert (np.asarray(other.samples) != np.asarray(first.samples)).any()

    def test_samples_have_the_prepared_form(
        self, name: str, bundle: Bundle, reference: TrainingReference | None
    ) -> None:
        preprocessing = open_sampler(bundle, AUGMENTATION_METHODS.get(name)).preprocessing
        candidates = build(name, bundle, reference).generate(CLASS, 0, seed=0)
        prepared = reference_of(bundle).samples[:1]
        assert candidates.samples.shape == (CHUNK_SIZE, *preprocessing.sample_shape)
        assert candidates.samples.dtype == prepared.dtype
        scaled = preprocessing.normalize(candidates.samples)
        assert np.isfinite(scaled).all()
        assert np.abs(scaled).max() <= 1 + 1e-6
        assert len(np.unique(scaled.reshape(CHUNK_SIZE, -1), axis=0)) > 1

    def test_sources_name_training_samples_of_the_class(self, name: str, bundle: Bundle) -> None:
        reference = reference_of(bundle)
        candidates = build(name, bundle, reference).generate(CLASS, 0, seed=0)
        assert len(candidates.sources) == CHUNK_SIZE
        if not AUGMENTATION_METHODS.get(name).uses_training_data:
            assert not any(candidates.sources)
            return
        training = {reference.names[row] for row in reference.train_rows}
        of_class = set(reference.training_samples(CLASS)[1])
        for sources in candidates.sources:
            assert set(sources) <= training
            assert sources[0] in of_class

    def test_loaded_bundle_gives_the_same_candidates(
        self, name: str, bundle: Bundle, reference: TrainingReference | None
    ) -> None:
        loaded = load_bundle(bundle.path)
        assert_equal(
            build(name, loaded, reference).generate(CLASS, 0, seed=1),
            build(name, bundle, reference).generate(CLASS, 0, seed=1),
        )


class TestRefusals:
    """What a method lacks is refused before a network is built or a folder is written."""

    def test_missing_part_of_the_bundle(self, name: str, bundle: Bundle, tmp_path: Path) -> None:
        request = AugmentRequest(CLASS, 1, method=name, filtered=False)
        for part in AUGMENTATION_METHODS.get(name).required_parts:
            lacking = replace(
                bundle,
                latents=None if part == "latents" else bundle.latents,
                networks={key: value for key, value in bundle.networks.items() if key != part},
            )
            with pytest.raises(BundleError, match="has no"):
                augment_folder(lacking, request, tmp_path / "out")
        assert not list(tmp_path.iterdir())

    def test_class_of_too_few_samples(self, name: str, bundle: Bundle, tmp_path: Path) -> None:
        minimum = AUGMENTATION_METHODS.get(name).min_class_size
        request = AugmentRequest(CLASS, 1, method=name, filtered=False)
        counts = list(bundle.data.class_counts)
        counts[CLASS] = minimum
        few = with_data(bundle, class_counts=counts)
        assert AugmentJob.resolve(few, request, tmp_path / "out").counts == {CLASS: 1}
        if minimum:
            counts[CLASS] = minimum - 1
            small = with_data(bundle, class_counts=counts)
            with pytest.raises(DataError, match=f"needs at least {minimum}"):
                augment_folder(small, request, tmp_path / "out")
        assert not list(tmp_path.iterdir())


class TestUses:
    def test_augment_folder_and_command_write_the_same(
        self, name: str, bundle: Bundle, tmp_path: Path
    ) -> None:
        class_name = bundle.data.class_names[CLASS]
        for n in (3, CHUNK_SIZE + 2):
            request = AugmentRequest(class_name, n, seed=2, method=name, filtered=False)
            augment_folder(bundle, request, tmp_path / str(n), verbose=0)
        few, many = (read_manifest(tmp_path / folder) for folder in ("3", str(CHUNK_SIZE + 2)))
        samples = [
            {key: row[key] for key in ("class", "index", "method", "sources")} for row in many
        ]
        assert [{key: row[key] for key in samples[0]} for row in few] == samples[:3]
        assert {row["method"] for row in many} == {name}
        words = ["augment", "--model", str(bundle.path), "--class", class_name, "--n", "3"]
        words += ["--seed", "2", "--method", name, "--no-filter", "--out", str(tmp_path / "cli")]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        written = tree(tmp_path / "cli")
        assert {file: written[file] for file in tree(tmp_path / "3")} == tree(tmp_path / "3")

    @pytest.mark.parametrize("method", [*generator_method_names(), EXAMPLE])
    def test_over_sampler_takes_the_method(self, method: str, images_bundle: Bundle) -> None:
        images = np.zeros((12, 8, 8, 1), np.uint8)
        sampler = GANOverSampler(bundle=images_bundle, method=method, random_state=0, verbose=0)
        resampled, labels = sampler.fit_resample(images, np.array(["dark"] * 8 + ["gray"] * 4))
        assert (len(resampled), (labels == "gray").sum()) == (16, 8)
