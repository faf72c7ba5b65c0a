"""Digests of files, arrays and JSON values."""

import hashlib

import numpy as np
import pytest

from augan.io import hashing
from augan.io.hashing import array_digest, sha256_array, sha256_file, sha256_json, sha256_parts


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**16, shape).astype(np.uint16)


@pytest.mark.parametrize("block", [1, 100, 2**24])
def test_sha256_array_does_not_depend_on_memory_order_or_blocks(block, monkeypatch):
    x = noise(60, 4, 4, 3)
    expected = hashlib.sha256(x.tobytes()).hexdigest()
    monkeypatch.setattr(hashing, "_BLOCK_BYTES", block)
    assert sha256_array(x) == sha256_array(np.asfortranarray(x)) == expected
    assert sha256_array(x[::2]) == hashlib.sha256(x[::2].tobytes()).hexdigest()
    assert sha256_array(x[:0]) == hashlib.sha256().hexdigest()


def test_array_digest_is_equal_for_equal_bytes_only():
    x = noise(8, 8, 1)
    assert array_digest(x) == array_digest(np.asfortranarray(x)) != array_digest(x + 1)
    assert len(array_digest(x)) == 16


def test_sha256_json_counts_the_order_of_keys_only_on_request():
    one, two = {"a": 1, "b": [2]}, {"b": [2], "a": 1}
    assert sha256_json(one) == sha256_json(two)
    assert sha256_json(one, sort_keys=False) != sha256_json(two, sort_keys=False)


def test_sha256_file_and_sha256_parts_agree(tmp_path):
    (tmp_path / "file").write_bytes(b"some content")
    assert sha256_file(tmp_path / "file") == sha256_parts([b"some ", memoryview(b"content")])
    with pytest.raises(FileNotFoundError):
        sha256_file(tmp_path / "absent")
