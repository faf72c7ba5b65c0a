"""Pixel metrics of anomaly maps: pixel AUROC and the area under the per-region overlap (AUPRO).

References
----------
Bergmann, Fauser, Sattlegger, Steger (2020), Uninformed students: student-teacher anomaly detection
with discriminative latent embeddings, section 4 (per-region overlap, integrated to a false-positive
rate of 0.3).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from scipy import ndimage

from augan.evaluation.detection.labels import Labels
from augan.evaluation.detection.metrics import auroc
from augan.exceptions import DataError
from augan.io.images import UnreadableImage, read_header, read_mask

MASK_ENDINGS = (".png", ".bmp", ".tif", ".tiff")  # of mask files, the most likely first
MAX_FPR = 0.3  # largest false-positive rate of AUPRO, as in Bergmann et al. (2020)
_EIGHT_CONNECTED = np.ones((3, 3), int)  # pixels that touch at a corner belong to one region


def pixel_auroc(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float:
    """Return the AUROC over all pixels of all images, from 0 to 1, with defect pixels as positives.

    Parameters
    ----------
    maps : sequence of ndarray, shapes [H, W]
        Anomaly maps, higher = more anomalous.
    masks : sequence of bool ndarray, of the same shapes
        True on a defect; all False for a normal image.

    Raises
    ------
    DataError
        Shapes differ, or the masks mark no pixel or every pixel, or a map holds NaN or infinity.
    """
    _check(maps, masks)
    values = np.concatenate([anomaly_map.ravel() for anomaly_map in maps])
    defect = np.concatenate([mask.ravel() for mask in masks])
    return auroc(values[~defect], values[defect])


def aupro(
    maps: Sequence[np.ndarray], masks: Sequence[np.ndarray], max_fpr: float = MAX_FPR
) -> float:
    """Return the area under the per-region overlap curve (AUPRO), from 0 to 1.

    For every threshold, the per-region overlap is the fraction of each connected defect region
    above the threshold, averaged over the regions, so that small defects count as much as large
    defects. The curve plots the overlap against the false-positive rate, the fraction of all
    defect-free pixels above the threshold. The curve is integrated from 0 to `max_fpr` by
    trapezoids, and the area is divided by `max_fpr`. Memory: about 30 bytes for each pixel.

    Parameters
    ----------
    maps : sequence of ndarray, shapes [H, W]
        Anomaly maps, higher = more anomalous.
    masks : sequence of bool ndarray, of the same shapes
        True on a defect; all False for a normal image.
    max_fpr : float
        Largest false-positive rate that counts, above 0 and at most 1.

    Raises
    ------
    DataError
        Shapes differ, or the masks mark no pixel or every pixel.
    """
    _check(maps, masks)
    values = np.concatenate([anomaly_map.ravel() for anomaly_map in maps])
    overlap = np.concatenate([_overlap_weights(mask).ravel() for mask in masks])
    overlap /= overlap.sum()
    free = overlap == 0
    order = np.argsort(-values, kind="stable")
    values = values[order]
    # Pixels with equal values cross the threshold together: only the last is a point of the curve.
    last = np.append(values[1:] != values[:-1], True)
    pro = np.append(0.0, np.cumsum(overlap[order])[last])
    fpr = np.append(0.0, np.cumsum(free[order])[last] / free.sum())
    inside = fpr <= max_fpr
    x = np.append(fpr[inside], max_fpr)
    y = np.append(pro[inside], np.interp(max_fpr, fpr, pro))
    if fpr[inside][-1] == max_fpr:
        x, y = x[:-1], y[:-1]
    return float(np.trapezoid(y, x) / max_fpr)


def _overlap_weights(mask: np.ndarray) -> np.ndarray:
    """Return the weight of each pixel of a bool mask `[H, W]` in the per-region overlap.

    The weight of a defect pixel is 1 / (number of pixels of its region), that of other pixels 0.
    Pixels that touch at a corner are one region.
    """
    regions, _ = ndimage.label(mask, structure=_EIGHT_CONNECTED)
    sizes = np.bincount(regions.ravel())
    weights = 1.0 / np.maximum(sizes, 1)
    weights[0] = 0.0
    return weights[regions]


def _check(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> None:
    """Raise DataError unless maps and masks have equal shapes `[H, W]` and both kinds of pixels."""
    map_shapes = [anomaly_map.shape for anomaly_map in maps]
    if map_shapes != [mask.shape for mask in masks] or any(len(s) != 2 for s in map_shapes):
        raise DataError("every anomaly map [H, W] needs a mask of the same shape")
    num_marked = sum(int(mask.sum()) for mask in masks)
    if num_marked in (0, sum(mask.size for mask in masks)):
        raise DataError(
            "the masks mark no pixel, or every pixel, as a defect; pixel metrics need both defect "
            "pixels and other pixels"
        )


@dataclass
class LabeledMaps:
    """Ground-truth masks of labeled images, and the anomaly maps of the detector.

    Attributes
    ----------
    masks : dict of str to bool ndarray [H, W]
        Name of an image -> mask, True on a defect. Contains every normal image (with an empty mask)
        and every anomaly with a mask.
    without_mask : list of str
        Anomalies without a mask or with an empty mask, which do not count in the pixel metrics.
    """

    masks: dict[str, np.ndarray]
    without_mask: list[str]
    _maps: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, names: Sequence[str], maps: Sequence[np.ndarray]) -> None:
        """Add the predictor's anomaly maps of some images.

        Parameters
        ----------
        names : sequence of str
            Names of the images. Images without an entry in `masks` are ignored.
        maps : sequence of ndarray [H, W]
            Map of each image in the size of the image, as of `Predictor.score_batch`.
        """
        self._maps |= {name: one for name, one in zip(names, maps) if name in self.masks}

    @property
    def warnings(self) -> list[str]:
        """A warning if masks mark every pixel of their images; else none."""
        whole = [name for name, mask in self.masks.items() if mask.size and mask.all()]
        if not whole:
            return []
        return [
            f"the masks of {len(whole)} of {len(self.masks)} images, for example {whole[0]}, mark "
            "every pixel as a defect; if only a part is one, save masks with black around it"
        ]

    def metrics(self) -> dict[str, Any]:
        """Return pixel AUROC and AUPRO over all images with a map, as JSON-able values.

        Returns
        -------
        dict
            `auroc`, `aupro`, `max_fpr`, `num_images`, `num_anomalies` and `without_mask`.

        Raises
        ------
        DataError
            The masks mark no pixel or every pixel of the images with a map.
        """
        maps = list(self._maps.values())
        masks = [self.masks[name] for name in self._maps]
        return {
            "auroc": pixel_auroc(maps, masks),
            "aupro": aupro(maps, masks),
            "max_fpr": MAX_FPR,
            "num_images": len(maps),
            "num_anomalies": sum(bool(mask.any()) for mask in masks),
            "without_mask": self.without_mask,
        }


def read_masks(folder: str | Path, root: Path, labels: Labels) -> LabeledMaps:
    """Read the ground-truth mask of every labeled image from a folder of PNG files.

    The mask of `broken/7.jpg` is `broken/7.png` or `broken/7_mask.png` in the folder of masks. If
    no other image has the name `7`, the mask may also be `7.png` or `7_mask.png`. Values above 0
    mark a defect; transparent pixels do not. Normal images need no mask. Images that cannot be read
    are left out.

    Parameters
    ----------
    folder : path
        Folder of the masks.
    root : path
        Folder of the images.
    labels : Labels
        Names and labels of the images.

    Returns
    -------
    LabeledMaps
        Masks of the original image sizes, without anomaly maps.

    Raises
    ------
    DataError
        A mask cannot be read, differs in size from its image, or marks a defect in a normal image;
        or no anomaly has a mask.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name the folder of masks with `masks`")
    masks, without_mask = {}, []
    stem_counts = Counter(PurePosixPath(name).stem for name in labels.by_name)
    for name, label in labels.by_name.items():
        path = _find_mask(folder, PurePosixPath(name), stem_counts)
        try:
            header = read_header(root / name)
        except UnreadableImage:
            continue  # the scoring reports unreadable images
        shape = (header.height, header.width)
        mask = np.zeros(shape, bool) if path is None else _read_mask(path, root / name, shape)
        if label == labels.normal and mask.any():
            raise DataError(
                f"{path} marks a defect in {name}, but the label of the image is {label}; correct "
                "the mask or the label"
            )
        if label != labels.normal and not mask.any():
            without_mask.append(name)
        else:
            masks[name] = mask
    if not any(mask.any() for mask in masks.values()):
        raise DataError(
            f"no anomaly has a mask in {folder}; a mask is a PNG file with the name of its image "
            "and values above 0 on the defect"
        )
    return LabeledMaps(masks, without_mask)


