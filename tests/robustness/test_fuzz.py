"""Tests that augan refuses damaged files, with the defects that the fuzz test has found."""

import json
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from augan import load_dataset
from augan.augment.manifest import ResumeLog
from augan.bundle import Network, NetworkSpec, restore_network
from augan.config import Config
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tables import Table, Target, read_table
from augan.data.modalities.tabular import TabularPreprocessing
from augan.evaluation.augmentation.results_log import PredictionLog
from augan.exceptions import AuganError, BundleError, ConfigError, DataError
from augan.io import arrays, images
from augan.io.images import read_image
from augan.training.run_folder import RunFolder
from tests._helpers import make_bundle
from tools.robustness.fuzz import run

CASES = {"tables": 15, "bundles": 40, "runs": 40}  # of the others 50


@pytest.mark.parametrize("kind", [name for name in run.MODULES if name not in ("use", "commands")])
def test_damaged_files_are_refused(kind: str, tmp_path: Path) -> None:
    outcomes = [
        run.run_case(kind, run.kind_of(kind), 7, case, tmp_path / "case")
        for case in range(CASES.get(kind, 50))
    ]
    assert [one for one in outcomes if one.failed] == []
    assert len({one.result for one in outcomes}) > 1  # not only the first check finds damage


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cases"), [("use", 12), ("commands", 60)])
def test_damaged_bundles_and_commands_are_refused(kind: str, cases: int, tmp_path: Path) -> None:
    found = run.kind_of(kind)
    outcomes = [run.run_case(kind, found, 7, case, tmp_path / "case") for case in range(cases)]
    assert [one for one in outcomes if one.failed] == []


def test_run_case_fails_on_unexpected_errors(tmp_path: Path) -> None:
    def process(raw: bytes, place: Path) -> None:
        {b"d": lambda: _raise(DataError("no")), b"k": lambda: {}["x"], b"o": lambda: None}[raw]()

    def outcome(raw: bytes) -> run.Outcome:
        return run.run_case("x", run.Kind(lambda rng: raw, process), 0, 0, tmp_path / "case")

    assert [outcome(raw).failed for raw in (b"d", b"k", b"o")] == [False, True, False]
    assert outcome(b"k").result.startswith("KeyError at test_fuzz.py")
    kind = run.kind_of("images")
    assert run.make("images", kind, 1, 2) == run.make("images", kind, 1, 2)
    assert run.make("images", kind, 1, 2) != run.make("images", kind, 1, 3)


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 1500,
        "seed: 2001-13-41",
        "seed: 2001-01-01 25:61:61",
        "seed: " + "9" * 5000,
        "gan: &a [*a]",
        "? [1]\n: 2",
        "!!timestamp x",
        "\n".join(
            ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
            + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
        ),
        "\n".join(
            ["a0: &a0 {b: 1}"]
            + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 30)]
        ),
    ],
)
def test_yaml_without_end_or_sense(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    begun = time.process_time()
    with pytest.raises(ConfigError) as error:
        Config.from_yaml(tmp_path / "c.yaml")
    assert len(str(error.value)) < 3000
    with pytest.raises(ConfigError):
        Config().override([f"seed={text}"])
    assert time.process_time() - begun < 5


def test_aliases_within_reason_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("generator: &w {width: 8}\ndiscriminator: *w\n")
    assert Config.from_yaml(tmp_path / "c.yaml").discriminator.width == 8


def test_no_value_of_a_table_is_dropped_in_silence(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match="as many values in every other row"):
        read_table(tmp_path / "x.csv")


def test_an_npz_file_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    path, x = tmp_path / "x.npz", np.zeros((5, 8, 8), np.uint8)
    np.savez(path, x=x, y=np.zeros(5, int), class_names=np.array("all"))
    assert load_dataset(path).class_names == ("all",)
    with zipfile.ZipFile(path) as file:
        raw = file.read("x.npy")
    for shape in (b"(5, 8, 9)", b"(9**9, 8)", b"(5, 8, -8", b"(5, 8, 8]"):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("x.npy", raw.replace(b"(5, 8, 8)", shape))
        with pytest.raises(DataError, match="cannot read"):
            load_dataset(path)


def test_odd_labels_in_an_npz_file(tmp_path: Path) -> None:
    path, x = tmp_path / "x.npz", np.zeros((4, 8, 8), np.uint8)
    bad = np.array(["a", "b", "a", "b"])
    bad.view(np.uint32)[0] = 0x110000
    for y in (bad, np.array([1e300, 0, 0, 1]), np.array([0.5, 0, 0, 1])):
        np.savez(path, x=x, y=y)
        with pytest.raises(DataError, match=r"do not exist|encode them"):
            load_dataset(path)
    np.savez(path, x=x, y=np.array([1, 0, 0, 1], np.float16))
    assert load_dataset(path).class_names == ("0", "1")


def test_a_bomb_in_an_npz_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((5, 200, 200), np.uint8))
    assert len(load_dataset(tmp_path / "x.npz")) == 5
    monkeypatch.setattr(arrays, "MIN_RATIO_BYTES", 100_000)
    with pytest.raises(DataError, match="more than 200 times as many"):
        load_dataset(tmp_path / "x.npz")


