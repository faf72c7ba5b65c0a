"""Tests of SECURITY.md: no network, no code from files, no escape from a folder or a page."""

import ast
import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import augan
from augan import AugmentRequest, DetectionRequest, augment_folder, detect_folder
from augan.augment.job import class_folder
from augan.augment.manifest import ManifestHeader, ManifestRow, write_manifest
from augan.augment.writers import CsvWriter
from augan.bundle import Bundle
from augan.data.datasets import digits
from augan.data.groups import read_groups
from augan.data.modalities.tables import Table, read_table
from augan.data.modalities.tabular import TabularPreprocessing
from augan.evaluation.augmentation.result import AugmentationGain
from augan.evaluation.detection.labels import read_labels
from augan.io.csv_safety import escape_formula, escape_frame, unescape_formula, unescape_frame
from augan.io.images import write_png
from augan.io.layout import MANIFEST_FILE
from augan.report.html.augmentation_evaluation import write_augmentation_evaluation_page
from augan.report.html.detection import write_detection_page
from tests._helpers import with_data
from tools.robustness.bad_inputs.fixtures import SMALL, write_images

SOURCES = sorted(Path(augan.__file__).parent.rglob("*.py"))
WILD = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''@x", "\uff1d1")
TAME = ("-0.5", "1e-3", "+7", "-", "a=b", "'tis", "", "x")
SCRIPT = "<script>alert('x')</script> & \"y\""
REACHES = ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg")
OFFLINE = """
import os, sys
def refuse(event, arguments):
    # That a socket is made is no connection: a library of TensorFlow's looks whether IPv6 is known.
    if event.startswith("socket.") and event.split(".")[1] in {words!r}:
        open({log!r}, "a").write(event + "\\n")
        raise OSError("there is no network here")
sys.addaudithook(refuse)
sys.argv[0] = "augan"
from augan_cli.main import main
main()
"""


@pytest.mark.slow
def test_no_command_opens_a_connection(tmp_path: Path) -> None:
    for name in ("normal", "odd"):
        write_images(tmp_path / "photos" / name, 20)
    log = tmp_path / "connections"
    commands = [
        f"train photos --out RUN {SMALL}",
        "augment --class odd --n 3 --no-filter --transform shift --model RUN",
        "augment --balance --balance-to 22 --no-filter --method transfer --model RUN --out filled",
        "generate --n 3 --model RUN",
        "detect photos --save-maps --far 0.2 --model RUN",
        "evaluate detection photos --labels folders --model RUN --far 0.2",
        "calibrate RUN photos/normal --out CAL",
        "inspect RUN",
    ]
    environment = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-c", OFFLINE.format(log=str(log), words=REACHES), *command.split()],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (command, done.stderr[-500:])
        assert not log.exists(), (command, log.read_text())


def test_nothing_that_runs_code_from_files_is_called() -> None:
    forbidden = {"load_model", "load_weights", "eval", "exec", "joblib", "unsafe_load", "full_load"}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = {alias.name.split(".")[0] for alias in node.names}
                modules |= {(getattr(node, "module", "") or "").split(".")[0]}
                assert not modules & {"pickle", "joblib", "marshal", "shelve", "dill"}, path
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                # A registry evaluates declarations in augan's own files, the same as an import.
                is_registry = name == "eval" and path.parts[-2:] == ("augan", "registry.py")
                assert name not in forbidden or is_registry, path
                assert ast.unparse(node.func) not in {"np.load", "yaml.load", "os.system"}, path
                assert not any(word.arg == "shell" for word in node.keywords), path


@given(st.text() | st.sampled_from(WILD + TAME))
def test_a_cell_starts_no_formula_and_comes_back(text: str) -> None:
    written = escape_formula(text)
    assert unescape_formula(written) == text
    assert len(written) < 2 or written[0] not in "=+-@\t\r\n" or float(written) is not None


def test_which_cells_change() -> None:
    assert [escape_formula(text) for text in WILD] == [f"'{text}" for text in WILD]
    assert [escape_formula(text) for text in TAME] == list(TAME)
    frame = pd.DataFrame({"=x": [-1.5, 2.0], "b": ["=1", None], "c": [True, False]})
    safe = escape_frame(frame)
    assert list(safe.columns) == ["'=x", "b", "c"]
    assert safe["b"].dropna().tolist() == ["'=1"]
    assert safe["'=x"].tolist() == [-1.5, 2.0]
    pd.testing.assert_frame_equal(unescape_frame(safe), frame, check_dtype=False)


