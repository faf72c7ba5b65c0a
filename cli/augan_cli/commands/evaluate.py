"""Command `augan evaluate`: detectors and synthetic images, measured on labeled real images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from augan_cli.errors import handle_errors
from augan_cli.options import (
    FarOption,
    FollowLinksOption,
    JsonOption,
    LabelColumnOption,
    LabelsOption,
    MethodOption,
    ModelOption,
    OutOption,
    PathColumnOption,
    SeedOption,
    TrainingDataOption,
    resolve_bundle,
)
from augan_cli.output import print_result

if TYPE_CHECKING:
    from augan.bundle import Bundle
    from augan.config import Config
    from augan.evaluation.augmentation.result import AugmentationGain
    from augan.evaluation.translation.result import TranslationGain

EXIT_NO_GAIN = 1

evaluate = typer.Typer(
    help="Measure a detector, or the benefit of synthetic images, on labeled real images.",
    no_args_is_help=True,
)

_Images = Annotated[Path, typer.Argument(help="Folder of labeled test images, or a table.")]
_Normal = Annotated[
    str | None, typer.Option(help="Label of the normal images; default: normal, good or ok.")
]
_Masks = Annotated[
    Path | None,
    typer.Option(help="Folder of PNG masks, above 0 on defects, named as the images."),
]
_DetectionLimit = Annotated[
    bool,
    typer.Option("--detection-limit", help="Find the smallest painted defect that is detected."),
]


@evaluate.command("detection")
@handle_errors
def detection(
    images: _Images,
    labels: LabelsOption = None,
    label_column: LabelColumnOption = None,
    path_column: PathColumnOption = None,
    normal: _Normal = None,
    model: ModelOption = None,
    far: FarOption = None,
    masks: _Masks = None,
    training_data: TrainingDataOption = None,
    method: MethodOption = None,
    detection_limit: _DetectionLimit = False,
    follow_links: FollowLinksOption = False,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate the detector on labeled images, next to baselines fitted on its training images."""
    from augan.data.labels import LabelSource
    from augan.detect.output_paths import default_output_folder
    from augan.detect.request import DetectionRequest
    from augan.evaluation.detection.api import evaluate_detection
    from augan.report.html.detection_evaluation import write_detection_evaluation_page
    from augan.report.text import format_detection_evaluation

    request = DetectionRequest(images, far, method=method, follow_links=follow_links)
    bundle = resolve_bundle(model, "detector")
    result = evaluate_detection(
        bundle,
        request,
        LabelSource(labels, label_column, path_column),
        normal=normal,
        masks=masks,
        training_data=training_data,
        out=out or default_output_folder(bundle, images, "evaluate"),
        detection_limit=detection_limit,
    )
    report, values = write_detection_evaluation_page(result), result.to_dict()
    values["summary"] = {**values["summary"], "report": str(report)}
    print_result([*format_detection_evaluation(result), f"report: {report}"], values, as_json)


_Data = Annotated[
    str,
    typer.Argument(help="Folder with train/ and test/, or one folder to split with --test-size."),
]
_LabelsPerClass = Annotated[
    int | None, typer.Option(help="Number of labeled training images per class; default: all.")
]
_Rare = Annotated[
    list[str] | None,
    typer.Option("--rare", help="Number of labels of one class, as CLASS=N; may be repeated."),
]
_RestUnlabeled = Annotated[
    bool,
    typer.Option("--rest-unlabeled", help="Use the remaining training images without labels."),
]
_TestSize = Annotated[
    float | None,
    typer.Option(help="Fraction of each class to test on, for a folder without test/."),
]
_TestGroups = Annotated[
    Path | None,
    typer.Option(help="CSV file with the columns path,group; a group is trained on or tested on."),
]
_Classifier = Annotated[str, typer.Option(help="Classifier: cnn, logistic or forest.")]
_Repeats = Annotated[
    int | None,
    typer.Option(
        help="Number of repeats, each with another label subset and seed; default: 20, or 2 with "
        "--translate-to."
    ),
]
_Arms = Annotated[
    str | None,
    typer.Option(help="Arms without a GAN to compare with, separated by commas; default: all."),
]
_SettingsOf = Annotated[
    Path | None,
    typer.Option("--model", help="Run whose settings the GAN uses; its weights are not used."),
]
_TuneFraction = Annotated[
    bool,
    typer.Option(
        "--tune-fraction",
        help="Select GAN method and synthetic fraction in each repeat, 0 included.",
    ),
]
_SyntheticFraction = Annotated[
    float | None,
    typer.Option(help="Fraction of synthetic images in the training, from 0 to 1."),
]
_Transform = Annotated[
    str | None,
    typer.Option(help="Classic augmentation of all arms but the first, such as shift-flip."),
]
_Steps = Annotated[int | None, typer.Option(help="Number of training steps of the classifier cnn.")]
_GanSteps = Annotated[int | None, typer.Option(help="Number of training steps of the GAN.")]
_DropDuplicates = Annotated[
    bool,
    typer.Option("--drop-duplicates", help="Drop test images that equal a training image."),
]
_RequireGain = Annotated[
    bool, typer.Option("--require-gain", help="Exit with 1 without evidence of a gain.")
]
_NewOrResumed = Annotated[
    Path | None,
    typer.Option("--out", help="Folder to write to or to continue in; default: one in runs/."),
]


