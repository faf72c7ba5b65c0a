"""`augan evaluate`: what a bundle or a GAN is worth on labeled data, beside simple rivals."""

from pathlib import Path
from typing import Annotated, Any

import typer

from augan_cli.errors import with_debug
from augan_cli.options import Json, Method, Model, Out, Recorded, find, show

evaluate = typer.Typer(
    help="Judge what a bundle does on labeled data, beside simple rivals.", no_args_is_help=True
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
    images: Annotated[Path, typer.Argument(help="Folder of labeled test images, or a table.")],
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
    data: Recorded = None,
    method: Method = None,
    power: Power = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Judge the detector on labeled images, beside baselines fitted on its training images."""
    from augan.detect.output_paths import default_out
    from augan.evaluation.detection.api import evaluate_detection
    from augan.report.html.detection_evaluation import judgement_page
    from augan.report.text import evaluation_lines

    bundle = find(model, "detector")
    out = out or default_out(bundle, images, "evaluate")
    settings: dict[str, Any] = {"normal": normal, "far": far, "masks": masks, "data": data}
    judgement = evaluate_detection(
        bundle, images, labels, **settings, out=out, method=method, power=power
    )
    report = judgement_page(judgement)
    lines, values = [*evaluation_lines(judgement), f"report: {report}"], judgement.to_dict()
    values["summary"] = {**values["summary"], "report": str(report)}
    show(lines, values, as_json)


Data = Annotated[
    str, typer.Argument(help="Folder with train/ and test/; or one folder and --test-size.")
]
Labels = Annotated[int | None, typer.Option(help="Labels of each class in a draw; default: all.")]
Rare = Annotated[
    list[str] | None,
    typer.Option("--rare", help="CLASS=N, labels of a class in place of --labels; repeatable."),
]
Rest = Annotated[
    bool,
    typer.Option("--rest-unlabeled", help="Keep other images, without labels."),
]
TestSize = Annotated[
    float | None, typer.Option(help="Share of each class to test on, where there is no test/.")
]
Classifier = Annotated[str, typer.Option(help="cnn, logistic or forest.")]
Groups = Annotated[
    Path | None, typer.Option(help="CSV path,group: images of one group lie on one side.")
]
Draws = Annotated[int, typer.Option(help="How often labels and seeds are drawn anew.")]
Arms = Annotated[
    str | None, typer.Option(help="Arms without a GAN, comma between them; default: all that fit.")
]
Settings = Annotated[
    Path | None,
    typer.Option("--model", help="Run whose settings the GAN takes; its weights are not used."),
]
Select = Annotated[
    bool, typer.Option("--select", help="Choose GAN and share inside each draw, 0 included.")
]
Share = Annotated[
    float | None, typer.Option(help="Synthetic share of what is drawn of a class; 0 to 1.")
]
Policy = Annotated[str | None, typer.Option(help="Classic augmentation of all arms but the first.")]
Steps = Annotated[int | None, typer.Option(help="Updates of the classifier cnn.")]
GanSteps = Annotated[int | None, typer.Option(help="Updates of the GAN.")]
Drop = Annotated[
    bool, typer.Option("--drop-duplicates", help="Leave out test images that were seen.")
]
Require = Annotated[
    bool, typer.Option("--require-lift", help="Exit with 1 unless a lift is found.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
LiftOut = Annotated[
    Path | None,
    typer.Option("--out", help="Folder to write, or to go on in; default: runs/gain-..."),
]


@evaluate.command("lift")
@with_debug
def evaluate_augmentation(
    data: Data,
    labels: Labels = None,
    rare: Rare = None,
    rest_unlabeled: Rest = False,
    test_size: TestSize = None,
    groups: Groups = None,
    classifier: Classifier = "cnn",
    draws: Draws = 20,
    arms: Arms = None,
    model: Settings = None,
    select: Select = False,
    share: Share = None,
    policy: Policy = None,
    steps: Steps = None,
    gan_steps: GanSteps = None,
    drop_duplicates: Drop = False,
    require_lift: Require = False,
    seed: Seed = 0,
    out: LiftOut = None,
    as_json: Json = False,
) -> None:
    """Find out on real held-out images whether synthetic ones lift a classifier.

    In each draw of labels, a GAN learns from these alone, and a classifier is trained with its
    images and with all that can be done without. The same command goes on where it was stopped.
    The exit code is 0, or 2 after an error; with --require-lift, 1 without evidence of benefit.
    """
    from augan_cli.lifting import run_lift

    options: dict[str, Any] = {"labels_per_class": labels, "rest_unlabeled": rest_unlabeled}
    options |= {"test_size": test_size, "classifier": classifier, "repeats": draws, "seed": seed}
    options |= {
        "tune_fraction": select,
        "synthetic_fraction": share,
        "policy": policy,
        "steps": steps,
    }
    options |= {"gan_steps": gan_steps, "drop_duplicates": drop_duplicates, "groups": groups}
    if not run_lift(data, rare or [], arms, model, out, options, as_json) and require_lift:
        raise typer.Exit(1)
