"""Kind of damaged bundles with valid hashes, processed by detection and augmentation."""

import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from augan import DetectionRequest
from augan.bundle import load_bundle
from augan.exceptions import AuganError
from augan.io.layout import BUNDLE_FILE
from tools.robustness.fuzz.bundles import mutated_bundle, with_hashes
from tools.robustness.fuzz.inputs import Kind
from tools.robustness.fuzz.mutations import Rng, one, unzipped, zipped

SETTINGS = {
    "training__steps": 20,
    "training__batch_size": 8,
    "gan__architecture": "mlp",
    "gan__latent_dim": 3,
    "generator__width": 1,
    "discriminator__width": 1,
    "encoder__width": 1,
    "classifier__width": 2,
    "evaluation__enabled": False,
}


@cache
def trained() -> list[bytes]:
    """Return a bundle trained on images and a bundle trained on table rows, both with all parts."""
    from augan.config import Config
    from augan.data.dataset import from_arrays
    from augan.data.datasets import digits
    from augan.workflow.train import train

    rng = np.random.default_rng(0)
    rows = from_arrays(rng.normal(size=(120, 3)), rng.integers(0, 2, 120))
    bundles = []
    for dataset in (digits().subset(np.arange(120)), rows):
        with tempfile.TemporaryDirectory() as folder:
            config = Config().replace(**SETTINGS, detect__methods=("fanogan",))
            out = Path(folder) / "run"
            train(config, dataset, out=out)
            bundles.append((out / BUNDLE_FILE).read_bytes())
    return bundles


def _make(rng: Rng) -> bytes:
    raw = one(rng, trained())
    changed = mutated_bundle(rng, raw)
    with suppress(Exception):  # valid zip files get valid hashes, so that they are loaded
        changed = zipped(with_hashes(unzipped(changed)))
    return changed


def use_bundle(raw: bytes, folder: Path) -> None:
    """Detect, generate and augment with a bundle, each with a few samples."""
    from augan.augment.api import augment_folder, generate_folder
    from augan.augment.request import AugmentRequest
    from augan.detect.api import detect_folder

    (folder / BUNDLE_FILE).write_bytes(raw)
    bundle, last_error = load_bundle(folder), None
    images = folder / "images"
    _write_samples(images)
    data = images / "x.csv" if bundle.preprocessing.modality == "rows" else images
    actions = [
        lambda: detect_folder(bundle, DetectionRequest(data, far=0.2), folder / "d"),
        lambda: detect_folder(
            bundle, DetectionRequest(data, far=0.2, method="fanogan"), folder / "e"
        ),
        lambda: generate_folder(bundle, 2, folder / "f"),
        lambda: augment_folder(bundle, AugmentRequest("0", 2, filtered=False), folder / "g"),
        lambda: augment_folder(
            bundle, AugmentRequest("0", 2, filtered=False, method="transfer"), folder / "h"
        ),
    ]
    for action in actions:
        try:
            action()
        except AuganError as error:
            last_error = error
    if last_error is not None:
        raise last_error


def _write_samples(folder: Path) -> None:
    from augan.io.images import write_png

    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(2):
        write_png(folder / f"{number}.png", rng.integers(0, 256, (8, 8), np.uint8))
    rows = "".join(f"{a:.3f},{b:.3f},{c:.3f}\n" for a, b, c in rng.normal(size=(3, 3)))
    (folder / "x.csv").write_text(f"x0,x1,x2\n{rows}", "utf-8")


KINDS = {"use": Kind(_make, use_bundle)}
