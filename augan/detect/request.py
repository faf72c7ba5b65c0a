"""What a call asks of a detector, opened and checked before anything is scored."""

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
from augan.detect.inputs import ImageFolderSource, open_source, parts_of, usual_shape
from augan.detect.worker import ScoringWorker, names_digest
from augan.exceptions import BundleError, DataError

COMMAND = "detect"  # what a shard calls it


@dataclass(frozen=True, eq=False)
class DetectionRequest:
    """Samples to score, and how to decide; see `augan.detect.api.detect_folder`.

    Attributes
    ----------
    asked : dict
        The arguments of the call, JSON-able.
    examiner : Examiner
    rule : Rule
    ignored : Ignored or None
    foreign : str or None
        Why nothing is promised of the mask that is ignored.
    """

    asked: dict[str, Any]
    examiner: ScoringWorker
    rule: DecisionRule
    ignored: IgnoreMask | None
    foreign: str | None

    @property
    def calibration(self) -> Calibration:
        """Of the detector."""
        return self.examiner.detector.require_calibration()

    @property
    def parts(self) -> Iterator[list[str]]:
        """The names of all samples, in parts that are scored together; from the start each time."""
        examiner = self.examiner
        return parts_of(examiner.source.names, examiner.detector.preprocessing)

    def job(self) -> dict[str, Any]:
        """Return all that the scores depend on, JSON-able; of the images some are looked at."""
        plan, names = self.examiner.spec(), self.examiner.source.names
        same = plan.bundle
        return {
            "command": COMMAND,
            **self.asked,
            "model": same.sha256,
            "model path": same.path,
            "folder": plan.images,
            "number of images or rows": len(names),
            "list of names": names_digest(names),
            "content of some files": names_digest([digest for _, digest in plan.seen]),
            "versions": dict(same.versions),
        }


def open_request(
    bundle: Bundle,
    images: str | Path,
    far: float | None = None,
    fdr: float | None = None,
    method: str | None = None,
    maps: bool = False,
    ignore: str | Path | None = None,
) -> DetectionRequest:
    """Open what a call asks for; parameters and errors are those of `detect_folder`."""
    preprocessing = restore_preprocessing(bundle.preprocessing)
    calibration, map_calibration = load_calibrations(bundle, method)
    ignored, foreign = resolve_ignore_mask(bundle, ignore)
    source = open_source(Path(images), preprocessing, usual_shape(bundle, preprocessing), ignored)
    rule = choose_decision_rule(bundle, calibration, far, fdr, preprocessing.sample_type)
    rate = rule.rate
    if map_calibration is not None:
        rate = rule.map_rate(map_calibration)
    elif maps and isinstance(source, ImageFolderSource):
        raise BundleError(
            "the maps of this detector were never calibrated; run augan calibrate RUN NORMALS, on "
            "normal images that it was not trained on"
        )
    if maps and not isinstance(source, ImageFolderSource):
        raise DataError("maps are of images, but this model is one of rows; leave --save-maps out")
    path = None if ignore is None else Path(ignore)
    asked = {"images": str(images), "far": far, "fdr": fdr, "method": method, "maps": maps}
    asked["ignore"] = None if ignore is None else str(ignore)
    detector = Detector.from_bundle(bundle, method)  # last: it loads TensorFlow
    examiner = ScoringWorker(bundle, Path(images), method, path, rate, maps, detector, source)
    return DetectionRequest(asked, examiner, rule, ignored, foreign)
