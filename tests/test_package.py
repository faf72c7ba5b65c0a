"""Tests of the package as a whole: public names, imports, tracked files and examples."""

import ast
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import augan

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = ["Config", "load_dataset", "train", "load_bundle", "GANDetector", "GANOverSampler"]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))

# Written so that this file does not match itself.
PRIVATE = re.compile(
    "|".join(
        [
            r"pypi\.(?!org/p(roject)?/)[a-z]",  # the page of a project is no index
            r"python" + r"hosted\.",
            r"index" + r"-url[ =]",
            r"https?://[^\s\"')]*/" + r"simple\b",
            r"(?<![\w.])/(work|home|root|Users|mnt)" + r"/\w",
            r"[A-Z]:\\" + r"Users",
        ]
    )
)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked_files() -> list[Path]:
    git = ["git", "-C", str(ROOT), "ls-files", "-z"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", sorted({*PUBLIC, *augan.__all__}))
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(augan, name)
    assert value.__name__ == name
    assert value.__doc__
    assert name in dir(augan)


def test_unknown_public_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="GANDetektor"):
        augan.GANDetektor  # noqa: B018


def test_import_augan_loads_nothing_heavy() -> None:
    code = "import sys, augan; print([m for m in sys.modules if '.' not in m])"
    loaded = set(ast.literal_eval(python(code)))
    assert "augan" in loaded
    assert not loaded & {"tensorflow", "keras", "sklearn", "pandas", "scipy", "imblearn"}


def test_loading_data_needs_no_tensorflow() -> None:
    code = (
        "import sys; from augan import Config, load_dataset; Config(); load_dataset('digits'); "
        "print([m for m in sys.modules if m in ('tensorflow', 'keras')])"
    )
    assert ast.literal_eval(python(code)) == []


def test_looking_for_a_run_needs_no_tensorflow() -> None:
    code = (
        "import sys, augan.training.run_folder as runs; "
        "print([m for m in sys.modules if m in ('tensorflow', 'keras')])"
    )
    assert ast.literal_eval(python(code)) == []


def test_no_file_contains_a_package_index_or_a_local_path() -> None:
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        for number, line in enumerate(text.splitlines(), 1):
            match = PRIVATE.search(line)
            if match and not (path == Path(__file__) and 'r"' in line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match.group()}")
    assert found == []


def test_no_generated_file_is_tracked() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in tracked_files()}
    suffixes = (".augan", ".pyc", ".whl", "uv.lock", "pylock.toml")
    assert [name for name in names if name.endswith(suffixes)] == []
    assert [name for name in names if name.split("/")[0] in ("runs", "demo", ".venv")] == []


def test_every_example_is_run_by_a_test() -> None:
    assert sorted([*FACTS, "score_with_onnx.py"]) == EXAMPLES  # the last is run by test_export.py


def run_example(name: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []  # an example leaves nothing behind
    return done.stdout


def detector_beats_chance(printed: str) -> None:
    areas = dict(re.findall(r"^(.+?) +AUROC (\d\.\d+)$", printed, re.M))
    assert areas.keys() == {"GANDetector", "nearest neighbors"}
    assert float(areas["GANDetector"]) > 0.9
    assert len(re.findall(r"^(?:auto|features) +(?:0\.[89]|1\.)\d+ in cross", printed, re.M)) == 2


def oversampling_helps(printed: str) -> None:
    means = dict(re.findall(r"^(\w+) +balanced accuracy (\d\.\d+)", printed, re.M))
    assert means.keys() == {"none", "RandomOverSampler", "GANOverSampler"}
    assert float(means["GANOverSampler"]) > float(means["none"])


@pytest.mark.parametrize("module", ["augan.io.images", "augan_cli.main", "augan"])
def test_warning_of_augan_is_an_error(module):
    with pytest.raises(UserWarning):
        warnings.warn_explicit("x", UserWarning, "x.py", 1, module=module)
    warnings.warn_explicit("x", UserWarning, "x.py", 2, module="another")


def threes_and_outlier_images(printed: str) -> None:
    assert re.search(r"^accepted 200 threes of [23]\d\d candidates", printed, re.M)
    trained, untrained = re.findall(r"(-?\d+\.\d{3})", printed.splitlines()[0])
    assert float(trained) < 0.1 * float(untrained)
    (worst,) = re.findall(r"^most anomalous: (.*)$", printed, re.M)
    assert sum(name.startswith("outlier") for name in worst.split(", ")) >= 6


def classes_are_balanced(printed: str) -> None:
    assert "classes: {'nine': 40, 'seven': 120}" in printed
    assert re.search(r"^class nine: 80 of ", printed, re.M)
    assert "class seven" not in printed
    (worst,) = re.findall(r"^most anomalous: (.*)$", printed, re.M)
    assert sum("other-" in name for name in worst.split(", ")) >= 6


def rows_are_like_real_ones(printed: str) -> None:
    assert "600 synthetic rows, same columns: True" in printed
    accuracies = dict(re.findall(r"trained on (\w+) +accuracy (\d\.\d+)", printed))
    assert float(accuracies["synthetic"]) > 0.85
    assert float(re.findall(r"AUROC (\d\.\d+)", printed)[0]) > 0.85


def rates_are_kept(printed: str) -> None:
    rows = re.findall(r"^ *(\d+)% +(\d+\.\d)% +(\d+\.\d)%$", printed, re.M)
    assert [int(rate) for rate, _, _ in rows] == [1, 2, 5, 10, 20]
    for rate, alarms, found in rows:
        assert float(alarms) < 2 * float(rate) + 1
        assert float(found) >= float(alarms)
    assert float(rows[2][2]) > 50
    assert "needs 999 calibration images" in printed


FACTS = {
    "chosen_false_alarm_rate.py": rates_are_kept,
    "detector_in_pipeline.py": detector_beats_chance,
    "first_steps.py": threes_and_outlier_images,
    "oversampling_in_pipeline.py": oversampling_helps,
    "own_folder.py": classes_are_balanced,
    "table.py": rows_are_like_real_ones,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTS)
def test_example(name: str, tmp_path: Path) -> None:
    FACTS[name](run_example(name, tmp_path))
