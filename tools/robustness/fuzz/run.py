"""Files damaged at random: does augan refuse them in its own words, in seconds, in little memory?

    python -m tools.robustness.fuzz.run --kind images --n 10000 --seed 0 --json F

Case number N of a kind is the same input whenever it is made. Cases run in a child process, which
may not take 2 GiB more than it had; one that hangs for a minute or dies is noted, and a new one
goes on behind it. A case passes if the input is accepted or ends in an `AuganError`, within ten
seconds of a processor. `--case N` runs a single one here, and shows its traceback; `--kind all`
runs all kinds.
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
SLOW = ("use",)  # hundreds take minutes, and TensorFlow reserves memory by itself
SECONDS = 10.0  # that a case may take
HANGS = 60.0  # without an answer after which a child is ended
MOST = 2 * 2**30  # bytes that a child may take beyond what it had
LONGEST = 100_000  # characters of a message


@dataclass(frozen=True)
class Outcome:
    """What became of one input: "accepted", the name of an error, or what is wrong."""

    case: int
    what: str
    is_wrong: bool
    seconds: float
    said: str = ""


def kind_of(name: str) -> Kind:
    """Return a kind by its name; nothing that others need is imported."""
    kinds: dict[str, Kind] = importlib.import_module(f"tools.robustness.fuzz.{MODULES[name]}").KINDS
    return kinds[name]


def make(name: str, kind: Kind, seed: int, case: int) -> bytes:
    """Return the input of a case."""
    return kind.make(np.random.default_rng([seed, zlib.crc32(name.encode()), case]))


def run_case(name: str, kind: Kind, seed: int, case: int, place: Path) -> Outcome:
    """Hand one damaged input to augan in the folder `place`, which is emptied."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    raw = make(name, kind, seed, case)
    begun = time.process_time()  # not the time of a clock: the machine may have other work
    what, is_wrong, said = _met(kind, raw, place)
    seconds = time.process_time() - begun
    if not is_wrong and seconds > SECONDS:
        what, is_wrong = f"took {seconds:.0f} s", True
    return Outcome(case, what, is_wrong, round(seconds, 3), said)


def _met(kind: Kind, raw: bytes, place: Path) -> tuple[str, bool, str]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", module=r"augan")
            kind.meet(raw, place)
    except AuganError as error:
        long = len(str(error)) > LONGEST
        return ("a message without end" if long else type(error).__name__), long, ""
    except BaseException as error:  # whatever it is, it is what the user would see
        if isinstance(error, KeyboardInterrupt):
            raise
        where = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in where if "augan" in frame.filename] or [where[-1]]
        place_of = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        return f"{type(error).__name__} at {place_of}", True, str(error)[:300]
    return "accepted", False, ""


def _child(name: str, seed: int, first: int, last: int, place: Path) -> None:
    """Run cases and print a line of each."""
    kind = kind_of(name)
    kind.make(np.random.default_rng(0))  # what it needs is there before memory is counted
    if name not in SLOW:
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MOST, size + MOST))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in range(first, last):
        outcome = run_case(name, kind, seed, case, place)
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        print(json.dumps({**asdict(outcome), "grown": grown}), flush=True)
        if grown > MOST:
            return  # the parent notes it and begins a new one


def run(name: str, seed: int, first: int, last: int) -> Iterator[tuple[Outcome, int]]:
    """Yield the outcome of each case and the bytes by which its process had grown."""
    with tempfile.TemporaryDirectory(prefix="augan-fuzz-") as folder:
        while first < last:
            words = [name, str(seed), str(first), str(last), f"{folder}/case"]
            command = [sys.executable, "-m", "tools.robustness.fuzz.run", "--child", *words]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            for line in _lines(process):
                about = json.loads(line)
                grown = about.pop("grown")
                outcome = Outcome(**about)
                first = outcome.case + 1
                if grown > MOST:
                    outcome = Outcome(outcome.case, f"{grown >> 20} MiB", True, outcome.seconds)
                yield outcome, grown
            process.kill()
            code = process.wait()
            if first < last and code:
                how = "hangs" if code == -9 else f"the process ended with {code}"
                yield Outcome(first, how, True, HANGS), 0
                first += 1


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yield what a process prints until it ends or is silent for too long."""
    assert process.stdout is not None  # noqa: S101
    patience = 180.0  # the first line waits for imports
    while select.select([process.stdout], [], [], patience)[0]:
        line = process.stdout.readline()
        if not line:
            process.wait()
            return
        yield line
        patience = HANGS


def measure(name: str, seed: int, first: int, last: int) -> dict[str, Any]:
    """Run cases of one kind and return counts and all that is wrong."""
    begun, counts, wrong, slowest, largest = time.perf_counter(), Counter[str](), [], 0.0, 0
    for outcome, grown in run(name, seed, first, last):
        counts[outcome.what] += 1
        slowest, largest = max(slowest, outcome.seconds), max(largest, grown)
        if outcome.is_wrong:
            wrong.append(asdict(outcome))
            print(f"{name} {outcome.case}: {outcome.what} {outcome.said}", flush=True)
    return {
        "kind": name,
        "seed": seed,
        "cases": last - first,
        "outcomes": dict(counts.most_common()),
        "wrong": wrong,
        "slowest_s": round(slowest, 2),
        "grown_mib": round(largest / 2**20),
        "seconds": round(time.perf_counter() - begun),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run cases and print what came of them; 1 if any is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.robustness.fuzz.run", description=__doc__
    )
    parser.add_argument("--kind", default="all", help=f"of {', '.join(MODULES)}, or all")
    parser.add_argument("--n", type=int, default=10_000, help="cases; of slow kinds a hundredth")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this one alone, here, with its traceback")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        name, seed, first, last, place = options.child
        _child(name, int(seed), int(first), int(last), Path(place))
        return 0
    if options.case is not None:
        place = Path(tempfile.mkdtemp(prefix="augan-fuzz-"))
        kind = kind_of(options.kind)
        kind.meet(make(options.kind, kind, options.seed, options.case), place)
        return 0
    names = list(MODULES) if options.kind == "all" else options.kind.split(",")
    rows = []
    for name in names:
        n = options.n if name not in SLOW or len(names) == 1 else options.n // 100
        rows.append(measure(name, options.seed, options.first, options.first + n))
        about = {key: value for key, value in rows[-1].items() if key != "wrong"}
        print(f"{about}, wrong: {len(rows[-1]['wrong'])}", flush=True)
        if options.json:
            write_json(options.json, rows)
    return int(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
