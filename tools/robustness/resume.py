"""Check of trainings that are killed at random moments and resumed.

    python -m tools.robustness.resume --kills 5 --json resume.json

An uninterrupted training of digits is the reference. SIGKILL ends further trainings with the same
settings, and the same command with `--resume` continues each of them until it finishes. The moments
are random and cover all stages: reading the data, the classifier, the GAN, the encoder, and fitting
the detector and saving the bundle. Every second training is killed twice. Three more cases are
fixed: a kill before the first checkpoint, a kill while the bundle is written, and `--resume` of the
finished run. All trainings are processes of the command line. A case passes if its bundle has the
SHA-256 of the reference, its log, sample images and checkpoints have the bytes of the reference,
and no other file is left.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

import augan
from augan.bundle import load_bundle
from augan.io.layout import BUNDLE_FILE, METRICS_LOG_FILE, RUN_SUMMARY_FILE
from augan.training.checkpoints import Checkpoints
from augan.training.stages.base import STAGES as TRAINING_STAGES
from benchmarks.common.harness import RESULTS, Results, Row, Task, run, write_json

NAME = "resume"
STEPS = 600
SECONDS = 60.0  # rough duration of a task, for the estimate
PAUSE = 0.002  # seconds between two checks of the run
# Stages, and their updates per update of the GAN. None: the stage is measured in seconds.
STAGES: dict[str, float | None] = {
    "data": None,
    **{name: TRAINING_STAGES.get(name).share.steps for name in ("classifier", "gan", "encoder")},
    "detector": None,
}
VARYING = (RUN_SUMMARY_FILE, BUNDLE_FILE)  # contain times; the bundle is compared by SHA-256


@dataclass(frozen=True)
class Moment:
    """Moment of a kill: after a fraction of a stage, or as soon as a file exists.

    Attributes
    ----------
    stage
        One of `STAGES`, or a glob of files in the run folder.
    fraction
        Fraction of the updates of the stage. Without updates: of its seconds in the reference.
    """

    stage: str
    fraction: float = 0.0

    def __str__(self) -> str:
        return f"{self.stage} {self.fraction:.2f}" if self.stage in STAGES else self.stage


FIXED = {
    "before the first checkpoint": (Moment("classifier", 0.1),),
    "while the bundle is written": (Moment(f".{BUNDLE_FILE}.*"),),
}


def draw(kills: int, seed: int) -> list[tuple[Moment, ...]]:
    """Return the moments of each training: the stages in turn, two moments in every second one."""
    rng = np.random.default_rng(seed)
    names = list(STAGES)
    plans = []
    for number in range(kills):
        first = number % len(names)
        stages = [first] if number % 2 == 0 else [first, int(rng.integers(first, len(names)))]
        fractions = rng.random(len(stages))
        if len(set(stages)) == 1:
            fractions = np.sort(fractions)
        plans.append(tuple(Moment(names[s], float(f)) for s, f in zip(stages, fractions)))
    return plans


@dataclass
class Trial:
    """A run folder and the processes that train in it."""

    out: Path
    steps: int
    seconds: float = 0.0

    def start(self, *, resume: bool) -> subprocess.Popen[str]:
        """Start the training in a separate process."""
        command = ["train", "digits", "--steps", str(self.steps), "--task", "both"]
        return subprocess.Popen(
            [sys.executable, "-m", "augan_cli", *command, "--out", str(self.out)]
            + (["--resume"] if resume else []),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, *, resume: bool) -> str:
        """Train to the end and return the text of standard error."""
        started = time.perf_counter()
        process = self.start(resume=resume)
        _, stderr = process.communicate()
        self.seconds += time.perf_counter() - started
        if process.returncode:
            raise RuntimeError(f"the training ended with exit code {process.returncode}: {stderr}")
        return stderr

    def kill(self, reached: Callable[[float], bool], *, resume: bool) -> Row:
        """Train until `reached(seconds)` is true, kill the process, and return its position."""
        started = time.perf_counter()
        process = self.start(resume=resume)
        while process.poll() is None and not reached(time.perf_counter() - started):
            time.sleep(PAUSE)
        process.send_signal(signal.SIGKILL)
        _, stderr = process.communicate()
        seconds = time.perf_counter() - started
        self.seconds += seconds
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the training ended before the kill: {stderr}")
        stage, step = self.reached()
        checkpoint = Checkpoints(self.out / "checkpoints").steps().get(stage, 0)
        partial_files = sorted(p.name for p in self.out.rglob(".*")) if self.out.exists() else []
        return {
            "seconds": round(seconds, 2),
            "part": stage,  # the key of the rows in benchmarks/results
            "step": step,
            "checkpoint": checkpoint,
            "half_written": partial_files,
        }

    def reached(self) -> tuple[str, int]:
        """Return stage and step of the last complete line of the log."""
        log = self.out / METRICS_LOG_FILE
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        for line in reversed(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # incomplete line
            return entry["stage"], entry["step"]
        return "data", 0

    def files(self) -> dict[str, bytes]:
        """Return the bytes of all files by name, hidden files included; empty for `VARYING`."""
        files = (path for path in sorted(self.out.rglob("*")) if path.is_file())
        by_name = {path.relative_to(self.out).as_posix(): path for path in files}
        return {n: b"" if n in VARYING else path.read_bytes() for n, path in by_name.items()}


class Bench:
    """The reference training and the cases that are compared with it."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps
        self.data_seconds = self.detector_seconds = 0.0

    @cached_property
    def reference(self) -> Trial:
        """The uninterrupted training, which also measures the seconds of data and detector."""
        trial = Trial(self.folder / "reference", self.steps)
        started = time.perf_counter()
        process = trial.start(resume=False)
        trained = None
        while process.poll() is None:
            elapsed = time.perf_counter() - started
            if not self.data_seconds and trial.out.exists():
                self.data_seconds = elapsed
            if trained is None and trial.reached() == ("encoder", self._updates("encoder")):
                trained = elapsed
            time.sleep(PAUSE)
        _, stderr = process.communicate()
        trial.seconds = time.perf_counter() - started
        if process.returncode or trained is None:
            raise RuntimeError(f"the reference ended with exit code {process.returncode}: {stderr}")
        self.detector_seconds = trial.seconds - trained
        return trial

    def killed(self, number: int, moments: Sequence[Moment]) -> Row:
        """Kill a training at each moment, finish it, and compare it with the reference."""
        reference = self.reference
        trial = Trial(self.folder / f"killed-{number}", self.steps)
        kills = [
            trial.kill(self._condition(moment, trial), resume=index > 0)
            for index, moment in enumerate(moments)
        ]
        trial.finish(resume=True)
        repeated_updates = sum(kill["step"] - kill["checkpoint"] for kill in kills)
        lost = round(trial.seconds - reference.seconds, 1)
        return {
            "kills": kills,
            **compare(trial, reference),
            "updates_again": repeated_updates,
            "seconds_lost": lost,
            "reference_s": round(reference.seconds, 1),
        }

    def finished(self) -> Row:
        """Resume the finished reference and check that no file changes."""
        trial = self.reference
        before = trial.files(), _times(trial.out)
        stderr = trial.finish(resume=True)
        untouched = (trial.files(), _times(trial.out)) == before
        return {
            "kills": [],
            **compare(trial, trial),
            "untouched": untouched,
            "said": _last_line(stderr),
        }

    def _condition(self, moment: Moment, trial: Trial) -> Callable[[float], bool]:
        """Return a function of the elapsed seconds that is true when the moment is reached."""
        if moment.stage == "data":
            return lambda seconds: seconds >= moment.fraction * self.data_seconds
        if moment.stage == "detector":
            last = ("encoder", self._updates("encoder"))
            after = moment.fraction * self.detector_seconds
            trained: list[float] = []

            def detector_reached(seconds: float) -> bool:
                if not trained and trial.reached() == last:
                    trained.append(seconds)
                return bool(trained) and seconds >= trained[0] + after

            return detector_reached
        if moment.stage in STAGES:
            stages = list(STAGES)
            goal = stages.index(moment.stage), moment.fraction * self._updates(moment.stage)

            def update_reached(_: float) -> bool:
                stage, step = trial.reached()
                return (stages.index(stage), step) > goal

            return update_reached
        return lambda _: any(trial.out.glob(moment.stage))

    def _updates(self, stage: str) -> int:
        return int(np.ceil(self.steps * (STAGES[stage] or 0.0)))


