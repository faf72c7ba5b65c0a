"""Tables of the augmentation benchmarks: gain, null controls and tabular oversampling."""

import functools
from collections.abc import Sequence

import numpy as np

from augan.metrics.statistics import BootstrapComparison, ConfidenceInterval
from augan.seeding import child_rng
from benchmarks.common.harness import digest
from benchmarks.common.prediction_store import PredictionStore
from tools.docs.tables.common import (
    RESULTS,
    Row,
    fixed,
    group_by,
    load_rows,
    markdown,
    mean,
    newest,
    plus_minus,
    signed,
    with_provenance,
)

GAN = "gan"
PROTOCOL_VERSION = 2  # rows of version 1 have no decisions on single test images
KEY = (
    "benchmark",
    "protocol",
    "version",
    "data",
    "sha256",
    "split",
    "draw",
    "arm",
    "gan",
    "classifier",
    "variant",
    "augan",
    "settings",
)
ARM_ORDER = (
    "real",
    "classic",
    "oversampling",
    "class-weights",
    "smote",
    "pixel-transfer",
    "mixup",
    "self-training",
    "consistency",
    "consistency-transfer",
    "gan",
)
CONTROL_NAMES = {
    "shuffled": "of one GAN; their labels and those of the subset are permuted at random",
    "noise": "noise",
    "copies": "copies of the subset's own images",
    "others": "real images of other digits, which do help",
}
SAMPLER_NAMES = {
    "none": "none",
    "random": "random copies",
    "smote": "SMOTE",
    "smote-standardised": "SMOTE on standardized columns",
    "ctgan": "CTGAN",
    "gan-sample": "`GANOverSampler` (sample)",
    "gan-interpolate": "`GANOverSampler` (interpolate)",
    "gan-transfer": "`GANOverSampler` (transfer)",
}


def gain(protocol: str, data: str, *, digits: int, recalls: Sequence[int] = ()) -> str:
    """Return the table of all arms, with the difference between the GAN arm and each other arm.

    Parameters
    ----------
    protocol : {"imbalanced", "few-labels"}
    data : str
    digits : int
        Decimals of the differences, in points.
    recalls : sequence of int
        Classes whose mean recall has a column.
    """
    rows = _test_rows(protocol, data)
    intervals = _gan_differences(protocol, data)
    lines = []
    for arm, of in group_by(rows, "arm").items():
        recall = np.mean([row["recall"] for row in of], axis=0)
        cells = [arm, fixed(mean(of, "balanced_accuracy"), 3), fixed(mean(of, "macro_f1"), 3)]
        if recalls:
            cells.append(", ".join(fixed(recall[label], 2) for label in recalls))
        if len(of) <= 5:
            cells.append(", ".join(fixed(row["balanced_accuracy"], 3) for row in of))
        difference = intervals.get(arm)
        cells.append(_points(difference, digits) if difference else "")
        lines.append((-mean(of, "balanced_accuracy"), cells))
    header = ["arm", "balanced accuracy", "macro-F1"]
    if recalls:
        header.append(f"recall of {', '.join(map(str, recalls))}")
    if len(group_by(rows, "draw")) <= 5:
        header.append("each repeat")
    header.append("the GAN arm minus the arm, points, 95 %")
    table = markdown(header, (cells for _, cells in sorted(lines)))
    return with_provenance(table, rows, f"lift-{protocol}-{data}.jsonl")


def gain_by_repeat(protocol: str, data: str) -> str:
    """Return the table of the balanced accuracy of each arm in each repeat."""
    rows = _test_rows(protocol, data)
    return with_provenance(_by_repeat(rows), rows, f"lift-{protocol}-{data}.jsonl")


def gain_first_dev() -> str:
    """Return the table of two development repeats of the first adopted GAN arm."""
    name = "lift-imbalanced-fashion-mnist"
    rows = load_rows(name, split="dev")
    return with_provenance(_by_repeat(rows, with_mean=True), rows, f"{name}.jsonl")


def gain_first_test() -> str:
    """Return the table of the first protocol version on the test split."""
    name = "lift-imbalanced-fashion-mnist"
    rows = load_rows(name, split="test", version=1)
    lines = []
    for variant, of in group_by(rows, "variant").items():
        for arm, own in sorted(
            group_by(of, "arm").items(), key=lambda item: ARM_ORDER.index(item[0])
        ):
            shown = [f"{row['draw']}: {fixed(row['balanced_accuracy'], 3)}" for row in own]
            lines.append([arm, variant, str(len(own)), ", ".join(shown)])
    header = ["arm", "variant", "rows", "repeat: balanced accuracy"]
    return with_provenance(markdown(header, lines), rows, f"{name}.jsonl")


