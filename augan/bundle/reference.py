"""Reference to a saved bundle, by which worker processes load the same bundle and verify it."""

import os
import platform
from dataclasses import dataclass
from typing import Self

from augan.bundle.bundle import Bundle, current_versions
from augan.bundle.io import load_bundle
from augan.exceptions import BundleError


@dataclass(frozen=True)
class BundleRef:
    """Path, digest and package versions of a saved bundle, small enough to send to a worker.

    Attributes
    ----------
    path : str
        Absolute path of the file, which must be the same on all machines.
    sha256 : str
        `Bundle.sha256` of the bundle.
    versions : tuple of (package, version)
        Packages that the results depend on, in the process that started the job.
    """

    path: str
    sha256: str
    versions: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Return the reference of a saved bundle, with the package versions of this process.

        Raises
        ------
        BundleError
            The bundle was never saved.
        """
        if bundle.path is None:
            raise BundleError(
                "this bundle was never saved, so no other process can load it; save it first"
            )
        return cls(os.path.abspath(bundle.path), bundle.sha256, runtime_versions())

    def load(self) -> Bundle:
        """Load the bundle in a worker process, and check that it is the one of the job.

        Raises
        ------
        BundleError
            This process sees another bundle at the path, or has other versions of the packages.
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
    """Return the versions of the packages that results depend on, sorted by package.

    Returns
    -------
    tuple of (package, version)
        augan, keras, numpy and tensorflow; "none" for a package that is not installed.
    """
    versions = current_versions()
    tensorflow = versions.get("tensorflow") or versions.get("tensorflow-cpu") or "none"
    others = {name: versions.get(name, "none") for name in ("augan", "keras", "numpy")}
    return tuple(sorted({**others, "tensorflow": tensorflow}.items()))
