"""Score component: one summand of the anomaly score."""

from typing import NamedTuple


class ScoreComponent(NamedTuple):
    """Name and meaning of one summand of the anomaly score, as tables and reports show them.

    Attributes
    ----------
    name : str
        Column of `scores.csv`.
    description : str
        Meaning of a high value, for the report.
    """

    name: str
    description: str
