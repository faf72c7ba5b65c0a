"""Does over-sampling with a GAN help on tables, beside what people would use instead?

    python -m benchmarks.augmentation.tabular_oversampling --json tables.json      # needs pip
    install -e '.[bench]'

Tables that come with scikit-learn, in five-fold cross-validation repeated with other folds. Of each
training part the rarer classes keep `RARE` rows; the judged part stays as it is. Each sampler fills
all classes up to the largest one, and two classifiers learn from that: macro-F1 on the judged part.

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
    add_places,
    add_seeds,
    run,
    spread,
    write_json,
)

NAME = "tables"
PROTOCOL = "rare classes keep 12 rows, 5 folds, 1"  # the number rises when anything changes
DATA = {"iris": load_iris, "wine": load_wine, "breast-cancer": load_breast_cancer}
RARE = 12
FOLDS = 5
OURS = ("gan-sample", "gan-interpolate", "gan-transfer")
SAMPLERS = ("none", "random", "smote", "smote-standardised", "ctgan", *OURS)
SECONDS = {"none": 1.0, "random": 1.0, "smote": 1.0, "smote-standardised": 1.0}  # guesses of a row
MOST_SECONDS = 60.0  # of the processor, for a training of CTGAN
EPOCHS = 300  # CTGAN's own default

Sampled = tuple[np.ndarray, np.ndarray]


def parts(data: str, seed: int, fold: int) -> tuple[Sampled, Sampled]:
    """Return what is learned from, made imbalanced, and what is judged on: rows and classes."""
    x, y = DATA[data](return_X_y=True)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    train, judged = list(folds.split(x, y))[fold]
    largest = np.bincount(y[train]).argmax()
    rng = child_rng(seed, "tables", data, fold)
    kept = [rng.permutation(train[y[train] == c]) for c in np.unique(y)]
    rows = np.concatenate([r if c == largest else r[:RARE] for c, r in enumerate(kept)])
    return (x[rows], y[rows]), (x[judged], y[judged])


def sample(sampler: str, x: np.ndarray, y: np.ndarray, seed: int) -> Sampled:
    """Return the rows, followed by new ones of the rare classes."""
    if sampler == "none":
        return x, y
    if sampler == "ctgan":
        return _ctgan(x, y, seed)
    if sampler == "smote-standardised":  # or one wide column decides which rows are neighbours
        scaler = StandardScaler().fit(x)
        more, labels = SMOTE(random_state=seed).fit_resample(scaler.transform(x), y)
        return np.concatenate([x, scaler.inverse_transform(more[len(x) :])]), labels
    if sampler.startswith("gan-"):
        made = GANOverSampler(method=sampler.removeprefix("gan-"), random_state=seed)
    else:
        made = {"random": RandomOverSampler, "smote": SMOTE}[sampler](random_state=seed)
    return made.fit_resample(x, y)


def _ctgan(x: np.ndarray, y: np.ndarray, seed: int) -> Sampled:
    import torch
    from ctgan import CTGAN

    torch.manual_seed(seed)
    table = pd.DataFrame(x, columns=[f"c{i}" for i in range(x.shape[1])]).assign(target=y)
    model = CTGAN(epochs=EPOCHS, enable_gpu=False)
    model.set_random_state(seed)
    begun = time.process_time()
    model.fit(table, ["target"])
    if time.process_time() - begun > MOST_SECONDS:
        raise RuntimeError(f"CTGAN trained for more than {MOST_SECONDS:.0f} s of the processor")
    counts = np.bincount(y)
    more = []
    for label in np.flatnonzero(counts < counts.max()):
        lacking = int(counts.max() - counts[label])
        rows: list[pd.DataFrame] = []
        for _ in range(50):  # it is asked for a class, but does not always make it
            drawn = model.sample(500, "target", label)
            rows.append(drawn[drawn["target"] == label])
            if sum(map(len, rows)) >= lacking:
                break
        more.append(pd.concat(rows).iloc[:lacking])
    whole = pd.concat([table, *more], ignore_index=True)
    return whole.drop(columns="target").to_numpy(), whole["target"].to_numpy().astype(y.dtype)


def measure(data: str, sampler: str, seed: int, fold: int) -> Row:
    """Sample, fit both classifiers, and return their macro-F1."""
    (x, y), (judged, truth) = parts(data, seed, fold)
    begun = time.perf_counter()
    more, labels = sample(sampler, x, y, seed)
    seconds = round(time.perf_counter() - begun, 2)
    classifiers: dict[str, Callable[[], Any]] = {
        "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "forest": lambda: RandomForestClassifier(200, random_state=seed),
    }
    return {
        **{
            name: float(f1_score(truth, make().fit(more, labels).predict(judged), average="macro"))
            for name, make in classifiers.items()
        },
        "n_train": len(y),
        "n_made": len(labels) - len(y),
        "sampler_s": seconds,
    }


def tasks(data: Sequence[str], samplers: Sequence[str], seeds: Sequence[int]) -> list[Task]:
    """Return a task for each table, repetition, fold and sampler."""
    found = []
    for name in data:
        for seed in seeds:
            for fold in range(FOLDS):
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
                    job = partial(measure, name, sampler, seed, fold)
                    found.append(Task(key, job, SECONDS.get(sampler, 20.0)))
    return found


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each table and sampler the spread, over repetitions, of the mean over folds."""
    summary: dict[str, Any] = {}
    for row in rows:
        summary.setdefault(row["data"], {}).setdefault(row["method"], []).append(row)
    return {
        data: {method: _figures(own) for method, own in methods.items()}
        for data, methods in summary.items()
    }


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    seeds = sorted({row["seed"] for row in rows})
    figures = {
        name: spread(
            [float(np.mean([r[name] for r in rows if r["seed"] == seed])) for seed in seeds]
        )
        for name in ("logistic", "forest")
    }
    return {**figures, "sampler_s": spread([row["sampler_s"] for row in rows])}


def show(summary: dict[str, Any]) -> None:
    """Print a line for each table and sampler."""
    for data, methods in summary.items():
        for method, of in methods.items():
            print(
                f"{data:14} {method:16} "
                + "  ".join(
                    f"{name} {of[name]['mean']:.3f} ± {of[name]['std'] or 0:.3f}"
                    for name in ("logistic", "forest")
                )
                + f"  {of['sampler_s']['mean']:.1f} s"
            )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation.tabular_oversampling", description=__doc__
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    add_seeds(parser)
    add_places(parser, NAME)
    arguments = parser.parse_args(argv)
    file = arguments.results / f"{NAME}.jsonl"
    rows = run(tasks(arguments.data, arguments.samplers, arguments.seeds), Results(file))
    summary = summarise(rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    show(summary)


if __name__ == "__main__":
    main()
