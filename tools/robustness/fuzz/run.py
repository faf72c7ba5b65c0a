"""Fuzz test of augan with randomly damaged files.

    python -m tools.robustness.fuzz.run --kind images --n 10000 --seed 0 --json F

Kind, seed and case number determine an input. The cases run in a child process, whose memory may
grow by at most 2 GiB. If the child process hangs for a minute or ends, the case is recorded and a
new child process continues with the next case. A case passes if augan accepts the input or raises
an `AuganError`, within ten seconds of processor time. `--case N` runs one case in this process and
shows the traceback. `--kind all` runs all kinds.
"""

import argparse
import importlib
import json
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augan.exceptions import AuganError
from benchmarks.common.harness import write_json
from tools.robustness.fuzz.inputs import Kind

MODULES = {
    **dict.fromkeys(("images", "masks", "configs", "tables"), "inputs"),
    **dict.fromkeys(("lists", "arrays", "idx"), "inputs"),
    **dict.fromkeys(("bundles", "runs", "commands"), "bundles"),
    "use": "usage",
}
SLOW_KINDS = ("use",)  # minutes per 100 cases; no memory limit, as TensorFlow reserves memory
MAX_SECONDS = 10.0  # processor time of a case
TIMEOUT_SECONDS = 60.0  # without output, after which the child process is killed
MAX_GROWTH = 2 * 2**30  # bytes by which the memory of the child process may grow
MAX_MESSAGE_LENGTH = 100_000  # characters


@dataclass(frozen=True)
class Outcome:
    """Outcome of one case.

    Attributes
    ----------
    case
        Number of the case.
    result
        "accepted", the name of an error, or a description of the failure.
    failed
        Whether the case failed.
    seconds
        Processor time.
    message
        Message of an unexpected error.
    """

    case: int
    result: str
    failed: bool
    seconds: float
    message: str = ""


def kind_of(name: str) -> Kind:
    """Return a kind by its name, without importing the modules of other kinds."""
    kinds: dict[str, Kind] = importlib.import_module(f"tools.robustness.fuzz.{MODULES[name]}").KINDS
    return kinds[name]


def make(name: str, kind: Kind, seed: int, case: int) -> bytes:
    """Return the input of a case."""
    return kind.make(np.random.default_rng([seed, zlib.crc32(name.encode()), case]))


def run_case(name: str, kind: Kind, seed: int, case: int, place: Path) -> Outcome:
    """Pass one damaged input to augan, in the folder `place`, which is emptied first."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    raw = make(name, kind, seed, case)
    started = time.process_time()  # processor time, because the machine may be busy
    result, failed, message = _try_input(kind, raw, place)
    seconds = time.process_time() - started
    if not failed and seconds > MAX_SECONDS:
        result, failed = f"took {seconds:.0f} s", True
    return Outcome(case, result, failed, round(seconds, 3), message)


def _try_input(kind: Kind, raw: bytes, place: Path) -> tuple[str, bool, str]:
    """Return result, failure and message of an input."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", module=r"augan")
            kind.process(raw, place)
    except AuganError as error:
        too_long = len(str(error)) > MAX_MESSAGE_LENGTH
        return ("a message that is too long" if too_long else type(error).__name__), too_long, ""
    except BaseException as error:  # a user would see a traceback
        if isinstance(error, KeyboardInterrupt):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        own_frames = [frame for frame in frames if "augan" in frame.filename] or [frames[-1]]
        location = f"{Path(own_frames[-1].filename).name}:{own_frames[-1].lineno}"
        return f"{type(error).__name__} at {location}", True, str(error)[:300]
    return "accepted", False, ""


def _run_child(name: str, seed: int, first: int, last: int, place: Path) -> None:
    """Run cases and print one JSON line per case."""
    kind = kind_of(name)
    kind.make(
        np.random.default_rng(0)
    )  # imports modules and makes caches before memory is measured
    if name not in SLOW_KINDS:
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MAX_GROWTH, size + MAX_GROWTH))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in range(first, last):
        outcome = run_case(name, kind, seed, case, place)
        growth = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        print(json.dumps({**asdict(outcome), "growth": growth}), flush=True)
        if growth > MAX_GROWTH:
            return  # the parent process records the case and starts a new child process


def run(name: str, seed: int, first: int, last: int) -> Iterator[tuple[Outcome, int]]:
    """Yield the outcome of each case and the memory growth of its process in bytes."""
    with tempfile.TemporaryDirectory(prefix="augan-fuzz-") as folder:
        while first < last:
            words = [name, str(seed), str(first), str(last), f"{folder}/case"]
            command = [sys.executable, "-m", "tools.robustness.fuzz.run", "--child", *words]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            for line in _lines(process):
                values = json.loads(line)
                growth = values.pop("growth")
                outcome = Outcome(**values)
                first = outcome.case + 1
                if growth > MAX_GROWTH:
                    outcome = Outcome(outcome.case, f"{growth >> 20} MiB", True, outcome.seconds)
                yield outcome, growth
            process.kill()
            code = process.wait()
            if first < last and code:
                result = "hangs" if code == -9 else f"the process ended with exit code {code}"
                yield Outcome(first, result, True, TIMEOUT_SECONDS), 0
                first += 1


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yield the output lines of a process until it ends or exceeds the time limit of a line."""
    assert process.stdout is not None  # noqa: S101
    timeout = 180.0  # for the first line, because of imports
    while select.select([process.stdout], [], [], timeout)[0]:
        line = process.stdout.readline()
        if not line:
            process.wait()
            return
        yield line
        timeout = TIMEOUT_SECONDS


def measure(name: str, seed: int, first: int, last: int) -> dict[str, Any]:
    """Run cases of one kind and return the counts of results and the failed cases."""
    started, counts, failures = time.perf_counter(), Counter[str](), []
    slowest, largest = 0.0, 0
    for outcome, growth in run(name, seed, first, last):
        counts[outcome.result] += 1
        slowest, largest = max(slowest, outcome.seconds), max(largest, growth)
        if outcome.failed:
            failures.append(asdict(outcome))
            print(f"{name} {outcome.case}: {outcome.result} {outcome.message}", flush=True)
    return {
        "kind": name,
        "seed": seed,
        "cases": last - first,
        "outcomes": dict(counts.most_common()),
        "failures": failures,
        "slowest_s": round(slowest, 2),
        "growth_mib": round(largest / 2**20),
        "seconds": round(time.perf_counter() - started),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run cases and print their results; return 1 if any case fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.robustness.fuzz.run", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--kind", default="all", help=f"one of {', '.join(MODULES)}, or all")
    parser.add_argument(
        "--n", type=int, default=10_000, help="number of cases; 1%% of it for slow kinds"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run only this case, in this process")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        name, seed, first, last, place = options.child
        _run_child(name, int(seed), int(first), int(last), Path(place))
        return 0
    if options.case is not None:
        place = Path(tempfile.mkdtemp(prefix="augan-fuzz-"))
        kind = kind_of(options.kind)
        kind.process(make(options.kind, kind, options.seed, options.case), place)
        return 0
    names = list(MODULES) if options.kind == "all" else options.kind.split(",")
    rows = []
    for name in names:
        n = options.n if name not in SLOW_KINDS or len(names) == 1 else options.n // 100
        rows.append(measure(name, options.seed, options.first, options.first + n))
        summary = {key: value for key, value in rows[-1].items() if key != "failures"}
        print(f"{summary}, failures: {len(rows[-1]['failures'])}", flush=True)
        if options.json:
            write_json(options.json, rows)
    return int(any(row["failures"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
