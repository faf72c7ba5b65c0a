"""How well anomaly maps point at defects: pixel AUROC and AUPRO.

References
----------
Bergmann, Fauser, Sattlegger, Steger (2020), Uninformed students: student-teacher anomaly detection
with discriminative latent embeddings, section 4 (the per-region overlap, integrated to a
false-positive rate of 0.3).
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from augan.detect.judging.evaluation import auroc
from augan.exceptions import DataError

MAX_FPR = 0.3
_TOUCHING = np.ones((3, 3), int)  # pixels that touch at a corner are of one region


def pixel_auroc(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float:
    """Return the AUROC of all pixels of all images, a defect's pixels being the positives.

    Parameters and errors are those of `aupro`.
    """
    _check(maps, masks)
    values = np.concatenate([anomaly_map.ravel() for anomaly_map in maps])
    defect = np.concatenate([mask.ravel() for mask in masks])
    return auroc(values[~defect], values[defect])


def aupro(
    maps: Sequence[np.ndarray], masks: Sequence[np.ndarray], max_fpr: float = MAX_FPR
) -> float:
    """Return the area under the per-region overlap, up to a false-positive rate.

    For every threshold, the share of each connected defect region that the map exceeds it on is
    averaged over regions, so that small defects count as much as large ones. That is plotted
    against the share of all defect-free pixels that exceed it, integrated from 0 to `max_fpr` by
    trapezoids, and divided by `max_fpr`. Memory: about 30 bytes a pixel.

    Parameters
    ----------
    maps : sequence of ndarray, shapes [H, W]
        Higher = more anomalous.
    masks : sequence of bool ndarray, of the same shapes
        True on a defect, all False of a normal image.

    Raises
    ------
    DataError
        Shapes differ, or there is no defect pixel, or no other.
    """
    _check(maps, masks)
    values = np.concatenate([anomaly_map.ravel() for anomaly_map in maps])
    overlap = np.concatenate([_shares(mask).ravel() for mask in masks])
    overlap /= overlap.sum()
    free = overlap == 0
    order = np.argsort(-values, kind="stable")
    values = values[order]
    # Where pixels tie they cross the threshold together: only the last of them is a point.
    last = np.append(values[1:] != values[:-1], True)
    pro = np.append(0.0, np.cumsum(overlap[order])[last])
    fpr = np.append(0.0, np.cumsum(free[order])[last] / free.sum())
    inside = fpr <= max_fpr
    x = np.append(fpr[inside], max_fpr)
    y = np.append(pro[inside], np.interp(max_fpr, fpr, pro))
    if fpr[inside][-1] == max_fpr:
        x, y = x[:-1], y[:-1]
    return float(np.trapezoid(y, x) / max_fpr)


def _shares(mask: np.ndarray) -> np.ndarray:
    """Each defect pixel's share of its own region; 0 elsewhere."""
    regions, _ = ndimage.label(mask, structure=_TOUCHING)
    sizes = np.bincount(regions.ravel())
    shares = 1.0 / np.maximum(sizes, 1)
    shares[0] = 0.0
    return shares[regions]


def _check(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> None:
    shapes = [anomaly_map.shape for anomaly_map in maps], [mask.shape for mask in masks]
    if shapes[0] != shapes[1] or any(len(shape) != 2 for shape in shapes[0]):
        raise DataError("every anomaly map [H, W] needs a mask of its own shape")
    marked = sum(int(mask.sum()) for mask in masks)
    if marked in (0, sum(mask.size for mask in masks)):
        raise DataError(
            "the masks mark no pixel, or all pixels, as a defect; pixel figures need both"
        )
