"""Settings: what goes through YAML comes back, and every mistake is named with what to do."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from augan.config import Config
from augan.exceptions import AuganError, ConfigError

CHANGED = Config().replace(
    seed=7,
    task="detect",
    data__size=32,
    gan__diffaug=["translation"],
    gan__ema=0.5,
    generator__learning_rate=3e-5,
    discriminator__norm="spectral",
    training__max_minutes=1.5,
    training__store_latents=False,
    detect__far=0.01,
)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("config", [Config(), CHANGED], ids=["defaults", "changed"])
def test_yaml_round_trip(config, tmp_path):
    assert Config.from_yaml(write(tmp_path, config.to_yaml())) == config
    assert Config.from_dict(config.to_dict()) == config


def test_one_assignment_needs_no_list():
    assert Config().override("generator.width=3") == Config().override(["generator.width=3"])


def test_changed_is_not_the_default():
    assert Config.from_dict({}) == Config()
    assert Config() != CHANGED
    assert CHANGED.gan.diffaug == ("translation",)


def test_yaml_keeps_the_order_of_the_sections():
    assert list(yaml.safe_load(Config().to_yaml())) == list(Config.model_fields)


def test_what_a_file_leaves_out_keeps_its_default(tmp_path):
    config = Config.from_yaml(write(tmp_path, "generator:\n  width: 8\n"))
    assert config == Config().replace(generator__width=8)
    assert config.generator.width == 8


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_all_defaults(tmp_path, text):
    assert Config.from_yaml(write(tmp_path, text)) == Config()


def test_the_example_file_is_the_default():
    path = Path(__file__).parents[1] / "configs" / "default.yaml"
    assert Config.from_yaml(path) == Config()
    # It shows every setting, so that none is hidden.
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == Config().to_dict()


@pytest.mark.parametrize("text", ["- 1\n", "3\n", "just words\n", "true\n"])
def test_a_file_that_is_no_mapping(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=r"must be a mapping") as caught:
        Config.from_yaml(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["a: [1", "seed: 1\n\tx: 2", "!!python/object:os.system {}"])
def test_invalid_yaml(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match="is not valid YAML") as caught:
        Config.from_yaml(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        Config.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        Config.from_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"task: \xe4\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        Config.from_yaml(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("generator.widht", "generator.width"),
        ("genrator", "generator"),
        ("generator.lerning_rate", "generator.learning_rate"),
        ("training.step", "training.steps"),
        ("sed", "seed"),
        ("detect.fra", "detect.far"),
    ],
)
def test_the_nearest_name_is_offered(key, near):
    with pytest.raises(ConfigError) as caught:
        Config().override([f"{key}=1"])
    assert f"there is no setting '{key}'; did you mean '{near}'?" in str(caught.value)


def test_a_name_like_nothing_gets_no_hint():
    with pytest.raises(ConfigError, match="there is no setting 'xyzzy'") as caught:
        Config().override(["xyzzy=1"])
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("assignment", "where"),
    [
        ("generator.width=wide", "generator.width"),
        ("generator.width=0", "generator.width"),
        ("generator.width=8.5", "generator.width"),
        ("generator.width=null", "generator.width"),
        ("generator.width=[8]", "generator.width"),
        ("generator=3", "generator"),
        ("seed=-1", "seed"),
        ("seed=2147483648", "seed"),
        ("task=trian", "task"),
        ("data.size=12", "data.size"),
        ("data.size=512", "data.size"),
        ("gan.diffaug=translation", "gan.diffaug"),
        ("gan.diffaug=[rotation]", "gan.diffaug"),
        ("gan.ema=1", "gan.ema"),
        ("gan.ema=-0.1", "gan.ema"),
        ("gan.loss=logistic", "gan.loss"),
        ("gan.architecture=stylegan", "gan.architecture"),
        ("gan.label_smoothing=0.5", "gan.label_smoothing"),
        ("gan.label_noise=-0.1", "gan.label_noise"),
        ("gan.regularizer=r2", "gan.regularizer"),
        ("gan.regularizer_weight=0", "gan.regularizer_weight"),
        ("gan.regularizer_interval=0", "gan.regularizer_interval"),
        ("gan.unrolled_steps=11", "gan.unrolled_steps"),
        ("gan.unrolled_learning_rate=0", "gan.unrolled_learning_rate"),
        ("gan.latent_prior=cauchy", "gan.latent_prior"),
        ("gan.betas=[0.5]", "gan.betas"),
        ("gan.betas=[0.5, 1]", "gan.betas"),
        ("generator.conditioning=none", "generator.conditioning"),
        ("generator.steps=0", "generator.steps"),
        ("discriminator.steps=11", "discriminator.steps"),
        ("discriminator.dropout=1", "discriminator.dropout"),
        ("discriminator.weight_clip=0", "discriminator.weight_clip"),
        ("discriminator.norm=instance", "discriminator.norm"),
        ("generator.learning_rate=0", "generator.learning_rate"),
        ("training.batch_size=1", "training.batch_size"),
        ("training.steps=0", "training.steps"),
        ("training.max_minutes=0", "training.max_minutes"),
        ("training.store_latents=perhaps", "training.store_latents"),
        ("detect.far=0", "detect.far"),
        ("detect.far=1", "detect.far"),
        ("detect.method=magic", "detect.method"),
    ],
)
def test_wrong_values_are_named(assignment, where):
    with pytest.raises(ConfigError) as caught:
        Config().override([assignment])
    message = str(caught.value)
    assert message.startswith(where)
    assert "got " in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize(
    "key",
    [
        "generator.learning_rate",
        "encoder.learning_rate",
        "encoder.feature_weight",
        "training.max_minutes",
        "gan.ema",
    ],
)
def test_numbers_must_be_finite(key, value):
    # JSON has no infinity: a bundle with one could not be saved when training is over.
    with pytest.raises(ConfigError, match=key):
        Config().override([f"{key}={value}"])


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        Config().override(["generator.widht=8", "seed=-1", "detect.far=2"])
    assert "generator.widht" in str(caught.value)
    assert "seed" in str(caught.value)
    assert "detect.far" in str(caught.value)


@pytest.mark.parametrize("values", [{1: 2}, {"generator": {1: 2}}, [1], "seed"])
def test_values_that_are_no_settings_at_all(values):
    with pytest.raises(ConfigError):
        Config.from_dict(values)


def test_config_errors_are_value_errors_of_ours():
    with pytest.raises(ValueError, match="no setting") as caught:
        Config.from_dict({"nothing": 1})
    assert isinstance(caught.value, AuganError)


@pytest.mark.parametrize("assignments", [[3], None, {"seed": 1}, 3, b"seed=1", [["seed=1"]]])
def test_overrides_of_other_types_are_refused(assignments):
    with pytest.raises(ConfigError, match='must be a list of texts "section'):
        Config().override(assignments)


def test_overrides_are_read_as_yaml():
    config = Config().override(
        [
            "seed=3",
            "gan.diffaug=[translation]",
            " generator.learning_rate = 1e-3",
            "training.store_latents=false",
            "training.steps=10",
            "training.steps=null",
            "task=detect",
            "data.size=16",
        ]
    )
    expected = Config().replace(
        seed=3,
        gan__diffaug=("translation",),
        generator__learning_rate=1e-3,
        training__store_latents=False,
        task="detect",
        data__size=16,
    )
    assert config == expected
    assert config.training.steps is None
    assert config.training.store_latents is False
    assert config.generator.learning_rate == 1e-3


def test_the_last_override_wins_and_the_original_stays():
    original = Config()
    assert original.override(["seed=1", "seed=2"]).seed == 2
    assert original.override([]) == original == Config()


@pytest.mark.parametrize("assignment", ["seed", "", "=3", " =3", "generator.width"])
def test_an_override_needs_a_key_and_a_value(assignment):
    with pytest.raises(ConfigError, match=r"not of the form section\.key=value"):
        Config().override([assignment])


def test_an_override_with_broken_yaml():
    with pytest.raises(ConfigError, match=r"the value in 'gan.diffaug=\[' is not valid YAML"):
        Config().override(["gan.diffaug=["])


@pytest.mark.parametrize("key", ["seed.x", "generator.width.x"])
def test_an_override_below_a_setting(key):
    with pytest.raises(ConfigError, match=f"is a setting, not a section, in '{key}'"):
        Config().override([f"{key}=1"])


def test_replace_in_python():
    config = Config().replace(generator__width=64, seed=9)
    assert (config.generator.width, config.seed) == (64, 9)
    assert config.discriminator == Config().discriminator
    with pytest.raises(ConfigError, match=r"did you mean 'generator\.width'"):
        Config().replace(generator__widht=64)


def test_settings_are_frozen():
    config = Config()
    with pytest.raises(ValidationError):
        config.seed = 1
    with pytest.raises(ValidationError):
        config.generator.width = 1
    assert config == Config()


def test_what_the_data_decides_is_none():
    config = Config()
    undecided = (
        config.data.size,
        config.gan.diffaug,
        config.generator.learning_rate,
        config.discriminator.learning_rate,
        config.training.steps,
        config.training.max_minutes,
        config.detect.far,
    )
    assert undecided == (None,) * 7
    # "None" is a choice that a file can make, too, and an empty list is another one.
    assert CHANGED.override(["gan.diffaug=null"]).gan.diffaug is None
    assert Config().override(["gan.diffaug=[]"]).gan.diffaug == ()


def test_what_can_be_chosen_is_what_there_is():
    from augan.augment.transforms import TRANSFORMS
    from augan.choices import (
        CORRUPTIONS,
        DETECTION_METHODS,
        DIFFAUGMENT_POLICIES,
        LOSSES,
        REGULARIZERS,
        gan_architectures,
    )
    from augan.gan.networks.layers import NORMS

    tables = {
        "gan.architecture": gan_architectures(),
        "gan.loss": LOSSES.names(),
        "gan.regularizer": {"none", *REGULARIZERS.names()},
        "gan.diffaug": DIFFAUGMENT_POLICIES.names(),
        "gan.negative_augmentations": CORRUPTIONS.names(),
        "discriminator.norm": NORMS,
        "augment.transform": TRANSFORMS,
        "detect.method": DETECTION_METHODS.names(),
    }
    sections = Config.model_json_schema()["$defs"]
    for name, table in tables.items():
        section, key = name.split(".")
        field = sections[f"{section.title()}Section"]["properties"][key]
        assert set(_choices(field)) == set(table), name


def _choices(field):
    """All names that a field of the schema allows, in lists too."""
    if isinstance(field, dict):
        return [*field.get("enum", ()), *(c for part in field.values() for c in _choices(part))]
    return [c for part in field for c in _choices(part)] if isinstance(field, list) else []
