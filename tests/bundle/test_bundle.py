"""The bundle file: what goes in comes out, and whatever was damaged or forged is refused."""

import hashlib
import io
import json
import os
import stat
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augan.bundle import (
    Bundle,
    BundleMetrics,
    CalibrationScores,
    DatasetInfo,
    DetectorSection,
    FittedMethod,
    Latents,
    Network,
    NetworkSpec,
    Splits,
    assign_weights,
    bundle_errors,
    inspect_bundle,
    load_bundle,
    read_weights,
    save_bundle,
    serialization,
)
from augan.bundle.archive import write_zip
from augan.bundle.members import content_hash, member_hashes
from augan.config import Config
from augan.data.modalities.images import ImagePreprocessing
from augan.exceptions import AuganError, BundleError, DataError
from augan.io.layout import BUNDLE_FILE
from tests._helpers import with_method

CREATED = "2026-01-02T03:04:05+00:00"


def make_bundle(**changes: Any) -> Bundle:
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {
        "generator/project/kernel": rng.normal(size=(3, 4)).astype(np.float32),
        "generator/count": np.asarray(7, np.int64),
        "generator/empty": np.zeros((0, 3), np.float32),
    }
    arguments = {"image_shape": [8, 8, 1], "latent_dim": 3, "num_classes": 2}
    spec = NetworkSpec("dcgan", "generator", arguments)
    content: dict[str, Any] = {
        "config": Config().replace(seed=3, training__steps=10),
        "data": DatasetInfo("caps", 9, class_names=("gut", "Ölfleck"), class_counts=(5, 4)),
        "preprocessing": ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8)),
        "networks": {"generator": Network(spec, weights)},
        "splits": Splits(np.arange(5), np.arange(5, 7), np.arange(7, 9)),
        "latents": Latents(np.arange(5), rng.normal(size=(5, 3)).astype(np.float16)),
        "detector": DetectorSection(
            (
                FittedMethod(
                    "anogan",
                    ("pixel",),
                    {"steps": np.asarray(7), "names": np.array(["a", "größer"])},
                    CalibrationScores(np.arange(6.0), 6),
                ),
            ),
            trim_fraction=0.05,
            ignore_mask=np.eye(8, dtype=bool),
        ),
        "metrics": BundleMetrics(steps={"gan": 20}, warnings=("few images",)),
        "created": CREATED,
        "versions": {"augan": "0.1.0", "python": "3.11.7"},
    }
    return Bundle(**(content | changes))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_bundle(make_bundle(), tmp_path / BUNDLE_FILE)


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forge(path: Path, changes: dict[str, bytes | None], **manifest_changes: Any) -> Path:
    """Change members of the bundle as an attacker would: with a manifest that fits them."""
    members = members_of(path)
    manifest = json.loads(members.pop("manifest.json"))
    members = {name: raw for name, raw in (members | changes).items() if raw is not None}
    hashes = member_hashes(members)
    manifest["files"] = {n: {"size": len(members[n]), "sha256": hashes[n]} for n in members}
    manifest["sha256"] = content_hash(hashes, manifest["versions"])
    members["manifest.json"] = json.dumps(manifest | manifest_changes).encode()
    with path.open("wb") as stream:
        write_zip(stream, members)
    return path


def npz(**members: bytes) -> bytes:
    stream = io.BytesIO()
    write_zip(stream, {f"{name}.npy": raw for name, raw in members.items()})
    return stream.getvalue()


def npy(array: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), **options)
    return stream.getvalue()


