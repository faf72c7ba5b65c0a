"""Filter acceptance: the fraction of candidates that the filters accept, and its effect.

    python -m benchmarks.augmentation.filter_acceptance RUN --json acceptance.json

For each method and seed, the filters of `augan augment` decide on the same number of candidates of
each class. A row holds the fraction of each decision, the lowest and the highest acceptance rate of
a class, and the accuracy of support vector machines. Each machine trains on the first
`--images-per-class` images of each class: of all candidates, of candidates whose class the
classifier confirms, and of accepted candidates. The test images are real images that the run held
out.
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
from augan.augment.filters.filter import CandidateFilter
from augan.augment.generator import GeneratorSampler
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.methods.registry import AUGMENTATION_METHODS, method_names
from augan.augment.training_reference import load_training_reference
from augan.bundle import Bundle

NUM_CHUNKS = 4  # chunks of candidates of each class
Row = dict[str, Any]


def measure(bundle: Bundle, data: str | None, method: str, seed: int, images_per_class: int) -> Row:
    """Return the row of a method and seed.

    An accuracy is None if a class has fewer than `images_per_class` candidates to train on.
    """
    sampler = GeneratorSampler(bundle)
    reference, reason = load_training_reference(bundle, sampler.preprocessing, data)
    if reference is None:
        raise SystemExit(f"the training data is needed: {reason}")
    candidate_filter = CandidateFilter(bundle, reference)
    generator = AUGMENTATION_METHODS.load(method)(sampler, reference)
    num_classes = len(sampler.class_names)
    all_samples, all_decisions = [], []
    for label in range(num_classes):
        candidate_filter.set_class(label)
        for chunk in range(NUM_CHUNKS):
            samples = generator.generate(label, chunk, seed).samples
            result = candidate_filter.reject_duplicates(candidate_filter.evaluate(samples), samples)
            decisions = np.array(result.decisions)
            candidate_filter.add_accepted(samples[decisions == ACCEPTED])
            all_samples.append(samples)
            all_decisions.append(decisions)
    samples, decisions = np.concatenate(all_samples), np.concatenate(all_decisions)
    classes = np.repeat(np.arange(num_classes), NUM_CHUNKS * CHUNK_SIZE)
    acceptance_rates = [
        float((decisions[classes == label] == ACCEPTED).mean()) for label in range(num_classes)
    ]
    counts = Counter(decisions.tolist())
    test_samples, test_classes = reference.held_out_samples()

    def accuracy(is_chosen: np.ndarray) -> float | None:
        rows = [
            np.flatnonzero(is_chosen & (classes == label))[:images_per_class]
            for label in range(num_classes)
        ]
        if min(map(len, rows)) < images_per_class:
            return None
        train = np.concatenate(rows)
        machine = SVC(C=10).fit(_flatten(sampler, samples[train]), classes[train])
        return float(machine.score(_flatten(sampler, test_samples), test_classes))

    return {
        "method": method,
        "seed": seed,
        **{name: counts[name] / len(decisions) for name in (ACCEPTED, *REJECTION_REASONS)},
        "lowest_class": min(acceptance_rates),
        "highest_class": max(acceptance_rates),
        "accuracy_all": accuracy(np.ones(len(decisions), bool)),
        "accuracy_confirmed": accuracy(decisions != LABEL_MISMATCH),
        "accuracy_accepted": accuracy(decisions == ACCEPTED),
        "num_test": len(test_classes),
    }


def _flatten(sampler: GeneratorSampler, samples: np.ndarray) -> np.ndarray:
    return sampler.preprocessing.normalize(samples).reshape(len(samples), -1)


def format_table(rows: Sequence[Row]) -> str:
    """Return the means over seeds as a Markdown table."""
    fields = [name for name in rows[0] if name not in ("method", "seed")]
    lines = [f"| method | {' | '.join(fields)} |", "|---" * (len(fields) + 1) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        of_method = [row for row in rows if row["method"] == method]
        cells = []
        for name in fields:
            values = [row[name] for row in of_method if row[name] is not None]
            cells.append(f"{statistics.mean(values):.3f}" if values else "-")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="run folder or bundle with classes")
    parser.add_argument("--training-data", help="default: the path recorded in the bundle")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--images-per-class", type=int, default=300, help="to train on")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    bundle = load_bundle(options.run)
    methods = [
        name
        for name in method_names()
        if all(map(bundle.has, AUGMENTATION_METHODS.get(name).required_parts))
    ]
    rows = [
        measure(bundle, options.training_data, method, seed, options.images_per_class)
        for method in methods
        for seed in range(options.seeds)
    ]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(format_table(rows))


if __name__ == "__main__":
    main()
