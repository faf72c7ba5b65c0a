"""Shares of a job for schedulers that only start processes: Slurm arrays, Kubernetes jobs."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar

from augan.exceptions import ConfigError

Item = TypeVar("Item")


@dataclass(frozen=True, order=True)
class Shard:
    """One of `count` shares; it has every `count`-th part, from number `index` on.

    So that each share has parts from everywhere: parts differ in what they cost, and neighbours are
    alike.

    Examples
    --------
    >>> list(Shard(1, 3).of(range(8)))
    [1, 4, 7]
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"there is no shard {self.index} of {self.count}; they are numbered from 0, so the "
                f"last is {self.count - 1}/{self.count}"
                if self.count > 0
                else f"a job cannot be cut into {self.count} shards; give a number of 1 or more"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard that "0/8" means; ConfigError if it means none."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, flags=re.ASCII)
        if match is None:
            raise ConfigError(
                f"'{text}' is no shard; expected i/n, the shard i of n, the first of four being 0/4"
            )
        return cls(int(match[1]), int(match[2]))

    def of(self, parts: Iterable[Item]) -> Iterator[Item]:
        """Yield the parts of this shard."""
        return islice(parts, self.index, None, self.count)

    def named(self, folder: Path) -> Path:
        """Return the folder of this shard, beside that of the whole job."""
        return folder.with_name(f"{folder.name}-shard-{self.index}-of-{self.count}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
