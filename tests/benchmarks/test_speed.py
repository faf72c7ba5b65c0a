"""The benchmarks of speed: what they compare, fit and sum up."""

import json
import sys

import pytest

from benchmarks.common import compare_runs, interleaved_timing
from benchmarks.speed import dataset_size, startup, training, workers


def write_measurements(path, *rows):
    path.write_text(json.dumps({"figures": list(rows)}))
    return str(path)


@pytest.mark.parametrize(
    ("more", "old", "new", "worse"),
    [
        (True, [10, 11, 12], [7, 8, 9], True),
        (True, [10, 11, 12], [7, 8, 11.5], False),  # the spread of the new explains it
        (True, [8, 11, 12], [8.5, 9, 9.5], False),  # and that of the old
        (True, [10, 11, 12], [14, 15, 16], False),
        (False, [10, 11, 12], [14, 15, 16], True),
        (False, [10, 11, 12], [7, 8, 9], False),
        (False, [10], [10.4], False),  # single measurements differ by that much
        (False, [10], [12], True),
    ],
)
def test_what_became_slower_by_more_than_the_spread(more, old, new, worse, tmp_path, capsys):
    one, other = (
        write_measurements(
            tmp_path / f"{i}.json", interleaved_timing.measurement("a", v, "s", more_is_better=more)
        )
        for i, v in enumerate((old, new))
    )
    if worse:
        with pytest.raises(SystemExit) as stopped:
            compare_runs.main([one, other])
        assert stopped.value.code == 1
    else:
        compare_runs.main([one, other])
    assert ("slower" in capsys.readouterr().out) == worse


def test_files_without_common_figures_are_an_error(tmp_path, capsys):
    row = interleaved_timing.measurement("a", [1], "s", more_is_better=False)
    one = write_measurements(tmp_path / "one.json", row)
    other = write_measurements(tmp_path / "other.json", {**row, "name": "b"})
    (tmp_path / "rows.json").write_text('{"rows": []}')
    for path in (other, str(tmp_path / "rows.json"), str(tmp_path / "none.json")):
        with pytest.raises(SystemExit) as stopped:
            compare_runs.main([one, path])
        assert stopped.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_sides_take_turns_and_end():
    code = (
        "from benchmarks.common.interleaved_timing import run_worker; import time; "
        "run_worker({'name': 'a'}, lambda: time.sleep(0.01))"
    )
    with interleaved_timing.TimedProcess([sys.executable, "-c", code]) as side:
        assert side.about == {"name": "a"}
        seconds = interleaved_timing.time_in_turns({"a": side}, 3)
    assert len(seconds["a"]) == 3
    assert all(0.01 <= value < 5 for value in seconds["a"])
    assert side._process.returncode == 0
    with pytest.raises(RuntimeError, match="ended with 3 before"):
        interleaved_timing.TimedProcess([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_what_grows(power):
    points = [(n, 7 + 0.01 * n**power) for n in (10, 40, 160, 640)]
    assert dataset_size.exponent(points) == pytest.approx(power, abs=0.01)
    assert dataset_size.exponent(points[:2]) is None


def test_what_training_speed_sums_up():
    measured = {
        "rates": {"augan": [30, 20, 10], "torch": [10, 10, 10], "input": [300, 100, 100]},
        "matmul": {"matmul": [1000.0, 2000.0], "torch-matmul": [600.0, 500.0]},
        "about": {"flops": [2, 3]},
    }
    found = training.summarize(measured)
    assert found["ratio_to_torch"] == 2
    assert found["ratio_to_torch_same_tricks"] is None
    assert found["share_of_matmul"] == 0.4  # 20 images of 3 * 2 + 8 * 3 operations, of 1500
    assert found["input_times_training"] == 10
    same = {"parameters": [5, 6], "flops": [1, 2]}
    training.check_equal({"a": same, "b": dict(same)})
    with pytest.raises(ValueError, match="flops are"):
        training.check_equal({"a": same, "b": {**same, "flops": [1, 3]}})


def test_both_sides_count_the_same_networks():
    torch = pytest.importorskip("benchmarks.speed.training_torch")
    from augan.data.modalities.images import ImagePreprocessing
    from benchmarks.speed.training_augan import describe_networks, settings

    for norm in ("batch", "spectral"):
        for size, channels in ((16, 1), (32, 3)):
            scale = ImagePreprocessing(size, channels, "uint8", 0.0, 255.0)
            counts = describe_networks(settings(size, 4, norm, "augan"), scale)
            torch_counts = torch.TorchGan(size, channels, 4, norm, "torch").describe()
            training.check_equal({"augan": counts, "torch": torch_counts})


def test_the_parts_of_a_start_up_have_goals():
    rows = [
        interleaved_timing.measurement(name, [value], "s", more_is_better=False)
        for name, value in (
            ("detect one, both", 6.0),
            ("pillow", 1.0),
            ("detect 10 files, both", 4.0),
            ("augment 5000", 9.0),
        )
    ]
    found = startup.summarize(rows, 10)
    assert found["detect_one_s"] == {"both": 6.0}
    assert found["share_of_pillow"] == {"both": 0.25}
    assert found["augment_5000_s"] == 9.0


def test_what_many_images_cost_is_in_proportion():
    one = workers.cost(rate=100, read=1e3, written=50, listed=200, number=10**6)
    assert one == {
        "images": 10**6,
        "core_hours": 2.78,
        "read_gb": 1.0,
        "written_gb": 0.05,
        "memory_gb": 0.2,
    }
    about = {"rate": 100, "row": 40, "overlay": 1000, "stored": 1e3, "listed": 200}
    (first, *_) = workers.table("x", [{"job": "detect", "about": about}])
    assert first == {"case": "x", "job": "detect", **one}
