"""Training loop, which repeats a training step until the budget of a stage is used.

Many steps run in one graph call, to hide the overhead of Python.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from augan.exceptions import RunInterruptedError, TrainingDivergedError
from augan.gan import tf
from augan.training.budget import StageBudget, Stopwatch
from augan.training.callbacks import Callback
from augan.training.checkpoints import Checkpoints
from augan.training.distributed.workers import Workers
from augan.training.signals import StopSignal

# Steps in one graph call: enough to hide the overhead of Python, few enough to stop in time.
STEPS_PER_CALL = 20


class TrainStep(Protocol):
    """Networks with one training step, which the loop repeats.

    Attributes
    ----------
    metric_names : tuple of str
        Names of the scalars that a step returns.
    """

    metric_names: tuple[str, ...]

    @property
    def state(self) -> list[Any]:
        """All variables that the next step depends on, in a fixed order."""

    def train_step(self, data: tuple[Any, ...]) -> dict[str, Any]:
        """Update the networks on one batch, on all replicas.

        `data` are the arrays of `StepBatches.chunk` for one step, such as (samples, classes).
        Returns the scalar tensors of `metric_names`.
        """


class StepBatches(Protocol):
    """Batches of a stage: `augan.training.batches.Batches` or `JointBatches`."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the arrays of one step."""

    def chunk(self, first: int, count: int) -> tuple[Any, ...]:
        """Return float32 arrays `[count, *shape]` for `count` steps from the step `first` on."""


@dataclass(frozen=True)
class TrainingSession:
    """Everything around a training: who is notified, where files go, who trains, when it stops.

    Attributes
    ----------
    callbacks : tuple of Callback
        Notified after each graph call of up to 20 steps.
    samples : Path or None
        Folder of the sample grids; None: no grids.
    stopwatch : Stopwatch
        Measures the time of each stage.
    checkpoints : Checkpoints
        Files from which the training continues; by default there are none.
    stop : callable
        Returns the name of a signal when the training must stop, else None; see
        `augan.training.signals`.
    workers : Workers
        The processes that train together; by default this process alone.
    """

    callbacks: tuple[Callback, ...] = ()
    samples: Path | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    checkpoints: Checkpoints = field(default_factory=lambda: Checkpoints(None))
    stop: StopSignal = lambda: None
    workers: Workers = field(default_factory=Workers)


def run_loop(
    stage: str,
    train_step: TrainStep,
    batches: StepBatches,
    budget: StageBudget,
    session: TrainingSession | None = None,
    *,
    more_state: Sequence[Any] = (),
    finished: Callable[[], bool] = lambda: False,
) -> int:
    """Train one stage, batch after batch, until its budget ends; return the number of steps.

    Training continues from the last checkpoint of `stage`, which also holds the variables of
    `more_state`. At least one graph call is made, however short the budget is, unless the
    checkpoint says that the stage has ended. With several workers, the chief's clock and
    `finished` decide, a signal to any worker stops all of them, and only the chief's checkpoint is
    read.

    Parameters
    ----------
    stage : str
        Name of the stage, for checkpoints, callbacks and messages.
    train_step : TrainStep
        Networks to train.
    batches : StepBatches
        Samples of each step.
    budget : StageBudget
        Limits of the stage.
    session : TrainingSession or None
        None: without callbacks, checkpoints and other workers.
    more_state : sequence of tf.Variable
        Variables of the checkpoint besides those of `train_step`.
    finished : callable
        Returns whether the stage ends before its budget is used.

    Raises
    ------
    RunInterruptedError
        `session.stop` returned a signal; the state is saved first.
    TrainingDivergedError
        The losses are no longer finite, and `finished` does not end the stage.
    """
    session = session or TrainingSession()
    checkpoints, workers = session.checkpoints, session.workers
    state = [*train_step.state, *more_state]
    step, done = _restore(checkpoints, stage, state, workers)
    train_steps = None if done else _compile(train_step, batches)

    def continues() -> bool:
        # `finished` is first: a run that was killed after a failure must not continue when resumed.
        has_budget = step == 0 or budget.progress(step) < 1.0
        return workers.broadcast(not finished() and has_budget)

    while train_steps is not None and continues():
        remaining = STEPS_PER_CALL if budget.steps is None else budget.steps - step
        count = min(STEPS_PER_CALL, remaining)
        losses = train_steps(*batches.chunk(step, count))
        step += count
        workers.position = f"after step {step} of the {stage}"
        means = {name: float(value) for name, value in losses.items()}
        for callback in session.callbacks:
            callback.on_progress(stage, step, budget, means)
        is_finite = all(map(math.isfinite, means.values()))
        if not is_finite and not workers.broadcast(finished()):  # no monitor ends the stage
            raise TrainingDivergedError(
                f"the training of the {stage} diverged before step {step}: its losses are no "
                "longer finite; train again with lower learning rates, or with more samples"
            )
        signal = workers.any_signal(session.stop())
        if signal or checkpoints.due(stage, step):
            checkpoints.save(stage, step, state)
        if signal:
            raise RunInterruptedError(
                f"stopped by {signal} after step {step} of the {stage}; the same command with "
                "--resume continues from there"
            )
    if not done:
        workers.sync_variables(state)
        checkpoints.save(stage, step, state, done=True)
    return step


def _restore(
    checkpoints: Checkpoints, stage: str, state: Sequence[Any], workers: Workers
) -> tuple[int, bool]:
    """Set all workers to the chief's last checkpoint of a stage.

    Returns the step of the checkpoint (0 without a checkpoint) and whether the stage had ended.
    """
    restored = json.dumps(checkpoints.restore(stage, state)).encode()
    step, done = json.loads(workers.broadcast_bytes(restored))
    if step:
        workers.sync_variables(state)
    return step, done


def _compile(train_step: TrainStep, batches: StepBatches) -> Callable[..., dict[str, Any]]:
    """Compile the loop over the steps of one graph call.

    The result maps arrays `[n, *shape]`, one for each of `batches.shapes`, to the mean of each
    scalar over the n steps.
    """
    # A step branches by `tf.cond` only. AutoGraph would take longer than the compilation.
    step = tf.autograph.experimental.do_not_convert(train_step.train_step)

    @tf.function(
        input_signature=[tf.TensorSpec((None, *shape), tf.float32) for shape in batches.shapes]
    )
    def train_steps(*arrays: Any) -> dict[str, Any]:
        total = {name: tf.zeros(()) for name in train_step.metric_names}
        count = tf.shape(arrays[0])[0]
        for i in tf.range(count):
            values = step(tuple(array[i] for array in arrays))
            total = {name: total[name] + values[name] for name in total}
        return {name: value / tf.cast(count, tf.float32) for name, value in total.items()}

    return train_steps
