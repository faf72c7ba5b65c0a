"""Bad inputs, each with the command that reads it and the expected outcome."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from tools.robustness.bad_inputs import fixtures, workers
from tools.robustness.bad_inputs.environments import (
    CommandResult,
    on_small_disk,
    small_cache,
    small_disk,
    without_privileges,
)

TRAIN_BAD = "augan train bad --out NEW"
RESUME_STOPPED = "augan train photos --out STOPPED --resume"
TRAIN_GENERATOR = "augan train bad --out NEW --task generate"
RESUME_RUN = "augan train photos --out RUN --resume"
TRAIN_PHOTOS = "augan train photos --out NEW"
DETECT = "augan detect photos --model RUN"
MERGE = "augan merge NEW s0 s1"
TRANSLATE = "augan train photos --translate-to bad --out NEW"
TRAIN_LONG = "augan train photos --out NEW --steps 1000 --task generate"


@contextmanager
def _no_environment(folder: Path) -> Iterator[None]:
    yield


def _no_preparation(folder: Path) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A bad input and the command that reads it.

    Attributes
    ----------
    name, command
        The first two columns of the table.
    prepare
        Creates the bad input in the folder of the case, a copy of the template.
    succeeds
        Whether the command must succeed with exit code 0; otherwise it must fail with exit code 2.
    run
        Runs the arguments of the command in the folder. None: the command runs in this process.
    environment
        Context manager around `prepare` and the command.
    """

    name: str
    command: str
    prepare: Callable[[Path], object] = _no_preparation
    succeeds: bool = False
    run: Callable[[list[str], Path], CommandResult] | None = None
    environment: Callable[[Path], AbstractContextManager[None]] = _no_environment


def without_module(name: str) -> Callable[[Path], AbstractContextManager[None]]:
    """Return an environment in which a module is not installed."""

    @contextmanager
    def environment(folder: Path) -> Iterator[None]:
        with mock.patch.dict(sys.modules, {name: None}):
            yield

    return environment


def on_disk(
    name: str,
    command: str,
    size: int,
    prepare: Callable[[Path], object] = _no_preparation,
    disk: Callable[[int], Callable[[Path], AbstractContextManager[None]]] = small_disk,
    limit: int | None = None,
) -> Case:
    """Return a case with a disk of `size` bytes, mounted as `small`.

    Where mounting is not permitted, no file may grow beyond `limit` bytes (None: `size`).
    """
    run = on_small_disk(fixtures.invoke, limit or size)
    return Case(name, command, prepare, run=run, environment=disk(size))


FOLDERS = (
    Case("empty folder", TRAIN_BAD, fixtures.empty_folder),
    Case("folder without images", TRAIN_BAD, fixtures.only_text),
    Case("folder without readable images", TRAIN_BAD, fixtures.damaged_images(0)),
    Case(
        "truncated, empty and misnamed files: less than 10%",
        TRAIN_GENERATOR,
        fixtures.damaged_images(30),
        True,
    ),
    Case(
        "truncated, empty and misnamed files: more than 10%",
        TRAIN_GENERATOR,
        fixtures.damaged_images(20),
    ),
    Case(
        "decompression bomb among readable images",
        TRAIN_GENERATOR,
        fixtures.valid_images_and("bomb.png", fixtures.bomb),
        True,
    ),
    Case("decompression bomb as the only image", TRAIN_BAD, fixtures.only_bomb),
    Case(
        "folder that contains a link to itself",
        TRAIN_GENERATOR,
        fixtures.valid_images_and("again", fixtures.link(".")),
        True,
    ),
    Case(
        "image that is a link to itself",
        TRAIN_GENERATOR,
        fixtures.valid_images_and("x.png", fixtures.link("x.png")),
        True,
    ),
    Case(
        "image that is a dangling link",
        TRAIN_GENERATOR,
        fixtures.valid_images_and("x.png", fixtures.link("gone.png")),
        True,
    ),
    Case("data folder that is a link to itself", TRAIN_BAD, fixtures.link_to_itself("bad")),
    Case("file names that are not UTF-8", TRAIN_GENERATOR, fixtures.names_not_utf8, True),
    Case("images of mixed sizes", TRAIN_GENERATOR, fixtures.mixed_sizes, True),
    Case(
        "images of mixed modes: gray, RGB, RGBA, palette, 16 bits",
        TRAIN_GENERATOR,
        fixtures.mixed_modes,
        True,
    ),
    Case(
        "image of 1 x 5000 pixels among other images",
        TRAIN_GENERATOR,
        fixtures.valid_images_and("x.png", fixtures.thin_image),
        True,
    ),
    Case("one image", TRAIN_BAD, fixtures.class_folders(1)),
    Case("one class with one image", TRAIN_BAD, fixtures.class_folders(30, 1), True),
    Case("one image in every class", TRAIN_BAD, fixtures.class_folders(*[1] * 8)),
    Case(
        "no read permission: one image",
        TRAIN_GENERATOR,
        fixtures.without_permission("bad/in/003.png", 0),
        True,
        without_privileges,
    ),
    Case(
        "no read permission: folder",
        TRAIN_BAD,
        fixtures.without_permission("bad/out", 0),
        run=without_privileges,
    ),
    Case(
        "images changed during training",
        TRAIN_LONG,
        succeeds=True,
        run=fixtures.change_images_during_training,
    ),
)

