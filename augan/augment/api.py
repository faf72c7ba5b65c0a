"""Augmentation of a data set: folders of generated images or rows, each with a manifest."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from augan.augment.filters.acceptance import AcceptanceStats, generator_warnings
from augan.augment.filters.criteria import UNCHECKED
from augan.augment.filters.filter import FilterContext
from augan.augment.generation import ChunkGenerator, ProgressCallback, RejectionSampler
from augan.augment.manifest import (
    ManifestHeader,
    ManifestRow,
    ResumeLog,
    unmanaged_files,
    write_manifest,
)
from augan.augment.methods.prior import GeneratorSampler
from augan.augment.request import (
    AugmentRequest,
    check_positive,
    class_folder,
    default_out,
    parse_request,
)
from augan.augment.worker import CandidateWorker, generate_chunk
from augan.augment.writers import PreviewImages, open_writer, resolve_format
from augan.bundle import Bundle
from augan.data.dataset import Classes
from augan.data.modalities.registry import sample_type_of
from augan.io.atomic import atomic_folder, check_replaceable, resumable_folder
from augan.io.layout import SUMMARY_FILE
from augan.parallel.executor import open_executor
from augan.training.signals import StopSignal, stop_on_signals


@dataclass(frozen=True)
class AugmentationResult:
    """Summary of the samples that were written.

    Attributes
    ----------
    out
        The folder.
    num_samples, classes
        The number of images or rows, and the names of their classes.
    preview
        The first images, or None for rows.
    acceptance
        Accepted and rejected candidates of each class; empty from `generate_folder`.
    """

    out: Path
    num_samples: int
    classes: tuple[str, ...]
    preview: PreviewImages | None
    sample_type: str = "image"
    format: str = "png"
    acceptance: tuple[AcceptanceStats, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able summary."""
        summary = {
            "out": str(self.out),
            "num_samples": self.num_samples,
            "classes": list(self.classes),
            "format": self.format,
        }
        if self.acceptance:
            summary["acceptance"] = [stats.to_dict() for stats in self.acceptance]
        summary["warnings"] = list(self.warnings)
        return summary


def ignore_progress(class_name: str, accepted: int, requested: int) -> None:
    """Progress callback that does nothing."""


def augment_folder(
    bundle: Bundle,
    classes: Classes = (),
    n: int | None = None,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    method: str = "auto",
    transform: str | None = None,
    format: str | None = None,
    training_data: str | Path | None = None,
    filtered: bool = True,
    balance: bool = False,
    balance_to: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_accepted: ProgressCallback = ignore_progress,
) -> AugmentationResult:
    """Write images of classes to `out/<class>/`, or rows, with `manifest.csv` and `summary.json`.

    Candidates are generated one after another, and those that pass the filters are written. So the
    same seed gives the same first samples whatever `n`. An interrupted call resumes when it is
    repeated, and writes the same files.

    Parameters
    ----------
    bundle : Bundle
        A bundle whose generator knows classes.
    classes : str, int, or sequence of them
        Classes by name or, if no class has the name, by index. With `balance`, none means all.
    n : int or None
        Images or rows to write of each class, at least 1; None with `balance`.
    out : path or None
        New folder, or the folder of an earlier call, which is replaced. None: a folder next to the
        bundle, named after the options.
    seed : int
        The same seed and index give the same image or row, whatever n.
    method : str
        "sample", "interpolate", "transfer" or "auto", see `augan.augment.methods.registry`.
    transform : str or None
        Transform that is applied to the images, see `augan.augment.transforms`; None: that of the
        bundle's configuration.
    format : str or None
        "png" or "npz" for images, "csv" for rows; None: "png" or "csv". The last two formats are
        one file, `synthetic.npz` or `synthetic.csv`.
    training_data : path, str or None
        The bundle's training data, which the filters compare with; None: the location in the
        bundle. If the data no longer exists, only the classifier filters, and a warning says so.
    filtered : bool
        Whether candidates are rejected that are of another class, implausible, near copies of
        training samples, or duplicates.
    balance : bool
        Fill up each class to the size of the largest class, or to `balance_to`, instead of `n`.
    balance_to : int or None
        With `balance`: the size of each class, training samples included.
    workers : int or None
        Processes on this machine that generate candidates and share its cores; requires the extra
        `augan[dask]`. Scripts that use workers must call this below
        `if __name__ == "__main__":`.
    scheduler : str or None
        Address of a Dask scheduler, instead of `workers`. Its workers must see the bundle and the
        training data at the same paths.
    on_accepted : callable
        Called after each chunk with the class name, and the numbers of accepted and of requested
        samples.

    Raises
    ------
    RefusedError
        Too few candidates of a class pass the filters. Nothing is written.
    ConfigError
        An argument is invalid, arguments do not go together, or the extra is missing.
    DataError
        There is no such class, the class has one sample only, `out` has files that augan did not
        write, or the training data has changed.
    WorkerError
        There is no scheduler, or the workers die.
    RunInterruptedError
        The process received SIGINT or SIGTERM; the same call resumes.
    """
    request = parse_request(
        bundle,
        classes,
        n,
        out,
        seed=seed,
        method=method,
        transform=transform,
        format=format,
        filtered=filtered,
        balance=balance,
        balance_to=balance_to,
    )
    check_replaceable(request.out.absolute(), unmanaged_files)  # before processes start
    with open_executor(workers, scheduler) as executor:
        return run_request(
            request,
            training_data,
            lambda worker: partial(executor.map, generate_chunk, worker),
            on_accepted,
        )


