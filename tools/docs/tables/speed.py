"""Tables of the time and memory benchmarks."""

from collections.abc import Sequence

from benchmarks.speed import memory as memory_benchmark
from tools.docs.tables.common import (
    Row,
    fixed,
    load_figures,
    load_rows,
    markdown,
    newest,
    with_provenance,
)

CASES = {
    "spectral, 32 x 32 x 1": ("training-spectral", "spectral", "32x32x1"),
    "batch, 32 x 32 x 1": ("training-batch", "batch", "32x32x1"),
    "spectral, 64 x 64 x 3": ("training-spectral", "spectral", "64x64x3"),
    "batch, 64 x 64 x 3": ("training-batch", "batch", "64x64x3"),
}
SIDES = {
    "augan": "augan, `train_stages` as it is",
    "augan-step": "augan, updates alone",
    "torch": "torch",
    "torch-same": "torch-same",
    "augan-bfloat16": "augan in bfloat16",
    "torch-bfloat16": "torch in bfloat16",
}
RATIOS = {
    "ratio_to_torch": "augan against torch (goal 1.3)",
    "ratio_to_torch_same_tricks": "augan against torch-same (goal 1)",
    "ratio_bfloat16": "augan in bfloat16 against torch (stretch goal 2)",
    "ratio_bfloat16_to_torch_bfloat16": "both in bfloat16",
}
COMMANDS = ("train", "augment", "detect")
STAGES = ("find", "size", "decode", "reopen", "hash", "split", "duplicates", "batches")


def training() -> str:
    """Return the table of images per second in four cases, and of the median ratios."""
    loaded = {case: load_figures(file) for case, (file, _, _) in CASES.items()}
    lines = []
    for side, label in SIDES.items():
        cells = [label]
        for case, (_, norm, shape) in CASES.items():
            figure = loaded[case][0][f"{shape} {norm} {side}"]
            cells.append("{median:,.0f} ({min:,.0f} to {max:,.0f})".format(**figure))
        lines.append(cells)
    summaries = [loaded[case][1]["cases"][shape] for case, (_, _, shape) in CASES.items()]
    for name, label in RATIOS.items():
        lines.append([label, *(fixed(summary[name], 2) for summary in summaries)])
    matmul = [
        loaded[case][0][f"{shape} {norm} matmul"]["median"]
        for case, (_, norm, shape) in CASES.items()
    ]
    shares = [summary["share_of_matmul"] for summary in summaries]
    lines.append(
        [
            "share of the matrix products' rate",
            *(f"{fixed(share, 2)} of {rate:.0f} GFLOP/s" for share, rate in zip(shares, matmul)),
        ]
    )
    times = [f"{summary['input_times_training']:.0f} times" for summary in summaries]
    lines.append(["the input alone (goal 5 times)", *times])
    table = markdown(["images per second", *CASES], lines)
    return f"{table}\n\n{_recorded('training-spectral.json', 'training-batch.json')}"


def startup() -> str:
    """Return the table of the seconds of commands and their parts."""
    figures, summary = load_figures("startup")

    def seconds(name: str, digits: int = 1) -> str:
        figure = figures[name]
        text = fixed(figure["median"], digits)
        if figure["n"] > 1:
            text += f" ({fixed(figure['min'], digits)} to {fixed(figure['max'], digits)})"
        return text

    def pair(name: str, digits: int = 1) -> list[str]:
        return [seconds(name.format(task), digits) for task in ("both", "detect")]

    own = [
        sum(
            figures[f"{task}: {part}"]["median"]
            for part in ("imports of augan", "bundle", "detector")
        )
        for task in ("both", "detect")
    ]
    images = [
        f"{seconds(f'{task}: first image', 2)}, {seconds(f'{task}: second image', 3)}"
        for task in ("both", "detect")
    ]
    bare = seconds("tensorflow")
    rates = [fixed(summary["files_a_second"][task], 0) for task in ("both", "detect")]
    many = [
        f"{text}, {rate} files per second"
        for text, rate in zip(pair("detect 10000 files, {}"), rates)
    ]
    shares = [fixed(summary["share_of_pillow"][task], 2) for task in ("both", "detect")]
    lines = [
        ["`augan detect` of one image, the whole command (goal 8)", *pair("detect one, {}")],
        [f"of which `import tensorflow`; in a bare Python {bare}", *pair("{}: TensorFlow")],
        ["imports of augan, bundle, detector", *(fixed(value, 2) for value in own)],
        ["the first image (compilation), and the second", *images],
        ["a loaded detector, 1 image", *pair("{}: latency of 1", 3)],
        ["a loaded detector, 64 images", *pair("{}: latency of 64", 3)],
        ["`augan detect` of 10,000 JPEG files", *many],
        [f"the same as a share of Pillow alone, {seconds('pillow', 2)} s (goal 0.5)", *shares],
        ["`augan augment --class 3 --n 5000`, filters on (goal 10)", seconds("augment 5000"), ""],
    ]
    table = markdown(["seconds", "`both`", "`detect`"], lines)
    return f"{table}\n\n{_recorded('startup.json')}"


