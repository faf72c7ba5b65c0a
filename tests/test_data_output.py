"""Output folders: whole or absent, and those that outlive an interruption."""

import subprocess
import sys
from pathlib import Path

import pytest

from augan.data.output import output_folder, resumable_folder
from augan.exceptions import DataError, Interrupted


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def begin(target: Path, error: BaseException | None) -> None:
    with resumable_folder(target) as partial:
        (partial / "a.txt").write_text("half")
        if error is not None:
            raise error


class TestResumableFolder:
    def test_it_takes_its_place_at_the_end(self, tmp_path: Path) -> None:
        begin(tmp_path / "out", None)
        assert names(tmp_path) == ["out"]
        assert (tmp_path / "out" / "a.txt").read_text() == "half"

    @pytest.mark.parametrize("error", [Interrupted("stopped"), KeyboardInterrupt()])
    def test_an_interruption_leaves_it_for_the_next_call(
        self, tmp_path: Path, error: BaseException
    ) -> None:
        with pytest.raises(type(error)):
            begin(tmp_path / "out", error)
        assert names(tmp_path) == [".out.partial"]
        with resumable_folder(tmp_path / "out") as partial:
            assert names(partial) == ["a.txt"]
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("error", [DataError("bad"), ValueError(), OSError(28, "full")])
    def test_an_error_removes_it(self, tmp_path: Path, error: Exception) -> None:
        expected = DataError if isinstance(error, OSError) else type(error)
        with pytest.raises(expected):
            begin(tmp_path / "out", error)
        assert names(tmp_path) == []

    def test_only_one_process_writes(self, tmp_path: Path) -> None:
        code = (
            "import sys; from augan.data.output import resumable_folder as open_it\n"
            "with open_it(sys.argv[1]): pass"
        )
        with resumable_folder(tmp_path / "out") as partial:
            (partial / "a.txt").write_text("half")
            command = [sys.executable, "-c", code, str(tmp_path / "out")]
            other = subprocess.run(command, capture_output=True, text=True, check=False)
            assert "another process is writing" in other.stderr
            assert names(partial) == ["a.txt"]
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("open_folder", [output_folder, resumable_folder])
    def test_other_files_are_left_alone(self, tmp_path: Path, open_folder: object) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("mine")
        with pytest.raises(DataError, match="other files"), open_folder(tmp_path / "out"):
            pass
        assert names(tmp_path) == ["out"]
        assert names(tmp_path / "out") == ["thesis.txt"]
