"""`augan evaluate`: what a bundle or a GAN is worth on labelled data, beside simple rivals."""

from pathlib import Path
from typing import Annotated, Any

import typer

from augan_cli.errors import with_debug
from augan_cli.options import Json, Method, Model, Out, find, show

evaluate = typer.Typer(
    help="Judge what a bundle does on labelled data, beside simple rivals.", no_args_is_help=True
)

Masks = Annotated[
    Path | None, typer.Option(help="Folder of PNG masks, above 0 on defects, named as images.")
]
Power = Annotated[
    bool, typer.Option("--power", help="Find the smallest painted spot that is caught.")
]


@evaluate.command("detection")
@with_debug
def evaluate_detection(
    images: Annotated[Path, typer.Argument(help="Folder of labelled test images, or a table.")],
    labels: Annotated[
        str,
        typer.Option(help="CSV path,label[,group]; or 'folders': the first folder is the label."),
    ],
    normal: Annotated[
        str | None, typer.Option(help="Label of normal images; default: normal, good or ok.")
    ] = None,
    model: Model = None,
    far: Annotated[
        float | None, typer.Option(help="Share of good images that may be flagged.")
    ] = None,
    masks: Masks = None,
    data: Annotated[
        str | None, typer.Option(help="The training data; default: where the bundle found it.")
    ] = None,
    method: Method = None,
    power: Power = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Judge the detector on labelled images, beside baselines fitted on its training images."""
    from augan.detect.folder import default_out
    from augan.detect.judging.judgement import evaluate_detection
    from augan.report.evaluation import evaluation_lines

    bundle = find(model, "detector")
    out = out or default_out(bundle, images, "evaluate")
    settings: dict[str, Any] = {"normal": normal, "far": far, "masks": masks, "data": data}
    judgement = evaluate_detection(
        bundle, images, labels, **settings, out=out, method=method, power=power
    )
    show(evaluation_lines(judgement), judgement.to_dict(), as_json)


Rare = Annotated[
    list[str] | None,
    typer.Option("--rare", help="CLASS=N, labels of a class in place of --labels; repeatable."),
]


@evaluate.command("lift")
@with_debug
def evaluate_lift(
    data: Annotated[
        str, typer.Argument(help="Folder with train/ and test/; or one folder and --test-size.")
    ],
    labels: Annotated[
        int | None, typer.Option(help="Labels of each class in a draw; default: all.")
    ] = None,
    rare: Rare = None,
    rest_unlabelled: Annotated[
        bool,
        typer.Option(
            "--rest-unlabeled", "--rest-unlabelled", help="Keep other images, without labels."
        ),
    ] = False,
    test_size: Annotated[
        float | None, typer.Option(help="Share of each class to test on, without test/.")
    ] = None,
    classifier: Annotated[str, typer.Option(help="cnn, logistic or forest.")] = "cnn",
    draws: Annotated[int, typer.Option(help="How often labels and seeds are drawn anew.")] = 20,
    arms: Annotated[
        str | None, typer.Option(help="Arms without a GAN, comma between them; default: all.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Run whose settings the GAN takes; its weights are not.")
    ] = None,
    select: Annotated[
        bool, typer.Option("--select", help="Choose GAN and share inside each draw, 0 included.")
    ] = False,
    share: Annotated[
        float | None, typer.Option(help="Synthetic share of what is drawn of a class; 0 to 1.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Classic augmentation of all arms but the first.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the classifier cnn.")] = None,
    gan_steps: Annotated[int | None, typer.Option(help="Updates of the GAN.")] = None,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Leave out test images that were seen.")
    ] = False,
    require_lift: Annotated[
        bool, typer.Option("--require-lift", help="Exit with 1 unless a lift is found.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write, or to go on in; default: runs/lift-...")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find out on real held-out images whether synthetic ones lift a classifier.

    Labels are drawn anew again and again; in each draw a GAN learns from these labels alone, and a
    classifier is trained with its images and with all that can be done without them. What is
    finished is kept: the same command goes on. The exit code is 0, or 2 after an error; with
    --require-lift, 1 where there is no evidence of benefit.
    """
    from augan_cli.lifting import run_lift

    options: dict[str, Any] = {"labels": labels, "rest_unlabelled": rest_unlabelled}
    options |= {"test_size": test_size, "classifier": classifier, "draws": draws}
    options |= {"select": select, "share": share, "policy": policy, "steps": steps}
    options |= {"gan_steps": gan_steps, "drop_duplicates": drop_duplicates, "seed": seed}
    if not run_lift(data, rare or [], arms, model, out, options, as_json) and require_lift:
        raise typer.Exit(1)