ARRAYS = (
    Case(
        "NaN in float images",
        "augan train bad.npz --out NEW",
        fixtures.npz_file(x=fixtures.images_with_nan()),
    ),
    Case(
        "pickle in an npz file",
        "augan train bad.npz --out NEW",
        fixtures.npz_file(x=np.array([{"a": 1}], object)),
    ),
    Case(
        "fewer labels than images",
        "augan train bad.npz --out NEW",
        fixtures.npz_file(x=np.zeros((30, 8, 8), np.uint8), y=np.zeros(29)),
    ),
    Case(
        "more labels than images",
        "augan train bad.npz --out NEW",
        fixtures.npz_file(x=np.zeros((5, 8, 8), np.uint8), y=np.arange(9)),
    ),
    Case(
        "text in an npz file", "augan train bad.npz --out NEW", fixtures.file_of("bad.npz", "x,y\n")
    ),
    Case("unknown dataset name", "augan train fashon-mnist --out NEW"),
    Case("data in a home folder that does not exist", "augan train ~no-such-user/x --out NEW"),
)

SETTINGS = (
    Case(
        "unknown key in YAML",
        f"{TRAIN_BAD} --config c.yaml",
        fixtures.file_of("c.yaml", "gan:\n  los: hinge\n"),
    ),
    Case("unknown key in --set", f"{TRAIN_BAD} --set training.stepz=3"),
    Case(
        "wrong type in YAML",
        f"{TRAIN_BAD} --config c.yaml",
        fixtures.file_of("c.yaml", "gan:\n  ema: [much]\n"),
    ),
    Case("broken YAML", f"{TRAIN_BAD} --config c.yaml", fixtures.file_of("c.yaml", "gan: [\n")),
    Case(
        "configuration file that is not UTF-8",
        f"{TRAIN_BAD} --config c.yaml",
        fixtures.file_of("c.yaml", b"\xff\xfe\x00"),
    ),
    Case("missing configuration file", f"{TRAIN_BAD} --config c.yaml"),
    Case(
        "train with a false-alarm rate too small for the images",
        f"{TRAIN_PHOTOS} --set detect.far=0.01",
    ),
    Case(
        "--cross-conformal with too few images",
        f"{TRAIN_BAD} --task detect --cross-conformal",
        fixtures.class_folders(24),
    ),
    Case(
        "--cross-conformal for a task that trains a generator",
        "augan train photos --out NEW --cross-conformal",
    ),
    Case(
        "refused combination of settings",
        f"{TRAIN_BAD.replace('bad', 'photos')} --set gan.loss=wasserstein",
    ),
)

