"""A whole task: images in, one bundle out.

This is the only place that knows both applications: it trains the networks, fits and calibrates the
detector, and puts everything into one bundle. Data flows one way: dataset -> squares -> split ->
networks -> detector -> bundle.
"""

from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Bundle, Network, current_versions, load_bundle, parse_bundle, save_bundle
from augan.config import Config, validate_config
from augan.data.dataset import Dataset
from augan.detect.detector import add_detectors, configured_methods, fold_network
from augan.detect.fitting import fit_cross_conformal
from augan.detect.methods.registry import get_method_class
from augan.exceptions import BundleError, DataError
from augan.gan.inference import BatchInference
from augan.io.hashing import sha256_json, sha256_parts
from augan.io.layout import BUNDLE_FILE, RUN_SUMMARY_FILE, TENSORBOARD_FOLDER
from augan.training.budget import Stopwatch, TrainingBudget, compute_deadline
from augan.training.callbacks import Callback, TensorBoardLog, require_tensorboard
from augan.training.cross_validation import Fold
from augan.training.distributed.workers import Workers, join_workers
from augan.training.run_folder import RunFolder, check_not_occupied
from augan.training.signals import StopSignal, stop_on_signals
from augan.training.stages.encoder import encode
from augan.training.trainer import TrainedNetworks, train_stages
from augan.workflow.prepare import PreparedData, ResolvedConfig, prepare_data, resolve_config


def train(
    config: Config,
    dataset: Dataset,
    *,
    out: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    stopwatch: Stopwatch | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    distribute: str = "auto",
) -> Bundle:
    """Train a GAN and what the task needs on it, and save one bundle in a run folder.

    With `detect.cross_conformal` the training is repeated five times, each time without one fold of
    the data, and the bundle contains five detectors that score together
    (`augan.detect.conformal.cross_conformal`).

    Parameters
    ----------
    config : Config
        Settings; what is None is decided from the data.
    dataset : Dataset
        Training images, as `augan.load_dataset` returns them.
    out : path or None
        The run folder, new or empty; None: `runs/<time>-<data>`.
    callbacks : sequence of Callback
        Told of the progress.
    stopwatch : Stopwatch or None
        Started earlier if more than this call counts towards `training.max_minutes`.
    resume : bool
        Go on with the run in `out` (None: the newest of this data) from its last checkpoint. With
        equal `training.steps` the result equals that of a training that never stopped. A finished
        run is returned as it is.
    tensorboard : bool
        Also write the curves for TensorBoard, into `tensorboard/` of the run folder; needs the
        extra `augan[tensorboard]`. The result is the same.
    distribute : {"auto", "none", "mirrored", "multiworker"}
        On which devices to train, see `augan.training.distributed.workers.join_workers`. Every one
        of several machines calls this function with the same arguments; only the first writes.

    Returns
    -------
    Bundle
        Saved as `bundle.augan` in the run folder; its `path` tells where, on the machine that
        wrote it.
    """
    validate_config(config)
    _check_dataset(dataset)
    stopwatch, workers = stopwatch or Stopwatch(), join_workers(distribute)
    with stopwatch.measure("data"):
        resolved = resolve_config(config, dataset)
    return run_training(
        resolved,
        out=out,
        callbacks=callbacks,
        stopwatch=stopwatch,
        resume=resume,
        tensorboard=tensorboard,
        workers=workers,
    )


def _check_dataset(dataset: Any) -> None:
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"dataset is a {type(dataset).__name__}, an augan.Dataset is needed: load_dataset "
            "reads a folder, from_arrays takes arrays"
        )


def run_training(
    resolved: ResolvedConfig,
    *,
    out: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    stopwatch: Stopwatch | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    workers: Workers | None = None,
) -> Bundle:
    """Do what `train` does, with the results of `resolve_config` and `join_workers`."""
    stopwatch, workers = stopwatch or Stopwatch(), workers or Workers()
    if tensorboard:
        require_tensorboard()
    workers.require_divisible(resolved.config.training.batch_size)
    if out is not None and not resume and workers.is_chief:
        check_not_occupied(out)  # before the images are decoded, which may take minutes
    with stopwatch.measure("data"):
        data = prepare_data(resolved)
    described = data.describe()
    identity = {**_flat(data.config.to_dict()), "data": described["fingerprint"]}
    identity |= {"groups": _groups_sha256(data), "split": _split_sha256(data)}
    workers.require_same({**identity, **current_versions()})
    if not workers.is_chief:
        return _run_worker(data, callbacks, stopwatch, workers)
    name = data.dataset.name
    with closing(RunFolder(out, name, identity, resume=resume)) as run, run.writing():
        if workers.broadcast(run.finished):
            run.finish()  # in case the process died between the two
            return _broadcast_bundle(load_bundle(run.path), workers)
        curves = (
            closing(TensorBoardLog(run.path / TENSORBOARD_FOLDER)) if tensorboard else nullcontext()
        )
        with curves as log:
            told = [*callbacks, log] if log is not None else callbacks
            bundle = _train_and_save(run, data, described, told, stopwatch, workers)
        return _broadcast_bundle(bundle, workers)


