"""What the data decides where the configuration says nothing."""

from pathlib import Path
from typing import Any

from augan.config import Config, Task
from augan.data.dataset import Dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.registry import AnyPreprocessing, fit_preprocessing
from augan.data.modalities.tiles import needs_tiling
from augan.data.splits import NUM_FOLDS, make_folds, preprocessing_rows
from augan.exceptions import ConfigError
from augan.training.config_rules import check_rules

# Side of the square -> updates of the GAN, chosen to end within the default minutes on two cores.
# At 128 pixels an update takes over a second there, and the minutes end the training first.
DEFAULT_STEPS = {8: 2000, 16: 4000, 32: 6000, 64: 4000, 128: 4000}
# The same where only the discriminator is wanted, which learns to judge in a tenth of them.
JUDGE_STEPS = {8: 1000, 16: 600, 32: 500, 64: 500, 128: 400}
JUDGE_EVERY = 4  # and of which the generator, whose images teach it little, takes part in a quarter
PATCH_STEPS = 1000
DEFAULT_MINUTES = 14.0
# Of tables, and squares of 8 pixels such as scikit-learn's digits; it takes half a minute on two
# cores, and this ends it where these are busy or slow.
SMALL_DATA_MINUTES = 2.0
MANY_IMAGES = 20_000  # with so many the discriminator does not learn them by heart
NEGATIVES = ("cut_paste", "jigsaw", "perlin", "scar")
# Of windows on surfaces, which have no halves that belong together.
DEFECTS = (
    *("cut_paste", "perlin", "crack", "scratch", "spots", "soft_blob"),
    *("blob", "noise_patch", "blur_patch", "texture_patch", "edge_wear"),
)
RATES = {"spectral": 4e-4}  # Adam's from 16 pixels; 2e-4, DCGAN's, under other norms

_HOW_TO_CLASS = {
    "image": "sort the images into one folder for each class",
    "row": "name the column of classes with --target",
}


def resolve_defaults(
    config: Config, dataset: Dataset, *, calibrate: bool | None = None
) -> tuple[Config, AnyPreprocessing]:
    """Fill in every setting that is left to the data.

    Parameters
    ----------
    calibrate : bool or None
        Whether some samples will calibrate, from which no scaling is learned; None: as the task
        says.

    Returns
    -------
    config : Config
        Without `None`, except for limits that do not apply.
    preprocessing : ImagePreprocessing or TabularPreprocessing
        Fitted to the dataset.

    Raises
    ------
    ConfigError
        If the data cannot serve the task, or the machine the type.
    """
    check_dtype_support(config.training.dtype)
    task = _task(config, dataset)
    if config.detect.cross_conformal and task != "detect":
        raise ConfigError(
            f"detect.cross_conformal=true needs the task detect, but the task is {task}: "
            "add --task detect, or leave --cross-conformal out"
        )
    if config.detect.cross_conformal:
        make_folds(len(dataset), seed=config.seed, groups=dataset.groups)  # refuses too few
    if task == "detect":  # they may hold anomalies, which shall not decide either
        dataset = dataset.without_unlabeled()
    patches = _patches(config, dataset, task)
    calibrate = task != "generate" if calibrate is None else calibrate
    learned = preprocessing_rows(config, dataset, calibrate=calibrate)
    preprocessing = fit_preprocessing(dataset, config.data.size, patches=patches, rows=learned)
    # Of windows the side that networks see; of a table none.
    size = preprocessing.sample_shape[0] if isinstance(preprocessing, ImagePreprocessing) else None
    small = size in (None, min(DEFAULT_STEPS))
    changes: dict[str, Any] = {"task": task, "data__size": size or config.data.size}
    changes["data__tiling"] = patches
    if config.gan.architecture is None:
        changes["gan__architecture"] = "mlp" if size is None else "dcgan"
    loss, norm = _loss_and_norm(config, dataset.sample_type, small, patches)
    changes |= {"gan__loss": loss, "discriminator__norm": norm}
    if config.gan.diffaug is None:
        # One pixel is an eighth of the smallest square: there a shift is no small change. And
        # where images are many, what is not needed only blurs what the generator is told.
        enough = small or patches or len(dataset) >= MANY_IMAGES
        changes["gan__diffaug"] = [] if enough else ["translation"]
    # Where the discriminator's steps are imagined, they are those of the plain game.
    able = dataset.sample_type == "image" and not config.gan.unrolled_steps
    judges = able and _judges(config, task)
    if config.gan.negative_augmentations is None:
        usual = DEFECTS if patches else NEGATIVES
        changes["gan__negative_augmentations"] = list(usual) if judges else []
    if config.gan.self_supervision is None:
        changes["gan__self_supervision"] = judges and not patches
    chosen = config.replace(**changes)
    if config.gan.localization_head is None:
        shifted = chosen.gan.diffaug or chosen.discriminator.norm == "layer"
        changes["gan__localization_head"] = (
            patches and bool(chosen.gan.negative_augmentations) and not shifted
        )
    judge_only = judges and task == "detect" and not _draws(config)
    if config.gan.generator_interval is None:
        learns_more = bool(chosen.gan.negative_augmentations or chosen.gan.self_supervision)
        seldom = judge_only and learns_more and not small and _is_plain(config)
        changes["gan__generator_interval"] = JUDGE_EVERY if seldom else 1
    if config.gan.latent_dim is None:
        changes["gan__latent_dim"] = _latent_dim(preprocessing)
    if config.gan.betas is None:
        # With momentum the generator of rows overshoots, and fills what should stay empty.
        changes["gan__betas"] = (0.0, 0.99) if dataset.sample_type == "row" else (0.5, 0.999)
    if config.gan.regularizer is None:
        changes |= _penalty(config.replace(**changes), dataset.sample_type)
    for player in ("generator", "discriminator"):
        if getattr(config, player).learning_rate is None:
            fast = small or (patches and player == "discriminator")
            changes[f"{player}__learning_rate"] = 1e-3 if fast else RATES.get(norm, 2e-4)
    if config.evaluation.interval is None:
        # The largest squares get few updates in their time, and are to be measured all the same.
        changes["evaluation__interval"] = 250 if size in (None, 8, 128) else 500
    if config.training.steps is None and config.training.max_minutes is None:
        steps = JUDGE_STEPS if judge_only else DEFAULT_STEPS
        changes["training__steps"] = PATCH_STEPS if patches else steps.get(size or 8, steps[64])
        minutes = SMALL_DATA_MINUTES if small else DEFAULT_MINUTES
        changes["training__max_minutes"] = minutes * (
            NUM_FOLDS if config.detect.cross_conformal else 1
        )
    config = config.replace(**changes)
    check_rules(config, dataset.sample_type)
    return config, preprocessing


