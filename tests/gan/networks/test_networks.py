"""Tests of every network in the registry: shapes, names, initial weights, bundles."""

import copy
import json
import math

import numpy as np
import pytest

from augan.bundle import read_weights
from augan.exceptions import ConfigError
from augan.gan import keras, tf
from augan.gan.networks.build import build_network, feature_blocks, network_spec
from augan.gan.networks.dcgan import num_scales
from augan.gan.networks.layers import SpectralConv2D

LATENT, WIDTH, N = 5, 4, 3
SIZES, CHANNELS, CLASSES = (8, 16, 32, 64), (1, 3), (0, 3)
ARGUMENTS = {
    "generator": {"latent_dim": LATENT, "conditioning": "norm"},
    "discriminator": {"norm": "batch", "dropout": 0.0},
    "encoder": {"latent_dim": LATENT},
    "classifier": {},
}
NORMS = ("none", "batch", "layer", "spectral")


def make_spec(architecture, role, size=8, channels=1, classes=0, seed=0, **more):
    arguments = {"width": WIDTH, "seed": seed, "num_classes": classes, **ARGUMENTS[role], **more}
    return network_spec(architecture, role, image_shape=[size, size, channels], **arguments)


def inputs_of(model):
    """Return random images or noise, and one-hot classes if the model takes them."""
    rng = np.random.default_rng(1)
    first = rng.uniform(-1, 1, (N, *model.inputs[0].shape[1:])).astype(np.float32)
    if len(model.inputs) == 1:
        return first
    classes = model.inputs[1].shape[-1]
    return [first, np.eye(classes, dtype=np.float32)[np.arange(N) % classes]]


def run(model, inputs=None):
    outputs = model(inputs_of(model) if inputs is None else inputs, training=False)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [output.numpy() for output in outputs]


def disturb(model, stddev=0.3):
    """Assign other values to all variables, so that initial values hide no error."""
    rng = np.random.default_rng(2)
    for variable in model.variables:
        noise = rng.normal(0, stddev, variable.shape).astype(np.float32)
        # A batch variance must stay positive.
        value = np.abs(variable.numpy() + noise) if "variance" in variable.path else None
        variable.assign(variable.numpy() + noise if value is None else value)
    return model


def test_initial_weights_do_not_depend_on_the_global_seed():
    keras.utils.set_random_seed(1)
    one = read_weights(build_network(make_spec("dcgan", "generator")))
    keras.utils.set_random_seed(2)
    other = read_weights(build_network(make_spec("dcgan", "generator")))
    for path, value in one.items():
        np.testing.assert_array_equal(other[path], value, err_msg=path)


@pytest.mark.parametrize("role", ["generator", "discriminator", "encoder"])
def test_initial_weights_of_dcgan_have_its_standard_deviation(role):
    weights = read_weights(build_network(make_spec("dcgan", role, 16, 3, 0, width=32)))
    kernels = {p: w for p, w in weights.items() if p.endswith("kernel") and w.size > 1000}
    assert len(kernels) >= 2
    for path, kernel in kernels.items():
        assert kernel.std() == pytest.approx(0.02, rel=0.1), path
        assert abs(kernel.mean()) < 0.002, path


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", SIZES)
def test_feature_blocks(norm, size):
    model = build_network(make_spec("dcgan", "discriminator", size, 3, 3, norm=norm))
    features = feature_blocks(model)
    images, _ = inputs_of(model)
    shapes = [block.shape for block in run(features, images)]
    scales = {8: 2, 16: 2, 32: 3, 64: 4}[size]
    expected = [(N, size >> i + 1, size >> i + 1, WIDTH << i) for i in range(scales)]
    assert shapes == expected
    assert shapes[-1][1] == max(2, 4 if size > 8 else 2)


def test_feature_blocks_share_the_weights_and_are_activations():
    model = disturb(build_network(make_spec("dcgan", "discriminator", 16, 1, 3)))
    features = feature_blocks(model)
    images, classes = inputs_of(model)
    before = run(features, images)
    # The last block is what the logit is made of, so shares and order are right.
    flat = before[-1].reshape(N, -1)
    weights = read_weights(model)
    logit = flat @ weights["logit/kernel"] + weights["logit/bias"]
    logit += (flat * (classes @ weights["embed/kernel"])).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run(model, [images, classes])[0], logit, rtol=1e-4, atol=1e-5)
    disturb(model)
    assert not np.allclose(run(features, images)[0], before[0])


@pytest.mark.parametrize(("size", "scales"), [(8, 2), (16, 2), (32, 3), (64, 4), (128, 5)])
def test_number_of_scales(size, scales):
    assert num_scales(size) == scales


