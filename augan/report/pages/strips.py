"""A strip for each arm, on one axis: a dot for each draw, and a bar at their mean, as HTML."""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from augan.report.pages.ticks import round_ticks

ROOM = 0.05  # of the range, on either side


def strips(rows: Sequence[tuple[str, Sequence[float], str]]) -> str:
    """Return the figure.

    Parameters
    ----------
    rows : sequence of (name, values, kind)
        The kind is a class of the style sheet: "new" or "old".
    """
    everything = np.concatenate([values for _, values, _ in rows])
    least, most = float(everything.min()), float(everything.max())
    width = (most - least) or 0.01
    low, high = least - ROOM * width, most + ROOM * width

    def place(value: float) -> float:
        return 100 * (value - low) / (high - low)

    lines = "".join(_strip(name, values, kind, place) for name, values, kind in rows)
    axis = "".join(
        f'<span style="left:{place(mark):.2f}%">{100 * mark:.6g} %</span>'
        for mark in round_ticks(low, high)
    )
    return (
        f'<div class="strips">{lines}<div class="strip"><span></span>'
        f'<div class="axis" aria-hidden="true">{axis}</div></div></div>'
    )


def _strip(name: str, values: Sequence[float], kind: str, place: Callable[[float], float]) -> str:
    mean = float(np.mean(values))
    dots = "".join(f'<i class="{kind}" style="left:{place(value):.2f}%"></i>' for value in values)
    said = f"{name}: mean {mean:.1%}, from {min(values):.1%} to {max(values):.1%}"
    return (
        f'<div class="strip"><span>{escape(name)}</span>'
        f'<div class="dots" role="img" aria-label="{escape(said)}">{dots}'
        f'<b style="left:{place(mean):.2f}%"></b></div></div>'
    )
