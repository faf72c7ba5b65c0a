"""Fixtures that many tests share: a small data set, and one bundle trained on it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from augan.bundle import Bundle
from augan.config import Config
from augan.data.dataset import Dataset
from augan.data.datasets import digits

# A slow machine is no error: no property has a time limit.
settings.register_profile("augan", deadline=None)
settings.load_profile("augan")

TINY_STEPS = 20


@pytest.fixture(scope="session")
def tiny_digits() -> Dataset:
    """240 of scikit-learn's digits, all ten classes: 127 fit, 14 tune and 99 calibrate."""
    return digits().subset(np.arange(240))


@pytest.fixture(scope="session")
def tiny_config() -> Config:
    """The smallest settings that still train every part."""
    return Config().replace(
        training__steps=TINY_STEPS,
        training__batch_size=32,
        gan__latent_dim=8,
        generator__width=8,
        discriminator__width=8,
        encoder__width=8,
        classifier__width=8,
        detect__methods=("fanogan",),
    )


@pytest.fixture(scope="session")
def digits_bundle(
    tiny_config: Config, tiny_digits: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """What `train` returns for `tiny_digits`; treat it as read-only. `path` is its file."""
    from augan.workflow.train import train

    out: Path = tmp_path_factory.mktemp("runs") / "digits"
    return train(tiny_config, tiny_digits, out=out)
