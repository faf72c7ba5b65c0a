"""Tests that a killed and repeated command gives the uninterrupted result and cleans up."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from augan.io.atomic import atomic_folder, clear_leftovers, resumable_folder, unmanaged_except
from tools.robustness import crash_recovery

DIES = """
import os, signal, sys
from pathlib import Path
from augan.io.atomic import {kind}
from augan.io import atomic
replace = atomic._replace
def die(partial, target):
    if {between}:
        os.rename(target, target.with_name(f".{{target.name}}.{{os.getpid()}}.old"))
    os.kill(os.getpid(), signal.SIGKILL)
atomic._replace = die
with {kind}(sys.argv[1], atomic.unmanaged_except("done.txt")) as partial:
    (partial / "sub").mkdir(exist_ok=True)
    (partial / "sub" / ".x.png.1.part").write_text("half")
    (partial / "done.txt").write_text("new")
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def die(target: Path, kind: str, between: bool = False) -> None:
    done = subprocess.run([sys.executable, "-c", DIES.format(kind=kind, between=between), target])
    assert done.returncode == -9


def test_a_folder_that_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    target = tmp_path / "out"
    die(target, "atomic_folder")
    (left,) = names(tmp_path)
    assert left.startswith(".out.")
    with atomic_folder(target, unmanaged_except("done.txt")) as partial:
        assert names(tmp_path) == [partial.name]
        (partial / "done.txt").write_text("complete")
    assert names(tmp_path) == ["out"]


def test_a_result_that_was_moved_aside_is_put_back(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "done.txt").write_text("old")
    die(target, "atomic_folder", between=True)
    assert not target.exists()
    clear_leftovers(target)
    assert names(tmp_path) == ["out"]
    assert (target / "done.txt").read_text() == "old"


def test_a_half_written_file_does_not_reach_the_result(tmp_path: Path) -> None:
    die(tmp_path / "out", "resumable_folder")
    with resumable_folder(tmp_path / "out", unmanaged_except("done.txt")) as partial:
        assert (partial / "done.txt").read_text() == "new"
    assert names(tmp_path / "out" / "sub") == []


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    other, file = tmp_path / ".out.txt.part", tmp_path / f".out.{os.getpid()}.part"
    other.mkdir()
    file.write_text("half")
    clear_leftovers(tmp_path / "out")
    assert names(tmp_path) == sorted([file.name, other.name])
    file.unlink()
    with atomic_folder(tmp_path / "out") as mine:
        clear_leftovers(tmp_path / "out")
        assert names(tmp_path) == sorted([mine.name, other.name])


def test_what_a_process_of_the_same_number_left_is_cleared(tmp_path: Path) -> None:
    # In a container every process may be number 1.
    left = tmp_path / f".out.{os.getpid()}.part"
    left.mkdir()
    (left / "done.txt").write_text("half")
    with atomic_folder(tmp_path / "out", unmanaged_except("done.txt")) as partial:
        assert names(partial) == []
        (partial / "done.txt").write_text("complete")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "done.txt").read_text() == "complete"


def test_what_a_process_of_the_same_number_moved_aside_is_put_back(tmp_path: Path) -> None:
    old = tmp_path / f".out.{os.getpid()}.old"
    old.mkdir()
    (old / "done.txt").write_text("old")
    clear_leftovers(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "done.txt").read_text() == "old"


def test_what_is_being_replaced_is_nobodys_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, renamed = tmp_path / "out", []
    rename = os.rename

    def watched(source: Path, place: Path) -> None:
        rename(source, place)
        renamed.append(source)
        if len(renamed) == 1:
            clear_leftovers(target)  # as another process would between the two
            assert not target.exists()

    for text in ("old", "new"):
        with atomic_folder(target, unmanaged_except("done.txt")) as partial:
            (partial / "done.txt").write_text(text)
            monkeypatch.setattr(os, "rename", watched if target.exists() else rename)
    assert len(renamed) == 2
    assert names(tmp_path) == ["out"]
    assert (target / "done.txt").read_text() == "new"


def test_a_folder_that_is_cleared_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, cleared = fcntl.flock, []

    def late(file: int, how: int) -> None:
        if not cleared:
            cleared.append(file)
            shutil.rmtree(next(tmp_path.iterdir()))
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with atomic_folder(tmp_path / "out") as partial:
        (partial / "done.txt").write_text("complete")
    assert names(tmp_path / "out") == ["done.txt"]
    assert len(cleared) == 1


def test_find_incomplete_names_every_incomplete_file(tmp_path: Path) -> None:
    reference = {"made/": None, "made/a.png": b"a", "made/report.html": b"r"}
    assert crash_recovery.find_incomplete("detect", {}, reference) == []
    assert (
        crash_recovery.find_incomplete(
            "detect", {".made.1.part/": None, ".made.1.part/a": b""}, reference
        )
        == []
    )
    assert (
        crash_recovery.find_incomplete("detect", {"made/": None, "made/a.png": b"a"}, reference)
        == []
    )
    assert crash_recovery.find_incomplete(
        "detect", {"made/": None, "made/a.png": b""}, reference
    ) == ["made/a.png"]
    assert crash_recovery.find_incomplete("detect", {"made/": None}, reference) == ["made/a.png"]
    row = {"false_whole": [], "different": [], "left_over": []}
    assert crash_recovery.passes(row)
    assert not any(crash_recovery.passes({**row, name: ["x"]}) for name in row)


@pytest.mark.slow
def test_killed_commands_are_repeated(tmp_path: Path) -> None:
    # In a process of its own, because it forks, which TensorFlow does not bear once it has started.
    words = ["--kills", "2", "--json", str(tmp_path / "k.json"), "--results", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "tools.robustness.crash_recovery", *words], check=True)
    summary = json.loads((tmp_path / "k.json").read_text())["summary"]
    assert list(summary) == list(crash_recovery.COMMANDS)
    assert all(about["failed"] == [] for about in summary.values())
    assert sum(about["killed"] for about in summary.values()) >= 4
