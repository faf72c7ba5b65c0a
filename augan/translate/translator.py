"""Translator of images to the look of another camera, and its training on arrays."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np

from augan.bundle import Bundle, as_bundle, bundle_errors, restore_network
from augan.checks import check_choice, check_seed_number
from augan.config import Config, validate_config
from augan.data.dataset import from_arrays
from augan.data.modalities.images import ImagePreprocessing, join_values, resize
from augan.data.user_images import UserImage, iterate_images
from augan.exceptions import ConfigError, DataError
from augan.gan import keras
from augan.gan.inference import BATCH_SIZE, BatchInference
from augan.gan.translation import translation_noise
from augan.seeding import child_rng
from augan.training.budget import TrainingBudget
from augan.training.defaults import TRANSLATION_BATCH_SIZE, TRANSLATION_STEPS, native_dtype
from augan.training.trainer import TrainingData, train_stages
from augan.translate.request import DIRECTIONS, Direction
from augan.translate.tiles import TileGrid, scaled_shape

_CHUNK_SIZE = 256  # images or tiles that are float32 at once
_BATCH_PIXELS = BATCH_SIZE * 64 * 64  # of a batch; more take gigabytes


class Translator:
    """Trained translators between the looks of two cameras.

    Parameters
    ----------
    translator : keras.Model
        Normalized images of the old camera and noise -> normalized images of the new camera.
    back_translator : keras.Model or None
        Normalized images of the new camera -> images of the old camera; None: the translation back
        is refused.
    old, new : ImagePreprocessing
        Preprocessing of the images of each camera.
    """

    def __init__(
        self,
        translator: keras.Model,
        back_translator: keras.Model | None,
        *,
        old: ImagePreprocessing,
        new: ImagePreprocessing,
    ) -> None:
        self.old, self.new = old, new
        self._networks = {"old-to-new": translator, "new-to-old": back_translator}
        self._compiled: dict[str, BatchInference] = {}

    @classmethod
    def from_networks(
        cls,
        models: Mapping[str, keras.Model],
        *,
        old: ImagePreprocessing,
        new: ImagePreprocessing,
    ) -> "Translator":
        """Return the translator of trained networks by name, such as `TrainedNetworks.models`."""
        return cls(models["translator"], models.get("back_translator"), old=old, new=new)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> "Translator":
        """Return the translator of a bundle.

        Raises
        ------
        BundleError
            The bundle has no translator, or its networks cannot be built.
        """
        new = bundle.require_translation().preprocessing.require_images()
        names = [name for name in ("translator", "back_translator") if bundle.has(name)]
        models = {name: restore_network(bundle, name) for name in names}
        with bundle_errors(bundle, "translator"):
            return cls.from_networks(models, old=bundle.preprocessing.require_images(), new=new)

    def has_direction(self, direction: Direction) -> bool:
        """Whether the networks of a direction were trained."""
        return self._networks.get(direction) is not None

    def cameras(self, direction: Direction) -> tuple[ImagePreprocessing, ImagePreprocessing]:
        """Return the preprocessing of the images before and after a translation."""
        return (self.old, self.new) if direction == "old-to-new" else (self.new, self.old)

    @overload
    def translate(
        self, images: np.ndarray, *, direction: Direction = "old-to-new", seed: int = 0
    ) -> np.ndarray: ...
    @overload
    def translate(
        self, images: Any, *, direction: Direction = "old-to-new", seed: int = 0
    ) -> np.ndarray | list[np.ndarray]: ...
    def translate(
        self, images: Any, *, direction: Direction = "old-to-new", seed: int = 0
    ) -> np.ndarray | list[np.ndarray]:
        """Translate images to the look of the other camera.

        An image is scaled as the training images were, translated, and scaled back. An image that
        is then larger than the samples of the network is translated in overlapping squares, which
        are blended. The noise of an image is a function of `seed` and of the index of the image, or
        of its name if `images` is a folder; another seed gives another translation. No other image
        has an effect. A `UserWarning` names the range of the pixels if it is another than that of
        the training images, and files of a folder that are not looked at.

        Parameters
        ----------
        images : path, bytes, PIL image, array, or an iterable of these
            A path of a folder gives all images below it. An array `[H, W]` or `[H, W, C]` with C
            1, 3 or 4 is one image; other arrays are `[N, H, W]` or `[N, H, W, C]`.
        direction : {"old-to-new", "new-to-old"}
            From the old to the new camera (default), or back. The translation back has no noise.
        seed : int
            Seed of the noise, 0 to 2**31 - 1; default: 0.

        Returns
        -------
        ndarray [N, H, W, C] or list of ndarray [H, W, C]
            Images in their size, and in the pixel type, the range and the channels of the other
            camera. A list if the images have different sizes.

        Raises
        ------
        ConfigError
            The direction or the seed is none.
        DataError
            An image has another type or is unreadable, there is none, or no translation back was
            trained.

        Examples
        --------
        >>> translator = load_translator("runs/parts")  # doctest: +SKIP
        >>> translator.translate("old/dent").shape  # doctest: +SKIP
        (40, 64, 64, 3)
        """
        notes: list[str] = []
        pairs = self.iterate(images, direction=direction, seed=seed, notes=notes)
        translated = [image for _, image in pairs]
        for text in notes:
            warnings.warn(text, UserWarning, stacklevel=2)
        if len({image.shape for image in translated}) == 1:
            return np.stack(translated)
        return translated

    def iterate(
        self,
        images: Any,
        *,
        direction: Direction = "old-to-new",
        seed: int = 0,
        notes: list[str] | None = None,
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the name and the translation of each image, a few images at a time in memory.

        Parameters, translations and errors are those of `translate`. The name is the path as the
        user gave it, relative to a folder, else the number of the image, from 0. `notes`
        receives the sentences of which `translate` makes warnings, the last at the end.
        """
        before, _ = self.cameras(direction)
        seed = check_seed_number(seed)
        self._inference(direction)
        is_folder = isinstance(images, str | os.PathLike) and os.path.isdir(images)
        notes = [] if notes is None else notes
        user_images = iterate_images(images, before.dtype, before.channels == 3, notes)
        numbered = enumerate(user_images)

        def translations() -> Iterator[tuple[str, np.ndarray]]:
            is_empty = True
            values: tuple[float, float] | None = None
            while chunk := list(islice(numbered, _CHUNK_SIZE)):
                is_empty = False
                keys = [image.name if is_folder else number for number, image in chunk]
                pixels = [_decoded(image, before) for _, image in chunk]
                for image in pixels:
                    values = join_values(values, before.values_of(image))
                results = self.translate_images(pixels, keys, direction=direction, seed=seed)
                yield from zip([image.name for _, image in chunk], results)
            if is_empty:
                raise DataError("the iterator of images is empty; give at least one image")
            if (other_range := before.describe_other_range(values)) is not None:
                notes.append(other_range)

        return translations()

    def translate_images(
        self,
        images: Sequence[np.ndarray],
        keys: Sequence[str | int],
        *,
        direction: Direction = "old-to-new",
        seed: int = 0,
    ) -> list[np.ndarray]:
        """Translate decoded images of any sizes.

        Parameters
        ----------
        images : sequence of ndarray [H, W, C]
            Images in the type and the channels of their camera.
        keys : sequence of str or int
            Name or number of each image, which decides its noise together with the seed.
        direction, seed
            As for `translate`.

        Returns
        -------
        list of ndarray [H, W, C]
            Images in their size, in the type and the channels of the other camera.
        """
        before, after = self.cameras(direction)
        shapes = [scaled_shape(image.shape[0], image.shape[1], before) for image in images]
        grids = [TileGrid(*shape, before.side) for shape in shapes]
        results: list[np.ndarray | None] = [None] * len(images)
        single = [row for row, grid in enumerate(grids) if len(grid.corners) == 1]
        if single:
            squares = np.stack([self._canvas(images[row], grids[row], before) for row in single])
            outputs = self._translate(squares, [keys[row] for row in single], direction, seed)
            for row, output in zip(single, outputs):
                results[row] = grids[row].from_canvas(output)
        for row, grid in enumerate(grids):
            if results[row] is None:
                canvas = self._canvas(images[row], grid, before)
                results[row] = self._translate_tiles(canvas, grid, keys[row], direction, seed)
        return [
            after.denormalize(resize(np.clip(result, -1, 1), *image.shape[:2]))
            for image, result in zip(images, results)
            if result is not None
        ]

    def translate_prepared(
        self,
        prepared: np.ndarray,
        keys: Sequence[str | int],
        *,
        direction: Direction = "old-to-new",
        seed: int = 0,
    ) -> np.ndarray:
        """Translate prepared images `[N, S, S, C]` to prepared images of the other camera.

        Parameters
        ----------
        prepared : ndarray [N, S, S, C]
            Result of `prepare_all` of the preprocessing of their camera.
        keys, direction, seed
            As for `translate_images`.

        Returns
        -------
        ndarray [N, S, S, C]
            Images as the preprocessing of the other camera prepares them.
        """
        before, after = self.cameras(direction)
        translated = np.empty((len(prepared), *after.sample_shape), after.prepared_dtype)
        for start in range(0, len(prepared), _CHUNK_SIZE):
            rows = slice(start, start + _CHUNK_SIZE)
            squares = before.normalize(np.asarray(prepared[rows]))
            translated[rows] = after.denormalize(
                self._translate(squares, keys[rows], direction, seed)
            )
        return translated

    @staticmethod
    def noise(keys: Sequence[str | int], shape: tuple[int, ...], seed: int) -> np.ndarray:
        """Return the noise of images, float32 `[N, H, W, 4]`, a function of seed and key.

        Parameters
        ----------
        keys : sequence of str or int
            Name or number of each image.
        shape : (int, int)
            Height and width in pixels.
        seed : int
        """
        height, width = shape
        rngs = (child_rng(seed, "translate", key) for key in keys)
        return np.concatenate([translation_noise(rng, 1, height, width) for rng in rngs])

    @staticmethod
    def _canvas(image: np.ndarray, grid: TileGrid, before: ImagePreprocessing) -> np.ndarray:
        """Return an image at the scale of the training, normalized, on the canvas of its grid."""
        return before.normalize(grid.to_canvas(resize(image, grid.height, grid.width)))

    def _translate(
        self, squares: np.ndarray, keys: Sequence[str | int], direction: Direction, seed: int
    ) -> np.ndarray:
        """Return the output of the network for normalized images `[N, S, S, C]`."""
        inputs = [squares]
        if direction == "old-to-new":
            inputs.append(self.noise(keys, squares.shape[1:3], seed))
        (outputs,) = self._inference(direction)(*inputs)
        return outputs

    def _translate_tiles(
        self, canvas: np.ndarray, grid: TileGrid, key: str | int, direction: Direction, seed: int
    ) -> np.ndarray:
        """Return the blended output of the network for a normalized canvas `[H, W, C]`.

        The noise of the whole canvas is cut as the image is, so that squares agree where they
        overlap.
        """
        inputs = [canvas]
        if direction == "old-to-new":
            inputs.append(self.noise([key], grid.canvas, seed)[0])
        blender = grid.blender(self.cameras(direction)[1].channels)
        for start in range(0, len(grid.corners), _CHUNK_SIZE):
            tiles = slice(start, start + _CHUNK_SIZE)
            (outputs,) = self._inference(direction)(*(grid.cut(x, tiles) for x in inputs))
            blender.add(outputs)
        return blender.image()

    def _inference(self, direction: str) -> BatchInference:
        """Return the compiled network of a direction."""
        check_choice("direction", direction, DIRECTIONS)
        network = self._networks[direction]
        if network is None:
            raise DataError(
                f"the translator has no direction {direction!r}, because it was trained without a "
                "cycle; train with translation.cycle=one-sided"
            )
        if direction not in self._compiled:
            self._compiled[direction] = _fixed_size_inference(network, self.old.side)
        return self._compiled[direction]


