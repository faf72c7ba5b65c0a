"""Save and load the bundle file.

The order of the checks matters: but for the manifest, no member is parsed before its size and hash
are known to be right, and the version is looked at before anything that may differ in a later one.
"""

import os
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from augan.bundle import serialization
from augan.bundle.archive import GET_ANOTHER, Archive, Limits, atomic_file, write_zip
from augan.bundle.bundle import (
    FORMAT,
    FORMAT_VERSION,
    Bundle,
    check_members,
    content_hash,
    current_versions,
    decode_members,
    encode_members,
    member_hashes,
)
from augan.exceptions import BundleError
from augan.io.hashing import sha256_bytes
from augan.io.layout import BUNDLE_FILE

_MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 1024**2
# A little below 2 GiB, where a zip would need its 64-bit records.
_LIMITS = Limits(
    member=serialization.MEMBER_LIMIT, total=2 * 1024**3 - 1024**2, count=512, ratio=200
)
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """The part of the manifest that does not depend on the format version, and the rest."""

    version: int
    raw: dict[str, Any]
    sizes: dict[str, int]


def save_bundle(bundle: Bundle, path: str | os.PathLike[str]) -> Path:
    """Write `bundle` to `path` at once or not at all, and return the file's path.

    Parameters
    ----------
    bundle : Bundle
        Its `path` is set to the file written.
    path : path-like
        The file, or an existing folder, in which it is called `bundle.augan`. Missing parent
        folders are made.

    Raises
    ------
    BundleError
        If something in the bundle cannot be written, or the file cannot. A file that was at
        `path` before is then still there, unchanged.
    """
    target = Path(path)
    if os.path.isdir(target):  # unlike Path.is_dir, it leaves a denied permission to the writer
        target = target / BUNDLE_FILE
    members = encode_members(bundle)
    hashes = member_hashes(members)
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": bundle.created,
        "versions": bundle.versions,
        "sha256": content_hash(hashes, bundle.versions),
        "files": {name: {"size": len(members[name]), "sha256": hashes[name]} for name in members},
    }
    members[_MANIFEST] = serialization.encode_json(manifest, "manifest")
    _check_writable(members, target)
    with atomic_file(target) as stream:
        write_zip(stream, members)
    bundle.path = target
    return target


