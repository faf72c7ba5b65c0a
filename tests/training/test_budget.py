"""Tests of `augan.training.budget`."""

import time

import pytest

from augan.exceptions import DataError
from augan.training.budget import StageBudget, Stopwatch, TrainingBudget
from augan.training.stages.base import STAGES


def test_stage_budget_by_steps():
    budget = StageBudget(steps=40, started=0.0, deadline=None)
    assert [budget.progress(step) for step in (0, 10, 40, 50)] == [0.0, 0.25, 1.0, 1.0]


def test_stage_budget_by_time():
    now = time.monotonic()
    half = StageBudget(None, now - 100, now + 100)
    assert half.progress(10**9) == pytest.approx(0.5, abs=0.02)
    assert StageBudget(None, now - 2, now - 1).progress(0) == 1.0
    assert StageBudget(None, now, now).progress(0) == 1.0
    assert StageBudget(None, now, None).progress(10**9) == 0.0


def test_stage_budget_ends_with_the_first_limit():
    now = time.monotonic()
    both = StageBudget(100, now - 100, now + 100)
    assert both.progress(90) == pytest.approx(0.9)
    assert both.progress(10) == pytest.approx(0.5, abs=0.02)


def stage_budgets(stages, budget):
    """Return the budgets of stages that all start now."""
    shares = [STAGES.get(stage).share for stage in stages]
    return [budget.stage_budget(share, shares[i + 1 :]) for i, share in enumerate(shares)]


@pytest.mark.parametrize(
    ("steps", "expected"), [(1000, [1000, 500, 250]), (5, [5, 3, 2]), (1, [1, 1, 1])]
)
def test_steps_of_the_stages_are_proportional_and_at_least_one(steps, expected):
    budgets = stage_budgets(("gan", "encoder", "classifier"), TrainingBudget(steps))
    assert [budget.steps for budget in budgets] == expected
    assert all(budget.deadline is None for budget in budgets)


@pytest.mark.parametrize(
    "stages", [("gan",), ("gan", "encoder"), ("gan", "classifier"), STAGES.names()]
)
def test_time_is_shared_and_the_last_stage_gets_the_rest(stages):
    deadline = time.monotonic() + 1000
    budgets = stage_budgets(stages, TrainingBudget(None, deadline))
    times = [STAGES.get(stage).share.time for stage in stages]
    assert budgets[0].steps is None
    span = budgets[0].deadline - budgets[0].started
    assert span == pytest.approx(1000 * times[0] / sum(times), rel=0.01)
    assert budgets[-1].deadline == pytest.approx(deadline, abs=0.01)


def test_unused_time_passes_to_later_stages():
    # The classifier used nothing of its share: the GAN divides all of the time with the encoder.
    stages = ("classifier", "gan", "encoder")
    budget = TrainingBudget(10, time.monotonic() + 1000)
    gan = budget.stage_budget(STAGES.get("gan").share, [STAGES.get("encoder").share])
    assert gan.deadline - gan.started == pytest.approx(1000 * 0.66 / 0.92, rel=0.01)
    assert sum(STAGES.get(stage).share.time for stage in stages) == pytest.approx(1)


def test_a_budget_without_a_limit_is_refused():
    with pytest.raises(ValueError, match="requires steps or a deadline"):
        TrainingBudget(None)


def test_a_budget_past_its_deadline_allows_nothing_more():
    for budget in stage_budgets(("gan", "encoder"), TrainingBudget(10, time.monotonic() - 5)):
        assert budget.deadline == budget.started
        assert budget.progress(0) == 1.0


def test_stopwatch_adds_up_the_time_of_each_stage():
    stopwatch = Stopwatch()
    for _ in range(2):
        with stopwatch.measure("gan"):
            time.sleep(0.02)
    with stopwatch.measure("encoder"):
        time.sleep(0.01)
    assert stopwatch.seconds["gan"] >= 0.04
    assert 0.01 <= stopwatch.seconds["encoder"] < 0.04
    assert stopwatch.seconds["start-up"] == 0


def test_stopwatch_includes_the_time_before_it_was_created():
    stopwatch = Stopwatch(time.monotonic() - 10)
    assert stopwatch.seconds["start-up"] == pytest.approx(10, abs=0.5)
    assert time.monotonic() - stopwatch.started == pytest.approx(10, abs=0.5)


def test_stopwatch_includes_a_stage_that_failed():
    stopwatch = Stopwatch()

    def fail():
        with stopwatch.measure("data"):
            time.sleep(0.01)
            raise DataError("no")

    with pytest.raises(DataError):
        fail()
    assert stopwatch.seconds["data"] >= 0.01
