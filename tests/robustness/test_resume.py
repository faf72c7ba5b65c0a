"""Tests that an interrupted and resumed training equals an uninterrupted one to the byte."""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from augan.bundle import load_bundle
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.data.datasets import digits
from augan.exceptions import ConfigError, DataError, RunInterruptedError
from augan.io.layout import BUNDLE_FILE
from augan.training import checkpoints, loop
from augan.training.run_folder import RunFolder
from augan.training.signals import stop_on_signals
from augan.workflow.train import train

IDENTITY = {"seed": 0, "gan.loss": "hinge", "data": "1234"}
SETTINGS = {
    "training__steps": 60,
    "training__batch_size": 8,
    "training__sample_interval": 40,
    "gan__architecture": "mlp",
    "gan__latent_dim": 3,
    "generator__width": 1,
    "discriminator__width": 1,
    "discriminator__dropout": 0.3,
    "encoder__width": 1,
    "classifier__width": 2,
}
CONFIG = Config().replace(**SETTINGS)
STEPS = {"gan": 60, "encoder": 30, "classifier": 15}


@pytest.fixture(scope="module", autouse=True)
def small_calls():
    """Set 10 steps per call and 20 between checkpoints, so that 60 steps have several of both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "STEPS_PER_CALL", 10)
        patch.setattr(checkpoints, "STEPS_BETWEEN", 20)
        yield


@pytest.fixture(scope="module")
def uninterrupted(tiny_digits, tmp_path_factory):
    """Return the folder of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(CONFIG, tiny_digits, out=out)
    return out


class Failure(Exception):
    pass


class Stopper:
    """Callback that ends the training when `stage` has done `step` steps."""

    def __init__(self, stage, step, ending):
        self.stage, self.step, self.ending = stage, step, ending
        self.steps_seen = []

    def on_progress(self, stage, step, budget, losses):
        self.steps_seen.append((stage, step))
        if (stage, step) != (self.stage, self.step):
            return
        if self.ending == "failure":
            raise Failure
        os.kill(os.getpid(), getattr(signal, self.ending))


def stop(dataset, out, stage, step, ending, config=CONFIG, **more):
    """Train until `stage` has done `step` steps, and return what was told about the end."""
    try:
        train(config, dataset, out=out, callbacks=[Stopper(stage, step, ending)], **more)
    except (Failure, RunInterruptedError) as error:
        return type(error), str(error)
    raise AssertionError("the training was not stopped")


def files(run):
    """What must be the same: all that a run leaves but the times of its parts."""
    found = {p.relative_to(run).as_posix(): p for p in run.rglob("*") if p.is_file()}
    return {
        name: path.read_bytes()
        for name, path in sorted(found.items())
        if name not in ("summary.json", BUNDLE_FILE)
    }


def assert_same_run(run, uninterrupted):
    assert load_bundle(run).sha256 == load_bundle(uninterrupted).sha256
    mine, theirs = files(run), files(uninterrupted)
    assert (run / "metrics.jsonl").read_text() == (uninterrupted / "metrics.jsonl").read_text()
    assert [n for n in mine if n.startswith("samples/")] == [
        n for n in theirs if n.startswith("samples/")
    ]
    assert mine.keys() == theirs.keys()
    for name, content in theirs.items():
        assert mine[name] == content, name


