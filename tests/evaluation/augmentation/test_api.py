"""`augan evaluate augmentation` from data to sentence: what it finds, keeps, refuses and prints."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augan.data.datasets import digits
from augan.evaluation.augmentation.api import evaluate_augmentation
from augan.evaluation.augmentation.arms import select_arms
from augan.evaluation.augmentation.data import load_evaluation_data
from augan.evaluation.augmentation.synthetic import GanArm
from augan.exceptions import ConfigError, DataError, RunInterruptedError
from augan.io.images import write_png
from augan.report.html.augmentation_evaluation import write_augmentation_evaluation_page
from augan.report.text import format_augmentation_evaluation
from augan_cli.main import app
from augan_cli.progress import ExperimentProgress
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


class Maker:
    """Returns what `make` makes of the images and labels behind them, and counts its calls."""

    def __init__(self, make):
        self.make, self.calls, self.stop_at = make, 0, None

    def fit_resample(self, X, y):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        more, labels = self.make(X, y)
        return np.concatenate([X, more]), np.concatenate([y, labels])


def noise(X, y):
    return np.random.default_rng(0).integers(0, 255, X.shape).astype(np.uint8), y


def oracle(X, y):
    """Real images of neither the draw nor the test: no generator could do better."""
    of = digits()
    labels = np.asarray(of.labels)
    rows = [np.flatnonzero(labels == label)[80:] for label in CLASSES]
    chosen = np.concatenate(rows)
    return np.asarray(of.images)[chosen], np.searchsorted(CLASSES, labels[chosen])


def evaluate(data, out, make=noise, **options):
    maker = make if isinstance(make, Maker) else Maker(make)
    settings = {
        "labels_per_class": 6,
        "rare": {"8": 2},
        "repeats": 5,
        "arms": ARMS,
        "classifier": "logistic",
    }
    return evaluate_augmentation(
        data, gan=GanArm("test", lambda draw: maker), out=out, **{**settings, **options}
    )


@pytest.mark.slow
def test_images_as_good_as_real_ones_are_a_lift_and_noise_is_none(tmp_path):
    data = folder_of_digits(tmp_path / "digits", train=20, test=60)
    found = evaluate(data, tmp_path / "a", oracle, labels_per_class=3, rare={}, repeats=8)
    assert found.is_significant
    assert found.sentence.startswith(f"lift of {100 * found.summary['gain']:+.1f} points [")
    assert found.sentence.endswith("on new images like these")
    assert 0 < found.summary["low"] <= found.summary["gain"] <= found.summary["high"] < 0.5
    worse = evaluate(data, tmp_path / "b", noise, labels_per_class=3, rare={}, repeats=8)
    assert not worse.is_significant
    assert worse.sentence.startswith("no evidence of benefit")


def test_the_folder_holds_everything_and_all_arms_are_there(data, tmp_path):
    found = evaluate(data, tmp_path / "out", arms=None)
    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert kept == json.loads(json.dumps(found.to_dict()))
    names = [row["arm"] for row in found.arms]
    assert names == [
        "real",
        "classic",
        "oversampling",
        "class-weights",
        "smote",
        "pixel-transfer",
        "mixup",
        "gan",
        "ablation",
    ]
    by_name = {row["arm"]: row for row in found.arms}
    assert by_name["ablation"]["by_repeat"] == by_name["oversampling"]["by_repeat"]
    assert found.summary["class_counts"] == [6, 6, 2]
    assert found.summary["settings"]["transform"] == "shift"
    with Image.open(tmp_path / "out" / "preview.png") as picture:
        assert picture.size[0] > picture.size[1]
    page = write_augmentation_evaluation_page(found).read_text()
    assert found.sentence[1:] in page
    assert page.count('<div class="dots"') == len(names)
    assert "data:image/png;base64," in page
    assert "http:" not in page
    assert "https:" not in page
    assert format_augmentation_evaluation(found)[-1] == found.sentence


@needs_browser
@pytest.mark.slow
def test_a_browser_has_nothing_to_complain_about(data, tmp_path):
    page = write_augmentation_evaluation_page(evaluate(data, tmp_path / "out"))
    assert "No evidence of benefit" in loaded(page, tmp_path / "profile")


@pytest.mark.slow
def test_unlabeled_images_bring_arms_and_a_second_figure(tmp_path):
    data = folder_of_digits(tmp_path / "digits", unlabeled=20)
    found = evaluate(data, tmp_path / "out", arms=["oversampling", "self-training"])
    assert found.summary["num_unlabeled"] == 60
    gain = found.summary["gain_over_labeled_only"]
    assert gain["best_baseline"] == "oversampling"
    assert gain["value"] >= found.summary["gain"]
    assert any("no fair comparison" in line for line in format_augmentation_evaluation(found))
    assert {row["arm"]: row["uses_unlabeled"] for row in found.arms} == {
        "oversampling": False,
        "self-training": True,
        "gan": True,
        "ablation": False,
    }
    alone = evaluate(data, tmp_path / "more", rest_unlabeled=True, arms=["self-training"])
    assert alone.summary["num_unlabeled"] == 60 + 36 - 14


def test_rivals_must_have_the_data_that_the_gan_has(tmp_path):
    data = folder_of_digits(tmp_path / "digits", unlabeled=20)
    with pytest.raises(ConfigError, match="add self-training to --arms"):
        evaluate(data, tmp_path / "out", arms=["real", "oversampling"])


def test_where_nothing_is_left_unlabeled_no_arm_pretends_to_use_it(data, tmp_path):
    found = evaluate(
        data, tmp_path / "out", arms=None, labels_per_class=None, rare={}, rest_unlabeled=True
    )
    assert "self-training" not in [row["arm"] for row in found.arms]
    assert any("--rest-unlabeled has no effect" in text for text in found.summary["warnings"])


@pytest.mark.parametrize("left", [0, 1])
def test_a_class_needs_two_test_images(data, tmp_path, left):
    for path in sorted((data / "test" / "8").iterdir())[left:]:
        path.unlink()
    words = "fewer than 2 of 8" if left else "there is no image|show no 8"
    with pytest.raises(DataError, match=words):
        evaluate(data, tmp_path / "out")


def test_files_that_cannot_be_read_are_counted_once(tmp_path):
    data = folder_of_digits(tmp_path / "digits", train=35, test=0) / "train"
    for number in range(3):
        (data / "8" / f"empty{number}.png").touch()
    found = evaluate(data, tmp_path / "out", test_size=0.2)
    assert found.summary["num_test"] == 21
    assert any(text.startswith("3 files could not be read") for text in found.summary["warnings"])


def test_what_the_gan_arm_stands_on_is_always_a_rival(data, tmp_path):
    """Against the real images alone, balanced classes would be a lift of a generator of nothing."""

    def nothing(X, y):
        return X[:0], y[:0]

    options = {"labels_per_class": 10, "rare": {"8": 2}, "repeats": 5}
    found = evaluate(data, tmp_path / "out", nothing, arms=["real"], **options)
    behind = {row["arm"]: row["gan_minus_arm"] for row in found.arms}
    assert behind["real"]["value"] > 0.02
    assert behind["ablation"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert (found.summary["gain"], found.summary["best_baseline"]) == (0.0, "ablation")
    assert not found.is_significant
    assert "against oversampling + classic" in found.sentence


@pytest.mark.slow
def test_the_gan_arm_stands_on_consistency_where_there_are_unlabeled_images(tmp_path):
    data = folder_of_digits(tmp_path / "digits", unlabeled=20)
    options = {
        "labels_per_class": 6,
        "repeats": 2,
        "steps": 3,
        "gan_steps": 2,
        "arms": ["oversampling"],
    }
    found = evaluate_augmentation(data, **options, out=tmp_path / "out")
    assert found.summary["settings"]["base"] == "consistency"
    rows = {row["arm"]: row["label"] for row in found.arms}
    assert list(rows) == ["oversampling", "gan", "ablation"]
    assert rows["ablation"].startswith("oversampling + classic + consistency")
    options |= {"steps": None, "classifier": "forest", "arms": ["self-training"]}
    forest = evaluate_augmentation(data, **options, out=tmp_path / "more")
    assert forest.summary["settings"]["base"] == "oversampling"


@pytest.mark.slow
def test_a_stopped_evaluation_goes_on_and_ends_as_if_it_never_was(data, tmp_path):
    whole = evaluate(data, tmp_path / "whole")
    maker = Maker(noise)
    maker.stop_at = 3
    with pytest.raises(RunInterruptedError, match="10 of 20 arms finished"):
        evaluate(data, tmp_path / "out", maker)
    assert maker.calls == 3
    maker.stop_at = None
    again = evaluate(data, tmp_path / "out", maker)
    assert maker.calls == 3 + 3  # the draws that had been finished are not made again
    for one in (whole, again):
        one.summary.pop("out")
    assert again.to_dict() == whole.to_dict()
    more = evaluate(data, tmp_path / "out", maker, repeats=6)  # more draws continue it too
    assert (more.summary["num_repeats"], maker.calls) == (6, 7)
    maker.stop_at = 8
    with pytest.raises(
        RunInterruptedError, match="19 of 24 arms finished"
    ):  # of those that are asked for
        evaluate(data, tmp_path / "out", maker, repeats=8, arms=["real"])


def test_select_takes_none_of_images_that_hurt(data, tmp_path):
    found = evaluate(data, tmp_path / "out", tune_fraction=True, rare={}, repeats=2)
    assert found.summary["selected"] == [{"gan": "test", "synthetic_fraction": 0.0}] * 2
    assert "2 repeats say little" in found.summary["warnings"][0]
    assert (
        "selected: test, synthetic fraction 0%, in 2 of 2 repeats"
        in write_augmentation_evaluation_page(found).read_text()
    )
    assert not found.is_significant


def test_equal_test_images_are_refused_or_dropped(data, tmp_path):
    twin = sorted((data / "train" / "1").iterdir())[0]
    (data / "test" / "1" / "twin.png").write_bytes(twin.read_bytes())
    everything = {"labels_per_class": None, "rare": {}}
    with pytest.raises(DataError, match=r"1 of the 25 test images equal .* --drop-duplicates"):
        evaluate(data, tmp_path / "out", **everything)
    found = evaluate(data, tmp_path / "out", drop_duplicates=True, **everything)
    assert (found.summary["num_test"], found.summary["num_dropped_duplicates"]) == (24, 1)


def test_what_is_dropped_does_not_depend_on_how_many_draws_there_are(data, tmp_path):
    for label in ("0", "1", "8"):
        for twin in sorted((data / "train" / label).iterdir())[:4]:
            (data / "test" / label / f"twin{twin.name}").write_bytes(twin.read_bytes())
    options = {"labels_per_class": 2, "rare": {}, "drop_duplicates": True}
    few = evaluate(data, tmp_path / "out", repeats=2, **options)
    more = evaluate(data, tmp_path / "out", repeats=6, **options)  # goes on with the same images
    assert few.summary["num_dropped_duplicates"] == more.summary["num_dropped_duplicates"] == 12


def test_nearly_equal_test_images_are_counted_listed_and_left_out(data, tmp_path):
    twin = sorted((data / "train" / "1").iterdir())[0]
    with Image.open(twin) as picture:
        pixels = np.asarray(picture).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(data / "test" / "1" / "near.png")
    found = evaluate(data, tmp_path / "out", labels_per_class=None, rare={})
    (pair,) = found.summary["near_duplicates"]
    assert (Path(pair["test"]).name, Path(pair["train"]).name) == ("near.png", twin.name)
    assert found.summary["without_near_duplicates"]["best_baseline"] in ARMS
    assert any("resembles" in line for line in format_augmentation_evaluation(found))


def test_no_image_is_made_of_which_none_would_be_used(data, tmp_path):
    maker = Maker(noise)
    found = evaluate(data, tmp_path / "out", maker, synthetic_fraction=0.0)
    assert maker.calls == 0
    assert (found.summary["gain"], found.is_significant) == (0.0, False)
    assert found.sentence[1:] in write_augmentation_evaluation_page(found).read_text()


def test_experiment_progress_estimates_the_remaining_time_from_this_call(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("augan_cli.progress.time.monotonic", lambda: now[0])
    progress = ExperimentProgress(20)
    for number in (10, 11, 12):  # an earlier call has finished ten
        now[0] += 600
        progress(number, "gan", {"balanced_accuracy": 0.5})
    lines = [line for line in capsys.readouterr().err.splitlines() if "per repeat" in line]
    assert lines == [
        "600 s per repeat, about 90 minutes left",
        "600 s per repeat, about 80 minutes left",
    ]


def test_one_folder_is_divided(tmp_path):
    data = folder_of_digits(tmp_path / "digits", train=20, test=0) / "train"
    found = evaluate(data, tmp_path / "out", test_size=0.25)
    assert found.summary["num_test"] == 15
    assert found.summary["num_test_groups"] is None


def grouped(data, size):
    """Write a table in which images of a class that follow each other show one thing."""
    lines = ["path,group"]
    for place in sorted({path.parent for path in data.rglob("*.png")}):
        for row, path in enumerate(sorted(place.iterdir())):
            lines.append(f"{path.relative_to(data)},{path.parent.name} {row // size}")
    (data / "groups.csv").write_text("\n".join(lines))
    return data / "groups.csv"


def test_groups_lie_on_one_side_and_are_what_is_counted(tmp_path):
    data = folder_of_digits(tmp_path / "digits", train=20, test=0, unlabeled=9) / "train"
    (tmp_path / "digits" / "unlabeled").rename(data / "unlabeled")
    groups = grouped(data, 4)
    found = evaluate(data, tmp_path / "out", groups=groups, test_size=0.25, arms=None)
    assert found.summary["num_test"] <= 15
    number = found.summary["num_test_groups"]
    assert number == found.summary["num_test"] / 4
    assert any(
        f"test images of {number} groups" in line for line in format_augmentation_evaluation(found)
    )
    loaded = load_evaluation_data(data, 0.25, None, 0, groups)
    known = dict(line.split(",") for line in groups.read_text().splitlines()[1:])
    tested, seen = ({known[name] for name in names} for names in (loaded.test_names, loaded.names))
    assert tested == set(loaded.test_groups)
    assert not tested & seen


def test_unlabeled_images_of_what_is_tested_are_not_seen(tmp_path):
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


def a_strange_class(data):
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
        (a_strange_class, [], "the test images show zebra"),
        (one_eight, [], "the class 8 has 1 training image, but 2"),
        (flat, ["--test-size", "0.3"], "has 0 classes"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(data, change, options, words, monkeypatch):
    monkeypatch.chdir(data.parent)
    place = data if change is None else change(data)
    chosen = [] if "--classifier" in options else ["--classifier", "logistic"]
    result = run(place, *chosen, *options)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1 + ("model:" in result.stderr)
    assert not (data.parent / "runs").exists()


def test_arms_need_what_they_learn_from():
    consistent = ("consistency", "consistency-transfer")
    assert select_arms(None, True, True)[-4:] == (*consistent, "gan", "ablation")
    assert not set(consistent) & set(select_arms(None, True, False))
    alike = select_arms(None, False, True, is_imbalanced=False)  # where all would be oversampling
    assert alike == ("real", "oversampling", "pixel-transfer", "mixup", "gan", "ablation")
    assert "smote" in select_arms(["smote"], False, True, is_imbalanced=False)
    with pytest.raises(ConfigError, match="unlabeled images and --classifier cnn"):
        select_arms(["consistency"], True, False)


@pytest.mark.slow
def test_the_command_trains_gans_judges_and_goes_on(data, monkeypatch):
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
    found = json.loads(first.stdout)
    assert set(found) == {"sentence", "arms", "summary"}
    assert found["sentence"].startswith("no evidence of benefit")
    out = Path(found["summary"]["out"])
    assert out.parent == Path("runs")
    assert (out / "report.html").is_file()
    assert "draw 2/2 ablation" in first.stderr
    again = run(*command)
    assert json.loads(again.stdout) == found
    assert "draw" not in again.stderr  # all of it was kept
    (data / "train" / "0").joinpath("new.png").write_bytes(
        sorted((data / "train" / "1").iterdir())[0].read_bytes()
    )
    changed = run(*command)
    assert changed.exit_code == 2
    assert "the data has changed" in changed.stderr


@pytest.mark.slow
def test_a_model_gives_its_settings(data, digits_bundle, tmp_path):
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
def test_the_network_judges_with_every_arm_and_repeats_itself(tmp_path):
    data = folder_of_digits(tmp_path / "digits", unlabeled=20)
    options = {"classifier": "cnn", "steps": 40, "arms": None, "repeats": 2}
    found = evaluate(data, tmp_path / "a", **options)
    reached = {row["arm"]: row["balanced_accuracy"] for row in found.arms}
    assert set(reached) >= {"mixup", "self-training", "consistency", "gan"}
    assert reached["consistency"] > 0.8
    again = evaluate(data, tmp_path / "b", **options)
    assert again.arms == found.arms
