"""The commands; each parses its options, calls one public function, and prints what came of it.

Heavy imports stand inside the commands, so that `augan --help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from augan_cli.doctor import doctor
from augan_cli.errors import usage_error, with_debug
from augan_cli.evaluating import evaluate
from augan_cli.exporting import export
from augan_cli.merging import merge
from augan_cli.options import (
    Fail,
    Json,
    Method,
    Model,
    Out,
    Recorded,
    Scheduler,
    Sharded,
    Workers,
)
from augan_cli.options import find as _find
from augan_cli.options import show as _show

app = typer.Typer(
    name="augan",
    help="Train a GAN on your own images or tables; synthesise labeled samples; detect anomalies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(evaluate, name="evaluate")

Run = Annotated[Path | None, typer.Option(help="Run folder; default: runs/<time>-<data>.")]
Target = Annotated[str | None, typer.Option(help="Column of a table that names each row's class.")]
Format = Annotated[
    str | None, typer.Option(help="png or npz of images, csv of tables; default: png, csv.")
]
Maps = Annotated[
    bool, typer.Option("--maps", help="Also write a map of every image, as 16-bit PNG.")
]
Ignore = Annotated[
    Path | None,
    typer.Option(help="PNG as large as the images; what is above 0 there never counts."),
]
Cross = Annotated[
    bool, typer.Option("--cross", help="Of few normals all calibrate: 5 trainings, task detect.")
]
Curves = Annotated[
    bool, typer.Option("--tensorboard", help="Also write curves into RUN/tensorboard.")
]
Distribute = Annotated[
    str, typer.Option(help="none, mirrored (GPUs), multiworker (TF_CONFIG), or what is there.")
]
DryRun = Annotated[bool, typer.Option(help="Print the resolved settings and stop.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
Codes = Annotated[
    bool, typer.Option(help="Keep the latent codes of the training images in the bundle.")
]
Minutes = Annotated[
    float | None, typer.Option(help="Time for this call; its end may take half a minute more.")
]
Dtype = Annotated[str | None, typer.Option(help="What the GAN computes in: float32 or bfloat16.")]
Classes = Annotated[
    list[str] | None, typer.Option("--class", help="Class by name, or by number; may be repeated.")
]
Number = Annotated[int | None, typer.Option("--n", help="Images or rows to keep of each class.")]
Balance = Annotated[
    bool, typer.Option("--balance", help="In its place: make each class as large as the largest.")
]
To = Annotated[int | None, typer.Option(help="With --balance: as large as this.")]
Policy = Annotated[
    str | None,
    typer.Option(help="Classic augmentation on top; default: augment.policy of the training."),
]
Filtered = Annotated[
    bool, typer.Option("--filter/--no-filter", help="Leave out what is not credible.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")]


@app.command()
@with_debug
def train(
    data: Annotated[
        str | None,
        typer.Argument(
            help="Folder of images, of class folders, or with train/; .npz; folder of IDX files; "
            "table (.csv, .tsv, .parquet); 'digits' or 'fashion-mnist'. Default: digits, and "
            "examples in ./images to detect on.",
            show_default=False,
        ),
    ] = None,
    out: Run = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the GAN.")] = None,
    max_minutes: Minutes = None,
    task: Annotated[str | None, typer.Option(help="auto, generate, detect or both.")] = None,
    target: Target = None,
    groups: Annotated[Path | None, typer.Option(help="CSV path,group.")] = None,
    cross: Cross = False,
    training_codes: Codes = True,
    dtype: Dtype = None,
    resume: Resume = False,
    tensorboard: Curves = False,
    distribute: Distribute = "auto",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train on images, or on the rows of a table, and save one bundle."""
    from augan_cli.training import run_training

    settings: dict[str, Any] = {"seed": seed, "task": task, "training.steps": steps}
    settings |= {"training.max_minutes": max_minutes, "detect.cross_conformal": cross or None}
    settings |= {
        "training.dtype": dtype,
        "training.store_latents": None if training_codes else False,
    }
    chosen = [*(set_ or []), *(f"{k}={v}" for k, v in settings.items() if v is not None)]
    how = {"resume": resume, "tensorboard": tensorboard, "distribute": distribute}
    run_training(data, out, config, chosen, target, groups, dry_run, as_json, **how)


