"""Tests of the digests: every number counts, names do not."""

import csv
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from tools import digest

ROOT = Path(__file__).parents[2]
WEIGHTS = {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float32)}
TABLE = {"fit": np.arange(6), "tune": np.arange(6), "names": np.array(["x", "y"])}
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
ROWS = [["path", "score", "label"], ["0.png", "1.5", "a"], ["1.png", "", "b"]]


def write_results(folder, weights=WEIGHTS, table=TABLE, pixels=PIXELS, rows=ROWS, names=()):
    """Write a bundle, an image and a table of scores; `names` replaces names of files."""
    named = {name: name for name in ("bundle.augan", "networks/g", "tables/split", "image", "s")}
    named |= dict(names)
    (folder / "input").mkdir(parents=True)
    (folder / "input" / "0.npy").write_bytes(b"is not read")
    npz = io.BytesIO()
    np.savez(npz, **table)
    with zipfile.ZipFile(folder / named["bundle.augan"], "w") as archive:
        archive.writestr("config.json", json.dumps(named))
        archive.writestr(f"{named['networks/g']}.safetensors", safetensors.numpy.save(weights))
        archive.writestr(f"{named['tables/split']}.npz", npz.getvalue())
    Image.fromarray(pixels).save(folder / f"{named['image']}.png")
    with open(folder / f"{named['s']}.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return digest.digest_folder(folder)


def changed(array, value=7):
    """Return a copy with another first element."""
    copy = array.copy()
    copy.flat[0] = value
    return copy


def edited(row, column, cell):
    """Return `ROWS` with another cell."""
    rows = [list(cells) for cells in ROWS]
    rows[row][column] = cell
    return rows


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"weights": WEIGHTS | {"a": changed(WEIGHTS["a"])}}, {"weights": (1, 1)}),
        ({"weights": WEIGHTS | {"a": WEIGHTS["a"].T.copy()}}, {"weights": (1, 1)}),
        ({"weights": WEIGHTS | {"b": np.zeros(2, np.float64)}}, {"weights": (1, 1)}),
        ({"weights": WEIGHTS | {"c": np.ones(1)}}, {"weights": (0, 1)}),
        ({"table": {"fit": np.arange(6)}}, {"arrays": (1, 0)}),  # its equal is still there
        ({"table": TABLE | {"tune": np.arange(6)[::-1]}}, {"arrays": (1, 1)}),
        ({"pixels": changed(PIXELS)}, {"pixels": (1, 1)}),
        ({"rows": edited(1, 1, "1.5000000000000002")}, {"scores": (1, 1)}),
        ({"rows": edited(2, 1, "0")}, {"scores": (1, 1)}),
        ({"rows": edited(2, 2, "a")}, {"scores": (1, 1)}),
        ({"rows": ROWS[:2]}, {"scores": (3, 3)}),
    ],
    ids=[
        *("byte", "shape", "dtype", "new", "lost", "order", "pixel"),
        *("number", "empty", "merged", "row"),
    ],
)
def test_compare_finds_a_changed_value(changes, expected, tmp_path):
    base, tree = write_results(tmp_path / "base"), write_results(tmp_path / "tree", **changes)
    differences = digest.compare(base, tree)
    assert {group: tuple(map(len, only)) for group, only in differences.items()} == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"names": {"bundle.augan": "model.zip", "image": "deep", "s": "table"}},
        {"names": {"networks/g": "networks/generator", "tables/split": "splits"}},
        {"weights": {"layer/kernel": WEIGHTS["a"], "layer/bias": WEIGHTS["b"]}},
        {"table": {"train": TABLE["fit"], "val": TABLE["tune"]}},
        {"table": TABLE | {"names": np.array(["other"])}},
        {"rows": [["file", "anomaly_score", "class"], *ROWS[1:]]},
        {"rows": [ROWS[0], ["zero.png", "1.5", "normal"], ["one.png", "", "defect"]]},
    ],
    ids=["files", "members", "weights", "arrays", "text", "columns", "classes"],
)
def test_compare_ignores_a_changed_name(changes, tmp_path):
    base, tree = write_results(tmp_path / "base"), write_results(tmp_path / "tree", **changes)
    assert digest.compare(base, tree) == {}
    assert {one.group for one in base} == set(digest.GROUPS)


def test_as_numbers_takes_a_hash_of_digits_for_text():
    assert digest.as_numbers(["123456789012", "1234567e8901"]) is None
    assert digest.as_numbers(["1", "-0.25", ""]).tolist()[:2] == [1.0, -0.25]


# ---------------------------------------------------------------- spellings

HELP = "print('--out  Folder.  --set VALUE  {}  [default: --no-such]')"