@pytest.mark.parametrize(
    ("size", "channels"),
    [(8, [1, 2]), (16, [1, 2]), (32, [1, 2, 4]), (64, [1, 2, 4, 8]), (128, [1, 2, 4, 8, 8])],
)
def test_channels_double_at_most_three_times(size, channels):
    discriminator = build_network(make_spec("dcgan", "discriminator", size))
    maps = [layer for layer in discriminator.layers if layer.name.startswith("down_")]
    assert [layer.filters for layer in maps] == [WIDTH * share for share in channels]
    assert maps[-1].output.shape[1] == (2 if size == 8 else 4)
    for architecture in ("dcgan", "dcgan-upsampling"):
        maker = build_network(make_spec(architecture, "generator", size))
        grown = [layer for layer in maker.layers if layer.name.startswith("norm_")]
        assert [layer.output.shape[-1] for layer in grown] == [WIDTH * s for s in channels[::-1]]
        assert maker.output_shape == (None, size, size, 1)


def test_the_classifier_of_large_images_has_a_third_block():
    for size, blocks in ((64, 2), (128, 3)):
        layers = build_network(make_spec("cnn", "classifier", size, 1, 3)).layers
        assert sum(layer.name.startswith("conv_") for layer in layers) == blocks


@pytest.mark.parametrize(
    ("architecture", "role"),
    [("dcgan", "discriminator"), ("mlp", "discriminator"), ("cnn", "classifier")],
)
def test_discriminators_and_classifiers_return_logits(architecture, role):
    model = disturb(build_network(make_spec(architecture, role, 8, 1, 3)), 2.0)
    (logits,) = run(model)
    assert np.abs(logits).max() > 1
    assert not np.allclose(logits.sum(axis=-1), 1)


def test_logits_depend_on_the_class_after_training():
    model = disturb(build_network(make_spec("dcgan", "generator", 8, 1, 3)))
    noise = np.repeat(np.ones((1, LATENT), np.float32), 3, axis=0)
    (images,) = run(model, [noise, np.eye(3, dtype=np.float32)])
    distances = [np.abs(images[i] - images[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(distances) > 0.05


def test_mixtures_of_classes_are_accepted():
    soft = np.array([[0.5, 0.5, 0.0]], np.float32)
    hard = np.eye(3, dtype=np.float32)
    generator = disturb(build_network(make_spec("dcgan", "generator", 8, 1, 3)))
    noise = np.ones((1, LATENT), np.float32)
    (mixed,) = run(generator, [noise, soft])
    (pure,) = run(generator, [np.repeat(noise, 3, axis=0), hard])
    assert np.isfinite(mixed).all()
    assert np.abs(mixed).max() <= 1
    assert all(np.abs(mixed[0] - image).max() > 0.01 for image in pure)
    # The projection is linear in the class: a mixture gets the mean of the logits.
    discriminator = disturb(build_network(make_spec("dcgan", "discriminator", 8, 1, 3)))
    image = inputs_of(discriminator)[0][:1]
    (logit,) = run(discriminator, [image, soft])
    (logits,) = run(discriminator, [np.repeat(image, 3, axis=0), hard])
    np.testing.assert_allclose(logit[0], logits[:2].mean(axis=0), rtol=1e-4)
    assert abs(logits[0, 0] - logits[1, 0]) > 1e-3


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.filterwarnings("error")
def test_encoder_outputs_are_generator_inputs(classes):
    encoder = disturb(build_network(make_spec("dcgan", "encoder", 16, 3, classes)))
    generator = disturb(build_network(make_spec("dcgan", "generator", 16, 3, classes)))
    images = inputs_of(encoder)
    again = generator(encoder(images, training=False), training=False)
    assert again.shape == images.shape
    outputs = run(encoder, images)
    by_hand = generator(outputs if classes else outputs[0], training=False)
    np.testing.assert_array_equal(again, by_hand)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "stylegan"}, "there is no network 'stylegan generator'"),
        ({"role": "critic"}, "there is no network 'dcgan critic'"),
        ({"architecture": "cnn"}, "there is no network 'cnn generator'"),
        ({"architecture": None, "role": None}, "there is no network"),
        ({"architecture": ["dcgan"]}, "there is no network"),
        ({"role": {}}, "there is no network"),
        ({"arguments": {}}, "cannot be built"),
        ({"arguments": 5}, "cannot be built"),
        ({"arguments": [1]}, "cannot be built"),
        ({"arguments": None}, "cannot be built"),
    ],
)
def test_unknown_spec_raises(change, message):
    # A spec comes out of a file: whatever it holds, the error is ours.
    with pytest.raises(ConfigError, match=message):
        build_network({**make_spec("dcgan", "generator"), **change})