_TranslateTo = Annotated[
    str | None,
    typer.Option(
        help="Folder of a new camera: measure there whether images of DATA, the old camera, help "
        "after translation to its look."
    ),
]
_Missing = Annotated[
    list[str] | None,
    typer.Option(
        "--missing",
        help="Class without labels on the new camera, or with --labels-per-class labels; may be "
        "repeated.",
    ),
]
_ClassMap = Annotated[
    Path | None,
    typer.Option(help="CSV file with the columns old,new: other class names of the new camera."),
]


class _CommandWithArms(TyperCommand):
    """Command whose help ends with the registered arms, which are read for the help only."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help with the names and descriptions of all arms."""
        from augan.choices import ARMS, CAMERA_ARMS

        arms, camera_arms = (
            "; ".join(f"{name}: {description}" for name, description in registry.describe().items())
            for registry in (ARMS, CAMERA_ARMS)
        )
        self.epilog = f"Arms without a GAN. {arms}. Arms with --translate-to. {camera_arms}."
        super().format_help(ctx, formatter)


@evaluate.command("augmentation", cls=_CommandWithArms)
@handle_errors
def augmentation(
    data: _Data,
    labels_per_class: _LabelsPerClass = None,
    rare: _Rare = None,
    rest_unlabeled: _RestUnlabeled = False,
    test_size: _TestSize = None,
    groups: _TestGroups = None,
    labels: LabelsOption = None,
    label_column: LabelColumnOption = None,
    path_column: PathColumnOption = None,
    follow_links: FollowLinksOption = False,
    classifier: _Classifier = "cnn",
    repeats: _Repeats = None,
    arms: _Arms = None,
    model: _SettingsOf = None,
    tune_fraction: _TuneFraction = False,
    synthetic_fraction: _SyntheticFraction = None,
    transform: _Transform = None,
    steps: _Steps = None,
    gan_steps: _GanSteps = None,
    drop_duplicates: _DropDuplicates = False,
    translate_to: _TranslateTo = None,
    missing: _Missing = None,
    class_map: _ClassMap = None,
    require_gain: _RequireGain = False,
    seed: SeedOption = 0,
    out: _NewOrResumed = None,
    as_json: JsonOption = False,
) -> None:
    """Measure on held-out real images whether synthetic images improve a classifier.

    In each repeat a GAN trains on a subset of the labels. Then one classifier trains with its
    images, and others with everything that needs no GAN. The same command continues where it was
    stopped. The exit code is 0, or 2 after an error; with --require-gain it is 1 without evidence
    of a gain. With --translate-to, the synthetic images are images of an old camera that a GAN
    translates to the look of a new one; the arm is chosen by common classes that are hidden in
    turn.
    """
    from augan.io.layout import RUNS_FOLDER

    chosen_arms = None if arms is None else [arm.strip() for arm in arms.split(",")]
    _check_camera_options(
        translate_to,
        {"missing": missing, "class_map": class_map},
        {
            "rare": rare,
            "rest_unlabeled": rest_unlabeled,
            "classifier": classifier != "cnn",
            "synthetic_fraction": synthetic_fraction is not None,
            "tune_fraction": tune_fraction,
            "model": model,
        },
    )
    if translate_to is not None:
        from augan.evaluation.translation.api import evaluate_translation
        from augan.evaluation.translation.protocol import (
            DEFAULT_REPEATS,
            DEFAULT_STEPS,
            TranslationProtocol,
        )

        result = evaluate_translation(
            data,
            translate_to,
            TranslationProtocol(
                missing=missing or (),
                labels_per_class=labels_per_class or 0,
                test_size=test_size,
                groups=groups,
                class_map=class_map,
                repeats=DEFAULT_REPEATS if repeats is None else repeats,
                arms=chosen_arms,
                steps=DEFAULT_STEPS if steps is None else steps,
                transform=transform,
                gan_steps=gan_steps,
                drop_duplicates=drop_duplicates,
                seed=seed,
            ),
            out=out,
        )
        _print_translation_gain(result, as_json)
        if require_gain and not result.is_significant:
            raise typer.Exit(EXIT_NO_GAIN)
        return
    from augan.evaluation.augmentation.api import evaluate_augmentation
    from augan.evaluation.augmentation.protocol import DEFAULT_REPEATS as MANY_REPEATS
    from augan.evaluation.augmentation.protocol import EvaluationProtocol

    bundle = None if model is None else resolve_bundle(model, "generator", "classes")
    protocol = EvaluationProtocol(
        labels_per_class=labels_per_class,
        rare=parse_rare(rare or []),
        rest_unlabeled=rest_unlabeled,
        test_size=test_size,
        groups=groups,
        labels=labels,
        label_column=label_column,
        path_column=path_column,
        follow_links=follow_links,
        classifier=classifier,
        steps=steps,
        transform=transform,
        repeats=MANY_REPEATS if repeats is None else repeats,
        arms=chosen_arms,
        gan_steps=gan_steps,
        synthetic_fraction=synthetic_fraction,
        tune_fraction=tune_fraction,
        config=None if bundle is None else _config(bundle),
        drop_duplicates=drop_duplicates,
        seed=seed,
    )
    gain = evaluate_augmentation(
        data,
        protocol,
        out=out,
        runs_dir=RUNS_FOLDER if bundle is None else bundle.saved_path().parent,
    )
    _print_gain(gain, as_json)
    if require_gain and not gain.is_significant:
        raise typer.Exit(EXIT_NO_GAIN)


