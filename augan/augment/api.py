"""Write generated images or rows, with a manifest that says where each came from."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from augan.augment.filters.acceptance import AcceptanceStats, generator_warnings
from augan.augment.filters.criteria import UNCHECKED
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
from augan.augment.worker import CandidateWorker, make
from augan.augment.writers import PreviewImages, open_writer, resolve_format
from augan.bundle import Bundle
from augan.data.dataset import Classes
from augan.io.atomic import atomic_folder, check_replaceable, resumable_folder
from augan.io.layout import SUMMARY_FILE
from augan.parallel.executor import open_executor
from augan.training.signals import Stop, stop_on_signals


@dataclass(frozen=True)
class AugmentationResult:
    """What was written: the folder, how many images or rows, and the first images."""

    out: Path
    num_samples: int
    classes: tuple[str, ...]
    gallery: PreviewImages | None  # None of a table
    sample_type: str = "image"
    format: str = "png"
    acceptance: tuple[AcceptanceStats, ...] = ()  # of `augment_folder`, one a class
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able summary."""
        about = {
            "out": str(self.out),
            "num_samples": self.num_samples,
            "classes": list(self.classes),
            "format": self.format,
        }
        if self.acceptance:
            about["acceptance"] = [found.to_dict() for found in self.acceptance]
        about["warnings"] = list(self.warnings)
        return about


def augment_folder(
    bundle: Bundle,
    classes: Classes = (),
    n: int | None = None,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    method: str = "auto",
    policy: str | None = None,
    format: str | None = None,
    data: str | Path | None = None,
    filtered: bool = True,
    balance: bool = False,
    to: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_accepted: ProgressCallback = lambda name, kept, asked: None,
) -> AugmentationResult:
    """Write images of classes to `out/<class>/`, or rows, with `manifest.csv` and `summary.json`.

    Candidates are made one after another and those that pass the filters are kept, so that the
    same seed gives the same first images whatever `n`. A call that was interrupted goes on when it
    is repeated, and ends in the same files.

    Parameters
    ----------
    bundle : Bundle
        One whose generator knows classes.
    classes : str, int, or sequence of them
        Classes by name or, failing that, by number; with `balance` none means all.
    n : int or None
        Images or rows to keep of each class, at least 1; None with `balance`.
    out : path or None
        New folder, or one made by an earlier call, which is replaced; None: a folder beside the
        bundle named after what is asked for.
    seed : int
        The same seed and index give the same image or row, whatever n.
    method : str
        "sample", "interpolate", or "auto", see `augan.augment.methods.registry`.
    policy : str or None
        Classic augmentation of images applied on top, see `augan.augment.transforms`; None: that of
        the bundle's configuration.
    format : str or None
        "png" or "npz" of images, "csv" of rows; None: the first of these. The last two are one
        file, `synthetic.npz` or `synthetic.csv`.
    data : path, str or None
        The training data, which the filters compare with; None: where the bundle remembers it. If
        nothing is there any more, only the classifier is asked, and a warning says so.
    filtered : bool
        Whether candidates that are of another class, implausible, near a training image or near
        one another are left out.
    balance : bool
        Make as many of each class as lack of the largest class, or of `to`, in place of `n`.
    workers : int or None
        Processes of this machine that make candidates, and share its cores; with the extra
        `augan[dask]`. A script that asks for them does so below `if __name__ == "__main__":`.
    scheduler : str or None
        In their place, the address of a Dask scheduler. Its workers see bundle and training data at
        the same paths.
    on_accepted : callable
        Told now and then of a class, how many of it are made, and how many were asked for.

    Raises
    ------
    RefusedError
        Too few candidates of a class pass the filters. Nothing is written.
    ConfigError
        The arguments are impossible, or do not go together; or the extra is missing.
    DataError
        There is no such class, it has one image only, `out` holds something else, or the training
        data has changed.
    WorkerError
        There is no scheduler, or the workers die.
    RunInterruptedError
        SIGINT or SIGTERM came; the same call goes on.
    """
    order = parse_request(
        bundle,
        classes,
        n,
        out,
        seed=seed,
        method=method,
        policy=policy,
        format=format,
        filtered=filtered,
        balance=balance,
        to=to,
    )
    check_replaceable(order.target.absolute(), unmanaged_files)  # before processes start
    with open_executor(workers, scheduler) as executor:
        return run_request(
            order, data, lambda maker: partial(executor.map, make, maker), on_accepted
        )


