"""Find digits that are not sevens: `GANDetector` as the last step of a scikit-learn Pipeline.

The detector learns from sevens only. It is judged by AUROC (0.5 is chance, 1 is perfect) beside the
distance to the nearest training images, on pictures that neither has seen.

    python examples/detector_in_pipeline.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from augan import GANDetector

NORMAL = 7


def as_images(rows: np.ndarray) -> np.ndarray:
    """Turn rows of 64 values from 0 to 16 into pictures [N, 8, 8] from 0 to 255."""
    return np.rint(rows * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)


def main() -> None:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    normal = X_train[y_train == NORMAL]

    pipeline = make_pipeline(
        FunctionTransformer(as_images),
        GANDetector(far=0.05, random_state=0),
    )
    pipeline.fit(normal)

    scores = {"GANDetector": -pipeline.score_samples(X_test)}
    distances, _ = NearestNeighbors(n_neighbors=2).fit(normal).kneighbors(X_test)
    scores["nearest neighbours"] = distances.mean(axis=1)

    is_anomaly = y_test != NORMAL
    print(f"normal is {NORMAL}: {len(normal)} pictures to learn from, {len(X_test)} to judge")
    for name, score in scores.items():
        print(f"{name:<20} AUROC {roc_auc_score(is_anomaly, score):.3f}")

    flagged = pipeline.predict(X_test) == -1
    print(f"flagged at a false-alarm rate of 5 %: {flagged[~is_anomaly].mean():.1%} of the sevens,")
    print(f"{flagged[is_anomaly].mean():.1%} of the other digits")


if __name__ == "__main__":
    main()
