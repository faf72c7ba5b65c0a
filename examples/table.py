"""Tables: synthetic rows and anomalous rows of scikit-learn's breast cancer data.

Synthetic rows have the columns, types and decimals of the real rows. Their quality is the accuracy
on real test rows of a random forest that was trained on synthetic rows only. The quality of the
detector is its AUROC on malignant cells; it was trained on benign cells only.

    python examples/table.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from augan import AugmentRequest, Config, GANDetector, augment_folder, load_dataset, train

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
        augmented = augment_folder(
            bundle, AugmentRequest(["benign", "malignant"], n=300, filtered=False)
        )
        synthetic = pd.read_csv(augmented.out / "synthetic.csv")
    print(f"{len(synthetic)} synthetic rows, same columns: {set(synthetic) == set(real)}")
    for title, rows in (("real", real), ("synthetic", synthetic)):
        forest = RandomForestClassifier(random_state=0)
        forest.fit(rows[list(data.data)], rows[CLASS])
        accuracy = forest.score(test[list(data.data)], test[CLASS])
        print(f"forest trained on {title:<10} accuracy {accuracy:.3f} on {len(test)} real rows")

    detector = GANDetector(far=0.1, steps=600, random_state=0)
    detector.fit(real[real[CLASS] == "benign"][list(data.data)])
    is_malignant = test[CLASS] == "malignant"
    scores = -detector.score_samples(test[list(data.data)])
    flagged = detector.predict(test[list(data.data)]) == -1
    print(f"malignant cells among benign cells: AUROC {roc_auc_score(is_malignant, scores):.3f}")
    print(f"flagged at a false-alarm rate of 10 %: {flagged[is_malignant].mean():.1%} of malignant")
    print(f"and {flagged[~is_malignant].mean():.1%} of benign cells")


if __name__ == "__main__":
    main()
