"""Image transforms of albumentations, by name; no other module imports the library.

Configurations and manifests have the name of a transform. Transforms keep the size and type of
images. They keep the class in ordinary data, except that `flip` may change it where left and right
matter. `strong` hides a part of each image; it is meant for consistency regularization.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from augan.exceptions import ConfigError
from augan.seeding import child_seed

ImageTransform = Callable[[np.ndarray], np.ndarray]
SeededTransform = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _shift(library: Any) -> list:
    return [library.Affine(translate_percent=(-0.1, 0.1), scale=(0.9, 1.1), rotate=(-8, 8), p=1.0)]


def _flip(library: Any) -> list:
    return [library.HorizontalFlip(p=0.5)]


def _light(library: Any) -> list:
    return [library.RandomBrightnessContrast(brightness_limit=0.15, contrast_limit=0.15, p=1.0)]


def _strong(library: Any) -> list:
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


def strong_variant(name: str) -> str:
    """Return the strong transform that flips images if `name` does."""
    return "strong-flip" if "flip" in name else "strong"


def get_transform(name: str, seed: int = 0) -> ImageTransform:
    """Return a function that transforms images `[N, H, W, C]` at random; shape and type are kept.

    Images are uint8, uint16, or float32 in [0, 1].

    Parameters
    ----------
    name : str
        A key of `TRANSFORMS`.
    seed : int
        The same seed gives the same sequence of results.

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
    return lambda images: _apply(images, lambda image, _: compose(image=image)["image"])


def get_seeded_transform(name: str, seed: int = 0) -> SeededTransform:
    """Return a function that transforms images `[N, H, W, C]`, each with its own seed.

    The same seed, class and index give the same change, whatever images precede it.

    Parameters
    ----------
    name, seed
        See `get_transform`.

    Returns
    -------
    callable
        Images, their class indices `[N]` and their sample indices `[N]` -> images.
    """
    compose = _compose(name, 0)
    if compose is None:
        return lambda images, classes, indices: images

    def transform(images: np.ndarray, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
        def transform_one(image: np.ndarray, position: int) -> np.ndarray:
            key = (int(classes[position]), int(indices[position]))
            compose.set_random_seed(child_seed(seed, "classic", name, *key))
            return compose(image=image)["image"]

        return _apply(images, transform_one)

    return transform


def _compose(name: str, seed: int) -> Any:
    """Return the library's `Compose` for a transform, or None for "none"."""
    if name not in TRANSFORMS:
        raise ConfigError(f"unknown transform '{name}'; choose one of {', '.join(TRANSFORMS)}")
    if not TRANSFORMS[name]:
        return None
    library = _albumentations()
    steps = [step for build in TRANSFORMS[name] for step in build(library)]
    return library.Compose(steps, seed=seed)


def _apply(images: np.ndarray, transform: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    # The library takes uint8, or floats from 0 to 1.
    max_value = 65535 if images.dtype == np.uint16 else 1
    source = (images / max_value).astype(np.float32) if images.dtype == np.uint16 else images
    results = [transform(image, i).reshape(image.shape) for i, image in enumerate(source)]
    result = np.stack(results) if results else source
    return np.rint(result * max_value).astype(np.uint16) if max_value > 1 else result


def _albumentations() -> Any:
    # Its import would ask the package index for a newer version.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations
