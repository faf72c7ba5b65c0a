"""The same bundle in another process, perhaps on another machine, or why it is not the same."""

import os
import platform
from dataclasses import dataclass
from typing import Self

from augan.bundle.bundle import Bundle, current_versions
from augan.bundle.io import load_bundle
from augan.exceptions import BundleError


@dataclass(frozen=True)
class BundleRef:
    """A saved bundle, as others find it.

    Attributes
    ----------
    path : str
        Absolute; where others see it too.
    sha256 : str
    versions : tuple of (package, version)
        That compute with it.
    """

    path: str
    sha256: str
    versions: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Describe a bundle; BundleError if it was never saved."""
        if bundle.path is None:
            raise BundleError(
                "this bundle was never saved, so no other process can load it; save it first"
            )
        return cls(os.path.abspath(bundle.path), bundle.sha256, runtime_versions())

    def load(self) -> Bundle:
        """Load it.

        Raises
        ------
        BundleError
            Here is another bundle, or other versions; both are named.
        """
        for (package, wanted), (name, found) in zip(self.versions, runtime_versions()):
            if (package, wanted) != (name, found):
                raise BundleError(
                    f"the worker on {platform.node()} has {name} {found}, but the job was begun "
                    f"with {package} {wanted}; install the same versions everywhere"
                )
        bundle = load_bundle(self.path)
        if bundle.sha256 != self.sha256:
            raise BundleError(
                f"the worker on {platform.node()} finds another bundle at {self.path}, "
                f"{bundle.bundle_id}, but the job was begun with {self.sha256[:12]}; give all "
                "machines the same files"
            )
        return bundle


def runtime_versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of what scores and images depend on, in a fixed order."""
    found = current_versions()
    tensorflow = found.get("tensorflow") or found.get("tensorflow-cpu") or "none"
    rest = {name: found.get(name, "none") for name in ("augan", "keras", "numpy")}
    return tuple(sorted({**rest, "tensorflow": tensorflow}.items()))
