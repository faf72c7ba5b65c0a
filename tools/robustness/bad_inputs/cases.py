"""The cases of `tools.robustness.bad_inputs.run`: each bad input, and the command that meets it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from tools.robustness.bad_inputs import fixtures as made
from tools.robustness.bad_inputs import workers as workers
from tools.robustness.bad_inputs.environments import (
    Answer,
    on_small_disk,
    small_cache,
    small_disk,
    without_privileges,
)

TRAIN = "augan train bad --out NEW"
LAST = "augan train photos --out STOPPED --resume"
QUICK = "augan train bad --out NEW --task generate"
AGAIN = "augan train photos --out RUN --resume"
PLAIN = "augan train photos --out NEW"
DETECT = "augan detect photos --model RUN"
MERGE = "augan merge NEW s0 s1"
LONG = "augan train photos --out NEW --steps 1000 --task generate"


@contextmanager
def _anywhere(place: Path) -> Iterator[None]:
    yield


def _as_it_is(place: Path) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes
    ----------
    name, command
        As the table shows them.
    prepare
        Makes the bad input in the folder that holds a good site.
    goes_on
        Whether augan ought to go on, with exit code 0.
    run
        Runs the words in the folder where that takes more than this process; None: here.
    around
        Surroundings while the case is made and run.
    """

    name: str
    command: str
    prepare: Callable[[Path], object] = _as_it_is
    goes_on: bool = False
    run: Callable[[list[str], Path], Answer] | None = None
    around: Callable[[Path], AbstractContextManager[None]] = _anywhere


def without_module(name: str) -> Callable[[Path], AbstractContextManager[None]]:
    """Return surroundings in which a module is not installed."""

    @contextmanager
    def around(place: Path) -> Iterator[None]:
        with mock.patch.dict(sys.modules, {name: None}):
            yield

    return around


def on_disk(
    name: str,
    command: str,
    size: int,
    prepare: Callable[[Path], object] = _as_it_is,
    disk: Callable[[int], Callable[[Path], AbstractContextManager[None]]] = small_disk,
    limit: int | None = None,
) -> Case:
    """Return the case of a disk of `size` bytes, which is called `small`.

    Where none can be mounted, no file may exceed `limit` bytes (None: `size`) instead.
    """
    run = on_small_disk(made.invoke, limit or size)
    return Case(name, command, prepare, run=run, around=disk(size))


FOLDERS = (
    Case("empty folder", TRAIN, made.empty),
    Case("folder without an image", TRAIN, made.only_text),
    Case("folder with nothing readable", TRAIN, made.damaged(0)),
    Case("truncated, empty and misnamed files, within a tenth", QUICK, made.damaged(30), True),
    Case("truncated, empty and misnamed files, above a tenth", QUICK, made.damaged(20)),
    Case("decompression bomb among good images", QUICK, made.good_and("bomb.png", made.bomb), True),
    Case("decompression bomb alone", TRAIN, made.only_bomb),
    Case("folder with a link to itself", QUICK, made.good_and("again", made.link(".")), True),
    Case("image that is a link to itself", QUICK, made.good_and("x.png", made.link("x.png")), True),
    Case(
        "image that is a dangling link", QUICK, made.good_and("x.png", made.link("gone.png")), True
    ),
    Case("data that is a link to itself", TRAIN, made.loop("bad")),
    Case("names of files that are not UTF-8", QUICK, made.strange_names, True),
    Case("mixed sizes", QUICK, made.mixed_sizes, True),
    Case("mixed modes: gray, RGB, RGBA, palette, 16 bits", QUICK, made.mixed_modes, True),
    Case("1 x 5000 pixels among others", QUICK, made.good_and("x.png", made.strip), True),
    Case("one image", TRAIN, made.classes(1)),
    Case("one class with one image", TRAIN, made.classes(30, 1), True),
    Case("every class has one image", TRAIN, made.classes(*[1] * 8)),
    Case(
        "no read permission: one image",
        QUICK,
        made.closed("bad/in/003.png", 0),
        True,
        without_privileges,
    ),
    Case("no read permission: folder", TRAIN, made.closed("bad/out", 0), run=without_privileges),
    Case("images changed while training", LONG, goes_on=True, run=made.changed_meanwhile),
)

ARRAYS = (
    Case("NaN in float images", "augan train bad.npz --out NEW", made.arrays(x=made.with_nan())),
    Case(
        "pickle in an npz file",
        "augan train bad.npz --out NEW",
        made.arrays(x=np.array([{"a": 1}], object)),
    ),
    Case(
        "labels of another length",
        "augan train bad.npz --out NEW",
        made.arrays(x=np.zeros((30, 8, 8), np.uint8), y=np.zeros(29)),
    ),
    Case(
        "more labels than images",
        "augan train bad.npz --out NEW",
        made.arrays(x=np.zeros((5, 8, 8), np.uint8), y=np.arange(9)),
    ),
    Case("npz file that is text", "augan train bad.npz --out NEW", made.text("bad.npz", "x,y\n")),
    Case("unknown name of data", "augan train fashon-mnist --out NEW"),
    Case("data in a home folder that is not there", "augan train ~no-such-user/x --out NEW"),
)

