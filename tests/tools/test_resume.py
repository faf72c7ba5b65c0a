"""Tests of the resume check: kill moments, and the comparison with a reference run."""

import shutil

import pytest

from tools.robustness import resume


def test_draw_spreads_moments_over_all_stages_in_order():
    plans = resume.draw(10, seed=3)
    assert plans == resume.draw(10, seed=3)
    assert plans != resume.draw(10, seed=4)
    names = list(resume.STAGES)
    assert [plan[0].stage for plan in plans] == names * 2
    assert [len(plan) for plan in plans] == [1, 2] * 5
    for plan in plans:
        positions = [(names.index(moment.stage), moment.fraction) for moment in plan]
        assert positions == sorted(positions)
        assert all(0 <= fraction < 1 for _, fraction in positions)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", ("data", 0)),
        ('{"stage": "gan", "step": 20}\n', ("gan", 20)),
        ('{"stage": "gan", "step": 20}\n{"stage": "gan", "st', ("gan", 20)),
    ],
)
def test_reached_reads_the_last_complete_log_line(tmp_path, log, expected):
    trial = resume.Trial(tmp_path, 60)
    assert trial.reached() == ("data", 0)
    (tmp_path / "metrics.jsonl").write_text(log)
    assert trial.reached() == expected


@pytest.mark.parametrize(
    ("name", "content", "failing"),
    [
        (None, "", None),
        ("summary.json", "{}", None),  # times differ from run to run
        (".bundle.augan.7.1a2b3c4d.part", "half", "left_over"),
        ("samples/step_000020.png", "other", "same_pictures"),
        ("metrics.jsonl", "{}", "same_log"),
        ("checkpoints/gan.safetensors", "other", "same_checkpoints"),
    ],
)
def test_compare_finds_every_difference(digits_bundle, tmp_path, name, content, failing):
    reference = resume.Trial(digits_bundle.path.parent, 20)
    other = resume.Trial(tmp_path / "run", 20)
    shutil.copytree(reference.out, other.out)
    if name is not None:
        (other.out / name).write_text(content)
    row = resume.compare(other, reference)
    assert resume.passes(row) == (failing is None)
    bad = [key for key, value in row.items() if value is False or (value and value is not True)]
    assert bad == ([failing] if failing else [])


def test_passes_refuses_missing_files_and_touched_runs(digits_bundle, tmp_path):
    reference = resume.Trial(digits_bundle.path.parent, 20)
    other = resume.Trial(tmp_path / "run", 20)
    shutil.copytree(reference.out, other.out)
    row = resume.compare(other, reference)
    assert resume.passes({**row, "untouched": True})
    assert not resume.passes({**row, "untouched": False})
    (other.out / "config.yaml").unlink()
    row = resume.compare(other, reference)
    assert row["missing"] == ["config.yaml"]
    assert not resume.passes(row)
