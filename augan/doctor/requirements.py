"""Requirements of augan and the installed versions of packages, read without importing packages."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

PACKAGE = "augan"
ALTERNATIVES = {"tensorflow": "tensorflow-cpu"}  # the same package without GPU support


@dataclass(frozen=True)
class Package:
    """Package that augan requires, always or for an extra.

    Attributes
    ----------
    name, specifier : str
        As in augan's metadata; `specifier` is empty if any version is suitable.
    installed : str or None
        The installed version.
    is_satisfied : bool
        Whether a suitable version is installed.
    extra : str
        The extra that requires the package; empty if always required.
    """

    name: str
    specifier: str
    installed: str | None
    is_satisfied: bool
    extra: str = ""


def installed_version(name: str) -> str | None:
    """Return the installed version of a package, for example "2.1.0"; None if not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def list_requirements(lines: Iterable[str] | None = None) -> list[Package]:
    """Return the packages that augan requires on this Python version and operating system.

    Parameters
    ----------
    lines : iterable of str or None
        Requirements as in package metadata, for example `pyarrow>=18; extra == "parquet"`. None:
        those of the installed augan. Lines whose marker excludes this system are left out.

    Returns
    -------
    list of Package
        Required packages and packages of extras, in the order of the lines. `tensorflow-cpu` counts
        as `tensorflow`.

    Raises
    ------
    ImportError
        If the package `packaging` is missing, or augan is not installed (`PackageNotFoundError`).
    """
    # Imported here, because the package may be missing.
    from packaging.requirements import Requirement

    packages = []
    for line in _own_lines() if lines is None else lines:
        requirement = Requirement(line)
        extra = _extra_of(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name, specifier = requirement.name, requirement.specifier
        installed = installed_version(name) or installed_version(ALTERNATIVES.get(name, name))
        is_satisfied = installed is not None and specifier.contains(installed, prereleases=True)
        packages.append(Package(name, str(specifier), installed, is_satisfied, extra))
    return packages


def unmet_python_requirement() -> str | None:
    """Return the Python versions that augan requires if the running Python is unsuitable.

    Returns
    -------
    str or None
        A version specifier such as ">=3.11"; None if the running Python satisfies it.

    Raises
    ------
    ImportError
        If the package `packaging` is missing, or augan is not installed (`PackageNotFoundError`).
    """
    from packaging.specifiers import SpecifierSet

    specifier = metadata.metadata(PACKAGE)["Requires-Python"]
    is_met = SpecifierSet(specifier).contains(platform.python_version(), prereleases=True)
    return None if is_met else specifier


def _own_lines() -> list[str]:
    """Return the requirement lines of the installed augan; empty if it declares none."""
    return metadata.requires(PACKAGE) or []


def _extra_of(line: str) -> str:
    """Return the extra in a requirement line, for example "parquet"; "" if there is none.

    Only the form that build tools write, `extra == "parquet"`, is recognized.
    """
    _, separator, rest = line.replace("'", '"').partition('extra == "')
    return rest.partition('"')[0] if separator else ""
