"""Tests of `augan.training.checkpoints`."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from augan.exceptions import DataError
from augan.gan import keras, tf
from augan.training import checkpoints
from augan.training.checkpoints import Checkpoints


def variables(start=0):
    """Return variables of each kind in a training: weights, a scalar, counters, a seed state."""
    rng = np.random.default_rng(start)
    values = (
        rng.normal(size=(3, 2, 1)).astype(np.float32),
        np.float32(rng.normal()),
        np.int64(start + 2**40),
        np.int32(start),
        np.array([start, 2**32 - 1], np.uint32),
        np.array([np.nan, np.inf, -0.0, 1e-45], np.float32),
    )
    return [tf.Variable(value) for value in values]


def bits(some):
    return [np.asarray(variable).tobytes() for variable in some]


def test_what_comes_back_has_the_same_bits(tmp_path):
    kept = variables(1)
    Checkpoints(tmp_path / "new").save("gan", 40, kept)
    fresh = variables(2)
    assert Checkpoints(tmp_path / "new").restore("gan", fresh) == (40, False)
    assert bits(fresh) == bits(kept)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["gan.safetensors"]


def test_many_variables_come_back_in_their_order(tmp_path):
    kept = [tf.Variable(float(i)) for i in range(120)]
    Checkpoints(tmp_path).save("gan", 1, kept)
    fresh = [tf.Variable(-1.0) for _ in kept]
    Checkpoints(tmp_path).restore("gan", fresh)
    assert [float(v) for v in fresh] == list(range(120))


def test_an_optimizer_goes_on_as_if_it_had_never_stopped(tmp_path):
    def network():
        model = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(3, kernel_initializer="ones")]
        )
        optimizer = keras.optimizers.Adam(0.01, 0.5, 0.999)
        optimizer.build(model.trainable_variables)
        return model, optimizer, [*model.variables, *optimizer.variables]

    def step(model, optimizer, number):
        gradients = [tf.fill(v.shape, float(number + 1)) for v in model.trainable_variables]
        optimizer.apply(gradients, model.trainable_variables)

    model, optimizer, state = network()
    for number in range(3):
        step(model, optimizer, number)
    Checkpoints(tmp_path).save("gan", 3, state)
    resumed, optimizer_again, state_again = network()
    assert Checkpoints(tmp_path).restore("gan", state_again) == (3, False)
    assert bits(state_again) == bits(state)
    assert int(optimizer_again.iterations) == 3
    for one in ((model, optimizer), (resumed, optimizer_again)):
        step(*one, 3)
    assert bits(state_again) == bits(state)


def test_parts_are_kept_apart_and_the_last_counts(tmp_path):
    keeper = Checkpoints(tmp_path)
    keeper.save("gan", 20, variables(1))
    keeper.save("encoder", 7, variables(2))
    keeper.save("gan", 40, variables(3), done=True)
    fresh = variables()
    assert Checkpoints(tmp_path).restore("gan", fresh) == (40, True)
    assert bits(fresh) == bits(variables(3))
    assert Checkpoints(tmp_path).restore("encoder", fresh) == (7, False)
    assert bits(fresh) == bits(variables(2))
    assert Checkpoints(tmp_path).steps() == {"gan": 40, "encoder": 7}


def test_without_a_checkpoint_nothing_changes(tmp_path):
    for folder in (None, tmp_path, tmp_path / "none"):
        fresh = variables(5)
        assert Checkpoints(folder).restore("gan", fresh) == (0, False)
        assert bits(fresh) == bits(variables(5))
        assert Checkpoints(folder).steps() == {}
    Checkpoints(None).save("gan", 10, variables())
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_was_cut_off(tmp_path):
    Checkpoints(tmp_path).save("gan", 20, variables(1))
    file = tmp_path / "gan.safetensors"
    whole = file.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        fresh = variables(2)
        with pytest.raises(DataError, match="is damaged") as caught:
            Checkpoints(tmp_path).restore("gan", fresh)
        assert str(file) in str(caught.value)
        assert "delete it to begin this stage again" in str(caught.value)
        assert bits(fresh) == bits(variables(2))
        assert Checkpoints(tmp_path).steps() == {}


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    Checkpoints(tmp_path).save("gan", 20, variables(1))
    file = tmp_path / "gan.safetensors"
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        fresh = variables(2)
        with pytest.raises(DataError, match="is damaged"):
            Checkpoints(tmp_path).restore("gan", fresh)
        assert bits(fresh) == bits(variables(2))


@pytest.mark.parametrize("change", [{"step": 21}, {"done": True}, {"sha256": None}, {"sha256": ""}])
def test_hash_of_a_checkpoint_covers_the_step(tmp_path, change):
    Checkpoints(tmp_path).save("gan", 20, variables(1))
    with safe_open(tmp_path / "gan.safetensors", framework="numpy") as file:
        about = json.loads(file.metadata()["augan"]) | change
    save_file(good_tensors(), tmp_path / "gan.safetensors", {"augan": json.dumps(about)})
    with pytest.raises(DataError, match=r"is damaged \(.*SHA-256 differs"):
        Checkpoints(tmp_path).restore("gan", variables(2))


FULL = """
import resource, signal
from pathlib import Path

import numpy as np
from augan.exceptions import DataError
from augan.training.checkpoints import Checkpoints

