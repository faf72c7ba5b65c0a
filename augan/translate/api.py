"""Translation of the images of a folder: files with the same names, a manifest and a summary."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from augan.bundle import Bundle, as_bundle
from augan.checks import check_out
from augan.data.files import ImageSearch, search_input
from augan.data.modalities.images import ImagePreprocessing, join_values
from augan.data.modalities.tables import is_table_file
from augan.exceptions import ConfigError, DataError, RunInterruptedError
from augan.io.atomic import check_replaceable, resumable_folder
from augan.io.hashing import sha256_bytes, sha256_file
from augan.io.images import IMAGE_SUFFIXES, png_bytes, read_image
from augan.io.layout import SUMMARY_FILE
from augan.io.manifest import JobLog, unmanaged_except_listed, write_rows
from augan.progress import Progress
from augan.training.signals import StopSignal, stop_on_signals
from augan.translate.request import TranslationRequest, check_translation_request
from augan.translate.translator import Translator

COLUMNS = ("file", "sha256", "source", "direction", "seed", "bundle", "data")
PNG_TEXT = {"synthetic": "true", "translated": "true"}  # stored in every written image
MAX_CHUNK_PIXELS = 2**24  # of images that are read and translated together
MAX_CHUNK_IMAGES = 64
_LOGGED = {"source", "file", "sha256", "reason", "values"}  # keys of an entry of the log

OnTranslated = Callable[[int, int], None]
unmanaged_files = unmanaged_except_listed(COLUMNS)


@dataclass(frozen=True)
class TranslationResult:
    """Report on a folder of translated images: result of `translate_folder`.

    Attributes
    ----------
    out : Path
        The folder with the images, `manifest.csv` and `summary.json`.
    request : TranslationRequest
    num_images : int
        Number of images written.
    skipped : tuple of (str, str)
        Name of each image that was not translated, and why.
    warnings : tuple of str
        Sentences about the images and the translation.
    pairs : tuple of (str, str)
        Paths of the first images, and of their translations.
    not_looked_at : tuple of (str, str)
        Name of each file of the folder that is no image, and why.
    """

    out: Path
    request: TranslationRequest
    num_images: int
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    not_looked_at: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able values, without the first images."""
        return {
            "out": str(self.out),
            **self.request.to_dict(),
            "num_images": self.num_images,
            "skipped": [list(pair) for pair in self.skipped],
            "not_looked_at": [
                {"path": path, "reason": reason} for path, reason in self.not_looked_at
            ],
            "warnings": list(self.warnings),
        }


def translate_folder(
    bundle: Bundle | str | Path,
    request: TranslationRequest,
    out: str | Path | None = None,
    *,
    verbose: int = 1,
    on_translated: OnTranslated | None = None,
) -> TranslationResult:
    """Translate the images of a folder to the look of the other camera, and write them as PNG.

    The files keep their names and folders; `a/1.jpg` becomes `a/1.png`. Each file says in its text
    chunks that it is translated. `manifest.csv` lists the file, its SHA-256 and its source,
    `summary.json` the request and the images that could not be read. A call that was interrupted
    resumes when the same call is repeated, and the files are the same as without the interruption.

    Parameters
    ----------
    bundle : Bundle or path
        A bundle with a translator, its file or its run folder.
    request : TranslationRequest
        The images, the direction and the seed.
    out : path or None
        New folder, or the folder of an earlier call, which is replaced. None: a folder next to the
        bundle, named after the images.
    verbose : int
        0: no progress is shown on standard error.
    on_translated : callable or None
        Called with the number of finished images and the number of all images, in place of the
        progress on standard error.

    Returns
    -------
    TranslationResult

    Raises
    ------
    BundleError
        The bundle has no translator, or none in this direction; or `out` is None and the bundle was
        never saved.
    ConfigError
        `request` is no request, or `out` is in the folder of the images.
    DataError
        There is no image, none can be translated, or `out` has files that augan did not write.
    RunInterruptedError
        The process received SIGINT or SIGTERM; the same call resumes.

    Examples
    --------
    A folder of images of the old camera::

        translate_folder("runs/parts", TranslationRequest("old/dent"), "translated/dent")
    """
    bundle, request = as_bundle(bundle), check_translation_request(request)
    bundle.require("translator")
    if request.direction == "new-to-old":
        bundle.require("back_translator")
    images = Path(request.images)
    if is_table_file(images):
        raise DataError(f"{images} is a table, but a translator takes images; give a folder")
    root = images.parent if images.is_file() else images
    found = search_input(images, request.follow_links)
    folder = check_out(out)
    if folder is not None and folder.resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"{folder} is in the folder of the images to translate, so that the next call would "
            "translate the translations; give a folder elsewhere with `out`"
        )
    target = (folder or _default_out(bundle, request)).absolute()
    check_replaceable(target, unmanaged_files)
    with (
        stop_on_signals() as stop,
        resumable_folder(target, unmanaged_files) as tmp_dir,
        Progress(verbose) as progress,
    ):
        job = _TranslationJob(bundle, request, root, found, tmp_dir)
        return job.run(target, stop, on_translated or progress.on_translated)