@pytest.mark.parametrize(
    ("role", "change"),
    [
        ("generator", {"width": 0}),
        ("generator", {"width": "4"}),
        ("generator", {"latent_dim": -1}),
        ("generator", {"unknown": 1}),
        ("generator", {"image_shape": 8}),
        ("generator", {"image_shape": [8, 8]}),
        ("generator", {"image_shape": [10, 10, 1]}),  # would draw 8 x 8
        ("generator", {"image_shape": [8, 16, 1]}),  # would draw 8 x 8
        ("discriminator", {"norm": "instance"}),  # would be built without any
        ("discriminator", {"seed": "zero"}),
        ("discriminator", {"dropout": 1.5}),
        ("generator", {"conditioning": "rotation"}),  # would ignore the class
        ("classifier", {"num_classes": 0}),
    ],
)
def test_unsuitable_arguments_raise(role, change):
    architecture = "cnn" if role == "classifier" else "dcgan"
    spec = make_spec(architecture, role)
    spec["arguments"] |= change
    with pytest.raises(ConfigError, match=f"the {architecture} {role} cannot be built"):
        build_network(spec)


def test_build_network_does_not_change_the_spec():
    spec = make_spec("dcgan", "generator", 8, 3, 3)
    before = copy.deepcopy(spec)
    model = build_network(spec)
    assert spec == before
    again = build_network(json.loads(json.dumps(spec)))
    for mine, theirs in zip(run(model), run(again)):
        np.testing.assert_array_equal(mine, theirs)


def spectral_layers():
    model = build_network(make_spec("dcgan", "discriminator", 16, 3, norm="spectral"))
    layers = [layer for layer in model.layers if isinstance(layer, SpectralConv2D)]
    assert [layer.name for layer in layers] == ["down_0", "down_1"]
    return model, layers


def applied_scale(layer, images, training=False):
    """Return the ratio of the stored kernel to the kernel in use."""
    plain = tf.nn.conv2d(images, layer.kernel, 2, "SAME").numpy()
    seen = layer(images, training=training).numpy() - layer.bias.numpy()
    scale = plain / seen
    middle = float(np.median(scale))
    np.testing.assert_allclose(seen * middle, plain, atol=1e-3 * np.abs(plain).max())
    return middle


def test_spectral_norm_of_the_normalized_kernel_is_one():
    model, layers = spectral_layers()
    disturb(model)
    rng = np.random.default_rng(3)
    images = rng.uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    train = tf.function(lambda: model(images, training=True))
    for _ in range(150):
        train()
    for layer in layers:
        kernel = layer.kernel.numpy()
        largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
        inputs = rng.normal(size=(2, 8, 8, kernel.shape[2])).astype(np.float32)
        for training in (False, True):
            scale = applied_scale(layer, inputs, training)
            assert largest / scale == pytest.approx(1, abs=1e-3)
        assert abs(largest - 1) > 0.1, "the kernel must not have been normalised itself"


def test_power_iteration_runs_in_training_only():
    model, layers = spectral_layers()
    images = np.ones((1, 16, 16, 3), np.float32)
    before = read_weights(model)
    model(images, training=False)
    for path, value in read_weights(model).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)
    model(images, training=True)
    after = read_weights(model)
    changed = {path for path in after if not np.array_equal(after[path], before[path])}
    assert changed == {f"{layer.name}/direction" for layer in layers}
    assert all(not layer.direction.trainable for layer in layers)


def test_gradient_flows_through_spectral_normalization():
    # W / sigma(W) does not change when W is scaled, so the gradient is orthogonal to W (Euler).
    _, layers = spectral_layers()
    layer = layers[1]
    rng = np.random.default_rng(5)
    images = rng.normal(size=(2, 8, 8, WIDTH)).astype(np.float32)
    weights = rng.normal(size=(2, 4, 4, 2 * WIDTH)).astype(np.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weights * layer(images, training=True))
    gradient, kernel = tape.gradient(total, layer.kernel).numpy(), layer.kernel.numpy()
    size = math.sqrt((gradient**2).sum() * (kernel**2).sum())
    assert size > 0
    assert abs((gradient * kernel).sum()) / size < 1e-5


@pytest.mark.parametrize("norm", NORMS)
def test_normalization_layers_are_in_their_blocks(norm):
    model = build_network(make_spec("dcgan", "discriminator", 32, 1, norm=norm))
    kinds = {
        "batch": keras.layers.BatchNormalization,
        "layer": keras.layers.LayerNormalization,
        "spectral": SpectralConv2D,
    }
    counts = {
        name: sum(isinstance(layer, kind) for layer in model.layers) for name, kind in kinds.items()
    }
    # Three blocks; the first has no batch or layer normalisation (DCGAN).
    expected = {
        "none": {},
        "batch": {"batch": 2},
        "layer": {"layer": 2},
        "spectral": {"spectral": 3},
    }
    assert {name: count for name, count in counts.items() if count} == expected[norm]


# ---------------------------------------------------------------- conditioning, dropout, the mlp


