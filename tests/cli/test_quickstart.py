"""Quickstart: the three commands of the README, in an empty folder."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augan import load_bundle
from augan.data.datasets import digits
from augan.io.images import read_image
from tests.cli._helpers import (
    invoke,
    read_table,
    shell,
    tree,
)

STDERR_PATTERNS = {
    "train": r"images/: |digits: |(gan|encoder|classifier) +\d+%  step ",
    "augment": r"model: runs/\S+/bundle\.augan$",
    "detect": r"model: runs/\S+/bundle\.augan$",
}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder in which the three commands ran in order, and the process of each command."""
    folder = tmp_path_factory.mktemp("quickstart")
    processes: dict[str, Any] = {}
    for command in (
        "augan train",
        "augan augment --class 3 --n 5000",
        "augan detect images/",
    ):
        done = shell(command, folder)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        processes[command.split()[1]] = done
    return folder, processes


def test_quickstart_writes_images_and_one_run(quickstart: tuple[Path, dict]) -> None:
    folder, _ = quickstart
    assert sorted(path.name for path in folder.iterdir()) == ["images", "runs"]
    runs = sorted(path.name for path in (folder / "runs").iterdir())
    assert runs[1:] == ["latest"]
    assert re.fullmatch(r"\d{8}-\d{6}-digits", runs[0])
    assert (folder / "runs" / "latest").is_symlink()
    run = (folder / "runs" / "latest").resolve()
    assert run == (folder / "runs" / runs[0]).resolve()
    assert load_bundle(run).data.name == "digits"
    assert {"bundle.augan", "config.yaml", "metrics.jsonl", "samples"} <= set(os.listdir(run))
    assert list((run / "samples").glob("step_*.png"))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["stage"] for line in lines} == {"gan", "encoder", "classifier"}


def test_quickstart_prints_no_log_noise(quickstart: tuple[Path, dict]) -> None:
    for name, done in quickstart[1].items():
        for line in done.stderr.splitlines():
            assert re.match(STDERR_PATTERNS[name], line), f"{name}: {line}"
        chatter = r"tensorflow|keras|cuda|onednn|avx|traceback|warning|\x1b|\r"
        assert not re.search(chatter, done.stdout, re.I), name
    assert re.search(r"^time: .*gan .*encoder ", quickstart[1]["train"].stdout, re.M)


def test_quickstart_augment_writes_5000_images_with_a_manifest(
    quickstart: tuple[Path, dict],
) -> None:
    (out,) = (quickstart[0] / "runs" / "latest").glob("augment-*/")
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


def test_quickstart_detect_scores_anomalous_images_higher(quickstart: tuple[Path, dict]) -> None:
    folder, processes = quickstart
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
    assert f"{flagged} of 72 images flagged" in processes["detect"].stdout


def test_quickstart_model_reconstructs_the_image_it_is_given(quickstart: tuple[Path, dict]) -> None:
    from augan.bundle import restore_network
    from augan.choices import DETECTION_METHODS
    from augan.detect.methods.fanogan import FAnoGAN

    bundle = load_bundle(quickstart[0] / "runs" / "latest")
    models = {
        role: restore_network(bundle, role)
        for role in DETECTION_METHODS.get("fanogan").required_networks
    }
    images = bundle.preprocessing.normalize(digits("test").images[:50])
    again = FAnoGAN(models).reconstruct(images)
    own = np.square(images - again).mean(axis=(1, 2, 3))
    another = np.square(images - np.roll(again, 1, axis=0)).mean(axis=(1, 2, 3))
    # On a busy machine the default minutes end the training early, so no more is asked.
    assert own.mean() < another.mean()
    assert again.std(axis=0).max() > 0.05


def test_quickstart_detect_repeated_writes_equal_files(
    quickstart: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(quickstart[0])
    out = Path("runs/latest/detect-images")
    before = tree(out)
    (out / "overlays" / "stale.png").write_text("from before")
    assert invoke("detect", "images/").exit_code == 0
    assert tree(out) == before  # another process: the same bytes
    assert not [name for name in os.listdir("runs/latest/") if name.startswith(".")]
