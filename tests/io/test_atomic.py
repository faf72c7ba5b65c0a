"""Atomic folders, and folders that outlive an interruption."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from augan.evaluation.augmentation.results_log import PredictionLog
from augan.exceptions import DataError, RunInterruptedError
from augan.io.atomic import atomic_folder, lock_folder, resumable_folder, unmanaged_except


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def begin(target: Path, error: BaseException | None) -> None:
    with resumable_folder(target) as partial:
        (partial / "a.txt").write_text("half")
        if error is not None:
            raise error


class TestResumableFolder:
    def test_resumable_folder_appears_at_the_end(self, tmp_path: Path) -> None:
        begin(tmp_path / "out", None)
        assert names(tmp_path) == ["out"]
        assert (tmp_path / "out" / "a.txt").read_text() == "half"

    @pytest.mark.parametrize("error", [RunInterruptedError("stopped"), KeyboardInterrupt()])
    def test_resumable_folder_survives_an_interruption(
        self, tmp_path: Path, error: BaseException
    ) -> None:
        with pytest.raises(type(error)):
            begin(tmp_path / "out", error)
        assert names(tmp_path) == [".out.partial"]
        with resumable_folder(tmp_path / "out") as partial:
            assert names(partial) == ["a.txt"]
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("error", [DataError("bad"), ValueError(), OSError(28, "full")])
    def test_resumable_folder_is_removed_by_an_error(
        self, tmp_path: Path, error: Exception
    ) -> None:
        expected = DataError if isinstance(error, OSError) else type(error)
        with pytest.raises(expected):
            begin(tmp_path / "out", error)
        assert names(tmp_path) == []

    def test_resumable_folder_is_written_by_one_process(self, tmp_path: Path) -> None:
        code = (
            "import sys; from augan.io.atomic import resumable_folder as open_it\n"
            "with open_it(sys.argv[1]): pass"
        )
        with resumable_folder(tmp_path / "out") as partial:
            (partial / "a.txt").write_text("half")
            command = [sys.executable, "-c", code, str(tmp_path / "out")]
            other = subprocess.run(command, capture_output=True, text=True, check=False)
            assert "another process is writing" in other.stderr
            assert names(partial) == ["a.txt"]
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("open_folder", [atomic_folder, resumable_folder])
    def test_folder_with_other_files_is_refused(self, tmp_path: Path, open_folder: object) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("mine")
        with pytest.raises(DataError, match="other files"), open_folder(tmp_path / "out"):
            pass
        assert names(tmp_path) == ["out"]
        assert names(tmp_path / "out") == ["thesis.txt"]


class TestOutputFolder:
    def test_unmanaged_files_next_to_a_result_are_not_lost(self, tmp_path: Path) -> None:
        for content in ("old", "new"):
            with atomic_folder(tmp_path / "out", unmanaged_except("a.txt", "b")) as partial:
                (partial / "a.txt").write_text(content)
        (tmp_path / "out" / "notes.txt").write_text("mine")
        refused = pytest.raises(DataError, match=r"other files.* lost: notes\.txt")
        with refused, atomic_folder(tmp_path / "out", unmanaged_except("a.txt", "b")):
            pass
        assert names(tmp_path / "out") == ["a.txt", "notes.txt"]
        assert (tmp_path / "out" / "a.txt").read_text() == "new"

    def test_atomic_folder_refuses_a_second_thread(self, tmp_path: Path) -> None:
        with atomic_folder(tmp_path / "out") as partial:
            (partial / "a.txt").write_text("whole")
            again = pytest.raises(DataError, match=r"another process is writing .*wait for it")
            with again, atomic_folder(tmp_path / "out"):
                raise AssertionError
            assert names(partial) == ["a.txt"]
        assert names(tmp_path) == ["out"]
        assert names(tmp_path / "out") == ["a.txt"]

    def test_folder_that_cannot_be_opened_is_not_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = tmp_path / ".out.partial"
        left.mkdir()

        opened = os.open

        def refuse_once(*_: object) -> int:
            monkeypatch.setattr(os, "open", opened)
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "open", refuse_once)
        cannot = pytest.raises(DataError, match=r"cannot write .*Permission denied")
        with cannot, resumable_folder(tmp_path / "out"):
            raise AssertionError
        assert left.is_dir()


def refuses(number: int) -> Callable[..., None]:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return flock


def keep_journal(folder: Path) -> None:
    PredictionLog(folder, {}).close()


def keep_output(folder: Path) -> None:
    with atomic_folder(folder, unmanaged_except("a.txt")) as partial:
        (partial / "a.txt").write_text("whole")


def keep_resumable(folder: Path) -> None:
    with resumable_folder(folder, unmanaged_except("a.txt")) as partial:
        (partial / "a.txt").write_text("whole")


def keep_locked(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    os.close(lock_folder(folder, "held"))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EBADF])
@pytest.mark.parametrize("keep", [keep_journal, keep_output, keep_resumable, keep_locked])
def test_file_system_without_locks_is_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: Callable[[Path], None], number: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuses(number))
    for _ in range(2):
        keep(tmp_path / "out")
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES])
@pytest.mark.parametrize("keep", [keep_journal, keep_resumable, keep_locked])
def test_lock_of_another_process_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: Callable[[Path], None], number: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuses(number))
    with pytest.raises(DataError, match=r"is writing|held"):
        keep(tmp_path / "out")
