"""Two histograms above each other as HTML: the new scores, and those of calibration.

Bars are SVG that stretches with the page, while text is HTML over it and keeps its size, so that
one figure reads on a phone and on paper.
"""

import math
from html import escape

import numpy as np

from augan.report.pages.ticks import round_ticks

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
