"""Saving and loading of bundle files.

The order of the checks matters: except for the manifest, no member is parsed before its size and
hash have been verified, and the format version is checked before anything that depends on it.
"""

import os
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from augan.bundle import serialization
from augan.bundle.archive import REPLACE_HINT, Archive, Limits, write_zip
from augan.bundle.bundle import Bundle, current_versions
from augan.bundle.members import (
    FORMAT,
    FORMAT_VERSION,
    SECTIONS,
    check_members,
    content_hash,
    decode_members,
    encode_members,
    member_hashes,
)
from augan.bundle.section import Section, split_arrays
from augan.exceptions import BundleError
from augan.io.atomic import atomic_file
from augan.io.hashing import sha256_bytes
from augan.io.layout import BUNDLE_FILE

_MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 1024**2
# Slightly below 2 GiB, from which a zip needs 64-bit records.
_LIMITS = Limits(
    member=serialization.MEMBER_LIMIT, total=2 * 1024**3 - 1024**2, count=512, ratio=200
)
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """The manifest of a bundle file.

    Attributes
    ----------
    version : int
        Version of the bundle format.
    raw : dict
        Content of `manifest.json`.
    sizes : dict of str to int
        Name of each member, the manifest included -> bytes.
    """

    version: int
    raw: dict[str, Any]
    sizes: dict[str, int]


def save_bundle(bundle: Bundle, path: str | os.PathLike[str]) -> Path:
    """Write a bundle to a file, complete or not at all.

    Parameters
    ----------
    bundle : Bundle
        The bundle; its `path` is set to the written file.
    path : path-like
        The file, or an existing folder for a file `bundle.augan`. Missing parent folders are
        created.

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    BundleError
        The bundle has content that cannot be written, or the file cannot be written. A file at
        `path` is then unchanged.
    """
    target = Path(path)
    if os.path.isdir(
        target
    ):  # unlike Path.is_dir, False if permission is denied; the writer reports it
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
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target, sync=True) as stream:
            write_zip(stream, members)
    except OSError as error:
        raise BundleError(
            f"{target} cannot be written: {error.strerror or error}; make room or choose another "
            "place (what was there before is unchanged)"
        ) from error
    bundle.record_path(target)
    return target


def _check_writable(members: dict[str, bytes], target: Path) -> None:
    """Raise BundleError for a bundle that `load_bundle` would refuse as too large."""
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
            f"{serialization.JSON_LIMIT} of JSON are saved; train a smaller "
            "network, or without --store-latents"
        )


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read and check a bundle; no code is executed, and no network is built.

    Parameters
    ----------
    path : path-like
        The file, or a run folder with a `bundle.augan`.

    Raises
    ------
    BundleError
        There is no bundle, the bundle is damaged or was changed, or it has another format version.

    Examples
    --------
    >>> load_bundle("runs/none")
    Traceback (most recent call last):
    augan.exceptions.BundleError: there is no file or folder runs/none; give the bundle.augan \
