"""`augan doctor`: what it reads of a machine, and what it says of an installation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from augan.doctor.checks import check_packages, install, run_checks
from augan.doctor.hardware import THREADS, disk, memory, processor, threads
from augan.doctor.requirements import list_requirements
from augan.doctor.tensorflow_check import check_tensorflow
from augan.report.text import format_system_report
from augan_cli.main import app

ROOT = Path(__file__).parents[2]
GIB = 2**30

CPUINFO = """\
processor\t: 0
model name\t: A Processor 9000
flags\t\t: fpu sse2 avx avx2 fma avx512f avx512_bf16 amx_bf16

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""
MEMINFO = "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_the_processor_is_that_of_the_first_core(tmp_path: Path) -> None:
    write(tmp_path, {"cpuinfo": CPUINFO})
    found = processor(tmp_path / "cpuinfo")
    assert found.name == "A Processor 9000"
    assert found.features == ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")
    assert processor(tmp_path / "none").features is None  # unknown, which is not "no AVX"


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        # The narrowest of a group and those above it counts.
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, 0.5),
        # A container that sees its own group as the root.
        ("0::/docker/12\n", {"cpu.max": "300000 100000"}, 3.0),
        (
            "5:memory:/m\n4:cpu,cpuacct:/c\n",
            {"cpu,cpuacct/c/cpu.cfs_quota_us": "250000", "cpu,cpuacct/c/cpu.cfs_period_us": "1e5"},
            None,
        ),
        (
            "5:memory:/m\n4:cpu,cpuacct:/c\n",
            {
                "cpu,cpuacct/c/cpu.cfs_quota_us": "250000\n",
                "cpu,cpuacct/c/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_quotas_of_control_groups(
    tmp_path: Path, own: str, files: dict[str, str], quota: float | None
) -> None:
    write(tmp_path, {"own": own, **{f"groups/{name}": text for name, text in files.items()}})
    assert threads(tmp_path / "groups", tmp_path / "own").quota == quota


def test_threads_are_those_of_the_setting_or_of_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting, started in (("3", 3), ("0", None), ("many", None), ("", None)):
        monkeypatch.setenv(THREADS, setting)
        found = threads(tmp_path, tmp_path / "none")
        assert found.started == (started or found.usable), setting
        assert (found.setting, found.quota) == (setting, None)
    assert 1 <= found.usable <= found.cores


def test_memory_is_what_the_container_leaves(tmp_path: Path) -> None:
    write(tmp_path, {"meminfo": MEMINFO, "own": "0::/a\n"})

    def found():
        return memory(tmp_path / "meminfo", tmp_path / "groups", tmp_path / "own")

    assert (found().total, found().available, found().limit) == (16 * GIB, 8 * GIB, None)
    write(tmp_path / "groups/a", {"memory.max": f"{4 * GIB}", "memory.current": f"{3 * GIB}"})
    assert (found().total, found().available, found().limit) == (16 * GIB, GIB, 4 * GIB)
    # Version 1 writes no limit as a number beyond all memory.
    write(tmp_path / "groups/a", {"memory.max": "9223372036854771712"})
    assert (found().available, found().limit) == (8 * GIB, None)


def test_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    found = disk(tmp_path / "not" / "there")
    assert found.folder == str(tmp_path / "not" / "there")
    assert found.free == pytest.approx(disk(tmp_path).free, rel=0.2)
    assert found.free > 0
    assert found.writable


def test_what_is_missing_or_too_old_is_named_with_its_command() -> None:
    found = list_requirements(
        ["numpy>=2.1", "numpy>=999", "no-such-thing", 'pytest<1; extra == "test"']
    )
    assert [p.is_satisfied for p in found] == [True, False, False, False]
    assert [p.extra for p in found] == ["", "", "", "test"]
    problems = [str(issue) for issue in check_packages(found)]
    installed = found[0].installed
    assert problems == [
        f"numpy is {installed} and should be >=999: python -m pip install 'numpy>=999'",
        "no-such-thing is missing: python -m pip install no-such-thing",
    ]
    assert list_requirements(['numpy; python_version < "3"', 'numpy; sys_platform == "none"']) == []
    assert install("augan[parquet]") == "python -m pip install 'augan[parquet]'"


def test_own_requirements_are_those_of_pyproject() -> None:
    names = {package.name for package in list_requirements() if not package.extra}
    assert {"tensorflow", "keras", "numpy", "scikit-learn", "typer"} <= names


@pytest.mark.parametrize(
    ("lacking", "problem"),
    [
        ({"packaging.requirements": None}, "packaging is missing: python -m pip install packaging"),
        (
            {},
            "augan can be imported, but is not installed: in its folder, python -m pip install "
            "-e .",
        ),
    ],
)
def test_where_even_the_requirements_are_unknown(
    lacking: dict[str, None], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augan.doctor.requirements.PACKAGE", "no-such-distribution")
    for name, module in lacking.items():
        monkeypatch.setitem(sys.modules, name, module)
    found = run_checks()
    assert [str(issue) for issue in found.problems] == [problem]
    assert (found.usable, found.tensorflow) == (False, None)  # nothing is tried without TensorFlow
    assert format_system_report(found)[-2:] == [f"problem: {problem}", "augan cannot work here"]


@pytest.mark.parametrize(
    ("trial", "error"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "SIGILL, an instruction that"),
        ("raise ImportError('libcudart is gone')", "ImportError: libcudart is gone"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import time; time.sleep(60)", "did not start within 1 s"),
    ],
)
def test_a_tensorflow_that_does_not_start_is_one_line(trial: str, error: str) -> None:
    found = check_tensorflow(trial, timeout=1.0)
    assert found.gpus == ()
    assert found.error is not None
    assert error in found.error
    assert "\n" not in found.error


def run_doctor(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "augan_cli", "doctor", "--json"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_broken_tensorflow_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    write(tmp_path, {"broken/tensorflow/__init__.py": "raise ImportError('no libtensorflow')\n"})
    places = [tmp_path / "broken", ROOT, ROOT / "cli"]
    done = run_doctor(tmp_path, PYTHONPATH=os.pathsep.join(str(place) for place in places))
    assert (done.returncode, done.stderr) == (2, "")
    found = json.loads(done.stdout)
    assert not found["usable"]
    (problem,) = found["problems"]
    assert problem["issue"] == "TensorFlow does not start (ImportError: no libtensorflow)"
    assert "pip install --force-reinstall tensorflow" in problem["fix"]
    assert os.listdir(tmp_path) == ["broken"]  # it looks, and leaves nothing behind


@pytest.mark.slow
def test_doctor_where_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_doctor(tmp_path, TF_NUM_INTRAOP_THREADS="many")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["usable"]
    assert found["versions"].keys() >= {"augan", "python", "tensorflow", "keras", "numpy"}
    assert found["disks"].keys() == {"runs", "cache"}
    assert found["threads"]["started"] >= 1
    assert found["tensorflow"]["error"] is None
    assert {"issue": f"{THREADS} is 'many', which is not a number", "fix": "unset it"} in found[
        "notes"
    ]
    monkeypatch.chdir(tmp_path)
    lines = CliRunner().invoke(app, ["doctor"]).stdout.splitlines()
    assert lines[0].startswith(f"augan {found['versions']['augan']}, Python ")
    assert lines[-1] == "augan can work here"
    for extra, about in found["missing_extras"].items():
        assert any(extra in line and about["install"] in line for line in lines)