def fake_version(folder, option, setting):
    """Return a version whose help and default settings know one spelling."""
    section, _, key = setting.partition(".")
    (folder / "cli" / "augan_cli").mkdir(parents=True)
    (folder / "cli" / "augan_cli" / "__init__.py").touch()
    (folder / "cli" / "augan_cli" / "__main__.py").write_text(HELP.format(option))
    (folder / "configs").mkdir()
    (folder / "configs" / "default.yaml").write_text(f"{section}:\n  {key}: null\nseed: 0\n")
    return digest.Version("base", folder, None)


@pytest.mark.parametrize("written", [0, 1], ids=["new", "old"])
@pytest.mark.parametrize("known", [0, 1], ids=["new", "old"])
def test_command_words_uses_the_spelling_that_the_version_knows(written, known, tmp_path):
    options, settings = ("--save-maps", "--maps"), ("data.tiling", "data.patches")
    version = fake_version(tmp_path, options[known], settings[known])
    words = ("detect", "x", options[written], "--set", f"{settings[written]}=true")
    spelled = ["detect", "x", options[known], "--set", f"{settings[known]}=true"]
    assert version.command_words(words) == spelled


@pytest.mark.parametrize("words", [("train", "--maps"), ("train", "--set", "data.tiling=true")])
def test_command_words_unknown_spelling_is_refused(words, tmp_path):
    version = fake_version(tmp_path, "--other", "data.size")
    with pytest.raises(digest.RunError, match=r"the base knows none of .*; add its spelling"):
        version.command_words(words)


def test_runs_are_spelled_as_the_code_beside_them_knows():
    version = digest.Version("working tree", ROOT, None)
    for run in digest.RUNS.values():
        for command in run.commands:
            assert len(version.command_words(command.words)) == len(command.words)


# ---------------------------------------------------------------- cache and command line


@pytest.mark.parametrize(
    ("commit", "fresh", "expected"), [("1" * 40, False, 1), ("1" * 40, True, 2), (None, False, 2)]
)
def test_obtain_reuses_the_results_of_a_commit(commit, fresh, expected, monkeypatch, tmp_path):
    calls = []

    def make_run(run, version):
        calls.append(version)
        return [digest.Digest("weights", "<f4 1 0", "place")]

    monkeypatch.setattr(digest, "make_run", make_run)
    version = digest.Version("base", ROOT, commit)
    first, second = (digest.obtain("detect", version, tmp_path, fresh) for _ in range(2))
    assert first.digests == second.digests
    assert len(calls) == expected
    assert (second.seconds is None) == (expected == 1)


def test_obtain_makes_an_edited_run_again(monkeypatch, tmp_path):
    version = digest.Version("base", ROOT, "1" * 40)
    before = digest.cache_file(tmp_path, "detect", version)
    edited_run = digest.Run("", digest.normal_folder, (digest.train("input/train", "detect", 21),))
    monkeypatch.setitem(digest.RUNS, "detect", edited_run)
    assert digest.cache_file(tmp_path, "detect", version) != before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "BASE is missing"),
        (["HEAD", "--runs", "nothing"], "there is no run 'nothing'; choose from generate"),
        (["HEAD", "--quick", "--runs", "detect"], "--quick and --runs exclude each other"),
        (["HEAD", "--jobs", "0"], "--jobs must be 1 or more, got 0"),
    ],
)
def test_main_wrong_options_exit_with_2(words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        digest.main(words)
    assert message in capsys.readouterr().err


def test_main_list_names_the_runs(capsys):
    assert digest.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(digest.RUNS)


@pytest.fixture
def clone(tmp_path):
    """A clone of the repository, without what is not committed, but with the tool as it is here."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git repository")
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, folder], check=True)
    (folder / "tools").mkdir(exist_ok=True)
    shutil.copy(ROOT / "tools" / "digest.py", folder / "tools")
    return folder


def run_tool(clone, *words):
    """Run the tool of a clone and return its exit code, output and errors."""
    command = [sys.executable, clone / "tools" / "digest.py", *words, "--cache", clone / "cache"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_main_unknown_commit_exits_with_2(clone):
    code, _, said = run_tool(clone, "no-such-commit")
    assert (code, said.startswith("error: there is no commit 'no-such-commit'")) == (2, True), said


@pytest.mark.slow
def test_main_equal_code_is_equal_and_another_random_stream_is_not(clone):
    code, printed, said = run_tool(clone, "HEAD", "--quick", "--fresh")
    assert code == 0, printed + said
    assert printed.count(" equal ") == len(digest.QUICK)
    assert "cached" not in printed
    with open(clone / "augan" / "seeding.py", "a", encoding="utf-8") as file:
        file.write("\n\n_former = child_seed\n\n\ndef child_seed(seed, *names):\n")
        file.write("    return _former(seed + 1, *names)\n")
    result = clone / "result.json"
    code, printed, said = run_tool(clone, "HEAD", "--runs", "detect", "--json", result)
    assert code == 1, printed + said
    assert "base cached" in printed
    only = json.loads(result.read_text())["runs"]["detect"]["only_in"]
    assert {"weights", "scores"} <= set(only)
