"""Tests of the rules about settings, their fixes, and training with legal settings."""

import itertools
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augan.bundle import read_weights
from augan.choices import ARCHITECTURES, LOSSES, REGULARIZERS, Architecture, gan_architectures
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.exceptions import ConfigError
from augan.training.budget import TrainingBudget
from augan.training.config_rules import check_rules, config_rules
from augan.training.defaults import resolve_defaults
from augan.training.loop import TrainingSession
from augan.training.stages.base import STAGES
from augan.training.trainer import TrainingData, train_stages
from tools.docs import config_reference

RULES = config_rules()
# The settings that rules look at, the default first. Over 15,000 combinations.
CHOICES = {
    "gan.loss": tuple(dict.fromkeys(["nonsaturating", *LOSSES.names()])),
    "gan.regularizer": ("null", *REGULARIZERS.names()),
    "discriminator.norm": ("batch", "none", "layer", "spectral"),
    "discriminator.weight_clip": ("null", "0.01"),
    "gan.unrolled_steps": ("0", "2"),
    "discriminator.dropout": ("0", "0.3"),
    "gan.label_smoothing": ("0", "0.1"),
    "gan.label_noise": ("0", "0.1"),
    "discriminator.steps": ("1", "2"),
    "generator.steps": ("1", "2"),
    "gan.negative_augmentations": ("[]", "[scar]"),
}
# Those that the others have nothing to do with, beside what they may break with.
SEPARATE = {
    "gan.loss": ("nonsaturating",),
    "gan.generator_interval": ("null", "4"),
    "gan.localization_head": ("null", "true"),
    "gan.architecture": ("null", *gan_architectures()),
    "gan.diffaug": ("null", "[translation]"),
    **{
        key: CHOICES[key]
        for key in (
            "gan.regularizer",
            "discriminator.norm",
            "discriminator.dropout",
            "gan.negative_augmentations",
        )
    },
}
TRANSLATION = {
    "gan.loss": ("nonsaturating",),
    "discriminator.norm": ("batch",),
    "translation.class_weight": ("0", "1"),
    "translation.cycle": ("one-sided", "two-sided", "none"),
}
DEFAULTS = {key: values[0] for key, values in (CHOICES | SEPARATE | TRANSLATION).items()}


def config_of(choice):
    return Config().override([f"{key}={value}" for key, value in choice.items()])


@pytest.fixture(scope="module")
def combinations():
    """Return every combination, from the fewest changes to the most, with its broken rules."""
    choices = [
        dict(zip(settings, values))
        for settings in (CHOICES, SEPARATE, TRANSLATION)
        for values in itertools.product(*settings.values())
    ]
    choices.sort(key=lambda choice: sum(choice[key] != DEFAULTS[key] for key in choice))
    configs = [config_of(choice) for choice in choices]
    return [
        (c, config, [r for r in RULES if r.applies(config)]) for c, config in zip(choices, configs)
    ]


def broken_by(config):
    return [rule.name for rule in RULES if rule.applies(config)]


CONFIGS = Path(__file__).parents[2] / "configs"


def test_default_config_is_legal():
    assert broken_by(Config()) == []
    check_rules(Config())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_fixes_of_a_rule_are_legal(rule, combinations):
    breaking = next(config for _, config, broken in combinations if broken == [rule])
    with pytest.raises(ConfigError) as caught:
        check_rules(breaking)
    message = str(caught.value)
    assert message.startswith(f"{rule.name} is not possible: {rule.reason}; nearest legal: ")
    advice = re.findall(r"--set (\S+)", message)
    assert tuple(advice) == rule.fixes
    assert broken_by(breaking.override(advice)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_resolve_defaults_raises_for_each_rule(rule, combinations, tiny_digits):
    breaking = next(config for _, config, broken in combinations if broken == [rule])
    with pytest.raises(ConfigError, match="nearest legal: --set") as caught:
        resolve_defaults(breaking, tiny_digits)
    assert rule.name in str(caught.value)
    resolve_defaults(breaking.override(rule.fixes), tiny_digits)


@pytest.mark.parametrize("side", [8, 32, 160])
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_file_is_legal_without_classes(path, side):
    images = np.random.default_rng(0).integers(0, 256, (40, side, side, 1), np.uint8)
    config, _ = resolve_defaults(Config.from_yaml(path), from_arrays(images))
    assert config.task in ("detect", "generate")
    if path.stem == "r1":  # it says so
        assert config.gan.loss == "nonsaturating"


def test_defaults_are_legal_with_chosen_settings():
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1), np.uint8)
    chosen = Config().override(["gan.negative_augmentations=[]", "gan.self_supervision=false"])
    assert resolve_defaults(chosen, from_arrays(images))[0].gan.generator_interval == 1


