"""Write generated images as files, with a manifest that says where each came from."""

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from augan.augment.classic import classic_policy
from augan.augment.sampling import Sampler
from augan.bundle import Bundle
from augan.data.images import write_png
from augan.data.output import output_folder
from augan.data.preprocessing import Preprocessing
from augan.exceptions import ConfigError

MANIFEST = "manifest.csv"
COLUMNS = ("file", "class", "seed", "index", "method", "policy", "bundle", "sha256")
GALLERY = 40


@dataclass(frozen=True)
class AugmentationResult:
    """What was written: the folder, how many images, and the first of them for a picture."""

    out: Path
    num_images: int
    classes: tuple[str, ...]
    gallery: np.ndarray  # uint8 [n, H, W, C]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able summary."""
        return {
            "out": str(self.out),
            "num_images": self.num_images,
            "classes": list(self.classes),
        }


def augment_folder(
    bundle: Bundle,
    class_name: str,
    n: int,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    policy: str = "none",
) -> AugmentationResult:
    """Write `n` images of one class to `out/<class>/` and `out/manifest.csv`.

    Parameters
    ----------
    bundle : Bundle
        One whose generator knows classes.
    class_name : str
        A class by name or, failing that, by number.
    n : int
        Images to write, at least 1.
    out : path or None
        New folder, or one made by an earlier call, which is replaced; None: a folder beside the
        bundle named after class, n and seed.
    seed : int
        The same seed and index give the same image, whatever n.
    policy : str
        Classic augmentation applied on top, see `augan.augment.classic`.
    """
    bundle.require("classes")
    sampler = Sampler(bundle)
    index = sampler.class_index(class_name)
    name = sampler.class_names[index]
    folder = _folder_name(name)
    target = _target(bundle, out, f"augment-{folder}-n{_checked(n)}-seed{seed}")
    with output_folder(target, replaces=MANIFEST) as partial:
        (partial / folder).mkdir()
        writer = _Writer(partial, bundle.bundle_id, seed, policy, sampler.preprocessing)
        for images in sampler.of_class(index, n, seed):
            writer.add(images, [name] * len(images), folder)
        writer.write_manifest()
    return AugmentationResult(target, writer.count, (name,), writer.gallery())


def generate_folder(
    bundle: Bundle, n: int, out: str | Path | None = None, *, seed: int = 0
) -> AugmentationResult:
    """Write `n` images to `out`, unfiltered, with classes (if any) as often as in training.

    Parameters are those of `augment_folder`.
    """
    sampler = Sampler(bundle)
    target = _target(bundle, out, f"generate-n{_checked(n)}-seed{seed}")
    with output_folder(target, replaces=MANIFEST) as partial:
        writer = _Writer(partial, bundle.bundle_id, seed, "none", sampler.preprocessing)
        for images, classes in sampler.in_proportion(n, seed):
            names = [sampler.class_names[c] if sampler.conditional else "" for c in classes]
            writer.add(images, names)
        writer.write_manifest()
    made = tuple(sampler.class_names) if sampler.conditional else ()
    return AugmentationResult(target, writer.count, made, writer.gallery())


def _checked(n: int) -> int:
    if n < 1:
        raise ConfigError(f"the number of images must be at least 1, got {n}")
    return n


def _target(bundle: Bundle, out: str | Path | None, default: str) -> Path:
    if out is not None:
        return Path(out)
    if bundle.path is None:
        raise ConfigError("this bundle was never saved, so there is no folder beside it; give one")
    return bundle.path.parent / default


def _folder_name(class_name: str) -> str:
    """A class name as a folder; two classes never share one.

    What a path would read as structure is written as in addresses: "a/b" becomes "a%2Fb".
    """
    core = class_name.strip(" .")
    before, _, after = class_name.partition(core) if core else (class_name, "", "")
    plain = "".join(
        c if c.isalnum() or c in " -_.+()" else quote(c, safe="", errors="surrogatepass")
        for c in core
    )
    edges = ["".join(f"%{ord(c):02X}" for c in text) for text in (before, after)]
    return plain.join(edges) or "%"


class _Writer:
    """Writes images one by one and remembers the manifest's rows."""

    def __init__(
        self, folder: Path, bundle_id: str, seed: int, policy: str, preprocessing: Preprocessing
    ) -> None:
        self.folder, self.bundle_id, self.seed, self.policy = folder, bundle_id, seed, policy
        self._transform = classic_policy(policy, seed)
        self.preprocessing = preprocessing
        self.rows: list[tuple] = []
        self._first: list[np.ndarray] = []

    @property
    def count(self) -> int:
        return len(self.rows)

    def add(self, images: np.ndarray, classes: Iterable[str], below: str = ".") -> None:
        """Write images `[B, H, W, C]` of stored type into the folder `below`."""
        if images.dtype == np.float32 or (images.dtype == np.uint16 and images.shape[-1] == 3):
            images = self.preprocessing.displayable(images)  # PNG knows no such pixels
        images = self._transform(images)
        for image, name in zip(images, classes):
            path = Path(below, f"{self.count:06d}.png")
            write_png(self.folder / path, image, text={"synthetic": "true"})
            digest = hashlib.sha256((self.folder / path).read_bytes()).hexdigest()
            row = (path.as_posix(), name, self.seed, self.count, "sample", self.policy)
            self.rows.append((*row, self.bundle_id, digest))
            if len(self._first) < GALLERY:
                self._first.append(image)

    def write_manifest(self) -> None:
        with open(self.folder / MANIFEST, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *self.rows])

    def gallery(self) -> np.ndarray:
        """The first images as uint8, for a picture."""
        images = np.stack(self._first)
        return self.preprocessing.displayable(images) if images.dtype != np.uint8 else images
