"""Tables of the translation benchmark."""

import functools
from collections.abc import Sequence

from benchmarks.augmentation.arm_choice import (
    choose,
    describe_variant,
    interval_over_cameras,
    variant_of,
)
from tools.docs.tables.common import (
    RESULTS,
    Row,
    fixed,
    load_rows,
    markdown,
    mean,
    signed,
    with_provenance,
)

CONTAINED = 0.9  # share of a camera's operations that a filter of the bank explains
COLUMNS = (("", "without adaptation"), ("_adabn", "with AdaBN"))


def _study_rows(
    experiment: str, split: str, labels_per_class: int = 0
) -> tuple[list[Row], list[str]]:
    """Return the rows of a study with the default settings, and the names of their files."""
    rows, files = [], []
    for path in sorted(RESULTS.glob(f"translation-{experiment}-{split}-*.jsonl")):
        of_file = load_rows(path.stem, variant="default", labels_per_class=labels_per_class)
        if of_file:
            rows += of_file
            files.append(path.name)
    return rows, files


def cameras(split: str) -> str:
    """Return the cameras of a split, with the filter of the bank that explains each best."""
    rows = load_rows("translation-cameras", split=split)
    body = [
        (
            row["camera"],
            ", ".join(row["operations"]),
            row["nearest_filter"],
            fixed(row["explained"], 2),
            "yes" if row["explained"] >= CONTAINED else "no",
        )
        for row in rows
    ]
    header = ("camera", "operations", "nearest filter", "share explained", "in the bank")
    return with_provenance(markdown(header, body), rows, "translation-cameras.jsonl")


def arms(experiment: str, split: str, labels_per_class: int = 0) -> str:
    """Return the mean balanced accuracy and recall of the missing classes of every arm."""
    rows, files = _study_rows(experiment, split, labels_per_class)
    tested = [row for row in rows if not row["hidden"]]
    by_arm: dict[str, list[Row]] = {}
    for row in tested:
        by_arm.setdefault(_name(row), []).append(row)
    complete = max(len(of_arm) for of_arm in by_arm.values())
    order = sorted(by_arm.items(), key=lambda item: -mean(item[1], "balanced_accuracy"))
    body = [
        (
            arm,
            *(
                f"{fixed(mean(of_arm, f'balanced_accuracy{suffix}'), 3)} / "
                f"{fixed(mean(of_arm, f'rare_recall{suffix}'), 2)}"
                for suffix, _ in COLUMNS
            ),
            fixed(mean(of_arm, "cpu_train"), 0),
        )
        for arm, of_arm in order
        if len(of_arm) == complete
    ]
    header = ("arm", *(name for _, name in COLUMNS), "CPU s")
    return with_provenance(markdown(header, body), tested, *files)


def choices(experiment: str, split: str, labels_per_class: int = 0) -> str:
    """Return the arms that the hidden classes choose for each camera, and their difference."""
    rows, files = _study_rows(experiment, split, labels_per_class)
    body: list[Sequence[str]] = []
    for suffix, name in COLUMNS:
        figure, recall = f"balanced_accuracy{suffix}", f"rare_recall{suffix}"
        chosen = {
            cell: kinds
            for cell, kinds in choose(rows, suffix).items()
            if {"gan", "other"} <= set(kinds)
        }
        for (camera, repeat), kinds in chosen.items():
            other, gan = kinds["other"], kinds["gan"]
            body.append(
                (
                    f"{camera}, repeat {repeat}, {name}",
                    f"{_name(other)}: {fixed(other[figure], 3)} / {fixed(other[recall], 2)}",
                    f"{_name(gan)}: {fixed(gan[figure], 3)} / {fixed(gan[recall], 2)}",
                    signed(100 * (gan[figure] - other[figure])),
                    _name(kinds["any"]),
                    signed(100 * (gan[figure] - kinds["best-other"][figure])),
                )
            )
        body += _means(chosen, figure, name)
    header = (
        "camera",
        "chosen without a translator",
        "chosen with one",
        "difference, points",
        "chosen of all",
        "difference to the best in hindsight",
    )
    return with_provenance(markdown(header, body), rows, *files)


def _means(
    chosen: dict[tuple[str, int], dict[str, Row]], figure: str, name: str
) -> list[tuple[str, ...]]:
    """Return the row of all cameras, and that of the cameras that the bank does not contain."""
    contained = {
        row["camera"] for row in load_rows("translation-cameras") if row["explained"] >= CONTAINED
    }
    result = []
    for title, cells in (
        ("all", list(chosen)),
        ("not in the bank", [cell for cell in chosen if cell[0] not in contained]),
    ):
        if not cells or (title != "all" and len(cells) == len(chosen)):
            continue
        texts = []
        for rival in ("other", "best-other"):
            interval = interval_over_cameras(
                {cell: chosen[cell]["gan"][figure] - chosen[cell][rival][figure] for cell in cells}
            )
            text = signed(100 * interval["mean"])
            if interval["low"] is not None:
                text += f" [{signed(100 * interval['low'])}, {signed(100 * interval['high'])}]"
            texts.append(text)
        means = [
            fixed(sum(chosen[cell][kind][figure] for cell in cells) / len(cells), 3)
            for kind in ("other", "gan")
        ]
        result.append((f"**{title}, {name}**", *means, texts[0], "", texts[1]))
    return result


def _name(row: Row) -> str:
    return describe_variant(variant_of(row))


TABLES = {
    "translation-cameras-dev": functools.partial(cameras, "dev"),
    "translation-fonts": functools.partial(choices, "fonts", "natural"),
    "translation-fonts-arms": functools.partial(arms, "fonts", "natural"),
    "translation-exposures-arms": functools.partial(arms, "exposures", "natural"),
}