def test_repeated_fixes_lead_to_a_legal_config(combinations):
    # However many rules are broken: the advice of one must not lead back into another.
    lost = []
    for choice, config, broken in combinations:
        for _ in range(len(RULES) + 1):
            if not broken:
                break
            config = config.override(broken[0].fixes)
            broken = [rule for rule in RULES if rule.applies(config)]
        if broken:
            lost.append({k: v for k, v in choice.items() if v != DEFAULTS[k]})
    assert lost == []


def _values(annotation):
    """Return the values of `Literal[...] | None` without None, which rules never see."""
    return [value for kind in get_args(annotation) for value in get_args(kind)]


def sections(draw):
    """Return settings of both networks, with and without broken rules."""
    positive = st.floats(1e-4, 10)
    small = st.floats(0, 0.45)
    loss = st.sampled_from(LOSSES.names())
    norm = Config.model_fields["discriminator"].annotation.model_fields["norm"]
    return {
        "gan": {
            "loss": draw(loss),
            "regularizer": draw(st.sampled_from([None, *REGULARIZERS.names()])),
            "regularizer_weight": draw(st.none() | positive),
            "label_smoothing": draw(st.just(0.0) | small),
            "label_noise": draw(st.just(0.0) | small),
            "unrolled_steps": draw(st.integers(0, 10)),
        },
        "discriminator": {
            "norm": draw(st.sampled_from(_values(norm.annotation))),
            "weight_clip": draw(st.none() | positive),
            "dropout": draw(st.just(0.0) | st.floats(0, 0.9)),
            "steps": draw(st.integers(1, 10)),
        },
        "generator": {"steps": draw(st.integers(1, 10))},
    }


@given(values=st.composite(sections)())
def test_fixes_of_each_rule_remove_the_rule(values):
    config = Config.from_dict(values)
    broken = [rule for rule in RULES if rule.applies(config)]
    for rule in broken:
        assert not rule.applies(config.override(rule.fixes)), rule.name
    if not broken:
        check_rules(config)
        return
    with pytest.raises(ConfigError, match="nearest legal: --set") as caught:
        check_rules(config)
    assert str(caught.value).startswith(broken[0].name)


def test_readme_of_configs_contains_every_rule():
    page = config_reference.PAGE.read_text(encoding="utf-8")
    assert page == config_reference.page(), f"run {config_reference.COMMAND}"
    for rule in RULES:
        assert f"| {rule.name} | {rule.reason} | " in page
    for file in config_reference.PAGE.parent.glob("*.yaml"):
        assert f"]({file.name})" in page
    papers = {
        "cut": "Park et al. 2020",
        "wgan-gp": "Gulrajani et al. 2017",
        "few-images": "Zhao et al. 2020",
    }
    for name, paper in papers.items():
        (row,) = [line for line in page.splitlines() if f"({name}.yaml)" in line]
        assert paper in row


def test_readme_of_configs_describes_every_value_and_stage():
    page = config_reference.PAGE.read_text(encoding="utf-8")
    assert set(config_reference.choices()) >= {
        "gan.architecture",
        "gan.loss",
        "gan.regularizer",
        "gan.diffaug",
        "gan.negative_augmentations",
    }
    for loss in LOSSES:
        assert f"| `gan.loss` | `{loss.name}` | {loss.description} | {loss.paper} |" in page
    for stage in STAGES:
        assert f"| {stage.name} | {stage.description} |" in page


def test_an_architecture_is_refused_settings_that_it_does_not_take():
    with ARCHITECTURES.temporary():
        ARCHITECTURES.register(
            Architecture(
                "plain",
                description="neither normalization nor dropout",
                roles=("generator", "discriminator"),
                min_size=32,
            ),
            {},
        )
        images = np.zeros((40, 32, 32, 1), np.uint8)
        images[:, ::2] = np.arange(40)[:, None, None, None]
        plain = Config().replace(gan__architecture="plain", gan__self_supervision=False)
        config, _ = resolve_defaults(plain, from_arrays(images))
        assert config.discriminator.norm == "none"
        for change, fix in {
            "discriminator.norm=layer": "discriminator.norm=none",
            "discriminator.dropout=0.5": "discriminator.dropout=0",
            "gan.localization_head=true": "gan.localization_head=false",
            "data.size=8": "data.size=32",
        }.items():
            with pytest.raises(ConfigError, match=f"with .*plain|plain with .*; nearest.*{fix}"):
                check_rules(config.override([change, "gan.diffaug=[]"]))
        with pytest.raises(ConfigError, match=r"gan.architecture=dcgan.* or plain on a table"):
            check_rules(config, "row")