def _find_mask(folder: Path, name: PurePosixPath, stem_counts: Counter[str]) -> Path | None:
    """Return the path of the mask of an image, or None if there is no mask.

    Parameters
    ----------
    folder : Path
        Folder of the masks.
    name : PurePosixPath
        Image, relative to the folder of images.
    stem_counts : Counter of str
        File name without suffix -> number of images of this name.
    """
    folders = [folder / name.parent]
    if stem_counts[name.stem] == 1:
        folders.append(folder)
    # A page of a file, such as stack.tif#2, has the mask stack#2.png.
    page = name.name.rpartition("#")[2] if "#" in name.suffix else ""
    stem = f"{name.stem}#{page}" if page.isdecimal() else name.stem
    paths = [
        subfolder / f"{stem}{suffix}{ending}"
        for ending in MASK_ENDINGS
        for subfolder in folders
        for suffix in ("", "_mask")
    ]
    return next((path for path in paths if path.is_file()), None)


def _read_mask(path: Path, image: Path, shape: tuple[int, int]) -> np.ndarray:
    """Return a mask file as bool `[H, W]`, True for values above 0, see `read_mask`.

    Raises
    ------
    DataError
        The mask cannot be read, or differs from `shape` (H, W), the size of its image.
    """
    mask = read_mask(path)
    if mask.shape != shape:
        raise DataError(
            f"the mask {path} has {mask.shape[1]} x {mask.shape[0]} pixels, but its image {image} "
            f"has {shape[1]} x {shape[0]}; a mask must be as large as its image"
        )
    return mask