(or its folder) that 'augan train' wrote
    """
    return load_with_manifest(path)[0]


def as_bundle(run_or_bundle: Bundle | str | os.PathLike[str]) -> Bundle:
    """Return the bundle that the user gave to a function, loaded from its path if needed.

    Parameters
    ----------
    run_or_bundle : Bundle or path
        A run folder, a bundle file, or a loaded bundle.

    Raises
    ------
    BundleError
        There is no bundle at the path, it cannot be read, or the argument is of another type.
    """
    if isinstance(run_or_bundle, Bundle):
        return run_or_bundle
    if isinstance(run_or_bundle, str | os.PathLike):
        return load_bundle(run_or_bundle)
    raise BundleError(
        f"got {type(run_or_bundle).__name__} in place of a model; give a run folder, a bundle "
        "file, or a bundle from load_bundle or train"
    )


def load_with_manifest(path: str | os.PathLike[str]) -> tuple[Bundle, Manifest]:
    """Load and check a bundle as `load_bundle`, and return its manifest too.

    Parameters
    ----------
    path : path-like
        The file, or a run folder with a `bundle.augan`.

    Raises
    ------
    BundleError
        As for `load_bundle`.
    """
    try:
        file = _find(Path(path))
        with file.open("rb") as stream:
            bundle, manifest = _read(stream, str(file))
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror or error}; check its permissions and its disk"
        ) from error
    bundle.record_path(file)
    return bundle, manifest


def parse_bundle(content: bytes, where: str) -> Bundle:
    """Load a bundle from the content of its file, with all checks of `load_bundle`.

    Parameters
    ----------
    content : bytes
        The whole file, for example as another process sent it.
    where : str
        Name of the file in error messages.

    Returns
    -------
    Bundle
        A bundle without `path`.

    Raises
    ------
    BundleError
        As for `load_bundle`.
    """
    return _read(BytesIO(content), where)[0]


def _read(stream: BinaryIO, where: str) -> tuple[Bundle, Manifest]:
    """Read and check a bundle from an open file; `where` is its name in messages."""
    archive = Archive(stream, where, _LIMITS)
    manifest = _read_manifest(archive)
    return _read_members(archive, manifest), manifest


def _find(path: Path) -> Path:
    """Return the bundle file at a path that is the file or its folder; BundleError if none."""
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
    """Read the manifest of a bundle, and check its size, format and format version."""
    where = archive.where
    size = archive.sizes.get(_MANIFEST)
    if size is None:
        raise BundleError(
            f"{where} is not a bundle: it has no {_MANIFEST}; give the file 'augan train' wrote"
        )
    if size > _MANIFEST_LIMIT:
        raise BundleError(
            f"{where}: member {_MANIFEST} is oversized: {size} bytes, at most {_MANIFEST_LIMIT} "
            f"are read; {REPLACE_HINT}"
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
    """Return the message for a bundle of another format version, with the remedy.

    `version` and `versions` are untrusted values of the manifest.
    """
    writer = versions.get("augan") if isinstance(versions, dict) else None
    is_newer = isinstance(version, int) and version > FORMAT_VERSION
    remedy = "update augan (pip install -U augan)" if is_newer else "train again with this version"
    return (
        f"{where} has bundle format {version!r} (written by augan {writer or 'unknown'}), but "
        f"augan {current_versions().get('augan', 'here')} reads format {FORMAT_VERSION}; {remedy}"
    )


def _read_members(archive: Archive, manifest: Manifest) -> Bundle:
    """Read all members of a bundle, after their hashes and sizes were checked."""
    where = archive.where
    created, versions = manifest.raw.get("created"), manifest.raw.get("versions")
    if not isinstance(created, str) or not isinstance(versions, dict):
        raise BundleError(f"{where}: {_MANIFEST} lacks 'created' or 'versions'; {REPLACE_HINT}")
    hashes = _declared_hashes(archive, manifest)
    if manifest.raw.get("sha256") != content_hash(hashes, versions):
        raise BundleError(f"{where}: {_MANIFEST} was changed (SHA-256 differs); {REPLACE_HINT}")
    check_members(hashes, where)

    def read(name: str) -> bytes:
        raw = archive.read(name)
        if sha256_bytes(raw) != hashes[name]:
            raise BundleError(
                f"{where}: member {name} was changed (SHA-256 differs); {REPLACE_HINT}"
            )
        return raw

    return decode_members(hashes, read, where, created, versions)


def _declared_hashes(archive: Archive, manifest: Manifest) -> dict[str, str]:
    """Return the SHA-256 that the manifest declares for each member, not yet compared.

    BundleError if the manifest lists other members or sizes than the archive has.
    """
    where, files = archive.where, manifest.raw.get("files")
    if not isinstance(files, dict):
        raise BundleError(f"{where}: {_MANIFEST} lacks 'files'; {REPLACE_HINT}")
    present = archive.sizes.keys() - {_MANIFEST}
    if extra := sorted(present - files.keys()):
        raise BundleError(
            f"{where} has the member {extra[0]!r}, which its manifest does not list; {REPLACE_HINT}"
        )
    if missing := sorted(files.keys() - present):
        raise BundleError(f"{where} lacks the member {missing[0]!r}; {REPLACE_HINT}")
    hashes = {}
    for name, entry in files.items():
        sha256 = entry.get("sha256") if isinstance(entry, dict) else None
        if not isinstance(sha256, str) or not _HEX.fullmatch(sha256):
            raise BundleError(f"{where}: {_MANIFEST} has no SHA-256 of {name}; {REPLACE_HINT}")
        if entry.get("size") != archive.sizes[name]:
            raise BundleError(
                f"{where}: member {name} has {archive.sizes[name]} bytes, its manifest says "
                f"{entry.get('size')}; {REPLACE_HINT}"
            )
        hashes[name] = sha256
    return hashes


def inspect_bundle(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a bundle file for `augan inspect`, after all checks of `load_bundle`.

    Parameters
    ----------
    path : path-like
        The file, or a run folder with a `bundle.augan`.

    Returns
    -------
    dict
        JSON-able: `path`, `id`, `sha256`, `format_version`, `versions`, `created`, `data`,
        `preprocessing`, `networks` (spec, parameters, arrays), `detector`, `calibration_size` (None
        without a calibration), `translation` (None without a translator), `arrays` (shape and dtype
        by section and path), `sizes` (bytes of each member), `total_bytes` (of the file),
        `metrics`.

    Raises
    ------
    BundleError
        As for `load_bundle`.
    """
    bundle, manifest = load_with_manifest(path)
    networks = {
        name: {"spec": net.spec.to_dict(), "parameters": net.parameters, "arrays": len(net.weights)}
        for name, net in bundle.networks.items()
    }
    sections = {name: getattr(bundle, name) for name in SECTIONS}
    arrays = {name: _describe_arrays(section) for name, section in sections.items() if section}
    return {
        "path": str(bundle.path),
        "id": manifest.raw["sha256"][:12],
        "sha256": manifest.raw["sha256"],
        "format_version": manifest.version,
        "versions": bundle.versions,
        "created": bundle.created,
        "data": bundle.data.to_dict(),
        "preprocessing": bundle.preprocessing.to_dict(),
        "networks": networks,
        "detector": None if bundle.detector is None else bundle.detector.to_dict(),
        "calibration_size": _calibration_size(bundle),
        "translation": None if bundle.translation is None else bundle.translation.to_dict(),
        "arrays": arrays,
        "sizes": manifest.sizes,
        "total_bytes": bundle.path.stat().st_size if bundle.path else 0,
        "metrics": bundle.metrics.to_dict(),
    }


def _describe_arrays(section: Section) -> dict[str, Any]:
    """Return the shape and the type of each array of a section, JSON-able, by path."""
    _, arrays = split_arrays(section)
    return {path: {"shape": list(a.shape), "dtype": str(a.dtype)} for path, a in arrays.items()}


def _calibration_size(bundle: Bundle) -> int | None:
    """Return the number of calibration samples of the default method; None if not calibrated."""
    calibration = None if bundle.detector is None else bundle.detector.methods[0].calibration
    return None if calibration is None else len(calibration.scores)
