"""Tests of `augan.training.loop`."""

import time

import numpy as np
import pytest

from augan.exceptions import TrainingDivergedError
from augan.gan import tf
from augan.training.batches import Batches
from augan.training.budget import StageBudget
from augan.training.loop import STEPS_PER_CALL, TrainingSession, run_loop
from tests.training.test_batches import as_float, make_batches


class Recorder:
    """A training step that records its inputs in the graph, and a callback."""

    metric_names = ("mean", "classes")

    def __init__(self):
        self.sum = tf.Variable(0.0)
        self.weighted = tf.Variable(0.0)
        self.steps = tf.Variable(0)
        self.calls = []

    @property
    def state(self):
        return [self.sum, self.weighted, self.steps]

    def train_step(self, data):
        images, classes = data
        mean = tf.reduce_mean(images)
        self.steps.assign_add(1)
        self.sum.assign_add(mean)
        # Depends on the order of the batches.
        self.weighted.assign_add(tf.cast(self.steps, tf.float32) * mean)
        return {"mean": mean, "classes": tf.reduce_sum(classes)}

    def on_progress(self, stage, step, budget, losses):
        self.calls.append((stage, step, budget, losses))


def batch_means(batches, steps):
    return [float(batches.chunk(step, 1)[0].mean()) for step in range(steps)]


def steps_only(steps):
    return StageBudget(steps, time.monotonic(), None)


@pytest.mark.parametrize("steps", [1, 19, 20, 21, 47])
def test_run_loop_runs_exactly_its_steps(steps):
    batches, recorder = make_batches(30, 4, classes=2), Recorder()
    budget = steps_only(steps)
    assert run_loop("gan", recorder, batches, budget, TrainingSession((recorder,))) == steps
    assert recorder.steps.numpy() == steps
    means = batch_means(batches, steps)
    assert float(recorder.sum) == pytest.approx(sum(means), rel=1e-5)
    weighted = sum(i * mean for i, mean in enumerate(means, 1))
    assert float(recorder.weighted) == pytest.approx(weighted, rel=1e-5)
    ends = [*range(STEPS_PER_CALL, steps, STEPS_PER_CALL), steps]
    assert [call[:3] for call in recorder.calls] == [("gan", end, budget) for end in ends]
    begin = 0
    for end, (*_, losses) in zip(ends, recorder.calls):
        assert losses["mean"] == pytest.approx(np.mean(means[begin:end]), rel=1e-5)
        assert losses["classes"] == 4
        assert all(type(value) is float for value in losses.values())
        begin = end


def test_run_loop_makes_one_call_after_its_deadline():
    recorder, now = Recorder(), time.monotonic()
    done = run_loop("gan", recorder, make_batches(9, 2), StageBudget(None, now - 9, now - 1))
    assert done == STEPS_PER_CALL == recorder.steps.numpy()
    done = run_loop("gan", recorder, make_batches(9, 2), StageBudget(3, now - 9, now - 1))
    assert done == 3


def test_run_loop_ends_at_its_deadline():
    class Slow(Recorder):
        def on_progress(self, *told):
            super().on_progress(*told)
            time.sleep(0.05)

    recorder = Slow()
    run_loop("gan", recorder, make_batches(9, 2), steps_only(20))  # traced once: warm
    begun = time.monotonic()
    budget = StageBudget(10**7, begun, begun + 1.0)
    done = run_loop("gan", recorder, make_batches(9, 2), budget, TrainingSession((recorder,)))
    took = time.monotonic() - begun
    assert 1.0 <= took < 3.0
    assert done < 10**7
    assert done % STEPS_PER_CALL == 0
    assert recorder.calls[-1][1] == done


def test_run_loop_notifies_every_callback():
    one, other = Recorder(), Recorder()
    run_loop("encoder", one, make_batches(9, 2), steps_only(21), TrainingSession((one, other)))
    assert [call[:2] for call in other.calls] == [("encoder", 20), ("encoder", 21)]
    assert one.calls == other.calls


class Diverging:
    """A training step whose losses are not finite from the 40th step on."""

    metric_names = ("loss",)

    def __init__(self):
        self.steps = tf.Variable(0.0)
        self.state = [self.steps]

    def train_step(self, data):
        self.steps.assign_add(1.0)
        return {"loss": 1.0 / tf.maximum(40.0 - self.steps, 0.0)}


def test_run_loop_raises_for_losses_that_are_not_finite():
    images = np.zeros((8, 2, 2, 1), np.uint8)
    data = Batches(images, None, num_classes=0, batch_size=4, normalize=as_float, seed=0)
    with pytest.raises(
        TrainingDivergedError, match="training of the encoder diverged before step 40"
    ):
        run_loop("encoder", Diverging(), data, steps_only(100))
    ends = iter([False, False, True, True])  # a monitor's word is enough
    assert run_loop("gan", Diverging(), data, steps_only(100), finished=lambda: next(ends)) == 40
