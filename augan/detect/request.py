"""What a call asks of a detector, opened and checked before anything is scored."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augan.bundle import Bundle
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import Rule, choose_rule
from augan.detect.detector import Detector
from augan.detect.ignore_mask import Ignored, ignored_by
from augan.detect.inputs import ImageSource, open_source, parts_of, usual_shape
from augan.detect.worker import Examiner, names_digest
from augan.exceptions import BundleError, DataError

COMMAND = "detect"  # what a shard calls it


@dataclass(frozen=True, eq=False)
class Task:
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
    examiner: Examiner
    rule: Rule
    ignored: Ignored | None
    foreign: str | None

    @property
    def calibration(self) -> Calibration:
        """Of the detector."""
        return self.examiner.detector.calibrated()

    @property
    def parts(self) -> Iterator[list[str]]:
        """The names of all samples, in parts that are scored together; from the start each time."""
        examiner = self.examiner
        return parts_of(examiner.source.names, examiner.detector.preprocessing)

    def job(self) -> dict[str, Any]:
        """Return all that the scores depend on, JSON-able; of the images some are looked at."""
        plan, names = self.examiner.plan(), self.examiner.source.names
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


def open_task(
    bundle: Bundle,
    images: str | Path,
    far: float | None = None,
    fdr: float | None = None,
    method: str | None = None,
    maps: bool = False,
    ignore: str | Path | None = None,
) -> Task:
    """Open what a call asks for; parameters and errors are those of `detect_folder`."""
    detector = Detector.from_bundle(bundle, method)
    preprocessing, calibration = detector.preprocessing, detector.calibrated()
    ignored, foreign = ignored_by(bundle, ignore)
    source = open_source(Path(images), preprocessing, usual_shape(bundle, preprocessing), ignored)
    rule = choose_rule(bundle, calibration, far, fdr, preprocessing.noun)
    rate = rule.rate
    if detector.map_calibration is not None:
        rate = rule.map_rate(detector.map_calibration)
    elif maps and isinstance(source, ImageSource):
        raise BundleError(
            "the maps of this detector were never calibrated; run augan calibrate RUN NORMALS, on "
            "normal images that it was not trained on"
        )
    if maps and not isinstance(source, ImageSource):
        raise DataError("maps are of images, but this model is one of rows; leave --maps out")
    path = None if ignore is None else Path(ignore)
    asked = {"images": str(images), "far": far, "fdr": fdr, "method": method, "maps": maps}
    asked["ignore"] = None if ignore is None else str(ignore)
    examiner = Examiner(bundle, Path(images), method, path, rate, maps, detector, source)
    return Task(asked, examiner, rule, ignored, foreign)
