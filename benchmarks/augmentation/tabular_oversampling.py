"""Oversampling of tables: a GAN next to the usual samplers.

    pip install -e '.[bench]'
    python -m benchmarks.augmentation.tabular_oversampling --json tables.json

The benchmark uses the tables of scikit-learn, with five-fold cross-validation that is repeated with
other folds. In each training part, the minority classes keep `NUM_RARE_ROWS` rows; the test part
stays unchanged. Each sampler fills all classes up to the size of the largest class. The result is
the macro-F1 of two classifiers, trained on the oversampled rows, on the test part.

References
----------
Chawla et al. (2002), SMOTE. Xu et al. (2019), "Modeling tabular data using conditional GAN"
(CTGAN), its authors' implementation with their settings.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE, RandomOverSampler
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import augan
from augan import GANOverSampler
from augan.seeding import child_rng
from benchmarks.common.harness import (
    Results,
    Row,
    Task,
    add_outputs,
    add_seeds,
    run,
    spread,
    write_json,
)

NAME = "tables"
PROTOCOL = "rare classes keep 12 rows, 5 folds, 1"  # increase the number with any change
DATA = {"iris": load_iris, "wine": load_wine, "breast-cancer": load_breast_cancer}
NUM_RARE_ROWS = 12
NUM_FOLDS = 5
GAN_SAMPLERS = ("gan-sample", "gan-interpolate", "gan-transfer")
SAMPLERS = ("none", "random", "smote", "smote-standardised", "ctgan", *GAN_SAMPLERS)
# Expected seconds of a row; 20 for all other samplers.
SECONDS = {"none": 1.0, "random": 1.0, "smote": 1.0, "smote-standardised": 1.0}
MAX_CTGAN_SECONDS = 60.0  # of processor time for one training
CTGAN_EPOCHS = 300  # the default of CTGAN

Table = tuple[np.ndarray, np.ndarray]
"""Rows `[n, D]` and classes `[n]`."""


def split_table(data: str, seed: int, fold: int) -> tuple[Table, Table]:
    """Return the imbalanced training part and the test part of a fold."""
    x, y = DATA[data](return_X_y=True)
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    train, test = list(folds.split(x, y))[fold]
    largest = np.bincount(y[train]).argmax()
    rng = child_rng(seed, "tables", data, fold)
    kept = [rng.permutation(train[y[train] == c]) for c in np.unique(y)]
    rows = np.concatenate([r if c == largest else r[:NUM_RARE_ROWS] for c, r in enumerate(kept)])
    return (x[rows], y[rows]), (x[test], y[test])


def oversample(sampler: str, x: np.ndarray, y: np.ndarray, seed: int) -> Table:
    """Return the rows, followed by new rows of the minority classes."""
    if sampler == "none":
        return x, y
    if sampler == "ctgan":
        return _ctgan(x, y, seed)
    if sampler == "smote-standardised":  # otherwise one wide column dominates the distances
        scaler = StandardScaler().fit(x)
        rows, labels = SMOTE(random_state=seed).fit_resample(scaler.transform(x), y)
        return np.concatenate([x, scaler.inverse_transform(rows[len(x) :])]), labels
    if sampler.startswith("gan-"):
        resampler = GANOverSampler(method=sampler.removeprefix("gan-"), random_state=seed)
    else:
        resampler = {"random": RandomOverSampler, "smote": SMOTE}[sampler](random_state=seed)
    return resampler.fit_resample(x, y)


def _ctgan(x: np.ndarray, y: np.ndarray, seed: int) -> Table:
    import torch
    from ctgan import CTGAN

    torch.manual_seed(seed)
    table = pd.DataFrame(x, columns=[f"c{i}" for i in range(x.shape[1])]).assign(target=y)
    model = CTGAN(epochs=CTGAN_EPOCHS, enable_gpu=False)
    model.set_random_state(seed)
    begun = time.process_time()
    model.fit(table, ["target"])
    if time.process_time() - begun > MAX_CTGAN_SECONDS:
        raise RuntimeError(
            f"CTGAN trained for more than {MAX_CTGAN_SECONDS:.0f} s of processor time"
        )
    counts = np.bincount(y)
    tables = [table]
    for label in np.flatnonzero(counts < counts.max()):
        num_missing = int(counts.max() - counts[label])
        rows: list[pd.DataFrame] = []
        for _ in range(50):  # CTGAN also returns rows of other classes than the requested class
            sampled = model.sample(500, "target", label)
            rows.append(sampled[sampled["target"] == label])
            if sum(map(len, rows)) >= num_missing:
                break
        tables.append(pd.concat(rows).iloc[:num_missing])
    result = pd.concat(tables, ignore_index=True)
    return result.drop(columns="target").to_numpy(), result["target"].to_numpy().astype(y.dtype)


def measure(data: str, sampler: str, seed: int, fold: int) -> Row:
    """Oversample, fit both classifiers, and return their macro-F1."""
    (x, y), (x_test, y_test) = split_table(data, seed, fold)
    begun = time.perf_counter()
    rows, labels = oversample(sampler, x, y, seed)
    seconds = round(time.perf_counter() - begun, 2)
    classifiers: dict[str, Callable[[], Any]] = {
        "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "forest": lambda: RandomForestClassifier(200, random_state=seed),
    }
    return {
        **{
            name: float(f1_score(y_test, make().fit(rows, labels).predict(x_test), average="macro"))
            for name, make in classifiers.items()
        },
        "n_train": len(y),
        "n_made": len(labels) - len(y),
        "sampler_s": seconds,
    }


def tasks(data: Sequence[str], samplers: Sequence[str], seeds: Sequence[int]) -> list[Task]:
    """Return a task for each table, seed, fold and sampler."""
    all_tasks = []
    for name in data:
        for seed in seeds:
            for fold in range(NUM_FOLDS):
                for sampler in samplers:
                    key = {
                        "benchmark": NAME,
                        "protocol": PROTOCOL,
                        "data": name,
                        "method": sampler,
                        "seed": seed,
                        "fold": fold,
                        "augan": augan.__version__,
                    }
                    function = partial(measure, name, sampler, seed, fold)
                    all_tasks.append(Task(key, function, SECONDS.get(sampler, 20.0)))
    return all_tasks


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each table and sampler the spread, over seeds, of the mean over folds."""
    summary: dict[str, Any] = {}
    for row in rows:
        summary.setdefault(row["data"], {}).setdefault(row["method"], []).append(row)
    return {
        data: {method: _spreads(of_method) for method, of_method in methods.items()}
        for data, methods in summary.items()
    }


