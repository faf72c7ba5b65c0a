"""Tests that training on several replicas equals training on one.

Two logical CPUs stand for two devices, and two processes on this machine for two machines.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from augan.bundle import load_bundle
from augan.io.images import write_png

ROOT = Path(__file__).parents[3]
TOLERANCE = (
    1e-4  # of a weight; rounding alone gave up to 2e-6, and one rate of Adam is 2e-4 or more
)
WAIT = 240.0

# Trains what the settings say on one device and on two, and prints how far the weights are apart.
COMPARE = """
import json, sys
from dataclasses import replace
import numpy as np
import tensorflow as tf
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.workflow.prepare import prepare_data
from augan.training.loop import TrainingSession
from augan.training.trainer import train_stages
from augan.training.budget import TrainingBudget
from augan.workflow.prepare import resolve_config
from augan.training.distributed.workers import Workers, join_workers

side, classes, parts, settings = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
images = rng.integers(0, 255, (120, side, side, 1)).astype(np.uint8)
data = from_arrays(images, np.arange(120) % classes if classes else None)
prepared = prepare_data(resolve_config(Config.from_dict(settings), data))

def train(workers):
    stages, config = tuple(parts) or prepared.stages, prepared.config
    budget = TrainingBudget(config.training.steps)
    data = prepared.training_data()
    if "translation" in stages:
        data = replace(data, new=replace(data, samples=255 - np.asarray(data.samples)))
    found = train_stages(config, data, stages, budget, TrainingSession(workers=workers))
    return {f"{n}/{k}": v for n, one in found.for_bundle().items() for k, v in one.weights.items()}

