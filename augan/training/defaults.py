"""Default values of the settings that depend on the data, such as image size, steps and loss."""

from pathlib import Path
from typing import Any

from augan.choices import (
    ARCHITECTURES,
    CORRUPTIONS,
    DETECTION_METHODS,
    LOSSES,
    DetectionMethod,
    default_architecture,
)
from augan.config import Config, Task, require_resolved
from augan.data.dataset import Dataset
from augan.data.modalities.base import Preprocessing, TrainingDefaults
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.registry import fit_preprocessing, preprocessing_class, supports_tiling
from augan.data.modalities.tiles import TiledPreprocessing, needs_tiling
from augan.data.splits import NUM_FOLDS, make_folds, preprocessing_rows
from augan.exceptions import ConfigError
from augan.training.config_rules import MIN_TRANSLATION_SIZE, check_rules

# Steps of the GAN by image size, chosen to end within the default minutes on two cores. At 128
# pixels a step takes over a second there, and the minutes end the training first.
DEFAULT_STEPS = {8: 2000, 16: 4000, 32: 6000, 64: 4000, 128: 4000}
# Steps for a detector without a generator: its discriminator needs a tenth of the steps.
DETECTOR_STEPS = {8: 1000, 16: 600, 32: 500, 64: 500, 128: 400}
# Interval of the generator's steps for such a detector: generated images teach its discriminator
# little.
DETECTOR_GENERATOR_INTERVAL = 4
TILING_STEPS = 1000  # steps for a detector of tiles
DEFAULT_MINUTES = 14.0
# For tables and for images of 8 pixels, such as scikit-learn's digits: they take half a minute on
# two idle cores, and longer on slow or busy ones.
SMALL_DATA_MINUTES = 2.0
MANY_IMAGES = 20_000  # number of images that the discriminator does not memorize
# Learning rates of Adam: DCGAN's, one for spectral normalization, and one for small images, tables,
# and discriminators of tiles.
LEARNING_RATE, SPECTRAL_LEARNING_RATE, SMALL_DATA_LEARNING_RATE = 2e-4, 4e-4, 1e-3
LATENT_DIM = 64
BATCH_SIZE = 64
# Number of updates of a translation, and images of each camera in an update. With these,
# translators of images of 32 pixels train for about three minutes on one core.
TRANSLATION_STEPS, TRANSLATION_BATCH_SIZE = 1500, 32
TRANSLATION_SIDE = 64  # images of more pixels a side get proportionally more minutes