def _default_out(bundle: Bundle, request: TranslationRequest) -> Path:
    """Return a folder next to the bundle, such as `translate-dent-seed0`."""
    name = Path(request.images).resolve().name
    parts = ["translate", name]
    parts += [f"seed{request.seed}"] if request.direction == "old-to-new" else ["new-to-old"]
    return bundle.saved_path().parent / "-".join(parts)


def output_names(names: Sequence[str]) -> dict[str, str]:
    """Return the file of the translation of each image, relative to the result folder.

    PNG files keep their name. In others, `.png` replaces the suffix of an image, or is appended to
    a name of another kind, such as a page. If two images would have one file, it is appended to the
    name of the later image.

    Parameters
    ----------
    names : sequence of str
        POSIX paths relative to the folder of the images, all different.

    Examples
    --------
    >>> output_names(["a/1.jpg", "a/2.jpg", "a/2.png", "b.tif#2"])
    {'a/2.png': 'a/2.png', 'a/1.jpg': 'a/1.png', 'a/2.jpg': 'a/2.jpg.png', 'b.tif#2': 'b.tif#2.png'}
    """
    files = {name: name for name in names if name.lower().endswith(".png")}
    taken = set(files.values())
    for name in names:
        if name in files:
            continue
        path = PurePosixPath(name)
        has_suffix = path.suffix.lower() in IMAGE_SUFFIXES
        file = path.with_suffix(".png").as_posix() if has_suffix else f"{name}.png"
        if file in taken:
            file = f"{name}.png"
        while file in taken:
            file = f"{file}.png"
        files[name] = file
        taken.add(file)
    return files


