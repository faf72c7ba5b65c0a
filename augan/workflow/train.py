"""Training of a dataset into one bundle, the function `augan.train`.

Data flow: dataset -> prepared samples -> split -> networks -> detector -> bundle. Modules that load
TensorFlow are imported after the data has been checked, so that an error is reported at once.
"""

import sys
from collections.abc import Iterable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augan.bundle import (
    Bundle,
    current_versions,
    load_bundle,
    parse_bundle,
    save_bundle,
)
from augan.checks import check_out, check_verbose
from augan.config import Config, require_resolved, validate_config
from augan.data.dataset import Dataset
from augan.exceptions import BundleError, DataError
from augan.io.hashing import sha256_json, sha256_parts
from augan.io.images import write_png
from augan.io.layout import (
    BUNDLE_FILE,
    RUN_SUMMARY_FILE,
    TENSORBOARD_FOLDER,
    TRANSLATION_PREVIEW_FILE,
)
from augan.progress import Progress
from augan.training.budget import Stopwatch, TrainingBudget, compute_deadline
from augan.training.callbacks import Callback, TensorBoardLog, require_tensorboard
from augan.training.distributed.cluster import select_cluster
from augan.training.folds import Fold
from augan.training.run_folder import RunFolder, check_not_occupied
from augan.training.signals import StopSignal, stop_on_signals
from augan.workflow.prepare import PreparedData, ResolvedConfig, prepare_data, resolve_config

if TYPE_CHECKING:
    from augan.training.distributed.workers import Workers
    from augan.training.trainer import TrainedNetworks


def train(
    config: Config,
    dataset: Dataset,
    *,
    out: str | Path | None = None,
    translate_to: Dataset | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    tensorboard: bool = False,
    distribute: str = "auto",
    verbose: int = 1,
) -> Bundle:
    """Train the networks and the detector of a task, and save one bundle in a run folder.

    With `translate_to` the networks translate images of an old camera to the look of a new camera,
    and there is no detector and no generator.

    With `detect.cross_conformal` the training is repeated five times, each time without one fold of
    the data, and the bundle contains five detectors that score together
    (`augan.detect.conformal.cross_conformal`).

    Parameters
    ----------
    config : Config
        Settings; a setting of None is derived from the data.
    dataset : Dataset
        Training images, as `augan.load_dataset` returns them.
    out : path or None
        The run folder, new or empty; None: `runs/<time>-<data>`.
    translate_to : Dataset or None
        Images of a new camera, which `dataset`, the images of the old camera, are translated to.
        Classes of equal names are the same; see `augan.data.cameras.apply_class_map` for other
        names. Both may be unlabeled. None (default): no translation.
    callbacks : sequence of Callback
        Callbacks that are notified of the progress.
    resume : bool
        Continue the run in `out` (None: the newest run of this data) from its last checkpoint. With
        the same `training.steps` the result equals that of an uninterrupted training. If the run is
        complete, its bundle is returned.
    tensorboard : bool
        Also write the training curves for TensorBoard, to `tensorboard/` of the run folder;
        requires the extra `augan[tensorboard]`. The result is the same.
    distribute : {"auto", "none", "mirrored", "multiworker"}
        Devices to train on, see `augan.training.distributed.workers.join_workers`. Every machine
        of a cluster calls this function with the same arguments; only the first machine writes.
    verbose : int
        0: no progress and no warnings are shown on standard error. The warnings are also in
        `metrics.warnings` of the bundle.

    Returns
    -------
    Bundle
        Saved as `bundle.augan` in the run folder. `Bundle.path` is its path on the machine that
        wrote it.

    Raises
    ------
    ConfigError
        Settings do not fit each other, the data or the machine.
    DataError
        The data cannot be used, or `out` is occupied.
    RunInterruptedError
        A signal stopped the training, or a worker stopped answering; `resume` continues.
    TrainingDivergedError
        The losses of a stage without a monitor are no longer finite.
    """
    validate_config(config)
    out, verbose = check_out(out), check_verbose(verbose)
    _check_dataset("dataset", dataset)
    if translate_to is not None:
        _check_dataset("translate_to", translate_to)
    stopwatch = Stopwatch()
    workers = _join_cluster(distribute)
    with stopwatch.measure("data"):
        resolved = resolve_config(config, dataset, translate_to)
    _show_warnings(resolved.warnings, verbose)
    with Progress(verbose) as progress:
        bundle = run_training(
            resolved,
            out=out,
            callbacks=[*callbacks, progress],
            stopwatch=stopwatch,
            resume=resume,
            tensorboard=tensorboard,
            distribute=distribute,
            workers=workers,
        )
    # Those that the samples and the training gave, which are known at the end only.
    found = [text for text in bundle.metrics.warnings if text not in resolved.warnings]
    _show_warnings(found, verbose)
    return bundle


