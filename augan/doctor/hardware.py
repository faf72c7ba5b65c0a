"""Processor, threads, memory and disks of the machine, read from the system without libraries.

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

# Features that TensorFlow's kernels use, on x86-64 and on 64-bit Arm.
CPU_FEATURES = (
    *("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("avx_vnni", "amx_tile", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "sve", "sve2", "bf16", "i8mm"),
)


@dataclass(frozen=True)
class Processor:
    """Name, architecture, and the features in `CPU_FEATURES`; None if they are unknown."""

    name: str
    architecture: str
    features: tuple[str, ...] | None


@dataclass(frozen=True)
class Threads:
    """Cores of the machine, cores that this process may use, and its CPU quota.

    Attributes
    ----------
    cores, usable : int
    quota : float or None
        CPU time that a control group allows, in cores.
    setting : str or None
        The environment variable `TF_NUM_INTRAOP_THREADS`.
    """

    cores: int
    usable: int
    quota: float | None
    setting: str | None

    @property
    def started(self) -> int:
        """Threads that TensorFlow starts for one operation; TensorFlow ignores quotas."""
        setting = self.setting or ""
        return (int(setting) if setting.isdecimal() else 0) or self.usable


@dataclass(frozen=True)
class Memory:
    """Total and available memory, and the limit of a control group, in bytes."""

    total: int | None
    available: int | None
    limit: int | None


@dataclass(frozen=True)
class Disk:
    """Free space of a folder in bytes, and whether it can be written; it need not exist yet."""

    folder: str
    free: int
    writable: bool


def processor(cpuinfo: Path = CPUINFO) -> Processor:
    """Return the properties of the first core."""
    facts = _facts(cpuinfo)
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    name = facts.get("model name") or platform.processor() or platform.machine()
    features = tuple(feature for feature in CPU_FEATURES if feature in flags) if flags else None
    return Processor(name, platform.machine(), features)


def threads(groups: Path = CONTROL_GROUPS, own: Path = OWN_GROUP) -> Threads:
    """Return the number of cores, of usable cores, and the quota."""
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return Threads(cores, usable, _quota(groups, own), os.environ.get(THREADS))


def memory(meminfo: Path = MEMINFO, groups: Path = CONTROL_GROUPS, own: Path = OWN_GROUP) -> Memory:
    """Return the total memory of the machine and the available memory."""
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
            max_bytes, used_bytes = (_number(folder / name) for name in (limit, used))
            # Version 1 writes "no limit" as the largest number that fits.
            if max_bytes is not None and (total is None or max_bytes < total):
                limits.append(max_bytes)
                left = max(0, max_bytes - (used_bytes or 0))
                available = left if available is None else min(available, left)
    return Memory(total, available, min(limits, default=None))


def disk(folder: str | Path) -> Disk:
    """Return the free space of a folder, or of its nearest existing parent."""
    target = Path(folder).absolute()
    existing = next(path for path in (target, *target.parents) if path.exists())
    return Disk(str(target), shutil.disk_usage(existing).free, os.access(existing, os.W_OK))


def _facts(file: Path) -> dict[str, str]:
    """Return the first value of each name in lines `name : value`; empty without the file."""
    facts: dict[str, str] = {}
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return facts
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    return facts


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
    """Yield the folders of this process's control groups of both versions, and their parents."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        folder = root / path.lstrip("/")
        # A container often sees its own group as the root, below a path that it cannot see.
        while folder != root:
            yield folder
            folder = folder.parent
        yield root


def _quota(groups: Path, own: Path) -> float | None:
    quotas = []
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
            quotas.append(allowed / period)
    return min(quotas, default=None)