def resolve_defaults(
    config: Config, dataset: Dataset, *, calibrate: bool | None = None
) -> tuple[Config, Preprocessing]:
    """Fill in every setting that the user left open, from the training data and the task.

    Parameters
    ----------
    config : Config
        Settings of the user; a setting of None is open.
    dataset : Dataset
        Training data.
    calibrate : bool or None
        Whether some samples calibrate a detector; the preprocessing is not fitted to these samples.
        None: as the task needs.

    Returns
    -------
    config : Config
        Without `None`, except for limits that do not apply.
    preprocessing : Preprocessing
        Fitted to the dataset.

    Raises
    ------
    ConfigError
        The data is not suitable for the task, the settings contradict each other, or the machine
        does not support the dtype.
    """
    check_dtype_support(config.training.dtype)
    task = _task(config, dataset)
    if config.detect.cross_conformal and task != "detect":
        raise ConfigError(
            f"detect.cross_conformal=true needs the task detect, but the task is {task}: "
            "add --task detect, or leave --cross-conformal out"
        )
    if config.detect.cross_conformal:
        make_folds(
            len(dataset), seed=config.seed, groups=dataset.groups
        )  # raises if they are too few
    if task == "detect":  # unlabeled images may be anomalous: they must not influence settings
        dataset = dataset.without_unlabeled()
    tiling = _uses_tiling(config, dataset, task)
    calibrate = task != "generate" if calibrate is None else calibrate
    rows = preprocessing_rows(config, dataset, calibrate=calibrate)
    preprocessing = fit_preprocessing(dataset, config.data.size, tiled=tiling, rows=rows)
    suited, size = preprocessing.training_defaults, preprocessing.side
    is_small = size in (None, min(DEFAULT_STEPS))
    changes: dict[str, Any] = {"task": task, "data__size": size or config.data.size}
    changes["data__tiling"] = tiling
    default = default_architecture("generator", dataset.sample_type)
    architecture = ARCHITECTURES.get(config.gan.architecture or default.name)
    changes["gan__architecture"] = architecture.name
    loss, norm = _loss_and_norm(config, suited, is_small)
    if config.discriminator.norm is None and "norm" not in architecture.arguments:
        norm = "none"
    changes |= {"gan__loss": loss, "discriminator__norm": norm}
    changes["training__batch_size"] = config.training.batch_size or BATCH_SIZE
    changes["training__dtype"] = config.training.dtype or "float32"
    if config.gan.diffaug is None:
        # In images of 8 pixels, a shift by one pixel is a large change. With many images,
        # augmentation is not needed and only blurs the generator's training signal.
        is_needless = is_small or tiling or len(dataset) >= MANY_IMAGES
        changes["gan__diffaug"] = [] if is_needless else ["translation"]
    # The unrolled steps of the discriminator descend the adversarial loss only.
    corruptions = [kind.name for kind in CORRUPTIONS if preprocessing.modality in kind.default_for]
    is_possible = bool(corruptions) and not config.gan.unrolled_steps
    aux_losses = is_possible and _uses_aux_losses(config, task)
    if config.gan.negative_augmentations is None:
        changes["gan__negative_augmentations"] = corruptions if aux_losses else []
    if config.gan.self_supervision is None:
        changes["gan__self_supervision"] = aux_losses and suited.has_transformations
    gan = config.replace(**changes).gan
    if config.gan.localization_head is None:
        # A shift or layer normalization separates activations from the corrupted locations.
        is_shifted = gan.diffaug or norm == "layer"
        changes["gan__localization_head"] = (
            tiling
            and architecture.has_feature_maps
            and bool(gan.negative_augmentations)
            and not is_shifted
        )
    discriminator_only = aux_losses and task == "detect" and not _needs_good_generator(config)
    if config.gan.generator_interval is None:
        has_aux_losses = bool(gan.negative_augmentations or gan.self_supervision)
        is_rare = discriminator_only and has_aux_losses and not is_small and _is_plain_gan(config)
        changes["gan__generator_interval"] = DETECTOR_GENERATOR_INTERVAL if is_rare else 1
    if config.gan.latent_dim is None:
        changes["gan__latent_dim"] = _latent_dim(preprocessing)
    if config.gan.betas is None:
        changes["gan__betas"] = suited.betas
    if config.gan.regularizer is None:
        changes |= _regularizer(config.replace(**changes), suited.regularizer)
    rate = SPECTRAL_LEARNING_RATE if norm == "spectral" else LEARNING_RATE
    for network in ("generator", "discriminator"):
        if getattr(config, network).learning_rate is None:
            is_fast = is_small or (tiling and network == "discriminator")
            changes[f"{network}__learning_rate"] = SMALL_DATA_LEARNING_RATE if is_fast else rate
    if config.evaluation.interval is None:
        # Images of 128 pixels get few steps within the minutes, and are evaluated more often.
        changes["evaluation__interval"] = 250 if size in (None, 8, 128) else 500
    if config.training.steps is None and config.training.max_minutes is None:
        steps = DETECTOR_STEPS if discriminator_only else DEFAULT_STEPS
        changes["training__steps"] = TILING_STEPS if tiling else steps.get(size or 8, steps[64])
        minutes = SMALL_DATA_MINUTES if is_small else DEFAULT_MINUTES
        num_trainings = NUM_FOLDS if config.detect.cross_conformal else 1
        changes["training__max_minutes"] = minutes * num_trainings
    config = config.replace(**changes)
    check_rules(config, dataset.sample_type)
    return config, preprocessing


def resolve_reproducible_defaults(
    config: Config, dataset: Dataset, *, calibrate: bool | None = None
) -> tuple[Config, Preprocessing]:
    """Fill in the open settings, without a default time limit, for reproducible trainings.

    Works as `resolve_defaults`, but `training.max_minutes` stays as the user set it. Therefore the
    result of the training does not depend on the load of the machine.
    """
    resolved, preprocessing = resolve_defaults(config, dataset, calibrate=calibrate)
    minutes = config.training.max_minutes
    return resolved.replace(training__max_minutes=minutes), preprocessing


