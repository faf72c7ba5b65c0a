"""How fast a GAN trains, beside the same GAN in PyTorch: `python -m benchmarks.speed.training`.

    python -m benchmarks.speed.training --json training-speed.json
    python -m benchmarks.speed.training --cases 32x32x1 --norm spectral --json F

The same DCGAN on both sides, whose parameters and arithmetic are compared before anything is timed:
batches of 64 images in float32, one update of each player on each. Each side is a process of its
own, and they take turns; figures are medians over turns. See `benchmarks.speed.training_augan` and
`benchmarks.speed.training_torch` for what each side does. PyTorch comes with
`pip install -e '.[bench]'`.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.common.harness import write_json
from benchmarks.common.interleaved_timing import (
    TURNS,
    TimedProcess,
    measurement,
    run_worker,
    time_in_turns,
)
from benchmarks.speed.training_augan import (
    BATCH,
    SIDES,
    about,
    batches_of,
    products,
    settings,
    squares,
    step_alone,
    temporary,
    train,
)

CASES = {"32x32x1": (32, 1, 32, 100), "64x64x3": (64, 3, 64, 20)}  # size, channels, width, steps
TORCH = ("torch", "torch-same", "torch-bfloat16")
MATMULS = ("matmul", "torch-matmul")
INPUTS_A_STEP = 10  # batches of the input alone for each update, or it would be over too soon
MATRIX, PRODUCTS = 2048, 8  # side, and how many make a turn


def side(name: str, case: str, norm: str) -> None:
    """Be one side until the other end of the pipe is closed."""
    size, channels, width, steps = CASES[case]
    if name in MATMULS:
        _multiply(name)
        return
    with temporary() as folder:
        pixels, preprocessing = squares(Path(folder), size, channels)
        batches = batches_of(pixels, preprocessing)
        config = settings(size, width, norm, name)
        if name in TORCH:
            from benchmarks.speed.training_torch import Rival, updates

            rival = Rival(size, channels, width, norm, name)
            run_worker(rival.about(), updates(rival, batches, steps))
        elif name == "input":
            count = INPUTS_A_STEP * steps
            run_worker({}, lambda: [batches.chunk(first, 20) for first in range(0, count, 20)])
        elif name == "augan-step":
            one, shape = batches.chunk(0, 1)[0][0], list(preprocessing.sample_shape)
            run_worker(about(config, preprocessing), step_alone(config, one, shape, steps))
        else:
            train(config, pixels, preprocessing, steps, Path(folder, "checkpoints"))


def _multiply(name: str) -> None:
    if name == "matmul":
        run_worker({}, products(MATRIX, PRODUCTS))
    else:
        from benchmarks.speed import training_torch

        run_worker({}, training_torch.products(MATRIX, PRODUCTS))


def measure(case: str, norm: str, names: Sequence[str], turns: int) -> dict[str, Any]:
    """Let all sides take their turns in one case."""
    command = [sys.executable, "-m", "benchmarks.speed.training", "--case", case, "--norm", norm]
    with ExitStack() as stack:
        sides = {n: stack.enter_context(TimedProcess([*command, "--side", n])) for n in names}
        counted = {n: s.about for n, s in sides.items() if "flops" in s.about}
        check_equal(counted)
        seconds = time_in_turns(sides, turns)
    steps = CASES[case][3]
    images = {name: BATCH * steps for name in seconds if name not in MATMULS}
    images |= {"input": INPUTS_A_STEP * BATCH * steps} if "input" in images else {}
    rates = {name: [count / s for s in seconds[name]] for name, count in images.items()}
    done = PRODUCTS * 2 * MATRIX**3
    matrices = {n: [done / s for s in seconds[n]] for n in MATMULS if n in seconds}
    return {
        "case": case,
        "norm": norm,
        "rates": rates,
        "matmul": matrices,
        "about": next(iter(counted.values())),
    }


def check_equal(counted: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError if two sides differ in parameters or in arithmetic."""
    for what in ("parameters", "flops"):
        found = {name: tuple(one[what]) for name, one in counted.items()}
        if len(set(found.values())) > 1:
            raise ValueError(f"the sides are not the same networks: {what} are {found}")


def step_flops(flops: Sequence[int]) -> int:
    """Return the arithmetic of an update, for each image, from that of one forward pass of each.

    What both losses need at the least where each player learns from the other's last weights: of
    the generator one pass forward and one back, which is twice as much; of the discriminator three
    forward, two back, and one back to the images alone, which is as much as one forward.
    """
    generator, judge = flops
    return 3 * generator + 8 * judge


def ratios(measured: Mapping[str, Any], over: str, under: str) -> list[float]:
    """Return how many times as fast one side was as another, turn by turn."""
    rates = measured["rates"]
    return [a / b for a, b in zip(rates.get(over, []), rates.get(under, []))]


def summarize(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ratios of one case, medians over turns; None where a side is lacking."""

    def middle(values: Sequence[float]) -> float | None:
        return round(statistics.median(values), 3) if values else None

    share, matmul = None, measured["matmul"]
    if "augan" in measured["rates"] and matmul:
        # The machine's rate is that of the library that multiplies fastest.
        best = max(map(statistics.median, matmul.values()))
        done = step_flops(measured["about"]["flops"]) * statistics.median(
            measured["rates"]["augan"]
        )
        share = round(done / best, 3)
    return {
        "ratio_to_torch": middle(ratios(measured, "augan", "torch")),
        "ratio_to_torch_same_tricks": middle(ratios(measured, "augan", "torch-same")),
        "ratio_bfloat16": middle(ratios(measured, "augan-bfloat16", "torch")),
        "ratio_bfloat16_to_torch_bfloat16": middle(
            ratios(measured, "augan-bfloat16", "torch-bfloat16")
        ),
        "share_of_matmul": share,
        "input_times_training": middle(ratios(measured, "input", "augan")),
    }


def figures(measured: Mapping[str, Any]) -> list[dict]:
    """Return the images a second of each side, and the machine's own rate."""
    start = f"{measured['case']} {measured['norm']}"
    found = [
        measurement(f"{start} {name}", rates, "images/s", more_is_better=True)
        for name, rates in measured["rates"].items()
    ]
    return found + [
        measurement(f"{start} {name}", [r / 1e9 for r in rates], "GFLOP/s", more_is_better=True)
        for name, rates in measured["matmul"].items()
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Time all sides in all cases, or be one of them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.training", description=__doc__.splitlines()[0]
    )
    every = (*SIDES, *TORCH, *MATMULS)
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--norm", choices=("batch", "spectral"), default="batch")
    parser.add_argument("--sides", default=",".join(every), help=f"of {', '.join(every)}")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures and summary")
    parser.add_argument("--side", choices=every, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=tuple(CASES), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.side:
        side(options.side, options.case, options.norm)
        return
    names = options.sides.split(",")
    measured = [measure(c, options.norm, names, options.turns) for c in options.cases.split(",")]
    cases = {one["case"]: summarize(one) for one in measured}
    summary = {**next(iter(cases.values())), "cases": cases, "norm": options.norm}
    found = [row for one in measured for row in figures(one)]
    for row in found:
        spread = f"{row['min']:.0f} to {row['max']:.0f}"
        print(f"{row['name']:36} {row['median']:9.1f} {row['unit']} ({spread})")
    for case, values in cases.items():
        print(case, values)
    if options.json:
        write_json(options.json, {"figures": found, "rows": measured, "summary": summary})


if __name__ == "__main__":
    main()
