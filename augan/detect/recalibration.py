"""Recalibration of a trained detector on new normal samples, for example of a new camera.

Networks and fitted methods are unchanged; only the calibrations are replaced.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augan.bundle import Bundle, CalibrationSamples, as_bundle, save_bundle
from augan.checks import check_flag, check_out, check_path
from augan.data.dataset import plural
from augan.data.duplicates import DistinctImages
from augan.data.files import describe_not_looked_at
from augan.data.groups import group_by_name, read_groups
from augan.data.modalities.tables import is_table_file
from augan.data.sequences import RaggedImages
from augan.detect.detector import Detector, detector_section
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.inputs import ImageFolderSource, InputSource, name_chunks, open_source
from augan.exceptions import DataError
from augan.io.atomic import atomic_folder, check_replaceable
from augan.io.layout import BUNDLE_FILE

MAX_SIMILAR_FRACTION = 0.05  # of the images; fewer nearly equal an earlier one by chance


def recalibrate(
    bundle: Bundle | str | Path,
    images: str | Path,
    groups: str | Path | None = None,
    ignore_mask: str | Path | None = None,
    *,
    group_by: str | int | None = None,
    follow_links: bool = False,
) -> Bundle:
    """Return a bundle whose detectors are calibrated on new normal samples.

    Networks and scores are unchanged; only the calibrations are replaced. (Cross-conformal
    detectors score by the mean of their folds afterward, with the guarantee of one detector.) The
    samples must be normal, like the samples to be scored, and the detector must not have been
    trained on them: scores of training samples are too low, and more normal samples would be
    flagged than guaranteed. A bundle does not contain its training samples, so augan cannot check
    this.

    Parameters
    ----------
    bundle : Bundle or path
        A bundle with a detector, its file or its run folder; it is not changed.
    images : path
        A folder or an image, or a table for a model of a table, as for `detect_folder`. Unreadable
        samples are left out, with a warning in `detector.calibrated_on` of the new bundle.
    groups : path or None
        CSV file with the columns `path` and `group`, if several images show the same object. None:
        images that nearly equal each other, such as frames of a video, count as one group.
    ignore_mask : path or None
        An image in the size of all images; pixels above 0 are ignored in this calibration and in
        all detections with the new bundle, see `augan.detect.ignore_mask`. None: the mask of the
        bundle.
    group_by : str, int or None
        Groups by the names of the images, in place of `groups`; see `load_dataset`.
    follow_links : bool
        Whether links to folders are searched too. Default: False. Files that are not looked at are
        named in a warning in `detector.calibrated_on` of the new bundle.

    Returns
    -------
    Bundle
        Not saved yet; `detector.calibrated_on` describes the calibration samples.

    Raises
    ------
    BundleError
        If the bundle has no detector.
    DataError
        If fewer than two samples can be used, all have the same score, or the mask has another
        size.
    """
    bundle, images = as_bundle(bundle), check_path("images", images)
    stored = bundle.require_detector()
    preprocessing = bundle.preprocessing
    mask = IgnoreMask.from_bundle(bundle) if ignore_mask is None else IgnoreMask.read(ignore_mask)
    shape = preprocessing.original_shape
    follow_links = check_flag("follow_links", follow_links)
    source = open_source(Path(images), preprocessing, shape, mask, follow_links=follow_links)
    all_groups = None if groups is None else _read_groups(groups, Path(images), source)
    if group_by is not None:
        if groups is not None or not isinstance(source, ImageFolderSource):
            raise DataError(
                "`group_by` is for image files, and replaces `groups`; give one of them"
            )
        all_groups = group_by_name(source.names, group_by)
    # After the checks, because it loads TensorFlow.
    detectors = [
        Detector.from_bundle(bundle, method).without_calibration() for method in stored.method_names
    ]
    scores, failures, distinct = _calibration_scores(detectors, source, str(images))
    used = [name not in failures for name in source.names]
    similar = None
    used_groups = None if all_groups is None else all_groups[used]
    if all_groups is None and distinct is not None:
        similar = _describe_similar(distinct)
        used_groups = None if similar is None else distinct
    for detector, values in zip(detectors, scores):
        detector.set_calibration(values, used_groups)
    calibration = detectors[0].require_calibration()
    warnings = [*source.warnings, *([similar] if similar else [])]
    if source.not_looked_at:
        warnings.append(describe_not_looked_at(source.not_looked_at))
    warnings += _warnings(bundle, Path(images), failures, len(source.names))
    samples = CalibrationSamples(
        name=Path(os.path.realpath(images)).name,
        num_samples=calibration.n,
        num_groups=calibration.num_groups,
        num_left_out=len(failures),
        warnings=tuple(warnings),
        image_shape=_single_shape(source),
    )
    section = detector_section(
        detectors, calibrated_on=samples, ignore_mask=None if mask is None else mask.mask
    )
    return Bundle(
        config=bundle.config,
        data=bundle.data,
        preprocessing=preprocessing,
        networks=bundle.networks,
        splits=bundle.splits,
        latents=bundle.latents,
        detector=section,
        metrics=bundle.metrics,
    )


def recalibrate_run(
    bundle: Bundle | str | Path,
    images: str | Path,
    out: str | Path | None = None,
    groups: str | Path | None = None,
    ignore_mask: str | Path | None = None,
    *,
    group_by: str | int | None = None,
    follow_links: bool = False,
) -> Bundle:
    """Recalibrate a detector as `recalibrate` does, and save the new bundle in a new folder.

    Parameters
    ----------
    bundle, images, groups, ignore_mask, group_by, follow_links
        As for `recalibrate`.
    out : path or None
        A folder that is new or empty; nothing is replaced. None: a folder next to the run, named
        after the run with the suffix `-calibrated`.

    Returns
    -------
    Bundle
        The saved bundle; `path` is its file.

    Raises
    ------
    BundleError
        As for `recalibrate`, or if `out` is None and the bundle was never saved.
    DataError
        As for `recalibrate`, or if the folder contains files or cannot be created.
    """
    bundle = as_bundle(bundle)
    target = check_out(out) or _default_folder(bundle)
    check_replaceable(target, None)  # before the samples are scored, which may take minutes
    recalibrated = recalibrate(
        bundle, images, groups, ignore_mask, group_by=group_by, follow_links=follow_links
    )
    with atomic_folder(target) as folder:
        save_bundle(recalibrated, folder / BUNDLE_FILE)
    recalibrated.record_path(target / BUNDLE_FILE)
    return recalibrated


def _single_shape(source: InputSource) -> tuple[int, int] | None:
    """Return the size (H, W) of all images of a source; None if sizes differ, or for rows."""
    if not isinstance(source, ImageFolderSource) or len(source.shapes) != 1:
        return None
    ((height, width),) = source.shapes
    return height, width


def _default_folder(bundle: Bundle) -> Path:
    """Return the folder next to the bundle's run with the suffix `-calibrated`."""
    # Links are resolved, because `runs/latest` is a link to the run.
    path = Path(os.path.realpath(bundle.saved_path()))
    run = path.parent if path.name == BUNDLE_FILE else path.with_suffix("")
    return run.with_name(f"{run.name}-calibrated")