def dataset_size() -> str:
    """Return the table of time and peak memory by number and side of the images."""
    figures, summary = load_figures("growth")

    def cells(at: str) -> list[str]:
        return [
            f"{figures[f'{name} {at}, s']['median']:.1f} s, "
            f"{figures[f'{name} {at}, MiB']['median']:,.0f} MiB"
            for name in COMMANDS
        ]

    lines = [
        [f"{count:,} of 32 x 32", *cells(f"{count} of 32")]
        for count in (1000, 10_000, 100_000, 1_000_000)
    ]
    by_count, by_side = summary["exponent_by_count"], summary["exponent_by_side"]
    lines.append(["exponent by number", *(fixed(by_count[name], 2) for name in COMMANDS)])
    lines += [[f"1,000 of {side} x {side}", *cells(f"1000 of {side}")] for side in (16, 64, 128)]
    lines.append(["exponent by side", *(fixed(by_side[name], 1) for name in COMMANDS)])
    table = markdown(["images", "train", "augment, as many", "detect"], lines)
    return f"{table}\n\n{_recorded('growth.json')}"


def dataset_size_first() -> str:
    """Return the table of `dataset_size` for the first run, on a slower machine."""
    rows = load_rows("growth", date="2026-11-22")
    lines = []
    for row in newest(rows, "count", "settings"):
        side = row["settings"]["size"]
        cells = [f"{row[f'{n}_took_s']:.1f} s, {row[f'{n}_peak_mib']:,.0f} MiB" for n in COMMANDS]
        lines.append([f"{row['count']:,} of {side} x {side}", *cells])
    table = markdown(["images", "train", "augment, as many", "detect"], lines)
    return with_provenance(table, rows, "growth.jsonl")


def memory() -> str:
    """Return the table of the memory before and during training by number of images."""
    lines = []
    for row in _memory_rows(8) + _memory_rows(None):
        above = row["training_peak_mib"] - row["tensorflow_mib"]
        lines.append(
            [
                f"{row['count']:,}",
                str(row["settings"].get("width", 32)),
                fixed(row["streaming_peak_mib"] - row["baseline_mib"], 0),
                fixed(row["tensorflow_mib"], 0),
                fixed(row["training_peak_mib"], 0),
                fixed(above, 0),
            ]
        )
    header = [
        "images",
        "width of the networks",
        "streaming, above start",
        "TensorFlow loaded",
        "peak in training",
        "above TensorFlow",
    ]
    return with_provenance(markdown(header, lines), load_rows("memory"), "memory.jsonl")


def memory_time() -> str:
    """Return the table of processor microseconds per image of each stage, with growth exponents."""
    rows = _memory_rows(8)
    summary = memory_benchmark.summarize(rows)

    def cells(stages: Sequence[str]) -> list[str]:
        return [
            fixed(1e6 * sum(row["stage_cpu_seconds"][s] for s in stages) / row["count"], 0)
            for row in rows
        ]

    exponents = summary["exponents"]
    lines = [[stage, *cells([stage]), fixed(exponents[stage], 2)] for stage in STAGES]
    before = summary["exponent_before_training"]
    lines.append(["all before training", *cells(STAGES), fixed(before, 2)])
    lines.append(["training, 20 updates", *cells(["train"]), fixed(exponents["train"], 2)])
    header = ["stage", *(f"{row['count']:,}" for row in rows), "exponent"]
    return with_provenance(markdown(header, lines), rows, "memory.jsonl")


def _memory_rows(width: int | None) -> list[Row]:
    rows = [row for row in load_rows("memory") if row["settings"].get("width") == width]
    return sorted(newest(rows, "count"), key=lambda row: row["count"])


def _recorded(*names: str) -> str:
    files = ", ".join(f"`speed/{name}`" for name in names)
    return f"*Figures of {files}; median, and range of the turns in brackets.*"


TABLES = {
    "speed-training": training,
    "speed-startup": startup,
    "speed-dataset-size": dataset_size,
    "speed-dataset-size-first": dataset_size_first,
    "speed-memory": memory,
    "speed-memory-time": memory_time,
}
