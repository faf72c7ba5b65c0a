"""Tests of the defect benchmark."""

import numpy as np
import pytest

from augan.evaluation.detection.metrics import auroc
from benchmarks.detection import defects


def test_mean_auroc_resamples_whole_groups():
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
def test_paint_changes_one_region_of_a_copy(kind):
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
