"""The benchmarks about whole runs: what they kill, compare, judge and fit."""

import json
import shutil

import numpy as np
import pytest

from augan.data.modalities.images import ImagePreprocessing
from augan.data.splits import make_split
from augan.evaluation.detection.metrics import auroc
from benchmarks.detection import defects, false_alarm_coverage
from benchmarks.gan import failure_alarms
from benchmarks.speed import memory
from tools.robustness import resume

# ---------------------------------------------------------------- kill and resume


def test_the_moments_are_spread_over_all_parts_and_never_go_back():
    plans = resume.draw(10, seed=3)
    assert plans == resume.draw(10, seed=3)
    assert plans != resume.draw(10, seed=4)
    names = list(resume.PARTS)
    assert [plan[0].part for plan in plans] == names * 2
    assert [len(plan) for plan in plans] == [1, 2] * 5
    for plan in plans:
        places = [(names.index(moment.part), moment.share) for moment in plan]
        assert places == sorted(places)
        assert all(0 <= share < 1 for _, share in places)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", ("data", 0)),
        ('{"stage": "gan", "step": 20}\n', ("gan", 20)),
        ('{"stage": "gan", "step": 20}\n{"stage": "gan", "st', ("gan", 20)),
    ],
)
def test_how_far_a_training_is(tmp_path, log, expected):
    trial = resume.Trial(tmp_path, 60)
    assert trial.reached() == ("data", 0)
    (tmp_path / "metrics.jsonl").write_text(log)
    assert trial.reached() == expected


@pytest.mark.parametrize(
    ("name", "content", "failing"),
    [
        (None, "", None),
        ("summary.json", "{}", None),  # times differ from run to run
        (".bundle.augan.1a2b.tmp", "half", "left_over"),
        ("samples/step_000020.png", "other", "same_pictures"),
        ("metrics.jsonl", "{}", "same_log"),
        ("checkpoints/gan.safetensors", "other", "same_checkpoints"),
    ],
)
def test_what_differs_from_the_reference_is_seen(digits_bundle, tmp_path, name, content, failing):
    reference = resume.Trial(digits_bundle.path.parent, 20)
    other = resume.Trial(tmp_path / "run", 20)
    shutil.copytree(reference.out, other.out)
    if name is not None:
        (other.out / name).write_text(content)
    row = resume.compare(other, reference)
    assert resume.passes(row) == (failing is None)
    bad = [key for key, value in row.items() if value is False or (value and value is not True)]
    assert bad == ([failing] if failing else [])


def test_a_missing_file_and_a_touched_run_fail(digits_bundle, tmp_path):
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


# ---------------------------------------------------------------- alarms


def test_the_largest_loss_of_a_run(tmp_path):
    lines = [
        {"stage": "classifier", "step": 20, "loss": 99.0},
        {"stage": "gan", "step": 20, "d_loss": -7.0, "g_loss": 2.0},
        {"stage": "gan", "step": 40, "d_loss": 1.0, "g_loss": 3.0},
    ]
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert failure_alarms.largest_loss(tmp_path) == {"steps_done": 40, "largest_loss": 7.0}
    lines[-1]["g_loss"] = None
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert failure_alarms.largest_loss(tmp_path)["largest_loss"] is None


def test_cases_have_names_and_settings_of_their_own():
    for field in ("method", "settings"):
        values = [task.key[field] for task in failure_alarms.tasks(failure_alarms.CASES, "default")]
        assert len(set(values)) == len(values)
    kinds = {case.expected for case in failure_alarms.CASES}
    assert kinds == {"", "collapse", "overfitting", "divergence"}