@app.command()
@with_debug
def augment(
    classes: Classes = None,
    n: Number = None,
    balance: Balance = False,
    to: To = None,
    model: Model = None,
    out: Out = None,
    seed: Seed = 0,
    method: Annotated[str, typer.Option(help="auto, sample, interpolate or transfer.")] = "auto",
    policy: Policy = None,
    data: Recorded = None,
    filtered: Filtered = True,
    format: Format = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    shard: Sharded = None,
    as_json: Json = False,
) -> None:
    """Write synthetic images or rows of classes, with a manifest.

    Left out are those that the classifier takes for another class, that look less real than real
    ones, or that nearly repeat a training image or one another. The exit code is 1, and nothing is
    written, if too few of a class are left to be credible. Interrupted, the same command goes on.
    """
    from augan_cli.using import run_augment

    asked: dict[str, Any] = {"seed": seed, "method": method, "policy": policy, "format": format}
    asked |= {"data": data, "filtered": filtered, "balance": balance, "to": to}
    asked |= {"workers": workers, "scheduler": scheduler}
    run_augment(_find(model, "generator", "classes"), classes or (), n, out, shard, asked, as_json)


@app.command()
@with_debug
def generate(
    n: Annotated[int, typer.Option("--n", help="Images or rows to write.")],
    model: Model = None,
    out: Out = None,
    seed: Seed = 0,
    format: Format = None,
    as_json: Json = False,
) -> None:
    """Write synthetic images or rows, unfiltered, classes as often as in training."""
    from augan.augment.api import generate_folder
    from augan_cli.using import show_augmentation

    result = generate_folder(_find(model, "generator"), n, out, seed=seed, format=format)
    show_augmentation(result, as_json)


@app.command()
@with_debug
def detect(
    images: Annotated[
        Path, typer.Argument(help="Folder of images, flat or nested, one image, or a table.")
    ],
    model: Model = None,
    far: Annotated[
        float | None,
        typer.Option(
            help="Share of good images that may be flagged; default: the model's own, else 0.05."
        ),
    ] = None,
    fdr: Annotated[
        float | None,
        typer.Option(help="In its place: share of good images among the flagged ones."),
    ] = None,
    method: Method = None,
    maps: Maps = False,
    ignore: Ignore = None,
    fail_on_anomaly: Fail = False,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    shard: Sharded = None,
    as_json: Json = False,
) -> None:
    """Score images or rows and flag the anomalies at a false-alarm rate you choose.

    Writes scores.csv, overlays of what is flagged, and report.html. The exit code is 0, or 2 after
    an error; with --fail-on-anomaly, 1 if anything is flagged.
    """
    from augan_cli.using import run_detect

    asked: dict[str, Any] = {"far": far, "fdr": fdr, "method": method, "maps": maps}
    asked |= {"ignore": ignore, "workers": workers, "scheduler": scheduler}
    run_detect(_find(model, "detector"), images, out, shard, asked, fail_on_anomaly, as_json)


@app.command()
@with_debug
def calibrate(
    run: Annotated[Path, typer.Argument(help="Run folder or bundle with a detector.")],
    normals: Annotated[
        Path, typer.Argument(help="Folder of new normal images, none of them trained on; a table.")
    ],
    groups: Annotated[Path | None, typer.Option(help="CSV path,group.")] = None,
    ignore: Ignore = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the bundle; default: RUN-calibrated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw the detector's line anew on new normal images, without training again.

    RUN is left as it is: the new bundle goes into a folder that must not exist yet, and a detect
    without --model takes it then, as the newest. Whether NORMALS were trained on cannot be checked.
    """
    from augan.detect.recalibration import recalibrate_run
    from augan.report.text import calibration_lines, calibration_summary

    bundle = recalibrate_run(_find(run, "detector"), normals, out, groups, ignore)
    _show(calibration_lines(bundle), calibration_summary(bundle), as_json)


@app.command()
@with_debug
def inspect(
    path: Annotated[Path, typer.Argument(help="Run folder or bundle file.")],
    as_json: Json = False,
) -> None:
    """Show what a bundle holds, without building it."""
    import yaml

    from augan.bundle import inspect_bundle

    contents = inspect_bundle(path)
    _show(yaml.safe_dump(contents, sort_keys=False).splitlines(), contents, as_json)


app.command()(export)
app.command()(merge)
app.command()(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        import augan

        typer.echo(f"augan {augan.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train a GAN on your own images or tables; synthesise labeled samples; detect anomalies."""


def main() -> None:
    """Entry point of the `augan` command."""
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        code = usage_error(error)
    sys.exit(code)