SETTINGS = (
    Case(
        "unknown key in YAML",
        f"{TRAIN} --config c.yaml",
        made.text("c.yaml", "gan:\n  los: hinge\n"),
    ),
    Case("unknown key in --set", f"{TRAIN} --set training.stepz=3"),
    Case(
        "wrong type in YAML",
        f"{TRAIN} --config c.yaml",
        made.text("c.yaml", "gan:\n  ema: [much]\n"),
    ),
    Case("broken YAML", f"{TRAIN} --config c.yaml", made.text("c.yaml", "gan: [\n")),
    Case(
        "configuration that is not UTF-8",
        f"{TRAIN} --config c.yaml",
        made.text("c.yaml", b"\xff\xfe\x00"),
    ),
    Case("configuration that is missing", f"{TRAIN} --config c.yaml"),
    Case("false-alarm rate that too few images could calibrate", f"{PLAIN} --set detect.far=0.01"),
    Case(
        "--cross-conformal with too few images",
        f"{TRAIN} --task detect --cross-conformal",
        made.classes(24),
    ),
    Case(
        "--cross-conformal where a generator is wanted",
        "augan train photos --out NEW --cross-conformal",
    ),
    Case("forbidden combination", f"{TRAIN.replace('bad', 'photos')} --set gan.loss=wasserstein"),
)

RUNS = (
    Case("RUN exists", "augan train photos --out RUN"),
    Case("RUN is a file", "augan train photos --out c.yaml", made.text("c.yaml", "seed: 1\n")),
    Case("RUN lies below a file", "augan train photos --out c.yaml/x", made.text("c.yaml", "")),
    Case("RUN is a link to itself", "augan train photos --out x", made.loop("x")),
    Case(
        "no write permission: parent of RUN",
        "augan train bad --out bad/out/NEW",
        made.closed("bad/out", 0o555),
        run=without_privileges,
    ),
    Case("two trainings in one RUN (left by the first)", f"{LONG} --resume", run=made.second),
    Case("Ctrl-C while training", LONG, run=made.stopped),
    Case("resume with changed images", AGAIN, made.change),
    Case("resume with changed settings", f"{AGAIN} --seed 7"),
    Case("resume with a flipped bit in a checkpoint", LAST, made.flipped_checkpoint),
    Case("resume what is no run", "augan train photos --out photos --resume"),
    on_disk("disk full: decoded images", TRAIN, 8192, made.large_files, small_cache),
    on_disk("disk full: run folder", "augan train photos --out small/NEW", 4096),
    on_disk("disk full: checkpoint", "augan train photos --out small/NEW", 24 * 1024),
    on_disk(
        "disk full: bundle",
        "augan train photos --out small/STOPPED --resume",
        120 * 1024,
        made.unfinished("small/STOPPED", spare=16 * 1024),
        limit=16 * 1024,
    ),
    Case("the same, with room again", LAST, made.unfinished("STOPPED"), True),
)

