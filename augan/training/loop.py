"""The loop: it runs any update, several steps in one graph, until its steps or time are over."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from augan.exceptions import RunInterruptedError, TrainingDivergedError
from augan.gan import tf
from augan.training.batches import Batches
from augan.training.checkpoints import Checkpoints
from augan.training.distributed.workers import Workers
from augan.training.signals import Stop

STEPS_A_CALL = 20  # steps inside one graph call: enough to hide Python, few enough to stop in time


class Trainable(Protocol):
    """What the loop trains."""

    metric_names: tuple[str, ...]  # names of what a step returns

    @property
    def state(self) -> list[Any]:
        """All variables that the next step depends on, in a fixed order."""

    def train_step(self, data: tuple[Any, Any]) -> dict[str, Any]:
        """Take one step on (images, classes), on all replicas, and return scalars."""


class Observer(Protocol):
    """What a run tells the outside while it works."""

    def on_steps(
        self, part: str, step: int, allowance: "Allowance", losses: dict[str, float]
    ) -> None:
        """`step` updates of `part` are done; `losses` are the means since the last call."""


@dataclass(frozen=True)
class Allowance:
    """How long a part may train: a number of steps, a moment on the monotonic clock, or both."""

    steps: int | None
    started: float
    deadline: float | None

    def done(self, step: int) -> float:
        """Return the share that is used up after `step` steps, 0 to 1."""
        shares = [0.0]
        if self.steps is not None:
            shares.append(step / self.steps)
        if self.deadline is not None:
            span = max(1e-9, self.deadline - self.started)
            shares.append((time.monotonic() - self.started) / span)
        return min(1.0, max(shares))


def run_loop(
    part: str,
    trainable: Trainable,
    batches: Batches,
    allowance: Allowance,
    *,
    observers: Sequence[Observer] = (),
    checkpoints: Checkpoints | None = None,
    more_state: Sequence[Any] = (),
    finished: Callable[[], bool] = lambda: False,
    stop: Stop = lambda: None,
    workers: Workers | None = None,
) -> int:
    """Train on one batch after another and return the number of steps done.

    It goes on from the last checkpoint of `part`, which also holds the variables of `more_state`.
    At least one call is made, so that a part always exists, however short the time was. `finished`
    may end the part early. Where several `workers` train, the chief's clock and `finished` count, a
    signal to any of them stops all, and only the chief's checkpoint is read.

    Raises
    ------
    RunInterruptedError
        If `stop` names a signal; the state is saved first.
    TrainingDivergedError
        The losses are not finite any more, and `finished` does not end the part for it.
    """
    keeper, team = checkpoints or Checkpoints(None), workers or Workers()
    state = [*trainable.state, *more_state]
    step, done = _restored(keeper, part, state, team)
    several = None if done else _compile(trainable, batches)

    def goes_on() -> bool:
        # `finished` first: a run that was killed after its alarm does not go on when it is resumed.
        return team.told(not finished() and (step == 0 or allowance.done(step) < 1.0))

    while several is not None and goes_on():
        left = STEPS_A_CALL if allowance.steps is None else allowance.steps - step
        count = min(STEPS_A_CALL, left)
        losses = several(*batches.chunk(step, count))
        step += count
        team.place = f"after step {step} of the {part}"
        means = {name: float(value) for name, value in losses.items()}
        for observer in observers:
            observer.on_steps(part, step, allowance, means)
        is_finite = all(map(math.isfinite, means.values()))
        if not is_finite and not team.told(finished()):  # nobody watches it
            raise TrainingDivergedError(
                f"the training of the {part} diverged before step {step}: its losses are no longer "
                "finite; train again with lower learning rates, or with more samples"
            )
        signal = team.heard(stop())
        if signal or keeper.due(part, step):
            keeper.save(part, step, state)
        if signal:
            raise RunInterruptedError(
                f"stopped by {signal} after step {step} of the {part}; the same command with "
                "--resume goes on from there"
            )
    if not done:
        team.follow(state)
        keeper.save(part, step, state, done=True)
    return step


def _restored(
    keeper: Checkpoints, part: str, state: Sequence[Any], team: Workers
) -> tuple[int, bool]:
    """Give all workers the chief's last checkpoint; return its step, and whether the part ended."""
    step, done = json.loads(team.from_chief(json.dumps(keeper.restore(part, state)).encode()))
    if step:
        team.follow(state)
    return step, done


def _compile(trainable: Trainable, batches: Batches) -> Callable[..., dict[str, Any]]:
    # A step branches by tf.cond only; searching its code for more takes longer than compiling it.
    step = tf.autograph.experimental.do_not_convert(trainable.train_step)
    image_shape = batches.images.shape[1:]

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, batches.batch_size, *image_shape), tf.float32),
            tf.TensorSpec((None, batches.batch_size, batches.num_classes), tf.float32),
        ]
    )
    def several(images: Any, classes: Any) -> dict[str, Any]:
        total = {name: tf.zeros(()) for name in trainable.metric_names}
        count = tf.shape(images)[0]
        for i in tf.range(count):
            values = step((images[i], classes[i]))
            total = {name: total[name] + values[name] for name in total}
        return {name: value / tf.cast(count, tf.float32) for name, value in total.items()}

    return several
