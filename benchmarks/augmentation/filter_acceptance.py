"""What do the filters of `augan augment` leave of each method, and is a classifier better for it?

    python -m benchmarks.augmentation.filter_acceptance RUN --json acceptance.json

For each method and seed, the same number of candidates of each class is judged. Reported are the
share of each verdict, the share of the most and least productive class, and the accuracy of a
support vector machine that learns from the first `--each` images of each class alone: of all
candidates, of those that the classifier agrees on, and of those kept. It is judged on the real
images that the run held out, which no network learned from.
"""

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.svm import SVC

from augan import load_bundle
from augan.augment.filters.criteria import ACCEPTED, LABEL_MISMATCH, REJECTION_REASONS
from augan.augment.filters.filter import CandidateFilter, load_training_reference
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.methods.prior import GeneratorSampler
from augan.augment.methods.registry import METHODS
from augan.bundle import Bundle

CHUNKS = 4  # of candidates a class
Row = dict[str, Any]


def measure(bundle: Bundle, data: str | None, method: str, seed: int, each: int) -> Row:
    """Return one row; accuracies are None where a class has fewer than `each`."""
    sampler = GeneratorSampler(bundle)
    reference, gone = load_training_reference(bundle, sampler.preprocessing, data)
    if reference is None:
        raise SystemExit(f"the training data is needed: {gone}")
    checker, maker = CandidateFilter(bundle, reference), METHODS[method](sampler, reference)
    samples, decisions = [], []
    for index in range(len(sampler.class_names)):
        checker.set_class(index)
        for number in range(CHUNKS):
            stored = maker.generate(index, number, seed).samples
            filter_result = checker.reject_duplicates(checker.evaluate(stored), stored)
            found = np.array(filter_result.decisions)
            checker.add_accepted(stored[found == ACCEPTED])
            samples.append(stored)
            decisions.append(found)
    made, found = np.concatenate(samples), np.concatenate(decisions)
    classes = np.repeat(np.arange(len(sampler.class_names)), CHUNKS * CHUNK_SIZE)
    yields = [
        float((found[classes == index] == ACCEPTED).mean()) for index in set(classes.tolist())
    ]
    counts, filter_result = Counter(found.tolist()), reference.held_out_samples()

    def accuracy(chosen: np.ndarray) -> float | None:
        rows = [np.flatnonzero(chosen & (classes == c))[:each] for c in set(classes.tolist())]
        if min(map(len, rows)) < each:
            return None
        of = np.concatenate(rows)
        machine = SVC(C=10).fit(_flat(sampler, made[of]), classes[of])
        return float(machine.score(_flat(sampler, filter_result[0]), filter_result[1]))

    return {
        "method": method,
        "seed": seed,
        **{name: counts[name] / len(found) for name in (ACCEPTED, *REJECTION_REASONS)},
        "least_class": min(yields),
        "most_class": max(yields),
        "accuracy_all": accuracy(np.ones(len(found), bool)),
        "accuracy_agreed": accuracy(found != LABEL_MISMATCH),
        "accuracy_accepted": accuracy(found == ACCEPTED),
        "num_judged": len(filter_result[1]),
    }


def _flat(sampler: GeneratorSampler, stored: np.ndarray) -> np.ndarray:
    return sampler.preprocessing.normalize(stored).reshape(len(stored), -1)


def summarise(rows: Sequence[Row]) -> str:
    """Return the means over seeds as a table."""
    figures = [name for name in rows[0] if name not in ("method", "seed")]
    lines = [f"| method | {' | '.join(figures)} |", "|---" * (len(figures) + 1) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        cells = []
        for name in figures:
            values = [row[name] for row in own if row[name] is not None]
            cells.append(f"{statistics.mean(values):.3f}" if values else "-")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="run folder or bundle with classes")
    parser.add_argument("--data", help="its training data, where it is not where it was")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--each", type=int, default=300, help="images of a class to learn from")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    bundle = load_bundle(options.run)
    methods = [name for name in METHODS if name != "interpolate" or bundle.has("latents")]
    rows = [
        measure(bundle, options.data, method, seed, options.each)
        for method in methods
        for seed in range(options.seeds)
    ]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(summarise(rows))


if __name__ == "__main__":
    main()
