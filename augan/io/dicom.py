"""DICOM files: gray values after slope and window, and color as RGB. Needs `augan[formats]`.

The values follow DICOM PS3.3 C.11: stored values, modality transformation (slope and intercept or
a table), window or VOI table, and inversion for MONOCHROME1. pydicom is imported when a file is
read.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

_DEFLATED = "1.2.840.10008.1.2.1.99"  # may unpack to a thousand times its size
# Where an enhanced file keeps an attribute of one frame.
_FRAME_SEQUENCES = {
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
    "VOILUTFunction": "FrameVOILUTSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}


@dataclass(frozen=True)
class DicomHeader:
    """Size and type of the frames of a DICOM file.

    Attributes
    ----------
    height, width : int
        Size of a frame in pixels.
    channels : int
        1 (gray) or 3 (color).
    dtype : str
        "uint8" for color and for gray of up to 8 bits, else "uint16".
    num_frames : int
        Number of frames.
    """

    height: int
    width: int
    channels: int
    dtype: str
    num_frames: int


def read_dicom_header(stream: BinaryIO) -> DicomHeader:
    """Read the size and the number of frames of a DICOM file, without its pixels.

    Raises
    ------
    ValueError
        The file has no pixels, or unpacks itself.
    """
    return _header(_read(stream, with_pixels=False))


def read_dicom(stream: BinaryIO, frame: int) -> np.ndarray:
    """Decode one frame of a DICOM file.

    Parameters
    ----------
    stream : file
        The file, opened for reading bytes.
    frame : int
        Position of the frame, from 0.

    Returns
    -------
    np.ndarray
        Gray `[H, W]` or color `[H, W, 3]`, uint8 or uint16. With a window (the first, if there are
        several) or a VOI table, gray values use the whole range of the type. Without one, a value
        is that after slope and intercept, minus the smallest possible one if that is negative.

    Raises
    ------
    ValueError
        The file has no such frame, its values do not fit whole numbers, or it is damaged.
    """
    from pydicom.pixels import pixel_array

    dataset = _read(stream, with_pixels=True)
    header = _header(dataset)
    if frame >= header.num_frames:
        raise ValueError(f"it has {header.num_frames} frames, not {frame + 1}")
    stored = pixel_array(dataset, index=frame)
    if header.channels == 3:
        return _color(dataset, stored)
    return _gray(dataset, stored, frame, header.dtype)


def _read(stream: BinaryIO, with_pixels: bool) -> "Dataset":
    """Parse a DICOM file; ValueError if the file is compressed as a whole."""
    from pydicom import dcmread
    from pydicom.filereader import _read_file_meta_info, read_preamble

    stream.seek(0)
    read_preamble(stream, force=False)
    if str(_read_file_meta_info(stream).get("TransferSyntaxUID", "")) == _DEFLATED:
        raise ValueError("it is a deflated DICOM file; save it in another transfer syntax")
    stream.seek(0)
    return dcmread(stream, stop_before_pixels=not with_pixels)


def _header(dataset: "Dataset") -> DicomHeader:
    """Return the header of a parsed file; ValueError if it describes no pixels."""
    height, width = dataset.get("Rows"), dataset.get("Columns")
    if not height or not width:
        raise ValueError("it is a DICOM file without an image")
    is_palette = dataset.get("PhotometricInterpretation") == "PALETTE COLOR"
    channels = 3 if is_palette or int(dataset.get("SamplesPerPixel", 1)) == 3 else 1
    bits = int(dataset.get("BitsStored", dataset.get("BitsAllocated", 16)))
    dtype = "uint8" if channels == 3 or bits <= 8 else "uint16"
    frames = int(dataset.get("NumberOfFrames") or 1)
    return DicomHeader(int(height), int(width), channels, dtype, frames)


def _color(dataset: "Dataset", pixels: np.ndarray) -> np.ndarray:
    """Return a color frame as uint8; ValueError for color of more than 8 bits."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        pixels = apply_color_lut(pixels, dataset)[..., :3]
        return (pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ValueError("it is a color image of 16 bits; save it with 8 bits for each color")
    return pixels


def _gray(dataset: "Dataset", stored: np.ndarray, frame: int, dtype: str) -> np.ndarray:
    """Return a gray frame after slope, window and inversion."""
    top = np.iinfo(dtype).max
    values = stored.astype(np.float64)
    lowest = 0.0
    slope = float(_attribute(dataset, "RescaleSlope", frame, 1))
    if dataset.get("ModalityLUTSequence"):
        from pydicom.pixels import apply_modality_lut

        values, slope = np.asarray(apply_modality_lut(stored, dataset), np.float64), 1.0
    else:
        intercept = float(_attribute(dataset, "RescaleIntercept", frame, 0))
        values = values * slope + intercept
        bits = int(dataset.BitsStored)
        is_signed = int(dataset.get("PixelRepresentation", 0)) == 1
        ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
        lowest = min(slope * end + intercept for end in ends)
    fraction = _window(dataset, values, frame)
    if fraction is None and dataset.get("VOILUTSequence"):
        from pydicom.pixels import apply_voi

        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        fraction = np.asarray(apply_voi(values.astype(np.int64), dataset)) / (2**bits - 1)
    if fraction is not None:
        pixels = np.rint(np.clip(fraction, 0, 1) * top)
    else:
        if abs(slope) < 1 and not slope.is_integer():
            raise ValueError(
                f"its values are in steps of {abs(slope):g} and it has no window, so whole numbers "
                "would lose them; save it with a window, or convert it to 16 bits"
            )
        pixels = np.clip(np.rint(values - min(lowest, 0.0)), 0, top)
    is_inverted = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    is_inverted = is_inverted or dataset.get("PresentationLUTShape") == "INVERSE"
    inverted: np.ndarray = top - pixels if is_inverted else pixels
    return inverted.astype(dtype)


def _window(dataset: "Dataset", values: np.ndarray, frame: int) -> np.ndarray | None:
    """Return values as fractions of the window, not clipped; None if the file has no window."""
    center, width = (_attribute(dataset, f"Window{name}", frame) for name in ("Center", "Width"))
    if center is None or width is None:
        return None
    center, width = float(center), float(width)
    function = str(_attribute(dataset, "VOILUTFunction", frame, "LINEAR"))
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _attribute(dataset: "Dataset", name: str, frame: int, default: Any = None) -> Any:
    """Return an attribute of one frame; of several values, the first."""
    value = dataset.get(name)
    if value is None:
        groups = []
        per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
        if frame < len(per_frame):
            groups.append(per_frame[frame])
        groups += dataset.get("SharedFunctionalGroupsSequence") or []
        for group in groups:
            items = group.get(_FRAME_SEQUENCES[name]) or []
            if items and items[0].get(name) is not None:
                value = items[0].get(name)
                break
    if value is not None and not isinstance(value, str) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    return default if value is None else value