def test_legal_and_illegal_combinations(combinations):
    legal = [config for _, config, broken in combinations if not broken]
    assert len(legal) > 500
    for config in legal:
        gan, discriminator = config.gan, config.discriminator
        if gan.loss == "wasserstein":
            bounds = (
                discriminator.weight_clip,
                gan.regularizer == "wgan_gp",
                discriminator.norm == "spectral",
            )
            assert any(bounds)
        assert not (gan.regularizer and discriminator.norm == "batch")
        assert not (
            gan.unrolled_steps
            and (discriminator.norm in ("batch", "spectral") or discriminator.dropout)
        )
        assert not (discriminator.steps > 1 and config.generator.steps > 1)
    # Each loss, penalty and normalization is part of something legal.
    for key in ("loss", "regularizer", "unrolled_steps", "label_smoothing", "label_noise"):
        assert {getattr(config.gan, key) for config in legal} == {
            getattr(config.gan, key) for _, config, _ in combinations
        }
    pairs = {(c.gan.loss, c.discriminator.norm) for c in legal}
    assert len(pairs) == 4 * len(LOSSES)


FAMILIES = {
    "Goodfellow 2014": ["gan.architecture=mlp", "gan.loss=minimax", "gan.latent_prior=uniform"],
    "upsampling": ["gan.architecture=dcgan-upsampling", "discriminator.dropout=0.3"],
    "soft labels": ["gan.label_smoothing=0.1", "gan.label_noise=0.05"],
    "least squares": ["gan.loss=least_squares", "generator.conditioning=embedding"],
    "weight clipping": [
        "gan.loss=wasserstein",
        "discriminator.weight_clip=0.01",
        "discriminator.steps=2",
    ],
    "gradient penalty": [
        "gan.loss=wasserstein",
        "gan.regularizer=wgan_gp",
        "discriminator.norm=layer",
        "discriminator.steps=2",
        "gan.betas=[0.0, 0.9]",
    ],
    "spectral": ["gan.loss=hinge", "discriminator.norm=spectral", "generator.steps=2"],
    "spectral mlp": [
        "gan.loss=wasserstein",
        "discriminator.norm=spectral",
        "gan.architecture=mlp",
        "discriminator.dropout=0.2",
    ],
    "r1 with all policies": [
        "gan.regularizer=r1",
        "discriminator.norm=none",
        "gan.diffaug=[translation,color,cutout]",
    ],
    "r1 with dropout": [
        "gan.regularizer=r1",
        "gan.regularizer_interval=2",
        "discriminator.norm=spectral",
        "discriminator.dropout=0.2",
    ],
    "unrolled": ["gan.unrolled_steps=1", "discriminator.norm=layer"],
    "unrolled mlp": [
        "gan.unrolled_steps=2",
        "discriminator.norm=none",
        "gan.architecture=mlp",
        "gan.loss=hinge",
        "gan.diffaug=[color]",
    ],
    "without normalization": ["discriminator.norm=none", "discriminator.dropout=0.2"],
    "without classes": ["task=detect", "gan.architecture=mlp", "gan.label_smoothing=0.2"],
}


SLOW = (
    "upsampling",
    "r1 with all policies",
    "spectral",
    "soft labels",
    "weight clipping",
    "gradient penalty",
    "r1 with dropout",
    "unrolled mlp",
)


@pytest.mark.parametrize(
    "family",
    [pytest.param(f, marks=[pytest.mark.slow] if f in SLOW else []) for f in FAMILIES],
)
def test_every_variant_trains(family, tiny_digits, capfd):
    narrow = [f"{stage}.width=2" for stage in ("generator", "discriminator")]
    # 5 images in each update, so that a batch which is not made for its parts cannot be divided.
    small = ["gan.latent_dim=3", "training.steps=2", "training.batch_size=5", *narrow]
    config, preprocessing = resolve_defaults(
        Config().override([*small, *FAMILIES[family]]), tiny_digits
    )
    classes = 0 if config.task == "detect" else tiny_digits.num_classes
    data = TrainingData(
        np.asarray(tiny_digits.images), np.asarray(tiny_digits.labels), classes, preprocessing
    )
    calls = []

    class Listener:
        def on_progress(self, stage, step, budget, losses):
            calls.append((stage, step, losses))

    session = TrainingSession((Listener(),))
    networks = train_stages(config, data, ["gan"], TrainingBudget(2), session)
    ((stage, step, losses),) = calls
    assert (stage, step) == ("gan", 2)
    assert np.isfinite(list(losses.values())).all()
    for model in networks.models.values():
        for path, value in read_weights(model).items():
            assert np.isfinite(value).all(), path
    assert capfd.readouterr().err == ""  # TensorFlow's optimiser of graphs is content
    images = networks.models["generator"].inputs
    assert len(images) == 1 + (classes > 0)
