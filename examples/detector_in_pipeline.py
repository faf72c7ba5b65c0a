"""Find digits that are not sevens: `GANDetector` in a Pipeline, its method chosen by GridSearchCV.

The detector learns from sevens only, and the search must see to that: its folds are given, each
with sevens to fit, and other sevens and a few known anomalies to judge by AUROC (0.5 is chance, 1
is perfect). The last lines are about pictures that no fold has seen.

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
KNOWN = 100  # anomalies that somebody has labeled already


def as_images(rows: np.ndarray) -> np.ndarray:
    """Turn rows of 64 values from 0 to 16 into pictures [N, 8, 8] from 0 to 255."""
    return np.rint(rows * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)


def main() -> None:
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    normal, known = X[y == NORMAL], X[y != NORMAL][:KNOWN]
    pipeline = make_pipeline(FunctionTransformer(as_images), GANDetector(steps=300, random_state=0))

    anomalies = len(normal) + np.arange(len(known))
    folds = [
        (fit, np.concatenate([judge, anomalies]))
        for fit, judge in KFold(2, shuffle=True, random_state=0).split(normal)
    ]
    # Not refitted by the search, which would fit the known anomalies too.
    grid = {"gandetector__method": ["auto", "features"]}
    search = GridSearchCV(pipeline, grid, cv=folds, scoring="roc_auc", refit=False)
    search.fit(np.concatenate([normal, known]), np.repeat([1, -1], [len(normal), len(known)]))
    for chosen, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"]):
        print(f"{chosen['gandetector__method']:<20} {score:.3f} in cross-validation")

    pipeline.set_params(**search.best_params_, gandetector__far=0.1).fit(normal)
    distances, _ = NearestNeighbors(n_neighbors=2).fit(normal).kneighbors(X_test)
    is_anomaly = y_test != NORMAL
    scores = {"GANDetector": -pipeline.score_samples(X_test)}
    scores["nearest neighbours"] = distances.mean(axis=1)
    for name, score in scores.items():
        print(f"{name:<20} AUROC {roc_auc_score(is_anomaly, score):.3f}")
    flagged = pipeline.predict(X_test) == -1
    print(f"flagged at a false-alarm rate of 10 %: {flagged[~is_anomaly].mean():.1%} of the sevens")
    print(f"and {flagged[is_anomaly].mean():.1%} of the other digits")


if __name__ == "__main__":
    main()