def run_request(
    request: AugmentRequest,
    training_data: str | Path | None,
    chunk_generator: Callable[[CandidateWorker], ChunkGenerator],
    on_accepted: ProgressCallback = ignore_progress,
) -> AugmentationResult:
    """Write the samples of a request.

    Parameters
    ----------
    chunk_generator : callable
        The worker of this process -> a function that generates the requested chunks.
    """
    from threadpoolctl import threadpool_limits

    with (
        stop_on_signals() as stop,
        resumable_folder(request.out, unmanaged_files) as tmp_dir,
        # Some candidates are compared while others are generated: more threads of both kinds than
        # cores would wait for each other.
        threadpool_limits(1, user_api="blas"),
    ):
        worker = CandidateWorker.create(
            request.sampler, request.method, request.filtered, training_data
        )
        return _write_folder(tmp_dir, request, worker, chunk_generator(worker), stop, on_accepted)


def _write_folder(
    tmp_dir: Path,
    request: AugmentRequest,
    worker: CandidateWorker,
    generate_chunks: ChunkGenerator,
    stop: StopSignal,
    on_accepted: ProgressCallback,
) -> AugmentationResult:
    header, preprocessing = request.header, request.sampler.preprocessing
    class_names, context = request.sampler.class_names, worker.context
    has_training_data = {"training data found": context.reference is not None}
    resume_log = ResumeLog(tmp_dir, request.identity() | has_training_data)
    writer = open_writer(
        request.format,
        tmp_dir,
        preprocessing,
        class_names=class_names,
        transform=header.transform,
        seed=header.seed,
    )
    warnings = (*context.warnings, *generator_warnings(request.bundle))
    sampler = RejectionSampler(
        worker, generate_chunks, writer, resume_log, header.seed, stop, on_accepted
    )
    acceptance = tuple(
        sampler.sample_class(index, n, class_folder(class_names[index]))
        for index, n in request.counts.items()
    )
    writer.close()
    write_manifest(tmp_dir, sampler.rows, header)
    _write_summary(tmp_dir / SUMMARY_FILE, request, context, warnings, acceptance)
    resume_log.close()
    return AugmentationResult(
        request.out,
        len(sampler.rows),
        tuple(stats.class_name for stats in acceptance),
        writer.preview(),
        preprocessing.sample_type,
        request.format,
        acceptance,
        warnings,
    )


def _write_summary(
    path: Path,
    request: AugmentRequest,
    context: FilterContext,
    warnings: tuple[str, ...],
    acceptance: tuple[AcceptanceStats, ...],
) -> None:
    summary = {
        **asdict(request.header),
        "filtered": request.filtered,
        "classifier_accuracy": context.classifier_accuracy,
        "warnings": warnings,
        "classes": [stats.to_dict() for stats in acceptance],
    }
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def generate_folder(
    bundle: Bundle,
    n: int,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    format: str | None = None,
) -> AugmentationResult:
    """Write `n` unfiltered images or rows to `out`, classes (if any) as frequent as in training.

    Parameters are those of `augment_folder`.
    """
    bundle.require("generator")  # all options are checked before a network is built
    target = default_out(bundle, out, f"generate-n{check_positive(n)}-seed{seed}")
    sample_type = sample_type_of(bundle.preprocessing)
    format = resolve_format(format, sample_type)
    check_replaceable(target.absolute(), unmanaged_files)
    sampler = GeneratorSampler(bundle)
    class_names = sampler.class_names if sampler.conditional else []
    rows: list[ManifestRow] = []
    with atomic_folder(target, unmanaged_files) as tmp_dir:
        writer = open_writer(
            format, tmp_dir, sampler.preprocessing, class_names=class_names, seed=seed
        )
        for samples, classes in sampler.sample_by_frequency(n, seed):
            indices = np.arange(len(rows), len(rows) + len(samples))
            files = writer.add(samples, classes, indices, ".")
            names = [class_names[c] if class_names else "" for c in classes]
            rows += [
                ManifestRow(file, name, int(index), UNCHECKED)
                for file, name, index in zip(files, names, indices)
            ]
        writer.close()
        header = ManifestHeader.from_bundle(bundle, seed, "sample", "none")
        write_manifest(tmp_dir, rows, header)
    return AugmentationResult(
        target,
        len(rows),
        tuple(class_names),
        writer.preview(),
        sample_type,
        format,
        warnings=generator_warnings(bundle),
    )