USE = (
    Case("truncated bundle", "augan inspect RUN", made.bundle_bytes(made.cut)),
    Case("one bit of a bundle flipped", "augan inspect RUN", made.bundle_bytes(made.flipped)),
    Case("no bundle", "augan inspect c.yaml", made.text("c.yaml", "seed: 1\n")),
    Case(
        "damaged bundle beside a good one", "augan generate --n 3 --out made", made.two_runs, True
    ),
    Case(
        "damaged bundle that is named", "augan generate --n 3 --model runs/damaged", made.two_runs
    ),
    Case("no run at all", "augan generate --n 3"),
    Case("unknown class", "augan augment --class d --n 3 --model RUN"),
    Case("unknown class beside a known one", "augan augment --class a --class d --n 3 --model RUN"),
    Case("n = 0", "augan augment --class a --n 0 --model RUN"),
    Case("no n", "augan augment --class a --model RUN"),
    Case("n beside --balance", "augan augment --balance --n 3 --model RUN"),
    Case("nothing to balance", "augan augment --balance --model RUN"),
    Case("unknown method", "augan augment --class a --n 3 --method mix --model RUN"),
    Case("unknown transform", "augan augment --class a --n 3 --transform swirl --model RUN"),
    Case(
        "augment with changed training images",
        "augan augment --class a --n 3 --model RUN --training-data photos",
        made.change,
    ),
    Case(
        "interpolate without codes",
        "augan augment --class a --n 3 --method interpolate --no-filter --model RUN",
        made.without_codes,
    ),
    Case("n < 0", "augan generate --n -3 --model RUN"),
    Case("n that is no number", "augan generate --n many --model RUN"),
    Case("output folder holds other files", "augan generate --n 3 --model RUN --out photos"),
    Case(
        "output folder is a link to itself",
        "augan generate --n 3 --model RUN --out x",
        made.loop("x"),
    ),
    on_disk(
        "disk full: augment",
        "augan augment --class a --n 500 --no-filter --model RUN --out small/made",
        64 * 1024,
        limit=4096,
    ),
    Case("no detector in the bundle", "augan detect photos --model RUN", made.without_detector),
    Case("far = 0", "augan detect photos --model RUN --far 0"),
    Case("far = 1", "augan detect photos --model RUN --far 1"),
    Case("far too small for the calibration images", "augan detect photos --model RUN --far 0.001"),
    Case("two images to detect on", "augan detect bad --model RUN", made.classes(2), True),
    Case(
        "detect after the training images changed",
        "augan detect photos --model RUN",
        made.change,
        True,
    ),
    Case(
        "colour among gray images to detect on",
        "augan detect bad --model RUN",
        made.good_and("x.png", made.colour),
        True,
    ),
    Case(
        "names to detect on that are not UTF-8",
        "augan detect bad --model RUN",
        made.strange_names,
        True,
    ),
    Case("no image to detect on can be used", "augan detect bad --model RUN", made.only_colour),
    Case("images to detect on are missing", "augan detect gone --model RUN"),
    Case("images to detect on are a link to itself", "augan detect x --model RUN", made.loop("x")),
    Case(
        "groups for a calibration that are missing", "augan calibrate RUN photos --groups gone.csv"
    ),
    Case("workers without the extra", f"{DETECT} --workers 2", around=made.without_dask),
    Case("no workers", f"{DETECT} --workers 0"),
    Case("workers beside a scheduler", f"{DETECT} --workers 2 --scheduler tcp://127.0.0.1:9"),
    Case("no scheduler there", f"{DETECT} --scheduler tcp://127.0.0.1:9"),
    Case("shard out of range", f"{DETECT} --shard 2/2"),
    Case("word that is not a shard", f"{DETECT} --shard first"),
    Case("a shard decides nothing", f"{DETECT} --shard 0/2 --fail-on-anomaly"),
    Case("merge shards of different runs", MERGE, made.shards("0/2", "1/2 --far 0.5")),
    Case("merge without all shards", "augan merge NEW s0", made.shards("0/2")),
    Case("merge one shard twice", "augan merge NEW s0 s0", made.shards("0/1")),
    Case("merge a folder that is not a shard", "augan merge NEW photos"),
    Case("merge after the images changed", MERGE, made.shards_then(made.change, "0/2", "1/2")),
    on_disk("disk full: shard", f"{DETECT} --shard 0/1 --out small/s", 1024),
    on_disk("disk full: detect", "augan detect photos --model RUN --out small/scores", 4096),
)

MACHINES = (
    Case("TF_CONFIG that is not JSON", PLAIN, around=workers.told("{'cluster'")),
    Case("TF_CONFIG without a cluster", PLAIN, around=workers.told('{"task": {}}')),
    Case(
        "TF_CONFIG without a task", PLAIN, around=workers.told('{"cluster": {"worker": ["a:1"]}}')
    ),
    Case("TF_CONFIG of an unknown task", PLAIN, around=workers.told(workers.cluster(0, "judge"))),
    Case(
        "TF_CONFIG of a parameter server",
        PLAIN,
        around=workers.told(workers.cluster(0, "ps", worker=["a:1"], ps=["a:2"])),
    ),
    Case("TF_CONFIG with an index out of range", PLAIN, around=workers.told(workers.cluster(2))),
    Case(
        "TF_CONFIG with an address without a port",
        PLAIN,
        around=workers.told(workers.cluster(worker=["a", "b"])),
    ),
    Case("--distribute everywhere", f"{PLAIN} --distribute everywhere"),
    Case("--distribute multiworker without TF_CONFIG", f"{PLAIN} --distribute multiworker"),
    Case("--distribute mirrored with one device", f"{PLAIN} --distribute mirrored"),
    Case(
        "a batch that two workers cannot share",
        f"{PLAIN} --set training.batch_size=9",
        run=workers.beside(),
    ),
    Case("workers with other settings", PLAIN, run=workers.beside(more="--seed 7")),
    Case(
        "workers with other images", PLAIN, made.classes(20, 20), run=workers.beside(photos="bad")
    ),
    Case("a worker that is killed while training", LONG, run=workers.killed),
)

EXPORT = "augan export RUN --part detector --out NEW"
EXPORTS = (
    Case("export of a part that the bundle lacks", EXPORT, made.without_detector),
    Case("export of an unknown part", "augan export RUN --part encoder --out NEW"),
    Case("export in an unknown format", f"{EXPORT} --format tflite"),
    Case("export of a method that the bundle lacks", f"{EXPORT} --method anogan"),
    Case("export without onnxruntime", EXPORT, around=without_module("onnxruntime")),
    Case("export into a folder of other files", EXPORT.replace("NEW", "photos")),
    Case(
        "export after the training images changed", f"{EXPORT} --training-data photos", made.change
    ),
    on_disk("disk full: export", EXPORT.replace("NEW", "small/NEW"), 4096),
)

CASES = (*FOLDERS, *ARRAYS, *SETTINGS, *RUNS, *USE, *MACHINES, *EXPORTS)