def run_request(
    order: AugmentRequest,
    data: str | Path | None,
    chunks: Callable[[CandidateWorker], ChunkGenerator],
    on_accepted: ProgressCallback = lambda name, kept, asked: None,
) -> AugmentationResult:
    """Write what was ordered.

    Parameters
    ----------
    chunks : callable
        Given what makes candidates in this process: what makes the chunks that are requested.
    """
    from threadpoolctl import threadpool_limits

    with (
        stop_on_signals() as stop,
        resumable_folder(order.target, unmanaged_files) as half,
        # While some candidates are compared, others are drawn: more threads of both kinds than
        # there are cores would wait for each other.
        threadpool_limits(1, user_api="blas"),
    ):
        maker = CandidateWorker.of(order.sampler, order.method, order.filtered, data)
        return _fill(half, order, maker, chunks(maker), stop, on_accepted)


def _fill(
    partial: Path,
    order: AugmentRequest,
    maker: CandidateWorker,
    chunks: ChunkGenerator,
    stop: Stop,
    on_accepted: ProgressCallback,
) -> AugmentationResult:
    sampler, about, sample_type = (
        order.sampler,
        order.about,
        order.sampler.preprocessing.sample_type,
    )
    real = maker.real
    progress = ResumeLog(partial, order.job() | {"compared": real.reference is not None})
    writer = open_writer(
        order.format,
        partial,
        sampler.preprocessing,
        class_names=sampler.class_names,
        policy=about.policy,
        seed=about.seed,
    )
    warnings = (*real.warnings, *generator_warnings(order.bundle))
    job = RejectionSampler(maker, chunks, writer, progress, about.seed, stop, on_accepted)
    yields = tuple(
        job.make(index, n, class_folder(sampler.class_names[index]))
        for index, n in order.wanted.items()
    )
    writer.close()
    write_manifest(partial, job.lines, about)
    _write_yields(partial / SUMMARY_FILE, order, real.accuracy, warnings, yields)
    progress.close()
    names, gallery = tuple(found.class_name for found in yields), writer.gallery()
    return AugmentationResult(
        order.target, len(job.lines), names, gallery, sample_type, order.format, yields, warnings
    )


def _write_yields(
    path: Path,
    order: AugmentRequest,
    accuracy: float | None,
    warnings: Sequence[str],
    yields: Sequence[AcceptanceStats],
) -> None:
    summary = {
        **asdict(order.about),
        "filtered": order.filtered,
        "classifier_accuracy": accuracy,
        "warnings": warnings,
        "classes": [found.to_dict() for found in yields],
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
    """Write `n` images or rows to `out`, unfiltered, classes (if any) as often as in training.

    Parameters are those of `augment_folder`.
    """
    sampler = GeneratorSampler(bundle)
    target = default_out(bundle, out, f"generate-n{check_positive(n)}-seed{seed}")
    sample_type = sampler.preprocessing.sample_type
    format = resolve_format(format, sample_type)
    names = sampler.class_names if sampler.conditional else []
    lines: list[ManifestRow] = []
    with atomic_folder(target, unmanaged_files) as partial:
        writer = open_writer(format, partial, sampler.preprocessing, class_names=names, seed=seed)
        for samples, numbers in sampler.in_proportion(n, seed):
            indices = np.arange(len(lines), len(lines) + len(samples))
            files = writer.add(samples, numbers, indices, ".")
            of = [names[c] if names else "" for c in numbers]
            lines += [
                ManifestRow(file, name, int(index), UNCHECKED)
                for file, name, index in zip(files, of, indices)
            ]
        writer.close()
        write_manifest(partial, lines, ManifestHeader.of(bundle, seed, "sample", "none"))
    gallery, warnings = writer.gallery(), tuple(generator_warnings(bundle))
    return AugmentationResult(
        target, len(lines), tuple(names), gallery, sample_type, format, warnings=warnings
    )
