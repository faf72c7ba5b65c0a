"""Search for image files below a folder; files that are no images are listed with the reason."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from augan.exceptions import DataError
from augan.io.formats import EXTRA_FORMATS, FORMATS_EXTRA, READABLE_FORMATS, inspect_file
from augan.io.images import IMAGE_SUFFIXES, list_pages, read_image
from augan.io.layout import RESULT_MARKERS, RUN_FILE

NotLookedAt = tuple[tuple[str, str], ...]

# Folders of masks. A folder with one of the second names may also be a class, such as faces with a
# mask, so the images in it decide.
MASK_FOLDERS = frozenset({"ground_truth", "ground-truth", "ground truth", "groundtruth"})
POSSIBLE_MASK_FOLDERS = frozenset({"gt", "mask", "masks", "segmentation", "segmentations"})
NUM_PROBED_MASKS = 4
MAX_MASK_VALUES = 32  # different pixel values of an image that counts as a mask
MASK_SHARE = (
    0.95  # of the pixels of a mask lie in two of 16 ranges of gray, such as black and white
)
MASK_REASON = "it is in a folder of masks"
LINK_REASON = (
    "it is a link to a folder, which is not followed; --follow-links (follow_links=True in Python) "
    "follows it"
)
LOOP_REASON = "it is a link to a folder that contains it"
NUM_SHOWN = 3  # files in a message


@dataclass(frozen=True)
class ImageSearch:
    """What is below a folder: images, and files that are not looked at.

    Attributes
    ----------
    names : list of str
        Images as POSIX paths relative to the folder, sorted. The second page of a file of several
        pages is `stack.tif#2`.
    not_looked_at : list of (name, reason)
        Every other file, sorted, and links to folders (their name ends in "/") that are not
        followed. Hidden files and folders, and results of augan, are left out.
    first_frames : list of str
        Images of which the first of several frames is read.
    pages_left_out : list of str
        Pages of TIFF files that are no images of their own, as `stack.tif#3 (reduced)`.
    """

    names: list[str] = field(default_factory=list)
    not_looked_at: list[tuple[str, str]] = field(default_factory=list)
    first_frames: list[str] = field(default_factory=list)
    pages_left_out: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """Sentences on the frames and pages that are not read."""
        warnings = []
        if self.first_frames:
            warnings.append(
                f"{_count(len(self.first_frames), 'image')} with several frames: the first frame "
                f"is read ({_shown(self.first_frames)})"
            )
        if self.pages_left_out:
            warnings.append(
                f"{_count(len(self.pages_left_out), 'page')} left out: smaller copies or masks of "
                f"other pages, or too many ({_shown(self.pages_left_out)})"
            )
        return warnings

    def describe_nothing(self) -> str:
        """Return what there is instead of images, as the end of a message; "" for nothing."""
        if not self.not_looked_at:
            return ""
        return f"; not looked at: {shown_files(self.not_looked_at)}"


def shown_files(files: Sequence[tuple[str, str]]) -> str:
    """Return the first files with their reasons as text, such as `a.heic (it is ...), 3 more`."""
    shown = [f"{name} ({reason})" for name, reason in files[:NUM_SHOWN]]
    more = len(files) - len(shown)
    return ", ".join([*shown, f"{more} more"] if more else shown)


def describe_not_looked_at(files: Sequence[tuple[str, str]]) -> str:
    """Return the sentence that names and counts the files that were not looked at."""
    verb = "was" if len(files) == 1 else "were"
    return f"{_count(len(files), 'file')} {verb} not looked at: {shown_files(files)}"


def expected_formats() -> str:
    """Return the formats that a folder of images may hold, for a message."""
    return f"{READABLE_FORMATS} (and {EXTRA_FORMATS} with {FORMATS_EXTRA})"


def _count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _shown(names: Sequence[str]) -> str:
    """Return the first names as text."""
    more = len(names) - NUM_SHOWN
    return ", ".join([*names[:NUM_SHOWN], f"{more} more"] if more > 0 else names)


def find_images(folder: str | Path, *, follow_links: bool = False) -> list[str]:
    """List all images below a folder, see `search_images`.

    Returns
    -------
    list of str
        POSIX paths relative to `folder`, sorted.

    Raises
    ------
    DataError
        The folder, or a folder in it, cannot be searched.
    """
    return search_images(folder, follow_links=follow_links).names


def search_images(folder: str | Path, *, follow_links: bool = False) -> ImageSearch:
    """Search a folder for images to train on or to score.

    The content of a file decides whether it is an image. A file with the ending of an image counts
    as one even if it is damaged, so that its reading fails with the reason. Links to files are
    followed.

    Parameters
    ----------
    folder : path-like
        The folder; it may itself hold results or masks.
    follow_links : bool
        Whether links to folders are searched too, except those that would form a circle. Default:
        False.

    Raises
    ------
    DataError
        The folder, or a folder in it, cannot be searched.
    """
    folder = Path(folder)
    result = ImageSearch()
    for parent, files in _walk(folder, follow_links, result):
        for name in files:
            if not name.startswith("."):
                _add_file(result, folder, parent / name)
    for found in (result.names, result.not_looked_at, result.first_frames, result.pages_left_out):
        found.sort()
    # Pages follow their numbers, not the texts of the numbers.
    result.names.sort(key=_page_order)
    return result


def search_input(images: Path, follow_links: bool = False) -> ImageSearch:
    """Return the images of a folder, see `search_images`, or those in one file: its pages, or it.

    Raises
    ------
    DataError
        There is no such folder or file, or the folder contains no image.
    """
    if images.is_file():
        pages = list_pages(images)
        found = ImageSearch([f"{images.name}#{number}" for number in pages.numbers])
        if not found.names:
            found.names.append(images.name)
        if pages.has_more_frames:
            found.first_frames.append(images.name)
        found.pages_left_out.extend(
            f"{images.name}#{page} ({kind})" for page, kind in pages.left_out
        )
        return found
    if not images.is_dir():
        raise DataError(
            f"there is no folder or image {images}; give a folder of images, or one image"
        )
    found = search_images(images, follow_links=follow_links)
    if not found.names:
        raise DataError(
            f"there is no image below {images}; expected {expected_formats()}"
            f"{found.describe_nothing()}"
        )
    return found


def _page_order(name: str) -> tuple[str, int]:
    """Return the key that sorts names, and the pages of one file by number."""
    base, mark, number = name.rpartition("#")
    return (base, int(number)) if mark and number.isdecimal() else (name, 0)


def _walk(
    folder: Path, follow_links: bool, result: ImageSearch
) -> Iterator[tuple[Path, list[str]]]:
    """Yield every folder to search with the names of its files.

    Folders that are not searched are added to `result`.
    """
    # Real paths of the folders above each folder, and its own: a link to one of them is a circle.
    above = {str(folder): frozenset({os.path.realpath(folder)})}
    walk = os.walk(folder, onerror=raise_unsearchable, followlinks=follow_links)
    for parent, subfolders, files in walk:
        chain = above.pop(parent)
        kept = []
        for name in sorted(subfolders):
            path = os.path.join(parent, name)
            if name.startswith("."):
                continue
            reason = _unsearched_reason(path, follow_links, chain)
            if reason is None:
                kept.append(name)
                above[path] = chain | {os.path.realpath(path)} if follow_links else chain
            elif reason:
                _leave_out(result, folder, Path(path), reason)
        subfolders[:] = kept
        yield Path(parent), files


def _unsearched_reason(path: str, follow_links: bool, chain: frozenset[str]) -> str | None:
    """Return why a subfolder is not searched; None if it is searched, "" if nobody need know.

    `chain` holds the real paths of the folders above.
    """
    if is_result_folder(path):
        return ""
    if os.path.islink(path):
        if not follow_links:
            return LINK_REASON
        if os.path.realpath(path) in chain:
            return LOOP_REASON
    return MASK_REASON if is_mask_folder(path) else None


def _leave_out(result: ImageSearch, folder: Path, path: Path, reason: str) -> None:
    """Add a folder that is not searched to the result; of a folder of masks, every file."""
    if reason != MASK_REASON:
        result.not_looked_at.append((f"{path.relative_to(folder).as_posix()}/", reason))
        return
    for parent, _, files in os.walk(path):
        names = sorted(name for name in files if not name.startswith("."))
        result.not_looked_at.extend(
            (Path(parent, name).relative_to(folder).as_posix(), reason) for name in names
        )


def _add_file(result: ImageSearch, folder: Path, path: Path) -> None:
    """Add one file to the result: as an image, as its pages, or as a file that is left out."""
    name = path.relative_to(folder).as_posix()
    content = inspect_file(path)
    if content.format is None and path.suffix.lower() not in IMAGE_SUFFIXES:
        result.not_looked_at.append((name, content.reason))
        return
    if content.format not in ("TIFF", "DICOM", "GIF", "HEIC") and not content.is_animated:
        result.names.append(name)
        return
    pages = list_pages(path)
    result.names.extend(f"{name}#{number}" for number in pages.numbers)
    if not pages.numbers:
        result.names.append(name)
    if pages.has_more_frames:
        result.first_frames.append(name)
    result.pages_left_out.extend(f"{name}#{number} ({kind})" for number, kind in pages.left_out)


def raise_unsearchable(error: OSError) -> None:
    """Raise DataError for a folder that cannot be listed; a handler for `os.walk`."""
    # By default os.walk skips such folders, and augan would train on the accessible images only.
    raise DataError(
        f"cannot search the folder {error.filename}: {error.strerror}; make it readable, or move "
        "it elsewhere"
    ) from error


def is_result_folder(path: str | Path) -> bool:
    """Whether a folder holds results of augan: a run at any stage, a detection or an evaluation."""
    try:
        files = set(os.listdir(path))
        if not files.isdisjoint(RESULT_MARKERS):
            return True
        # A file of this name may be the user's: only a training records its data and its split.
        record = json.loads(Path(path, RUN_FILE).read_bytes()) if RUN_FILE in files else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and {"data", "split"} <= record.keys()


def is_mask_folder(path: str | Path) -> bool:
    """Whether a folder holds masks of other images, by its name and, if in doubt, by its images.

    Images are masks if nearly all of their pixels have one of two grays, or one of a few values.
    """
    name = Path(path).name.casefold()
    if name in MASK_FOLDERS:
        return True
    if name not in POSSIBLE_MASK_FOLDERS:
        return False
    probed = list(_probe(Path(path)))
    return bool(probed) and all(_is_mask(pixels) for pixels in probed)


def _probe(folder: Path) -> Iterator[np.ndarray]:
    """Yield up to `NUM_PROBED_MASKS` readable images below a folder."""
    count = 0
    for parent, subfolders, files in os.walk(folder):
        subfolders.sort()
        for name in sorted(files):
            if count == NUM_PROBED_MASKS:
                return
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                try:
                    pixels = read_image(Path(parent, name))
                except DataError:
                    continue
                count += 1
                yield pixels


def _is_mask(pixels: np.ndarray) -> bool:
    """Whether an image `[H, W, C]` has the pixel values of a mask."""
    gray = pixels.max(axis=2)
    if len(np.unique(gray)) <= MAX_MASK_VALUES and gray.size > 32 * MAX_MASK_VALUES:
        return True
    levels = np.bincount((gray >> (8 * gray.itemsize - 4)).ravel(), minlength=16)
    return bool(np.sort(levels)[-2:].sum() >= MASK_SHARE * gray.size and np.ptp(gray) > 0)
