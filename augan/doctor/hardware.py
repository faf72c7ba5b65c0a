"""What the machine offers: processor, threads, memory and disk; read from the system, no library.

Containers limit time and memory by control groups, which the number of cores does not show:
https://docs.kernel.org/admin-guide/cgroup-v2.html, and version 1 of the same.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")
THREADS = "TF_NUM_INTRAOP_THREADS"

# What TensorFlow's kernels make use of, on x86-64 and on 64-bit Arm.
FEATURES = (
    *("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("avx_vnni", "amx_tile", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "sve", "sve2", "bf16", "i8mm"),
)


@dataclass(frozen=True)
class Processor:
    """Name, architecture, and those of `FEATURES` that it has; None where that is not known."""

    name: str
    architecture: str
    features: tuple[str, ...] | None


@dataclass(frozen=True)
class Threads:
    """Cores of the machine, those that this process may run on, and the time it is allowed.

    Attributes
    ----------
    cores, usable : int
    quota : float or None
        Cores whose time a control group allows altogether.
    setting : str or None
        The environment variable `TF_NUM_INTRAOP_THREADS`.
    """

    cores: int
    usable: int
    quota: float | None
    setting: str | None

    @property
    def started(self) -> int:
        """Threads that TensorFlow starts for one operation; it does not look at quotas."""
        setting = self.setting or ""
        return (int(setting) if setting.isdecimal() else 0) or self.usable


@dataclass(frozen=True)
class Memory:
    """Bytes: of the machine, those that can be had now, and the limit of a control group."""

    total: int | None
    available: int | None
    limit: int | None


@dataclass(frozen=True)
class Disk:
    """Free bytes where augan writes, and whether it may; `folder` need not exist yet."""

    folder: str
    free: int
    writable: bool


def processor(cpuinfo: Path = CPUINFO) -> Processor:
    """Return what the system says about the first core."""
    facts = _facts(cpuinfo)
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    name = facts.get("model name") or platform.processor() or platform.machine()
    features = tuple(feature for feature in FEATURES if feature in flags) if flags else None
    return Processor(name, platform.machine(), features)


def threads(groups: Path = CONTROL_GROUPS, own: Path = OWN_GROUP) -> Threads:
    """Return how many cores there are, may be used, and are paid for."""
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return Threads(cores, usable, _quota(groups, own), os.environ.get(THREADS))


def memory(meminfo: Path = MEMINFO, groups: Path = CONTROL_GROUPS, own: Path = OWN_GROUP) -> Memory:
    """Return the machine's memory and what of it is free to be taken."""
    facts = _facts(meminfo)
    total, available = (_kilobytes(facts.get(name)) for name in ("MemTotal", "MemAvailable"))
    if total is None and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = []
    for folder in _group_folders("memory", groups, own):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            most, now = (_number(folder / name) for name in (limit, used))
            # Version 1 writes "no limit" as the largest number that fits.
            if most is not None and (total is None or most < total):
                limits.append(most)
                left = max(0, most - (now or 0))
                available = left if available is None else min(available, left)
    return Memory(total, available, min(limits, default=None))


def disk(folder: str | Path) -> Disk:
    """Return the space for a folder: of the nearest that exists, itself or above it."""
    asked = Path(folder).absolute()
    there = next(path for path in (asked, *asked.parents) if path.exists())
    return Disk(str(asked), shutil.disk_usage(there).free, os.access(there, os.W_OK))


def _facts(file: Path) -> dict[str, str]:
    """Return the first block of lines `name : value`; none where there is no such file."""
    found: dict[str, str] = {}
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def _kilobytes(text: str | None) -> int | None:
    first = (text or "").split()[:1]
    return int(first[0]) * 1024 if first and first[0].isdecimal() else None


def _number(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() else None  # version 2 writes "max" for none


def _group_folders(controller: str, groups: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups, of both versions, and all above them."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        place = root / path.lstrip("/")
        # A container often sees its own group as the root, under a path that it cannot see.
        while place != root:
            yield place
            place = place.parent
        yield root


def _quota(groups: Path, own: Path) -> float | None:
    found = []
    for folder in _group_folders("cpu", groups, own):
        try:
            words = (folder / "cpu.max").read_text(encoding="ascii").split()
        except (OSError, ValueError):
            allowed, period = (
                _number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
            )
        else:
            allowed, period = (int(w) if w.isdecimal() else None for w in [*words, "", ""][:2])
        if allowed and period:
            found.append(allowed / period)
    return min(found, default=None)