def null_controls() -> str:
    """Return the table of false claims of a gain in 200 evaluations without a gain."""
    lines, used = [], []
    every = load_rows("lift-controls")
    for control, label in CONTROL_NAMES.items():
        of = [row for row in every if row["method"] == control]
        cells = [label]
        for date in sorted({row["date"] for row in every}):
            own = newest((row for row in of if row["date"] == date), "first_run")
            used += own
            claims, runs = sum(row["claims"] for row in own), sum(row["runs"] for row in own)
            points = 100 * mean(own, "mean_lift")
            cells.append(f"{claims} of {runs}, {signed(points)}")
        lines.append(cells)
    dates = sorted({row["date"] for row in every})
    header = ["synthetic images", *(f"{date}: claims, mean difference in points" for date in dates)]
    return with_provenance(markdown(header, lines), used, "lift-controls.jsonl")


def tabular_oversampling() -> str:
    """Return the table of the macro-F1 of two classifiers after each sampler, on three datasets."""
    rows = load_rows("tables")
    tables = {"iris": "iris", "wine": "wine", "breast-cancer": "breast cancer"}
    classifiers = ("logistic", "forest")
    lines = []
    for sampler, label in SAMPLER_NAMES.items():
        cells = [label]
        for data in tables:
            of = [row for row in rows if row["method"] == sampler and row["data"] == data]
            for classifier in classifiers:
                seeds = [mean(group, classifier) for group in group_by(of, "seed").values()]
                cells.append(plus_minus(seeds, 3))
        lines.append(cells)
    header = ["sampler", *(f"{data}, {name}" for data in tables.values() for name in classifiers)]
    return with_provenance(markdown(header, lines), rows, "tables.jsonl")


@functools.cache
def _gan_differences(protocol: str, data: str) -> dict[str, ConfidenceInterval]:
    """Return the difference between the GAN arm and each other arm, with the benchmark's bootstrap.

    The decisions are stored in the order of the classes. Therefore the number of test images per
    class replaces the test labels.
    """
    rows = _test_rows(protocol, data)
    num_classes = len(rows[0]["recall"])
    per_class, rest = divmod(rows[0]["n_test"], num_classes)
    if rest:
        raise ValueError(
            f"{data}: expected test classes of equal size; unequal classes require the labels"
        )
    labels = np.repeat(np.arange(num_classes), per_class)
    correct = {}
    for arm, of in group_by(rows, "arm").items():
        file = RESULTS / f"lift-{protocol}-{data}-test-verdicts" / f"{arm}.jsonl"
        decisions = PredictionStore(file, labels)
        values = [decisions.find({name: row[name] for name in KEY}) for row in of]
        correct[arm] = np.stack([value for value in values if value is not None])
        for row, value in zip(of, values):
            if value is None or abs(value.mean() - row["accuracy"]) > 1e-9:
                raise ValueError(f"{file.name}: {digest(row)} has no matching decisions")
    bootstrap = BootstrapComparison(correct, labels, child_rng(0, "lift", "bootstrap"))
    return {arm: bootstrap.difference(GAN, arm) for arm in correct if arm != GAN}


def _test_rows(protocol: str, data: str) -> list[Row]:
    rows = load_rows(f"lift-{protocol}-{data}", split="test", version=PROTOCOL_VERSION)
    rows = newest(rows, "arm", "draw")
    return sorted(rows, key=lambda row: (row["draw"], ARM_ORDER.index(row["arm"])))


def _by_repeat(rows: Sequence[Row], with_mean: bool = False) -> str:
    arms = [arm for arm in ARM_ORDER if arm in {row["arm"] for row in rows}]
    lines = []
    for repeat, of in group_by(rows, "draw").items():
        values = {row["arm"]: row["balanced_accuracy"] for row in of}
        lines.append([str(repeat), *(fixed(values[arm], 3) for arm in arms)])
    if with_mean:
        by_arm = group_by(rows, "arm")
        lines.append(["mean", *(fixed(mean(by_arm[arm], "balanced_accuracy"), 3) for arm in arms)])
    return markdown(["repeat", *arms], lines)


def _points(interval: ConfidenceInterval, digits: int) -> str:
    value, low, high = (100 * x for x in (interval.value, interval.low, interval.high))
    return f"{signed(value, digits)} [{fixed(low, digits)}, {fixed(high, digits)}]"


TABLES = {
    "gain-imbalanced-fashion-mnist": lambda: gain(
        "imbalanced", "fashion-mnist", digits=2, recalls=(2, 4, 8)
    ),
    "gain-imbalanced-fashion-mnist-by-repeat": lambda: gain_by_repeat(
        "imbalanced", "fashion-mnist"
    ),
    "gain-imbalanced-fashion-mnist-first-dev": gain_first_dev,
    "gain-imbalanced-fashion-mnist-first-test": gain_first_test,
    "gain-few-labels-fashion-mnist": lambda: gain("few-labels", "fashion-mnist", digits=2),
    "gain-few-labels-fashion-mnist-by-repeat": lambda: gain_by_repeat(
        "few-labels", "fashion-mnist"
    ),
    "gain-imbalanced-rgb32": lambda: gain("imbalanced", "rgb32", digits=1),
    "gain-few-labels-rgb32": lambda: gain("few-labels", "rgb32", digits=1),
    "gain-null-controls": null_controls,
    "tabular-oversampling": tabular_oversampling,
}
