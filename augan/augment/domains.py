"""Images of two cameras in one table, and the translator that is trained on them in memory.

A column marks the camera of each row: 0 for the old camera, 1 for the new camera.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from augan.augment.training_reference import TrainingReference
from augan.bundle import Bundle, DatasetInfo, TranslationSection
from augan.config import Config
from augan.data.cameras import common_class_names, joint_class_names
from augan.data.dataset import Dataset, from_arrays
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tables import is_frame
from augan.data.validation import check_image_array, ndim_of
from augan.exceptions import ConfigError, DataError
from augan.progress import Progress
from augan.training.budget import TrainingBudget, compute_deadline
from augan.training.defaults import resolve_translation_defaults


def find_domain(X: Any, domain: Any) -> int:
    """Return the position of the column that marks the camera of each row.

    Parameters
    ----------
    X : DataFrame or ndarray [N, F]
        Flat images with the column among the pixels.
    domain : str or int or None
        Name of the column of a DataFrame, or its position; negative positions count from the end.

    Raises
    ------
    ConfigError
        `domain` is None.
    DataError
        There is no such column, or `X` is not two-dimensional.
    """
    if domain is None:
        raise ConfigError(
            "method='translate' needs the column that marks the camera of each image, got "
            "`domain=None`; give its name or position: 0 for the old camera, 1 for the new camera"
        )
    if ndim_of(X) != 2:
        raise DataError(
            f"method='translate' needs rows [N, F] of pixels and the column `domain`, got "
            f"{ndim_of(X)} dimensions; reshape images to rows, and give their `image_shape`"
        )
    columns = list(X.columns) if is_frame(X) else list(range(np.shape(X)[1]))
    if domain in columns:
        return columns.index(domain)
    if isinstance(domain, int | np.integer) and -len(columns) <= domain < 0:
        return len(columns) + int(domain)
    shown = ", ".join(map(str, columns[-3:]))
    raise DataError(
        f"there is no column `domain={domain!r}`; there are {len(columns)}, the last of which are: "
        f"{shown}"
    )


@dataclass(frozen=True, eq=False)
class CameraRows:
    """Flat images of two cameras.

    Attributes
    ----------
    images : ndarray [N, H, W, C]
        Images of both cameras.
    is_new : ndarray of bool [N]
        Whether an image is of the new camera.
    position : int
        Column that marks the camera.
    """

    images: np.ndarray
    is_new: np.ndarray
    position: int

    @classmethod
    def from_rows(
        cls, X: np.ndarray, position: int, image_shape: tuple[int, ...] | None
    ) -> "CameraRows":
        """Separate the pixels of rows `[N, F]` from the column of the camera.

        Raises
        ------
        DataError
            The column has other values than 0 and 1, or the pixels do not have `image_shape`.
        """
        camera = X[:, position]
        values = np.unique(camera)
        if not np.isin(values, (0, 1)).all():
            shown = ", ".join(map(str, values[:5]))
            raise DataError(
                "the column `domain` must be 0 (old camera) or 1 (new camera), but has the values "
                f"{shown}"
            )
        images = check_image_array(np.delete(X, position, axis=1), image_shape)
        return cls(images, camera == 1, position)

    def to_rows(self, images: np.ndarray, dtype: Any) -> np.ndarray:
        """Return images `[N, H, W, C]` as rows of the new camera, in a type.

        Raises
        ------
        DataError
            The images have another size than those of the table.
        """
        if images.shape[1:] != self.images.shape[1:]:
            raise DataError(
                f"the translated images are {list(images.shape[1:])}, but those of the table "
                f"{list(self.images.shape[1:])}; train on images of one size"
            )
        rows = images.reshape(len(images), -1).astype(dtype)
        return np.insert(rows, self.position, 1, axis=1)


def old_reference(
    rows: CameraRows, y: np.ndarray, preprocessing: ImagePreprocessing, class_names: tuple[str, ...]
) -> TrainingReference:
    """Return the images of the old camera, all of which may be translated.

    Classes are positions in `class_names`, -1 for a class that is not there.
    """
    dataset = _old_dataset(rows, y)
    known = {name: index for index, name in enumerate(class_names)}
    positions = np.array([known.get(name, -1) for name in dataset.class_names])
    everything = np.arange(len(dataset))
    return TrainingReference(
        preprocessing.prepare_all(dataset.require_images()),
        positions[np.asarray(dataset.labels)],
        dataset.names,
        everything,
        everything[:0],
    )


def _old_dataset(rows: CameraRows, y: np.ndarray) -> Dataset:
    """Return the images of the old camera as a dataset.

    Raises
    ------
    DataError
        There is none.
    """
    if rows.is_new.all():
        raise DataError(
            "the column `domain` is 1 in every row: there is no image of the old camera to "
            "translate; give the images of both cameras"
        )
    return from_arrays(rows.images[~rows.is_new], y[~rows.is_new], name="old")


def train_on_rows(
    rows: CameraRows,
    y: np.ndarray,
    *,
    seed: int,
    steps: int | None,
    config: Config | None,
    progress: Progress,
) -> Bundle:
    """Train a translator from the old to the new camera on all images of a table.

    Parameters
    ----------
    rows : CameraRows
        Images of both cameras.
    y : ndarray [N]
        Their classes.
    seed : int
        Seed of the training, which replaces that of `config`.
    steps : int or None
        Training steps. None: the number in `config`, else the default of a translation.
    config : Config or None
        Settings. None: the defaults.
    progress : Progress
        Shows the progress.

    Returns
    -------
    Bundle
        The trained networks, not saved.

    Raises
    ------
    DataError
        A camera has no image.
    ConfigError
        The settings are not possible.
    """
    from augan.training.loop import TrainingSession
    from augan.training.trainer import TrainingData, train_stages

    started = time.monotonic()
    old = _old_dataset(rows, y)
    if not rows.is_new.any():
        raise DataError(
            "the column `domain` is 0 in every row: there is no image of the new camera to learn "
            "its look from; give the images of both cameras"
        )
    new = from_arrays(rows.images[rows.is_new], y[rows.is_new], name="new")
    settings = (config or Config()).replace(seed=seed, task="translate")
    settings = settings if steps is None else settings.replace(training__steps=steps)
    config, *cameras = resolve_translation_defaults(settings, old, new)
    class_names = joint_class_names(old, new)
    data: list[TrainingData] = []
    for dataset, preprocessing in zip((new, old), cameras[::-1]):
        positions = np.array([class_names.index(name) for name in dataset.class_names])
        data.append(
            TrainingData(
                preprocessing.prepare_all(dataset.require_images()),
                positions[np.asarray(dataset.labels)],
                len(class_names),
                preprocessing,
                train=np.arange(len(dataset)),
                new=data[0] if data else None,
            )
        )
    deadline = compute_deadline(config.training.max_minutes, started)
    stages = ("classifier",) * bool(config.translation.class_weight) + ("translation",)
    budget = TrainingBudget(config.training.steps, deadline)
    networks = train_stages(config, data[1], stages, budget, TrainingSession((progress,)))
    of_old, of_new = cameras
    return Bundle(
        config=config,
        data=_describe(old),
        preprocessing=of_old,
        networks=networks.for_bundle(),
        translation=TranslationSection(
            _describe(new), of_new, class_names, common_class_names(old, new)
        ),
    )


def _describe(dataset: Dataset) -> DatasetInfo:
    """Return the description of a camera's images for the bundle."""
    counts = np.bincount(np.asarray(dataset.labels), minlength=dataset.num_classes)
    return DatasetInfo(
        name=dataset.name,
        num_samples=len(dataset),
        class_names=tuple(dataset.class_names),
        class_counts=tuple(counts.tolist()),
    )
