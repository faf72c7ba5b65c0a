"""Machines of a distributed training, read from the environment variable TF_CONFIG.

TF_CONFIG is TensorFlow's convention, which Kubeflow and other operators set on each machine:
`{"cluster": {"worker": ["one:5000", "two:5000"]}, "task": {"type": "worker", "index": 0}}`.
"""

import json
import os
import re
from dataclasses import dataclass
from typing import Any

from augan.exceptions import ConfigError

KINDS = ("auto", "none", "mirrored", "multiworker")
VARIABLE = "TF_CONFIG"
_EXPECTED = (
    'expected {"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", '
    '"index": 0}}, with the index of this machine'
)
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/]+):(\d{1,5})")


@dataclass(frozen=True)
class Cluster:
    """Addresses of all workers of a distributed training, and the rank of this process.

    Attributes
    ----------
    addresses : tuple of str
        `host:port` of each worker, the chief first.
    rank : int
        Index of this process in `addresses`; 0 is the chief.
    """

    addresses: tuple[str, ...]
    rank: int

    def __str__(self) -> str:
        return (
            f"worker {self.rank} of {len(self.addresses)} at {self.addresses[self.rank]}, "
            f"the chief at {self.addresses[0]}"
        )


def select_cluster(distribute: str) -> Cluster | None:
    """Return the machines that a value of `--distribute` selects, or None for one machine.

    `distribute` is one of `KINDS`. "none" and "mirrored" give None; "auto" reads TF_CONFIG if the
    variable is set; "multiworker" requires TF_CONFIG.

    Raises
    ------
    ConfigError
        The kind is unknown, or TF_CONFIG is invalid or missing.
    """
    if distribute not in KINDS:
        raise ConfigError(f"--distribute must be one of {', '.join(KINDS)}, got '{distribute}'")
    if distribute in ("none", "mirrored"):
        return None
    cluster = read_cluster()
    if cluster is None and distribute == "multiworker":
        raise ConfigError(
            f"--distribute multiworker requires the variable {VARIABLE}, which names the workers; "
            f"{_EXPECTED}"
        )
    return cluster if cluster is not None and len(cluster.addresses) > 1 else None


def read_cluster() -> Cluster | None:
    """Return the cluster of TF_CONFIG, or None if the variable is not set.

    Raises
    ------
    ConfigError
        The value is not JSON, names no workers, or does not contain this process.
    """
    text = os.environ.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{VARIABLE} is not JSON ({error}); {_EXPECTED}") from None
    jobs = _jobs(values)
    task = values.get("task")
    if not isinstance(task, dict) or not {"type", "index"} <= task.keys():
        raise ConfigError(f"{VARIABLE} does not say which worker this is; {_EXPECTED}")
    job, index = task["type"], _integer(task["index"])
    if not isinstance(job, str) or job not in jobs:
        raise ConfigError(
            f"{VARIABLE} says that this is a {job!r}, and its cluster has {' and '.join(jobs)}; "
            "only these train"
        )
    if index is None or not 0 <= index < len(jobs[job]):
        raise ConfigError(
            f"{VARIABLE} says that this is {job} {task['index']!r}, and its cluster has "
            f"{len(jobs[job])}: expected an index from 0 to {len(jobs[job]) - 1}"
        )
    num_chiefs = len(jobs.get("chief", ())) if job == "worker" else 0
    return Cluster((*jobs.get("chief", ()), *jobs.get("worker", ())), num_chiefs + index)


def _jobs(values: Any) -> dict[str, list[str]]:
    """Return the checked addresses of each job in TF_CONFIG, "chief" and "worker".

    Raises ConfigError for other jobs, malformed or repeated addresses, and several chiefs.
    """
    jobs = values.get("cluster") if isinstance(values, dict) else None
    if not isinstance(jobs, dict) or not jobs:
        raise ConfigError(f"{VARIABLE} names no cluster; {_EXPECTED}")
    if unknown := sorted(set(jobs) - {"chief", "worker"}):
        raise ConfigError(
            f"{VARIABLE} has the job {unknown[0]!r}, and augan trains with chief and worker only: "
            "all compute the same, the first of them writes"
        )
    for job, addresses in jobs.items():
        if not isinstance(addresses, list) or not addresses:
            raise ConfigError(f"{VARIABLE} names no addresses of {job}; {_EXPECTED}")
        for address in addresses:
            match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
            if match is None or not 0 < int(match[2]) < 65536:
                raise ConfigError(f"{VARIABLE}: {job} {address!r} is not HOST:PORT; {_EXPECTED}")
    if len(jobs.get("chief", ())) > 1:
        raise ConfigError(f"{VARIABLE} has {len(jobs['chief'])} chiefs, expected at most one")
    all_addresses = [address for addresses in jobs.values() for address in addresses]
    if repeated := [address for address in all_addresses if all_addresses.count(address) > 1]:
        raise ConfigError(
            f"{VARIABLE} names {repeated[0]} twice; each worker needs a different address"
        )
    return jobs


def _integer(value: Any) -> int | None:
    """Return an integer that may be written as text; None for anything else."""
    # Some operators write the index as text.
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
        return int(value)
    return value if type(value) is int else None