def compare(trial: Trial, reference: Trial) -> Row:
    """Return which results equal the reference, and which files are left over or missing."""
    files, expected = trial.files(), reference.files()

    def same(folder: str) -> bool:
        names = {name for name in (*files, *expected) if name.startswith(folder)}
        return all(files.get(name) == expected.get(name) for name in names)

    return {
        "same_bundle": load_bundle(trial.out).sha256 == load_bundle(reference.out).sha256,
        "same_log": same(METRICS_LOG_FILE),
        "same_pictures": same("samples/"),
        "same_checkpoints": same("checkpoints/"),
        "left_over": sorted(files.keys() - expected.keys()),
        "missing": sorted(expected.keys() - files.keys()),
    }


def passes(row: Row) -> bool:
    """Return whether all results equal the reference and no file is left over or missing."""
    same = all(value for name, value in row.items() if name.startswith("same_"))
    return same and row.get("untouched", True) and not row["left_over"] and not row["missing"]


def _times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def _last_line(stderr: str) -> str:
    """Return the last line, without the path of the temporary folder."""
    line = (stderr.strip().splitlines() or [""])[-1]
    return " ".join(Path(word).name if "/" in word else word for word in line.split())


def tasks(bench: Bench, kills: int, seed: int, variant: str) -> list[Task]:
    """Return one task for each case."""
    plans = {f"drawn {number}": plan for number, plan in enumerate(draw(kills, seed))}
    cases: dict[str, tuple[Moment, ...]] = {**plans, **FIXED, "finished": ()}
    return [
        Task(
            {
                "benchmark": NAME,
                "data": "digits",
                "case": case,
                "moments": [str(moment) for moment in moments],
                "steps": bench.steps,
                "augan": augan.__version__,
                "variant": variant,
            },
            partial(bench.killed, number, moments) if moments else bench.finished,
            SECONDS,
        )
        for number, (case, moments) in enumerate(cases.items())
    ]


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the number of cases and the names of the failed cases."""
    failed = [row["case"] for row in rows if not passes(row)]
    return {"cases": len(rows), "failed": failed, "passed": not failed}


def main(argv: Sequence[str] | None = None) -> None:
    """Kill and resume the trainings, and print the outcome of each case."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.robustness.resume", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--kills", type=int, default=len(STAGES), help="number of killed trainings")
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of the GAN")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    parser.add_argument("--variant", default="default", help="name of the tested variant")
    parser.add_argument(
        "--json", type=Path, required=True, metavar="FILE", help="write rows and summary"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="augan-resume-") as folder:
        bench = Bench(Path(folder), options.steps)
        rows = run(
            tasks(bench, options.kills, options.seed, options.variant),
            Results(options.results / f"{NAME}.jsonl"),
        )
    summary = summarize(rows)
    write_json(options.json, {"rows": rows, "summary": summary})
    for row in rows:
        print(f"{row['case']:30} {'equal' if passes(row) else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
