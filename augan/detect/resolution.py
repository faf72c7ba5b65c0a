"""Resolution of a detection request: what a bundle and an input make of the user's options."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from augan.bundle import Bundle
from augan.data.modalities.base import Preprocessing
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import DecisionRule, choose_decision_rule
from augan.detect.detector import load_calibrations
from augan.detect.ignore_mask import IgnoreMask, resolve_ignore_mask
from augan.detect.inputs import (
    ImageFolderSource,
    InputSource,
    get_expected_shape,
    name_chunks,
    open_source,
)
from augan.detect.predictor import Predictor
from augan.detect.request import COMMAND, DetectionRequest
from augan.detect.worker import ScoringWorker, names_digest
from augan.exceptions import BundleError, DataError


@dataclass(frozen=True, eq=False)
class ResolvedDetection:
    """Request of a detection with the detector, the opened input and the decision rule.

    Attributes
    ----------
    request : DetectionRequest
        The options of the user.
    worker : ScoringWorker
        The detector with its input.
    rule : DecisionRule
        The rate at which samples are flagged.
    mask_caveat : str or None
        Why the ignore mask voids the guarantee; None: it does not.
    """

    request: DetectionRequest
    worker: ScoringWorker
    rule: DecisionRule
    mask_caveat: str | None

    @property
    def calibration(self) -> Calibration:
        """Calibration of the detector's scores."""
        return self.worker.predictor.calibration

    @property
    def chunks(self) -> Iterator[list[str]]:
        """Names of all samples, in chunks that are scored together; a new iterator each time."""
        return name_chunks(self.worker.source.names, self.worker.predictor.detector.preprocessing)

    def job(self) -> dict[str, Any]:
        """Return a JSON-able description of everything on which the scores depend.

        Shards with equal descriptions can be merged. The description contains the options, the
        model, the package versions, the names of all samples, and digests of the mask and of the
        table or of at most 8 images.
        """
        spec, names = self.worker.spec(), self.worker.source.names
        return {
            "command": COMMAND,
            **self.request.to_dict(),
            "model": spec.bundle.sha256,
            "model path": spec.bundle.path,
            "folder": spec.request.images,
            "number of images or rows": len(names),
            "list of names": names_digest(names),
            "content of some files": names_digest([digest for _, digest in spec.probed_files]),
            "versions": dict(spec.bundle.versions),
        }


def resolve_detection(bundle: Bundle, request: DetectionRequest) -> ResolvedDetection:
    """Check a request against a bundle, then open the input and restore the detector.

    All options are checked before the detector is restored, because restoring loads TensorFlow.

    Raises
    ------
    BundleError
        If the bundle has no detector of this method, or maps were requested but never calibrated.
    DataError
        If there is nothing to score, or the samples, mask and maps do not fit the model.
    ConfigError
        If the calibration samples are too few for the rate.
    """
    preprocessing = bundle.preprocessing
    calibration, map_calibration = load_calibrations(bundle, request.method)
    mask, mask_caveat = resolve_ignore_mask(bundle, request.ignore_mask)
    shape = get_expected_shape(bundle, preprocessing)
    source = _open_paths(request, preprocessing, shape, mask)
    rule = choose_decision_rule(
        bundle, calibration, request.far, request.fdr, preprocessing.sample_type
    )
    map_rate = rule.rate
    if map_calibration is not None:
        map_rate = rule.map_rate(map_calibration)
    elif request.save_maps and isinstance(source, ImageFolderSource):
        raise BundleError(
            "the anomaly maps of this detector were never calibrated; run augan calibrate RUN "
            "NORMALS on normal images that it was not trained on"
        )
    if request.save_maps and not isinstance(source, ImageFolderSource):
        raise DataError(
            "`save_maps` writes maps of images, but this model is for rows of a table; leave out "
            "`save_maps`"
        )
    predictor = Predictor.from_bundle(bundle, request.method, mask)
    worker = ScoringWorker(bundle, request, map_rate, predictor, source)
    return ResolvedDetection(request, worker, rule, mask_caveat)


def _open_paths(
    request: DetectionRequest,
    preprocessing: Preprocessing,
    shape: tuple[int, ...] | None,
    mask: IgnoreMask | None,
) -> InputSource:
    """Open the input of a request, which may name several files and folders of images.

    Raises
    ------
    DataError
        A path does not exist or holds no image, or several paths are given for a model of a table.
    """
    links = request.follow_links
    if request.names is None:
        return open_source(request.path, preprocessing, shape, mask, follow_links=links)
    preprocessing.require_images("the model is one of a table; score one table at a time")
    names: dict[str, None] = {}
    not_looked_at: list[tuple[str, str]] = []
    for entry in request.names:
        path = request.path / entry
        folder = PurePosixPath(entry) if path.is_dir() else PurePosixPath(entry).parent
        found = open_source(path, preprocessing, follow_links=links)
        names |= dict.fromkeys((folder / name).as_posix() for name in found.names)
        not_looked_at += [((folder / name).as_posix(), why) for name, why in found.not_looked_at]
    source = open_source(request.path, preprocessing, shape, mask, list(names), follow_links=links)
    source.not_looked_at = not_looked_at
    return source
