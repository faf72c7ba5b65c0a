"""Batches, budgets, the training loop, run folders, and pseudo-labels."""

import csv
import dataclasses
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest

from augan.bundle import Bundle, Network, save_bundle
from augan.config import Config
from augan.data.modalities.images import ImagePreprocessing
from augan.data.sequences import ConcatRows
from augan.exceptions import BundleError, DataError, TrainingDivergedError
from augan.gan import keras, tf
from augan.io.layout import BUNDLE_FILE
from augan.training.batches import Batches, one_hot
from augan.training.budget import StageBudget, Stopwatch, TrainingBudget
from augan.training.loop import STEPS_PER_CALL, run_loop
from augan.training.monitor import MAX_HISTORY, GanMetrics, GanMonitor
from augan.training.pseudo_labels import assign_pseudo_labels
from augan.training.run_folder import RunFolder, find_bundle
from augan.training.stages.encoder import class_loss
from augan.training.stages.registry import STAGES
from augan.training.trainer import TrainingData, train_stages

IDENTITY = {"seed": 0, "data": "1234"}

# ---------------------------------------------------------------- batches


def as_float(pixels):
    return pixels.astype(np.float32) / 255


def make_batches(n, batch_size, *, classes=0, seed=0):
    """Images that are told apart by their value, which is their row."""
    images = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, 2, 2, 1))
    labels = np.arange(n) % classes if classes else None
    return Batches(
        images,
        labels,
        num_classes=classes,
        batch_size=batch_size,
        normalize=lambda prepared: prepared * 2,
        seed=seed,
    )


