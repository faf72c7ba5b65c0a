"""Contract of network architectures: properties of every entry of `ARCHITECTURES`."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from augan.bundle import (
    Network,
    NetworkSpec,
    load_bundle,
    read_weights,
    restore_network,
    save_bundle,
)
from augan.choices import ARCHITECTURES, gan_architectures
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.exceptions import ConfigError
from augan.gan import keras, tf
from augan.gan.networks.build import build_network, network_spec
from augan.training.budget import TrainingBudget
from augan.training.config_rules import IMAGE_SIZES
from augan.training.defaults import resolve_defaults
from augan.training.trainer import TrainingData, train_stages
from tests._docs import run_worked_example
from tests._helpers import make_bundle

LATENT, WIDTH, N = 5, 4, 3
FEATURES = 20  # inputs of a head
ANY_SIZE = ("translator", "patch_discriminator")  # take images of other sizes too
WITH_SECOND_INPUT = ("generator", "discriminator", *ANY_SIZE)
HEADS = ("transformation_head", "localization_head")
NOISE, OUT = 2, 2  # channels of the noise of a translator, and of its images
OPTIONAL = {"conditioning": "norm", "norm": "batch", "dropout": 0.0}
ARGUMENTS_OF_ROLE = {
    "generator": ("conditioning",),
    "discriminator": ("norm", "dropout"),
}


@dataclass(frozen=True)
class Case:
    """One network to build: architecture, role, shape of a sample, number of classes.

    A translator has no classes; one "with classes" has noise.
    """

    architecture: str
    role: str
    shape: tuple[int, ...]
    classes: int = 0

    def spec(self, seed: int = 0) -> dict:
        """Return the spec of the network, with the arguments that its architecture takes."""
        arguments: dict = {"image_shape": list(self.shape), "seed": seed}
        if self.role == "translator":
            noise = NOISE if self.classes else 0
            more = {"out_channels": OUT, "noise_channels": noise, "blocks": 1}
            arguments |= {"width": WIDTH, **more}
        elif self.role not in HEADS:
            arguments |= {"width": WIDTH, "num_classes": self.classes}
        if self.role in ("generator", "encoder"):
            arguments["latent_dim"] = LATENT
        legal = ARCHITECTURES.get(self.architecture).arguments
        for name in ARGUMENTS_OF_ROLE.get(self.role, ()):
            if name in legal:
                arguments[name] = OPTIONAL[name]
        return network_spec(self.architecture, self.role, **arguments)

    def build(self, seed: int = 0, dtype: str = "float32") -> keras.Model:
        """Build the network, with its initial weights."""
        return build_network(self.spec(seed), dtype)

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{self.architecture}-{self.role}-{shape}-{self.classes}"


def cases_of(architecture: str) -> list[Case]:
    """Return the networks of an architecture: all roles, sizes and numbers of classes."""
    entry = ARCHITECTURES.get(architecture)
    shapes = []
    if "image" in entry.sample_types:
        sizes = [size for size in (8, 16, 32, 64) if size >= entry.min_size]
        shapes += [(size, size, channels) for size in sizes for channels in (1, 3)]
    if "row" in entry.sample_types:
        shapes.append((6,))
    cases = []
    for role in entry.roles:
        if role in HEADS:
            cases.append(Case(architecture, role, (FEATURES,)))
            continue
        classes = (3,) if role == "classifier" else (0, 3)  # no classifier without classes
        cases += [Case(architecture, role, shape, n) for shape in shapes for n in classes]
    return cases


def small_cases_of(architecture: str) -> list[Case]:
    """Return the smallest network of each role, with and without classes."""
    found: dict[tuple, Case] = {}
    for case in cases_of(architecture):
        found.setdefault((case.role, case.classes, len(case.shape)), case)
    return list(found.values())


@functools.cache
def fresh(case: Case) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Return a new model, whose weights `built` perturbs, and its initial weights."""
    model = case.build()
    return model, read_weights(model)


@functools.cache
def built(case: Case) -> keras.Model:
    """Return one model per case with perturbed weights, for checks that only read it."""
    return disturb(fresh(case)[0])


def disturb(model: keras.Model) -> keras.Model:
    """Assign other values to all variables, so that initial values hide no error."""
    rng = np.random.default_rng(2)
    for variable in model.variables:
        value = variable.numpy() + rng.normal(0, 0.3, variable.shape).astype(np.float32)
        # A batch variance must stay positive.
        variable.assign(np.abs(value) if "variance" in variable.path else value)
    return model


