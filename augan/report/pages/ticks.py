"""Round numbers along an axis."""

import math


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
