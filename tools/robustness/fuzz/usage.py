"""Bundles whose hashes are right and whose content is not, in use: for
`tools.robustness.fuzz.run`.
"""

import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

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
    """Return a bundle of images that can do everything, and one of rows."""
    from augan.config import Config
    from augan.data.dataset import from_arrays
    from augan.data.datasets import digits
    from augan.workflow.train import train

    rng = np.random.default_rng(0)
    rows = from_arrays(rng.normal(size=(120, 3)), rng.integers(0, 2, 120))
    found = []
    for dataset in (digits().subset(np.arange(120)), rows):
        with tempfile.TemporaryDirectory() as folder:
            config = Config().replace(**SETTINGS, detect__methods=("fanogan",))
            out = Path(folder) / "run"
            train(config, dataset, out=out)
            found.append((out / BUNDLE_FILE).read_bytes())
    return found


def _make(rng: Rng) -> bytes:
    raw = one(rng, trained())
    changed = mutated_bundle(rng, raw)
    with suppress(Exception):  # what is a zip gets right hashes, so that it is loaded
        changed = zipped(with_hashes(unzipped(changed)))
    return changed


def meet_in_use(raw: bytes, place: Path) -> None:
    """Do with a bundle all that commands do, a little of each."""
    from augan.augment.api import augment_folder, generate_folder
    from augan.detect.api import detect_folder

    (place / BUNDLE_FILE).write_bytes(raw)
    found, said = load_bundle(place), None
    images = place / "images"
    _write_samples(images)
    what = images / "x.csv" if found.preprocessing.get("modality") == "rows" else images
    acts = [
        lambda: detect_folder(found, what, place / "d", far=0.2),
        lambda: detect_folder(found, what, place / "e", far=0.2, method="fanogan"),
        lambda: generate_folder(found, 2, place / "f"),
        lambda: augment_folder(found, "0", 2, place / "g", filtered=False),
        lambda: augment_folder(found, "0", 2, place / "h", filtered=False, method="transfer"),
    ]
    for act in acts:
        try:
            act()
        except AuganError as error:
            said = error
    if said is not None:
        raise said


def _write_samples(folder: Path) -> None:
    from augan.io.images import write_png

    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(2):
        write_png(folder / f"{number}.png", rng.integers(0, 256, (8, 8), np.uint8))
    rows = "".join(f"{a:.3f},{b:.3f},{c:.3f}\n" for a, b, c in rng.normal(size=(3, 3)))
    (folder / "x.csv").write_text(f"x0,x1,x2\n{rows}", "utf-8")


KINDS = {"use": Kind(_make, meet_in_use)}
