"""Tests of `augan.training.run_folder`."""

import csv
import json
import math
import os
import time
from pathlib import Path

import pytest

from augan.bundle import DetectorSection, FittedMethod, Network, NetworkSpec, save_bundle
from augan.config import Config
from augan.exceptions import BundleError, DataError
from augan.io.layout import BUNDLE_FILE
from augan.training.budget import StageBudget
from augan.training.run_folder import RunFolder, find_bundle
from tests._helpers import make_bundle

IDENTITY = {"seed": 0, "data": "1234"}
BUDGET = StageBudget(steps=40, started=0.0, deadline=None)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_folder_accepts_a_new_or_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "a" / "b" / "new"):
        run = RunFolder(path, "digits", IDENTITY)
        assert run.path == path
        assert {p.name for p in path.iterdir()} == {"run.json"}
        assert json.loads((path / "run.json").read_text(encoding="utf-8")) == IDENTITY


def test_run_folder_refuses_an_occupied_folder(tmp_path):
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


def test_runs_of_the_same_second_have_different_folders(here):
    runs = [RunFolder(None, "digits", IDENTITY).path for _ in range(5)]
    assert len(set(runs)) == 5
    assert all(path.is_dir() for path in runs)


def test_losses_are_logged_as_json_lines(tmp_path):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY)
    run.on_progress("gan", 20, BUDGET, {"d_loss": 1.5, "g_loss": 0.25})
    run.on_progress("encoder", 10, BUDGET, {"image_loss": 3.0})
    lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"stage": "gan", "step": 20, "d_loss": 1.5, "g_loss": 0.25},
        {"stage": "encoder", "step": 10, "image_loss": 3.0},
    ]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_log_writes_null_for_losses_that_are_not_finite(tmp_path, loss):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY)
    run.on_progress("gan", 20, BUDGET, {"d_loss": loss})

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    line = (run.path / "metrics.jsonl").read_text(encoding="utf-8")
    assert json.loads(line, parse_constant=refuse) == {"stage": "gan", "step": 20, "d_loss": None}


def test_write_text_and_json_replace_files(tmp_path):
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


def test_skipped_files_with_undecodable_names_are_listed(tmp_path):
    run = RunFolder(tmp_path / "run", "digits", IDENTITY)
    run.write_skipped([(os.fsdecode(b"\xff/\xe9.png"), "it is empty"), ("é.png", "so is this")])
    written = (run.path / "skipped.csv").read_bytes()
    assert written == b"path,reason\n\xff/\xe9.png,it is empty\n\xc3\xa9.png,so is this\n"


def test_latest_links_to_the_run_that_finished_last(here):
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


def test_latest_links_to_a_run_given_by_its_absolute_path(here):
    RunFolder(here / "runs" / "mine", "a", IDENTITY).finish()
    assert (here / "runs" / "latest").resolve() == (here / "runs" / "mine").resolve()


def test_a_folder_named_latest_is_not_replaced(here):
    (here / "runs" / "latest").mkdir(parents=True)
    (here / "runs" / "latest" / "notes.txt").write_text("mine")
    RunFolder("runs/mine", "a", IDENTITY).finish()
    assert (here / "runs" / "latest" / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in (here / "runs").iterdir()) == ["latest", "mine"]


DETECTOR = DetectorSection((FittedMethod("fanogan", ()),))


def save_run(folder, *, age, **parts):
    """Save a bundle with a file time `age` seconds ago."""
    bundle = make_bundle(config=Config(seed=age), **parts)
    path = save_bundle(bundle, Path(folder) / BUNDLE_FILE)
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def generator(classes=0):
    return {"generator": Network(NetworkSpec("mlp", "generator", {"num_classes": classes}), {})}


def test_find_bundle_returns_the_newest_run_with_all_parts(here):
    save_run(
        "runs/a",
        age=30,
        networks=generator(),
        detector=DETECTOR,
    )
    save_run("runs/b", age=20, networks=generator())
    save_run("runs/c", age=10)
    assert find_bundle(None).config.seed == 10
    assert find_bundle(None, "generator").config.seed == 20
    assert find_bundle(None, "detector").config.seed == 30
    assert find_bundle(None, "generator", "detector").config.seed == 30
    assert find_bundle(None, "detector").path == Path("runs/a") / BUNDLE_FILE


def test_find_bundle_orders_runs_by_the_time_of_the_file(here):
    save_run("runs/z", age=30)
    save_run("runs/a", age=10)
    assert find_bundle(None).config.seed == 10


def test_find_bundle_does_not_count_the_link_latest(here):
    save_run("runs/a", age=10)
    RunFolder("runs/b", "x", IDENTITY).finish()  # it died before its bundle was saved
    save_run("runs/c", age=20)
    (here / "runs" / "latest").unlink()
    (here / "runs" / "latest").symlink_to("c")
    assert find_bundle(None).path == Path("runs/a") / BUNDLE_FILE
    with pytest.raises(BundleError, match=r"\(2 looked at\)"):
        find_bundle(None, "latents")


@pytest.mark.parametrize("part", ["detector", "generator", "classes", "latents"])
def test_find_bundle_without_a_suitable_run_raises(here, part):
    with pytest.raises(BundleError, match=rf"{part} \(0 looked at\); run `augan train`"):
        find_bundle(None, part)
    save_run("runs/a", age=10)
    with pytest.raises(BundleError, match=r"\(1 looked at\)") as caught:
        find_bundle(None, part)
    assert part in str(caught.value)
    assert "--model" in str(caught.value)


def test_find_bundle_loads_the_named_model(here):
    path = save_run("elsewhere", age=10, networks=generator(2))
    save_run("runs/newer", age=1, networks=generator(), detector=DETECTOR)
    for model in (path, path.parent, str(path)):
        assert find_bundle(model).config.seed == 10
        assert find_bundle(model, "generator").config.seed == 10
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
def test_find_bundle_skips_damaged_runs(here, damage):
    save_run("runs/good", age=20)
    damaged = save_run("runs/bad", age=10)
    damage(damaged)
    said = []
    assert find_bundle(None, warn=said.append).config.seed == 20
    if damaged.exists():  # a link that leads nowhere is no bundle
        (sentence,) = said
        assert sentence.startswith("left out: ")
        assert str(damaged) in sentence
    assert find_bundle(None).config.seed == 20  # nobody has to listen
    with pytest.raises(BundleError, match=r"runs/bad"):
        find_bundle("runs/bad")
    (here / "runs" / "good" / BUNDLE_FILE).unlink()
    if damaged.exists():
        with pytest.raises(BundleError, match=r"\(1 looked at, 1 of them damaged\)"):
            find_bundle(None)


def test_find_bundle_ignores_other_folders(here):
    save_run("elsewhere/a", age=10)
    save_run("runs", age=5)
    save_run("runs/a/b", age=5)
    with pytest.raises(BundleError, match=r"\(0 looked at\)"):
        find_bundle(None)