RUNS = (
    Case("--out that is an existing run", "augan train photos --out RUN"),
    Case(
        "--out that is a file",
        "augan train photos --out c.yaml",
        fixtures.file_of("c.yaml", "seed: 1\n"),
    ),
    Case("--out below a file", "augan train photos --out c.yaml/x", fixtures.file_of("c.yaml", "")),
    Case(
        "--out that is a link to itself", "augan train photos --out x", fixtures.link_to_itself("x")
    ),
    Case(
        "no write permission: parent of --out",
        "augan train bad --out bad/out/NEW",
        fixtures.without_permission("bad/out", 0o555),
        run=without_privileges,
    ),
    Case(
        "second training in the same run folder (the first left the files)",
        f"{TRAIN_LONG} --resume",
        run=fixtures.start_second_training,
    ),
    Case("Ctrl-C during training", TRAIN_LONG, run=fixtures.interrupt_training),
    Case("resume with changed images", RESUME_RUN, fixtures.change_images),
    Case("resume with changed settings", f"{RESUME_RUN} --seed 7"),
    Case(
        "resume with a flipped bit in a checkpoint",
        RESUME_STOPPED,
        fixtures.unfinished_run_with_flipped_bit,
    ),
    Case("resume of a folder without a run", "augan train photos --out photos --resume"),
    on_disk("disk full: decoded images", TRAIN_BAD, 8192, fixtures.large_image_files, small_cache),
    on_disk("disk full: run folder", "augan train photos --out small/NEW", 4096),
    on_disk("disk full: checkpoint", "augan train photos --out small/NEW", 24 * 1024),
    on_disk(
        "disk full: bundle",
        "augan train photos --out small/STOPPED --resume",
        120 * 1024,
        fixtures.unfinished_run("small/STOPPED", spare=16 * 1024),
        limit=16 * 1024,
    ),
    Case(
        "resume of the same run after space was freed",
        RESUME_STOPPED,
        fixtures.unfinished_run("STOPPED"),
        True,
    ),
)

TRANSLATIONS = (
    Case("new camera: the folder of the old camera", TRANSLATE.replace("bad", "photos")),
    Case("new camera: copied images of the old camera", TRANSLATE, fixtures.copied_camera),
    Case("new camera: no class in common", TRANSLATE, fixtures.new_camera("x", "y")),
    Case("new camera: one image", TRANSLATE, fixtures.new_camera("a", count=1)),
    Case("new camera: no labels, few images", TRANSLATE, fixtures.new_camera(""), True),
    Case("new camera: classes in upper case", TRANSLATE, fixtures.new_camera("A", "b"), True),
    Case(
        "new camera: a table",
        TRANSLATE.replace("bad", "bad.csv"),
        fixtures.file_of("bad.csv", "x,y\n" + "1,2\n" * 30),
    ),
    Case(
        "new camera: other task",
        f"{TRANSLATE} --task detect",
        fixtures.new_camera("a", "b"),
    ),
    Case(
        "new camera: table of classes with an unknown class",
        f"{TRANSLATE} --class-map classes.csv",
        fixtures.new_camera_and_class_map("old,new\na,x\nd,y\n"),
    ),
    Case(
        "new camera: table of classes with other columns",
        f"{TRANSLATE} --class-map classes.csv",
        fixtures.new_camera_and_class_map("from,to\nx,a\n"),
    ),
    Case(
        "new camera: table of classes with two meanings",
        f"{TRANSLATE} --class-map classes.csv",
        fixtures.new_camera_and_class_map("old,new\na,x\nb,x\n"),
    ),
    Case("new camera: none for task translate", f"{TRAIN_PHOTOS} --task translate"),
    Case("new camera: table of classes alone", f"{TRAIN_PHOTOS} --class-map classes.csv"),
    on_disk(
        "disk full: translation",
        TRANSLATE.replace("NEW", "small/NEW"),
        24 * 1024,
        fixtures.new_camera("a", "b"),
    ),
)

