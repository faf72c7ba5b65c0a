"""What a folder of images holds that its owner may have meant otherwise, said before it is used."""

from pathlib import Path

from augan.data.dataset import Dataset, ImageFiles


def unused(folders: list[Path]) -> list[str]:
    """Warn of folders among the class folders that gave no image; empty ones need no word."""
    warnings = []
    for folder in folders:
        if folder.is_symlink():
            warnings.append(f"the folder {folder} is a link, which is not followed; it is ignored")
            continue
        suffixes = sorted({path.suffix for path in folder.rglob("*") if path.is_file()})
        shown = " ".join(suffix or "files without an ending" for suffix in suffixes[:3])
        if suffixes:
            warnings.append(f"the folder {folder} holds no images, but {shown}; it is ignored")
    return warnings


def deeper(base: Path, found: list[str]) -> list[str]:
    """Warn where the folders of a second level recur in several of the first: those may be classes.

    `found` are images relative to `base`.
    """
    within: dict[str, set[str]] = {}
    for name in found:
        first, *rest = name.split("/")
        if len(rest) > 1:
            within.setdefault(rest[0], set()).add(first)
    shared = sorted(name for name, classes in within.items() if len(classes) > 1)
    if len(shared) < 2:
        return []
    return [
        f"the classes are the folders directly in {base}, though several of these hold folders "
        f"called {', '.join(shared[:3])}; if those are the classes, name one of the others"
    ]


def mixed_bits(dataset: Dataset) -> list[str]:
    """Warn of images of 16 bits among others: all are taken for such."""
    if not isinstance(dataset.images, ImageFiles):
        return []
    names = zip(dataset.names, dataset.images.headers())
    deep = [name for name, header in names if header.dtype == "uint16"]
    if not 0 < len(deep) < len(dataset.names):
        return []
    return [
        f"{len(deep)} of {len(dataset.names)} images have 16 bits, for example {deep[0]}, and the "
        "others 8: all are brought to 16; if it is an oversight, convert or remove them"
    ]