def resolve_translation_defaults(
    config: Config, old: Dataset, new: Dataset
) -> tuple[Config, ImagePreprocessing, ImagePreprocessing]:
    """Fill in the settings of a translation to a new camera that the user left open.

    Settings of a GAN and of detectors stay open, because a translation has neither.

    Parameters
    ----------
    config : Config
        Settings of the user; a setting of None is open. The task must be "auto" or "translate".
    old, new : Dataset
        Images of each camera.

    Returns
    -------
    config : Config
        `data.size` is the larger of the sizes that suit the cameras, at least 16.
    of_old, of_new : ImagePreprocessing
        Preprocessing of each camera: equal sizes, but channels, type and range of its own.

    Raises
    ------
    ConfigError
        The task is another one, settings contradict each other, or the machine does not support the
        dtype.
    """
    check_dtype_support(config.training.dtype)
    if config.task not in ("auto", "translate"):
        raise ConfigError(
            f"`translate_to` needs the task translate, but the task is {config.task}; leave out "
            f"`task={config.task}`, or leave out `translate_to`"
        )
    if config.translation.class_weight and old.num_classes < 2:
        raise ConfigError(
            f"translation.class_weight={config.translation.class_weight:g} needs a classifier of "
            f"the old camera, but {old.name} has {old.num_classes} classes; label its images, or "
            "set translation.class_weight=0"
        )
    size: int | None = config.data.size
    if size is None:
        sides = [ImagePreprocessing.fit(dataset).size for dataset in (old, new)]
        size = max(*sides, MIN_TRANSLATION_SIZE)
    changes: dict[str, Any] = {"task": "translate", "data__size": size}
    changes["training__batch_size"] = config.training.batch_size or TRANSLATION_BATCH_SIZE
    changes["training__dtype"] = config.training.dtype or native_dtype()
    if config.training.steps is None and config.training.max_minutes is None:
        changes["training__steps"] = TRANSLATION_STEPS
        changes["training__max_minutes"] = DEFAULT_MINUTES * max(1, size / TRANSLATION_SIDE) ** 2
    config = config.replace(**changes)
    check_rules(config)
    of_old, of_new = (ImagePreprocessing.fit(dataset, size) for dataset in (old, new))
    return config, of_old, of_new


def _uses_tiling(config: Config, dataset: Dataset, task: Task) -> bool:
    """Return whether a detector scores large images in tiles, at their original scale.

    Raises ConfigError if `data.tiling` is set but not possible.
    """
    can_tile = supports_tiling(dataset.sample_type)
    is_possible = task == "detect" and can_tile and all(map(_scores_tiles, _methods(config)))
    if config.data.tiling and not is_possible:
        methods = " or ".join(method.name for method in DETECTION_METHODS if _scores_tiles(method))
        raise ConfigError(
            f"data.tiling=true requires images, --task detect, and detect.method={methods} "
            "without other methods"
        )
    if config.data.tiling is not None or not is_possible or config.data.size is not None:
        return bool(config.data.tiling)
    return needs_tiling(dataset)


def _uses_aux_losses(config: Config, task: Task) -> bool:
    """Return whether the discriminator trains on auxiliary losses for `detect.method`."""
    return task in DETECTION_METHODS.get(config.detect.method).auxiliary_losses


def _needs_good_generator(config: Config) -> bool:
    """Return whether a configured detection method reconstructs images with the generator."""
    return any("generator" in method.required_networks for method in _methods(config))


def _methods(config: Config) -> list[DetectionMethod]:
    """Return the declarations of all configured detection methods."""
    names = (config.detect.method, *config.detect.methods)
    return [DETECTION_METHODS.get(name) for name in names]


def _scores_tiles(method: DetectionMethod) -> bool:
    """Return whether a detection method scores large images in tiles."""
    return TiledPreprocessing.modality in method.modalities


