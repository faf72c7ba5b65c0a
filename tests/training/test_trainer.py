"""Tests of `augan.training.trainer` and of the registry of stages."""

import json
import time

import numpy as np
import pytest

from augan.config import Config
from augan.data.modalities.images import ImagePreprocessing
from augan.training.budget import Stopwatch, TrainingBudget
from augan.training.loop import STEPS_PER_CALL, TrainingSession
from augan.training.trainer import TrainingData, train_stages


@pytest.fixture(scope="module")
def trained_in_no_time():
    """All stages, trained with a deadline in the past."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    classes = np.arange(10) % 2
    config = Config().replace(
        training__batch_size=4,
        gan__architecture="dcgan",
        gan__latent_dim=3,
        gan__loss="nonsaturating",
        gan__betas=(0.5, 0.999),
        gan__diffaug=["translation"],
        generator__width=2,
        discriminator__width=2,
        discriminator__norm="batch",
        encoder__width=2,
        classifier__width=2,
        generator__learning_rate=1e-3,
        discriminator__learning_rate=1e-3,
    )
    data = TrainingData(pixels, classes, 2, ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8)))
    stopwatch = Stopwatch()
    stages, budget = ("gan", "encoder", "classifier"), TrainingBudget(None, time.monotonic() - 1)
    session = TrainingSession(stopwatch=stopwatch)
    return train_stages(config, data, stages, budget, session), stopwatch


@pytest.mark.slow
def test_every_stage_trains_at_least_one_call(trained_in_no_time):
    networks, stopwatch = trained_in_no_time
    assert set(networks.models) == {"generator", "discriminator", "encoder", "classifier"}
    assert set(networks.specs) == set(networks.models)
    assert networks.steps == dict.fromkeys(("gan", "encoder", "classifier"), STEPS_PER_CALL)
    assert set(stopwatch.seconds) == {"start-up", "gan", "encoder", "classifier"}
    assert all(stopwatch.seconds[stage] > 0 for stage in ("gan", "encoder", "classifier"))
    assert networks.models["generator"].output_shape == (None, 8, 8, 1)
    assert networks.models["encoder"].output_shape == [(None, 3), (None, 2)]
    assert networks.models["classifier"].output_shape == (None, 2)


@pytest.mark.slow
def test_for_bundle_keeps_specs_and_weights(trained_in_no_time):
    networks, _ = trained_in_no_time
    for role, network in networks.for_bundle().items():
        assert network.spec.to_dict() == json.loads(json.dumps(networks.specs[role]))
        values = {v.path: v.numpy() for v in networks.models[role].variables}
        assert values.keys() == network.weights.keys()
        for path, value in values.items():
            np.testing.assert_array_equal(network.weights[path], value)
