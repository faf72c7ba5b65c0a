"""The command line: its three commands verbatim, every option, and every way to be wrong."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from augan import load_bundle
from augan.bundle import Bundle, save_bundle
from augan.config import Config
from augan.data.datasets import digits
from augan.io.images import read_image, write_png
from augan_cli.main import app

Result = Any  # typer's testing module has no public name for what a command returned
Augan = Callable[..., Result]

NARROW = [
    f"--set={key}=8"
    for key in (
        "gan.latent_dim",
        "generator.width",
        "discriminator.width",
        "encoder.width",
        "classifier.width",
    )
]
SMALL = ["--steps", "20", *NARROW, "--set", "training.batch_size=32"]
EXPECTED_ON_STDERR = {
    "train": r"images/: |digits: |(gan|encoder|classifier) +\d+%  step ",
    "augment": r"model: runs/\S+/bundle\.augan$",
    "detect": r"model: runs/\S+/bundle\.augan$",
}


def shell(command: str, folder: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a command line as a user would, in `folder`."""
    place = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{place}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.run(
        command.split(),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def tree(folder: Path) -> dict[str, str]:
    """Every file, folder and link below `folder`, with what it holds."""

    def content(path: Path) -> str:
        if path.is_symlink():
            return f"-> {os.readlink(path)}"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"

    return {path.relative_to(folder).as_posix(): content(path) for path in folder.rglob("*")}


def read_table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def only_object(result: Result) -> dict[str, Any]:
    """The one JSON object that standard output consists of."""
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    return value


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def augan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Augan:
    """Run a command in an empty folder and expect success."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        result = invoke(*arguments)
        assert result.exit_code == 0, result.stderr
        return result

    return run


def add_run(bundle: Bundle, name: str, age: float = 0.0) -> Path:
    """Save a copy of `bundle` as the run `name` below the current folder, `age` seconds old."""
    file = save_bundle(replace(bundle), Path("runs", name, "bundle.augan"))
    when = time.time() - age
    os.utime(file, (when, when))
    return file


def without_detector(bundle: Bundle) -> Bundle:
    kept = {k: v for k, v in bundle.tables.items() if k not in ("detector", "calibration")}
    return replace(bundle, detector=None, tables=kept)


def write_digits(folder: Path, count: int, by_class: bool = False) -> Path:
    data = digits("test")
    for row in range(count):
        place = folder / str(np.asarray(data.labels)[row]) if by_class else folder
        place.mkdir(parents=True, exist_ok=True)
        write_png(place / f"{row:03d}.png", data.images[row])
    return folder


# The main job -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first_light(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder in which the three commands ran, verbatim and in order, and what they said."""
    folder = tmp_path_factory.mktemp("empty")
    said: dict[str, Any] = {}
    for command in (
        "augan train",
        "augan augment --class 3 --n 5000",
        "augan detect images/",
    ):
        done = shell(command, folder)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        said[command.split()[1]] = done
    return folder, said


def test_the_three_commands_in_an_empty_folder(first_light: tuple[Path, dict]) -> None:
    folder, _ = first_light
    assert sorted(path.name for path in folder.iterdir()) == ["images", "runs"]
    runs = sorted(path.name for path in (folder / "runs").iterdir())
    assert runs[1:] == ["latest"]
    assert re.fullmatch(r"\d{8}-\d{6}-digits", runs[0])
    assert (folder / "runs" / "latest").is_symlink()
    run = (folder / "runs" / "latest").resolve()
    assert run == (folder / "runs" / runs[0]).resolve()
    assert load_bundle(run).data["name"] == "digits"
    assert {"bundle.augan", "config.yaml", "metrics.jsonl", "samples"} <= set(os.listdir(run))
    assert list((run / "samples").glob("step_*.png"))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["stage"] for line in lines} == {"gan", "encoder", "classifier"}


def test_the_three_commands_say_nothing_but_their_own(first_light: tuple[Path, dict]) -> None:
    for name, done in first_light[1].items():
        for line in done.stderr.splitlines():
            assert re.match(EXPECTED_ON_STDERR[name], line), f"{name}: {line}"
        chatter = r"tensorflow|keras|cuda|onednn|avx|traceback|warning|\x1b|\r"
        assert not re.search(chatter, done.stdout, re.I), name
    assert re.search(r"^time: .*gan .*encoder ", first_light[1]["train"].stdout, re.M)


