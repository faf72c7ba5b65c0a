"""Charts of the reports as HTML and SVG: axes, strip plots, line charts, histograms."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np


def round_ticks(least: float, most: float) -> list[float]:
    """Return at most seven round numbers between two.

    Examples
    --------
    >>> round_ticks(0.13, 2.4)
    [0.5, 1.0, 1.5, 2.0]
    """
    step = 10 ** math.floor(math.log10(max(most - least, 1e-9)))
    step = next(step * f for f in (0.1, 0.2, 0.5, 1, 2) if (most - least) / f / step <= 6)
    numbers = range(math.ceil(least / step), math.floor(most / step) + 1)
    return [float(f"{step * number:.12g}") for number in numbers]


STRIP_MARGIN = 0.05  # of the range, on either side


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
    low, high = least - STRIP_MARGIN * width, most + STRIP_MARGIN * width

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


POINTS = 300  # of a line at most; means of neighbours, where there are more
OUTLYING = 0.005  # share of the values at either end that may lie beyond a linear axis
NEAR_END = 0.95  # of the width; a number beyond would stand out on the right
CURVE_MARGIN = 0.06  # of the range, above and below


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
    room = CURVE_MARGIN * (high - low) or 0.5
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


BINS = 40
FAR_OUT = 12  # spreads of the calibration scores, beyond which the axis is no longer linear
TICK_GAP = 11.0  # percent of the width between two numbers, at least


class Axis:
    """Where scores lie on a line of 0 to 100, linear or, if they reach far out, compressed.

    Parameters
    ----------
    calibration, scores : ndarray [n], [N]
        The axis holds both.
    line : float or None
        It becomes the edge of a bin, so that none has flagged and other scores at once.
    """

    def __init__(self, calibration: np.ndarray, scores: np.ndarray, line: float | None) -> None:
        low, middle, high = np.quantile(calibration, [0.05, 0.5, 0.95])
        self._middle, self._spread = float(middle), float(high - low) / 2 or 1.0
        everything = np.concatenate([calibration, scores])
        least, most = float(everything.min()), float(everything.max())
        self.is_linear = most - least <= FAR_OUT * self._spread
        start, end = self._bent(np.array([least, most]))
        width = max(end - start, 1e-9) / (BINS - 2)
        anchor = start if line is None else float(self._bent(np.array([line]))[0])
        first = math.floor((start - anchor) / width - 0.01)
        last = math.ceil((end - anchor) / width + 0.01)
        self.edges = anchor + width * np.arange(first, last + 1)
        self._range = least, most

    def place(self, values: np.ndarray | float) -> np.ndarray:
        """Return the places of scores, 0 to 100."""
        first, last = self.edges[0], self.edges[-1]
        bent: np.ndarray = self._bent(np.asarray(values, np.float64))
        return np.asarray(100 * (bent - first) / (last - first))

    def counts(self, scores: np.ndarray) -> np.ndarray:
        """Return how many scores lie in each bin; its right edge belongs to it."""
        bins = np.searchsorted(self.edges, self._bent(scores), side="left") - 1
        inside = np.clip(bins, 0, len(self.edges) - 2)
        return np.bincount(inside, minlength=len(self.edges) - 1)

    def ticks(self) -> list[float]:
        """Return round numbers that stand far enough from each other."""
        least, most = self._range
        if self.is_linear:
            found = np.array(round_ticks(least, most))
        else:
            powers = 10.0 ** np.arange(-3, math.ceil(math.log10(max(abs(least), abs(most)))) + 1)
            sizes = np.outer(powers, (1, 3)).ravel()
            found = np.sort(np.concatenate([-sizes, [0.0], sizes]))
        found = found[(found >= least) & (found <= most)]
        kept: list[float] = []
        for value in sorted(found.tolist(), key=lambda v: (v != 0, -abs(v))):
            if all(abs(float(self.place(value) - self.place(k))) >= TICK_GAP for k in kept):
                kept.append(value)
        return sorted(kept)

    def _bent(self, values: np.ndarray) -> np.ndarray:
        if self.is_linear:
            return values
        return np.arcsinh((values - self._middle) / self._spread)


def histogram(
    calibration: np.ndarray, scores: np.ndarray, line: float | None, titles: tuple[str, str]
) -> str:
    """Return the figure as HTML.

    Parameters
    ----------
    calibration, scores : ndarray [n], [N]
        Scores of calibration, or of other normal samples, below; and new ones, above.
    line : float or None
        What is flagged scores more.
    titles : (str, str)
        Of the panel above, and of that below.
    """
    axis = Axis(calibration, scores, line)
    flagged = axis.edges[:-1] >= (math.inf if line is None else axis.edges[_edge(axis, line)])
    new, old = axis.counts(scores), axis.counts(calibration)
    parts = [
        _panel(axis, new, np.where(flagged, "flagged", "new"), titles[0]),
        _panel(axis, old, np.full(len(old), "old"), titles[1]),
        '<div class="axis" aria-hidden="true">',
        *(f'<span style="left:{float(axis.place(t)):.2f}%">{t:g}</span>' for t in axis.ticks()),
        "</div>",
    ]
    if line is not None:
        x = float(axis.place(line))
        side = "before" if x > 60 else "after"
        parts.append(
            f'<div class="line" style="left:{x:.2f}%"><span class="{side}">line {line:.3g}</span>'
            "</div>"
        )
    return f'<div class="chart">{"".join(parts)}</div>'


def _edge(axis: Axis, line: float) -> int:
    return int(np.abs(axis.place(line) - np.linspace(0, 100, len(axis.edges))).argmin())


def _panel(axis: Axis, counts: np.ndarray, kinds: np.ndarray, title: str) -> str:
    top = math.log1p(max(1, int(counts.max())))
    width = 100 / len(counts)
    bars = "".join(
        f'<rect class="{kind}" x="{i * width + 0.08 * width:.3f}" width="{0.84 * width:.3f}" '
        f'y="{100 - height:.2f}" height="{height:.2f}"/>'
        for i, (height, kind) in enumerate(zip(100 * np.log1p(counts) / top, kinds))
        if height
    )
    most = max(1, int(counts.max()))
    marks = [n for n in (1, 10, 100, 1000, 10_000) if math.log1p(n) < 0.8 * top] + [most]
    numbers = "".join(
        f'<span style="bottom:{100 * math.log1p(n) / top:.2f}%">{n:,}</span>' for n in marks
    )
    summary = f"{title}: {int(counts.sum())} in {int((counts > 0).sum())} bins"
    return (
        f'<div class="panel"><p class="name">{escape(title)}</p>'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(summary)}">{bars}</svg><div class="counts" aria-hidden="true">'
        f"{numbers}</div></div>"
    )
