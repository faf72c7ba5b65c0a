"""Rules about combinations of settings that are not possible.

The rules are checked before a training and printed in the documentation. Each rule names a
combination, the reason, and the smallest change that makes the combination legal.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, get_args

from augan.choices import (
    ARCHITECTURES,
    LOSSES,
    REGULARIZERS,
    Architecture,
    Loss,
    Regularizer,
    default_architecture,
    gan_architectures,
)
from augan.config import Config, ImageSize
from augan.exceptions import ConfigError

IMAGE_SIZES = get_args(ImageSize)  # sides of images in pixels
MIN_TRANSLATION_SIZE, MAX_GAN_SIZE = 16, 128  # sides of images in pixels


class ConfigRule(NamedTuple):
    """Combination of settings that is not possible, with its reason and its remedy.

    Attributes
    ----------
    name : str
        The combination, for messages.
    applies : callable
        Config -> whether the configuration has the combination.
    reason : str
        Why the combination is not possible.
    fixes : tuple of str
        Assignments `section.key=value` that together make the configuration legal.
    """

    name: str
    applies: Callable[[Config], bool]
    reason: str
    fixes: tuple[str, ...]


def _is_lipschitz(c: Config) -> bool:
    """Return whether a configuration constrains the discriminator to be Lipschitz continuous."""
    regularizer = c.gan.regularizer or "none"
    return (
        c.discriminator.weight_clip is not None
        or c.discriminator.norm == "spectral"
        or (regularizer != "none" and REGULARIZERS.get(regularizer).is_lipschitz)
    )


def config_rules() -> tuple[ConfigRule, ...]:
    """Return the rules for all samples, those of the registered entries first."""
    architectures = [ARCHITECTURES.get(name) for name in gan_architectures()]
    return (
        *(_lipschitz_rule(loss) for loss in LOSSES if loss.requires_lipschitz),
        _clipping_rule([loss.name for loss in LOSSES if loss.requires_lipschitz]),
        _soft_label_rule([loss.name for loss in LOSSES if not loss.has_soft_labels]),
        *(_batch_norm_rule(regularizer) for regularizer in REGULARIZERS),
        *(rule for entry in architectures for rule in _architecture_rules(entry)),
        *_RULES,
    )


def image_rules() -> tuple[ConfigRule, ...]:
    """Return the additional rules for images."""
    architectures = [ARCHITECTURES.get(name) for name in gan_architectures()]
    size_rules = [_size_rule(entry) for entry in architectures if entry.min_size > min(IMAGE_SIZES)]
    return (*_sample_type_rules("image", "images"), *size_rules, *_TRANSLATION_RULES)


def table_rules() -> tuple[ConfigRule, ...]:
    """Return the additional rules for tables, whose columns have no spatial order."""
    return (*_sample_type_rules("row", "a table"), *_TABLE_RULES)


def _lipschitz_rule(loss: Loss) -> ConfigRule:
    """Return the rule of a loss that requires a Lipschitz discriminator."""
    penalty = next(entry for entry in REGULARIZERS if entry.is_lipschitz)
    paper = f" ({loss.paper})" if loss.paper else ""
    return ConfigRule(
        f"gan.loss={loss.name} without a Lipschitz constraint on the discriminator",
        lambda c: c.gan.loss == loss.name and not _is_lipschitz(c),
        f"the loss is defined over 1-Lipschitz functions{paper}",
        (f"gan.regularizer={penalty.name}", f"discriminator.norm={penalty.norm}"),
    )


def _clipping_rule(losses: list[str]) -> ConfigRule:
    """Return the rule that weights are clipped only for some losses."""
    return ConfigRule(
        f"discriminator.weight_clip with a loss other than {' or '.join(losses)}",
        lambda c: c.discriminator.weight_clip is not None and c.gan.loss not in losses,
        "clipping belongs to the Wasserstein critic; other losses need large logits",
        ("discriminator.weight_clip=null",),
    )


def _soft_label_rule(losses: list[str]) -> ConfigRule:
    """Return the rule about losses without soft labels."""
    return ConfigRule(
        f"label smoothing or noise with {' or '.join(losses)}",
        lambda c: bool(c.gan.label_smoothing or c.gan.label_noise) and c.gan.loss in losses,
        "these losses have no probabilities to soften (Salimans et al. 2016, section 3.4)",
        ("gan.label_smoothing=0", "gan.label_noise=0"),
    )


def _batch_norm_rule(regularizer: Regularizer) -> ConfigRule:
    """Return the rule that a gradient penalty excludes batch normalization."""
    return ConfigRule(
        f"gan.regularizer={regularizer.name} with discriminator.norm=batch",
        lambda c: c.gan.regularizer == regularizer.name and c.discriminator.norm == "batch",
        "the penalty is on the gradient of each image, and batch statistics mix images",
        (f"discriminator.norm={regularizer.norm}",),
    )


def _architecture_rules(entry: Architecture) -> Iterator[ConfigRule]:
    """Yield a rule for each setting that an architecture of a GAN cannot obey."""
    where = f"with gan.architecture={entry.name}"
    if "norm" not in entry.arguments:
        yield ConfigRule(
            f"discriminator.norm {where}",
            lambda c: (
                c.gan.architecture == entry.name and c.discriminator.norm not in (None, "none")
            ),
            "its discriminator has no normalization",
            ("discriminator.norm=none",),
        )
    if "dropout" not in entry.arguments:
        yield ConfigRule(
            f"discriminator.dropout {where}",
            lambda c: c.gan.architecture == entry.name and c.discriminator.dropout > 0,
            "its discriminator has no dropout",
            ("discriminator.dropout=0",),
        )
    if not entry.has_feature_maps:
        yield ConfigRule(
            f"gan.localization_head {where}",
            lambda c: bool(c.gan.architecture == entry.name and c.gan.localization_head),
            "the head works on feature maps, which its discriminator does not have",
            ("gan.localization_head=false",),
        )


def _size_rule(entry: Architecture) -> ConfigRule:
    """Return the rule about images that are too small for an architecture."""
    large_enough = min(
        (size for size in IMAGE_SIZES if size >= entry.min_size), default=IMAGE_SIZES[-1]
    )
    return ConfigRule(
        f"gan.architecture={entry.name} with data.size below {entry.min_size}",
        lambda c: (
            c.gan.architecture == entry.name and (c.data.size or entry.min_size) < entry.min_size
        ),
        "its networks need larger images",
        (f"data.size={large_enough}",),
    )


def _sample_type_rules(sample_type: str, samples: str) -> Iterator[ConfigRule]:
    """Yield the rule about architectures that do not take samples of a type, if there are any."""
    default = default_architecture("generator", sample_type).name
    names = [
        name
        for name in gan_architectures()
        if sample_type not in ARCHITECTURES.get(name).sample_types
    ]
    if names:
        yield ConfigRule(
            f"gan.architecture={' or '.join(names)} on {samples}",
            lambda c: c.gan.architecture in names,
            f"these networks do not take {samples}",
            (f"gan.architecture={default}",),
        )


_RULES: tuple[ConfigRule, ...] = (
    ConfigRule(
        "gan.unrolled_steps with discriminator.norm=batch or spectral",
        lambda c: bool(c.gan.unrolled_steps) and c.discriminator.norm in ("batch", "spectral"),
        "both keep a state that an unrolled step must not change (Metz et al. 2017)",
        ("discriminator.norm=layer",),
    ),
    ConfigRule(
        "gan.unrolled_steps with discriminator.dropout",
        lambda c: bool(c.gan.unrolled_steps and c.discriminator.dropout),
        "dropout keeps a state that an unrolled step must not change",
        ("discriminator.dropout=0",),
    ),
    ConfigRule(
        "gan.unrolled_steps with a regularizer, soft labels or clipping",
        lambda c: (
            bool(c.gan.unrolled_steps)
            and bool(
                c.gan.has_gradient_penalty
                or c.gan.label_smoothing
                or c.gan.label_noise
                or c.discriminator.weight_clip is not None
            )
        ),
        "the unrolled steps descend the adversarial loss only",
        ("gan.unrolled_steps=0",),
    ),
    ConfigRule(
        "gan.unrolled_steps with gan.negative_augmentations or gan.self_supervision",
        lambda c: bool(
            c.gan.unrolled_steps and (c.gan.negative_augmentations or c.gan.self_supervision)
        ),
        "the unrolled steps descend the adversarial loss only",
        ("gan.unrolled_steps=0",),
    ),
    ConfigRule(
        "gan.generator_interval above 1 without an auxiliary loss",
        lambda c: (
            (c.gan.generator_interval or 1) > 1
            and not (c.gan.negative_augmentations or c.gan.self_supervision)
        ),
        "between the generator's steps the discriminator would train on real images only",
        ("gan.generator_interval=1",),
    ),
    ConfigRule(
        "gan.generator_interval above 1 with a regularizer, soft labels, clipping or "
        "discriminator.steps",
        lambda c: (
            (c.gan.generator_interval or 1) > 1
            and bool(
                c.gan.has_gradient_penalty
                or c.gan.label_smoothing
                or c.gan.label_noise
                or c.discriminator.weight_clip is not None
                or c.discriminator.steps > 1
            )
        ),
        "these are defined for adversarial steps that train both networks",
        ("gan.generator_interval=1",),
    ),
    ConfigRule(
        "gan.localization_head without gan.negative_augmentations",
        lambda c: bool(c.gan.localization_head and not c.gan.negative_augmentations),
        "the head locates the corruptions of the negative augmentations",
        ("gan.localization_head=false",),
    ),
    ConfigRule(
        "gan.localization_head with gan.diffaug",
        lambda c: bool(c.gan.localization_head and c.gan.diffaug),
        "a shifted corruption is not at the location of its label",
        ("gan.diffaug=[]",),
    ),
    ConfigRule(
        "gan.localization_head with discriminator.norm=layer",
        lambda c: bool(c.gan.localization_head and c.discriminator.norm == "layer"),
        "layer normalization mixes all locations of an image",
        ("discriminator.norm=none",),
    ),
    ConfigRule(
        "discriminator.steps and generator.steps both above 1",
        lambda c: c.discriminator.steps > 1 and c.generator.steps > 1,
        "only one of the two networks is trained more often than the other",
        ("generator.steps=1",),
    ),
    ConfigRule(
        "translation.class_weight with translation.cycle=none",
        lambda c: c.translation.class_weight > 0 and c.translation.cycle == "none",
        "the classifier of the old camera sees images after the translation back",
        ("translation.cycle=one-sided",),
    ),
)


_TRANSLATION_RULES: tuple[ConfigRule, ...] = (
    ConfigRule(
        f"data.size above {MAX_GAN_SIZE} without the task translate",
        lambda c: c.task != "translate" and (c.data.size or 0) > MAX_GAN_SIZE,
        "a GAN of such images takes days",
        (f"data.size={MAX_GAN_SIZE}",),
    ),
    ConfigRule(
        f"task=translate with data.size below {MIN_TRANSLATION_SIZE}",
        lambda c: c.task == "translate" and (c.data.size or 16) < MIN_TRANSLATION_SIZE,
        "the patches of the discriminator need larger images",
        (f"data.size={MIN_TRANSLATION_SIZE}",),
    ),
    ConfigRule(
        "task=translate with data.tiling",
        lambda c: c.task == "translate" and bool(c.data.tiling),
        "images are made equal in size for the training, and tiled when they are translated",
        ("data.tiling=null",),
    ),
    ConfigRule(
        "task=translate with translation.cycle=none without translation.contrastive_weight",
        lambda c: (
            c.task == "translate"
            and c.translation.cycle == "none"
            and c.translation.contrastive_weight == 0
        ),
        "nothing ties a translated image to the image of the old camera",
        ("translation.contrastive_weight=1",),
    ),
    ConfigRule(
        "task=translate with detect.cross_conformal",
        lambda c: c.task == "translate" and c.detect.cross_conformal,
        "a translation has no detector",
        ("detect.cross_conformal=false",),
    ),
)


_TABLE_RULES: tuple[ConfigRule, ...] = (
    ConfigRule(
        "gan.diffaug on a table",
        lambda c: bool(c.gan.diffaug),
        "it moves and recolors images",
        ("gan.diffaug=[]",),
    ),
    ConfigRule(
        "gan.negative_augmentations or gan.self_supervision on a table",
        lambda c: bool(c.gan.negative_augmentations or c.gan.self_supervision),
        "they cut, rotate and shift images",
        ("gan.negative_augmentations=[]", "gan.self_supervision=false"),
    ),
    ConfigRule(
        "data.size on a table",
        lambda c: c.data.size is not None,
        "it is the height and width of images in pixels",
        ("data.size=null",),
    ),
)

_RULES_OF_SAMPLES = {"image": image_rules, "row": table_rules}


def format_rules() -> str:
    """Return all rules as a Markdown table for the documentation."""
    rows = ["| not possible | because | nearest legal |", "|---|---|---|"]
    for rule in (*config_rules(), *table_rules(), *image_rules()):
        changes = ", ".join(f"`{change}`" for change in rule.fixes)
        rows.append(f"| {rule.name} | {rule.reason} | {changes} |")
    return "\n".join(rows)


def check_rules(config: Config, sample_type: str = "image") -> None:
    """Check a configuration for combinations of settings that are not possible.

    Parameters
    ----------
    config : Config
        Resolved settings.
    sample_type : {"image", "row"}
        Type of the training samples, which chooses some of the rules.

    Raises
    ------
    ConfigError
        A rule applies; the message has the reason and the nearest legal settings.
    """
    for rule in (*config_rules(), *_RULES_OF_SAMPLES[sample_type]()):
        if rule.applies(config):
            change = " ".join(f"--set {assignment}" for assignment in rule.fixes)
            raise ConfigError(
                f"{rule.name} is not possible: {rule.reason}; nearest legal: {change}"
            )
