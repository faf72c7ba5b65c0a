"""Command `augan train`: a run folder with a bundle, from images or a table."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augan_cli import STARTED
from augan_cli.errors import handle_errors, name_shared_options
from augan_cli.options import (
    FollowLinksOption,
    GroupByOption,
    GroupsOption,
    JsonOption,
    LabelColumnOption,
    LabelsOption,
    PathColumnOption,
)
from augan_cli.output import print_result

if TYPE_CHECKING:
    from augan.bundle import Bundle
    from augan.config import Config
    from augan.data.dataset import Dataset
    from augan.training.budget import Stopwatch
    from augan.training.distributed.workers import Workers
    from augan.workflow.prepare import ResolvedConfig

DEMO_DATASET = "digits"
DEMO_IMAGES = Path("images")

_Data = Annotated[
    str | None,
    typer.Argument(
        help="Training data: a folder of images, of class folders, or with train/ in it; an .npz "
        "file; a folder of IDX files; a table (.csv, .tsv, .parquet); 'digits' or "
        "'fashion-mnist'. Default: digits, with example images in ./images to detect on.",
        show_default=False,
    ),
]
_Run = Annotated[
    Path | None, typer.Option(help="Run folder to write; default: runs/<time>-<data>.")
]
_ConfigFile = Annotated[Path | None, typer.Option(help="YAML file with settings.")]
_Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Setting as section.key=value; may be repeated."),
]
_TrainingSeed = Annotated[int | None, typer.Option(help="Seed of all random numbers.")]
_Steps = Annotated[
    int | None, typer.Option(help="Number of training steps of the GAN or of the translators.")
]
_Minutes = Annotated[
    float | None,
    typer.Option(help="Time limit of this call in minutes; it may end half a minute late."),
]
_Task = Annotated[
    str | None,
    typer.Option(
        help="Task: generate (synthetic samples), detect (anomalies), both, translate (to the look "
        "of a new camera), or auto."
    ),
]
_TranslateTo = Annotated[
    str | None,
    typer.Option(
        help="Images of a new camera: translate the training data, of the old camera, to its look.",
        show_default=False,
    ),
]
_ClassMap = Annotated[
    Path | None,
    typer.Option(
        help="CSV file with the columns old,new: names of classes that differ between the cameras."
    ),
]
_Target = Annotated[
    str | None, typer.Option(help="Column of a table that holds the class of each row.")
]
_CrossConformal = Annotated[
    bool,
    typer.Option(
        "--cross-conformal",
        help="Train five detectors, so that every image calibrates; for few normal images.",
    ),
]
_StoreLatents = Annotated[
    bool,
    typer.Option(
        "--store-latents/--no-store-latents",
        help="Store the latent codes of the training images in the bundle.",
    ),
]
_Dtype = Annotated[str | None, typer.Option(help="Number type of the GAN: float32 or bfloat16.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")]
_TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Write curves for TensorBoard to RUN/tensorboard.")
]
_Distribute = Annotated[
    str,
    typer.Option(
        help="Devices: none (one), mirrored (all GPUs), multiworker (machines in TF_CONFIG), auto."
    ),
]
_SettingValue = str | int | float | bool | None
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved settings and stop.")]


@handle_errors
def train_command(
    data: _Data = None,
    out: _Run = None,
    config: _ConfigFile = None,
    overrides: _Overrides = None,
    seed: _TrainingSeed = None,
    steps: _Steps = None,
    max_minutes: _Minutes = None,
    task: _Task = None,
    target: _Target = None,
    groups: GroupsOption = None,
    labels: LabelsOption = None,
    label_column: LabelColumnOption = None,
    path_column: PathColumnOption = None,
    follow_links: FollowLinksOption = False,
    translate_to: _TranslateTo = None,
    class_map: _ClassMap = None,
    group_by: GroupByOption = None,
    cross_conformal: _CrossConformal = False,
    store_latents: _StoreLatents = True,
    dtype: _Dtype = None,
    resume: _Resume = False,
    tensorboard: _TensorBoard = False,
    distribute: _Distribute = "auto",
    dry_run: _DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Train on images or on the rows of a table, and save the result as one bundle.

    With --translate-to, train a translator of images from an old to a new camera.
    """
    options: dict[str, _SettingValue] = {
        "seed": seed,
        "task": task,
        "training.steps": steps,
        "training.max_minutes": max_minutes,
        "training.dtype": dtype,
        "training.store_latents": None if store_latents else False,
        "detect.cross_conformal": cross_conformal or None,
    }
    settings = _read_config(config, overrides or [], options)
    workers = None if dry_run else _join_machines(distribute)
    dataset = _load_dataset(
        data,
        groups=groups,
        target=target,
        group_by=group_by,
        labels=labels,
        label_column=label_column,
        path_column=path_column,
        follow_links=follow_links,
    )
    new = _load_new_camera(dataset, data, translate_to, class_map, group_by)
    if dry_run:
        _print_settings(_resolve(settings, dataset, new).config, as_json)
        return
    if data is None:
        _write_demo_images()
    _train(settings, dataset, new, out, resume, tensorboard, distribute, workers, as_json)