def test_no_alarm_is_only_right_where_none_is_expected():
    good = {"alarm": "", "expected": "", "holds_best": True, "finite": True, "method": "a"}
    assert failure_alarms.passes(good)
    for change in ({"alarm": "collapse"}, {"expected": "collapse"}, {"holds_best": False}):
        assert not failure_alarms.passes({**good, **change})
    summary = failure_alarms.summarize([good, {**good, "alarm": "collapse", "method": "b"}])
    assert summary["false_alarms"] == summary["failed"] == ["b"]
    assert not summary["passed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "kind", "holds_last"), [("1e-3", "", True), ("1e12", "divergence", False)]
)
def test_a_measured_case(rate, kind, holds_last):
    small = [f"{part}.width=2" for part in ("generator", "discriminator", "classifier")]
    settings = (*small, "gan.architecture=mlp", "gan.loss=least_squares", "discriminator.norm=none")
    case = failure_alarms.Case(
        "tiny", kind, (*settings, f"discriminator.learning_rate={rate}"), images=320, steps=20
    )
    (task,) = failure_alarms.tasks([case], "default")
    row = {**task.key, **task.measure()}
    assert failure_alarms.passes(row)
    assert row["holds_last"] == holds_last
    assert (row["last"] is None) == (row["largest_loss"] is None) == (kind == "divergence")
    json.dumps(row, allow_nan=False)


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_growth_is_the_exponent_of_a_power_law(exponent):
    rows = [
        {"count": n, "stage_cpu_seconds": {"split": 1e-2 * n**exponent}} for n in (100, 1000, 9000)
    ]
    rows.append({"count": 1, "stage_cpu_seconds": {"split": 0.03}})  # only its fixed cost
    assert memory.growth(rows, "split") == pytest.approx(exponent, abs=0.01)
    assert memory.growth(rows[:1], "split") is None
    both = [
        {"count": row["count"], "stage_cpu_seconds": {**row["stage_cpu_seconds"], "find": 0.0}}
        for row in rows
    ]
    assert memory.growth(both, "split", "find") == memory.growth(rows, "split")


def test_one_pass_over_the_images_to_fit():
    pixels = np.zeros((300, 8, 8, 3), np.uint8)
    split = make_split(300, seed=0)
    preprocessing = ImagePreprocessing(size=8, channels=3, dtype="uint8", low=0, high=255)
    count = memory._stream(pixels, None, preprocessing, split)
    assert (count - 1) * memory.BATCH_SIZE < len(split.train) <= count * memory.BATCH_SIZE


def test_false_alarms_within_their_law_keep_and_others_break():
    kept = {"n": 99, "n_test": 200, "ours": {"0.01": 2, "0.05": 11, "0.1": 19}}
    rows = [{**kept, "control": {"0.01": 30, "0.05": 60, "0.1": 90}}] * 20
    summary = false_alarm_coverage.summarize(rows)
    assert summary["ours_keeps"]
    assert summary["control_fails"]
    assert summary["ours"]["0.05"] == {"observed": pytest.approx(0.055), "outside": 0}
    assert summary["control"]["0.1"]["outside"] == 20
    assert summary["outside_at_most"] == 3  # 95 % of Binomial(20, 5 %)
    broken = [{**row, "ours": row["control"]} for row in rows]
    assert not false_alarm_coverage.summarize(broken)["ours_keeps"]


def test_mean_auroc_draws_whole_groups_of_normal_images():
    rng = np.random.default_rng(0)
    normal, groups = np.repeat(rng.normal(size=6), 10), [str(i // 10) for i in range(60)]
    anomalies = {"crack": rng.normal(1, 1, 30), "fray": rng.normal(2, 1, 20)}
    values, (low, high) = defects.mean_auroc(normal, groups, anomalies, 0)
    for kind, found in anomalies.items():
        assert values[kind] == pytest.approx(auroc(normal, found))
    assert low < np.mean(list(values.values())) < high
    alone = defects.mean_auroc(normal, [str(i) for i in range(60)], anomalies, 0)[1]
    assert high - low > 1.3 * (alone[1] - alone[0])  # six parts are few witnesses


@pytest.mark.parametrize("kind", defects.DEFECT_TYPES)
def test_a_painted_defect_is_in_one_place_of_a_copy(kind):
    rng = np.random.default_rng(1)
    image, another = (rng.integers(90, 160, (130, 180, 1), dtype=np.uint8) for _ in range(2))
    before = image.copy()
    painted = defects.paint(image, another, kind, rng)
    np.testing.assert_array_equal(image, before)
    assert painted.dtype == np.uint8
    changed = (painted != image).any(axis=-1)
    assert changed.any()
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) < defects.PAINTED_SIDE