def _split_sha256(data: PreparedData) -> str:
    splits = data.folds or (data.split,)
    return sha256_parts(
        f"{len(rows)}:".encode() + rows.tobytes()
        for split in splits
        for rows in vars(split).values()
    )


def _groups_sha256(data: PreparedData) -> str | None:
    """What divides equal images otherwise, so that what was trained on might calibrate."""
    parts = [data.dataset.groups]
    parts += [data.unlabeled.dataset.groups] if data.unlabeled else []
    named = [None if part is None else list(map(str, part)) for part in parts]
    if not any(named):
        return None
    return sha256_json(named)[:12]


def _run_worker(
    data: PreparedData, callbacks: Sequence[Callback], stopwatch: Stopwatch, workers: Workers
) -> Bundle:
    """Train with the chief, write nothing, and return the bundle that the chief has saved."""
    if not workers.broadcast(False):  # whether its run was finished already
        _train_all(None, data, callbacks, stopwatch, workers)
    where, content = workers.broadcast_bytes(b""), workers.broadcast_bytes(b"")
    bundle = parse_bundle(content, where.decode())
    bundle.path = Path(where.decode())
    return bundle


def _broadcast_bundle(bundle: Bundle, workers: Workers) -> Bundle:
    """Give the other workers the bundle that was saved, and return it."""
    if workers.count > 1:
        path = Path(bundle.path or "")
        workers.broadcast_bytes(str(path).encode())
        workers.broadcast_bytes(path.read_bytes())
    return bundle


def _train_and_save(
    run: RunFolder,
    data: PreparedData,
    described: dict[str, Any],
    callbacks: Sequence[Callback],
    stopwatch: Stopwatch,
    workers: Workers,
) -> Bundle:
    run.write_text("config.yaml", data.config.to_yaml())
    run.write_skipped(data.skipped)
    folds = Fold.all(len(data.folds) or 1)
    run.cut_log({k: v for fold in folds for k, v in fold.steps(run.checkpoints).items()})
    trained = _train_all(run, data, callbacks, stopwatch, workers)
    with stopwatch.measure("detector and bundle"):
        if data.folds:
            bundle = _assemble_folds(data, folds, trained, described)
        else:
            bundle = _assemble(data, trained[0], described)
        _save(bundle, run)
    run.write_json(RUN_SUMMARY_FILE, {"seconds": stopwatch.seconds, "warnings": data.warnings})
    run.finish()
    return bundle


def _train_all(
    run: RunFolder | None,
    data: PreparedData,
    callbacks: Sequence[Callback],
    stopwatch: Stopwatch,
    workers: Workers,
) -> list[TrainedNetworks]:
    """Train the networks of every fold, or of a plain training."""
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
    workers: Workers,
) -> TrainedNetworks:
    """Train the networks of one fold in their places in the run folder, if it is ours to write."""
    minutes = data.config.training.max_minutes
    deadline = fold.deadline(compute_deadline(minutes, stopwatch.started, len(data.folds)))
    own = data.for_fold(fold)
    return train_stages(
        own.config,
        own.training_data(),
        own.stages,
        TrainingBudget(own.config.training.steps, deadline),
        callbacks=fold.callbacks([run, *callbacks] if run else callbacks),
        samples=run.samples / fold.name if run else None,
        stopwatch=stopwatch,
        checkpoints=run.checkpoints / fold.name if run else None,
        stop=fold.stop(stop),
        workers=workers,
    )