def refused(path: Path, words: str) -> None:
    for function in (load_bundle, inspect_bundle):
        with pytest.raises(BundleError, match=words) as caught:
            function(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500 + len(str(path))


# What goes in comes out


def test_round_trip(saved: Path) -> None:
    loaded = load_bundle(saved)
    assert str(saved) in repr(loaded)
    assert len(repr(loaded)) < 200 + len(str(saved))  # not the arrays
    assert make_bundle() == loaded
    assert loaded.path == saved
    assert loaded.sha256 == make_bundle().sha256
    assert all(value.flags.writeable for value in loaded.networks["generator"].weights.values())
    assert loaded == load_bundle(saved.parent)  # the run folder will do


def test_bytes_are_deterministic_and_id_ignores_created(tmp_path: Path) -> None:
    one = make_bundle()
    method = one.require_detector().methods[0]
    state = dict(reversed(method.state.items()))
    backwards = with_method(one, state=state)
    paths = [save_bundle(b, tmp_path / str(i)) for i, b in enumerate((one, backwards))]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    later = make_bundle(created="2030-01-01T00:00:00+00:00")
    assert later.bundle_id == one.bundle_id
    assert len(one.bundle_id) == 12
    assert make_bundle(metrics=BundleMetrics(steps={"gan": 8})).bundle_id != one.bundle_id
    assert make_bundle(latents=None).bundle_id != one.bundle_id


def test_saving_normalizes_the_memory_layout(tmp_path: Path) -> None:
    state = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.arange(3, dtype=">i4")}
    bundle = with_method(make_bundle(), state=state)
    loaded = load_bundle(save_bundle(bundle, tmp_path))
    assert loaded.path == bundle.path == tmp_path / BUNDLE_FILE
    stored = loaded.require_detector().methods[0].state
    np.testing.assert_array_equal(stored["a"], state["a"])
    np.testing.assert_array_equal(stored["b"], [0, 1, 2])
    assert loaded.sha256 == bundle.sha256


def test_defaults_are_the_present_time_and_versions() -> None:
    bundle = Bundle(Config(), DatasetInfo("none", 0), ImagePreprocessing(8, 1, "uint8", 0.0, 255.0))
    assert bundle.created.endswith("+00:00")
    assert bundle.versions["numpy"] == np.__version__