def inputs_of(model: keras.Model) -> list[np.ndarray]:
    """Return random samples, noise or features, and one-hot classes if the model takes them."""
    rng = np.random.default_rng(1)
    shape = [8 if side is None else side for side in model.inputs[0].shape[1:]]
    first = rng.uniform(-1, 1, (N, *shape)).astype(np.float32)
    if len(model.inputs) == 1:
        return [first]
    if len(model.inputs[1].shape) == 4:
        noise = (N, *shape[:2], model.inputs[1].shape[-1])
        return [first, rng.normal(size=noise).astype(np.float32)]
    classes = model.inputs[1].shape[-1]
    return [first, np.eye(classes, dtype=np.float32)[np.arange(N) % classes]]


def call(model: keras.Model, inputs: list, training: bool = False) -> list:
    """Return the list of outputs of a model; a single input is passed alone."""
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=training)
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def run(model: keras.Model, inputs: list | None = None) -> list[np.ndarray]:
    """Return the outputs of a model in inference."""
    return [output.numpy() for output in call(model, inputs or inputs_of(model))]


def check_shapes_and_ranges(case: Case) -> None:
    model = built(case)
    assert len(model.inputs) == 1 + (case.classes > 0 and case.role in WITH_SECOND_INPUT)
    if len(model.inputs) > 1:
        second = (None, None, NOISE) if case.role == "translator" else (case.classes,)
        assert model.inputs[1].shape == (None, *second)
    if case.role in ANY_SIZE:
        assert model.inputs[0].shape == (None, None, None, case.shape[2])
    elif case.role not in HEADS:
        first = (LATENT,) if case.role == "generator" else case.shape
        assert model.inputs[0].shape == (None, *first)
    outputs = run(model)
    assert all(output.dtype == np.float32 and np.isfinite(output).all() for output in outputs)
    shapes = [output.shape for output in outputs]
    if case.role == "generator":
        assert shapes == [(N, *case.shape)]
        assert np.abs(outputs[0]).max() <= 1
    elif case.role == "discriminator":
        assert shapes == [(N, 1)]
    elif case.role == "translator":
        assert shapes == [(N, 8, 8, OUT)]
    elif case.role == "patch_discriminator":
        halvings = sum(layer.name.startswith("down_") for layer in model.layers)
        assert shapes == [(N, *[-(-8 // 2**halvings)] * 2, 1)]
    elif case.role == "classifier":
        assert shapes == [(N, case.classes)]
    elif case.role == "encoder":
        assert shapes == [(N, LATENT), (N, case.classes)][: 1 + (case.classes > 0)]
        if case.classes:
            np.testing.assert_allclose(outputs[1].sum(axis=1), 1, rtol=1e-6)
            assert (outputs[1] >= 0).all()
    # Rows of unlike input do not come out alike.
    assert not np.array_equal(outputs[0][0], outputs[0][1])


def check_variable_paths_are_unique(case: Case) -> None:
    model = built(case)
    assert len(read_weights(model)) == len(model.variables) > 0


def check_initial_weights_are_a_function_of_the_seed(case: Case) -> None:
    # Paths do not depend on how many models the process built before.
    one, again = fresh(case)[1], read_weights(case.build())
    assert list(one) == list(again)
    random = [path for path in one if path.endswith("kernel") and np.std(one[path]) > 0]
    assert random
    for path, value in one.items():
        np.testing.assert_array_equal(again[path], value, err_msg=path)
    if len(case.shape) == 3 and case.shape[0] not in (8, 64):
        return  # the same layers: these are the fewest and the most of them
    other = read_weights(case.build(1))
    assert list(other) == list(one)
    for path in random:
        assert (other[path] != one[path]).mean() > 0.99, path


def check_rows_are_independent_in_inference(case: Case) -> None:
    model = built(case)
    inputs = inputs_of(model)
    whole = run(model, inputs)
    for row in range(N):
        alone = run(model, [values[row : row + 1] for values in inputs])
        for output, expected in zip(alone, whole, strict=True):
            np.testing.assert_allclose(output[0], expected[row], rtol=1e-3, atol=1e-4)
    reversed_rows = run(model, [values[::-1].copy() for values in inputs])
    for output, expected in zip(reversed_rows, whole, strict=True):
        np.testing.assert_allclose(output[::-1], expected, rtol=1e-3, atol=1e-4)


def check_the_gradient_reaches_every_weight(case: Case) -> None:
    model = disturb(case.build())
    with tf.GradientTape() as tape:
        outputs = call(model, inputs_of(model), training=True)
        total = tf.add_n([tf.reduce_sum(tf.sin(output)) for output in outputs])
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(total, model.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient.numpy()).all(), variable.path
        if variable.path.endswith("kernel"):
            assert np.abs(gradient.numpy()).max() > 0, variable.path


def check_bfloat16_keeps_weights_and_outputs_float32(case: Case) -> None:
    if case.role not in WITH_SECOND_INPUT:  # the others never compute in bfloat16
        return
    exact, rounded = case.build(), case.build(dtype="bfloat16")
    assert keras.config.dtype_policy().name == "float32"  # restored
    for path, value in read_weights(exact).items():
        np.testing.assert_array_equal(read_weights(rounded)[path], value, err_msg=path)
    for output, expected in zip(run(rounded), run(exact), strict=True):
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, expected, rtol=0.05, atol=0.05)


def check_a_size_that_is_not_supported_is_refused(case: Case) -> None:
    smallest = ARCHITECTURES.get(case.architecture).min_size
    if case.role in HEADS or smallest == 1 or len(case.shape) == 1:
        return
    spec = case.spec()
    channels = case.shape[2]
    spec["arguments"]["image_shape"] = [smallest // 2, smallest // 2, channels]
    with pytest.raises(ConfigError, match=f"the {case.architecture} {case.role} cannot be built"):
        build_network(spec)


def check_calls_print_nothing(case: Case) -> None:
    # Keras warns where a lone tensor meets a network that was built with a list of one.
    run(built(case))


CHECKS_OF_ALL_SIZES = (
    check_shapes_and_ranges,
    check_variable_paths_are_unique,
    check_initial_weights_are_a_function_of_the_seed,
)
CHECKS_OF_SMALL_NETWORKS = (
    check_rows_are_independent_in_inference,
    check_the_gradient_reaches_every_weight,
    check_bfloat16_keeps_weights_and_outputs_float32,
    check_a_size_that_is_not_supported_is_refused,
    check_calls_print_nothing,
)


@pytest.mark.parametrize(
    "case", [c for name in ARCHITECTURES.names() for c in cases_of(name)], ids=str
)
@pytest.mark.parametrize("check", CHECKS_OF_ALL_SIZES, ids=lambda check: check.__name__[6:])
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize(
    "case", [c for name in ARCHITECTURES.names() for c in small_cases_of(name)], ids=str
)
@pytest.mark.parametrize("check", CHECKS_OF_SMALL_NETWORKS, ids=lambda check: check.__name__[6:])
@pytest.mark.filterwarnings("error")
def test_contract_of_small_networks(check, case):
    check(case)


def check_networks_survive_a_bundle(cases: list[Case], folder: Path) -> None:
    networks = {
        str(case): Network(NetworkSpec(**case.spec()), read_weights(built(case))) for case in cases
    }
    path = save_bundle(make_bundle(networks=networks), folder / "b.augan")
    bundle = load_bundle(path)
    assert set(bundle.networks) == set(networks)
    for case in cases:
        restored = restore_network(bundle, str(case))
        for mine, theirs in zip(run(restored), run(built(case)), strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=str(case))
        for variable, value in read_weights(restored).items():
            np.testing.assert_array_equal(value, networks[str(case)].weights[variable])


@pytest.mark.parametrize("architecture", ARCHITECTURES.names())
def test_networks_survive_a_bundle(architecture, tmp_path):
    check_networks_survive_a_bundle(small_cases_of(architecture), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES.names())
def test_networks_of_all_sizes_survive_a_bundle(architecture, tmp_path):
    check_networks_survive_a_bundle(cases_of(architecture), tmp_path)


@pytest.mark.parametrize("architecture", ARCHITECTURES.names())
def test_the_declared_roles_are_those_of_the_builders(architecture):
    assert set(ARCHITECTURES.load(architecture)) == set(ARCHITECTURES.get(architecture).roles)


def test_the_worked_example_passes_and_trains(tmp_path):
    """The architecture of CONTRIBUTING: the battery, then a training that names it in settings."""
    with ARCHITECTURES.temporary():
        (name,) = run_worked_example("... a network architecture", ARCHITECTURES)
        assert name in gan_architectures()
        for check in (*CHECKS_OF_ALL_SIZES, *CHECKS_OF_SMALL_NETWORKS):
            for case in small_cases_of(name):
                check(case)
        check_networks_survive_a_bundle(small_cases_of(name), tmp_path)
        images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
        settings = [f"gan.architecture={name}", "training.batch_size=8", "training.steps=2"]
        config, preprocessing = resolve_defaults(Config().override(settings), from_arrays(images))
        data = TrainingData(images, None, 0, preprocessing)
        networks = train_stages(config, data, ["gan"], TrainingBudget(2))
        assert networks.specs["generator"]["architecture"] == name
        assert networks.steps == {"gan": 2}
    with pytest.raises(ConfigError, match=r"gan\.architecture: input should be"):
        Config().override([f"gan.architecture={name}"])


def test_every_size_of_the_settings_suits_an_architecture():
    for size in IMAGE_SIZES:
        assert any(ARCHITECTURES.get(name).min_size <= size for name in gan_architectures())