@pytest.mark.parametrize(
    ("stage", "step", "ending"),
    [
        ("gan", 40, "SIGTERM"),
        pytest.param("gan", 30, "failure", marks=pytest.mark.slow),
        ("encoder", 20, "SIGINT"),
        # Before its first checkpoint.
        pytest.param("encoder", 10, "failure", marks=pytest.mark.slow),
        ("classifier", 10, "SIGTERM"),
    ],
)
def test_resumed_run_equals_an_uninterrupted_run(
    stage, step, ending, uninterrupted, tiny_digits, tmp_path
):
    kind, message = stop(tiny_digits, tmp_path / "run", stage, step, ending)
    assert not (tmp_path / "run" / BUNDLE_FILE).exists()
    if ending != "failure":
        assert kind is RunInterruptedError
        assert message == (
            f"stopped by {ending} after step {step} of the {stage}; the same command with --resume "
            "continues from there"
        )
    listener = Stopper(None, None, None)
    train(CONFIG, tiny_digits, out=tmp_path / "run", resume=True, callbacks=[listener])
    assert_same_run(tmp_path / "run", uninterrupted)
    # What was done is not done again: it goes on from the last checkpoint of the part.
    begin = step - step % 20 if ending == "failure" else step
    assert listener.steps_seen[0] == (stage, min(begin + 10, STEPS[stage]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"gan__architecture": "dcgan", "discriminator__norm": "spectral", "generator__width": 4},
        {"gan__architecture": "dcgan", "discriminator__norm": "batch", "task": "detect"},
        {"gan__regularizer": "r1", "discriminator__norm": "layer", "gan__label_noise": 0.1},
        {"discriminator__steps": 2, "gan__loss": "wasserstein", "discriminator__weight_clip": 0.1},
    ],
)
def test_resumed_variants_equal_uninterrupted_runs(changes, tiny_digits, tmp_path):
    config = CONFIG.replace(**changes)
    train(config, tiny_digits, out=tmp_path / "whole")
    stop(tiny_digits, tmp_path / "run", "gan", 20, "SIGTERM", config)
    stop(tiny_digits, tmp_path / "run", "gan", 50, "failure", config, resume=True)
    train(config, tiny_digits, out=tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("mode", ["soft", pytest.param("thresholded", marks=pytest.mark.slow)])
def test_resumed_run_assigns_the_same_pseudo_labels(mode, tiny_digits, tmp_path):
    unlabeled = tiny_digits.subset(np.arange(120, 240))
    unlabeled = replace(unlabeled, labels=None, class_names=())
    dataset = replace(tiny_digits.subset(np.arange(120)), unlabeled=unlabeled)
    config = CONFIG.replace(gan__pseudo_labels=mode, training__steps=40, task="generate")
    train(config, dataset, out=tmp_path / "whole")
    stop(dataset, tmp_path / "run", "gan", 20, "failure", config)
    train(config, dataset, out=tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_stopped_training_unlocks_its_folder(tiny_digits, tmp_path):
    # A notebook keeps the last traceback, and with it all that the training held.
    stopper = Stopper("gan", 10, "SIGTERM")
    kept = None
    try:
        train(CONFIG.replace(training__steps=20), tiny_digits, out=tmp_path, callbacks=[stopper])
    except RunInterruptedError as error:
        kept = error
    assert kept is not None
    identity = json.loads((tmp_path / "run.json").read_text())
    RunFolder(tmp_path, "digits", identity, resume=True)


def test_finished_run_is_returned_unchanged(uninterrupted, tiny_digits):
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in uninterrupted.rglob("*")}
    listener = Stopper(None, None, None)
    bundle = train(CONFIG, tiny_digits, out=uninterrupted, resume=True, callbacks=[listener])
    assert bundle.path == uninterrupted / BUNDLE_FILE
    assert bundle.sha256 == load_bundle(uninterrupted).sha256
    assert listener.steps_seen == []
    after = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in uninterrupted.rglob("*")}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert not changed


def copied(run, to):
    shutil.copytree(run, to)
    (to / BUNDLE_FILE).unlink()
    return to


@pytest.mark.parametrize(
    ("change", "described"),
    [
        ({"seed": 3}, "seed: 0 then, 3 now"),
        ({"training__steps": 80}, "training.steps: 60 then, 80 now"),
        ({"gan__loss": "hinge"}, "gan.loss: nonsaturating then, hinge now"),
        ({"encoder__width": 2}, "encoder.width: 1 then, 2 now"),
    ],
)
def test_resume_with_other_settings_names_them(
    change, described, uninterrupted, tiny_digits, tmp_path
):
    run = copied(uninterrupted, tmp_path / "run")
    before = files(run)
    with pytest.raises(ConfigError) as caught:
        train(CONFIG.replace(**change), tiny_digits, out=run, resume=True)
    assert f"has other settings or data ({described})" in str(caught.value)
    assert "resume with the same arguments and data" in str(caught.value)
    assert files(run) == before


