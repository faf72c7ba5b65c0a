"""Which settings of a GAN go together: one table, read by the code and printed in the docs.

Each rule names a combination that the field's rules forbid, says why, and gives the smallest change
that makes it legal.
"""

from collections.abc import Callable
from typing import NamedTuple

from augan.config import Config
from augan.exceptions import ConfigError


class Rule(NamedTuple):
    """A forbidden combination."""

    forbids: str
    broken: Callable[[Config], bool]
    because: str
    instead: tuple[str, ...]  # assignments that make it legal


def _lipschitz(c: Config) -> bool:
    return (
        c.discriminator.weight_clip is not None
        or c.gan.regularizer == "wgan_gp"
        or c.discriminator.norm == "spectral"
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "gan.loss=wasserstein without a bound on the discriminator's slope",
        lambda c: c.gan.loss == "wasserstein" and not _lipschitz(c),
        "the Wasserstein distance is defined over 1-Lipschitz functions (Arjovsky et al. 2017)",
        ("gan.regularizer=wgan_gp", "discriminator.norm=layer"),
    ),
    Rule(
        "gan.regularizer=wgan_gp with discriminator.norm=batch",
        lambda c: c.gan.regularizer == "wgan_gp" and c.discriminator.norm == "batch",
        "the penalty is on each image's own gradient, and batch statistics mix images "
        "(Gulrajani et al. 2017, section 4)",
        ("discriminator.norm=layer",),
    ),
    Rule(
        "gan.regularizer=r1 with discriminator.norm=batch",
        lambda c: c.gan.regularizer == "r1" and c.discriminator.norm == "batch",
        "the penalty is on each image's own gradient, and batch statistics mix images",
        ("discriminator.norm=none",),
    ),
    Rule(
        "discriminator.weight_clip with a loss other than wasserstein",
        lambda c: c.discriminator.weight_clip is not None and c.gan.loss != "wasserstein",
        "clipping belongs to the Wasserstein critic; other losses need large logits",
        ("discriminator.weight_clip=null",),
    ),
    Rule(
        "gan.unrolled_steps with discriminator.norm=batch or spectral",
        lambda c: bool(c.gan.unrolled_steps) and c.discriminator.norm in ("batch", "spectral"),
        "both keep a state that an imagined step must not change (Metz et al. 2017)",
        ("discriminator.norm=layer",),
    ),
    Rule(
        "gan.unrolled_steps with discriminator.dropout",
        lambda c: bool(c.gan.unrolled_steps and c.discriminator.dropout),
        "dropout keeps a state that an imagined step must not change",
        ("discriminator.dropout=0",),
    ),
    Rule(
        "gan.unrolled_steps with a penalty, softened labels or clipping",
        lambda c: (
            bool(c.gan.unrolled_steps)
            and bool(
                c.gan.has_gradient_penalty
                or c.gan.label_smoothing
                or c.gan.label_noise
                or c.discriminator.weight_clip is not None
            )
        ),
        "the imagined steps descend the plain adversarial loss",
        ("gan.unrolled_steps=0",),
    ),
    Rule(
        "gan.unrolled_steps with gan.negative_augmentations or gan.self_supervision",
        lambda c: bool(
            c.gan.unrolled_steps and (c.gan.negative_augmentations or c.gan.self_supervision)
        ),
        "the imagined steps descend the plain adversarial loss",
        ("gan.unrolled_steps=0",),
    ),
    Rule(
        "label smoothing or noise with hinge or wasserstein",
        lambda c: (
            bool(c.gan.label_smoothing or c.gan.label_noise)
            and c.gan.loss in ("hinge", "wasserstein")
        ),
        "these losses have no probabilities to soften (Salimans et al. 2016, section 3.4)",
        ("gan.label_smoothing=0", "gan.label_noise=0"),
    ),
    Rule(
        "gan.generator_interval above 1 with nothing else to learn from",
        lambda c: (
            (c.gan.generator_interval or 1) > 1
            and not (c.gan.negative_augmentations or c.gan.self_supervision)
        ),
        "between the generator's steps the discriminator would see real images only",
        ("gan.generator_interval=1",),
    ),
    Rule(
        "gan.generator_interval above 1 with a regularizer, softened labels, clipping or "
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
        "these belong to a game in which both players take their turns",
        ("gan.generator_interval=1",),
    ),
    Rule(
        "gan.localization_head without gan.negative_augmentations",
        lambda c: bool(c.gan.localization_head and not c.gan.negative_augmentations),
        "the places to find are those that the negatives spoil",
        ("gan.localization_head=false",),
    ),
    Rule(
        "gan.localization_head with gan.diffaug",
        lambda c: bool(c.gan.localization_head and c.gan.diffaug),
        "what is shifted is not where it was spoilt",
        ("gan.diffaug=[]",),
    ),
    Rule(
        "gan.localization_head with discriminator.norm=layer",
        lambda c: bool(c.gan.localization_head and c.discriminator.norm == "layer"),
        "layer normalisation mixes all places of an image",
        ("discriminator.norm=none",),
    ),
    Rule(
        "discriminator.steps and generator.steps both above 1",
        lambda c: c.discriminator.steps > 1 and c.generator.steps > 1,
        "one of the two is trained more often, not both",
        ("generator.steps=1",),
    ),
)


# What a table forbids besides: its rows have no neighbouring pixels.
TABLE_RULES: tuple[Rule, ...] = (
    Rule(
        "a convolutional gan.architecture on a table",
        lambda c: c.gan.architecture not in (None, "mlp"),
        "convolutions compare neighbouring pixels, and columns have no neighbours",
        ("gan.architecture=mlp",),
    ),
    Rule(
        "gan.diffaug on a table",
        lambda c: bool(c.gan.diffaug),
        "it moves and recolors images",
        ("gan.diffaug=[]",),
    ),
    Rule(
        "gan.negative_augmentations or gan.self_supervision on a table",
        lambda c: bool(c.gan.negative_augmentations or c.gan.self_supervision),
        "they cut, turn and shift images",
        ("gan.negative_augmentations=[]", "gan.self_supervision=false"),
    ),
    Rule(
        "data.size on a table",
        lambda c: c.data.size is not None,
        "it is the side of images in pixels",
        ("data.size=null",),
    ),
)


def format_rules() -> str:
    """Return all rules as a Markdown table."""
    rows = ["| not possible | because | nearest legal |", "|---|---|---|"]
    for rule in (*RULES, *TABLE_RULES):
        changes = ", ".join(f"`{change}`" for change in rule.instead)
        rows.append(f"| {rule.forbids} | {rule.because} | {changes} |")
    return "\n".join(rows)


def check_rules(config: Config, sample_type: str = "image") -> None:
    """Raise ConfigError, naming the nearest legal settings, if `config` breaks a rule.

    `sample_type` says what is trained on, "image" or "row".
    """
    for rule in (*RULES, *(TABLE_RULES if sample_type == "row" else ())):
        if rule.broken(config):
            change = " ".join(f"--set {assignment}" for assignment in rule.instead)
            raise ConfigError(
                f"{rule.forbids} is not possible: {rule.because}; nearest legal: {change}"
            )