class _TranslationJob:
    """Translation of the images of a folder into a temporary folder that may be resumed.

    Parameters
    ----------
    bundle : Bundle
    request : TranslationRequest
    root : Path
        Folder of the images.
    found : ImageSearch
        The images, relative to `root`.
    folder : Path
        The temporary folder.
    """

    def __init__(
        self,
        bundle: Bundle,
        request: TranslationRequest,
        root: Path,
        found: ImageSearch,
        folder: Path,
    ) -> None:
        self.request, self.root, self.names, self.folder = request, root, found.names, folder
        self.files, self.found = output_names(found.names), found
        self.data = (bundle.data.fingerprint or "")[:12]
        self.bundle, self.bundle_id = bundle, bundle.bundle_id
        preprocessing = bundle.preprocessing
        if request.direction == "new-to-old":
            preprocessing = bundle.require_translation().preprocessing
        self.camera = preprocessing.require_images()
        identity = {
            "bundle": self.bundle.sha256,
            "direction": request.direction,
            "seed": request.seed,
            "images": str(root.resolve()),
            "names": found.names,
        }
        self.log = JobLog(folder, identity)
        self.done = dict(self._finished(self.log.entries))
        self.log.rewrite(list(self.done.values()))

    def run(self, target: Path, stop: StopSignal, on_translated: OnTranslated) -> TranslationResult:
        """Translate the images that are left, and write the manifest and the summary."""
        if len(self.done) < len(self.names):
            self._translate_rest(stop, on_translated)
        entries = [self.done[name] for name in self.names]
        written = [entry for entry in entries if entry["reason"] is None]
        skipped = tuple((e["source"], e["reason"]) for e in entries if e["reason"] is not None)
        if not written:
            name, reason = skipped[0]
            raise DataError(
                f"none of {len(entries)} images can be translated, for example {name}: {reason}; "
                "give images like those of the training"
            )
        shared = {
            "direction": self.request.direction,
            "seed": self.request.seed,
            "bundle": self.bundle_id,
            "data": self.data,
        }
        rows = ({k: e[k] for k in ("file", "sha256", "source")} | shared for e in written)
        write_rows(self.folder, COLUMNS, rows)
        result = TranslationResult(
            target,
            self.request,
            len(written),
            skipped,
            tuple(self._warnings(entries)),
            tuple((str(self.root / e["source"]), str(target / e["file"])) for e in written[:10]),
            tuple(self.found.not_looked_at),
        )
        text = json.dumps({**result.to_dict(), "bundle": self.bundle_id}, indent=2)
        (self.folder / SUMMARY_FILE).write_text(f"{text}\n", encoding="utf-8")
        self.log.close()
        return result

    def _translate_rest(self, stop: StopSignal, on_translated: OnTranslated) -> None:
        """Translate and write the images that are not in the log, a few at a time."""
        translator = Translator.from_bundle(self.bundle)
        before, after = translator.cameras(self.request.direction)
        rest = [name for name in self.names if name not in self.done]
        for chunk, failures in _read_chunks(self.root, rest, before):
            results = translator.translate_images(
                list(chunk.values()),
                list(chunk),
                direction=self.request.direction,
                seed=self.request.seed,
            )
            for name, result in zip(chunk, results):
                values = before.values_of(chunk[name])
                self._write(name, result, after, values)
            for name, reason in failures.items():
                entry = {"source": name, "file": "", "sha256": "", "reason": reason}
                self._record({**entry, "values": None})
            on_translated(len(self.done), len(self.names))
            if signal := stop():
                raise RunInterruptedError(
                    f"stopped by {signal} after {len(self.done):,} of {len(self.names):,} images; "
                    "repeat the same command to resume"
                )

    def _write(
        self,
        name: str,
        image: np.ndarray,
        camera: ImagePreprocessing,
        values: tuple[float, float] | None,
    ) -> None:
        """Write a translated image, and record it and the `values_of` its source in the log."""
        file = self.files[name]
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = camera.to_uint8(image) if camera.becomes_uint8 else image
        content = png_bytes(pixels, PNG_TEXT, file)
        # Not atomic: an image is logged after its file, and incomplete files are written again.
        path.write_bytes(content)
        digest = sha256_bytes(content)
        entry = {"source": name, "file": file, "sha256": digest, "reason": None}
        self._record({**entry, "values": values})

    def _record(self, entry: dict[str, Any]) -> None:
        """Add an entry of a finished image to the log."""
        self.done[entry["source"]] = entry
        self.log.append(entry)

    def _finished(self, entries: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the valid entries of an earlier call whose files are complete."""
        for entry in entries:
            if not isinstance(entry, dict) or set(entry) != _LOGGED:
                return
            name = entry["source"]
            if self.files.get(name) is None:
                return
            if entry["reason"] is None and (
                entry["file"] != self.files[name]
                or not (self.folder / self.files[name]).is_file()
                or sha256_file(self.folder / self.files[name]) != entry["sha256"]
            ):
                continue
            yield name, entry

    def _warnings(self, entries: Sequence[dict[str, Any]]) -> Iterator[str]:
        """Yield the warnings about images that were left out, and files that got another name."""
        yield from self.found.warnings
        values = reduce(join_values, (entry["values"] for entry in entries), None)
        if (other_range := self.camera.describe_other_range(values)) is not None:
            yield other_range
        renamed = [
            name
            for name in self.names
            if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
            and PurePosixPath(self.files[name]).stem != PurePosixPath(name).stem
        ]
        if renamed:
            yield (
                f"{len(renamed)} images have the name of a PNG image next to them, for example "
                f"{renamed[0]}: their suffix is part of the new name, {self.files[renamed[0]]}"
            )


def _read_chunks(
    root: Path, names: Sequence[str], before: ImagePreprocessing
) -> Iterator[tuple[dict[str, np.ndarray], dict[str, str]]]:
    """Yield images in small groups: name -> pixels, and name -> reason of unreadable images."""
    images: dict[str, np.ndarray] = {}
    failures: dict[str, str] = {}
    for name in names:
        try:
            images[name] = before.convert(read_image(root / name))
        except DataError as error:
            failures[name] = getattr(error, "reason", str(error))
        count = len(images) + len(failures)
        num_pixels = sum(image.shape[0] * image.shape[1] for image in images.values())
        if count >= MAX_CHUNK_IMAGES or num_pixels >= MAX_CHUNK_PIXELS:
            yield images, failures
            images, failures = {}, {}
    if images or failures:
        yield images, failures
