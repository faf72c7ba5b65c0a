"""Everything that `augan doctor` looks at, and what it advises."""

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
from augan.doctor.requirements import OURSELVES, Package, python_wanted, required, version_of
from augan.doctor.tensorflow_check import TensorFlowCheck, check_tensorflow
from augan.io.layout import RUNS_FOLDER

GIB = 2**30
LITTLE_MEMORY = 1.5 * GIB  # TensorFlow and a training of 64-pixel images take about one
LITTLE_DISK = GIB
NVIDIA = Path("/dev/nvidiactl")  # there is one where there is a driver


@dataclass(frozen=True)
class Issue:
    """Something that is not as it should be, and what to do about it."""

    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.what}: {self.todo}"


@dataclass(frozen=True)
class SystemReport:
    """The state of a machine.

    Attributes
    ----------
    problems : tuple of Advice
        What keeps augan from working.
    notes : tuple of Advice
        What it works in spite of.
    engine : Engine or None
        None where TensorFlow is not installed, so that nothing was tried.
    """

    augan: str | None
    python: str
    system: str
    packages: tuple[Package, ...]
    processor: Processor
    threads: Threads
    memory: Memory
    disks: dict[str, Disk]
    engine: TensorFlowCheck | None
    problems: tuple[Issue, ...]
    notes: tuple[Issue, ...]

    @property
    def usable(self) -> bool:
        """Whether augan can work here."""
        return not self.problems

    @property
    def missing_extras(self) -> dict[str, list[str]]:
        """Extras that are not complete, and the packages that they lack."""
        lacking: dict[str, list[str]] = {}
        for package in self.packages:
            if package.extra and not package.fits:
                lacking.setdefault(package.extra, []).append(package.name)
        return lacking

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-able."""
        needed = {p.name: p.installed for p in self.packages if not p.extra}
        return {
            "usable": self.usable,
            "problems": [asdict(advice) for advice in self.problems],
            "notes": [asdict(advice) for advice in self.notes],
            "versions": {"augan": self.augan, "python": self.python, **needed},
            "system": self.system,
            "processor": asdict(self.processor),
            "threads": {**asdict(self.threads), "started": self.threads.started},
            "memory": asdict(self.memory),
            "disks": {name: asdict(place) for name, place in self.disks.items()},
            "engine": None if self.engine is None else asdict(self.engine),
            "missing_extras": {
                extra: {"lacks": names, "install": install(f"augan[{extra}]")}
                for extra, names in self.missing_extras.items()
            },
        }


def run_checks() -> SystemReport:
    """Look at this machine and at this Python; TensorFlow is tried in a process of its own."""
    packages, problems = _packages()
    disks, notes = _disks()
    there = any(package.name == "tensorflow" and package.fits for package in packages)
    engine = check_tensorflow() if there else None
    if engine is not None and engine.error is not None:
        todo = f"install it anew with {install('--force-reinstall', 'tensorflow', 'keras')}"
        problems.append(Issue(f"TensorFlow does not start ({engine.error})", todo))
    running, room = threads(), memory()
    notes += [*_about_threads(running), *_about_memory(room), *_about_gpus(engine)]
    return SystemReport(
        augan=version_of(OURSELVES),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        packages=tuple(packages),
        processor=processor(),
        threads=running,
        memory=room,
        disks=disks,
        engine=engine,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def install(*what: str) -> str:
    """Return the command that installs something for this Python."""
    words = [f"'{word}'" if set(word) & set("[]<>=,!") else word for word in what]
    return " ".join(["python -m pip install", *words])


def check_packages(packages: list[Package]) -> list[Issue]:
    """Return a problem for each package that is always required and does not fit."""
    problems = []
    for package in packages:
        if not package.extra and not package.fits:
            found = "is missing" if package.installed is None else f"is {package.installed}"
            wanted = f" and should be {package.wanted}" if package.wanted else ""
            todo = install(f"{package.name}{package.wanted}")
            problems.append(Issue(f"{package.name} {found}{wanted}", todo))
    return problems


def _packages() -> tuple[list[Package], list[Issue]]:
    try:
        packages, wanted = required(), python_wanted()
    except PackageNotFoundError:  # an ImportError, too
        todo = "in its folder, python -m pip install -e ."
        return [], [Issue("augan is found, but was never installed", todo)]
    except ImportError:
        return [], [Issue("packaging is missing", install("packaging"))]
    problems = check_packages(packages)
    if wanted is not None:
        found = f"Python is {platform.python_version()} and should be {wanted}"
        problems.append(Issue(found, "make a virtual environment with one that fits"))
    return packages, problems


def _disks() -> tuple[dict[str, Disk], list[Issue]]:
    places, notes = {"runs": disk(RUNS_FOLDER)}, []
    try:
        # It needs NumPy and Pillow, which may be what is missing.
        from augan.data.cache import cache_folder
        from augan.exceptions import DataError

        try:
            places["cache"] = disk(cache_folder())
        except DataError as error:
            notes.append(Issue("no place for the cache", str(error)))
    except ImportError:
        pass
    options = {"runs": "go to another folder, or name one with --out"}
    options["cache"] = "set AUGAN_CACHE to another folder"
    for name, place in places.items():
        if not place.writable:
            notes.append(Issue(f"{place.folder} cannot be written", options[name]))
        elif place.free < LITTLE_DISK:
            room = f"{place.folder} has only {place.free / GIB:.1f} GiB left"
            notes.append(Issue(room, f"free some, or {options[name]}"))
    return places, notes


def _about_threads(running: Threads) -> list[Issue]:
    setting = running.setting
    if setting is not None and not setting.isdecimal():
        return [Issue(f"{THREADS} is '{setting}', which is no number", "unset it")]
    if running.quota is not None and running.started > ceil(running.quota):
        few = max(1, ceil(running.quota))
        what = (
            f"TensorFlow starts {running.started} threads, and this container has the time of "
            f"{running.quota:g} cores"
        )
        return [Issue(what, f"set {THREADS}={few}")]
    return []


def _about_memory(room: Memory) -> list[Issue]:
    if room.available is None or room.available >= LITTLE_MEMORY:
        return []
    what = f"only {room.available / GIB:.1f} GiB of memory are available"
    return [Issue(what, "end other programs, or train smaller images with --set data.size=32")]


def _about_gpus(engine: TensorFlowCheck | None) -> list[Issue]:
    if engine is None or engine.error or engine.gpus or not NVIDIA.exists():
        return []
    if sys.platform != "linux":
        return []
    todo = f"{install('tensorflow[and-cuda]')} brings its libraries; without, the processor works"
    return [Issue("there is an NVIDIA GPU that TensorFlow does not use", todo)]