def test_import_and_reading_load_no_heavy_package(saved: Path) -> None:
    code = (
        "import sys; from augan.bundle import *; from augan.bundle import inspect_bundle as i;"
        f"load_bundle({str(saved)!r}); i({str(saved)!r});"
        "heavy = ('tensorflow', 'keras', 'joblib', 'scipy', 'pandas');"
        "sys.exit(any(module in sys.modules for module in heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_inspect(saved: Path) -> None:
    shown = json.loads(json.dumps(inspect_bundle(saved)))
    assert shown["id"] == make_bundle().bundle_id
    assert shown["created"] == CREATED
    assert shown["format_version"] == 3
    assert shown["networks"]["generator"]["parameters"] == 13
    assert shown["networks"]["generator"]["spec"]["architecture"] == "dcgan"
    assert shown["arrays"]["latents"]["latents"] == {"shape": [5, 3], "dtype": "float16"}
    assert shown["arrays"]["detector"]["methods/0/state/steps"] == {"shape": [], "dtype": "int64"}
    assert shown["calibration_size"] == 6
    assert shown["detector"]["methods"][0]["name"] == "anogan"
    assert shown["total_bytes"] == saved.stat().st_size > sum(shown["sizes"].values())
    without = save_bundle(with_method(make_bundle(), calibration=None), saved)
    assert inspect_bundle(without)["calibration_size"] is None


def test_packed_anew_with_compression_is_read(saved: Path) -> None:
    members = members_of(saved)
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    assert make_bundle() == load_bundle(saved)


def test_parts() -> None:
    bundle = make_bundle()
    held = {part for part in ("generator", "classes", "detector", "latents") if bundle.has(part)}
    assert held == {"generator", "classes", "detector", "latents"}
    bundle.require("classes")
    for part in ("encoder", "classifier"):
        with pytest.raises(BundleError, match=f"has no {part}.*train with"):
            bundle.require(part)
    assert not make_bundle(networks={}).has("classes")
    assert not make_bundle(data=DatasetInfo("caps", 9)).has("classes")
    spec = NetworkSpec("dcgan", "generator", {"num_classes": 0})
    assert not make_bundle(networks={"generator": Network(spec, {})}).has("classes")
    with pytest.raises(BundleError, match="no part 'decoder'"):
        bundle.has("decoder")


def test_what_goes_beside_a_bundle_needs_a_saved_one(saved: Path) -> None:
    from augan.augment import job
    from augan.detect import output_paths
    from augan.report.html.training import write_training_page

    assert load_bundle(saved).saved_path() == saved
    assert job.default_out(load_bundle(saved), None, "new") == saved.parent / "new"
    beside: list[Callable[[Bundle], object]] = [
        Bundle.saved_path,
        write_training_page,
        lambda bundle: output_paths.default_output_folder(bundle, "images"),
        lambda bundle: job.default_out(bundle, None, "new"),
    ]
    for of in beside:
        with pytest.raises(BundleError, match=r"never saved.* save it first, or give a folder"):
            of(make_bundle())


# Damage


def outcome(raw: bytes, path: Path, original: Bundle) -> str:
    path.write_bytes(raw)
    try:
        loaded = load_bundle(path)
    except BundleError:
        return "refused"
    assert original == loaded
    return "equal"


def test_no_flipped_byte_changes_the_content(saved: Path) -> None:
    raw, original = saved.read_bytes(), make_bundle()
    rng = np.random.default_rng(1)
    directory = struct.unpack("<L", raw[-6:-2])[0]  # headers are more interesting than content
    positions = [*range(60), *range(0, len(raw), len(raw) // 200), *range(directory, len(raw), 7)]
    outcomes = []
    for position in positions:
        damaged = bytearray(raw)
        damaged[position] ^= int(rng.integers(1, 256))
        outcomes.append(outcome(bytes(damaged), saved, original))
    assert outcomes.count("refused") > 200
    assert outcomes.count("equal") > 10  # times and the like, which nobody reads


def test_every_truncation_is_refused(saved: Path) -> None:
    raw, original = saved.read_bytes(), make_bundle()
    inner_ends = [i + 22 for i in range(len(raw) - 22) if raw[i : i + 4] == b"PK\x05\x06"]
    assert len(inner_ends) == 3  # one for each npz: a whole zip within a cut one
    lengths = {*range(0, len(raw), len(raw) // 150), *range(len(raw) - 40, len(raw)), *inner_ends}
    for length in lengths:
        assert outcome(raw[:length], saved, original) == "refused"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b"x", "not a bundle"),
        (b"\x80\x05cos\nsystem\n", "not a bundle"),
        (b"PK\x03\x04" + b"\0" * 9, "truncated"),
        (b"PK\x05\x06" + b"\0" * 18, "has no manifest"),
    ],
)
def test_other_files(tmp_path: Path, raw: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(raw)
    refused(path, words)


def test_added_bytes(saved: Path) -> None:
    raw = saved.read_bytes()
    for forged in (raw + b"x", b"PK\x03\x04" + raw):
        saved.write_bytes(forged)
        refused(saved, "bytes were added")


def test_places_without_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path / "none", "there is no file or folder")
    refused(tmp_path, "folder without a bundle.augan")
    (tmp_path / BUNDLE_FILE).mkdir()
    refused(tmp_path, "not a regular file")
    path = save_bundle(make_bundle(), tmp_path / "other.augan")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    refused(path, "cannot be read: Permission denied")


# Forgery


def test_changed_member(saved: Path) -> None:
    members = members_of(saved)
    members["metrics.json"] = members["metrics.json"].replace(b"20", b"21")
    with saved.open("wb") as stream:
        write_zip(stream, members)
    refused(saved, r"member metrics.json was changed \(SHA-256 differs\)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"../evil.json": b"{}"}, "path outside"),
        ({"/etc/evil.json": b"{}"}, "path outside"),
        ({"splits\\evil.npz": b""}, "path outside"),
        ({"networks/../config2.json": b"{}"}, "path outside"),
        ({".hidden": b""}, "path outside"),
        ({"model.pkl": b"\x80"}, "unknown member 'model.pkl'"),
        ({"networks/a/b.json": b"{}"}, "unknown member"),
        ({"metrics.json": None}, "lacks the member metrics.json"),
        ({"networks/generator.json": None}, "lacks the member networks/generator.json"),
        ({"networks/generator.safetensors": None}, "lacks the member networks/generator.saf"),
        ({"metrics.json": b"[1]"}, "expected an object"),
        ({"metrics.json": b"{"}, "not valid JSON"),
        ({"metrics.json": b'{"a": NaN}'}, "not valid JSON"),
        ({"metrics.json": b'{"a": 1, "a": 2}'}, "occurs twice"),
        ({"metrics.json": b'{"a":' + b"[" * 99999}, "not valid JSON"),
        ({"metrics.json": b"\xff"}, "not valid JSON"),
        ({"networks/generator.safetensors": b""}, "declares a header"),
        ({"networks/generator.safetensors": b"\xff" * 8 + b"{}"}, "declares a header"),
        ({"networks/generator.safetensors": b"\x02" + b"\0" * 7 + b"{}x"}, "safetensors"),
        ({"splits.npz": b"PK"}, "splits.npz is not a bundle|truncated"),
        ({"splits.npz": npz(a=b"")}, "not a plain array"),
    ],
)
def test_forged_members(saved: Path, changes: dict[str, bytes | None], words: str) -> None:
    refused(forge(saved, changes), words)


def safetensors(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**40]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "object", "shape": [1], "data_offsets": [0, 8]},
    ],
)
def test_forged_safetensors(saved: Path, entry: dict[str, Any]) -> None:
    raw = safetensors({"w": entry}, b"\0" * 8)
    refused(forge(saved, {"networks/generator.safetensors": raw}), "not valid safetensors")


