"""Fixtures of the tests of translation: a small bundle with a translator in both directions."""

from pathlib import Path

import numpy as np
import pytest

from augan.bundle import Bundle, save_bundle
from tests._helpers import make_translation_bundle


@pytest.fixture(scope="session")
def translation_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A saved bundle of a translator of gray images of 8 pixels to color, hardly trained."""
    path: Path = tmp_path_factory.mktemp("runs") / "cameras" / "bundle.augan"
    path.parent.mkdir()
    bundle = make_translation_bundle()
    save_bundle(bundle, path)
    return bundle


def gray(count: int = 24, size: int = 8, seed: int = 0) -> np.ndarray:
    """Return random gray images, uint8 `[N, S, S, 1]`."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 1), np.uint8)
