"""Checks of the installation and the machine for `augan doctor`, with a fix for each issue."""

import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError
from math import ceil
from pathlib import Path
from typing import Any

from augan.doctor.hardware import (
    THREADS,
    Disk,
    Memory,
    Processor,
    Threads,
    disk,
    memory,
    processor,
    threads,
)
from augan.doctor.requirements import (
    PACKAGE,
    Package,
    installed_version,
    list_requirements,
    unmet_python_requirement,
)
from augan.doctor.tensorflow_check import TensorFlowCheck, check_tensorflow
from augan.io.layout import RUNS_FOLDER

GIB = 2**30
MIN_MEMORY = 1.5 * GIB  # TensorFlow and a training on 64-pixel images take about 1 GiB
MIN_DISK_SPACE = GIB
NVIDIA_DEVICE = Path("/dev/nvidiactl")  # exists if a driver is installed


@dataclass(frozen=True)
class Issue:
    """Defect of the machine or the installation, with the action that fixes the defect.

    Attributes
    ----------
    issue : str
        What is wrong, without a final period.
    fix : str
        Advice to the user, for example a pip command. `str(issue)` is `"<issue>: <fix>"`.
    """

    issue: str
    fix: str

    def __str__(self) -> str:
        return f"{self.issue}: {self.fix}"


