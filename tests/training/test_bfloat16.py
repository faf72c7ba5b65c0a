"""Tests of training in bfloat16."""

import numpy as np
import pytest

from augan.bundle import load_bundle, restore_network
from augan.config import Config
from augan.detect.detector import Detector
from augan.exceptions import ConfigError
from augan.gan import keras, tf
from augan.gan.networks.build import build_network, feature_blocks, network_spec
from augan.training import defaults
from augan.workflow.prepare import resolve_config
from augan.workflow.train import train

ARGUMENTS = {"image_shape": [8, 8, 1], "num_classes": 3, "width": 4, "seed": 1}


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "spectral"])
@pytest.mark.parametrize("architecture", ["dcgan", "mlp"])
def test_hidden_layers_compute_in_bfloat16(architecture, norm):
    spec = network_spec(architecture, "discriminator", norm=norm, **ARGUMENTS)
    plain, short = build_network(spec), build_network(spec, "bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    short.set_weights(plain.get_weights())
    assert {w.dtype for w in short.weights} == {"float32"}
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, (6, 8, 8, 1)).astype(np.float32))
    classes = tf.one_hot([0, 1, 2, 0, 1, 2], 3)
    assert {block.dtype for block in feature_blocks(short)(images)} == {tf.bfloat16}
    for training in (False, True):
        logits = [network([images, classes], training=training) for network in (plain, short)]
        assert logits[1].dtype == tf.float32
        np.testing.assert_allclose(*logits, atol=0.03 * float(tf.reduce_max(tf.abs(logits[0]))))
        assert not np.array_equal(*logits)


@pytest.mark.parametrize("architecture", ["dcgan", "dcgan-upsampling", "mlp"])
def test_generator_outputs_are_float32(architecture):
    spec = network_spec(architecture, "generator", latent_dim=5, **ARGUMENTS)
    plain, short = build_network(spec), build_network(spec, "bfloat16")
    short.set_weights(plain.get_weights())
    noise = tf.random.stateless_normal((6, 5), (1, 2))
    generated = [n([noise, tf.one_hot([0, 1, 2] * 2, 3)], training=True) for n in (plain, short)]
    assert generated[1].dtype == tf.float32
    np.testing.assert_allclose(*generated, atol=0.05)
    assert not np.array_equal(*generated)


@pytest.fixture
def able(monkeypatch, tmp_path):
    """Simulate a CPU that supports bfloat16."""
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n")
    monkeypatch.setattr(defaults, "_CPU_INFO", tmp_path / "cpuinfo")


def test_bundle_is_float32_and_reproducible(able, tiny_digits, tmp_path):
    config = Config().replace(
        task="detect",
        training__dtype="bfloat16",
        training__steps=20,
        training__batch_size=16,
        generator__width=4,
        discriminator__width=4,
        classifier__width=4,
    )
    bundles = [train(config, tiny_digits, out=tmp_path / name) for name in ("one", "other")]
    assert bundles[0].sha256 == bundles[1].sha256
    bundle = load_bundle(tmp_path / "one")
    discriminator = restore_network(bundle, "discriminator")
    assert {layer.compute_dtype for layer in discriminator.layers} == {"float32"}
    assert {w.dtype for n in bundle.networks.values() for w in n.weights.values()} == {
        np.dtype(np.float32)
    }
    # The line was drawn by what scores: the same images, scored again, are in the calibration.
    detector = Detector.from_bundle(bundle)
    rows = bundle.splits.calibration
    repeated = detector.score(detector.preprocessing.prepare_all(tiny_digits.images[rows]))
    np.testing.assert_allclose(np.sort(repeated), detector.require_calibration().scores, rtol=1e-6)


@pytest.mark.parametrize("text", [None, "flags : fpu avx512f\n", "model name : avx512_bf16\n"])
def test_bfloat16_without_hardware_support_raises(text, monkeypatch, tmp_path, tiny_digits):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(defaults, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(defaults, "_GPU_DEVICE", tmp_path / "none")
    config = Config().replace(training__dtype="bfloat16")
    with pytest.raises(ConfigError, match="requires a GPU or a CPU that multiplies bfloat16"):
        resolve_config(config, tiny_digits)
    resolve_config(Config(), tiny_digits)