def test_5000_images_of_a_class(first_light: tuple[Path, dict]) -> None:
    (out,) = (first_light[0] / "runs" / "latest").glob("augment-*/")
    assert sorted(os.listdir(out)) == ["3", "manifest.csv", "report.html", "summary.json"]
    rows = read_table(out / "manifest.csv")
    assert len(rows) == 5000
    assert {f"3/{name}" for name in os.listdir(out / "3")} == {row["file"] for row in rows}
    assert len({row["file"] for row in rows}) == 5000
    assert {(row["class"], row["decision"]) for row in rows} == {("3", "accepted")}
    for row in rows[::97]:
        raw = (out / row["file"]).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == row["sha256"]
        assert read_image(out / row["file"]).shape == (8, 8, 1)
    assert len({row["sha256"] for row in rows}) > 4900


def test_scores_of_the_example_images(first_light: tuple[Path, dict]) -> None:
    folder, said = first_light
    rows = read_table(folder / "runs" / "latest" / "detect-images" / "scores.csv")
    assert list(rows[0])[:4] == ["path", "score", "p_value", "anomaly"]
    terms = list(rows[0])[4:]
    assert terms == ["feature_neighbors", "mahalanobis", "input_neighbors"]
    assert sorted(row["path"] for row in rows) == sorted(os.listdir(folder / "images"))
    for row in rows:
        assert float(row["score"]) == pytest.approx(sum(float(row[term]) for term in terms))
        assert 0 < float(row["p_value"]) <= 1
        assert row["anomaly"] == str(int(float(row["p_value"]) <= 0.05))
    scores = {
        kind: [float(row["score"]) for row in rows if row["path"].startswith(kind)]
        for kind in ("digit", "outlier")
    }
    assert (len(scores["digit"]), len(scores["outlier"])) == (60, 12)
    assert np.mean(scores["outlier"]) > np.mean(scores["digit"]) + np.std(scores["digit"])
    flagged = sum(row["anomaly"] == "1" for row in rows)
    assert f"{flagged} of 72 images flagged" in said["detect"].stdout


def test_a_trained_model_redraws_what_it_is_shown(first_light: tuple[Path, dict]) -> None:
    from augan.bundle import restore_network
    from augan.data.modalities.registry import restore_preprocessing
    from augan.detect.methods.fanogan import FAnoGAN
    from augan.detect.methods.registry import METHODS

    bundle = load_bundle(first_light[0] / "runs" / "latest")
    models = {role: restore_network(bundle, role) for role in METHODS["fanogan"].required_networks}
    images = restore_preprocessing(bundle.preprocessing).normalize(digits("test").images[:50])
    again = FAnoGAN(models).reconstruct(images)
    own = np.square(images - again).mean(axis=(1, 2, 3))
    another = np.square(images - np.roll(again, 1, axis=0)).mean(axis=(1, 2, 3))
    # On a busy machine the default minutes end the training early, so no more is asked.
    assert own.mean() < another.mean()
    assert again.std(axis=0).max() > 0.05