@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (10, 4), (7, 5), (3, 8), (1, 4)])
def test_each_epoch_visits_each_row_once(n, batch_size):
    batches = make_batches(n, batch_size)
    steps = math.ceil(5 * n / batch_size)
    rows = np.concatenate([batches.batch_indices(step) for step in range(steps)])
    assert len(rows) == steps * batch_size
    for epoch in range(5):
        assert sorted(rows[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_epochs_and_seeds_have_their_own_order():
    one, other = make_batches(50, 50), make_batches(50, 50, seed=1)
    orders = [tuple(b.batch_indices(step)) for b in (one, other) for step in range(4)]
    assert len(set(orders)) == 8


def test_batches_are_a_pure_function_of_the_step():
    batches, fresh = make_batches(20, 6), make_batches(20, 6)
    forward = [batches.batch_indices(step) for step in range(12)]
    for step in reversed(range(12)):
        np.testing.assert_array_equal(batches.batch_indices(step), forward[step])
    np.testing.assert_array_equal(fresh.batch_indices(7), forward[7])


def test_a_chunk_is_its_steps_one_after_another():
    batches = make_batches(20, 6, classes=3)
    images, classes = batches.chunk(2, 5)
    assert images.shape == (5, 6, 2, 2, 1)
    assert classes.shape == (5, 6, 3)
    assert images.dtype == classes.dtype == np.float32
    for position in range(5):
        rows = batches.batch_indices(2 + position)
        # `normalize` doubles; each image holds its row.
        np.testing.assert_array_equal(images[position, :, 0, 0, 0], 2 * rows)
        np.testing.assert_array_equal(images[position, :, 1, 1, 0], 2 * rows)
        np.testing.assert_array_equal(classes[position], np.eye(3)[rows % 3])
    again = batches.chunk(2, 5)
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(batches.chunk(4, 1)[0][0], images[2])


@pytest.mark.parametrize("labels", [None, np.zeros(5, int)])
def test_without_classes_the_one_hot_is_empty(labels):
    batches = Batches(
        np.zeros((5, 2, 2, 1), np.uint8),
        labels,
        num_classes=0,
        batch_size=4,
        normalize=as_float,
        seed=0,
    )
    images, classes = batches.chunk(0, 3)
    assert images.shape == (3, 4, 2, 2, 1)
    assert classes.shape == (3, 4, 0)


def test_only_the_rows_of_a_batch_are_read(tmp_path):
    class Watched(np.ndarray):
        asked: list = []  # noqa: RUF012

        def __getitem__(self, key):
            Watched.asked.append(np.size(key))
            return np.asarray(self)[key]

    images = np.zeros((1000, 2, 2, 1), np.uint8).view(Watched)
    batches = Batches(images, None, num_classes=0, batch_size=4, normalize=as_float, seed=0)
    batches.chunk(0, 2)
    assert Watched.asked == [8]


# ---------------------------------------------------------------- budget


def test_stage_budget_by_steps():
    budget = StageBudget(steps=40, started=0.0, deadline=None)
    assert [budget.progress(step) for step in (0, 10, 40, 50)] == [0.0, 0.25, 1.0, 1.0]


def test_stage_budget_by_time():
    now = time.monotonic()
    half = StageBudget(None, now - 100, now + 100)
    assert half.progress(10**9) == pytest.approx(0.5, abs=0.02)
    assert StageBudget(None, now - 2, now - 1).progress(0) == 1.0
    assert StageBudget(None, now, now).progress(0) == 1.0
    assert StageBudget(None, now, None).progress(10**9) == 0.0


def test_stage_budget_by_whichever_is_first():
    now = time.monotonic()
    both = StageBudget(100, now - 100, now + 100)
    assert both.progress(90) == pytest.approx(0.9)
    assert both.progress(10) == pytest.approx(0.5, abs=0.02)


def stage_budgets(stages, budget):
    """Return the budgets of stages that all start now."""
    shares = [STAGES[stage].share for stage in stages]
    return [budget.stage_budget(share, shares[i + 1 :]) for i, share in enumerate(shares)]


@pytest.mark.parametrize(
    ("steps", "expected"), [(1000, [1000, 500, 250]), (5, [5, 3, 2]), (1, [1, 1, 1])]
)
def test_steps_of_the_stages_are_proportional_and_at_least_one(steps, expected):
    budgets = stage_budgets(("gan", "encoder", "classifier"), TrainingBudget(steps))
    assert [budget.steps for budget in budgets] == expected
    assert all(budget.deadline is None for budget in budgets)


@pytest.mark.parametrize(
    "stages", [("gan",), ("gan", "encoder"), ("gan", "classifier"), tuple(STAGES)]
)
def test_time_is_shared_and_the_last_stage_gets_the_rest(stages):
    deadline = time.monotonic() + 1000
    budgets = stage_budgets(stages, TrainingBudget(None, deadline))
    times = [STAGES[stage].share.time for stage in stages]
    assert budgets[0].steps is None
    span = budgets[0].deadline - budgets[0].started
    assert span == pytest.approx(1000 * times[0] / sum(times), rel=0.01)
    assert budgets[-1].deadline == pytest.approx(deadline, abs=0.01)


def test_unused_time_passes_to_later_stages():
    # The classifier used nothing of its share: the GAN divides all of the time with the encoder.
    stages = ("classifier", "gan", "encoder")
    budget = TrainingBudget(10, time.monotonic() + 1000)
    gan = budget.stage_budget(STAGES["gan"].share, [STAGES["encoder"].share])
    assert gan.deadline - gan.started == pytest.approx(1000 * 0.66 / 0.92, rel=0.01)
    assert sum(STAGES[stage].share.time for stage in stages) == pytest.approx(1)


def test_a_budget_without_a_limit_is_refused():
    with pytest.raises(ValueError, match="requires steps or a deadline"):
        TrainingBudget(None)


def test_a_budget_past_its_deadline_allows_nothing_more():
    for budget in stage_budgets(("gan", "encoder"), TrainingBudget(10, time.monotonic() - 5)):
        assert budget.deadline == budget.started
        assert budget.progress(0) == 1.0


@pytest.mark.parametrize("name", STAGES)
def test_stages_are_registered_under_their_names(name):
    assert STAGES[name].name == name
    assert STAGES[name].share.steps > 0
    assert STAGES[name].share.time > 0


# ---------------------------------------------------------------- the loop


class Recorder:
    """A training step that records its inputs in the graph, and a callback."""

    metric_names = ("mean", "classes")

    def __init__(self):
        self.sum = tf.Variable(0.0)
        self.weighted = tf.Variable(0.0)
        self.steps = tf.Variable(0)
        self.calls = []

    @property
    def state(self):
        return [self.sum, self.weighted, self.steps]

    def train_step(self, data):
        images, classes = data
        mean = tf.reduce_mean(images)
        self.steps.assign_add(1)
        self.sum.assign_add(mean)
        # Depends on the order of the batches.
        self.weighted.assign_add(tf.cast(self.steps, tf.float32) * mean)
        return {"mean": mean, "classes": tf.reduce_sum(classes)}

    def on_progress(self, part, step, budget, losses):
        self.calls.append((part, step, budget, losses))


def batch_means(batches, steps):
    return [float(batches.chunk(step, 1)[0].mean()) for step in range(steps)]


def steps_only(steps):
    return StageBudget(steps, time.monotonic(), None)


@pytest.mark.parametrize("steps", [1, 19, 20, 21, 47])
def test_the_loop_does_exactly_its_steps(steps):
    batches, recorder = make_batches(30, 4, classes=2), Recorder()
    budget = steps_only(steps)
    assert run_loop("gan", recorder, batches, budget, callbacks=[recorder]) == steps
    assert recorder.steps.numpy() == steps
    means = batch_means(batches, steps)
    assert float(recorder.sum) == pytest.approx(sum(means), rel=1e-5)
    weighted = sum(i * mean for i, mean in enumerate(means, 1))
    assert float(recorder.weighted) == pytest.approx(weighted, rel=1e-5)
    ends = [*range(STEPS_PER_CALL, steps, STEPS_PER_CALL), steps]
    assert [call[:3] for call in recorder.calls] == [("gan", end, budget) for end in ends]
    begin = 0
    for end, (*_, losses) in zip(ends, recorder.calls):
        assert losses["mean"] == pytest.approx(np.mean(means[begin:end]), rel=1e-5)
        assert losses["classes"] == 4
        assert all(type(value) is float for value in losses.values())
        begin = end


def test_a_deadline_in_the_past_still_allows_one_call():
    recorder, now = Recorder(), time.monotonic()
    done = run_loop("gan", recorder, make_batches(9, 2), StageBudget(None, now - 9, now - 1))
    assert done == STEPS_PER_CALL == recorder.steps.numpy()
    done = run_loop("gan", recorder, make_batches(9, 2), StageBudget(3, now - 9, now - 1))
    assert done == 3


def test_the_loop_ends_at_its_deadline():
    class Slow(Recorder):
        def on_progress(self, *told):
            super().on_progress(*told)
            time.sleep(0.05)

    recorder = Slow()
    run_loop("gan", recorder, make_batches(9, 2), steps_only(20))  # traced once: warm
    begun = time.monotonic()
    budget = StageBudget(10**7, begun, begun + 1.0)
    done = run_loop("gan", recorder, make_batches(9, 2), budget, callbacks=[recorder])
    took = time.monotonic() - begun
    assert 1.0 <= took < 3.0
    assert done < 10**7
    assert done % STEPS_PER_CALL == 0
    assert recorder.calls[-1][1] == done


def test_every_callback_is_notified():
    one, other = Recorder(), Recorder()
    run_loop("encoder", one, make_batches(9, 2), steps_only(21), callbacks=[one, other])
    assert [call[:2] for call in other.calls] == [("encoder", 20), ("encoder", 21)]
    assert one.calls == other.calls


@pytest.fixture(scope="module")
def trained_in_no_time():
    """All stages, trained with a deadline in the past."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    classes = np.arange(10) % 2
    config = Config().replace(
        training__batch_size=4,
        gan__architecture="dcgan",
        gan__latent_dim=3,
        gan__loss="nonsaturating",
        gan__betas=(0.5, 0.999),
        gan__diffaug=["translation"],
        generator__width=2,
        discriminator__width=2,
        discriminator__norm="batch",
        encoder__width=2,
        classifier__width=2,
        generator__learning_rate=1e-3,
        discriminator__learning_rate=1e-3,
    )
    data = TrainingData(pixels, classes, 2, ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8)))
    stopwatch = Stopwatch()
    stages, budget = ("gan", "encoder", "classifier"), TrainingBudget(None, time.monotonic() - 1)
    return train_stages(config, data, stages, budget, stopwatch=stopwatch), stopwatch


@pytest.mark.slow
def test_every_network_exists_however_short_the_time_was(trained_in_no_time):
    networks, stopwatch = trained_in_no_time
    assert set(networks.models) == {"generator", "discriminator", "encoder", "classifier"}
    assert set(networks.specs) == set(networks.models)
    assert networks.steps == dict.fromkeys(("gan", "encoder", "classifier"), STEPS_PER_CALL)
    assert set(stopwatch.seconds) == {"start-up", "gan", "encoder", "classifier"}
    assert all(stopwatch.seconds[part] > 0 for part in ("gan", "encoder", "classifier"))
    assert networks.models["generator"].output_shape == (None, 8, 8, 1)
    assert networks.models["encoder"].output_shape == [(None, 3), (None, 2)]
    assert networks.models["classifier"].output_shape == (None, 2)


@pytest.mark.slow
def test_networks_go_into_a_bundle_as_they_are(trained_in_no_time):
    networks, _ = trained_in_no_time
    for role, network in networks.for_bundle().items():
        assert network.spec == json.loads(json.dumps(networks.specs[role]))
        values = {v.path: v.numpy() for v in networks.models[role].variables}
        assert values.keys() == network.weights.keys()
        for path, value in values.items():
            np.testing.assert_array_equal(network.weights[path], value)


# ---------------------------------------------------------------- run folders


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_or_an_empty_folder_will_do(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "a" / "b" / "new"):
        run = RunFolder(path, "digits", IDENTITY)
        assert run.path == path
        assert {p.name for p in path.iterdir()} == {"run.json"}
        assert json.loads((path / "run.json").read_text(encoding="utf-8")) == IDENTITY


def test_a_folder_that_holds_something_is_refused(tmp_path):
    file = tmp_path / "run" / "precious.txt"
    file.parent.mkdir()
    file.write_text("mine")
    for path in (file.parent, file):
        with pytest.raises(DataError, match=r"exists already; name a new folder with --out"):
            RunFolder(path, "digits", IDENTITY)
    assert file.read_text() == "mine"
    with pytest.raises(DataError, match="cannot make the folder"):
        RunFolder(file / "below", "digits", IDENTITY)


@pytest.mark.parametrize(
    ("name", "ending"), [("digits", "digits"), ("a b/ä:c", "a-b-ä-c"), ("..", ".."), ("", "data")]
)
def test_the_default_folder_is_named_after_the_data(here, name, ending):
    run = RunFolder(None, name, IDENTITY)
    assert run.path.parent == Path("runs")
    assert run.path.name.endswith(f"-{ending}")
    assert run.path.is_dir()
    assert [p.name for p in (here / "runs").iterdir()] == [run.path.name]


def test_two_runs_of_one_second_have_two_folders(here):
    runs = [RunFolder(None, "digits", IDENTITY).path for _ in range(5)]
    assert len(set(runs)) == 5
    assert all(path.is_dir() for path in runs)


def test_losses_are_logged_one_json_document_a_line(tmp_path):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY)
    budget = steps_only(40)
    run.on_progress("gan", 20, budget, {"d_loss": 1.5, "g_loss": 0.25})
    run.on_progress("encoder", 10, budget, {"image_loss": 3.0})
    lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"stage": "gan", "step": 20, "d_loss": 1.5, "g_loss": 0.25},
        {"stage": "encoder", "step": 10, "image_loss": 3.0},
    ]


class Diverging:
    """A training step whose losses are not finite from the 40th step on."""

    metric_names = ("loss",)

    def __init__(self):
        self.steps = tf.Variable(0.0)
        self.state = [self.steps]

    def train_step(self, data):
        self.steps.assign_add(1.0)
        return {"loss": 1.0 / tf.maximum(40.0 - self.steps, 0.0)}


def test_what_diverges_ends_whoever_watches_it():
    images = np.zeros((8, 2, 2, 1), np.uint8)
    data = Batches(images, None, num_classes=0, batch_size=4, normalize=as_float, seed=0)
    with pytest.raises(
        TrainingDivergedError, match="training of the encoder diverged before step 40"
    ):
        run_loop("encoder", Diverging(), data, steps_only(100))
    ends = iter([False, False, True, True])  # a monitor's word is enough
    assert run_loop("gan", Diverging(), data, steps_only(100), finished=lambda: next(ends)) == 40


def best_of_many(distances):
    monitor = GanMonitor.__new__(GanMonitor)  # its memory alone
    columns = len(dataclasses.fields(GanMetrics))
    monitor._table = keras.Variable(np.full((MAX_HISTORY, columns), np.nan), dtype="float64")
    monitor._count = keras.Variable(0, dtype="int64")
    for step, distance in enumerate(distances):
        monitor._append(GanMetrics(step, 0.0, distance, 1.0, 1.0, 0.0, 0.0))
    return monitor.history


def test_the_monitor_forgets_old_evaluations_but_not_the_best():
    rest = [1.0] * (MAX_HISTORY + 20)
    for place in (0, 5):
        distances = [*rest[:place], 0.1, *rest]
        kept = best_of_many(distances)
        assert len(kept) == MAX_HISTORY
        assert min(metrics.kernel_distance for metrics in kept) == 0.1
        assert [metrics.step for metrics in kept][-1] == len(distances) - 1
        assert [metrics.step for metrics in kept] == sorted(metrics.step for metrics in kept)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_the_log_stays_json_when_training_diverges(tmp_path, loss):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY)
    run.on_progress("gan", 20, steps_only(40), {"d_loss": loss})

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    line = (run.path / "metrics.jsonl").read_text(encoding="utf-8")
    assert json.loads(line, parse_constant=refuse) == {"stage": "gan", "step": 20, "d_loss": None}


def test_files_of_a_run(tmp_path):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY)
    run.write_text("config.yaml", "seed: 1\nname: ä\n")
    run.write_text("config.yaml", "seed: 2\nname: ä\n")
    run.write_json("summary.json", {"seconds": {"gan": 1.5}, "warnings": []})
    assert (run.path / "config.yaml").read_text(encoding="utf-8") == "seed: 2\nname: ä\n"
    summary = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
    assert summary == {"seconds": {"gan": 1.5}, "warnings": []}
    names = ["config.yaml", "run.json", "summary.json"]
    assert sorted(p.name for p in run.path.iterdir()) == names
    assert run.samples == run.path / "samples"


def test_skipped_files_are_listed(tmp_path):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY)
    run.write_skipped([])
    assert not (run.path / "skipped.csv").exists()
    skipped = [("a,b.png", 'is "broken"'), ("ä/c.png", "line\nbreak")]
    run.write_skipped(iter(skipped))
    with open(run.path / "skipped.csv", newline="", encoding="utf-8") as file:
        assert [tuple(row) for row in csv.reader(file)] == [("path", "reason"), *skipped]


def test_a_skipped_file_keeps_a_name_that_is_no_text(tmp_path):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY)
    run.write_skipped([(os.fsdecode(b"\xff/\xe9.png"), "it is empty"), ("é.png", "so is this")])
    written = (run.path / "skipped.csv").read_bytes()
    assert written == b"path,reason\n\xff/\xe9.png,it is empty\n\xc3\xa9.png,so is this\n"


def test_latest_points_at_the_run_that_finished_last(here):
    latest = here / "runs" / "latest"
    first, second = RunFolder(None, "a", IDENTITY), RunFolder("runs/mine", "b", IDENTITY)
    assert not latest.exists()
    first.finish()
    assert latest.resolve() == first.path.resolve()
    second.finish()
    assert latest.is_symlink()
    assert latest.resolve() == (here / "runs" / "mine").resolve()
    assert not latest.readlink().is_absolute()  # so that ./runs can move
    left = {p.name for p in (here / "runs").iterdir()}
    assert left == {"latest", first.path.name, "mine"}


@pytest.mark.parametrize("out", ["elsewhere/run", "runs/deeper/run", "run"])
def test_other_folders_do_not_touch_latest(here, out):
    RunFolder("runs/mine", "a", IDENTITY).finish()
    RunFolder(out, "b", IDENTITY).finish()
    assert (here / "runs" / "latest").resolve() == (here / "runs" / "mine").resolve()
    links = [path for path in here.rglob("*latest*") if path.is_symlink()]
    assert links == [here / "runs" / "latest"]


def test_an_absolute_path_into_runs_counts_as_one_of_them(here):
    RunFolder(here / "runs" / "mine", "a", IDENTITY).finish()
    assert (here / "runs" / "latest").resolve() == (here / "runs" / "mine").resolve()


def test_a_folder_called_latest_is_left_alone(here):
    (here / "runs" / "latest").mkdir(parents=True)
    (here / "runs" / "latest" / "notes.txt").write_text("mine")
    RunFolder("runs/mine", "a", IDENTITY).finish()
    assert (here / "runs" / "latest" / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in (here / "runs").iterdir()) == ["latest", "mine"]


# ---------------------------------------------------------------- finding a bundle


def save_run(folder, *, age, **parts):
    """Save a bundle of an unfinished sort; `age` in seconds orders the runs."""
    bundle = Bundle(config={"seed": age}, data={"class_names": []}, **parts)
    path = save_bundle(bundle, Path(folder) / BUNDLE_FILE)
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def generator(classes=0):
    return {"generator": Network({"arguments": {"num_classes": classes}}, {})}


def test_the_newest_run_that_has_the_part(here):
    save_run("runs/a", age=30, networks=generator(), detector={"method": "fanogan"})
    save_run("runs/b", age=20, networks=generator())
    save_run("runs/c", age=10)
    assert find_bundle(None).config["seed"] == 10
    assert find_bundle(None, "generator").config["seed"] == 20
    assert find_bundle(None, "detector").config["seed"] == 30
    assert find_bundle(None, "generator", "detector").config["seed"] == 30
    assert find_bundle(None, "detector").path == Path("runs/a") / BUNDLE_FILE


def test_the_time_of_the_file_decides_and_not_the_name(here):
    save_run("runs/z", age=30)
    save_run("runs/a", age=10)
    assert find_bundle(None).config["seed"] == 10


def test_latest_is_not_a_run_of_its_own(here):
    save_run("runs/a", age=10)
    RunFolder("runs/b", "x", IDENTITY).finish()  # it died before its bundle was saved
    save_run("runs/c", age=20)
    (here / "runs" / "latest").unlink()
    (here / "runs" / "latest").symlink_to("c")
    assert find_bundle(None).path == Path("runs/a") / BUNDLE_FILE
    with pytest.raises(BundleError, match=r"\(2 looked at\)"):
        find_bundle(None, "latents")


@pytest.mark.parametrize("part", ["detector", "generator", "classes", "latents"])
def test_none_has_the_part(here, part):
    with pytest.raises(BundleError, match=rf"{part} \(0 looked at\); run `augan train`"):
        find_bundle(None, part)
    save_run("runs/a", age=10)
    with pytest.raises(BundleError, match=r"\(1 looked at\)") as caught:
        find_bundle(None, part)
    assert part in str(caught.value)
    assert "--model" in str(caught.value)


def test_a_model_that_is_named(here):
    path = save_run("elsewhere", age=10, networks=generator(2))
    save_run("runs/newer", age=1, networks=generator(), detector={})
    for model in (path, path.parent, str(path)):
        assert find_bundle(model).config["seed"] == 10
        assert find_bundle(model, "generator").config["seed"] == 10
    # A model that was named is taken or refused, never replaced by another.
    with pytest.raises(BundleError, match="has no anomaly detector"):
        find_bundle(path, "generator", "detector")
    with pytest.raises(BundleError, match="there is no file or folder"):
        find_bundle("nowhere")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b"no bundle"),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to(path.name)),
    ],
)
def test_a_damaged_run_does_not_hide_the_others(here, damage):
    save_run("runs/good", age=20)
    damaged = save_run("runs/bad", age=10)
    damage(damaged)
    said = []
    assert find_bundle(None, warn=said.append).config["seed"] == 20
    if damaged.exists():  # a link that leads nowhere is no bundle
        (sentence,) = said
        assert sentence.startswith("left out: ")
        assert str(damaged) in sentence
    assert find_bundle(None).config["seed"] == 20  # nobody has to listen
    with pytest.raises(BundleError, match=r"runs/bad"):
        find_bundle("runs/bad")
    (here / "runs" / "good" / BUNDLE_FILE).unlink()
    if damaged.exists():
        with pytest.raises(BundleError, match=r"\(1 looked at, 1 of them damaged\)"):
            find_bundle(None)


def test_runs_in_other_folders_are_not_found(here):
    save_run("elsewhere/a", age=10)
    save_run("runs", age=5)
    save_run("runs/a/b", age=5)
    with pytest.raises(BundleError, match=r"\(0 looked at\)"):
        find_bundle(None)


# ---------------------------------------------------------------- clock


def test_the_clock_adds_up_each_part():
    stopwatch = Stopwatch()
    for _ in range(2):
        with stopwatch.measure("gan"):
            time.sleep(0.02)
    with stopwatch.measure("encoder"):
        time.sleep(0.01)
    assert stopwatch.seconds["gan"] >= 0.04
    assert 0.01 <= stopwatch.seconds["encoder"] < 0.04
    assert stopwatch.seconds["start-up"] == 0


def test_the_clock_counts_what_came_before():
    stopwatch = Stopwatch(time.monotonic() - 10)
    assert stopwatch.seconds["start-up"] == pytest.approx(10, abs=0.5)
    assert time.monotonic() - stopwatch.started == pytest.approx(10, abs=0.5)


def test_the_clock_counts_a_part_that_failed():
    stopwatch = Stopwatch()

    def fail():
        with stopwatch.measure("data"):
            time.sleep(0.01)
            raise DataError("no")

    with pytest.raises(DataError):
        fail()
    assert stopwatch.seconds["data"] >= 0.01


# ---------------------------------------------------------------- unlabeled images


def test_stacked_rows_are_those_of_both_arrays():
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 256, (n, 2, 2, 1), np.uint8) for n in (3, 4))
    stacked, whole = ConcatRows(first, second), np.concatenate([first, second])
    assert (stacked.shape, stacked.dtype, len(stacked)) == (whole.shape, whole.dtype, 7)
    for rows in (np.array([6, 0, 3, 3, 2]), np.arange(3), np.array([5]), np.empty(0, int)):
        np.testing.assert_array_equal(stacked[rows], whole[rows])
    for row in (0, 2, 3, 6):
        np.testing.assert_array_equal(stacked[row], whole[row])


def test_classes_of_a_batch_may_be_unknown_or_mixed():
    classes = np.array([1, -1, 0])
    rows = np.array([2, 1, 0])
    np.testing.assert_array_equal(one_hot(classes, rows, 2), [[1, 0], [0, 0], [0, 1]])
    weights = np.array([[0.25, 0.75], [1, 0], [0.5, 0.5]], np.float32)
    np.testing.assert_array_equal(one_hot(weights, rows, 2), weights[rows])


def by_brightness():
    """A classifier whose class probabilities are 1 - b and b, where b is how bright a pixel is."""
    images = keras.Input((1, 1, 1))
    bright = (keras.layers.Flatten()(images) + 1.0) / 2.0
    return keras.Model(images, keras.ops.log(keras.ops.concatenate([1 - bright, bright], axis=1)))


@pytest.mark.parametrize(
    ("mode", "indices", "classes"),
    [
        ("hard", [0, 1, 2, 3, 4], [1, 0, 1, 0, 1]),
        ("thresholded", [0, 1, 3, 4], [1, 0, 1, 0, 1]),
        ("soft", [0, 1, 2, 3, 4], [[0, 1], [1, 0], [0.4, 0.6], [0.95, 0.05], [0.05, 0.95]]),
    ],
)
def test_pseudo_labels(mode, indices, classes):
    # The two labeled images look like the other class: known classes are not predicted.
    pixels = np.array([2, 98, 60, 5, 95], np.uint8).reshape(5, 1, 1, 1)
    preprocessing = ImagePreprocessing(8, 1, "float32", 0.0, 100.0)
    known = np.array([1, 0, -1, -1, -1])
    labels = assign_pseudo_labels(
        by_brightness(),
        ConcatRows(pixels[:2], pixels[2:]),
        known,
        preprocessing,
        labeled=np.array([0, 1]),
        unlabeled=np.array([2, 3, 4]),
        mode=mode,
    )
    assert labels.indices.tolist() == indices
    used = np.asarray(indices)
    np.testing.assert_allclose(labels.classes[used], np.asarray(classes)[used], atol=1e-5)
    described = labels.describe(np.array([2, 3, 4]))
    assert (described["n"], described["used"]) == (3, len(indices) - 2)
    assert sum(described["class_counts"]) == pytest.approx(len(indices) - 2, abs=1e-2)
    assert known.tolist() == [1, 0, -1, -1, -1]


def test_an_unknown_class_adds_nothing_to_the_encoders_loss():
    guessed = tf.constant([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])
    known = tf.constant([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    expected = -(np.log(0.75) + np.log(0.5)) / 2
    np.testing.assert_allclose(class_loss(known, guessed), expected, rtol=1e-6)
    np.testing.assert_allclose(class_loss(known[:2], guessed[:2]), expected, rtol=1e-6)
    assert float(class_loss(tf.zeros((3, 2)), guessed)) == 0.0
