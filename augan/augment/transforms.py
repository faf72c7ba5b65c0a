"""Classic augmentation by albumentations; the only file that knows the library.

A policy is a name, so that it can stand in a configuration and a manifest. Each keeps the size and
type of images; none changes a class in ordinary data, but `flip` does where left and right matter,
and `strong`, which is there to learn consistency from, hides a part of each image.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from augan.exceptions import ConfigError
from augan.seeding import child_seed

Transform = Callable[[np.ndarray], np.ndarray]
KeyedTransform = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


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
    """Return the policy that hides and distorts more than `name`, and flips where that does."""
    return "strong-flip" if "flip" in name else "strong"


def get_transform(name: str, seed: int = 0) -> Transform:
    """Return a function that augments images `[N, H, W, C]` at random, shape and type kept.

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
        If there is no such policy.

    Examples
    --------
    >>> images = np.zeros((2, 8, 8, 1), np.uint8)
    >>> get_transform("shift")(images).shape
    (2, 8, 8, 1)
    """
    compose = _composed(name, child_seed(seed, "classic", name))
    if compose is None:
        return lambda images: images
    return lambda images: _changed(images, lambda image, _: compose(image=image)["image"])


def get_seeded_transform(name: str, seed: int = 0) -> KeyedTransform:
    """Return a function that augments images `[N, H, W, C]`, each by a key of its own.

    The same seed, class and index give the same change, whatever other images came before.

    Parameters
    ----------
    name, seed
        As for `get_transform`.

    Returns
    -------
    callable
        Images, their class numbers `[N]` and their indices `[N]` -> images.
    """
    compose = _composed(name, 0)
    if compose is None:
        return lambda images, classes, indices: images

    def augment(images: np.ndarray, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
        def change(image: np.ndarray, place: int) -> np.ndarray:
            key = (int(classes[place]), int(indices[place]))
            compose.set_random_seed(child_seed(seed, "classic", name, *key))
            return compose(image=image)["image"]

        return _changed(images, change)

    return augment


def _composed(name: str, seed: int) -> Any:
    """Return the library's object for a policy, or None for the one that changes nothing."""
    if name not in TRANSFORMS:
        raise ConfigError(f"there is no policy '{name}'; choose one of {', '.join(TRANSFORMS)}")
    if not TRANSFORMS[name]:
        return None
    library = _albumentations()
    steps = [step for part in TRANSFORMS[name] for step in part(library)]
    return library.Compose(steps, seed=seed)


def _changed(images: np.ndarray, change: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    # The library takes uint8, or floats from 0 to 1.
    white = 65535 if images.dtype == np.uint16 else 1
    source = (images / white).astype(np.float32) if images.dtype == np.uint16 else images
    changed = [change(image, place).reshape(image.shape) for place, image in enumerate(source)]
    result = np.stack(changed) if changed else source
    return np.rint(result * white).astype(np.uint16) if white > 1 else result


def _albumentations() -> Any:
    # Its import asks the package index for news unless told not to.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations
