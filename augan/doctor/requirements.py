"""What augan says that it needs, beside what is installed; nothing is imported to find out."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

OURSELVES = "augan"
INSTEAD = {"tensorflow": "tensorflow-cpu"}  # the same without what GPUs need


@dataclass(frozen=True)
class Package:
    """A distribution that augan requires, always or for an extra.

    Attributes
    ----------
    name, wanted : str
        As in augan's metadata; `wanted` is empty where any version will do.
    installed : str or None
        The version that is there.
    fits : bool
        Whether it is there and as wanted.
    extra : str
        The extra that it belongs to; empty for what is always required.
    """

    name: str
    wanted: str
    installed: str | None
    fits: bool
    extra: str = ""


def version_of(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def required(lines: Iterable[str] | None = None) -> list[Package]:
    """Return all that augan requires on this Python and system, extras included.

    Parameters
    ----------
    lines : iterable of str or None
        Requirements as in metadata, such as `pyarrow>=18; extra == "parquet"`; None: augan's own.
    """
    # In the function, because it is missing where little else is there.
    from packaging.requirements import Requirement

    found = []
    for line in _own_lines() if lines is None else lines:
        wanted = Requirement(line)
        extra = _extra_of(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        installed = version_of(wanted.name) or version_of(INSTEAD.get(wanted.name, wanted.name))
        fits = installed is not None and wanted.specifier.contains(installed, prereleases=True)
        found.append(Package(wanted.name, str(wanted.specifier), installed, fits, extra))
    return found


def python_wanted() -> str | None:
    """Return the versions of Python that augan is for, if this one is not among them."""
    from packaging.specifiers import SpecifierSet

    wanted = metadata.metadata(OURSELVES)["Requires-Python"]
    fits = SpecifierSet(wanted).contains(platform.python_version(), prereleases=True)
    return None if fits else wanted


def _own_lines() -> list[str]:
    return metadata.requires(OURSELVES) or []


def _extra_of(line: str) -> str:
    """Return the extra in a requirement's marker, which build tools write in this one way."""
    _, found, rest = line.replace("'", '"').partition('extra == "')
    return rest.partition('"')[0] if found else ""