USE = (
    Case("truncated bundle", "augan inspect RUN", fixtures.edit_bundle(fixtures.truncate)),
    Case("bundle with a flipped bit", "augan inspect RUN", fixtures.edit_bundle(fixtures.flip_bit)),
    Case(
        "file that is not a bundle", "augan inspect c.yaml", fixtures.file_of("c.yaml", "seed: 1\n")
    ),
    Case(
        "damaged bundle next to an intact bundle",
        "augan generate --n 3 --out made",
        fixtures.intact_and_damaged_run,
        True,
    ),
    Case(
        "damaged bundle given with --model",
        "augan generate --n 3 --model runs/damaged",
        fixtures.intact_and_damaged_run,
    ),
    Case("generate without a run", "augan generate --n 3"),
    Case("unknown class", "augan augment --class d --n 3 --model RUN"),
    Case(
        "unknown class together with a known class",
        "augan augment --class a --class d --n 3 --model RUN",
    ),
    Case("--n that is 0", "augan augment --class a --n 0 --model RUN"),
    Case("missing --n", "augan augment --class a --model RUN"),
    Case("--n together with --balance", "augan augment --balance --n 3 --model RUN"),
    Case("--balance of balanced classes", "augan augment --balance --model RUN"),
    Case("unknown method", "augan augment --class a --n 3 --method mix --model RUN"),
    Case("unknown transform", "augan augment --class a --n 3 --transform swirl --model RUN"),
    Case(
        "augment with changed training images",
        "augan augment --class a --n 3 --model RUN --training-data photos",
        fixtures.change_images,
    ),
    Case(
        "interpolation without stored latents",
        "augan augment --class a --n 3 --method interpolate --no-filter --model RUN",
        fixtures.without_latents,
    ),
    Case("--n that is negative", "augan generate --n -3 --model RUN"),
    Case("--n that is not a number", "augan generate --n many --model RUN"),
    Case("output folder with other files", "augan generate --n 3 --model RUN --out photos"),
    Case(
        "output folder that is a link to itself",
        "augan generate --n 3 --model RUN --out x",
        fixtures.link_to_itself("x"),
    ),
    on_disk(
        "disk full: augment",
        "augan augment --class a --n 500 --no-filter --model RUN --out small/made",
        64 * 1024,
        limit=4096,
    ),
    Case("bundle without a detector", "augan detect photos --model RUN", fixtures.without_detector),
    Case("--far that is 0", "augan detect photos --model RUN --far 0"),
    Case("--far that is 1", "augan detect photos --model RUN --far 1"),
    Case(
        "--far too small for the calibration images", "augan detect photos --model RUN --far 0.001"
    ),
    Case("two images for detect", "augan detect bad --model RUN", fixtures.class_folders(2), True),
    Case(
        "detect after the training images changed",
        "augan detect photos --model RUN",
        fixtures.change_images,
        True,
    ),
    Case(
        "color image among gray images for detect",
        "augan detect bad --model RUN",
        fixtures.valid_images_and("x.png", fixtures.color_image),
        True,
    ),
    Case(
        "file names for detect that are not UTF-8",
        "augan detect bad --model RUN",
        fixtures.names_not_utf8,
        True,
    ),
    Case(
        "only unusable images for detect", "augan detect bad --model RUN", fixtures.only_color_image
    ),
    Case("missing images for detect", "augan detect gone --model RUN"),
    Case(
        "image folder for detect that is a link to itself",
        "augan detect x --model RUN",
        fixtures.link_to_itself("x"),
    ),
    Case("missing groups file for calibrate", "augan calibrate RUN photos --groups gone.csv"),
    Case("--workers without Dask", f"{DETECT} --workers 2", environment=fixtures.without_dask),
    Case("--workers that is 0", f"{DETECT} --workers 0"),
    Case(
        "--workers together with --scheduler", f"{DETECT} --workers 2 --scheduler tcp://127.0.0.1:9"
    ),
    Case(
        "--scheduler at an address without a scheduler", f"{DETECT} --scheduler tcp://127.0.0.1:9"
    ),
    Case("--shard out of range", f"{DETECT} --shard 2/2"),
    Case("--shard that is not a shard", f"{DETECT} --shard first"),
    Case("--shard together with --fail-on-anomaly", f"{DETECT} --shard 0/2 --fail-on-anomaly"),
    Case("merge of shards of different commands", MERGE, fixtures.shards("0/2", "1/2 --far 0.5")),
    Case("merge without all shards", "augan merge NEW s0", fixtures.shards("0/2")),
    Case("merge of the same shard twice", "augan merge NEW s0 s0", fixtures.shards("0/1")),
    Case("merge of a folder that is not a shard", "augan merge NEW photos"),
    Case(
        "merge after the images changed",
        MERGE,
        fixtures.shards_and_change(fixtures.change_images, "0/2", "1/2"),
    ),
    on_disk("disk full: shard", f"{DETECT} --shard 0/1 --out small/s", 1024),
    on_disk("disk full: detect", "augan detect photos --model RUN --out small/scores", 4096),
)

