"""Detection request: the validated options of a detection, with the opened detector and input."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augan.bundle import Bundle
from augan.data.modalities.registry import restore_preprocessing
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import DecisionRule, choose_decision_rule
from augan.detect.detector import Detector, load_calibrations
from augan.detect.ignore_mask import IgnoreMask, resolve_ignore_mask
from augan.detect.inputs import (
    ImageFolderSource,
    get_expected_shape,
    name_chunks,
    open_source,
)
from augan.detect.worker import ScoringWorker, names_digest
from augan.exceptions import BundleError, DataError

COMMAND = "detect"  # name of this command in the job description of a shard


@dataclass(frozen=True, eq=False)
class DetectionRequest:
    """Validated options of a detection with the opened detector, input and decision rule.

    Attributes
    ----------
    options : dict
        The options of the user, JSON-able; see `augan.detect.api.detect_folder`.
    worker : ScoringWorker
        The detector with its input.
    rule : DecisionRule
        The rate at which samples are flagged.
    ignore_mask : IgnoreMask or None
        Pixels that do not affect scores; None: no mask.
    mask_caveat : str or None
        Why the ignore mask voids the guarantee; None: it does not.
    """

    options: dict[str, Any]
    worker: ScoringWorker
    rule: DecisionRule
    ignore_mask: IgnoreMask | None
    mask_caveat: str | None

    @property
    def calibration(self) -> Calibration:
        """Calibration of the detector's scores."""
        return self.worker.detector.require_calibration()

    @property
    def chunks(self) -> Iterator[list[str]]:
        """Names of all samples, in chunks that are scored together; a new iterator each time."""
        return name_chunks(self.worker.source.names, self.worker.detector.preprocessing)

    def job(self) -> dict[str, Any]:
        """Return a JSON-able description of everything on which the scores depend.

        Shards with equal descriptions can be merged. The description contains the options, the
        model, the package versions, the names of all samples, and digests of the mask and of the
        table or of at most 8 images.
        """
        spec, names = self.worker.spec(), self.worker.source.names
        return {
            "command": COMMAND,
            **self.options,
            "model": spec.bundle.sha256,
            "model path": spec.bundle.path,
            "folder": spec.images,
            "number of images or rows": len(names),
            "list of names": names_digest(names),
            "content of some files": names_digest([digest for _, digest in spec.probed_files]),
            "versions": dict(spec.bundle.versions),
        }


def open_request(
    bundle: Bundle,
    images: str | Path,
    far: float | None = None,
    fdr: float | None = None,
    method: str | None = None,
    save_maps: bool = False,
    ignore_mask: str | Path | None = None,
) -> DetectionRequest:
    """Validate the options of a detection, then open the input and restore the detector.

    All options are checked before the detector is restored, because restoring loads TensorFlow.

    Parameters
    ----------
    bundle, images, far, fdr, method, save_maps, ignore_mask
        As for `augan.detect.api.detect_folder`.

    Raises
    ------
    BundleError
        If the bundle has no detector of this method, or maps were requested but never calibrated.
    DataError
        If there is nothing to score, or the samples, mask and maps do not fit the model.
    ConfigError
        If the calibration samples are too few for the rate, or both rates are given.
    """
    preprocessing = restore_preprocessing(bundle.preprocessing)
    calibration, map_calibration = load_calibrations(bundle, method)
    mask, mask_caveat = resolve_ignore_mask(bundle, ignore_mask)
    shape = get_expected_shape(bundle, preprocessing)
    source = open_source(Path(images), preprocessing, shape, mask)
    rule = choose_decision_rule(bundle, calibration, far, fdr, preprocessing.sample_type)
    map_rate = rule.rate
    if map_calibration is not None:
        map_rate = rule.map_rate(map_calibration)
    elif save_maps and isinstance(source, ImageFolderSource):
        raise BundleError(
            "the anomaly maps of this detector were never calibrated; run augan calibrate RUN "
            "NORMALS on normal images that it was not trained on"
        )
    if save_maps and not isinstance(source, ImageFolderSource):
        raise DataError(
            "--save-maps writes maps of images, but this model is for rows of a table; leave out "
            "--save-maps"
        )
    mask_path = None if ignore_mask is None else Path(ignore_mask)
    options = {
        "images": str(images),
        "far": far,
        "fdr": fdr,
        "method": method,
        "save_maps": save_maps,
        "ignore_mask": None if ignore_mask is None else str(ignore_mask),
    }
    detector = Detector.from_bundle(bundle, method)
    worker = ScoringWorker(
        bundle, Path(images), method, mask_path, map_rate, save_maps, detector, source
    )
    return DetectionRequest(options, worker, rule, mask, mask_caveat)
