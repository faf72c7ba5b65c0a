"""A table: draw rows of a class, and find odd rows, on scikit-learn's breast cancer measurements.

Synthetic rows have the columns, types and decimals of the real ones. What they are worth is seen by
a forest that learns from them alone and is judged on real rows; what the detector is worth, by
AUROC on malignant cells after it has learned benign ones only.

    python examples/table.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from augan import Config, GANDetector, augment_folder, load_dataset, train

CLASS = "diagnosis"


def main() -> None:
    data = load_breast_cancer(as_frame=True)
    table = data.data.assign(**{CLASS: data.target_names[data.target]})
    real, test = train_test_split(table, stratify=table[CLASS], random_state=0)

    with TemporaryDirectory() as name:
        file = Path(name, "cells.csv")
        real.to_csv(file, index=False)
        settings = Config().override(["task=generate", "training.steps=1000"])
        bundle = train(settings, load_dataset(file, target=CLASS), out=Path(name, "run"))
        made = augment_folder(bundle, ["benign", "malignant"], n=300, filtered=False)
        synthetic = pd.read_csv(made.out / "synthetic.csv")
    print(f"{len(synthetic)} synthetic rows, same columns: {set(synthetic) == set(real)}")
    for title, rows in (("real", real), ("synthetic", synthetic)):
        forest = RandomForestClassifier(random_state=0)
        forest.fit(rows[list(data.data)], rows[CLASS])
        right = forest.score(test[list(data.data)], test[CLASS])
        print(f"a forest that learned {title:<10} {right:.3f} of {len(test)} real rows right")

    detector = GANDetector(far=0.1, steps=600, random_state=0)
    detector.fit(real[real[CLASS] == "benign"][list(data.data)])
    odd = test[CLASS] == "malignant"
    scores = -detector.score_samples(test[list(data.data)])
    flagged = detector.predict(test[list(data.data)]) == -1
    print(f"malignant among benign: AUROC {roc_auc_score(odd, scores):.3f}")
    print(f"flagged at a rate of 10 %: {flagged[odd].mean():.1%} of the malignant,")
    print(f"{flagged[~odd].mean():.1%} of the benign cells")


if __name__ == "__main__":
    main()
