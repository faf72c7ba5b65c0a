"""Masks that mark the defects in test images, and the maps that they are compared with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from augan.data.modalities.images import Preprocessing
from augan.data.sequences import Pictures
from augan.detect.ignore_mask import Ignored
from augan.detect.judging.labels import Labels
from augan.detect.judging.localisation import MAX_FPR, aupro, pixel_auroc
from augan.detect.visualization.anomaly_map import native_map
from augan.exceptions import DataError
from augan.io.images import UnreadableImage, read_header, read_image


@dataclass
class Masks:
    """The masks of labelled images, read in advance, and the maps that come to be beside them.

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
        maps: np.ndarray | Pictures,
        preprocessing: Preprocessing,
        ignored: Ignored | None = None,
    ) -> None:
        """Keep maps as the detector draws them, each in the size of its own image."""
        for name, raw in zip(names, maps):
            if name in self.masks:
                one = native_map(raw, preprocessing, self.masks[name].shape)
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
    """Read the mask of every labelled image.

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
                f"{path} marks a defect in {name}, which is labelled {kind}; correct one of the two"
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
