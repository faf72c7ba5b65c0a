"""What a graph and augan are both asked about: held-out images, or what there is without them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augan.augment.methods.prior import Sampler
from augan.bundle import Bundle
from augan.data.modalities.images import Preprocessing
from augan.data.modalities.tiles import Patches
from augan.data.sequences import Pictures
from augan.data.splits import evenly
from augan.exceptions import DataError
from augan.gan.inference import latent_noise
from augan.seeding import child_rng
from augan.training.training_data import Recorded, recorded_data

MOST, MOST_PICTURES = 500, 30  # squares, and large images, that are compared
MADE = 64  # of each kind, where there is no data
SIDES = ((160, 200), (190, 130))  # of large images that are made


@dataclass(frozen=True)
class Samples:
    """Images as the graph takes them, and as augan's own detector does.

    Attributes
    ----------
    decoded : sequence of ndarray [S, S, C] or [H, W, C]
    stored : ndarray [N, S, S, C] or Pictures
    sentence : str
        What they are.
    warning : str or None
        Why they are not held-out images.
    """

    decoded: Any
    stored: Any
    sentence: str
    warning: str | None = None


def samples_for(bundle: Bundle, preprocessing: Preprocessing, data: str | Path | None) -> Samples:
    """Return held-out images of the data that a bundle was trained on, or made-up ones.

    Raises
    ------
    DataError
        `data` was named and is not what the bundle was trained on.
    """
    try:
        recorded = recorded_data(bundle, preprocessing, data)
    except DataError as error:  # gone, or changed since: that is no fault of the bundle
        if data is not None:
            raise
        return _made_up(bundle, preprocessing, str(error))
    split = bundle.tables["split"]
    rows = next(split[name] for name in ("calibrate", "tune", "fit") if len(split[name]))
    most = MOST_PICTURES if isinstance(preprocessing, Patches) else MOST
    chosen = evenly(np.asarray(rows), most)
    folds = (bundle.detector or {}).get("folds")
    held = "held-out images" if not folds else f"images, each held out of one of {folds} trainings,"
    sentence = f"{len(chosen)} {held} of {bundle.data.get('name', 'the training data')}"
    return _held_out(recorded, preprocessing, chosen, sentence)


def _held_out(
    recorded: Recorded, preprocessing: Preprocessing, rows: np.ndarray, sentence: str
) -> Samples:
    squares = recorded.squares
    if not isinstance(preprocessing, Patches):
        pixels = np.asarray(squares.pixels[rows])
        return Samples(pixels, pixels, sentence)
    images = [squares.dataset.pictures[int(row)] for row in rows]
    decoded = [preprocessing.at_scale(image) for image in images]
    stored = Pictures([preprocessing.to_picture(image) for image in images])
    return Samples(decoded, stored, sentence)


def _made_up(bundle: Bundle, preprocessing: Preprocessing, reason: str) -> Samples:
    rng = child_rng(0, "export")
    warning = f"compared on images that were made up, because {reason}"
    if isinstance(preprocessing, Patches):
        shapes = [(*SIDES[i % 2], preprocessing.channels) for i in range(MOST_PICTURES)]
        images = [_random(preprocessing, rng, shape) for shape in shapes]
        decoded = [preprocessing.at_scale(image) for image in images]
        stored = Pictures([preprocessing.to_picture(image) for image in images])
        return Samples(decoded, stored, f"{len(images)} random images", warning)
    pixels = _random(preprocessing, rng, (MADE, *preprocessing.sample_shape))
    sentence = f"{MADE} random images"
    if bundle.has("generator"):
        sampler = Sampler(bundle)
        noise, classes = codes_for(sampler)
        pixels = np.concatenate([pixels, sampler.decode(noise, classes)])
        sentence += f" and {len(noise)} that the generator draws"
    return Samples(pixels, pixels, sentence, warning)


def _random(
    preprocessing: Preprocessing, rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray:
    values = rng.uniform(preprocessing.low, preprocessing.high, shape)
    whole = preprocessing.dtype != "float32"
    return (np.rint(values) if whole else values).astype(preprocessing.dtype)


def codes_for(sampler: Sampler) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of the prior, and those of training images where the bundle has them.

    Returns
    -------
    noise : ndarray of float32 [N, Z]
    classes : ndarray of int [N]
        In turn for codes of the prior; zeros where the generator knows none.
    """
    count = len(sampler.class_names) if sampler.conditional else 1
    noise = latent_noise(
        child_rng(0, "export", "codes"), MADE, sampler.latent_dim, sampler.noise_kind
    )
    classes = np.arange(MADE) % count
    codes = sampler.bundle.tables.get("codes")
    if codes is None:
        return noise, classes
    known = evenly(np.asarray(codes["noise"], np.float32), MADE)
    of = np.zeros(len(known), np.int64)
    if "classes" in codes:
        of = evenly(np.asarray(codes["classes"]), MADE).argmax(axis=1)
    return np.concatenate([noise, known]), np.concatenate([classes, of])
