"""The loop: it runs any update, several steps in one graph, until its steps or time are over."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from augan.gan import tf
from augan.training.batches import Batches

STEPS_A_CALL = 20  # steps inside one graph call: enough to hide Python, few enough to stop in time

Update = Callable[[tuple[Any, Any]], dict[str, Any]]


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
    update: Update,
    batches: Batches,
    allowance: Allowance,
    observers: Sequence[Observer] = (),
) -> int:
    """Apply `update` to one batch after another and return the number of steps done.

    At least one call is made, so that a part always exists, however short the time was.
    """
    several = _compile(update, batches)
    step = 0
    while step == 0 or allowance.done(step) < 1.0:
        left = STEPS_A_CALL if allowance.steps is None else allowance.steps - step
        count = min(STEPS_A_CALL, left)
        losses = several(*batches.chunk(step, count))
        step += count
        means = {name: float(value) for name, value in losses.items()}
        for observer in observers:
            observer.on_steps(part, step, allowance, means)
    return step


def _compile(update: Update, batches: Batches) -> Callable[..., dict[str, Any]]:
    strategy = tf.distribute.get_strategy()
    image_shape = batches.images.shape[1:]

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, batches.batch_size, *image_shape), tf.float32),
            tf.TensorSpec((None, batches.batch_size, batches.num_classes), tf.float32),
        ]
    )
    def several(images: Any, classes: Any) -> dict[str, Any]:
        first = strategy.run(update, args=((images[0], classes[0]),))
        total = {name: tf.convert_to_tensor(value) for name, value in first.items()}
        count = tf.shape(images)[0]
        for i in tf.range(1, count):
            losses = strategy.run(update, args=((images[i], classes[i]),))
            total = {name: total[name] + losses[name] for name in total}
        return {name: value / tf.cast(count, tf.float32) for name, value in total.items()}

    return several
