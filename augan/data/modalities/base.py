"""Interface of the preprocessing of one modality: what images, tiles and rows have in common.

A modality is a kind of sample. Its class fits the conversion of samples on the training data,
applies the conversion and undoes it, and states the properties of the samples that other packages
need. Code outside of this package asks the preprocessing, never for its class.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from augan.data.dataset import Dataset, Modality, Samples, SampleType, plural, type_of_samples
from augan.data.sequences import ConcatRows, RaggedImages, SlidingWindows
from augan.exceptions import DataError

if TYPE_CHECKING:
    from augan.data.modalities.images import ImagePreprocessing
    from augan.data.modalities.tabular import TabularPreprocessing

PreparedSamples = np.ndarray | ConcatRows | RaggedImages
TrainingSamples = np.ndarray | ConcatRows | SlidingWindows
RowsOf = Callable[[np.ndarray], np.ndarray]
_GIVEN: dict[SampleType, str] = {"image": "images", "row": "a table"}
_HINTS: dict[SampleType, str] = {"row": "; rows of pixels become images by image_shape"}


@dataclass(frozen=True)
class TrainingDefaults:
    """Settings of a training that suit the samples of a modality.

    Attributes
    ----------
    norm : str or None
        Value of `discriminator.norm`; None: the norm depends on the size of the samples.
    betas : (float, float)
        Value of `gan.betas`.
    regularizer : str
        Value of `gan.regularizer`, unless other settings exclude it.
    has_transformations : bool
        Whether the discriminator may learn to recognize transformations (`gan.self_supervision`).
    needs_learned_features : bool
        Whether fidelity is measured in features of a network. False: the values of samples are
        compared themselves.
    """

    norm: str | None
    betas: tuple[float, float]
    regularizer: str
    has_transformations: bool
    needs_learned_features: bool


class Preprocessing(ABC):
    """Conversion of the samples of one modality to inputs of the networks, and back.

    Samples have three forms. *Samples* are those of a dataset. *Prepared* samples have the size and
    the type of the model, in the units of the data; a cache file and a detector take these.
    *Normalized* samples are float32 in [-1, 1], the inputs and outputs of the networks.

    Attributes
    ----------
    modality : str
        Name of the modality, which a bundle stores.
    sample_type : str
        The kind of one sample, "image" or "row"; `plural` makes the plural for messages.
    has_pixels : bool
        Whether a sample is a picture, which files, grids and reports show.
    supports_maps : bool
        Whether a detector can show where in a sample an anomaly is.
    supports_residuals : bool
        Whether the difference of two samples can be added to a third; categories cannot be added.
    has_fixed_size : bool
        Whether all prepared samples have the shape `sample_shape`, so that N samples are an array.
        False: they are `RaggedImages`, and `sample_shape` is the shape of a window.
    fits_values : bool
        Whether the values of the samples determine the scaling. Calibration samples must then take
        no part in `fit`, because they would lie within the range more often than new samples.
    has_files : bool
        Whether each sample may be a file, which may be unreadable and which a cache file replaces.
    file_formats : tuple of str
        Formats in which generated samples are written, the default first.
    training_defaults : TrainingDefaults
        Settings of a training that suit the samples.
    classes_remedy, duplicates_remedy : str
        How the user names the classes of samples, and what the user does about calibration samples
        that nearly equal training samples.
    max_fitting_samples : int
        Number of training samples on which a detection method is fitted.
    reading_chunk_size, scoring_chunk_size : int
        Number of samples in memory at once while samples are read, and while they are normalized.
    """

    modality: ClassVar[Modality]
    sample_type: ClassVar[SampleType]
    has_pixels: ClassVar[bool]
    supports_maps: ClassVar[bool]
    supports_residuals: ClassVar[bool]
    has_fixed_size: ClassVar[bool] = True
    fits_values: ClassVar[bool] = False
    has_files: ClassVar[bool]
    file_formats: ClassVar[tuple[str, ...]]
    training_defaults: ClassVar[TrainingDefaults]
    classes_remedy: ClassVar[str]
    duplicates_remedy: ClassVar[str]
    max_fitting_samples: ClassVar[int] = 5000
    reading_chunk_size: ClassVar[int] = 512
    scoring_chunk_size: ClassVar[int] = 512  # a multiple of the batch size of inference

    @classmethod
    @abstractmethod
    def fit(cls, dataset: Dataset, size: int | None = None, rows: np.ndarray | None = None) -> Self:
        """Derive the preprocessing from the training samples.

        Parameters
        ----------
        dataset : Dataset
            The training samples.
        size : int or None
            Side of square samples in pixels; None (default): from the data. Ignored for rows.
        rows : ndarray or None
            Indices of the samples to fit on; None (default): all. Ignored for images.

        Raises
        ------
        DataError
            The samples are of another modality or cannot be used, or `size` is impossible.
        """

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample that the networks read and generate."""

    @property
    def side(self) -> int | None:
        """Side of the square samples of the networks in pixels; None if samples have no pixels."""
        return None

    @property
    def original_shape(self) -> tuple[int, int] | None:
        """Height and width of all training samples in pixels; None if different or no pixels."""
        return None

    @property
    def pixel_type(self) -> str | None:
        """Type of the pixels of original samples, such as "uint8"; None without pixels."""
        return None

    @property
    def groups(self) -> tuple[int, ...]:
        """Sizes of one-hot groups at the end of a sample; empty without categories."""
        return ()

    @property
    def target_name(self) -> str | None:
        """Name of the table column that holds the classes; None if there is no such column."""
        return None

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user about the training data; empty by default."""
        return []

    @abstractmethod
    def describe(self) -> str:
        """Return size and kind of prepared samples for reports, such as "32x32 gray"."""

    @abstractmethod
    def prepare_all(self, samples: Any) -> np.ndarray:
        """Convert N samples to one array that can be stored, before normalization.

        Parameters
        ----------
        samples : ndarray, sequence of ndarray, or Table
            The `images` of a dataset.

        Raises
        ------
        DataError
            A sample does not fit the preprocessing.
        """

    def prepare_samples(self, samples: Any) -> np.ndarray | RaggedImages:
        """Convert N samples to the form that a detector scores, before normalization.

        Parameters
        ----------
        samples : ndarray, sequence of ndarray, or Table
            The `images` of a dataset.

        Returns
        -------
        ndarray or RaggedImages
            `[N, *sample_shape]`; `RaggedImages` unless `has_fixed_size`.

        Raises
        ------
        DataError
            The samples are of another modality, or a sample does not fit the preprocessing.
        """
        self.check_samples(samples)
        return self.prepare_all(samples)

    def check_samples(self, samples: Samples) -> None:
        """Raise DataError unless samples are of the type `sample_type`."""
        given = type_of_samples(samples)
        if given != self.sample_type:
            raise DataError(
                f"got {_GIVEN[given]}, but the model is one of {plural(self.sample_type)}"
                f"{_HINTS.get(given, '')}"
            )

    def detector_samples(self, stored: np.ndarray, dataset: Dataset) -> np.ndarray | RaggedImages:
        """Return the stored samples of a dataset in the form that a detector scores.

        Parameters
        ----------
        stored : ndarray
            The result of `prepare_all` for the samples of the dataset.
        dataset : Dataset
            The dataset, whose image headers are read unless `has_fixed_size`.
        """
        return stored

    def training_samples(self, prepared: PreparedSamples) -> tuple[TrainingSamples, RowsOf]:
        """Return the samples that the networks train on: prepared samples, or windows of them.

        Parameters
        ----------
        prepared : ndarray, ConcatRows or RaggedImages
            Prepared samples.

        Returns
        -------
        samples : ndarray, ConcatRows or SlidingWindows
            The samples of the networks.
        rows_of : callable
            Maps an array of indices in `prepared` to the indices of the samples made from them, for
            example from the training split of images to the windows of these images.

        Raises
        ------
        DataError
            `prepared` are samples of different sizes although `has_fixed_size`, or the reverse.
        """
        if isinstance(prepared, RaggedImages):
            raise DataError("got images of different sizes, but the model takes images of one size")
        return prepared, np.asarray

    def is_blank(self, sample: np.ndarray) -> bool:
        """Whether a prepared sample holds no information: an image of a single color."""
        return False

    @abstractmethod
    def normalize(self, prepared: np.ndarray) -> np.ndarray:
        """Scale prepared samples to the float32 range of the networks.

        Training samples become -1 to 1. Values beyond the training range stay outside, and are
        clipped only beyond -1000 and 1000.
        """

    @abstractmethod
    def denormalize(self, x: np.ndarray) -> np.ndarray:
        """Scale values of the networks back to prepared samples; values are clipped and rounded."""

    @abstractmethod
    def to_original_size(self, prepared: np.ndarray) -> np.ndarray:
        """Convert prepared samples to the size of the training samples, where it is known."""

    def resize_map(self, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Resize the anomaly map of one prepared sample to the original sample, `[H, W]`.

        Averaging and interpolation never raise the maximum, so a threshold stays valid.

        Parameters
        ----------
        raw : ndarray [S, S, 1] or [h, w, 1]
            Map of one sample; `[h, w, 1]` unless `has_fixed_size`.
        shape : tuple (H, W) or (H, W, C)
            Shape of the original sample.

        Raises
        ------
        DataError
            The samples do not support maps.
        """
        raise DataError(f"{plural(self.sample_type)} have no anomaly maps")

    @abstractmethod
    def whole_samples(self, dataset: Dataset) -> "Preprocessing":
        """Return a preprocessing whose samples are arrays of whole samples of one shape.

        Parameters
        ----------
        dataset : Dataset
            The training samples, to which another preprocessing is fitted unless `has_fixed_size`.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the preprocessing as JSON-able values, for `preprocessing.json` of a bundle."""

    @classmethod
    @abstractmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild the preprocessing of a bundle from the values that `to_dict` returned.

        Raises
        ------
        DataError
            A field is missing, unknown, or of the wrong type or value.
        """

    def identifying_values(self) -> Mapping[str, Any] | None:
        """Return JSON-able values that identify the training data beside the prepared samples.

        None by default: the prepared samples identify the data.
        """
        return None

    def require_images(
        self, message: str = "the model is not one of images"
    ) -> "ImagePreprocessing":
        """Return this object for code that handles images only, such as picture files.

        Raises
        ------
        DataError
            The samples are not images; the text is `message`.
        """
        raise DataError(message)

    def require_rows(
        self, message: str = "the model is not one of rows of a table"
    ) -> "TabularPreprocessing":
        """Return this object for code that handles rows of tables only, such as CSV files.

        Raises
        ------
        DataError
            The samples are not rows; the text is `message`.
        """
        raise DataError(message)
