"""Parity of an exported ONNX graph with augan: test samples, comparisons and tolerances."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augan.augment.generator import GeneratorSampler
from augan.bundle import Bundle
from augan.data.modalities.images import ImagePreprocessing
from augan.data.splits import evenly_spaced
from augan.detect.conformal.calibration import Calibration
from augan.exceptions import DataError, RefusedError
from augan.seeding import child_rng
from augan.training.training_data import load_training_data

MAX_IMAGES, MAX_LARGE_IMAGES = 500, 30  # largest number of compared images
NUM_SYNTHETIC = 64  # random, and as many generated images, without training data
SYNTHETIC_SIZES = ((160, 200), (190, 130))  # height and width of random large images
SCORE_TOLERANCE = 0.01  # in standard deviations of the calibration scores
MAP_TOLERANCE = 0.01  # as a fraction of the largest value of the maps
MAX_OUTLIER_FRACTION = 0.01  # of samples whose scores differ by more than the tolerance
PIXEL_TOLERANCE = 1 / 255  # as a fraction of the range of pixels
REPORT_HINT = "please report this with the versions that augan doctor shows"


@dataclass(frozen=True)
class ParitySamples:
    """Images on which the graph of a detector or a translator is compared with augan's.

    Attributes
    ----------
    decoded : ndarray [N, S, S, C] or list of ndarray [H, W, C]
        Input of the graph and of a `Predictor` without an ignore mask, in the pixel type of the
        training images; a list for large images.
    description : str
        Number and kind of the images, for messages.
    warning : str or None
        Why synthetic images are used; None for images of the training data.
    """

    decoded: Any
    description: str
    warning: str | None = None


def load_parity_samples(
    bundle: Bundle, preprocessing: ImagePreprocessing, training_data: str | Path | None
) -> ParitySamples:
    """Return images for the parity check of a graph: held-out training data, else synthetic.

    The images are evenly spaced in the calibration split, else in the validation or training split;
    at most `MAX_IMAGES`, or `MAX_LARGE_IMAGES` large images.

    Parameters
    ----------
    bundle : Bundle
    preprocessing : ImagePreprocessing
        The preprocessing of the bundle.
    training_data : path, str or None
        The data that the bundle was trained on. None: the path that the bundle records; if that
        data is missing or has changed, synthetic images are returned.

    Raises
    ------
    DataError
        If `training_data` is given and is not the data that the bundle was trained on.
    """
    try:
        found = load_training_data(bundle, preprocessing, training_data)
    except DataError as error:  # missing or changed data is not a fault of the bundle
        if training_data is not None:
            raise
        return _synthetic_samples(bundle, preprocessing, str(error))
    samples, splits = found.samples, found.splits
    indices = next(rows for rows in (splits.calibration, splits.val, splits.train) if len(rows))
    limit = MAX_IMAGES if preprocessing.has_fixed_size else MAX_LARGE_IMAGES
    chosen = evenly_spaced(indices, limit)
    num_folds = None if bundle.detector is None else bundle.detector.num_folds
    name = bundle.data.name
    description = f"{len(chosen)} held-out images of {name}"
    if num_folds:
        description = (
            f"{len(chosen)} images, each held out of one of {num_folds} trainings, of {name}"
        )
    if preprocessing.has_fixed_size:
        pixels = np.asarray(samples.pixels[chosen])
        return ParitySamples(pixels, description)
    images = [samples.dataset.require_images()[int(index)] for index in chosen]
    return _large_samples(preprocessing, images, description)


def _synthetic_samples(
    bundle: Bundle, preprocessing: ImagePreprocessing, reason: str
) -> ParitySamples:
    """Return random images for the parity check, plus generated images if the bundle can generate.

    Large images are random noise only. `reason` says why there is no training data, for the
    warning.
    """
    rng = child_rng(0, "export")
    warning = f"compared on synthetic images, because {reason}"
    if not preprocessing.has_fixed_size:
        sizes = [SYNTHETIC_SIZES[i % 2] for i in range(MAX_LARGE_IMAGES)]
        images = [_noise(preprocessing, rng, (*size, preprocessing.channels)) for size in sizes]
        return _large_samples(preprocessing, images, f"{len(images)} random images", warning)
    pixels = _noise(preprocessing, rng, (NUM_SYNTHETIC, *preprocessing.sample_shape))
    description = f"{NUM_SYNTHETIC} random images"
    if bundle.has("generator"):
        sampler = GeneratorSampler(bundle)
        latents, classes = parity_latents(sampler)
        pixels = np.concatenate([pixels, sampler.decode(latents, classes)])
        description += f" and {len(latents)} images of the generator"
    return ParitySamples(pixels, description, warning)


def _large_samples(
    preprocessing: ImagePreprocessing,
    images: list[np.ndarray],
    description: str,
    warning: str | None = None,
) -> ParitySamples:
    """Return large decoded images `[H, W, C]` at the working scale, the input of the graph."""
    decoded = [preprocessing.to_working_scale(image) for image in images]
    return ParitySamples(decoded, description, warning)


def _noise(
    preprocessing: ImagePreprocessing, rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray:
    """Return uniform noise of a shape in the pixel type and range of the training images."""
    values = rng.uniform(preprocessing.low, preprocessing.high, shape)
    is_integer = preprocessing.dtype != "float32"
    return (np.rint(values) if is_integer else values).astype(preprocessing.dtype)


def parity_latents(sampler: GeneratorSampler) -> tuple[np.ndarray, np.ndarray]:
    """Return latent codes on which a generator's graph is compared with augan's generator.

    There are `NUM_SYNTHETIC` samples of the prior and, if the bundle stores the latent codes of
    training images, at most as many of those.

    Returns
    -------
    latents : ndarray of float32 [N, Z]
    classes : ndarray of int [N]
        Class indices: all classes in turn for samples of the prior, the most probable class for
        stored latent codes, 0 if the generator has no classes.
    """
    from augan.gan.inference import latent_noise

    num_classes = len(sampler.class_names) if sampler.conditional else 1
    rng = child_rng(0, "export", "codes")
    latents = latent_noise(rng, NUM_SYNTHETIC, sampler.latent_dim, sampler.latent_prior)
    classes = np.arange(NUM_SYNTHETIC) % num_classes
    stored = sampler.bundle.latents
    if stored is None:
        return latents, classes
    encoded = evenly_spaced(np.asarray(stored.latents, np.float32), NUM_SYNTHETIC)
    encoded_classes = np.zeros(len(encoded), np.int64)
    if stored.class_probabilities is not None:
        probabilities = evenly_spaced(stored.class_probabilities, NUM_SYNTHETIC)
        encoded_classes = probabilities.argmax(axis=1)
    return np.concatenate([latents, encoded]), np.concatenate([classes, encoded_classes])


@dataclass(frozen=True)
class Parity:
    """Differences between the results of an exported graph and those of augan.

    Attributes
    ----------
    compared : str
        Number and kind of the compared samples.
    num_samples : int
    largest_difference : float
        Largest absolute difference of scores, or of pixels in the unit of prepared images.
    relative_difference : float
        The largest difference in standard deviations of the calibration scores, or as a fraction of
        the range of pixel values.
    typical_difference : float
        Median of the absolute differences.
    """

    compared: str
    num_samples: int
    largest_difference: float
    relative_difference: float
    typical_difference: float

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True)
class DetectorParity(Parity):
    """Differences between the scores, decisions and maps of a graph and those of a detector.

    Attributes
    ----------
    rate, threshold : float
        False-alarm rate and score threshold at which decisions were compared.
    num_borderline : int
        Number of samples whose score differs from the threshold by at most `largest_difference`.
    num_disagreeing : int
        Number of samples on which the decisions differ; accepted only for scores close to the
        threshold.
    map_difference : float or None
        Largest absolute difference of anomaly maps; None if the graph has no map.
    """

    rate: float
    threshold: float
    num_borderline: int
    num_disagreeing: int
    map_difference: float | None = None


def compare_scores(
    scores: np.ndarray,
    graph_scores: np.ndarray,
    calibration: Calibration,
    rate: float,
    compared: str,
) -> DetectorParity:
    """Compare the anomaly scores and decisions of a detector with those of its graph.

    Parameters
    ----------
    scores, graph_scores : ndarray [N]
        Anomaly scores of augan and of the graph for the same samples.
    calibration : Calibration
        Calibration of the detector; the standard deviation of its scores is the unit of the
        tolerance.
    rate : float
        False-alarm rate at which the decisions are compared.
    compared : str
        Number and kind of the samples, for messages.

    Raises
    ------
    RefusedError
        If a difference is not finite, more than `MAX_OUTLIER_FRACTION` of the scores differ by more
        than `SCORE_TOLERANCE` standard deviations, or decisions differ on samples that are not
        close to the threshold.
    """
    differences = np.abs(scores - graph_scores)
    spread = float(calibration.scores.std()) or 1.0
    largest, threshold = float(differences.max()), calibration.threshold(rate)
    is_close = differences <= SCORE_TOLERANCE * spread
    if calibration.fold_sizes and np.isfinite(largest):
        # Pooled scores of folds are ranks: a tie by rounding moves a score by one rank.
        ranks = [
            np.rint(calibration.p_values(x) * (calibration.n + 1)) for x in (scores, graph_scores)
        ]
        is_close |= np.abs(ranks[0] - ranks[1]) == 1
    if not np.isfinite(largest) or np.mean(~is_close) > MAX_OUTLIER_FRACTION:
        raise RefusedError(
            f"the scores of the graph differ from those of augan: on {compared} by up to "
            f"{largest:.3g}, where {SCORE_TOLERANCE * spread:.3g} is allowed; nothing is written, "
            f"and augan detect is not affected; {REPORT_HINT}"
        )
    is_disagreeing = (scores > threshold) != (graph_scores > threshold)
    margin = np.abs(scores - threshold)
    is_clear = (margin > min(largest, SCORE_TOLERANCE * spread)) & ~is_close
    num_wrong = int((is_disagreeing & is_clear).sum())
    if num_wrong:
        raise RefusedError(
            f"{num_wrong} of {scores.size} decisions of the graph differ from those of augan, "
            f"although the scores are not close to the threshold; nothing is written; {REPORT_HINT}"
        )
    return DetectorParity(
        compared,
        scores.size,
        largest,
        largest / spread,
        float(np.median(differences)),
        rate,
        threshold,
        int((margin <= largest).sum()),
        int(is_disagreeing.sum()),
    )


def compare_maps(maps: np.ndarray, graph_maps: np.ndarray) -> float:
    """Return the largest absolute difference between maps of augan and maps of a graph.

    Both arrays have the same shape.

    Raises
    ------
    RefusedError
        If the difference exceeds `MAP_TOLERANCE` of the largest absolute value of augan's maps.
    """
    largest, highest = float(np.abs(maps - graph_maps).max()), float(np.abs(maps).max())
    if not largest <= MAP_TOLERANCE * highest:
        raise RefusedError(
            f"the maps of the graph differ from those of augan by up to {largest:.3g}, where the "
            f"largest value is {highest:.3g}; nothing is written; {REPORT_HINT}"
        )
    return largest


def compare_images(
    images: np.ndarray, graph_images: np.ndarray, span: float, compared: str
) -> Parity:
    """Compare images generated or translated by augan with those of the exported graph.

    Parameters
    ----------
    images, graph_images : ndarray [N, ...]
        Prepared images for the same latent codes or original images.
    span : float
        Largest minus smallest possible pixel value, for example 255.
    compared : str
        Number and kind of the inputs, for messages.

    Raises
    ------
    RefusedError
        If a pixel differs by more than `PIXEL_TOLERANCE` times `span`, one level of 8-bit images.
    """
    differences = np.abs(images.astype(np.float64) - graph_images)
    largest = float(differences.max())
    if not largest <= PIXEL_TOLERANCE * span:
        raise RefusedError(
            f"the images of the graph differ from those of augan: pixels differ by up to "
            f"{largest:.3g} of {span:g}; nothing is written; {REPORT_HINT}"
        )
    typical = float(np.median(differences))
    return Parity(compared, len(images), largest, largest / span, typical)