def _is_plain_gan(config: Config) -> bool:
    """Return whether the generator may skip steps, because no setting needs both networks.

    Gradient penalties, soft labels, unrolled steps, clipping and several updates per step are
    defined only for steps that train both networks.
    """
    gan, discriminator = config.gan, config.discriminator
    requirements = (
        gan.has_gradient_penalty,
        gan.label_smoothing,
        gan.label_noise,
        gan.unrolled_steps,
        discriminator.weight_clip,
    )
    return not any(requirements) and discriminator.steps == 1 and config.generator.steps == 1


def _loss_and_norm(config: Config, suited: TrainingDefaults, is_small: bool) -> tuple[str, str]:
    """Return the settings `gan.loss` and `discriminator.norm`.

    The defaults for small images are DCGAN's, and SNGAN's for others, because SNGAN's images stay
    closer to their classes. Other modalities have a norm of their own.
    """
    has_soft_labels = config.gan.label_smoothing or config.gan.label_noise
    loss = config.gan.loss or ("nonsaturating" if is_small or has_soft_labels else "hinge")
    norm = suited.norm or ("batch" if is_small else "spectral")
    return loss, config.discriminator.norm or norm


def _latent_dim(preprocessing: Preprocessing) -> int:
    """Return the default latent dimension: 64, or four per value of a narrow table, at least 8.

    With more dimensions the generator fills the space between the rows of a narrow table.
    """
    shape = preprocessing.sample_shape
    return LATENT_DIM if len(shape) > 1 else min(LATENT_DIM, max(8, 4 * shape[0]))


def _regularizer(config: Config, name: str) -> dict[str, Any]:
    """Return the settings of the regularizer `name`, at every step, or of none.

    A Lipschitz constraint, batch norm or unrolled steps exclude a regularizer.
    """
    discriminator, gan = config.discriminator, config.gan
    loss = LOSSES.get(require_resolved(gan.loss))
    is_lipschitz = loss.requires_lipschitz or discriminator.weight_clip is not None
    is_excluded = discriminator.norm == "batch" or is_lipschitz or gan.unrolled_steps
    if name == "none" or is_excluded:
        return {"gan__regularizer": "none"}
    return {"gan__regularizer": name, "gan__regularizer_interval": gan.regularizer_interval or 1}


def _task(config: Config, dataset: Dataset) -> Task:
    """Return the task of a training; "auto" is "both" with at least two classes, else "detect".

    Raises ConfigError for the task "both" with fewer than two classes, and for "translate".
    """
    task: Task = config.task
    if task == "translate":
        raise ConfigError(
            "the task translate needs images of a new camera; give them with `translate_to`, or "
            "choose the task generate, detect or both"
        )
    if task == "auto":
        task = "both" if dataset.num_classes > 1 else "detect"
    if task == "both" and dataset.num_classes < 2:
        raise ConfigError(
            f"{dataset.name} has {dataset.num_classes} classes, and --task both needs at least 2; "
            f"{preprocessing_class(dataset.sample_type).classes_remedy}, or use --task detect or "
            "generate"
        )
    return task


_CPU_INFO = Path("/proc/cpuinfo")
_GPU_DEVICE = Path("/dev/nvidiactl")
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # "bf16" is on Arm


def check_dtype_support(dtype: str | None) -> None:
    """Raise ConfigError if the machine has no hardware support for a number type.

    `dtype` is "float32" or None, which are always supported, or "bfloat16".
    """
    if dtype in (None, "float32", native_dtype()):
        return
    raise ConfigError(
        "training.dtype=bfloat16 requires a GPU or a CPU that multiplies bfloat16, and "
        "/proc/cpuinfo has none of the flags avx512_bf16, amx_bf16 and bf16; leave --dtype out"
    )


def native_dtype() -> str:
    """Return "bfloat16" if the machine has a GPU or a CPU that multiplies it, else "float32"."""
    is_native = _GPU_DEVICE.exists() or _BFLOAT16_FLAGS & _cpu_flags()
    return "bfloat16" if is_native else "float32"


def _cpu_flags() -> set[str]:
    """Return the features of the CPU as Linux names them; empty on other systems."""
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    lines = (line.partition(":") for line in text.splitlines())
    return {
        flag
        for name, _, flags in lines
        if name.strip().casefold() in ("flags", "features")
        for flag in flags.split()
    }
