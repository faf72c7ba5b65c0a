"""Near-duplicates between the calibration split and the other splits.

A near-duplicate of a training image scores lower than a new image, so the calibrated threshold
would be too low.
"""

from collections.abc import Iterable

import numpy as np

from augan.data.sequences import ConcatRows
from augan.data.splits import Split, evenly_spaced
from augan.io.hashing import array_digest

# Measured: repeated photographs of the same parts exceed this correlation in a fifth to a half of
# all images, unrelated digits, garments and animals in at most three of a thousand.
MIN_CORRELATION = 0.995

MIN_UNIQUE_FRACTION = 0.95  # of the values of a column, from which equal rows are not a coincidence
THUMBNAIL_SIZE = 24
MAX_CALIBRATION = 2_000
MAX_OTHERS = 20_000
_BLOCK_ROWS = 500


def find_near_duplicates(
    pixels: np.ndarray | ConcatRows,
    split: Split,
    *,
    max_calibration: int | None = None,
    max_others: int | None = None,
) -> list[tuple[int, int, float]]:
    """Find calibration samples that nearly equal a training or validation sample.

    Gray thumbnails of at most 24 x 24 pixels are compared by Pearson correlation, so that
    brightness and contrast do not matter; pairs from 0.995 on count. Of large datasets an evenly
    spaced subset is compared. Images with the same value everywhere have no correlation and count
    only if they are equal. Rows of a table count only if they are equal, and only if
    `has_near_unique_column` holds; otherwise equal rows are coincidence.

    Parameters
    ----------
    pixels : ndarray or ConcatRows
        Prepared images `[N, S, S, C]` of `ImagePreprocessing`, or prepared rows `[N, F]` of
        `TabularPreprocessing`; only the compared samples are read.
    split : Split
        The splits of these N samples.
    max_calibration, max_others : int or None
        The largest number of compared calibration samples and of other samples; None (default):
        2,000 and 20,000.

    Returns
    -------
    list of (int, int, float)
        Index of a training or validation sample, index of the calibration sample that resembles it,
        and their correlation (1.0 if equal); highest correlation first. Each calibration sample
        occurs at most once, with its nearest other sample.
    """
    calibration = evenly_spaced(split.calibration, max_calibration or MAX_CALIBRATION)
    others = evenly_spaced(np.union1d(split.train, split.val), max_others or MAX_OTHERS)
    if not len(calibration) or not len(others):
        return []
    if len(pixels.shape) == 2:
        return (
            _equal_pairs(pixels, others, calibration)
            if has_near_unique_column(pixels[others])
            else []
        )
    (calibration_thumbs, calibration_flat), (other_thumbs, other_flat) = (
        _thumbnails(pixels, rows) for rows in (calibration, others)
    )
    pairs: list[tuple[int, int, float]] = []
    for start in range(0, len(calibration), _BLOCK_ROWS):
        correlation = calibration_thumbs[start : start + _BLOCK_ROWS] @ other_thumbs.T
        nearest = correlation.argmax(axis=1)
        best = correlation[np.arange(len(nearest)), nearest]
        pairs += [
            (int(others[nearest[i]]), int(calibration[start + i]), min(1.0, float(best[i])))
            for i in np.flatnonzero(best >= MIN_CORRELATION)
        ]
    pairs += _equal_pairs(pixels, others[other_flat], calibration[calibration_flat])
    return sorted(pairs, key=lambda pair: (-pair[2], pair[1]))


