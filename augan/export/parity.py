"""What a graph and augan are both asked about: held-out images, or what there is without them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augan.augment.methods.prior import GeneratorSampler
from augan.bundle import Bundle
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import RaggedImages
from augan.data.splits import evenly_spaced
from augan.detect.conformal.calibration import Calibration
from augan.exceptions import DataError, RefusedError
from augan.gan.inference import latent_noise
from augan.seeding import child_rng
from augan.training.training_data import BundleTrainingData, load_training_data

MOST, MOST_PICTURES = 500, 30  # squares, and large images, that are compared
MADE = 64  # of each kind, where there is no data
SIDES = ((160, 200), (190, 130))  # of large images that are made


@dataclass(frozen=True)
class Samples:
    """Images as the graph takes them, and as augan's own detector does.

    Attributes
    ----------
    decoded : sequence of ndarray [S, S, C] or [H, W, C]
    stored : ndarray [N, S, S, C] or RaggedImages
    sentence : str
        What they are.
    warning : str or None
        Why they are not held-out images.
    """

    decoded: Any
    stored: Any
    sentence: str
    warning: str | None = None


def samples_for(
    bundle: Bundle, preprocessing: ImagePreprocessing, data: str | Path | None
) -> Samples:
    """Return held-out images of the data that a bundle was trained on, or made-up ones.

    Raises
    ------
    DataError
        `data` was named and is not what the bundle was trained on.
    """
    try:
        recorded = load_training_data(bundle, preprocessing, data)
    except DataError as error:  # gone, or changed since: that is no fault of the bundle
        if data is not None:
            raise
        return _made_up(bundle, preprocessing, str(error))
    split = bundle.tables["split"]
    rows = next(split[name] for name in ("calibration", "val", "train") if len(split[name]))
    most = MOST_PICTURES if isinstance(preprocessing, TiledPreprocessing) else MOST
    chosen = evenly_spaced(np.asarray(rows), most)
    folds = (bundle.detector or {}).get("num_folds")
    held = "held-out images" if not folds else f"images, each held out of one of {folds} trainings,"
    sentence = f"{len(chosen)} {held} of {bundle.data.get('name', 'the training data')}"
    return _held_out(recorded, preprocessing, chosen, sentence)


def _held_out(
    recorded: BundleTrainingData, preprocessing: ImagePreprocessing, rows: np.ndarray, sentence: str
) -> Samples:
    squares = recorded.samples
    if not isinstance(preprocessing, TiledPreprocessing):
        pixels = np.asarray(squares.pixels[rows])
        return Samples(pixels, pixels, sentence)
    images = [squares.dataset.pictures[int(row)] for row in rows]
    decoded = [preprocessing.to_working_scale(image) for image in images]
    stored = RaggedImages([preprocessing.prepare_ragged(image) for image in images])
    return Samples(decoded, stored, sentence)


def _made_up(bundle: Bundle, preprocessing: ImagePreprocessing, reason: str) -> Samples:
    rng = child_rng(0, "export")
    warning = f"compared on images that were made up, because {reason}"
    if isinstance(preprocessing, TiledPreprocessing):
        shapes = [(*SIDES[i % 2], preprocessing.channels) for i in range(MOST_PICTURES)]
        images = [_random(preprocessing, rng, shape) for shape in shapes]
        decoded = [preprocessing.to_working_scale(image) for image in images]
        stored = RaggedImages([preprocessing.prepare_ragged(image) for image in images])
        return Samples(decoded, stored, f"{len(images)} random images", warning)
    pixels = _random(preprocessing, rng, (MADE, *preprocessing.sample_shape))
    sentence = f"{MADE} random images"
    if bundle.has("generator"):
        sampler = GeneratorSampler(bundle)
        noise, classes = codes_for(sampler)
        pixels = np.concatenate([pixels, sampler.decode(noise, classes)])
        sentence += f" and {len(noise)} that the generator draws"
    return Samples(pixels, pixels, sentence, warning)


def _random(
    preprocessing: ImagePreprocessing, rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray:
    values = rng.uniform(preprocessing.low, preprocessing.high, shape)
    whole = preprocessing.dtype != "float32"
    return (np.rint(values) if whole else values).astype(preprocessing.dtype)


def codes_for(sampler: GeneratorSampler) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of the prior, and those of training images where the bundle has them.

    Returns
    -------
    noise : ndarray of float32 [N, Z]
    classes : ndarray of int [N]
        In turn for codes of the prior; zeros where the generator knows none.
    """
    count = len(sampler.class_names) if sampler.conditional else 1
    noise = latent_noise(
        child_rng(0, "export", "codes"), MADE, sampler.latent_dim, sampler.latent_prior
    )
    classes = np.arange(MADE) % count
    codes = sampler.bundle.tables.get("latents")
    if codes is None:
        return noise, classes
    known = evenly_spaced(np.asarray(codes["latents"], np.float32), MADE)
    of = np.zeros(len(known), np.int64)
    if "class_probabilities" in codes:
        of = evenly_spaced(np.asarray(codes["class_probabilities"]), MADE).argmax(axis=1)
    return np.concatenate([noise, known]), np.concatenate([classes, of])


