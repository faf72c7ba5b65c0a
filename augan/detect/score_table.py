"""Table of anomaly scores (`scores.csv`): written in chunks, then rewritten with decisions."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from augan.detect.conformal.decision import Decision
from augan.detect.scoring.component import ScoreComponent
from augan.io.csv_safety import UNDECODABLE, escape_formula, unescape_formula


@dataclass(frozen=True)
class ComponentSummary:
    """Statistics of one score component over all samples of a detection, for the report.

    Attributes
    ----------
    name, description : str
        Column name and meaning of the component; see `ScoreComponent`.
    mean_flagged, mean_unflagged : float or None
        Mean over the flagged samples and over the other samples; None if there are no such samples.
    num_largest : int
        Number of flagged samples whose largest component is this one.
    """

    name: str
    description: str
    mean_flagged: float | None
    mean_unflagged: float | None
    num_largest: int

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True)
class FlaggedSamples:
    """Result of the decisions about all rows of a score table.

    Attributes
    ----------
    names : list of str
        Names of the flagged samples, in the order of the table.
    components : list of ComponentSummary
        Statistics of each score component.
    """

    names: list[str]
    components: list[ComponentSummary]


class ScoreTableWriter:
    """Writer of the pending score table, whose column `anomaly` is still empty.

    Parameters
    ----------
    file : TextIO
        An open text file; the header is written at once.
    components : sequence of ScoreComponent
        Score components; each becomes a column after `path`, `score`, `p_value` and `anomaly`.
    """

    def __init__(self, file: TextIO, components: Sequence[ScoreComponent]) -> None:
        self._writer, self._empty = csv.writer(file), [""] * (3 + len(components))
        names = [component.name for component in components]
        self._writer.writerow(["path", "score", "p_value", "anomaly", *names])

    def write(
        self,
        names: Sequence[str],
        failures: Mapping[str, str],
        scores: np.ndarray,
        p_values: np.ndarray,
        components: np.ndarray,
    ) -> None:
        """Write one row for each sample of a chunk; an unreadable sample's row has only a name.

        Parameters
        ----------
        names : sequence of str
            Names of all samples of the chunk, in order.
        failures : mapping of str to str
            Names of the unreadable samples -> reason. The arrays have no rows for these samples.
        scores : ndarray [N]
            Anomaly scores of the readable samples.
        p_values : ndarray [N]
            Conformal p-values of the readable samples.
        components : ndarray [N, T]
            Score components of the readable samples.
        """
        rows = zip(scores, p_values, components)
        for name in names:
            if name in failures:
                self._writer.writerow([escape_formula(name), *self._empty])
                continue
            score, p_value, values = next(rows)
            decimals = [repr(float(value)) for value in (score, p_value, *values)]
            self._writer.writerow([escape_formula(name), *decimals[:2], "", *decimals[2:]])


def flag_rows(
    pending: Path, table: Path, decision: Decision, components: Sequence[ScoreComponent]
) -> FlaggedSamples:
    """Write the final score table with a decision about each sample; delete the pending table.

    This needs a second pass, because a cutoff for a false-discovery rate depends on all p-values.

    Parameters
    ----------
    pending : Path
        Table that `ScoreTableWriter` wrote.
    table : Path
        File to write.
    decision : Decision
        Decides which samples are flagged.
    components : sequence of ScoreComponent
        Components of the score, in the order of the columns.

    Returns
    -------
    FlaggedSamples
    """
    with (
        open(pending, newline="", encoding="utf-8", errors=UNDECODABLE) as source,
        open(table, "w", newline="", encoding="utf-8", errors=UNDECODABLE) as file,
    ):
        rows, writer = csv.reader(source), csv.writer(file)
        writer.writerow(next(rows))
        names: list[str] = []
        counts, num_largest = np.zeros(2, int), np.zeros(len(components), int)
        sums = np.zeros((2, num_largest.size))
        for path, score, p_value, _, *cells in rows:
            if not p_value:
                writer.writerow([path, score, p_value, "", *cells])
                continue
            is_flagged = int(decision.flags(float(p_value)))
            writer.writerow([path, score, p_value, is_flagged, *cells])
            values = np.array(cells, np.float64)
            counts[is_flagged] += 1
            sums[is_flagged] += values
            if is_flagged:
                names.append(unescape_formula(path))
                num_largest[values.argmax()] += 1
    pending.unlink()
    unflagged, flagged = (
        [float(x) for x in total / count] if count else [None] * num_largest.size
        for total, count in zip(sums, counts)
    )
    summaries = zip(components, flagged, unflagged, num_largest.tolist())
    return FlaggedSamples(names, [ComponentSummary(*one, *rest) for one, *rest in summaries])
