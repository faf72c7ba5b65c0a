"""How well anomaly maps point at defects: pixel AUROC and AUPRO.

References
----------
Bergmann, Fauser, Sattlegger, Steger (2020), Uninformed students: student-teacher anomaly detection
with discriminative latent embeddings, section 4 (the per-region overlap, integrated to a
false-positive rate of 0.3).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from scipy import ndimage

from augan.data.modalities.images import ImagePreprocessing
from augan.data.sequences import RaggedImages
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.visualization.anomaly_map import resize_map
from augan.evaluation.detection.labels import Labels
from augan.evaluation.detection.metrics import auroc
from augan.exceptions import DataError
from augan.io.images import UnreadableImage, read_header, read_image

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


@dataclass
class Masks:
    """The masks of labeled images, read in advance, and the maps that come to be beside them.

    Parameters
    ----------
    masks : dict of str to bool ndarray [H, W]
        Of every normal image (nothing is marked) and every anomaly that has one.
    without : list of str
        Anomalies without a mask, or with one that marks nothing: left out of the pixel figures.
    """

    masks: dict[str, np.ndarray]
    without: list[str]
    _maps: dict[str, np.ndarray] = field(default_factory=dict)

    def add(
        self,
        names: Sequence[str],
        maps: np.ndarray | RaggedImages,
        preprocessing: ImagePreprocessing,
        ignored: IgnoreMask | None = None,
    ) -> None:
        """Keep maps as the detector draws them, each in the size of its own image."""
        for name, raw in zip(names, maps):
            if name in self.masks:
                one = resize_map(raw, preprocessing, self.masks[name].shape)
                self._maps[name] = one if ignored is None else ignored.blank(one)

    def figures(self) -> dict[str, Any]:
        """Return pixel AUROC and AUPRO of all images that have a map."""
        maps = list(self._maps.values())
        masks = [self.masks[name] for name in self._maps]
        return {
            "auroc": pixel_auroc(maps, masks),
            "aupro": aupro(maps, masks),
            "max_fpr": MAX_FPR,
            "num_images": len(maps),
            "num_anomalies": sum(bool(mask.any()) for mask in masks),
            "without_mask": self.without,
        }


def read_masks(folder: str | Path, root: Path, labels: Labels) -> Masks:
    """Read the mask of every labeled image.

    That of `broken/7.jpg` is `broken/7.png` or `broken/7_mask.png` in the folder of masks, or else
    `7.png` or `7_mask.png` where no other image is called so. Any value above 0 is defect. Normal
    images need none.

    Parameters
    ----------
    folder : path
        The folder of masks.
    root : path
        The folder of the images.
    labels : Labels

    Raises
    ------
    DataError
        A mask cannot be read, is of another size than its image, or marks a defect in a normal
        image; or no anomaly has a mask.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name the folder of masks with --masks")
    masks, without = {}, []
    times = Counter(PurePosixPath(name).stem for name in labels.kinds)
    for name, kind in labels.kinds.items():
        path = _find(folder, PurePosixPath(name), times)
        try:
            header = read_header(root / name)
        except UnreadableImage:
            continue  # scoring will report it
        shape = (header.height, header.width)
        mask = np.zeros(shape, bool) if path is None else _read(path, root / name, shape)
        if kind == labels.normal and mask.any():
            raise DataError(
                f"{path} marks a defect in {name}, which is labeled {kind}; correct one of the two"
            )
        if kind != labels.normal and not mask.any():
            without.append(name)
        else:
            masks[name] = mask
    if not any(mask.any() for mask in masks.values()):
        raise DataError(
            f"no anomaly has a mask in {folder}; a mask is a PNG of its image's name, with values "
            "above 0 on the defect"
        )
    return Masks(masks, without)


def _find(folder: Path, name: PurePosixPath, times: Counter[str]) -> Path | None:
    places = [folder / name.parent]
    if times[name.stem] == 1:
        places.append(folder)
    paths = [place / f"{name.stem}{end}.png" for place in places for end in ("", "_mask")]
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path, image: Path, shape: tuple[int, int]) -> np.ndarray:
    mask = read_image(path).max(axis=2) > 0
    if mask.shape != shape:
        raise DataError(
            f"the mask {path} has {mask.shape[1]} x {mask.shape[0]} pixels, its image {image} has "
            f"{shape[1]} x {shape[0]}; a mask must be as large as its image"
        )
    return mask