@pytest.mark.parametrize("header", [(0, 0, 8, 3, 2**31, 2, 1), (0, 0, 8, 255, 1, 1, 1)])
def test_an_idx_file_that_claims_more_than_it_holds(header: tuple, tmp_path: Path) -> None:
    raw = struct.pack(">4B3I", *header) + bytes(1200)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(raw)
    with pytest.raises(DataError, match=r"holds only|not an IDX file"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white_in_strips(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 9, 4), np.uint8)
    picture = Image.fromarray(pixels)
    picture = picture.convert("RGB").quantize(9) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "x.png", **({"transparency": 2} if mode == "P" else {}))
    whole = read_image(tmp_path / "x.png")
    monkeypatch.setattr(images, "STRIP_PIXELS", 20)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), whole)
    with Image.open(tmp_path / "x.png") as again:
        top = again.convert("RGBA")
    expected = np.asarray(Image.alpha_composite(Image.new("RGBA", top.size, "white"), top))
    np.testing.assert_array_equal(whole, expected[..., : whole.shape[2]])


@pytest.mark.parametrize(
    "line", ["[1]", "7", '{"stage": "gan"}', '{"stage": [], "step": 1}', "\xff"]
)
def test_a_log_with_other_lines_ends_there(line: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run", "x", {"seed": 0})
    kept = '{"stage": "gan", "step": 1}\n'
    (tmp_path / "run" / "metrics.jsonl").write_bytes((kept + line + "\n" + kept).encode("latin-1"))
    run.truncate_log({"gan": 5})
    run.close()
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == kept


def test_a_resume_log_counts_up_to_its_first_damaged_line(tmp_path: Path) -> None:
    row = {
        "file": "a/1.png",
        "class_name": "a",
        "index": 1,
        "decision": "accepted",
        "sources": ["x"],
    }
    good = {"class_index": 0, "chunk_index": 0, "decisions": ["accepted"], "rows": [row]}
    for bad in ([], {"class_index": 0}, {**good, "chunk_index": 1, "rows": [{"x": 1}]}):
        lines = [{"seed": 0}, good, bad, {**good, "chunk_index": 2}]
        text = "".join(json.dumps(one) + "\n" for one in lines)
        (tmp_path / "resume.jsonl").write_text(text)
        resume_log = ResumeLog(tmp_path, {"seed": 0})
        record = resume_log.find(0, 0)
        assert record is not None
        assert record.rows[0].sources == ("x",)
        assert resume_log.find(0, 2) is None
        assert len((tmp_path / "resume.jsonl").read_text().splitlines()) == 2


def test_a_journal_whose_predictions_are_damaged(tmp_path: Path) -> None:
    journal = PredictionLog(tmp_path / "j", {"seed": 0})
    journal.add(0, "real", np.arange(3), {})
    journal.close()
    path = tmp_path / "j" / "predictions.jsonl"
    path.write_text(path.read_text().replace('"predicted": "', '"predicted": "AAAA'))
    with pytest.raises(DataError, match="is damaged"):
        PredictionLog(tmp_path / "j", {"seed": 0})


@pytest.mark.parametrize("change", [{"width": 10**6}, {"num_classes": 10**8}])
@pytest.mark.parametrize("architecture", ["mlp", "dcgan", "cnn"])
def test_a_spec_makes_no_more_than_was_saved(architecture: str, change: dict) -> None:
    common = {"image_shape": [8, 8, 1], "num_classes": 2, "width": 1, "seed": 0}
    more = {"generator": {"latent_dim": 3}, "discriminator": {"norm": "spectral"}, "classifier": {}}
    for role in ("classifier",) if architecture == "cnn" else ("generator", "discriminator"):
        spec = {"architecture": architecture, "role": role}
        spec["arguments"] = {**common, **more[role], **change}
        bundle = make_bundle(networks={"x": Network(NetworkSpec(**spec), {"k": np.zeros(9)})})
        with pytest.raises(BundleError, match="more values than the limit of 1000"):
            restore_network(bundle, "x")


def test_a_norm_makes_no_more_than_was_saved() -> None:
    arguments = {"image_shape": [4096, 4096, 1], "num_classes": 0, "width": 1, "seed": 0}
    spec = {"architecture": "dcgan", "role": "discriminator"}
    spec["arguments"] = {**arguments, "norm": "layer"}
    bundle = make_bundle(networks={"x": Network(NetworkSpec(**spec), {"k": np.zeros(9)})})
    with pytest.raises(BundleError, match=r"shape \[1024, 1024, 2\] have more values than"):
        restore_network(bundle, "x")


def test_a_preprocessing_has_bounds() -> None:
    good = ImagePreprocessing(8, 1, "uint8", 0.0, 255.0).to_dict()
    for change in ({"size": 2**20}, {"original_shape": [10**6, 10**6]}):
        with pytest.raises(AuganError, match="must be"):
            ImagePreprocessing.from_dict({**good, **change})


def test_a_description_of_columns_that_cannot_be() -> None:
    frame = pd.DataFrame({"a": np.arange(9.0), "b": list("xyz") * 3})
    target = Target("t", 1, "int64")
    good = json.loads(json.dumps(TabularPreprocessing.fit_table(Table(frame, target)).to_dict()))
    assert TabularPreprocessing.from_dict(good).to_dict() == good
    number, category = good["columns"]
    for bad in (
        {"target": {**good["target"], "position": 9}},
        {"target": {**good["target"], "dtype": "no such type"}},
        {"columns": [{**number, "quantiles": number["quantiles"][:1]}, category]},
        {"columns": [{**number, "quantiles": number["quantiles"][::-1]}, category]},
        {"columns": [{**number, "kind": "x"}, category]},
        {"columns": [number, {**category, "values": []}]},
        {"columns": [number, {**category, "dtype": 7}]},
    ):
        with pytest.raises(DataError, match="columns is damaged"):
            TabularPreprocessing.from_dict({**good, **bad})
