"""`augan evaluate augmentation` from data to sentence: what it finds, keeps, refuses and prints."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augan import choices
from augan.data.datasets import digits
from augan.evaluation.augmentation.api import evaluate_augmentation
from augan.evaluation.augmentation.arms import select_arms
from augan.evaluation.augmentation.data import load_evaluation_data
from augan.evaluation.augmentation.protocol import EvaluationProtocol
from augan.evaluation.augmentation.synthetic import GanArm
from augan.exceptions import ConfigError, DataError, RunInterruptedError
from augan.io.images import write_png
from augan.report.html.augmentation_evaluation import write_augmentation_evaluation_page
from augan.report.text import format_augmentation_evaluation
from augan.training.defaults import native_dtype
from augan_cli.main import app
from tests._browser import loaded, needs_browser

ARMS = ["real", "oversampling"]
CLASSES = (0, 1, 8)


def folder_of_digits(root, train=12, test=8, unlabeled=0):
    """Write digits of three classes: `train/`, `test/` and perhaps `unlabeled/`."""
    of = digits()
    labels, images = np.asarray(of.labels), np.asarray(of.images)
    for label in CLASSES:
        rows = np.flatnonzero(labels == label)
        parts = {f"train/{label}": rows[:train], f"test/{label}": rows[train : train + test]}
        parts["unlabeled"] = rows[train + test : train + test + unlabeled]
        for place, some in parts.items():
            for row in some:
                (root / place).mkdir(parents=True, exist_ok=True)
                write_png(root / place / f"{row}.png", images[row])
    return root


@pytest.fixture
def data(tmp_path):
    return folder_of_digits(tmp_path / "digits")


class FunctionSampler:
    """Appends the images and labels of a function, and counts its calls."""

    def __init__(self, generate):
        self.generate, self.calls, self.stop_at = generate, 0, None

    def fit_resample(self, X, y):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        images, labels = self.generate(X, y)
        return np.concatenate([X, images]), np.concatenate([y, labels])


def noise(X, y):
    return np.random.default_rng(0).integers(0, 255, X.shape).astype(np.uint8), y


def oracle(X, y):
    """Real images of neither the subset nor the test: no generator could do better."""
    of = digits()
    labels = np.asarray(of.labels)
    rows = [np.flatnonzero(labels == label)[80:] for label in CLASSES]
    chosen = np.concatenate(rows)
    return np.asarray(of.images)[chosen], np.searchsorted(CLASSES, labels[chosen])


def evaluate(data, out, generate=noise, **options):
    sampler = generate if isinstance(generate, FunctionSampler) else FunctionSampler(generate)
    settings = {
        "labels_per_class": 6,
        "rare": {"8": 2},
        "repeats": 5,
        "arms": ARMS,
        "classifier": "logistic",
    }
    gan = GanArm("test", lambda subset: sampler)
    return evaluate_augmentation(
        data, EvaluationProtocol(gan=gan, **{**settings, **options}), out=out
    )


@pytest.mark.slow
def test_gain_of_real_images_is_significant_and_of_noise_is_not(tmp_path):
    data = folder_of_digits(tmp_path / "digits", train=20, test=60)
    result = evaluate(data, tmp_path / "a", oracle, labels_per_class=3, rare={}, repeats=8)
    assert result.is_significant
    assert result.sentence.startswith(f"gain of {100 * result.summary['gain']:+.1f} points [")
    assert result.sentence.endswith("on new images like these")
    assert 0 < result.summary["low"] <= result.summary["gain"] <= result.summary["high"] < 0.5
    worse = evaluate(data, tmp_path / "b", noise, labels_per_class=3, rare={}, repeats=8)
    assert not worse.is_significant
    assert worse.sentence.startswith("no evidence of benefit")


def test_evaluation_writes_all_results_of_all_arms(data, tmp_path):
    result = evaluate(data, tmp_path / "out", arms=None)
    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert kept == json.loads(json.dumps(result.to_dict()))
    names = [row["arm"] for row in result.arms]
    without_unlabeled = [arm.name for arm in choices.ARMS if not arm.uses_unlabeled]
    assert names == [*without_unlabeled, "gan", "ablation"]
    by_name = {row["arm"]: row for row in result.arms}
    assert by_name["ablation"]["by_repeat"] == by_name["oversampling"]["by_repeat"]
    assert result.summary["class_counts"] == [6, 6, 2]
    assert result.summary["settings"]["transform"] == "shift"
    assert result.summary["settings"]["dtype"] == native_dtype()
    with Image.open(tmp_path / "out" / "preview.png") as picture:
        assert picture.size[0] > picture.size[1]
    page = write_augmentation_evaluation_page(result).read_text()
    assert result.sentence[1:] in page
    assert page.count('<div class="dots"') == len(names)
    assert native_dtype() in page
    assert "data:image/png;base64," in page
    assert "http:" not in page
    assert "https:" not in page
    assert format_augmentation_evaluation(result)[-1] == result.sentence


@needs_browser
@pytest.mark.slow
def test_report_has_no_errors_in_a_browser(data, tmp_path):
    page = write_augmentation_evaluation_page(evaluate(data, tmp_path / "out"))
    assert "No evidence of benefit" in loaded(page, tmp_path / "profile")


@pytest.mark.slow
def test_unlabeled_images_add_arms_and_a_second_gain(tmp_path):
    data = folder_of_digits(tmp_path / "digits", unlabeled=20)
    result = evaluate(data, tmp_path / "out", arms=["oversampling", "self-training"])
    assert result.summary["num_unlabeled"] == 60
    gain = result.summary["gain_over_labeled_only"]
    assert gain["best_baseline"] == "oversampling"
    assert gain["value"] >= result.summary["gain"]
    assert any("not a fair comparison" in line for line in format_augmentation_evaluation(result))
    assert {row["arm"]: row["uses_unlabeled"] for row in result.arms} == {
        "oversampling": False,
        "self-training": True,
        "gan": True,
        "ablation": False,
    }
    alone = evaluate(data, tmp_path / "more", rest_unlabeled=True, arms=["self-training"])
    assert alone.summary["num_unlabeled"] == 60 + 36 - 14


def test_baselines_without_unlabeled_images_are_refused(tmp_path):
    data = folder_of_digits(tmp_path / "digits", unlabeled=20)
    with pytest.raises(ConfigError, match="add self-training to `arms`"):
        evaluate(data, tmp_path / "out", arms=["real", "oversampling"])


def test_rest_unlabeled_without_rest_warns(data, tmp_path):
    result = evaluate(
        data, tmp_path / "out", arms=None, labels_per_class=12, rare={}, rest_unlabeled=True
    )
    assert "self-training" not in [row["arm"] for row in result.arms]
    assert any("--rest-unlabeled has no effect" in text for text in result.summary["warnings"])


@pytest.mark.parametrize("left", [0, 1])
def test_a_class_needs_two_test_images(data, tmp_path, left):
    for path in sorted((data / "test" / "8").iterdir())[left:]:
        path.unlink()
    words = "fewer than 2 of 8" if left else "there is no image|show no 8"
    with pytest.raises(DataError, match=words):
        evaluate(data, tmp_path / "out")


def test_unreadable_files_are_counted_once(tmp_path):
    data = folder_of_digits(tmp_path / "digits", train=35, test=0) / "train"
    for number in range(3):
        (data / "8" / f"empty{number}.png").touch()
    result = evaluate(data, tmp_path / "out", test_size=0.2)
    assert result.summary["num_test"] == 21
    assert any(text.startswith("3 files could not be read") for text in result.summary["warnings"])


def test_finished_arms_are_printed_unless_silent(data, tmp_path, capsys):
    options = {"arms": ["real"], "repeats": 2}
    evaluate(data, tmp_path / "a", **options, synthetic_fraction=0.0)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("repeat ")]
    assert [line.split()[:3] for line in lines] == [
        ["repeat", f"{number}/2", arm] for number in (1, 2) for arm in ("real", "gan", "ablation")
    ]
    protocol = EvaluationProtocol(
        classifier="logistic", rare={"8": 2}, synthetic_fraction=0.0, **options
    )
    calls = []
    evaluate_augmentation(
        data,
        protocol,
        out=tmp_path / "b",
        verbose=0,
        callback=lambda repeat, arm, metrics: calls.append((repeat, arm)),
    )
    assert capsys.readouterr().err == ""
    assert len(calls) == 6


def test_base_arm_is_always_a_baseline(data, tmp_path):
    """Compared with `real` alone, a sampler without images would gain by the balanced classes."""

    def nothing(X, y):
        return X[:0], y[:0]

    options = {"labels_per_class": 10, "rare": {"8": 2}, "repeats": 5}
    result = evaluate(data, tmp_path / "out", nothing, arms=["real"], **options)
    behind = {row["arm"]: row["gan_minus_arm"] for row in result.arms}
    assert behind["real"]["value"] > 0.02
    assert behind["ablation"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert (result.summary["gain"], result.summary["best_baseline"]) == (0.0, "ablation")
    assert not result.is_significant
    assert "against oversampling + classic" in result.sentence


@pytest.mark.slow
def test_base_arm_with_unlabeled_images_is_consistency(tmp_path):
    data = folder_of_digits(tmp_path / "digits", unlabeled=20)
    options = {
        "labels_per_class": 6,
        "repeats": 2,
        "steps": 3,
        "gan_steps": 2,
        "arms": ["oversampling"],
    }
    result = evaluate_augmentation(data, EvaluationProtocol(**options), out=tmp_path / "out")
    assert result.summary["settings"]["base"] == "consistency"
    rows = {row["arm"]: row["label"] for row in result.arms}
    assert list(rows) == ["oversampling", "gan", "ablation"]
    assert rows["ablation"].startswith("oversampling + classic + consistency")
    options |= {"steps": None, "classifier": "forest", "arms": ["self-training"]}
    forest = evaluate_augmentation(data, EvaluationProtocol(**options), out=tmp_path / "more")
    assert forest.summary["settings"]["base"] == "oversampling"


@pytest.mark.slow
def test_interrupted_evaluation_continues_with_the_same_result(data, tmp_path):
    complete = evaluate(data, tmp_path / "complete")
    sampler = FunctionSampler(noise)
    sampler.stop_at = 3
    with pytest.raises(RunInterruptedError, match="10 of 20 arms are finished"):
        evaluate(data, tmp_path / "out", sampler)
    assert sampler.calls == 3
    sampler.stop_at = None
    again = evaluate(data, tmp_path / "out", sampler)
    assert sampler.calls == 3 + 3  # finished repeats do not run again
    for one in (complete, again):
        one.summary.pop("out")
    assert again.to_dict() == complete.to_dict()
    more = evaluate(
        data, tmp_path / "out", sampler, repeats=6
    )  # more repeats continue the evaluation
    assert (more.summary["num_repeats"], sampler.calls) == (6, 7)
    sampler.stop_at = 8
    with pytest.raises(
        RunInterruptedError, match="19 of 24 arms are finished"
    ):  # of the requested arms
        evaluate(data, tmp_path / "out", sampler, repeats=8, arms=["real"])


def test_tune_fraction_rejects_harmful_images(data, tmp_path):
    result = evaluate(data, tmp_path / "out", tune_fraction=True, rare={}, repeats=2)
    assert result.summary["selected"] == [{"gan": "test", "synthetic_fraction": 0.0}] * 2
    assert "2 repeats say little" in result.summary["warnings"][0]
    assert (
        "selected: test, synthetic fraction 0%, in 2 of 2 repeats"
        in write_augmentation_evaluation_page(result).read_text()
    )
    assert not result.is_significant


def test_duplicates_in_the_test_are_refused_or_dropped(data, tmp_path):
    twin = sorted((data / "train" / "1").iterdir())[0]
    (data / "test" / "1" / "twin.png").write_bytes(twin.read_bytes())
    everything = {"labels_per_class": None, "rare": {}}
    with pytest.raises(DataError, match=r"1 of the 25 test images equal .* `drop_duplicates`"):
        evaluate(data, tmp_path / "out", **everything)
    result = evaluate(data, tmp_path / "out", drop_duplicates=True, **everything)
    assert (result.summary["num_test"], result.summary["num_dropped_duplicates"]) == (24, 1)


def test_dropped_duplicates_do_not_depend_on_the_repeats(data, tmp_path):
    for label in ("0", "1", "8"):
        for twin in sorted((data / "train" / label).iterdir())[:4]:
            (data / "test" / label / f"twin{twin.name}").write_bytes(twin.read_bytes())
    options = {"labels_per_class": 2, "rare": {}, "drop_duplicates": True}
    few = evaluate(data, tmp_path / "out", repeats=2, **options)
    more = evaluate(data, tmp_path / "out", repeats=6, **options)  # continues with the same images
    assert few.summary["num_dropped_duplicates"] == more.summary["num_dropped_duplicates"] == 12


def test_near_duplicates_are_listed_and_excluded_from_a_second_gain(data, tmp_path):
    twin = sorted((data / "train" / "1").iterdir())[0]
    with Image.open(twin) as picture:
        pixels = np.asarray(picture).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(data / "test" / "1" / "near.png")
    result = evaluate(data, tmp_path / "out", labels_per_class=None, rare={})
    (pair,) = result.summary["near_duplicates"]
    assert (Path(pair["test"]).name, Path(pair["train"]).name) == ("near.png", twin.name)
    assert result.summary["without_near_duplicates"]["best_baseline"] in ARMS
    assert any("resembles" in line for line in format_augmentation_evaluation(result))


def test_fraction_zero_generates_no_images(data, tmp_path):
    sampler = FunctionSampler(noise)
    result = evaluate(data, tmp_path / "out", sampler, synthetic_fraction=0.0)
    assert sampler.calls == 0
    assert (result.summary["gain"], result.is_significant) == (0.0, False)
    assert result.sentence[1:] in write_augmentation_evaluation_page(result).read_text()


def test_test_size_splits_a_folder(tmp_path):
    data = folder_of_digits(tmp_path / "digits", train=20, test=0) / "train"
    result = evaluate(data, tmp_path / "out", test_size=0.25)
    assert result.summary["num_test"] == 15
    assert result.summary["num_test_groups"] is None


def grouped(data, size):
    """Write a table in which images of a class that follow each other show one thing."""
    lines = ["path,group"]
    for place in sorted({path.parent for path in data.rglob("*.png")}):
        for row, path in enumerate(sorted(place.iterdir())):
            lines.append(f"{path.relative_to(data)},{path.parent.name} {row // size}")
    (data / "groups.csv").write_text("\n".join(lines))
    return data / "groups.csv"


def test_groups_are_not_split_and_are_counted(tmp_path):
    data = folder_of_digits(tmp_path / "digits", train=20, test=0, unlabeled=9) / "train"
    (tmp_path / "digits" / "unlabeled").rename(data / "unlabeled")
    groups = grouped(data, 4)
    result = evaluate(data, tmp_path / "out", groups=groups, test_size=0.25, arms=None)
    assert result.summary["num_test"] <= 15
    number = result.summary["num_test_groups"]
    assert number == result.summary["num_test"] / 4
    assert any(
        f"test images of {number} groups" in line for line in format_augmentation_evaluation(result)
    )
    loaded = load_evaluation_data(data, 0.25, None, 0, groups)
    known = dict(line.split(",") for line in groups.read_text().splitlines()[1:])
    tested, seen = ({known[name] for name in names} for names in (loaded.test_names, loaded.names))
    assert tested == set(loaded.test_groups)
    assert not tested & seen


def test_unlabeled_images_of_test_groups_are_excluded(tmp_path):
    data = folder_of_digits(tmp_path / "digits", train=12, unlabeled=8)
    lines = [f"{path.relative_to(data)},{path.stem}" for path in data.rglob("t*/*/*.png")]
    tested = sorted((data / "test" / "1").iterdir())[0].stem
    hidden = sorted((data / "unlabeled").iterdir())
    lines += [f"{path.relative_to(data)},{tested}" for path in hidden[:5]]
    (data / "groups.csv").write_text("\n".join(["path,group", *lines]))
    loaded = load_evaluation_data(data, None, None, 0, data / "groups.csv")
    assert len(loaded.pool.unlabeled) == len(hidden) - 5
    (data / "groups.csv").write_text(
        "\n".join(["path,group", *(f"{x.split(',')[0]},one" for x in lines)])
    )
    with pytest.raises(DataError, match="have 1 group in common, for example one"):
        load_evaluation_data(data, None, None, 0, data / "groups.csv")


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", "augmentation", *map(str, arguments)])


def only_training(data):
    return data / "train"


def no_eights(data):
    for path in (data / "test" / "8").iterdir():
        path.unlink()
    (data / "test" / "8").rmdir()
    return data


def an_unknown_class(data):
    (data / "test" / "8").rename(data / "test" / "zebra")
    return data


def one_eight(data):
    for path in sorted((data / "train" / "8").iterdir())[1:]:
        path.unlink()
    return data


def flat(data):
    return data / "train" / "8"


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (None, ["--rare", "9=3"], "there is no class '9'; the classes are: 0, 1, 8"),
        (None, ["--rare", "8:3"], "--rare takes CLASS=N"),
        (None, ["--rare", "8=3", "--rare", "8=4"], "twice"),
        (None, ["--labels-per-class", "0"], "--labels-per-class must be 2 or more"),
        (None, ["--labels-per-class", "99"], "has 12 training images, but 99"),
        (None, ["--repeats", "1"], "--repeats must be 2 or more"),
        (None, ["--test-size", "0.3"], "has test images already"),
        (None, ["--arms", "mixup,dagan"], "unknown arm 'dagan'"),
        (None, ["--arms", "gan"], "name at least one arm"),
        (None, ["--arms", "self-training"], "needs unlabeled images"),
        (None, ["--classifier", "svm"], "unknown classifier 'svm'"),
        (None, ["--steps", "5"], "--steps requires --classifier cnn"),
        (None, ["--transform", "wild"], "unknown transform 'wild'"),
        (None, ["--synthetic-fraction", "1.5"], "--synthetic-fraction must lie between 0 and 1"),
        (
            None,
            ["--synthetic-fraction", "0.5", "--tune-fraction"],
            "--tune-fraction selects the synthetic fraction",
        ),
        (None, ["--gan-steps", "0"], "--gan-steps must be 1 or more, but is 0"),
        (None, ["--steps", "-5"], "--steps must be 1 or more, but is -5"),
        (None, ["--model", "nowhere"], "nowhere"),
        (only_training, [], "hold out a fraction of the images with --test-size 0.3"),
        (only_training, ["--test-size", "1"], "--test-size must lie between 0 and 1"),
        (only_training, ["--test-size", "0.95"], "the class 0 has 12 images"),
        (no_eights, [], "the test images show no 8"),
        (an_unknown_class, [], "the test images show zebra"),
        (one_eight, [], "the class 8 has 1 training image, but 2"),
        (flat, ["--test-size", "0.3"], "has 0 classes"),
    ],
)
def test_invalid_options_exit_with_2_and_one_line(data, change, options, words, monkeypatch):
    monkeypatch.chdir(data.parent)
    place = data if change is None else change(data)
    chosen = [] if "--classifier" in options else ["--classifier", "logistic"]
    result = run(place, *chosen, *options)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1 + ("model:" in result.stderr)
    assert not (data.parent / "runs").exists()


def test_select_arms_returns_eligible_arms():
    consistent = ("consistency", "consistency-transfer")
    assert select_arms(None, True, True)[-4:] == (*consistent, "gan", "ablation")
    assert not set(consistent) & set(select_arms(None, True, False))
    balanced = select_arms(None, False, True, is_imbalanced=False)
    assert {"real", "oversampling", "mixup", "gan", "ablation"} <= set(balanced)
    assert not {"classic", "class-weights", "smote"} & set(balanced)
    assert "smote" in select_arms(["smote"], False, True, is_imbalanced=False)
    with pytest.raises(ConfigError, match="unlabeled images and `classifier='cnn'`"):
        select_arms(["consistency"], True, False)


@pytest.mark.slow
def test_command_evaluates_and_continues(data, monkeypatch):
    monkeypatch.chdir(data.parent)
    command = [
        data,
        "--labels-per-class",
        "6",
        "--rare",
        "8=2",
        "--classifier",
        "logistic",
        "--repeats",
        "2",
    ]
    command += ["--gan-steps", "5", "--arms", "real,oversampling", "--json", "--require-gain"]
    first = run(*command)
    assert first.exit_code == 1, first.output
    result = json.loads(first.stdout)
    assert set(result) == {"sentence", "arms", "summary"}
    assert result["sentence"].startswith("no evidence of benefit")
    out = Path(result["summary"]["out"])
    assert out.parent == Path("runs")
    assert (out / "report.html").is_file()
    assert "repeat 2/2 ablation" in first.stderr
    again = run(*command)
    assert json.loads(again.stdout) == result
    assert "repeat" not in again.stderr  # all arms were kept
    (data / "train" / "0").joinpath("new.png").write_bytes(
        sorted((data / "train" / "1").iterdir())[0].read_bytes()
    )
    changed = run(*command)
    assert changed.exit_code == 2
    assert "the data has changed" in changed.stderr


@pytest.mark.slow
def test_model_option_sets_the_gan_settings(data, digits_bundle, tmp_path):
    options = [
        "--labels-per-class",
        "6",
        "--classifier",
        "logistic",
        "--repeats",
        "2",
        "--gan-steps",
        "5",
    ]
    result = run(data, *options, "--model", digits_bundle.path, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    given = json.loads(result.stdout)["summary"]["settings"]["config"]
    assert given["generator"]["width"] == 8
    assert given["training"]["batch_size"] == 32


@pytest.mark.slow
def test_cnn_classifier_is_deterministic_in_every_arm(tmp_path):
    data = folder_of_digits(tmp_path / "digits", unlabeled=20)
    options = {"classifier": "cnn", "steps": 40, "arms": None, "repeats": 2}
    result = evaluate(data, tmp_path / "a", **options)
    reached = {row["arm"]: row["balanced_accuracy"] for row in result.arms}
    assert set(reached) >= {"mixup", "self-training", "consistency", "gan"}
    assert reached["consistency"] > 0.8
    again = evaluate(data, tmp_path / "b", **options)
    assert again.arms == result.arms