def test_a_rerun_of_detect_replaces_its_folder(
    first_light: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(first_light[0])
    out = Path("runs/latest/detect-images")
    before = tree(out)
    (out / "overlays" / "stale.png").write_text("from before")
    assert invoke("detect", "images/").exit_code == 0
    assert tree(out) == before  # another process: the same bytes
    assert not [name for name in os.listdir("runs/latest/") if name.startswith(".")]


# Training -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A run with most options at once, on class folders; what it printed."""
    folder = tmp_path_factory.mktemp("labeled")
    write_digits(folder / "parts" / "train", 230, by_class=True)
    (folder / "parts" / "test" / "0").mkdir(parents=True)
    (folder / "parts" / "test" / "0" / "broken.png").write_bytes(b"training never reads this")
    (folder / "mine.yaml").write_text("seed: 3\ntraining:\n  steps: 999\ndetect:\n  far: 0.2\n")
    files = sorted((folder / "parts" / "train").rglob("*.png"))
    with open(folder / "groups.csv", "w", encoding="utf-8") as table:
        table.write("path,group\n")
        for row, file in enumerate(files):
            table.write(f"{file.relative_to(folder)},pair {row // 2}\n")
        table.write("parts/elsewhere.png,ignored\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = "--out trained/here --config mine.yaml --groups groups.csv --seed 7 --json"
        result = invoke("train", "parts", *options.split(), *SMALL)
        yield folder, only_object(result)


def test_options_of_train_reach_the_bundle(labeled: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = labeled
    bundle = load_bundle(folder / "trained" / "here")
    assert summary["bundle"] == "trained/here/bundle.augan"
    assert summary["id"] == bundle.bundle_id
    assert (summary["task"], summary["data"]["num_samples"]) == ("both", 230)
    config = Config.from_dict(bundle.config)
    assert config.seed == 7  # an option comes before the file
    assert config.training.steps == 20
    assert config.training.max_minutes is None
    assert (config.detect.far, config.generator.width) == (0.2, 8)
    assert bundle.metrics["steps"] == {"gan": 20, "encoder": 10, "classifier": 5}
    assert bundle.data["class_names"] == list("0123456789")
    assert all(bundle.has(part) for part in ("generator", "classes", "detector", "latents"))
    assert {"gan", "encoder", "classifier"} <= summary["seconds"].keys()
    written = yaml.safe_load((folder / "trained/here/config.yaml").read_text())
    assert written == bundle.config


def test_groups_stay_on_one_side(labeled: tuple[Path, dict[str, Any]]) -> None:
    bundle = load_bundle(labeled[0] / "trained" / "here")
    split = bundle.tables["split"]
    assert sorted(np.concatenate(list(split.values())).tolist()) == list(range(230))
    calibration = bundle.tables["calibration"]
    assert 2 * calibration["num_groups"] == len(calibration["scores"]) == len(split["calibration"])


def test_a_run_elsewhere_touches_no_runs(labeled: tuple[Path, dict[str, Any]]) -> None:
    names = {path.name for path in labeled[0].iterdir()}
    assert names == {"parts", "mine.yaml", "groups.csv", "trained"}


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose older run can detect only, and whose newest can generate only."""
    folder = tmp_path_factory.mktemp("flat")
    write_digits(folder / "parts", 130)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert invoke("train", "parts", *SMALL).exit_code == 0
        options = ["--task", "generate", "--no-store-latents"]
        assert invoke("train", "parts", *options, *SMALL, "--out", "runs/second").exit_code == 0
        yield folder


@pytest.mark.slow
def test_tasks_decide_what_is_trained(flat: Path) -> None:
    second = flat / "runs" / "second"
    (first,) = (path for path in (flat / "runs").glob("2*-parts") if path != second)
    detecting, generating = load_bundle(first), load_bundle(second)
    assert detecting.config["task"] == "detect"  # auto, with one class
    assert detecting.networks.keys() == {"generator", "discriminator", "heads", "rotation"}
    assert not detecting.has("classes")
    assert len(detecting.tables["split"]["calibration"]) == 130 // 3
    assert generating.networks.keys() == {"generator", "discriminator", "rotation"}
    assert generating.tables.keys() == {"split"}
    assert generating.detector is None
    assert len(generating.tables["split"]["calibration"]) == 0


@pytest.mark.slow
def test_latest_is_the_newest_of_the_runs(flat: Path) -> None:
    assert os.readlink(flat / "runs" / "latest") == "second"


@pytest.mark.slow
def test_a_command_takes_the_newest_run_that_serves(
    flat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(flat)
    detected = invoke("detect", "parts", "--out", flat / "a")
    generated = invoke("generate", "--n", 3, "--out", flat / "b")
    assert (detected.exit_code, generated.exit_code) == (0, 0)
    assert re.fullmatch(r"model: runs/2\S+-parts/bundle\.augan\n", detected.stderr)
    assert generated.stderr == "model: runs/second/bundle.augan\n"
    assert {row["class"] for row in read_table(flat / "b" / "manifest.csv")} == {""}


@pytest.mark.slow
def test_augment_without_classes_is_refused(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(flat)
    for model in ([], ["--model", "runs/second"]):
        result = invoke("augment", "--class", "0", "--n", 1, *model)
        assert_error(result, "class")
        assert "train" in result.stderr


@pytest.mark.parametrize("task", ["generate", "detect", "both", "auto"])
def test_dry_run_writes_nothing_and_prints_settings(augan: Augan, task: str) -> None:
    result = augan("train", "--dry-run", "--task", task, "--set", "generator.width=16")
    settings = Config.from_dict(yaml.safe_load(result.stdout))
    assert settings.task == ("both" if task == "auto" else task)
    assert settings.generator.width == 16
    assert settings.data.size == 8
    assert settings.training.steps
    assert settings.training.max_minutes
    assert settings.generator.learning_rate
    assert os.listdir() == []


def test_dry_run_counts_unlabeled_images(augan: Augan) -> None:
    write_digits(Path("photos/train"), 20, by_class=True)
    write_digits(Path("photos/unlabeled"), 7)
    result = augan("train", "photos", "--dry-run")
    assert "photos: 20 images of 9 classes and 7 unlabeled as 8x8 gray; task both" in result.stderr
    alone = augan("train", "photos", "--dry-run", "--task", "detect")
    assert "photos: 20 images of 9 classes as" in alone.stderr
    assert alone.stderr.count("the 7 unlabeled images are not used") == 1


def test_dry_run_as_json(augan: Augan) -> None:
    as_text = augan("train", "--dry-run", "--steps", 5, "--seed", 4)
    as_json = augan("train", "--dry-run", "--steps", 5, "--seed", 4, "--json")
    assert only_object(as_json) == yaml.safe_load(as_text.stdout)
    assert only_object(as_json)["training"]["steps"] == 5


def test_max_minutes_alone_leaves_steps_open(augan: Augan) -> None:
    settings = only_object(augan("train", "--dry-run", "--max-minutes", 0.5, "--json"))
    assert settings["training"]["max_minutes"] == 0.5
    assert settings["training"]["steps"] is None


def test_what_dry_run_prints_is_a_configuration(augan: Augan) -> None:
    first = augan("train", "--dry-run", "--seed", 9)
    Path("again.yaml").write_text(first.stdout)
    assert augan("train", "--dry-run", "--config", "again.yaml").stdout == first.stdout


@pytest.mark.slow
def test_max_minutes_covers_everything(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = shell("augan train --max-minutes 0.5 --json", tmp_path)
    wall = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert wall < 33
    assert sum(summary["seconds"].values()) == pytest.approx(wall, abs=3)
    assert summary["metrics"]["steps"]["gan"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detect", "generate"])
def test_tasks_on_classes(augan: Augan, task: str) -> None:
    write_digits(Path("parts"), 130, by_class=True)
    augan("train", "parts", "--task", task, *SMALL)
    bundle = load_bundle("runs/latest")
    assert bundle.has("detector") == (task == "detect")
    assert bundle.has("classes") == (task == "generate")


@pytest.mark.slow
def test_an_npz_file(augan: Augan) -> None:
    data = digits()
    np.savez("parts.npz", x=np.asarray(data.images)[:130], y=np.asarray(data.labels)[:130])
    result = augan("train", "parts.npz", *SMALL)
    assert "bundle: runs/" in result.stdout
    assert load_bundle("runs/latest").data["name"] == "parts"


# Using a bundle -----------------------------------------------------------------------------------


def test_augment(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    unfiltered = ("augment", "--no-filter", "--class", "3", "--n", 7)
    by_number = only_object(augan(*unfiltered, "--seed", 2, "--json"))
    assert by_number["num_samples"] == 7
    out = Path(by_number["out"])
    assert out.parent == Path("runs/a")
    assert {"3", "7", "2"} <= set(re.findall(r"\d+", out.name))
    assert len(list((out / "3").glob("*.png"))) == 7
    assert Path(by_number["picture"]).parent != out  # there it would count as data
    result = augan(*unfiltered, "--seed", 2, "--out", "made")
    assert "7 images of class 3 in made" in result.stdout
    assert tree(Path("made")) == tree(out)
    moved = augan(*unfiltered, "--out", "moved", "--transform", "shift")
    assert moved.exit_code == 0
    assert {row["transform"] for row in read_table(Path("moved/manifest.csv"))} == {"shift"}


def test_augment_several_classes(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    both = only_object(
        augan("augment", "--no-filter", "--class", "3", "--class", "7", "--n", 2, "--json")
    )
    assert (both["classes"], both["num_samples"]) == (["3", "7"], 4)
    assert [found["accepted"] for found in both["acceptance"]] == [2, 2]
    made = only_object(augan("augment", "--no-filter", "--balance", "--balance-to", 30, "--json"))
    counts = digits_bundle.data["class_counts"]
    for name, count in zip(digits_bundle.data["class_names"], counts):
        assert len(list(Path(made["out"], name).glob("*.png"))) == 30 - count
    plain = augan("augment", "--no-filter", "--balance", "--out", "plain").stdout
    assert f"{sum(max(counts) - count for count in counts)} images in plain" in plain


def test_generate(augan: Augan, digits_bundle: Bundle) -> None:
    counts = [1, 0, 3, 0, 0, 0, 0, 0, 0, 0]
    add_run(replace(digits_bundle, data={**digits_bundle.data, "class_counts": counts}), "a")
    summary = only_object(augan("generate", "--n", 200, "--json"))
    out = Path(summary["out"])
    assert out.parent == Path("runs/a")
    names = [path.name for path in out.iterdir()]
    assert len([name for name in names if name.endswith(".png")]) == 200
    assert not [path for path in out.iterdir() if path.is_dir()]
    classes = [row["class"] for row in read_table(out / "manifest.csv")]
    assert set(classes) == {"0", "2"}
    assert 119 <= classes.count("2") <= 181  # 150, give or take five standard deviations
    augan("generate", "--n", 3, "--out", "made", "--seed", 0)
    assert (Path("made/000002.png")).read_bytes() == (out / "000002.png").read_bytes()


def test_model_names_a_run_or_a_bundle(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "new")
    older = add_run(replace(digits_bundle, metrics={"older": True}), "old", age=100)
    write_digits(Path("images"), 3)
    for model in ("runs/old", older):
        result = augan("detect", "images", "--model", model)
        assert result.stderr == f"model: {older}\n"
    assert Path("runs/old/detect-images/scores.csv").is_file()
    assert not Path("runs/new/detect-images").exists()


def test_the_newest_run_that_has_the_part(augan: Augan, digits_bundle: Bundle) -> None:
    write_digits(Path("images"), 3)
    add_run(digits_bundle, "oldest", age=200)
    add_run(replace(digits_bundle, metrics={"middle": True}), "middle", age=100)
    add_run(without_detector(digits_bundle), "newest")
    os.symlink("newest", "runs/latest")
    assert augan("detect", "images").stderr == "model: runs/middle/bundle.augan\n"
    made = augan("augment", "--class", "1", "--n", 1, "--no-filter")
    assert made.stderr == "model: runs/newest/bundle.augan\n"


def test_detect_nested_folders_with_unusable_files(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images/good/deep"), 3)
    pixels = digits("test").images[0]
    write_png("images/colour.png", np.repeat(pixels, 3, axis=-1))
    write_png("images/deep.png", pixels.astype(np.uint16) * 257)
    Path("images/empty.png").write_bytes(b"")
    Path("images/half.png").write_bytes(Path("images/good/deep/000.png").read_bytes()[:60])
    Path("images/notes.txt").write_text("no image")
    result = augan("detect", "images")
    rows = read_table(Path("runs/a/detect-images/scores.csv"))
    assert [row["path"] for row in rows] == [
        "colour.png",
        "deep.png",
        "empty.png",
        "good/deep/000.png",
        "good/deep/001.png",
        "good/deep/002.png",
        "half.png",
    ]
    unusable = {row["path"] for row in rows if row["anomaly"] == ""}
    assert unusable == {"colour.png", "deep.png", "empty.png", "half.png"}
    for name, reason in (("colour", "channel"), ("deep", "uint16"), ("empty", "empty")):
        assert re.search(rf"{name}\.png .*{reason}", result.stdout)
    summary = only_object(augan("detect", "images", "--json"))
    assert summary["num_scored"] == 3
    assert {entry["path"] for entry in summary["unreadable"]} == unusable
    assert all(entry["reason"] for entry in summary["unreadable"])


def write_as(name: bytes, content: bytes) -> None:
    """Write a file whose name is no text, where the file system takes such names."""
    place = os.path.dirname(name)
    os.makedirs(place, exist_ok=True)
    try:
        with open(name, "wb") as file:
            file.write(content)
    except OSError as error:
        pytest.skip(f"no such names here: {error}")


def test_detect_files_whose_names_are_no_text(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 12)
    write_as(b"images/part\xff/\xe9.png", Path("images/000.png").read_bytes())
    write_as(b"images/\xfe-bad.png", b"no image")
    said = augan("detect", "images", "--far", "0.9").stdout
    assert r"unreadable: \udcfe-bad.png (" in said
    assert r"  part\udcff/\udce9.png" in said  # of the highest scores, which are flagged
    out = Path("runs/a/detect-images")
    table = (out / "scores.csv").read_bytes()
    lines = {line.split(b",")[0]: line.split(b",") for line in table.splitlines()}
    assert lines[b"part\xff/\xe9.png"][1:] == lines[b"000.png"][1:]
    assert lines[b"part\xff/\xe9.png"][3] == b"1"
    assert set(lines[b"\xfe-bad.png"][1:]) == {b""}
    assert os.path.isfile(b"runs/a/detect-images/overlays/part\xff/\xe9.png.png")
    summary = only_object(augan("detect", "images", "--far", "0.9", "--json"))
    assert [os.fsencode(one["path"]) for one in summary["unreadable"]] == [b"\xfe-bad.png"]
    assert b"part\xff/\xe9.png" in {os.fsencode(one["path"]) for one in summary["most_anomalous"]}
    # What is cut into shards and put together is the same to the byte.
    for share in ("0/2", "1/2"):
        augan("detect", "images", "--far", "0.9", "--shard", share, "--out", f"s{share[0]}")
    augan("merge", "whole", "s0", "s1")
    assert Path("whole/scores.csv").read_bytes() == table


def test_train_beside_a_file_whose_name_is_no_text(augan: Augan) -> None:
    write_digits(Path("images"), 30)
    write_as(b"images/\xff.png", Path("images/000.png").read_bytes())
    write_as(b"images/\xfe.png", b"no image")
    widths = [setting for setting in NARROW if "latent" not in setting]
    small = [*widths, "--set=gan.architecture=mlp", "--set=gan.latent_dim=4"]
    small += ["--set=training.batch_size=8", "--set=evaluation.enabled=false"]
    said = augan("train", "images", "--out", "run", "--task", "generate", "--steps", 2, *small)
    assert "1 file could not be read; see skipped.csv" in said.stdout
    (header, line) = Path("run/skipped.csv").read_bytes().splitlines()
    assert header == b"path,reason"
    assert line.startswith(b"\xfe.png,")
    assert load_bundle("run").data["num_samples"] == 31


def test_detect_one_image(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 2)
    augan("detect", "images/001.png", "--out", "scores")
    (row,) = read_table(Path("scores/scores.csv"))
    assert row["path"] == "001.png"
    summary = only_object(augan("detect", "images/001.png", "--json"))
    assert Path(summary["out"]).parent == Path("runs/a")


def test_detect_at_a_rate(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 40)
    counts = {}
    for far in (0.01, 0.5):
        summary = only_object(augan("detect", "images", "--far", far, "--json"))
        assert summary["guarantee"]["far"] == far
        counts[far] = summary["num_anomalies"]
    assert counts[0.01] < counts[0.5]
    assert 5 < counts[0.5] < 35


def test_detect_ends_with_1_on_request(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 30)
    image = np.full((8, 8, 1), 255, np.uint8)
    image[:4, 4:] = 0
    write_png(Path("images/odd.png"), image)
    write_png(Path("mask.png"), image)
    wanted = ("detect", "images", "--far", "0.2", "--json", "--fail-on-anomaly")
    done = invoke(*wanted, "--save-maps", "--ignore-mask", "mask.png")
    summary = json.loads(done.stdout)
    assert (done.exit_code, summary["num_anomalies"] > 0) == (1, True)
    out = Path(summary["out"])
    assert Path(summary["report"]) == out / "report.html"
    assert (out / "report.html").is_file()
    assert (out / "scores.csv").is_file()
    assert len(list((out / "maps").iterdir())) == 31
    assert (summary["method"], summary["methods"]) == ("auto", ["auto", "fanogan"])
    assert summary["ignored"] == 0.75
    assert augan(*wanted[:-1]).exit_code == 0
    quiet = invoke("detect", "images/000.png", "--far", "0.01", "--fail-on-anomaly")
    assert quiet.exit_code == ("1 of 1" in quiet.stdout)
    assert "Exit with 1" in re.sub(r"[\s│]+", " ", invoke("detect", "--help").stdout)


def test_inspect(augan: Augan, digits_bundle: Bundle) -> None:
    file = add_run(digits_bundle, "a")
    shown = only_object(augan("inspect", "runs/a", "--json"))
    assert shown == only_object(augan("inspect", file, "--json"))
    assert shown["id"] == digits_bundle.bundle_id
    assert shown["networks"].keys() == {"generator", "discriminator", "encoder", "classifier"}
    assert shown["calibration_size"] == 99
    assert yaml.safe_load(augan("inspect", "runs/a").stdout)["id"] == shown["id"]


def test_inspect_builds_nothing(tmp_path: Path, digits_bundle: Bundle) -> None:
    shutil.copy(str(digits_bundle.path), tmp_path / "bundle.augan")
    heavy = imported_by("inspect", str(tmp_path))
    assert not heavy & {"tensorflow", "keras", "sklearn", "pandas"}


# Starting -----------------------------------------------------------------------------------------


def imported_by(*arguments: str) -> set[str]:
    """Top-level packages that a command imports in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "augan_cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = "tensorflow keras sklearn imblearn pandas scipy numpy yaml PIL albumentations"
    imported = imported_by(*arguments)
    assert "typer" in imported
    assert not imported & set(heavy.split())


def test_help_names_the_commands(augan: Augan) -> None:
    printed = augan("--help").stdout
    for command in ("train", "augment", "generate", "detect", "inspect"):
        assert re.search(rf"\b{command}\b", printed)
        assert "--debug" in augan(command, "--help").stdout


# Every way to be wrong ----------------------------------------------------------------------------


def assert_error(result: Result, *fragments: str) -> None:
    """Exit code 2, nothing on standard output, and one line that says what is wrong."""
    assert result.exit_code == 2, (result.exit_code, result.output)
    assert result.stdout == ""
    own = r"model: |\w+: \d+ images( of \d+ classes)? as "
    lines = [line for line in result.stderr.splitlines() if not re.match(own, line)]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.stderr
    assert "unexpected" not in lines[0]
    for fragment in fragments:
        assert fragment in lines[0], lines[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, digits_bundle: Bundle) -> Path:
    """A folder with a good run and much that is bad."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        add_run(digits_bundle, "a")
        add_run(without_detector(digits_bundle), "generate-only", age=100)
        write_digits(Path("images"), 4)
        write_digits(Path("single"), 1)
        for name in ("empty", "busy", "damaged", "corrupt"):
            Path(name).mkdir()
        Path("busy/thesis.txt").write_text("mine")
        os.symlink("loop", "loop")
        whole = Path("runs/a/bundle.augan").read_bytes()
        Path("damaged/bundle.augan").write_bytes(whole[: len(whole) // 2])
        Path("flipped.augan").write_bytes(flip(whole, len(whole) // 2))
        for row in range(3):
            Path(f"corrupt/{row}.png").write_bytes(b"no image")
        Path("list.yaml").write_text("- 1\n")
        Path("groups.csv").write_text("path,group\nimages/000.png,a\n")
        save_bundle(with_unknown_method(digits_bundle), "future.augan")
        one_class = {**digits_bundle.data, "class_names": []}
        save_bundle(replace(digits_bundle, data=one_class), "one-class.augan")
    return folder


def flip(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 255]) + raw[place + 1 :]


def with_unknown_method(bundle: Bundle) -> Bundle:
    """A detector of a method that this version does not know."""
    return replace(bundle, detector={"method": "crystal-ball", "components": []})


WRONG = [
    ("train missing", ["missing", "digits"]),
    ("train empty", ["empty", "no images"]),
    ("train single", ["1 image is too few", "at least 4"]),
    ("train images/000.png", ["folder"]),
    ("train images --out busy", ["busy", "--out"]),
    ("train images --out runs/a", ["runs/a", "--out"]),
    ("train images --task both", ["classes"]),
    ("train --task paint", ["task", "paint"]),
    ("train --set gan.width=3", ["gan.width"]),
    ("train --set training.stepz=3", ["training.stepz", "training.steps"]),
    ("train --set training.steps", ["section.key=value"]),
    ("train --set training.steps=many", ["training.steps", "many"]),
    ("train --set seed.x=1", ["seed"]),
    ("train --steps 0", ["training.steps"]),
    ("train --seed -1", ["seed"]),
    ("train --max-minutes 0", ["training.max_minutes"]),
    ("train --max-minutes nan", ["training.max_minutes"]),
    ("train --config missing.yaml", ["missing.yaml"]),
    ("train --config list.yaml", ["list.yaml"]),
    ("train images --groups missing.csv", ["missing.csv"]),
    ("train images --groups groups.csv", ["groups.csv", "3 of 4"]),
    ("train digits --groups groups.csv", ["digits"]),
    ("train corrupt", ["3 of 3"]),
    ("augment --class 10 --n 1", ["'10'", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"]),
    ("augment --class 3 --n 0", ["at least 1", "0"]),
    ("augment --class 3 --n -5", ["at least 1", "-5"]),
    ("augment --class 3", ["--n", "--balance"]),
    ("augment --n 3", ["--class", "--balance"]),
    ("augment --class 3 --n 1 --balance-to 9", ["--balance"]),
    ("augment --balance --n 1", ["--n", "--balance-to"]),
    ("augment --balance --balance-to 2", ["2 real images or more", "--balance-to"]),
    ("augment --class 3 --class ten --n 1", ["'ten'", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"]),
    ("augment --class 3 --n 1 --method mix", ["mix", "sample", "interpolate"]),
    ("augment --class 3 --n 1 --training-data images", ["images", "trained on", "--training-data"]),
    ("augment --class 3 --n 1 --training-data missing", ["missing"]),
    ("augment --class 3 --n 1 --transform swirl", ["swirl", "shift"]),
    ("augment --class 3 --n 1 --out busy", ["busy"]),
    ("augment --class 3 --n 1 --out list.yaml", ["list.yaml"]),
    ("augment --class 3 --n 1 --model missing", ["missing"]),
    ("augment --class 3 --n 1 --model empty", ["empty", "bundle.augan"]),
    ("augment --class 3 --n 1 --model damaged", ["damaged/bundle.augan"]),
    ("augment --class 3 --n 1 --model flipped.augan", ["flipped.augan"]),
    ("augment --class 3 --n 1 --model list.yaml", ["list.yaml"]),
    ("augment --class 3 --n 1 --model one-class.augan", ["one-class.augan", "classes", "train"]),
    ("generate --n 0", ["at least 1"]),
    ("generate --n 1 --out busy", ["busy"]),
    ("generate --n 1 --model damaged", ["damaged"]),
    ("detect missing", ["missing"]),
    ("detect empty", ["empty"]),
    ("detect list.yaml", ["list.yaml"]),
    ("detect corrupt", ["none of the 3", "0.png", "not a PNG"]),
    ("detect images --far 0.001", ["999", "99"]),
    ("detect images --far 0", ["between 0 and 1"]),
    ("detect images --far 1", ["between 0 and 1"]),
    ("detect images --far nan", ["between 0 and 1"]),
    ("detect images --fdr 0.001", ["999", "99"]),
    ("detect images --fdr 0", ["between 0 and 1"]),
    ("detect images --far 0.1 --fdr 0.1", ["far", "fdr", "choose one"]),
    ("detect images --method anogan", ["no detector 'anogan'", "auto, fanogan"]),
    ("detect images --ignore-mask missing.png", ["missing.png"]),
    ("detect images --ignore-mask images/000.png --out images", ["images", "other files"]),
    ("evaluate detection images --labels folders --method anogan", ["auto, fanogan"]),
    ("detect images --out busy", ["busy"]),
    ("calibrate missing images", ["missing"]),
    ("calibrate damaged images", ["damaged"]),
    ("calibrate runs/generate-only images", ["detector", "--task"]),
    ("calibrate runs/a missing", ["missing"]),
    ("calibrate runs/a corrupt", ["none of the 3", "not a PNG"]),
    ("calibrate runs/a images --out busy", ["busy", "--out"]),
    ("calibrate runs/a images --groups missing.csv", ["missing.csv"]),
    ("detect images --model generate-only", ["generate-only"]),
    ("detect images --model runs/generate-only", ["detector", "--task"]),
    ("detect images --model future.augan", ["crystal-ball", "fanogan"]),
    ("detect images --model damaged", ["damaged"]),
    ("train loop", ["loop", "leads nowhere"]),
    ("train images --out loop", ["loop", "--out"]),
    ("augment --class 3 --n 1 --out loop", ["loop", "leads nowhere", "--out"]),
    ("detect loop", ["loop"]),
    ("detect images --out loop", ["loop", "leads nowhere", "--out"]),
    ("inspect loop", ["loop"]),
    ("inspect missing", ["missing"]),
    ("inspect damaged", ["damaged"]),
    ("inspect flipped.augan", ["flipped.augan"]),
    ("inspect list.yaml", ["list.yaml"]),
]


@pytest.mark.parametrize(("command", "fragments"), WRONG, ids=[command for command, _ in WRONG])
def test_what_is_wrong_is_said_in_one_line(
    site: Path, monkeypatch: pytest.MonkeyPatch, command: str, fragments: list[str]
) -> None:
    monkeypatch.chdir(site)
    before = tree(site)
    assert_error(invoke(*command.split()), *fragments)
    assert tree(site) == before


@pytest.mark.parametrize("command", ["augment --class 3 --n 1", "generate --n 1", "detect images"])
def test_no_runs_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_digits(Path("images"), 1)
    assert_error(invoke(*command.split()), "augan train")
    assert os.listdir() == ["images"]


@pytest.mark.parametrize("out", [".", "../here"])
def test_the_current_folder_is_not_replaced_under_our_feet(
    tmp_path: Path, digits_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = invoke(
        "augment", "--model", digits_bundle.path, "--class", "3", "--n", 2, "--out", out
    )
    assert_error(result, "--out")
    assert tree(tmp_path) == {"here": "folder"}


def test_files_beside_the_output_are_left_alone(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    Path("threes.png").write_bytes(b"a picture of the user's")
    augan("augment", "--class", "3", "--n", 2, "--out", "threes", "--no-filter")
    assert Path("threes.png").read_bytes() == b"a picture of the user's"


@pytest.mark.parametrize(
    "command",
    [
        "augan",
        "augan augment --class 3 --n three",
        "augan augment --class 3 --n 3 --seed -1",
        "augan detect images --rate 0.1",
        "augan paint",
    ],
)
def test_a_command_that_cannot_be_parsed(tmp_path: Path, command: str) -> None:
    done = shell(command, tmp_path)
    assert done.returncode == 2
    if command != "augan":  # that one shows the help
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("error: ")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    plain = shell("augan inspect missing", tmp_path)
    debug = shell("augan inspect missing --debug", tmp_path)
    assert "Traceback" not in plain.stderr
    assert debug.stderr.startswith("Traceback (most recent call last)")
    assert "BundleError: there is no file or folder missing" in debug.stderr
    assert (plain.returncode, debug.returncode) == (2, 2)


def test_pictures_are_readable(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 3)
    for command in ("augment --class 3 --n 12 --no-filter", "generate --n 12", "detect images"):
        picture = only_object(augan(*command.split(), "--json"))["picture"]
        with Image.open(picture) as sheet:
            assert min(sheet.size) > 48
