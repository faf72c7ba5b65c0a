"""The benchmarks resume where they stopped, keep every row, and measure what they say."""

import json

import numpy as np
import pytest

from augan.exceptions import DataError
from benchmarks.common import harness
from benchmarks.common.harness import Results, Task, estimate, run, spread, write_json
from benchmarks.detection import one_class
from benchmarks.detection.one_class import (
    METHODS,
    Images,
    OneClassData,
    main,
    parse_classes,
    summarize,
)
from benchmarks.gan import pseudo_labels


def counting(calls, **key):
    """Return a task that notes each time it is measured."""

    def measure():
        calls.append(key)
        return {"auroc": 0.5}

    return Task(key, measure, guess=7.0)


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "deep" / "rows.jsonl")


def test_finished_rows_are_not_measured_again(results):
    calls = []
    tasks = [counting(calls, method="pca", seed=seed) for seed in range(3)]
    run(tasks[:2], results)
    rows = run(tasks, Results(results.path))
    assert [key["seed"] for key in calls] == [0, 1, 2]
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert all(row["auroc"] == 0.5 and row["seconds"] >= 0 for row in rows)
    assert len(results.path.read_text().splitlines()) == 3


def test_a_stopped_run_keeps_its_rows(results):
    calls = []

    def interrupted():
        raise KeyboardInterrupt

    tasks = [counting(calls, seed=0), Task({"seed": 1}, interrupted, 1.0)]
    with pytest.raises(KeyboardInterrupt):
        run(tasks, results)
    assert [row["seed"] for row in Results(results.path).rows] == [0]


@pytest.mark.parametrize(
    "change",
    [{"settings": "b"}, {"seed": 1}, {"split": "test"}, {"steps": 20}, {"variant": "idea"}],
)
def test_a_row_of_other_settings_does_not_count(results, change):
    calls = []
    key = {"settings": "a", "seed": 0, "split": "dev", "steps": None, "variant": "default"}
    run([counting(calls, **key)], results)
    run([counting(calls, **{**key, **change})], results)
    assert len(calls) == 2
    assert len(results.rows) == 2


def test_a_field_that_old_rows_lack_makes_them_count_no_more(results):
    results.append({"seed": 0, "auroc": 0.9})
    assert results.find({"seed": 0}) is not None
    assert results.find({"seed": 0, "steps": None}) is None


def test_a_torn_last_line_is_dropped_and_measured_again(results):
    calls = []
    tasks = [counting(calls, seed=seed) for seed in range(2)]
    run(tasks, results)
    whole = results.path.read_bytes()
    results.path.write_bytes(whole[:-9])
    rows = run(tasks, Results(results.path))
    assert [key["seed"] for key in calls] == [0, 1, 1]
    assert [row["seed"] for row in rows] == [0, 1]
    assert [json.loads(line)["seed"] for line in results.path.read_text().splitlines()] == [0, 1]


def test_damage_elsewhere_is_named(results):
    results.append({"seed": 0})
    results.path.write_text("{oops\n" + results.path.read_text())
    with pytest.raises(ValueError, match="line 1 is no JSON"):
        Results(results.path)


def test_the_estimate_uses_what_was_measured_before_it_guesses(results, capsys):
    task = counting([], benchmark="b", data="d", method="m", settings="s", seed=0)
    assert estimate([task], results) == 7.0
    results.append({**task.key, "seed": 1, "seconds": 60.0})
    results.append({**task.key, "seed": 2, "seconds": 180.0})
    assert estimate([task, task], results) == 240.0
    run([task], results)
    assert capsys.readouterr().out.startswith("1 of 1 rows to measure, about 2.0 min; 0 are in")


def test_rows_of_other_code_are_pointed_out(results, monkeypatch, capsys):
    task = counting([], seed=0)
    run([task], results)
    assert "other source code" not in capsys.readouterr().out
    monkeypatch.setattr(harness, "code_digest", lambda: "later")
    run([task], results)
    assert "1 finished rows were measured with other source code" in capsys.readouterr().out


def test_the_json_is_whole_or_absent(tmp_path):
    path = tmp_path / "new" / "out.json"
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"auroc": float("nan")})
    assert not path.exists()
    write_json(path, {"auroc": 1.0})
    with pytest.raises(TypeError):
        write_json(path, {"auroc": object()})
    assert json.loads(path.read_text()) == {"auroc": 1.0}
    assert list(path.parent.iterdir()) == [path]


def test_spread():
    assert spread([1.0, 2.0, 3.0]) == {"mean": 2.0, "std": 1.0, "min": 1.0, "max": 3.0, "n": 3}
    assert spread([4.0])["std"] is None


def test_the_summary_is_the_mean_over_classes_of_the_mean_over_seeds():
    scores = {("a", 0): 0.8, ("a", 1): 0.6, ("b", 0): 1.0}
    common = {"method": "pca", "train_s": 1.0, "ms_per_image": 2.0}
    rows = [{**common, "class": c, "seed": s, "auroc": v} for (c, s), v in scores.items()]
    summary = summarize(rows)["pca"]
    assert summary["auroc_by_class"] == pytest.approx({"a": 0.7, "b": 1.0})
    assert summary["auroc"] == pytest.approx(0.85)
    assert summary["seeds"] == 2
    assert summary["over_seeds"]["mean"] == pytest.approx((0.9 + 0.6) / 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", ["T-shirt/top", "Bag", "Coat"]),
        ("0-2", ["T-shirt/top", "Bag", "Coat"]),
        ("2,T-shirt/top", ["Coat", "T-shirt/top"]),
        ("1,1,Bag", ["Bag"]),
    ],
)
def test_classes_are_chosen_by_name_or_position(text, expected):
    assert parse_classes(text, ("T-shirt/top", "Bag", "Coat")) == expected