def _calibration_scores(
    detectors: Sequence[Detector], source: InputSource, where: str
) -> tuple[list[np.ndarray], dict[str, str], np.ndarray | None]:
    """Score normal samples by each detector, and refuse samples that allow no calibration.

    Parameters
    ----------
    detectors : sequence of Detector
        Detectors of one bundle.
    source : InputSource
        The normal samples, read in chunks.
    where : str
        Path of the samples, for messages.

    Returns
    -------
    scores : list of ndarray of float64 [N, 2] or [N, 1]
        For each detector, the result of `Detector.calibration_scores`.
    failures : dict of str to str
        Name of each unreadable sample -> reason.
    distinct : ndarray of str or None
        One name for all images that nearly equal each other, see `DistinctImages`; None for rows.

    Raises
    ------
    DataError
        If fewer than two samples can be used, all images have a single color, or all samples have
        the same score.
    """
    preprocessing, total = detectors[0].preprocessing, len(source.names)
    chunks: list[list[np.ndarray]] = []
    failures: dict[str, str] = {}
    distinct = DistinctImages() if preprocessing.has_pixels else None
    sample_type = preprocessing.sample_type
    samples, all_flat = plural(sample_type), True
    for names in name_chunks(source.names, preprocessing):
        batch = source.read(names)
        failures |= batch.failures
        if batch.names:
            if distinct is not None:
                distinct.add(batch.samples)
            chunks.append(
                [_batch_scores(detector, batch.samples, source) for detector in detectors]
            )
            all_flat = all_flat and all(map(preprocessing.is_blank, batch.samples))
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(failures.items())[:3])
    if not chunks:
        raise DataError(f"none of the {total} {samples} in {where} can be used: {reasons}")
    scores = [np.concatenate(columns) for columns in zip(*chunks)]
    first = scores[0][:, 0]
    if len(first) < 2:
        left_out = f" ({len(failures)} left out: {reasons})" if failures else ""
        raise DataError(
            f"{where} has 1 usable {sample_type}{left_out}, at least 2 are needed to calibrate, "
            f"and 19 for a false-alarm rate of 0.05; give more normal {samples}"
        )
    if all_flat:
        raise DataError(
            f"each of the {len(first)} images in {where} has a single color, so no threshold can "
            "be calibrated; check how the images were made"
        )
    if first.min() == first.max():
        raise DataError(
            f"all {len(first)} {samples} in {where} have the same score, as copies of one "
            f"{sample_type} have; give different normal {samples}"
        )
    return scores, failures, None if distinct is None else distinct.groups


