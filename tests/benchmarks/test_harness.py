"""Tests of the benchmark harness: resuming, rows, and estimates."""

import json

import pytest

from benchmarks.common import harness
from benchmarks.common.harness import Results, Task, estimate, run, spread, write_json


def counting(calls, **key):
    """Return a task that notes each time it is measured."""

    def measure():
        calls.append(key)
        return {"auroc": 0.5}

    return Task(key, measure, guess=7.0)


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "deep" / "rows.jsonl")


def test_run_skips_finished_rows(results):
    calls = []
    tasks = [counting(calls, method="pca", seed=seed) for seed in range(3)]
    run(tasks[:2], results)
    rows = run(tasks, Results(results.path))
    assert [key["seed"] for key in calls] == [0, 1, 2]
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert all(row["auroc"] == 0.5 and row["seconds"] >= 0 for row in rows)
    assert len(results.path.read_text().splitlines()) == 3


def test_interrupted_run_keeps_its_rows(results):
    calls = []

    def interrupted():
        raise KeyboardInterrupt

    tasks = [counting(calls, seed=0), Task({"seed": 1}, interrupted, 1.0)]
    with pytest.raises(KeyboardInterrupt):
        run(tasks, results)
    assert [row["seed"] for row in Results(results.path).rows] == [0]


@pytest.mark.parametrize(
    "change",
    [{"settings": "b"}, {"seed": 1}, {"split": "test"}, {"steps": 20}, {"variant": "idea"}],
)
def test_run_measures_rows_of_other_settings(results, change):
    calls = []
    key = {"settings": "a", "seed": 0, "split": "dev", "steps": None, "variant": "default"}
    run([counting(calls, **key)], results)
    run([counting(calls, **{**key, **change})], results)
    assert len(calls) == 2
    assert len(results.rows) == 2


def test_find_ignores_rows_without_a_field_of_the_key(results):
    results.append({"seed": 0, "auroc": 0.9})
    assert results.find({"seed": 0}) is not None
    assert results.find({"seed": 0, "steps": None}) is None


def test_incomplete_last_line_is_measured_again(results):
    calls = []
    tasks = [counting(calls, seed=seed) for seed in range(2)]
    run(tasks, results)
    whole = results.path.read_bytes()
    results.path.write_bytes(whole[:-9])
    rows = run(tasks, Results(results.path))
    assert [key["seed"] for key in calls] == [0, 1, 1]
    assert [row["seed"] for row in rows] == [0, 1]
    assert [json.loads(line)["seed"] for line in results.path.read_text().splitlines()] == [0, 1]


def test_damaged_line_raises_with_its_number(results):
    results.append({"seed": 0})
    results.path.write_text("{oops\n" + results.path.read_text())
    with pytest.raises(ValueError, match="line 1 is no JSON"):
        Results(results.path)


def test_estimate_prefers_similar_rows_to_the_guess(results, capsys):
    task = counting([], benchmark="b", data="d", method="m", settings="s", seed=0)
    assert estimate([task], results) == 7.0
    results.append({**task.key, "seed": 1, "seconds": 60.0})
    results.append({**task.key, "seed": 2, "seconds": 180.0})
    assert estimate([task, task], results) == 240.0
    run([task], results)
    assert capsys.readouterr().out.startswith("1 of 1 rows to measure, about 2.0 min; 0 are in")


def test_run_notes_rows_of_other_code(results, monkeypatch, capsys):
    task = counting([], seed=0)
    run([task], results)
    assert "other source code" not in capsys.readouterr().out
    monkeypatch.setattr(harness, "code_digest", lambda: "later")
    run([task], results)
    assert "1 finished rows were measured with other source code" in capsys.readouterr().out


def test_write_json_is_atomic(tmp_path):
    path = tmp_path / "new" / "out.json"
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"auroc": float("nan")})
    assert not path.exists()
    write_json(path, {"auroc": 1.0})
    with pytest.raises(TypeError):
        write_json(path, {"auroc": object()})
    assert json.loads(path.read_text()) == {"auroc": 1.0}
    assert list(path.parent.iterdir()) == [path]


def test_spread():
    assert spread([1.0, 2.0, 3.0]) == {"mean": 2.0, "std": 1.0, "min": 1.0, "max": 3.0, "n": 3}
    assert spread([4.0])["std"] is None