def _save(bundle: Bundle, run: RunFolder) -> None:
    try:
        save_bundle(bundle, run.path / BUNDLE_FILE)
    except BundleError as error:
        raise BundleError(
            f"{error}; nothing trained is lost: the same command with --resume saves it"
        ) from error


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted ones."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _assemble(data: PreparedData, networks: TrainedNetworks, described: dict[str, Any]) -> Bundle:
    bundle = Bundle(
        config=data.config.to_dict(),
        data=described,
        preprocessing=data.preprocessing.to_dict(),
        networks=networks.for_bundle(),
        tables={"split": vars(data.split).copy()},
        metrics={
            "warnings": data.warnings + ([networks.failure.message] if networks.failure else []),
            **_training_metrics(networks),
        },
    )
    if networks.pseudo_labels:
        bundle.metrics["pseudo_labels"] = networks.pseudo_labels
    if "encoder" in networks.models and data.config.training.store_latents:
        bundle.tables["latents"] = _codes(data, networks)
    if "classifier" in networks.models:
        bundle.metrics["classifier"] = _classifier_accuracy(data, networks)
    if data.config.task != "generate":
        _add_detector(bundle, data, [networks])
    return bundle


def _assemble_folds(
    data: PreparedData,
    folds: Sequence[Fold],
    trained: Sequence[TrainedNetworks],
    described: dict[str, Any],
) -> Bundle:
    """Put the detectors of all folds into one bundle, with the networks that they look through."""
    fold_of = np.empty(len(data.dataset), np.int64)
    for fold, own in zip(folds, data.folds):
        fold_of[own.calibration] = fold.number
    alarms = [f"{k.title}: {one.failure.message}" for k, one in zip(folds, trained) if one.failure]
    bundle = Bundle(
        config=data.config.to_dict(),
        data=described,
        preprocessing=data.preprocessing.to_dict(),
        networks=_networks_for_detector(data, folds, trained),
        tables={"split": {**vars(data.split), "fold": fold_of}},
        metrics={
            "warnings": data.warnings + alarms,
            "folds": [_training_metrics(one) for one in trained],
        },
    )
    _add_detector(bundle, data, trained)
    return bundle


def _networks_for_detector(
    data: PreparedData, folds: Sequence[Fold], trained: Sequence[TrainedNetworks]
) -> dict[str, Network]:
    """Return the networks of all folds that a method looks through, and no others."""
    methods = configured_methods(data.config.detect)
    kinds = [get_method_class(method, data.preprocessing) for method in methods]
    taken = {role for kind in kinds for role in (*kind.required_networks, *kind.optional_networks)}
    return {
        fold_network(role, fold.number): network
        for fold, one in zip(folds, trained)
        for role, network in one.for_bundle().items()
        if role in taken
    }


def _training_metrics(networks: TrainedNetworks) -> dict[str, Any]:
    """Return what a training measured, for the bundle."""
    return {
        "steps": networks.steps,
        "failure": networks.failure.to_dict() if networks.failure else None,
        "fidelity": networks.fidelity,
        "gan_metrics": [metrics.to_dict() for metrics in networks.gan_metrics],
    }


def _codes(data: PreparedData, networks: TrainedNetworks) -> dict[str, np.ndarray]:
    """Latent codes of the training split, for augmentation around real images."""
    rows, scale = data.split.train, data.preprocessing.normalize
    codes = encode(networks.models["encoder"], data.pixels, rows, scale)
    if "class_probabilities" in codes:
        codes["labels"] = np.asarray(data.dataset.labels)[rows]
    return codes


def _classifier_accuracy(data: PreparedData, networks: TrainedNetworks) -> dict[str, Any]:
    """How often the agreement classifier is right on real images it was not fitted on."""
    model, labels = networks.models["classifier"], data.dataset.labels
    classify = BatchInference.from_model(model)
    rows = data.split.val
    (logits,) = classify(data.preprocessing.normalize(data.pixels[rows]))
    right = logits.argmax(axis=1) == np.asarray(labels)[rows]
    return {"accuracy": float(right.mean()), "n": len(rows), "split": "val"}


def _add_detector(bundle: Bundle, data: PreparedData, trained: Sequence[TrainedNetworks]) -> None:
    settings = data.config.detect
    detectors = [
        fit_cross_conformal(
            method,
            [networks.models for networks in trained],
            data.preprocessing,
            data.samples,
            data.folds or (data.split,),
            groups=data.dataset.groups,
            trim_fraction=settings.trim_fraction,
        )
        for method in configured_methods(settings)
    ]
    add_detectors(bundle, detectors, settings.trim_fraction)