def test_a_synthetic_table_reads_as_it_was_made(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"-n": np.arange(-6.0, 6.0), "kind": [*WILD[:4], *TAME[:2]] * 2, "+class": ["=a", "b"] * 6}
    )
    columns = TabularPreprocessing.fit_table(Table(frame))
    stored = columns.prepare_all(Table(frame))
    writer = CsvWriter(tmp_path, columns, [])
    writer.add(stored[:6], np.zeros(6, int), np.arange(6), ".")
    writer.add(stored[6:], np.zeros(6, int), np.arange(6), ".")
    with open(tmp_path / "synthetic.csv", newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [c for c in cells if c[:1] in ("=", "+", "@", "-") and not _is_number(c)]
    pd.testing.assert_frame_equal(read_table(tmp_path / "synthetic.csv"), frame, check_dtype=False)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_files_with_wild_names(digits_bundle: Bundle, tmp_path: Path) -> None:
    names = ["=1+1.png", "@x.png", "-2.png", "good/+3.png", "<script>.png", "a.png"]
    for name, image in zip(names, np.asarray(digits("test").images)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, image)
    (tmp_path / "images" / "=bad.png").write_bytes(b"x")
    result = detect_folder(
        digits_bundle, DetectionRequest(tmp_path / "images", far=0.9), tmp_path / "out"
    )
    page = write_detection_page(result).read_text("utf-8")
    assert "<script" not in page
    assert "default-src 'none'" in page
    with open(tmp_path / "out" / "scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    written = {row["path"] for row in rows}
    assert written == {"'=1+1.png", "'@x.png", "'-2.png", "'=bad.png", *names[3:]}
    drawn = {p.relative_to(tmp_path / "out" / "overlays").as_posix() for p in _pngs(tmp_path)}
    assert drawn == {
        f"{unescape_formula(row['path'])}.png" for row in rows if row["anomaly"] == "1"
    }
    # With a label for each, it is a table that --labels and --groups take.
    table = tmp_path / "images" / "labels.csv"
    lines = [f"{row['path']},{'normal' if i % 2 else '-odd'},g" for i, row in enumerate(rows)]
    table.write_text("\n".join(["path,label,group", *lines, ""]))
    every = [*names, "=bad.png"]
    assert set(read_labels(table, every, "images").by_name) == set(every)
    assert read_groups(table, tmp_path / "images", every).tolist() == ["g"] * len(every)


def _pngs(place: Path) -> list[Path]:
    return list((place / "out" / "overlays").rglob("*.png"))


def test_a_manifest_starts_no_formula(tmp_path: Path) -> None:
    (tmp_path / "-x").mkdir()
    (tmp_path / "-x" / "0.png").write_bytes(b"x")
    line = ManifestRow("-x/0.png", "=x", 0, "accepted", ("@a",), -0.5, 0.9, 0.1, "+b.png")
    write_manifest(tmp_path, [line], ManifestHeader(0, "sample", "none", "0" * 12, ""))
    (row,) = csv.DictReader((tmp_path / MANIFEST_FILE).read_text("utf-8").splitlines())
    cells = (row["file"], row["class"], row["nearest"], row["realness"], row["sources"])
    assert cells == ("'-x/0.png", "'=x", "'+b.png", "-0.5", '["@a"]')


def test_a_manifest_keeps_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"x")
    names = [os.fsdecode(name) for name in (b"\xff.png", b"\xe9.png")]
    line = ManifestRow("0.png", "x", 0, "accepted", (*names, "é.png"), -0.5, 0.9, 0.1, names[0])
    write_manifest(tmp_path, [line], ManifestHeader(0, "sample", "none", "0" * 12, ""))
    written = (tmp_path / MANIFEST_FILE).read_bytes()
    assert b",\xff.png,accepted" in written
    assert b'""\xff.png"", ""\xe9.png"", ""\xc3\xa9.png""' in written


@given(st.text(min_size=0, max_size=40) | st.sampled_from(["../x", "/a", "..", ".", "a/../../b"]))
def test_a_class_name_is_one_folder_below(name: str) -> None:
    folder = class_folder(name)
    assert folder not in ("", ".", "..")
    assert not set(folder) & set('/\\\0:*?"<>|')
    assert Path("out", folder).parent == Path("out")


def test_no_class_leaves_the_folder(digits_bundle: Bundle, tmp_path: Path) -> None:
    names = ["../../up", str(tmp_path / "absolute"), "..", *"3456789"]
    bundle = with_data(digits_bundle, class_names=names)
    out = tmp_path / "deep" / "out"
    augment_folder(bundle, AugmentRequest(names[:3], 1, filtered=False), out)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert len(list(out.rglob("*.png"))) == 3
    assert all(path.parent.parent == out for path in out.rglob("*.png"))


def test_names_of_classes_are_escaped_in_the_page_of_a_gain(tmp_path: Path) -> None:
    figure = {"value": 0.1, "low": 0.0, "high": 0.2, "best_baseline": SCRIPT}
    arm = {
        "arm": SCRIPT,
        "label": SCRIPT,
        "by_repeat": [0.5, 0.6],
        "recall": {SCRIPT: 0.5, "b": 0.1},
    }
    arm |= dict.fromkeys(("balanced_accuracy", "std", "accuracy", "macro_f1"), 0.5)
    summary = {
        **{"gain": 0.1, "low": 0.0, "high": 0.2, "significant": False, "num_test": 9},
        "best_baseline": SCRIPT,
        **{"data": SCRIPT, "num_repeats": 2, "class_counts": [3, 4], "class_names": [SCRIPT, "b"]},
        **{"warnings": [SCRIPT], "out": str(tmp_path), "num_unlabeled": 0, "selected": None},
        "gain_over_labeled_only": figure,
        "without_near_duplicates": figure,
        "near_duplicates": [{"test": SCRIPT, "train": SCRIPT, "correlation": 0.99}],
        "num_near_duplicates": 1,
        "settings": {
            **{
                "classifier": SCRIPT,
                "steps": 3,
                "transform": SCRIPT,
                "gan": SCRIPT,
                "synthetic_fraction": 0.5,
            },
            **{"base": SCRIPT, "gan_steps": None, "dtype": SCRIPT, "seed": 0},
        },
    }
    page = write_augmentation_evaluation_page(
        AugmentationGain(SCRIPT, [{**arm, "gan_minus_arm": figure}], summary)
    ).read_text("utf-8")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 10
