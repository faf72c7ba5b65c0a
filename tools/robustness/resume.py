"""Training killed at random moments and resumed: is the result that of a run that never stopped?

    python -m tools.robustness.resume --kills 5 --json resume.json

An uninterrupted training of digits is the reference. Then as many trainings of the same settings
are killed by SIGKILL, and the same command with `--resume` goes on, until the run is finished. The
moments are drawn, spread over all parts of a run: while data is read, within the classifier, the
GAN and the encoder, and while the detector is fitted and the bundle saved; every second training is
killed twice. Three more cases are fixed: killed before the first checkpoint, killed while the
bundle is being written, and `--resume` of the finished run. All are real processes of the command
line. A case passes if its bundle has the SHA-256 of the reference, its log, pictures and
checkpoints have the reference's bytes, and no file is left over.
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
from benchmarks.common.harness import RESULTS, Results, Row, Task, run, write_json

NAME = "resume"
STEPS = 600
SECONDS = 60.0  # guess for the estimate
PAUSE = 0.002  # seconds between two looks at the run
# Parts and their updates for each update of the GAN; None: known by the clock.
PARTS = {"data": None, "classifier": 0.25, "gan": 1.0, "encoder": 0.5, "detector": None}
VARYING = (RUN_SUMMARY_FILE, BUNDLE_FILE)  # times of the day; the bundle is compared by its SHA-256


@dataclass(frozen=True)
class Moment:
    """When a training is killed: after a share of a part, or as soon as a file is there.

    Attributes
    ----------
    part
        One of `PARTS`, or a glob of files in the run folder.
    share
        Of the part's updates; of its seconds in the reference where it has no updates.
    """

    part: str
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.part} {self.share:.2f}" if self.part in PARTS else self.part


FIXED = {
    "before the first checkpoint": (Moment("classifier", 0.1),),
    "while the bundle is written": (Moment(f".{BUNDLE_FILE}.*"),),
}


def draw(kills: int, seed: int) -> list[tuple[Moment, ...]]:
    """Return the moments of each training: parts in turn, every second training killed twice."""
    rng = np.random.default_rng(seed)
    names = list(PARTS)
    plans = []
    for number in range(kills):
        first = number % len(names)
        parts = [first] if number % 2 == 0 else [first, int(rng.integers(first, len(names)))]
        shares = sorted(rng.random(len(parts))) if len(set(parts)) == 1 else rng.random(len(parts))
        plans.append(tuple(Moment(names[part], float(share)) for part, share in zip(parts, shares)))
    return plans


@dataclass
class Trial:
    """One run folder, and the processes that trained in it."""

    out: Path
    steps: int
    seconds: float = 0.0

    def start(self, *, resume: bool) -> subprocess.Popen[str]:
        """Start the command in a process of its own."""
        command = ["train", "digits", "--steps", str(self.steps), "--task", "both"]
        return subprocess.Popen(
            [sys.executable, "-m", "augan_cli", *command, "--out", str(self.out)]
            + (["--resume"] if resume else []),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, *, resume: bool) -> str:
        """Train to the end and return what was said on the way."""
        begun = time.perf_counter()
        process = self.start(resume=resume)
        _, told = process.communicate()
        self.seconds += time.perf_counter() - begun
        if process.returncode:
            raise RuntimeError(f"the training ended with {process.returncode}: {told}")
        return told

    def kill(self, come: Callable[[float], bool], *, resume: bool) -> Row:
        """Train until `come(seconds)`, kill, and return where that was."""
        begun = time.perf_counter()
        process = self.start(resume=resume)
        while process.poll() is None and not come(time.perf_counter() - begun):
            time.sleep(PAUSE)
        process.send_signal(signal.SIGKILL)
        _, told = process.communicate()
        seconds = time.perf_counter() - begun
        self.seconds += seconds
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the training ended before it was killed: {told}")
        part, step = self.reached()
        checkpoint = Checkpoints(self.out / "checkpoints").steps().get(part, 0)
        half = sorted(path.name for path in self.out.rglob(".*")) if self.out.exists() else []
        where = {"stage": part, "step": step, "checkpoint": checkpoint, "half_written": half}
        return {"seconds": round(seconds, 2), **where}

    def reached(self) -> tuple[str, int]:
        """Return the part and the step that the log ends with."""
        log = self.out / METRICS_LOG_FILE
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        for line in reversed(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # torn
            return entry["stage"], entry["step"]
        return "data", 0

    def files(self) -> dict[str, bytes]:
        """Return name -> content of all files, hidden ones too; without content what may differ."""
        found = (path for path in sorted(self.out.rglob("*")) if path.is_file())
        named = {path.relative_to(self.out).as_posix(): path for path in found}
        return {n: b"" if n in VARYING else path.read_bytes() for n, path in named.items()}


class Bench:
    """The reference, and the cases that are compared with it."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps
        self.data_seconds = self.detector_seconds = 0.0

    @cached_property
    def reference(self) -> Trial:
        """The training that is never killed; it also tells how long data and detector take."""
        trial = Trial(self.folder / "reference", self.steps)
        begun = time.perf_counter()
        process = trial.start(resume=False)
        trained = None
        while process.poll() is None:
            elapsed = time.perf_counter() - begun
            if not self.data_seconds and trial.out.exists():
                self.data_seconds = elapsed
            if trained is None and trial.reached() == ("encoder", self._updates("encoder")):
                trained = elapsed
            time.sleep(PAUSE)
        _, told = process.communicate()
        trial.seconds = time.perf_counter() - begun
        if process.returncode or trained is None:
            raise RuntimeError(f"the reference ended with {process.returncode}: {told}")
        self.detector_seconds = trial.seconds - trained
        return trial

    def killed(self, number: int, moments: Sequence[Moment]) -> Row:
        """Kill a training at each of the moments, finish it, and compare."""
        reference = self.reference
        trial = Trial(self.folder / f"killed-{number}", self.steps)
        kills = [
            trial.kill(self._comes(moment, trial), resume=place > 0)
            for place, moment in enumerate(moments)
        ]
        trial.finish(resume=True)
        updates_again = sum(kill["step"] - kill["checkpoint"] for kill in kills)
        lost = round(trial.seconds - reference.seconds, 1)
        return {
            "kills": kills,
            **compare(trial, reference),
            "updates_again": updates_again,
            "seconds_lost": lost,
            "reference_s": round(reference.seconds, 1),
        }

    def finished(self) -> Row:
        """Resume the finished reference: it says so and touches nothing."""
        trial = self.reference
        before = trial.files(), _times(trial.out)
        told = trial.finish(resume=True)
        untouched = (trial.files(), _times(trial.out)) == before
        return {"kills": [], **compare(trial, trial), "untouched": untouched, "said": _last(told)}

    def _comes(self, moment: Moment, trial: Trial) -> Callable[[float], bool]:
        if moment.part == "data":
            return lambda seconds: seconds >= moment.share * self.data_seconds
        if moment.part == "detector":
            last = ("encoder", self._updates("encoder"))
            after = moment.share * self.detector_seconds
            trained: list[float] = []

            def come(seconds: float) -> bool:
                if not trained and trial.reached() == last:
                    trained.append(seconds)
                return bool(trained) and seconds >= trained[0] + after

            return come
        if moment.part in PARTS:
            parts = list(PARTS)
            goal = parts.index(moment.part), moment.share * self._updates(moment.part)

            def passed(_: float) -> bool:
                part, step = trial.reached()
                return (parts.index(part), step) > goal

            return passed
        return lambda _: any(trial.out.glob(moment.part))

    def _updates(self, part: str) -> int:
        return int(np.ceil(self.steps * (PARTS[part] or 0.0)))


