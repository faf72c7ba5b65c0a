"""Shards, executors and Dask workers: order, completeness, and dying workers."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from augan.bundle import Bundle
from augan.bundle.reference import BundleRef
from augan.exceptions import BundleError, ConfigError, DataError, WorkerError
from augan.parallel.dask_executor import TASKS_PER_WORKER, DaskExecutor, threads_per_worker
from augan.parallel.executor import SerialExecutor, open_executor, prefetch
from augan.parallel.sharding import Shard
from augan_cli.main import app


class TestShard:
    @given(st.integers(1, 40), st.integers(0, 300))
    def test_shards_are_a_partition_in_order(self, count: int, parts: int) -> None:
        shares = [list(Shard(index, count).select(range(parts))) for index in range(count)]
        assert sorted(part for share in shares for part in share) == list(range(parts))
        assert all(share == sorted(share) for share in shares)
        sizes = [len(share) for share in shares]
        assert max(sizes) - min(sizes) <= 1

    @given(st.integers(0, 10**6), st.integers(1, 10**6))
    def test_shard_parse_reads_what_str_writes(self, index: int, more: int) -> None:
        shard = Shard(index, index + more)
        assert Shard.parse(str(shard)) == shard

    @pytest.mark.parametrize("text", ["4/4", "9/4", "0/0", "-1/4", "1", "1/4/2", "a/b", "", "¹/4"])
    def test_shard_parse_refuses_other_texts(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"shard"):
            Shard.parse(text)


@dataclass(frozen=True)
class Adding:
    """A state that knows in which process it was opened."""

    addend: int
    process: int = 0

    def spec(self) -> "Adding":
        return self

    def build(self) -> "Adding":
        return replace(self, process=os.getpid())


def add(state: Adding, item: int) -> tuple[int, int]:
    return item + state.addend, state.process


def add_slowly(state: Adding, item: int) -> tuple[int, int]:
    time.sleep(0.2 if item == 0 else 0)
    return add(state, item)


def die_once(state: Adding, item: tuple[int, str]) -> int:
    number, mark = item
    if number == 3 and not os.path.exists(mark):
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number + state.addend


def die(state: Adding, item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def refuse(state: Adding, item: int) -> int:
    raise DataError(f"part {item} is bad; mend it")


def endless(taken: list[int]) -> Iterator[int]:
    number = 0
    while True:
        taken.append(number)
        yield number
        number += 1


class TestHere:
    def test_serial_executor_runs_each_task_on_request(self) -> None:
        taken: list[int] = []
        found = SerialExecutor().map(add, Adding(5), endless(taken))
        assert [next(found), next(found)] == [(5, 0), (6, 0)]
        assert taken == [0, 1]


class TestAhead:
    def test_prefetch_computes_the_next_result_during_use(self) -> None:
        made = threading.Event()

        def results() -> Iterator[int]:
            yield 1
            made.set()
            yield 2
            raise DataError("the third is bad")

        found = prefetch(results())
        assert next(found) == 1
        assert made.wait(10)
        assert next(found) == 2
        with pytest.raises(DataError, match="third"):
            next(found)

    def test_prefetch_closes_its_source(self) -> None:
        taken: list[int] = []
        closed = threading.Event()

        def results() -> Iterator[int]:
            try:
                yield from endless(taken)
            finally:
                closed.set()

        found = prefetch(results())
        assert next(found) == 0
        found.close()
        assert closed.is_set()
        assert len(taken) <= 2


class TestClient:
    """A client whose workers are threads of this process: only the processes are lacking."""

    @pytest.fixture(scope="class")
    @staticmethod
    def cluster() -> Iterator[DaskExecutor]:
        distributed = pytest.importorskip("distributed", reason="augan[dask] is not installed")
        with distributed.Client(
            processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as client:
            yield DaskExecutor(client, "in this process")

    def test_map_yields_results_in_order(self, cluster: DaskExecutor) -> None:
        assert [value for value, _ in cluster.map(add_slowly, Adding(1), range(9))] == [
            *range(1, 10)
        ]

    def test_map_takes_few_items_in_advance(self, cluster: DaskExecutor) -> None:
        taken: list[int] = []
        found = cluster.map(add, Adding(0), endless(taken))
        assert [next(found)[0] for _ in range(5)] == [*range(5)]
        assert len(taken) <= 5 + TASKS_PER_WORKER * 2
        found.close()

    def test_map_runs_equal_tasks_separately(self, cluster: DaskExecutor) -> None:
        assert [value for value, _ in cluster.map(add, Adding(1), [7, 7, 7])] == [8, 8, 8]

    def test_map_builds_the_state_once(self, cluster: DaskExecutor) -> None:
        assert {process for _, process in cluster.map(add, Adding(3), range(6))} == {os.getpid()}

    def test_map_raises_the_error_of_a_task(self, cluster: DaskExecutor) -> None:
        with pytest.raises(DataError, match="part 0 is bad; mend it"):
            list(cluster.map(refuse, Adding(0), range(3)))


class TestOpening:
    def test_open_executor_without_workers_is_serial(self) -> None:
        with open_executor(None, None) as executor:
            assert isinstance(executor, SerialExecutor)

    @pytest.mark.parametrize(("workers", "scheduler"), [(0, None), (-2, None), (2, "tcp://a:1")])
    def test_open_executor_refuses_impossible_options(
        self, workers: int, scheduler: str | None
    ) -> None:
        with pytest.raises(ConfigError, match=r"workers"):
            open_executor(workers, scheduler)

    def test_open_executor_without_dask_says_what_to_install(
        self, digits_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "distributed", None)
        words = ["--class", "3", "--n", "2", "--model", str(digits_bundle.path), "--workers", "2"]
        done = CliRunner().invoke(app, ["augment", *words, "--out", str(tmp_path / "out")])
        assert done.exit_code == 2
        assert "python -m pip install 'augan[dask]'" in done.stderr
        assert not list(tmp_path.iterdir())

    def test_threads_per_worker_divides_the_cores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
        assert [threads_per_worker(workers, cores=8) for workers in (1, 3, 8, 20)] == [8, 2, 1, 1]
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "4")
        assert threads_per_worker(8, cores=8) == 4


class TestSameBundle:
    def test_another_bundle_is_refused_by_naming_both(self, digits_bundle: Bundle) -> None:
        same = BundleRef.of(digits_bundle)
        assert same.load().sha256 == digits_bundle.sha256
        with pytest.raises(BundleError, match=f"{digits_bundle.bundle_id}.* with ffffffffffff"):
            replace(same, sha256="f" * 64).load()

    def test_other_versions_are_refused_by_naming_both(self, digits_bundle: Bundle) -> None:
        same = BundleRef.of(digits_bundle)
        versions = tuple(
            (name, "1.0" if name == "numpy" else number) for name, number in same.versions
        )
        with pytest.raises(BundleError, match=r"has numpy [\d.]+, but .* with numpy 1\.0"):
            replace(same, versions=versions).load()

    def test_unsaved_bundle_cannot_be_loaded(self, digits_bundle: Bundle) -> None:
        with pytest.raises(BundleError, match="never saved"):
            BundleRef.of(replace(digits_bundle, path=None))


@pytest.mark.slow
class TestProcesses:
    def test_missing_scheduler_is_one_sentence(self) -> None:
        with (
            pytest.raises(WorkerError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"),
            open_executor(None, "tcp://127.0.0.1:9"),
        ):
            pass

    def test_killed_worker_loses_no_result(self, tmp_path: Path) -> None:
        mark = str(tmp_path / "died")
        with open_executor(2, None) as executor:
            found = list(executor.map(add_slowly, Adding(0), range(40)))
            assert [value for value, _ in found] == [*range(40)]
            assert len({process for _, process in found} - {os.getpid()}) == 2
            again = executor.map(die_once, Adding(10), [(number, mark) for number in range(20)])
            assert list(again) == [*range(10, 30)]
        assert os.path.exists(mark)

    def test_task_that_kills_every_worker_is_an_error(self) -> None:
        with (
            open_executor(1, None) as executor,
            pytest.raises(WorkerError, match="ended several workers on this machine"),
        ):
            list(executor.map(die, Adding(0), range(2)))
