"""Tables of the anomaly detection benchmarks."""

import statistics
from collections.abc import Sequence

from benchmarks.detection import false_alarm_coverage as coverage_benchmark
from tools.docs.tables.common import (
    Row,
    fixed,
    group_by,
    load_rows,
    markdown,
    mean,
    newest,
    with_provenance,
)

METHOD_NAMES = {
    ("pca", "default"): "pca, 63 components",
    ("pca", "pca-16"): "pca",
}
CONTROL_RATES = ("0.01", "0.05", "0.1")


def one_class(data: str, split: str, methods: Sequence[str] | None = None) -> str:
    """Return the table of the AUROC of each method, with one column per normal class."""
    name = f"one-class-{data}"
    rows = [
        row
        for row in load_rows(name, split=split)
        if row["variant"] != "1500 updates" and (methods is None or row["method"] in methods)
    ]
    rows = newest(rows, "method", "variant", "class", "seed")
    classes = list(group_by(rows, "class"))
    lines = []
    for label, of in _by_method(rows, data).items():
        seeds = [mean(group, "auroc") for group in group_by(of, "seed").values()]
        by_class = {key: mean(group, "auroc") for key, group in group_by(of, "class").items()}
        deviation = fixed(statistics.stdev(seeds), 4) if len(seeds) > 1 else ""
        lines.append(
            (
                statistics.fmean(by_class.values()),
                [
                    label,
                    str(len(seeds)),
                    fixed(statistics.fmean(by_class.values()), 4),
                    deviation,
                    ", ".join(fixed(value, 4) for value in seeds),
                    *(fixed(by_class[key], 3) for key in classes),
                ],
            )
        )
    lines.sort(key=lambda line: -line[0])
    header = ["method", "seeds", "mean", "standard deviation over seeds", "each seed", *classes]
    table = markdown(header, (cells for _, cells in lines))
    return with_provenance(table, rows, f"{name}.jsonl")


def one_class_times(data: str, split: str) -> str:
    """Return the table of training seconds and scoring milliseconds of each method."""
    name = f"one-class-{data}"
    rows = newest(load_rows(name, split=split), "method", "variant", "class", "seed")
    lines = [
        [label, fixed(mean(of, "train_s"), 2), fixed(mean(of, "ms_per_image"), 2)]
        for label, of in _by_method(rows, data).items()
    ]
    table = markdown(["method", "training, s", "scoring, ms an image"], lines)
    return with_provenance(table, rows, f"{name}.jsonl")


def one_class_anogan() -> str:
    """Return the table that compares AnoGAN with cheaper methods on two Fashion-MNIST classes."""
    name = "one-class-fashion-mnist"
    rows = load_rows(name, split="test", variant="1500 updates")
    auto = load_rows(name, split="test", method="auto", seed=0)
    auto = [row for row in auto if row["class"] in {"0", "4"}]
    lines = []
    for method, of in group_by([*auto, *rows], "method").items():
        by_class = {row["class"]: row["auroc"] for row in of}
        times = ["", ""]
        if method != "auto":
            scoring = mean(of, "ms_per_image")
            digits = 1 if scoring < 0.5 else 0
            times = [fixed(mean(of, "train_s"), 0), fixed(scoring, digits)]
        label = {"auto": "auto, the same seed", "untrained": "untrained (scored as fanogan)"}
        cells = [
            label.get(method, method),
            fixed(by_class["0"], 3),
            fixed(by_class["4"], 3),
            *times,
        ]
        lines.append((-by_class["0"], cells))
    table = markdown(
        ["method", "0", "4", "training, s", "scoring, ms an image"],
        (cells for _, cells in sorted(lines)),
    )
    return with_provenance(table, [*auto, *rows], f"{name}.jsonl")


def defects_test() -> str:
    """Return the table of the AUROC of real defects in magnetic tiles."""
    rows = load_rows("defects", split="test")
    lines = [
        [
            row["method"],
            str(row["seed"]),
            fixed(row["auroc"], 3),
            " to ".join(fixed(bound, 3) for bound in row["interval"]),
            fixed(row["kinds"]["crack"], 3),
            fixed(row["kinds"]["fray"], 3),
            fixed(row["train_s"], 0),
        ]
        for row in rows
    ]
    auto = [row for row in rows if row["method"] == "auto"]
    spread = [fixed(mean(auto, "auroc"), 3)] + [""] * 4
    lines.append(["auto, mean of the seeds", "", *spread])
    header = ["method", "seed", "mean AUROC", "95 %", "crack", "fray", "training, s"]
    return with_provenance(markdown(header, lines), rows, "defects.jsonl")


def defects_dev() -> str:
    """Return the table of the AUROC of painted defects by kind."""
    rows = sorted(load_rows("defects", split="dev"), key=lambda row: -row["auroc"])
    best = max(rows, key=lambda row: row["auroc"])
    kinds = sorted(best["kinds"], key=lambda kind: -best["kinds"][kind])
    lines = [
        [row["method"], fixed(row["auroc"], 3), *(fixed(row["kinds"][kind], 2) for kind in kinds)]
        for row in rows
    ]
    header = ["method", "mean AUROC", *(kind.replace("_", " and ") for kind in kinds)]
    return with_provenance(markdown(header, lines), rows, "defects.jsonl")


def false_alarm_coverage(data: str) -> str:
    """Return the table of realized false-alarm rates and of refits outside the 95 % range."""
    rows = load_rows("false-alarms", data=data)
    lines = []
    keeps = []
    for variant, own in sorted(group_by(rows, "variant").items()):
        summary = coverage_benchmark.summarize(own)
        for arm, label in (("ours", "conformal"), ("control", "control")):
            label = label if variant == "default" else f"{label}, {variant}"
            found = [summary[arm][rate] for rate in CONTROL_RATES]
            cells = [f"{fixed(of['observed'], 4)}, {of['outside']} outside" for of in found]
            lines.append([label, *cells])
        if variant == "default":
            keeps = [summary["ours_keeps"], summary["control_fails"]]
    table = markdown(["threshold", *(f"at {rate}" for rate in CONTROL_RATES)], lines)
    verdict = (
        f"The conformal threshold keeps the rate: {keeps[0]}. "
        f"The control fails, as expected: {keeps[1]}."
    )
    return with_provenance(f"{table}\n\n{verdict}", rows, "false-alarms.jsonl")


def _by_method(rows: Sequence[Row], data: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        method, variant = row["method"], row["variant"]
        known: dict[tuple[str, str], str] = METHOD_NAMES if data == "digits" else {}
        label = str(known.get((method, variant), method))
        found.setdefault(label, []).append(row)
    return found


TABLES = {
    "one-class-digits-test": lambda: one_class("digits", "test"),
    "one-class-digits-dev": lambda: one_class("digits", "dev"),
    "one-class-digits-times": lambda: one_class_times("digits", "test"),
    "one-class-fashion-mnist-test": lambda: one_class(
        "fashion-mnist", "test", ("auto", "nearest-neighbours", "untrained-auto")
    ),
    "one-class-fashion-mnist-anogan": one_class_anogan,
    "one-class-rgb32-test": lambda: one_class("rgb32", "test"),
    "defects-test": defects_test,
    "defects-dev": defects_dev,
    "false-alarms-digits": lambda: false_alarm_coverage("digits"),
    "false-alarms-skewed-table": lambda: false_alarm_coverage("skewed-table"),
}