def _describe_similar(groups: np.ndarray) -> str | None:
    """Return a warning if many calibration images nearly equal an earlier one; else None."""
    n, num_distinct = len(groups), len(set(groups.tolist()))
    if n - num_distinct <= MAX_SIMILAR_FRACTION * n:
        return None
    return (
        f"only {num_distinct} of {n} images differ clearly from the others, as frames of a video "
        "do: they count as groups, and the rate is approximate; name the groups with `groups` or "
        "`group_by`"
    )


def _batch_scores(
    detector: Detector, samples: np.ndarray | RaggedImages, source: InputSource
) -> np.ndarray:
    """Return calibration scores of prepared samples, without pixels of the ignore mask."""
    mask = source.ignore_mask if isinstance(source, ImageFolderSource) else None
    if mask is None:
        return detector.calibration_scores(samples)
    return mask.calibration_scores(detector, samples)


def _read_groups(groups: str | Path, images: Path, source: InputSource) -> np.ndarray:
    """Read the group of every image from a CSV file.

    Parameters
    ----------
    groups : path
        CSV file with the columns `path` and `group`.
    images : Path
        Folder or image file.
    source : InputSource
        The opened images.

    Returns
    -------
    ndarray of str [N]
        One group for each name of the source; "" for an unreadable image that the file does not
        list.

    Raises
    ------
    DataError
        If the samples are rows of a table, or the file does not list a readable image.
    """
    if is_table_file(images):
        raise DataError(f"`groups` is for image files, but {images} is a table; leave out `groups`")
    root, names = images if images.is_dir() else images.parent, source.names
    result = read_groups(groups, root, names, require_all=False)
    for name, group in zip(names, result):
        if not group and not source.read([name]).failures:
            return read_groups(groups, root, names)  # raises an error that names all such images
    return result


def _warnings(bundle: Bundle, images: Path, failures: dict[str, str], total: int) -> list[str]:
    """Return warnings about unreadable samples and about an overlap with the training data."""
    warnings = []
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(failures.items())[:3])
        warnings.append(f"{len(failures)} of {total} could not be used and are left out: {reasons}")
    source = bundle.data.source
    if source and Path(source).exists():
        given, trained = (Path(os.path.realpath(path)) for path in (images, source))
        if given.is_relative_to(trained) or trained.is_relative_to(given):
            warnings.append(
                f"the model was trained on images from {source}: if {images} contains some of "
                "them, more normal images than guaranteed will be flagged; calibrate on new images "
                "only"
            )
    return warnings
