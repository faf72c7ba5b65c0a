"""Tests of TF_CONFIG, the rendezvous of workers, and their selection."""

import json
import socket
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augan.exceptions import ConfigError, RunInterruptedError
from augan.training.distributed.cluster import Cluster, read_cluster
from augan.training.distributed.rendezvous import wait_for_workers
from augan.training.distributed.workers import Workers, join_workers

TWO = ["one:5000", "two:5000"]


def says(monkeypatch, value):
    text = value if isinstance(value, str) else json.dumps(value)
    monkeypatch.setenv("TF_CONFIG", text)


def task(kind="worker", index=0):
    return {"type": kind, "index": index}


@pytest.mark.parametrize("text", [None, "", "  "])
def test_read_cluster_without_the_variable_returns_none(text, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert read_cluster() is None
    assert join_workers() == Workers()


@pytest.mark.parametrize(
    ("cluster", "who", "expected"),
    [
        ({"worker": TWO}, task(index=1), Cluster(("one:5000", "two:5000"), 1)),
        ({"worker": TWO}, task(index="1"), Cluster(("one:5000", "two:5000"), 1)),
        ({"worker": TWO, "chief": ["me:1"]}, task("chief"), Cluster(("me:1", *TWO), 0)),
        ({"worker": TWO, "chief": ["me:1"]}, task(index=1), Cluster(("me:1", *TWO), 2)),
        ({"worker": ["[::1]:9", "a.b-c:65535"]}, task(), Cluster(("[::1]:9", "a.b-c:65535"), 0)),
    ],
)
def test_read_cluster_puts_the_chief_first(cluster, who, expected, monkeypatch):
    says(monkeypatch, {"cluster": cluster, "task": who})
    assert read_cluster() == expected


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("{'cluster'", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([], "names no cluster"),
        ({"task": task()}, "names no cluster"),
        ({"cluster": {}, "task": task()}, "names no cluster"),
        ({"cluster": TWO, "task": task()}, "names no cluster"),
        ({"cluster": {"worker": []}, "task": task()}, "no addresses of worker"),
        ({"cluster": {"worker": "one:5000"}, "task": task()}, "no addresses of worker"),
        ({"cluster": {"worker": ["one"]}, "task": task()}, "'one' is not HOST:PORT"),
        ({"cluster": {"worker": ["one:0"]}, "task": task()}, "is not HOST:PORT"),
        ({"cluster": {"worker": ["one:99999"]}, "task": task()}, "is not HOST:PORT"),
        ({"cluster": {"worker": [5000]}, "task": task()}, "is not HOST:PORT"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": task()}, "names a:1 twice"),
        ({"cluster": {"chief": TWO}, "task": task("chief")}, "has 2 chiefs"),
        ({"cluster": {"worker": TWO, "ps": ["a:1"]}, "task": task("ps")}, "has the job 'ps'"),
        ({"cluster": {"worker": TWO}}, "does not say which worker"),
        ({"cluster": {"worker": TWO}, "task": {"type": "worker"}}, "does not say which worker"),
        ({"cluster": {"worker": TWO}, "task": task("evaluator")}, "this is a 'evaluator'"),
        ({"cluster": {"worker": TWO}, "task": task(["worker"])}, "this is a ['worker']"),
        ({"cluster": {"worker": TWO}, "task": task(index=2)}, "expected an index from 0 to 1"),
        ({"cluster": {"worker": TWO}, "task": task(index=-1)}, "expected an index from 0 to 1"),
        ({"cluster": {"worker": TWO}, "task": task(index=0.5)}, "expected an index from 0 to 1"),
        ({"cluster": {"worker": TWO}, "task": task(index=True)}, "expected an index from 0 to 1"),
    ],
)
def test_invalid_tf_config_raises(value, what, monkeypatch):
    says(monkeypatch, value)
    with pytest.raises(ConfigError, match="TF_CONFIG") as error:
        join_workers()
    assert what in str(error.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cluster", "task", "worker", "type", "index"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(_JSON)
def test_read_cluster_parses_or_raises(value):
    with pytest.MonkeyPatch.context() as patch:
        says(patch, value)
        with suppress(ConfigError):
            found = read_cluster()
            assert found is None or 0 <= found.rank < len(found.addresses)


def test_cluster_of_one_worker_is_not_distributed(monkeypatch):
    says(monkeypatch, {"cluster": {"worker": ["one:5000"]}, "task": task()})
    assert join_workers("multiworker") == Workers()


def test_distribute_none_ignores_tf_config(monkeypatch):
    says(monkeypatch, "{'cluster'")
    assert join_workers("none") == Workers()


@pytest.mark.parametrize(
    ("distribute", "what"),
    [
        ("everywhere", "one of auto, none, mirrored, multiworker, got 'everywhere'"),
        ("multiworker", "TF_CONFIG"),
        ("mirrored", "at least 2 devices"),
    ],
)
def test_impossible_distribution_raises(distribute, what, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match=what):
        join_workers(distribute)


def test_collectives_of_one_process_return_their_input():
    alone = Workers()
    assert alone.is_chief
    assert alone.num_replicas == 1
    assert alone.broadcast(True)
    assert alone.any_signal("SIGINT") == "SIGINT"
    assert alone.any_signal(None) is None
    assert alone.all_gather(b"x") == [b"x"]
    alone.require_divisible(7)
    alone.require_same({"data": 1})
    with pytest.raises(ZeroDivisionError), alone.report_lost_worker():
        _ = 1 / 0


def free_addresses(count):
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = tuple(f"127.0.0.1:{holder.getsockname()[1]}" for holder in holders)
    for holder in holders:
        holder.close()
    return addresses


def test_wait_for_workers_returns_when_all_are_there():
    addresses = free_addresses(3)
    came = []

    def come(number):
        wait_for_workers(Cluster(addresses, number), patience=20.0)
        came.append(number)

    others = [threading.Thread(target=come, args=(number,), daemon=True) for number in (2, 1)]
    others[0].start()
    time.sleep(0.2)
    others[1].start()
    come(0)
    assert came == [0]  # the others wait until its server answers
    host, port = addresses[0].split(":")
    with socket.create_server((host, int(port))):
        for other in others:
            other.join(20.0)
    assert sorted(came) == [0, 1, 2]
    for address in addresses:  # is free for TensorFlow
        socket.create_server((host, int(address.split(":")[1]))).close()


def test_missing_worker_is_named():
    addresses = free_addresses(2)
    for number in (0, 1):
        with pytest.raises(
            RunInterruptedError, match=f"worker {1 - number} at {addresses[1 - number]}"
        ):
            wait_for_workers(Cluster(addresses, number), patience=0.2)


def test_port_in_use_is_named():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        for number in (0, 1):
            pair = (f"127.0.0.1:{port}", "127.0.0.1:1")
            own = Cluster(pair if number == 0 else pair[::-1], number)
            with pytest.raises(ConfigError, match=f"cannot listen at port {port}"):
                wait_for_workers(own, patience=0.1)
