"""`GANOverSampler` in an imbalanced-learn Pipeline that balances rare classes in cross-validation.

Four of the ten digits are rare. Inside the Pipeline, the sampler of each fold receives the training
part of the fold only, so that no test image reaches the GAN. Each line of the output is the mean
and the standard deviation of the balanced accuracy over the folds.

    python examples/oversampling_in_pipeline.py
"""

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import SVC

from augan import GANOverSampler

RARE = (2, 3, 5, 8)
NUM_RARE = 9  # images of each rare class


def imbalanced_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's digits with only `NUM_RARE` images of each class in `RARE`."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    indices = [
        rng.permutation(np.flatnonzero(y == label))[: NUM_RARE if label in RARE else None]
        for label in set(y)
    ]
    subset = np.sort(np.concatenate(indices))
    return X[subset], y[subset]


def main() -> None:
    X, y = imbalanced_digits()
    samplers = {
        "none": None,
        "RandomOverSampler": RandomOverSampler(random_state=0),
        "GANOverSampler": GANOverSampler(image_shape=(8, 8), steps=600, random_state=0),
    }
    folds = StratifiedKFold(n_splits=3, shuffle=True, random_state=0)
    print(
        f"{len(y)} digits, {NUM_RARE} each of {', '.join(map(str, RARE))}; {folds.n_splits} folds"
    )
    for name, sampler in samplers.items():
        steps = [SVC()] if sampler is None else [sampler, SVC()]
        scores = cross_val_score(
            make_pipeline(*steps), X, y, cv=folds, scoring="balanced_accuracy", error_score="raise"
        )
        print(f"{name:<18} balanced accuracy {scores.mean():.3f} ± {scores.std():.3f}")


if __name__ == "__main__":
    main()
