"""Processor, threads, memory and disks of the machine, read from the operating system.

Only the standard library is used, so that the checks work in a broken installation. Containers
limit time and memory by control groups, which the number of cores does not show:
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
    """Central processor (CPU) of the machine.

    Attributes
    ----------
    name : str
        Model name.
    architecture : str
        Machine type as Python's `platform` names it, for example "x86_64" or "aarch64".
    features : tuple of str or None
        The instruction sets of `CPU_FEATURES` that the processor has; None if they are unknown (not
        Linux).
    """

    name: str
    architecture: str
    features: tuple[str, ...] | None


@dataclass(frozen=True)
class Threads:
    """Processor cores and CPU limits that determine how many threads TensorFlow starts.

    Attributes
    ----------
    cores : int
        Logical cores of the machine.
    usable : int
        Logical cores on which this process may run (CPU affinity).
    quota : float or None
        CPU time that a control group (a container) allows, in cores; None: no limit.
    setting : str or None
        The environment variable `TF_NUM_INTRAOP_THREADS`, not validated; None: not set.
    """

    cores: int
    usable: int
    quota: float | None
    setting: str | None

    @property
    def started(self) -> int:
        """Number of threads that TensorFlow starts for one operation.

        The number is `setting` if it is a positive integer, else `usable`. TensorFlow ignores
        `quota`.
        """
        setting = self.setting or ""
        return (int(setting) if setting.isdecimal() else 0) or self.usable


@dataclass(frozen=True)
class Memory:
    """Main memory of the machine or container, in bytes.

    Attributes
    ----------
    total : int or None
        Memory of the machine; None if unknown.
    available : int or None
        Memory that a new process can use, within the control group's limit; None if unknown.
    limit : int or None
        Smallest memory limit of the control groups (the container); None: no limit.
    """

    total: int | None
    available: int | None
    limit: int | None


@dataclass(frozen=True)
class Disk:
    """Free space and write permission of the disk that holds a folder.

    Attributes
    ----------
    folder : str
        Absolute path. The folder need not exist yet.
    free : int
        Free space of the folder's disk in bytes.
    writable : bool
        Whether the folder, or its nearest existing parent, can be written.
    """

    folder: str
    free: int
    writable: bool


def processor(cpuinfo: Path = CPUINFO) -> Processor:
    """Return the processor of this machine, read from the first core that `cpuinfo` lists.

    Parameters
    ----------
    cpuinfo : Path
        File in the format of Linux's `/proc/cpuinfo`. Without the file, the name comes from
        `platform`, and `features` is None.
    """
    facts = _facts(cpuinfo)
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    name = facts.get("model name") or platform.processor() or platform.machine()
    features = tuple(feature for feature in CPU_FEATURES if feature in flags) if flags else None
    return Processor(name, platform.machine(), features)


def threads(groups: Path = CONTROL_GROUPS, own: Path = OWN_GROUP) -> Threads:
    """Return the cores, usable cores, CPU quota and thread setting of this process.

    Parameters
    ----------
    groups : Path
        Root of the control groups, normally `/sys/fs/cgroup`.
    own : Path
        File that lists the control groups of this process, normally `/proc/self/cgroup`. Without
        the file, there is no quota.
    """
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return Threads(cores, usable, _quota(groups, own), os.environ.get(THREADS))


def memory(meminfo: Path = MEMINFO, groups: Path = CONTROL_GROUPS, own: Path = OWN_GROUP) -> Memory:
    """Return the total and available memory and the memory limit of this process, in bytes.

    Parameters
    ----------
    meminfo : Path
        File in the format of Linux's `/proc/meminfo`. Without the file, `total` comes from
        `sysconf`, if the system has that function.
    groups, own : Path
        Root of the control groups, and the file that lists those of this process, as for `threads`.
    """
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
    """Return free space and write permission of a folder, or of its nearest existing parent."""
    target = Path(folder).absolute()
    existing = next(path for path in (target, *target.parents) if path.exists())
    return Disk(str(target), shutil.disk_usage(existing).free, os.access(existing, os.W_OK))


def _facts(file: Path) -> dict[str, str]:
    """Return the entries of a file with lines `name : value`, as in `/proc`.

    If a name occurs several times, for example once for each core, the first value is returned. A
    file that cannot be read gives an empty dict.
    """
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
    """Return a size such as "16384 kB" of `/proc/meminfo` in bytes; None if not a number."""
    first = (text or "").split()[:1]
    return int(first[0]) * 1024 if first and first[0].isdecimal() else None


def _number(file: Path) -> int | None:
    """Return the whole number in a file; None if the file is missing or has another content."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() else None  # version 2 writes "max" for none


def _group_folders(controller: str, groups: Path, own: Path) -> Iterator[Path]:
    """Yield the control-group folders, with all parents, that limit this process.

    Parameters
    ----------
    controller : str
        "cpu" or "memory". Folders of other controllers of cgroup version 1 are skipped.
    groups : Path
        Root of the control groups.
    own : Path
        File that lists the control groups of this process; without the file, nothing is yielded.
    """
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
    """Return the smallest CPU quota of this process's control groups, in cores; None: no limit.

    Version 2 states `quota period` in `cpu.max`, version 1 in two files, all in microseconds.
    """
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