pair = join_workers("mirrored")
assert pair.num_replicas == 2
one, both = train(Workers()), train(pair)
print(json.dumps({key: float(np.abs(one[key] - both[key]).max()) for key in one}))
"""

TINY = {
    "gan": {"latent_dim": 4},
    "generator": {"width": 2},
    "discriminator": {"width": 2, "norm": "spectral"},
    "encoder": {"width": 2},
    "classifier": {"width": 2},
    "evaluation": {"enabled": False},
    "training": {"steps": 12, "batch_size": 16},
}


def merged(**changes):
    """`TINY` with some sections changed in part."""
    return TINY | {
        name: {**TINY.get(name, {}), **more} if isinstance(more, dict) else more
        for name, more in changes.items()
    }


def process(words, more=None):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")])}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", **(more or {})}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # what this process has set itself
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def compare(side, classes, parts, settings):
    """Return the difference of each weight between training on two devices and on one."""
    one = process(["-c", COMPARE, json.dumps([side, classes, parts, settings])])
    printed, said = one.communicate(timeout=WAIT)
    assert one.returncode == 0, said
    return json.loads(printed.splitlines()[-1])


def test_two_devices_train_like_one():
    plain = {"latent_dim": 4, "negative_augmentations": [], "self_supervision": False}
    apart = compare(8, 0, ["gan"], merged(task="detect", gan=plain))
    assert {key.split("/")[0] for key in apart} >= {"generator", "discriminator"}
    assert max(apart.values()) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"cycle": "two-sided", "identity_weight": 1.0},
        {"cycle": "none", "contrastive_weight": 1.0},
    ],
    ids=["CycleGAN", "CUT"],
)
def test_two_devices_translate_like_one(settings):
    translation = {"width": 2, "blocks": 1, "discriminator_width": 2, **settings}
    apart = compare(16, 3, ["translation"], merged(translation=translation))
    assert {key.split("/")[0] for key in apart} >= {"translator", "patch_discriminator"}
    assert max(apart.values()) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "classes", "settings"),
    [
        # A detector: negatives, transformations, rotations, a generator that plays now and then.
        (16, 0, {"task": "detect", "detect": {"methods": ["fanogan"]}}),
        # Large images seen through windows, which the head of places judges.
        (96, 0, {"task": "detect", "data": {"tiling": True}}),
        (
            16,
            3,
            {
                "gan": {"latent_dim": 4, "regularizer": "r1", "diffaug": ["translation", "color"]},
                "discriminator": {"width": 2, "norm": "spectral", "steps": 2},
            },
        ),
        (
            8,
            3,
            {
                "gan": {"architecture": "mlp", "loss": "wasserstein", "regularizer": "wgan_gp"},
                "discriminator": {"width": 2, "norm": "none"},
            },
        ),
        (
            8,
            3,
            {
                "gan": {"latent_dim": 4, "unrolled_steps": 2, "latent_prior": "uniform"},
                "discriminator": {"width": 2, "norm": "layer"},
            },
        ),
        (
            8,
            3,
            {
                "gan": {"latent_dim": 4, "label_smoothing": 0.1, "label_noise": 0.2},
                "discriminator": {"width": 2, "norm": "batch"},
            },
        ),
    ],
    ids=["detector", "windows", "r1", "gradient", "unrolled", "labels"],
)
def test_every_variant_trains_equally_on_two_devices(side, classes, settings):
    apart = compare(side, classes, [], merged(**settings))
    # What batch normalisation takes away again has no gradient but rounding, and Adam steps by it.
    mixing = settings.get("discriminator", {}).get("norm") == "batch"
    before = ("encoder/", "generator/", *(["discriminator/"] if mixing else []))
    alive = {k: v for k, v in apart.items() if not (k.startswith(before) and k.endswith("bias"))}
    assert len(alive) > len(apart) / 2
    assert {key: value for key, value in alive.items() if value > TOLERANCE} == {}


def free_addresses(count=2):
    holders = [socket.socket() for _ in range(count)]
    for holder in holders:
        holder.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{holder.getsockname()[1]}" for holder in holders]
    for holder in holders:
        holder.close()
    return addresses


def start(*words, differing=("", "")):
    """Start two workers of `augan train`, each with additional arguments."""
    addresses = free_addresses()
    return [
        process(
            ["-m", "augan_cli", "train", *words, *own.split()],
            {
                "TF_CONFIG": json.dumps(
                    {
                        "cluster": {"worker": addresses},
                        "task": {"type": "worker", "index": number},
                    }
                )
            },
        )
        for number, own in enumerate(differing)
    ]


def finish(workers):
    """Wait for both and return exit code, output and errors of each."""
    ended = []
    try:
        for worker in workers:
            printed, said = worker.communicate(timeout=WAIT)
            ended.append((worker.returncode, printed, said))
    finally:
        for worker in workers:
            worker.kill()
    return ended


def wait_for_steps(run, stage, step):
    """Wait until the log of a run has an entry of `stage` at `step` or later."""
    log, limit = run / "metrics.jsonl", time.monotonic() + WAIT
    while time.monotonic() < limit:
        lines = log.read_text().splitlines()[:-1] if log.exists() else []
        if any(
            entry["stage"] == stage and entry["step"] >= step for entry in map(json.loads, lines)
        ):
            return
        time.sleep(0.1)
    raise AssertionError(f"{stage} did not reach step {step}")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for name in "ab":
        (folder / name).mkdir()
    for number in range(400):
        image = rng.integers(0, 255, (8, 8, 1), dtype=np.uint8)
        write_png(folder / "ab"[number % 2] / f"{number}.png", image)
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "small.yaml"
    changes = merged(evaluation={"enabled": True, "interval": 40})
    changes["training"] = {"steps": 160, "batch_size": 16}
    path.write_text(json.dumps(changes))  # which is YAML, too
    return path


@pytest.fixture(scope="module")
def together(photos, settings, tmp_path_factory):
    """Return the run of two undisturbed workers and their output."""
    place = tmp_path_factory.mktemp("together")
    words = (str(photos), "--config", str(settings), "--json")
    ended = finish(start(*words, differing=(f"--out {place}/run", f"--out {place}/other")))
    assert [code for code, _, _ in ended] == [0, 0], ended
    return place, ended


@pytest.mark.slow
def test_two_machines_give_one_bundle_written_by_the_chief(together, photos, settings):
    place, ended = together
    assert [path.name for path in place.iterdir()] == ["run"]
    ids = {json.loads(printed)["id"] for _, printed, _ in ended}
    bundle = load_bundle(place / "run")
    assert ids == {bundle.bundle_id}
    steps, gan_metrics = bundle.metrics.steps, bundle.metrics.gan_metrics
    # Noise has no likeness to learn: the chief's monitor ends the GAN early, and both follow.
    assert bundle.metrics.failure.step == steps["gan"] == gan_metrics[-1].step < 160
    assert steps["encoder"] == 80
    own = ["--config", str(settings), "--out", str(place.parent / f"{place.name}-alone")]
    again = start(str(photos), *own[:2], "--out", f"{place}/run", "--resume", "--json")
    for code, printed, said in finish(again):
        assert (code, "was already complete" in said) == (0, True), said
        assert json.loads(printed)["id"] == bundle.bundle_id
    alone = process(["-m", "augan_cli", "train", str(photos), *own], {"TF_CONFIG": ""})
    assert alone.wait(WAIT) == 0
    one = load_bundle(place.parent / f"{place.name}-alone")
    # Rounding grows with each update: what other data or rates would do is ten times as much.
    for role in ("generator", "discriminator", "classifier"):
        for name, value in one.networks[role].weights.items():
            np.testing.assert_allclose(
                bundle.networks[role].weights[name], value, atol=1e-2, err_msg=f"{role} {name}"
            )


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_killed_worker_stops_the_other_and_both_resume(
    killed, together, photos, settings, tmp_path
):
    words = (str(photos), "--config", str(settings), "--out", str(tmp_path / "run"))
    workers = start(*words)
    wait_for_steps(tmp_path / "run", "gan", 120)
    workers[killed].send_signal(signal.SIGKILL)
    since = time.monotonic()
    ended = finish(workers)
    assert time.monotonic() - since < 30
    code, _, said = ended[1 - killed]
    assert code == 2
    assert f"error: worker {killed} stopped answering after step" in said
    assert "Traceback" not in said
    assert "E0000" not in said
    ended = finish(start(*words, "--resume"))
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert load_bundle(tmp_path / "run").sha256 == load_bundle(together[0] / "run").sha256


@pytest.mark.slow
def test_signal_to_one_worker_stops_both_with_a_checkpoint(photos, settings, tmp_path):
    words = (str(photos), "--config", str(settings), "--out", str(tmp_path / "run"))
    workers = start(*words)
    wait_for_steps(tmp_path / "run", "gan", 20)
    workers[1].send_signal(signal.SIGTERM)
    for code, printed, said in finish(workers):
        assert code == 2
        assert printed == ""
        assert "error: stopped by SIGTERM on worker 1 after step" in said
    assert (tmp_path / "run" / "checkpoints" / "gan.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "what"),
    [
        ("--seed 7", "seed is 0 on worker 0 and 7 on worker 1"),
        ("--set training.batch_size=15", "training.batch_size=15 is the batch of all 2 replicas"),
        ("--groups {groups}", "split is"),
        ("--groups gone.csv", "gone.csv"),
    ],
    ids=["seed", "batch", "split", "data"],
)
def test_workers_with_different_settings_raise(own, what, photos, settings, tmp_path):
    groups = photos.parent / "groups.csv"
    names = [path.relative_to(photos.parent) for path in sorted(photos.rglob("*.png"))]
    rows = [f"{name},{number // 3}" for number, name in enumerate(names)]
    groups.write_text("\n".join(["path,group", *rows]) + "\n")
    words = (str(photos), "--config", str(settings), "--out", str(tmp_path / "run"))
    ended = finish(start(*words, differing=("", own.format(groups=groups))))
    assert [code for code, _, _ in ended] == [2, 2]
    assert what in ended[1][2]
    assert all("error: " in said and "Traceback" not in said for _, _, said in ended)
    assert not (tmp_path / "run").exists()
