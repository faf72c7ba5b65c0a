"""Commands with workers: equal results, also after a killed worker."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from augan.bundle import Bundle
from augan.data.datasets import digits
from augan.io.images import write_png
from augan.io.layout import SCORES_FILE
from tests._helpers import tree

pytestmark = pytest.mark.slow
# Of two processes with one thread each, or one with one, every number is the same to the last bit.
ONE = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several blocks of digits, and two files that cannot be read."""
    folder = tmp_path_factory.mktemp("data") / "images"
    folder.mkdir()
    pixels = np.asarray(digits().images)
    for row in range(1200):
        write_png(folder / f"{row:05d}.png", pixels[row % len(pixels)])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no image")
    return folder


def begin(*words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "augan_cli", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def run(*words: str, **environment: str) -> tuple[int, str, str]:
    process = begin(*words, **environment)
    said = process.communicate(timeout=300)
    return process.returncode, *said


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / SCORES_FILE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_two_workers_write_what_one_process_writes(
    digits_bundle: Bundle, images: Path, tmp_path: Path
) -> None:
    words = [
        "detect",
        str(images),
        "--model",
        str(digits_bundle.path),
        "--far",
        "0.1",
        "--save-maps",
    ]
    for name, more in (("one", []), ("two", ["--workers", "2"])):
        code, _, stderr = run(*words, *more, "--out", str(tmp_path / name), **ONE)
        assert (code, [line for line in stderr.splitlines() if "scored" not in line]) == (
            0,
            [f"model: {digits_bundle.path}"],
        )
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    # Threads are divided: sums may be taken in another order.
    code, _, _ = run(*words, "--workers", "2", "--out", str(tmp_path / "divided"))
    assert code == 0
    one, divided = rows(tmp_path / "one"), rows(tmp_path / "divided")
    for column in ("path", "anomaly"):
        assert [row[column] for row in divided] == [row[column] for row in one]
    scores = [[float(row["score"] or 0) for row in table] for table in (one, divided)]
    np.testing.assert_allclose(*scores, rtol=0, atol=1e-6)


def children(process: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == process:
            found += [int(path.parent.name), *children(int(path.parent.name))]
    return found


def workers_of(process: int) -> list[int]:
    """Return the children that have loaded TensorFlow."""
    found = []
    for child in children(process):
        try:
            maps = Path(f"/proc/{child}/maps").read_text()
        except OSError:
            continue
        if "tensorflow" in maps:
            found.append(child)
    return found


def test_killed_worker_loses_and_repeats_nothing(digits_bundle: Bundle, tmp_path: Path) -> None:
    words = ["augment", "--class", "3", "--class", "5", "--n", "6000", "--no-filter"]
    words += ["--model", str(digits_bundle.path)]
    assert run(*words, "--out", str(tmp_path / "one"), **ONE)[0] == 0
    process = begin(*words, "--workers", "2", "--out", str(tmp_path / "two"), **ONE)
    notes, until = tmp_path / ".two.partial" / "resume.jsonl", time.monotonic() + 120
    while time.monotonic() < until and not (notes.exists() and notes.stat().st_size > 2000):
        time.sleep(0.005)
    found = workers_of(process.pid)
    assert found
    os.kill(found[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=300)
    assert (process.returncode, "Traceback" in stderr) == (0, False), stderr
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


def test_interrupted_job_resumes_with_another_number_of_workers(
    digits_bundle: Bundle, tmp_path: Path
) -> None:
    words = ["augment", "--class", "3", "--n", "8000", "--no-filter"]
    words += ["--model", str(digits_bundle.path)]
    assert run(*words, "--out", str(tmp_path / "one"), **ONE)[0] == 0
    process = begin(*words, "--workers", "2", "--out", str(tmp_path / "two"), **ONE)
    notes, until = tmp_path / ".two.partial" / "resume.jsonl", time.monotonic() + 120
    while time.monotonic() < until and not (notes.exists() and notes.stat().st_size > 2000):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to the workers, too
    _, stderr = process.communicate(timeout=60)
    last = stderr.splitlines()[-1]
    assert process.returncode == 2, stderr
    assert "repeat the same command to resume" in last
    assert len([line for line in stderr.splitlines() if "%" not in line]) == 2, stderr
    assert not children(process.pid)
    assert run(*words, "--out", str(tmp_path / "two"), **ONE)[0] == 0
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


def test_running_cluster_writes_the_same(digits_bundle: Bundle, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="augan[dask] is not installed")
    words = ["augment", "--class", "3", "--n", "600", "--no-filter"]
    words += ["--model", str(digits_bundle.path)]
    assert run(*words, "--out", str(tmp_path / "one"), **ONE)[0] == 0
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=2,  # the parts of one process are done in turn all the same
        host="127.0.0.1",
        dashboard_address=None,
        env=ONE,
    ) as cluster:
        address = cluster.scheduler_address
        code, _, stderr = run(*words, "--scheduler", address, "--out", str(tmp_path / "two"), **ONE)
    assert code == 0, stderr
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
