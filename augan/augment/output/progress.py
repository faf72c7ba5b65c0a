"""What a half-made folder knows of itself, so that the same call goes on where the last one ended.

`progress.jsonl` has a first line that says what is made, and then a line for each chunk of
candidates whose files are all written. What the networks found is not computed again.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augan.augment.output.manifest import Line
from augan.io.atomic import write_whole

NAME = "progress.jsonl"


@dataclass(frozen=True)
class Done:
    """A chunk of candidates of a class: the verdicts of those looked at, the lines of the kept."""

    index: int
    number: int
    verdicts: list[str]
    lines: list[Line]


class Progress:
    """The chunks that are done.

    Parameters
    ----------
    folder : Path
        Where the samples are written. What another job left in it is removed.
    job : dict
        JSON-able: all that the samples depend on.
    """

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self.path = folder / NAME
        header, *entries = _whole_lines(self.path) or [None]
        if header != job:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            header, entries = job, []
        self._done = {(done.index, done.number): done for done in _whole(entries)}
        # Written anew, because the last line of a call that was killed may be torn.
        text = [json.dumps(line) + "\n" for line in (header, *map(_plain, self._done.values()))]
        write_whole(self.path, "".join(text).encode("utf-8"))

    def find(self, index: int, number: int) -> Done | None:
        """Return chunk `number` of class `index` if it is done."""
        return self._done.get((index, number))

    def add(self, done: Done) -> None:
        """Note a chunk whose files are written."""
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(_plain(done)) + "\n")

    def close(self) -> None:
        """Remove the notes: everything is done."""
        self.path.unlink()


def _plain(done: Done) -> dict[str, Any]:
    return {**vars(done), "lines": [vars(line) for line in done.lines]}


def _whole_lines(path: Path) -> list[Any]:
    found: list[Any] = []
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return found
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            break
    return found


def _whole(entries: list[Any]) -> Iterator[Done]:
    """Yield chunks up to the first that is not as it was written: from there on, all is made."""
    for entry in entries:
        try:
            lines = [Line(**{**line, "sources": tuple(line["sources"])}) for line in entry["lines"]]
            done = Done(int(entry["index"]), int(entry["number"]), list(entry["verdicts"]), lines)
        except (KeyError, TypeError, ValueError):
            return
        yield done
