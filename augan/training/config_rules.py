"""Rules about combinations of settings that are not possible.

The rules are checked before a training and printed in the documentation. Each rule names a
combination, the reason, and the smallest change that makes the combination legal.
"""

from collections.abc import Callable
from typing import NamedTuple

from augan.config import Config
from augan.exceptions import ConfigError


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
    return (
        c.discriminator.weight_clip is not None
        or c.gan.regularizer == "wgan_gp"
        or c.discriminator.norm == "spectral"
    )


RULES: tuple[ConfigRule, ...] = (
    ConfigRule(
        "gan.loss=wasserstein without a Lipschitz constraint on the discriminator",
        lambda c: c.gan.loss == "wasserstein" and not _is_lipschitz(c),
        "the Wasserstein distance is defined over 1-Lipschitz functions (Arjovsky et al. 2017)",
        ("gan.regularizer=wgan_gp", "discriminator.norm=layer"),
    ),
    ConfigRule(
        "gan.regularizer=wgan_gp with discriminator.norm=batch",
        lambda c: c.gan.regularizer == "wgan_gp" and c.discriminator.norm == "batch",
        "the penalty is on the gradient of each image, and batch statistics mix images "
        "(Gulrajani et al. 2017, section 4)",
        ("discriminator.norm=layer",),
    ),
    ConfigRule(
        "gan.regularizer=r1 with discriminator.norm=batch",
        lambda c: c.gan.regularizer == "r1" and c.discriminator.norm == "batch",
        "the penalty is on the gradient of each image, and batch statistics mix images",
        ("discriminator.norm=none",),
    ),
    ConfigRule(
        "discriminator.weight_clip with a loss other than wasserstein",
        lambda c: c.discriminator.weight_clip is not None and c.gan.loss != "wasserstein",
        "clipping belongs to the Wasserstein critic; other losses need large logits",
        ("discriminator.weight_clip=null",),
    ),
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
        "label smoothing or noise with hinge or wasserstein",
        lambda c: (
            bool(c.gan.label_smoothing or c.gan.label_noise)
            and c.gan.loss in ("hinge", "wasserstein")
        ),
        "these losses have no probabilities to soften (Salimans et al. 2016, section 3.4)",
        ("gan.label_smoothing=0", "gan.label_noise=0"),
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
)


# Additional rules for tables, whose columns have no spatial order.
TABLE_RULES: tuple[ConfigRule, ...] = (
    ConfigRule(
        "a convolutional gan.architecture on a table",
        lambda c: c.gan.architecture not in (None, "mlp"),
        "convolutions compare neighboring pixels, and columns have no neighbors",
        ("gan.architecture=mlp",),
    ),
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


def format_rules() -> str:
    """Return all rules as a Markdown table for the documentation."""
    rows = ["| not possible | because | nearest legal |", "|---|---|---|"]
    for rule in (*RULES, *TABLE_RULES):
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
        Type of the training samples; `TABLE_RULES` apply only to rows.

    Raises
    ------
    ConfigError
        A rule applies; the message has the reason and the nearest legal settings.
    """
    for rule in (*RULES, *(TABLE_RULES if sample_type == "row" else ())):
        if rule.applies(config):
            change = " ".join(f"--set {assignment}" for assignment in rule.fixes)
            raise ConfigError(
                f"{rule.name} is not possible: {rule.reason}; nearest legal: {change}"
            )