def test_resume_with_other_groups_raises(uninterrupted, tiny_digits, tmp_path):
    """Other groups give another split: training images would calibrate."""
    run = copied(uninterrupted, tmp_path / "run")
    groups = np.array([f"part {row // 3}" for row in range(len(tiny_digits))])
    with pytest.raises(ConfigError, match=r"settings or data .groups: None then, \w+ now."):
        train(CONFIG, replace(tiny_digits, groups=groups), out=run, resume=True)


def test_resume_with_other_data_raises(uninterrupted, tiny_digits, tmp_path):
    run = copied(uninterrupted, tmp_path / "run")
    pixels = np.array(tiny_digits.images)
    pixels[7, 3, 3] ^= 1
    other = from_arrays(pixels, np.asarray(tiny_digits.labels).astype(str), name="digits")
    labels = np.roll(np.asarray(tiny_digits.labels), 1)
    for dataset in (
        other,
        tiny_digits.subset(np.arange(230)),
        from_arrays(np.array(tiny_digits.images), labels.astype(str), name="digits"),
    ):
        with pytest.raises(ConfigError, match=r"or data \(data: \w{64} then, \w{64}"):
            train(CONFIG, dataset, out=run, resume=True)


def test_lost_checkpoint_repeats_its_stage(uninterrupted, tiny_digits, tmp_path):
    run = copied(uninterrupted, tmp_path / "run")
    (run / "checkpoints" / "encoder.safetensors").unlink()
    listener = Stopper(None, None, None)
    train(CONFIG, tiny_digits, out=run, resume=True, callbacks=[listener])
    assert {stage for stage, _ in listener.steps_seen} == {"encoder"}
    assert load_bundle(run).sha256 == load_bundle(uninterrupted).sha256


def test_temporary_files_are_removed_on_resume(uninterrupted, tiny_digits, tmp_path):
    run = copied(uninterrupted, tmp_path / "run")
    for name in (
        f".{BUNDLE_FILE}.7.1a2b3c4d.part",
        "samples/.step_000040.png.7.part",
        ".config.yaml.part",
    ):
        (run / name).write_text("half")
    (run / "checkpoints" / ".gan.part").write_text("half")
    train(CONFIG, tiny_digits, out=run, resume=True)
    assert_same_run(run, uninterrupted)


@pytest.mark.parametrize("stage", ["gan", "encoder"])
def test_failure_persists_after_resume(stage, tmp_path):
    # The losses overflow within the first call; 320 images are enough to be monitored.
    breaking = {"discriminator__learning_rate": 1e12, "gan__loss": "least_squares"}
    config = CONFIG.replace(**breaking, discriminator__dropout=0.0, discriminator__norm="none")
    dataset = digits().subset(np.arange(320))
    train(config, dataset, out=tmp_path / "whole")
    stop(dataset, tmp_path / "run", stage, 10, "SIGTERM", config)
    bundle = train(config, dataset, out=tmp_path / "run", resume=True)
    assert bundle.metrics.failure.kind == "divergence"
    assert bundle.metrics.steps["gan"] == 10
    assert all(np.isfinite(w).all() for w in bundle.networks["generator"].weights.values())
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_damaged_checkpoint_raises(uninterrupted, tiny_digits, tmp_path):
    run = copied(uninterrupted, tmp_path / "run")
    file = run / "checkpoints" / "gan.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"gan\.safetensors is damaged"):
        train(CONFIG, tiny_digits, out=run, resume=True)


# ---------------------------------------------------------------- the folder


def test_folder_without_a_run_is_not_resumed(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="holds no training to resume"):
        RunFolder(tmp_path, "digits", IDENTITY, resume=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null"])
def test_run_with_damaged_identity_raises(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match="holds no training to resume"):
        RunFolder(tmp_path, "digits", IDENTITY, resume=True)


def test_run_without_identity_starts(tmp_path):
    (tmp_path / ".run.json.part").write_text("")
    RunFolder(tmp_path, "digits", IDENTITY, resume=True)
    assert json.loads((tmp_path / "run.json").read_text()) == IDENTITY


def test_unfinished_run_without_resume_raises_with_a_hint(tmp_path):
    RunFolder(tmp_path / "run", "digits", IDENTITY)
    with pytest.raises(DataError, match=r"exists already; continue with --resume, or name a new"):
        RunFolder(tmp_path / "run", "digits", IDENTITY)


def test_resume_without_a_run_starts(tmp_path):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY, resume=True)
    assert not run.finished
    assert json.loads((run.path / "run.json").read_text()) == IDENTITY