GENERATORS = ("dcgan", "dcgan-upsampling", "mlp")


@pytest.mark.parametrize("architecture", GENERATORS)
def test_class_embedding_is_concatenated_to_the_noise(architecture):
    model = build_network(make_spec(architecture, "generator", 8, 1, 3, conditioning="embedding"))
    weights = read_weights(model)
    assert weights["embed/kernel"].shape == (3, LATENT)
    # N(0, 1), as the noise that it stands beside.
    wide = make_spec(architecture, "generator", 8, 1, 50, conditioning="embedding", latent_dim=50)
    assert read_weights(build_network(wide))["embed/kernel"].std() == pytest.approx(1, rel=0.05)
    first = "hidden_0" if architecture == "mlp" else "project"
    assert weights[f"{first}/kernel"].shape[0] == 2 * LATENT
    assert not [path for path in weights if path.startswith(("scale_", "shift_"))]
    # Its class counts from the first step; the other way begins without a difference.
    noise = np.ones((3, LATENT), np.float32)
    (images,) = run(model, [noise, np.eye(3, dtype=np.float32)])
    assert np.abs(images[0] - images[1]).max() > 1e-4
    norm = build_network(make_spec(architecture, "generator", 8, 1, 3))
    assert "embed/kernel" not in read_weights(norm)
    (images,) = run(norm, [noise, np.eye(3, dtype=np.float32)])
    np.testing.assert_allclose(images[0], images[1], atol=1e-6)


@pytest.mark.parametrize("architecture", GENERATORS)
def test_conditioning_has_no_effect_without_classes(architecture):
    one, other = (
        read_weights(build_network(make_spec(architecture, "generator", conditioning=kind)))
        for kind in ("norm", "embedding")
    )
    assert one.keys() == other.keys()
    for path, value in one.items():
        np.testing.assert_array_equal(other[path], value, err_msg=path)


@pytest.mark.parametrize("architecture", ["dcgan", "mlp"])
def test_dropout_is_active_in_training_only(architecture):
    model = disturb(
        build_network(make_spec(architecture, "discriminator", dropout=0.5, norm="none", width=8))
    )
    plain = build_network(make_spec(architecture, "discriminator", norm="none", width=8))
    for variable in plain.variables:
        variable.assign(next(v for v in model.variables if v.path == variable.path))
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [
        0.5,
        0.5,
    ]
    images = inputs_of(model)
    np.testing.assert_array_equal(run(model)[0], run(plain)[0])
    assert not np.array_equal(model(images, training=True), run(model)[0])
    # The features that detectors compare are those before a dropout.
    for mine, theirs in zip(run(feature_blocks(model)), run(feature_blocks(plain)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_dropout_is_a_function_of_its_seed():
    def generated(seed):
        model = build_network(make_spec("mlp", "discriminator", dropout=0.5, norm="none"))
        if seed is not None:
            keras.utils.set_random_seed(seed)
        return [model(inputs_of(model), training=True).numpy() for _ in range(2)]

    one, again = generated(1), generated(2)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one[0], one[1])


def test_upsampling_has_dcgans_maps_without_its_transposed_convolutions():
    one, other = (
        build_network(make_spec(name, "generator", 32, 3)) for name in ("dcgan", "dcgan-upsampling")
    )
    kinds = {type(layer).__name__ for layer in other.layers}
    assert {"UpSampling2D", "Conv2D"} <= kinds
    assert "Conv2DTranspose" not in kinds
    maps = [
        [layer.output.shape for layer in model.layers if layer.name.startswith("relu_")]
        for model in (one, other)
    ]
    assert maps[0] == maps[1] == [(None, 4, 4, 16), (None, 8, 8, 8), (None, 16, 16, 4)]


def test_the_mlp_has_two_hidden_layers_with_he_weights():
    for role in ("generator", "discriminator", "encoder"):
        weights = read_weights(build_network(make_spec("mlp", role, 8, 1, 0, width=32)))
        hidden = [path for path in weights if path.startswith("hidden_") and "kernel" in path]
        assert hidden == ["hidden_0/kernel", "hidden_1/kernel"]
        assert weights["hidden_1/kernel"].shape == (256, 256)
        assert weights["hidden_1/kernel"].std() == pytest.approx((2 / 256) ** 0.5, rel=0.05)


@pytest.mark.parametrize("norm", NORMS)
def test_normalization_of_the_mlp(norm):
    model = build_network(make_spec("mlp", "discriminator", norm=norm))
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("BatchNormalization") == (norm == "batch")
    assert kinds.count("LayerNormalization") == (norm == "layer")
    assert kinds.count("SpectralDense") == (2 if norm == "spectral" else 0)
    assert [block.shape for block in run(feature_blocks(model))] == [(N, 8 * WIDTH)] * 2
