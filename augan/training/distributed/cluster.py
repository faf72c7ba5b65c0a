"""The machines of a training, as the environment variable TF_CONFIG names them.

It is TensorFlow's way, and what Kubeflow's and other operators set on each machine:
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
    """All workers in order, the chief first, and which of them this process is.

    Attributes
    ----------
    addresses : tuple of str
        `host:port` of each.
    number : int
        This worker's.
    """

    addresses: tuple[str, ...]
    number: int

    def __str__(self) -> str:
        return (
            f"worker {self.number} of {len(self.addresses)} at {self.addresses[self.number]}, "
            f"the chief at {self.addresses[0]}"
        )


def chosen_cluster(distribute: str) -> Cluster | None:
    """Return the machines that `--distribute` means, None if there are not several.

    Raises
    ------
    ConfigError
        The kind is unknown, or TF_CONFIG is wrong or lacking.
    """
    if distribute not in KINDS:
        raise ConfigError(f"--distribute must be one of {', '.join(KINDS)}, got '{distribute}'")
    if distribute in ("none", "mirrored"):
        return None
    cluster = read_cluster()
    if cluster is None and distribute == "multiworker":
        raise ConfigError(
            f"--distribute multiworker needs the variable {VARIABLE}, which names the workers; "
            f"{_EXPECTED}"
        )
    return cluster if cluster is not None and len(cluster.addresses) > 1 else None


def read_cluster() -> Cluster | None:
    """Return what TF_CONFIG says, None if it is not set.

    Raises
    ------
    ConfigError
        It is not JSON, names no workers, or this process is none of them.
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
    kind, index = task["type"], _whole(task["index"])
    if not isinstance(kind, str) or kind not in jobs:
        raise ConfigError(
            f"{VARIABLE} says that this is a {kind!r}, and its cluster has {' and '.join(jobs)}; "
            "only these train"
        )
    if index is None or not 0 <= index < len(jobs[kind]):
        raise ConfigError(
            f"{VARIABLE} says that this is {kind} {task['index']!r}, and its cluster has "
            f"{len(jobs[kind])}: expected an index from 0 to {len(jobs[kind]) - 1}"
        )
    before = len(jobs.get("chief", ())) if kind == "worker" else 0
    return Cluster((*jobs.get("chief", ()), *jobs.get("worker", ())), before + index)


def _jobs(values: Any) -> dict[str, list[str]]:
    """Return job -> addresses, or raise ConfigError."""
    jobs = values.get("cluster") if isinstance(values, dict) else None
    if not isinstance(jobs, dict) or not jobs:
        raise ConfigError(f"{VARIABLE} names no cluster; {_EXPECTED}")
    if others := sorted(set(jobs) - {"chief", "worker"}):
        raise ConfigError(
            f"{VARIABLE} has the job {others[0]!r}, and augan trains with chief and worker only: "
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
        raise ConfigError(f"{VARIABLE} has {len(jobs['chief'])} chiefs, expected one at most")
    every = [address for addresses in jobs.values() for address in addresses]
    if twice := [address for address in every if every.count(address) > 1]:
        raise ConfigError(
            f"{VARIABLE} names {twice[0]} twice; each worker has an address of its own"
        )
    return jobs


def _whole(value: Any) -> int | None:
    # Some operators write the index as text.
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
        return int(value)
    return value if type(value) is int else None