def resolve_reproducible_defaults(
    config: Config, dataset: Dataset, *, calibrate: bool | None = None
) -> tuple[Config, AnyPreprocessing]:
    """Do what `resolve_defaults` does, but leave minutes that nobody asked for away.

    So the result is the same however busy the machine is.
    """
    filled, preprocessing = resolve_defaults(config, dataset, calibrate=calibrate)
    minutes = config.training.max_minutes
    return filled.replace(training__max_minutes=minutes), preprocessing


def _patches(config: Config, dataset: Dataset, task: Task) -> bool:
    """Whether a detector shall look at large images through windows, at their own scale."""
    able = task == "detect" and dataset.sample_type == "image" and not _draws(config)
    if config.data.tiling and not able:
        raise ConfigError(
            "data.tiling=true is for detectors alone: it needs images, --task detect, and "
            "detect.method auto or features without others beside them"
        )
    if config.data.tiling is not None or not able or config.data.size is not None:
        return bool(config.data.tiling)
    return needs_tiling(dataset)


def _judges(config: Config, task: Task) -> bool:
    """Whether the discriminator learns more than a generator needs, to judge better.

    It takes time, and generated images are no better for it: where both are wanted only on demand.
    """
    wanted = {"detect": ("features", "auto"), "both": ("features",)}.get(task, ())
    return config.detect.method in wanted


def _draws(config: Config) -> bool:
    """Whether a detector needs a generator that draws well."""
    return not {"fanogan", "anogan"}.isdisjoint((config.detect.method, *config.detect.methods))


def _is_plain(config: Config) -> bool:
    """Whether nothing was chosen that belongs to a game in which both players take their turns."""
    gan, judge = config.gan, config.discriminator
    chosen = (
        gan.has_gradient_penalty,
        gan.label_smoothing,
        gan.label_noise,
        gan.unrolled_steps,
        judge.weight_clip,
    )
    return not any(chosen) and judge.steps == 1 and config.generator.steps == 1


def _loss_and_norm(config: Config, sample_type: str, small: bool, patches: bool) -> tuple[str, str]:
    """DCGAN's on the smallest squares; else those of SNGAN, whose images keep to their classes."""
    softened = config.gan.label_smoothing or config.gan.label_noise
    loss = config.gan.loss or ("nonsaturating" if small or softened else "hinge")
    # With batch statistics most runs on a few hundred rows of a table diverge; without, none did.
    # Places of windows are found soonest by a discriminator that nothing holds back.
    usual = "none" if sample_type == "row" or patches else "batch" if small else "spectral"
    return loss, config.discriminator.norm or usual


def _latent_dim(preprocessing: AnyPreprocessing) -> int:
    """Return how many numbers a code has: 64, of a narrow table four for each of its values.

    More make the generator fill what lies between its rows.
    """
    shape = preprocessing.sample_shape
    return 64 if len(shape) > 1 else min(64, max(8, 4 * shape[0]))


def _penalty(config: Config, sample_type: str) -> dict[str, Any]:
    """Of tables R1 at every update, which costs little: without it their GAN runs in circles."""
    judge, gan = config.discriminator, config.gan
    bound = gan.loss == "wasserstein" or judge.weight_clip is not None
    if sample_type != "row" or judge.norm == "batch" or bound or gan.unrolled_steps:
        return {"gan__regularizer": "none"}
    return {"gan__regularizer": "r1", "gan__regularizer_interval": gan.regularizer_interval or 1}


def _task(config: Config, dataset: Dataset) -> Task:
    task: Task = config.task
    if task == "auto":
        task = "both" if dataset.num_classes > 1 else "detect"
    if task == "both" and dataset.num_classes < 2:
        raise ConfigError(
            f"{dataset.name} has {dataset.num_classes} classes, and --task both needs at least 2; "
            f"{_HOW_TO_CLASS[dataset.sample_type]}, or use --task detect or generate"
        )
    return task


_PROCESSOR = Path("/proc/cpuinfo")
_GPU = Path("/dev/nvidiactl")
_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # the last is Arm's


def check_dtype_support(dtype: str) -> None:
    """Raise ConfigError if the machine does not know the type."""
    if dtype == "float32" or _GPU.exists() or _FLAGS & _flags():
        return
    raise ConfigError(
        "training.dtype=bfloat16 needs a processor that multiplies it itself, and /proc/cpuinfo "
        "names none of avx512_bf16, amx_bf16 and bf16; leave --dtype out"
    )


def _flags() -> set[str]:
    try:
        text = _PROCESSOR.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    lines = (line.partition(":") for line in text.splitlines())
    return {
        flag
        for name, _, flags in lines
        if name.strip().casefold() in ("flags", "features")
        for flag in flags.split()
    }
