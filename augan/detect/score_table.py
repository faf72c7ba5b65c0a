"""The table of scores, written a part at a time, and then once more with its decisions."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from augan.io.csv_safety import UNDECODABLE, escape_formula, unescape_formula


@dataclass(frozen=True)
class ComponentSummary:
    """What one term of the score said.

    Attributes
    ----------
    name : str
    flagged, others : float or None
        Its mean over what was flagged, and over the rest; None of nothing.
    most : int
        Flagged ones in whose score it is the largest part.
    """

    name: str
    flagged: float | None
    others: float | None
    most: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class FlaggedSamples:
    """What the second writing found: the names of what is flagged, and what each term said."""

    names: list[str]
    components: list[ComponentSummary]


class ScoreTableWriter:
    """Rows of samples with scores and p-values, but without decisions."""

    def __init__(self, file: TextIO, components: Sequence[str]) -> None:
        self._writer, self._gap = csv.writer(file), [""] * (3 + len(components))
        self._writer.writerow(["path", "score", "p_value", "anomaly", *components])

    def write(
        self,
        names: Sequence[str],
        failures: Mapping[str, str],
        scores: np.ndarray,
        p_values: np.ndarray,
        components: np.ndarray,
    ) -> None:
        """Write samples in order; the arrays `[N]`, `[N]` and `[N, T]` lack those in `failures`."""
        found = zip(scores, p_values, components)
        for name in names:
            if name in failures:
                self._writer.writerow([escape_formula(name), *self._gap])
                continue
            score, p, parts = next(found)
            decimals = [repr(float(value)) for value in (score, p, *parts)]
            self._writer.writerow([escape_formula(name), *decimals[:2], "", *decimals[2:]])


def flag(undecided: Path, table: Path, cutoff: float) -> FlaggedSamples:
    """Write the table anew with its decisions: a rate may depend on all p-values at once."""
    with (
        open(undecided, newline="", encoding="utf-8", errors=UNDECODABLE) as former,
        open(table, "w", newline="", encoding="utf-8", errors=UNDECODABLE) as file,
    ):
        rows, writer = csv.reader(former), csv.writer(file)
        header = next(rows)
        writer.writerow(header)
        names: list[str] = []
        counts, most = np.zeros(2, int), np.zeros(len(header) - 4, int)
        sums = np.zeros((2, most.size))
        for path, score, p_value, _, *components in rows:
            if not p_value:
                writer.writerow([path, score, p_value, "", *components])
                continue
            is_flagged = int(float(p_value) <= cutoff)
            writer.writerow([path, score, p_value, is_flagged, *components])
            parts = np.array(components, np.float64)
            counts[is_flagged] += 1
            sums[is_flagged] += parts
            if is_flagged:
                names.append(unescape_formula(path))
                most[parts.argmax()] += 1
    undecided.unlink()
    others, flagged = (
        [float(x) for x in total / count] if count else [None] * most.size
        for total, count in zip(sums, counts)
    )
    found = zip(header[4:], flagged, others, most.tolist())
    return FlaggedSamples(names, [ComponentSummary(*one) for one in found])
