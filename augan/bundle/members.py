"""Conversion of a bundle to and from the members of its file.

A section is one JSON member and, if it has arrays, one npz member of the same name. A network is
one JSON member and one safetensors member.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from augan.bundle import serialization
from augan.bundle.archive import REPLACE_HINT
from augan.bundle.bundle import NETWORK_NAME, Bundle
from augan.bundle.metrics import BundleMetrics
from augan.bundle.section import Section, build_section, describe_error, split_arrays
from augan.bundle.sections import (
    DatasetInfo,
    DetectorSection,
    Latents,
    Network,
    NetworkSpec,
    Splits,
    TranslationSection,
)
from augan.config import Config
from augan.data.modalities.registry import restore_preprocessing
from augan.exceptions import AuganError, BundleError
from augan.io.hashing import sha256_bytes, sha256_json

FORMAT = "augan-bundle"
FORMAT_VERSION = 3
SECTIONS: dict[str, type[Section]] = {
    "data": DatasetInfo,
    "metrics": BundleMetrics,
    "splits": Splits,
    "latents": Latents,
    "detector": DetectorSection,
    "translation": TranslationSection,
}
_REQUIRED = ("config", "data", "preprocessing", "metrics")
_MEMBER = re.compile(
    rf"(?:config|preprocessing)\.json|(?P<section>{'|'.join(SECTIONS)})\.(?:json|npz)"
    rf"|networks/(?P<network>{NETWORK_NAME.pattern})\.(?:json|safetensors)"
)


def encode_members(bundle: Bundle) -> dict[str, bytes]:
    """Convert a bundle to the members of its file, except the manifest.

    Returns
    -------
    dict of str to bytes
        Name of each member -> content; equal bundles give equal bytes.

    Raises
    ------
    BundleError
        A value cannot be stored.
    """
    documents: dict[str, Mapping[str, Any]] = {
        "config": bundle.config.to_dict(),
        "preprocessing": bundle.preprocessing.to_dict(),
    }
    members = {}
    for name in SECTIONS:
        section = getattr(bundle, name)
        if section is not None:
            documents[name], arrays = split_arrays(section)
            if arrays:
                members[f"{name}.npz"] = serialization.encode_table(arrays, name)
    for name, document in documents.items():
        members[f"{name}.json"] = serialization.encode_json(document, name)
    for name, network in bundle.networks.items():
        stem = f"networks/{name}"
        members[f"{stem}.json"] = serialization.encode_json(network.spec.to_dict(), stem)
        members[f"{stem}.safetensors"] = serialization.encode_weights(network.weights, stem)
    return members


def check_members(names: Iterable[str], where: str) -> None:
    """Raise BundleError unless member names are those of one complete bundle.

    Parameters
    ----------
    names : iterable of str
        Names of all members except the manifest.
    where : str
        Name of the bundle in error messages.

    Raises
    ------
    BundleError
        A name is unknown, or a required member is missing.
    """
    present = set(names)
    for name in sorted(present):
        if not _MEMBER.fullmatch(name):
            raise BundleError(f"{where} has the unknown member {name!r}; {REPLACE_HINT}")
    needed = {f"{name}.json" for name in (*_REQUIRED, *_names_of("section", present))}
    for network in _names_of("network", present):
        needed |= {f"networks/{network}.json", f"networks/{network}.safetensors"}
    if missing := sorted(needed - present):
        raise BundleError(f"{where} lacks the member {missing[0]}; {REPLACE_HINT}")


def _names_of(kind: str, members: Iterable[str]) -> list[str]:
    """Return the sorted names of all networks, or of all sections, among the names of members.

    `kind` is "network" or "section".
    """
    matches = (_MEMBER.fullmatch(member) for member in members)
    return sorted({match[kind] for match in matches if match and match[kind]})


def decode_members(
    names: Iterable[str],
    read: Callable[[str], bytes],
    where: str,
    created: str,
    versions: Mapping[str, str],
) -> Bundle:
    """Build a bundle from the members of its file; no network is built.

    Parameters
    ----------
    names : iterable of str
        Names of all members except the manifest, already checked by `check_members`.
    read : callable
        Returns the verified bytes of the member with a name.
    where : str
        Name of the bundle in error messages.
    created, versions
        As of `Bundle`, from the manifest.

    Raises
    ------
    BundleError
        A member is damaged, or a value does not fit its section.
    """
    present = set(names)

    def document(name: str) -> dict[str, Any]:
        return serialization.decode_json(read(f"{name}.json"), f"{where}: member {name}.json")

    def section(name: str) -> Section:
        member, arrays = f"{name}.npz", {}
        if member in present:
            arrays = serialization.decode_table(read(member), f"{where}: member {member}")
        values = document(name)
        with _located(where):
            return build_section(SECTIONS[name], name, values, arrays)

    networks = {}
    for name in _names_of("network", present):
        member = f"networks/{name}.safetensors"
        weights = serialization.decode_weights(read(member), f"{where}: member {member}")
        spec = document(f"networks/{name}")
        with _located(where):
            networks[name] = Network(
                build_section(NetworkSpec, f"networks/{name}", spec, {}), weights
            )
    config, preprocessing = document("config"), document("preprocessing")
    sections: dict[str, Any] = {name: section(name) for name in _names_of("section", present)}
    with _located(where):
        return Bundle(
            config=_decode_config(config),
            preprocessing=restore_preprocessing(preprocessing),
            networks=networks,
            created=created,
            versions=versions,
            **sections,
        )


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Name the bundle and the remedy in the errors of the block, which are BundleErrors then."""
    try:
        yield
    except ValidationError as error:
        raise BundleError(f"{where}: {describe_error(error, 'bundle')}; {REPLACE_HINT}") from None
    except AuganError as error:
        raise BundleError(f"{where}: {error}; {REPLACE_HINT}") from None


def _decode_config(values: dict[str, Any]) -> Config:
    """Return the configuration of a bundle; settings that this version does not have are ignored.

    Raises
    ------
    BundleError
        A setting has an invalid value; one sentence without the remedy.
    """
    try:
        # JSON mode, because it is strict about types and still reads a list as a tuple.
        return Config.model_validate_json(json.dumps(values), strict=True, extra="ignore")
    except ValidationError as error:
        hint = ""
        if any(detail["type"] == "literal_error" for detail in error.errors()):
            hint = "; if the name is one of your own, import the module that registers it first"
        raise BundleError(describe_error(error, "config") + hint) from None


def member_hashes(members: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of every member of a bundle file, by name."""
    return {name: sha256_bytes(raw) for name, raw in members.items()}


def content_hash(hashes: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """Return the SHA-256 that identifies the content of a bundle.

    Parameters
    ----------
    hashes : mapping of str to str
        Member name -> SHA-256 of its bytes, as by `member_hashes`.
    versions : mapping of str to str
        Package -> version, as by `current_versions`.

    Returns
    -------
    str
        A hash of both and of the version of the format. Neither the date nor the path of the
        bundle changes it.
    """
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "members": dict(hashes),
        "versions": dict(versions),
    }
    return sha256_json(content)