def _check_writable(members: dict[str, bytes], target: Path) -> None:
    """Refuse to write what `load_bundle` would refuse to read."""
    sizes = {name: len(raw) for name, raw in members.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    total = sum(sizes.values())
    long_json = [n for n in sizes if n.endswith(".json") and sizes[n] > serialization.JSON_LIMIT]
    if (
        len(sizes) > _LIMITS.count
        or sizes[largest] > _LIMITS.member
        or total > _LIMITS.total
        or long_json
    ):
        raise BundleError(
            f"{target} would be oversized: {len(sizes)} members, together {total} bytes, the "
            f"largest {long_json[0] if long_json else largest}; at most {_LIMITS.count} members, "
            f"{_LIMITS.total} bytes, {_LIMITS.member} a member and "
            f"{serialization.JSON_LIMIT} of JSON are saved; keep less in the tables or train a "
            "smaller network"
        )


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read and check a bundle; no code in it can run, and no network is built.

    Parameters
    ----------
    path : path-like
        The file, or a run folder that holds `bundle.augan`.

    Raises
    ------
    BundleError
        If there is none, it is damaged or was changed, or its format version is not read here.

    Examples
    --------
    >>> load_bundle("runs/none")
    Traceback (most recent call last):
    augan.exceptions.BundleError: there is no file or folder runs/none; give the bundle.augan \
(or its folder) that 'augan train' wrote
    """
    return read_checked(path)[0]


def read_checked(path: str | os.PathLike[str]) -> tuple[Bundle, Manifest]:
    """Return the bundle at `path` and its manifest, or raise BundleError; see `load_bundle`."""
    try:
        file = _find(Path(path))
        with file.open("rb") as stream:
            bundle, manifest = _read(stream, str(file))
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror or error}; check its permissions and its disk"
        ) from error
    bundle.path = file
    return bundle, manifest


def parse_bundle(content: bytes, where: str) -> Bundle:
    """Return the bundle whose file has that content, checked as `load_bundle` does.

    `where` is what errors call it; BundleError if it is damaged or was changed.
    """
    return _read(BytesIO(content), where)[0]


def _read(stream: BinaryIO, where: str) -> tuple[Bundle, Manifest]:
    archive = Archive(stream, where, _LIMITS)
    manifest = _read_manifest(archive)
    return _read_members(archive, manifest), manifest


def _find(path: Path) -> Path:
    hint = f"give the {BUNDLE_FILE} (or its folder) that 'augan train' wrote"
    if path.is_dir():
        if not (path / BUNDLE_FILE).exists():
            raise BundleError(f"{path} is a folder without a {BUNDLE_FILE}; {hint}")
        path = path / BUNDLE_FILE
    if not path.exists():
        raise BundleError(f"there is no file or folder {path}; {hint}")
    if not path.is_file():
        raise BundleError(f"{path} is not a regular file, so not a bundle; {hint}")
    return path


def _read_manifest(archive: Archive) -> Manifest:
    where = archive.where
    size = archive.sizes.get(_MANIFEST)
    if size is None:
        raise BundleError(
            f"{where} is not a bundle: it has no {_MANIFEST}; give the file 'augan train' wrote"
        )
    if size > _MANIFEST_LIMIT:
        raise BundleError(
            f"{where}: member {_MANIFEST} is oversized: {size} bytes, at most {_MANIFEST_LIMIT} "
            f"are read; {GET_ANOTHER}"
        )
    raw = serialization.decode_json(archive.read(_MANIFEST), f"{where}: member {_MANIFEST}")
    if raw.get("format") != FORMAT:
        raise BundleError(
            f"{where} is not a bundle: its format is {raw.get('format')!r}, expected {FORMAT!r}; "
            "give the file 'augan train' wrote"
        )
    version = raw.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise BundleError(_version_message(where, version, raw.get("versions")))
    return Manifest(version, raw, dict(archive.sizes))


def _version_message(where: str, version: object, versions: object) -> str:
    writer = versions.get("augan") if isinstance(versions, dict) else None
    is_newer = isinstance(version, int) and version > FORMAT_VERSION
    remedy = "update augan (pip install -U augan)" if is_newer else "train again with this version"
    return (
        f"{where} has bundle format {version!r} (written by augan {writer or 'unknown'}), but "
        f"augan {current_versions().get('augan', 'here')} reads format {FORMAT_VERSION}; {remedy}"
    )


def _read_members(archive: Archive, manifest: Manifest) -> Bundle:
    where = archive.where
    created, versions = manifest.raw.get("created"), manifest.raw.get("versions")
    if not isinstance(created, str) or not isinstance(versions, dict):
        raise BundleError(f"{where}: {_MANIFEST} lacks 'created' or 'versions'; {GET_ANOTHER}")
    hashes = _declared_hashes(archive, manifest)
    if manifest.raw.get("sha256") != content_hash(hashes, versions):
        raise BundleError(f"{where}: {_MANIFEST} was changed (SHA-256 differs); {GET_ANOTHER}")
    check_members(hashes, where)

    def read(name: str) -> bytes:
        raw = archive.read(name)
        if sha256_bytes(raw) != hashes[name]:
            raise BundleError(
                f"{where}: member {name} was changed (SHA-256 differs); {GET_ANOTHER}"
            )
        return raw

    bundle = decode_members(hashes, read, where)
    bundle.created, bundle.versions = created, versions
    return bundle


def _declared_hashes(archive: Archive, manifest: Manifest) -> dict[str, str]:
    """Return member -> SHA-256 as declared, after comparing the members and their sizes."""
    where, files = archive.where, manifest.raw.get("files")
    if not isinstance(files, dict):
        raise BundleError(f"{where}: {_MANIFEST} lacks 'files'; {GET_ANOTHER}")
    present = archive.sizes.keys() - {_MANIFEST}
    if extra := sorted(present - files.keys()):
        raise BundleError(
            f"{where} has the member {extra[0]!r}, which its manifest does not list; {GET_ANOTHER}"
        )
    if missing := sorted(files.keys() - present):
        raise BundleError(f"{where} lacks the member {missing[0]!r}; {GET_ANOTHER}")
    hashes = {}
    for name, entry in files.items():
        sha256 = entry.get("sha256") if isinstance(entry, dict) else None
        if not isinstance(sha256, str) or not _HEX.fullmatch(sha256):
            raise BundleError(f"{where}: {_MANIFEST} has no SHA-256 of {name}; {GET_ANOTHER}")
        if entry.get("size") != archive.sizes[name]:
            raise BundleError(
                f"{where}: member {name} has {archive.sizes[name]} bytes, its manifest says "
                f"{entry.get('size')}; {GET_ANOTHER}"
            )
        hashes[name] = sha256
    return hashes


def inspect_bundle(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a bundle says about itself, after all checks of `load_bundle`.

    Returns
    -------
    dict
        JSON-able: `path`, `id`, `sha256`, `format_version`, `versions`, `created`, `data`,
        `preprocessing`, `networks` (spec, parameters, arrays), `detector`, `calibration_size`
        (None without a calibration), `tables` (shape and dtype of each array), `sizes` (bytes of
        each member), `total_bytes` (of the file), `metrics`.
    """
    bundle, manifest = read_checked(path)
    networks = {
        name: {"spec": net.spec, "parameters": net.parameters, "arrays": len(net.weights)}
        for name, net in bundle.networks.items()
    }
    tables = {
        name: {key: {"shape": list(a.shape), "dtype": str(a.dtype)} for key, a in table.items()}
        for name, table in bundle.tables.items()
    }
    return {
        "path": str(bundle.path),
        "id": manifest.raw["sha256"][:12],
        "sha256": manifest.raw["sha256"],
        "format_version": manifest.version,
        "versions": bundle.versions,
        "created": bundle.created,
        "data": bundle.data,
        "preprocessing": bundle.preprocessing,
        "networks": networks,
        "detector": bundle.detector,
        "calibration_size": _calibration_size(bundle.tables.get("calibration")),
        "tables": tables,
        "sizes": manifest.sizes,
        "total_bytes": bundle.path.stat().st_size if bundle.path else 0,
        "metrics": bundle.metrics,
    }


def _calibration_size(table: dict[str, np.ndarray] | None) -> int | None:
    """Return the number of held-out normals: of "scores" if there, else of the longest array."""
    if not table:
        return None
    arrays = [table["scores"]] if "scores" in table else list(table.values())
    return max((array.shape[0] for array in arrays if array.ndim), default=0)
