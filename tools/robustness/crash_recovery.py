"""Commands killed at random moments and repeated: is the result that of an undisturbed one?

    python -m tools.robustness.crash_recovery --kills 30 --json kills.json

`train`, `augment`, `detect` and `calibrate` each run once undisturbed. Then each is killed by
SIGKILL, at a moment drawn by the clock or by how much it has written, and repeated until it ends
(`train` with `--resume`). A kill passes if what stood at the named place when the process died was
absent or whole, and if in the end every file has the reference's bytes and nothing else is left.
Trainings are tiny; `tools.robustness.resume` looks closer at larger ones. Each command is a
process of
its own, forked from one that has read TensorFlow's files but not started it.
"""

import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

import augan
from augan.bundle import load_bundle
from augan.io.layout import (
    BUNDLE_FILE,
    DETECTION_FILE,
    EVALUATION_FILE,
    REPORT_FILE,
    RUN_FILE,
    RUN_SUMMARY_FILE,
)
from benchmarks.common.harness import RESULTS, Results, Row, Task, run, write_json
from tools.robustness.bad_inputs.fixtures import SMALL, pictures

NAME = "kills"
SECONDS = 30.0  # guess for the estimate
PAUSE = 0.0005  # seconds between two looks
READ_FIRST = ("tensorflow", "keras", "sklearn.ensemble", "pandas", "scipy.stats", "albumentations")
VARYING = (RUN_SUMMARY_FILE, BUNDLE_FILE)  # times of the day; bundles are compared by their SHA-256
COMMANDS = {
    "train": f"train photos --out made {SMALL} --seed 3",
    "augment": "augment --class a --class b --n 400 --no-filter --model RUN --out made",
    "detect": "detect photos --far 0.2 --save-maps --model RUN --out made",
    "calibrate": "calibrate RUN photos --out made",
}