def _check_dataset(name: str, value: Any) -> None:
    """Raise DataError unless the argument `name` of `train` is a dataset."""
    if not isinstance(value, Dataset):
        raise DataError(
            f"{name} must be an augan.Dataset, got {type(value).__name__}: read a folder with "
            "load_dataset, or convert arrays with from_arrays"
        )


def _show_warnings(warnings: Iterable[str], verbose: int) -> None:
    """Print warnings on standard error, unless `verbose` is 0."""
    if verbose:
        for text in warnings:
            sys.stderr.write(f"warning: {text}\n")


def _join_cluster(distribute: str) -> "Workers | None":
    """Connect to the other machines of a cluster, or return None on a single machine.

    The connection comes first, so that the other machines notice a later failure of this machine.
    """
    if select_cluster(distribute) is None:
        return None
    from augan.training.distributed.workers import join_workers

    return join_workers(distribute)


def run_training(
    resolved: ResolvedConfig,
    *,
    out: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    stopwatch: Stopwatch | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    distribute: str = "none",
    workers: "Workers | None" = None,
) -> Bundle:
    """Train with settings that are already resolved, as `train` does; save and return the bundle.

    Parameters
    ----------
    resolved : ResolvedConfig
        Result of `augan.workflow.prepare.resolve_config`.
    out, callbacks, resume, tensorboard, distribute
        As in `train`; `distribute` is "none" by default.
    stopwatch : Stopwatch or None
        A stopwatch that was started before this call, if earlier time also counts towards
        `training.max_minutes`; None: the time starts with this call.
    workers : Workers or None
        The processes of a cluster that this process has already joined; None: join them here.

    Raises
    ------
    ConfigError, DataError
        As in `train`.
    RunInterruptedError
        A signal stopped the training, or a worker stopped answering; `resume` continues.
    """
    stopwatch = stopwatch or Stopwatch()
    if tensorboard:
        require_tensorboard()
    if workers is not None:
        workers.require_divisible(require_resolved(resolved.config.training.batch_size))
    if out is not None and not resume and (workers is None or workers.is_chief):
        check_not_occupied(out)  # before the images are decoded, which may take minutes
    with stopwatch.measure("data"):
        data = prepare_data(resolved)
    identity = _identity(data)
    with stopwatch.measure("start-up"):
        from augan.training.distributed.workers import join_workers
    if workers is None:
        workers = join_workers(distribute)
        workers.require_divisible(require_resolved(resolved.config.training.batch_size))
    workers.require_same({**identity, **current_versions()})
    if not workers.is_chief:
        return _run_worker(data, callbacks, stopwatch, workers)
    name = data.dataset.name
    with closing(RunFolder(out, name, identity, resume=resume)) as run, run.writing():
        if workers.broadcast(run.finished):
            run.finish()  # in case the process ended between saving and finishing
            return _broadcast_bundle(load_bundle(run.path), workers)
        log_folder = run.path / TENSORBOARD_FOLDER
        with closing(TensorBoardLog(log_folder)) if tensorboard else nullcontext() as log:
            all_callbacks = [*callbacks, log] if log is not None else callbacks
            bundle = _train_and_save(run, data, all_callbacks, stopwatch, workers)
        return _broadcast_bundle(bundle, workers)


def _identity(data: PreparedData) -> dict[str, Any]:
    """Return the settings and the data of a training, which a resumed training must share."""
    identity = {**_flatten(data.config.to_dict()), "data": data.description.fingerprint}
    identity |= {"groups": _groups_sha256(data), "split": _split_sha256(data)}
    if data.new is not None:
        new = data.new
        identity |= {
            "new data": new.description.fingerprint,
            "new groups": _groups_sha256(new),
            "new split": _split_sha256(new),
            "classes": ", ".join(data.class_names),
            "new classes": ", ".join(new.dataset.class_names),
        }
    return identity


def _split_sha256(data: PreparedData) -> str:
    """Return a SHA-256 of the sample indices of all splits, for the identity of a run."""
    splits = data.folds or (data.split,)
    return sha256_parts(
        f"{len(rows)}:".encode() + rows.tobytes()
        for split in splits
        for rows in (split.train, split.val, split.calibration)
    )