def compare(trial: Trial, reference: Trial) -> Row:
    """Return what is the same as in the reference, and which files are left over."""
    mine, theirs = trial.files(), reference.files()

    def same(folder: str) -> bool:
        names = {name for name in (*mine, *theirs) if name.startswith(folder)}
        return all(mine.get(name) == theirs.get(name) for name in names)

    return {
        "same_bundle": load_bundle(trial.out).sha256 == load_bundle(reference.out).sha256,
        "same_log": same(METRICS_LOG_FILE),
        "same_pictures": same("samples/"),
        "same_checkpoints": same("checkpoints/"),
        "left_over": sorted(mine.keys() - theirs.keys()),
        "missing": sorted(theirs.keys() - mine.keys()),
    }


def passes(row: Row) -> bool:
    """Return whether the row equals the reference in everything."""
    same = all(value for name, value in row.items() if name.startswith("same_"))
    return same and row.get("untouched", True) and not row["left_over"] and not row["missing"]


def _times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def _last(told: str) -> str:
    """The last line, without the folder, which is a temporary one."""
    line = (told.strip().splitlines() or [""])[-1]
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
    """Return how many cases pass, and which do not."""
    failed = [row["case"] for row in rows if not passes(row)]
    return {"cases": len(rows), "failed": failed, "passed": not failed}


def main(argv: Sequence[str] | None = None) -> None:
    """Kill and resume, and print what came of each case."""
    parser = argparse.ArgumentParser(prog="python -m tools.robustness.resume", description=__doc__)
    parser.add_argument("--kills", type=int, default=len(PARTS), help="trainings that are killed")
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of the GAN")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--variant", default="default", help="a name for the idea under test")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="rows and summary")
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
