"""Reference to a saved bundle, which another process loads and verifies."""

import os
import platform
from dataclasses import dataclass
from typing import Self

from augan.bundle.bundle import Bundle, current_versions
from augan.bundle.io import load_bundle
from augan.exceptions import BundleError


@dataclass(frozen=True)
class BundleRef:
    """Reference to a saved bundle.

    Attributes
    ----------
    path : str
        Absolute path, which is the same for all processes.
    sha256 : str
    versions : tuple of (package, version)
        Packages that the results depend on.
    """

    path: str
    sha256: str
    versions: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Return the reference of a bundle; BundleError if the bundle was never saved."""
        if bundle.path is None:
            raise BundleError(
                "this bundle was never saved, so no other process can load it; save it first"
            )
        return cls(os.path.abspath(bundle.path), bundle.sha256, runtime_versions())

    def load(self) -> Bundle:
        """Load the bundle.

        Raises
        ------
        BundleError
            This process sees another bundle, or has other versions of the packages.
        """
        for (package, expected), (name, version) in zip(self.versions, runtime_versions()):
            if (package, expected) != (name, version):
                raise BundleError(
                    f"the worker on {platform.node()} has {name} {version}, but the job was "
                    f"started with {package} {expected}; install the same versions everywhere"
                )
        bundle = load_bundle(self.path)
        if bundle.sha256 != self.sha256:
            raise BundleError(
                f"the worker on {platform.node()} finds another bundle at {self.path}, "
                f"{bundle.bundle_id}, but the job was started with {self.sha256[:12]}; give all "
                "machines the same files"
            )
        return bundle


def runtime_versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of the packages that results depend on, in a fixed order."""
    versions = current_versions()
    tensorflow = versions.get("tensorflow") or versions.get("tensorflow-cpu") or "none"
    others = {name: versions.get(name, "none") for name in ("augan", "keras", "numpy")}
    return tuple(sorted({**others, "tensorflow": tensorflow}.items()))