class DistinctImages:
    """Counter of the images that do not nearly equal an earlier one, such as frames of a video.

    Images are compared as by `find_near_duplicates`. Of more than 2,000 distinct images, the later
    ones count as distinct without a comparison.
    """

    def __init__(self) -> None:
        self._thumbs = np.empty((MAX_CALIBRATION, THUMBNAIL_SIZE**2), np.float32)
        self._groups: list[int] = []
        self._num_distinct = 0

    def add(self, images: Iterable[np.ndarray]) -> None:
        """Compare images `[H, W, C]` of any size with the earlier ones."""
        for image in images:
            small = _resampled(image)
            thumbs, flat = _normalized(small.reshape(1, -1))
            correlation = self._thumbs[: self._num_distinct] @ thumbs[0]
            nearest = int(correlation.argmax()) if len(correlation) else -1
            if nearest >= 0 and not flat[0] and correlation[nearest] >= MIN_CORRELATION:
                self._groups.append(nearest)
                continue
            if self._num_distinct < MAX_CALIBRATION:
                self._thumbs[self._num_distinct] = thumbs[0]
            self._groups.append(self._num_distinct)
            self._num_distinct += 1

    @property
    def groups(self) -> np.ndarray:
        """Text `[N]`: one name for each image and those that nearly equal it."""
        return np.array([str(group) for group in self._groups])


def has_near_unique_column(rows: np.ndarray) -> bool:
    """Whether a column of a table hardly ever has one value in two different rows.

    Only then do equal rows mean copies and not coincidence. The distinct values of the column must
    be more than 95 % of the distinct rows.

    Parameters
    ----------
    rows : ndarray
        Prepared rows `[N, F]`.
    """
    distinct = np.unique(rows, axis=0)
    return any(
        len(np.unique(column)) > MIN_UNIQUE_FRACTION * len(distinct) for column in distinct.T
    )


def _thumbnails(pixels: np.ndarray | ConcatRows, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gray thumbnails of images, normalized so that a dot product is a correlation.

    Parameters
    ----------
    pixels : ndarray or ConcatRows
        Prepared images `[N, S, S, C]`.
    rows : ndarray of int
        Indices `[R]` of the images to read.

    Returns
    -------
    thumbs : ndarray
        float32 `[R, T * T]`, T at most 24, each row of mean 0 and norm 1; zero for flat images,
        which have no contrast and so correlate with nothing.
    flat : ndarray of bool
        `[R]`, whether the image has the same value everywhere.
    """
    weights = _area_weights(pixels.shape[1], min(pixels.shape[1], THUMBNAIL_SIZE))
    thumbs = np.empty((len(rows), len(weights) ** 2), np.float32)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        gray = pixels[rows[block]].mean(axis=-1, dtype=np.float32)
        thumbs[block] = (weights @ gray @ weights.T).reshape(len(gray), -1)
    return _normalized(thumbs)


def _resampled(image: np.ndarray) -> np.ndarray:
    """Return one image `[H, W, C]` as a gray thumbnail of the full size, float32 `[T, T]`."""
    rows, columns = (_area_weights(length, THUMBNAIL_SIZE) for length in image.shape[:2])
    small: np.ndarray = rows @ image.mean(axis=-1, dtype=np.float32) @ columns.T
    return small


def _normalized(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return thumbnails `[R, T * T]` with mean 0 and norm 1, and whether each is flat."""
    brightest = np.abs(thumbs).max(axis=1, keepdims=True)
    thumbs -= thumbs.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(thumbs, axis=1, keepdims=True)
    # Below this, contrast is rounding of float32, which could correlate by coincidence.
    flat = norm <= 1e-4 * brightest
    thumbs = np.divide(thumbs, norm, out=np.zeros_like(thumbs), where=~flat)
    return thumbs, flat[:, 0]


def _area_weights(source: int, target: int) -> np.ndarray:
    """Return the float32 `[target, source]` matrix that shrinks pixels by area averaging."""
    edges = np.linspace(0, source, target + 1)
    pixel = np.arange(source)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    shares: np.ndarray = np.clip(covered, 0, None) * (target / source)
    return shares.astype(np.float32)


def _equal_pairs(
    pixels: np.ndarray | ConcatRows, others: np.ndarray, calibration: np.ndarray
) -> list[tuple[int, int, float]]:
    """Return (other index, calibration index, 1.0) for calibration samples with an equal sample.

    `others` and `calibration` are indices of samples in `pixels`; bytes are compared by digest.
    """
    row_of = {array_digest(pixels[i]): int(i) for i in others}
    pairs = ((row_of.get(array_digest(pixels[i])), int(i)) for i in calibration)
    return [(other, i, 1.0) for other, i in pairs if other is not None]