def _read_config(
    path: Path | None, overrides: Sequence[str], options: dict[str, _SettingValue]
) -> "Config":
    """Return the settings of the command, not yet resolved.

    Parameters
    ----------
    path : Path or None
        YAML file of `--config`; None: default settings.
    overrides : sequence of str
        Values of `--set`, as `section.key=value`; they replace those of the file.
    options : dict
        Values of other options by setting; they replace those of `--set`. None: not given.
    """
    from augan.config import Config

    config = Config() if path is None else Config.from_yaml(path)
    named = [f"{key}={value}" for key, value in options.items() if value is not None]
    return config.override([*overrides, *named])


def _load_dataset(data: str | None, **options: Any) -> "Dataset":
    """Return the training data of the command; without a path, the built-in digits.

    `options` are those of `load_dataset`.
    """
    from augan.data.loading import load_dataset

    return load_dataset(DEMO_DATASET if data is None else data, **options)


def _load_new_camera(
    old: "Dataset",
    data: str | None,
    translate_to: str | None,
    class_map: Path | None,
    group_by: str | None,
) -> "Dataset | None":
    """Return the images of `--translate-to` with the class names of the old camera, or None.

    Raises
    ------
    ConfigError
        An option is missing that another option needs.
    """
    from augan.exceptions import ConfigError

    if translate_to is None:
        if class_map is not None:
            raise ConfigError(
                "`class_map` names the classes of a new camera; give its images with "
                "`translate_to`, or leave `class_map` out"
            )
        return None
    if data is None:
        raise ConfigError(
            "`translate_to` needs the images of the old camera as `data`; name their folder first"
        )
    from augan.data.cameras import apply_class_map
    from augan.data.loading import load_dataset

    new = load_dataset(translate_to, group_by=group_by)
    return new if class_map is None else apply_class_map(class_map, old, new)


def _join_machines(distribute: str) -> "Workers | None":
    """Connect to the other machines of a cluster, or return None on a single machine.

    The connection comes first, so that the other machines learn of a later error on this one.
    """
    from augan.training.distributed.cluster import select_cluster

    cluster = select_cluster(distribute)
    if cluster is None:
        return None
    from augan.training.distributed.workers import join_workers

    typer.echo(f"{cluster}: waiting until all workers are connected", err=True)
    return join_workers(distribute)


def _resolve(config: "Config", dataset: "Dataset", new: "Dataset | None") -> "ResolvedConfig":
    """Fill in the settings that are left open, and print the plan of the training and warnings."""
    from augan.report.text import format_plan
    from augan.workflow.prepare import resolve_config

    resolved = resolve_config(config, dataset, new)
    typer.echo(format_plan(resolved), err=True)
    for warning in resolved.warnings:
        typer.echo(name_shared_options(f"warning: {warning}"), err=True)
    return resolved


def _print_settings(config: "Config", as_json: bool) -> None:
    """Print the resolved settings as YAML, or with `--json` as one JSON object."""
    typer.echo(json.dumps(config.to_dict()) if as_json else config.to_yaml(), nl=as_json)


def _write_demo_images() -> None:
    """Write example images to `./images` for a first `augan detect`, unless the folder exists."""
    from augan.data.datasets import write_example_images

    if not DEMO_IMAGES.exists():
        examples = write_example_images(DEMO_IMAGES)
        typer.echo(
            f"{DEMO_IMAGES}/: {examples.count_normal} digits that are not used in training and "
            f"{examples.count_anomalous} anomalous images, to try `augan detect {DEMO_IMAGES}/` on",
            err=True,
        )


def _train(
    config: "Config",
    dataset: "Dataset",
    new: "Dataset | None",
    out: Path | None,
    resume: bool,
    tensorboard: bool,
    distribute: str,
    workers: "Workers | None",
    as_json: bool,
) -> None:
    """Train with a progress display, write the report, and print the result."""
    from augan.progress import Progress
    from augan.training.budget import Stopwatch
    from augan.workflow.train import run_training

    stopwatch = Stopwatch(STARTED)
    with stopwatch.measure("data"):
        resolved = _resolve(config, dataset, new)
    if resume and out is not None and not out.exists():
        typer.echo(f"warning: {out} does not exist, so a new training starts there", err=True)
    with Progress() as progress:
        bundle = run_training(
            resolved,
            out=out,
            callbacks=[progress],
            stopwatch=stopwatch,
            resume=resume,
            tensorboard=tensorboard,
            distribute=distribute,
            workers=workers,
        )
    _print_training(bundle, stopwatch, workers is None or workers.is_chief, as_json)


def _print_training(
    bundle: "Bundle", stopwatch: "Stopwatch", is_chief: bool, as_json: bool
) -> None:
    """Write the report of a training, if it is new or has no report, and print the result.

    A worker that is not the chief writes no report.
    """
    from augan.io.layout import REPORT_FILE
    from augan.report.html.training import write_training_page
    from augan.report.text import format_training, summarize_training
    from augan.training.stages.base import STAGES

    has_trained = not stopwatch.seconds.keys().isdisjoint(STAGES.names())
    if not has_trained:
        typer.echo(f"{bundle.path} was already complete", err=True)
    lines = format_training(bundle, stopwatch.seconds)
    summary = summarize_training(bundle, stopwatch.seconds)
    if is_chief and bundle.path is not None:
        report = bundle.path.parent / REPORT_FILE
        if has_trained or not report.exists():
            write_training_page(bundle)
        summary["report"] = str(report)
        lines.append(f"report: {report}")
    print_result(lines, summary, as_json)