def load_translator(run_or_bundle: Bundle | str | Path) -> Translator:
    """Load the translator of a run.

    Parameters
    ----------
    run_or_bundle : Bundle or path
        A run folder, a bundle file, or a loaded bundle, of `augan train --translate-to`.

    Returns
    -------
    Translator

    Raises
    ------
    BundleError
        The bundle cannot be read, or has no translator.

    Examples
    --------
    >>> translator = load_translator("runs/parts")  # doctest: +SKIP
    >>> new = translator.translate("old/dent", seed=1)  # doctest: +SKIP
    """
    return Translator.from_bundle(as_bundle(run_or_bundle))


def _decoded(image: UserImage, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Return an image of the user in the type and the channels of its camera.

    Raises
    ------
    DataError
        The image cannot be read or converted; the message has its name.
    """
    try:
        return preprocessing.convert(image.decode())
    except DataError as error:
        reason = getattr(error, "reason", str(error))
        raise DataError(f"image {image.name} cannot be used: {reason}") from error


def _fixed_size_inference(network: keras.Model, size: int) -> BatchInference:
    """Return the compiled inference of a translator for squares of `size` pixels a side."""
    has_noise = len(network.inputs) > 1

    def call(*inputs: Any) -> Any:
        return network(list(inputs) if has_noise else inputs[0], training=False)

    shapes = [(size, size, value.shape[-1]) for value in network.inputs]
    batch_size = max(1, min(BATCH_SIZE, _BATCH_PIXELS // size**2))
    return BatchInference(call, *shapes, batch_size=batch_size)


def train_translator(
    old_images: np.ndarray,
    old_classes: np.ndarray | None,
    new_images: np.ndarray,
    new_classes: np.ndarray | None,
    num_classes: int,
    *,
    config: Config | None = None,
    seed: int = 0,
) -> Translator:
    """Train a translator from the old to the new camera on arrays in memory.

    Parameters
    ----------
    old_images, new_images : ndarray [N, S, S, C]
        Images of each camera, with the same size; C is 1 or 3 and may differ.
    old_classes, new_classes : ndarray [N] of int, or None
        Class indices below `num_classes`, which mean the same on both cameras; -1 for an unlabeled
        image. None: no image is labeled. Images of a class that only one camera labels are not
        used, unless there are unlabeled images; see
        `augan.training.stages.translation.joint_batches`.
    num_classes : int
        0 without labels.
    config : Config or None
        Settings; `translation` and `training` are used. None: the defaults, with 1,500 updates of
        32 images of each camera, in bfloat16 where the machine multiplies it.
    seed : int
        Seed of the training, which replaces that of `config`.

    Returns
    -------
    Translator
        Equal arguments give equal weights on one machine.

    Raises
    ------
    ConfigError
        The images have different sizes, or a setting is not possible.
    DataError
        The images cannot be used.
    """
    config = Config() if config is None else validate_config(config)
    config = config.replace(
        seed=seed,
        training__batch_size=config.training.batch_size or TRANSLATION_BATCH_SIZE,
        training__dtype=config.training.dtype or native_dtype(),
    )
    new = _camera(new_images, new_classes, num_classes)
    data = replace(_camera(old_images, old_classes, num_classes), new=new)
    sides = [camera.samples.shape[1] for camera in (data, new)]
    if sides[0] != sides[1]:
        raise ConfigError(
            f"the images of both cameras must have one size, got {sides[0]} pixels (old) and "
            f"{sides[1]} pixels (new); resize one of them"
        )
    budget = TrainingBudget(config.training.steps or TRANSLATION_STEPS)
    stages = ["classifier"] * bool(config.translation.class_weight and num_classes)
    networks = train_stages(config, data, [*stages, "translation"], budget)
    of_old, of_new = (camera.preprocessing.require_images() for camera in (data, new))
    return Translator.from_networks(networks.models, old=of_old, new=of_new)


def _camera(images: np.ndarray, classes: np.ndarray | None, num_classes: int) -> TrainingData:
    """Return the images of one camera as training data; all labeled images are trained on."""
    preprocessing = ImagePreprocessing.fit(from_arrays(images), max(images.shape[1:3]))
    samples = preprocessing.prepare_all(images)
    labels = np.full(len(images), -1) if classes is None else np.asarray(classes, np.int64)
    return TrainingData(
        samples,
        labels,
        num_classes,
        preprocessing,
        train=np.flatnonzero(labels >= 0),
        unlabeled=np.flatnonzero(labels < 0),
    )