def test_second_training_in_a_folder_raises(tmp_path):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY)
    with pytest.raises(DataError, match=r"another training is writing .*run; wait for it"):
        RunFolder(tmp_path / "run", "digits", IDENTITY, resume=True)
    del run
    RunFolder(tmp_path / "run", "digits", IDENTITY, resume=True)


def test_lock_is_held_until_the_process_ends(tmp_path):
    RunFolder(tmp_path / "run", "digits", IDENTITY)
    hold = (
        "import fcntl, os, sys, time\n"
        "folder = os.open(sys.argv[1], os.O_RDONLY)\n"
        "fcntl.flock(folder, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path / "run"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(DataError, match="another training is writing"):
        RunFolder(tmp_path / "run", "digits", IDENTITY, resume=True)
    process.kill()
    process.communicate()
    run = RunFolder(tmp_path / "run", "digits", IDENTITY, resume=True)
    descriptor = os.open(run.path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


LINES = [
    {"stage": "gan", "step": 10, "d_loss": 1.5},
    {"stage": "gan", "step": 20, "d_loss": None},
    {"stage": "gan", "step": 30, "d_loss": 1.25},
    {"stage": "encoder", "step": 10, "image_loss": 0.5},
]


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ({}, []),
        ({"gan": 0}, []),
        ({"gan": 20}, [0, 1]),
        ({"gan": 25}, [0, 1]),
        ({"gan": 30, "encoder": 10}, [0, 1, 2, 3]),
        ({"encoder": 10}, [3]),
    ],
)
@pytest.mark.parametrize(
    "torn", ["", '{"stage": "gan", "st', "{", '{"stage": "gan", "step": 30, "d']
)
def test_log_is_cut_to_the_checkpoints(tmp_path, steps, kept, torn):
    run = RunFolder(tmp_path, "digits", IDENTITY)
    whole_lines = [json.dumps(line) + "\n" for line in LINES]
    (tmp_path / "metrics.jsonl").write_text("".join(whole_lines) + torn)
    run.truncate_log(steps)
    assert (tmp_path / "metrics.jsonl").read_text() == "".join(whole_lines[i] for i in kept)


def test_incomplete_last_line_is_repaired(tmp_path):
    run = RunFolder(tmp_path, "digits", IDENTITY)
    run.truncate_log({})
    assert not (tmp_path / "metrics.jsonl").exists()
    (tmp_path / "metrics.jsonl").write_text(json.dumps(LINES[0]))
    run.truncate_log({"gan": 10})
    assert (tmp_path / "metrics.jsonl").read_text() == json.dumps(LINES[0]) + "\n"


def make_run(name, *, finished=False, identity=IDENTITY):
    folder = Path("runs", name)
    RunFolder(folder, "x", identity)
    if finished:
        (folder / BUNDLE_FILE).write_bytes(b"")
    return folder


def test_newest_unfinished_run_is_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def resumed(data):
        return RunFolder(None, data, IDENTITY, resume=True).path

    assert resumed("parts").name.endswith("-parts")
    (new,) = Path("runs").iterdir()
    shutil.rmtree(new)
    make_run("20250101-000000-parts")
    last = make_run("20250102-000000-parts")
    make_run("20250103-000000-parts", finished=True)
    make_run("20250104-000000-other")
    assert resumed("parts") == last
    (last / BUNDLE_FILE).write_bytes(b"")
    assert resumed("parts").name == "20250101-000000-parts"
    (Path("runs/20250101-000000-parts") / BUNDLE_FILE).write_bytes(b"")
    assert resumed("parts").name == "20250103-000000-parts"


def test_data_with_the_same_name_is_not_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = make_run("20250101-000000-good")
    make_run("20250102-000000-good", identity=IDENTITY | {"data": "of another folder"})
    make_run("20250103-000000-good-2", identity=IDENTITY | {"data": "called good-2"})
    assert RunFolder(None, "good", IDENTITY, resume=True).path == mine


