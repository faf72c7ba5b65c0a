"""Curves over the steps of a training as HTML: lines are SVG, which stretches, and text is not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from augan.report.pages.ticks import round_ticks

POINTS = 300  # of a line at most; means of neighbours, where there are more
OUTLYING = 0.005  # share of the values at either end that may lie beyond a linear axis
NEAR_END = 0.95  # of the width; a number beyond would stand out on the right
ROOM = 0.06  # of the range, above and below


@dataclass(frozen=True)
class Curve:
    """One line.

    Attributes
    ----------
    name
        As text.
    kind
        A class of the style sheet: "new", "flagged" or "old".
    steps, values : ndarray [N]
        Finite, N at least 1.
    """

    name: str
    kind: str
    steps: np.ndarray
    values: np.ndarray


def curves(title: str, lines: Sequence[Curve], *, log: bool = False) -> str:
    """Return the figure.

    Parameters
    ----------
    title : str
        What the values are, as text.
    lines : sequence of Curve
    log : bool
        Whether the axis is logarithmic; what is not above zero then lies on its lower end.
    """
    last = int(max(line.steps.max() for line in lines))
    lines = [_thinned(line) for line in lines]
    values = np.concatenate([line.values for line in lines])
    if log:
        least = values[values > 0].min(initial=1.0)
        low, high = math.log10(least), math.log10(max(values.max(), least))
    else:
        low, high = (float(edge) for edge in np.quantile(values, [OUTLYING, 1 - OUTLYING]))
    room = ROOM * (high - low) or 0.5
    low, high = low - room, high + room

    def height(value: np.ndarray | float) -> np.ndarray:
        found = np.log10(np.maximum(value, least)) if log else np.asarray(value)
        return np.clip(100 * (found - low) / (high - low), 0, 100)

    drawn = "".join(
        f'<polyline class="{line.kind}" points="'
        + " ".join(
            f"{x:.2f},{100 - y:.2f}"
            for x, y in zip(100 * line.steps / last, height(line.values), strict=True)
        )
        + '"/>'
        for line in lines
    )
    ticks = _powers(low, high) if log else round_ticks(low, high)
    numbers = "".join(
        f'<span style="bottom:{float(height(tick)):.2f}%">{tick:g}</span>' for tick in ticks
    )
    below = "".join(
        f'<span{_end(tick / last)} style="left:{100 * tick / last:.2f}%">{tick:,.0f}</span>'
        for tick in round_ticks(0, last)
        if tick.is_integer()
    )
    said = "; ".join(
        f"{line.name} from {line.values[0]:.3g} to {line.values[-1]:.3g}" for line in lines
    )
    legend = "".join(f'<li><i class="{line.kind}"></i>{escape(line.name)}</li>' for line in lines)
    return (
        f'<ul class="legend">{legend}</ul><div class="chart curves"><div class="panel">'
        f'<p class="name">{escape(title)}</p>'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(f"{title}: {said}, after {last:,} steps")}">{drawn}</svg>'
        f'<div class="counts" aria-hidden="true">{numbers}</div></div>'
        f'<div class="axis" aria-hidden="true">{below}</div></div>'
    )


def _end(place: float) -> str:
    return ' class="end"' if place > NEAR_END else ""


def _thinned(line: Curve) -> Curve:
    """Return a line of at most `POINTS` points, means of those that lie together."""
    if len(line.values) <= POINTS:
        return line
    parts = np.array_split(np.arange(len(line.values)), POINTS)
    steps, values = (
        np.array([of[part].mean() for part in parts]) for of in (line.steps, line.values)
    )
    return Curve(line.name, line.kind, steps, values)


def _powers(low: float, high: float) -> list[float]:
    """Return one, two and five times powers of ten, or powers alone where they are many."""
    powers = [10.0**number for number in range(math.floor(low), math.ceil(high) + 1)]
    found = [power * factor for power in powers for factor in (1, 2, 5)]
    inside = [value for value in found if low <= math.log10(value) <= high]
    return inside if len(inside) <= 6 else [v for v in powers if low <= math.log10(v) <= high]