TOLERANCE = 0.01  # of scores: deviations of the calibration scores; of maps: of the highest place
EXCEPTIONS = 0.01  # share of samples whose scores may differ by more
REPORT = "please report this with the versions that augan doctor shows"
GRAY = 1 / 255  # of the range of pixels, that generated images may differ by


@dataclass(frozen=True)
class Parity:
    """How the answers of a graph differ from augan's own.

    Attributes
    ----------
    compared : str
        On which samples.
    num_samples : int
    largest_difference : float
        Of scores, or of pixels in stored units, absolute.
    relative_difference : float
        The same in deviations of the calibration scores, or as a share of the range of pixels.
    typical_difference : float
        The median of the absolute differences.
    """

    compared: str
    num_samples: int
    largest_difference: float
    relative_difference: float
    typical_difference: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class DetectorParity(Parity):
    """The same of a detector.

    Attributes
    ----------
    rate, threshold : float
        Of the decisions that were compared.
    num_near : int
        Samples whose score is no further from the threshold than the largest difference.
    num_disagreeing : int
        Samples on which the decisions differ; all of them are near.
    map_difference : float or None
        The largest between maps, None where the graph has none.
    """

    rate: float
    threshold: float
    num_near: int
    num_disagreeing: int
    map_difference: float | None = None


def compare_scores(
    own: np.ndarray, other: np.ndarray, calibration: Calibration, rate: float, compared: str
) -> DetectorParity:
    """Compare anomaly scores `[N]` of augan with those of a graph.

    Raises
    ------
    RefusedError
        They differ by more than rounding explains.
    """
    differences = np.abs(own - other)
    spread = float(calibration.scores.std()) or 1.0
    largest, threshold = float(differences.max()), calibration.threshold(rate)
    usual = differences <= TOLERANCE * spread
    if calibration.fold_sizes and np.isfinite(largest):
        # Of folds, a tie by rounding moves a score by one rank, however far that is.
        ranks = [np.rint(calibration.p_values(x) * (calibration.n + 1)) for x in (own, other)]
        usual |= np.abs(ranks[0] - ranks[1]) == 1
    if not np.isfinite(largest) or np.mean(~usual) > EXCEPTIONS:
        raise RefusedError(
            f"the scores of the graph are not augan's own: on {compared} they differ by up to "
            f"{largest:.3g}, where {TOLERANCE * spread:.3g} is allowed; nothing is written, and "
            f"augan detect scores as before; {REPORT}"
        )
    label_mismatch = (own > threshold) != (other > threshold)
    margin = np.abs(own - threshold)
    clear = (margin > min(largest, TOLERANCE * spread)) & ~usual
    if (label_mismatch & clear).any():
        raise RefusedError(
            f"{int((label_mismatch & clear).sum())} of {own.size} decisions of the graph are not "
            f"augan's own, although the scores are clearly on one side of the line; nothing is "
            f"written; {REPORT}"
        )
    return DetectorParity(
        compared,
        own.size,
        largest,
        largest / spread,
        float(np.median(differences)),
        rate,
        threshold,
        int((margin <= largest).sum()),
        int(label_mismatch.sum()),
    )


def compare_maps(own: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference between maps of the same shape; RefusedError if too large."""
    largest, highest = float(np.abs(own - other).max()), float(np.abs(own).max())
    if not largest <= TOLERANCE * highest:
        raise RefusedError(
            f"the maps of the graph are not augan's own: they differ by up to {largest:.3g}, where "
            f"the highest place has {highest:.3g}; nothing is written; {REPORT}"
        )
    return largest


def compare_images(own: np.ndarray, other: np.ndarray, span: float, compared: str) -> Parity:
    """Compare stored images `[N, ...]` of augan with those of a graph; `span` is their range."""
    differences = np.abs(own.astype(np.float64) - other)
    largest = float(differences.max())
    if not largest <= GRAY * span:
        raise RefusedError(
            f"the images of the graph are not augan's own: pixels differ by up to {largest:.3g} of "
            f"{span:g}; nothing is written; {REPORT}"
        )
    return Parity(compared, len(own), largest, largest / span, float(np.median(differences)))
