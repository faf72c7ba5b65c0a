"""Choice of arms of the translation benchmark by hidden classes, and intervals over cameras."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import t as student

from benchmarks.common.harness import Row

FIGURES = ("balanced_accuracy", "rare_recall", "balanced_accuracy_adabn", "rare_recall_adabn")
Variant = tuple[str, float | None]  # arm and share of translated images


def choose(rows: Sequence[Row], suffix: str) -> dict[tuple[str, int], dict[str, Row]]:
    """Return the rows of the arms that a user would choose, for each camera and repeat.

    The arm with the highest mean balanced accuracy on the hidden groups is chosen, once among the
    arms without a translator ("other"), once among those with one ("gan"), and once among all
    ("any"). "best-other" is the best arm without a translator in hindsight, which nobody could
    choose.

    Parameters
    ----------
    rows : sequence of dict
        Rows of one study.
    suffix : str
        "" without adaptation, "_adabn" with AdaBN.
    """
    chosen = {}
    for cell in dict.fromkeys((row["camera"], row["repeat"]) for row in rows):
        of_cell = [row for row in rows if (row["camera"], row["repeat"]) == cell]
        tested = {variant_of(row): row for row in of_cell if not row["hidden"]}
        guesses: dict[Variant, list[float]] = {}
        for row in of_cell:
            if row["hidden"]:
                guesses.setdefault(variant_of(row), []).append(row[f"balanced_accuracy{suffix}"])
        names = {variant: statistics.fmean(values) for variant, values in guesses.items()}
        others = {v: guess for v, guess in names.items() if v[1] is None}
        gans = {v: guess for v, guess in names.items() if v[1] is not None}
        result = {
            kind: tested[max(group, key=group.__getitem__)]
            for kind, group in (("other", others), ("gan", gans), ("any", names))
            if group
        }
        result["best-other"] = max(
            (row for variant, row in tested.items() if variant[1] is None),
            key=lambda row: row[f"balanced_accuracy{suffix}"],
        )
        chosen[cell] = result
    return chosen


def variant_of(row: Row) -> Variant:
    """Return arm and share of translated images of a row."""
    return row["arm"], row["share"]


def interval_over_cameras(differences: Mapping[tuple[str, int], float]) -> dict[str, Any]:
    """Return the mean of differences with its 95 % interval.

    Repeats and test images of a camera are its own, so the spread of the cameras' means holds their
    variance too: a t-interval of these means. With one camera the repeats take their place.

    Parameters
    ----------
    differences : mapping of (camera, repeat) to float
    """
    cameras = dict.fromkeys(camera for camera, _ in differences)
    means = [
        statistics.fmean(value for (name, _), value in differences.items() if name == camera)
        for camera in cameras
    ]
    if len(means) == 1:
        means = list(differences.values())
    mean, n = statistics.fmean(means), len(means)
    if n == 1:
        return {"mean": mean, "low": None, "high": None, "n": n}
    half = float(student.ppf(0.975, n - 1)) * statistics.stdev(means) / n**0.5
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the means of all arms, and what choosing by the hidden groups gains."""
    tested = [row for row in rows if not row["hidden"]]
    summary: dict[str, Any] = {"arms": {}, "gain": {}}
    for variant in dict.fromkeys(variant_of(row) for row in tested):
        of_arm = [row for row in tested if variant_of(row) == variant]
        summary["arms"][describe_variant(variant)] = {
            field: statistics.fmean(row[field] for row in of_arm) for field in FIGURES
        }
    for suffix, name in (("", "plain"), ("_adabn", "adabn")):
        figure = f"balanced_accuracy{suffix}"
        chosen = choose(rows, suffix)
        complete = {cell: arms for cell, arms in chosen.items() if {"gan", "other"} <= set(arms)}
        if not complete:
            continue
        summary["gain"][name] = {
            "chosen": {
                f"{camera} {repeat}": {
                    kind: [
                        describe_variant(variant_of(row)),
                        row[figure],
                        row[f"rare_recall{suffix}"],
                    ]
                    for kind, row in arms.items()
                }
                for (camera, repeat), arms in complete.items()
            },
            **{
                f"gan minus {rival}": interval_over_cameras(
                    {
                        cell: arms["gan"][figure] - arms[rival][figure]
                        for cell, arms in complete.items()
                    }
                )
                for rival in ("other", "best-other")
            },
            "any minus other": interval_over_cameras(
                {
                    cell: arms["any"][figure] - arms["other"][figure]
                    for cell, arms in complete.items()
                }
            ),
        }
    return summary


def describe_variant(variant: Variant) -> str:
    """Return the name of an arm with its share of translated images."""
    arm, share = variant
    return arm if share is None else f"{arm}, {share:g} translated"


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print the means of the arms, and the gains."""
    for arm, means in sorted(summary["arms"].items(), key=lambda item: -item[1][FIGURES[0]]):
        print(f"{arm:32}" + "  ".join(f"{means[field]:.3f}" for field in FIGURES))
    for name, gain in summary["gain"].items():
        for rival, interval in gain.items():
            if rival == "chosen":
                continue
            low, high = interval["low"], interval["high"]
            limits = "" if low is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
            print(f"{name}: {rival} {100 * interval['mean']:+.1f} points{limits}")
