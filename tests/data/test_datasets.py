"""Fashion-MNIST by name: from Debian, from Keras, downloaded, or an error that helps."""

import functools
import gzip
import http.server
import logging
import os
import socket
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

from augan.data import datasets
from augan.data.loading import load_dataset
from augan.exceptions import DataError

COUNTS = {"train": 3, "t10k": 2}


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape) + array.tobytes()


def write_files(folder):
    """Four files as Zalando's, with few pictures; the first is an ankle boot."""
    folder.mkdir(parents=True)
    for name in datasets.FILES:
        n = COUNTS[name.split("-")[0]]
        labels, images = 9 - np.arange(n, dtype=np.uint8), np.full((n, 28, 28), 7, np.uint8)
        values = images if "images" in name else labels
        (folder / name).write_bytes(gzip.compress(idx_bytes(values)))
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder in which Keras keeps Fashion-MNIST; it is not there, nor is Debian's."""
    monkeypatch.setattr(datasets, "DEBIAN_FOLDER", tmp_path / "absent")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets" / "fashion-mnist"


@pytest.fixture
def offline(monkeypatch):
    """No socket connects, and no name is looked up; returns what was tried."""
    tried = []

    def refuse(*arguments, **more):
        tried.append(arguments)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves what lies in the folder that it returns, where augan downloads from."""
    folder = write_files(tmp_path / "served")
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets, "BASE_URL", f"http://127.0.0.1:{served.server_port}/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield folder
        served.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def check(train, test, folder):
    assert (len(train), len(test)) == (3, 2)
    assert [train.class_names[label] for label in train.labels] == ["Ankle boot", "Bag", "Sneaker"]
    assert test.class_names == train.class_names == datasets.CLASSES
    assert train.images.shape == (3, 28, 28, 1)
    assert train.source == str(folder)
    assert train.name == "fashion-mnist"


def both_parts():
    return load_dataset("fashion-mnist"), load_dataset("fashion-mnist", subset="test")


def test_fashion_mnist_prefers_the_installed_files(tmp_path, monkeypatch, home, offline, caplog):
    monkeypatch.setattr(datasets, "DEBIAN_FOLDER", write_files(tmp_path / "usr"))
    home.mkdir(parents=True)
    (home / datasets.FILES[0]).write_bytes(b"not looked at")
    check(*both_parts(), tmp_path / "usr")
    assert offline == caplog.records == []


def test_fashion_mnist_reads_files_of_keras_without_network(home, offline, caplog):
    write_files(home)
    check(*both_parts(), home)
    assert offline == caplog.records == []


def test_fashion_mnist_without_network_says_what_to_do(home, offline, caplog):
    with pytest.raises(DataError) as caught:
        load_dataset("fashion-mnist")
    message = str(caught.value)
    for part in (
        str(datasets.DEBIAN_FOLDER),
        str(home),
        datasets.BASE_URL,
        "Network is unreachable",
    ):
        assert part in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert "give the folder of its four IDX files" in message
    assert offline
    assert [p for p in home.parent.rglob("*") if p.is_file()] == []
    (announced,) = caplog.records
    assert announced.levelno == logging.WARNING
    assert "downloading 4 files" in announced.getMessage()


def test_other_names_do_not_use_the_network(home, offline, tmp_path):
    for data in ("digits", "fashion_mnist", "fashon-mnist", "mnist", str(tmp_path / "x")):
        try:
            load_dataset(data)
        except DataError:
            assert data != "digits"
    assert offline == []


def test_fashion_mnist_is_downloaded_once(home, server, caplog):
    check(*both_parts(), home)
    assert sorted(p.name for p in home.iterdir()) == sorted(datasets.FILES)
    for name in datasets.FILES:
        assert (home / name).read_bytes() == (server / name).read_bytes()
    (announced,) = caplog.records
    assert datasets.BASE_URL in announced.getMessage()
    assert str(home) in announced.getMessage()


def test_only_missing_files_are_downloaded(home, server, caplog):
    write_files(home)
    (home / datasets.FILES[2]).unlink()
    for name in set(datasets.FILES) - {datasets.FILES[2]}:
        (server / name).unlink()
    check(*both_parts(), home)
    assert "downloading 1 files" in caplog.text


@pytest.mark.parametrize("damage", [lambda raw: raw[:-20], lambda raw: b"<html>sorry</html>"])
def test_incomplete_download_leaves_no_file(home, server, damage):
    file = server / datasets.FILES[1]
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with pytest.raises(DataError, match="cannot be downloaded"):
        load_dataset("fashion-mnist")
    assert [p.name for p in home.iterdir()] == [datasets.FILES[0]]
    file.write_bytes(whole)
    check(*both_parts(), home)


def test_file_missing_on_the_server_is_an_error(home, server):
    (server / datasets.FILES[3]).unlink()
    with pytest.raises(DataError, match=r"cannot be downloaded from http.*not found"):
        load_dataset("fashion-mnist")


def test_the_command_announces_the_download_and_ends_in_one_line(tmp_path):
    code = (
        "from augan.data import datasets; from pathlib import Path; from augan_cli.main import "
        "main; datasets.DEBIAN_FOLDER = Path('absent'); main()"
    )
    nowhere = "http://127.0.0.1:9"  # nothing listens there
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "fashion-mnist"],
        env={**os.environ, "KERAS_HOME": str(tmp_path), "https_proxy": nowhere},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    announced, error = done.stderr.splitlines()
    assert announced.startswith("fashion-mnist: downloading 4 files from https://")
    assert error.startswith("error: fashion-mnist is neither in absent nor in ")
    assert "apt-get install dataset-fashion-mnist" in error
