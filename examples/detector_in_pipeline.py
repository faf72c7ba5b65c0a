"""`GANDetector` in a Pipeline that detects digits other than seven, with a grid search.

The detector must train on sevens only. The search therefore receives its folds: each fold trains on
sevens, and computes the AUROC (0.5 is chance, 1 is perfect) on other sevens and a few labeled
anomalies. The last lines of the output are metrics on test images, which no fold contains.

    python examples/detector_in_pipeline.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from augan import GANDetector

NORMAL = 7
NUM_ANOMALIES = 100  # labeled anomalies for the grid search


def as_images(rows: np.ndarray) -> np.ndarray:
    """Return rows of 64 values from 0 to 16 as uint8 images [N, 8, 8] from 0 to 255."""
    return np.rint(rows * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)


def main() -> None:
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    normal, anomalies = X[y == NORMAL], X[y != NORMAL][:NUM_ANOMALIES]
    pipeline = make_pipeline(FunctionTransformer(as_images), GANDetector(steps=300, random_state=0))

    anomaly_indices = len(normal) + np.arange(len(anomalies))
    folds = [
        (train, np.concatenate([validation, anomaly_indices]))
        for train, validation in KFold(2, shuffle=True, random_state=0).split(normal)
    ]
    # refit=False, because the search would refit on the anomalies too.
    grid = {"gandetector__method": ["auto", "features"]}
    search = GridSearchCV(pipeline, grid, cv=folds, scoring="roc_auc", refit=False)
    search.fit(np.concatenate([normal, anomalies]), [1] * len(normal) + [-1] * len(anomalies))
    for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"]):
        print(f"{params['gandetector__method']:<20} {score:.3f} in cross-validation")

    pipeline.set_params(**search.best_params_, gandetector__far=0.1).fit(normal)
    distances, _ = NearestNeighbors(n_neighbors=2).fit(normal).kneighbors(X_test)
    is_anomaly = y_test != NORMAL
    scores = {"GANDetector": -pipeline.score_samples(X_test)}
    scores["nearest neighbors"] = distances.mean(axis=1)
    for name, score in scores.items():
        print(f"{name:<20} AUROC {roc_auc_score(is_anomaly, score):.3f}")
    flagged = pipeline.predict(X_test) == -1
    print(f"flagged at a false-alarm rate of 10 %: {flagged[~is_anomaly].mean():.1%} of the sevens")
    print(f"and {flagged[is_anomaly].mean():.1%} of the other digits")


if __name__ == "__main__":
    main()