keeper = Checkpoints(Path("{folder}"))
keeper.save("gan", 10, [np.zeros(100, np.float32)])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    keeper.save("gan", 20, [np.zeros(10000, np.float32)])
except DataError as error:
    print(error)
"""


def test_failed_write_keeps_the_last_checkpoint(tmp_path):
    code = FULL.format(folder=tmp_path / "checkpoints")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith(
        f"cannot write the checkpoint {tmp_path / 'checkpoints' / 'gan.safetensors'} after step 20 "
        "(File too large); "
    )
    assert "--resume" in done.stdout
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["gan.safetensors"]
    assert Checkpoints(tmp_path / "checkpoints").steps() == {"gan": 10}


def good_tensors():
    return {f"{i:05d}": np.asarray(v) for i, v in enumerate(variables(1))}


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"other": "1"},
        {"augan": "not JSON"},
        {"augan": "{}"},
        {"augan": "[1, 2]"},
        {"augan": json.dumps({"step": 3})},
    ],
)
def test_file_without_metadata_of_augan_raises(tmp_path, metadata):
    save_file(good_tensors(), tmp_path / "gan.safetensors", metadata)
    fresh = variables(2)
    with pytest.raises(DataError, match="is damaged"):
        Checkpoints(tmp_path).restore("gan", fresh)
    assert bits(fresh) == bits(variables(2))


@pytest.mark.parametrize("content", [b"\x00" * 500, b"\xff" * 500, b"{}" * 250, b"PK\x03\x04" * 90])
def test_garbage_raises(tmp_path, content):
    (tmp_path / "gan.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        Checkpoints(tmp_path).restore("gan", variables())


def test_unknown_tensor_names_raise(tmp_path):
    values = {f"x{key}": value for key, value in good_tensors().items()}
    about = {"augan": json.dumps({"step": 3, "done": False})}
    save_file(values, tmp_path / "gan.safetensors", about)
    with pytest.raises(DataError, match="is damaged"):
        Checkpoints(tmp_path).restore("gan", variables())


@pytest.mark.parametrize(
    "shapes", [[(2, 3)], [(2, 3), (4,), (1,)], [(2, 3), (5,)], [(3, 2), (4,)], [(4,), (2, 3)], []]
)
def test_checkpoint_of_other_networks_raises(tmp_path, shapes):
    Checkpoints(tmp_path).save("gan", 20, [tf.Variable(tf.ones(s)) for s in [(2, 3), (4,)]])
    fresh = [tf.Variable(tf.zeros(shape)) for shape in shapes]
    with pytest.raises(DataError, match="belongs to other networks; train into a new run"):
        Checkpoints(tmp_path).restore("gan", fresh)
    assert all(not np.asarray(variable).any() for variable in fresh)


def test_a_checkpoint_is_due_by_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "STEPS_BETWEEN", 30)
    keeper = Checkpoints(tmp_path)
    assert [keeper.due("gan", step) for step in (20, 29, 30, 40)] == [False, False, True, True]
    keeper.save("gan", 40, variables())
    assert [keeper.due("gan", step) for step in (41, 69, 70)] == [False, False, True]
    assert not keeper.due("encoder", 20)
    resumed = Checkpoints(tmp_path)
    resumed.restore("gan", variables())
    assert [resumed.due("gan", step) for step in (41, 69, 70)] == [False, False, True]


def test_a_checkpoint_is_due_by_time(tmp_path, monkeypatch):
    keeper = Checkpoints(tmp_path)
    assert not keeper.due("gan", 1)
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    assert keeper.due("gan", 1)
    assert checkpoints.STEPS_BETWEEN == 100


def test_failed_replacement_keeps_the_last_checkpoint(tmp_path):
    keeper = Checkpoints(tmp_path)
    keeper.save("gan", 20, variables(1))
    before = (tmp_path / "gan.safetensors").read_bytes()

    class Broken:
        def __array__(self, *_, **__):
            raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        keeper.save("gan", 40, [*variables(2), Broken()])
    assert (tmp_path / "gan.safetensors").read_bytes() == before
    # And a leftover of a process that was killed while it wrote is no checkpoint.
    (tmp_path / ".gan.part").write_bytes(before[:100])
    assert Checkpoints(tmp_path).steps() == {"gan": 20}
    keeper.save("gan", 40, variables(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gan.safetensors"]


WRITER = """
from pathlib import Path

import numpy as np
from augan.training.checkpoints import Checkpoints

keeper, step = Checkpoints(Path("{folder}")), 0
while True:
    step += 1
    keeper.save("gan", step, [np.full((300, 1000), step, np.float32)])
    print(step, flush=True)
"""


@pytest.mark.slow
def test_kill_at_any_moment_leaves_a_complete_checkpoint(tmp_path):
    for kill in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER).format(folder=tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5 + 3 * kill):
            message = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        value = tf.Variable(tf.zeros((300, 1000)))
        step, done = Checkpoints(tmp_path).restore("gan", [value])
        assert step >= message
        assert not done
        np.testing.assert_array_equal(value, np.full((300, 1000), step, np.float32))


def test_checkpoint_is_readable_without_augan(tmp_path):
    Checkpoints(tmp_path).save("gan", 20, variables(1))
    with safe_open(tmp_path / "gan.safetensors", framework="numpy") as file:
        about = json.loads(file.metadata()["augan"])
        assert {"step": about["step"], "done": about["done"]} == {"step": 20, "done": False}
        assert sorted(file.keys()) == [f"{i:05d}" for i in range(6)]