@dataclass(frozen=True)
class SystemReport:
    """State of the machine and of the installation, as `augan doctor` prints it.

    Attributes
    ----------
    augan : str or None
        Installed version of augan; None if augan is importable but not installed.
    python : str
        Version of Python, for example "3.12.4".
    system : str
        Name and release of the operating system.
    packages : tuple of Package
        Packages that augan requires, with those of extras; empty if augan is not installed.
    processor : Processor
    threads : Threads
    memory : Memory
    disks : dict of str to Disk
        "runs": the folder for runs below the current folder; "cache": the cache of prepared data,
        if its location is known.
    tensorflow : TensorFlowCheck or None
        None if no suitable TensorFlow is installed; TensorFlow was not started then.
    problems : tuple of Issue
        Issues that prevent augan from working.
    notes : tuple of Issue
        Issues that do not prevent augan from working, such as little free memory.
    """

    augan: str | None
    python: str
    system: str
    packages: tuple[Package, ...]
    processor: Processor
    threads: Threads
    memory: Memory
    disks: dict[str, Disk]
    tensorflow: TensorFlowCheck | None
    problems: tuple[Issue, ...]
    notes: tuple[Issue, ...]

    @property
    def usable(self) -> bool:
        """Whether augan can work on this machine: True if there are no `problems`."""
        return not self.problems

    @property
    def missing_extras(self) -> dict[str, list[str]]:
        """Optional extras with unsatisfied requirements: extra -> names of the packages."""
        missing: dict[str, list[str]] = {}
        for package in self.packages:
            if package.extra and not package.is_satisfied:
                missing.setdefault(package.extra, []).append(package.name)
        return missing

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as a JSON-able dict, for `augan doctor --json`.

        The memory and disk sizes are in bytes. Packages of extras appear under "missing_extras"
        only.
        """
        required = {p.name: p.installed for p in self.packages if not p.extra}
        return {
            "usable": self.usable,
            "problems": [asdict(issue) for issue in self.problems],
            "notes": [asdict(issue) for issue in self.notes],
            "versions": {"augan": self.augan, "python": self.python, **required},
            "system": self.system,
            "processor": asdict(self.processor),
            "threads": {**asdict(self.threads), "started": self.threads.started},
            "memory": asdict(self.memory),
            "disks": {name: asdict(state) for name, state in self.disks.items()},
            "tensorflow": None if self.tensorflow is None else asdict(self.tensorflow),
            "missing_extras": {
                extra: {"missing": names, "install": install(f"augan[{extra}]")}
                for extra, names in self.missing_extras.items()
            },
        }


def run_checks() -> SystemReport:
    """Check the installation, hardware and TensorFlow of the current Python environment.

    The call takes seconds (at most `TIMEOUT` of `augan.doctor.tensorflow_check`), because it starts
    TensorFlow in a separate process. Failed checks are reported as issues, not raised.

    Returns
    -------
    SystemReport
    """
    packages, problems = _check_installation()
    disks, notes = _check_disks()
    is_installed = any(p.name == "tensorflow" and p.is_satisfied for p in packages)
    tensorflow = check_tensorflow() if is_installed else None
    if tensorflow is not None and tensorflow.error is not None:
        fix = f"reinstall it with {install('--force-reinstall', 'tensorflow', 'keras')}"
        problems.append(Issue(f"TensorFlow does not start ({tensorflow.error})", fix))
    thread_state, memory_state = threads(), memory()
    notes += _check_threads(thread_state)
    notes += _check_memory(memory_state)
    notes += _check_gpus(tensorflow)
    return SystemReport(
        augan=installed_version(PACKAGE),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        packages=tuple(packages),
        processor=processor(),
        threads=thread_state,
        memory=memory_state,
        disks=disks,
        tensorflow=tensorflow,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def install(*words: str) -> str:
    """Return a `python -m pip install` command line with `words` as arguments, quoted for a shell.

    Examples
    --------
    >>> install("--upgrade", "augan[export]")
    "python -m pip install --upgrade 'augan[export]'"
    """
    quoted = [f"'{word}'" if set(word) & set("[]<>=,!") else word for word in words]
    return " ".join(["python -m pip install", *quoted])


def check_packages(packages: list[Package]) -> list[Issue]:
    """Return one `Issue` for each required package that is missing or has an unsuitable version.

    Packages of extras are optional, so unsatisfied ones are not reported.
    """
    problems = []
    for package in packages:
        if not package.extra and not package.is_satisfied:
            state = "is missing" if package.installed is None else f"is {package.installed}"
            expected = f" and should be {package.specifier}" if package.specifier else ""
            fix = install(f"{package.name}{package.specifier}")
            problems.append(Issue(f"{package.name} {state}{expected}", fix))
    return problems


def _check_installation() -> tuple[list[Package], list[Issue]]:
    """Return the requirements of augan, and the issues of packages and of the Python version.

    If augan's metadata or the package `packaging` is missing, the list of packages is empty.
    """
    try:
        packages, python_specifier = list_requirements(), unmet_python_requirement()
    except PackageNotFoundError:  # a subclass of ImportError
        fix = "in its folder, python -m pip install -e ."
        return [], [Issue("augan can be imported, but is not installed", fix)]
    except ImportError:
        return [], [Issue("packaging is missing", install("packaging"))]
    problems = check_packages(packages)
    if python_specifier is not None:
        issue = f"Python is {platform.python_version()} and should be {python_specifier}"
        problems.append(Issue(issue, "create a virtual environment with such a version"))
    return packages, problems


def _check_disks() -> tuple[dict[str, Disk], list[Issue]]:
    """Return the disks of the run folder and of the cache, and notes about unwritable or full ones.

    The disk of the cache is left out if NumPy or Pillow is missing, or if the cache has no
    location. A disk counts as full below `MIN_DISK_SPACE` bytes.
    """
    disks, notes = {"runs": disk(RUNS_FOLDER)}, []
    try:
        # These modules need NumPy and Pillow, which may be missing.
        from augan.data.cache import cache_folder
        from augan.exceptions import DataError

        try:
            disks["cache"] = disk(cache_folder())
        except DataError as error:
            notes.append(Issue("there is no folder for the cache", str(error)))
    except ImportError:
        pass
    fixes = {"runs": "change to another folder, or name one with --out"}
    fixes["cache"] = "set AUGAN_CACHE to another folder"
    for name, state in disks.items():
        if not state.writable:
            notes.append(Issue(f"{state.folder} cannot be written", fixes[name]))
        elif state.free < MIN_DISK_SPACE:
            issue = f"{state.folder} has only {state.free / GIB:.1f} GiB of free space"
            notes.append(Issue(issue, f"free some space, or {fixes[name]}"))
    return disks, notes


def _check_threads(state: Threads) -> list[Issue]:
    """Return a note if TensorFlow's thread setting is invalid, or its threads exceed the CPU quota.

    The setting is the environment variable `TF_NUM_INTRAOP_THREADS`.
    """
    setting = state.setting
    if setting is not None and not setting.isdecimal():
        return [Issue(f"{THREADS} is '{setting}', which is not a number", "unset it")]
    if state.quota is not None and state.started > ceil(state.quota):
        count = max(1, ceil(state.quota))
        issue = (
            f"TensorFlow starts {state.started} threads, but this container may use the time of "
            f"{state.quota:g} cores"
        )
        return [Issue(issue, f"set {THREADS}={count}")]
    return []


def _check_memory(state: Memory) -> list[Issue]:
    """Return a note if less than `MIN_MEMORY` bytes of memory are available."""
    if state.available is None or state.available >= MIN_MEMORY:
        return []
    issue = f"only {state.available / GIB:.1f} GiB of memory are available"
    return [Issue(issue, "close other programs, or train on smaller images: --set data.size=32")]


def _check_gpus(tensorflow: TensorFlowCheck | None) -> list[Issue]:
    """Return a note if Linux has an NVIDIA driver, but TensorFlow found no GPU."""
    if tensorflow is None or tensorflow.error or tensorflow.gpus or not NVIDIA_DEVICE.exists():
        return []
    if sys.platform != "linux":
        return []
    fix = f"{install('tensorflow[and-cuda]')} installs its libraries; otherwise the CPU is used"
    return [Issue("there is an NVIDIA GPU that TensorFlow does not use", fix)]
