"""Calibrate a trained detector anew, for a new camera or line: nothing is trained again."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Bundle, save_bundle
from augan.data.dataset import plural
from augan.data.groups import read_groups
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.registry import restore_preprocessing
from augan.data.modalities.tables import is_table_file
from augan.data.sequences import RaggedImages
from augan.detect.conformal.guarantee import CALIBRATION_KEY
from augan.detect.detector import Detector, add_detectors, bundled_methods
from augan.detect.ignore_mask import TABLE, IgnoreMask
from augan.detect.inputs import ImageFolderSource, InputSource, open_source, parts_of
from augan.exceptions import DataError
from augan.io.atomic import atomic_folder, check_replaceable
from augan.io.layout import BUNDLE_FILE


def calibrate(
    bundle: Bundle,
    images: str | Path,
    groups: str | Path | None = None,
    ignore: str | Path | None = None,
) -> Bundle:
    """Return a bundle whose detector is calibrated on new normal images.

    Networks and scores stay as they are, only the line is drawn anew. (Folds score by their mean
    from then on, and promise what one detector does.) The images must be normal, like those to
    come, and must not have been trained on: scores of training images are too low,
    and more good images than promised would be flagged. A bundle does not hold its training
    images, so that cannot be checked.

    Parameters
    ----------
    bundle : Bundle
        One with a detector; it is left as it is.
    images : path
        What `detect_folder` takes: a folder, or a table for a model of a table. Files that cannot
        be read are left out, with a warning in `detector["calibrated_on"]` of the new bundle.
    groups : path or None
        CSV file with the columns `path` and `group`, where several images show one thing.
    ignore : path or None
        An image as large as all images: what is above 0 there never counts, neither here nor in
        what the new bundle detects; see `augan.detect.ignore_mask`. None: what the bundle ignores.

    Returns
    -------
    Bundle
        Not saved yet; `detector["calibrated_on"]` says where the calibration comes from.

    Raises
    ------
    BundleError
        If the bundle has no detector.
    DataError
        If fewer than two images can be used, or they are all alike, or the mask does not fit.
    """
    bundle.require("detector")
    preprocessing = restore_preprocessing(bundle.preprocessing)
    ignored = IgnoreMask.of(bundle) if ignore is None else IgnoreMask.read(ignore)
    shape = getattr(preprocessing, "original_shape", None)
    source = open_source(Path(images), preprocessing, shape, ignored)
    known = None if groups is None else _groups(groups, Path(images), source)
    detectors = [
        Detector.from_bundle(bundle, method).without_calibration()
        for method in bundled_methods(bundle)
    ]
    measured, failures = _measured(detectors, source, str(images))
    used = [name not in failures for name in source.names]
    for detector, values in zip(detectors, measured):
        detector.set_calibration(values, None if known is None else known[used])
    calibration = detectors[0].require_calibration()
    warnings = [*source.warnings, *_warnings(bundle, Path(images), failures, len(source.names))]
    origin: dict[str, Any] = {
        "name": Path(os.path.realpath(images)).name,
        "num_samples": calibration.n,
        "num_groups": calibration.num_groups,
        "num_left_out": len(failures),
        "warnings": warnings,
    }
    if isinstance(source, ImageFolderSource):
        sizes = [list(size) for size in source.sizes]
        origin["image_shape"] = sizes[0] if len(sizes) == 1 else None
    anew = Bundle(
        config=bundle.config,
        data=bundle.data,
        preprocessing=bundle.preprocessing,
        networks=dict(bundle.networks),
        tables=dict(bundle.tables),
        metrics=bundle.metrics,
    )
    if ignored is not None:
        anew.tables[TABLE] = ignored.to_arrays()
    add_detectors(anew, detectors)
    anew.detector = {**(anew.detector or {}), CALIBRATION_KEY: origin}
    return anew


def recalibrate_run(
    bundle: Bundle,
    images: str | Path,
    out: str | Path | None = None,
    groups: str | Path | None = None,
    ignore: str | Path | None = None,
) -> Bundle:
    """Do what `calibrate` does and save the new bundle in the folder `out`.

    Without `out` it is called like the run with `-calibrated` added. Nothing is ever replaced.

    Raises
    ------
    DataError
        Also if the folder holds something, or cannot be made.
    """
    target = Path(out) if out is not None else _default_out(bundle)
    check_replaceable(target, None)  # before the images are scored, which may take minutes
    calibrated = calibrate(bundle, images, groups, ignore)
    with atomic_folder(target) as partial:
        save_bundle(calibrated, partial / BUNDLE_FILE)
    calibrated.path = target / BUNDLE_FILE
    return calibrated


def _default_out(bundle: Bundle) -> Path:
    # Through links: `runs/latest` leads to the run that is meant.
    path = Path(os.path.realpath(bundle.saved_path()))
    run = path.parent if path.name == BUNDLE_FILE else path.with_suffix("")
    return run.with_name(f"{run.name}-calibrated")


def _measured(
    detectors: Sequence[Detector], source: InputSource, where: str
) -> tuple[list[np.ndarray], dict[str, str]]:
    """Measure what can be read with each detector; refuse what no line can be drawn from."""
    preprocessing, total = detectors[0].preprocessing, len(source.names)
    parts: list[list[np.ndarray]] = []
    failures: dict[str, str] = {}
    sample_type, is_flat = preprocessing.sample_type, isinstance(preprocessing, ImagePreprocessing)
    samples = plural(sample_type)
    for names in parts_of(source.names, preprocessing):
        batch = source.read(names)
        failures |= batch.failures
        if batch.names:
            parts.append([_measure(detector, batch.stored, source) for detector in detectors])
            is_flat = is_flat and all(np.ptp(sample) == 0 for sample in batch.stored)
    shown = "; ".join(f"{name}: {reason}" for name, reason in list(failures.items())[:3])
    if not parts:
        raise DataError(f"none of the {total} {samples} in {where} can be used: {shown}")
    measured = [np.concatenate(found) for found in zip(*parts)]
    found = measured[0][:, 0]
    if len(found) < 2:
        left_out = f" ({len(failures)} left out: {shown})" if failures else ""
        raise DataError(
            f"{where} has 1 usable {sample_type}{left_out}, at least 2 are needed to calibrate, "
            f"and 19 for a false-alarm rate of 0.05; give more normal {samples}"
        )
    if is_flat:
        raise DataError(
            f"each of the {len(found)} images in {where} is of one single colour; no line can be "
            "drawn from them: check how they were made"
        )
    if found.min() == found.max():
        raise DataError(
            f"all {len(found)} {samples} in {where} have the same score, as copies of one do; give "
            f"different normal {samples}"
        )
    return measured, failures


def _measure(
    detector: Detector, stored: np.ndarray | RaggedImages, source: InputSource
) -> np.ndarray:
    ignored = source.ignored if isinstance(source, ImageFolderSource) else None
    return (
        detector.calibration_scores(stored)
        if ignored is None
        else ignored.measure(detector, stored)
    )


def _groups(groups: str | Path, images: Path, source: InputSource) -> np.ndarray:
    """Return the group of every image, "" of one that the table lacks and that cannot be read."""
    if is_table_file(images):
        raise DataError(
            f"a table of groups is about image files, but {images} holds rows; leave --groups out"
        )
    root, names = images if images.is_dir() else images.parent, source.names
    known = read_groups(groups, root, names, all_known=False)
    for name, group in zip(names, known):
        if not group and not source.read([name]).failures:
            return read_groups(groups, root, names)  # says which are missing
    return known


def _warnings(bundle: Bundle, images: Path, failures: dict[str, str], total: int) -> list[str]:
    warnings = []
    if failures:
        shown = "; ".join(f"{name}: {reason}" for name, reason in list(failures.items())[:3])
        warnings.append(f"{len(failures)} of {total} could not be used and are left out: {shown}")
    source = bundle.data.get("source")
    if source and Path(source).exists():
        here, there = (Path(os.path.realpath(path)) for path in (images, source))
        if here.is_relative_to(there) or there.is_relative_to(here):
            warnings.append(
                f"the model was trained on images from {source}: if {images} has some of those, "
                "more good ones than promised will be flagged; calibrate on new ones only"
            )
    return warnings