def test_data_with_a_longer_name_is_not_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = make_run("20250101-000000-parts")
    make_run("20250102-000000-parts-of-others")
    assert RunFolder(None, "parts", IDENTITY, resume=True).path == mine


# ---------------------------------------------------------------- signals


@pytest.fixture
def python_s_own_handler():
    """Restore Python's handler, because a background process of a shell ignores SIGINT."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("python_s_own_handler")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_stop_on_signals_records_the_signal_and_restores_handlers(name):
    number = getattr(signal, name)
    former = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert stop() is None
        os.kill(os.getpid(), number)
        assert stop() == name
        # One who insists is obeyed at once.
        assert signal.getsignal(number) == former
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert signal.getsignal(number) == former


def test_stop_on_signals_outside_the_main_thread_returns_none():
    results = []

    def work():
        with stop_on_signals() as stop:
            results.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [None]


# ---------------------------------------------------------------- the command line

CLI = [
    "train",
    "digits",
    "--steps",
    "20",
    "--task",
    "generate",
    "--no-store-latents",
    "--set=gan.architecture=mlp",
    "--set=training.batch_size=8",
    *(f"--set={stage}.width=1" for stage in ("generator", "discriminator", "classifier")),
]


def test_resume_option_on_a_new_folder_starts(tmp_path):
    from augan_cli.main import app

    command = [*CLI, "--resume", "--json", "--out", str(tmp_path / "run")]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.stderr
    new = "does not exist, so a new training starts there"
    assert f"{tmp_path / 'run'} {new}" in first.stderr
    assert "was already complete" not in first.stderr
    rerun = CliRunner().invoke(app, command)
    assert rerun.exit_code == 0, rerun.stderr
    assert f"{tmp_path / 'run' / BUNDLE_FILE} was already complete" in rerun.stderr
    assert new not in rerun.stderr
    one, other = json.loads(first.stdout), json.loads(rerun.stdout)
    assert one.keys() == other.keys()
    without = CliRunner().invoke(app, [word for word in command if word != "--resume"])
    assert without.exit_code == 2
    assert "continue with --resume" in without.stderr
    seeded = CliRunner().invoke(app, [*command, "--seed", "5"])
    assert seeded.exit_code == 2
    assert "seed: 0 then, 5 now" in seeded.stderr


def augan(*words, **more):
    code = "from augan_cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


LONG = [*CLI[:2], "--steps", "1200", *CLI[4:]]


def kill_and_resume(out, number, moment):
    """Send `number` to a training `moment` seconds after its first checkpoint; then resume."""
    process = augan(*LONG, "--out", out)
    while not (out / "checkpoints" / "gan.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(moment)
    process.send_signal(number)
    _, stderr = process.communicate()
    assert not (out / BUNDLE_FILE).exists(), "it was over before the signal came"
    resumed = augan(*LONG, "--out", out, "--resume")
    _, errors = resumed.communicate()
    assert resumed.returncode == 0, errors
    return process.returncode, stderr


def inspected(run):
    process = augan("inspect", run, "--json")
    contents = json.loads(process.communicate()[0])
    return contents


@pytest.mark.slow
def test_killed_process_is_resumed(tmp_path):
    uninterrupted = augan(*LONG, "--out", tmp_path / "whole")
    assert uninterrupted.wait() == 0
    expected = inspected(tmp_path / "whole")
    assert load_bundle(tmp_path / "whole").sha256
    for run, number in (("killed", signal.SIGKILL), ("ended", signal.SIGTERM)):
        code, stderr = kill_and_resume(tmp_path / run, number, random.uniform(0, 0.5))
        assert load_bundle(tmp_path / run).sha256 == load_bundle(tmp_path / "whole").sha256
        described = inspected(tmp_path / run)
        same = [key for key in expected if "path" not in key and "created" not in key]
        assert {k: described[k] for k in same} == {k: expected[k] for k in same}
        logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in (run, "whole")]
        assert logs[0] == logs[1]
        if number == signal.SIGTERM:
            assert code == 2
            assert "stopped by SIGTERM after step" in stderr
            assert "--resume continues from there" in stderr
        else:
            assert code == -signal.SIGKILL
