"""Training speed: a GAN in augan and the same GAN in PyTorch.

    python -m benchmarks.speed.training --json training-speed.json
    python -m benchmarks.speed.training --cases 32x32x1 --norm spectral --json F

Both implementations train the same DCGAN on batches of 64 images in float32, with one update of
each network for each batch. The numbers of parameters and operations are compared before the
timing. Each contestant is a process of its own, and the processes work in turns; the results are
medians over the turns. `benchmarks.speed.training_augan` and `benchmarks.speed.training_torch`
describe the contestants. `pip install -e '.[bench]'` installs PyTorch.
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
    CONTESTANTS,
    batches_of,
    describe_networks,
    make_graph_updates,
    make_products,
    prepare_images,
    settings,
    temporary,
    train,
)

CASES = {"32x32x1": (32, 1, 32, 100), "64x64x3": (64, 3, 64, 20)}  # size, channels, width, steps
TORCH = ("torch", "torch-same", "torch-bfloat16")
MATMULS = ("matmul", "torch-matmul")
INPUT_BATCHES_PER_STEP = 10  # of the contestant `input`, whose turns would be too short otherwise
MATRIX_SIZE, NUM_PRODUCTS = 2048, 8  # of a turn of matrix products


def run_contestant(name: str, case: str, norm: str) -> None:
    """Run a contestant until the pipe is closed."""
    size, channels, width, steps = CASES[case]
    if name in MATMULS:
        _multiply(name)
        return
    with temporary() as folder:
        pixels, preprocessing = prepare_images(Path(folder), size, channels)
        batches = batches_of(pixels, preprocessing)
        config = settings(size, width, norm, name)
        if name in TORCH:
            from benchmarks.speed.training_torch import TorchGan, make_updates

            gan = TorchGan(size, channels, width, norm, name)
            run_worker(gan.describe(), make_updates(gan, batches, steps))
        elif name == "input":
            count = INPUT_BATCHES_PER_STEP * steps
            run_worker({}, lambda: [batches.chunk(first, 20) for first in range(0, count, 20)])
        elif name == "augan-step":
            batch, shape = batches.chunk(0, 1)[0][0], list(preprocessing.sample_shape)
            run_worker(
                describe_networks(config, preprocessing),
                make_graph_updates(config, batch, shape, steps),
            )
        else:
            train(config, pixels, preprocessing, steps, Path(folder, "checkpoints"))


def _multiply(name: str) -> None:
    if name == "matmul":
        run_worker({}, make_products(MATRIX_SIZE, NUM_PRODUCTS))
    else:
        from benchmarks.speed import training_torch

        run_worker({}, training_torch.make_products(MATRIX_SIZE, NUM_PRODUCTS))


def measure(case: str, norm: str, names: Sequence[str], turns: int) -> dict[str, Any]:
    """Time all contestants in one case."""
    command = [sys.executable, "-m", "benchmarks.speed.training", "--case", case, "--norm", norm]
    with ExitStack() as stack:
        processes = {
            n: stack.enter_context(TimedProcess([*command, "--contestant", n])) for n in names
        }
        counted = {n: p.about for n, p in processes.items() if "flops" in p.about}
        check_equal(counted)
        seconds = time_in_turns(processes, turns)
    steps = CASES[case][3]
    images = {name: BATCH * steps for name in seconds if name not in MATMULS}
    images |= {"input": INPUT_BATCHES_PER_STEP * BATCH * steps} if "input" in images else {}
    rates = {name: [count / s for s in seconds[name]] for name, count in images.items()}
    operations = NUM_PRODUCTS * 2 * MATRIX_SIZE**3
    matrices = {n: [operations / s for s in seconds[n]] for n in MATMULS if n in seconds}
    return {
        "case": case,
        "norm": norm,
        "rates": rates,
        "matmul": matrices,
        "about": next(iter(counted.values())),
    }


def check_equal(counted: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError if two contestants differ in parameters or in operations."""
    for field in ("parameters", "flops"):
        values = {name: tuple(counts[field]) for name, counts in counted.items()}
        if len(set(values.values())) > 1:
            raise ValueError(f"the contestants differ in their networks: {field} are {values}")


def step_flops(flops: Sequence[int]) -> int:
    """Return the operations of an update for each image, from those of the forward passes.

    This is the minimum for both losses if each network trains against the latest weights of the
    other. A backward pass takes twice the operations of a forward pass. The generator needs one
    forward and one backward pass. The discriminator needs three forward passes, two backward
    passes, and one backward pass to the images alone, which takes as much as a forward pass.
    """
    generator, discriminator = flops
    return 3 * generator + 8 * discriminator


def ratios(measured: Mapping[str, Any], name: str, reference: str) -> list[float]:
    """Return the speed of a contestant relative to another, for each turn."""
    rates = measured["rates"]
    return [a / b for a, b in zip(rates.get(name, []), rates.get(reference, []))]


def summarize(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ratios of a case, medians over turns; None if a contestant is missing."""

    def median(values: Sequence[float]) -> float | None:
        return round(statistics.median(values), 3) if values else None

    fraction, matmul = None, measured["matmul"]
    if "augan" in measured["rates"] and matmul:
        # The rate of the machine is that of the fastest library.
        best = max(map(statistics.median, matmul.values()))
        rate = statistics.median(measured["rates"]["augan"])
        fraction = round(step_flops(measured["about"]["flops"]) * rate / best, 3)
    return {
        "ratio_to_torch": median(ratios(measured, "augan", "torch")),
        "ratio_to_torch_same_tricks": median(ratios(measured, "augan", "torch-same")),
        "ratio_bfloat16": median(ratios(measured, "augan-bfloat16", "torch")),
        "ratio_bfloat16_to_torch_bfloat16": median(
            ratios(measured, "augan-bfloat16", "torch-bfloat16")
        ),
        "share_of_matmul": fraction,
        "input_times_training": median(ratios(measured, "input", "augan")),
    }


def measurements(measured: Mapping[str, Any]) -> list[dict]:
    """Return the images per second of each contestant, and the rates of matrix products."""
    start = f"{measured['case']} {measured['norm']}"
    result = [
        measurement(f"{start} {name}", rates, "images/s", more_is_better=True)
        for name, rates in measured["rates"].items()
    ]
    return result + [
        measurement(f"{start} {name}", [r / 1e9 for r in rates], "GFLOP/s", more_is_better=True)
        for name, rates in measured["matmul"].items()
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Time all contestants in all cases, or run one contestant."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.training", description=__doc__.splitlines()[0]
    )
    every = (*CONTESTANTS, *TORCH, *MATMULS)
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--norm", choices=("batch", "spectral"), default="batch")
    parser.add_argument("--contestants", default=",".join(every), help=f"of {', '.join(every)}")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="measurements and summary")
    parser.add_argument("--contestant", choices=every, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=tuple(CASES), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.contestant:
        run_contestant(options.contestant, options.case, options.norm)
        return
    names = options.contestants.split(",")
    measured = [measure(c, options.norm, names, options.turns) for c in options.cases.split(",")]
    cases = {one["case"]: summarize(one) for one in measured}
    summary = {**next(iter(cases.values())), "cases": cases, "norm": options.norm}
    rows = [row for of_case in measured for row in measurements(of_case)]
    for row in rows:
        limits = f"{row['min']:.0f} to {row['max']:.0f}"
        print(f"{row['name']:36} {row['median']:9.1f} {row['unit']} ({limits})")
    for case, values in cases.items():
        print(case, values)
    if options.json:
        write_json(options.json, {"figures": rows, "rows": measured, "summary": summary})


if __name__ == "__main__":
    main()
