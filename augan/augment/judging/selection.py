"""Choosing the GAN, and how much of it, inside each draw: nested cross-validation.

The choice sees the draw's labels only, so that it costs labels nothing and the test nothing. No
synthetic image at all is one of the choices.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.model_selection import StratifiedKFold

from augan.augment.judging.arms import ARMS, with_synthetic
from augan.augment.judging.draws import Draw
from augan.augment.judging.synthetic import GanArm, synthetic_images
from augan.augment.judging.trial import Trial, figures
from augan.exceptions import ConfigError
from augan.seeding import child_seed

SHARES = (0.25, 0.5, 0.75)  # beside 0
FOLDS = 3


def choose(trial: Trial, candidates: Sequence[GanArm], draw: Draw) -> GanArm:
    """Return the candidate and share of best balanced accuracy within the draw; ties: the less.

    Parameters
    ----------
    trial : Trial
        Its test images are not looked at.
    candidates : sequence of GanArm

    Raises
    ------
    ConfigError
        A class has fewer than 4 labels, of which no two halves could learn from each other.
    """
    least = int(np.bincount(draw.labels, minlength=draw.num_classes).min())
    folds = min(FOLDS, least // 2)
    if folds < 2:
        raise ConfigError(
            f"--select divides the labels of each class, and one has {least}; give it 4 or more"
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=child_seed(draw.seed, "select"))
    reached: dict[tuple[int, float], list[float]] = {}
    for fold, (fit, held) in enumerate(splitter.split(draw.images, draw.labels)):
        inner = replace(
            draw,
            seed=child_seed(draw.seed, "select", fold),
            rows=draw.rows[fit],
            images=draw.images[fit],
            labels=draw.labels[fit],
        )
        judge = replace(trial, test=draw.images[held])
        for place, candidate in enumerate(candidates):
            for share, value in _of_fold(judge, candidate, inner, draw.labels[held]).items():
                reached.setdefault((place, share), []).append(value)
    # Less synthetic first, so that equal figures add nothing.
    options = sorted(reached, key=lambda option: (option[1], option[0]))
    best, share = max(options, key=lambda option: float(np.mean(reached[option])))
    return replace(candidates[best], share=share)


def _of_fold(trial: Trial, arm: GanArm, draw: Draw, truth: np.ndarray) -> dict[float, float]:
    """Return the balanced accuracy of each share."""
    base = ARMS[arm.base].make(draw, trial.policy, trial.classifier)
    images, labels = synthetic_images(arm, draw)
    lessons = {0.0: base}
    lessons |= {share: with_synthetic(base, images, labels, share) for share in SHARES}
    found = {share: trial.predict(lesson, draw) for share, lesson in lessons.items()}
    return {
        share: figures(predicted, truth, draw.num_classes)["balanced_accuracy"]
        for share, predicted in found.items()
    }