def _spreads(rows: Sequence[Row]) -> dict[str, Any]:
    seeds = sorted({row["seed"] for row in rows})
    spreads = {
        name: spread(
            [float(np.mean([r[name] for r in rows if r["seed"] == seed])) for seed in seeds]
        )
        for name in ("logistic", "forest")
    }
    return {**spreads, "sampler_s": spread([row["sampler_s"] for row in rows])}


def print_summary(summary: dict[str, Any]) -> None:
    """Print a line for each table and sampler."""
    for data, methods in summary.items():
        for method, spreads in methods.items():
            print(
                f"{data:14} {method:16} "
                + "  ".join(
                    f"{name} {spreads[name]['mean']:.3f} ± {spreads[name]['std'] or 0:.3f}"
                    for name in ("logistic", "forest")
                )
                + f"  {spreads['sampler_s']['mean']:.1f} s"
            )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all samplers and print their table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation.tabular_oversampling", description=__doc__
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    add_seeds(parser)
    add_outputs(parser, NAME)
    arguments = parser.parse_args(argv)
    file = arguments.results / f"{NAME}.jsonl"
    rows = run(tasks(arguments.data, arguments.samplers, arguments.seeds), Results(file))
    summary = summarize(rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    print_summary(summary)


if __name__ == "__main__":
    main()
