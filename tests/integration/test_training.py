"""A whole training: what is in the folder and the bundle, and that it repeats to the last bit."""

import json
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augan import DetectionRequest, detect_folder
from augan.bundle import ClassifierAccuracy, Splits, load_bundle, restore_network
from augan.config import Config
from augan.data.cache import PreparedDataset
from augan.data.dataset import from_arrays
from augan.data.datasets import digits
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tables import as_frame
from augan.data.splits import Split, make_split
from augan.detect.conformal.guarantee import guarantee_void_reason
from augan.detect.detector import Detector
from augan.exceptions import AuganError, ConfigError, DataError
from augan.gan.inference import BatchInference
from augan.io.images import write_png
from augan.io.layout import BUNDLE_FILE
from augan.report.html.training import write_training_page
from augan.report.text import format_training, guarantee_sentence
from augan.training.budget import Stopwatch
from augan.training.defaults import DEFAULT_STEPS, resolve_defaults
from augan.workflow.prepare import PreparedData, resolve_config
from augan.workflow.train import run_training, train

NUM_CALIBRATION, NUM_VAL, NUM_TRAIN = 99, 14, 127  # of 240 images

# Of nothing but whether a small thing works; the tiny networks of conftest are larger.
SMALLEST = {
    "training__steps": 1,
    "training__batch_size": 4,
    "gan__latent_dim": 2,
    "generator__width": 2,
    "discriminator__width": 2,
    "encoder__width": 2,
    "classifier__width": 2,
}


class Listener:
    def __init__(self):
        self.calls = []

    def on_progress(self, part, step, budget, losses):
        self.calls.append((part, step, budget.progress(step), sorted(losses)))


def run_folder(bundle) -> Path:
    return bundle.path.parent


