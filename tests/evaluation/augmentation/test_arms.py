"""What draws hold, what each arm makes of them, and what test images may not have been seen."""

import json
from dataclasses import replace

import numpy as np
import pytest

from augan.config import Config
from augan.data.datasets import digits
from augan.evaluation.augmentation.arms import ARMS, add_synthetic
from augan.evaluation.augmentation.classifiers import logistic
from augan.evaluation.augmentation.data import find_leakage
from augan.evaluation.augmentation.experiment import select_synthetic_fraction
from augan.evaluation.augmentation.gan_arms import GAN_ARMS
from augan.evaluation.augmentation.protocol import EvaluationProtocol, classification_metrics
from augan.evaluation.augmentation.results_log import PredictionLog
from augan.evaluation.augmentation.subsets import LabelPool, SubsetSpec, sample_subset
from augan.evaluation.augmentation.synthetic import DEFAULT_PER_CLASS, GanArm, generate_synthetic
from augan.exceptions import ConfigError, DataError

NAMES = ("cat", "dog", "emu")


def scale(stored):
    return stored.astype(np.float32) / 127.5 - 1


@pytest.fixture
def pool():
    """30 images of each of three classes: the class shows in the brightness."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 30)
    images = rng.integers(0, 60, (90, 8, 8, 1)) + 80 * labels[:, None, None, None]
    return LabelPool(images.astype(np.uint8), labels, NAMES)


@pytest.fixture
def draw(pool):
    return sample_subset(pool, SubsetSpec(labels_per_class=12, rare={"emu": 3}), seed=0, repeat=0)


class Copies:
    """Returns copies of what it is given."""

    def __init__(self, times=2, change=lambda X, y: (X, y)):
        self.times, self.change = times, change

    def fit_resample(self, X, y):
        self.given = X, y
        known = y >= 0
        more = np.repeat(X[known], self.times, axis=0), np.repeat(y[known], self.times)
        return self.change(np.concatenate([X, more[0]]), np.concatenate([y, more[1]]))


def arm_of(sampler, **options):
    return GanArm("test", lambda draw: sampler, **options)


def test_a_draw_holds_what_was_asked_and_nothing_twice(pool):
    recipe = SubsetSpec(labels_per_class=12, rare={"emu": 3, "0": 5}, rest_unlabeled=True)
    draw = sample_subset(pool, recipe, seed=0, repeat=4)
    assert np.bincount(draw.labels).tolist() == [5, 12, 3]
    assert len(np.unique(draw.indices)) == 20
    assert np.array_equal(draw.images, pool.images[draw.indices])
    assert np.array_equal(draw.labels, pool.labels[draw.indices])
    assert draw.unlabeled is not None
    assert len(draw.unlabeled) == 70
    together = np.concatenate([draw.images, draw.unlabeled])
    assert sorted(map(bytes, together)) == sorted(map(bytes, pool.images))


def test_draws_differ_but_for_their_number(pool):
    recipe = SubsetSpec(labels_per_class=10)
    first, again, other = (sample_subset(pool, recipe, 0, number) for number in (0, 0, 1))
    assert np.array_equal(first.indices, again.indices)
    assert first.seed == again.seed
    assert not np.array_equal(first.indices, other.indices)
    assert first.seed != other.seed


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (
            SubsetSpec(labels_per_class=0),
            "--labels-per-class must be 2 or more labeled images of a class, but is 0",
        ),
        (SubsetSpec(labels_per_class=1), "must be 2 or more .* but is 1"),
        (SubsetSpec(rare={"dog": -3}), "--rare dog must be 2 or more .* but is -3"),
        (SubsetSpec(rare={"dgo": 3}), "the classes are: cat, dog, emu; did you mean dog"),
        (SubsetSpec(labels_per_class=31), "the class cat has 30 training images, but 31"),
        (SubsetSpec(rare={"dog": 3, "1": 4}), "--rare dog and --rare 1 both mean the class dog"),
    ],
)
def test_impossible_draws_are_refused(pool, recipe, words):
    with pytest.raises((ConfigError, DataError), match=words):
        sample_subset(pool, recipe, 0, 0)


def test_a_class_with_one_real_image_is_refused(pool):
    alone = LabelPool(pool.images[:31], pool.labels[:31], NAMES[:2])
    with pytest.raises(DataError, match=r"the class dog has 1 training image, but 2.*add images$"):
        sample_subset(alone, SubsetSpec(), 0, 0)


def by_class(lesson, values):
    return np.bincount(lesson.labels, values, minlength=3)


def test_arms_give_each_class_its_share(draw):
    judge = logistic(scale)
    lessons = {name: arm.build(draw, "shift", judge) for name, arm in ARMS.items()}
    for lesson in lessons.values():
        assert lesson.probabilities.sum() == pytest.approx(1)
        assert len(lesson.images) == len(lesson.labels) == len(lesson.probabilities)
        assert lesson.num_real == 27
    counts = np.array([12, 12, 3]) / 27
    uneven = ("real", "classic", "class-weights")
    for name in uneven:
        assert by_class(lessons[name], lessons[name].probabilities) == pytest.approx(counts)
    for name in set(lessons) - set(uneven):
        assert by_class(lessons[name], lessons[name].probabilities) == pytest.approx([1 / 3] * 3)
    weighed = lessons["class-weights"]
    assert by_class(weighed, weighed.probabilities * weighed.weights) == pytest.approx([1 / 3] * 3)
    assert [name for name, lesson in lessons.items() if lesson.transform == "none"] == ["real"]
    assert [name for name, lesson in lessons.items() if lesson.mixup] == ["mixup"]


def test_smote_fills_up_with_images_between_real_ones(draw):
    lesson = ARMS["smote"].build(draw, "shift", logistic(scale))
    assert np.bincount(lesson.labels).tolist() == [12, 12, 12]
    assert np.array_equal(lesson.images[:27], draw.images)
    made, real = lesson.images[27:], draw.images[draw.labels == 2]
    assert lesson.images.dtype == np.uint8
    assert (made >= real.min(axis=0)).all()
    assert (made <= real.max(axis=0)).all()


def test_pixels_vary_as_those_of_other_classes_do(draw):
    lesson = ARMS["pixel-transfer"].build(draw, "shift", logistic(scale))
    assert np.bincount(lesson.labels).tolist() == [12, 12, 12]
    made, real = (images[:].astype(float) for images in (lesson.images[27:], draw.images))
    own, other = real[draw.labels == 2], real[draw.labels < 2]
    assert len(np.unique(made, axis=0)) == 9
    # Noise of another class, of which 0.6 times a difference adds 0.72 of the variance.
    assert made.var(axis=0).mean() > own.var(axis=0).mean()
    assert np.abs(made.mean() - own.mean()) < 0.2 * np.abs(other.mean() - own.mean())


def test_pixels_vary_in_every_class_where_none_is_rarer(pool):
    alike = sample_subset(pool, SubsetSpec(labels_per_class=6, rest_unlabeled=True), 0, 0)
    for name in ("pixel-transfer", "consistency-transfer"):
        lesson = ARMS[name].build(alike, "shift", logistic(scale))
        assert np.bincount(lesson.labels[18:]).tolist() == [DEFAULT_PER_CLASS] * 3
        assert lesson.probabilities[18:].sum() == pytest.approx(0.5)
        assert (lesson.unlabeled is None) == (name == "pixel-transfer")


@pytest.mark.parametrize("method", GAN_ARMS)
def test_the_gan_arm_and_its_control_make_as_many_of_each_class(method, pool, draw):
    alike = sample_subset(pool, SubsetSpec(labels_per_class=6), 0, 0)
    for one, wanted in (
        (draw, {2: 12}),
        (alike, {0: 6 + DEFAULT_PER_CLASS, 1: 6 + DEFAULT_PER_CLASS, 2: 6 + DEFAULT_PER_CLASS}),
    ):
        assert GAN_ARMS[method]().make_sampler(one).sampling_strategy == wanted
        counts = np.bincount(ARMS["pixel-transfer"].build(one, "none", logistic(scale)).labels)
        assert {label: int(counts[label]) for label in wanted} == wanted


def test_self_training_learns_what_its_teacher_is_sure_of(pool):
    draw = sample_subset(pool, SubsetSpec(labels_per_class=6, rest_unlabeled=True), 0, 0)
    lesson = ARMS["self-training"].build(draw, "none", logistic(scale))
    guessed = lesson.labels[18:]
    assert len(guessed) > 40
    truth = {bytes(image): label for image, label in zip(pool.images, pool.labels)}
    right = [truth[bytes(image)] == label for image, label in zip(lesson.images[18:], guessed)]
    assert np.mean(right) > 0.95
    assert lesson.probabilities[:18].sum() == pytest.approx(0.5)


def test_a_teacher_looks_at_images_from_the_whole_of_many(pool, monkeypatch):
    monkeypatch.setattr("augan.evaluation.augmentation.arms.MAX_PSEUDO_LABELED", 24)
    draw = sample_subset(pool, SubsetSpec(labels_per_class=6), 0, 0)
    by_class = replace(draw, unlabeled=pool.images[np.argsort(pool.labels, kind="stable")])
    lesson = ARMS["self-training"].build(by_class, "none", logistic(scale))
    assert set(lesson.labels[18:]) == {0, 1, 2}


def test_mixup_draws_classes_as_often_as_oversampling_does(draw):
    judge, masses = logistic(scale), []
    for seed in range(40):  # partners are drawn by chance
        _, labels, weights = judge._weighted_rows(ARMS["mixup"].build(draw, "none", judge), seed)
        masses.append(np.bincount(labels, weights, minlength=3) / weights.sum())
    assert np.mean(masses, axis=0) == pytest.approx([1 / 3] * 3, abs=0.02)


def test_consistency_gets_the_unlabeled_images(pool):
    draw = sample_subset(pool, SubsetSpec(labels_per_class=6, rest_unlabeled=True), 0, 0)
    lesson = ARMS["consistency"].build(draw, "none", logistic(scale))
    assert lesson.unlabeled is draw.unlabeled
    assert len(lesson.labels) == 18


def test_synthetic_images_take_their_share_of_their_classes_only(draw):
    base = ARMS["oversampling"].build(draw, "shift", logistic(scale))
    images, labels = np.zeros((50, 8, 8, 1), np.uint8), np.full(50, 2)
    lesson = add_synthetic(base, images, labels, 0.25)
    assert by_class(lesson, lesson.probabilities) == pytest.approx([1 / 3] * 3)
    assert lesson.probabilities[27:].sum() == pytest.approx(0.25 / 3)
    assert lesson.probabilities[:27][draw.labels != 2] == pytest.approx(
        base.probabilities[draw.labels != 2]
    )
    assert add_synthetic(base, images, labels, 0.0) is base
    assert add_synthetic(base, images[:0], labels[:0], 0.5) is base


def test_synthetic_images_weigh_as_much_as_their_class(draw):
    base = ARMS["class-weights"].build(draw, "shift", logistic(scale))
    lesson = add_synthetic(base, draw.images, draw.labels, 0.5)
    assert by_class(lesson, lesson.probabilities * lesson.weights) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, y: (X[::-1], y), "changed or moved"),
        (lambda X, y: (X.astype(np.float32), y), "of the same type and size"),
        (lambda X, y: (X, y[:-1]), "of the same type and size"),
        (lambda X, y: (X, np.concatenate([y[:-1], [7]])), "classes 0 to 7"),
    ],
)
def test_a_sampler_that_does_something_else_is_refused(draw, change, words):
    with pytest.raises(DataError, match=words):
        generate_synthetic(arm_of(Copies(change=change)), draw)


@pytest.mark.parametrize("name", GAN_ARMS)
def test_minutes_do_not_end_the_training_of_what_is_judged(name, draw):
    config = Config().override(["training.max_minutes=5", "generator.width=4"])
    given = GAN_ARMS[name](None, config).make_sampler(draw).config
    assert (given.training.max_minutes, given.generator.width) == (None, 4)
    assert GAN_ARMS[name](7, None).make_sampler(draw).config is None


def test_the_ablation_is_the_base_without_synthetic_images(pool, draw):
    trial = EvaluationProtocol(logistic(scale), "shift", arm_of(Copies()), pool.images)
    lessons = {arm: trial.training_set(arm, draw) for arm in ("oversampling", "ablation", "gan")}
    assert len(lessons["gan"][0].labels) == 3 * 27
    assert len(lessons["gan"][1][1]) == 54
    for field in ("images", "labels", "probabilities", "weights"):
        one, other = (getattr(lessons[arm][0], field) for arm in ("oversampling", "ablation"))
        assert np.array_equal(one, other)
    with pytest.raises(ConfigError, match="unknown arm 'dagan'; choose from real"):
        trial.training_set("dagan", draw)


def test_figures_of_a_small_case():
    found = classification_metrics(np.array([0, 0, 1, 0]), np.array([0, 0, 1, 1]), 2)
    assert found["recall"] == [1.0, 0.5]
    assert found["balanced_accuracy"] == found["accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_selection_takes_no_synthetic_image_that_does_not_help(pool):
    """Images of the wrong class are of no use, and copies are of no more use than none."""
    draw = sample_subset(pool, SubsetSpec(labels_per_class=8), 0, 0)
    wrong = Copies(
        change=lambda X, y: (X, np.concatenate([y[: len(y) // 3], 2 - y[len(y) // 3 :]]))
    )
    trial = EvaluationProtocol(logistic(scale), "none", arm_of(wrong), pool.images[:0])
    assert (
        select_synthetic_fraction(trial, (arm_of(wrong), arm_of(Copies())), draw).synthetic_fraction
        == 0.0
    )


def test_equal_and_nearly_equal_test_images_are_found():
    images = np.asarray(digits().images)
    seen, test = images[:200], images[300:340].copy()
    test[3], test[7] = seen[11], seen[150]
    nearly = seen[20].astype(np.int64)
    nearly[2, 2] += 1 if nearly[2, 2].max() < 255 else -1
    test[9] = nearly.astype(np.uint8)
    rows = np.setdiff1d(np.arange(200), [150])  # row 150 is not among what was seen
    found = find_leakage(seen, rows, test)
    assert found.duplicates == [(3, 11)]
    assert [(place, row) for place, row, _ in found.near_duplicates] == [(9, 20)]
    assert found.near_duplicates[0][2] > 0.999


def test_a_journal_goes_on_after_a_cut_off_line(tmp_path):
    said = np.array([3, 0, 65535])
    journal = PredictionLog(tmp_path / "out", {"seed": 0})
    journal.add(0, "real", said, {"accuracy": 0.5})
    journal.add(0, "gan", said + 0, {})
    journal.close()
    path = tmp_path / "out" / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    journal = PredictionLog(tmp_path / "out", {"seed": 0})
    assert np.array_equal(journal.get(0, "real"), said)
    assert journal.metadata(0, "real") == {"accuracy": 0.5}
    assert journal.get(0, "gan") is None
    journal.add(0, "gan", said, {})
    journal.close()
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert len(PredictionLog(tmp_path / "out", {"seed": 0})) == 2


def test_a_journal_of_something_else_is_refused(tmp_path):
    out = tmp_path / "out"
    journal = PredictionLog(out, {"seed": 0, "data": "a"})
    with pytest.raises(DataError, match="another evaluation is writing"):
        PredictionLog(out, {"seed": 0, "data": "a"})
    journal.close()
    with pytest.raises(ConfigError, match="seed: 0 then, 1 now"):
        PredictionLog(out, {"seed": 1, "data": "a"})
    with pytest.raises(DataError, match="the data has changed"):
        PredictionLog(out, {"seed": 0, "data": "b"})
    with pytest.raises(DataError, match="holds other files"):
        PredictionLog(tmp_path, {"seed": 0})
    (out / "predictions.jsonl").write_text('{"identity": 3}\n')
    with pytest.raises(DataError, match="is damaged"):
        PredictionLog(out, {"seed": 0})
