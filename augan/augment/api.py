"""Augmentation of a data set: folders of generated images or table rows, each with a manifest.

`augment_folder` generates samples of requested classes and filters the samples. `generate_folder`
generates unfiltered samples.
"""

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
from augan.augment.generator import GeneratorSampler
from augan.augment.job import AugmentJob, class_folder, default_out
from augan.augment.manifest import (
    ManifestHeader,
    ManifestRow,
    ResumeLog,
    unmanaged_files,
    write_manifest,
)
from augan.augment.methods.registry import PRIOR_SAMPLING
from augan.augment.request import AugmentRequest, check_augment_request, check_count
from augan.augment.worker import CandidateWorker, generate_chunk
from augan.augment.writers import PreviewImages, open_writer, resolve_format
from augan.bundle import Bundle, as_bundle
from augan.checks import check_seed_number
from augan.io.atomic import atomic_folder, check_replaceable, resumable_folder
from augan.io.layout import SUMMARY_FILE
from augan.parallel.executor import open_executor
from augan.progress import Progress
from augan.training.signals import StopSignal, stop_on_signals


@dataclass(frozen=True)
class AugmentationResult:
    """Report on a folder of generated samples: result of `augment_folder` and `generate_folder`.

    Attributes
    ----------
    out : Path
        The folder that holds the samples, the manifest and, from `augment_folder`, `summary.json`.
    num_samples : int
        Number of images or table rows written, over all classes.
    classes : tuple of str
        Names of the classes in the folder; empty for a generator without classes.
    method : str
        Name of the augmentation method, see `augan.augment.methods.registry`.
    preview : PreviewImages or None
        The first images of the first classes; None for table rows.
    sample_type : {"image", "row"}
    format : {"png", "npz", "csv"}
        File format of the samples.
    acceptance : tuple of AcceptanceStats
        Accepted and rejected candidates of each class; empty from `generate_folder`.
    warnings : tuple of str
        Sentences about checks that were not possible and about a generator of low quality.
    filtered : bool
        Whether candidates could be rejected; False from `generate_folder`, and without filters.
    """

    out: Path
    num_samples: int
    classes: tuple[str, ...]
    method: str
    preview: PreviewImages | None
    sample_type: str = "image"
    format: str = "png"
    acceptance: tuple[AcceptanceStats, ...] = ()
    warnings: tuple[str, ...] = ()
    filtered: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able values, without the preview and the sample type.

        `acceptance` is missing if no class was filtered by `augment_folder`.
        """
        summary = {
            "out": str(self.out),
            "num_samples": self.num_samples,
            "classes": list(self.classes),
            "method": self.method,
            "format": self.format,
        }
        if self.acceptance:
            summary["acceptance"] = [stats.to_dict() for stats in self.acceptance]
        summary["warnings"] = list(self.warnings)
        return summary


def augment_folder(
    bundle: Bundle | str | Path,
    request: AugmentRequest,
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    verbose: int = 1,
) -> AugmentationResult:
    """Generate images or table rows of chosen classes and write accepted samples to a folder.

    Images go to `out/<class>/` (PNG) or `out/synthetic.npz`, table rows to `out/synthetic.csv`.
    `manifest.csv` describes each sample, `summary.json` the request and the rejected candidates. A
    candidate is a generated sample that the filters have not accepted yet. Candidates are generated
    in a fixed order, and the first `n` accepted candidates of each class are written. So the same
    seed gives the same first samples whatever `n`. A call that was interrupted resumes when the
    same call is repeated, and the files are the same as without the interruption.

    Parameters
    ----------
    bundle : Bundle or path
        A bundle whose generator was trained with classes, its file or its run folder.
    request : AugmentRequest
        Classes, number of samples, seed, method and filtering, such as `AugmentRequest("cat",
        n=500)`.
    out : path or None
        New folder, or the folder of an earlier call, which is replaced. None: a folder next to the
        bundle, named after the request.
    workers : int or None
        Number of processes on this machine that generate candidates and share its cores; requires
        the extra `augan[dask]`. None: this process. A script that uses workers must call this
        function below `if __name__ == "__main__":`.
    scheduler : str or None
        Address of a Dask scheduler, instead of `workers`. The workers of the scheduler must see the
        bundle and the training data at the same paths.
    verbose : int
        0: no progress is shown on standard error.

    Returns
    -------
    AugmentationResult

    Raises
    ------
    RefusedError
        Too few candidates of a class pass the filters. Nothing is written.
    BundleError
        The bundle has no generator, no classes or no latent codes, but the request needs them; or
        `out` is None and the bundle was never saved.
    ConfigError
        The request does not fit the bundle, or the extra is missing.
    DataError
        A class does not exist or has only one sample, `out` has files that augan did not write, or
        the training data has changed.
    WorkerError
        The scheduler does not answer, or the workers die.
    RunInterruptedError
        The process received SIGINT or SIGTERM; the same call resumes.

    Examples
    --------
    >>> import augan
    >>> request = augan.AugmentRequest("cat", n=500)
    >>> augan.augment_folder("runs/cats", request).num_samples  # doctest: +SKIP
    500
    """
    job = AugmentJob.resolve(as_bundle(bundle), check_augment_request(request), out)
    check_replaceable(job.out.absolute(), unmanaged_files)  # before processes start
    with open_executor(workers, scheduler) as executor:
        return run_job(job, lambda worker: partial(executor.map, generate_chunk, worker), verbose)


def run_job(
    job: AugmentJob,
    chunk_generator: Callable[[CandidateWorker], ChunkGenerator],
    verbose: int = 1,
) -> AugmentationResult:
    """Generate, filter and write the samples of a job, in a locked temporary folder.

    The temporary folder becomes `job.out` when all samples are written. After an interruption the
    temporary folder stays, so that the same job resumes.

    Parameters
    ----------
    job : AugmentJob
    chunk_generator : callable
        Function of this process's `CandidateWorker` that returns a `ChunkGenerator`. The
        `ChunkGenerator` turns chunk requests into chunks of candidates, in this process or in
        others.
    verbose : int
        0: no progress is shown on standard error.

    Returns
    -------
    AugmentationResult

    Raises
    ------
    RefusedError, BundleError, ConfigError, DataError, WorkerError, RunInterruptedError
        For the reasons that `augment_folder` lists.
    """
    from threadpoolctl import threadpool_limits

    with (
        stop_on_signals() as stop,
        resumable_folder(job.out, unmanaged_files) as tmp_dir,
        # Some candidates are compared while others are generated: more threads of both kinds than
        # cores would wait for each other.
        threadpool_limits(1, user_api="blas"),
    ):
        worker = job.create_worker()
        with Progress(verbose) as progress:
            return _write_folder(
                tmp_dir, job, worker, chunk_generator(worker), stop, progress.on_accepted
            )


def _write_folder(
    tmp_dir: Path,
    job: AugmentJob,
    worker: CandidateWorker,
    generate_chunks: ChunkGenerator,
    stop: StopSignal,
    on_accepted: ProgressCallback,
) -> AugmentationResult:
    """Write the samples, the manifest and the summary of a job into the temporary folder.

    The resume log in the folder is deleted after the last file, because a complete folder is not
    resumed.
    """
    header, preprocessing = job.header, job.sampler.preprocessing
    class_names, context = job.sampler.class_names, worker.context
    has_training_data = {"training data found": context.reference is not None}
    resume_log = ResumeLog(tmp_dir, job.identity() | has_training_data)
    writer = open_writer(
        job.format,
        tmp_dir,
        preprocessing,
        class_names=class_names,
        transform=job.transform,
        seed=header.seed,
    )
    warnings = (*context.warnings, *generator_warnings(job.bundle, always=True))
    sampler = RejectionSampler(
        worker, generate_chunks, writer, resume_log, header.seed, stop, on_accepted
    )
    acceptance = tuple(
        sampler.sample_class(index, n, class_folder(class_names[index]))
        for index, n in job.counts.items()
    )
    writer.close()
    write_manifest(tmp_dir, sampler.rows, header)
    _write_summary(tmp_dir / SUMMARY_FILE, job, context, warnings, acceptance)
    resume_log.close()
    return AugmentationResult(
        job.out,
        len(sampler.rows),
        tuple(stats.class_name for stats in acceptance),
        header.method,
        writer.preview(),
        preprocessing.sample_type,
        job.format,
        acceptance,
        warnings,
        job.request.filtered,
    )


def _write_summary(
    path: Path,
    job: AugmentJob,
    context: FilterContext,
    warnings: tuple[str, ...],
    acceptance: tuple[AcceptanceStats, ...],
) -> None:
    """Write `summary.json`: settings of the job, warnings, and counts of each class."""
    summary = {
        **asdict(job.header),
        "filtered": job.request.filtered,
        "classifier_accuracy": context.classifier_accuracy,
        "warnings": warnings,
        "classes": [stats.to_dict() for stats in acceptance],
    }
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def generate_folder(
    bundle: Bundle | str | Path,
    n: int,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    format: str | None = None,
    verbose: int = 1,
) -> AugmentationResult:
    """Write `n` random samples of a generator to a folder, without filters.

    A generator with classes samples each class as often as the class occurs in the training data.
    An interrupted call leaves nothing and does not resume.

    Parameters
    ----------
    bundle : Bundle or path
        A bundle with a generator, with or without classes, its file or its run folder.
    n : int
        Number of images or table rows over all classes, at least 1.
    out : path or None
        New folder, or the folder of an earlier call, which is replaced. None: the folder
        `generate-n<n>-seed<seed>` next to the bundle.
    seed : int
        Seed of all samples, 0 to 2**31 - 1. The same seed and index give the same image or row,
        whatever `n`.
    format : str or None
        "png" or "npz" for images, "csv" for table rows. None: "png" or "csv".
    verbose : int
        0: no progress is shown on standard error.

    Returns
    -------
    AugmentationResult
        `acceptance` is empty.

    Raises
    ------
    BundleError
        The bundle has no generator, or `out` is None and the bundle was never saved.
    ConfigError
        `n` is below 1, the seed is out of range, or the format does not fit the type of sample.
    DataError
        `out` has files that augan did not write, or cannot be written.
    """
    bundle, seed = as_bundle(bundle), check_seed_number(seed)
    bundle.require("generator")  # all options are checked before a network is built
    target = default_out(bundle, out, f"generate-n{check_count(n, 'n')}-seed{seed}")
    sample_type = bundle.preprocessing.sample_type
    format = resolve_format(format, sample_type)
    check_replaceable(target.absolute(), unmanaged_files)
    sampler = GeneratorSampler(bundle)
    class_names = sampler.class_names if sampler.conditional else []
    rows: list[ManifestRow] = []
    with atomic_folder(target, unmanaged_files) as tmp_dir, Progress(verbose) as progress:
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
            progress.on_accepted("generated", len(rows), n)
        writer.close()
        header = ManifestHeader.from_bundle(bundle, seed, PRIOR_SAMPLING, "none")
        write_manifest(tmp_dir, rows, header)
    return AugmentationResult(
        target,
        len(rows),
        tuple(class_names),
        header.method,
        writer.preview(),
        sample_type,
        format,
        warnings=generator_warnings(bundle, always=True),
        filtered=False,
    )
