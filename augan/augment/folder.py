"""Write generated images or rows, with a manifest that says where each came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from augan.augment.sampling import Sampler
from augan.augment.writers import MANIFEST, choose_format, open_writer, write_manifest
from augan.bundle import Bundle
from augan.data.output import output_folder
from augan.exceptions import ConfigError


@dataclass(frozen=True)
class AugmentationResult:
    """What was written: the folder, how many images or rows, and the first images."""

    out: Path
    num_images: int
    classes: tuple[str, ...]
    gallery: np.ndarray | None  # uint8 [n, H, W, C]; None of a table
    noun: str = "images"
    format: str = "png"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able summary."""
        return {
            "out": str(self.out),
            f"num_{self.noun}": self.num_images,
            "classes": list(self.classes),
            "format": self.format,
        }


def augment_folder(
    bundle: Bundle,
    class_name: str,
    n: int,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    policy: str = "none",
    format: str | None = None,
) -> AugmentationResult:
    """Write `n` images of one class to `out/<class>/`, or rows, and `out/manifest.csv`.

    Parameters
    ----------
    bundle : Bundle
        One whose generator knows classes.
    class_name : str
        A class by name or, failing that, by number.
    n : int
        Images or rows to write, at least 1.
    out : path or None
        New folder, or one made by an earlier call, which is replaced; None: a folder beside the
        bundle named after class, n and seed.
    seed : int
        The same seed and index give the same image or row, whatever n.
    policy : str
        Classic augmentation of images applied on top, see `augan.augment.classic`.
    format : str or None
        "png" or "npz" of images, "csv" of rows; None: the first of these. The last two are one
        file, `synthetic.npz` or `synthetic.csv`.
    """
    bundle.require("classes")
    sampler = Sampler(bundle)
    index = sampler.class_index(class_name)
    name = sampler.class_names[index]
    folder = _folder_name(name)
    target = _target(bundle, out, f"augment-{folder}-n{_checked(n)}-seed{seed}")
    blocks = ((block, np.full(len(block), index)) for block in sampler.of_class(index, n, seed))
    return _write(bundle, sampler, blocks, target, (name,), seed, policy, format, folder)


def generate_folder(
    bundle: Bundle,
    n: int,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    format: str | None = None,
) -> AugmentationResult:
    """Write `n` images or rows to `out`, unfiltered, classes (if any) as often as in training.

    Parameters are those of `augment_folder`.
    """
    sampler = Sampler(bundle)
    target = _target(bundle, out, f"generate-n{_checked(n)}-seed{seed}")
    made = tuple(sampler.class_names) if sampler.conditional else ()
    blocks = sampler.in_proportion(n, seed)
    return _write(bundle, sampler, blocks, target, made, seed, "none", format)


def _write(
    bundle: Bundle,
    sampler: Sampler,
    blocks: Iterator[tuple[np.ndarray, np.ndarray]],
    target: Path,
    made: tuple[str, ...],
    seed: int,
    policy: str,
    format: str | None,
    below: str = ".",
) -> AugmentationResult:
    noun = sampler.preprocessing.noun
    format = choose_format(format, noun)
    names = sampler.class_names if sampler.conditional else []
    about = {"seed": seed, "policy": policy, "bundle": bundle.bundle_id}
    classes: list[str] = []
    with output_folder(target, replaces=MANIFEST) as partial:
        if format == "png":
            (partial / below).mkdir(exist_ok=True)
        writer = open_writer(
            format, partial, sampler.preprocessing, class_names=names, policy=policy, seed=seed
        )
        for samples, numbers in blocks:
            writer.add(samples, numbers, below)
            classes += [names[c] if names else "" for c in numbers]
        writer.close()
        write_manifest(partial, writer.files, classes, about)
    return AugmentationResult(target, len(classes), made, writer.gallery(), noun, format)


def _checked(n: int) -> int:
    if n < 1:
        raise ConfigError(f"the number of samples must be at least 1, got {n}")
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
