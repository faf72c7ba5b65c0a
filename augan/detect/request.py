"""Detection request: the options of the user, from the command line to the workers."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from augan.checks import check_flag, check_instance, check_path
from augan.detect.conformal.decision import check_rates
from augan.exceptions import ConfigError, DataError

COMMAND = "detect"  # name of this command in the job description of a shard


@dataclass(frozen=True)
class DetectionRequest:
    """Options of a detection on files, from the command line to the workers.

    What can be checked without a bundle is checked when the request is made.

    Parameters
    ----------
    images : path, or list of paths
        A folder, flat or nested, or one image file; for a model of a table, a table file. Several
        files and folders of images become the folder that holds them all, with `names`. Columns may
        be in any order. Unknown columns are ignored with a warning, and unknown categories
        count as anomalous.
    far : float or None
        False-alarm rate (false-positive rate): share of normal images that may be flagged. None:
        the rate of the bundle, else 0.05 or the smallest supported rate.
    fdr : float or None
        False-discovery rate, in place of `far`: share of normal images among the flagged images
        (Benjamini-Hochberg over all images of this call).
    method : str or None
        A detection method of the bundle. None: its default method.
    follow_links : bool
        Also search links to folders below `images`.
    save_maps : bool
        Also write an anomaly map of each image, `out/maps/<path>.png`: 16 bits, gray, in the size
        of the image, in thousandths of the units of `augan.detect.visualization.anomaly_map`; 0
        means not significant.
    ignore_mask : path or None
        An image in the size of all images; pixels above 0 are ignored. This voids the guarantee
        unless the bundle was calibrated with the same mask.
    names : list of str or None
        Files and folders below `images` to score, as POSIX paths. None: all images of the folder.

    Raises
    ------
    ConfigError
        If a rate is no number between 0 and 1, both rates are given, or the method is no text.
    DataError
        If `images` or `ignore_mask` is not a path.

    Examples
    --------
    >>> DetectionRequest("incoming", far=0.01).far
    0.01
    """

    images: str | Path | Sequence[str | Path]
    far: float | None = None
    fdr: float | None = None
    method: str | None = None
    save_maps: bool = False
    ignore_mask: str | Path | None = None
    follow_links: bool = False
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_rates(self.far, self.fdr)
        if self.method is not None and not (isinstance(self.method, str) and self.method):
            raise ConfigError(
                f"`method` must be the name of a detection method, such as auto, got "
                f"{self.method!r}"
            )
        object.__setattr__(self, "save_maps", check_flag("save_maps", self.save_maps))
        object.__setattr__(self, "follow_links", check_flag("follow_links", self.follow_links))
        hint = "score arrays with augan.load_detector(RUN).predict(images)"
        if isinstance(self.images, list | tuple):
            if self.names is not None:
                raise ConfigError("`names` belongs to one folder, but `images` has several paths")
            root, names = _common_folder(
                [check_path("images", path, hint) for path in self.images], hint
            )
            object.__setattr__(self, "images", root)
            object.__setattr__(self, "names", names)
        if self.names is not None:
            object.__setattr__(self, "names", tuple(self.names))
        # Texts, so that requests are JSON-able, and equal ones compare equal.
        object.__setattr__(self, "images", check_path("images", self.images, hint))
        if self.ignore_mask is not None:
            mask = check_path("ignore_mask", self.ignore_mask)
            object.__setattr__(self, "ignore_mask", mask)

    def to_dict(self) -> dict[str, Any]:
        """Return all options as a JSON-able dict; the constructor takes the same names."""
        return asdict(self)

    @property
    def path(self) -> Path:
        """The folder or file of the images, or the table file."""
        return Path(str(self.images))

    def with_absolute_paths(self) -> "DetectionRequest":
        """Return the same request for a process with another working directory."""
        mask = None if self.ignore_mask is None else os.path.abspath(self.ignore_mask)
        return replace(self, images=os.path.abspath(self.path), ignore_mask=mask)


def _common_folder(paths: Sequence[str], hint: str) -> tuple[str, list[str] | None]:
    """Return the folder that holds all paths, and their POSIX paths in it; None for one path.

    DataError if there is no path. Paths that are relative give a relative folder.
    """
    if not paths:
        raise DataError(f"`images` is an empty list; give at least one path, or {hint}")
    if len(paths) == 1:
        return paths[0], None
    whole = [os.path.abspath(path) for path in paths]
    root = os.path.commonpath([os.path.dirname(path) for path in whole])
    names = [os.path.relpath(path, root).replace(os.sep, "/") for path in whole]
    is_relative = not any(map(os.path.isabs, paths))
    return os.path.relpath(root) if is_relative else root, list(dict.fromkeys(names))


def check_detection_request(request: Any) -> DetectionRequest:
    """Return the argument `request` of a function; ConfigError if it is no `DetectionRequest`."""
    return check_instance("request", request, DetectionRequest, 'DetectionRequest("good")')