def summary(bundle):
    return json.loads((run_folder(bundle) / "summary.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- what a training leaves behind


def test_the_run_folder_is_complete(digits_bundle, tmp_path_factory):
    folder = run_folder(digits_bundle)
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {
        BUNDLE_FILE,
        "run.json",
        *(f"checkpoints/{part}.safetensors" for part in ("gan", "encoder", "classifier")),
        "config.yaml",
        "metrics.jsonl",
        "samples/step_000020.png",
        "summary.json",
    }
    with Image.open(folder / "samples" / "step_000020.png") as picture:
        assert picture.mode == "L"
        assert picture.width >= 10 * 8
        assert picture.height >= 10 * 8
        assert len(np.unique(np.asarray(picture))) > 2


def test_a_training_promises_what_detection_will(digits_bundle, tiny_digits, tmp_path):
    def trained_for(far):
        config = digits_bundle.config.replace(detect__far=far)
        return replace(digits_bundle, config=config, path=tmp_path / "bundle.augan")

    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / "0.png", tiny_digits.images[0])
    said = set()
    for far in (None, 0.01, 0.2):
        bundle = trained_for(far)
        sentence = detect_folder(
            bundle, DetectionRequest(tmp_path / "images"), tmp_path / "out"
        ).guarantee.sentence
        assert f"detector: {sentence}" in format_training(bundle, {"gan": 1.0})
        assert escape(sentence) in write_training_page(bundle).read_text("utf-8")
        said.add(sentence)
    assert len(said) == 3
    # Of an older version; detection refuses to work at this rate.
    lines = format_training(trained_for(0.001), {"gan": 1.0})
    own = "warning: too few calibration images for the model's rate, detect.far=0.001: "
    assert [line for line in lines if line.startswith(own)]
    usual = format_training(trained_for(None), {"gan": 1.0})
    assert {line for line in lines if line.startswith("detector: ")} < set(usual)


def test_the_log_has_every_part(digits_bundle):
    text = (run_folder(digits_bundle) / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [
        ("classifier", 5),
        ("gan", 20),
        ("encoder", 10),
    ]
    assert set(lines[1]) == {"stage", "step", "d_loss", "g_loss", "d_accuracy"}
    values = [v for line in lines for v in line.values() if isinstance(v, float)]
    assert len(values) >= 7
    assert np.isfinite(values).all()


def test_the_summary_says_where_the_time_went(digits_bundle):
    told = summary(digits_bundle)
    parts = {"start-up", "data", "gan", "encoder", "classifier", "detector and bundle"}
    assert set(told["seconds"]) == parts
    assert all(seconds >= 0 for seconds in told["seconds"].values())
    assert told["seconds"]["gan"] > 0
    assert told["warnings"] == list(digits_bundle.metrics.warnings)


def test_the_bundle_loads_and_has_everything(digits_bundle):
    loaded = load_bundle(run_folder(digits_bundle))
    for part in ("generator", "classes", "detector", "encoder", "classifier", "latents"):
        assert loaded.has(part), part
    assert set(loaded.networks) == {"generator", "discriminator", "encoder", "classifier"}
    assert loaded == digits_bundle
    assert loaded.sha256 == digits_bundle.sha256
    assert loaded.metrics.steps == {"gan": 20, "encoder": 10, "classifier": 5}
    (warning,) = loaded.metrics.warnings
    assert "quality of the generator after 20 steps was never measured" in warning
    assert {method.name: method.components for method in loaded.detector.methods} == {
        "auto": ("feature_neighbors", "mahalanobis", "input_neighbors"),
        "fanogan": ("image_residual", "feature_residual"),
    }


def test_the_bundle_describes_the_data(digits_bundle, tiny_digits):
    data = digits_bundle.data
    assert data.name == "digits"
    assert data.source == "sklearn.datasets.load_digits"
    assert data.num_samples == 240
    assert data.class_names == tuple(str(digit) for digit in range(10))
    assert data.class_counts == tuple(np.bincount(tiny_digits.labels).tolist())
    assert len(data.fingerprint) == 64


def test_the_split_is_as_specified(digits_bundle, tiny_digits):
    split = digits_bundle.splits
    sizes = (len(split.train), len(split.val), len(split.calibration))
    assert sizes == (NUM_TRAIN, NUM_VAL, NUM_CALIBRATION)
    assert sorted(np.concatenate([split.train, split.val, split.calibration])) == list(range(240))
    expected = make_split(240, seed=0, labels=tiny_digits.labels)
    assert split == Splits(expected.train, expected.val, expected.calibration)


def test_each_number_comes_from_its_own_part_of_the_data(digits_bundle, tiny_digits):
    split, codes = digits_bundle.splits, digits_bundle.latents
    preprocessing = digits_bundle.preprocessing
    # Codes: of the images that were fitted, in their order.
    np.testing.assert_array_equal(codes.indices, split.train)
    encoder = restore_network(digits_bundle, "encoder")
    encode = BatchInference(lambda x: encoder(x, training=False), (8, 8, 1))
    noise, classes = encode(preprocessing.normalize(tiny_digits.images[split.train]))
    np.testing.assert_array_equal(codes.latents, noise)
    np.testing.assert_array_equal(codes.class_probabilities, classes)
    assert noise.shape == (NUM_TRAIN, 8)
    # The classifier's accuracy: on images it was not fitted on.
    classifier = restore_network(digits_bundle, "classifier")
    logits = classifier(preprocessing.normalize(tiny_digits.images[split.val])).numpy()
    labels = tiny_digits.labels[split.val]
    right = logits.argmax(axis=1) == labels
    told = digits_bundle.metrics.classifier
    assert told == ClassifierAccuracy(float(right.mean()), NUM_VAL, "val", told.by_class)
    for label, value in enumerate(told.by_class):
        assert value == (float(right[labels == label].mean()) if label in labels else None)
    assert digits_bundle.detector.methods[0].calibration.scores.shape == (NUM_CALIBRATION,)


def test_nothing_is_left_undecided(digits_bundle):
    def undecided(values, path=""):
        for key, value in values.items():
            if isinstance(value, dict):
                yield from undecided(value, f"{path}{key}.")
            elif value is None:
                yield path + key

    # Limits and penalties that do not apply, and the rate, which is chosen when images are judged.
    assert set(undecided(digits_bundle.config.to_dict())) == {
        "training.max_minutes",
        "detect.far",
        "discriminator.weight_clip",
        "gan.regularizer_weight",
        "gan.regularizer_interval",
    }
    assert digits_bundle.config.task == "both"
    assert digits_bundle.config.data.size == 8
    resolved = Config.from_yaml(run_folder(digits_bundle) / "config.yaml")
    assert resolved == digits_bundle.config


def test_the_networks_were_really_trained(digits_bundle):
    from augan.bundle import read_weights
    from augan.gan.networks.build import build_network

    for role, network in digits_bundle.networks.items():
        first = read_weights(build_network(network.spec.to_dict()))
        changed = [p for p, w in network.weights.items() if not np.array_equal(w, first[p])]
        assert changed == list(network.weights), role
        assert all(np.isfinite(w).all() for w in network.weights.values())


# ---------------------------------------------------------------- the detector in the bundle


@pytest.mark.parametrize(("index", "method"), [(0, "auto"), (1, "fanogan")])
def test_the_restored_detector_scores_to_the_last_bit(digits_bundle, tiny_digits, index, method):
    stored = digits_bundle.detector.methods[index]
    split = digits_bundle.splits
    pixels = tiny_digits.images
    restored = Detector.from_bundle(load_bundle(digits_bundle.path), method)
    # The scores of the live networks, right after their training, are in the calibration.
    scores = np.sort(restored.score(pixels[split.calibration]))
    np.testing.assert_array_equal(scores, stored.calibration.scores)
    assert len(np.unique(scores)) > 90
    # A detector fitted anew on the validation split is the same one.
    models = {role: restore_network(digits_bundle, role) for role in digits_bundle.networks}
    preprocessing = digits_bundle.preprocessing
    fresh = Detector.fit(method, models, preprocessing, pixels, train=split.train, val=split.val)
    fresh.calibrate(pixels[split.calibration], None)
    np.testing.assert_array_equal(restored.score_components(pixels), fresh.score_components(pixels))
    np.testing.assert_array_equal(restored.maps(pixels), fresh.maps(pixels))
    np.testing.assert_array_equal(restored.calibration.scores, fresh.calibration.scores)
    assert restored.calibration.num_groups == NUM_CALIBRATION
    for name, array in fresh.method.get_state().items():
        np.testing.assert_array_equal(array, stored.state[name])


def test_the_terms_are_standardised_on_the_tune_split(digits_bundle, tiny_digits):
    detector = Detector.from_bundle(digits_bundle)
    terms = detector.score_components(tiny_digits.images[digits_bundle.splits.val])
    assert terms.shape == (NUM_VAL, 3)
    np.testing.assert_allclose(terms.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(terms.std(axis=0), 1, rtol=1e-9)
    np.testing.assert_array_equal(
        detector.score(tiny_digits.images[:9]),
        detector.score_components(tiny_digits.images[:9]).sum(axis=1),
    )


def test_without_groups_the_promise_is_exact(digits_bundle):
    guarantee = Detector.from_bundle(digits_bundle).calibration.guarantee(0.05)
    assert guarantee.exact
    assert (guarantee.n, guarantee.num_groups) == (NUM_CALIBRATION, NUM_CALIBRATION)


# ---------------------------------------------------------------- repeating


def test_the_same_seed_gives_the_same_bundle(digits_bundle, tiny_digits, tiny_config, tmp_path):
    np.random.default_rng().normal()
    listener, stopwatch = Listener(), Stopwatch()
    again = run_training(
        resolve_config(tiny_config, tiny_digits),
        out=tmp_path / "again",
        callbacks=[listener],
        stopwatch=stopwatch,
    )
    for name, network in digits_bundle.networks.items():
        for path, value in network.weights.items():
            np.testing.assert_array_equal(again.networks[name].weights[path], value, err_msg=path)
    for name in ("splits", "latents", "detector", "metrics"):
        assert getattr(again, name) == getattr(digits_bundle, name), name
    assert again.sha256 == digits_bundle.sha256
    assert load_bundle(tmp_path / "again").sha256 == digits_bundle.sha256
    # Whoever listens is told, and a stopwatch from outside is used.
    assert [call[:3] for call in listener.calls] == [
        ("classifier", 5, 1.0),
        ("gan", 20, 1.0),
        ("encoder", 10, 1.0),
    ]
    assert summary(again)["seconds"] == stopwatch.seconds


# ---------------------------------------------------------------- other tasks


def test_generate_has_no_detector_and_spares_no_images(tiny_digits, tiny_config, tmp_path):
    config = tiny_config.replace(
        task="generate", seed=1, training__steps=2, training__store_latents=False
    )
    bundle = train(config, tiny_digits, out=tmp_path / "run")
    splits = bundle.splits
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (216, 24, 0)
    # Without codes to keep, no encoder is needed either.
    assert set(bundle.networks) == {"generator", "discriminator", "classifier"}
    assert bundle.latents is None
    assert bundle.detector is None
    loaded = load_bundle(tmp_path / "run")
    has = {part: loaded.has(part) for part in ("generator", "classes", "detector", "latents")}
    assert has == {"generator": True, "classes": True, "detector": False, "latents": False}


def one_class(tiny_digits, *, groups=False):
    """Every one of 120 digits twice, as photographs of one part are: one class, 240 images."""
    images = np.repeat(np.asarray(tiny_digits.images)[:120], 2, axis=0)
    pairs = [f"part {row // 2}" for row in range(240)]
    return from_arrays(images, ["good"] * 240, name="parts", groups=pairs if groups else None)


@pytest.fixture(scope="module")
def one_class_bundles(tiny_digits, tiny_config, tmp_path_factory):
    """A bundle of `one_class` without groups, and one with them; one keeps no codes."""
    out = tmp_path_factory.mktemp("parts")
    config = tiny_config.replace(training__steps=2)
    return (
        train(
            config.replace(training__store_latents=False),
            one_class(tiny_digits),
            out=out / "without",
        ),
        train(config, one_class(tiny_digits, groups=True), out=out / "with"),
    )


def test_one_class_is_detected_without_classes(one_class_bundles):
    for bundle in one_class_bundles:
        assert bundle.config.task == "detect"
        assert set(bundle.networks) == {
            *("generator", "discriminator", "transformation_head", "rotation"),
            "encoder",  # for f-AnoGAN
        }
        assert "transform_nll" in bundle.detector.methods[0].components
        assert bundle.networks["generator"].spec.arguments["num_classes"] == 0
        assert bundle.has("detector")
        assert not bundle.has("classes")
        assert bundle.metrics.classifier is None
        assert bundle.metrics.steps == {"rotation": 1, "gan": 2, "encoder": 1}


def test_codes_are_kept_only_when_wanted(one_class_bundles):
    without, with_codes = one_class_bundles
    assert not without.has("latents")
    assert with_codes.latents.class_probabilities is None
    assert with_codes.latents.labels is None


def test_a_detector_alone_trains_only_what_it_needs(tiny_digits, tiny_config, tmp_path):
    config = tiny_config.replace(training__steps=1, detect__methods=())
    bundle = train(config, one_class(tiny_digits), out=tmp_path / "run")
    assert set(bundle.networks) == {"generator", "discriminator", "transformation_head", "rotation"}


def test_doubles_across_the_split_are_warned_of(one_class_bundles):
    without, _ = one_class_bundles
    warning, never_measured = without.metrics.warnings
    assert "never measured" in never_measured  # fanogan uses the generator
    assert "calibration images are nearly identical to training images" in warning
    assert "`groups` or `group_by`" in warning
    # The doubt stays with the bundle, and takes the guarantee away wherever it is repeated.
    assert load_bundle(run_folder(without)).detector.doubts == (warning,)
    assert guarantee_void_reason(without) == f"no guarantee: {warning}"
    assert guarantee_sentence(without) == f"no guarantee: {warning}"
    # Their number: calibration images whose double was fitted or tuned on.
    parts = np.asarray(without.splits.calibration) // 2
    alone = sum(count == 1 for count in np.unique(parts, return_counts=True)[1])
    assert alone > 10
    assert warning.startswith(f"{alone} ")
    assert summary(without)["warnings"] == [warning, never_measured]


def test_groups_keep_doubles_together_and_make_the_promise_approximate(one_class_bundles):
    _, grouped = one_class_bundles
    (never_measured,) = grouped.metrics.warnings
    assert "never measured" in never_measured
    assert grouped.detector.doubts == ()
    split = grouped.splits
    parts = [set(np.asarray(rows) // 2) for rows in (split.train, split.val, split.calibration)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 120
    assert len(split.calibration) == 98  # 99 cannot be had from pairs
    calibration = Detector.from_bundle(grouped).calibration
    guarantee = calibration.guarantee(0.05)
    assert not guarantee.exact
    assert (guarantee.n, guarantee.num_groups) == (98, 49)
    assert "approximate" in guarantee.sentence


# ---------------------------------------------------------------- what is decided, and refused


@pytest.mark.parametrize("labels", [None, ["good"] * 6])
def test_both_needs_two_classes(tmp_path, labels):
    dataset = from_arrays(np.zeros((6, 8, 8), np.uint8), labels, name="parts")
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match="--task both needs at least 2") as caught:
        train(Config(task="both"), dataset, out=out)
    assert f"parts has {dataset.num_classes} classes" in str(caught.value)
    assert not out.exists()


@pytest.mark.parametrize(
    ("labels", "task"), [(None, "detect"), (["a"] * 6, "detect"), (["a", "b"] * 3, "both")]
)
def test_the_task_follows_from_the_classes(labels, task):
    dataset = from_arrays(np.zeros((6, 8, 8), np.uint8), labels)
    assert resolve_defaults(Config(), dataset)[0].task == task
    for given in ("generate", "detect"):
        assert resolve_defaults(Config(task=given), dataset)[0].task == given


@pytest.mark.parametrize(
    ("side", "size", "diffaug", "rate", "loss", "norm"),
    [
        (8, 8, (), 1e-3, "nonsaturating", "batch"),
        (12, 16, ("translation",), 4e-4, "hinge", "spectral"),
        (28, 32, ("translation",), 4e-4, "hinge", "spectral"),
        (100, 64, ("translation",), 4e-4, "hinge", "spectral"),
        (200, 64, ("translation",), 4e-4, "hinge", "spectral"),
    ],
)
def test_what_the_size_decides(side, size, diffaug, rate, loss, norm):
    dataset = from_arrays(np.zeros((6, side, side), np.uint8), ["a", "b"] * 3)
    config, preprocessing = resolve_defaults(Config(), dataset)
    assert config.data.size == preprocessing.size == size
    assert (config.gan.diffaug, config.gan.loss) == (diffaug, loss)
    assert config.discriminator.norm == norm
    assert config.generator.learning_rate == config.discriminator.learning_rate == rate
    assert config.training.steps == DEFAULT_STEPS[size]
    assert config.training.max_minutes > 0


@pytest.mark.parametrize(("width", "latent"), [(2, 8), (3, 12), (40, 64)])
def test_tables_train_with_short_codes_and_a_penalty_that_images_do_not_need(width, latent):
    rows = np.random.default_rng(0).normal(size=(30, width)).astype(np.float32)
    gan = resolve_defaults(Config(), from_arrays(as_frame(rows)))[0].gan
    assert (gan.latent_dim, gan.regularizer, gan.regularizer_interval) == (latent, "r1", 1)
    assert gan.betas == (0.0, 0.99)
    for chosen in ("discriminator.norm=batch", "gan.regularizer=none"):
        told = Config().override([chosen])
        assert resolve_defaults(told, from_arrays(as_frame(rows)))[0].gan.regularizer == "none"
    gan = resolve_defaults(Config(), from_arrays(np.zeros((6, 8, 8), np.uint8), ["a", "b"] * 3))[
        0
    ].gan
    assert (gan.latent_dim, gan.regularizer, gan.betas) == (64, "none", (0.5, 0.999))


@pytest.mark.parametrize(
    ("given", "loss", "norm", "rate"),
    [
        ({"discriminator__norm": "batch"}, "hinge", "batch", 2e-4),
        ({"gan__label_smoothing": 0.1}, "nonsaturating", "spectral", 4e-4),
        ({"gan__label_noise": 0.1}, "nonsaturating", "spectral", 4e-4),
        ({"gan__loss": "least_squares"}, "least_squares", "spectral", 4e-4),
    ],
)
def test_what_the_loss_and_the_norm_depend_on(given, loss, norm, rate):
    config, _ = resolve_defaults(
        Config().replace(**given), from_arrays(np.zeros((6, 28, 28), np.uint8))
    )
    assert (config.gan.loss, config.discriminator.norm) == (loss, norm)
    assert config.discriminator.learning_rate == rate


@pytest.mark.parametrize(("n", "diffaug"), [(19_999, ("translation",)), (20_000, ())])
def test_many_images_need_no_augmentation(n, diffaug):
    config, _ = resolve_defaults(Config(), from_arrays(np.zeros((n, 12, 12), np.uint8)))
    assert config.gan.diffaug == diffaug


def test_what_the_user_chose_stays():
    dataset = from_arrays(np.zeros((6, 8, 8), np.uint8), ["a", "b"] * 3)
    chosen = Config().replace(
        task="generate",
        data__size=16,
        gan__architecture="dcgan-upsampling",
        gan__loss="least_squares",
        gan__regularizer="none",
        gan__latent_dim=5,
        gan__betas=(0.4, 0.9),
        gan__diffaug=[],
        gan__negative_augmentations=["scar"],
        gan__self_supervision=True,
        gan__localization_head=False,
        gan__generator_interval=1,
        data__tiling=False,
        discriminator__norm="layer",
        generator__learning_rate=3e-4,
        discriminator__learning_rate=5e-4,
        training__steps=7,
        training__batch_size=6,
        training__dtype="float32",
        evaluation__interval=3,
    )
    assert resolve_defaults(chosen, dataset)[0] == chosen
    large = resolve_defaults(Config().replace(data__size=128), dataset)[0]
    assert (large.data.size, large.training.steps) == (128, DEFAULT_STEPS[128])
    limited = resolve_defaults(Config().replace(training__max_minutes=2.0), dataset)[0]
    assert (limited.training.steps, limited.training.max_minutes) == (None, 2.0)


def test_a_folder_with_something_in_it_is_refused_before_training(tiny_digits, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        train(Config(), tiny_digits, out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_too_few_images_are_refused_before_training(tmp_path):
    dataset = from_arrays(np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(DataError, match="2 images are too few"):
        train(Config(), dataset, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def lone_in_tune():
    """Ten images of which the only validation image is the only one of its class."""
    labels = np.zeros(10, int)
    labels[make_split(10, seed=0).val] = 1
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8), dtype=np.uint8)
    return from_arrays(images, labels)


@pytest.mark.parametrize(
    ("task", "make"),
    [
        ("detect", lone_in_tune),
        ("generate", lambda: lone_in_tune().subset([0, int(make_split(10, seed=0).val[0])])),
    ],
)
def test_when_no_image_is_left_to_tune(task, make, tmp_path):
    # It trains all the same, or says why not before any training; it does not crash after it.
    config = Config().replace(task=task, training__store_latents=False, **SMALLEST)
    try:
        bundle = train(config, make(), out=tmp_path / "run")
    except AuganError:
        assert not (tmp_path / "run").exists()
    else:
        for method in () if bundle.detector is None else bundle.detector.methods:
            assert all(np.isfinite(values).all() for values in method.state.values())


# ---------------------------------------------------------------- unlabeled images


def without_labels(dataset):
    return replace(dataset, labels=None, class_names=())


def with_unlabeled(dataset, n=40, **more):
    """The first `n` of other digits beside `dataset`, without their labels."""
    images = np.asarray(digits("test").images)[:n]
    return replace(dataset, unlabeled=from_arrays(images, name="more"), **more)


@pytest.fixture(scope="module")
def half_labeled(tiny_digits, tmp_path_factory):
    """A bundle of 240 labeled digits, two of which lie among the 42 unlabeled ones too."""
    calibrate = make_split(240, seed=0, labels=tiny_digits.labels).calibration
    images = np.concatenate(
        [np.asarray(digits("test").images)[:40], np.asarray(tiny_digits.images)[calibrate[:2]]]
    )
    dataset = replace(
        tiny_digits,
        unlabeled=from_arrays(images, name="more"),
        warnings=("the folder more is odd",),
    )
    config = Config().replace(**{**SMALLEST, "training__steps": 4})
    return train(config, dataset, out=tmp_path_factory.mktemp("half") / "run")


def test_unlabeled_images_take_no_part_in_any_split(half_labeled, tiny_digits):
    data, split = half_labeled.data, half_labeled.splits
    assert (data.num_samples, data.num_unlabeled) == (240, 42)
    assert data.class_counts == tuple(np.bincount(tiny_digits.labels).tolist())
    expected = make_split(240, seed=0, labels=tiny_digits.labels)
    assert split == Splits(expected.train, expected.val, expected.calibration)
    np.testing.assert_array_equal(half_labeled.latents.indices, split.train)
    assert half_labeled.metrics.classifier.n == NUM_VAL
    assert half_labeled.detector.methods[0].calibration.scores.shape == (NUM_CALIBRATION,)


def test_every_unlabeled_image_got_a_class(half_labeled):
    counts = half_labeled.metrics.pseudo_labels
    assert (counts.n, counts.used, len(counts.class_counts)) == (42, 42, 10)
    assert sum(counts.class_counts) == pytest.approx(42, abs=0.01)
    assert half_labeled.config.gan.pseudo_labels == "soft"


def test_calibration_images_among_the_unlabeled_ones_are_seen(half_labeled):
    odd, doubles, *_ = half_labeled.metrics.warnings
    assert odd == "the folder more is odd"
    assert doubles.startswith("2 calibration images are nearly identical to training images")
    assert " and 40)" in doubles or " and 41)" in doubles


def test_unlabeled_images_count_in_the_hash_of_the_data(tiny_digits, digits_bundle, tmp_path):
    def sha256(dataset):
        squares = PreparedDataset(dataset, np.asarray(dataset.images))
        more = dataset.unlabeled
        data = PreparedData(
            Config(task="both"),
            squares,
            ImagePreprocessing(8, 1, "uint8", 0.0, 255.0),
            make_split(len(dataset), seed=0),
            [],
            None if more is None else PreparedDataset(more, np.asarray(more.images)),
        )
        return data.description.fingerprint

    some, others = with_unlabeled(tiny_digits, 40), with_unlabeled(tiny_digits, 41)
    assert sha256(tiny_digits) == digits_bundle.data.fingerprint
    assert len({sha256(tiny_digits), sha256(some), sha256(others)}) == 3


def test_a_detector_alone_does_not_use_them(tiny_digits, tmp_path):
    normal = without_labels(tiny_digits)
    bright = from_arrays(np.full((9, 30, 30, 3), 255, np.uint8))
    resolved = resolve_config(Config(), replace(normal, unlabeled=bright))
    assert resolved.config.task == "detect"
    assert resolved.dataset.unlabeled is None
    assert resolved.preprocessing == ImagePreprocessing.fit(normal)
    (warning,) = resolved.warnings
    assert "the 9 unlabeled images are not used" in warning
    # Where images are only to be made, those without a class are as good as the others.
    resolved = resolve_config(Config(task="generate"), with_unlabeled(normal))
    assert (resolved.dataset.num_unlabeled, resolved.warnings) == (40, ())


def test_without_classes_they_are_training_images_like_the_others(tiny_digits, tmp_path):
    config = Config(task="generate").replace(training__store_latents=False, **SMALLEST)
    bundle = train(config, with_unlabeled(without_labels(tiny_digits)), out=tmp_path / "run")
    assert bundle.data.num_unlabeled == 40
    assert not bundle.has("classes")
    assert bundle.metrics.pseudo_labels is None


def test_unlabeled_images_of_groups_held_out_are_not_trained_on(tiny_digits):
    dataset = with_unlabeled(tiny_digits.subset(np.arange(20)), 5)
    groups = np.array([str(row // 2) for row in range(20)])
    more = replace(dataset.unlabeled, groups=np.array(["", "0", "3", "5", "9"]))
    split = Split(np.arange(4, 20), np.array([2, 3]), np.array([0, 1]))
    squares = [PreparedDataset(part, np.asarray(part.images)) for part in (dataset, more)]
    data = PreparedData(
        Config(),
        PreparedDataset(replace(dataset, groups=groups), squares[0].pixels),
        ImagePreprocessing(8, 1, "uint8", 0.0, 255.0),
        split,
        [],
        squares[1],
    )
    assert data.unlabeled_indices.tolist() == [20, 22, 23, 24]


def test_a_run_that_exists_is_refused_before_images_are_decoded(tmp_path):
    (tmp_path / "data").mkdir()
    for row in range(12):
        write_png(tmp_path / "data" / f"{row}.png", np.full((8, 8), row, np.uint8))
        whole = (tmp_path / "data" / f"{row}.png").read_bytes()
        (tmp_path / "data" / f"{row}.png").write_bytes(whole[:50])  # its header is there
    dataset = load_dataset(tmp_path / "data")
    with pytest.raises(DataError, match="cannot be read"):
        train(Config(), dataset, out=tmp_path / "new")
    with pytest.raises(DataError, match="exists already"):
        train(Config(), dataset, out=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["dcgan", "mlp"])
def test_squares_of_128_pixels_from_end_to_end(architecture, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 150, 120, 3), np.uint8)
    more = from_arrays(rng.integers(0, 256, (5, 90, 200), np.uint8))
    dataset = replace(from_arrays(images, np.arange(24) % 2), unlabeled=more)
    small = {**SMALLEST, "training__steps": 20, "gan__architecture": architecture}
    small["detect__method"] = "fanogan"  # which has pictures to compare
    bundle = train(
        Config(task="both").replace(data__size=128, **small), dataset, out=tmp_path / "run"
    )
    assert bundle.metrics.steps == {"classifier": 5, "gan": 20, "encoder": 10}
    assert bundle.data.num_unlabeled == 5
    detector = Detector.from_bundle(load_bundle(tmp_path / "run"))
    again = detector.reconstruct(detector.preprocessing.prepare_all(images[:2]))
    assert again.shape == (2, 128, 128, 3)
    assert np.isfinite(detector.score(detector.preprocessing.prepare_all(images))).all()


@pytest.mark.parametrize(
    ("config", "data", "said"),
    [
        ({}, None, "config must be an augan.Config, got dict"),
        (Config(), "digits", "dataset must be an augan.Dataset, got str"),
    ],
)
def test_what_is_no_config_and_no_dataset_is_refused(
    config: object, data: object, said: str
) -> None:
    with pytest.raises(AuganError, match=said):
        train(config, data)
