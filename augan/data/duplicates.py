"""Nearly identical samples on both sides of a split, which make any calibration look too good."""

import numpy as np

from augan.data.sequences import ConcatRows
from augan.data.splits import Split, evenly_spaced
from augan.io.hashing import array_digest

# Measured: repeated photographs of the same parts exceed it for a fifth to a half of the images,
# unrelated digits, garments and animals for at most three in a thousand.
MIN_CORRELATION = 0.995

FINE = 0.95  # share of different values that makes equal rows no chance
THUMBNAIL = 24
MAX_CALIBRATE = 2_000
MAX_OTHERS = 20_000
_CHUNK = 500


def near_duplicates(
    pixels: np.ndarray | ConcatRows,
    split: Split,
    *,
    most_calibrate: int | None = None,
    most_others: int | None = None,
) -> list[tuple[int, int, float]]:
    """Find nearly identical images of which one calibrates and the other does not.

    Gray thumbnails of at most 24 x 24 pixels are compared by correlation, so that brightness and
    contrast do not matter. Of large collections an evenly spaced part is compared. Images of one
    value everywhere have no correlation and count only when they are equal. So do the rows of a
    table, and only where one of its columns hardly ever repeats a value: elsewhere equal rows are
    chance.

    Parameters
    ----------
    pixels
        Prepared images `[N, S, S, C]` of `ImagePreprocessing`, or prepared rows `[N, F]` of
        `TabularPreprocessing`; only the rows compared are read.
    split
        The division of these N images.
    most_calibrate, most_others
        How many are compared; None: 2,000 with 20,000.

    Returns
    -------
    list of (int, int, float)
        Index of a training or validation image, index of the calibration image that resembles it,
        and their correlation; highest correlation first. Each calibration image occurs once, with
        its nearest image.
    """
    held = evenly_spaced(split.calibration, most_calibrate or MAX_CALIBRATE)
    others = evenly_spaced(np.union1d(split.train, split.val), most_others or MAX_OTHERS)
    if not len(held) or not len(others):
        return []
    if len(pixels.shape) == 2:
        return _equal(pixels, others, held) if has_near_unique_column(pixels[others]) else []
    (held_thumbs, held_flat), (other_thumbs, other_flat) = (
        _thumbnails(pixels, rows) for rows in (held, others)
    )
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(held), _CHUNK):
        correlation = held_thumbs[start : start + _CHUNK] @ other_thumbs.T
        nearest = correlation.argmax(axis=1)
        best = correlation[np.arange(len(nearest)), nearest]
        found += [
            (int(others[nearest[i]]), int(held[start + i]), min(1.0, float(best[i])))
            for i in np.flatnonzero(best >= MIN_CORRELATION)
        ]
    found += _equal(pixels, others[other_flat], held[held_flat])
    return sorted(found, key=lambda pair: (-pair[2], pair[1]))


def has_near_unique_column(rows: np.ndarray) -> bool:
    """Return whether some column of a table hardly ever has one value in two different rows.

    Only then are equal rows `[N, F]` more than chance.
    """
    different = np.unique(rows, axis=0)
    return any(len(np.unique(column)) > FINE * len(different) for column in different.T)


def _thumbnails(pixels: np.ndarray | ConcatRows, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gray thumbnails of zero mean and unit norm `[N, T * T]`, and which are flat `[N]`.

    Flat ones have no contrast to normalise; they become zero and so resemble nothing.
    """
    shrink = _area_weights(pixels.shape[1], min(pixels.shape[1], THUMBNAIL))
    thumbs = np.empty((len(rows), len(shrink) ** 2), np.float32)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        gray = pixels[rows[part]].mean(axis=-1, dtype=np.float32)
        thumbs[part] = (shrink @ gray @ shrink.T).reshape(len(gray), -1)
    brightest = np.abs(thumbs).max(axis=1, keepdims=True)
    thumbs -= thumbs.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(thumbs, axis=1, keepdims=True)
    # Below this, contrast is only the rounding of float32, of which any two could correlate.
    flat = norm <= 1e-4 * brightest
    thumbs = np.divide(thumbs, norm, out=np.zeros_like(thumbs), where=~flat)
    return thumbs, flat[:, 0]


def _area_weights(source: int, target: int) -> np.ndarray:
    """Return the matrix `[target, source]` whose rows average equal stretches of pixels."""
    edges = np.linspace(0, source, target + 1)
    pixel = np.arange(source)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    shares: np.ndarray = np.clip(covered, 0, None) * (target / source)
    return shares.astype(np.float32)


def _equal(
    pixels: np.ndarray | ConcatRows, others: np.ndarray, held: np.ndarray
) -> list[tuple[int, int, float]]:
    """Return the pairs of exactly equal images."""
    known = {array_digest(pixels[i]): int(i) for i in others}
    pairs = ((known.get(array_digest(pixels[i])), int(i)) for i in held)
    return [(other, i, 1.0) for other, i in pairs if other is not None]
