"""Check of commands that are killed at random moments and repeated.

    python -m tools.robustness.crash_recovery --kills 30 --json kills.json

Each of `train`, `augment`, `detect` and `calibrate` runs once without interruption; its files are
the reference. Then SIGKILL ends each command at random moments, chosen by time or by the number of
files written, and the command is repeated until it finishes (`train` with `--resume`). A kill
passes if the output folder was absent or complete after the kill, every final file has the bytes of
the reference, and no other file is left. The trainings are tiny; `tools.robustness.resume` checks
larger trainings. Each command runs in a separate process. This process is forked from a process
that has imported TensorFlow but not initialized it.
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
from tools.robustness.bad_inputs.fixtures import SMALL, write_images

NAME = "kills"
SECONDS = 30.0  # rough duration of a task, for the estimate
PAUSE = 0.0005  # seconds between two checks
PRELOADED = ("tensorflow", "keras", "sklearn.ensemble", "pandas", "scipy.stats", "albumentations")
VARYING = (RUN_SUMMARY_FILE, BUNDLE_FILE)  # contain times; bundles are compared by SHA-256
COMMANDS = {
    "train": f"train photos --out made {SMALL} --seed 3",
    "augment": "augment --class a --class b --n 400 --no-filter --model RUN --out made",
    "detect": "detect photos --far 0.2 --save-maps --model RUN --out made",
    "calibrate": "calibrate RUN photos --out made",
}


@dataclass
class Process:
    """A command that runs in a separate process, in the folder `folder`."""

    arguments: list[str]
    folder: Path
    pid: int = 0

    def start(self) -> "Process":
        """Fork. The child process runs the command and exits."""
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self._run_command()
        return self

    def wait(self) -> int:
        """Return the exit code, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _run_command(self) -> None:
        code = 99
        try:
            os.chdir(self.folder)
            log = os.open(self.folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.argv = ["augan", *self.arguments]
            importlib.import_module("augan_cli.main").main()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


class Bench:
    """Reference runs and killed runs of the commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._template_files: dict[str, Any] = {}
        self._references: dict[str, tuple[dict[str, Any], float]] = {}

    @cached_property
    def template(self) -> Path:
        """The template folder with images and a finished run; every trial uses a copy."""
        template = self.folder / "template"
        for name in "ab":
            write_images(template / "photos" / name, 20)
        self._finish(f"train photos --out RUN {SMALL}".split(), template)
        self._template_files = read_files(template)
        return template

    def reference(self, command: str) -> tuple[dict[str, Any], float]:
        """Return the files of the uninterrupted command, and its seconds."""
        if command not in self._references:
            folder = self._copy(f"{command}-reference")
            started = time.perf_counter()
            self._finish(COMMANDS[command].split(), folder)
            seconds = time.perf_counter() - started
            self._references[command] = self._new_files(folder), seconds
        return self._references[command]

    def killed(self, command: str, number: int, fraction: float, by: str) -> Row:
        """Kill a command once, repeat it, and compare the files with the reference.

        Parameters
        ----------
        command
            One of `COMMANDS`.
        number
            Number of the trial.
        fraction
            Fraction of the reference's seconds or files after which the command is killed.
        by
            "clock" for seconds, "files" for files.
        """
        reference, seconds = self.reference(command)
        folder, arguments = self._copy(f"{command}-{number}"), COMMANDS[command].split()
        process, started, code = Process(arguments, folder).start(), time.perf_counter(), None
        limit = fraction * (seconds if by == "clock" else len(reference))
        while code is None and self._progress(by, started, folder) < max(limit, 0.001):
            time.sleep(PAUSE)
            code = process.poll()
        if code is None:
            os.kill(process.pid, signal.SIGKILL)
            code = process.wait()
        row = {"killed": code == -signal.SIGKILL, "of_s": round(seconds, 2)}
        row["at_s"] = round(time.perf_counter() - started, 2)
        files = self._new_files(folder)
        row |= {
            "had_written": len(files),
            "false_whole": find_incomplete(command, files, reference),
        }
        if command != "calibrate" or not (folder / "made").exists():  # augan replaces no bundle
            self._finish([*arguments, "--resume"] if command == "train" else arguments, folder)
        files = self._new_files(folder)
        row["different"] = sorted(name for name in reference if reference[name] != files.get(name))
        row["left_over"] = sorted(files.keys() - reference.keys())
        shutil.rmtree(folder)
        return row

    def _progress(self, by: str, started: float, folder: Path) -> float:
        if by == "clock":
            return time.perf_counter() - started
        return count_files(folder) - len(self._template_files)

    def _new_files(self, folder: Path) -> dict[str, Any]:
        return {n: v for n, v in read_files(folder).items() if n not in self._template_files}

    def _copy(self, name: str) -> Path:
        folder = self.folder / name
        shutil.copytree(self.template, folder)
        return folder

    def _finish(self, arguments: list[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if code := Process(arguments, folder).start().wait():
            output = folder.with_suffix(".log").read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"`{' '.join(arguments)}` ended with exit code {code}: {output}")


def read_files(folder: Path) -> dict[str, Any]:
    """Return the content of all files and folders by name, including hidden ones.

    The content is the SHA-256 of a bundle, the bytes of another file, and None of a folder. Parts
    that differ between two runs, such as times and absolute paths, are removed.
    """
    contents: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            contents[f"{name}/"] = None
        elif path.name == BUNDLE_FILE:
            contents[name] = load_bundle(path).sha256
        else:
            # The report of a run contains the seconds of each stage.
            timed = path.name == REPORT_FILE and path.with_name(RUN_FILE).exists()
            contents[name] = b"" if timed or path.name in VARYING else path.read_bytes()
            if path.name in (DETECTION_FILE, EVALUATION_FILE):  # contain absolute paths
                prefix = os.fsencode(os.path.realpath(folder))
                contents[name] = contents[name].replace(prefix, b"")
    return contents


def count_files(folder: Path) -> int:
    """Return the number of files and folders below `folder`."""
    return sum(len(folders) + len(names) for _, folders, names in os.walk(folder))


def find_incomplete(command: str, files: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """Return the files that have their final name but not their final content."""
    if command == "train":
        return []  # a run folder grows; --resume checks its files
    visible = {n: v for n, v in files.items() if not any(p[:1] == "." for p in n.split("/"))}
    wrong = [name for name, value in visible.items() if reference.get(name, value) != value]
    if any(name.startswith("made/") for name in visible):  # `late` is written into the final folder
        late = {"made/report.html", "made/most-anomalous.png"}
        wrong += [n for n in reference if n.startswith("made/") and n not in visible.keys() | late]
    return sorted(wrong)


def passes(row: Row) -> bool:
    """Return whether no file is incomplete, different or left over."""
    return not (row["false_whole"] or row["different"] or row["left_over"])


def tasks(bench: Bench, commands: Sequence[str], kills: int, seed: int, variant: str) -> list[Task]:
    """Return one task for each kill."""
    result = []
    for command in commands:
        rng = np.random.default_rng([seed, *command.encode()])
        for number in range(kills):
            fraction, by = float(rng.random()), ("clock", "files")[number % 2]
            key = {"benchmark": NAME, "arm": command, "number": number, "by": by, "seed": seed}
            key |= {"share": round(fraction, 4), "augan": augan.__version__, "variant": variant}
            measure = partial(bench.killed, command, number, fraction, by)
            result.append(Task(key, measure, SECONDS))
    return result


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the number of kills and the failed trials of each command."""
    summary: dict[str, Any] = {}
    for command in dict.fromkeys(row["arm"] for row in rows):
        of_command = [row for row in rows if row["arm"] == command]
        failed = [row["number"] for row in of_command if not passes(row)]
        killed = sum(row["killed"] for row in of_command)
        summary[command] = {"repeated": len(of_command), "killed": killed, "failed": failed}
    return summary


def main(argv: Sequence[str] | None = None) -> None:
    """Kill and repeat the commands, and print a summary of each."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.robustness.crash_recovery", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--kills", type=int, default=30, help="number of kills per command")
    parser.add_argument("--commands", default=",".join(COMMANDS), help="names separated by commas")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    parser.add_argument("--variant", default="default", help="name of the tested variant")
    parser.add_argument(
        "--json", type=Path, required=True, metavar="FILE", help="write rows and summary"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    for module in PRELOADED:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory(prefix="augan-kills-") as folder:
        bench, commands = Bench(Path(folder)), options.commands.split(",")
        all_tasks = tasks(bench, commands, options.kills, options.seed, options.variant)
        rows = run(all_tasks, Results(options.results / f"{NAME}.jsonl"))
    summary = summarize(rows)
    write_json(options.json, {"rows": rows, "summary": summary})
    for command, counts in summary.items():
        print(f"{command:10} {counts}")


if __name__ == "__main__":
    main()
