"""Tests of the memory benchmark."""

import numpy as np
import pytest

from augan.data.modalities.images import ImagePreprocessing
from augan.data.splits import make_split
from benchmarks.speed import memory


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_growth_returns_the_exponent_of_a_power_law(exponent):
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


def test_stream_reads_one_pass_over_the_training_images():
    pixels = np.zeros((300, 8, 8, 3), np.uint8)
    split = make_split(300, seed=0)
    preprocessing = ImagePreprocessing(size=8, channels=3, dtype="uint8", low=0, high=255)
    count = memory._stream(pixels, None, preprocessing, split)
    assert (count - 1) * memory.BATCH_SIZE < len(split.train) <= count * memory.BATCH_SIZE