@pytest.mark.parametrize("text", ["3", "0-3", "2-1", "Shoe", ""])
def test_an_unknown_class_is_refused(text):
    with pytest.raises(DataError, match="there is no class"):
        parse_classes(text, ("T-shirt/top", "Bag", "Coat"))


def test_the_dev_split_is_fixed_stratified_and_within_the_training_part():
    digits = OneClassData.load("digits", "dev")
    assert digits.test is None
    train, test = digits.split(0)
    again, _ = digits.split(0)
    other, _ = digits.split(1)
    np.testing.assert_array_equal(train.pixels, again.pixels)
    assert not np.array_equal(train.pixels, other.pixels)
    assert len(train.classes) + len(test.classes) == len(digits.train.classes)
    for name in digits.class_names:
        count = (digits.train.classes == name).sum()
        assert (test.classes == name).sum() == round(0.2 * count)


def test_the_test_split_judges_the_whole_test_part():
    digits = OneClassData.load("digits", "test")
    train, test = digits.split(0)
    assert train is digits.train
    assert len(test.classes) == 359
    assert digits.identity() != OneClassData.load("digits", "dev").identity()


def test_data_is_known_by_its_pixels_and_its_classes():
    one = Images(np.zeros((2, 8, 8, 1), np.uint8), np.array(["a", "b"]))
    assert one.sha256() == Images(one.pixels.copy(), one.classes.copy()).sha256()
    assert one.sha256() != Images(one.pixels, np.array(["b", "a"])).sha256()
    assert one.sha256() != Images(one.pixels.reshape(2, 4, 16, 1), one.classes).sha256()


def test_folders_of_class_folders_work_and_leave_no_path_in_the_rows(tmp_path, pets):
    only = ["--methods", "pca", "--seeds", "0"]
    rows = rows_of(tmp_path, "--data", str(pets), "--split", "test", *only)
    assert [row["class"] for row in rows] == ["cat", "dog"]
    assert {(row["n_train"], row["n_normal"], row["n_anomalies"]) for row in rows} == {(6, 3, 3)}
    assert str(tmp_path) not in next(tmp_path.glob("one-class-*.jsonl")).read_text()


def test_an_unusable_folder_ends_with_a_message(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        rows_of(tmp_path, "--data", str(tmp_path / "nowhere"))
    assert stop.value.code == 1
    assert "there is no file or folder" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.slow
def test_one_class_on_the_digits(tmp_path, monkeypatch):
    command = ["--classes", "3", "--seeds", "0", "--steps", "20"]
    rows = rows_of(tmp_path, *command)
    assert [row["method"] for row in rows] == [name for name in METHODS if name != "anogan"]
    assert all(0 <= row["auroc"] <= 1 and row["ms_per_image"] > 0 for row in rows)
    steps = {row["method"]: row["steps"] for row in rows}
    assert (steps["fanogan"], steps["untrained"], steps["pca"]) == (20, 0, None)
    assert len({row["settings"] for row in rows}) == len(rows)
    summary = json.loads((tmp_path / "out.json").read_text())["summary"]
    by_method = {row["method"]: row["auroc"] for row in rows}
    assert {method: of["auroc"] for method, of in summary.items()} == by_method
    assert all(of["seeds"] == 1 and list(of["auroc_by_class"]) == ["3"] for of in summary.values())

    monkeypatch.setattr(one_class, "measure_one_class", pytest.fail)
    assert rows_of(tmp_path, *command) == rows


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "fanogan"])
def test_the_untrained_control_has_the_networks_of_the_detector(tiny_digits, method):
    from augan import GANDetector

    images = tiny_digits.images[:60]
    trained = GANDetector(method=method, steps=1, random_state=3).fit(images)
    control = one_class.UntrainedDetector(method, random_state=3).fit(images)
    networks = trained.bundle_.networks
    assert {role: network.spec for role, network in networks.items()} == {
        role: control.specs_[role] for role in networks
    }
    assert control.score_samples(images).shape == (60,)


@pytest.fixture
def pets(tmp_path):
    """A folder with train and test parts of two classes, 6 and 3 gray images each."""
    from augan.io.images import write_png

    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for level, name in ((60, "cat"), (180, "dog")):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = rng.integers(level - 50, level + 50, (9, 11, 1), dtype=np.uint8)
                write_png(folder / f"{number}.png", image)
    return tmp_path / "pets"


def rows_of(folder, *arguments):
    out = folder / "out.json"
    main(["one-class", *arguments, "--json", str(out), "--results", str(folder)])
    return json.loads(out.read_text())["rows"]


# unlabeled: what images without a label are worth


def test_ten_labels_of_each_class_are_kept():
    training, test = pseudo_labels.split_digits()
    assert not set(training.names) & set(test.names)
    dataset, images, truth = pseudo_labels.remove_labels(training, seed=1)
    assert np.bincount(dataset.labels).tolist() == [10] * 10
    assert len(dataset) + dataset.num_unlabeled == len(training)
    np.testing.assert_array_equal(dataset.unlabeled.images, images)
    # Kept and lost labels still belong to their images.
    known = {np.asarray(i).tobytes(): int(y) for i, y in zip(training.images, training.labels)}
    assert [known[i.tobytes()] for i in dataset.images] == dataset.labels.tolist()
    assert [known[i.tobytes()] for i in images] == truth.tolist()
    other, _, _ = pseudo_labels.remove_labels(training, seed=2)
    assert not np.array_equal(other.images, dataset.images)