def header(shape: str, descr: str = "'<f8'", order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


class Payload:
    """Unpickling it would end the test run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (99,)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (npy(np.array([Payload()], dtype=object), allow_pickle=True), "Python objects"),
        (header("(1099511627776,)") + b"\0" * 8, "declares shape"),
        (header("(4294967296, 4294967296, 4294967296)"), "declares shape"),
        (header("(0, 999999999999999999, 999999999999999999)"), "impossible shape"),
        (header("(-1, -1)") + b"\0" * 8, "not a plain array"),
        (header("(1,)") + b"\0" * 9, "declares shape"),
        (header("(1,)", "[('a', '<f8')]") + b"\0" * 8, "not a plain array"),
        (header("(1,)", "'<M8[s]'") + b"\0" * 8, "not a plain array"),
        (header("(1,)", "'|S8'") + b"\0" * 8, "not a plain array"),
        (header("(1,)", order="True") + b"\0" * 8, "not a plain array"),
        (header("(1,)", "'<U2'") + b"\xff" * 8, "no <U2 values"),
        (header("(8,)", "'|b1'") + b"\x02" * 8, "no bool values"),
        (b"\x93NUMPY\x01\x00\xff\xff", "not a plain array"),
    ],
)
def test_forged_arrays(saved: Path, raw: bytes, words: str) -> None:
    refused(forge(saved, {"splits.npz": npz(a=raw)}), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "not a bundle: its format is 'other'"),
        ({"format_version": 4}, "bundle format 4 .*reads format 3; update augan"),
        ({"format_version": 2}, "bundle format 2 .*reads format 3; train again with this version"),
        ({"format_version": 0}, "bundle format 0 .*train again with this version"),
        ({"format_version": True}, "bundle format True"),
        ({"format_version": "1"}, "bundle format '1'"),
        ({"files": {}}, "its manifest does not list"),
        ({"files": []}, "lacks 'files'"),
        ({"created": 3}, "lacks 'created'"),
        ({"versions": {"augan": "9"}}, "manifest.json was changed"),
        ({"sha256": "0" * 64}, "manifest.json was changed"),
        ({"padding": "x" * 2**20}, "manifest.json is oversized"),
    ],
)
def test_forged_manifest(saved: Path, changes: dict[str, Any], words: str) -> None:
    refused(forge(saved, {}, **changes), words)


def test_inspect_of_an_older_bundle_format_exits_with_2_and_one_sentence(saved: Path) -> None:
    forge(saved, {}, format_version=2)
    command = [sys.executable, "-m", "augan_cli", "inspect", str(saved)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "400"}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {saved} has bundle format 2 (written by augan 0.1.0)")
    assert done.stderr.endswith("reads format 3; train again with this version\n")


@pytest.mark.parametrize("entry", [None, {"size": 1}, {"size": 1, "sha256": "0" * 64}])
def test_forged_manifest_entries(saved: Path, entry: Any) -> None:
    files = json.loads(members_of(saved)["manifest.json"])["files"]
    refused(forge(saved, {}, files=files | {"metrics.json": entry}), "metrics.json")
    refused(forge(saved, {}, files=files | {"more.json": entry}), "lacks the member 'more.json'")


def rezip(path: Path, name: str, raw: bytes, **attributes: int) -> None:
    """Write the bundle again with one more member, whose header fields are as given."""
    members = members_of(path)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile's own warning of a duplicate
        for other, content in members.items():
            archive.writestr(other, content)
        info = zipfile.ZipInfo(name)
        for key in attributes.keys() & {"external_attr", "compress_type"}:
            setattr(info, key, attributes[key])
        archive.writestr(info, raw)
        for key in attributes.keys() & {"flag_bits", "file_size", "compress_size"}:
            setattr(info, key, attributes[key])  # what the directory will say


@pytest.mark.parametrize(
    ("name", "attributes", "words"),
    [
        ("metrics.json", {}, "'metrics.json' twice"),
        ("more.npz", {}, "manifest does not list"),
        ("link.json", {"external_attr": (stat.S_IFLNK | 0o777) << 16}, "is a link"),
        ("secret.json", {"flag_bits": 1}, "is encrypted"),
        ("old.json", {"compress_type": zipfile.ZIP_BZIP2}, "compressed by method 12"),
        ("big.json", {"file_size": 2**31 - 1}, "oversized"),
        ("liar.json", {"file_size": 5}, "but declares 5"),
        ("networks/", {}, "path outside"),
    ],
)
def test_forged_headers(saved: Path, name: str, attributes: dict[str, int], words: str) -> None:
    rezip(saved, name, b"0123456789", **attributes)
    refused(saved, words)


def test_zip_bombs(saved: Path) -> None:
    rezip(saved, "bomb.json", b"\0" * 2**20, compress_type=zipfile.ZIP_DEFLATED)
    refused(saved, "oversized: .* claim to unpack to 1048576")
    # The same bomb with a modest size in its header: what comes out decides.
    save_bundle(make_bundle(), saved)
    forge(saved, {"metrics.json": b"{}" + b" " * 8998})
    members = members_of(saved)
    metrics = members.pop("metrics.json")
    with saved.open("wb") as stream:
        write_zip(stream, members)
    bomb = {"compress_type": zipfile.ZIP_DEFLATED, "file_size": len(metrics)}
    rezip(saved, "metrics.json", metrics + b" " * 2**20, **bomb)
    refused(saved, "metrics.json was changed or cut short")


def test_too_many_members(saved: Path) -> None:
    forge(saved, {f"networks/t{i}.json": b"{}" for i in range(600)})
    refused(saved, "oversized: .* members")


def test_oversized_json(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "JSON_LIMIT", 50)
    refused(saved, "of JSON, at most 50 are read")
    with pytest.raises(BundleError, match="would be oversized"):
        save_bundle(make_bundle(), saved)


# Writing


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": {"a": np.array([{}])}}, "dtype object, expected"),
        ({"state": {"a": np.array(["2020"], "M8[s]")}}, "dtype datetime64"),
        (
            {
                "networks": {
                    "g": Network(NetworkSpec("mlp", "generator", {}), {"a": np.array(["x"])})
                }
            },
            "dtype <U1, expected",
        ),
        (
            {
                "networks": {
                    "g": Network(NetworkSpec("mlp", "generator", {}), {"__metadata__": np.zeros(1)})
                }
            },
            "reserved",
        ),
    ],
)
def test_unsaveable_content(saved: Path, changes: dict[str, Any], words: str) -> None:
    before = saved.read_bytes()
    state = {"state": changes.pop("state", {})}
    with pytest.raises(BundleError, match=words):
        save_bundle(with_method(make_bundle(**changes), **state), saved)
    assert saved.read_bytes() == before


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": float("inf")}, r"x\['a'\] is inf"),
        ({"a": [Path("x")]}, r"x\['a'\]\[0\] is a .*Path, expected JSON"),
        ({"a": {0: 1}}, "has the key 0, expected text"),
    ],
)
def test_values_that_are_no_json_are_refused(value: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        serialization.encode_json(value, "x")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt("stopped")])
def test_failed_save_leaves_the_old_file(
    saved: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: BaseException
) -> None:
    before = saved.read_bytes()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, failing, fail)
    expected = BundleError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match=r"No space left; make room|stopped"):
        save_bundle(make_bundle(metrics=BundleMetrics()), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_save_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / BUNDLE_FILE
    save_bundle(make_bundle(), path)
    save_bundle(make_bundle(metrics=BundleMetrics(steps={"gan": 1})), path)
    assert load_bundle(path).metrics == BundleMetrics(steps={"gan": 1})
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="cannot be written"):
        save_bundle(make_bundle(), tmp_path / "file" / BUNDLE_FILE)


# Weights


class Variable:
    def __init__(self, path: str, value: np.ndarray) -> None:
        self.path, self.value, self.shape = path, value, value.shape

    def numpy(self) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        self.value = value


class Model:
    name = "generator"

    def __init__(self, **values: np.ndarray) -> None:
        self.variables = [Variable(path.replace("__", "/"), v) for path, v in values.items()]


def tiny_model(fill: float = 0.0) -> Model:
    seed = np.zeros(2, np.int64)
    return Model(
        d__kernel=np.full((2, 3), fill),
        a__bias=np.full(3, fill),
        seed_generator_4__seed_generator_state=seed,
    )


def test_weights_round_trip() -> None:
    source = tiny_model(1.5)
    weights = read_weights(source)
    assert list(weights) == ["a/bias", "d/kernel"]
    source.variables[0].value[:] = 9  # the weights read are copies
    target = tiny_model()
    assign_weights(target, Network(NetworkSpec("mlp", "generator", {}), weights))
    np.testing.assert_array_equal(target.variables[0].value, np.full((2, 3), 1.5))
    np.testing.assert_array_equal(target.variables[1].value, np.full(3, 1.5))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"d/kernel": np.zeros((3, 2))}, r"d/kernel has shape \(3, 2\) .* \(2, 3\) here"),
        ({"d/kernel": None}, "d/kernel is not in the bundle"),
        ({"new": np.zeros(1)}, "new is not in the network"),
        ({f"n{i}": np.zeros(1) for i in range(5)}, "n2 is not in the network and 2 more"),
    ],
)
def test_unfitting_weights_assign_nothing(
    changes: dict[str, np.ndarray | None], words: str
) -> None:
    merged = read_weights(tiny_model(1.5)) | changes
    network = Network(
        NetworkSpec("mlp", "generator", {}), {k: v for k, v in merged.items() if v is not None}
    )
    target = tiny_model()
    with pytest.raises(BundleError, match=words):
        assign_weights(target, network)
    assert all(not variable.value.any() for variable in target.variables)


def test_variables_of_one_name() -> None:
    model = tiny_model()
    model.variables.append(Variable("a/bias", np.zeros(3)))
    for call in (
        lambda: read_weights(model),
        lambda: assign_weights(model, Network(NetworkSpec("mlp", "generator", {}), {})),
    ):
        with pytest.raises(BundleError, match="two variables of generator are called 'a/bias'"):
            call()


def test_hashes_are_of_the_bytes(saved: Path) -> None:
    members = members_of(saved)
    manifest = json.loads(members.pop("manifest.json"))
    for name, raw in members.items():
        assert manifest["files"][name] == {
            "size": len(raw),
            "sha256": hashlib.sha256(raw).hexdigest(),
        }
    assert manifest["sha256"] == load_bundle(saved).sha256


def test_whatever_fails_in_use_is_said_of_the_bundle(saved: Path) -> None:
    words = r"bundle\.augan: its detector cannot be used \(KeyError"
    with pytest.raises(BundleError, match=words), bundle_errors(load_bundle(saved), "detector"):
        raise KeyError("centre")
    for error in (DataError("as it came"), OSError(28, "disk full"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, bundle_errors(load_bundle(saved), "detector"):
            raise error
        assert caught.value is error


def test_too_little_memory_is_no_damage(saved: Path) -> None:
    from augan.gan import tf

    def of_numpy() -> None:
        np.empty((2**40, 2**10), np.float32)

    def of_tensorflow() -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    def of_python() -> None:
        raise MemoryError

    for fail in (of_numpy, of_tensorflow, of_python):
        with pytest.raises(AuganError) as caught, bundle_errors(load_bundle(saved), "detector"):
            fail()
        assert not isinstance(caught.value, BundleError)
        assert "not enough memory to use its detector" in str(caught.value)
        assert "fewer workers" in str(caught.value)
