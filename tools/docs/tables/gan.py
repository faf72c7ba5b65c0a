"""Tables of the GAN benchmarks: variants, fidelity, failure alarms, pseudo-labels, bfloat16."""

import statistics
from collections.abc import Sequence

from tools.docs.tables.common import (
    Row,
    fixed,
    group_by,
    load_rows,
    markdown,
    mean,
    newest,
    plus_minus,
    with_provenance,
    yes_no,
)

DEFAULTS = {
    "default": "first: batch norm, non-saturating, translation",
    "hinge-spectral": "now: spectral norm, hinge, no translation",
}
PSEUDO_LABELS = {
    "labelled only": "none: labeled images only",
    "hard": "hard: the most likely class",
    "confident": "confident: the same, from a probability of 0.9",
    "soft": "soft: the probabilities (the default)",
}


def variants() -> str:
    """Return the table of the metrics of each GAN configuration after 1,000 updates."""
    rows = load_rows("families", variant="default")
    losses = {
        row["method"]: row["largest_loss"] for row in load_rows("families", variant="largest-loss")
    }
    lines = [
        [
            row["method"],
            fixed(row["share"], 3),
            fixed(row["coverage"], 2),
            fixed(row["diversity"], 2),
            fixed(row["train_s"], 0),
            fixed(losses[row["method"]], 1),
            row["alarm"] or "none",
        ]
        for row in rows
    ]
    header = [
        "configuration",
        "share of the untrained kernel distance",
        "coverage",
        "diversity within a class",
        "seconds",
        "largest loss",
        "alarm",
    ]
    every = load_rows("families")
    return with_provenance(markdown(header, lines), every, "families.jsonl")


def fidelity() -> str:
    """Return the table of the accuracy of classifiers trained on generated and real images."""
    rows = load_rows("fidelity")
    lines = [
        [
            DEFAULTS[row["variant"]],
            fixed(row["minutes"], 1),
            f"{row['gan_steps']:,}",
            fixed(row["synthetic_only_accuracy"], 3),
            fixed(row["real_accuracy"], 3),
            fixed(row["kernel_distance"], 4),
            fixed(row["kernel_distance_floor"], 4),
            fixed(row["untrained_kernel_distance"], 3),
            fixed(row["coverage"], 3),
        ]
        for row in rows
    ]
    header = [
        "default",
        "minutes",
        "updates",
        "accuracy, trained on generated images",
        "accuracy, trained on real images",
        "kernel distance",
        "real against real",
        "untrained",
        "coverage",
    ]
    return with_provenance(markdown(header, lines), rows, "fidelity.jsonl")


def failure_alarms() -> str:
    """Return the table of the metrics and alarms of healthy and failing trainings."""
    rows = load_rows("alarms")
    lines = []
    for row in rows:
        last = row["last"] or {}
        metrics = [_number(last.get(name)) for name in ("diversity", "coverage", "r_t", "r_v")]
        loss = row["largest_loss"]
        alarm = f"{row['alarm']}, at {row['alarm_step']:,}" if row["alarm"] else "none"
        lines.append(
            [
                row["method"],
                str(row["steps_done"]),
                *metrics,
                "not finite" if loss is None else fixed(loss, 0) if loss > 100 else fixed(loss, 1),
                _number(row["untrained_distance"]),
                _number(row["last_distance"], 3),
                _number(row["kept_distance"], 3),
                yes_no(row["holds_last"]),
                alarm,
                row["expected"] or "none",
            ]
        )
    header = [
        "training",
        "updates",
        "last diversity",
        "coverage",
        "r_t",
        "r_v",
        "largest loss",
        "kernel distance untrained",
        "last measured",
        "in the bundle",
        "bundle = last weights",
        "alarm",
        "expected",
    ]
    return with_provenance(markdown(header, lines), rows, "alarms.jsonl")


def alarm_sentences() -> str:
    """Return a list of the recorded alarm messages."""
    rows = load_rows("alarms")
    return "\n".join(f'- {row["method"]}: "{row["sentence"]}"' for row in rows if row["sentence"])


def pseudo_labels() -> str:
    """Return the table of the metrics with unlabeled images, for each pseudo-label method."""
    rows = load_rows("unlabelled")
    lines = []
    for method, of in group_by(rows, "method").items():
        lines.append(
            [
                PSEUDO_LABELS[method],
                _mean_deviation(of, "logistic_regression", 3),
                _mean_deviation(of, "neighbours", 3),
                _mean_deviation(of, "kernel_distance", 4),
                fixed(mean(of, "used"), 0),
            ]
        )
    header = [
        "pseudo-labels",
        "logistic regression trained on generated images",
        "3 nearest neighbors in generated images",
        "kernel distance",
        "unlabeled images used",
    ]
    return with_provenance(markdown(header, lines), rows, "unlabelled.jsonl")


def bfloat16() -> str:
    """Return the table of the metrics in float32 and bfloat16, and the float32 range over seeds."""
    every = newest(load_rows("precision"), "data", "seed", "dtype", "class")
    sources = {"digits": "digits", "fashion-mnist": "Fashion-MNIST, 600 updates"}
    figures = {"kernel_distance": "kernel distance", "coverage": "coverage", "auroc": "AUROC"}
    lines = []
    for data, label in sources.items():
        for figure, name in figures.items():
            rows = [row for row in every if row["data"] == data and figure in row]
            digits = (
                4 if figure == "auroc" or (data, figure) == ("digits", "kernel_distance") else 3
            )
            means = [
                mean((row for row in rows if row["dtype"] == dtype), figure)
                for dtype in ("float32", "bfloat16")
            ]
            full = [row for row in rows if row["dtype"] == "float32"]
            ranges = [
                max(row[figure] for row in of) - min(row[figure] for row in of)
                for of in group_by(full, "class").values()
            ]
            classes = len(ranges)
            lines.append(
                [
                    label,
                    f"{name}, {classes} classes" if classes > 1 else name,
                    *(fixed(value, digits) for value in (*means, statistics.fmean(ranges))),
                ]
            )
    header = ["data", "figure", "float32", "bfloat16", "range over seeds in float32"]
    return with_provenance(markdown(header, lines), every, "precision.jsonl")


def _number(value: float | None, digits: int = 2) -> str:
    return "none" if value is None else fixed(value, digits)


def _mean_deviation(rows: Sequence[Row], field: str, digits: int) -> str:
    return plus_minus([row[field] for row in rows], digits)


TABLES = {
    "gan-variants": variants,
    "gan-fidelity": fidelity,
    "gan-failure-alarms": failure_alarms,
    "gan-failure-alarm-sentences": alarm_sentences,
    "gan-pseudo-labels": pseudo_labels,
    "gan-bfloat16": bfloat16,
}