@dataclass
class Process:
    """A command in a process of its own, in the folder `place`."""

    words: list[str]
    place: Path
    pid: int = 0

    def start(self) -> "Process":
        """Fork; the child never returns."""
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self._be()
        return self

    def wait(self) -> int:
        """Return the exit code, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _be(self) -> None:
        code = 99
        try:
            os.chdir(self.place)
            log = os.open(self.place.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.argv = ["augan", *self.words]
            importlib.import_module("augan_cli.main").main()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


class Bench:
    """The undisturbed commands, and those that are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._of_site: dict[str, Any] = {}
        self._references: dict[str, tuple[dict[str, Any], float]] = {}

    @cached_property
    def site(self) -> Path:
        """A folder with photographs and a finished run, which every trial gets a copy of."""
        site = self.folder / "site"
        for name in "ab":
            pictures(site / "photos" / name, 20)
        self._finish(f"train photos --out RUN {SMALL}".split(), site)
        self._of_site = files(site)
        return site

    def reference(self, command: str) -> tuple[dict[str, Any], float]:
        """Return what the undisturbed command makes, and its seconds."""
        if command not in self._references:
            place = self._copy(f"{command}-reference")
            begun = time.perf_counter()
            self._finish(COMMANDS[command].split(), place)
            seconds = time.perf_counter() - begun
            self._references[command] = self._made(place), seconds
        return self._references[command]

    def killed(self, command: str, number: int, share: float, by: str) -> Row:
        """Kill a command once, repeat it, and compare."""
        whole, seconds = self.reference(command)
        place, words = self._copy(f"{command}-{number}"), COMMANDS[command].split()
        process, begun, code = Process(words, place).start(), time.perf_counter(), None
        limit = share * (seconds if by == "clock" else len(whole))
        while code is None and self._reached(by, begun, place) < max(limit, 0.001):
            time.sleep(PAUSE)
            code = process.poll()
        if code is None:
            os.kill(process.pid, signal.SIGKILL)
            code = process.wait()
        row = {"killed": code == -signal.SIGKILL, "of_s": round(seconds, 2)}
        row["at_s"] = round(time.perf_counter() - begun, 2)
        found = self._made(place)
        row |= {"had_written": len(found), "false_whole": _false_whole(command, found, whole)}
        if command != "calibrate" or not (place / "made").exists():  # a bundle is never replaced
            self._finish([*words, "--resume"] if command == "train" else words, place)
        found = self._made(place)
        row["different"] = sorted(name for name in whole if whole[name] != found.get(name))
        row["left_over"] = sorted(found.keys() - whole.keys())
        shutil.rmtree(place)
        return row

    def _reached(self, by: str, begun: float, place: Path) -> float:
        return time.perf_counter() - begun if by == "clock" else count(place) - len(self._of_site)

    def _made(self, place: Path) -> dict[str, Any]:
        return {name: v for name, v in files(place).items() if name not in self._of_site}

    def _copy(self, name: str) -> Path:
        place = self.folder / name
        shutil.copytree(self.site, place)
        return place

    def _finish(self, words: list[str], place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        if code := Process(words, place).start().wait():
            said = place.with_suffix(".log").read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{' '.join(words)} ended with {code}: {said}")


def files(folder: Path) -> dict[str, Any]:
    """Return name -> bytes of all files, of bundles the SHA-256; folders, hidden ones too."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[f"{name}/"] = None
        elif path.name == BUNDLE_FILE:
            found[name] = load_bundle(path).sha256
        else:
            # The page of a run says how long each part took.
            timed = path.name == REPORT_FILE and path.with_name(RUN_FILE).exists()
            found[name] = b"" if timed or path.name in VARYING else path.read_bytes()
            if path.name in (
                DETECTION_FILE,
                EVALUATION_FILE,
            ):  # they say in full where the images are
                found[name] = found[name].replace(os.fsencode(os.path.realpath(folder)), b"")
    return found


def count(place: Path) -> int:
    """Return how many files and folders there are."""
    return sum(len(folders) + len(names) for _, folders, names in os.walk(place))


def _false_whole(command: str, found: dict[str, Any], whole: dict[str, Any]) -> list[str]:
    """Return what stands under its final name and is not whole."""
    if command == "train":
        return []  # a run grows; --resume decides what counts
    visible = {n: v for n, v in found.items() if not any(p[:1] == "." for p in n.split("/"))}
    wrong = [name for name, value in visible.items() if whole.get(name, value) != value]
    if any(name.startswith("made/") for name in visible):  # these two are written into it at last
        late = {"made/report.html", "made/most-anomalous.png"}
        wrong += [n for n in whole if n.startswith("made/") and n not in visible.keys() | late]
    return sorted(wrong)


def passes(row: Row) -> bool:
    """Return whether nothing was lost, left, or different."""
    return not (row["false_whole"] or row["different"] or row["left_over"])


def tasks(bench: Bench, commands: Sequence[str], kills: int, seed: int, variant: str) -> list[Task]:
    """Return one task for each kill."""
    found = []
    for command in commands:
        rng = np.random.default_rng([seed, *command.encode()])
        for number in range(kills):
            share, by = float(rng.random()), ("clock", "files")[number % 2]
            key = {"benchmark": NAME, "arm": command, "number": number, "by": by, "seed": seed}
            key |= {"share": round(share, 4), "augan": augan.__version__, "variant": variant}
            measure = partial(bench.killed, command, number, share, by)
            found.append(Task(key, measure, SECONDS))
    return found


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each command how many kills there were, and which of them do not pass."""
    found: dict[str, Any] = {}
    for command in dict.fromkeys(row["arm"] for row in rows):
        of = [row for row in rows if row["arm"] == command]
        failed = [row["number"] for row in of if not passes(row)]
        hit = sum(row["killed"] for row in of)
        found[command] = {"repeated": len(of), "killed": hit, "failed": failed}
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Kill and repeat, and print what came of each command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.robustness.crash_recovery", description=__doc__
    )
    parser.add_argument("--kills", type=int, default=30, help="of each command")
    parser.add_argument("--commands", default=",".join(COMMANDS), help="comma between them")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--variant", default="default", help="a name for the idea under test")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="rows and summary")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    for module in READ_FIRST:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory(prefix="augan-kills-") as folder:
        bench, commands = Bench(Path(folder)), options.commands.split(",")
        todo = tasks(bench, commands, options.kills, options.seed, options.variant)
        rows = run(todo, Results(options.results / f"{NAME}.jsonl"))
    summary = summarize(rows)
    write_json(options.json, {"rows": rows, "summary": summary})
    for command, about in summary.items():
        print(f"{command:10} {about}")


if __name__ == "__main__":
    main()