def _check_camera_options(
    translate_to: str | None, needing: Mapping[str, Any], excluded: Mapping[str, Any]
) -> None:
    """Raise ConfigError for options that do not go with `--translate-to`, or go only with it.

    Parameters
    ----------
    translate_to : str or None
        Folder of the new camera.
    needing, excluded : mapping of str to any
        Options that need `--translate-to`, and options that exclude it. A true value: the option is
        given.
    """
    from augan.exceptions import ConfigError

    wrong = [name for name, value in (excluded if translate_to else needing).items() if value]
    if wrong and translate_to is None:
        raise ConfigError(
            f"`{wrong[0]}` is about a new camera; name its folder with `translate_to`, or leave "
            f"`{wrong[0]}` out"
        )
    if wrong:
        raise ConfigError(f"`{wrong[0]}` does not go with `translate_to`; leave one of the two out")
    if translate_to is not None and not needing["missing"]:
        raise ConfigError(
            "`translate_to` needs the classes without labels on the new camera; name each with "
            "`missing`"
        )


def _print_translation_gain(gain: "TranslationGain", as_json: bool) -> None:
    """Write the report of an evaluation of translation, and print its result."""
    from augan.report.html.translation_evaluation import write_translation_evaluation_page
    from augan.report.text import format_translation_evaluation

    report, values = write_translation_evaluation_page(gain), gain.to_dict()
    *lines, sentence = format_translation_evaluation(gain)
    values["summary"] = {**values["summary"], "report": str(report)}
    print_result([*lines, f"report: {report}", sentence], values, as_json)


def _config(bundle: "Bundle") -> "Config":
    """Return the settings of the run that `--model` names."""

    return bundle.config


def _print_gain(gain: "AugmentationGain", as_json: bool) -> None:
    """Write the report of an evaluation of augmentation, and print its result."""
    from augan.report.html.augmentation_evaluation import write_augmentation_evaluation_page
    from augan.report.text import format_augmentation_evaluation

    report, values = write_augmentation_evaluation_page(gain), gain.to_dict()
    *lines, sentence = format_augmentation_evaluation(gain)
    values["summary"] = {**values["summary"], "report": str(report)}
    print_result([*lines, f"report: {report}", sentence], values, as_json)


def parse_rare(texts: Sequence[str]) -> dict[str, int]:
    """Parse the values of `--rare`, such as "coat=20", to a number of labels per class name.

    Raises
    ------
    ConfigError
        A text does not have the form CLASS=N, or a class is named twice.
    """
    from augan.exceptions import ConfigError

    numbers: dict[str, int] = {}
    for text in texts:
        name, _, digits = text.rpartition("=")
        try:
            number = int(digits)
        except ValueError:
            number, name = 0, ""
        if not name:
            raise ConfigError(f"--rare takes CLASS=N, such as coat=20, but got '{text}'")
        if name in numbers:
            raise ConfigError(f"--rare names the class '{name}' twice; keep one of the two")
        numbers[name] = number
    return numbers