MACHINES = (
    Case(
        "TF_CONFIG that is not JSON", TRAIN_PHOTOS, environment=workers.with_tf_config("{'cluster'")
    ),
    Case(
        "TF_CONFIG without a cluster",
        TRAIN_PHOTOS,
        environment=workers.with_tf_config('{"task": {}}'),
    ),
    Case(
        "TF_CONFIG without a task",
        TRAIN_PHOTOS,
        environment=workers.with_tf_config('{"cluster": {"worker": ["a:1"]}}'),
    ),
    Case(
        "TF_CONFIG with an unknown task type",
        TRAIN_PHOTOS,
        environment=workers.with_tf_config(workers.tf_config(0, "trainer")),
    ),
    Case(
        "TF_CONFIG with a parameter server",
        TRAIN_PHOTOS,
        environment=workers.with_tf_config(workers.tf_config(0, "ps", worker=["a:1"], ps=["a:2"])),
    ),
    Case(
        "TF_CONFIG with an index out of range",
        TRAIN_PHOTOS,
        environment=workers.with_tf_config(workers.tf_config(2)),
    ),
    Case(
        "TF_CONFIG with an address without a port",
        TRAIN_PHOTOS,
        environment=workers.with_tf_config(workers.tf_config(worker=["a", "b"])),
    ),
    Case("--distribute with an unknown strategy", f"{TRAIN_PHOTOS} --distribute everywhere"),
    Case("--distribute multiworker without TF_CONFIG", f"{TRAIN_PHOTOS} --distribute multiworker"),
    Case("--distribute mirrored with one device", f"{TRAIN_PHOTOS} --distribute mirrored"),
    Case(
        "batch size that two workers cannot split",
        f"{TRAIN_PHOTOS} --set training.batch_size=9",
        run=workers.with_second_worker(),
    ),
    Case(
        "workers with different settings",
        TRAIN_PHOTOS,
        run=workers.with_second_worker(extra="--seed 7"),
    ),
    Case(
        "workers with different images",
        TRAIN_PHOTOS,
        fixtures.class_folders(20, 20),
        run=workers.with_second_worker(photos="bad"),
    ),
    Case("worker that is killed during training", TRAIN_LONG, run=workers.kill_second_worker),
)

EXPORT = "augan export RUN --part detector --out NEW"
EXPORTS = (
    Case("export of a part that the bundle does not contain", EXPORT, fixtures.without_detector),
    Case("export of an unknown part", "augan export RUN --part encoder --out NEW"),
    Case("export in an unknown format", f"{EXPORT} --format tflite"),
    Case("export of a method that the bundle does not contain", f"{EXPORT} --method anogan"),
    Case("export without onnxruntime", EXPORT, environment=without_module("onnxruntime")),
    Case("export into a folder with other files", EXPORT.replace("NEW", "photos")),
    Case(
        "export after the training images changed",
        f"{EXPORT} --training-data photos",
        fixtures.change_images,
    ),
    on_disk("disk full: export", EXPORT.replace("NEW", "small/NEW"), 4096),
)

CASES = (*FOLDERS, *ARRAYS, *SETTINGS, *RUNS, *TRANSLATIONS, *USE, *MACHINES, *EXPORTS)
