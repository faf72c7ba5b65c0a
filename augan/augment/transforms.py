"""Classic image transforms of albumentations, by name; no other module imports the library.

Configurations and manifests record the name of a transform. Transforms keep the size and type of
images. Transforms also keep the class of ordinary data, except that `flip` may change the class
where left and right matter. `strong` hides a part of each image and is meant for consistency
regularization. `ImageTransform` maps images to images; `SeededTransform` also takes the class index
and the sample index of each image.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from augan.checks import check_choice
from augan.seeding import child_seed

ImageTransform = Callable[[np.ndarray], np.ndarray]
SeededTransform = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _shift(library: Any) -> list:
    """Return the transform steps of "shift": small translations, scalings and rotations."""
    return [library.Affine(translate_percent=(-0.1, 0.1), scale=(0.9, 1.1), rotate=(-8, 8), p=1.0)]


def _flip(library: Any) -> list:
    """Return the transform steps of "flip": a horizontal flip of every second image on average."""
    return [library.HorizontalFlip(p=0.5)]


def _light(library: Any) -> list:
    """Return the transform steps of the part "light": small changes of brightness and contrast."""
    return [library.RandomBrightnessContrast(brightness_limit=0.15, contrast_limit=0.15, p=1.0)]


def _strong(library: Any) -> list:
    """Return the transform steps of "strong": large moves, other light, a hidden rectangle."""
    move = library.Affine(
        translate_percent=(-0.2, 0.2), scale=(0.8, 1.2), rotate=(-20, 20), shear=(-10, 10), p=1.0
    )
    light = library.RandomBrightnessContrast(brightness_limit=0.3, contrast_limit=0.3, p=1.0)
    hole = library.CoarseDropout(
        num_holes_range=(1, 1), hole_height_range=(0.2, 0.4), hole_width_range=(0.2, 0.4), p=1.0
    )
    return [move, light, hole]


TRANSFORMS: dict[str, tuple[Callable[[Any], list], ...]] = {
    "none": (),
    "shift": (_shift,),
    "flip": (_flip,),
    "shift-flip": (_shift, _flip),
    "shift-flip-light": (_shift, _flip, _light),
    "strong": (_strong,),
    "strong-flip": (_strong, _flip),
}


def check_transform(name: str) -> None:
    """Raise ConfigError unless a transform has the name; albumentations is not imported."""
    check_choice("transform", name, TRANSFORMS)


def strong_variant(name: str) -> str:
    """Return the strong counterpart of a transform: "strong-flip" if it flips, else "strong"."""
    return "strong-flip" if "flip" in name else "strong"


def get_transform(name: str, seed: int = 0) -> ImageTransform:
    """Return a function that applies a named random transform to images `[N, H, W, C]`.

    The function keeps the shape and type. Images are uint8, uint16, or float32 in [0, 1].

    Parameters
    ----------
    name : str
        A key of `TRANSFORMS`; "none" returns images unchanged.
    seed : int
        The same seed gives the same sequence of results. Each call of the function continues the
        sequence.

    Raises
    ------
    ConfigError
        The name is unknown.

    Examples
    --------
    >>> images = np.zeros((2, 8, 8, 1), np.uint8)
    >>> get_transform("shift")(images).shape
    (2, 8, 8, 1)
    """
    compose = _compose(name, child_seed(seed, "classic", name))
    if compose is None:
        return lambda images: images
    limits = (0.0, 65535.0)
    return lambda images: _apply(images, lambda image, _: compose(image=image)["image"], limits)


def get_seeded_transform(
    name: str, seed: int = 0, value_range: tuple[float, float] | None = None
) -> SeededTransform:
    """Return a function that transforms each image with a seed of its own.

    The same seed, class and sample index give the same change, whatever other images are
    transformed before. Images are uint8, uint16, or float32 in [0, 1]; shape and type are kept.

    Parameters
    ----------
    name : str
        A key of `TRANSFORMS`; "none" returns images unchanged.
    seed : int
        Seed of all images, combined with the class and the sample index of each image.
    value_range : tuple (low, high) or None
        Black and white of integer images; the results stay between them. None (default): the limits
        of the type.

    Returns
    -------
    callable
        Images `[N, H, W, C]`, class indices `[N]` and sample indices `[N]` -> images `[N, H, W,
        C]`.

    Raises
    ------
    ConfigError
        The name is unknown.
    """
    compose = _compose(name, 0)
    if compose is None:
        return lambda images, classes, indices: images

    def transform(images: np.ndarray, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
        def transform_one(image: np.ndarray, position: int) -> np.ndarray:
            key = (int(classes[position]), int(indices[position]))
            compose.set_random_seed(child_seed(seed, "classic", name, *key))
            return compose(image=image)["image"]

        return _apply(images, transform_one, value_range or (0.0, 65535.0))

    return transform


def _compose(name: str, seed: int) -> Any:
    """Return albumentations' `Compose` for a named transform; None for "none".

    Raises
    ------
    ConfigError
        The name is unknown.
    """
    check_transform(name)
    if not TRANSFORMS[name]:
        return None
    library = _albumentations()
    steps = [step for build in TRANSFORMS[name] for step in build(library)]
    return library.Compose(steps, seed=seed)


def _apply(
    images: np.ndarray,
    transform: Callable[[np.ndarray, int], np.ndarray],
    value_range: tuple[float, float],
) -> np.ndarray:
    """Apply a function of one image and its position to each of `[N, H, W, C]` images.

    Integers other than uint8 from 0 to 255 are scaled from `value_range` to floats in [0, 1] for
    the library, and back.
    """
    # The library takes uint8 of the full range, or floats from 0 to 1.
    low, high = value_range
    is_scaled = images.dtype == np.uint16 or (images.dtype == np.uint8 and high < 255)
    source = ((images - low) / (high - low)).astype(np.float32) if is_scaled else images
    results = [transform(image, i).reshape(image.shape) for i, image in enumerate(source)]
    result = np.stack(results) if results else source
    if not is_scaled:
        return result
    values = np.clip(result, 0, 1) * (high - low) + low
    return np.rint(values).astype(images.dtype)


def _albumentations() -> Any:
    """Import albumentations without its check for newer versions on the network."""
    # Its import would ask the package index for a newer version.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations
