"""Kinds of damaged bundles, run folders and command lines."""

import hashlib
import io
import json
from contextlib import redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from augan.augment.manifest import ResumeLog
from augan.bundle import (
    Bundle,
    CalibrationScores,
    DatasetInfo,
    DetectorSection,
    FittedMethod,
    Network,
    NetworkSpec,
    inspect_bundle,
    load_bundle,
    save_bundle,
)
from augan.bundle.members import content_hash
from augan.config import Config
from augan.data.modalities.images import ImagePreprocessing
from augan.evaluation.augmentation.results_log import PredictionLog
from augan.exceptions import AuganError
from augan.io.images import write_png
from augan.io.layout import (
    BUNDLE_FILE,
    METRICS_LOG_FILE,
    PREDICTIONS_FILE,
    RESUME_LOG_FILE,
    RUN_FILE,
)
from augan.training.checkpoints import Checkpoints
from augan.training.run_folder import RunFolder, find_bundle
from augan_cli.main import app
from tools.robustness.fuzz.inputs import Kind
from tools.robustness.fuzz.mutations import (
    VALUES,
    Rng,
    mutate_bytes,
    mutate_text,
    mutate_tree,
    one,
    unzipped,
    zipped,
)

NAMES = ("../x", "/etc/x", "a/../../x", "x\\y", "networks/", "manifest.json", "extra.npz", ".x")
IDENTITY = {"seed": 0, "gan.loss": "hinge", "data": "1234"}
RUN_FILES = (RUN_FILE, METRICS_LOG_FILE, RESUME_LOG_FILE, PREDICTIONS_FILE, BUNDLE_FILE)


@cache
def bundle() -> bytes:
    """Return a small bundle of untrained networks."""
    rng = np.random.default_rng(0)
    arguments = {"image_shape": [8, 8, 1], "latent_dim": 3, "num_classes": 2}
    spec = NetworkSpec("mlp", "generator", arguments)
    weights = {"generator/numbers/kernel": rng.normal(size=(3, 4)).astype(np.float32)}
    example = Bundle(
        config=Config().replace(gan__loss="hinge", detect__far=0.05),
        data=DatasetInfo("caps", 11, "x", class_names=("a", "b"), class_counts=(5, 6)),
        preprocessing=ImagePreprocessing(8, 1, "uint8", 0.0, 255.0),
        networks={"generator": Network(spec, weights)},
        detector=DetectorSection(
            (
                FittedMethod(
                    "auto",
                    ("feature_neighbors",),
                    {"mean": np.arange(3.0)},
                    CalibrationScores(np.arange(20.0), 20),
                ),
            )
        ),
        created="2026-01-02T03:04:05+00:00",
        versions={"augan": "0.1.0"},
    )
    return to_bytes(example)


def to_bytes(bundle: Bundle) -> bytes:
    """Return the bytes of a saved bundle."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return save_bundle(bundle, folder).read_bytes()


def mutated_bundle(rng: Rng, raw: bytes) -> bytes:
    """Return a bundle with mutated bytes, member names or content of a member.

    Most mutated bundles have valid hashes, so that only checks of the content can find the damage.
    """
    if rng.random() < 0.25:
        return mutate_bytes(rng, raw, [raw])
    members = unzipped(raw)
    name = one(rng, list(members))
    kind = rng.random()
    if kind < 0.1:
        members[one(rng, NAMES)] = members.pop(name) if rng.random() < 0.5 else b"{}"
    elif kind < 0.15:
        del members[name]
    elif kind < 0.2:
        members[name] = bytes(
            int(rng.integers(1, 4)) << 20
        )  # a small decompression bomb where compressed
    elif name.endswith(".json"):
        members[name] = json.dumps(mutate_tree(rng, json.loads(members[name]))).encode()
    elif name.endswith(".npz") and rng.random() < 0.7:
        members[name] = _mutated_arrays(rng, members[name])
    else:
        members[name] = _mutated_tensors(rng, members[name])
    if rng.random() < 0.85 and name != "manifest.json":
        members = with_hashes(members)
    return zipped(members, rng)


def _mutated_arrays(rng: Rng, raw: bytes) -> bytes:
    with np.load(io.BytesIO(raw)) as file:
        arrays = {name: file[name] for name in file.files}
    if not arrays or rng.random() < 0.2:
        members = unzipped(raw)
        if members:
            name = one(rng, list(members))
            members[name] = mutate_bytes(rng, members[name], [raw])
        return zipped(members, rng)
    name = one(rng, list(arrays))
    value, kind = arrays[name], int(rng.integers(6))
    if kind == 0:
        arrays[name] = value.ravel()[: int(rng.integers(value.size + 1))]
    elif kind == 1:
        arrays[name] = value[None] if rng.random() < 0.5 else value.T.copy()
    elif kind == 2:
        with np.errstate(all="ignore"):
            arrays[name] = value.astype(one(rng, ("i1", "u8", "f2", "f8", "?", "U3")))
    elif kind == 3 and value.dtype.kind == "f" and value.size:
        value = value.copy()
        value.ravel()[int(rng.integers(value.size))] = one(rng, (np.nan, np.inf, -np.inf, 1e300))
        arrays[name] = value
    elif kind == 4:
        del arrays[name]
    else:
        arrays[name] = np.full_like(value, one(rng, (0, 1)))
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _mutated_tensors(rng: Rng, raw: bytes) -> bytes:
    length = int.from_bytes(raw[:8], "little")
    if rng.random() < 0.4 or not raw[8 : 8 + length].strip().startswith(b"{"):
        return mutate_bytes(rng, raw)
    header = json.dumps(mutate_tree(rng, json.loads(raw[8 : 8 + length]))).encode()
    return len(header).to_bytes(8, "little") + header + raw[8 + length :]


def with_hashes(members: dict[str, bytes]) -> dict[str, bytes]:
    """Return members with a manifest that has their hashes."""
    try:
        manifest = json.loads(members["manifest.json"])
        versions = dict(manifest["versions"])
    except (KeyError, TypeError, ValueError):
        return members  # the manifest is too damaged to hold hashes
    others = {name: raw for name, raw in members.items() if name != "manifest.json"}
    hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in others.items()}
    sizes = {name: {"size": len(raw), "sha256": hashes[name]} for name, raw in others.items()}
    manifest |= {"files": sizes, "sha256": content_hash(hashes, versions)}
    return {**others, "manifest.json": json.dumps(manifest).encode()}


def process_bundle(raw: bytes, folder: Path) -> None:
    """Load, inspect and save a bundle."""
    (folder / BUNDLE_FILE).write_bytes(raw)
    bundle = load_bundle(folder)
    json.dumps(inspect_bundle(folder), default=str)
    for part in ("generator", "classes", "detector", "latents"):
        bundle.has(part)
    save_bundle(bundle, folder / "again")


def _make_run(rng: Rng) -> bytes:
    name = one(rng, (*RUN_FILES[:-1], "checkpoint"))
    if name == "checkpoint":
        raw = _mutated_tensors(rng, _checkpoint())
    else:
        lines = [json.dumps(line) for line in _lines(name)]
        at = int(rng.integers(len(lines)))
        if rng.random() < 0.6:
            lines[at] = json.dumps(mutate_tree(rng, json.loads(lines[at])))
        text = "\n".join([*lines, ""])
        raw = mutate_text(rng, text) if rng.random() < 0.5 else text.encode("utf-8")
    return json.dumps([name, raw.hex()]).encode()


def _lines(name: str) -> list[dict[str, Any]]:
    if name == RUN_FILE:
        return [dict(IDENTITY)]
    if name == METRICS_LOG_FILE:
        return [{"stage": "gan", "step": step, "loss": 0.5} for step in (10, 20, 30)]
    if name == PREDICTIONS_FILE:
        row = {
            "repeat": 0,
            "arm": "real",
            "metadata": {"balanced_accuracy": 0.5},
            "predicted": "eJwDAAAAAAE=",
        }
        return [{"identity": IDENTITY}, row]
    row = {
        "file": "a/000001.png",
        "class_name": "a",
        "index": 1,
        "decision": "accepted",
        "sources": [],
    }
    chunk = {"class_index": 0, "chunk_index": 0, "decisions": ["accepted"], "rows": [row]}
    return [dict(IDENTITY), chunk]


@cache
def _checkpoint() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Checkpoints(Path(folder)).save("gan", 20, [np.zeros((2, 3), np.float32)])
        return (Path(folder) / "gan.safetensors").read_bytes()


class _Variable:
    shape = (2, 3)

    def assign(self, value: np.ndarray) -> None:
        if value.shape != self.shape:
            raise AssertionError("assigned a value with a different shape")


def _process_run(raw: bytes, folder: Path) -> None:
    name, content = json.loads(raw)
    run = folder / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / RUN_FILE).write_text(json.dumps(IDENTITY), "utf-8")
    target = run / "checkpoints" / "gan.safetensors" if name == "checkpoint" else run / name
    target.write_bytes(bytes.fromhex(content))
    if name == RESUME_LOG_FILE:
        ResumeLog(run, dict(IDENTITY)).find(0, 0)
    elif name == PREDICTIONS_FILE:
        log = PredictionLog(run, dict(IDENTITY))
        try:
            if log.get(0, "real") is not None:
                log.metadata(0, "real")
        finally:
            log.close()
    else:
        folder = RunFolder(run, "digits", dict(IDENTITY), resume=True)
        try:
            checkpoints = Checkpoints(folder.checkpoints)
            folder.truncate_log(checkpoints.steps())
            checkpoints.restore("gan", [_Variable()])
        finally:
            folder.close()
    find_bundle(run)


_WORDS = (
    *("train", "augment", "generate", "detect", "calibrate", "inspect", "evaluate", "detection"),
    *(
        "augmentation",
        "photos",
        "photos/a",
        "c.yaml",
        "x.csv",
        "bad.augan",
        "RUN",
        "digits",
        "nowhere",
    ),
    *("--n", "--class", "--model", "--out", "--seed", "--far", "--fdr", "--set", "--config"),
    *(
        "--labels",
        "--method",
        "--transform",
        "--format",
        "--balance-to",
        "--balance",
        "--save-maps",
    ),
    *("--json", "--groups", "--target", "--task", "--steps", "--max-minutes", "--resume", "--help"),
    *("--ignore-mask", "--rare", "--repeats", "--masks", "--debug", "--version"),
    *("--cross-conformal", "0", "-1", "3", "0.05"),
    *("1e999", "nan", "gan.loss=hinge", "a=1", "folders", "", "--", "é", "\ud800", "x" * 5000),
)


def _make_command(rng: Rng) -> bytes:
    words = [one(rng, _WORDS[:9])] if rng.random() < 0.9 else []
    words += [one(rng, _WORDS) for _ in range(int(rng.integers(0, 8)))]
    if rng.random() < 0.1:
        words.append(str(one(rng, VALUES)))
    return json.dumps(words).encode()


def _process_command(raw: bytes, folder: Path) -> None:
    from contextlib import chdir

    words = json.loads(raw)
    if "train" in words:
        words.append("--dry-run")  # a valid training would take minutes
    words = [word for word in words if word not in ("--debug", "augmentation")]
    for name in "ab":
        for number in range(3):
            path = folder / "photos" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, np.full((8, 8), 40 * number, np.uint8))
    (folder / "c.yaml").write_text("seed: 1\n", "utf-8")
    (folder / "x.csv").write_text("path,label\na/0.png,normal\n", "utf-8")
    (folder / "bad.augan").write_bytes(bundle()[:-5])
    (folder / "RUN").mkdir()
    (folder / "RUN" / BUNDLE_FILE).write_bytes(bundle())
    with chdir(folder), redirect_stderr(io.StringIO()):
        result = CliRunner().invoke(app, words, standalone_mode=True)
    if result.exit_code not in (0, 1, 2):
        raise AssertionError(f"exit code {result.exit_code}")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if "error: unexpected" in result.output or "Traceback" in result.output:
        raise AssertionError(result.output[-500:])
    if result.exit_code:
        raise AuganError(result.output[-200:])


KINDS = {
    "bundles": Kind(lambda rng: mutated_bundle(rng, bundle()), process_bundle),
    "runs": Kind(_make_run, _process_run),
    "commands": Kind(_make_command, _process_command),
}