def _groups_sha256(data: PreparedData) -> str | None:
    """Return a digest of the groups of the samples, for the identity of a run; None without groups.

    Groups decide how equal images are split, so a resumed run must have the same groups.
    """
    groups = [data.dataset.groups]
    groups += [data.unlabeled.dataset.groups] if data.unlabeled else []
    names = [None if some is None else list(map(str, some)) for some in groups]
    if not any(names):
        return None
    return sha256_json(names)[:12]


def _run_worker(
    data: PreparedData, callbacks: Sequence[Callback], stopwatch: Stopwatch, workers: "Workers"
) -> Bundle:
    """Train as a worker that is not the chief: write nothing, and return the chief's bundle."""
    is_finished = workers.broadcast(False)
    if not is_finished:
        _train_folds(None, data, callbacks, stopwatch, workers)
    path, content = workers.broadcast_bytes(b""), workers.broadcast_bytes(b"")
    bundle = parse_bundle(content, path.decode())
    bundle.record_path(Path(path.decode()))
    return bundle


def _broadcast_bundle(bundle: Bundle, workers: "Workers") -> Bundle:
    """Send the saved bundle from the chief to the other workers, and return the bundle."""
    if workers.count > 1:
        path = Path(bundle.path or "")
        workers.broadcast_bytes(str(path).encode())
        workers.broadcast_bytes(path.read_bytes())
    return bundle


def _train_and_save(
    run: RunFolder,
    data: PreparedData,
    callbacks: Sequence[Callback],
    stopwatch: Stopwatch,
    workers: "Workers",
) -> Bundle:
    """Train all folds as the chief, and write the bundle and the other files of the run folder.

    Raises BundleError if the bundle cannot be saved; the training itself is then kept.
    """
    from augan.workflow.assemble import assemble_bundle
    from augan.workflow.translation import check_translation

    run.write_text("config.yaml", data.config.to_yaml())
    run.write_skipped(data.skipped)
    folds = Fold.all(len(data.folds) or 1)
    run.truncate_log({k: v for fold in folds for k, v in fold.steps(run.checkpoints).items()})
    trained = _train_folds(run, data, callbacks, stopwatch, workers)
    with stopwatch.measure("detector and bundle"):
        checked = None if data.new is None else check_translation(data, data.new, trained[0])
        bundle = assemble_bundle(data, folds, trained, checked)
        if checked is not None:
            write_png(run.path / TRANSLATION_PREVIEW_FILE, checked.preview)
        try:
            save_bundle(bundle, run.path / BUNDLE_FILE)
        except BundleError as error:
            raise BundleError(
                f"{error}; the training is not lost: repeat the command with --resume"
            ) from error
    run.write_json(
        RUN_SUMMARY_FILE, {"seconds": stopwatch.seconds, "warnings": list(bundle.metrics.warnings)}
    )
    run.finish()
    return bundle


def _train_folds(
    run: RunFolder | None,
    data: PreparedData,
    callbacks: Sequence[Callback],
    stopwatch: Stopwatch,
    workers: "Workers",
) -> "list[TrainedNetworks]":
    """Train the networks of every fold in order; a plain training counts as one fold.

    `run` is None on a worker that is not the chief, which writes nothing. Raises
    RunInterruptedError after a signal.
    """
    folds = Fold.all(len(data.folds) or 1)
    with stop_on_signals() as stop:
        return [_train_fold(fold, run, data, callbacks, stopwatch, stop, workers) for fold in folds]


def _train_fold(
    fold: Fold,
    run: RunFolder | None,
    data: PreparedData,
    callbacks: Sequence[Callback],
    stopwatch: Stopwatch,
    stop: StopSignal,
    workers: "Workers",
) -> "TrainedNetworks":
    """Train the networks of one fold; write checkpoints and logs unless `run` is None."""
    from augan.training.checkpoints import Checkpoints
    from augan.training.loop import TrainingSession
    from augan.training.trainer import train_stages

    minutes = data.config.training.max_minutes
    deadline = fold.deadline(compute_deadline(minutes, stopwatch.started, len(data.folds)))
    fold_data = data.for_fold(fold)
    session = TrainingSession(
        callbacks=tuple(fold.callbacks([run, *callbacks] if run else callbacks)),
        samples=run.samples / fold.name if run else None,
        stopwatch=stopwatch,
        checkpoints=Checkpoints(run.checkpoints / fold.name if run else None),
        stop=fold.stop(stop),
        workers=workers,
    )
    return train_stages(
        fold_data.config,
        fold_data.training_data(),
        fold_data.stages,
        TrainingBudget(fold_data.config.training.steps, deadline),
        session,
    )


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one dict with dotted keys, such as `gan.loss`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        flat |= _flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
