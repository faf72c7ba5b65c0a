"""Charts of the HTML reports, as HTML and SVG: strip plot, line chart and score histogram."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np


def round_ticks(low: float, high: float) -> list[float]:
    """Return the round numbers from `low` to `high` for the ticks of an axis, at most seven.

    Examples
    --------
    >>> round_ticks(0.13, 2.4)
    [0.5, 1.0, 1.5, 2.0]
    """
    step = 10 ** math.floor(math.log10(max(high - low, 1e-9)))
    step = next(step * f for f in (0.1, 0.2, 0.5, 1, 2) if (high - low) / f / step <= 6)
    numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [float(f"{step * number:.12g}") for number in numbers]


# Strip plot ---------------------------------------------------------------------------------------

STRIP_MARGIN = 0.05  # of the range, on either side


def strip_plot(rows: Sequence[tuple[str, Sequence[float], str]]) -> str:
    """Return a strip plot as HTML: a row per name, with a dot per value and a bar at the mean.

    Parameters
    ----------
    rows : sequence of (name, values, kind)
        The values are fractions, shown in percent. The kind is a class of the style sheet: "new" or
        "old".
    """
    all_values = np.concatenate([values for _, values, _ in rows])
    low, high = float(all_values.min()), float(all_values.max())
    margin = STRIP_MARGIN * ((high - low) or 0.01)
    low, high = low - margin, high + margin

    def position(value: float) -> float:
        return 100 * (value - low) / (high - low)

    strips = "".join(_strip(name, values, kind, position) for name, values, kind in rows)
    axis = "".join(
        f'<span style="left:{position(tick):.2f}%">{100 * tick:.6g} %</span>'
        for tick in round_ticks(low, high)
    )
    return (
        f'<div class="strips">{strips}<div class="strip"><span></span>'
        f'<div class="axis" aria-hidden="true">{axis}</div></div></div>'
    )


def _strip(
    name: str, values: Sequence[float], kind: str, position: Callable[[float], float]
) -> str:
    """Return one row of a strip plot, as HTML.

    `position` converts a value to percent of the width.
    """
    mean = float(np.mean(values))
    dots = "".join(
        f'<i class="{kind}" style="left:{position(value):.2f}%"></i>' for value in values
    )
    label = f"{name}: mean {mean:.1%}, from {min(values):.1%} to {max(values):.1%}"
    return (
        f'<div class="strip"><span>{escape(name)}</span>'
        f'<div class="dots" role="img" aria-label="{escape(label)}">{dots}'
        f'<b style="left:{position(mean):.2f}%"></b></div></div>'
    )


# Line chart ---------------------------------------------------------------------------------------

MAX_POINTS = 300  # of a curve; longer curves become means of neighboring points
CLIPPED_FRACTION = 0.005  # of the values at either end of a linear axis
LAST_CENTERED_TICK = 0.95  # of the width; a tick further right would stick out of the chart
CURVE_MARGIN = 0.06  # of the range, above and below


@dataclass(frozen=True)
class Curve:
    """One curve of a line chart, such as the loss of a network by training step.

    Attributes
    ----------
    name : str
        Name in the legend, as plain text.
    kind : str
        A class of the style sheet: "new", "flagged" or "old".
    steps, values : ndarray [N]
        Finite, N at least 1.
    """

    name: str
    kind: str
    steps: np.ndarray
    values: np.ndarray


def line_chart(title: str, curves: Sequence[Curve], *, log: bool = False) -> str:
    """Return a line chart of values by training step, with a legend, as HTML.

    Parameters
    ----------
    title : str
        Name of the values, as plain text.
    curves : sequence of Curve
        At least one; the largest step must be above 0.
    log : bool
        Whether the value axis is logarithmic. Values of zero or less then lie at its lower end.
    """
    last = int(max(curve.steps.max() for curve in curves))
    curves = [_thinned(curve) for curve in curves]
    values = np.concatenate([curve.values for curve in curves])
    if log:
        min_value = values[values > 0].min(initial=1.0)
        low, high = math.log10(min_value), math.log10(max(values.max(), min_value))
    else:
        quantiles = np.quantile(values, [CLIPPED_FRACTION, 1 - CLIPPED_FRACTION])
        low, high = (float(quantile) for quantile in quantiles)
    margin = CURVE_MARGIN * (high - low) or 0.5
    low, high = low - margin, high + margin

    def height(value: np.ndarray | float) -> np.ndarray:
        scaled = np.log10(np.maximum(value, min_value)) if log else np.asarray(value)
        return np.clip(100 * (scaled - low) / (high - low), 0, 100)

    polylines = "".join(
        f'<polyline class="{curve.kind}" points="'
        + " ".join(
            f"{x:.2f},{100 - y:.2f}"
            for x, y in zip(100 * curve.steps / last, height(curve.values), strict=True)
        )
        + '"/>'
        for curve in curves
    )
    ticks = _powers(low, high) if log else round_ticks(low, high)
    y_labels = "".join(
        f'<span style="bottom:{float(height(tick)):.2f}%">{tick:g}</span>' for tick in ticks
    )
    x_labels = "".join(
        f'<span{_end(tick / last)} style="left:{100 * tick / last:.2f}%">{tick:,.0f}</span>'
        for tick in round_ticks(0, last)
        if tick.is_integer()
    )
    ranges = "; ".join(
        f"{curve.name} from {curve.values[0]:.3g} to {curve.values[-1]:.3g}" for curve in curves
    )
    label = escape(f"{title}: {ranges}, after {last:,} steps")
    legend = "".join(
        f'<li><i class="{curve.kind}"></i>{escape(curve.name)}</li>' for curve in curves
    )
    return (
        f'<ul class="legend">{legend}</ul><div class="chart curves"><div class="panel">'
        f'<p class="name">{escape(title)}</p>'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{polylines}</svg>'
        f'<div class="counts" aria-hidden="true">{y_labels}</div></div>'
        f'<div class="axis" aria-hidden="true">{x_labels}</div></div>'
    )


def unit_chart(title: str, x_name: str, curves: Sequence[Curve]) -> str:
    """Return a chart of fractions against fractions, such as a ROC curve, as HTML.

    Parameters
    ----------
    title, x_name : str
        Names of the vertical and of the horizontal axis, as plain text.
    curves : sequence of Curve
        `steps` and `values` from 0 to 1; `steps` in ascending order.
    """
    polylines = ""
    for curve in curves:
        # Single points and not means, so that the ends and the corners of a step curve stay.
        rows = np.unique(np.linspace(0, len(curve.values) - 1, MAX_POINTS).astype(int))
        pairs = zip(curve.steps[rows], curve.values[rows])
        points = " ".join(f"{100 * x:.2f},{100 - 100 * y:.2f}" for x, y in pairs)
        polylines += f'<polyline class="{curve.kind}" points="{points}"/>'
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    y_labels = "".join(f'<span style="bottom:{100 * tick:g}%">{tick:g}</span>' for tick in ticks)
    x_labels = "".join(
        f'<span{_end(tick)} style="left:{100 * tick:g}%">{tick:g}</span>' for tick in ticks
    )
    legend = "".join(
        f'<li><i class="{curve.kind}"></i>{escape(curve.name)}</li>' for curve in curves
    )
    label = escape(f"{title} against {x_name}: {', '.join(curve.name for curve in curves)}")
    return (
        f'<ul class="legend">{legend}</ul><div class="chart curves"><div class="panel">'
        f'<p class="name">{escape(title)}, against {escape(x_name)}</p>'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{polylines}</svg>'
        f'<div class="counts" aria-hidden="true">{y_labels}</div></div>'
        f'<div class="axis" aria-hidden="true">{x_labels}</div></div>'
    )


def _end(position: float) -> str:
    """Return the class of a tick label that would stick out of the chart; empty for others.

    `position` is a fraction of the width.
    """
    return ' class="end"' if position > LAST_CENTERED_TICK else ""


def _thinned(curve: Curve) -> Curve:
    """Return a curve with at most `MAX_POINTS` points, which are means of neighboring points."""
    if len(curve.values) <= MAX_POINTS:
        return curve
    chunks = np.array_split(np.arange(len(curve.values)), MAX_POINTS)
    steps, values = (
        np.array([array[chunk].mean() for chunk in chunks]) for array in (curve.steps, curve.values)
    )
    return Curve(curve.name, curve.kind, steps, values)


def _powers(low: float, high: float) -> list[float]:
    """Return the ticks of a logarithmic axis: one, two and five times powers of ten.

    If these are more than six, only the powers are returned. `low` and `high` are decimal
    logarithms.
    """
    powers = [10.0**exponent for exponent in range(math.floor(low), math.ceil(high) + 1)]
    numbers = [power * factor for power in powers for factor in (1, 2, 5)]
    inside = [value for value in numbers if low <= math.log10(value) <= high]
    return inside if len(inside) <= 6 else [v for v in powers if low <= math.log10(v) <= high]


# Histogram of scores ------------------------------------------------------------------------------

NUM_BINS = 40
MAX_LINEAR_RANGE = 12  # half-widths of the calibration scores; a longer axis is compressed
MIN_TICK_GAP = 11.0  # percent of the width between two ticks


class ScoreAxis:
    """Axis of a score histogram, 0 to 100 percent of the width, divided into bins.

    The axis is linear, or compressed by arcsinh if some scores are extreme.

    Parameters
    ----------
    calibration, scores : ndarray [n], [N]
        The axis covers both.
    threshold : float or None
        The threshold becomes the edge of a bin, so that no bin has flagged and other scores.

    Attributes
    ----------
    is_linear : bool
        Whether the axis is linear.
    edges : ndarray
        Edges of the bins, on the (compressed) axis.
    """

    def __init__(
        self, calibration: np.ndarray, scores: np.ndarray, threshold: float | None
    ) -> None:
        low, median, high = np.quantile(calibration, [0.05, 0.5, 0.95])
        self._median, self._half_width = float(median), float(high - low) / 2 or 1.0
        both = np.concatenate([calibration, scores])
        min_score, max_score = float(both.min()), float(both.max())
        self.is_linear = max_score - min_score <= MAX_LINEAR_RANGE * self._half_width
        start, end = self._compressed(np.array([min_score, max_score]))
        width = max(end - start, 1e-9) / (NUM_BINS - 2)
        anchor = start
        if threshold is not None:
            anchor = float(self._compressed(np.array([threshold]))[0])
        first = math.floor((start - anchor) / width - 0.01)
        last = math.ceil((end - anchor) / width + 0.01)
        self.edges = anchor + width * np.arange(first, last + 1)
        self._range = min_score, max_score

    def position(self, scores: np.ndarray | float) -> np.ndarray:
        """Return the positions of scores on the axis, in percent of the width."""
        first, last = self.edges[0], self.edges[-1]
        compressed: np.ndarray = self._compressed(np.asarray(scores, np.float64))
        return np.asarray(100 * (compressed - first) / (last - first))

    def counts(self, scores: np.ndarray) -> np.ndarray:
        """Return the number of scores in each bin; a bin includes its right edge."""
        bins = np.searchsorted(self.edges, self._compressed(scores), side="left") - 1
        inside = np.clip(bins, 0, len(self.edges) - 2)
        return np.bincount(inside, minlength=len(self.edges) - 1)

    def ticks(self) -> list[float]:
        """Return round scores for the ticks of the axis, with enough space for their labels."""
        low, high = self._range
        if self.is_linear:
            numbers = np.array(round_ticks(low, high))
        else:
            powers = 10.0 ** np.arange(-3, math.ceil(math.log10(max(abs(low), abs(high)))) + 1)
            sizes = np.outer(powers, (1, 3)).ravel()
            numbers = np.sort(np.concatenate([-sizes, [0.0], sizes]))
        numbers = numbers[(numbers >= low) & (numbers <= high)]
        ticks: list[float] = []
        for value in sorted(numbers.tolist(), key=lambda v: (v != 0, -abs(v))):
            gaps = (abs(float(self.position(value) - self.position(tick))) for tick in ticks)
            if all(gap >= MIN_TICK_GAP for gap in gaps):
                ticks.append(value)
        return sorted(ticks)

    def _compressed(self, scores: np.ndarray) -> np.ndarray:
        """Return scores on the scale of the axis: unchanged if linear, else their arcsinh."""
        if self.is_linear:
            return scores
        return np.arcsinh((scores - self._median) / self._half_width)


def histogram(
    calibration: np.ndarray, scores: np.ndarray, threshold: float | None, titles: tuple[str, str]
) -> str:
    """Return a histogram of new scores above one of calibration scores, as HTML.

    Parameters
    ----------
    calibration, scores : ndarray [n], [N]
        Scores of the calibration samples (or other normal samples), and of the new samples.
    threshold : float or None
        Higher scores are flagged.
    titles : (str, str)
        Title of the upper and of the lower panel, as plain text.
    """
    axis = ScoreAxis(calibration, scores, threshold)
    first = math.inf if threshold is None else axis.edges[_edge(axis, threshold)]
    flagged = axis.edges[:-1] >= first
    new, old = axis.counts(scores), axis.counts(calibration)
    parts = [
        _panel(axis, new, np.where(flagged, "flagged", "new"), titles[0]),
        _panel(axis, old, np.full(len(old), "old"), titles[1]),
        '<div class="axis" aria-hidden="true">',
        *(f'<span style="left:{float(axis.position(t)):.2f}%">{t:g}</span>' for t in axis.ticks()),
        "</div>",
    ]
    if threshold is not None:
        x = float(axis.position(threshold))
        side = "before" if x > 60 else "after"
        parts.append(
            f'<div class="threshold" style="left:{x:.2f}%"><span class="{side}">threshold '
            f"{threshold:.3g}</span></div>"
        )
    return f'<div class="chart">{"".join(parts)}</div>'


def _edge(axis: ScoreAxis, threshold: float) -> int:
    """Return the index of the bin edge at the threshold."""
    return int(np.abs(axis.position(threshold) - np.linspace(0, 100, len(axis.edges))).argmin())


def _panel(axis: ScoreAxis, counts: np.ndarray, kinds: np.ndarray, title: str) -> str:
    """Return one panel of a histogram as HTML, with a logarithmic count axis.

    `kinds` are the style classes of the bins.
    """
    top = math.log1p(max(1, int(counts.max())))
    width = 100 / len(counts)
    bars = "".join(
        f'<rect class="{kind}" x="{i * width + 0.08 * width:.3f}" width="{0.84 * width:.3f}" '
        f'y="{100 - height:.2f}" height="{height:.2f}"/>'
        for i, (height, kind) in enumerate(zip(100 * np.log1p(counts) / top, kinds))
        if height
    )
    max_count = max(1, int(counts.max()))
    ticks = [n for n in (1, 10, 100, 1000, 10_000) if math.log1p(n) < 0.8 * top] + [max_count]
    numbers = "".join(
        f'<span style="bottom:{100 * math.log1p(n) / top:.2f}%">{n:,}</span>' for n in ticks
    )
    label = f"{title}: {int(counts.sum())} in {int((counts > 0).sum())} bins"
    return (
        f'<div class="panel"><p class="name">{escape(title)}</p>'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{bars}</svg><div class="counts" aria-hidden="true">'
        f"{numbers}</div></div>"
    )
